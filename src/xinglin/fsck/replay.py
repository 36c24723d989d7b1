"""Every stored transaction executed again, on a state in memory, and every block compared with what comes of it.

Invariant I1 (safety.md): what is replayed has the roots that were signed. It begins at genesis, or at a copy of the
ledger from before its oldest transactions were pruned. Rows and tree are dictionaries: some 1.5 KB a row.
"""

import heapq
from pathlib import Path
from typing import NamedTuple, TypeVar

from xinglin.base.check import InvariantBroken
from xinglin.base.crypto import HashSuite
from xinglin.base.history import Appended, Frontier, append
from xinglin.engine.store import Store
from xinglin.engine.told import Told, untold
from xinglin.fsck.codes import FsckCode, Lie
from xinglin.fsck.formats import ID_BYTES, Block, Tip, read, same
from xinglin.fsck.ledger import Opened, check, letting_go, opened
from xinglin.fsck.transactions import Raws
from xinglin.fsck.trees import EMPTY, Digest
from xinglin.kernel.executor import Applied, Executor
from xinglin.kernel.genesis import Manifest, network_id
from xinglin.kernel.module import ModuleSet, Row, Table
from xinglin.kernel.tx import NotIncludable, Reader

R = TypeVar("R", bound=Row)


class Replayed(NamedTuple):
    """From the block after `since` to `height`, nothing came out another way."""

    since: int
    height: int
    transactions: int


class Branch:
    """An inner node: what stands left and right, and its hash until something below changes."""

    __slots__ = ("hash", "sides")

    def __init__(self) -> None:
        self.sides: list[Branch | bytes | None] = [None, None]     # bytes: a lone leaf, path and row hash
        self.hash: bytes | None = None


class Tree:
    """The state tree as objects: each block changes a few, and hashes what is above them."""

    def __init__(self, digest: Digest):
        self._digest = digest
        self._top = Branch()

    def put(self, path: bytes, row_hash: bytes | None) -> None:
        """Set or, with None, delete a leaf."""
        number = int.from_bytes(path, "big")
        above: list[tuple[Branch, int]] = []
        node, depth = self._top, 0
        while True:
            node.hash = None
            side = number >> (255 - depth) & 1
            above.append((node, side))
            below = node.sides[side]
            if not isinstance(below, Branch):
                break
            node, depth = below, depth + 1
        if below is None or below[:32] == path:
            node.sides[side] = None if row_hash is None else path + row_hash
        elif row_hash is not None:
            node.sides[side] = _parted(below, path + row_hash, depth + 1)
        self._lift_lone(above)

    def _lift_lone(self, above: list[tuple[Branch, int]]) -> None:
        """A branch with one leaf or none below it gives way to that."""
        for (upper, side), (node, _) in zip(above[-2::-1], above[:0:-1], strict=True):
            left, right = node.sides
            if left is None and not isinstance(right, Branch):
                upper.sides[side] = right
            elif right is None and not isinstance(left, Branch):
                upper.sides[side] = left
            else:
                return

    def root(self) -> bytes:
        left, right = self._top.sides
        if left is None and not isinstance(right, Branch):
            return self._hash(right)
        if right is None and not isinstance(left, Branch):
            return self._hash(left)
        return self._hash(self._top)

    def _hash(self, node: Branch | bytes | None) -> bytes:
        if node is None:
            return EMPTY
        if not isinstance(node, Branch):
            return self._digest(b"\x03" + node)
        if node.hash is None:
            node.hash = self._digest(b"\x04" + self._hash(node.sides[0]) + self._hash(node.sides[1]))
        return node.hash


def _parted(one: bytes, other: bytes, depth: int) -> Branch:
    """The branch at `depth` under which two leaves part."""
    top = node = Branch()
    first, second = int.from_bytes(one[:32], "big"), int.from_bytes(other[:32], "big")
    while first >> (255 - depth) & 1 == second >> (255 - depth) & 1:
        below = Branch()
        node.sides[first >> (255 - depth) & 1] = below
        node, depth = below, depth + 1
    node.sides[first >> (255 - depth) & 1] = one
    node.sides[second >> (255 - depth) & 1] = other
    return top


