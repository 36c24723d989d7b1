"""A flood from one member leaves the others their share, and revocations pass first: counted in turns, not in seconds.

What is handed over between two blocks is all waiting before any of it is taken, so these are the same every time.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from homes import Home, home
from xinglin.base.check import Busy
from xinglin.base.limits import (
    LANE_PER_SUBJECT_DAY_MAX,
    QUEUE_TXS_PER_MEMBER_MAX,
    SIGNATURE_CHUNK_MAX,
)
from xinglin.base.units import MS_PER_SECOND
from xinglin.engine.codes import EngineCode
from xinglin.engine.embedded import CHUNKS_VERIFYING_MAX, Committed
from xinglin.engine.ledger import Ledger
from xinglin.kernel.quota import cost

Handed = Future[Committed] | Busy


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path / "home", units_per_second=2**32 - 1) as made:
        yield made.furnished()


def hand_over(one: Home, raws: list[bytes]) -> list[Handed]:
    """All of them at once, between two blocks."""
    def submitted(raw: bytes) -> Handed:
        try:
            return one.node.submit(raw)
        except Busy as busy:
            return busy
    return one.node.ask(lambda _: [submitted(raw) for raw in raws])


def places(handed: list[Handed]) -> list[tuple[int, int]]:
    """(height, index) of what was ordered."""
    found = [one.result(60) for one in handed if isinstance(one, Future) and one.exception(60) is None]
    return [(committed.height, committed.index) for committed in found]


def anchors(one: Home, member: str, count: int) -> list[bytes]:
    return [one.raw(one.world.anchor(f"{member}.service", 1)) for _ in range(count)]


def test_a_revocation_stands_first_in_the_next_block_and_others_wait_for_their_turn_alone(one: Home) -> None:
    one.done(one.world.grant("mei", "B", "g1"))
    flood = anchors(one, "A", QUEUE_TXS_PER_MEMBER_MAX + 50)
    others = anchors(one, "B", 20)
    before = one.node.ask(lambda ledger: ledger.height)
    handed = hand_over(one, [*flood, *others, one.raw(one.world.revoke("mei", "B", "g1"))])
    flooded, mine, (revoked,) = (places(part) for part in (handed[:-21], handed[-21:-1], handed[-1:]))
    assert revoked == (before + 1, 0)
    assert len(flooded) == QUEUE_TXS_PER_MEMBER_MAX                     # the rest was told at the door
    assert {one.code for one in handed if isinstance(one, Busy)} == {EngineCode.QUEUE_FULL}
    everyone = sorted([*flooded, *mine, revoked])
    assert [everyone.index(place) for place in mine] == [2 + 2 * turn for turn in range(20)]
    assert mine[-1][0] == before + 1                                    # all twenty in the next block


def test_what_comes_in_the_middle_of_a_flood_waits_for_what_is_being_verified_alone(one: Home) -> None:
    """However much the flooding member has waiting: its places are filled again and again."""
    one.done(*[one.world.grant("mei", "B", f"g{number}") for number in range(4)])
    for number in range(4):
        hand_over(one, anchors(one, "A", QUEUE_TXS_PER_MEMBER_MAX // 2))
        late = [*anchors(one, "B", 1), one.raw(one.world.revoke("mei", "B", f"g{number}"))]
        handed, ordered = one.node.ask(lambda ledger, late=late: (
            [one.node.submit(raw) for raw in late], ledger.history.size - ledger.height))
        for committed in (future.result(60) for future in handed):
            assert committed.code == 0
            before = committed.appended.first + committed.index - (committed.height - 1)    # outcomes, of all blocks
            assert before - ordered <= 2 * CHUNKS_VERIFYING_MAX * SIGNATURE_CHUNK_MAX


def test_a_member_that_wants_more_than_its_second_holds_is_told_busy_and_all_others_are_served(tmp_path: Path) -> None:
    limit = 400
    with home(tmp_path / "home", units_per_second=limit) as one:
        one.furnished()
        one.node.advance(MS_PER_SECOND)
        flood, others = anchors(one, "A", 1_000), anchors(one, "B", 40)
        handed = hand_over(one, [*flood, *others])
        assert len(places(handed[-40:])) == 40
        codes = Counter(error.code for each in handed[:-40] if isinstance(each, Future)
                        and isinstance(error := each.exception(60), Busy))
        assert set(codes) == {EngineCode.SECOND_USED_UP}
        assert all(units <= limit for units in used_by_second(one).values())


def used_by_second(one: Home) -> Counter[tuple[int, bytes]]:
    """Units by (second, first signer), from the blocks themselves."""
    def look(ledger: Ledger) -> Counter[tuple[int, bytes]]:
        used = Counter[tuple[int, bytes]]()
        for height in range(1, ledger.height + 1):
            second = ledger.block(height).time_ms // MS_PER_SECOND
            for raw in ledger.transactions(height):
                tx = one.world.reader.read(raw)
                used[second, tx.signers[0].account] += cost(tx.specs, len(raw))
        return used
    return one.node.ask(look)


def test_a_flood_of_revocations_leaves_members_every_second_place(one: Home) -> None:
    """And among those who revoke, each her turn: the one who revokes once is not behind whoever revokes sixty times."""
    patients = [f"patient {number}" for number in range(8)]
    for name in patients:
        one.world.key(name)
        one.done(one.world.register("A.service", name), one.world.claim("A.service", name))
    flood = [one.raw(one.world.revoke(name, "B", f"none {at}")) for name in patients
             for at in range(LANE_PER_SUBJECT_DAY_MAX)]
    handed = hand_over(one, [*flood, one.raw(one.world.revoke("mei", "B", "none")), *anchors(one, "B", 100)])
    flooded, (hers,), members = places(handed[:-101]), places(handed[-101:-100]), places(handed[-100:])
    assert len(flooded) == len(flood) and len(members) == 100
    everyone = sorted([*flooded, hers, *members])
    assert everyone.index(hers) <= len(patients)
    assert all(everyone.index(place) <= 2 * turn + SIGNATURE_CHUNK_MAX for turn, place in enumerate(members))


def test_garbage_in_a_members_name_takes_no_turn_of_anybody(one: Home) -> None:
    raws = anchors(one, "A", 500)
    garbage = [raw[:-64] + bytes(64) for raw in raws]
    handed = hand_over(one, [*garbage, *anchors(one, "B", 5), *anchors(one, "A", 5)])
    assert len(places(handed)) == 10
    assert len(places(hand_over(one, raws))) == 500                     # and no id of theirs is burnt
