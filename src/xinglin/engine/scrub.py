"""The scrubber: what lies still is read again, a little at a time, and compared with what it hashes to.

First every state row with the tree, then every block with the history's tiles and its transactions with their leaves.
Each step is bounded and runs between blocks; the place is kept in the store, so a restart goes on where it was. What
the store itself calls damaged is found by the reading alone. Indexes (of ids, timers, what an event is about) and what
was published are hashed nowhere: whether they are right is for fsck.

At the first lie a `Failed` SCRUB_ALARM says where. Whoever runs the steps in a node (scrubbing.py) stops it then and
leaves an alarm: a node with one signs nothing (safety.md R21; docs/adr/0030-trust-what-is-stored.md).
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import Failed, NotUnderstood, NotVerified
from xinglin.base.codec import Struct
from xinglin.base.history import Frontier, append, leaf_hash, root_of
from xinglin.base.limits import SCRUB_LEAVES_PER_STEP, SCRUB_ROWS_PER_STEP
from xinglin.base.units import U63, Height
from xinglin.engine.codes import EngineCode
from xinglin.engine.history import TILE, TILE_LEVELS
from xinglin.engine.ledger import Ledger
from xinglin.engine.pruning import pruned_below
from xinglin.engine.store import STATE
from xinglin.kernel.outcome import Closing, Leaf, LeafKind, events_hash

META_SCRUB = b"mscrub"


class Phase(IntEnum):
    ROWS, BLOCKS = range(2)


class Place(Struct, tag="engine.scrub/1"):
    """How far the walk has come, and where the ledger stood then."""

    phase: Phase
    row: Annotated[bytes, Meta(max_length=512)]     # key of the first row that is not read yet
    rows: U63                                       # read in this walk
    counted: bool                                   # `rows` is how many there are before `row`
    block: Height                                   # the last one read
    walks: U63                                      # finished
    height: Height                                  # of the ledger when this was written


class Scrubber:
    """Of one open ledger; its methods run on the thread that executes."""

    def __init__(self, ledger: Ledger, *, afresh: bool = False):
        self._ledger = ledger
        self._tables = {table.store_prefix: table for table in ledger.modules.tables.values()}
        place = self._kept() or self._start(0)
        if afresh:
            place = self._start(place.walks)
        self.walks = place.walks
        self._phase, self._row, self._rows, self._block = place.phase, place.row, place.rows, place.block
        # What was written without us may stand before our place: then the rows of this walk are not counted.
        self._counted = place.counted and place.height == ledger.height
        ledger.scrubber = self

    def _kept(self) -> Place | None:
        """None too for one that cannot be read: all it tells is where to begin. That it lies, fsck says."""
        data = self._ledger.store.get(META_SCRUB)
        try:
            return None if data is None else codec.decode(data, Place)
        except NotUnderstood:
            return None

    def _start(self, walks: int) -> Place:
        return Place(phase=Phase.ROWS, row=b"", rows=0, counted=True, block=0, walks=walks, height=self._ledger.height)

    def step(self) -> bool:
        """Read a little more; whether that ended a walk. Errors  NotVerified SCRUB_ALARM."""
        walks = self.walks
        try:
            if self._phase is Phase.ROWS:
                self._read_rows()
            else:
                self._read_blocks()
        except NotUnderstood as error:
            raise _alarm(f"{self._where()}: {error.detail}") from error
        except Failed as error:
            if error.code is not EngineCode.STORE_CORRUPT:
                raise
            raise _alarm(f"{self._where()}: {error.detail}") from error
        self._remember()
        return self.walks > walks

    def done(self) -> tuple[Phase, int, int]:
        """What is being read, how much of it has been, of how much."""
        ledger = self._ledger
        return (Phase.ROWS, self._rows, ledger.tree.count) if self._phase is Phase.ROWS else (
            Phase.BLOCKS, self._block, ledger.height)

    def before_write(self, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
        """A block is about to be written: count what comes and goes behind our back."""
        if self._phase is Phase.ROWS and self._counted and self._row:
            for at, data in rows:
                if at < self._row:
                    self._rows += (data is not None) - (self._ledger.store.get(at) is not None)

    def _remember(self) -> None:
        batch = self._ledger.store.batch()
        batch.put(META_SCRUB, codec.encode(Place(
            phase=self._phase, row=self._row, rows=self._rows, counted=self._counted, block=self._block,
            walks=self.walks, height=self._ledger.height)))
        self._ledger.store.write(batch)

    def _where(self) -> str:
        return f"rows from {self._row.hex()}" if self._phase is Phase.ROWS else f"block {self._block + 1}"

    # -- rows

    def _read_rows(self) -> None:
        store, digest = self._ledger.store, self._ledger.hashes.digest
        found = list(store.scan(STATE, start=self._row[1:], limit=SCRUB_ROWS_PER_STEP))
        for at, data in found:
            head = at[:2 + at[1]] if len(at) > 1 else at
            table = self._tables.get(head)
            if table is None:
                raise _alarm(f"row {at.hex()}: is of no table")
            if not self._ledger.tree.holds(digest(table.path_prefix + at[len(head):]), digest(data)):
                raise _alarm(f"row {table.name} {at[len(head):].hex()}: is not the tree's")
        self._rows += len(found)
        if len(found) == SCRUB_ROWS_PER_STEP:
            self._row = found[-1][0] + b"\x00"
            return
        if self._counted and self._rows != self._ledger.tree.count:
            raise _alarm(f"there are {self._rows} rows, the tree has {self._ledger.tree.count}")
        self._phase, self._block = Phase.BLOCKS, 0

    # -- blocks

    def _read_blocks(self) -> None:
        ledger, read = self._ledger, 0
        while read < SCRUB_LEAVES_PER_STEP and self._block < ledger.height:
            read += self._read_block(self._block + 1)
            self._block += 1
        if self._block < ledger.height:
            return
        self._read_edge()
        self.walks += 1
        start = self._start(self.walks)
        self._phase, self._row, self._rows, self._counted = start.phase, start.row, start.rows, True
        self._block = start.block

    def _read_block(self, height: int) -> int:
        """Returns how many leaves it has."""
        ledger = self._ledger
        block, raws = ledger.block(height), ledger.transactions(height)
        leaves = [*block.leaves, block.closing]
        for at, data in enumerate(leaves):
            if ledger.history.node(0, block.first + at) != leaf_hash(ledger.hashes, data):
                raise _alarm(f"block {height} leaf {at}: is not the history's")
        executed = []
        for at, data in enumerate(block.leaves):
            leaf: Leaf = codec.decode(data, Leaf)
            if leaf.events_hash != events_hash(ledger.hashes, block.events[at]):
                raise _alarm(f"block {height} leaf {at}: its events have another hash")
            if leaf.kind is LeafKind.TX:
                executed.append(leaf.full_hash)
        if not raws and executed and height >= pruned_below(ledger):
            raise _alarm(f"block {height}: the bytes of its transactions are gone")
        if raws and [ledger.hashes.digest(raw) for raw in raws] != executed:
            raise _alarm(f"block {height}: its transactions have other hashes")
        end = block.first + len(leaves)
        for tile in range(block.first // TILE, end // TILE):
            self._read_tile(tile)
        return len(leaves)

    def _read_tile(self, index: int) -> None:
        """A full tile, and each above it that it completes, has the root that stands one level up."""
        history, hashes, level = self._ledger.history, self._ledger.hashes, 0
        while True:
            tile = [history.node(TILE_LEVELS * level, TILE * index + at) for at in range(TILE)]
            if append(hashes, Frontier(), tile).root != history.node(TILE_LEVELS * (level + 1), index):
                raise _alarm(f"tile {index} of level {level}: is not the history's")
            if (index + 1) % TILE:
                return
            index, level = index // TILE, level + 1

    def _read_edge(self) -> None:
        """The history's own frontier and the state's root are those of the tiles and of the last block."""
        ledger = self._ledger
        history = ledger.history
        if root_of(ledger.hashes, history.node, history.size) != history.frontier.root(ledger.hashes):
            raise _alarm("the history's edge is not that of its tiles")
        if ledger.height and codec.decode(ledger.block(ledger.height).closing, Closing).state_root != ledger.tree.root:
            raise _alarm("the state tree has another root than the last block")


def _alarm(where: str) -> NotVerified:
    return NotVerified(EngineCode.SCRUB_ALARM, where)
