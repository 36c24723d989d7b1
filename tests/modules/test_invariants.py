"""What a row must be, to the last one: just so is kept, and one off stops the node. No message leads to the latter."""

from typing import Any, get_args

import pytest
from msgspec import structs

from models.naive import running, tagged
from models.pair import spoken
from worlds import World, content, named
from xinglin.base.crypto import SHA256, SignatureSuite
from xinglin.base.ids import NO_HASH, NO_ID
from xinglin.base.limits import (
    GRANTS_PER_ROW_MAX,
    MEMBERS_MAX,
    REQUESTS_OPEN_MAX,
    REQUESTS_PER_DAY_MAX,
)
from xinglin.modules import MODULES, access, consent, members, records, subjects
from xinglin.modules.consent import Given, GrantsRow, Status
from xinglin.modules.members import KeyMotion

GIVEN = Given(grant_id=named("g1"), since_h=5, until_h=6, status=Status.ACTIVE, epoch=1, body=content("body"))
SECOND = structs.replace(GIVEN, grant_id=named("g2"), epoch=2)
ROW = GrantsRow(changes=2, grants=(GIVEN, SECOND))
CLOSED = structs.replace(SECOND, status=Status.REVOKED, epoch=1)
REQUEST = access.RequestRow(reader=NO_ID, grantee=NO_ID, grant_id=NO_ID, key_hash=NO_HASH, body=NO_HASH, due_ms=1)
ASKED = access.AskedRow(day=0, requests=REQUESTS_PER_DAY_MAX, denied=REQUESTS_PER_DAY_MAX, open=REQUESTS_OPEN_MAX)
MOTION = members.MotionRow(voters=(named("A"), named("B")))
KEY_MOTION = members.KeyMotionRow(motion=KeyMotion.RETIRE, suite=SignatureSuite.ED25519, key=bytes(32), id=NO_HASH,
                                  voters=(named("A"),))
TALLY = members.TallyRow(active=1, admitted=MEMBERS_MAX)
SUBJECT = subjects.SubjectRow(holder=named("A"), registered_ms=7, claimed_ms=7)


def holds(table: Any, row: Any) -> bool:
    module = next(module for module in MODULES if table in module.tables)
    return all(rule(row) for rule in module.invariants.get(table, ()))


@pytest.mark.parametrize(("table", "row"), [
    (consent.GRANTS, ROW), (consent.GRANTS, GrantsRow(changes=2, grants=(GIVEN, CLOSED))),
    (access.LOG, access.LogRow(count=1, running=NO_HASH)), (access.REQUESTS, REQUEST), (access.ASKED, ASKED),
    (members.MOTIONS, MOTION), (members.KEY_MOTIONS, KEY_MOTION), (members.TALLY, TALLY),
    (subjects.SUBJECTS, SUBJECT), (subjects.SUBJECTS, structs.replace(SUBJECT, claimed_ms=0))])
def test_a_row_that_is_just_so_holds(table: Any, row: Any) -> None:
    assert holds(table, row)


@pytest.mark.parametrize(("table", "row"), [
    (consent.GRANTS, GrantsRow(changes=2, grants=(structs.replace(GIVEN, until_h=5), SECOND))),
    (consent.GRANTS, GrantsRow(changes=2, grants=(GIVEN, structs.replace(SECOND, grant_id=named("g1"))))),
    (consent.GRANTS, GrantsRow(changes=2, grants=(GIVEN, structs.replace(SECOND, epoch=1)))),
    (consent.GRANTS, GrantsRow(changes=1, grants=(GIVEN, SECOND))),
    (consent.GRANTS, GrantsRow(changes=2, grants=(structs.replace(GIVEN, epoch=0), SECOND))),
    (access.LOG, access.LogRow(count=0, running=NO_HASH)), (access.REQUESTS, structs.replace(REQUEST, due_ms=0)),
    (access.ASKED, structs.replace(ASKED, requests=REQUESTS_PER_DAY_MAX + 1)),
    (access.ASKED, structs.replace(ASKED, requests=0)),
    (access.ASKED, structs.replace(ASKED, open=REQUESTS_OPEN_MAX + 1)),
    (members.MOTIONS, members.MotionRow(voters=(named("A"), named("A")))),
    (members.KEY_MOTIONS, structs.replace(KEY_MOTION, voters=())),
    (members.KEY_MOTIONS, structs.replace(KEY_MOTION, voters=(named("A"), named("A")))),
    (members.TALLY, structs.replace(TALLY, active=0)), (members.TALLY, members.TallyRow(active=2, admitted=1)),
    (members.TALLY, members.TallyRow(active=1, admitted=MEMBERS_MAX + 1)),
    (subjects.SUBJECTS, structs.replace(SUBJECT, claimed_ms=6))])
def test_a_row_that_is_one_off_does_not(table: Any, row: Any) -> None:
    assert not holds(table, row)


def test_what_is_read_where_there_is_no_row_is_nothing() -> None:
    assert (access.NO_READS.count, access.NO_READS.running, access.NO_READS.at_ms) == (0, NO_HASH, 0)
    nothing = access.NOTHING_ASKED
    assert (nothing.day, nothing.requests, nothing.denied, nothing.open) == (0, 0, 0, 0)
    assert (consent.NO_GRANTS.changes, consent.NO_GRANTS.grants) == (0, ())


def test_numbers_on_the_wire_are_what_they_always_were() -> None:
    assert {one.name: one.value for one in Status} == {"ACTIVE": 1, "REVOKED": 3, "EXPIRED": 4}
    assert {one.name: one.value for one in access.Decision} == {"DENIED": 0, "PERMIT": 1}
    assert {one.name: one.value for one in members.Motion} == {"ADMIT": 0, "SUSPEND": 1, "REINSTATE": 2}
    assert {one.name: one.value for one in members.KeyMotion} == {"REPLACE": 0, "RETIRE": 1}
    assert {module.name: module.version for module in MODULES} == dict.fromkeys(
        ("members", "subjects", "consent", "records", "access"), 1)
    assert records.MODULE in MODULES


def test_the_running_hash_of_a_list_is_the_one_that_the_specification_has() -> None:
    world = World().eventful()
    entries = sorted((entry for kind in get_args(access.Entry) for entry in world.events(kind)
                      if entry.subject == named("mei")), key=lambda entry: entry.number)
    assert len(entries) > 5
    found = access.running_of(SHA256, entries)
    assert (found.count, found.running) == (len(entries), running([spoken(entry) for entry in entries]))
    assert found == world.row(access.LOG, named("mei"))
    assert access.running_of(SHA256, []) == access.LogRow(count=0, running=NO_HASH)
    assert access.key_hash(SHA256, b"key") == tagged("xinglin/recipient-key/1", b"key")


def test_a_row_with_room_keeps_what_is_closed_and_a_full_one_loses_the_oldest_closed_alone() -> None:
    closed = structs.replace(GIVEN, status=Status.REVOKED)
    few = (GIVEN, closed, SECOND)
    assert consent.make_room(few, 5) == few
    full = tuple(structs.replace(closed if at in (3, 7) else GIVEN, grant_id=named(f"g{at}"))
                 for at in range(GRANTS_PER_ROW_MAX))
    assert consent.make_room(full, 5) == full[:3] + full[4:]
    open_all = tuple(structs.replace(GIVEN, grant_id=named(f"g{at}")) for at in range(GRANTS_PER_ROW_MAX))
    assert consent.make_room(open_all, 5) == open_all
