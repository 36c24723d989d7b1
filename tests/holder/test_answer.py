"""Answering: each cause, in the same words; what is kept, what is told, and what happens half-way."""

import secrets
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from holder import rooms
from xinglin.base import codec
from xinglin.base.check import Busy, Failed, NotAuthorised, NotFound, NotUnderstood, NotVerified
from xinglin.base.crypto import SHA256
from xinglin.base.ids import NO_HASH, NO_ID
from xinglin.engine.codes import EngineCode
from xinglin.engine.embedded import Committed
from xinglin.holder import answer, asking, openings, shelf
from xinglin.holder.answer import Permit
from xinglin.holder.codes import HolderCode
from xinglin.holder.deliveries import Delivered
from xinglin.holder.release import opening_info
from xinglin.modules import access, consent, members
from xinglin.modules.decision import Cause, Inputs, Opened, Opening, RequestBody, ScopeItem, commit
from xinglin.vault import VaultCode
from xinglin.vault.wrap import RecipientKey


@pytest.fixture
def room(tmp_path: Path) -> Iterator[rooms.Room]:
    yield from rooms.opened(rooms.Room.furnished(tmp_path))


def permit_of(room: rooms.Room, number: int) -> Permit | None:
    return room.holder.get("permit", room.subject(), number.to_bytes(4, "big"), Permit)


def ordered(room: rooms.Room, *, reader: bytes = rooms.DOCTOR, said_reader: bytes | None = None, deliver: bool = True,
            other_key: bool = False, other_body: bool = False, **more: Any) -> access.Requested:
    """A request on the ledger; what is delivered for it may be missing or wrong."""
    recipient, nonce = RecipientKey.new(), secrets.token_bytes(32)
    body = codec.encode(RequestBody(reader=said_reader or reader, purpose="TREAT", scope=rooms.LABORATORY, reason="x"))
    delivered = body if not other_body else codec.encode(RequestBody(
        reader=reader, purpose="TREAT", scope=rooms.LABORATORY, reason="something else"))
    if deliver:
        room.deliver(Delivered(
            subject=room.subject(), request=Opened(nonce=nonce, body=delivered),
            recipient=RecipientKey.new().public if other_key else recipient.public), said_reader or reader)
    (event,) = room.order(access.Request(
        reader=reader, subject=room.subject(), grant_id=NO_ID, key_hash=access.key_hash(SHA256, recipient.public),
        body=commit(SHA256, "request-body", nonce, body), **more))
    assert isinstance(event, access.Requested) and not event.denied
    return event


def answered(room: rooms.Room, number: int) -> access.Answered:
    outcome = room.node.outcome(answer.answer(room.holder, room.subject(), number).tx_id)
    assert outcome is not None
    (event,) = [one for one in outcome.events if isinstance(one, access.Answered)]
    return event


def test_over_fewer_records_than_the_ledger_has_nothing_is_judged(room: rooms.Room) -> None:
    subject = room.subject()
    room.grant(subject)
    room.take_in(*rooms.chart(20, "mei"))
    asked = ordered(room)
    lost, *rest = room.holder.cabinet.list("shelf", subject)
    assert rest and not shelf.incomplete(room.holder)
    room.holder.cabinet.delete("shelf", subject, lost)
    room.holder.forget(subject)
    with pytest.raises(Failed) as caught:
        answer.answer(room.holder, subject, asked.number)
    assert caught.value.code is VaultCode.CABINET_DAMAGED
    assert shelf.incomplete(room.holder) == [subject]
    assert permit_of(room, asked.number) is None


# -- causes

