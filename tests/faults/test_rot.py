"""A bit, a sector or a whole file that is not what was written is never served and never signed (safety.md, ROT)."""

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from faults import rot
from faults.works import small_limits_in
from homes import Home, Replay
from rows import Span
from xinglin.base.check import Failed, InvariantBroken
from xinglin.engine.embedded import Embedded
from xinglin.engine.ledger import Ledger
from xinglin.engine.store import Store
from xinglin.kernel.module import Table
from xinglin.modules import access, subjects
from xinglin.node import Node

FAMILIES = (b"s", b"b", b"k", b"t", b"r", b"d", b"x", b"a", b"m")   # h has no tile yet, j is the tree's own
ORDERS = 4                        # to one spoilt ledger in so many something is ordered
RECEIPTS = 8                      # of one spoilt ledger
NOT_OURS = b"\xff" * 16           # an id that there is not


class Whole:
    """A ledger that is well: what it holds and answers, and copies of it from earlier days."""

    def __init__(self, folder: Path):
        self.home = folder / "home"
        self.older = [folder / f"day {day}" for day in range(4)]
        with pytest.MonkeyPatch.context() as limits:
            small_limits_in(limits)
            one = Home(folder / "running").furnished()
            for day in self.older:
                work(one)
                if day.name[-1] in "13":
                    one.reopen()
                shutil.copytree(one.folder, day)
            work(one)
            shutil.copytree(one.folder, self.home)      # as a crash leaves it: the log holds the last blocks
        self.world, self.replay = one.world, Replay(one.world)
        one.node.ask(self.replay.follow)
        self.held = one.node.ask(lambda ledger: {key: value for family in FAMILIES
                                                 for key, value in ledger.store.scan(family)})
        self.places = sorted(self.replay.leaves)
        self.receipts = {place: one.node.receipt_at(*place) for place in self.places}
        self.proofs = {key: one.node.prove(*key) for key in self.keys()}
        one.node.close()
        for found in (self.home, *self.older):
            (found / "store" / "LOCK").unlink()

    def keys(self) -> list[tuple[Table, tuple[bytes, ...]]]:
        """Of rows that there are, and of one that there is not."""
        there = [(subjects.SUBJECTS, table_key) for table_key in self.subjects()]
        return [*there, (access.LOG, self.subjects()[0]), (subjects.SUBJECTS, (NOT_OURS,))]

    def subjects(self) -> list[tuple[bytes, ...]]:
        prefix = subjects.SUBJECTS.store_prefix
        return [(key[len(prefix):],) for key in sorted(self.held) if key.startswith(prefix)]

    def asked_of(self, node: Node, chance: random.Random) -> int:
        """How many answers were refused. Errors  AssertionError when one is untrue."""
        refused = node.ask(self._store)
        for place in chance.sample(self.places, RECEIPTS):
            refused += answers(lambda place=place: node.receipt_at(*place), self.receipts[place])
        for key in chance.sample(self.keys(), 3):
            refused += answers(lambda key=key: node.prove(*key), self.proofs[key])
        return refused

    def _store(self, ledger: Ledger) -> int:
        """Every key and value, in a scan and by a look-up, and what is not there."""
        refused = 0
        for family in FAMILIES:
            held = [pair for pair in self.held.items() if pair[0][:1] == family]
            refused += answers(lambda family=family: list(ledger.store.scan(family)), held)
        for key, value in self.held.items():
            refused += answers(lambda key=key: ledger.store.get(key), value)
            refused += answers(lambda key=key: ledger.store.get(key + NOT_OURS), None)
        return refused

    def orders_on(self, folder: Path) -> bool:
        """Whether it takes a block; then that is the one which the reference makes after what there truly was."""
        try:
            one = Home(folder)
        except (Failed, InvariantBroken):
            return False
        try:
            one.order(one.world.request("A.doctor", "mei"), one.world.enrol_service("B", "another"))
            again = Replay(one.world)
            one.node.ask(again.follow)
            assert again.leaves.items() >= self.replay.leaves.items(), "another past is signed"
            return True
        except (Failed, InvariantBroken):
            return False
        finally:
            try_to_close(one.node)


def work(one: Home) -> None:
    for number in range(12):
        one.order(one.world.request("B.doctor", "mei"), one.world.anchor("A.service", number))


def answers(ask: Callable[[], object], true: object) -> int:
    """0 when the answer is true, 1 when there is none."""
    try:
        assert ask() == true, "a spoilt answer is served"
    except (Failed, InvariantBroken):
        return 1
    return 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    yield Whole(tmp_path_factory.mktemp("whole"))


def spoil(whole: Whole, folder: Path, span: Span) -> Counter[str]:
    return rot.spoil(whole.home, whole.older, folder, span, lambda chance, item: look(
        whole, folder, chance, orders=item % ORDERS == 0))


def look(whole: Whole, folder: Path, chance: random.Random, orders: bool) -> str:
    try:
        node = Node.open(folder, whole.world.modules)
    except (Failed, InvariantBroken):
        return "not opened"
    try:
        refused = whole.asked_of(node, chance)
    finally:
        try_to_close(node)
    if orders and not whole.orders_on(folder):
        return "no block taken"
    return "some answers refused" if refused else "all answers true"


def try_to_close(node: Node) -> None:
    try:
        node.close()
    except Failed:
        return


@pytest.mark.row("ROT")
def test_nothing_that_rotted_is_served_or_signed(
        whole: Whole, memory_path: Path, span: Span, record_property: Callable[[str, object], None]) -> None:
    found = spoil(whole, memory_path / "spoilt", span)
    for became, count in found.items():
        record_property(became, count)
    print(dict(found))


# -- the harness bites

def not_noting(patch: pytest.MonkeyPatch) -> None:
    """Planted: how far clients were answered is not looked at."""
    patch.setattr(Embedded, "_check_start", lambda self: None)


def ending_early(patch: pytest.MonkeyPatch) -> None:
    """Planted: an error in a scan looks like its end."""
    scan = Store.scan

    def quiet(self: Store, prefix: bytes, *args: Any, **options: Any) -> Iterator[tuple[bytes, bytes]]:
        with suppress(Failed):
            yield from scan(self, prefix, *args, **options)
    patch.setattr(Store, "scan", quiet)


@pytest.mark.parametrize("flaw", [not_noting, ending_early])
def test_a_spoilt_answer_that_is_served_is_found(
        whole: Whole, memory_path: Path, flaw: Callable[[pytest.MonkeyPatch], None],
        monkeypatch: pytest.MonkeyPatch) -> None:
    flaw(monkeypatch)
    with pytest.raises(AssertionError, match="item .*(a spoilt answer is served|another past is signed)"):
        spoil(whole, memory_path / "spoilt", Span(0, 500))
