"""One-time codes for claiming a subject: handed over in person, kept sealed, never sent, never on the ledger.

The holder's service co-signs a claim only against the code: 15 minutes, five tries. Wrong, used, run out
and never issued sound the same. Whoever knows a subject's id can use up the tries of its code: that keeps a patient
from claiming until the counter, which is told, gives her another at once; it never lets anyone else claim.
"""

import hmac
import secrets
from typing import Annotated

from msgspec import Meta, structs

from xinglin.base import codec
from xinglin.base.check import NotAuthorised, NotUnderstood, NotVerified
from xinglin.base.codec import Struct
from xinglin.base.crypto import key_hash, verify
from xinglin.base.ids import SubjectId
from xinglin.base.limits import CLAIM_CODE_MS, CLAIM_CODE_TRIES_MAX
from xinglin.base.units import U8, Millis
from xinglin.client.door import CODE_ALPHABET, ClaimRequest, code_proof
from xinglin.engine.embedded import Committed
from xinglin.holder.codes import HolderCode
from xinglin.holder.holder import Holder, events_of
from xinglin.kernel.tx import SIGN_DOMAIN, Body, Transaction
from xinglin.modules import subjects

GROUPS, GROUP_CHARS = 3, 4                      # 59 bits

NAME = b"claim"

ClaimBody = Body[tuple[subjects.Claim, ...]]


class Code(Struct, tag="xinglin.claim-code/2"):
    code: Annotated[str, Meta(max_length=64)]
    until_ms: Millis
    tries: U8


def issue(holder: Holder, subject: SubjectId) -> str:
    """A fresh code for the patient in front of you; an earlier one is void.

    Errors  NotFound SUBJECT_NOT_HELD.
    """
    holder.require_held(subject)
    code = "-".join("".join(secrets.choice(CODE_ALPHABET) for _ in range(GROUP_CHARS)) for _ in range(GROUPS))
    fresh = Code(code=code, tries=0, until_ms=holder.node.now_ms() + CLAIM_CODE_MS)
    with holder.turn(subject):         # a try under way would put the void one back
        holder.put("code", subject, NAME, fresh)
    return code


def tried_out(holder: Holder, subject: SubjectId) -> bool:
    """Whether the code that was issued last is void for wrong tries, for the counter to say when it issues another."""
    stored = holder.get("code", subject, NAME, Code)
    return stored is not None and stored.tries >= CLAIM_CODE_TRIES_MAX


def co_sign(holder: Holder, request: ClaimRequest) -> Committed:
    """Check the code and what would be signed, co-sign, order.

    Errors  NotUnderstood CLAIM_NOT_UNDERSTOOD, NotAuthorised CODE_NOT_VALID, Failed on a refusal.
    """
    claim, body = _read(holder, request)
    _use_code(holder, claim.subject, request)
    mine = holder.co_sign(SIGN_DOMAIN + request.body)
    signatures = tuple(mine if signer.account == holder.service else request.signature
                       for signer in body.signers)
    committed = holder.node.order(codec.encode(Transaction(body=request.body, signatures=signatures)))
    events_of(holder.node, committed)
    holder.cabinet.delete("code", claim.subject, NAME)
    return committed


def _read(holder: Holder, request: ClaimRequest) -> tuple[subjects.Claim, ClaimBody]:
    """One claim, of a subject of ours, for our service, signed by the key that it introduces; else nothing
    that we would put our name to."""
    wrong = NotUnderstood(HolderCode.CLAIM_NOT_UNDERSTOOD)
    node = holder.node
    try:
        body: ClaimBody = codec.decode(request.body, ClaimBody)
    except NotUnderstood:
        raise wrong from None
    if len(body.messages) != 1:
        raise wrong
    claim = body.messages[0]
    accounts = tuple(signer.account for signer in body.signers)
    if body.network != node.network or claim.service != holder.service \
            or accounts != (holder.service, claim.subject) or not holder.holds(claim.subject):
        raise wrong
    ours, hers = body.signers
    if ours.key != key_hash(node.hashes, holder.service_suite, holder.service_public) or \
            hers.key != key_hash(node.hashes, claim.suite, claim.key):
        raise wrong
    try:
        verify(claim.suite, claim.key, SIGN_DOMAIN + request.body, request.signature)
    except NotVerified:            # the signature, or a key that its suite does not accept
        raise wrong from None
    return claim, body


def _use_code(holder: Holder, subject: SubjectId, request: ClaimRequest) -> None:
    """Count the try before judging it, so that a crash or a race gives no free ones."""
    with holder.turn(subject):
        stored = holder.get("code", subject, NAME, Code)
        if stored is None or stored.tries >= CLAIM_CODE_TRIES_MAX:
            raise NotAuthorised(HolderCode.CODE_NOT_VALID)
        holder.put("code", subject, NAME, structs.replace(stored, tries=stored.tries + 1))
    good = hmac.compare_digest(code_proof(holder.node.hashes, request.body, stored.code), request.proof)
    if not good or stored.until_ms <= holder.node.now_ms():
        raise NotAuthorised(HolderCode.CODE_NOT_VALID)
