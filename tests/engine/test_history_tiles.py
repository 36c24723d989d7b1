"""Tiles and their ragged edge, against every node of the tree computed the plain way."""

import hashlib
from pathlib import Path

import pytest

from xinglin.base.crypto import SHA256
from xinglin.base.history import (
    Frontier,
    consistency_path,
    inclusion_path,
    verify_consistency,
    verify_inclusion,
)
from xinglin.engine import history as history_module
from xinglin.engine.history import History, tile_key
from xinglin.engine.store import Store


def plain_levels(leaves: list[bytes]) -> list[list[bytes]]:
    """levels[k][i] is the root of the complete subtree of 2**k leaves from i * 2**k on."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([hashlib.sha256(b"\x01" + below[at] + below[at + 1]).digest()
                       for at in range(0, len(below) - 1, 2)])
    return levels


def leaf(number: int) -> bytes:
    return hashlib.sha256(b"leaf %d" % number).digest()


class Log:
    """A history over a store, closed and opened again as often as a test likes."""

    def __init__(self, folder: Path, tile: int):
        self.folder, self.tile = folder, tile
        self.store = Store.open(folder)
        self.history = History.open(self.store, SHA256, Frontier(), [])
        self.leaves: list[bytes] = []

    def grow(self, to: int) -> None:
        new = [leaf(number) for number in range(len(self.leaves), to)]
        batch = self.store.batch()
        appended = self.history.append(new, batch)
        assert (appended.first, appended.size) == (len(self.leaves), to)
        self.leaves += new
        self.check_sample()               # also before the batch is written: the block's own receipts
        self.store.write(batch)

    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.folder)
        edge = len(self.leaves) - len(self.leaves) % self.tile
        self.history = History.open(self.store, SHA256, Frontier.from_row(self.history.frontier.to_row()),
                                    self.leaves[edge:])

    def check_sample(self) -> None:
        size = len(self.leaves)
        for index in {0, size // 2, size - 1}:
            assert self.history.node(0, index) == self.leaves[index]

    def check_all(self) -> None:
        """Every complete node, then proofs, which are made of them."""
        size = len(self.leaves)
        assert self.history.size == size
        for level, row in enumerate(plain_levels(self.leaves)):
            for index in range(len(row)) if size < 2_000 else {0, len(row) // 3, len(row) - 2, len(row) - 1} - {-1}:
                assert self.history.node(level, index) == row[index], (level, index, size)
        root = self.history.frontier.root(SHA256)
        for index in {0, size // 2, size - 1}:
            verify_inclusion(SHA256, self.leaves[index], index, size,
                             inclusion_path(SHA256, self.history.node, index, size), root)
        first = max(size - 300, 1)
        verify_consistency(SHA256, first, size, consistency_path(SHA256, self.history.node, first, size),
                           plain_root(self.leaves[:first]), root)


def plain_root(leaves: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, bottom up: a last one without a partner goes up as it is."""
    row = leaves
    while len(row) > 1:
        row = [hashlib.sha256(b"\x01" + row[at] + row[at + 1]).digest() if at + 1 < len(row) else row[at]
               for at in range(0, len(row), 2)]
    return row[0]


@pytest.mark.parametrize("step", [1, 7, 100, 255, 256, 257, 1_000])
def test_every_node_is_found_again_across_the_first_tiles(tmp_path: Path, step: int) -> None:
    log = Log(tmp_path, 256)
    for to in [*range(step, 1_100, step), 1_101]:
        log.grow(to)
        if to % 256 in (0, 1, 255) or to in (2, 3, 100, 700, 1_101):
            log.check_all()
            log.reopen()
            log.check_all()
    log.store.close()


def test_every_node_is_found_again_where_the_second_level_of_tiles_fills(tmp_path: Path) -> None:
    log = Log(tmp_path, 256)
    for to in (65_279, 65_280, 65_281, 65_535, 65_536, 65_537, 65_791, 65_792, 66_000):
        log.grow(to)
        log.check_all()
        log.reopen()
        log.check_all()
    assert len(log.store.need(tile_key(1, 0))) == 256 * 32
    log.store.close()


@pytest.mark.parametrize("steps", [(1,), (3, 64, 1), (5, 250)], ids=str)
def test_every_node_is_found_again_through_five_levels_of_small_tiles(
        tmp_path: Path, steps: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "TILE", 4)
    monkeypatch.setattr(history_module, "TILE_LEVELS", 2)
    log = Log(tmp_path, 4)
    to = turn = 0
    while to < 1_100:
        to += steps[turn % len(steps)]
        turn += 1
        log.grow(to)
        if to in (1, 4, 5, 16, 17, 63, 64, 65, 255, 256, 257, 1_023, 1_024, 1_025) or turn % 13 == 0:
            log.reopen()
            log.check_all()
    log.store.close()


def test_a_full_tile_is_written_once_and_holds_its_256_hashes(tmp_path: Path) -> None:
    log = Log(tmp_path, 256)
    for to in (200, 700, 1_024):
        log.grow(to)
    tiles = dict(log.store.scan(b"h"))
    assert list(tiles) == [tile_key(0, index) for index in range(4)]
    assert b"".join(tiles.values()) == b"".join(log.leaves)
    log.store.close()
