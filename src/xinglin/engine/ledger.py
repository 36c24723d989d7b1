"""A ledger on disk: the kernel's `State` over one RocksDB, and blocks written as one batch each.

Families of keys are listed in `store.py`. A block's batch holds everything that the block changed, so a
crash keeps whole blocks or none. Blocks are written in order and synced later, by whoever calls
`store.sync()`: until then nobody may hear of them.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from msgspec import Meta

from xinglin import failpoint
from xinglin.base import codec
from xinglin.base.check import Failed, InvariantBroken, invariant
from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite
from xinglin.base.history import Appended, Frontier, FrontierRow, leaf_hash
from xinglin.base.ids import Hash
from xinglin.base.limits import EVENT_BYTES_MAX, LEAF_BYTES_MAX, NOTE_BYTES_MAX
from xinglin.base.units import Height, Index, Millis
from xinglin.engine.codes import EngineCode
from xinglin.engine.history import TILE, History
from xinglin.engine.store import Batch, Store
from xinglin.engine.tree import StateTree
from xinglin.kernel.executor import Applied, Executor
from xinglin.kernel.genesis import Manifest, hash_suite, network_id
from xinglin.kernel.module import ModuleSet, Row, Table

R = TypeVar("R", bound=Row)

CACHED_ROWS_MAX = 200_000          # accounts and members: about 100 MB when full
CACHED_TABLES = ("kernel/accounts", "members/members", "members/staff")

META_TIP = b"mtip"
META_MANIFEST = b"mmanifest"


class TipRow(Struct):
    """Where the ledger stands; in every block's batch."""

    height: Height
    time_ms: Millis
    state_root: Hash
    app_hash: Hash
    frontier: FrontierRow


class BlockRow(Struct, tag="xinglin.block/1"):
    """A block as kept for ever: its leaves and events; the transactions' bytes lie apart."""

    height: Height
    time_ms: Millis
    first: Index                   # of its leaves in the history tree
    leaves: Annotated[tuple[Annotated[bytes, Meta(max_length=LEAF_BYTES_MAX)], ...], Meta(max_length=10_000)]
    events: Annotated[tuple[Annotated[bytes, Meta(max_length=EVENT_BYTES_MAX)], ...], Meta(max_length=10_000)]
    closing: Annotated[bytes, Meta(max_length=LEAF_BYTES_MAX)]
    checkpoint: Annotated[bytes, Meta(max_length=NOTE_BYTES_MAX)]


class Watcher(Protocol):
    """Goes through the rows while blocks are written."""

    def before_write(self, rows: Sequence[tuple[bytes, bytes | None]]) -> None: ...


def block_key(height: int) -> bytes:
    return b"k" + height.to_bytes(8, "big")


def due_key(due_ms: int, table: str, key: bytes) -> bytes:
    name = table.encode()
    return b"d" + due_ms.to_bytes(8, "big") + bytes([len(name)]) + name + key


