"""Timers run when they are due: on an idle node, when simulated time moves, after a restart, many at once."""

import threading
from pathlib import Path
from typing import Any

import pytest

from homes import Home, Replay, home
from worlds import named
from xinglin.base.check import Failed, NotUnderstood
from xinglin.base.units import MS_PER_HOUR, MS_PER_MINUTE
from xinglin.engine.clock import OFFSET_MS_MAX, STEP_MS_MAX, SimulatedClock
from xinglin.engine.codes import EngineCode
from xinglin.kernel import executor
from xinglin.kernel.executor import Applied
from xinglin.kernel.outcome import TimerEnvelope
from xinglin.modules import access, consent
from xinglin.node import Node, NodeCode

ANSWER_MS = 60_000


def breaches(node: Node, subject: str = "mei") -> list[Any]:
    found = [one.events for one in node.outcomes_about(named(subject))]
    return [events for events in found if isinstance(events[0], TimerEnvelope)]


def asked(one: Home, times: int = 1) -> Home:
    """Requests of mei's record by B, each of which A must answer in time."""
    one.furnished()
    one.done(one.world.grant("mei", "B", "g1", hours=48))
    for _ in range(times):
        one.done(one.world.request("B.doctor", "mei"))
    return one


@pytest.mark.parametrize("simulated", [False, True])
def test_a_timer_runs_on_an_idle_node_by_the_clock_alone(tmp_path: Path, simulated: bool) -> None:
    with home(tmp_path / "home", simulated=simulated, answer_ms=300) as one:
        breached = threading.Event()

        def listener(applied: Applied) -> None:
            if any(outcome.tx is None for outcome in applied.outcomes):
                breached.set()
        one.node.subscribe(listener)
        asked(one)
        assert breached.wait(20)
        assert [events[1].request for events in breaches(one.node)] == [1]


