"""Whoever was let in hears exactly once, whatever fails, and after a failure nothing more is written."""

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from homes import Home, Replay, home
from xinglin.base.check import Busy, Failed, InvariantBroken, NotFound
from xinglin.engine import embedded
from xinglin.engine.codes import EngineCode
from xinglin.engine.embedded import Committed, Result, Waiting
from xinglin.engine.fair_queue import FairQueue
from xinglin.engine.ledger import Ledger
from xinglin.engine.store import Batch
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.executor import Applied
from xinglin.kernel.tx import NotIncludable, Tx
from xinglin.node import Node, NodeCode

SOON = 20       # seconds; what takes longer hangs
FULL = Failed(EngineCode.DISK_FULL, "No space left on device")


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path / "home") as made:
        yield made.furnished()


class Counting:
    """An outlet that keeps all it hears, and may be broken."""

    def __init__(self, broken: Exception | None = None):
        self.heard: list[tuple[object, Result]] = []
        self.broken = broken

    def deliver(self, results: list[tuple[object, Result]]) -> None:
        self.heard += results
        if self.broken:
            raise self.broken


def many(one: Home, count: int) -> list[bytes]:
    return [one.raw(one.world.register("A.service", f"s{number}")) for number in range(count)]


def raising(error: BaseException, after: int = 0) -> Callable[..., Any]:
    """A stand-in for a call of the operating system: it fails, for good, after some calls."""
    calls = iter(range(after))

    def fail(*_: Any, **__: Any) -> None:
        if next(calls, None) is None:
            raise error
    return fail


@contextmanager
def held(node: Node) -> Iterator[None]:
    """The executing thread stands still at a question meanwhile."""
    began, may_go_on = threading.Event(), threading.Event()

    def hold(_: Ledger) -> None:
        began.set()
        may_go_on.wait(SOON)
    asked = node.engine.ask(hold)
    began.wait(SOON)
    yield
    may_go_on.set()
    asked.result(SOON)


def settled(futures: list["Future[Committed]"]) -> list[Committed | BaseException]:
    return [future.exception(SOON) or future.result() for future in futures]


def sent(node: Node, raws: list[bytes]) -> "list[Future[Committed]]":
    """As many as were let in: the engine may stop meanwhile."""
    futures = []
    for raw in raws:
        try:
            futures.append(node.submit(raw))
        except Failed as error:
            assert error.code is EngineCode.ENGINE_STOPPED
            break
    return futures


def ended(node: Node) -> None:
    """Wait for the engine's threads."""
    node.engine._executor.join(SOON)
    assert not node.engine._executor.is_alive() and not node.engine._syncer.is_alive()


# -- everybody hears once

def test_a_mixture_of_good_forged_and_repeated_transactions_gets_one_answer_each(one: Home) -> None:
    good = many(one, 200)
    outlet = Counting()
    sent = [raw for at, raw in enumerate(good) for raw in ((raw, raw) if at % 3 == 0 else (raw, raw[:-1] + b"."))]
    with held(one.node):                  # or the door turns away what comes after the first forged one
        for ticket, raw in enumerate(sent):
            one.node.engine.submit(raw, Waiting(outlet, ticket))
    one.node.close()

    assert Counter(ticket for ticket, _ in outlet.heard) == Counter(range(len(sent)))
    found = [sent[ticket] for ticket, result in outlet.heard if isinstance(result, Committed)]  # type: ignore[call-overload]
    assert sorted(found) == sorted(good)


def test_bytes_that_are_no_transaction_are_refused_on_the_spot_and_take_up_nothing(one: Home) -> None:
    raw = one.raw(one.world.register("A.service", "s"))
    outlet = Counting()
    for bad, code in ((b"", KernelCode.TX_NOT_UNDERSTOOD), (raw[:-1], KernelCode.TX_NOT_UNDERSTOOD),
                      (raw + b"\0", KernelCode.TX_NOT_UNDERSTOOD), (bytes(10**7), KernelCode.TX_TOO_LARGE)):
        with pytest.raises(NotIncludable) as refused:
            one.node.engine.submit(bad, Waiting(outlet, bad))
        assert refused.value.code is code
    one.node.close()
    assert not outlet.heard and not one.node.engine._unanswered


def test_a_second_copy_of_what_is_under_way_is_told_only_when_the_first_is_durable(one: Home) -> None:
    raw = one.raw(one.world.register("A.service", "s"))
    outlet = Counting()
    with held(one.node):                  # so that all of them are there when the block is made
        for ticket in range(3):
            one.node.engine.submit(raw, Waiting(outlet, ticket))
    one.node.close()

    first, *others = [result for _, result in outlet.heard]
    assert isinstance(first, Committed)
    assert [result.code for result in others] == [KernelCode.ALREADY_EXECUTED] * 2


