"""A whole ledger in dictionaries: the kernel's `State` without an engine, for a block by hand.

Slow and plain on purpose: its state root comes from the reference in `base.sparse`, so whoever compares an
engine's roots with it compares with other code.
"""

from typing import Any, TypeVar

from xinglin.base import sparse
from xinglin.base.crypto import HashSuite
from xinglin.base.history import Appended, Frontier, append
from xinglin.kernel.executor import Applied, Executor
from xinglin.kernel.genesis import Manifest, hash_suite
from xinglin.kernel.module import ModuleSet, Row, Table
from xinglin.kernel.tx import Tx

R = TypeVar("R", bound=Row)


class MemoryLedger:
    """`apply` moves it one block on; rows, roots and outcomes lie open."""

    def __init__(self, manifest: Manifest, modules: ModuleSet):
        self.hashes: HashSuite = hash_suite(manifest)
        self.height, self.time_ms = -1, 0
        self.rows: dict[bytes, bytes] = {}
        self.leaves: dict[bytes, bytes] = {}          # path -> hash of row bytes
        self.state_root = sparse.EMPTY
        self.app_hash = bytes(32)
        self.frontier = Frontier()
        self._due: set[tuple[int, str, bytes]] = set()
        self._ids: dict[int, set[bytes]] = {}
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
            self._due.discard((before or 0, table, key))
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
        return [entry for entry in sorted(self._due) if entry[0] <= until_ms][:limit]

    def executed(self, minute: int, short_id: bytes) -> bool:
        return short_id in self._ids.get(minute, ())

    def replay_minutes(self) -> list[int]:
        return sorted(self._ids)

    def update_tree(self, changes: list[tuple[bytes, bytes | None]]) -> bytes:
        for path, row_hash in changes:
            if row_hash is None:
                self.leaves.pop(path, None)
            else:
                self.leaves[path] = row_hash
        return sparse.root_of(self.hashes, self.leaves)

    def append(self, leaf_hashes: list[bytes]) -> Appended:
        appended = append(self.hashes, self.frontier, leaf_hashes)
        self.frontier = appended.frontier
        return appended

    def all_rows(self, table: Table[Any]) -> dict[tuple[Any, ...], Any]:
        prefix = table.store_prefix
        return {table.decode_key(at[len(prefix):]): table.decode_row(data)
                for at, data in sorted(self.rows.items()) if at.startswith(prefix)}
