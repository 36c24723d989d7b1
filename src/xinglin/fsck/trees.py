"""Both trees once more, in the plainest form that is fast enough: what the writer's are compared with.

Source  docs/spec/history.md, docs/spec/state-tree.md
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from xinglin.fsck.formats import HASH_BYTES, TILE

Digest = Callable[[bytes], bytes]

EMPTY = bytes(HASH_BYTES)


class HistoryTree:
    """RFC 6962 by its complete subtrees, and the tiles that its leaves fill."""

    def __init__(self, digest: Digest):
        self._digest = digest
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []       # (leaves below, root), largest first
        self._rows: list[list[bytes]] = [[]]            # per tile level: hashes since the last full tile
        self._filled: list[int] = [0]                   # full tiles of each level

    def add(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Append a leaf; (level, index, hashes) of every tile that it fills."""
        leaf = self._digest(b"\x00" + data)
        self.size += 1
        peak = (1, leaf)
        while self._peaks and self._peaks[-1][0] == peak[0]:
            width, left = self._peaks.pop()
            peak = (2 * width, self._digest(b"\x01" + left + peak[1]))
        self._peaks.append(peak)
        return self._into_tiles(leaf)

    def _into_tiles(self, found: bytes) -> Iterator[tuple[int, int, bytes]]:
        level = 0
        while True:
            row = self._rows[level]
            row.append(found)
            if len(row) < TILE:
                return
            yield level, self._filled[level], b"".join(row)
            found = self._root_of_tile(row)
            self._rows[level] = []
            self._filled[level] += 1
            level += 1
            if level == len(self._rows):
                self._rows.append([])
                self._filled.append(0)

    def _root_of_tile(self, row: Sequence[bytes]) -> bytes:
        while len(row) > 1:
            row = [self._digest(b"\x01" + row[at] + row[at + 1]) for at in range(0, len(row), 2)]
        return row[0]

    def has_tile(self, level: int, index: int) -> bool:
        return level < len(self._filled) and index < self._filled[level]

    @property
    def peaks(self) -> tuple[bytes, ...]:
        return tuple([root for _, root in self._peaks])

    def root(self) -> bytes:
        if not self._peaks:
            return self._digest(b"")
        root = self._peaks[-1][1]
        for _, left in self._peaks[-2::-1]:
            root = self._digest(b"\x01" + left + root)
        return root


Subtree = tuple[int, bytes]        # leaves below, hash; a lone leaf's own hash, wherever it stands


def join(digest: Digest, left: Subtree, right: Subtree) -> Subtree:
    """The parent of two subtrees; one that has a single leaf, or none, is passed up as it is."""
    leaves = left[0] + right[0]
    if leaves < 2:
        return left if left[0] else right
    return leaves, digest(b"\x04" + left[1] + right[1])


def subtree(digest: Digest, entries: Sequence[bytes], low: int, high: int, depth: int) -> Subtree:
    """Of the ascending `entries` from `low` to `high`, whose first `depth` bits agree. Each is path, row hash."""
    if high - low < 2:
        return (1, digest(b"\x03" + entries[low])) if low < high else (0, EMPTY)
    bit = 255 - depth
    number = int.from_bytes(entries[low][:HASH_BYTES], "big") >> bit
    middle = bisect_left(entries, ((number | 1) << bit).to_bytes(HASH_BYTES, "big"), low, high)
    return join(digest, subtree(digest, entries, low, middle, depth + 1),
                subtree(digest, entries, middle, high, depth + 1))


def joined(digest: Digest, parts: Sequence[Subtree]) -> Subtree:
    """The whole tree of 2^n neighbouring parts."""
    while len(parts) > 1:
        parts = [join(digest, parts[at], parts[at + 1]) for at in range(0, len(parts), 2)]
    return parts[0]
