"""The history tree on disk: full tiles of 256 hashes for ever, the ragged right edge in memory.

Tiles are those of C2SP tlog-tiles: tile n of level L holds the roots of 256 full tiles of level L-1. The
edge is rebuilt at start from the last blocks' leaves, so nothing is stored twice.
"""

from collections.abc import Iterable

from xinglin.base.crypto import HashSuite
from xinglin.base.history import Appended, Frontier, append, node_hash
from xinglin.engine.store import Batch, Store

TILE = 256
TILE_LEVELS = 8                    # 2 ** 8 hashes a tile


def tile_key(level: int, index: int) -> bytes:
    return b"h" + bytes([level]) + index.to_bytes(8, "big")


class History:
    """Appends leaves, keeps tiles, finds any complete node again."""

    def __init__(self, store: Store, hashes: HashSuite, frontier: Frontier):
        self._store = store
        self._hashes = hashes
        self.frontier = frontier
        self._tails: list[list[bytes]] = []     # per tile level: hashes since the last full tile
        self._full: dict[bytes, bytes] = {}     # tiles of the block under way, not yet readable

    @classmethod
    def open(cls, store: Store, hashes: HashSuite, frontier: Frontier, tail: Iterable[bytes]) -> "History":
        """`tail`: hashes of the leaves since the last full tile, oldest first."""
        history = cls(store, hashes, frontier)
        history._tails.append(list(tail))
        full = frontier.size // TILE
        level = 0
        while full:
            first = full - full % TILE
            history._tails.append([append(hashes, Frontier(), history._tile(level, index)).root
                                   for index in range(first, full)])
            full //= TILE
            level += 1
        return history

    @property
    def size(self) -> int:
        return self.frontier.size

    def append(self, leaf_hashes: list[bytes], batch: Batch) -> Appended:
        self._full.clear()
        appended = append(self._hashes, self.frontier, leaf_hashes)
        self.frontier = appended.frontier
        self._extend(0, appended.first, leaf_hashes, batch)
        return appended

    def _extend(self, level: int, first: int, hashes: list[bytes], batch: Batch) -> None:
        """Add hashes at the end of a level; each tile that fills gives one hash to the level above."""
        while hashes:
            if level == len(self._tails):
                self._tails.append([])
            tail = self._tails[level]
            index = (first - len(tail)) // TILE        # a tail begins at a tile
            tail.extend(hashes)
            above = []
            at = 0
            while len(tail) - at >= TILE:
                tile = tail[at:at + TILE]
                key, data = tile_key(level, index + at // TILE), b"".join(tile)
                batch.put(key, data)
                self._full[key] = data
                above.append(append(self._hashes, Frontier(), tile).root)
                at += TILE
            del tail[:at]
            first, hashes, level = index, above, level + 1

    def node(self, level: int, index: int) -> bytes:
        """The hash of the complete subtree of 2**level leaves that begins at leaf index * 2**level."""
        tile_level, within = divmod(level, TILE_LEVELS)
        start = index << within
        tile_index, offset = divmod(start, TILE)
        hashes = self._hashes_of(tile_level, tile_index)[offset:offset + (1 << within)]
        while len(hashes) > 1:
            hashes = [node_hash(self._hashes, hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
        return hashes[0]

    def tile(self, level: int, index: int, width: int) -> bytes:
        """The first `width` hashes of a tile, as C2SP serves them: full, or partial in a tree of an earlier size."""
        return b"".join(self._hashes_of(level, index)[:width])

    def _hashes_of(self, level: int, index: int) -> list[bytes]:
        tail = self._tails[level] if level < len(self._tails) else []
        if index == (self.frontier.size >> (TILE_LEVELS * level)) // TILE:
            return tail
        return self._tile(level, index)

    def _tile(self, level: int, index: int) -> list[bytes]:
        key = tile_key(level, index)
        data = self._full.get(key) or self._store.need(key)
        return [data[at:at + 32] for at in range(0, len(data), 32)]
