"""How one holder reaches another. Today both live in one process and hand parts over by a call."""

from xinglin.base.crypto import key_hash
from xinglin.base.ids import GrantId, SubjectId
from xinglin.client.door import Challenge, ClaimRequest, SignedChallenge, Words
from xinglin.engine.embedded import Committed
from xinglin.holder import answer, claim_codes, openings, release
from xinglin.holder.answer import Delivered
from xinglin.holder.holder import Holder
from xinglin.holder.release import Page
from xinglin.kernel.module import Event
from xinglin.modules.decision import Opened


class LocalPeer:
    """A holder of this process, seen from another one."""

    def __init__(self, holder: Holder):
        self._holder = holder

    def deliver(self, delivered: Delivered) -> None:
        answer.deliver(self._holder, delivered)

    def answer(self, subject: SubjectId, number: int) -> Committed:
        return answer.answer(self._holder, subject, number)

    def page(self, subject: SubjectId, request: int, number: int) -> Page:
        return release.page(self._holder, subject, request, number)

    def opening(self, subject: SubjectId, request: int) -> bytes:
        return release.opening(self._holder, subject, request)


class LocalDoor:
    """A holder of this process, as its patients' wallets reach it."""

    def __init__(self, holder: Holder):
        self._holder = holder

    def service(self) -> tuple[bytes, bytes]:
        holder = self._holder
        return holder.service, key_hash(holder.node.hashes, holder.service_suite, holder.service_public)

    def claim(self, request: ClaimRequest) -> bytes:
        return self._holder.node.receipt_of(claim_codes.co_sign(self._holder, request))

    def keep_consent(self, subject: SubjectId, grant_id: GrantId, opened: Opened) -> None:
        answer.keep_consent(self._holder, subject, grant_id, opened)

    def challenge(self, subject: SubjectId) -> Challenge:
        return openings.challenge(self._holder, subject)

    def history(self, signed: SignedChallenge) -> tuple[list[Event], list[Words], bytes]:
        return openings.history(self._holder, signed)
