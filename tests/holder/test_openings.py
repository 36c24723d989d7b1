"""What a patient reads: after one signed challenge, of her own subject, complete whatever goes on beside."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec import structs

from holder import rooms
from xinglin.base import codec
from xinglin.base.check import NotAuthorised, NotFound, NotVerified
from xinglin.base.crypto import SHA256
from xinglin.base.ids import NO_ID
from xinglin.base.limits import CHALLENGE_MS, CHALLENGES_PER_SUBJECT_MAX
from xinglin.client import Completeness, verify_file
from xinglin.client.door import OpenedHistory, SignedChallenge
from xinglin.client.records import OpenedRecords
from xinglin.client.signing import sign
from xinglin.holder import openings
from xinglin.holder.challenges import Challenges
from xinglin.holder.codes import HolderCode
from xinglin.holder.peers import LocalDoor
from xinglin.kernel.receipt import StateProof
from xinglin.modules import access, members
from xinglin.vault.wrap import RecipientKey


@pytest.fixture
def room(tmp_path: Path) -> Iterator[rooms.Room]:
    yield from rooms.opened(rooms.Room.furnished(tmp_path, *rooms.chart(2, "mei"), *rooms.chart(2, "li")))


def not_met(room: rooms.Room, signed: SignedChallenge) -> None:
    with pytest.raises(NotAuthorised) as caught:
        openings.history(room.holder, signed)
    assert caught.value.code is HolderCode.CHALLENGE_NOT_MET and caught.value.detail == ""


def complete(room: rooms.Room, subject: bytes) -> int:
    """How many entries a history has, each of which a stranger verifies."""
    entries, words, proof = openings.history(room.holder, room.signed_challenge(subject))
    assert [entry.number for entry in entries] == [one.number for one in words] == list(range(1, len(entries) + 1))
    file = codec.encode(Completeness(entries=tuple(codec.encode(entry) for entry in entries),
                                     log=codec.decode(proof, StateProof)))
    return int(verify_file(file, room.node.network, room.node.modules).facts["entries"])


# -- challenges

def test_a_challenge_is_good_once(room: rooms.Room) -> None:
    signed = room.signed_challenge(room.subject())
    assert openings.history(room.holder, signed)[0] == []
    not_met(room, signed)
    assert openings.history(room.holder, room.signed_challenge(room.subject()))[0] == []


def test_a_challenge_is_good_for_two_minutes(room: rooms.Room) -> None:
    on_time, late = room.signed_challenge(room.subject()), room.signed_challenge(room.subject())
    room.node.advance(CHALLENGE_MS - 5_000)
    openings.history(room.holder, on_time)
    room.node.advance(5_001)
    not_met(room, late)


def test_a_challenge_is_for_its_own_subject_network_and_process(room: rooms.Room) -> None:
    mei, li = room.subject("mei"), room.subject("li")
    drawn = openings.challenge(room.holder, mei)
    for other in (structs.replace(drawn, subject=li), structs.replace(drawn, network=bytes(32)),
                  structs.replace(drawn, nonce=bytes(32)), structs.replace(drawn, nonce=b""),
                  structs.replace(drawn, nonce=drawn.nonce[:-1] + bytes([drawn.nonce[-1] ^ 1]))):
        for key in (mei, li):
            not_met(room, other.signed(room.keys[key], rooms.RECIPIENT.public))
    room.reopen()
    not_met(room, drawn.signed(room.keys[mei], rooms.RECIPIENT.public))


@pytest.mark.parametrize("signer", [rooms.DOCTOR, rooms.SERVICE, rooms.A])
def test_nobody_elses_signature_opens_her_history(room: rooms.Room, signer: bytes) -> None:
    drawn = openings.challenge(room.holder, room.subject())
    not_met(room, drawn.signed(room.keys[signer], rooms.RECIPIENT.public))
    hers = drawn.signed(room.keys[room.subject()], rooms.RECIPIENT.public)
    not_met(room, structs.replace(hers, signature=b""))
    assert openings.history(room.holder, hers)[0] == [], \
        "a stranger's wrong signature does not use it up"


def test_what_she_signs_for_the_ledger_is_no_signed_challenge(room: rooms.Room) -> None:
    drawn = openings.challenge(room.holder, room.subject())
    hers = drawn.signed(room.keys[room.subject()], rooms.RECIPIENT.public)
    not_met(room, structs.replace(hers, signature=room.keys[room.subject()].sign(codec.encode(drawn))))


def test_a_door_in_the_middle_is_replied_to_for_her_alone(room: rooms.Room) -> None:
    """It can pass on what she signed, and neither read the reply nor have it made for itself."""
    subject, hers, its = room.subject(), RecipientKey.new(), RecipientKey.new()
    door = LocalDoor(room.holder)
    for ask, type_ in ((door.history, OpenedHistory), (door.records, OpenedRecords)):
        drawn = door.challenge(subject)
        signed = drawn.signed(room.keys[subject], hers.public)
        with pytest.raises(NotAuthorised) as caught:
            ask(structs.replace(signed, recipient=its.public))
        assert caught.value.code is HolderCode.CHALLENGE_NOT_MET
        reply = ask(signed)
        with pytest.raises(NotVerified):
            reply.opened(drawn, its, type_)
        with pytest.raises(NotVerified):
            reply.opened(door.challenge(subject), hers, type_)
        assert isinstance(reply.opened(drawn, hers, type_), type_)


def test_records_are_opened_to_herself_alone(room: rooms.Room) -> None:
    subject = room.subject()
    with pytest.raises(NotAuthorised):
        openings.records(room.holder, openings.challenge(room.holder, subject).signed(
            room.keys[rooms.DOCTOR], rooms.RECIPIENT.public))
    signed = room.signed_challenge(subject)
    (batch,) = openings.records(room.holder, signed).batches
    assert batch is not None and len(batch.heads) == 5
    with pytest.raises(NotAuthorised):
        openings.records(room.holder, signed)


def test_an_account_that_is_no_subject_here_gets_no_challenge(room: rooms.Room) -> None:
    for stranger in (bytes(15) + b"x", rooms.DOCTOR, rooms.A):
        with pytest.raises(NotFound) as caught:
            openings.challenge(room.holder, stranger)
        assert caught.value.code is HolderCode.SUBJECT_NOT_HELD


def test_an_unclaimed_subject_has_no_key_and_no_history(tmp_path: Path) -> None:
    room = rooms.Room.found(tmp_path)
    try:
        room.take_in(rooms.patient())
        room.keys[room.subject()] = rooms.seeded(99)
        not_met(room, room.signed_challenge(room.subject()))
    finally:
        room.close()


def test_a_key_that_has_ended_opens_nothing(room: rooms.Room) -> None:
    """A doctor's: the rule is one for all accounts."""
    room.holder.keystore.create(rooms.DOCTOR)
    signed = room.signed_challenge(rooms.DOCTOR)
    later = room.signed_challenge(rooms.DOCTOR)
    assert openings.history(room.holder, signed)[0] == []
    room.order(members.EndStaff(member=rooms.B, account=rooms.DOCTOR))
    not_met(room, later)


