"""The sparse Merkle state tree (`base/sparse.py`) on disk, updated once a block.

Leaves lie in *buckets*: rows of the store with all entries (path, row hash) under one prefix of the path, ascending.
With N buckets and L = floor(log2 N) each prefix of L bits is a bucket, but the first N - 2^L of them are split into two
of L + 1 bits. Always the next one is split, so that a bucket holds `BUCKET_LEAVES` on average; none is ever joined. A
bucket's key is its prefix with zeros up to 32 bits: keys ascend with paths, and a split overwrites the left half and
adds the right one. An empty bucket has no row.

All hashes from the buckets up stand in memory as a heap: the root is node 1, the children of node n are 2n and 2n + 1,
the buckets are exactly the nodes N to 2N - 1, and splitting bucket N adds two nodes at the end. Beside each hash stands
how many leaves are below it: none, one (whose hash stands in for the subtree) or many. The heap is kept in a snapshot
file and a journal, one row a block with the hash of each bucket touched: so a start reads no buckets, and a lost or
damaged snapshot costs one reading of them all.

Nothing of this reaches the root, which depends on the set of leaves alone.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from struct import Struct as Packed

from xinglin import failpoint
from xinglin.base.check import Failed, InvariantBroken, ProofInvalid, invariant
from xinglin.base.crypto import HashSuite
from xinglin.base.limits import TREE_BUCKETS_MAX, TREE_JOURNAL_ENTRIES_MIN
from xinglin.base.sparse import (
    EMPTY,
    ENTRY_BYTES,
    LEAF_TAG,
    NODE_TAG,
    StateProof,
    bit_of,
    proof_from,
    siblings_below,
    subtree_root,
    verify_absence,
    verify_presence,
)
from xinglin.engine import tree_snapshot
from xinglin.engine.codes import EngineCode
from xinglin.engine.store import BUCKETS, JOURNAL, Batch, Store

SPLIT_AT_ONCE = 64      # neighbours are read together, for a quarter of what each alone takes
BUCKET_LEAVES = 2       # measured: fewer cost more rows, more cost more hashes of what did not change
SNAPSHOT_NAME = "tree.snapshot"
NONE, LONE, MANY = range(3)
PREFIX_BITS = 32
BUCKET_KEY_BASE = BUCKETS[0] - 1 << PREFIX_BITS
CHILDREN = Packed("64s")
OWN = Packed("32s")
JOURNAL_HEAD = Packed(">qIQ32s")    # height of the row before or -1, buckets, leaves, root
WHOLE_ROWS = [Packed("64s" * count).unpack for count in range(9)]     # of a bucket
JOURNAL_ENTRY = Packed(">I32s")     # node << 2 | occupancy, hash

Bucket = tuple[Sequence[bytes], Sequence[bytes]]    # entries, and their leaf hashes in step
Opened = tuple[Sequence[bytes], Sequence[bytes], bool]      # the same, and whether the store has it so


class Heap:
    """Hash and occupancy of every node from the buckets up; 33 bytes a node."""

    def __init__(self, digest: Callable[[bytes], bytes], buckets: int = 1):
        self.digest = digest
        self.buckets = buckets
        self.hashes = bytearray(64 * buckets)
        self.occupied = bytearray(2 * buckets)

    @property
    def root(self) -> bytes:
        return self.hash_of(1)

    def hash_of(self, node: int) -> bytes:
        return bytes(self.hashes[32 * node : 32 * node + 32])

    def grow(self, buckets: int) -> None:
        more = buckets - self.buckets
        self.hashes += bytes(64 * more)
        self.occupied += bytes(2 * more)
        self.buckets = buckets

    def put(self, node: int, root: bytes, occupancy: int) -> None:
        OWN.pack_into(self.hashes, 32 * node, root)
        self.occupied[node] = occupancy

    def hash_above(self, changed: Iterable[int], *, removed: bool) -> None:
        """Hash every node above the changed buckets once; `removed` when leaves may have become fewer."""
        depth = self.buckets.bit_length() - 1
        deeper = {node >> 1 for node in changed if node >= 2 << depth}
        self._climb([(node, node) for node in deeper], removed)
        # From each to below where it meets the next one, which is where that one is not done yet.
        ascending = sorted(deeper.union([node for node in changed if node < 2 << depth]))
        self._climb([(node >> 1, node >> (node ^ following).bit_length() - 1)
                     for node, following in pairwise([*ascending, 0])], removed)

    def hash_all(self) -> None:
        self._climb([(node, node) for node in range(self.buckets - 1, 0, -1)], True)

    def _climb(self, ways: Iterable[tuple[int, int]], removed: bool) -> None:
        """Hash from a node up to an ancestor of it, both included; nothing where that one lies below."""
        # The hottest loop of the ledger: some 18 turns a key at 10^6 keys.
        # Packed calls make no slices: a twelfth less time.
        digest, occupied = self.digest, self.occupied
        hashes, pair, put = self.hashes, CHILDREN.unpack_from, OWN.pack_into
        for node, last in ways:
            while node >= last and (removed or occupied[node] != MANY):
                at = node << 5      # of its own hash; its children's two stand together at twice that
                left, right = occupied[2 * node], occupied[2 * node + 1]
                if left + right < MANY:
                    occupied[node] = left + right
                    lone = 2 * at if left else 2 * at + 32      # both are EMPTY when neither is occupied
                    hashes[at : at + 32] = hashes[lone : lone + 32]
                else:
                    occupied[node] = MANY
                    put(hashes, at, digest(NODE_TAG + pair(hashes, 2 * at)[0]))
                node >>= 1
            at = node << 6
            while node >= last:     # many, as everything above it
                root = digest(NODE_TAG + pair(hashes, at)[0])
                put(hashes, at >> 1, root)
                node >>= 1
                at = node << 6


def bucket_at(buckets: int, prefix: int) -> int:
    """The bucket for a path that begins with the 32 bits `prefix`."""
    shift = PREFIX_BITS + 1 - buckets.bit_length()
    node = (1 << PREFIX_BITS | prefix) >> shift
    return node if node >= buckets else (1 << PREFIX_BITS | prefix) >> (shift - 1)


def bucket_key(node: int) -> bytes:
    """The family, then the prefix as 32 bits; node - 2^depth is the prefix, so its highest bit must go."""
    return ((node << PREFIX_BITS + 1 - node.bit_length()) + BUCKET_KEY_BASE).to_bytes(5, "big")


def prefix_of(node: int) -> int:
    depth = node.bit_length() - 1
    return (node << (PREFIX_BITS - depth)) - (1 << PREFIX_BITS)


def journal_key(height: int) -> bytes:
    return JOURNAL + height.to_bytes(8, "big")


class StateTree:
    def __init__(self, store: Store, hashes: HashSuite, folder: Path):
        self.count = 0                  # leaves
        self.root = EMPTY
        self._store = store
        self._hashes = hashes
        self._file = folder / SNAPSHOT_NAME
        self._heap = Heap(hashes.digest)
        self._height = -1               # of the last update
        self._journaled = 0             # entries since the snapshot
        self._touched: Collection[int] = ()     # buckets that the last update rewrote
        self._kept: dict[int, Bucket] = {}      # of them those that the one before had rewritten too

    @classmethod
    def open(cls, store: Store, hashes: HashSuite, folder: Path) -> "StateTree":
        """The tree as of the last update that the store holds.

        Errors  Failed STORE_CORRUPT when snapshot and buckets both fail to lead to that update's root.
        """
        tree = cls(store, hashes, folder)
        buckets = tree._stand_at_the_last_update()
        if buckets and not tree._load(buckets):
            tree._rebuild(buckets)
        return tree

    @classmethod
    def starts_fast(cls, store: Store, hashes: HashSuite, folder: Path) -> bool:
        """Whether `open` finds a snapshot that leads to the tip, or would read every bucket."""
        tree = cls(store, hashes, folder)
        buckets = tree._stand_at_the_last_update()
        return not buckets or tree._load(buckets)

    def _stand_at_the_last_update(self) -> int:
        """The number of buckets then; 0 when there was none."""
        for key, row in self._store.scan(JOURNAL, limit=1, reverse=True):
            _, buckets, self.count, self.root = JOURNAL_HEAD.unpack_from(row)
            self._height = int.from_bytes(key[1:], "big")
            return int(buckets)
        return 0

    def update(
        self, changes: Sequence[tuple[bytes, bytes | None]], batch: Batch, height: int
    ) -> bytes:
        """Put (path, row hash) pairs, None to delete, and return the new root; the last pair of a path counts.

        Bucket and journal rows go into `batch`, which must be written before the next call. On an error nothing
        here has changed and the batch is to be dropped.

        Errors  Failed STORE_CORRUPT when a bucket is not what the tree says.
        """
        invariant(height > self._height, "heights of updates ascend")
        if self._journaled >= max(TREE_JOURNAL_ENTRIES_MIN, self._heap.buckets // 4):
            self.snapshot()
        latest = dict(changes)
        nodes, opened, buckets = self._split_until(self._buckets_for(self.count + len(latest)))

        digest, kept = self._hashes.digest, self._kept
        rewritten: dict[int, Bucket] = {}
        count, removed = self.count, False
        for node, in_bucket in _by_bucket(latest, buckets).items():
            if node in opened:
                before, hashed, _ = opened.pop(node)
            else:
                before, hashed = kept[node] if node in kept else self._read(node)
            entries, leaves, fewer = _applied(digest, before, hashed, in_bucket)
            removed |= fewer
            root = subtree_root(digest, entries, leaves, node.bit_length() - 1)
            nodes[node] = root, min(len(entries), MANY)
            rewritten[node] = entries, leaves
            count += len(entries) - len(before)
            _put_bucket(batch, node, entries)
        for node, (half, _, stands) in opened.items():
            if not stands:
                _put_bucket(batch, node, half)

        self._kept = {node: rewritten[node] for node in rewritten.keys() & self._touched}
        self._touched = rewritten.keys()
        heap = self._heap
        heap.grow(buckets)
        entry, touched = JOURNAL_ENTRY.pack, []
        for node, (root, occupancy) in nodes.items():
            heap.put(node, root, occupancy)
            if node >= buckets:     # else split twice in this block: no bucket any more
                touched.append(entry(node << 2 | occupancy, root))
        heap.hash_above(rewritten, removed=removed)
        self.root, self.count = heap.root, count
        batch.put(journal_key(height), JOURNAL_HEAD.pack(self._height, buckets, count, self.root) + b"".join(touched))
        self._height = height
        self._journaled += len(touched)
        return self.root

    def _buckets_for(self, leaves: int) -> int:
        """How many buckets to have for so many leaves: more only when a whole read of them is due for splitting."""
        now = self._heap.buckets
        wanted = min(-(-leaves // BUCKET_LEAVES), TREE_BUCKETS_MAX)
        return wanted if wanted - now >= min(SPLIT_AT_ONCE, now // 16) else now

    def _split_until(
        self, wanted: int
    ) -> tuple[dict[int, tuple[bytes, int]], dict[int, Opened], int]:
        """Split buckets until there are `wanted`: hashes of the new nodes, the new buckets, how many there are now.

        The heap is left alone. What stands above a bucket does not change when it is split.
        """
        nodes: dict[int, tuple[bytes, int]] = {}
        opened: dict[int, Opened] = {}
        buckets = self._heap.buckets
        while buckets < wanted:
            # Neighbours lie together up to the last one of their depth.
            end = min(wanted, buckets + SPLIT_AT_ONCE, 1 << buckets.bit_length())
            rows = dict(self._store.scan(BUCKETS, bucket_key(buckets)[1:], end - buckets))
            for node in range(buckets, end):
                self._split(node, rows, nodes, opened)
            buckets = end
        return nodes, opened, buckets

    def _split(
        self, node: int, rows: dict[bytes, bytes], nodes: dict[int, tuple[bytes, int]], opened: dict[int, Opened]
    ) -> None:
        """Split one bucket, which is in `opened` or else in `rows`, into two of `opened`."""
        digest, left = self._hashes.digest, 2 * node
        before = opened.pop(node, None)
        entries, leaves, stands = before or (*self._decoded(rows.get(bucket_key(node), b"")), True)
        depth = left.bit_length() - 1
        middle = bisect_left(entries, prefix_of(left + 1).to_bytes(4, "big"))
        left_root = subtree_root(digest, entries[:middle], leaves[:middle], depth)
        right_root = subtree_root(digest, entries[middle:], leaves[middle:], depth)
        if before is None:
            self._check(node, digest(NODE_TAG + left_root + right_root) if len(leaves) > 1
                        else leaves[0] if leaves else EMPTY)
        nodes[left] = left_root, min(middle, MANY)
        nodes[left + 1] = right_root, min(len(entries) - middle, MANY)
        all_left = middle == len(entries)       # so the row stays what it is, and there is none to the right
        opened[left] = entries[:middle], leaves[:middle], stands and all_left
        opened[left + 1] = entries[middle:], leaves[middle:], all_left

    def _read(self, node: int) -> Bucket:
        """A bucket's content, checked against the heap."""
        if not self._heap.occupied[node]:
            return (), ()
        entries, leaves = self._decoded(self._store.get(bucket_key(node)) or b"")
        self._check(node, subtree_root(self._hashes.digest, entries, leaves, node.bit_length() - 1))
        return entries, leaves

    def _decoded(self, row: bytes) -> Bucket:
        digest = self._hashes.digest
        entries = _entries(row)
        return entries, [digest(LEAF_TAG + entry) for entry in entries]

    def _check(self, node: int, root: bytes) -> None:
        if root != self._heap.hashes[32 * node : 32 * node + 32]:
            raise Failed(EngineCode.STORE_CORRUPT, f"tree bucket {prefix_of(node):08x} has another hash")

    def holds(self, path: bytes, row_hash: bytes) -> bool:
        """Whether this leaf stands in the tree, read from its bucket. Errors  Failed STORE_CORRUPT."""
        entries, _ = self._read(bucket_at(self._heap.buckets, int.from_bytes(path[:4], "big")))
        return path + row_hash in entries

    def prove(self, path: bytes) -> StateProof:
        """Proof of presence or absence under `root`, checked before it leaves.

        Errors  Failed STORE_CORRUPT.
        """
        self._check_written()
        heap = self._heap
        siblings: list[bytes] = []
        end: bytes | None = None
        node = 1
        while node < heap.buckets and heap.occupied[node] == MANY:
            node = 2 * node + bit_of(path, len(siblings))
            siblings.append(heap.hash_of(node ^ 1))
        while node < heap.buckets and heap.occupied[node] == LONE:
            node = 2 * node if heap.occupied[2 * node] else 2 * node + 1
        if heap.occupied[node] != NONE:
            below, end = siblings_below(
                self._hashes.digest, *self._read(node), path, node.bit_length() - 1
            )
            siblings += below
        proof = proof_from(siblings, end, path)
        try:
            if end is not None and proof.other is None:
                verify_presence(self._hashes, self.root, path, end[32:], proof)
            else:
                verify_absence(self._hashes, self.root, path, proof)
        except ProofInvalid as error:
            raise Failed(EngineCode.STORE_CORRUPT, "the state tree does not lead to its root") from error
        return proof

    # -- snapshot and journal

    def snapshot(self) -> None:
        """Keep the heap in a file, so that the journal up to here is not needed; syncs the store first.

        Errors  Failed DISK_FULL, STORE_NOT_USABLE; an older snapshot, if any, stays.
        """
        if self._height < 0:
            return
        self._check_written()
        self._store.sync()      # a snapshot must never be ahead of the store
        header = tree_snapshot.Header(
            suite=self._hashes.name, height=self._height, buckets=self._heap.buckets
        )
        tree_snapshot.write(
            self._file, self._hashes, header, self._heap.hashes, self._heap.occupied
        )
        failpoint.hit("journal.cut")
        batch = self._store.batch()
        for key, _ in self._store.scan(JOURNAL):
            if key < journal_key(self._height):
                batch.delete(key)
        self._store.write(batch)
        self._journaled = 0

    def _check_written(self) -> None:
        written = self._height < 0 or self._store.get(journal_key(self._height)) is not None
        invariant(written, "the batch of the last update is written")

    def _load(self, buckets: int) -> bool:
        """Take snapshot and journal; False when they do not lead to `root`."""
        found = tree_snapshot.read(self._file, self._hashes)
        if found is None:
            return False
        header, heap_hashes, occupied = found
        if header.height > self._height or header.buckets > buckets:
            return False
        heap = Heap(self._hashes.digest, 0)
        heap.hashes, heap.occupied, heap.buckets = heap_hashes, occupied, header.buckets
        heap.grow(buckets)
        changed: set[int] = set()
        before, journaled = header.height, 0
        for key, row in self._store.scan(JOURNAL, start=journal_key(before + 1)[1:]):
            if JOURNAL_HEAD.unpack_from(row)[0] != before:
                return False        # a row is missing: the snapshot is older than the journal reaches
            before = int.from_bytes(key[1:], "big")
            for word, root in JOURNAL_ENTRY.iter_unpack(row[JOURNAL_HEAD.size :]):
                journaled += 1
                if word >> 2 >= buckets:    # else split since, and above its own halves
                    heap.put(word >> 2, root, word & 3)
                    changed.add(word >> 2)
        heap.hash_above(changed, removed=True)
        if heap.root != self.root:
            return False
        self._heap, self._journaled = heap, journaled
        return True

    def _rebuild(self, buckets: int) -> None:
        """Hash every bucket of the store anew."""
        digest = self._hashes.digest
        heap = Heap(digest, buckets)
        count = 0
        for key, row in self._store.scan(BUCKETS):
            node = bucket_at(buckets, int.from_bytes(key[1:], "big"))
            entries = _entries(row)
            leaves = [digest(LEAF_TAG + entry) for entry in entries]
            root = subtree_root(digest, entries, leaves, node.bit_length() - 1)
            heap.put(node, root, min(len(entries), MANY))
            count += len(entries)
        heap.hash_all()
        if heap.root != self.root or count != self.count:
            raise Failed(EngineCode.STORE_CORRUPT, "the tree buckets do not lead to the last root")
        self._heap = heap
        self._journaled = max(TREE_JOURNAL_ENTRIES_MIN, buckets)    # the next update writes a snapshot