CAUSES: list[tuple[str, dict[str, Any], dict[str, Any], Cause]] = [
    ("nothing was handed over for the grant", {"deliver": False}, {}, Cause.NO_BODY),
    ("another body was", {"other": True}, {}, Cause.BODY_DOES_NOT_MATCH),
    ("for another person", {"person": rooms.NURSE}, {}, Cause.OTHER_PERSON),
    ("for another role", {"roles": (members.Role.PHARMACIST,)}, {}, Cause.OTHER_ROLE),
    ("for another purpose", {"purposes": ("HPAYMT",)}, {}, Cause.OTHER_PURPOSE),
    ("asked for another purpose", {}, {"purpose": "HRESCH"}, Cause.OTHER_PURPOSE),
    ("a class she has nothing of", {"scope": (ScopeItem(data_class="medications", id=""),)},
     {"scope": (ScopeItem(data_class="medications", id=""),)}, Cause.NOTHING_IN_SCOPE),
    ("asked outside the grant", {}, {"scope": rooms.NOTES}, Cause.NOTHING_IN_SCOPE),
    ("withheld by a label", {"scope": rooms.NOTES}, {"scope": rooms.NOTES, "only": "psy"}, Cause.ONLY_WITHHELD),
]


def psychiatric_id(room: rooms.Room) -> str:
    (found,) = [record.shelved.id for record in shelf.newest(shelf.batches(room.holder, room.subject()))
                if record.shelved.source_key == "DocumentReference/mei-psy"]
    return found


@pytest.mark.parametrize(("name", "granted", "asked_for", "cause"), CAUSES, ids=[one[0] for one in CAUSES])
def test_a_denial_tells_the_patient_its_cause_and_everybody_else_nothing(
        room: rooms.Room, name: str, granted: dict[str, Any], asked_for: dict[str, Any], cause: Cause) -> None:
    subject, granted, asked_for = room.subject(), dict(granted), dict(asked_for)
    if granted.pop("other", False):
        granted["committed"] = room.consent_body(wording="another sentence")
    if asked_for.pop("only", None):
        asked_for["scope"] = (ScopeItem(data_class="DocumentReference", id=psychiatric_id(room)),)
    room.grant(subject, **granted)
    asked = room.ask(subject, **asked_for)

    assert asked.denied == 0 and not asked.permitted and asked.answer is not None
    told = asked.answer
    assert (told.decision, told.grant_id, told.epoch, told.parts_root, told.expires_at_ms) == (
        access.Decision.DENIED, NO_ID, 0, NO_HASH, 0)
    assert asking.opening(room.node, room.peer, asked) == Opening(available=False, scope=(), parts=0, salt=NO_HASH)
    with pytest.raises(NotAuthorised) as caught:
        asking.fetch(room.node, room.peer, asked, 0)
    assert str(caught.value) == "XL-8453 NOT_AVAILABLE"
    assert room.cause(subject, 2) is cause
    assert permit_of(room, asked.number) is None


def test_what_is_granted_arrives_and_nothing_else(room: rooms.Room) -> None:
    room.grant(room.subject())
    asked = room.ask(room.subject())
    received = asking.fetch_all(room.node, room.peer, asked)
    assert len(received) == 5
    assert all("laboratory" in one.head.classes and b"5.1 mmol/L" in one.resource for one in received)
    assert room.cause(room.subject(), 2) is Cause.PERMITTED


def test_a_label_is_opened_only_by_a_grant_that_names_it(room: rooms.Room) -> None:
    room.grant(room.subject(), scope=rooms.NOTES)
    asked = room.ask(room.subject(), scope=rooms.NOTES)
    assert len(asking.fetch_all(room.node, room.peer, asked)) == 1, "the plain one"
    room.grant(room.subject(), scope=rooms.NOTES, labels=(rooms.PSYCHIATRIC,))
    named = room.ask(room.subject(), scope=(ScopeItem(data_class="DocumentReference", id=psychiatric_id(room)),))
    assert len(asking.fetch_all(room.node, room.peer, named)) == 1


def test_of_several_grants_the_first_that_opens_something_is_used(room: rooms.Room) -> None:
    subject = room.subject()
    room.grant(subject, purposes=("HPAYMT",))
    room.grant(subject, deliver=False)
    fits = room.grant(subject)
    asked = room.ask(subject)
    assert asked.permitted and asked.answer is not None and asked.answer.grant_id == fits


