"""SIGKILL at any moment and at each failpoint: each acknowledged transaction is there, once, and the ledger is one
that could have been (safety.md, KILL)."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from rocksdict import WriteOptions

import killed
from homes import Home, Replay
from rows import Span
from worlds import World
from xinglin.engine.acknowledged import Acknowledged
from xinglin.engine.ledger import Ledger
from xinglin.engine.store import Store
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.tx import NotIncludable

PLACES = ("block.write", "block.written", "sync", "synced", "acknowledge", "acknowledged", "deliver", "delivered",
          "file.write", "file.written", "file.synced", "file.renamed", "journal.cut")
OF_A_SNAPSHOT = PLACES[8:]                # of which there is one in many blocks
LOOK_AT_ALL = 20                          # kills between two looks at every id there ever was


def kills(folder: Path, seeds: Iterable[int], flaw: killed.Flaw | None = None) -> tuple[int, Counter[str]]:
    """Kill a node once a seed, look at what it left, go on in the same home.

    Returns how many were acknowledged, and how often it died where.
    """
    replay = Replay(World())
    told: list[killed.Ack] = []
    died: Counter[str] = Counter()
    Home(folder).furnished().node.close()
    for at, seed in enumerate(seeds):
        chance = random.Random(seed)
        place = None if seed % 3 == 0 else PLACES[(seed - seed // 3 - 1) % len(PLACES)]
        nth = chance.randrange(1, 3 if place in OF_A_SNAPSHOT else 9)
        process, read = killed.start(folder, seed, place and killed.Place(place, nth), flaw)
        new = []
        if place:
            new += killed.acknowledged(read)                         # until it has killed itself
        elif chance.randrange(3):         # well under way, however fast this machine is; else while it opens
            new += killed.acknowledged(read, most=chance.randrange(1, 5))
            time.sleep(chance.random() / 20)
        else:
            time.sleep(chance.random() / 10)
        killed.kill(process)
        new += killed.acknowledged(read)
        read.close()
        died[place or "anywhere"] += 1
        told += new
        look(folder, replay, new, replay.follow if at % LOOK_AT_ALL == 0 else replay.follow_new)
    look(folder, replay, told, replay.follow)
    return len(told), died


def look(folder: Path, replay: Replay, told: list[killed.Ack], follow: Callable[[Ledger], None]) -> None:
    home = Home(folder)
    try:
        home.node.ask(follow)
        for ack in told:
            assert replay.at.get(ack.tx_id) == (ack.height, ack.index), "an acknowledged transaction was lost or moved"
            assert replay.leaves[ack.height, ack.index] == ack.leaf
        again = home.node.ask(lambda ledger: ledger.transactions(ledger.height))[0]
        with pytest.raises(NotIncludable) as refused:
            home.node.order(again)
        assert refused.value.code in (KernelCode.ALREADY_EXECUTED, KernelCode.TX_EXPIRED)
    finally:
        home.node.close()


@pytest.mark.row("KILL")
def test_kills_lose_and_double_nothing(
        memory_path: Path, span: Span, record_property: Callable[[str, object], None]) -> None:
    told, died = kills(memory_path / "home", span)
    record_property("acknowledged", told)
    print(f"{told} acknowledged over {span.count} kills: {dict(died)}")
    assert told > 10 * span.count


# -- the harness bites

def without_a_log(patch: pytest.MonkeyPatch) -> None:
    """Planted: blocks live in the process's memory until a table is written."""
    opened = Store.open.__func__  # type: ignore[attr-defined]

    def open_without(cls: type[Store], folder: Path) -> Store:
        store: Store = opened(cls, folder)
        options = WriteOptions()
        options.disable_wal = True
        store._db.set_write_options(options)
        return store
    patch.setattr(Store, "open", classmethod(open_without))
    patch.setattr(Acknowledged, "note", lambda self, height: None)


def without_its_replay_ids(patch: pytest.MonkeyPatch) -> None:
    """Planted: what was executed is not written down, so nobody knows of it after a restart."""
    write = Ledger._write_tip

    def forget(self: Ledger, applied: object, app_hash: bytes) -> None:
        self._batch.delete_range(b"r", b"s")
        write(self, applied, app_hash)  # type: ignore[arg-type]
    patch.setattr(Ledger, "_write_tip", forget)


@pytest.mark.parametrize("flaw", [without_a_log, without_its_replay_ids])
def test_a_planted_loss_is_found(memory_path: Path, flaw: killed.Flaw) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        kills(memory_path / "home", range(6), flaw)
