"""How much of each reliability row runs: in every run of the suite, and before a release, in pieces.

A test marked `row("KILL")` takes a `span` and looks at the items first .. first + count - 1 of its row. An item's
number is its seed, so a failed item is found again alone:

    XINGLIN_RELEASE_FIRST=4711 XINGLIN_RELEASE_COUNT=1 ./dev.py test --release --row KILL
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
    "KILL": Row(240, 10_000, 60),          # SIGKILLs of a node
    "KILL-VAULT": Row(60, 2_000, 60),      # and of a holder's data room
    "POWER": Row(4_000, 250_000, 1_000),   # images that a power cut may leave of a node's run
    "POWER-VAULT": Row(1_000, 50_000, 1_000), # and of a data room's
    "IOERR": Row(12, 240, 12),             # operations, each with every call of it failing in its turn
    "ROT": Row(2_000, 100_000, 500),       # spoilt ledgers
    "ROT-VAULT": Row(500, 20_000, 500),    # spoilt data rooms
    "ROT-FSCK": Row(120, 12_000, 120),     # lies planted through the store, for fsck to find
    "SIM": Row(200, 2_000, 10),            # seeds, of 500 steps; of 5,000 before a release
    "PROOF": Row(50_000, 5_000_000, 5_000),    # spoilt receipts, state proofs and access logs
    "PROOF-CROSS": Row(4_000, 50_000, 2_000),  # spoilt proof files, and half as many lies, for each language
    "REPLAY": Row(5_000, 1_000_000, 1_000),    # transactions that nobody signed so
    "DIFF": Row(20_000, 1_000_000, 2_000),     # transactions beside the naive model; a piece is a seed
    "DET": Row(8, 1_200, 8),                   # configurations, each on a chain of 2,000 transactions
    "FUZZ": Row(50_000, 5_000_000, 25_000),    # inputs of each parser of bytes from outside
    "FUZZ-SLOW": Row(5_000, 500_000, 2_500),   # and of those that take a millisecond each
    "NONCES": Row(10_000, 3_000_000, 10_000),  # nonces of each of three kinds
}


def spans(name: str, release: bool, environment: Mapping[str, str] = os.environ) -> list[Span]:
    """The pieces of a row; from XINGLIN_RELEASE_FIRST on, XINGLIN_RELEASE_COUNT items, where those are set."""
    row = ROWS[name]
    first, end = 0, row.every_run
    if release:
        first = int(environment.get("XINGLIN_RELEASE_FIRST", "0"))
        end = first + int(environment.get("XINGLIN_RELEASE_COUNT", str(row.release - first)))
    return [Span(at, min(row.piece, end - at)) for at in range(first, end, row.piece)]