def test_a_named_grant_is_judged_alone(room: rooms.Room) -> None:
    subject = room.subject()
    unfit, fits = room.grant(subject, purposes=("HPAYMT",)), room.grant(subject)
    assert not room.ask(subject, grant_id=unfit).permitted
    assert room.ask(subject, grant_id=fits).permitted
    unknown = room.ask(subject, grant_id=bytes(15) + b"?")
    assert unknown.denied == consent.Refusal.GRANT_NOT_FOUND.value


def test_the_same_inputs_lead_whoever_opens_them_to_the_same_decision(room: rooms.Room) -> None:
    subject = room.subject()
    room.grant(subject)
    room.ask(subject)
    _, words, _ = openings.history(room.holder, room.signed_challenge(subject))
    inputs = codec.decode(words[1].inputs.body, Inputs)
    assert inputs.records == len(rooms.chart()) and inputs.role == members.Role.PHYSICIAN
    assert codec.decode(words[0].request.body, RequestBody).reason == "follow-up"


def test_a_prescription_arrives_with_the_medication_that_it_names(tmp_path: Path) -> None:
    medications = (ScopeItem(data_class="medications", id=""),)
    about = {"reference": "Patient/mei"}
    room = rooms.Room.furnished(
        tmp_path, rooms.patient(), {"resourceType": "Medication", "id": "m", "code": {"text": "amoxicillin"}},
        {"resourceType": "MedicationRequest", "id": "r", "status": "active", "intent": "order", "subject": about,
         "medicationReference": {"reference": "Medication/m"}})
    try:
        room.grant(room.subject(), scope=medications)
        received = asking.fetch_all(room.node, room.peer, room.ask(room.subject(), scope=medications))
        by_type = {one.head.resource_type: one for one in received}
        assert set(by_type) == {"Medication", "MedicationRequest"}
        assert by_type["Medication"].head.id.encode() in by_type["MedicationRequest"].resource
    finally:
        room.close()


# -- what was delivered

@pytest.mark.parametrize("wrong", [
    {"deliver": False}, {"other_body": True}, {"other_key": True}, {"said_reader": rooms.NURSE}])
def test_without_the_words_that_it_commits_to_a_request_is_denied_and_not_stated(
        room: rooms.Room, wrong: dict[str, Any]) -> None:
    subject = room.subject()
    room.grant(subject)
    requested = ordered(room, **wrong)
    event = answered(room, requested.number)
    assert event.decision is access.Decision.DENIED and event.grant_id == NO_ID
    assert room.cause(subject, 2) is Cause.NO_BODY
    with pytest.raises(NotAuthorised):
        room.opening(subject, requested.number)
    if wrong == {"deliver": False}:
        _, words, _ = openings.history(room.holder, room.signed_challenge(subject))
        assert words[0].request is None, "shown as not stated"


def test_a_request_that_consent_denies_is_still_read_by_the_patient(room: rooms.Room) -> None:
    asked = room.ask(room.subject())
    assert asked.denied == consent.Refusal.GRANT_NOT_FOUND.value
    _, words, _ = openings.history(room.holder, room.signed_challenge(room.subject()))
    assert codec.decode(words[0].request.body, RequestBody).reason == "follow-up"


@pytest.mark.parametrize("body", [b"", b"\xc0", codec.encode(("a", 1))])
def test_what_is_no_request_or_consent_is_not_kept(room: rooms.Room, body: bytes) -> None:
    opened = Opened(nonce=bytes(32), body=body)
    for call in (lambda: room.deliver(Delivered(
            subject=room.subject(), request=opened, recipient=RecipientKey.new().public)),
            lambda: room.keep_consent(room.subject(), bytes(16), opened)):
        with pytest.raises(NotUnderstood) as caught:
            call()
        assert caught.value.code is HolderCode.BODY_DOES_NOT_MATCH


def test_nothing_is_kept_for_a_subject_of_another_holder(room: rooms.Room) -> None:
    stranger, opened = bytes(15) + b"x", Opened(nonce=bytes(32), body=codec.encode(room.consent_body()))
    with pytest.raises(NotFound) as caught:
        room.keep_consent(stranger, bytes(16), opened, signer=rooms.DOCTOR)
    assert caught.value.code is HolderCode.SUBJECT_NOT_HELD
    with pytest.raises(NotFound):
        answer.answer(room.holder, stranger, 1)


