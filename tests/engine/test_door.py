"""What is turned away before it takes anybody's place, and what is not ordered since nobody would pay for it."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from homes import Home, home
from worlds import key_named, named
from xinglin.base import codec
from xinglin.base.check import Busy
from xinglin.base.limits import (
    DISTRUST_MS,
    LANE_PER_SUBJECT_DAY_MAX,
    MESSAGES_PER_TX_MAX,
    QUEUE_TXS_PER_SUBJECT_MAX,
)
from xinglin.base.units import MS_PER_DAY
from xinglin.engine.codes import EngineCode
from xinglin.engine.embedded import Committed
from xinglin.engine.fair_queue import FairQueue
from xinglin.engine.signatures import Helper
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.outcome import Leaf
from xinglin.kernel.tx import NotIncludable, Transaction
from xinglin.modules import consent


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path / "home") as made:
        yield made.furnished()


def garbage(raw: bytes) -> bytes:
    """The same body under signatures that anyone can make up: accounts and key hashes are public."""
    outer = codec.decode(raw, Transaction)
    return codec.encode(Transaction(body=outer.body, signatures=tuple(bytes(64) for _ in outer.signatures)))


def at_the_door(one: Home, raw: bytes) -> KernelCode | EngineCode:
    """Why it does not even take a place."""
    with pytest.raises((NotIncludable, Busy)) as turned_away:
        one.node.submit(raw)
    code = turned_away.value.code
    assert isinstance(code, KernelCode | EngineCode)
    return code


def leaves(one: Home) -> int:
    return one.node.ask(lambda ledger: ledger.history.frontier.size)


def flood(one: Home, raws: list[bytes]) -> Counter[int]:
    """What comes of all of them, sent at once."""
    codes = Counter[int]()
    futures: list[Future[Committed]] = []
    for raw in raws:
        try:
            futures.append(one.node.submit(raw))
        except Busy as busy:
            codes[busy.code] += 1
    for future in futures:
        error = future.exception(20)
        codes[error.code if isinstance(error, Busy) else future.result().code] += 1
    return codes


# -- who has signed nothing


def test_a_stranger_keeps_no_patient_from_taking_back_what_she_gave(one: Home) -> None:
    """Revocations with made-up signatures once filled the 64 places of her lane."""
    one.done(one.world.grant("mei", "B", "g1"))
    for number in range(2 * LANE_PER_SUBJECT_DAY_MAX):
        raw = garbage(one.raw(*[one.world.revoke("mei", "B", f"n{number}")] * (number % 3 + 1)))
        assert at_the_door(one, raw) is KernelCode.SIGNATURE_NOT_VALID
    assert len(one.node.engine._queue) == 0
    one.done(one.world.revoke("mei", "B", "g1"))


def test_who_is_not_known_here_takes_no_place(one: Home) -> None:
    """Unknown accounts once had a queue of their own each, and filled all of them together."""
    for name in ("nobody", "somebody"):
        raw = one.raw(one.world.request(name, "mei"), keys={named(name): key_named(name)})
        assert at_the_door(one, raw) is KernelCode.SIGNER_UNKNOWN
    other_key = one.raw(one.world.request("B.doctor", "mei"), keys={named("B.doctor"): key_named("other")})
    assert at_the_door(one, other_key) is KernelCode.SIGNER_UNKNOWN


def test_after_garbage_in_a_members_name_what_comes_in_that_name_is_verified_before_it_takes_a_place(one: Home) -> None:
    """Garbage once took all of a member's 2,048 places, over and over."""
    world = one.world
    first = one.node.submit(garbage(one.raw(world.anchor("A.service", 1)))).exception(20)
    assert isinstance(first, NotIncludable) and first.code is KernelCode.SIGNATURE_NOT_VALID
    for message in (world.anchor("A.service", 1), world.request("A.doctor", "mei"), world.grant("mei", "B", "g1")):
        assert at_the_door(one, garbage(one.raw(message))) is KernelCode.SIGNATURE_NOT_VALID
        assert one.order(message).code == 0                 # while the one that is named goes on
    of_another = one.node.submit(garbage(one.raw(world.anchor("B.service", 1))))
    assert isinstance(of_another.exception(20), NotIncludable)
    one.node.advance(2 * DISTRUST_MS)
    later = one.node.submit(garbage(one.raw(world.anchor("A.service", 2))))
    assert isinstance(later.exception(20), NotIncludable)   # in the helper's chunks again, which cost less


def test_who_is_suspended_is_turned_away(one: Home) -> None:
    one.done(one.world.invite("A", "D"))
    raw = one.raw(one.world.enrol_staff("D", "D.doctor"))
    error = one.node.submit(raw).exception(20)
    assert isinstance(error, NotIncludable) and error.code is KernelCode.PAYER_NOT_ACTIVE
    assert at_the_door(one, raw) is KernelCode.PAYER_NOT_ACTIVE


# -- what nobody would pay for


def test_a_lane_that_is_used_up_leaves_no_leaf(one: Home) -> None:
    """3,839 refused revocations were once 24 MB that nobody paid for."""
    grants = [f"n{number}" for number in range(LANE_PER_SUBJECT_DAY_MAX)]
    used = one.order(*[one.world.revoke("mei", "B", name) for name in grants[1:]])
    assert used.code == consent.Refusal.GRANT_NOT_FOUND
    before = leaves(one)
    two = [one.raw(one.world.revoke("mei", "B", name), one.world.revoke("li", "B", name)) for name in grants[:2]]
    more = [one.raw(one.world.revoke("mei", "B", "g")) for _ in range(100)]
    codes = flood(one, [*two, *more[:50]]) + flood(one, more[50:])     # her places in the queue hold 64 at once
    assert codes == {consent.Refusal.GRANT_NOT_FOUND: 1, EngineCode.LANE_USED_UP: 101}
    assert leaves(one) == before + 2                        # the last of the day, and its block's end
    assert at_the_door(one, one.raw(one.world.revoke("mei", "B", "g"))) is EngineCode.LANE_USED_UP
    assert one.order(one.world.revoke("li", "B", "g")).code == consent.Refusal.GRANT_NOT_FOUND
    one.node.advance(MS_PER_DAY)
    assert one.order(one.world.revoke("mei", "B", "g")).code == consent.Refusal.GRANT_NOT_FOUND


