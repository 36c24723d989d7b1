"""State rows: each understood, under a table of one owner, true to its invariants, in the tree, found when it is due.

Invariants I13 and, of the members, I14 (safety.md). The state root is built once, from the rows alone; what the
buckets say is compared entry by entry on the way.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from xinglin.base.crypto import HashSuite, tagged
from xinglin.base.ids import NO_HASH
from xinglin.base.limits import TREE_PLACES_MAX
from xinglin.engine.store import Store
from xinglin.fsck.codes import FsckCode, Lie
from xinglin.fsck.formats import ENTRY_BYTES, HASH_BYTES, JOURNAL_HEAD, Tip, read, same
from xinglin.fsck.trees import Subtree, joined, subtree
from xinglin.kernel.module import ModuleSet, Table
from xinglin.kernel.replay import REPLAY, ReplayRow
from xinglin.modules.members import MEMBERS, TALLY, MemberRow, MemberStatus, TallyRow

ENTRIES_AT_ONCE_MAX = 2**21        # some 250 MB; of more rows the tree is built in parts, each after a scan of its own


class Rows:
    """The state of one ledger."""

    def __init__(self, store: Store, hashes: HashSuite, modules: ModuleSet):
        self._store = store
        self._hashes = hashes
        self._modules = modules
        self._tables = {table.store_prefix: table for table in modules.tables.values()}
        self.count = 0
        self._due = 0

    # -- each row by itself

    def check(self, log: dict[bytes, tuple[int, bytes]], executed: dict[int, list[tuple[int, bytes]]]) -> None:
        """`log`: subject -> count and running hash of its entries, as the events tell; `executed`: of each minute."""
        members: dict[MemberStatus, int] = dict.fromkeys(MemberStatus, 0)
        tally: TallyRow | None = None
        unseen, minutes = dict(log), _buckets(self._hashes, executed)
        for table, key, data in self._rows():
            where = _named(table, key)
            row = read(data, table.value, where)
            self.count += 1
            for holds in self._modules.invariants.get(table.name, ()):
                if not holds(row):
                    raise Lie(FsckCode.INVARIANT_LIES, f"{where}: {holds.__name__} does not hold")
            self._check_due(table, key, row, where)
            if isinstance(row, MemberRow):
                members[row.status] += 1
            elif isinstance(row, TallyRow):
                tally = row
            elif isinstance(row, ReplayRow):
                same((row.count, row.running), minutes.pop(key, None), FsckCode.REPLAY_IDS_LIE,
                     f"{where}: is not of the transactions executed")
            elif table.name == "access/log":
                same((row.count, row.running), unseen.pop(key, None), FsckCode.ACCESS_LOG_LIES,
                     f"{where}: is not of the entries ordered")
        for subject in unseen:
            raise Lie(FsckCode.ACCESS_LOG_LIES, f"row access/log {subject.hex()}: is missing")
        for key in minutes:
            raise Lie(FsckCode.REPLAY_IDS_LIE, f"{_named(REPLAY, key)}: is missing")
        self._check_tally(members, tally)
        self._check_no_other_due()

    def _rows(self) -> Iterator[tuple[Table[Any], bytes, bytes]]:
        for at, data in self._store.scan(b"s"):
            head = at[:2 + at[1]] if len(at) > 1 else at
            table = self._tables.get(head)
            if table is None or len(at) - len(head) != table.width:
                raise Lie(FsckCode.ROW_NOT_UNDERSTOOD, f"row {at.hex()}: is of no table")
            yield table, at[len(head):], data

    def _check_due(self, table: Table[Any], key: bytes, row: Any, where: str) -> None:
        due_ms = None if table.due is None else table.due(row)
        if due_ms is not None:
            self._due += 1
            same(self._store.get(_due_key(due_ms, table, key)), b"", FsckCode.INDEX_LIES,
                 f"{where}: is due, and the index of timers does not know it")

    def _check_no_other_due(self) -> None:
        if sum(1 for _ in self._store.scan(b"d")) == self._due:
            return
        wanted = {_due_key(due_ms, table, key) for table, key, data in self._rows() if table.due is not None
                  and (due_ms := table.due(read(data, table.value, _named(table, key)))) is not None}
        for key, _ in self._store.scan(b"d"):
            if key not in wanted:
                raise Lie(FsckCode.INDEX_LIES, f"timer {key.hex()}: is of no row")

    def _check_tally(self, members: dict[MemberStatus, int], tally: TallyRow | None) -> None:
        if MEMBERS.name in self._modules.tables:
            active = members[MemberStatus.ACTIVE]
            same((tally.active, tally.admitted) if tally else None, (active, active + members[MemberStatus.SUSPENDED]),
                 FsckCode.INVARIANT_LIES, f"{TALLY.name} counts other members than there are")

    # -- the tree over them

    def check_tree(self, tip: Tip) -> None:
        """Buckets, rows and the last journal row say one thing, and it is the tip's root. After `check`."""
        places = self._check_journal(tip)
        parts = 1                      # a power of two, so that each is a subtree
        while parts * ENTRIES_AT_ONCE_MAX < self.count:
            parts *= 2
        stored = self._bucket_entries(places)
        roots: list[Subtree] = []
        for part in range(parts):
            entries = self._entries(part, parts)
            for entry in entries:
                self._compare(entry, next(stored, None))
            roots.append(subtree(self._hashes.digest, entries, 0, len(entries), parts.bit_length() - 1))
        left_over = next(stored, None)
        if left_over is not None:
            raise Lie(FsckCode.TREE_LIES, f"the tree has a leaf of no row, at path {left_over[:HASH_BYTES].hex()}")
        same(joined(self._hashes.digest, roots)[1], tip.state_root, FsckCode.STATE_LIES,
             "the rows do not lead to the tip's state root")

    def _check_journal(self, tip: Tip) -> int:
        """The number of places for buckets."""
        before, last = None, b""
        for key, last in self._store.scan(b"j"):
            height = int.from_bytes(key[1:], "big")
            if len(last) < JOURNAL_HEAD.size or before not in (None, JOURNAL_HEAD.unpack_from(last)[0]):
                raise Lie(FsckCode.TREE_LIES, f"the tree's journal has a gap before height {height}")
            before = height
        if not last:
            raise Lie(FsckCode.TREE_LIES, "the tree has no journal")
        _, places, count, root = JOURNAL_HEAD.unpack_from(last)
        same((before, count, root), (tip.height, self.count, tip.state_root), FsckCode.TREE_LIES,
             f"the tree's journal ends at height {before} with {count} leaves; the tip is at {tip.height}, "
             f"there are {self.count} rows")
        if not 0 < places <= TREE_PLACES_MAX or places & places - 1:
            raise Lie(FsckCode.TREE_LIES, f"the tree's journal tells of {places} places")
        return int(places)

    def _bucket_entries(self, places: int) -> Iterator[bytes]:
        """All leaves that the tree has, ascending, each in a bucket of its own prefix."""
        before = b""
        for key, row in self._store.scan(b"b"):
            if not row or len(row) % ENTRY_BYTES:
                raise Lie(FsckCode.TREE_LIES, f"bucket {key[1:].hex()}: is cut")
            if key[1:] <= before[:4] or not _is_bucket(places, key[1:], row[-ENTRY_BYTES:]):
                raise Lie(FsckCode.TREE_LIES, f"bucket {key[1:].hex()}: has no place, or two buckets share one")
            for at in range(0, len(row), ENTRY_BYTES):
                entry = row[at:at + ENTRY_BYTES]
                if entry[:HASH_BYTES] <= before or entry[:4] < key[1:]:
                    raise Lie(FsckCode.TREE_LIES, f"bucket {key[1:].hex()}: holds what is not its own")
                before = entry[:HASH_BYTES]
                yield entry

    def _entries(self, part: int, parts: int) -> Sequence[bytes]:
        digest, shift = self._hashes.digest, 33 - parts.bit_length()
        found = []
        for table, key, data in self._rows():
            path = digest(table.path_prefix + key)
            if int.from_bytes(path[:4], "big") >> shift == part:
                found.append(path + digest(data))
        found.sort()
        return found

    def _compare(self, entry: bytes, stored: bytes | None) -> None:
        if entry == stored:
            return
        if stored is not None and stored[:HASH_BYTES] < entry[:HASH_BYTES]:
            raise Lie(FsckCode.TREE_LIES, f"the tree has a leaf of no row, at path {stored[:HASH_BYTES].hex()}")
        digest = self._hashes.digest
        where = next(_named(table, key) for table, key, _ in self._rows()
                     if digest(table.path_prefix + key) == entry[:HASH_BYTES])
        if stored is not None and stored[:HASH_BYTES] == entry[:HASH_BYTES]:
            raise Lie(FsckCode.STATE_LIES, f"{where}: the tree has another hash of it")
        raise Lie(FsckCode.STATE_LIES, f"{where}: is not in the tree")


def _due_key(due_ms: int, table: Table[Any], key: bytes) -> bytes:
    name = table.name.encode()
    return b"d" + due_ms.to_bytes(8, "big") + bytes((len(name),)) + name + key


def _is_bucket(places: int, key: bytes, last: bytes) -> bool:
    """Whether some prefix of at most as many bits as a place has this key and holds the last entry."""
    first = int.from_bytes(key, "big")
    free = max(33 - places.bit_length(), (first ^ int.from_bytes(last[:4], "big")).bit_length())
    return len(key) == 4 and first % (1 << free) == 0


def _buckets(hashes: HashSuite, executed: dict[int, list[tuple[int, bytes]]]) -> dict[bytes, tuple[int, bytes]]:
    """Key of each minute's row -> count and running hash of the ids executed."""
    found = {}
    for minute, rows in executed.items():
        count, running = 0, NO_HASH
        for _, ids in rows:
            count += len(ids) // 16
            running = tagged(hashes, "xinglin/replay/1", running, ids)
        found[minute.to_bytes(4, "big")] = count, running
    return found


def _named(table: Table[Any], key: bytes) -> str:
    return f"row {table.name} {key.hex()}"
