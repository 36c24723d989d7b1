"""The embedded engine: one process orders, executes and makes durable; evidence of integrity, not BFT.

Three hands: callers put bytes into the inbox; one thread admits, executes and writes blocks; another syncs
what was written and only then lets anyone hear of it. Signatures are verified in a helper process while
there are many, here while there are few. Blocks are pipelined: one syncs while the next executes.
"""

import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from xinglin.base import note
from xinglin.base.check import Busy, Failed, Refused
from xinglin.base.crypto import SigningKey, self_test
from xinglin.base.history import Appended
from xinglin.base.limits import (BLOCK_BYTES_MAX, BLOCK_TXS_MAX, CLOCK_BEHIND_MS_MAX, QUEUE_TXS_MAX,
                                 SIGNATURE_CHUNK_MAX)
from xinglin.base.units import MS_PER_HOUR
from xinglin.engine.clock import Clock
from xinglin.engine.codes import EngineCode
from xinglin.engine.fair_queue import FairQueue
from xinglin.engine.ledger import Ledger
from xinglin.engine.signatures import Helper, hold
from xinglin.kernel.accounts import ACCOUNTS
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.executor import Applied
from xinglin.kernel.genesis import chain_id
from xinglin.kernel.receipt import origin
from xinglin.kernel.tx import Check, NotIncludable, Reader, Tx, check_window, prepare

T = TypeVar("T")

INLINE_CHECKS_MAX = 2              # so few signatures are verified here: a pipe and back costs more
UNSYNCED_BLOCKS_MAX = 8            # written and not yet synced; then the executor waits
INTAKE_MAX = 512                   # transactions read in one turn


class Committed(NamedTuple):
    """A synced outcome, and what its receipt is made of. Paths are shared by the block's receipts."""

    height: int
    index: int
    time_ms: int
    code: int
    tx_id: bytes
    leaf: bytes
    events: bytes
    checkpoint: bytes
    appended: Appended

    def position(self) -> int:
        return self.appended.first + self.index

    def path(self) -> list[bytes]:
        return self.appended.path(self.position())


Result = Committed | Failed


class Outlet(Protocol):
    """Where results go: all of one block's results for one outlet in one call."""

    def deliver(self, results: list[tuple[object, Result]]) -> None: ...


class Waiting(NamedTuple):
    """Someone waits for what becomes of a transaction; `ticket` is theirs."""

    outlet: Outlet
    ticket: object


class _Admitted(NamedTuple):
    tx: Tx
    waiting: Waiting
    checks: list[Check]


class Written(NamedTuple):
    """A block in the store, not yet synced."""

    applied: Applied
    checkpoint: bytes
    waiting: list[tuple[int, Waiting]]      # (outcome index, who waits)