class Ledger:
    """Reads at the tip, and `write`. Of one thread, which asks for others between blocks; `stored` is for any."""

    def __init__(self, folder: Path, store: Store, manifest: Manifest, modules: ModuleSet, tip: TipRow):
        self.folder = folder
        self.store = store
        self.manifest = manifest
        self.network = network_id(manifest)
        self.modules = modules
        self.hashes = hash_suite(manifest)
        self.executor = Executor(modules, manifest, manifest.module_set)
        self.height, self.time_ms = tip.height, tip.time_ms
        self.state_root, self.app_hash = tip.state_root, tip.app_hash
        self._next_height = tip.height + 1
        self.tree = StateTree.open(store, self.hashes, folder)
        frontier = Frontier.from_row(tip.frontier)
        self.history = History.open(store, self.hashes, frontier, self._tail_leaves(tip.height, frontier.size))
        self._ids = self._load_ids()
        self._cache: dict[bytes, Row] = {}
        self._batch: Batch = store.batch()
        self._next_due_ms: int | None = None
        self.scrubber: Watcher | None = None      # goes through the rows meanwhile, and must hear what changes
        self._next_due_known = False      # a look at the index costs as much as a quarter of a transaction
        invariant(self.tree.root == tip.state_root, "the state tree stands at the tip's root")

    # -- opening

    @classmethod
    def create(cls, folder: Path, manifest: Manifest, modules: ModuleSet,
               before: Callable[[], None] | None = None) -> "Ledger":
        """Write height 0, and before it do what a ledger cannot be without.

        Errors  Failed HOME_NOT_EMPTY, MODULES_DIFFER, the store's own and those of `before`.
        """
        hashes = hash_suite(manifest)
        _check_modules(manifest, modules)
        store = Store.open(folder)
        try:
            if store.get(META_TIP) is not None:
                raise Failed(EngineCode.HOME_NOT_EMPTY)
            if before:
                before()
            return cls._found(folder, store, manifest, modules, hashes)
        except BaseException:
            store.close()
            raise

    @classmethod
    def _found(cls, folder: Path, store: Store, manifest: Manifest, modules: ModuleSet,
               hashes: HashSuite) -> "Ledger":
        empty = TipRow(height=0, time_ms=manifest.started_ms, state_root=bytes(32), app_hash=bytes(32),
                       frontier=Frontier().to_row())
        ledger = cls(folder, store, manifest, modules, empty)
        ledger._next_height = 0
        applied = ledger.executor.found(ledger)
        ledger._batch.put(META_MANIFEST, codec.encode(manifest))
        ledger._write_rows(applied, ledger._batch)
        ledger._write_tip(applied, hashes.digest(b""))
        store.sync()
        return ledger

    @classmethod
    def open(cls, folder: Path, modules: ModuleSet) -> "Ledger":
        """Errors  Failed NO_LEDGER_HERE, MODULES_DIFFER, and the store's own."""
        if not (folder / "CURRENT").exists():
            raise Failed(EngineCode.NO_LEDGER_HERE)
        store = Store.open(folder)
        try:
            manifest_bytes, tip_bytes = store.get(META_MANIFEST), store.get(META_TIP)
            if manifest_bytes is None or tip_bytes is None:
                raise Failed(EngineCode.NO_LEDGER_HERE)
            manifest = codec.decode(manifest_bytes, Manifest)
            _check_modules(manifest, modules)
            return cls(folder, store, manifest, modules, codec.decode(tip_bytes, TipRow))
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Errors  Failed DISK_FULL, STORE_NOT_USABLE; the store is closed all the same."""
        try:
            self.store.sync()
            self.tree.snapshot()
        finally:
            self.store.close()

    def _tail_leaves(self, height: int, size: int) -> list[bytes]:
        """Hashes of the leaves since the last full tile, from the last blocks."""
        wanted = size % TILE
        found: list[bytes] = []
        while len(found) < wanted:
            block = self.block(height)
            data = [*block.leaves, block.closing]
            found = [leaf_hash(self.hashes, leaf) for leaf in data] + found
            height -= 1
        return found[len(found) - wanted:] if wanted else []

    def _load_ids(self) -> dict[int, set[bytes]]:
        ids: dict[int, set[bytes]] = {}
        for key, value in self.store.scan(b"r"):
            bucket = ids.setdefault(int.from_bytes(key[1:5], "big"), set())
            bucket.update(value[at:at + 16] for at in range(0, len(value), 16))
        return ids

    # -- State, for the executor

    def row(self, table: Table[R], key: bytes) -> R | None:
        at = table.store_prefix + key
        cached = self._cache.get(at)
        if cached is not None:
            return cached  # type: ignore[return-value]
        data = self.store.get(at)
        if data is None:
            return None
        row = table.decode_row(data)
        if table.name in CACHED_TABLES:
            self._remember(at, row)
        return row

    def stored(self, table: Table[R], key: bytes) -> R | None:
        """The row as it stands in the store, for any thread; it may be that of the block under way."""
        data = self.store.get(table.store_prefix + key)
        return None if data is None else table.decode_row(data)

    def due(self, until_ms: int, limit: int) -> list[tuple[int, str, bytes]]:
        found: list[tuple[int, str, bytes]] = []
        next_ms = self.next_due_ms()
        if next_ms is None or next_ms > until_ms:
            return found
        for key, _ in self.store.scan(b"d", limit=limit):
            due_ms = int.from_bytes(key[1:9], "big")
            if due_ms > until_ms:
                break
            name_end = 10 + key[9]
            found.append((due_ms, key[10:name_end].decode(), key[name_end:]))
        return found

    def next_due_ms(self) -> int | None:
        if not self._next_due_known:
            self._next_due_ms = None
            for key, _ in self.store.scan(b"d", limit=1):
                self._next_due_ms = int.from_bytes(key[1:9], "big")
            self._next_due_known = True
        return self._next_due_ms

    def executed(self, minute: int, short_id: bytes) -> bool:
        bucket = self._ids.get(minute)
        return bucket is not None and short_id in bucket

    def replay_minutes(self) -> list[int]:
        return sorted(self._ids)

    def update_tree(self, changes: list[tuple[bytes, bytes | None]]) -> bytes:
        return self.tree.update(changes, self._batch, self._next_height)

    def append(self, leaf_hashes: list[bytes]) -> Appended:
        return self.history.append(leaf_hashes, self._batch)

    # -- writing

    def write(self, applied: Applied, checkpoint: bytes) -> None:
        """Put a block into the store, unsynced, and move on to it."""
        appended = applied.appended
        if appended is None:
            raise InvariantBroken("a written block has leaves")
        if self.scrubber is not None:
            self.scrubber.before_write(applied.rows)
        batch = self._batch
        self._write_rows(applied, batch)
        outcomes = applied.outcomes
        batch.put(block_key(applied.height), codec.encode(BlockRow(
            height=applied.height, time_ms=applied.time_ms, first=appended.first,
            leaves=tuple([outcome.leaf for outcome in outcomes]),
            events=tuple([outcome.events for outcome in outcomes]),
            closing=applied.closing, checkpoint=checkpoint)))
        height = applied.height.to_bytes(8, "big")
        raws = []
        for outcome in outcomes:
            at = height + outcome.index.to_bytes(4, "big")
            if outcome.tx is not None:
                raws.append(outcome.tx.raw)
                batch.put(b"x" + outcome.tx.id[:16], at)
            for about in outcome.about:
                batch.put(b"a" + about + at, b"")
        if raws:
            batch.put(b"t" + height, codec.encode(raws))
        for minute, ids in applied.replay.items():
            batch.put(b"r" + minute.to_bytes(4, "big") + height, b"".join(ids))
            self._ids.setdefault(minute, set()).update(ids)
        for minute in applied.dropped:
            prefix = b"r" + minute.to_bytes(4, "big")
            batch.delete_range(prefix, prefix + b"\xff" * 9)
            del self._ids[minute]
        self._write_tip(applied, applied.app_hash)

    def _write_rows(self, applied: Applied, batch: Batch) -> None:
        for at, data in applied.rows:
            if data is None:
                batch.delete(at)
                self._cache.pop(at, None)
            else:
                batch.put(at, data)
                if at in self._cache:
                    del self._cache[at]
        for table, key, before, after in applied.due:
            if before is not None:
                batch.delete(due_key(before, table, key))
                if before == self._next_due_ms:
                    self._next_due_known = False
            if after is not None:
                batch.put(due_key(after, table, key), b"")
                if self._next_due_ms is None or after < self._next_due_ms:
                    self._next_due_ms = after

    def _write_tip(self, applied: Applied, app_hash: bytes) -> None:
        self._batch.put(META_TIP, codec.encode(TipRow(
            height=applied.height, time_ms=applied.time_ms, state_root=applied.state_root,
            app_hash=app_hash, frontier=self.history.frontier.to_row())))
        failpoint.hit("block.write")
        self.store.write(self._batch)
        failpoint.hit("block.written")
        self._batch = self.store.batch()
        self.height, self.time_ms = applied.height, applied.time_ms
        self.state_root, self.app_hash = applied.state_root, app_hash
        self._next_height = applied.height + 1

    def _remember(self, at: bytes, row: Row) -> None:
        if len(self._cache) >= CACHED_ROWS_MAX:
            for old in [key for key, _ in zip(self._cache, range(CACHED_ROWS_MAX // 10), strict=False)]:
                del self._cache[old]
        self._cache[at] = row

    # -- asking

    def block(self, height: int) -> BlockRow:
        return codec.decode(self.store.need(block_key(height)), BlockRow)

    def transactions(self, height: int) -> tuple[bytes, ...]:
        data = self.store.get(b"t" + height.to_bytes(8, "big"))
        return () if data is None else codec.decode(data, tuple[bytes, ...])

    def find(self, tx_id: bytes) -> tuple[int, int] | None:
        """(height, index) of an executed transaction."""
        found = self.store.get(b"x" + tx_id[:16])
        return None if found is None else (int.from_bytes(found[:8], "big"), int.from_bytes(found[8:], "big"))

    def find_prefix(self, digits: str, limit: int) -> list[tuple[int, int]]:
        """(height, index) of at most `limit` executed transactions whose ids begin with these hex digits.

        The index knows the first 32 of an id's digits: who gave more compares the rest.
        """
        known = digits[:32]
        start = bytes.fromhex(known + "0" * (len(known) % 2))
        at = len(known) // 2
        found: list[tuple[int, int]] = []
        for key, value in self.store.scan(b"x" + start[:at], start=start[at:], limit=limit):
            if key[1:].hex().startswith(known):
                found.append((int.from_bytes(value[:8], "big"), int.from_bytes(value[8:], "big")))
        return found

    def about(self, some_id: bytes, after: tuple[int, int] = (0, 0)) -> Iterator[tuple[int, int]]:
        """(height, index) of every outcome about this id, oldest first, after the given one."""
        start = after[0].to_bytes(8, "big") + after[1].to_bytes(4, "big")
        for key, _ in self.store.scan(b"a" + some_id, start=start):
            found = int.from_bytes(key[17:25], "big"), int.from_bytes(key[25:], "big")
            if found > after:
                yield found

    def scan_rows(self, table: Table[Any], prefix: bytes) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Rows of a table whose keys begin with `prefix`, in key order."""
        for key, data in self.store.scan(table.store_prefix + prefix):
            raw = key[len(table.store_prefix):]
            yield table.decode_key(raw), table.decode_row(data)


def _check_modules(manifest: Manifest, modules: ModuleSet) -> None:
    if modules.hash(hash_suite(manifest)) != manifest.module_set:
        raise Failed(EngineCode.MODULES_DIFFER)


__all__ = ["BlockRow", "Ledger", "TipRow", "block_key"]
