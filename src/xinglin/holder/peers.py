"""How one holder reaches another. Today both live in one process and hand parts over by a call."""

from xinglin.base.ids import MemberId, SubjectId
from xinglin.base.check import NotFound
from xinglin.engine.embedded import Committed
from xinglin.holder import answer, release
from xinglin.holder.answer import Delivered
from xinglin.holder.codes import HolderCode
from xinglin.holder.holder import Holder
from xinglin.holder.release import Page
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

    def opening(self, subject: SubjectId, request: int) -> Opened:
        return release.opening(self._holder, subject, request)


def peer_for(holders: dict[MemberId, Holder], subject: SubjectId) -> LocalPeer:
    """The holder of a subject. Errors  NotFound PEER_NOT_KNOWN."""
    for holder in holders.values():
        if holder.holds(subject):
            return LocalPeer(holder)
    raise NotFound(HolderCode.PEER_NOT_KNOWN)
