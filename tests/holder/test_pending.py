"""A release outlives the process that asked for it: its key is kept until the parts are taken, and no longer."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holder import rooms
from xinglin.base.check import Busy, NotAuthorised, NotUnderstood
from xinglin.base.limits import PERMIT_MS_MAX, TX_WINDOW_MS
from xinglin.engine.embedded import Committed
from xinglin.holder import answer, asking, pending
from xinglin.holder.codes import HolderCode
from xinglin.holder.deliveries import Delivered
from xinglin.holder.peers import LocalPeer
from xinglin.modules import module_set
from xinglin.node import Node

ASKS_AND_DIES = """
import os, signal, sys
from pathlib import Path
from holder import rooms
room = rooms.Room.furnished(Path(sys.argv[1]))
room.grant(room.subject())
assert room.ask(room.subject()).permitted
os.kill(os.getpid(), signal.SIGKILL)
"""


class Killed(BaseException):
    """Nobody catches it: as when the process ends."""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[rooms.Room]:
    yield from rooms.opened(rooms.Room.furnished(tmp_path))


def waiting(room: rooms.Room, reader: bytes = rooms.DOCTOR) -> list[asking.Asked]:
    return asking.waiting(room.reading, reader, room.keys[reader])


def kept(room: rooms.Room) -> int:
    return len(room.reading.cabinet.list(pending.KIND, rooms.B))


def ask_through(room: rooms.Room, peer: LocalPeer) -> asking.Asked:
    return asking.ask(room.reading, peer, room.subject(), rooms.DOCTOR, room.keys[rooms.DOCTOR], purpose="TREAT",
                      scope=rooms.LABORATORY, reason="follow-up")


def test_a_release_is_taken_after_the_process_that_asked_was_killed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ASKS_AND_DIES, tmp_path / "room"], capture_output=True, check=False,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == -signal.SIGKILL, done.stderr
    room = rooms.Room(tmp_path / "room", Node.open(tmp_path / "room" / "ledger", module_set()))
    try:
        (asked,) = waiting(room)
        assert asked.permitted and len(asking.fetch_all(room.node, room.peer, asked)) == 5
        asking.taken(room.reading, asked)
        assert waiting(room) == [] and kept(room) == 0
    finally:
        room.close()


def test_an_answer_that_came_after_the_reader_died_is_taken(room: rooms.Room) -> None:
    class Dies(LocalPeer):
        def answer(self, subject: bytes, number: int) -> Committed:
            raise Killed

    room.grant(room.subject())
    with pytest.raises(Killed):
        ask_through(room, Dies(room.holder))
    room.reopen()
    assert waiting(room) == [] and kept(room) == 1, "not answered yet"
    answer.answer_open(room.holder)
    (asked,) = waiting(room)
    assert len(asking.fetch_all(room.node, room.peer, asked)) == 5


def test_the_key_is_written_before_the_request_is_ordered(room: rooms.Room) -> None:
    class Dies(LocalPeer):
        def deliver(self, delivered: Delivered, signature: bytes) -> None:
            raise Killed

    with pytest.raises(Killed):
        ask_through(room, Dies(room.holder))
    room.reopen()
    assert kept(room) == 1 and waiting(room) == []
    room.node.advance(TX_WINDOW_MS + 1)
    assert waiting(room) == [] and kept(room) == 0, "what was never ordered can come no more"


def test_another_reader_is_given_nothing(room: rooms.Room) -> None:
    room.grant(room.subject())
    room.ask(room.subject())
    assert waiting(room, rooms.NURSE) == [] and len(waiting(room)) == 1


def test_requests_wait_beside_each_other(room: rooms.Room) -> None:
    room.grant(room.subject())
    numbers = [room.ask(room.subject()).number for _ in range(3)]
    room.reopen()
    found = waiting(room)
    assert [one.number for one in found] == numbers
    asking.taken(room.reading, found[1])
    assert [one.number for one in waiting(room)] == [numbers[0], numbers[2]]


def test_the_key_lies_sealed(room: rooms.Room) -> None:
    room.grant(room.subject())
    private = room.ask(room.subject()).recipient.private
    room.close()
    found = [file for file in room.folder.rglob("*") if file.is_file()]
    assert not [file for file in found if private in file.read_bytes() or private[:32] in file.read_bytes()]
    room.node = Node.open(room.folder / "ledger", module_set())
    room.holder = rooms.Room(room.folder, room.node).holder


def denied_at_once(room: rooms.Room) -> None:
    assert room.ask(room.subject()).denied


def denied_by_the_holder(room: rooms.Room) -> None:
    room.grant(room.subject())
    assert not room.ask(room.subject(), purpose="HRESCH").permitted


def permit_is_over(room: rooms.Room) -> None:
    room.grant(room.subject())
    room.ask(room.subject())
    room.node.advance(PERMIT_MS_MAX + 1)


def never_answered(room: rooms.Room) -> None:
    class Silent(LocalPeer):
        def answer(self, subject: bytes, number: int) -> Committed:
            raise Killed

    room.grant(room.subject())
    with pytest.raises(Killed):
        ask_through(room, Silent(room.holder))
    room.node.advance(120_000)


@pytest.mark.parametrize("ends", [denied_at_once, denied_by_the_holder, permit_is_over, never_answered])
def test_no_key_is_kept_of_what_can_come_no_more(room: rooms.Room, ends: Callable[[rooms.Room], None]) -> None:
    ends(room)
    room.reopen()
    assert waiting(room) == [] and kept(room) == 0


def test_keys_are_bounded_and_those_that_are_of_no_more_use_make_room(
        room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "PENDING_MAX", 2)
    room.grant(room.subject())
    for _ in range(2):
        room.ask(room.subject())
    with pytest.raises(Busy) as caught:
        room.ask(room.subject())
    assert caught.value.code is HolderCode.TOO_MUCH_WAITING
    room.node.advance(PERMIT_MS_MAX + 1)
    assert room.ask(room.subject()).permitted


def test_a_release_that_was_taken_back_meanwhile_is_not_given(room: rooms.Room) -> None:
    grant_id = room.grant(room.subject())
    room.ask(room.subject())
    room.reopen()
    room.revoke(room.subject(), grant_id)
    (asked,) = waiting(room)
    with pytest.raises(NotAuthorised) as caught:
        asking.fetch_all(room.node, room.peer, asked)
    assert caught.value.code is HolderCode.NOT_AVAILABLE


def test_an_answer_that_another_thread_gave_is_taken(room: rooms.Room) -> None:
    """The reader was once told to ask anew, which is a second entry in the patient's list."""
    class Quicker(LocalPeer):
        def answer(self, subject: bytes, number: int) -> Committed:
            answer.answer_open(room.holder)
            return super().answer(subject, number)

    room.grant(room.subject())
    assert ask_through(room, Quicker(room.holder)).permitted
    assert not asking.ask(room.reading, Quicker(room.holder), room.subject(), rooms.DOCTOR, room.keys[rooms.DOCTOR],
                          purpose="HRESCH", scope=rooms.LABORATORY, reason="x").permitted


def test_what_is_turned_away_at_the_door_leaves_no_key(room: rooms.Room) -> None:
    class Refuses(LocalPeer):
        def deliver(self, delivered: Delivered, signature: bytes) -> None:
            raise Busy(HolderCode.TOO_MUCH_WAITING)

    with pytest.raises(Busy):
        ask_through(room, Refuses(room.holder))
    assert kept(room) == 0


def test_nothing_is_kept_or_asked_that_nobody_could_read(room: rooms.Room) -> None:
    blocks = len(list(room.node.blocks()))
    with pytest.raises(NotUnderstood):
        asking.ask(room.reading, room.peer, room.subject(), rooms.DOCTOR, room.keys[rooms.DOCTOR], purpose="TREAT",
                   scope=rooms.LABORATORY, reason="x" * 10_000)
    assert kept(room) == 0 and len(list(room.node.blocks())) == blocks


def test_one_reader_takes_not_all_places(room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "PENDING_PER_READER_MAX", 2)
    room.grant(room.subject())
    for _ in range(2):
        assert room.ask(room.subject()).permitted
    with pytest.raises(Busy):
        room.ask(room.subject())
    assert room.ask(room.subject(), reader=rooms.NURSE).permitted
