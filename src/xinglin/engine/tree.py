"""The sparse Merkle state tree (`base/sparse.py`) on disk, updated once a block.

Leaves lie in *buckets*: rows of the store with all entries (path, row hash) under one prefix of the path, ascending.
There are places for N of them, a power of two: one for each prefix of log2 N bits. N doubles when there are more than
3/2 N leaves; none are ever joined. Nothing moves then: a bucket from before covers all places below it until it is
touched, which reads it anyway, and only then is divided among them. A bucket's key is its prefix with zeros up to 32
bits: keys ascend with paths, and what a division leaves to the first place takes the key of the whole. An empty bucket
has no row.

All hashes from the places up stand in memory as a heap: the root is node 1, the children of node n are 2n and 2n + 1,
the places are the nodes N to 2N - 1. Beside each hash stands how many leaves are below it: none, one (whose hash
stands in for the subtree) or many; or that the node lies within a bucket above it. The heap is kept in a snapshot file
and a journal, one row a block with the hash of each bucket touched: so a start reads no buckets, and a lost or damaged
snapshot costs one reading of them all.

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
from xinglin.base.limits import TREE_JOURNAL_ENTRIES_MIN, TREE_PLACES_MAX
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

TWO_PLACES_LEAVES = 3   # measured: fewer cost memory and rows, more cost hashes of what did not change
SNAPSHOT_NAME = "tree.snapshot"
NONE, LONE, MANY, WITHIN = range(4)
PREFIX_BITS = 32
BUCKET_KEY_BASE = BUCKETS[0] - 1 << PREFIX_BITS
CHILDREN = Packed("64s")
OWN = Packed("32s")
JOURNAL_HEAD = Packed(">qIQ32s")    # height of the row before or -1, places, leaves, root
WHOLE_ROWS = [Packed("64s" * count).unpack for count in range(9)]     # of a bucket
JOURNAL_ENTRY = Packed(">I32s")     # node << 2 | occupancy, hash

Bucket = tuple[Sequence[bytes], Sequence[bytes]]    # entries, and their leaf hashes in step


class Heap:
    """Hash and occupancy of every node from the places up; 66 bytes a place."""

    def __init__(self, digest: Callable[[bytes], bytes], places: int = 1):
        self.digest = digest
        self.places = places
        self.hashes = bytearray(64 * places)
        self.occupied = bytearray(2 * places)

    @property
    def root(self) -> bytes:
        return self.hash_of(1)

    def hash_of(self, node: int) -> bytes:
        return bytes(self.hashes[32 * node : 32 * node + 32])

    def grow(self, places: int) -> None:
        """More places, all within the buckets that there are."""
        hashes = bytearray(64 * places)     # += would take an eighth more than is needed
        hashes[: len(self.hashes)] = self.hashes
        self.hashes = hashes
        self.occupied += bytes((WITHIN,)) * (2 * (places - self.places))
        self.places = places

    def bucket_of(self, place: int) -> int:
        """The bucket that a place is, or lies within."""
        while self.occupied[place] == WITHIN:
            place >>= 1
        return place

    def take(self, node: int) -> None:
        """Make a node the bucket of all places below it."""
        first, end = 2 * node, 2 * node + 2
        while first < 2 * self.places:
            self.occupied[first:end] = bytes((WITHIN,)) * (end - first)
            first, end = 2 * first, 2 * end

    def is_above_buckets(self, node: int) -> bool:
        return node < self.places and self.occupied[2 * node] != WITHIN

    def put(self, node: int, root: bytes, occupancy: int) -> None:
        OWN.pack_into(self.hashes, 32 * node, root)
        self.occupied[node] = occupancy

    def hash_above(self, changed: Iterable[int], *, removed: bool) -> None:
        """Hash every node above the changed places once; `removed` when leaves may have become fewer."""
        # From each to below where it meets the next one, which is where that one is not done yet.
        self._climb([(place >> 1, place >> (place ^ following).bit_length() - 1)
                     for place, following in pairwise([*sorted(changed), 0])], removed)

    def hash_all(self) -> None:
        self._climb(((node, node) for node in range(self.places - 1, 0, -1) if self.is_above_buckets(node)), True)

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
        places = tree._stand_at_the_last_update()
        if places and not tree._load(places):
            tree._rebuild(places)
        return tree

    @classmethod
    def starts_fast(cls, store: Store, hashes: HashSuite, folder: Path) -> bool:
        """Whether `open` finds a snapshot that leads to the tip, or would read every bucket."""
        tree = cls(store, hashes, folder)
        places = tree._stand_at_the_last_update()
        return not places or tree._load(places)

    def _stand_at_the_last_update(self) -> int:
        """The number of places then; 0 when there was none."""
        for key, row in self._store.scan(JOURNAL, limit=1, reverse=True):
            _, places, self.count, self.root = JOURNAL_HEAD.unpack_from(row)
            self._height = int.from_bytes(key[1:], "big")
            return int(places)
        return 0

    def update(
        self, changes: Sequence[tuple[bytes, bytes | None]], batch: Batch, height: int
    ) -> bytes:
        """Put (path, row hash) pairs, None to delete, and return the new root; the last pair of a path counts.

        Bucket and journal rows go into `batch`, which must be written before the next call. On an error nothing
        here has changed, but that there may be more places, and the batch is to be dropped.

        Errors  Failed STORE_CORRUPT when a bucket is not what the tree says.
        """
        invariant(height > self._height, "heights of updates ascend")
        if self._journaled >= max(TREE_JOURNAL_ENTRIES_MIN, self._heap.places // 4):
            self.snapshot()
        latest = dict(changes)
        self._grow_for(self.count + len(latest))

        digest, heap, kept = self._hashes.digest, self._heap, self._kept
        divided: dict[int, Bucket] = {}
        rewritten: dict[int, Bucket] = {}
        nodes: list[tuple[int, bytes, int]] = []
        count, removed = self.count, False
        for place, in_bucket in _by_place(latest, heap.places).items():
            if heap.occupied[place] == WITHIN and place not in divided:
                divided |= self._divide(heap.bucket_of(place), batch)
            if place in divided:
                before, hashed = divided.pop(place)
            else:
                before, hashed = kept[place] if place in kept else self._read(place)
            entries, leaves, fewer = _applied(digest, before, hashed, in_bucket)
            removed |= fewer
            root = subtree_root(digest, entries, leaves, place.bit_length() - 1)
            nodes.append((place, root, min(len(entries), MANY)))
            rewritten[place] = entries, leaves
            count += len(entries) - len(before)
            _put_bucket(batch, place, entries)
        for place, (part, hashed) in divided.items():
            nodes.append((place, subtree_root(digest, part, hashed, place.bit_length() - 1), min(len(part), MANY)))
            if part:
                _put_bucket(batch, place, part)

        self._kept = {place: rewritten[place] for place in rewritten.keys() & self._touched}
        self._touched = rewritten.keys()
        entry, journal = JOURNAL_ENTRY.pack, []
        for node, root, occupancy in nodes:
            heap.put(node, root, occupancy)
            journal.append(entry(node << 2 | occupancy, root))
        heap.hash_above([*rewritten, *divided], removed=removed)
        self.root, self.count = heap.root, count
        batch.put(journal_key(height),
                  JOURNAL_HEAD.pack(self._height, heap.places, count, self.root) + b"".join(journal))
        self._height = height
        self._journaled += len(journal)
        return self.root

    def _grow_for(self, leaves: int) -> None:
        places = self._heap.places
        while 2 * leaves > TWO_PLACES_LEAVES * places and 2 * places <= TREE_PLACES_MAX:
            places *= 2
        if places > self._heap.places:
            self._heap.grow(places)

    def _divide(self, node: int, batch: Batch) -> dict[int, Bucket]:
        """What a bucket holds for each of the places within it. Its row is left to the first of them, or deleted."""
        entries, leaves = self._read(node)
        height = self._heap.places.bit_length() - node.bit_length()
        parts: dict[int, Bucket] = {}
        first, end = 0, node + 1 << height
        for place in range(node << height, end):
            after = len(entries)
            if place + 1 < end:
                after = bisect_left(entries, prefix_of(place + 1).to_bytes(4, "big"), first)
            parts[place] = entries[first:after], leaves[first:after]
            first = after
        if entries and not parts[node << height][0]:
            batch.delete(bucket_key(node))
        return parts

    def _read(self, node: int) -> Bucket:
        """A bucket's content, checked against the heap."""
        if not self._heap.occupied[node]:
            return (), ()
        digest = self._hashes.digest
        entries = _entries(self._store.get(bucket_key(node)) or b"")
        leaves = [digest(LEAF_TAG + entry) for entry in entries]
        if subtree_root(digest, entries, leaves, node.bit_length() - 1) != self._heap.hash_of(node):
            raise Failed(EngineCode.STORE_CORRUPT, f"tree bucket {prefix_of(node):08x} has another hash")
        return entries, leaves

    def holds(self, path: bytes, row_hash: bytes) -> bool:
        """Whether this leaf stands in the tree, read from its bucket. Errors  Failed STORE_CORRUPT."""
        entries, _ = self._read(self._heap.bucket_of(_place_of(path, self._heap.places)))
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
        while heap.occupied[node] == MANY and heap.is_above_buckets(node):
            node = 2 * node + bit_of(path, len(siblings))
            siblings.append(heap.hash_of(node ^ 1))
        while heap.occupied[node] == LONE and heap.is_above_buckets(node):
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
            suite=self._hashes.name, height=self._height, places=self._heap.places
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

    def _load(self, places: int) -> bool:
        """Take snapshot and journal; False when they do not lead to `root`."""
        found = tree_snapshot.read(self._file, self._hashes)
        if found is None:
            return False
        header, heap_hashes, occupied = found
        if header.height > self._height or header.places > places:
            return False
        heap = Heap(self._hashes.digest, 0)
        heap.hashes, heap.occupied, heap.places = heap_hashes, occupied, header.places
        if places > header.places:
            heap.grow(places)
        changed: set[int] = set()
        before, journaled = header.height, 0
        for key, row in self._store.scan(JOURNAL, start=journal_key(before + 1)[1:]):
            if JOURNAL_HEAD.unpack_from(row)[0] != before:
                return False        # a row is missing: the snapshot is older than the journal reaches
            before = int.from_bytes(key[1:], "big")
            for word, root in JOURNAL_ENTRY.iter_unpack(row[JOURNAL_HEAD.size :]):
                journaled += 1
                heap.put(word >> 2, root, word & 3)
                changed.add(word >> 2)
        if places > header.places:
            heap.hash_all()         # some may be divided by now, and none says which
        else:
            heap.hash_above(changed, removed=True)
        if heap.root != self.root:
            return False
        self._heap, self._journaled = heap, journaled
        return True

    def _rebuild(self, places: int) -> None:
        """Hash every bucket of the store anew."""
        digest = self._hashes.digest
        heap = Heap(digest, 1 << (places - 1).bit_length())     # a power of two already, but in stores of old
        count = 0
        for key, row in self._store.scan(BUCKETS):
            entries = _entries(row)
            node = _place_of(key[1:], heap.places)
            last = entries[-1] if entries else key[1:]
            while _place_of(last, heap.places) >> heap.places.bit_length() - node.bit_length() != node:
                node >>= 1      # what it holds reaches beyond: a bucket not divided yet
            heap.take(node)
            leaves = [digest(LEAF_TAG + entry) for entry in entries]
            root = subtree_root(digest, entries, leaves, node.bit_length() - 1)
            heap.put(node, root, min(len(entries), MANY))
            count += len(entries)
        heap.hash_all()
        if heap.root != self.root or count != self.count:
            raise Failed(EngineCode.STORE_CORRUPT, "the tree buckets do not lead to the last root")
        self._heap = heap
        self._journaled = max(TREE_JOURNAL_ENTRIES_MIN, heap.places)    # the next update writes a snapshot


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


def _place_of(path: bytes, places: int) -> int:
    return (1 << PREFIX_BITS | int.from_bytes(path[:4], "big")) >> PREFIX_BITS + 1 - places.bit_length()


def _by_place(
    changes: dict[bytes, bytes | None], places: int
) -> dict[int, list[tuple[bytes, bytes | None]]]:
    found: dict[int, list[tuple[bytes, bytes | None]]] = {}
    for change in changes.items():
        place = _place_of(change[0], places)
        if place in found:
            found[place].append(change)
        else:
            found[place] = [change]
    return found


def _put_bucket(batch: Batch, node: int, entries: Sequence[bytes]) -> None:
    if entries:
        batch.put(bucket_key(node), b"".join(entries))
    else:
        batch.delete(bucket_key(node))
