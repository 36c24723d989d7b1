"""A node over a folder, with a world's names, keys and messages to order through it."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import structs

from memory_ledger import MemoryLedger
from worlds import STARTED_MS, World
from xinglin.base.check import Failed
from xinglin.engine.codes import EngineCode
from xinglin.engine.embedded import Committed
from xinglin.engine.ledger import Ledger
from xinglin.kernel.genesis import network_id
from xinglin.kernel.module import Message
from xinglin.kernel.tx import Reader
from xinglin.node import Node

FURNISHED = ("A.service", "B.service", "A.doctor", "B.doctor", "C.doctor", "mei", "li", "zhao")
CHECKPOINT_SEED = hashlib.sha256(b"key checkpoint").digest()     # of World's checkpoint key


class Home:
    """An open node, and the world that signs for everybody in it."""

    def __init__(self, folder: Path, simulated: bool = True, started_ms: int = STARTED_MS, **options: Any):
        self.folder = folder
        self.world = World(**options)
        self.world.manifest = structs.replace(self.world.manifest, simulated=simulated, started_ms=started_ms)
        self.world.network = network_id(self.world.manifest)
        self.world.reader = Reader(self.world.network, self.world.hashes, self.world.modules)
        self.world._nonce = secrets.randbits(120)       # a home may be opened again by another process
        for name in FURNISHED:
            self.world.key(name)
        try:
            self.node = self._open()
        except Failed as error:
            if error.code is not EngineCode.NO_LEDGER_HERE:
                raise
            self.node = self._create()

    def _open(self) -> Node:
        return Node.open(self.folder, self.world.modules)

    def _create(self) -> Node:
        return Node.create(self.folder, self.world.manifest, self.world.modules, "operator", CHECKPOINT_SEED)

    def raw(self, *messages: Message, expires_in_ms: int = 60_000, **options: Any) -> bytes:
        self.world.time_ms = self.node.now_ms()
        return self.world.transaction(*messages, expires_at_ms=self.world.time_ms + expires_in_ms, **options)

    def order(self, *messages: Message) -> Committed:
        return self.node.order(self.raw(*messages))

    def done(self, *messages: Message) -> Committed:
        committed = self.order(*messages)
        assert committed.code == 0, self.world.code(committed.code)
        return committed

    def furnished(self) -> "Home":
        """As World.furnished: services at A and B, doctors at A, B and C, mei and li claimed at A, zhao at B."""
        world = self.world
        self.done(*[world.enrol_service(member, f"{member}.service") for member in ("A", "B")],
                  *[world.enrol_staff(member, f"{member}.doctor") for member in ("A", "B", "C")])
        self.done(*[message for service, subject in (("A.service", "mei"), ("A.service", "li"), ("B.service", "zhao"))
                    for message in (world.register(service, subject), world.claim(service, subject))],
                  world.register("A.service", "wang"))
        return self

    def reopen(self) -> "Home":
        self.node.close()
        self.node = self._open()
        return self


@contextmanager
def home(folder: Path, **options: Any) -> Iterator[Home]:
    made = Home(folder, **options)
    try:
        yield made
    finally:
        made.node.close()


class Replay:
    """The blocks of a ledger executed again by other means: the reference ledger in memory."""

    def __init__(self, world: World):
        self.reader = Reader(world.network, world.hashes, world.modules)
        self.memory = MemoryLedger(world.manifest, world.modules)
        self.at: dict[bytes, tuple[int, int]] = {}      # transaction id -> (height, index)
        self.leaves: dict[tuple[int, int], bytes] = {}

    def follow(self, ledger: Ledger) -> None:
        """Execute what is new, compare all that a block commits to, and at the tip every row and every id."""
        self.follow_new(ledger)
        for at, found in self.at.items():
            assert ledger.find(at) == found

    def follow_new(self, ledger: Ledger) -> None:
        """Likewise, without looking up the ids of all that was ever executed."""
        for height in range(self.memory.height + 1, ledger.height + 1):
            block = ledger.block(height)
            applied = self.memory.apply(
                block.time_ms, [self.reader.read(raw) for raw in ledger.transactions(height)])
            assert block.leaves == tuple(outcome.leaf for outcome in applied.outcomes)
            assert block.events == tuple(outcome.events for outcome in applied.outcomes)
            assert block.closing == applied.closing
            for outcome in applied.outcomes:
                self.leaves[height, outcome.index] = outcome.leaf
                if outcome.tx:
                    assert outcome.tx.id not in self.at, "a transaction was executed twice"
                    self.at[outcome.tx.id] = height, outcome.index
        memory = self.memory
        assert (ledger.height, ledger.time_ms) == (memory.height, memory.time_ms)
        assert ledger.state_root == memory.state_root
        assert ledger.app_hash == memory.app_hash or ledger.height == 0      # before any block there is none
        assert dict(ledger.store.scan(b"s")) == memory.rows
        assert ledger.due(2**62, 10**6) == memory.due(2**62, 10**6)
        assert ledger.replay_minutes() == memory.replay_minutes()
