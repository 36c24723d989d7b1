"""A whole ledger in dictionaries, for a block by hand: the simulation's shadow, with the reference for its root.

Slow and plain on purpose: its state root comes from the reference in `base.sparse`, so whoever compares an
engine's roots with it compares with other code.
"""

from typing import Any

from xinglin.base import sparse
from xinglin.kernel.genesis import Manifest
from xinglin.kernel.module import ModuleSet, Table
from xinglin.sim.shadow import Shadow


class MemoryLedger(Shadow):
    """`apply` moves it one block on; rows, roots and outcomes lie open."""

    def __init__(self, manifest: Manifest, modules: ModuleSet):
        self.leaves: dict[bytes, bytes] = {}          # path -> hash of row bytes
        super().__init__(manifest, modules)

    def update_tree(self, changes: list[tuple[bytes, bytes | None]]) -> bytes:
        for path, row_hash in changes:
            if row_hash is None:
                self.leaves.pop(path, None)
            else:
                self.leaves[path] = row_hash
        return sparse.root_of(self.hashes, self.leaves)

    def all_rows(self, table: Table[Any]) -> dict[tuple[Any, ...], Any]:
        prefix = table.store_prefix
        return {table.decode_key(at[len(prefix):]): table.decode_row(data)
                for at, data in sorted(self.rows.items()) if at.startswith(prefix)}