def test_close_answers_what_was_submitted_before_it(one: Home) -> None:
    futures = [one.node.submit(raw) for raw in many(one, 300)]
    one.node.close()
    assert all(isinstance(result, Committed) for result in settled(futures))


def test_a_closed_node_takes_and_tells_nothing(one: Home) -> None:
    raw = one.raw(one.world.register("A.service", "s"))
    one.node.close()
    one.node.close()
    one.node.engine.wake()
    for late in (lambda: one.node.submit(raw), lambda: one.node.ask(lambda ledger: ledger.height), one.node.settle):
        with pytest.raises(Failed) as stopped:
            late()
        assert stopped.value.code is EngineCode.ENGINE_STOPPED


def test_submitting_from_many_threads_while_it_closes_leaves_nobody_without_an_answer(one: Home) -> None:
    raws = many(one, 600)
    futures: list[Future[Any]] = []

    def client(mine: list[bytes]) -> None:
        for raw in mine:
            try:
                futures.append(one.node.submit(raw))
                futures.append(one.node.engine.ask(lambda ledger: ledger.height))
            except Failed as error:
                assert error.code is EngineCode.ENGINE_STOPPED
                return
    clients = [threading.Thread(target=client, args=(raws[at::6],)) for at in range(6)]
    for thread in clients:
        thread.start()
    time.sleep(0.05)
    one.node.close()
    for thread in clients:
        thread.join(SOON)

    for result in settled(futures):
        assert isinstance(result, Committed | int) or getattr(result, "code", 0) == EngineCode.ENGINE_STOPPED
    one.node = one._open()
    one.node.ask(Replay(one.world).follow)


