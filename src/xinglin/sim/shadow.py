"""Every block once more, from the bytes that the store kept, with a state tree of other code than the engine's."""

from xinglin.base import sparse
from xinglin.kernel.genesis import Manifest
from xinglin.kernel.memory import MemoryLedger
from xinglin.kernel.module import ModuleSet

PARTS = 256                        # one for each first byte of a path
PART_DEPTH = 8


class Shadow(MemoryLedger):
    """A MemoryLedger whose root comes from what changed alone: one of all leaves for each block is slow."""

    def __init__(self, manifest: Manifest, modules: ModuleSet):
        self._parts: list[dict[bytes, bytes]] = [{} for _ in range(PARTS)]
        self._roots: list[tuple[int, bytes]] = [(0, sparse.EMPTY)] * (2 * PARTS)     # leaves below, root; a heap
        super().__init__(manifest, modules)

    def update_tree(self, changes: list[tuple[bytes, bytes | None]]) -> bytes:
        for path, row_hash in changes:
            if row_hash is None:
                self._parts[path[0]].pop(path, None)
                self.leaves.pop(path, None)
            else:
                self._parts[path[0]][path] = self.leaves[path] = row_hash
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
        return sparse.root_of(self.hashes, self.leaves)