def _applied(
    digest: Callable[[bytes], bytes], before: Sequence[bytes], hashed: Sequence[bytes],
    changes: list[tuple[bytes, bytes | None]],
) -> tuple[list[bytes], list[bytes], bool]:
    """A bucket's content after these changes, and whether a leaf was removed."""
    entries, leaves, removed = list(before), list(hashed), False
    for path, row_hash in changes:
        if len(path) != 32 or row_hash is not None and len(row_hash) != 32:
            raise InvariantBroken("paths and row hashes have 32 bytes")
        at = bisect_left(entries, path)
        present = at < len(entries) and entries[at].startswith(path)
        if row_hash is None:
            if present:
                del entries[at], leaves[at]
                removed = True
            continue
        entry = path + row_hash
        if present:
            entries[at], leaves[at] = entry, digest(LEAF_TAG + entry)
        else:
            entries.insert(at, entry)
            leaves.insert(at, digest(LEAF_TAG + entry))
    return entries, leaves, removed


def _entries(row: bytes) -> Sequence[bytes]:
    count, rest = divmod(len(row), ENTRY_BYTES)
    if rest or count >= len(WHOLE_ROWS):
        return [row[at : at + ENTRY_BYTES] for at in range(0, len(row), ENTRY_BYTES)]
    return WHOLE_ROWS[count](row)       # the usual one, in half the time


def _by_bucket(
    changes: dict[bytes, bytes | None], buckets: int
) -> dict[int, list[tuple[bytes, bytes | None]]]:
    shift = PREFIX_BITS + 1 - buckets.bit_length()
    found: dict[int, list[tuple[bytes, bytes | None]]] = {}
    for change in changes.items():
        prefix = 1 << PREFIX_BITS | int.from_bytes(change[0][:4], "big")
        node = prefix >> shift
        if node < buckets:
            node = prefix >> (shift - 1)
        if node in found:
            found[node].append(change)
        else:
            found[node] = [change]
    return found


def _put_bucket(batch: Batch, node: int, entries: Sequence[bytes]) -> None:
    if entries:
        batch.put(bucket_key(node), b"".join(entries))
    else:
        batch.delete(bucket_key(node))