def test_who_is_overtaken_by_the_end_hears_of_it(one: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let in a moment before it and queued a moment after: the executing thread ends in between."""
    engine, raw = one.node.engine, one.raw(one.world.register("A.service", "s"))
    read = engine.reader.read

    def slow_read(data: bytes) -> Tx:
        engine._stop(FULL)
        ended(one.node)
        return read(data)
    monkeypatch.setattr(type(engine.reader), "read", lambda _, data: slow_read(data))
    with pytest.raises(Failed, match="DISK_FULL"):
        one.node.submit(raw).result(SOON)
    assert not engine._unanswered


def test_what_comes_while_the_executing_thread_falls_asleep_wakes_it(
        one: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has seen that there is nothing to do, and has not yet said that it sleeps."""
    engine, raw = one.node.engine, one.raw(one.world.register("A.service", "s"))
    futures: list[Future[Committed]] = []

    def submit_now() -> float:
        if not futures:
            futures.append(one.node.submit(raw))
        return embedded.LONGEST_SLEEP_S
    monkeypatch.setattr(engine, "_until_next_timer", submit_now)
    engine.wake()
    while not futures:
        time.sleep(0.01)
    assert futures[0].result(SOON).code == 0


def test_two_threads_may_close_at_once(one: Home) -> None:
    futures = [one.node.submit(raw) for raw in many(one, 100)]
    closing = [threading.Thread(target=one.node.close) for _ in range(4)]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join(SOON)
        assert not thread.is_alive()
    assert all(isinstance(result, Committed) for result in settled(futures))


# -- what callers do

def test_a_future_that_its_caller_gave_up_disturbs_nobody(one: Home) -> None:
    futures = [one.node.submit(raw) for raw in many(one, 50)]
    assert not any(future.cancel() for future in futures)      # ordered is ordered
    assert all(isinstance(result, Committed) for result in settled(futures))


def test_a_cancelled_await_disturbs_nobody(one: Home) -> None:
    async def give_up() -> None:
        waiting = [asyncio.create_task(one.node.order_async(raw)) for raw in many(one, 50)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    asyncio.run(give_up())
    one.done(one.world.register("A.service", "after"))


def test_a_question_that_was_given_up_is_not_asked(one: Home) -> None:
    asked: list[str] = []
    with held(one.node):
        second = one.node.engine.ask(lambda _: asked.append("second"))
        assert second.cancel()
    one.node.ask(lambda _: asked.append("third"))
    assert asked == ["third"]
    with pytest.raises(CancelledError):
        second.result(0)


@pytest.mark.parametrize("error", [IndexError("no such"), InvariantBroken("a key is 16 bytes"),
                                   NotFound(NodeCode.TX_NOT_FOUND), SystemExit(3)], ids=repr)
def test_what_a_question_raises_is_for_who_asked_it(one: Home, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        one.node.ask(raising(error))
    assert raised.value is error
    one.done(one.world.register("A.service", "after"))


def test_a_question_sees_only_what_is_durable(one: Home) -> None:
    """Also while blocks are under way: what the tip shows has been synced."""
    futures = [one.node.submit(raw) for raw in many(one, 400)]
    seen = [one.node.ask(lambda ledger: (ledger.height, one.node.engine.synced_height)) for _ in range(20)]
    assert all(height == synced for height, synced in seen)
    assert all(isinstance(result, Committed) for result in settled(futures))


def test_a_listener_or_question_that_waits_for_its_own_engine_is_an_error_and_no_deadlock(one: Home) -> None:
    with pytest.raises(InvariantBroken):
        one.node.ask(lambda _: one.node.ask(lambda ledger: ledger.height))
    with pytest.raises(InvariantBroken):
        one.node.ask(lambda _: one.node.close())
    found: list[InvariantBroken] = []

    def listener(_: Applied) -> None:
        try:
            one.node.settle()
        except InvariantBroken as error:
            found.append(error)
    one.node.subscribe(listener)
    one.done(one.world.register("A.service", "s"))
    assert len(found) == 1


def test_the_queue_being_full_is_said_and_costs_the_others_nothing(one: Home) -> None:
    one.node.engine._queue = FairQueue(total_max=12, per_payer_max=8)
    raws = many(one, 9)
    other = one.raw(one.world.anchor("B.service", 1))
    with held(one.node):
        futures = [one.node.submit(raw) for raw in raws[:8]]
        with pytest.raises(Busy) as busy:
            one.node.submit(raws[8])
        assert busy.value.code is EngineCode.QUEUE_FULL
        futures.append(one.node.submit(other))      # of another member
    assert all(isinstance(result, Committed) for result in settled(futures))
    assert one.node.order(raws[8]).code == 0


# -- failures of the disk: the sync, the write, a snapshot

def test_after_a_failed_sync_nobody_hears_of_its_blocks_and_nothing_is_written(
        one: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    raws = many(one, 2_000)
    store = one.node.engine.ledger.store
    syncs: list[int] = []
    late: list[object] = []
    write = store.write

    def failing_sync() -> None:
        syncs.append(1)
        time.sleep(0.1)                   # the executing thread goes on meanwhile, and must then stop
        raise FULL

    def watched_write(batch: Batch) -> None:
        if one.node.engine.failed is not None:
            late.append(batch)
        write(batch)
    monkeypatch.setattr(store, "sync", failing_sync)
    monkeypatch.setattr(store, "write", watched_write)
    tip = one.node.engine.synced_height
    futures = sent(one.node, raws)
    ended(one.node)

    assert all(getattr(result, "code", 0) is EngineCode.ENGINE_STOPPED for result in settled(futures))
    assert one.node.engine.failed is FULL
    assert one.node.engine.synced_height == tip
    assert len(syncs) == 1 and not late
    with pytest.raises(Failed, match="DISK_FULL"):
        one.node.submit(raws[0])


def test_after_a_failed_write_what_was_written_before_is_still_acknowledged(
        one: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "BLOCK_TXS_MAX", 10)
    store = one.node.engine.ledger.store
    write, fail = store.write, raising(FULL, after=3)
    monkeypatch.setattr(store, "write", lambda batch: (fail(), write(batch)))
    results = settled(sent(one.node, many(one, 100)))
    ended(one.node)
    one.node.close()

    told = [result for result in results if isinstance(result, Committed)]
    assert {result.height for result in told} == {3, 4, 5} and len(told) <= 30
    assert all(isinstance(result, Failed) and "DISK_FULL" in result.detail
               for result in results if not isinstance(result, Committed))
    monkeypatch.undo()
    one.node = one._open()
    replay = Replay(one.world)
    one.node.ask(replay.follow)
    assert all(replay.at[result.tx_id] == (result.height, result.index) for result in told)


def test_a_bug_in_a_rule_stops_the_engine_before_it_commits(one: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one.node.engine.ledger.executor, "apply", raising(InvariantBroken("a planted bug")))
    monkeypatch.setattr(threading, "excepthook", lambda _: None)      # its traceback is for the operator
    future = one.node.submit(one.raw(one.world.register("A.service", "s")))
    with pytest.raises(Failed, match="a planted bug"):
        future.result(SOON)
    ended(one.node)
    assert isinstance(one.node.engine.failed, InvariantBroken)


def test_a_snapshot_that_does_not_fit_says_so_and_the_store_is_closed(
        one: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one.node.engine.ledger.tree, "snapshot", raising(FULL))
    with pytest.raises(Failed, match="DISK_FULL"):
        one.node.close()
    one.node = one._open()
    one.done(one.world.register("A.service", "after"))


def test_a_question_that_waits_while_the_sync_fails_is_told(one: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    syncing, may_fail = threading.Event(), threading.Event()

    def failing_sync() -> None:
        syncing.set()
        may_fail.wait(SOON)
        raise FULL
    monkeypatch.setattr(one.node.engine.ledger.store, "sync", failing_sync)
    future = one.node.submit(one.raw(one.world.register("A.service", "s")))
    syncing.wait(SOON)
    waiting_all: list[Future[Any]] = [future]
    waiting_all += [one.node.engine.ask(lambda ledger: ledger.height) for _ in range(3)]
    while one.node.engine._to_sync.empty():         # until the executing thread waits for the sync too
        time.sleep(0.01)
    may_fail.set()
    for waiting in waiting_all:
        with pytest.raises(Failed, match="DISK_FULL"):
            waiting.result(SOON)


# -- failures of who listens

def test_a_listener_that_raises_stops_the_engine_after_everyone_has_heard(
        one: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    heard: list[int] = []

    def listener(applied: Applied) -> None:
        heard.append(applied.height)
        raise RuntimeError("a planted bug")
    one.node.subscribe(listener)
    future = one.node.submit(one.raw(one.world.register("A.service", "s")))
    assert future.result(SOON).code == 0            # it is durable, whatever the listener makes of it
    ended(one.node)
    assert heard == [future.result().height]
    with pytest.raises(Failed, match="a planted bug"):
        one.node.submit(one.raw(one.world.register("A.service", "t")))


def test_an_outlet_that_raises_keeps_no_other_from_hearing(one: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    outlets = [Counting(), Counting(RuntimeError("its loop is closed")), Counting()]
    for at, raw in enumerate(many(one, 9)):
        one.node.engine.submit(raw, Waiting(outlets[at % 3], at))
    ended(one.node)
    assert sorted(ticket for outlet in outlets for ticket, _ in outlet.heard) == list(range(9))  # type: ignore[type-var]


# -- the helper process

def helper_of(node: Node) -> int:
    """Its process id, once it is there."""
    assert node.engine._helper is not None
    return node.engine._helper.pid


def test_a_killed_helper_is_done_without_and_replaced(one: Home) -> None:
    assert all(isinstance(result, Committed) for result in settled([one.node.submit(raw) for raw in many(one, 100)]))
    first = helper_of(one.node)
    os.kill(first, signal.SIGKILL)
    more = [one.raw(one.world.anchor("A.service", number)) for number in range(300)]
    assert all(isinstance(result, Committed) for result in settled([one.node.submit(raw) for raw in more]))
    more = [one.raw(one.world.anchor("A.service", number)) for number in range(300)]
    assert all(isinstance(result, Committed) for result in settled([one.node.submit(raw) for raw in more]))
    assert helper_of(one.node) != first


def test_a_helper_that_dies_now_and_then_is_no_reason_to_stop(one: Home) -> None:
    for turn in range(2 * embedded.HELPER_DEATHS_MAX):
        for part in ("a", "b"):             # the first finds it dead, the second is answered by the next one
            raws = [one.raw(one.world.register("A.service", f"{turn} {part} {number}")) for number in range(60)]
            with held(one.node):
                futures = [one.node.submit(raw) for raw in raws]
            assert all(isinstance(result, Committed) for result in settled(futures))
        os.kill(helper_of(one.node), signal.SIGKILL)


def test_a_helper_killed_again_and_again_under_load_hangs_nobody(one: Home) -> None:
    stopping = threading.Event()

    def killer() -> None:
        while not stopping.wait(0.03):
            helper = one.node.engine._helper
            if helper is not None:
                try:
                    os.kill(helper.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
    killing = threading.Thread(target=killer)
    killing.start()
    results = settled(sent(one.node, many(one, 1_000)))
    stopping.set()
    killing.join()
    assert all(isinstance(result, Committed) or getattr(result, "code", 0) is EngineCode.ENGINE_STOPPED
               for result in results)
    if one.node.engine.failed:
        assert "HELPER_ENDED" in str(one.node.engine.failed)


def test_a_helper_that_cannot_live_stops_the_engine_with_its_code(
        one: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    os.kill(helper_of(one.node), signal.SIGKILL)
    results = settled(sent(one.node, many(one, 1_000)))
    ended(one.node)
    assert "HELPER_ENDED" in str(one.node.engine.failed)
    assert all(isinstance(result, Committed | Failed) for result in results)


def test_a_helper_that_cannot_be_started_stops_the_engine_with_its_code(
        one: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    os.kill(helper_of(one.node), signal.SIGKILL)
    settled(sent(one.node, many(one, 1_000)))
    ended(one.node)
    assert "HELPER_ENDED" in str(one.node.engine.failed)
    assert len(os.listdir("/proc/self/fd")) <= before
