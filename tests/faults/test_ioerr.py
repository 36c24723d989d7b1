"""The k-th call fails, for every k: the node stops before it lies, and what it promised stays (safety.md, IOERR)."""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from faults import operations, power, works
from faults.operations import BESIDE, FOUNDED, OF_A_ROOM, OPERATIONS, Failure
from faults.power import Disk
from faults.shimmed import Raised, Shimmed
from homes import Home, Replay
from killed import Ack, Flaw
from killed_vault import Expected, Said
from rows import Span
from xinglin.base.check import Code, Failed
from xinglin.engine.codes import EngineCode
from xinglin.engine.store import Store

ONCE, FOR_EVER = False, True
# Once is the worst: the next sync is good, and says nothing of what the failed one lost. The last is a short write.
MODES = ((errno.EIO, ONCE), (errno.ENOSPC, FOR_EVER), (errno.ENOSPC, ONCE), (errno.EIO, FOR_EVER), (0, ONCE))
EXECUTED_AGAIN = 4                # one ledger in so many is executed again from its beginning
NEVER = Failure(0, 0, ONCE)


class Ground:
    """Where one operation is done again and again, each time with another call that fails."""

    def __init__(self, shimmed: Shimmed, folder: Path, name: str, seed: int, flaw: Flaw | None = None):
        self.shimmed, self.name, self.seed, self.flaw = shimmed, name, seed, flaw
        self.of_a_room = name in OF_A_ROOM
        self.folder, self.before, self.trace = folder / "home", folder / "before", folder / "trace"
        if name != "found" and not self.of_a_room:
            made = shimmed.run(works.record_ledger, self.before, self.trace, 1_000 + seed, False, None)
            assert made.said == ["done"], made
            self.trace.unlink()
            (self.before / "store" / "LOCK").unlink()

    def every_call(self, variety: int) -> int:
        """Returns how many there were."""
        calls = self.run(NEVER)
        for at in range(1, calls + 1):
            failure = Failure(at, *MODES[variety % len(MODES)])
            try:
                self.run(failure)
            except AssertionError as wrong:
                raise AssertionError(f"{self.name}, seed {self.seed}, {failure}: {wrong}") from wrong
        return calls

    def run(self, failure: Failure) -> int:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.before.exists():
            shutil.copytree(self.before, self.folder)
        kept = Disk.of(self.folder)
        ended = self.shimmed.run(operations.run, self.folder, self.trace, self.name, self.seed, failure, self.flaw)
        assert ended.signal == 0, f"ended by signal {-ended.signal}"
        assert not any(isinstance(one, Raised) for one in ended.said), ended.said[-1].words
        for change in power.read(self.trace):
            kept.apply(change)
        self.trace.unlink()
        *said, calls = ended.said
        codes = [one for one in said if isinstance(one, Code)]
        assert codes == ([EngineCode.ENGINE_STOPPED] if self.name in BESIDE else []) or failure is not NEVER, codes
        self.look(said, failure)
        shutil.rmtree(self.folder)
        power.lay_out(kept.worst(), self.folder)          # and the lights go out
        self.look(said, failure)
        return int(calls)

    def look(self, said: list[Any], failure: Failure) -> None:
        if self.of_a_room:
            expected = Expected()
            for one in said:
                if isinstance(one, Said):
                    expected.hear(one)
            try:
                expected.look(self.folder, list(expected.blobs), torn=True)
            except Failed as error:
                raise AssertionError(f"what was done is lost: {error}") from error
        else:
            look_at_ledger(self.folder, said, wholly=failure.at % EXECUTED_AGAIN == 0)


def look_at_ledger(folder: Path, said: list[Any], wholly: bool) -> None:
    told = [one for one in said if isinstance(one, Ack)]
    try:
        one = Home(folder)                # opens it, or founds it where nobody was told of a ledger
    except Failed as error:
        raise AssertionError(f"it is not opened any more: {error}") from error
    try:
        assert FOUNDED not in said or one.node.engine.synced_height == 0
        assert all(one.node.now_ms() >= clock for clock in said if type(clock) is int), "time went back"
        if wholly:
            one.node.ask(Replay(one.world).follow)
        for ack in told:
            outcome = one.node.outcome(ack.tx_id)
            assert outcome is not None, "an acknowledged transaction is lost"
            assert (outcome.height, outcome.index, outcome.leaf) == (ack.height, ack.index, ack.leaf)
    finally:
        one.node.close()


@pytest.mark.row("IOERR")
def test_whichever_call_fails_nothing_that_was_said_is_untrue(
        shimmed: Shimmed, memory_path: Path, span: Span, record_property: Callable[[str, object], None]) -> None:
    calls = 0
    for item in span:
        variety, at = divmod(item, len(OPERATIONS))
        ground = memory_path / str(item)
        ground.mkdir()
        calls += (mine := Ground(shimmed, ground, list(OPERATIONS)[at], variety).every_call(variety))
        print(list(OPERATIONS)[at], mine)
        shutil.rmtree(ground)
    record_property("failed calls", calls)


def test_a_disk_that_is_full_while_blocks_wait_for_a_table_stops_the_engine(
        shimmed: Shimmed, memory_path: Path) -> None:
    """RocksDB then waits for room, and lets a write wait with it, for ever: it must not come to that."""
    Ground(shimmed, memory_path, "write_a_table_without_room", 0).run(NEVER)


# -- the harness bites

def deaf_to_the_store(patch: pytest.MonkeyPatch) -> None:
    """Planted: a failed sync of the store is passed over."""
    sync = Store.sync

    def careless(self: Store) -> None:
        with suppress(Failed):
            sync(self)
    patch.setattr(Store, "sync", careless)


def trying_again(patch: pytest.MonkeyPatch) -> None:
    """Planted: a failed sync is tried once more, and then it is good."""
    sync = os.fsync

    def twice(fd: int) -> None:
        try:
            sync(fd)
        except OSError:
            sync(fd)
    patch.setattr(os, "fsync", twice)


@pytest.mark.parametrize(("name", "flaw"), [("order_one", deaf_to_the_store), ("put_blobs", trying_again)])
def test_a_failure_that_is_passed_over_is_found(
        shimmed: Shimmed, memory_path: Path, name: str, flaw: Flaw) -> None:
    with pytest.raises(AssertionError, match=f"{name}, seed 0, .*lost"):
        Ground(shimmed, memory_path, name, 0, flaw).every_call(variety=0)
