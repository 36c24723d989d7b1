"""The sparse Merkle tree over all tables: paths, hashes, roots, proofs of presence and absence.

A path of 256 bits, read from its highest bit, leads from the root to a leaf. A subtree without leaves is EMPTY; a
subtree of one leaf is that leaf's hash, at whatever depth; any other is the hash of its two children. So the root
depends on the set of (path, row hash) alone, never on order or on how nodes are stored.

Here stands what a verifier needs, and the slow reference (`root_of`, `prove`) that builds nothing lasting; the
engine's tree keeps nodes and must agree with it. An *entry* is 64 bytes: path, then row hash.

Source  docs/spec/state-tree.md; tests/golden/vectors/sparse.json
"""

import functools
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from xinglin.base.check import BaseCode, ProofInvalid, invariant, require
from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite
from xinglin.base.ids import NO_HASH, Hash

EMPTY = NO_HASH
PATH_TAG = b"\x02"
LEAF_TAG = b"\x03"
NODE_TAG = b"\x04"
PATH_BITS = 256
ENTRY_BITS = 512
ENTRY_BYTES = 64


class StateProof(Struct):
    """What a verifier needs to fold a leaf, or its absence, into the root.

    `siblings` go from the root down to where the path meets EMPTY or a lone leaf; an empty one is EMPTY, the last
    one never beside a leaf. `other` is (path, row hash) of the lone leaf that shows absence, None in all other cases.
    """

    siblings: Annotated[tuple[Hash, ...], Meta(max_length=PATH_BITS)]
    other: tuple[Hash, Hash] | None


@functools.lru_cache(maxsize=256)   # bounded: a verifier is handed names by strangers
def _table_head(table: str) -> bytes:
    name = table.encode()
    require(len(name) < 2**8, BaseCode.BYTES_NOT_UNDERSTOOD, "table name over 255 bytes")
    return PATH_TAG + bytes((len(name),)) + name


def path_of(hashes: HashSuite, table: str, key: bytes) -> bytes:
    """Where the row (table, key) stands.

    Errors  NotUnderstood BYTES_NOT_UNDERSTOOD when a length does not fit its prefix.
    """
    require(len(key) < 2**16, BaseCode.BYTES_NOT_UNDERSTOOD, "key over 65,535 bytes")
    return hashes.digest(_table_head(table) + len(key).to_bytes(2, "big") + key)


def leaf_hash(hashes: HashSuite, path: bytes, row_hash: bytes) -> bytes:
    return hashes.digest(LEAF_TAG + path + row_hash)


def node_hash(hashes: HashSuite, left: bytes, right: bytes) -> bytes:
    return hashes.digest(NODE_TAG + left + right)


def subtree_root(
    digest: Callable[[bytes], bytes], entries: Sequence[bytes], leaves: Sequence[bytes], depth: int
) -> bytes:
    """Root of the subtree at `depth` that holds `entries` and nothing else.

    `entries` ascend and agree in their first `depth` bits; `leaves` are their leaf hashes, in step.
    """
    count = len(leaves)
    if count == 0:
        return EMPTY
    if count == 1:
        return leaves[0]
    before, value = int.from_bytes(entries[0], "big"), int.from_bytes(entries[1], "big")
    common = ENTRY_BITS - (before ^ value).bit_length()
    if count == 2:      # two and three are the usual cases of a bucket, without the stack
        root = digest(NODE_TAG + leaves[0] + leaves[1])
        return root if common == depth else _lift(digest, root, common, value, depth)
    if count == 3:
        return _root_of_three(digest, leaves, (before, value, int.from_bytes(entries[2], "big")), depth)

    # A stack of finished subtrees, left to right, and between neighbours the number of bits they share. A subtree
    # stands at a depth below which it is unchanged; a lone leaf stands anywhere, which depth 0 says.
    stack = [(leaves[0], 0, before), (leaves[1], 0, value)]
    shared = [common]
    for at in range(2, count):
        before, value = value, int.from_bytes(entries[at], "big")
        common = ENTRY_BITS - (before ^ value).bit_length()
        while shared and shared[-1] > common:
            _join(digest, stack, shared.pop())
        shared.append(common)
        stack.append((leaves[at], 0, value))
    while shared:
        _join(digest, stack, shared.pop())
    return _lift(digest, *stack[0], depth)


def _root_of_three(
    digest: Callable[[bytes], bytes], leaves: Sequence[bytes], values: tuple[int, int, int], depth: int
) -> bytes:
    first, second, third = values
    left, right = ENTRY_BITS - (first ^ second).bit_length(), ENTRY_BITS - (second ^ third).bit_length()
    if left > right:
        pair = digest(NODE_TAG + leaves[0] + leaves[1])
        if left > right + 1:
            pair = _lift(digest, pair, left, second, right + 1)
        root, at = digest(NODE_TAG + pair + leaves[2]), right
    else:
        pair = digest(NODE_TAG + leaves[1] + leaves[2])
        if right > left + 1:
            pair = _lift(digest, pair, right, second, left + 1)
        root, at = digest(NODE_TAG + leaves[0] + pair), left
    return root if at == depth else _lift(digest, root, at, second, depth)


def _join(
    digest: Callable[[bytes], bytes], stack: list[tuple[bytes, int, int]], depth: int
) -> None:
    """Replace the last two subtrees by their parent, which stands at `depth`."""
    right, right_at, right_value = stack.pop()
    left, left_at, value = stack.pop()
    if left_at > depth + 1:
        left = _lift(digest, left, left_at, value, depth + 1)
    if right_at > depth + 1:
        right = _lift(digest, right, right_at, right_value, depth + 1)
    stack.append((digest(NODE_TAG + left + right), depth, value))


