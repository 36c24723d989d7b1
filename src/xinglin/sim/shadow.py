"""Every block once more, from the bytes that the store kept, in dictionaries and over a state tree of its own."""

from typing import TypeVar

from xinglin.base import sparse
from xinglin.base.crypto import HashSuite
from xinglin.base.history import Appended, Frontier, append
from xinglin.kernel.executor import Applied, Executor
from xinglin.kernel.genesis import Manifest, hash_suite
from xinglin.kernel.module import ModuleSet, Row, Table
from xinglin.kernel.tx import Tx

R = TypeVar("R", bound=Row)

PARTS = 256                        # one for each first byte of a path
PART_DEPTH = 8


class Shadow:
    """The kernel's `State` without an engine. Its root comes from what changed: one of all leaves each time is slow."""

    def __init__(self, manifest: Manifest, modules: ModuleSet):
        self.hashes: HashSuite = hash_suite(manifest)
        self.height, self.time_ms = -1, 0
        self.rows: dict[bytes, bytes] = {}
        self.state_root, self.app_hash = sparse.EMPTY, bytes(32)
        self.frontier = Frontier()
        self._due: set[tuple[int, str, bytes]] = set()
        self._ids: dict[int, set[bytes]] = {}
        self._parts: list[dict[bytes, bytes]] = [{} for _ in range(PARTS)]           # path -> hash of row bytes
        self._roots: list[tuple[int, bytes]] = [(0, sparse.EMPTY)] * (2 * PARTS)     # leaves below, root; a heap
        self.executor = Executor(modules, manifest, manifest.module_set)
        self._keep(self.executor.found(self))

    def apply(self, time_ms: int, txs: list[Tx]) -> Applied:
        applied = self.executor.apply(self, self.height + 1, time_ms, txs)
        if applied.appended is not None:
            self._keep(applied)
        return applied

    def _keep(self, applied: Applied) -> None:
        for at, data in applied.rows:
            if data is None:
                self.rows.pop(at, None)
            else:
                self.rows[at] = data
        for table, key, before, after in applied.due:
            if before is not None:
                self._due.remove((before, table, key))
            if after is not None:
                self._due.add((after, table, key))
        for minute, ids in applied.replay.items():
            self._ids.setdefault(minute, set()).update(ids)
        for minute in applied.dropped:
            del self._ids[minute]
        self.height, self.time_ms = applied.height, applied.time_ms
        self.state_root, self.app_hash = applied.state_root, applied.app_hash

    # -- State

    def row(self, table: Table[R], key: bytes) -> R | None:
        data = self.rows.get(table.store_prefix + key)
        return None if data is None else table.decode_row(data)

    def due(self, until_ms: int, limit: int) -> list[tuple[int, str, bytes]]:
        return sorted(entry for entry in self._due if entry[0] <= until_ms)[:limit]

    def executed(self, minute: int, short_id: bytes) -> bool:
        return short_id in self._ids.get(minute, ())

    def replay_minutes(self) -> list[int]:
        return sorted(self._ids)

    def append(self, leaf_hashes: list[bytes]) -> Appended:
        appended = append(self.hashes, self.frontier, leaf_hashes)
        self.frontier = appended.frontier
        return appended

    def update_tree(self, changes: list[tuple[bytes, bytes | None]]) -> bytes:
        for path, row_hash in changes:
            if row_hash is None:
                self._parts[path[0]].pop(path, None)
            else:
                self._parts[path[0]][path] = row_hash
        for first in {path[0]: None for path, _ in changes}:
            self._lift(first)
        return self._roots[1][1]

    def _lift(self, first: int) -> None:
        """The root of one part, and of all above it. A lone leaf stands for every subtree that it is alone in."""
        digest = self.hashes.digest
        entries = sorted(path + row_hash for path, row_hash in self._parts[first].items())
        leaves = [digest(sparse.LEAF_TAG + entry) for entry in entries]
        at = PARTS + first
        self._roots[at] = len(entries), sparse.subtree_root(digest, entries, leaves, PART_DEPTH)
        while at > 1:
            at //= 2
            (left, left_root), (right, right_root) = self._roots[2 * at], self._roots[2 * at + 1]
            if left + right > 1:
                root = digest(sparse.NODE_TAG + left_root + right_root)
            else:
                root = left_root if left else right_root
            self._roots[at] = left + right, root

    def reference_root(self) -> bytes:
        """The same over everything at once."""
        return sparse.root_of(self.hashes, {path: row_hash for part in self._parts for path, row_hash in part.items()})
