"""The ledger's side of one organisation: order, query, prove, subscribe. Contains no rule.

A home holds `store/` (RocksDB and the tree's snapshot), `acknowledged`, `clock` when time is simulated,
`checkpoint.key`, and `successors` once that was changed. Everything that reads state runs between blocks, on the
executing thread, and sees only what is durable.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from msgspec import structs

from xinglin.base import codec, note
from xinglin.base.check import (
    BaseCode,
    Code,
    Failed,
    NotFound,
    NotVerified,
    ProofInvalid,
    invariant,
    require,
)
from xinglin.base.crypto import SHA256, SignatureSuite, SigningKey
from xinglin.base.history import consistency_path, inclusion_path
from xinglin.base.ids import TxId
from xinglin.base.limits import (
    COSIGNED_LOOKED_AT_MAX,
    PUBLISHED_LOOKED_AT_MAX,
    SCRUB_EVERY_MS,
    TILES_AT_ONCE,
)
from xinglin.base.note import KeyUse, NoteKey
from xinglin.base.policy import Policy
from xinglin.base.succession import read_successors, statement
from xinglin.engine import durable, published
from xinglin.engine.clock import Clock, SimulatedClock, SystemClock
from xinglin.engine.codes import EngineCode
from xinglin.engine.embedded import INLINE_CHECKS_MAX, Committed, Embedded, Result, Waiting
from xinglin.engine.ledger import BlockRow, Ledger
from xinglin.engine.published import PublishedRow
from xinglin.engine.scrubbing import Scrubbing
from xinglin.engine.tiles import Tile, tiles_of
from xinglin.kernel import receipt_cose
from xinglin.kernel.executor import Applied
from xinglin.kernel.genesis import Manifest, chain_id
from xinglin.kernel.module import Event, ModuleSet, Table
from xinglin.kernel.outcome import Closing
from xinglin.kernel.receipt import (
    InHistory,
    Receipt,
    StateProof,
    open_checkpoint,
    open_network,
    origin,
)
from xinglin.kernel.state import Reading
from xinglin.witness.asking import Asked, ask_all

T = TypeVar("T")

SUCCESSORS = "successors"          # of the manifest's checkpoint keys: what base/succession.py reads


class NodeCode(Code):
    TX_NOT_FOUND = 8200
    TIME_IS_NOT_SIMULATED = 8201
    TABLE_NOT_FOUND = 8202
    NO_BLOCK_YET = 8203
    CHECKPOINT_KEY_NOT_USABLE = 8204
    NOT_COSIGNED_YET = 8234


class Found(NamedTuple):
    """An outcome as it stands in a block."""

    height: int
    index: int  # type: ignore[assignment]  # nobody misses the tuple's own
    time_ms: int
    leaf: bytes
    events: tuple[Event, ...]


class Node:
    """One ledger, open. `close` it; use `order` from threads and `order_async` from a loop."""

    def __init__(self, home: Path, ledger: Ledger, clock: Clock, checkpoint_name: str, checkpoint_key: SigningKey,
                 log_keys: tuple[NoteKey, ...], inline_checks_max: int = INLINE_CHECKS_MAX):
        self.home = home
        self.manifest: Manifest = ledger.manifest
        self.manifest_bytes = codec.encode(ledger.manifest)
        self.network = ledger.network
        self.hashes = ledger.hashes
        self.modules: ModuleSet = ledger.modules
        self.chain = chain_id(ledger.manifest)
        self.clock = clock
        self.log_keys = log_keys               # all that ever signed here: the manifest's and their successors
        self._key_name, self._key = checkpoint_name, checkpoint_key
        self._listeners: list[Callable[[Applied], None]] = []
        self.engine = Embedded(home, ledger, clock, checkpoint_name, checkpoint_key, self._tell,
                               inline_checks_max)
        self._scrubbing: Scrubbing | None = None

    # -- opening

    @classmethod
    def create(cls, home: Path, manifest: Manifest, modules: ModuleSet, checkpoint_name: str,
               checkpoint_seed: bytes) -> "Node":
        """Found a network of one node.

        Errors  Failed HOME_NOT_EMPTY, CHECKPOINT_KEY_NOT_USABLE, MODULES_DIFFER, DISK_FULL, STORE_NOT_USABLE.
        """
        if (home / "acknowledged").exists():     # left of a ledger whose store is gone: say so, do not hide it
            raise Failed(EngineCode.HOME_NOT_EMPTY)
        _checkpoint_key(home, _log_keys(manifest, _successors(home)), checkpoint_seed + checkpoint_name.encode())
        Ledger.create(home / "store", manifest, modules,
                      before=lambda: durable.write(home / "checkpoint.key", checkpoint_seed + checkpoint_name.encode())
                      ).close()
        return cls.open(home, modules)

    @classmethod
    def open(cls, home: Path, modules: ModuleSet) -> "Node":
        """Errors  Failed NO_LEDGER_HERE, STORE_IN_USE, MODULES_DIFFER, CLOCK_BEHIND_TIP, CLOCK_FILE_NOT_UNDERSTOOD,
                TIP_BEHIND_ACKNOWLEDGED, ALARM_STANDS, CHECKPOINT_KEY_NOT_USABLE, and the store's own.
        """
        ledger = Ledger.open(home / "store", modules)
        try:
            clock: Clock = SimulatedClock(home / "clock") if ledger.manifest.simulated else SystemClock()
            try:
                secret = (home / "checkpoint.key").read_bytes()
            except OSError as error:
                raise Failed(NodeCode.CHECKPOINT_KEY_NOT_USABLE, error.strerror or "") from None
            log_keys = _log_keys(ledger.manifest, _successors(home))
            return cls(home, ledger, clock, *_checkpoint_key(home, log_keys, secret), log_keys)
        except BaseException:
            ledger.store.close()
            raise

    def scrub(self, every_ms: int = SCRUB_EVERY_MS) -> None:
        """Read the store again, a little at a time, as long as this node runs. What lies stops the engine."""
        if self._scrubbing is None:
            self._scrubbing = Scrubbing(self.engine, every_ms)

    def close(self) -> None:
        if self._scrubbing is not None:
            self._scrubbing.close()
        self.engine.close()

    # -- ordering

    def submit(self, raw: bytes) -> "Future[Committed]":
        """Order a transaction; the future ends when it is durable, or fails with what is wrong with it."""
        done: Future[Committed] = Future()
        done.set_running_or_notify_cancel()      # what is ordered cannot be called back
        self.engine.submit(raw, Waiting(_FUTURES, done))
        return done

    def order(self, raw: bytes) -> Committed:
        """Errors  NotIncludable, Busy, Failed. A refusal by the rules is not an error: see its code."""
        return self._wait_for(self.submit(raw))

    async def order_async(self, raw: bytes) -> Committed:
        return await asyncio.wrap_future(self.submit(raw))

    # -- time

    def now_ms(self) -> int:
        return self.clock.now_ms()

    def tip_age_ms(self) -> int:
        """By the monotonic clock, since the last block became durable here."""
        return self.clock.monotonic_ms() - self.engine.synced_at_ms

    def advance(self, by_ms: int) -> None:
        """Let simulated time pass. Errors  Failed TIME_IS_NOT_SIMULATED."""
        if not isinstance(self.clock, SimulatedClock):
            raise Failed(NodeCode.TIME_IS_NOT_SIMULATED)
        self.clock.advance(by_ms)
        self.engine.wake()
        self.settle()

    def settle(self) -> None:
        """Wait until every timer that is due by now has run."""
        while True:
            due_ms = self.ask(lambda ledger: ledger.next_due_ms())
            if due_ms is None or due_ms > self.clock.now_ms():
                return

    # -- subscribing

    def subscribe(self, listener: Callable[[Applied], None]) -> None:
        """`listener` hears of every durable block, in order, on the syncing thread.

        It must be quick, must not wait for this node, and must not raise: that stops the engine.
        """
        self._listeners.append(listener)

    def _tell(self, applied: Applied) -> None:
        for listener in self._listeners:
            listener(applied)

    # -- asking

    def ask(self, question: Callable[[Ledger], T]) -> T:
        """The answer to `question`, which is asked between blocks and sees what is durable.

        Errors  Failed ENGINE_STOPPED, and whatever the question raises.
        """
        return self._wait_for(self.engine.ask(question))

    def _wait_for(self, future: "Future[T]") -> T:
        invariant(not self.engine.runs_here(), "a listener or a question must not wait for the engine that runs it")
        return future.result()

    def read(self, question: Callable[[Reading], T]) -> T:
        """Ask modules' pure reads at the tip; now is the later of block time and this node's clock."""
        def at_tip(ledger: Ledger) -> T:
            now_ms = max(ledger.time_ms, self.clock.now_ms())
            return question(Reading(ledger, self.modules.owners, self.manifest.parameters, now_ms))
        return self.ask(at_tip)

    def rows(self, table: Table[Any], prefix: bytes = b"") -> list[tuple[tuple[Any, ...], Any]]:
        return self.ask(lambda ledger: list(ledger.scan_rows(table, prefix)))

    def outcome(self, tx_id: TxId) -> Found | None:
        """What came of an executed transaction."""
        def found(ledger: Ledger) -> Found | None:
            at = ledger.find(tx_id)
            return None if at is None else self._found(at, ledger.block(at[0]))
        return self.ask(found)

    def outcomes_about(self, some_id: bytes, after: tuple[int, int] = (0, 0), limit: int = 1000) -> list[Found]:
        """Outcomes about an id, oldest first. Whoever calls has made sure that the asker may know."""
        def found(ledger: Ledger) -> list[Found]:
            ats = [at for at, _ in zip(ledger.about(some_id, after), range(limit), strict=False)]
            blocks = {height: ledger.block(height) for height in dict.fromkeys(height for height, _ in ats)}
            return [self._found(at, blocks[at[0]]) for at in ats]
        return self.ask(found)

    def _found(self, at: tuple[int, int], block: BlockRow) -> Found:
        height, index = at
        return Found(height, index, block.time_ms, block.leaves[index],
                     codec.decode(block.events[index], self.modules.events_type))

    # -- proving

    def receipt_of(self, committed: Committed) -> bytes:
        """The receipt of what was just committed, under its own block's checkpoint."""
        return codec.encode(Receipt(
            manifest=self.manifest_bytes, checkpoint=committed.checkpoint, outcome=committed.proved(),
            closing=committed.proved_closing(), events=committed.events))

    def receipt(self, tx_id: TxId) -> bytes:
        """Errors  NotFound TX_NOT_FOUND."""
        def build(ledger: Ledger) -> bytes:
            at = ledger.find(tx_id)
            if at is None:
                raise NotFound(NodeCode.TX_NOT_FOUND)
            return self._receipt(ledger, *at)
        return self.ask(build)

    def receipt_at(self, height: int, index: int) -> bytes:
        """Errors  NotFound TX_NOT_FOUND when no outcome stands there."""
        def build(ledger: Ledger) -> bytes:
            self._require_there(ledger, height, index)
            return self._receipt(ledger, height, index)
        return self.ask(build)

    def _require_there(self, ledger: Ledger, height: int, index: int) -> None:
        if not 0 < height <= ledger.height or not 0 <= index < len(ledger.block(height).leaves):
            raise NotFound(NodeCode.TX_NOT_FOUND)

    def _receipt(self, ledger: Ledger, height: int, index: int, checkpoint: bytes | None = None) -> bytes:
        """Under the block's own checkpoint, or a later one."""
        block = ledger.block(height)
        size = block.first + len(block.leaves) + 1 if checkpoint is None else note.read_checkpoint(checkpoint).size
        return codec.encode(Receipt(
            manifest=self.manifest_bytes, checkpoint=checkpoint or block.checkpoint, events=block.events[index],
            outcome=self._in_history(ledger, block, index, size),
            closing=self._in_history(ledger, block, len(block.leaves), size)))

    def _in_history(self, ledger: Ledger, block: BlockRow, index: int, size: int) -> InHistory:
        """A leaf of a block, the closing one being the last, in the tree of this size."""
        at = block.first + index
        path = inclusion_path(self.hashes, ledger.history.node, at, size)
        return InHistory(leaf=[*block.leaves, block.closing][index], index=at, path=tuple(path))

    # -- publishing

    @property
    def policy(self) -> Policy:
        """By which this node's own clients verify: whoever has signed here, and no witnesses."""
        return Policy(logs=self.log_keys)

    @property
    def checkpoint_key(self) -> NoteKey:
        return NoteKey(self._key_name, KeyUse.LOG, self._key.public)

    def change_checkpoint_key(self, seed: bytes) -> NoteKey:
        """Sign with a new key from the next block on, as the present one states. Whoever verifies, and every witness,
        has to be told of it: the manifest keeps naming the first one.

        Errors  Failed DISK_FULL, STORE_NOT_USABLE; CHECKPOINT_KEY_NOT_USABLE for a key that signs here already.
        """
        key = SigningKey.from_seed(SignatureSuite.ED25519, seed)
        named = NoteKey(self._key_name, KeyUse.LOG, key.public)
        # After a crash between the two files the last statement names a key that nobody has: the next change is
        # stated by the key in use, and the lost one signs nothing.
        stated = _successors(self.home) + statement(origin(self.chain), named, self._key)
        log_keys = _log_keys(self.manifest, stated)
        durable.write(self.home / SUCCESSORS, stated)
        durable.write(self.home / "checkpoint.key", seed + self._key_name.encode())
        self.log_keys = log_keys
        self._key = key
        self.ask(lambda _: self.engine.sign_with(key))
        return named

    def publish(self, policy: Policy) -> tuple[PublishedRow, list[Asked]]:
        """Publish the tip's checkpoint, unless one was less than a second ago, and have it cosigned.

        The witnesses with an address in `policy` are asked by the calling thread; the ledger goes on meanwhile.
        Errors  NotFound NOTHING_TO_PUBLISH.
        """
        row = self.ask(lambda ledger: published.publish(ledger, self.clock.now_ms()))
        size = row.checkpoint.size
        sizes = self.ask(lambda ledger: _cosigned_sizes(ledger, policy))

        def prove(old: int) -> list[bytes]:
            return self.ask(lambda ledger: consistency_path(self.hashes, ledger.history.node, old, size))
        asked = ask_all(policy.witnesses, row.note, lambda one: sizes.get(one.key, 0), prove)
        lines = b"".join(one.line for one in asked)
        if lines:
            row = self.ask(lambda ledger: published.add_cosignatures(ledger, row, lines))
        return row, asked

    def cosigned_receipt_at(self, height: int, index: int, policy: Policy) -> bytes:
        """The receipt under the newest published checkpoint that satisfies `policy`: an old outcome with new signers.

        Errors  NotFound TX_NOT_FOUND, NOT_COSIGNED_YET.
        """
        def build(ledger: Ledger) -> bytes:
            self._require_there(ledger, height, index)
            return self._receipt(ledger, height, index, self._cosigned(ledger, height, policy).note)
        return self.ask(build)

    def cosigned_proof(self, proof: StateProof, policy: Policy) -> StateProof:
        """A proof of this ledger's state, under the newest published checkpoint that satisfies `policy` and covers it.

        State is proved at the tip alone: prove first, then `publish`, then this. Errors  NotFound NOT_COSIGNED_YET.
        """
        closing: Closing = codec.decode(proof.closing.leaf, Closing)

        def build(ledger: Ledger) -> StateProof:
            block, row = ledger.block(closing.height), self._cosigned(ledger, closing.height, policy)
            return structs.replace(proof, checkpoint=row.note, closing=self._in_history(
                ledger, block, len(block.leaves), row.checkpoint.size))
        return self.ask(build)

    def _cosigned(self, ledger: Ledger, height: int, policy: Policy) -> PublishedRow:
        """Errors  NotFound NOT_COSIGNED_YET."""
        for row in published.newest_first(ledger, PUBLISHED_LOOKED_AT_MAX):
            if row.height < height:
                break
            if self._passes(row, policy):
                return row
        raise NotFound(NodeCode.NOT_COSIGNED_YET)

    def _passes(self, row: PublishedRow, policy: Policy) -> bool:
        try:
            open_checkpoint(open_network(self.manifest_bytes, self.network), row.note, policy)
        except NotVerified:
            return False
        return True

    def cose_receipt_at(self, height: int, index: int) -> bytes:
        """The receipt as COSE, signed anew with this node's key.

        Errors  NotFound TX_NOT_FOUND; Failed NEEDS_SHA256.
        """
        self._require_sha256()
        receipt: Receipt = codec.decode(self.receipt_at(height, index), Receipt)
        return receipt_cose.write(receipt, self.checkpoint_key, self._key.sign)

    def tiles(self, since: int = 0) -> Iterator[tuple[str, bytes]]:
        """(path, bytes) of what a static server needs: tiles that a tree of `since` leaves has not, and then, when
        they all are there, the newest published checkpoint. Publishes one when there is none.

        Errors  Failed NEEDS_SHA256; NotFound NOTHING_TO_PUBLISH.
        """
        self._require_sha256()
        row = self.ask(lambda ledger: published.newest(ledger) or published.publish(ledger, self.clock.now_ms()))
        found = iter(tiles_of(row.checkpoint.size, since))
        while some := list(itertools.islice(found, TILES_AT_ONCE)):
            yield from self.ask(partial(_read_tiles, tiles=some))
        yield "checkpoint", row.note

    def _require_sha256(self) -> None:
        if self.hashes is not SHA256:
            raise Failed(EngineCode.NEEDS_SHA256, self.hashes.name)

    # -- proving state

    def prove(self, table: Table[Any], key: tuple[Any, ...]) -> bytes:
        """A state-proof file at the tip: the row, or that there is none. Errors  NotFound NO_BLOCK_YET."""
        raw = table.encode_key(key)

        def build(ledger: Ledger) -> bytes:
            if ledger.height == 0:
                raise NotFound(NodeCode.NO_BLOCK_YET)
            row = ledger.store.get(table.store_prefix + raw)
            path = self.hashes.digest(table.path_prefix + raw)
            block = ledger.block(ledger.height)
            return codec.encode(StateProof(
                manifest=self.manifest_bytes, checkpoint=block.checkpoint, table=table.name, key=raw, row=row,
                closing=self._in_history(ledger, block, len(block.leaves), ledger.history.size),
                proof=ledger.tree.prove(path)))
        return self.ask(build)

    def blocks(self, since: int = 1) -> Iterator[tuple[int, int, int]]:
        """(height, time, outcomes) of every block from `since` on."""
        tip = self.ask(lambda ledger: ledger.height)
        for height in range(since, tip + 1):
            block = self.ask(partial(Ledger.block, height=height))
            yield height, block.time_ms, len(block.leaves)


