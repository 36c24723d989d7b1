"""The history tree: RFC 6962 and RFC 9162 over a hash suite, with proofs built once a block.

  leaf = H(0x00, data)    node = H(0x01, left, right)    root of no leaves = H()

A tree of n leaves is kept as its frontier: the roots of its largest complete subtrees, one for each bit set in n.
A leaf or path below is 32 bytes; `tree_root` and its like take entries and hash them into leaves themselves.

Source  RFC 9162 2.1; tests/golden/vectors/history.json
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import BaseCode, ProofInvalid, require
from xinglin.base.crypto import HashSuite
from xinglin.base.ids import Hash
from xinglin.base.units import U63

HASH_BYTES = 32
LEVELS_MAX = 63  # sizes are U63

Node = Callable[[int, int], bytes]  # (level, index) of a stored, complete subtree -> its root


def leaf_hash(hashes: HashSuite, data: bytes) -> Hash:
    return hashes.digest(b"\x00" + data)


def node_hash(hashes: HashSuite, left: bytes, right: bytes) -> Hash:
    return hashes.digest(b"\x01" + left + right)


# -- verifying


def verify_inclusion(
    hashes: HashSuite, leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Return only if `leaf` is number `index` of the tree of `size` leaves under `root`.

    Errors  ProofInvalid.
    Source  RFC 9162 2.1.3.2
    """
    if len(root) != HASH_BYTES or inclusion_root(hashes, leaf, index, size, path) != root:
        raise ProofInvalid("another root")


