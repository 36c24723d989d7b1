"""The fair queue by itself, and a flood against a running engine."""

import random
import threading
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from homes import home
from xinglin.base.check import Busy
from xinglin.engine.codes import EngineCode
from xinglin.engine.fair_queue import FairQueue


def test_members_take_turns_however_much_one_of_them_has_waiting() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(500):
        queue.put(b"flood", "f")
    for other in (b"b", b"c"):
        for _ in range(5):
            queue.put(other, other.decode())
    assert Counter(queue.take(15)) == {"f": 5, "b": 5, "c": 5}


def test_one_member_fills_its_own_share_and_nobody_elses() -> None:
    queue: FairQueue[int] = FairQueue(total_max=10, per_payer_max=4)
    assert [queue.put(b"flood", at) for at in range(6)] == [True] * 4 + [False] * 2
    assert all(queue.put(b"other", at) for at in range(4))
    assert queue.take(100) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_whole_is_bounded_and_has_room_again_when_something_is_taken() -> None:
    queue: FairQueue[int] = FairQueue(total_max=3, per_payer_max=2)
    assert [queue.put(b"%d" % at, at) for at in range(5)] == [True] * 3 + [False] * 2
    queue.take(1)
    assert queue.put(b"9", 9)


def test_revocations_go_first() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(100):
        queue.put(b"m", "grant")
    queue.put_in_lane(b"s", "revoke")
    assert queue.take(64)[0] == "revoke"


def test_a_full_queue_has_room_for_revocations() -> None:
    queue: FairQueue[str] = FairQueue(total_max=2, per_payer_max=2)
    assert queue.put(b"m", "x") and queue.put(b"m", "y") and not queue.put(b"m", "z")
    assert queue.put_in_lane(b"s", "revoke")
    assert queue.take(1) == ["revoke"] or "revoke" in queue.take(3)


def test_a_flood_of_revocations_leaves_half_to_the_others_and_others_revocations_their_turn() -> None:
    queue: FairQueue[str] = FairQueue(per_subject_max=1_000)
    for _ in range(1_000):
        queue.put_in_lane(b"flood", "flood")
    for _ in range(100):
        queue.put(b"m", "grant")
    queue.put_in_lane(b"s", "revoke")
    taken = queue.take(64)
    assert Counter(taken) == {"flood": 31, "revoke": 1, "grant": 32}
    assert "revoke" in taken[:2]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["put", "lane", "take"]), st.integers(0, 3), st.integers(1, 9)), max_size=80))
def test_nothing_is_lost_doubled_or_reordered_within_one_payer(steps: list[tuple[str, int, int]]) -> None:
    queue: FairQueue[tuple[str, int, int]] = FairQueue(total_max=12, per_payer_max=5, per_subject_max=5)
    waiting: list[tuple[str, int, int]] = []
    for number, (what, who, most) in enumerate(steps):
        item = (what, who, number)
        if what == "take":
            taken = queue.take(most)
            assert len(taken) == min(most, len(waiting))
            for one in taken:
                assert one == next(other for other in waiting if other[:2] == one[:2])
                waiting.remove(one)
        elif (queue.put if what == "put" else queue.put_in_lane)(b"%d" % who, item):
            waiting.append(item)
        else:
            same = [one for one in waiting if one[0] == what]
            assert len(same) == 12 or [one[1] for one in same].count(who) == 5
        assert len(queue) == len(waiting)


def test_a_member_that_floods_the_engine_leaves_another_its_share(tmp_path: Path) -> None:
    """B orders twenty, one after the other, while A sends all it can and takes Busy for an answer."""
    with home(tmp_path / "home", units_per_second=2**32 - 1) as one:
        one.furnished()
        flood = [one.raw(one.world.batch("A.service", "mei", number + 1, 1), nonce=random.randbytes(16))
                 for number in range(4_000)]
        mine = [one.raw(one.world.anchor("B.service", number + 1)) for number in range(20)]
        done = threading.Event()
        busy = Counter[int]()

        def flooder() -> None:
            while not done.is_set():
                for raw in flood:
                    try:
                        one.node.submit(raw)
                    except Busy as error:
                        busy[error.code] += 1
                        done.wait(0.001)
        flooding = [threading.Thread(target=flooder) for _ in range(2)]
        for thread in flooding:
            thread.start()
        ordered = 0
        while ordered < len(mine):
            try:
                assert one.node.order(mine[ordered]).code == 0
                ordered += 1
            except Busy as error:
                assert error.code is EngineCode.QUEUE_FULL
                done.wait(0.01)
        done.set()
        for thread in flooding:
            thread.join()