def test_a_second_that_is_used_up_leaves_no_leaf(tmp_path: Path) -> None:
    """2,856 refused transactions of a second were once 32 MB; what does not fit is now not ordered, and says so."""
    with home(tmp_path / "home", units_per_second=200) as one:
        one.furnished()
        one.node.advance(1_000)
        full = [one.world.anchor("B.service", 1)] * MESSAGES_PER_TX_MAX         # about 70 units
        codes = flood(one, [one.raw(*full) for _ in range(100)])
        assert set(codes) == {0, EngineCode.SECOND_USED_UP}
        assert codes[EngineCode.SECOND_USED_UP] > 50
        one.node.advance(1_000)
        assert one.order(*full).code == 0
        assert one.order(one.world.anchor("A.service", 1)).code == 0


def test_one_patient_leaves_her_hospital_its_second(tmp_path: Path) -> None:
    """What she signs her hospital pays for: its own transactions were once refused for want of units."""
    with home(tmp_path / "home", units_per_second=4_000) as one:
        one.furnished()
        one.node.advance(1_000)
        hers = [one.raw(*[one.world.grant("mei", "B", f"{at} {number}", -1) for number in range(MESSAGES_PER_TX_MAX)])
                for at in range(QUEUE_TXS_PER_SUBJECT_MAX)]
        codes = flood(one, hers)
        assert set(codes) == {consent.Refusal.EXPIRY_MUST_BE_IN_FUTURE, EngineCode.SUBJECT_SHARE_USED_UP}
        assert codes[EngineCode.SUBJECT_SHARE_USED_UP] > 30
        assert one.order(one.world.anchor("A.service", 1)).code == 0
        assert one.order(one.world.grant("li", "B", "g1")).code == 0
        one.node.advance(1_000)
        assert one.order(one.world.grant("mei", "B", "g1")).code == 0


def test_many_patients_together_leave_their_hospital_half_of_its_second(tmp_path: Path) -> None:
    """Twenty of them once took all of it, and nothing of the hospital's own was ordered."""
    names = [f"patient {number}" for number in range(20)]
    with home(tmp_path / "home", units_per_second=4_000) as one:
        one.furnished()
        one.done(*[one.world.register("A.service", name) for name in names])
        for name in names:
            one.done(one.world.claim("A.service", name))
        one.node.advance(1_000)
        codes = flood(one, [
            one.raw(*[one.world.grant(name, "B", f"{at} {number}", -1) for number in range(MESSAGES_PER_TX_MAX)])
            for at in range(4) for name in names])
        assert set(codes) == {consent.Refusal.EXPIRY_MUST_BE_IN_FUTURE, EngineCode.PATIENTS_SHARE_USED_UP}
        assert one.order(one.world.anchor("A.service", 1)).code == 0
        one.node.advance(1_000)
        assert one.order(one.world.grant(names[0], "B", "g1")).code == 0


def test_a_second_goes_on_counting_after_a_restart(tmp_path: Path) -> None:
    with home(tmp_path / "home", units_per_second=200) as one:
        one.furnished()
        full = [one.world.anchor("B.service", 1)] * MESSAGES_PER_TX_MAX
        for _ in range(10):
            flood(one, [one.raw(*full) for _ in range(3)])
            one.reopen()
        blocks = one.node.ask(lambda ledger: [ledger.block(height) for height in range(1, ledger.height + 1)])
        assert {codec.decode(leaf, Leaf).code for block in blocks for leaf in block.leaves} == {0}


def test_a_patients_transactions_take_a_part_of_her_hospitals_places() -> None:
    queue: FairQueue[int] = FairQueue()
    assert [queue.put(b"hospital", at, b"mei") for at in range(QUEUE_TXS_PER_SUBJECT_MAX + 1)] == [
        *[True] * QUEUE_TXS_PER_SUBJECT_MAX, False]
    assert queue.put(b"hospital", 100, b"li") and queue.put(b"hospital", 101)
    assert queue.take(1) == [0]
    assert queue.put(b"hospital", 102, b"mei") and not queue.put(b"hospital", 103, b"mei")
    assert len(queue.take(1_000)) == QUEUE_TXS_PER_SUBJECT_MAX + 2
    assert all(queue.put(b"hospital", at, b"mei") for at in range(QUEUE_TXS_PER_SUBJECT_MAX))


def test_all_patients_together_take_half_of_their_hospitals_places() -> None:
    queue: FairQueue[int] = FairQueue(per_payer_max=8)
    assert [queue.put(b"hospital", at, b"patient %d" % at) for at in range(5)] == [True] * 4 + [False]
    assert all(queue.put(b"hospital", at) for at in range(4)) and not queue.put(b"hospital", 9)
    assert queue.put(b"another", 9, b"mei")
    assert len(queue.take(100)) == 9 and len(queue) == 0
    assert queue.put(b"hospital", 5, b"patient 5")


# -- the helper


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_the_helper_process_is_told_no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINGLIN_PASSPHRASE", "correct horse")
    helper = Helper()
    try:
        helper.send([])
        helper.receive(0)
        assert b"correct horse" not in Path(f"/proc/{helper.pid}/environ").read_bytes()
    finally:
        helper.close()
