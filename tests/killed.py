"""A process that orders as fast as it can and is killed: what `tests/engine/test_kill.py` starts.

Its modules are loaded once, by a server that forks: a hundred starts would else be a minute of imports.
Killed from outside, or by itself at a failpoint.
"""

import itertools
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import pytest

from homes import Home
from xinglin import failpoint
from xinglin.base.check import Busy, Failed
from xinglin.engine import embedded, store, tree
from xinglin.engine.embedded import Committed

Flaw = Callable[[pytest.MonkeyPatch], None]      # a planted bug

THREADS = 4
WINDOW = 24                        # transactions that a thread has under way


class Ack(NamedTuple):
    """What a client was told, written down before anything else happens."""

    tx_id: bytes
    height: int
    index: int  # type: ignore[assignment]  # as in Committed
    leaf: bytes


class Place(NamedTuple):
    """The nth time that a process comes by a failpoint."""

    name: str
    nth: int

    def die_here(self) -> None:
        passed = itertools.count(1)
        failpoint.arm(self.name, lambda: os.kill(os.getpid(), signal.SIGKILL) if next(passed) == self.nth else None)


def start(folder: Path, seed: int, place: Place | None = None, flaw: Flaw | None = None,
          target: Callable[..., None] | None = None) -> tuple[BaseProcess, Connection]:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["killed", "killed_vault"])
    read, write = processes.Pipe(duplex=False)
    process = processes.Process(target=target or run, args=(folder, seed, write, place, flaw))
    process.start()
    write.close()
    return process, read


def acknowledged(read: Connection, most: int | None = None) -> list[Ack]:
    """What came through the pipe until the process died; or so many messages, or until it began to close.

    A torn last message was never sent whole.
    """
    found: list[Ack] = []
    try:
        while most is None or most > 0:
            message = read.recv()
            found += [Ack(*one) for one in message]
            if most is not None:
                most = most - 1 if message else 0
    except (EOFError, OSError):
        return found
    return found


def run(folder: Path, seed: int, write: Connection, place: Place | None = None, flaw: Flaw | None = None) -> None:
    """Order until killed. Small limits, in some of the runs, bring what is rare into every second."""
    chance, limits = random.Random(seed), pytest.MonkeyPatch()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if flaw:
        flaw(limits)
    if place:
        place.die_here()
    if place or chance.randrange(2):
        limits.setattr(store, "STORE_WRITE_BUFFER_BYTES", 128 * 1024)
        limits.setattr(tree, "TREE_JOURNAL_ENTRIES_MIN", 64)
    limits.setattr(embedded, "BLOCK_TXS_MAX", chance.choice((1, 8, 512)))
    home = Home(folder)
    told = threading.Lock()

    def client(number: int) -> None:
        names = [f"{member} {number}" for member in "ABC"]
        try:
            while True:
                raws = [raw for name in names for raw in pair(home, told, name)][:WINDOW]
                futures = [home.node.submit(raw) for raw in raws]
                acks = [ack(future.result()) for future in futures]
                with told:
                    write.send(acks)
        except (Busy, Failed):
            return                        # closed under its hands

    for number in range(THREADS):
        threading.Thread(target=client, args=(number,), daemon=True).start()
    if place is None and chance.randrange(4) == 0:
        time.sleep(chance.random() / 10)
        with told:
            write.send([])                # it begins to close
        home.node.close()
    signal.pause()


def pair(home: Home, lock: threading.Lock, name: str) -> list[bytes]:
    """Four grants and four anchors, most of them refused: the state stays small however long it goes on."""
    with lock:                            # the world that signs is not for threads
        return [home.raw(message) for grant in range(4) for message in (
            home.world.grant("mei", name[0], f"{name} {grant}"), home.world.anchor("A.service", grant))]


def ack(committed: Committed) -> tuple[bytes, int, int, bytes]:
    return committed.tx_id, committed.height, committed.index, committed.leaf


def kill(process: BaseProcess) -> None:
    """End it, if it has not done so itself."""
    with suppress(ProcessLookupError):
        process.kill()
    process.join()