def test_drawing_a_million_challenges_keeps_nothing_and_voids_none() -> None:
    challenges = Challenges(lambda: 1_000)
    mine = challenges.draw(b"m" * 16)
    for _ in range(10_000):
        challenges.draw(b"m" * 16)
    assert not challenges._used
    assert challenges.is_open(b"m" * 16, mine) and challenges.use(b"m" * 16, mine)


def test_signed_challenges_are_remembered_only_while_they_could_be_used_again() -> None:
    now_ms = 1_000
    challenges = Challenges(lambda: now_ms)
    drawn = [challenges.draw(b"m" * 16) for _ in range(CHALLENGES_PER_SUBJECT_MAX + 1)]
    assert [challenges.use(b"m" * 16, one) for one in drawn] == [True] * CHALLENGES_PER_SUBJECT_MAX + [False]
    assert challenges.use(b"l" * 16, challenges.draw(b"l" * 16)), "another subject is not held up"
    now_ms += CHALLENGE_MS + 1
    assert not any(challenges.is_open(b"m" * 16, one) for one in drawn)
    assert challenges.use(b"m" * 16, challenges.draw(b"m" * 16)) and len(challenges._used) == 1


# -- histories

def test_a_history_is_complete_while_requests_come_in(room: rooms.Room) -> None:
    subject = room.subject()
    room.grant(subject)

    def ask(number: int) -> int:
        return room.ask(subject, reader=(rooms.DOCTOR, rooms.NURSE)[number % 2]).number

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(24)]
        found = [complete(room, subject) for _ in range(12)]
        numbers = sorted(one.result() for one in asking)
    assert found == sorted(found) and complete(room, subject) == 48
    assert len(set(numbers)) == 24


def test_a_history_of_more_entries_than_one_look_reads_is_whole(
        room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openings, "OUTCOMES_AT_ONCE", 8)       # more than 32 a day the ledger does not take
    subject, node = room.subject(), room.node
    many = 3 * openings.OUTCOMES_AT_ONCE + 7
    request = access.Request(reader=rooms.DOCTOR, subject=subject, grant_id=NO_ID, key_hash=bytes(32), body=bytes(32))
    raws = [sign(node.network, SHA256, node.modules, [request], room.keys, node.now_ms() + 60_000)[0]
            for _ in range(many)]
    for future in [node.submit(raw) for raw in raws]:
        assert future.result().code == 0
    assert complete(room, subject) == many


def test_two_subjects_histories_do_not_mix(room: rooms.Room) -> None:
    mei, li = room.subject("mei"), room.subject("li")
    room.order(*(access.Request(reader=rooms.DOCTOR, subject=subject, grant_id=NO_ID, key_hash=bytes(32),
                                body=bytes(32)) for subject in (mei, li, mei)))
    assert (complete(room, mei), complete(room, li)) == (2, 1)


def test_words_of_an_answer_that_never_stood_are_not_shown(room: rooms.Room) -> None:
    subject = room.subject()
    room.grant(subject)
    asked = room.ask(subject)
    name = asked.number.to_bytes(4, "big")
    kept = room.holder.get("openings", subject, name, openings.Openings)
    assert kept is not None
    room.holder.put("openings", subject, name, structs.replace(kept, inputs=structs.replace(
        kept.inputs, nonce=bytes(32))))
    _, words, _ = openings.history(room.holder, room.signed_challenge(subject))
    assert words[0].request is not None and words[1].inputs is None and words[1].opening is None
