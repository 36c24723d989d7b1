"""`decide`, against a second rule written from the words of the specification, over every case of a small world."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worlds import named
from xinglin.base.crypto import SHA256, tagged
from xinglin.base.ids import NO_ID
from xinglin.modules.decision import (
    CONFIDENTIALITY,
    Cause,
    ConsentBody,
    Facts,
    RequestBody,
    ScopeItem,
    commit,
    decide,
    newest,
)
from xinglin.modules.members import Role

LAB = ScopeItem(data_class="laboratory", id="")
ALL_OBSERVATIONS = ScopeItem(data_class="Observation", id="")
ONE = ScopeItem(data_class="Observation", id="o1")
NOTE = ScopeItem(data_class="DocumentReference", id="")
SCOPES = ((LAB,), (ALL_OBSERVATIONS,), (ONE,), (NOTE,), (LAB, NOTE))

NORMAL, RESTRICTED = f"{CONFIDENTIALITY}|N", f"{CONFIDENTIALITY}|R"
RECORDS = (
    Facts(id="o1", classes=("Observation", "laboratory"), labels=()),
    Facts(id="o2", classes=("Observation", "laboratory"), labels=(NORMAL,)),
    Facts(id="o3", classes=("Observation", "Observation/vital-signs"), labels=()),
    Facts(id="o4", classes=("Observation", "laboratory"), labels=("HIV", RESTRICTED)),
    Facts(id="d1", classes=("DocumentReference",), labels=("PSY", RESTRICTED)),
    Facts(id="d2", classes=("DocumentReference",), labels=(RESTRICTED,)),
    Facts(id="m1", classes=("MedicationRequest", "medications"), labels=()),
)
LABELS: tuple[tuple[str, ...], ...] = ((), ("PSY",), (RESTRICTED,), ("PSY", RESTRICTED),
                                       ("HIV", "PSY", RESTRICTED))


def body(person: bytes = NO_ID, roles: tuple[Role, ...] = (), scope: tuple[ScopeItem, ...] = (ALL_OBSERVATIONS,),
         purposes: tuple[str, ...] = ("TREAT",), labels: tuple[str, ...] = ()) -> ConsentBody:
    return ConsentBody(person=person, roles=roles, scope=scope, purposes=purposes, labels=labels, wording="",
                       language="zh")


def request(reader: bytes, purpose: str, scope: tuple[ScopeItem, ...]) -> RequestBody:
    return RequestBody(reader=reader, purpose=purpose, scope=scope, reason="")


def in_scope(scope: tuple[ScopeItem, ...], record: Facts) -> bool:
    for item in scope:
        if item.data_class not in record.classes:
            continue
        if item.id != "" and item.id != record.id:
            continue
        return True
    return False


def expected(consent: ConsentBody, asked: RequestBody, role: Role) -> tuple[Cause, tuple[int, ...]]:
    """What is asked for, of what she opened, without what bears a sensitivity that she did not name."""
    if consent.person != NO_ID and consent.person != asked.reader:
        return Cause.OTHER_PERSON, ()
    if len(consent.roles) > 0 and role not in consent.roles:
        return Cause.OTHER_ROLE, ()
    if asked.purpose not in consent.purposes:
        return Cause.OTHER_PURPOSE, ()
    both = {at for at in range(len(RECORDS)) if in_scope(consent.scope, RECORDS[at])} & {
        at for at in range(len(RECORDS)) if in_scope(asked.scope, RECORDS[at])}
    if not both:
        return Cause.NOTHING_IN_SCOPE, ()
    opened = {*consent.labels, *(f"{CONFIDENTIALITY}|{code}" for code in "ULMN")}
    shown = sorted(at for at in both if set(RECORDS[at].labels) <= opened or (
        len(RECORDS[at].labels) > 1 and set(RECORDS[at].labels) - {RESTRICTED} <= opened))
    return (Cause.PERMITTED, tuple(shown)) if shown else (Cause.ONLY_WITHHELD, ())


def test_decide_agrees_with_the_second_rule_in_every_case_of_a_small_world() -> None:
    people = (NO_ID, named("one"), named("two"))
    roles: tuple[tuple[Role, ...], ...] = ((), (Role.PHYSICIAN,), (Role.NURSE, Role.PSYCHIATRIST))
    purposes: tuple[tuple[str, ...], ...] = (("TREAT",), ("HRESCH", "TREAT"), ())
    seen: set[Cause] = set()
    for person, allowed, scope, why, labels in product(people, roles, SCOPES, purposes, LABELS):
        consent = body(person, allowed, scope, why, labels)
        for purpose, wanted, role in product(("TREAT", "HPAYMT"), SCOPES, (Role.PHYSICIAN, Role.NURSE)):
            asked = request(named("one"), purpose, wanted)
            judged = decide(consent, asked, RECORDS, role)
            assert (judged.cause, judged.selected) == expected(consent, asked, role)
            seen.add(judged.cause)
    assert seen == set(Cause) - {Cause.NO_BODY, Cause.BODY_DOES_NOT_MATCH, Cause.NO_LONGER_LIVE}, "the holder's own"


def test_a_label_unknown_to_the_rule_is_withheld_unless_named() -> None:
    odd = (Facts(id="o", classes=("Observation",), labels=("a label of tomorrow",)),)
    asked = request(named("one"), "TREAT", (ALL_OBSERVATIONS,))
    assert decide(body(), asked, odd, Role.NURSE).cause is Cause.ONLY_WITHHELD
    assert decide(body(labels=("a label of tomorrow",)), asked, odd, Role.NURSE).cause is Cause.PERMITTED


def test_without_records_nothing_is_permitted() -> None:
    assert decide(body(), request(named("one"), "TREAT", (ALL_OBSERVATIONS,)), (), Role.NURSE).selected == ()


@given(st.lists(st.sampled_from(RECORDS), max_size=12), st.sampled_from(SCOPES), st.sampled_from(LABELS))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_a_wider_grant_never_opens_less(records: list[Facts], scope: tuple[ScopeItem, ...],
                                        labels: tuple[str, ...]) -> None:
    asked = request(named("one"), "TREAT", scope)
    narrow = decide(body(scope=scope, labels=labels), asked, records, Role.NURSE)
    wider = body(scope=(*scope, NOTE, ALL_OBSERVATIONS), labels=(*labels, "PSY", RESTRICTED, "HIV"))
    wide = decide(wider, asked, records, Role.NURSE)
    assert set(narrow.selected) <= set(wide.selected)
    assert list(narrow.selected) == sorted(set(narrow.selected))


def test_a_commitment_is_the_tagged_hash_of_nonce_and_content_and_differs_by_kind_and_nonce() -> None:
    made = commit(SHA256, "opening", b"n" * 32, b"content")
    assert made == tagged(SHA256, "xinglin/opening/1", b"n" * 32, b"content")
    assert len({made, commit(SHA256, "inputs", b"n" * 32, b"content"), commit(SHA256, "opening", b"m" * 32, b"content"),
                commit(SHA256, "opening", b"n" * 32, b"other")}) == 4


@pytest.mark.parametrize(("versions", "judged"), [
    ([], []),
    ([("a", 1), ("b", 1)], [0, 1]),
    ([("a", 1), ("b", 1), ("a", 2)], [1, 2]),
    ([("a", 2), ("b", 1), ("a", 1)], [0, 1]),
    ([("a", 1), ("a", 1)], [0]),
    ([("b", 1), ("a", 1), ("b", 3), ("b", 2)], [1, 2])])
def test_the_newest_version_of_each_record_is_judged_in_the_ledgers_order(
        versions: list[tuple[str, int]], judged: list[int]) -> None:
    assert newest(versions) == judged