def inclusion_root(hashes: HashSuite, leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> Hash:
    """The root to which the path leads from `leaf`, number `index` of a tree of `size` leaves.

    Errors  ProofInvalid when no path of such a tree has this form.
    """
    if not 0 <= index < size:
        raise ProofInvalid("no such leaf in a tree of this size")
    if len(leaf) != HASH_BYTES or any([len(step) != HASH_BYTES for step in path]):
        raise ProofInvalid("a leaf and each step of a path have 32 bytes")
    digest = hashes.digest
    at, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofInvalid("path too long")
        if at & 1 or at == last:
            found = digest(b"\x01" + sibling + found)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            found = digest(b"\x01" + found + sibling)
        at >>= 1
        last >>= 1
    if last:
        raise ProofInvalid("path too short")
    return found


def verify_consistency(
    hashes: HashSuite, old_size: int, new_size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Return only if the first `old_size` leaves under `new_root` are those under `old_root`.

    Every tree extends the empty one, so from size 0 the path is empty and only `old_root` is checked.

    Errors  ProofInvalid.
    Source  RFC 9162 2.1.4.2
    """
    if not 0 <= old_size <= new_size:
        raise ProofInvalid("the newer tree is smaller")
    if old_size in (0, new_size):
        if path or old_root != (new_root if old_size else hashes.digest(b"")):
            raise ProofInvalid("nothing was to be proved, and it is not so")
        if new_size == 0 and new_root != old_root:
            raise ProofInvalid("another root")
        return
    _check_lengths(old_root, new_root, path)

    digest = hashes.digest
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at >>= 1
        last >>= 1
    # A complete old tree is its own first subtree, and the path leaves it out.
    steps = iter(path if at else (old_root, *path))
    old = new = next(steps, b"")
    for sibling in steps:
        if last == 0:
            raise ProofInvalid("path too long")
        if at & 1 or at == last:
            old = digest(b"\x01" + sibling + old)
            new = digest(b"\x01" + sibling + new)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            new = digest(b"\x01" + new + sibling)
        at >>= 1
        last >>= 1
    if last or old != old_root or new != new_root:
        raise ProofInvalid("path too short" if last else "another root")


def _check_lengths(first: bytes, second: bytes, path: Sequence[bytes]) -> None:
    # A node's input has no lengths in it: a leaf of 33 bytes beside a step of 31 would hash the same.
    if len(first) != HASH_BYTES or len(second) != HASH_BYTES:
        raise ProofInvalid("a leaf and a root have 32 bytes")
    for sibling in path:
        if len(sibling) != HASH_BYTES:
            raise ProofInvalid("a step of a path has 32 bytes")


# -- growing


class FrontierRow(codec.Struct):
    """A frontier as it is stored and as it travels in a snapshot."""

    size: U63
    peaks: Annotated[tuple[Hash, ...], Meta(max_length=LEVELS_MAX)]


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree of `size` leaves, by the roots of its complete subtrees, largest first."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def root(self, hashes: HashSuite) -> Hash:
        return _fold(hashes, self.peaks)

    def to_row(self) -> FrontierRow:
        return FrontierRow(size=self.size, peaks=self.peaks)

    @classmethod
    def from_row(cls, row: FrontierRow) -> "Frontier":
        """Errors  NotUnderstood when the peaks are not as many as the bits set in the size."""
        require(len(row.peaks) == row.size.bit_count(), BaseCode.BYTES_NOT_UNDERSTOOD, "peaks and size differ")
        return cls(row.size, row.peaks)


def _fold(hashes: HashSuite, peaks: Sequence[bytes]) -> Hash:
    if not peaks:
        return hashes.digest(b"")
    root = peaks[-1]
    for peak in peaks[-2::-1]:
        root = hashes.digest(b"\x01" + peak + root)
    return root


@dataclass(frozen=True, slots=True)
class Appended:
    """One block's leaves in their tree: numbers `first` to `size` - 1, with every path among them.

    `spread` holds the levels that have several nodes of the block, as (number of the first node, nodes), from the
    block's left neighbour to the tree's ragged right edge; above these all paths end alike, in `shared`.
    """

    first: int
    size: int
    root: Hash
    frontier: Frontier
    spread: list[tuple[int, list[bytes]]]
    shared: list[bytes]

    def path(self, index: int) -> list[bytes]:
        """Sibling hashes from leaf `index` of this block to `root`.

        Errors  ValueError when the leaf is not of this block.
        """
        if not self.first <= index < self.size:
            raise ValueError(f"leaf {index} is not among {self.first} to {self.size - 1}")
        path = []
        for base, row in self.spread:
            sibling = (index ^ 1) - base
            if sibling < len(row):
                path.append(row[sibling])
            index >>= 1
        return path + self.shared


def append(hashes: HashSuite, frontier: Frontier, leaves: Sequence[bytes]) -> Appended:
    """The tree of `frontier` with all leaf hashes of one block behind it, each new node hashed once."""
    first, size = frontier.size, frontier.size + len(leaves)
    if not leaves:
        return Appended(first, size, frontier.root(hashes), frontier, [], [])
    digest = hashes.digest
    left = list(frontier.peaks)  # the smallest is needed first, and stands last
    row, base, width, level = list(leaves), first, size, 0
    spread: list[tuple[int, list[bytes]]] = []
    shared: list[bytes] = []
    peaks: list[bytes] = []
    while width > 1:
        several = len(row) > 1
        if base & 1:
            neighbour = left.pop()
            row = [neighbour, *row]
            base -= 1
            if not several:
                shared.append(neighbour)
        if size >> level & 1:
            peaks.append(row[(size >> level) - 1 - base])
        if several:
            spread.append((base, row))
        pairs = iter(row)
        above = [digest(b"\x01" + one + two) for one, two in zip(pairs, pairs, strict=False)]
        if len(row) & 1:
            above.append(row[-1])  # without a sibling it stands in for its parent
        row, base, width, level = above, base >> 1, (width + 1) >> 1, level + 1
    root = row[0]
    if size >> level & 1:
        peaks.append(root)
    grown = Frontier(size, tuple(reversed(peaks)))
    return Appended(first, size, root, grown, spread, shared)


# -- proving from stored nodes


def root_of(hashes: HashSuite, node: Node, size: int) -> Hash:
    """The root of the first `size` leaves."""
    return _fold(hashes, [node(level, index) for level, index in _complete(0, size)])


def inclusion_path(hashes: HashSuite, node: Node, index: int, size: int) -> list[bytes]:
    """Sibling hashes from leaf `index` to the root of a tree of `size` leaves.

    `node` is asked for complete subtrees only, so it answers alike for every later size.

    Errors  ValueError when index is not below size.
    Source  RFC 9162 2.1.3.1
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    return _climb(hashes, node, 0, index, size)


def consistency_path(hashes: HashSuite, node: Node, old_size: int, new_size: int) -> list[bytes]:
    """What shows that the tree of `old_size` leaves is the start of the one of `new_size`.

    Errors  ValueError when the old tree is larger.
    Source  RFC 9162 2.1.4.1
    """
    if not 0 <= old_size <= new_size:
        raise ValueError(f"a tree of {old_size} does not grow into one of {new_size}")
    if old_size in (0, new_size):
        return []
    level = (old_size & -old_size).bit_length() - 1
    index = (old_size - 1) >> level
    first = [node(level, index)] if index else []  # a complete old tree the verifier knows: it is the old root
    return first + _climb(hashes, node, level, index, new_size)


def _climb(hashes: HashSuite, node: Node, level: int, index: int, size: int) -> list[bytes]:
    """Siblings from node (level, index) to the root of `size` leaves."""
    path = []
    width = ((size - 1) >> level) + 1
    while width > 1:
        sibling = index ^ 1
        if (sibling + 1) << level <= size:
            path.append(node(level, sibling))
        elif sibling < width:
            path.append(_fold(hashes, [node(*each) for each in _complete(sibling << level, size)]))
        index, width, level = index >> 1, (width + 1) >> 1, level + 1
    return path


def _complete(start: int, size: int) -> Iterator[tuple[int, int]]:
    """(level, index) of the complete subtrees that make up leaves `start` to `size` - 1, largest first.

    `start` is aligned: no subtree of the leaves behind it reaches across it.
    """
    while start < size:
        level = (size - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


# -- a tree in memory


def tree(hashes: HashSuite, entries: Sequence[bytes]) -> Appended:
    """The tree over `entries`, each hashed into a leaf: its `.root`, and `.path(index)` of every entry."""
    return append(hashes, Frontier(), [leaf_hash(hashes, entry) for entry in entries])


def tree_root(hashes: HashSuite, entries: Sequence[bytes]) -> Hash:
    return tree(hashes, entries).root


__all__ = [
    "Appended", "Frontier", "FrontierRow", "append", "consistency_path", "inclusion_path", "inclusion_root",
    "leaf_hash", "node_hash", "root_of", "tree", "tree_root", "verify_consistency", "verify_inclusion",
]
