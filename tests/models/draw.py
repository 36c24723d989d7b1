"""Choices that are the same for one seed on every Python: those of `random` are not promised to be."""

import hashlib
from collections.abc import Sequence
from typing import Any


class Draw:
    def __init__(self, seed: int):
        self._seed = seed.to_bytes(8, "big")
        self._count = 0

    def __call__(self, options: Sequence[Any]) -> Any:
        self._count += 1
        drawn = hashlib.sha256(self._seed + self._count.to_bytes(8, "big")).digest()
        return options[int.from_bytes(drawn[:8], "big") % len(options)]
