"""What a data room keeps in memory of what it opened, bounded in size and in time."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from xinglin.base.limits import MEMORY_IDLE_MS

V = TypeVar("V")


class Recent(Generic[V]):
    """The values used last, `weight_max` of them by weight. One that was not used for a minute goes at the next use
    of any. Safe for threads."""

    def __init__(self, weight_max: int, monotonic_ms: Callable[[], int]):
        self._weight_max = weight_max
        self._monotonic_ms = monotonic_ms
        self._values: OrderedDict[tuple[bytes, int], tuple[V, int, int]] = OrderedDict()
        self._weight = 0
        self._turn = threading.Lock()

    def get(self, owner: bytes, number: int) -> V | None:
        with self._turn:
            now_ms = self._monotonic_ms()
            self._let_go(now_ms)
            found = self._values.get((owner, number))
            if found is None:
                return None
            value, weight, _ = found
            self._values[owner, number] = (value, weight, now_ms)
            self._values.move_to_end((owner, number))
            return value

    def put(self, owner: bytes, number: int, value: V, weight: int = 1) -> None:
        """Keep it, unless it is heavier than all that may be kept."""
        with self._turn:
            self._drop((owner, number))
            if weight > self._weight_max:
                return
            now_ms = self._monotonic_ms()
            self._let_go(now_ms)
            self._values[owner, number] = (value, weight, now_ms)
            self._weight += weight
            while self._weight > self._weight_max:
                self._drop(next(iter(self._values)))

    def forget(self, owner: bytes) -> None:
        """All that is the owner's."""
        with self._turn:
            for key in [key for key in self._values if key[0] == owner]:
                self._drop(key)

    def clear(self) -> None:
        with self._turn:
            self._values.clear()
            self._weight = 0

    def __len__(self) -> int:
        return len(self._values)

    def _let_go(self, now_ms: int) -> None:
        while self._values:
            key = next(iter(self._values))
            if now_ms - self._values[key][2] <= MEMORY_IDLE_MS:
                return
            self._drop(key)

    def _drop(self, key: tuple[bytes, int]) -> None:
        found = self._values.pop(key, None)
        if found is not None:
            self._weight -= found[1]