class ReplayState:
    """What the executor asks of a ledger, in memory."""

    def __init__(self, hashes: HashSuite, manifest: Manifest, modules: ModuleSet):
        self.hashes = hashes
        self.height, self.time_ms = -1, 0
        self.executor = Executor(modules, manifest, manifest.module_set)
        self.state_root = EMPTY
        self.app_hash = hashes.digest(b"")                      # as long as there is no block
        self._modules = modules
        self._rows: dict[bytes, bytes] = {}
        self._tree = Tree(hashes.digest)
        self._frontier = Frontier()
        self._ids: dict[int, set[bytes]] = {}
        self._due: list[tuple[int, str, bytes]] = []            # a heap, in which some are past
        self._live: dict[tuple[str, bytes], int] = {}

    def found(self) -> None:
        self.keep(self.executor.found(self))

    def load(self, store: Store, tip: Tip) -> None:
        """Stand where another store stands."""
        tables = {table.store_prefix: table for table in self._modules.tables.values()}
        for at, data in store.scan(b"s"):
            head = at[:2 + at[1]]
            table, key = tables[head], at[len(head):]
            self._rows[at] = data
            self._tree.put(self.hashes.digest(table.path_prefix + key), self.hashes.digest(data))
            due_ms = None if table.due is None else table.due(table.decode_row(data))
            if due_ms is not None:
                self._move_due(table.name, key, due_ms)
        for key, joined in store.scan(b"r"):
            self._ids.setdefault(int.from_bytes(key[1:5], "big"), set()).update(
                joined[at:at + ID_BYTES] for at in range(0, len(joined), ID_BYTES))
        self.height, self.time_ms = tip.height, tip.time_ms
        self._frontier = Frontier(tip.history.size, tip.history.peaks)
        self.state_root, self.app_hash = self._tree.root(), tip.app_hash

    @property
    def history_size(self) -> int:
        return self._frontier.size

    def keep(self, applied: Applied) -> None:
        for at, data in applied.rows:
            if data is None:
                self._rows.pop(at, None)
            else:
                self._rows[at] = data
        for table, key, _, after in applied.due:
            self._move_due(table, key, after)
        for minute, ids in applied.replay.items():
            self._ids.setdefault(minute, set()).update(ids)
        for minute in applied.dropped:
            del self._ids[minute]
        self.height, self.time_ms = applied.height, applied.time_ms
        self.state_root, self.app_hash = applied.state_root, applied.app_hash or self.app_hash

    def _move_due(self, table: str, key: bytes, due_ms: int | None) -> None:
        self._live.pop((table, key), None)
        if due_ms is not None:
            self._live[table, key] = due_ms
            heapq.heappush(self._due, (due_ms, table, key))

    # -- State

    def row(self, table: Table[R], key: bytes) -> R | None:
        data = self._rows.get(table.store_prefix + key)
        return None if data is None else table.decode_row(data)

    def due(self, until_ms: int, limit: int) -> list[tuple[int, str, bytes]]:
        found: list[tuple[int, str, bytes]] = []
        while self._due and self._due[0][0] <= until_ms and len(found) < limit:
            entry = heapq.heappop(self._due)
            if self._live.get(entry[1:]) == entry[0] and entry not in found[-1:]:
                found.append(entry)
        for entry in found:
            heapq.heappush(self._due, entry)
        return found

    def executed(self, minute: int, short_id: bytes) -> bool:
        return short_id in self._ids.get(minute, ())

    def replay_minutes(self) -> list[int]:
        return sorted(self._ids)

    def update_tree(self, changes: list[tuple[bytes, bytes | None]]) -> bytes:
        for path, row_hash in changes:
            self._tree.put(path, row_hash)
        return self._tree.root()

    def append(self, leaf_hashes: list[bytes]) -> Appended:
        appended = append(self.hashes, self._frontier, leaf_hashes)
        self._frontier = appended.frontier
        return appended