def _lift(
    digest: Callable[[bytes], bytes], root: bytes, at: int, value: int, depth: int
) -> bytes:
    """A subtree's hash at depth `at` seen from `depth`: an empty sibling for each level between."""
    while at > depth:
        at -= 1
        if value >> (ENTRY_BITS - 1 - at) & 1:
            root = digest(NODE_TAG + EMPTY + root)
        else:
            root = digest(NODE_TAG + root + EMPTY)
    return root


def bit_of(path: bytes, depth: int) -> int:
    """The bit that says whether the path goes left (0) or right (1) below `depth`."""
    return path[depth >> 3] >> (7 - (depth & 7)) & 1


def siblings_below(
    digest: Callable[[bytes], bytes],
    entries: Sequence[bytes],
    leaves: Sequence[bytes],
    path: bytes,
    depth: int,
) -> tuple[list[bytes], bytes | None]:
    """Siblings from below `depth` to where `path` ends, and the lone entry there, if any."""
    siblings: list[bytes] = []
    low, high = 0, len(entries)
    number = int.from_bytes(path, "big")
    while high - low > 1:
        right_half = PATH_BITS - 1 - depth
        middle = bisect_left(
            entries, ((number >> right_half | 1) << right_half).to_bytes(32, "big"), low, high
        )
        depth += 1
        if number >> right_half & 1:
            siblings.append(subtree_root(digest, entries[low:middle], leaves[low:middle], depth))
            low = middle
        else:
            siblings.append(subtree_root(digest, entries[middle:high], leaves[middle:high], depth))
            high = middle
    return siblings, entries[low] if low < high else None


def proof_from(siblings: Sequence[bytes], end: bytes | None, path: bytes) -> StateProof:
    """The one form of a proof for `path`, which met the entry `end` or nothing."""
    other = (end[:32], end[32:]) if end is not None and end[:32] != path else None
    return StateProof(siblings=tuple(siblings), other=other)


def root_of(hashes: HashSuite, leaves: Mapping[bytes, bytes]) -> bytes:
    """Root over a whole mapping path -> row hash."""
    entries = _entries(leaves)
    return subtree_root(hashes.digest, entries, _leaf_hashes(hashes, entries), 0)


def prove(hashes: HashSuite, leaves: Mapping[bytes, bytes], path: bytes) -> StateProof:
    """Proof of presence when `path` is in `leaves`, else of absence."""
    entries = _entries(leaves)
    siblings, end = siblings_below(hashes.digest, entries, _leaf_hashes(hashes, entries), path, 0)
    return proof_from(siblings, end, path)


def _entries(leaves: Mapping[bytes, bytes]) -> list[bytes]:
    for path, row_hash in leaves.items():
        invariant(len(path) == len(row_hash) == 32, "paths and row hashes have 32 bytes")
    return sorted(path + row_hash for path, row_hash in leaves.items())


def _leaf_hashes(hashes: HashSuite, entries: Sequence[bytes]) -> list[bytes]:
    return [hashes.digest(LEAF_TAG + entry) for entry in entries]


def verify_presence(
    hashes: HashSuite, root: bytes, path: bytes, row_hash: bytes, proof: StateProof
) -> None:
    """The row with this hash stands at `path`.

    Errors  ProofInvalid.
    """
    if proof.other is not None:
        raise ProofInvalid("a proof of presence names another leaf")
    _verify(hashes, root, path, path + row_hash, proof)


def verify_absence(hashes: HashSuite, root: bytes, path: bytes, proof: StateProof) -> None:
    """No row stands at `path`: it meets an empty subtree, or one whose only leaf is another.

    Errors  ProofInvalid.
    """
    if proof.other is None:
        _verify(hashes, root, path, b"", proof)
        return
    if len(proof.other) != 2 or len(proof.other[0]) != 32:
        raise ProofInvalid("the other leaf is not a path and a row hash")
    other = proof.other[0]
    if other == path:
        raise ProofInvalid("the other leaf is the row itself")
    depth = len(proof.siblings)
    for at in range(min(depth, PATH_BITS)):
        if bit_of(other, at) != bit_of(path, at):
            raise ProofInvalid("the other leaf does not stand on the path")
    _verify(hashes, root, path, other + proof.other[1], proof)


def _verify(hashes: HashSuite, root: bytes, path: bytes, end: bytes, proof: StateProof) -> None:
    """Fold the entry `end`, or EMPTY for none, along `path` into `root`."""
    siblings = proof.siblings
    if len(root) != 32 or len(path) != 32 or len(end) not in (0, ENTRY_BYTES):
        raise ProofInvalid("root, path and row hash have 32 bytes")
    if len(siblings) > PATH_BITS or any(len(sibling) != 32 for sibling in siblings):
        raise ProofInvalid("not at most 256 siblings of 32 bytes")
    if siblings and siblings[-1] == EMPTY:
        raise ProofInvalid("the last sibling is empty: the leaf would stand higher")
    folded = hashes.digest(LEAF_TAG + end) if end else EMPTY
    for depth in range(len(siblings) - 1, -1, -1):
        if bit_of(path, depth):
            folded = node_hash(hashes, siblings[depth], folded)
        else:
            folded = node_hash(hashes, folded, siblings[depth])
    if folded != root:
        raise ProofInvalid("the proof does not lead to this root")