def _checkpoint_key(home: Path, known: tuple[NoteKey, ...], secret: bytes) -> tuple[str, SigningKey]:
    """Name and key from a file of the seed and then the name. Errors  Failed CHECKPOINT_KEY_NOT_USABLE."""
    seed, name = secret[:32], secret[32:]
    if len(seed) == 32:
        key = SigningKey.from_seed(SignatureSuite.ED25519, seed)
        for one in known:
            if name == one.name.encode() and key.public == one.key:
                return one.name, key
    why = "ledger/successors does not name it" if (home / SUCCESSORS).exists() else "ledger/successors is not there"
    raise Failed(NodeCode.CHECKPOINT_KEY_NOT_USABLE, f"it is none of the manifest's, and {why}")


def _successors(home: Path) -> bytes:
    """The statements by which checkpoint keys were replaced. Errors  Failed CHECKPOINT_KEY_NOT_USABLE."""
    try:
        return (home / SUCCESSORS).read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise Failed(NodeCode.CHECKPOINT_KEY_NOT_USABLE, f"ledger/successors: {error.strerror}") from None


def _log_keys(manifest: Manifest, stated: bytes) -> tuple[NoteKey, ...]:
    """The manifest's checkpoint keys, and those that took their place. Errors  Failed CHECKPOINT_KEY_NOT_USABLE."""
    first = tuple([NoteKey(one.name, KeyUse.LOG, one.key) for one in manifest.checkpoint_keys])
    try:
        return first + read_successors(stated, origin(chain_id(manifest)), first)
    except ProofInvalid as error:
        raise Failed(NodeCode.CHECKPOINT_KEY_NOT_USABLE, f"ledger/successors: {error.detail}") from None