def test_a_stranger_who_reads_a_grants_id_on_the_ledger_cannot_replace_its_body(room: rooms.Room) -> None:
    subject = room.subject()
    grant_id = room.grant(subject)
    wider = codec.encode(room.consent_body(wording="everything, for anything", purposes=("TREAT", "HMARKT")))
    with pytest.raises(NotUnderstood) as caught:
        room.keep_consent(subject, grant_id, Opened(nonce=bytes(32), body=wider))
    assert caught.value.code is HolderCode.BODY_DOES_NOT_MATCH
    assert room.ask(subject).permitted


# -- once, in time, whole

def test_a_request_is_answered_once(room: rooms.Room) -> None:
    room.grant(room.subject())
    asked = room.ask(room.subject())
    with pytest.raises(NotUnderstood) as caught:
        answer.answer(room.holder, room.subject(), asked.number)
    assert caught.value.code is HolderCode.REQUEST_NOT_KNOWN
    assert len(asking.fetch_all(room.node, room.peer, asked)) == 5


def test_eight_answers_at_once_are_one_whose_openings_hold(room: rooms.Room) -> None:
    room.grant(room.subject())
    requested = ordered(room)
    together, outcomes = Barrier(8), []

    def try_it() -> None:
        together.wait()
        try:
            outcomes.append(answer.answer(room.holder, room.subject(), requested.number).code)
        except Failed as error:
            outcomes.append(error.code)

    threads = [Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [0] + [HolderCode.REQUEST_NOT_KNOWN] * 7
    assert room.cause(room.subject(), 2) is Cause.PERMITTED


@pytest.mark.parametrize("number", [-1, 0, 99, 2**32, 2**64])
def test_a_request_that_was_never_made_is_not_known(room: rooms.Room, number: int) -> None:
    with pytest.raises(NotUnderstood) as caught:
        answer.answer(room.holder, room.subject(), number)
    assert caught.value.code is HolderCode.REQUEST_NOT_KNOWN


def test_consent_taken_back_between_decision_and_block_is_a_denial(
        room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = room.subject()
    grant_id = room.grant(subject)
    requested = ordered(room)
    order, revoked = room.node.order, []

    def she_is_quicker(raw: bytes) -> Committed:
        if not revoked:
            revoked.append(True)
            room.revoke(subject, grant_id)
        return order(raw)

    monkeypatch.setattr(room.node, "order", she_is_quicker)
    event = answered(room, requested.number)
    assert (event.decision, event.grant_id, event.parts_root) == (access.Decision.DENIED, NO_ID, NO_HASH)
    assert permit_of(room, requested.number) is None
    with pytest.raises(NotAuthorised):
        room.page(subject, requested.number, 0)


def test_a_reader_who_left_before_the_answer_is_denied_and_no_breach_is_made_of_it(room: rooms.Room) -> None:
    room.grant(room.subject())
    requested = ordered(room)
    room.order(members.EndStaff(member=rooms.B, account=rooms.DOCTOR))
    assert answered(room, requested.number).decision is access.Decision.DENIED


def test_a_reader_who_leaves_between_decision_and_block_is_denied(
        room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.grant(room.subject())
    requested = ordered(room)
    order, left = room.node.order, []

    def leaving(raw: bytes) -> Committed:
        if not left:
            left.append(True)
            room.order(members.EndStaff(member=rooms.B, account=rooms.DOCTOR))
        return order(raw)

    monkeypatch.setattr(room.node, "order", leaving)
    assert answered(room, requested.number).decision is access.Decision.DENIED


def test_a_permit_whose_answer_never_stood_releases_nothing(room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = room.subject()
    room.grant(subject)
    requested = ordered(room)

    def stopped(raw: bytes) -> Committed:
        raise Busy(EngineCode.QUEUE_FULL)

    with monkeypatch.context() as patch:
        patch.setattr(room.node, "order", stopped)
        with pytest.raises(Busy):
            answer.answer(room.holder, subject, requested.number)
    assert permit_of(room, requested.number) is not None, "it was written first"
    with pytest.raises(NotAuthorised) as caught:
        room.page(subject, requested.number, 0)
    assert caught.value.code is HolderCode.NOT_AVAILABLE

    room.reopen()
    assert answered(room, requested.number).decision is access.Decision.PERMIT
    assert room.page(subject, requested.number, 0).parts_total == 10


def test_a_permit_whose_answer_was_refused_releases_nothing(room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = room.subject()
    room.grant(subject)
    requested = ordered(room)
    order = room.node.order

    def too_late(raw: bytes) -> Committed:
        room.node.advance(59_999)
        room.node.advance(1)                   # the breach
        return order(raw)

    with monkeypatch.context() as patch:
        patch.setattr(room.node, "order", too_late)
        with pytest.raises(Failed):
            answer.answer(room.holder, subject, requested.number)
    with pytest.raises(NotAuthorised):
        room.page(subject, requested.number, 0)


def test_no_answer_in_time_is_a_breach_that_names_the_holder(room: rooms.Room) -> None:
    subject = room.subject()
    room.grant(subject)
    requested = ordered(room)
    room.node.advance(room.node.manifest.parameters.answer_ms)
    entries, _, _ = openings.history(room.holder, room.signed_challenge(subject))
    assert isinstance(entries[-1], access.Breached)
    assert (entries[-1].request, entries[-1].holder) == (requested.number, rooms.A)
    with pytest.raises(NotUnderstood):
        answer.answer(room.holder, subject, requested.number)


def test_all_that_is_owed_is_answered_and_one_that_cannot_be_holds_up_no_other(
        room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.grant(room.subject())
    numbers = [ordered(room).number for _ in range(3)]
    submit, calls = room.node.submit, iter(range(100))

    def busy_once(raw: bytes) -> Future[Committed]:
        if next(calls) == 0:
            raise Busy(EngineCode.QUEUE_FULL)
        return submit(raw)

    with monkeypatch.context() as patch:
        patch.setattr(room.node, "submit", busy_once)
        with pytest.raises(Busy):
            answer.answer_open(room.holder)
    assert [key[1] for key, _ in room.node.rows(access.REQUESTS)] == numbers[:1]
    assert len(answer.answer_open(room.holder)) == 1
    assert answer.answer_open(room.holder) == []


def test_withheld_absent_and_unknown_sound_and_look_the_same_to_the_reader(room: rooms.Room) -> None:
    subject = room.subject()
    room.grant(subject, scope=rooms.NOTES)
    withheld = room.ask(subject, scope=(ScopeItem(data_class="DocumentReference", id=psychiatric_id(room)),))
    absent = room.ask(subject, scope=(ScopeItem(data_class="DocumentReference", id="0" * 32),))
    seen = []
    for number in (withheld.number, absent.number, 77):
        with pytest.raises(NotAuthorised) as caught:
            room.page(subject, number, 0)
        seen.append((type(caught.value), str(caught.value), caught.value.detail, caught.value.facts))
    with pytest.raises(NotAuthorised) as caught:
        room.page(bytes(15) + b"x", 1, 0)
    seen.append((type(caught.value), str(caught.value), caught.value.detail, caught.value.facts))
    assert seen == seen[:1] * 4

    first, second = withheld.answer, absent.answer
    assert first is not None and second is not None
    assert len(codec.encode(first)) == len(codec.encode(second))
    assert asking.opening(room.node, room.peer, withheld) == asking.opening(room.node, room.peer, absent)
    assert len(room.opening(subject, withheld.number)) == len(room.opening(subject, absent.number))


def test_an_opening_is_for_the_reader_who_asked_and_nobody_else(room: rooms.Room) -> None:
    room.grant(room.subject())
    asked, other = room.ask(room.subject()), room.ask(room.subject(), reader=rooms.NURSE)
    wrapped = room.opening(room.subject(), asked.number)
    with pytest.raises(NotVerified):
        other.recipient.unwrap(opening_info(room.node.network, room.subject(), asked.number), wrapped)
    assert asking.available(room.node, room.peer, asked)
