"""The scrubber walks through a store that still serves, finds what lies in it, and stops the engine."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from fsck.ledgers import flipped, lived, planted, put, stored
from homes import Home, home
from xinglin.base import codec
from xinglin.base.check import Failed, InvariantBroken, NotVerified
from xinglin.engine import scrub
from xinglin.engine.codes import EngineCode
from xinglin.engine.ledger import BlockRow, Ledger
from xinglin.engine.scrub import META_SCRUB, Scrubber
from xinglin.modules import module_set, subjects
from xinglin.node import Node

RANDOM_LIES = 40                   # a part of ROT's 2,000 in CI (safety.md 3)
MODULE_SET = module_set()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = lived(tmp_path_factory.mktemp("scrub") / "home")
    made.node.close()
    yield made.folder


def walk(folder: Path, steps_max: int = 10_000) -> int:
    """One whole walk over a ledger that nobody serves; how many steps it took."""
    opened = Ledger.open(folder / "store", MODULE_SET)
    try:
        scrubber = Scrubber(opened, afresh=True)
        for step in range(1, steps_max):
            if scrubber.step():
                return step
        raise AssertionError("it does not end")
    finally:
        opened.store.close()


def test_a_clean_ledger_is_walked_through_in_bounded_steps(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert walk(ledger) == 2
    monkeypatch.setattr(scrub, "SCRUB_ROWS_PER_STEP", 10)
    monkeypatch.setattr(scrub, "SCRUB_LEAVES_PER_STEP", 50)
    assert walk(ledger) > 15


def test_a_walk_goes_on_where_the_last_process_stopped(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub, "SCRUB_ROWS_PER_STEP", 10)
    done = []
    for _ in range(3):
        opened = Ledger.open(ledger / "store", MODULE_SET)
        scrubber = Scrubber(opened, afresh=not done)
        scrubber.step()
        done.append(scrubber.done()[1])
        opened.store.close()
    assert done == [10, 20, 30]


def test_rows_that_come_and_go_while_it_walks_are_no_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub, "SCRUB_ROWS_PER_STEP", 7)
    chance = random.Random(1)
    with home(tmp_path / "home") as one:
        one.furnished()
        one.done(one.world.grant("mei", "B", "g"))
        scrubber = one.node.ask(Scrubber)
        walks, number = 0, 0
        while walks < 6:
            walks += one.node.ask(lambda _: scrubber.step())
            if chance.randrange(2):
                number += 1            # rows come, everywhere; a request and its answer make one that goes
                one.done(one.world.register("A.service", f"patient {number}"))
                request = one.done(one.world.request("B.doctor", "mei"))
                entry = 2 * (number - 1) + 1
                assert request.code == 0
                one.done(one.world.deny("A.service", "mei", entry))
        assert number > 20 and one.node.ask(lambda _: scrubber._counted)


def test_a_row_that_is_lost_is_missed_even_where_blocks_came_between(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub, "SCRUB_ROWS_PER_STEP", 7)
    with home(tmp_path / "home") as one:
        one.furnished()
        scrubber = one.node.ask(Scrubber)
        one.node.ask(lambda _: scrubber.step())
        one.done(one.world.register("A.service", "between"))
        one.node.ask(lambda opened: lose(opened, subjects.SUBJECTS.store_prefix))
        with pytest.raises(NotVerified) as caught:
            while not one.node.ask(lambda _: scrubber.step()):
                pass
        assert caught.value.code is EngineCode.SCRUB_ALARM and "rows" in caught.value.detail


def lose(opened: Ledger, prefix: bytes) -> None:
    (key, _), = opened.store.scan(prefix, limit=1)
    batch = opened.store.batch()
    batch.delete(key)
    opened.store.write(batch)


@pytest.mark.parametrize("place", [b"", b"?", b"\xc1" * 40])
def test_a_place_that_cannot_be_read_is_begun_afresh(ledger: Path, place: bytes) -> None:
    with planted(ledger, {META_SCRUB: place}):
        opened = Ledger.open(ledger / "store", MODULE_SET)
        try:
            scrubber = Scrubber(opened)
            assert scrubber.done()[1] == 0 and scrubber.walks == 0
            while not scrubber.step():
                pass
        finally:
            opened.store.close()


# -- planted

def with_other_leaf(data: bytes) -> bytes:
    block = codec.decode(data, BlockRow)
    return codec.encode(structs.replace(block, leaves=(flipped(block.leaves[0], 99), *block.leaves[1:])))


def with_other_events(data: bytes) -> bytes:
    block = codec.decode(data, BlockRow)
    return codec.encode(structs.replace(block, events=(flipped(block.events[0], 99), *block.events[1:])))


LIES: dict[str, Callable[[dict[bytes, bytes]], dict[bytes, bytes | None]]] = {
    "a row is altered": lambda s: {first(s, b"s"): flipped(s[first(s, b"s")], 3)},
    "a row is gone": lambda s: {first(s, b"s"): None},
    "a row is added": lambda s: {subjects.SUBJECTS.store_prefix + bytes(16): b""},
    "a row is of no table": lambda s: {b"s\x01x": b""},
    "a leaf is altered": lambda s: {first(s, b"k"): with_other_leaf(s[first(s, b"k")])},
    "events are altered": lambda s: {first(s, b"k"): with_other_events(s[first(s, b"k")])},
    "a block is gone": lambda s: {first(s, b"k"): None},
    "a tile is altered": lambda s: {first(s, b"h"): flipped(s[first(s, b"h")], 999)},
    "bytes are gone": lambda s: {first(s, b"t"): None},
    "more was pruned than is said": lambda s: {key: None for key in s if key[:1] == b"t"} | {
        b"mpruned": (3).to_bytes(8, "big")},
    "less was pruned than is said": lambda s: {b"mpruned": (3).to_bytes(8, "big"), first(s, b"t"): s[
        max(key for key in s if key[:1] == b"t")]},
    "bytes are exchanged": lambda s: {first(s, b"t"): s[max(key for key in s if key[:1] == b"t")]},
}


def first(store: dict[bytes, bytes], family: bytes) -> bytes:
    return min(key for key in store if key[:1] == family)


def alarm_in(folder: Path) -> NotVerified:
    with pytest.raises(NotVerified) as caught:
        walk(folder)
    return caught.value


@pytest.mark.parametrize("name", LIES)
def test_a_planted_lie_raises_the_alarm_and_is_named(ledger: Path, name: str) -> None:
    with stored(ledger) as store:
        lies = LIES[name](dict(store.scan(b"")))
    with planted(ledger, lies):
        alarm = alarm_in(ledger)
    assert alarm.code is EngineCode.SCRUB_ALARM and alarm.detail


def test_lies_at_random_places_among_rows_blocks_bytes_and_tiles_are_all_found(ledger: Path) -> None:
    with stored(ledger) as store:
        held = {key: value for key, value in store.scan(b"") if key[:1] in b"sbkth"}
    for seed in range(RANDOM_LIES):
        chance = random.Random(seed)
        family = chance.choice(sorted({key[:1] for key in held}))
        key = chance.choice([key for key in held if key[:1] == family])
        # A block's own head and its checkpoint are not what is compared here: fsck does that.
        value = None if chance.randrange(4) == 0 else (
            flipped(held[key], chance.randrange(2**20)) if family != b"k" else held[key].replace(
                held[key][60:90], flipped(held[key][60:90], chance.randrange(200))))
        with planted(ledger, {key: value}):
            try:
                walk(ledger)
            except Failed as error:        # some of it is noticed when the ledger is opened
                assert error.code in (EngineCode.SCRUB_ALARM, EngineCode.STORE_CORRUPT), seed
            else:
                pytest.fail(f"seed {seed}: {family!r} {value is None}")


# -- in a running node

def test_an_alarm_stops_the_engine_and_keeps_it_from_starting_until_someone_has_looked(tmp_path: Path) -> None:
    one = Home(tmp_path / "home").furnished()
    before: dict[bytes, bytes | None] = {}

    def plant(opened: Ledger) -> None:
        (key, value), = opened.store.scan(subjects.SUBJECTS.store_prefix, limit=1)
        before[key] = value
        batch = opened.store.batch()
        batch.put(key, flipped(value, 9))
        opened.store.write(batch)
    one.node.ask(plant)
    one.node.scrub(every_ms=1)
    with pytest.raises(Failed) as caught:
        while True:
            one.node.ask(lambda opened: opened.height)
    assert caught.value.code is EngineCode.ENGINE_STOPPED
    one.node.close()
    said = (one.folder / "alarm").read_text()
    assert said.startswith("XL-8064 SCRUB_ALARM: row subjects/subjects")
    with pytest.raises(Failed) as caught:
        Node.open(one.folder, one.world.modules)
    assert caught.value.code is EngineCode.ALARM_STANDS and caught.value.detail == said.strip()
    put(one.folder, before)
    (one.folder / "alarm").unlink()
    one.node = one._open()
    one.done(one.world.register("A.service", "after"))
    one.node.close()


@pytest.mark.parametrize("error", [
    Failed(EngineCode.STORE_CORRUPT, "no such file"), Failed(EngineCode.STORE_NOT_USABLE, "Input/output error"),
    InvariantBroken("a tile has 256 hashes")])
# Of what is no Failed the thread's end is told with its traceback.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_scrubber_that_fails_in_whatever_way_raises_the_alarm(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(_: object, __: int) -> int:
        raise error
    one = Home(tmp_path / "home").furnished()
    monkeypatch.setattr(Scrubber, "_read_block", fails)
    one.node.scrub(every_ms=1)
    ended(one)
    with pytest.raises(Failed) as caught:
        one.node.ask(lambda opened: opened.height)
    assert caught.value.code is EngineCode.ENGINE_STOPPED
    one.node.close()
    said = (one.folder / "alarm").read_text()
    assert said.startswith("XL-80") and str(getattr(error, "detail", error)) in said


def ended(one: Home) -> None:
    """Wait for the scrubber's thread."""
    scrubbing = one.node._scrubbing
    assert scrubbing is not None
    scrubbing._thread.join(60)
    assert not scrubbing._thread.is_alive()


def test_an_engine_that_stops_for_a_reason_of_its_own_ends_the_scrubber_without_an_alarm(tmp_path: Path) -> None:
    one = Home(tmp_path / "home").furnished()
    one.node.scrub(every_ms=1)
    one.node.engine._stop(Failed(EngineCode.DISK_FULL, "of a block"))
    ended(one)
    one.node.close()
    assert not (one.folder / "alarm").exists()


def test_a_node_that_scrubs_goes_on_serving_and_closes(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        one.furnished()
        one.node.scrub(every_ms=1)
        one.node.scrub(every_ms=1)         # once is enough
        for number in range(20):
            one.done(one.world.register("A.service", f"patient {number}"))
        while not one.node.ask(lambda opened: isinstance(opened.scrubber, Scrubber) and opened.scrubber.walks > 2):
            pass
    assert not (tmp_path / "home" / "alarm").exists()
