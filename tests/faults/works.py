"""What processes do under the shim, for POWER and IOERR: each tells what was acknowledged, as it is acknowledged."""

import pickle
import random
from pathlib import Path

import pytest

from faults.shimmed import Say, Shim
from homes import Home
from killed import Flaw
from killed_vault import Room, Works
from xinglin.engine import embedded, store, tree


def small_limits() -> None:
    """What is rare in a ledger of this size comes up in every few blocks."""
    small_limits_in(pytest.MonkeyPatch())


def small_limits_in(limits: pytest.MonkeyPatch) -> None:
    limits.setattr(store, "STORE_WRITE_BUFFER_BYTES", 64 * 1024)
    limits.setattr(tree, "TREE_JOURNAL_ENTRIES_MIN", 64)
    limits.setattr(embedded, "BLOCK_TXS_MAX", 8)


def record_ledger(say: Say, home: Path, trace: Path, seed: int, closes: bool, flaw: Flaw | None) -> None:
    """Open or found a ledger, order, and end: properly, or as a power cut would. Marks are heights."""
    small_limits()
    if flaw:
        flaw(pytest.MonkeyPatch())
    shim, chance = Shim(home), random.Random(seed)
    shim.trace(trace)
    one = Home(home)
    height = one.node.engine.synced_height
    shim.mark(pickle.dumps(height))
    if height == 0:
        one.furnished()
    for _ in range(chance.randrange(8, 14)):
        futures = []
        for number in range(chance.choice((1, 4, 24))):
            messages = [one.world.anchor("A.service", number), one.world.request("B.doctor", "mei")]
            future = one.node.submit(one.raw(*messages[:chance.randrange(1, 3)]))
            future.add_done_callback(lambda done: shim.mark(pickle.dumps(done.result().height)))
            futures.append(future)
        for future in futures:
            future.result()
        if chance.randrange(4) == 0:
            one.node.advance(61_000)
    if closes:
        one.node.close()
    say("done")


def record_room(say: Say, folder: Path, trace: Path, seed: int, closes: bool, flaw: Flaw | None) -> None:
    """Fill and empty a data room. Marks are what `killed_vault` says."""
    if flaw:
        flaw(pytest.MonkeyPatch())
    shim, chance = Shim(folder), random.Random(seed)
    shim.trace(trace)
    room = Room(folder)
    works = Works(room, chance, lambda said: shim.mark(pickle.dumps(said)))
    for _ in range(20):
        works.some()
    if closes:
        room.close()
    say("done")
