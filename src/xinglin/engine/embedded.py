"""The embedded engine: one process orders, executes and makes durable; evidence of integrity, not BFT.

Three hands: callers read their bytes and queue them; one thread admits, executes and writes blocks; another
syncs what was written and only then lets anyone hear of it. Signatures are verified in a helper process while
there are many, here while there are few. Blocks are pipelined: one syncs while the next executes.

Whoever was let in hears exactly once: of a synced outcome, of what is wrong with the bytes, or that the
engine has stopped, when it is not known what became of them. All but the last is told by the syncing thread,
in order, so that no answer rests on what could still be lost. After any failure nothing more is written.
"""

import itertools
import select
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from xinglin import failpoint
from xinglin.base import note
from xinglin.base.check import Busy, Failed, invariant
from xinglin.base.crypto import SigningKey, self_test
from xinglin.base.history import Appended
from xinglin.base.limits import (
    BLOCK_BYTES_MAX,
    BLOCK_TXS_MAX,
    BLOCK_UNITS_MAX,
    CLOCK_BEHIND_MS_MAX,
    SIGNATURE_CHUNK_MAX,
    SIGNATURE_CHUNK_MIN,
)
from xinglin.base.units import MS_PER_HOUR
from xinglin.engine import acknowledged
from xinglin.engine.acknowledged import Acknowledged
from xinglin.engine.alarm import require_no_alarm, write_alarm
from xinglin.engine.asked import Asked
from xinglin.engine.budget import Budget
from xinglin.engine.clock import Clock
from xinglin.engine.codes import EngineCode
from xinglin.engine.door import Door
from xinglin.engine.fair_queue import FairQueue
from xinglin.engine.ledger import Ledger
from xinglin.engine.signatures import Helper, hold
from xinglin.engine.wake_up import WakeUp
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.executor import Applied
from xinglin.kernel.genesis import chain_id
from xinglin.kernel.quota import cost
from xinglin.kernel.receipt import InHistory, origin
from xinglin.kernel.tx import Check, NotIncludable, Reader, Tx, prepare

T = TypeVar("T")

INLINE_CHECKS_MAX = 2              # so few signatures are verified here: a pipe and back costs more
UNSYNCED_BLOCKS_MAX = 8            # written and not yet synced; then the executor waits
CHUNKS_VERIFYING_MAX = 4           # at the helper at once, so that it never waits for the next
HELPER_DEATHS_MAX = 3              # in a row, without an answer between: then something is wrong with this machine
LONGEST_SLEEP_S = 60.0             # a machine that was suspended looks at the time at least this often


class Committed(NamedTuple):
    """A synced outcome, and what its receipt is made of. Paths are shared by the block's receipts."""

    height: int
    index: int  # type: ignore[assignment]  # nobody misses the tuple's own
    time_ms: int
    code: int
    tx_id: bytes
    leaf: bytes
    events: bytes
    closing: bytes
    checkpoint: bytes
    appended: Appended

    def proved(self) -> InHistory:
        """The outcome's leaf with its path to the checkpoint."""
        at = self.appended.first + self.index
        return InHistory(leaf=self.leaf, index=at, path=tuple(self.appended.path(at)))

    def proved_closing(self) -> InHistory:
        """The closing leaf of its block, likewise."""
        at = self.appended.size - 1
        return InHistory(leaf=self.closing, index=at, path=tuple(self.appended.path(at)))


Result = Committed | Failed


class Outlet(Protocol):
    """Where results go: all of one block's results for one outlet in one call, which must be quick.

    Called by one thread at a time. What it raises stops the engine, once everyone else has heard.
    """

    def deliver(self, results: list[tuple[object, Result]]) -> None: ...


class Waiting(NamedTuple):
    """Someone waits for what becomes of a transaction; `ticket` is theirs."""

    outlet: Outlet
    ticket: object


# Below, a transaction under way goes with its number in `_unanswered`.

class _Admitted(NamedTuple):
    tx: Tx
    number: int
    checks: list[Check]


class _Written(NamedTuple):
    """A block in the store, not yet synced."""

    applied: Applied
    checkpoint: bytes
    numbers: list[tuple[int, int]]          # (outcome index, whose)


_Refused = list[tuple[int, Failed]]         # told once all that was written before is synced


