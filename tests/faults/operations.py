"""Twelve things that a node and a data room do, each to be met by a call that fails: for IOERR.

One prepares, lets the call fail, does the thing, and says what it was told: an `Ack` or a `Said` is a promise.
"""

import faulthandler
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from faults.shimmed import Say, Shim
from faults.works import small_limits
from homes import Home
from killed import Ack, Flaw, ack
from killed_vault import Room, Works
from xinglin.base.check import Failed
from xinglin.engine import store, tree
from xinglin.kernel.module import Message

SECONDS_MAX = 60                  # a process that hangs is ended, and that is a failure
FOUNDED, CLOCK_MS = "founded", 61_000


class Failure(NamedTuple):
    """The `at`-th call fails so, once or for ever; without an error number a write stops half way."""

    at: int
    error: int
    for_ever: bool


class Run:
    """What an operation is given."""

    def __init__(self, say: Say, folder: Path, seed: int, shim: Shim, failure: Failure):
        self.folder, self.chance = folder, random.Random(seed)
        self.shim, self._failure = shim, failure
        self._saying = threading.Lock()
        self._say = say

    def say(self, words: object) -> None:
        with self._saying:
            self._say(words)

    def now(self) -> None:
        """From here on a call may fail."""
        self.shim.fail(*self._failure)

    def order(self, home: Home, *messages: tuple[Message, ...]) -> None:
        """All at once; tells of each by the thread that hears of it. Errors  Failed, once all have heard."""
        futures = []
        for one in messages:
            future = home.node.submit(home.raw(*one))
            future.add_done_callback(lambda done: done.exception() or self.say(Ack(*ack(done.result()))))
            futures.append(future)
        errors = [error for future in futures if (error := future.exception())]
        for error in errors:
            raise error


def run(say: Say, folder: Path, trace: Path, name: str, seed: int, failure: Failure, flaw: Flaw | None) -> None:
    """Says last how many calls there were."""
    faulthandler.register(signal.SIGALRM, chain=True)       # every thread's stack, then the end
    signal.alarm(SECONDS_MAX)
    if flaw:
        flaw(pytest.MonkeyPatch())
    shim = Shim(folder)
    shim.trace(trace)
    shim.fail(0, 0, False)
    one = Run(say, folder, seed, shim, failure)
    try:
        {**OPERATIONS, **BESIDE}[name](one)
    except Failed as error:
        one.say(error.code)
    one.say(shim.calls)


def found(run: Run) -> None:
    run.now()
    Home(run.folder)
    run.say(FOUNDED)


def open_after_a_crash(run: Run) -> None:
    run.now()
    home = Home(run.folder)
    run.order(home, (home.world.anchor("A.service", 90),))


def order_one(run: Run) -> None:
    home = Home(run.folder)
    run.now()
    run.order(home, (home.world.anchor("A.service", 90),))
    run.order(home, (home.world.anchor("A.service", 91),))


def order_many(run: Run) -> None:
    small_limits()
    home = Home(run.folder)
    run.now()
    for _ in range(3):
        numbers = range(90, 90 + run.chance.randrange(9, 30))
        run.order(home, *[(home.world.anchor("A.service", number),) for number in numbers])


def snapshot(run: Run) -> None:
    pytest.MonkeyPatch().setattr(tree, "TREE_JOURNAL_ENTRIES_MIN", 8)
    home = Home(run.folder)
    run.now()
    for number in range(6):
        run.order(home, (home.world.anchor("A.service", 90 + number),))


def write_a_table(run: Run) -> None:
    pytest.MonkeyPatch().setattr(store, "STORE_WRITE_BUFFER_BYTES", 64 * 1024)
    home = Home(run.folder)
    run.now()
    for _ in range(4):
        run.order(home, *[(home.world.request("B.doctor", "mei"),) for _ in range(40)])


def write_a_table_without_room(run: Run) -> None:
    """Blocks come in faster than it is found out that the disk is full."""
    pytest.MonkeyPatch().setattr(store, "STORE_WRITE_BUFFER_BYTES", 64 * 1024)
    home = Home(run.folder)
    run.shim.full(".sst", after_ms=1_000)
    for _ in range(40):
        run.order(home, *[(home.world.request("B.doctor", "mei"),) for _ in range(40)])


def advance(run: Run) -> None:
    home = Home(run.folder)
    run.now()
    before = home.node.now_ms()
    home.node.advance(CLOCK_MS)
    run.say(before + CLOCK_MS)
    run.order(home, (home.world.anchor("A.service", 90),))


def close(run: Run) -> None:
    home = Home(run.folder)
    run.order(home, (home.world.anchor("A.service", 90),))
    run.now()
    home.node.close()


@contextmanager
def room(run: Run) -> Iterator[Works]:
    """With something in it; afterwards a call may fail."""
    found = Works(Room(run.folder), run.chance, run.say)
    for one in (found.create, found.create, found.blob, found.cells, found.row):
        one()
    run.now()
    yield found


def create_keys(run: Run) -> None:
    with room(run) as works:
        works.create()
        works.create()


def destroy_keys(run: Run) -> None:
    with room(run) as works:
        works.destroy()
        works.destroy()


def put_blobs(run: Run) -> None:
    with room(run) as works:
        works.blob()
        works.blob()


def write_rows(run: Run) -> None:
    with room(run) as works:
        works.cells()
        works.row()
        works.cells()


OPERATIONS: dict[str, Callable[[Run], None]] = {
    one.__name__: one for one in (found, open_after_a_crash, order_one, order_many, snapshot, write_a_table, advance,
                                  close, create_keys, destroy_keys, put_blobs, write_rows)}
BESIDE = {"write_a_table_without_room": write_a_table_without_room}     # of which no single call is to fail
OF_A_ROOM = ("create_keys", "destroy_keys", "put_blobs", "write_rows")

__all__ = ["FOUNDED", "OF_A_ROOM", "OPERATIONS", "Ack", "Failure", "run"]