def _cosigned_sizes(ledger: Ledger, policy: Policy) -> dict[NoteKey, int]:
    """The size that each witness cosigned last, as far as the newest published checkpoints tell."""
    found: dict[NoteKey, int] = {}
    for row in published.newest_first(ledger, COSIGNED_LOOKED_AT_MAX):
        lines = note.signature_lines(row.note)
        for key in policy.witness_keys:
            if (key.name, key.id) in lines:
                found.setdefault(key, row.checkpoint.size)
    return found


def _read_tiles(ledger: Ledger, tiles: list[Tile]) -> list[tuple[str, bytes]]:
    return [(one.path, ledger.history.tile(*one)) for one in tiles]


class LocalTransport:
    """This node as a blocking client of the same process reaches it."""

    def __init__(self, node: Node):
        self._node = node

    def manifest(self) -> bytes:
        return self._node.manifest_bytes

    def now_ms(self) -> int:
        return self._node.now_ms()

    def order(self, raw: bytes) -> bytes:
        return self._node.receipt_of(self._node.order(raw))

    def receipt(self, tx_id: TxId) -> bytes:
        return self._node.receipt(tx_id)

    def prove(self, table: str, key: bytes) -> bytes:
        found = self._node.modules.tables.get(table)
        if found is None:
            raise NotFound(NodeCode.TABLE_NOT_FOUND)
        require(len(key) == found.width, BaseCode.BYTES_NOT_UNDERSTOOD, f"a key of {table} is {found.width} bytes")
        return self._node.prove(found, found.decode_key(key))


class AsyncLocalTransport:
    """This node as a client in an event loop of the same process reaches it."""

    def __init__(self, node: Node):
        self._node = node
        self._blocking = LocalTransport(node)

    async def manifest(self) -> bytes:
        return self._node.manifest_bytes

    async def now_ms(self) -> int:
        return self._node.now_ms()

    async def order(self, raw: bytes) -> bytes:
        return self._node.receipt_of(await self._node.order_async(raw))

    async def receipt(self, tx_id: TxId) -> bytes:
        return await asyncio.to_thread(self._blocking.receipt, tx_id)

    async def prove(self, table: str, key: bytes) -> bytes:
        return await asyncio.to_thread(self._blocking.prove, table, key)


class _Futures:
    """An outlet whose tickets are futures."""

    def deliver(self, results: list[tuple[object, Result]]) -> None:
        for ticket, result in results:
            if not isinstance(ticket, Future):
                continue
            if isinstance(result, Failed):
                ticket.set_exception(result)
            else:
                ticket.set_result(result)


_FUTURES = _Futures()