class Embedded:
    """Open it, submit bytes, close it. `on_block` hears of every synced block, in order."""

    def __init__(self, folder: Path, ledger: Ledger, clock: Clock, checkpoint_name: str,
                 checkpoint_key: SigningKey, on_block: Callable[[Applied], None] | None = None,
                 inline_checks_max: int = INLINE_CHECKS_MAX):
        self.ledger = ledger
        self.clock = clock
        self.reader = Reader(ledger.network, ledger.hashes, ledger.modules)
        self.chain = chain_id(ledger.manifest)
        self._key_name, self._key = checkpoint_name, checkpoint_key
        self._on_block = on_block
        self._inline_checks_max = inline_checks_max
        self.synced_height = ledger.height
        self.synced_at_ms = clock.monotonic_ms() - MS_PER_HOUR   # a tip found at start is old until one is made
        self.failed: BaseException | None = None
        self._numbers = itertools.count()
        self._unanswered: dict[int, Waiting] = {}
        self._queue: FairQueue[tuple[Tx, int]] = FairQueue()
        self._queueing = threading.Lock()
        self._budget = Budget(ledger)
        self._door = Door(ledger, clock, self._budget)
        self._verifying: deque[list[_Admitted]] = deque()
        self._ready: list[_Admitted] = []
        self._helper: Helper | None = None
        self._helper_deaths = 0
        self._asked: deque[Asked[Any]] = deque()
        self._to_sync: SimpleQueue[_Written | _Refused | threading.Event | None] = SimpleQueue()
        self._all_synced = threading.Event()
        self._room = threading.Semaphore(UNSYNCED_BLOCKS_MAX)
        self._sleeping = False
        self._stopping = False
        self._ended = False
        self._closing = threading.Lock()
        self._closed = False
        self._folder = folder
        self._executor = threading.Thread(target=self._execute, name="executor", daemon=True)
        self._syncer = threading.Thread(target=self._sync, name="syncer", daemon=True)
        self._acknowledged = Acknowledged(folder / acknowledged.NAME)
        self._wake_up = WakeUp()
        try:
            self._check_start()
            self._syncer.start()          # first: the executing thread waits for its end
            self._executor.start()
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """The start was refused or interrupted: end what runs, so that the opener can close the store."""
        self._stopping = True             # an executing thread that only now comes up ends at once
        if self._executor.ident is not None:
            self.wake()
            self._executor.join()
        elif self._syncer.ident is not None:
            self._to_sync.put(None)
            self._syncer.join()
        self._acknowledged.close()
        self._wake_up.close()

    def _check_start(self) -> None:
        """Errors  Failed ALARM_STANDS, CLOCK_BEHIND_TIP, TIP_BEHIND_ACKNOWLEDGED."""
        require_no_alarm(self._folder)
        self_test()
        behind = self.ledger.time_ms - self.clock.now_ms()
        if behind > CLOCK_BEHIND_MS_MAX:
            raise Failed(EngineCode.CLOCK_BEHIND_TIP, f"{behind} ms")
        if self.ledger.height < self._acknowledged.height:
            raise Failed(EngineCode.TIP_BEHIND_ACKNOWLEDGED,
                         f"the store ends at {self.ledger.height}, {self._acknowledged.height} was acknowledged")

    # -- for callers

    def submit(self, raw: bytes, waiting: Waiting) -> None:
        """Order these bytes; `waiting` hears once, unless this raises.

        They are read here, by whoever brings them, so that a flood is turned away at the door and by its payer.

        Errors  NotIncludable when they are no transaction; Busy QUEUE_FULL, LANE_USED_UP, SECOND_USED_UP,
                SUBJECT_SHARE_USED_UP, PATIENTS_SHARE_USED_UP; Failed ENGINE_STOPPED.
        """
        if self.failed is not None or self._stopping:
            raise self._stopped()
        tx = self.reader.read(raw)
        payer, subject, in_lane = self._door.place(tx)
        number = next(self._numbers)
        self._unanswered[number] = waiting
        with self._queueing:
            room = (self._queue.put_in_lane(subject, (tx, number)) if in_lane
                    else self._queue.put(payer, (tx, number), subject))
        if not room and self._unanswered.pop(number, None) is not None:     # else it has just heard of the end
            raise Busy(EngineCode.QUEUE_FULL)
        self._look()

    def ask(self, question: Callable[[Ledger], T]) -> "Future[T]":
        """Run `question` on the ledger between blocks, when all that is written is also synced.

        Errors  Failed ENGINE_STOPPED, also in the future; and there whatever the question raises.
        """
        if self.failed is not None or self._stopping:
            raise self._stopped()
        asked = Asked(question)
        self._asked.append(asked)
        self._look()
        return asked.answer

    def sign_with(self, key: SigningKey) -> None:
        """Sign checkpoints with this key from the next block on. Called as a question: between blocks."""
        self._key = key

    def wake(self) -> None:
        """Look at the clock and the queue now."""
        self._wake_up.send()

    def raise_alarm(self, error: Failed) -> None:
        """The store lies: stop, and leave a word that keeps anyone from starting again unseen. From any thread.

        Errors  Failed DISK_FULL, STORE_NOT_USABLE for the word; it has stopped all the same.
        """
        self._stop(error)
        write_alarm(self._folder, error)

    def runs_here(self) -> bool:
        """Whether the calling thread is one of the engine's own, which must not wait for the engine."""
        return threading.current_thread() in (self._executor, self._syncer)

    def close(self) -> None:
        """Finish what is under way, sync, snapshot, close the store. A second call waits for the first.

        Errors  Failed DISK_FULL, STORE_NOT_USABLE for the snapshot; it is closed all the same.
        """
        invariant(not self.runs_here(), "the engine is not closed by its own threads")
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._stopping = True
            self.wake()
            self._executor.join()
            if self._helper:
                self._helper.close()
            self._acknowledged.close()
            self._wake_up.close()
            if self.failed is None:
                self.ledger.close()
            else:
                with suppress(Failed):    # a store whose writes failed says so once more
                    self.ledger.store.close()

    def _look(self) -> None:
        """Something was put where the executing thread finds it, if it is still there."""
        if self._ended:
            self._answer_rest()
        elif self._sleeping:
            self._sleeping = False        # once: each further write would hand over the interpreter's lock
            self.wake()

    # -- the executing thread

    def _execute(self) -> None:
        try:
            while self.failed is None and (not self._stopping or self._has_work()):
                self._wait()
                self._start_checks()
                self._finish_checks()
                self._run_block()
                self._answer()
        except Failed as error:           # of the disk, the helper: it says what to do
            self._stop(error)
        except BaseException as error:    # a bug: with its traceback
            self._stop(error)
            raise
        finally:                          # what is written may still be synced and told; the rest is not known
            self._to_sync.put(None)
            self._syncer.join()
            self._ended = True
            self._answer_rest()

    def _has_work(self) -> bool:
        return bool(self._queue or self._verifying or self._ready or self._asked)

    def _answer(self) -> None:
        """Answer what was asked, once nothing that the ledger shows could still be lost."""
        if not self._asked:
            return
        self._all_synced.clear()
        if self.failed is None:
            self._to_sync.put(self._all_synced)
            self._all_synced.wait()
        if self.failed is not None:
            return
        for _ in range(len(self._asked)):
            self._asked.popleft().answer_from(self.ledger)

    def _wait(self) -> None:
        """Sleep until there is something to do: bytes, verified signatures, a due timer, the end."""
        descriptors = [self._wake_up.fileno()]
        if self._verifying and self._helper:
            descriptors.append(self._helper.fileno())
        timeout = self._until_next_timer() if self._is_idle() else 0.0
        self._sleeping = True
        if not self._is_idle():           # again: whoever came before `_sleeping` was set did not wake us
            timeout = 0.0
        readable, _, _ = select.select(descriptors, [], [], timeout)
        self._sleeping = False
        if self._wake_up.fileno() in readable:
            self._wake_up.receive()

    def _is_idle(self) -> bool:
        if self._asked or self._ready or self.failed is not None:
            return False
        return bool(self._verifying) or not (self._queue or self._stopping)

    def _until_next_timer(self) -> float:
        due_ms = self.ledger.next_due_ms()
        if due_ms is None:
            return LONGEST_SLEEP_S
        return min(max(due_ms - self.clock.now_ms(), 0) / 1000, LONGEST_SLEEP_S)

    def _now_ms(self) -> int:
        return max(self.ledger.time_ms, self.clock.now_ms())

    def _start_checks(self) -> None:
        """Send signatures to be verified; a handful is verified at once."""
        while self._queue and len(self._verifying) < CHUNKS_VERIFYING_MAX:
            refused: _Refused = []
            chunk: list[_Admitted] = []
            now_ms = self._now_ms()
            with self._queueing:
                share = len(self._queue) // CHUNKS_VERIFYING_MAX
                taken = self._queue.take(min(max(share, SIGNATURE_CHUNK_MIN), SIGNATURE_CHUNK_MAX))
            for tx, number in taken:
                try:
                    chunk.append(_Admitted(tx, number, prepare(tx, self.ledger, now_ms)))
                except NotIncludable as error:
                    self._door.distrust(tx)
                    refused.append((number, error))
            self._refuse(refused)
            count = sum([len(one.checks) for one in chunk])
            if count <= self._inline_checks_max and not self._verifying:
                self._take_verdicts(chunk, [hold(one.checks) for one in chunk])
            elif chunk:
                self._verifying.append(chunk)
                self._send(chunk)

    def _send(self, chunk: list[_Admitted]) -> None:
        if self._helper is None:
            self._helper = Helper()
        try:
            self._helper.send([check for one in chunk for check in one.checks])
        except BrokenPipeError:
            self._do_without(self._helper)

    def _finish_checks(self) -> None:
        while self._verifying and self._helper:
            if not select.select([self._helper.fileno()], [], [], 0)[0]:
                return
            chunk = self._verifying[0]
            count = sum([len(one.checks) for one in chunk])
            answer = self._helper.receive(count)
            if len(answer) < count:
                self._do_without(self._helper)
                return
            self._helper_deaths = 0
            self._verifying.popleft()
            at = 0
            verdicts = []
            for one in chunk:
                verdicts.append(0 not in answer[at:at + len(one.checks)])
                at += len(one.checks)
            self._take_verdicts(chunk, verdicts)

    def _do_without(self, helper: Helper) -> None:
        """It was killed: verify here what it had, and start another when there is more.

        Errors  Failed HELPER_ENDED when it keeps dying.
        """
        helper.close()
        self._helper = None
        self._helper_deaths += 1
        if self._helper_deaths == HELPER_DEATHS_MAX:
            raise Failed(EngineCode.HELPER_ENDED)
        while self._verifying:
            chunk = self._verifying.popleft()
            self._take_verdicts(chunk, [hold(one.checks) for one in chunk])

    def _take_verdicts(self, chunk: list[_Admitted], verdicts: list[bool]) -> None:
        refused: _Refused = []
        for one, good in zip(chunk, verdicts, strict=True):
            if good:
                self._ready.append(one)
            else:
                self._door.distrust(one.tx)
                refused.append((one.number, NotIncludable(KernelCode.SIGNATURE_NOT_VALID)))
        self._refuse(refused)

    def _refuse(self, refused: _Refused) -> None:
        if refused:
            self._to_sync.put(refused)

    def _run_block(self) -> None:
        """Execute what is verified, and due timers; write the block and hand it to the syncer."""
        now_ms = max(self.ledger.time_ms + 1, self.clock.now_ms())
        due_ms = self.ledger.next_due_ms()
        if not self._ready and (due_ms is None or due_ms > now_ms):
            return
        txs, numbers, refused = self._take_block(now_ms)
        applied = self.ledger.executor.apply(self.ledger, self.ledger.height + 1, now_ms, txs)
        if applied.appended is None:
            self._refuse(refused)
            return
        checkpoint = note.sign(note.Checkpoint(origin(self.chain), applied.appended.size, applied.appended.root),
                               self._key_name, self._key)
        self._room.acquire()
        if self.failed is not None:       # a sync failed: nothing may be written after it
            return
        self.ledger.write(applied, checkpoint)
        found = [(outcome.index, numbers[outcome.tx.id]) for outcome in applied.outcomes if outcome.tx is not None]
        self._to_sync.put(_Written(applied, checkpoint, found))
        self._refuse(refused)             # behind the block: it may hold what a copy was refused for

    def _take_block(self, now_ms: int) -> tuple[list[Tx], dict[bytes, int], _Refused]:
        """The next block's transactions, still in their window, none twice; whose they are; who is refused."""
        txs: list[Tx] = []
        numbers: dict[bytes, int] = {}
        refused: _Refused = []
        self._budget.start_block(now_ms)
        size = units = taken = 0
        for one in self._ready:
            tx = one.tx
            price = cost(tx.specs, len(tx.raw))
            if len(txs) == BLOCK_TXS_MAX or size + len(tx.raw) > BLOCK_BYTES_MAX or units + price > BLOCK_UNITS_MAX:
                break
            taken += 1
            if tx.expires_at_ms <= now_ms:
                refused.append((one.number, NotIncludable(KernelCode.TX_EXPIRED)))
            elif tx.id in numbers or self.ledger.executed(tx.minute, tx.short_id):
                self._door.distrust(tx)
                refused.append((one.number, NotIncludable(KernelCode.ALREADY_EXECUTED)))
            elif busy := self._budget.take(tx, price):
                refused.append((one.number, Busy(busy)))
            else:
                txs.append(tx)
                numbers[tx.id] = one.number
                size += len(tx.raw)
                units += price
        del self._ready[:taken]
        return txs, numbers, refused

    # -- the syncing thread

    def _sync(self) -> None:
        try:
            last = False
            while not last:
                found = [self._to_sync.get()]
                while not self._to_sync.empty():
                    found.append(self._to_sync.get())
                written = [one for one in found if isinstance(one, _Written)]
                if written:
                    failpoint.hit("sync")
                    self.ledger.store.sync()
                    failpoint.hit("synced")
                    self._acknowledge(written)
                for one in found:
                    if isinstance(one, list):
                        self._tell(one)
                    elif isinstance(one, threading.Event):
                        one.set()
                last = None in found
        except Failed as error:           # a failed sync: nobody hears of these blocks
            self._stop(error)
        except BaseException as error:
            self._stop(error)
            raise

    def _acknowledge(self, written: list[_Written]) -> None:
        """The blocks are durable: note it, move the tip, tell everyone who waits."""
        last = written[-1].applied
        failpoint.hit("acknowledge")
        self._acknowledged.note(last.height)
        failpoint.hit("acknowledged")
        self.synced_height = last.height
        self.synced_at_ms = self.clock.monotonic_ms()
        results: list[tuple[int, Result]] = []
        for block in written:
            self._room.release()
            applied = block.applied
            for index, number in block.numbers:
                outcome = applied.outcomes[index]
                results.append((number, Committed(
                    applied.height, index, applied.time_ms, outcome.code, outcome.tx.id,  # type: ignore[union-attr]
                    outcome.leaf, outcome.events, applied.closing, block.checkpoint, applied.appended)))  # type: ignore[arg-type]
        try:
            if self._on_block:
                for block in written:
                    self._on_block(block.applied)
        finally:                          # it is durable, whatever a listener makes of it
            failpoint.hit("deliver")
            self._tell(results)
        failpoint.hit("delivered")

    # -- answers, and the end

    def _tell(self, results: "list[tuple[int, Result]] | _Refused") -> None:
        by_outlet: dict[int, tuple[Outlet, list[tuple[object, Result]]]] = {}
        for number, result in results:
            outlet, ticket = self._unanswered.pop(number)
            by_outlet.setdefault(id(outlet), (outlet, []))[1].append((ticket, result))
        with ExitStack() as everyone:     # one that raises keeps nobody else from hearing
            for outlet, found in by_outlet.values():
                everyone.callback(outlet.deliver, found)

    def _stop(self, error: BaseException) -> None:
        """Stop before lying: whichever thread failed, the other must neither go on nor wait for it."""
        self.failed = self.failed or error
        self._room.release()
        self._all_synced.set()
        self.wake()

    def _stopped(self) -> Failed:
        return Failed(EngineCode.ENGINE_STOPPED, str(self.failed or ""))

    def _answer_rest(self) -> None:
        """The engine has ended: whoever still waits hears that it is not known what became of theirs."""
        stopped = self._stopped()
        with ExitStack() as everyone:
            for number in list(self._unanswered):
                waiting = self._unanswered.pop(number, None)   # the thread that pops it answers it
                if waiting is not None:
                    everyone.callback(waiting.outlet.deliver, [(waiting.ticket, stopped)])
        while self._asked:
            asked = _pop_left(self._asked)
            if asked is not None:
                asked.stop(stopped)


def _pop_left(asked: "deque[Asked[Any]]") -> "Asked[Any] | None":
    """None when another thread was faster."""
    try:
        return asked.popleft()
    except IndexError:
        return None
