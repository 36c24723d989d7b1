"""Waiting transactions: revocations first, then one from each member in turn. Full is said, never hidden."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

from xinglin.base.limits import QUEUE_TXS_MAX, QUEUE_TXS_PER_MEMBER_MAX

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A bounded queue per payer, taken from in turn; and one lane that no payer can fill."""

    def __init__(self, total_max: int = QUEUE_TXS_MAX, per_payer_max: int = QUEUE_TXS_PER_MEMBER_MAX):
        self._total_max = total_max
        self._per_payer_max = per_payer_max
        self._lane: deque[T] = deque()
        self._by_payer: OrderedDict[bytes, deque[T]] = OrderedDict()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting + len(self._lane)

    def put(self, payer: bytes, item: T) -> bool:
        """Whether there was room."""
        waiting = self._by_payer.get(payer)
        if self._waiting >= self._total_max or (waiting and len(waiting) >= self._per_payer_max):
            return False
        if waiting is None:
            waiting = self._by_payer[payer] = deque()
        waiting.append(item)
        self._waiting += 1
        return True

    def put_in_lane(self, item: T) -> bool:
        """Whether there was room in the lane of unsponsored messages."""
        if len(self._lane) >= self._total_max:
            return False
        self._lane.append(item)
        return True

    def take(self, most: int) -> list[T]:
        """The next items, at most `most`: the lane first, then payers in turn."""
        taken: list[T] = []
        while self._lane and len(taken) < most:
            taken.append(self._lane.popleft())
        while self._by_payer and len(taken) < most:
            payer, waiting = self._by_payer.popitem(last=False)
            taken.append(waiting.popleft())
            self._waiting -= 1
            if waiting:
                self._by_payer[payer] = waiting
        return taken