class Embedded:
    """Open it, submit bytes, close it. `on_block` hears of every synced block, in order."""

    def __init__(self, folder: Path, ledger: Ledger, clock: Clock, checkpoint_name: str,
                 checkpoint_key: SigningKey, on_block: Callable[[Applied], None] | None = None):
        self.ledger = ledger
        self.clock = clock
        self.reader = Reader(ledger.network, ledger.hashes, ledger.modules)
        self.chain = chain_id(ledger.manifest)
        self._key_name, self._key = checkpoint_name, checkpoint_key
        self._on_block = on_block
        self._acknowledged = _Acknowledged(folder / "acknowledged")
        self.synced_height = ledger.height
        self.synced_at_ms = clock.monotonic_ms() - MS_PER_HOUR   # a tip found at start is old until one is made
        self.failed: BaseException | None = None
        self._inbox: deque[tuple[bytes, Waiting]] = deque()
        self._queue: FairQueue[tuple[Tx, Waiting]] = FairQueue()
        self._verifying: deque[list[_Admitted]] = deque()
        self._ready: list[_Admitted] = []
        self._helper: Helper | None = None
        self._asked: deque[tuple[Callable[[Ledger], Any], Future[Any]]] = deque()
        self._to_sync: SimpleQueue[Written | threading.Event | None] = SimpleQueue()
        self._room = threading.Semaphore(UNSYNCED_BLOCKS_MAX)
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._sleeping = False
        self._stopping = False
        self._check_start()
        self._executor = threading.Thread(target=self._execute, name="executor", daemon=True)
        self._syncer = threading.Thread(target=self._sync, name="syncer", daemon=True)
        self._executor.start()
        self._syncer.start()

    def _check_start(self) -> None:
        """Errors  Failed CLOCK_BEHIND_TIP, TIP_BEHIND_ACKNOWLEDGED."""
        self_test()
        behind = self.ledger.time_ms - self.clock.now_ms()
        if behind > CLOCK_BEHIND_MS_MAX:
            raise Failed(EngineCode.CLOCK_BEHIND_TIP, f"{behind} ms")
        if self.ledger.height < self._acknowledged.height:
            raise Failed(EngineCode.TIP_BEHIND_ACKNOWLEDGED,
                         f"the store ends at {self.ledger.height}, {self._acknowledged.height} was acknowledged")

    # -- for callers

    def submit(self, raw: bytes, waiting: Waiting) -> None:
        """Order these bytes; `waiting` hears once. Errors  Busy QUEUE_FULL, Failed ENGINE_STOPPED."""
        if self.failed is not None or self._stopping:
            raise Failed(EngineCode.ENGINE_STOPPED)
        if len(self._inbox) >= QUEUE_TXS_MAX:
            raise Busy(EngineCode.QUEUE_FULL)
        self._inbox.append((raw, waiting))
        if self._sleeping:
            self.wake()

    def ask(self, question: Callable[[Ledger], T]) -> "Future[T]":
        """Run `question` on the ledger between blocks, when all that is written is also synced.

        Errors  Failed ENGINE_STOPPED; in the future, whatever the question raises.
        """
        if self.failed is not None or self._stopping:
            raise Failed(EngineCode.ENGINE_STOPPED)
        answer: Future[T] = Future()
        self._asked.append((question, answer))
        if self._sleeping:
            self.wake()
        return answer

    def wake(self) -> None:
        """Look at the clock and the inbox now."""
        try:
            os.write(self._wake_write, b"w")
        except BlockingIOError:
            pass                          # the pipe is full of wake-ups already

    def close(self) -> None:
        """Finish what is under way, sync, snapshot, close the store."""
        self._stopping = True
        self.wake()
        self._executor.join()
        self._to_sync.put(None)
        self._syncer.join()
        if self._helper:
            self._helper.close()
        self._acknowledged.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        if self.failed is None:
            self.ledger.close()
        else:
            self.ledger.store.close()

    # -- the executing thread

    def _execute(self) -> None:
        finished = False
        try:
            while not self._stopping or self._has_work():
                self._wait()
                self._intake()
                self._start_checks()
                self._finish_checks()
                self._run_block()
                self._answer()
            finished = True
        finally:                          # nothing may be ordered after a failure: stop, and tell who waits
            if not finished:
                self._fail(sys.exc_info()[1])

    def _has_work(self) -> bool:
        return bool(self._inbox or self._queue or self._verifying or self._ready or self._asked)

    def _answer(self) -> None:
        """Answer what was asked, once nothing that the ledger shows could still be lost."""
        if not self._asked:
            return
        synced = threading.Event()
        self._to_sync.put(synced)
        while not synced.wait(1.0):
            if self.failed is not None:
                return
        for _ in range(len(self._asked)):
            question, answer = self._asked.popleft()
            try:
                answer.set_result(question(self.ledger))
            except (Failed, Refused) as error:      # the question's own answer; anything else is ours: stop
                answer.set_exception(error)

    def _wait(self) -> None:
        """Sleep until there is something to do: bytes, verified signatures, a due timer, the end."""
        busy = self._inbox or self._queue or self._ready
        descriptors = [self._wake_read]
        if self._verifying and self._helper:
            descriptors.append(self._helper.fileno())
        if busy and not (self._verifying and not self._inbox and not self._ready):
            timeout: float | None = 0.0
        else:
            timeout = self._until_next_timer()
        self._sleeping = True
        if self._inbox or self._asked or self._stopping:
            timeout = 0.0
        readable, _, _ = select.select(descriptors, [], [], timeout)
        self._sleeping = False
        if self._wake_read in readable:
            os.read(self._wake_read, 4096)

    def _until_next_timer(self) -> float | None:
        due_ms = self.ledger.next_due_ms()
        if due_ms is None:
            return None
        return min(max(due_ms - self.clock.now_ms(), 0) / 1000, 3600.0)

    def _now_ms(self) -> int:
        return max(self.ledger.time_ms, self.clock.now_ms())

    def _intake(self) -> None:
        """Read what came in, refuse what is no transaction, queue the rest by who pays."""
        now_ms = self._now_ms()
        refused: list[tuple[Waiting, Failed]] = []
        for _ in range(min(len(self._inbox), INTAKE_MAX)):
            raw, waiting = self._inbox.popleft()
            try:
                tx = self.reader.read(raw)
                check_window(tx, now_ms)
            except NotIncludable as error:
                refused.append((waiting, error))
                continue
            if all([spec.unsponsored for spec in tx.specs]):
                room = self._queue.put_in_lane((tx, waiting))
            else:
                row = self.ledger.row(ACCOUNTS, tx.signers[0].account)
                room = self._queue.put(row.payer if row else tx.signers[0].account, (tx, waiting))
            if not room:
                refused.append((waiting, Busy(EngineCode.QUEUE_FULL)))
        _deliver(refused)

    def _start_checks(self) -> None:
        """Send signatures to be verified; a handful is verified at once."""
        while len(self._queue) and len(self._verifying) < 4:
            refused: list[tuple[Waiting, Failed]] = []
            chunk: list[_Admitted] = []
            now_ms = self._now_ms()
            for tx, waiting in self._queue.take(SIGNATURE_CHUNK_MAX):
                try:
                    chunk.append(_Admitted(tx, waiting, prepare(tx, self.ledger, now_ms)))
                except NotIncludable as error:
                    refused.append((waiting, error))
            _deliver(refused)
            count = sum([len(one.checks) for one in chunk])
            if count <= INLINE_CHECKS_MAX and not self._verifying:
                self._take_verdicts(chunk, [hold(one.checks) for one in chunk])
            elif chunk:
                if self._helper is None:
                    self._helper = Helper()
                self._helper.send([check for one in chunk for check in one.checks])
                self._verifying.append(chunk)

    def _finish_checks(self) -> None:
        while self._verifying and self._helper:
            if not select.select([self._helper.fileno()], [], [], 0)[0]:
                return
            chunk = self._verifying.popleft()
            count = sum([len(one.checks) for one in chunk])
            answer = self._helper.receive(count)
            if len(answer) < count:
                raise Failed(EngineCode.HELPER_ENDED)
            at = 0
            verdicts = []
            for one in chunk:
                verdicts.append(0 not in answer[at:at + len(one.checks)])
                at += len(one.checks)
            self._take_verdicts(chunk, verdicts)

    def _take_verdicts(self, chunk: list[_Admitted], verdicts: list[bool]) -> None:
        refused: list[tuple[Waiting, Failed]] = []
        for one, good in zip(chunk, verdicts, strict=True):
            if good:
                self._ready.append(one)
            else:
                refused.append((one.waiting, NotIncludable(KernelCode.SIGNATURE_NOT_VALID)))
        _deliver(refused)

    def _run_block(self) -> None:
        """Execute what is verified, and due timers; write the block and hand it to the syncer."""
        now_ms = max(self.ledger.time_ms + 1, self.clock.now_ms())
        due_ms = self.ledger.next_due_ms()
        if not self._ready and (due_ms is None or due_ms > now_ms):
            return
        txs, waiting = self._take_block(now_ms)
        applied = self.ledger.executor.apply(self.ledger, self.ledger.height + 1, now_ms, txs)
        if applied.appended is None:
            return
        checkpoint = note.sign(note.Checkpoint(origin(self.chain), applied.appended.size, applied.appended.root),
                               self._key_name, self._key)
        self.ledger.write(applied, checkpoint)
        found = []
        for outcome in applied.outcomes:
            if outcome.tx is not None:
                found.append((outcome.index, waiting.pop(outcome.tx.id)))
        self._room.acquire()
        self._to_sync.put(Written(applied, checkpoint, found))

    def _take_block(self, now_ms: int) -> tuple[list[Tx], dict[bytes, Waiting]]:
        """The next block's transactions: still in their window, none twice."""
        txs: list[Tx] = []
        waiting: dict[bytes, Waiting] = {}
        refused: list[tuple[Waiting, Failed]] = []
        size = 0
        taken = 0
        for one in self._ready:
            if len(txs) == BLOCK_TXS_MAX or size + len(one.tx.raw) > BLOCK_BYTES_MAX:
                break
            taken += 1
            tx = one.tx
            if tx.expires_at_ms <= now_ms:
                refused.append((one.waiting, NotIncludable(KernelCode.TX_EXPIRED)))
            elif tx.id in waiting or self.ledger.executed(tx.minute, tx.short_id):
                refused.append((one.waiting, NotIncludable(KernelCode.ALREADY_EXECUTED)))
            else:
                txs.append(tx)
                waiting[tx.id] = one.waiting
                size += len(tx.raw)
        del self._ready[:taken]
        _deliver(refused)
        return txs, waiting

    # -- the syncing thread

    def _sync(self) -> None:
        finished = False
        try:
            while not finished:
                blocks = [self._to_sync.get()]
                while not self._to_sync.empty():
                    blocks.append(self._to_sync.get())
                written = [block for block in blocks if isinstance(block, Written)]
                if written:
                    self.ledger.store.sync()
                    self._acknowledge(written)
                for block in blocks:
                    if isinstance(block, threading.Event):
                        block.set()
                finished = None in blocks
        finally:                          # a failed sync: nobody hears of these blocks, the node stops
            if not finished:
                self._fail(sys.exc_info()[1])

    def _acknowledge(self, written: list[Written]) -> None:
        """The blocks are durable: note it, move the tip, tell everyone who waits."""
        last = written[-1].applied
        self._acknowledged.note(last.height)
        self.synced_height = last.height
        self.synced_at_ms = self.clock.monotonic_ms()
        results: list[tuple[Waiting, Result]] = []
        for block in written:
            applied = block.applied
            for index, waiting in block.waiting:
                outcome = applied.outcomes[index]
                results.append((waiting, Committed(
                    applied.height, index, applied.time_ms, outcome.code, outcome.tx.id,  # type: ignore[union-attr]
                    outcome.leaf, outcome.events, block.checkpoint, applied.appended)))  # type: ignore[arg-type]
            self._room.release()
            if self._on_block:
                self._on_block(applied)
        _deliver(results)

    def _fail(self, error: BaseException | None) -> None:
        """Stop before lying: everybody who waits hears that it is not known what became of theirs."""
        self.failed = error
        stopped = Failed(EngineCode.ENGINE_STOPPED, str(error))
        waiting = [one for _, one in self._inbox] + [one.waiting for one in self._ready]
        waiting += [one.waiting for chunk in self._verifying for one in chunk]
        waiting += [one for _, one in self._queue.take(2 * QUEUE_TXS_MAX)]
        while not self._to_sync.empty():
            block = self._to_sync.get()
            if isinstance(block, Written):
                waiting += [one for _, one in block.waiting]
        self._inbox.clear()
        _deliver([(one, stopped) for one in waiting])
        while self._asked:
            self._asked.popleft()[1].set_exception(stopped)


def _deliver(results: list[tuple[Waiting, Result]] | list[tuple[Waiting, Failed]]) -> None:
    by_outlet: dict[int, tuple[Outlet, list[tuple[object, Result]]]] = {}
    for (outlet, ticket), result in results:
        by_outlet.setdefault(id(outlet), (outlet, []))[1].append((ticket, result))
    for outlet, found in by_outlet.values():
        outlet.deliver(found)


class _Acknowledged:
    """The last acknowledged height, outside the store: a lower bound that a lost log tail cannot hide.

    Written before each answer, not synced. A flipped last record of the log would else pass for a torn one.
    """

    def __init__(self, file: Path):
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        data = os.pread(self._descriptor, 8, 0)
        self.height = int.from_bytes(data, "big") if len(data) == 8 else 0

    def note(self, height: int) -> None:
        os.pwrite(self._descriptor, height.to_bytes(8, "big"), 0)
        self.height = height

    def close(self) -> None:
        os.close(self._descriptor)
