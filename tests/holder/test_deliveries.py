"""What a reader hands over: kept for people who are who they say, little of it, and not for ever."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holder import rooms
from xinglin.base import codec
from xinglin.base.check import Busy, NotAuthorised, NotUnderstood
from xinglin.base.crypto import SHA256
from xinglin.base.ids import NO_ID
from xinglin.base.limits import CONSENTS_KEPT_MAX, DELIVERIES_WAITING_PER_SUBJECT_MAX, TX_WINDOW_MS
from xinglin.client.door import KeptConsent
from xinglin.holder import answer, deliveries, openings
from xinglin.holder.codes import HolderCode
from xinglin.holder.deliveries import Delivered
from xinglin.modules import access, members
from xinglin.modules.decision import Opened, RequestBody, commit
from xinglin.vault.wrap import RecipientKey

RECIPIENT = RecipientKey.new()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[rooms.Room]:
    yield from rooms.opened(rooms.Room.furnished(tmp_path, *rooms.chart(1, "mei"), *rooms.chart(1, "li")))


def delivery(room: rooms.Room, own: str = "mei", reader: bytes = rooms.DOCTOR) -> Delivered:
    body = codec.encode(RequestBody(reader=reader, purpose="TREAT", scope=rooms.LABORATORY, reason="x"))
    return Delivered(subject=room.subject(own), request=Opened(nonce=secrets.token_bytes(32), body=body),
                     recipient=RECIPIENT.public)


def ordered(room: rooms.Room, one: Delivered) -> None:
    room.order(access.Request(
        reader=rooms.DOCTOR, subject=one.subject, grant_id=NO_ID, key_hash=access.key_hash(SHA256, one.recipient),
        body=commit(SHA256, "request-body", one.request.nonce, one.request.body)))


def kept(room: rooms.Room, own: str = "mei") -> int:
    return len(room.holder.cabinet.list("delivered", room.subject(own)))


def not_signed(call: Any) -> None:
    with pytest.raises(NotAuthorised) as caught:
        call()
    assert caught.value.code is HolderCode.NOT_SIGNED


def test_nothing_is_kept_for_whoever_is_not_the_reader_that_it_names(room: rooms.Room) -> None:
    one = delivery(room)
    for signer in (rooms.NURSE, rooms.B, rooms.SERVICE, room.subject()):
        not_signed(lambda signer=signer: room.deliver(one, signer))
    for signature in (b"", room.keys[rooms.DOCTOR].sign(codec.encode(one)),
                      room.keys[rooms.DOCTOR].sign(one.message(bytes(32)))):
        not_signed(lambda signature=signature: deliveries.deliver(room.holder, one, signature))
    not_signed(lambda: room.deliver(delivery(room, reader=rooms.B), rooms.B))
    room.order(members.EndStaff(member=rooms.B, account=rooms.DOCTOR))
    not_signed(lambda: room.deliver(one))
    assert kept(room) == 0


def test_what_is_handed_over_and_never_ordered_is_little_and_goes(room: rooms.Room) -> None:
    for _ in range(DELIVERIES_WAITING_PER_SUBJECT_MAX):
        room.deliver(delivery(room))
    with pytest.raises(Busy) as caught:
        room.deliver(delivery(room))
    assert caught.value.code is HolderCode.TOO_MUCH_WAITING
    with pytest.raises(Busy):
        room.deliver(delivery(room, reader=rooms.NURSE), rooms.NURSE)
    room.deliver(delivery(room, "li"))
    assert kept(room) == DELIVERIES_WAITING_PER_SUBJECT_MAX and kept(room, "li") == 1
    room.node.advance(TX_WINDOW_MS + 1)
    room.deliver(delivery(room))
    assert kept(room) == 1 and kept(room, "li") == 0


def test_one_member_hands_over_only_so_much_in_all(room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "DELIVERIES_WAITING_MAX", 4)
    ones = [delivery(room, own) for own in ("mei", "li", "mei", "li")]
    for one in ones:
        room.deliver(one)
    with pytest.raises(Busy):
        room.deliver(delivery(room))
    ordered(room, ones[1])
    room.deliver(delivery(room))
    with pytest.raises(Busy):
        room.deliver(delivery(room))


def test_what_was_ordered_is_kept_and_counts_no_more(room: rooms.Room) -> None:
    for _ in range(DELIVERIES_WAITING_PER_SUBJECT_MAX + 2):
        one = delivery(room)
        room.deliver(one)
        room.deliver(one)              # again is not another
        ordered(room, one)
    room.node.advance(TX_WINDOW_MS + 1)
    room.deliver(delivery(room))
    assert kept(room) == DELIVERIES_WAITING_PER_SUBJECT_MAX + 3


def test_the_terms_of_a_consent_are_taken_from_the_patient_alone(room: rooms.Room) -> None:
    subject, opened = room.subject(), Opened(nonce=bytes(32), body=codec.encode(room.consent_body()))
    for signer in (rooms.DOCTOR, rooms.SERVICE, room.subject("li")):
        not_signed(lambda signer=signer: room.keep_consent(subject, bytes(16), opened, signer))
    other = KeptConsent(network=bytes(32), subject=subject, grant_id=bytes(16), opened=opened)
    not_signed(lambda: answer.keep_consent(room.holder, other.signed(room.keys[subject])))
    assert not room.holder.cabinet.list("consent", subject)


def test_terms_that_were_never_granted_make_room(room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CONSENTS_KEPT_MAX > 4
    monkeypatch.setattr(answer, "CONSENTS_KEPT_MAX", 4)
    subject, opened = room.subject(), Opened(nonce=bytes(32), body=codec.encode(room.consent_body()))
    granted = room.grant(subject)
    for number in range(3):
        room.keep_consent(subject, bytes([number]) * 16, opened)
    room.keep_consent(subject, b"n" * 16, opened)
    assert set(room.holder.cabinet.list("consent", subject)) == {granted, b"n" * 16}
    assert room.ask(subject).permitted


def test_what_was_handed_over_is_not_handed_over_again(room: rooms.Room) -> None:
    """A reader once took back why it had asked: again, wait until that counted as never ordered, then another."""
    room.grant(room.subject())
    one = delivery(room)
    room.deliver(one)
    ordered(room, one)
    with pytest.raises(NotUnderstood) as caught:
        room.deliver(one)
    assert caught.value.code is HolderCode.ORDERED_ALREADY
    answer.answer_open(room.holder)
    room.deliver(one)
    room.node.advance(TX_WINDOW_MS + 1)
    room.deliver(delivery(room))
    assert kept(room) == 2


def test_words_that_come_after_the_request_are_none(room: rooms.Room) -> None:
    """An honest holder that denied what it had never been told was once made to look as if it had been."""
    subject = room.subject()
    late, in_time = delivery(room), delivery(room)
    ordered(room, late)
    room.deliver(late)
    room.deliver(in_time)
    ordered(room, in_time)
    _, words, _ = openings.history(room.holder, room.signed_challenge(subject))
    assert [one.request for one in words] == [None, in_time.request]


def test_each_block_is_looked_at_once_for_what_waits(room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every delivery once looked through all that had happened since the first, on the ledger's own thread."""
    room.deliver(delivery(room))
    for _ in range(5):
        room.grant(room.subject())
    asked: list[list[Any]] = []
    about = room.node.outcomes_about

    def watched(*args: Any) -> list[Any]:
        asked.append(about(*args))
        return asked[-1]
    monkeypatch.setattr(room.node, "outcomes_about", watched)
    room.deliver(delivery(room))
    assert sum(map(len, asked)) == 5
    asked.clear()
    room.deliver(delivery(room))
    assert sum(map(len, asked)) == 0
