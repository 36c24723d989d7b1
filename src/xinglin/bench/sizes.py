"""Bytes on the ledger for a consent change and for an access: bodies, and what else a transaction carries."""

from typing import Any

from xinglin.base import codec
from xinglin.base.crypto import SHA256, SignatureSuite, SigningKey
from xinglin.base.ids import NO_HASH, NO_ID
from xinglin.client.signing import sign
from xinglin.kernel.module import Message
from xinglin.kernel.tx import Transaction
from xinglin.modules import access, consent, module_set

LATE_MS, LATE_H, LARGE = 2**41, 2**20, 2**32 - 1     # as wide as these numbers get on the wire


def run() -> dict[str, Any]:
    """Sizes do not depend on the machine; the largest of each kind."""
    grant = _sizes(consent.Grant(subject=NO_ID, grantee=NO_ID, grant_id=NO_ID, until_h=LATE_H, body=NO_HASH))
    request = _sizes(access.Request(reader=NO_ID, subject=NO_ID, grant_id=NO_ID, key_hash=NO_HASH, body=NO_HASH))
    answer = _sizes(access.Answer(
        service=NO_ID, subject=NO_ID, number=LARGE, decision=access.Decision.PERMIT, grant_id=NO_ID, epoch=LARGE,
        inputs=NO_HASH, opening=NO_HASH, parts_root=NO_HASH, expires_at_ms=LATE_MS))
    return {"consent_change_body_bytes": grant[0], "access_body_bytes": request[0] + answer[0],
            "consent_change_signed_bytes": grant[1], "access_signed_bytes": request[1] + answer[1]}


def _sizes(message: Message) -> tuple[int, int]:
    """(body, whole transaction), signed with Ed25519."""
    key = SigningKey.from_seed(SignatureSuite.ED25519, bytes(32))
    raw, _ = sign(NO_HASH, SHA256, module_set(), [message], {NO_ID: key}, LATE_MS)
    return len(codec.decode(raw, Transaction).body), len(raw)