def replay(folder: Path, modules: ModuleSet, base: Path | None = None, told: Told = untold) -> Replayed:
    """Execute again all that the ledger in `folder` has executed; `base` is an older copy of it to begin from.

    A copy is checked first. Run `check` before: here nothing is said of what lies beside the blocks.

    Errors  Lie REPLAY_DIFFERS; REPLAY_NOT_POSSIBLE when bytes were pruned from where it would begin; those of `check`.
    """
    return letting_go(lambda: _replay_all(folder, modules, base, told))


def _replay_all(folder: Path, modules: ModuleSet, base: Path | None, told: Told) -> Replayed:
    if base is None:
        with opened(folder, modules) as found:
            state = ReplayState(found.hashes, found.manifest, modules)
            state.found()
            return _replay(found, state, modules, told)
    check(base, modules, told=told)
    with opened(base, modules) as copy:
        state = ReplayState(copy.hashes, copy.manifest, modules)
        state.load(copy.store, copy.tip)
        network = network_id(copy.manifest)
    with opened(folder, modules) as found:
        same(network_id(found.manifest), network, FsckCode.REPLAY_NOT_POSSIBLE, f"{base}: is of another network")
        _check_base(found, state, base)
        return _replay(found, state, modules, told)


def _check_base(found: Opened, state: ReplayState, base: Path) -> None:
    """The copy is of this ledger's past."""
    if state.height == 0:
        return
    data = found.store.get(b"k" + state.height.to_bytes(8, "big"))
    if data is None:
        raise Lie(FsckCode.REPLAY_NOT_POSSIBLE,
                  f"{base}: is at height {state.height}, which this ledger does not reach")
    block: Block = read(data, Block, f"block {state.height}")
    with_closing = block.first + len(block.leaves) + 1
    same((with_closing, block.time_ms), (state.history_size, state.time_ms), FsckCode.REPLAY_DIFFERS,
         f"{base}: stands on another block {state.height}")


def _replay(found: Opened, state: ReplayState, modules: ModuleSet, told: Told) -> Replayed:
    store, since, count = found.store, state.height, 0
    mark = store.get(b"mpruned")
    below = 0 if mark is None else int.from_bytes(mark, "big")
    if since + 1 < below:
        raise Lie(FsckCode.REPLAY_NOT_POSSIBLE, f"transactions below height {below} have no bytes any more")
    reader = Reader(network_id(found.manifest), found.hashes, modules)
    for _, data in store.scan(b"k", start=(since + 1).to_bytes(8, "big")):
        block: Block = read(data, Block, f"block {state.height + 1}")
        where = f"block {block.height}"
        raw_bytes = store.get(b"t" + block.height.to_bytes(8, "big"))
        raws: Raws = () if raw_bytes is None else read(raw_bytes, Raws, f"{where}: transactions")
        applied = _executed(state, reader, block, raws, where)
        _compare(block, applied, where)
        state.keep(applied)
        count += len(raws)
        told("replay", block.height, found.tip.height)
    same((state.height, state.state_root, state.app_hash), (found.tip.height, found.tip.state_root, found.tip.app_hash),
         FsckCode.REPLAY_DIFFERS, "the tip is not where the replay ends")
    return Replayed(since, state.height, count)


def _executed(state: ReplayState, reader: Reader, block: Block, raws: Raws, where: str) -> Applied:
    try:
        txs = [reader.read(raw) for raw in raws]
        return state.executor.apply(state, block.height, block.time_ms, txs)
    except (NotIncludable, InvariantBroken) as error:
        raise Lie(FsckCode.REPLAY_DIFFERS, f"{where}: {error}") from None


def _compare(block: Block, applied: Applied, where: str) -> None:
    ours: list[tuple[bytes, bytes]] = [(one.leaf, one.events) for one in applied.outcomes]
    for index, theirs in enumerate(zip(block.leaves, block.events, strict=True)):
        same(ours[index] if index < len(ours) else None, theirs, FsckCode.REPLAY_DIFFERS,
             f"{where} leaf {index}: comes out another way")
    same((len(ours), applied.closing), (len(block.leaves), block.closing), FsckCode.REPLAY_DIFFERS,
         f"{where}: closes another way")
