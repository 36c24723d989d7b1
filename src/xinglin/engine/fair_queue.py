"""Waiting transactions: revocations first, then one from each member in turn. Full is said, never hidden.

Revocations have a lane of their own, in which subjects take turns as payers do outside it. It goes first,
but while members wait it takes no more than half: no one may stand in the way of a revocation, and no flood
of them in the way of everything else.
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

from xinglin.base.limits import (
    LANE_PER_SUBJECT_DAY_MAX,
    QUEUE_TXS_MAX,
    QUEUE_TXS_PER_MEMBER_MAX,
    QUEUE_TXS_PER_SUBJECT_MAX,
)

T = TypeVar("T")


class Turns(Generic[T]):
    """Bounded queues, one from each in turn."""

    def __init__(self, total_max: int, each_max: int):
        self._total_max = total_max
        self._each_max = each_max
        self._queues: OrderedDict[bytes, deque[T]] = OrderedDict()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def put(self, whose: bytes, item: T) -> bool:
        """Whether there was room."""
        queue = self._queues.get(whose)
        if self._waiting >= self._total_max or (queue and len(queue) >= self._each_max):
            return False
        if queue is None:
            queue = self._queues[whose] = deque()
        queue.append(item)
        self._waiting += 1
        return True

    def take(self, most: int) -> list[T]:
        taken: list[T] = []
        while self._queues and len(taken) < most:
            whose, queue = self._queues.popitem(last=False)
            taken.append(queue.popleft())
            if queue:
                self._queues[whose] = queue
        self._waiting -= len(taken)
        return taken


class FairQueue(Generic[T]):
    """A bounded queue per payer, taken from in turn; and a lane that no payer can fill."""

    def __init__(self, total_max: int = QUEUE_TXS_MAX, per_payer_max: int = QUEUE_TXS_PER_MEMBER_MAX,
                 per_subject_max: int = LANE_PER_SUBJECT_DAY_MAX):
        self._lane: Turns[T] = Turns(total_max, per_subject_max)
        self._payers: Turns[tuple[bytes, bytes, T]] = Turns(total_max, per_payer_max)
        self._of_subject: dict[bytes, int] = {}
        self._of_patients: dict[bytes, int] = {}          # payer -> how many of its places they have
        self._patients_max = per_payer_max // 2           # the other half is the payer's own

    def __len__(self) -> int:
        return len(self._payers) + len(self._lane)

    def put(self, payer: bytes, item: T, subject: bytes = b"") -> bool:
        """Whether there was room; if a patient's, also among what the payer has for that one, and for all of them."""
        if subject:
            waiting, together = self._of_subject.get(subject, 0), self._of_patients.get(payer, 0)
            if waiting >= QUEUE_TXS_PER_SUBJECT_MAX or together >= self._patients_max:
                return False
            if not self._payers.put(payer, (payer, subject, item)):
                return False
            self._of_subject[subject] = waiting + 1
            self._of_patients[payer] = together + 1
            return True
        return self._payers.put(payer, (payer, subject, item))

    def put_in_lane(self, subject: bytes, item: T) -> bool:
        """Whether there was room in the lane of unsponsored messages."""
        return self._lane.put(subject, item)

    def take(self, most: int) -> list[T]:
        """The next items, at most `most`."""
        taken = self._lane.take(max(most // 2, most - len(self._payers)))
        for payer, subject, item in self._payers.take(most - len(taken)):
            taken.append(item)
            if subject:
                _one_less(self._of_subject, subject)
                _one_less(self._of_patients, payer)
        return taken


def _one_less(waiting: dict[bytes, int], whose: bytes) -> None:
    if waiting[whose] > 1:
        waiting[whose] -= 1
    else:
        del waiting[whose]
