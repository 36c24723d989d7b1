"""A patient judges her holder's answers again: what is honest follows from the rules, and each lie is named."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from client.wards import Lying, Ward
from holder import rooms
from xinglin.base import codec
from xinglin.base.check import NotVerified
from xinglin.base.crypto import SHA256
from xinglin.base.ids import NO_HASH, NO_ID
from xinglin.base.limits import GRANTS_PER_ROW_MAX
from xinglin.base.units import MS_PER_HOUR
from xinglin.client import Client, Patient, Wallet
from xinglin.client.codes import ClientCode
from xinglin.client.door import Reply, SignedChallenge
from xinglin.client.judging import Finding, Judged
from xinglin.client.records import Head, OpenedBatch, OpenedRecords
from xinglin.client.sealed_file import Strength
from xinglin.engine.embedded import Committed
from xinglin.holder import answer, openings, shelf
from xinglin.holder.deliveries import Delivered
from xinglin.modules import access, consent, members, module_set
from xinglin.modules.decision import (
    Cause,
    Facts,
    Inputs,
    Judgement,
    Opened,
    RequestBody,
    ScopeItem,
    commit,
    records_root,
)
from xinglin.modules.members import Role
from xinglin.node import LocalTransport
from xinglin.vault.seal import new_nonce
from xinglin.vault.wrap import RecipientKey

Patch = pytest.MonkeyPatch


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    found = Ward(tmp_path)
    found.claim()
    yield found
    found.room.close()


def judged(ward: Ward, door: Any = None) -> list[Judged]:
    return ward.patient.judge(door or ward.door, ward.subject)


def last(ward: Ward) -> Judged:
    return judged(ward)[-1]


# -- honest

HONEST: dict[str, tuple[dict[str, Any], dict[str, Any], Cause]] = {
    "permitted": ({}, {}, Cause.PERMITTED),
    "another purpose": ({}, {"purpose": "HRESCH"}, Cause.OTHER_PURPOSE),
    "another role": ({"roles": (Role.NURSE,)}, {}, Cause.OTHER_ROLE),
    "another person": ({"person": rooms.NURSE}, {}, Cause.OTHER_PERSON),
    "nothing in scope": ({}, {"scope": rooms.NOTES}, Cause.NOTHING_IN_SCOPE),
    "notes without labels": ({"scope": (ScopeItem(data_class="DocumentReference", id=""),)},
                              {"scope": rooms.NOTES}, Cause.PERMITTED),
    "a label that was named": ({"scope": rooms.NOTES, "labels": (rooms.PSYCHIATRIC,)}, {"scope": rooms.NOTES},
                               Cause.PERMITTED),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_answer_follows_from_the_rules(ward: Ward, name: str) -> None:
    granted, asked, cause = HONEST[name]
    ward.grant(**granted)
    ward.room.ask(ward.subject, **asked)
    (found,) = judged(ward)
    assert (found.finding, found.stated, found.found) == (Finding.FOLLOWS, cause, cause)
    assert found.permitted is (cause is Cause.PERMITTED) and found.released == found.due
    assert (found.due > 0) is found.permitted


def test_answers_are_judged_over_the_records_of_their_own_time(ward: Ward) -> None:
    ward.grant()
    for number in range(3):
        ward.room.ask(ward.subject)
        ward.room.take_in(rooms.patient(), rooms.laboratory("mei-lab-0", value=f"{number} mmol/L"),
                          rooms.laboratory(f"new-{number}"), rooms.note("mei-plain", labels=[rooms.PSYCHIATRIC]))
    assert [(one.finding, one.due) for one in judged(ward)] == [(Finding.FOLLOWS, 3 + at) for at in range(3)]


def test_what_the_ledger_denied_by_itself_is_no_answer_of_the_holders(ward: Ward) -> None:
    assert ward.room.ask(ward.subject).denied and judged(ward) == []


def test_of_a_consent_taken_back_between_decision_and_block_it_cannot_be_told(ward: Ward, monkeypatch: Patch) -> None:
    grant_id, honest = ward.grant(), answer._order

    def order(holder: Any, subject: bytes, asked: Any, what: Any) -> Committed:
        if what.permitted:
            ward.patient.revoke(subject, grant_id)
        return honest(holder, subject, asked, what)
    monkeypatch.setattr(answer, "_order", order)
    ward.room.ask(ward.subject)
    assert (last(ward).finding, last(ward).stated) == (Finding.PERHAPS_COVERED, Cause.NO_LONGER_LIVE)
    assert last(ward).finding.follows is None


def test_a_wallet_restored_from_its_seed_judges_by_the_terms_that_the_holder_keeps(
        ward: Ward, tmp_path: Path) -> None:
    ward.grant()
    ward.room.ask(ward.subject)
    restored = Patient(ward.client, Wallet.create(tmp_path / "new.wallet", "-", seed=ward.wallet.seed,
                                                  strength=Strength.INTERACTIVE))
    (found,) = restored.judge(ward.door, ward.subject)
    assert found.finding is Finding.FOLLOWS


# -- a holder that lies when it answers

def with_contents(change: Callable[[list[shelf.Record], list[Facts]], Any]) -> Callable[[Patch], None]:
    honest = shelf.contents

    def lying(*values: Any) -> shelf.Contents:
        found = honest(*values)
        records, facts = change([*found.records], [*found.facts])
        return shelf.Contents(found.roots, records, facts, records_root(SHA256, [codec.encode(one) for one in facts]))
    return lambda patch: patch.setattr(shelf, "contents", lying)


def with_inputs(**changes: Any) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(answer, "Inputs", lambda **fields: Inputs(**fields | changes))


def with_judgement(change: Callable[[Judgement, int], Judgement]) -> Callable[[Patch], None]:
    honest = answer.decide
    return lambda patch: patch.setattr(answer, "decide", lambda *values: change(honest(*values), len(values[2])))


def with_asked(**changes: Any) -> Callable[[Patch], None]:
    honest = answer._asked
    return lambda patch: patch.setattr(answer, "_asked", lambda *values: honest(*values)._replace(**changes))


def no_terms(patch: Patch) -> None:
    patch.setattr(answer, "consent_body", lambda *_: Cause.NO_BODY)


def relabelled(records: list[shelf.Record], facts: list[Facts]) -> Any:
    return records, [structs.replace(one, labels=(rooms.PSYCHIATRIC,)) for one in facts]


LIES: dict[str, tuple[Callable[[Patch], None], Finding]] = {
    "a record left out": (with_contents(lambda records, facts: (records[:-1], facts[:-1])), Finding.OTHER_RECORDS),
    "a result left out, and its place": (with_contents(lambda records, facts: (records[2:], facts[2:])),
                                         Finding.OTHER_RECORDS),
    "no records": (with_contents(lambda records, facts: ([], [])), Finding.OTHER_RECORDS),
    "records that are labelled otherwise": (with_contents(relabelled), Finding.OTHER_RECORDS),
    "permitted beyond": (with_judgement(lambda one, count: one._replace(selected=tuple(range(count)))),
                         Finding.OTHER_PARTS),
    "one record too few": (with_judgement(lambda one, _: one._replace(selected=one.selected[1:])),
                           Finding.OTHER_PARTS),
    "another record instead": (with_judgement(lambda one, count: one._replace(selected=(
        min({*range(count)} - {*one.selected}), *one.selected[1:]))), Finding.OTHER_PARTS),
    "denied, saying not in scope": (with_judgement(lambda *_: Judgement(Cause.NOTHING_IN_SCOPE, ())),
                                    Finding.OTHER_CAUSE),
    "denied, saying withheld": (with_judgement(lambda *_: Judgement(Cause.ONLY_WITHHELD, ())), Finding.OTHER_CAUSE),
    "denied, saying that it has no terms": (no_terms, Finding.OTHER_CAUSE),
    "permitted, saying another cause": (with_inputs(cause=Cause.OTHER_ROLE), Finding.OTHER_CAUSE),
    "another role": (with_asked(role=Role.AUDITOR), Finding.OTHER_ROLE),
    "another request": (with_inputs(request=bytes(32)), Finding.OTHER_REQUEST),
    "another consent": (with_inputs(consent=bytes(31) + b"x"), Finding.OTHER_CONSENT),
    "another rule": (with_inputs(rule_version=2), Finding.OTHER_RULE),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_in_an_answer_is_named(ward: Ward, monkeypatch: Patch, name: str) -> None:
    lie, finding = LIES[name]
    ward.grant()
    with monkeypatch.context() as patch:
        lie(patch)
        ward.room.ask(ward.subject)
    ward.room.ask(ward.subject)
    lied, honest = judged(ward)
    assert lied.finding is finding and lied.finding.follows is (None if finding is Finding.OTHER_RULE else False)
    assert honest.finding is Finding.FOLLOWS


def test_a_permit_beyond_the_consents_scope_is_named(ward: Ward, monkeypatch: Patch) -> None:
    """The consent is for notes without labels; the psychiatric one went along."""
    ward.grant(scope=rooms.NOTES)
    with monkeypatch.context() as patch:
        patch.setattr("xinglin.modules.decision.withheld", lambda *_: False)
        asked = ward.room.ask(ward.subject, scope=rooms.NOTES)
    assert asked.permitted
    found = last(ward)
    assert (found.finding, found.released, found.due) == (Finding.OTHER_PARTS, 2, 1)


@pytest.mark.parametrize(("hours", "finding"), [(0, Finding.PERHAPS_COVERED), (1, Finding.COVERED)])
def test_a_denial_that_passes_over_a_consent_is_named_as_far_as_the_ledger_tells(
        ward: Ward, monkeypatch: Patch, hours: int, finding: Finding) -> None:
    ward.grant()
    other = ward.grant(scope=rooms.NOTES)
    ward.room.node.advance(hours * MS_PER_HOUR + (10 * 60_000 if hours else 0))
    honest = answer._asked

    def only_the_other(*values: Any) -> answer.Asked:
        found = honest(*values)
        return found._replace(candidates=[one for one in found.candidates if one.grant_id == other])
    with monkeypatch.context() as patch:
        patch.setattr(answer, "_asked", only_the_other)
        ward.room.ask(ward.subject)
    assert (last(ward).finding, last(ward).found) == (finding, Cause.NOTHING_IN_SCOPE)
    with monkeypatch.context() as patch:
        with_asked(candidates=[])(patch)
        ward.room.ask(ward.subject)
    assert (last(ward).finding, last(ward).stated) == (finding, Cause.NO_BODY)


def says_no_longer_live(patch: Patch) -> None:
    honest = answer._judge
    patch.setattr(answer, "_judge", lambda *values: honest(*values).denied())


DENIALS = pytest.mark.parametrize("lie", [says_no_longer_live, with_asked(candidates=[])],
                                  ids=["no longer live", "no consent"])


@DENIALS
def test_a_consent_that_ran_out_later_was_in_force_when_it_was_denied(
        ward: Ward, monkeypatch: Patch, lie: Callable[[Patch], None]) -> None:
    ward.grant(hours=24)
    ward.room.node.advance(2 * MS_PER_HOUR)
    with monkeypatch.context() as patch:
        lie(patch)
        ward.room.ask(ward.subject)
    assert last(ward).finding is Finding.COVERED
    ward.room.node.advance(30 * MS_PER_HOUR)
    (given,) = ward.client.prove(consent.GRANTS, (ward.subject, rooms.B))[0].row.grants
    assert given.status is consent.Status.EXPIRED and last(ward).finding is Finding.COVERED


@DENIALS
def test_of_a_consent_that_is_gone_from_the_ledgers_row_it_cannot_be_told(
        ward: Ward, monkeypatch: Patch, lie: Callable[[Patch], None]) -> None:
    """Taken back, and 32 others given since."""
    grant_id = ward.grant(hours=24)
    ward.room.node.advance(2 * MS_PER_HOUR)
    with monkeypatch.context() as patch:
        lie(patch)
        ward.room.ask(ward.subject)
    ward.patient.revoke(ward.subject, grant_id)
    assert last(ward).finding is Finding.PERHAPS_COVERED
    for _ in range(GRANTS_PER_ROW_MAX):
        ward.grant(scope=rooms.NOTES)
    row = ward.client.prove(consent.GRANTS, (ward.subject, rooms.B))[0].row
    assert consent.find(row, grant_id) is None
    assert last(ward).finding.follows is None
    ward.room.node.advance(MS_PER_HOUR)
    ward.room.ask(ward.subject)
    assert last(ward).finding is Finding.FOLLOWS, "what left the row before was asked is not looked at"


def test_a_denial_while_the_organisation_was_suspended_is_not_held_against_the_holder(
        ward: Ward, monkeypatch: Patch) -> None:
    ward.grant(hours=48)
    ward.room.node.advance(2 * MS_PER_HOUR)
    honest = answer._asked

    def vote(motion: members.Motion, *voters: bytes) -> None:
        ward.room.order(members.Propose(proposer=rooms.A, member=rooms.B, motion=motion))
        for voter in voters:
            ward.room.order(members.Vote(voter=voter, member=rooms.B, motion=motion))

    def meanwhile(*values: Any) -> answer.Asked:
        vote(members.Motion.SUSPEND, rooms.C, rooms.B)
        return honest(*values)
    with monkeypatch.context() as patch:
        patch.setattr(answer, "_asked", meanwhile)
        assert not ward.room.ask(ward.subject).permitted
    assert last(ward).finding is Finding.PERHAPS_COVERED
    vote(members.Motion.REINSTATE, rooms.C)
    assert last(ward).finding is Finding.PERHAPS_COVERED, "active again, and not all the while"
    with monkeypatch.context() as patch:
        with_asked(candidates=[])(patch)
        ward.room.node.advance(1)
        ward.room.ask(ward.subject)
    assert last(ward).finding is Finding.COVERED


def test_words_that_came_with_another_key_are_not_held_against_the_holder(ward: Ward) -> None:
    ward.grant(hours=24)
    ward.room.node.advance(2 * MS_PER_HOUR)
    body = codec.encode(RequestBody(reader=rooms.DOCTOR, purpose="TREAT", scope=rooms.LABORATORY, reason="x"))
    words = Opened(nonce=new_nonce(), body=body)
    ward.room.deliver(Delivered(subject=ward.subject, request=words, recipient=RecipientKey.new().public))
    (asked,) = ward.room.order(access.Request(
        reader=rooms.DOCTOR, subject=ward.subject, grant_id=NO_ID, body=commit(
            SHA256, "request-body", words.nonce, body), key_hash=access.key_hash(SHA256, RecipientKey.new().public)))
    answer.answer(ward.room.holder, ward.subject, asked.number)
    assert last(ward).finding is Finding.OTHER_KEY and last(ward).finding.follows is None


@pytest.mark.parametrize("kind", ["openings", "delivered"])
def test_what_a_holder_does_not_open_cannot_be_told(ward: Ward, kind: str) -> None:
    ward.grant()
    ward.room.ask(ward.subject)
    cabinet = ward.room.holder.cabinet
    for name in cabinet.list(kind, ward.subject):
        cabinet.delete(kind, ward.subject, name)
    assert last(ward).finding is Finding.NOT_OPENED and last(ward).finding.follows is None


def test_a_denial_under_terms_that_nobody_knows_cannot_be_told(ward: Ward, monkeypatch: Patch) -> None:
    ward.grant()
    with monkeypatch.context() as patch:
        with_inputs(consent=bytes(31) + b"x")(patch)
        ward.room.ask(ward.subject, purpose="HRESCH")
    assert last(ward).finding is Finding.CONSENT_NOT_KNOWN


# -- a holder that lies when it shows its records

def as_shown(opened: OpenedRecords, change: Callable[[OpenedBatch], OpenedBatch | None]) -> OpenedRecords:
    (batch,) = opened.batches
    return OpenedRecords(batches=(change(batch),))  # type: ignore[arg-type]


def relabel(batch: OpenedBatch) -> OpenedBatch:
    first, *rest = batch.heads
    head = codec.decode(first.head, Head)
    other = codec.encode(structs.replace(head, labels=() if head.labels else (rooms.PSYCHIATRIC,)))
    return OpenedBatch(heads=(structs.replace(first, head=other), *rest))


SHOWN: dict[str, Callable[[OpenedRecords], OpenedRecords]] = {
    "a record left out": lambda one: as_shown(one, lambda batch: OpenedBatch(heads=batch.heads[1:])),
    "two records in each other's place": lambda one: as_shown(one, lambda batch: OpenedBatch(
        heads=(batch.heads[1], batch.heads[0], *batch.heads[2:]))),
    "a record twice": lambda one: as_shown(one, lambda batch: OpenedBatch(heads=(batch.heads[0], *batch.heads))),
    "a record with another label": lambda one: as_shown(one, relabel),
    "a head that is none": lambda one: as_shown(one, lambda batch: OpenedBatch(heads=(
        structs.replace(batch.heads[0], head=b"\xc0"), *batch.heads[1:]))),
    "another rest": lambda one: as_shown(one, lambda batch: OpenedBatch(heads=(
        structs.replace(batch.heads[0], rest=NO_HASH), *batch.heads[1:]))),
    "a batch lost": lambda one: as_shown(one, lambda batch: None),
    "a batch left out": lambda one: OpenedRecords(batches=()),
}


@pytest.mark.parametrize("name", SHOWN)
def test_records_that_are_not_the_ledgers_are_not_judged_by(ward: Ward, name: str) -> None:
    ward.grant()
    ward.room.ask(ward.subject)

    def shown(honest: Any, signed: SignedChallenge) -> Reply:
        return Reply.to(signed, SHOWN[name](openings.records(ward.room.holder, signed)))
    with pytest.raises(NotVerified) as caught:
        judged(ward, Lying(ward.door, records=shown))
    assert caught.value.code is ClientCode.RECORDS_DO_NOT_MATCH


def test_a_reply_that_is_sealed_for_another_or_is_nothing_is_not_believed(ward: Ward) -> None:
    ward.grant()
    ward.room.ask(ward.subject)

    def for_another(honest: Any, signed: SignedChallenge) -> Reply:
        found = openings.records(ward.room.holder, signed)
        return Reply.to(structs.replace(signed, recipient=rooms.RECIPIENT.public), found)

    def of_another_kind(honest: Any, signed: SignedChallenge) -> Reply:
        return Reply.to(signed, OpenedBatch(heads=()))
    for lie in (for_another, of_another_kind):
        with pytest.raises(NotVerified):
            judged(ward, Lying(ward.door, records=lie))


# -- a ledger's side that shows an old state

def test_an_old_state_of_the_ledger_is_not_judged_by(ward: Ward, monkeypatch: Patch) -> None:
    """Before the consent that covers it was given, the denial was right."""
    ward.grant(scope=rooms.NOTES)
    old = ward.room.node.prove(consent.GRANTS, (ward.subject, rooms.B))
    ward.grant(hours=48)
    ward.room.node.advance(2 * MS_PER_HOUR)
    with monkeypatch.context() as patch:
        with_asked(candidates=[])(patch)
        ward.room.ask(ward.subject)
    assert last(ward).finding is Finding.COVERED

    class Stale(LocalTransport):
        def prove(self, table: str, key: bytes) -> bytes:
            return old if table == consent.GRANTS.name else super().prove(table, key)
    stale = Client(Stale(ward.room.node), module_set(), ward.room.node.network)
    with pytest.raises(NotVerified) as caught:
        Patient(stale, ward.wallet).judge(ward.door, ward.subject)
    assert caught.value.code is ClientCode.PROOF_TOO_OLD
