"""Transactions' bytes go, and nothing that anyone holds or may ask for goes with them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsck.ledgers import lived
from homes import Home
from worlds import named
from xinglin import fsck
from xinglin.base import codec
from xinglin.base.check import Failed
from xinglin.base.units import MS_PER_DAY
from xinglin.engine import pruning
from xinglin.engine.codes import EngineCode
from xinglin.engine.ledger import Ledger
from xinglin.engine.scrub import Scrubber
from xinglin.fsck import FsckCode, Lie
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.receipt import Receipt, verify_receipt
from xinglin.kernel.tx import NotIncludable


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Home]:
    """A home in which everything happened two days ago, and a little today."""
    made = lived(tmp_path / "home")
    made.node.advance(2 * MS_PER_DAY)
    made.done(made.world.register("A.service", "today"))
    yield made
    made.node.close()


def receipts(one: Home) -> dict[tuple[int, int], bytes]:
    """A receipt of each outcome so far."""
    blocks = one.node.ask(lambda opened: [(height, len(opened.block(height).leaves))
                                          for height in range(1, opened.height + 1)])
    return {(height, index): one.node.receipt_at(height, index)
            for height, count in blocks for index in range(count)}


def first_today(one: Home) -> int:
    return one.node.ask(lambda opened: pruning.height_at(opened, one.node.now_ms() - MS_PER_DAY))


def prune(one: Home, below: int) -> pruning.Pruned:
    return one.node.ask(lambda opened: pruning.prune(opened, below))


def test_every_receipt_still_verifies_and_can_be_made_again_after_the_bytes_are_gone(old: Home) -> None:
    before = receipts(old)
    raws = old.node.ask(lambda opened: opened.transactions(5))
    about = old.node.outcomes_about(named("mei"))
    pruned = prune(old, first_today(old))
    assert pruned.transactions == 323 and pruned.bytes > 100 * pruned.transactions
    assert raws and about and old.node.ask(lambda opened: opened.transactions(5)) == ()
    assert receipts(old) == before
    for data in before.values():
        verify_receipt(codec.decode(data, Receipt), old.world.network, old.world.modules, old.node.policy)
    tx = old.world.reader.read(raws[0])
    assert old.node.receipt(tx.id) == before[5, 0]
    assert old.node.outcomes_about(named("mei")) == about
    with pytest.raises(NotIncludable) as caught:
        old.node.order(raws[0])
    assert caught.value.code is KernelCode.TX_EXPIRED


def test_no_file_of_the_store_holds_the_bytes_any_more(old: Home) -> None:
    signature = old.world.reader.read(old.node.ask(lambda opened: opened.transactions(5))[0]).signatures[0]
    prune(old, first_today(old))
    old.reopen()
    assert not [file for file in (old.folder / "store").iterdir() if signature in file.read_bytes()]


def test_fsck_says_what_was_pruned_and_the_scrubber_walks_on(old: Home) -> None:
    below = first_today(old)
    prune(old, below)
    scrubber = old.node.ask(lambda opened: Scrubber(opened, afresh=True))
    while not old.node.ask(lambda _: scrubber.step()):
        pass
    old.node.close()
    report = fsck.check(old.folder, old.world.modules)
    assert (report.pruned_below, report.pruned, report.transactions) == (below, 323, 324)
    with pytest.raises(Lie) as caught:
        fsck.replay(old.folder, old.world.modules)
    assert caught.value.code is FsckCode.REPLAY_NOT_POSSIBLE and str(below) in caught.value.detail
    old.node = old._open()


def test_from_a_copy_of_before_what_is_left_can_be_executed_again(old: Home, tmp_path: Path) -> None:
    old.node.close()
    base = shutil.copytree(old.folder, tmp_path / "base")
    old.node = old._open()
    since = old.node.engine.synced_height
    old.node.advance(2 * MS_PER_DAY)
    for number in range(5):
        old.done(old.world.register("A.service", f"after {number}"))
    prune(old, since + 1)
    old.node.close()
    again = fsck.replay(old.folder, old.world.modules, base=base)
    assert (again.since, again.transactions) == (since, 5)
    with pytest.raises(Lie) as caught:
        fsck.replay(base, old.world.modules, base=old.folder)
    assert caught.value.code is FsckCode.REPLAY_NOT_POSSIBLE
    other = Home(tmp_path / "other", started_ms=old.world.manifest.started_ms + 1)
    other.node.close()
    with pytest.raises(Lie) as caught:
        fsck.replay(old.folder, old.world.modules, base=other.folder)
    assert caught.value.code is FsckCode.REPLAY_NOT_POSSIBLE
    old.node = old._open()


def test_bytes_of_the_last_day_stay(old: Home) -> None:
    today = first_today(old)
    for below in (today + 1, today + 100):
        with pytest.raises(Failed) as caught:
            prune(old, below)
        assert caught.value.code is EngineCode.PRUNE_TOO_RECENT
    assert old.node.ask(lambda opened: opened.transactions(opened.height))


def test_pruning_twice_or_less_than_before_changes_nothing(old: Home) -> None:
    below = first_today(old)
    assert prune(old, below - 1).transactions > 0
    assert prune(old, below).below == below
    assert prune(old, 3) == (below, 0, 0)
    old.reopen()
    assert old.node.ask(pruning.pruned_below) == below


def test_a_height_is_found_by_its_time(old: Home) -> None:
    def times(opened: Ledger) -> list[int]:
        return [opened.block(height).time_ms for height in range(1, opened.height + 1)]
    for height, time_ms in enumerate(old.node.ask(times), start=1):
        assert old.node.ask(lambda opened, at=time_ms: pruning.height_at(opened, at)) == height
        assert old.node.ask(lambda opened, at=time_ms: pruning.height_at(opened, at + 1)) == height + 1
