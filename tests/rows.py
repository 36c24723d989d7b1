"""How much of each reliability row runs: in every run of the suite, and before a release, in pieces.

A test marked `row("FUZZ")` takes a `span` and looks at the items first .. first + count - 1 of its row. An item's
number is its seed, so a failed item is found again alone:

    XINGLIN_RELEASE_FIRST=4711 XINGLIN_RELEASE_COUNT=1 ./dev.py test --release --row FUZZ
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Span:
    """Items of a row, one after the other."""

    first: int
    count: int

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.first + self.count))


class Row(NamedTuple):
    """`every_run` and `release` are how many items; `piece` is what runs, and is remembered, at once."""

    every_run: int
    release: int
    piece: int


ROWS = {
    "FUZZ": Row(50_000, 5_000_000, 25_000),    # inputs of each parser of bytes from outside
    "FUZZ-SLOW": Row(5_000, 500_000, 2_500),   # and of those that take a millisecond each
    "NONCES": Row(10_000, 3_000_000, 10_000),  # nonces of each of three kinds
    "PROOF": Row(50_000, 5_000_000, 5_000),    # spoilt receipts, state proofs and access logs
}


def spans(name: str, release: bool, environment: Mapping[str, str] = os.environ) -> list[Span]:
    """The pieces of a row; from XINGLIN_RELEASE_FIRST on, XINGLIN_RELEASE_COUNT items, where those are set."""
    row = ROWS[name]
    first, end = 0, row.every_run
    if release:
        first = int(environment.get("XINGLIN_RELEASE_FIRST", "0"))
        end = first + int(environment.get("XINGLIN_RELEASE_COUNT", str(row.release - first)))
    return [Span(at, min(row.piece, end - at)) for at in range(first, end, row.piece)]
