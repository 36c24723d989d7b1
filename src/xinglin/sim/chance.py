"""Choices that one seed makes the same on every Python: those of `random` are not promised to be."""

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """A stream of choices. Streams of one seed and different names have nothing to do with each other."""

    def __init__(self, seed: int, name: str):
        self._key = sha256(f"xinglin/sim/1 {seed} {name}".encode()).digest()
        self._count = 0

    def bytes(self, count: int) -> bytes:
        drawn = b""
        while len(drawn) < count:
            self._count += 1
            drawn += sha256(self._key + self._count.to_bytes(8, "big")).digest()
        return drawn[:count]

    def below(self, end: int) -> int:
        return int.from_bytes(self.bytes(8), "big") % end

    def percent(self, chance: int) -> bool:
        return self.below(100) < chance

    def one_of(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def weighted(self, options: Sequence[tuple[int, T]]) -> T:
        """Of (weight, option)."""
        at = self.below(sum(weight for weight, _ in options))
        for weight, option in options:
            at -= weight
            if at < 0:
                return option
        raise ValueError("no options")


@contextmanager
def only(chance: Chance) -> Iterator[None]:
    """Meanwhile this process draws keys, nonces and ids from `chance`, so that a run can be repeated to the byte.

    So nothing of value may be made meanwhile: the simulation founds a network of its own and throws it away.
    """
    kept = os.urandom, random._urandom  # type: ignore[attr-defined]
    os.urandom = random._urandom = chance.bytes  # type: ignore[attr-defined]
    try:
        yield
    finally:
        os.urandom, random._urandom = kept  # type: ignore[attr-defined]