def test_time_that_is_moved_runs_what_falls_due_before_advance_returns(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        asked(one)
        one.node.advance(ANSWER_MS - 30_000)
        assert not breaches(one.node)
        one.node.advance(30_000)
        ((envelope, event),) = breaches(one.node)
        assert isinstance(event, access.Breached)
        assert envelope.due_ms <= one.node.now_ms()
        one.node.advance(49 * MS_PER_HOUR)
        expired = breaches(one.node)[1]
        assert isinstance(expired[1], consent.Expired)
        one.node.ask(Replay(one.world).follow)


def test_a_timer_makes_no_block_before_it_is_due_and_an_idle_chain_stays_idle(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        asked(one)
        height = one.node.engine.synced_height
        for _ in range(5):
            one.node.advance(1_000)
            one.node.engine.wake()
        assert one.node.engine.synced_height == height


def test_what_is_due_survives_a_restart_and_runs_at_the_start(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        asked(one)
        one.node.close()
        (one.folder / "clock").write_bytes(b"%d" % (2 * MS_PER_MINUTE))     # time that passed while it was closed
        one.node = one._open()
        one.node.settle()
        assert len(breaches(one.node)) == 1
        one.reopen()
        one.node.settle()
        assert len(breaches(one.node)) == 1
        one.node.ask(Replay(one.world).follow)


def test_an_answered_request_is_no_breach(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        asked(one, times=2)
        one.done(one.world.deny("A.service", "mei", 1))
        one.reopen()
        one.node.advance(2 * ANSWER_MS)
        assert [events[1].request for events in breaches(one.node)] == [2]


@pytest.mark.parametrize("most", [1, 3, 10, 11])
def test_more_than_fit_one_block_are_carried_over_in_order_and_all_run(
        tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "TIMERS_PER_BLOCK_MAX", most)
    with home(tmp_path / "home") as one:
        asked(one, times=10)
        height = one.node.engine.synced_height
        one.node.advance(2 * ANSWER_MS)
        assert [events[1].request for events in breaches(one.node)] == list(range(1, 11))
        assert one.node.engine.synced_height - height == -(-10 // most)
        one.node.ask(Replay(one.world).follow)


def test_timers_come_before_the_transactions_of_their_block(tmp_path: Path) -> None:
    """An answer that arrives when the time is over is refused, whether or not the timer had a block of its own."""
    with home(tmp_path / "home") as one:
        asked(one)
        clock = one.node.clock
        assert isinstance(clock, SimulatedClock)
        clock.advance(ANSWER_MS + 1)                # unlike Node.advance this wakes nobody
        late = one.order(one.world.deny("A.service", "mei", 1))
        assert one.world.code(late.code) is access.Refusal.REQUEST_NOT_OPEN
        assert len(breaches(one.node)) == 1


# -- clocks that misbehave

class Jumping:
    """A wall clock that someone sets while the node runs."""

    def __init__(self, now_ms: int):
        self.time_ms = now_ms

    def now_ms(self) -> int:
        return self.time_ms

    def monotonic_ms(self) -> int:
        return self.time_ms


def test_block_time_moves_on_whatever_the_clock_does(tmp_path: Path) -> None:
    with home(tmp_path / "home", simulated=False) as one:
        one.furnished()
        clock = Jumping(one.node.now_ms())
        one.node.engine.clock = one.node.clock = clock
        times = []
        for jump in (0, -5_000, 3_000, -10**12, 0, 10**12, 30_000, -1):
            clock.time_ms += jump
            raw = one.world.transaction(one.world.request("B.doctor", "mei"),
                                        expires_at_ms=max(one.node.ask(lambda ledger: ledger.time_ms),
                                                          clock.time_ms) + 50_000)
            times.append(one.node.order(raw).time_ms)
        assert times == sorted(set(times))
        one.node.ask(Replay(one.world).follow)


# -- the simulated clock

@pytest.mark.parametrize("text", [b"", b"-5", b"+5", b" 12", b"12\n", b"1_000", b"0x10", b"1e3", b"9" * 19, b"\xff",
                                  "１２".encode(), b"12\x00"], ids=repr)
def test_a_clock_file_that_is_no_number_is_an_error_with_a_code_and_leaves_the_home_free(
        tmp_path: Path, text: bytes) -> None:
    with home(tmp_path / "home") as one:
        one.node.advance(5)
        one.node.close()
        (one.folder / "clock").write_bytes(text)
        with pytest.raises(Failed) as failed:
            one._open()
        assert failed.value.code is EngineCode.CLOCK_FILE_NOT_UNDERSTOOD
        (one.folder / "clock").write_bytes(b"5")
        one.node = one._open()


def test_the_offset_is_saved_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with home(tmp_path / "home") as one:
        one.node.advance(5)

        def full(*_: object) -> None:
            raise Failed(EngineCode.DISK_FULL)
        monkeypatch.setattr("xinglin.engine.durable.write", full)
        with pytest.raises(Failed):
            one.node.advance(MS_PER_HOUR)
        assert one.node.clock.offset_ms == 5        # type: ignore[attr-defined]
        assert (one.folder / "clock").read_bytes() == b"5"


def test_all_steps_of_simulated_time_together_are_bounded(tmp_path: Path) -> None:
    clock = SimulatedClock(tmp_path / "clock")
    for _ in range(OFFSET_MS_MAX // STEP_MS_MAX):
        clock.advance(STEP_MS_MAX)
    with pytest.raises(NotUnderstood) as failed:
        clock.advance(1)
    assert failed.value.code is EngineCode.TIME_ENDS
    assert SimulatedClock(tmp_path / "clock").offset_ms == clock.offset_ms == OFFSET_MS_MAX
    (tmp_path / "clock").write_text(str(OFFSET_MS_MAX + 1))
    with pytest.raises(Failed) as damaged:
        SimulatedClock(tmp_path / "clock")
    assert damaged.value.code is EngineCode.CLOCK_FILE_NOT_UNDERSTOOD


@pytest.mark.parametrize("by_ms", [-1, -(2**70), STEP_MS_MAX + 1, 2**70])
def test_simulated_time_only_grows_and_in_bounded_steps(tmp_path: Path, by_ms: int) -> None:
    clock = SimulatedClock(tmp_path / "clock")
    clock.advance(7)
    with pytest.raises(NotUnderstood) as failed:
        clock.advance(by_ms)
    assert failed.value.code is EngineCode.TIME_ONLY_GROWS
    assert SimulatedClock(tmp_path / "clock").offset_ms == clock.offset_ms == 7


def test_simulated_time_moves_wall_and_monotonic_clock_alike(tmp_path: Path) -> None:
    clock = SimulatedClock(tmp_path / "clock")
    wall, monotonic = clock.now_ms(), clock.monotonic_ms()
    clock.advance(MS_PER_HOUR)
    assert clock.now_ms() - wall >= MS_PER_HOUR
    assert clock.monotonic_ms() - monotonic >= MS_PER_HOUR


def test_steps_of_several_threads_all_count(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        def advance() -> None:
            for _ in range(20):
                one.node.advance(1)
        threads = [threading.Thread(target=advance) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (one.folder / "clock").read_bytes() == b"100"


def test_real_time_is_not_moved(tmp_path: Path) -> None:
    with home(tmp_path / "home", simulated=False) as one:
        with pytest.raises(Failed) as failed:
            one.node.advance(1)
        assert failed.value.code is NodeCode.TIME_IS_NOT_SIMULATED
        assert not (one.folder / "clock").exists()
