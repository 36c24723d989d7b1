"""How one holder reaches another. Today both live in one process and hand parts over by a call."""

from xinglin.base import codec
from xinglin.base.crypto import key_hash
from xinglin.base.ids import SubjectId
from xinglin.client.door import (
    Challenge,
    ClaimRequest,
    OpenedHistory,
    Reply,
    SignedChallenge,
    SignedConsent,
)
from xinglin.engine.embedded import Committed
from xinglin.holder import answer, claim_codes, deliveries, openings, release
from xinglin.holder.deliveries import Delivered
from xinglin.holder.holder import Holder
from xinglin.holder.release import Page


class LocalPeer:
    """A holder of this process, seen from another one."""

    def __init__(self, holder: Holder):
        self._holder = holder

    def deliver(self, delivered: Delivered, signature: bytes) -> None:
        deliveries.deliver(self._holder, delivered, signature)

    def answer(self, subject: SubjectId, number: int) -> Committed:
        return answer.answer(self._holder, subject, number)

    def page(self, subject: SubjectId, request: int, number: int, signature: bytes) -> Page:
        return release.page(self._holder, subject, request, number, signature)

    def opening(self, subject: SubjectId, request: int, signature: bytes) -> bytes:
        return release.opening(self._holder, subject, request, signature)


class LocalDoor:
    """A holder of this process, as its patients' wallets reach it."""

    def __init__(self, holder: Holder):
        self._holder = holder

    def service(self) -> tuple[bytes, bytes]:
        holder = self._holder
        return holder.service, key_hash(holder.node.hashes, holder.service_suite, holder.service_public)

    def claim(self, request: ClaimRequest) -> bytes:
        return self._holder.node.receipt_of(claim_codes.co_sign(self._holder, request))

    def keep_consent(self, signed: SignedConsent) -> None:
        answer.keep_consent(self._holder, signed)

    def challenge(self, subject: SubjectId) -> Challenge:
        return openings.challenge(self._holder, subject)

    def history(self, signed: SignedChallenge) -> Reply:
        entries, words, proof = openings.history(self._holder, signed)
        return Reply.to(signed, OpenedHistory(entries=tuple(map(codec.encode, entries)), words=tuple(words),
                                              proof=proof))

    def records(self, signed: SignedChallenge) -> Reply:
        return Reply.to(signed, openings.records(self._holder, signed))
