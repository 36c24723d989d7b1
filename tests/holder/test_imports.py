"""Taking in: once, again, changed, broken, interrupted; on real parts and real Synthea data."""

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from holder import rooms
from holder.fhir_data import third_party
from xinglin.base import codec
from xinglin.base.check import Busy, Failed, NotUnderstood
from xinglin.base.history import leaf_hash, tree_root, verify_inclusion
from xinglin.engine.codes import EngineCode
from xinglin.engine.embedded import Committed
from xinglin.holder import fhir, imports, shelf
from xinglin.holder.codes import HolderCode
from xinglin.modules import records, subjects
from xinglin.vault.keystore import TagKind


@pytest.fixture
def room(tmp_path: Path) -> Iterator[rooms.Room]:
    yield from rooms.opened(rooms.Room.found(tmp_path))


def shelved(room: rooms.Room, owner: bytes) -> dict[str, shelf.Record]:
    return {record.shelved.source_key: record for record in shelf.newest(shelf.batches(room.holder, owner))}


def resource(room: rooms.Room, owner: bytes, source_key: str) -> Any:
    return json.loads(shelf.open_part(room.holder, owner, shelved(room, owner)[source_key], shelf.REST))


def batch_rows(room: rooms.Room) -> int:
    return len(room.node.rows(records.BATCHES))


def crash(*_: object) -> Future[Committed]:
    """In the place of `submit`: the process dies between shelf and ledger."""
    raise Busy(EngineCode.QUEUE_FULL)


def test_real_records_are_taken_in_once_and_skipped_the_second_time(room: rooms.Room) -> None:
    folder = third_party("synthea-fhir")
    first = imports.take_in(room.holder, fhir.read_folder(folder))
    assert not first.errors and not first.refused
    assert first.records == 1_614 and len(first.subjects) == 6
    rows = batch_rows(room)
    again = imports.take_in(room.holder, fhir.read_folder(folder))
    assert (again.records, again.unchanged, again.taken) == (0, 1_614, [])
    assert batch_rows(room) == rows == 7
    card = room.holder.get("patient", first.subjects[0].owner, b"card", imports.PatientCard)
    assert card is not None and card.name and card.birth_date
    assert {room.holder.keystore.find(one.system, one.value) for one in card.identifiers} == {first.subjects[0].owner}


def test_every_record_of_the_shipped_sample_is_under_its_root_on_the_ledger(room: rooms.Room) -> None:
    report = imports.take_in(room.holder, fhir.read_sample())
    hashes = room.node.hashes
    for one in report.taken:
        on_ledger = dict(room.node.rows(records.BATCHES, one.owner))
        for batch in shelf.batches(room.holder, one.owner):
            row = on_ledger[one.owner, batch.number]
            assert row.count == len(batch.records)
            for position, record in enumerate(batch.records):
                root = tree_root(hashes, [record.head.commitment, record.rest.commitment])
                path = shelf.Record(batch, position, record).batch_path
                verify_inclusion(hashes, leaf_hash(hashes, root), position, row.count, path, row.root)


def test_a_changed_resource_becomes_version_2_and_the_old_one_stays(room: rooms.Room) -> None:
    room.take_in(rooms.patient(), rooms.laboratory("a"), rooms.laboratory("b"))
    subject = room.subject()
    before = shelved(room, subject)["Observation/a"]
    report = room.take_in(rooms.patient(), rooms.laboratory("a", value="6.2 mmol/L"), rooms.laboratory("b"))
    assert (report.records, report.unchanged) == (1, 2)

    after = shelved(room, subject)["Observation/a"]
    assert (after.shelved.version, after.shelved.id) == (2, before.shelved.id)
    assert after.batch.number == 2 and after.shelved.rest.key != before.shelved.rest.key
    assert resource(room, subject, "Observation/a")["valueString"] == "6.2 mmol/L"
    old = shelf.batches(room.holder, subject)[0].records[before.position]
    assert b"5.1 mmol/L" in shelf.open_part(room.holder, subject, before, shelf.REST)
    assert old.rest.commitment == before.shelved.rest.commitment


def test_one_broken_resource_keeps_everything_out_unless_told_to_go_on(room: rooms.Room) -> None:
    broken = {"resourceType": "Observation", "id": "bad", "subject": {"reference": "Patient/mei"}}
    refused = room.take_in(rooms.patient(), rooms.laboratory("a"), broken)
    assert refused.refused and refused.errors and not refused.taken
    assert batch_rows(room) == 0 and not room.node.rows(subjects.SUBJECTS)
    assert room.holder.keystore.find("", "Patient/mei", TagKind.SOURCE) is None

    gone_on = room.take_in(rooms.patient(), rooms.laboratory("a"), broken, keep_going=True)
    assert gone_on.errors and gone_on.records == 2
    assert set(shelved(room, room.subject())) == {"Patient/mei", "Observation/a"}


def test_only_wanted_patients_are_taken_in(room: rooms.Room) -> None:
    report = room.take_in(*rooms.chart(1, "mei"), *rooms.chart(1, "li"), wanted=lambda source: source == "Patient/li")
    assert [one.source for one in report.subjects] == ["Patient/li"]
    assert room.holder.keystore.find("", "Patient/mei", TagKind.SOURCE) is None


def test_a_crash_before_the_ledger_leaves_nothing_that_counts_and_the_next_import_mends_it(
        room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(room.node, "submit", crash)
        with pytest.raises(Busy):
            room.take_in(*rooms.chart(2))
    subject = room.subject()
    assert shelf.batches(room.holder, subject) == [] and len(room.holder.cabinet.list("shelf", subject)) == 1
    assert not room.node.rows(subjects.SUBJECTS, subject), "it has a key and is not registered"

    room.reopen()
    report = room.take_in(*rooms.chart(2))
    assert room.subject() == subject, "the same subject, by its look-up tag"
    assert [one.new for one in report.subjects] == [True] and report.records == 5
    assert room.node.rows(subjects.SUBJECTS, subject)
    assert len(shelved(room, subject)) == 5
    assert room.take_in(*rooms.chart(2)).unchanged == 5


def test_what_a_crash_left_on_the_shelf_is_swept_once_its_number_is_taken(
        room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(room.node, "submit", crash)
        with pytest.raises(Busy):
            room.take_in(*rooms.chart(2))
    room.take_in(*rooms.chart(2))
    subject = room.subject()
    assert len(room.holder.cabinet.list("shelf", subject)) == 2
    blobs = len(list(room.holder.blobs.list()))
    room.take_in(*rooms.chart(3))
    assert len(room.holder.cabinet.list("shelf", subject)) == 2, "one swept, one new"
    assert len(list(room.holder.blobs.list())) == blobs


def test_a_batch_that_comes_to_the_ledger_late_is_not_written_over(
        room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.take_in(rooms.patient())
    subject = room.subject()
    late: list[bytes] = []

    def lost(raw: bytes) -> Future[Committed]:
        late.append(raw)
        raise Busy(EngineCode.QUEUE_FULL)

    with monkeypatch.context() as patch:
        patch.setattr(room.node, "submit", lost)
        with pytest.raises(Busy):
            room.take_in(rooms.patient(), rooms.laboratory("a"))
        patch.setattr(room.node, "submit", crash)
        with pytest.raises(Busy):
            room.take_in(rooms.patient(), rooms.laboratory("a", value="6"))
    room.node.order(late[0])
    assert resource(room, subject, "Observation/a")["valueString"] == "5.1 mmol/L"


def test_a_refusal_by_the_ledger_is_told_and_the_next_import_goes_on(room: rooms.Room) -> None:
    room.order(rooms.members.EndStaff(member=rooms.A, account=rooms.SERVICE))
    with pytest.raises(Failed):
        room.take_in(*rooms.chart(1))
    assert batch_rows(room) == 0


def test_a_large_import_goes_in_chunks_that_follow_each_other(room: rooms.Room) -> None:
    seen: list[tuple[int, int]] = []
    report = room.take_in(*rooms.chart(7), records_per_batch=3, progress=lambda done, total: seen.append((done, total)))
    subject = room.subject()
    assert [one.records for one in report.taken] == [3, 3, 3, 1]
    assert [one.new for one in report.taken] == [True, False, False, False]
    assert seen == [(3, 10), (6, 10), (9, 10), (10, 10)]
    assert [key[1] for key, _ in room.node.rows(records.BATCHES, subject)] == [1, 2, 3, 4]
    assert len(shelved(room, subject)) == 10
    assert room.take_in(*rooms.chart(7), records_per_batch=3).unchanged == 10


def test_a_crash_between_two_chunks_is_mended_by_the_next_import(
        room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    submit = room.node.submit
    calls = iter([submit, crash])
    with monkeypatch.context() as patch:
        patch.setattr(room.node, "submit", lambda raw: next(calls)(raw))
        with pytest.raises(Busy):
            room.take_in(*rooms.chart(4), records_per_batch=5)
    subject = room.subject()
    assert len(shelved(room, subject)) == 5
    assert room.take_in(*rooms.chart(4), records_per_batch=5).records == 2
    assert len(shelved(room, subject)) == 7


def test_bulk_ndjson_gives_the_same_records_as_a_bundle(room: rooms.Room, tmp_path: Path) -> None:
    folder = tmp_path / "bulk"
    folder.mkdir()
    lines = [json.dumps(one) for one in rooms.chart(3)]
    (folder / "Patient.ndjson").write_text(lines[0] + "\n")
    (folder / "rest.ndjson.gz").write_bytes(gzip.compress("\n".join(lines[1:]).encode()))
    report = imports.take_in(room.holder, fhir.read_folder(folder))
    assert report.records == 6 and not report.errors
    assert room.take_in(*rooms.chart(3)).unchanged == 6


def test_directory_resources_belong_to_the_holder_and_to_no_subject(room: rooms.Room) -> None:
    report = room.take_in(rooms.patient(), {"resourceType": "Organization", "id": "o", "name": "Harbour General"})
    owners = {one.source: one.owner for one in report.taken}
    assert owners[""] == rooms.A and owners["Patient/mei"] == room.subject()


def test_two_imports_at_once_take_turns_and_lose_nothing(room: rooms.Room) -> None:
    room.take_in(rooms.patient())
    reports: list[imports.Report] = []

    def take(number: int) -> None:
        reports.append(room.take_in(rooms.patient(), *(rooms.laboratory(f"{number}-{at}") for at in range(5))))

    threads = [Thread(target=take, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.records for report in reports) == 20
    assert len(shelved(room, room.subject())) == 21


def test_two_subjects_of_one_import_share_no_id_key_or_transaction(room: rooms.Room) -> None:
    report = room.take_in(*rooms.chart(1, "mei"), *rooms.chart(1, "li"))
    mei, li = room.subject("mei"), room.subject("li")
    assert mei != li and room.holder.keystore.key(mei) != room.holder.keystore.key(li)
    assert len({one.committed.tx_id for one in report.taken}) == 2
    ids = [{record.shelved.id for record in shelved(room, one).values()} for one in (mei, li)]
    assert not ids[0] & ids[1]


# -- whose is it, again

def subjects_of(room: rooms.Room, source: str, own: str) -> bytes:
    found = room.holder.keystore.find(source, f"Patient/{own}", TagKind.SOURCE)
    assert found is not None
    return found


def test_no_identifier_of_a_patient_reaches_the_names_of_a_source(room: rooms.Room) -> None:
    for system in ("", "urn:xinglin:source", "\x02", "hosp"):
        room.take_in(rooms.patient("mallory", identifier=[{"system": "urn:test:mrn", "value": "mrn-mallory-0001"}, *(
            [{"system": system, "value": "Patient/victim"}] if system and system.isprintable()
            else [{"value": "Patient/victim"}])]))
    room.take_in(rooms.patient("victim"), rooms.laboratory("a", "victim"))
    assert set(shelved(room, room.subject("victim"))) == {"Patient/victim", "Observation/a"}
    assert set(shelved(room, room.subject("mallory"))) == {"Patient/mallory"}


def test_the_same_id_with_another_persons_words_is_refused_and_nothing_of_it_comes_in(room: rooms.Room) -> None:
    room.take_in(rooms.patient("1", birthDate="1950-01-01"))
    bob = rooms.patient("1", birthDate="1990-09-09", identifier=[{"system": "urn:test:mrn", "value": "bob"}])
    refused = room.take_in(bob, rooms.laboratory("bobs", "1"), rooms.patient("2"), keep_going=True)
    assert [problem.code for problem in refused.errors] == [HolderCode.PATIENT_IS_ANOTHER] * 2
    assert [one.source for one in refused.subjects] == ["Patient/2"]
    assert set(shelved(room, room.subject("1"))) == {"Patient/1"}

    corrected = room.take_in(rooms.patient("1", birthDate="1950-01-10"), same_person=["Patient/1"])
    assert not corrected.errors and shelved(room, room.subject("1"))["Patient/1"].shelved.version == 2


def test_two_sources_with_the_same_ids_give_two_people_and_two_doctors(room: rooms.Room) -> None:
    doctor = {"resourceType": "Practitioner", "id": "d", "name": [{"family": "Lin"}]}
    for source, born in (("", "1950-01-01"), ("lab", "1990-09-09")):
        report = room.take_in(rooms.patient("1", birthDate=born, identifier=[{"system": "urn:x", "value": born}]),
                              {**rooms.laboratory("a", "1"), "performer": [{"reference": "Practitioner/d"}]},
                              {**doctor, "birthDate": born}, source=source)
        assert not report.errors and not report.warnings and report.records == 3
    hospital, lab = subjects_of(room, "", "1"), subjects_of(room, "lab", "1")
    assert hospital != lab and set(shelved(room, lab)) == {"lab|Patient/1", "lab|Observation/a"}
    doctors = shelved(room, rooms.A)
    assert {key: one.shelved.version for key, one in doctors.items()} == {"Practitioner/d": 1, "lab|Practitioner/d": 1}
    named = resource(room, lab, "lab|Observation/a")["performer"][0]["reference"]
    assert named == f"Practitioner/{doctors['lab|Practitioner/d'].shelved.id}"


def test_another_source_finds_a_patient_by_identifier_and_its_records_keep_their_own_names(room: rooms.Room) -> None:
    room.take_in(rooms.patient("1"), rooms.laboratory("a", "1"))
    by_mrn = {**rooms.laboratory("a"), "subject": {"reference": "Patient?identifier=urn:test:mrn|mrn-1-0001"}}
    for value in ("5", "6"):
        report = room.take_in({**by_mrn, "valueString": value}, source="lab")
        assert not report.errors and not report.warnings
    found = shelved(room, room.subject("1"))
    assert {key: one.shelved.version for key, one in found.items()} == {
        "Patient/1": 1, "Observation/a": 1, "lab|Observation/a": 2}
    assert resource(room, room.subject("1"), "lab|Observation/a")["subject"]["reference"] == \
        f"Patient/{found['Patient/1'].shelved.id}"


def test_an_identifier_that_two_patients_have_leads_to_neither(room: rooms.Room) -> None:
    shared = {"identifier": [{"system": "urn:nat", "value": "7"}]}
    room.take_in(rooms.patient("mallory", **shared))
    room.take_in(rooms.patient("victim", **shared))
    lost = {**rooms.laboratory("a"), "subject": {"identifier": {"system": "urn:nat", "value": "7"}}}
    assert [problem.code for problem in room.take_in(lost).errors] == [HolderCode.PATIENT_NOT_KNOWN]
    room.reopen()
    assert [problem.code for problem in room.take_in(lost).errors] == [HolderCode.PATIENT_NOT_KNOWN]


@pytest.mark.parametrize("name", ["Lab", "a|b", "x" * 41, "labor\u00e9", "a b"])
def test_a_source_name_is_a_short_word(room: rooms.Room, name: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        room.take_in(rooms.patient(), source=name)
    assert caught.value.code is HolderCode.SOURCE_NAME_NOT_VALID


# -- labels that come later

def test_what_names_a_record_follows_it_when_it_is_labelled_in_a_later_import(room: rooms.Room) -> None:
    provenance = {"resourceType": "Provenance", "id": "v", "recorded": "2026-01-02T03:04:05Z",
                  "target": [{"reference": "Observation/a"}], "agent": [{"who": {"display": "d"}}]}
    index = {"resourceType": "List", "id": "l", "status": "current", "mode": "working",
             "subject": {"reference": "Patient/mei"}, "entry": [{"item": {"reference": "Provenance/v"}}]}
    room.take_in(rooms.patient(), rooms.laboratory("a"), rooms.laboratory("b"), provenance, index)
    subject = room.subject()
    before = {key: resource(room, subject, key) for key in shelved(room, subject)}

    labelled = {**rooms.laboratory("a"), "meta": {"security": [rooms.coding(rooms.PSYCHIATRIC)]}}
    report = room.take_in(labelled)
    assert report.records == 3
    after = shelved(room, subject)
    assert {key: (one.shelved.version, one.shelved.facts.labels) for key, one in after.items()} == {
        "Patient/mei": (1, ()), "Observation/b": (1, ()), "Observation/a": (2, (rooms.PSYCHIATRIC,)),
        "Provenance/v": (2, (rooms.PSYCHIATRIC,)), "List/l": (2, (rooms.PSYCHIATRIC,))}
    assert all(resource(room, subject, key) == before[key] for key in ("Provenance/v", "List/l"))
    head = codec.decode(shelf.open_part(room.holder, subject, after["List/l"], shelf.HEAD), fhir.Head)
    assert (head.version, head.labels) == (2, (rooms.PSYCHIATRIC,))
    assert room.take_in(provenance, index, labelled).unchanged == 3


def test_a_crash_before_what_names_a_labelled_record_has_followed_is_mended_by_the_next_import(
        room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    index = {"resourceType": "List", "id": "l", "status": "current", "mode": "working",
             "subject": {"reference": "Patient/mei"}, "entry": [{"item": {"reference": "Observation/a"}}]}
    room.take_in(rooms.patient(), rooms.laboratory("a"), index)
    labelled = {**rooms.laboratory("a"), "meta": {"security": [rooms.coding(rooms.PSYCHIATRIC)]}}
    submit = room.node.submit
    for calls in ([crash], [submit, crash]):
        left = iter(calls)
        with monkeypatch.context() as patch:
            patch.setattr(room.node, "submit", lambda raw, left=left: next(left)(raw))
            with pytest.raises(Busy):
                room.take_in(labelled, records_per_batch=1)
    room.take_in(labelled, records_per_batch=1)
    found = shelved(room, room.subject())
    assert {key: one.shelved.facts.labels for key, one in found.items() if key != "Patient/mei"} == dict.fromkeys(
        ("Observation/a", "List/l"), (rooms.PSYCHIATRIC,))


# -- what can be kept

def test_what_could_not_be_read_again_is_refused_before_anything_is_written(room: rooms.Room) -> None:
    report = room.take_in(rooms.patient("p", identifier=[{"system": "urn:a", "value": "x" * 3_000}]))
    assert [problem.code for problem in report.errors] == [HolderCode.VALUE_TOO_LONG]
    assert room.holder.keystore.find("", "Patient/p", TagKind.SOURCE) is None


@pytest.mark.parametrize("more", [
    {"name": [{"given": ["a", None], "_given": [None, {"id": "x"}]}]}, {"name": [{"_family": {"id": "x"}}]},
    {"identifier": [{"system": "urn:a", "_value": {"id": "x"}}]}, {"_birthDate": {"id": "x"}}])
def test_values_that_fhir_lets_be_absent_are_no_obstacle(room: rooms.Room, more: dict[str, Any]) -> None:
    bare = {"resourceType": "Patient", "id": "mei"}
    assert room.take_in({**bare, **more}).records == 1
    assert room.holder.get("patient", room.subject(), b"card", imports.PatientCard) is not None


def test_a_chunk_ends_where_a_segment_or_an_index_would_grow_too_large(
        room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(imports, "SEGMENT_BYTES", 1_000)
        by_content = room.take_in(*rooms.chart(5))
    assert [one.records for one in by_content.taken] == [2, 2, 2, 2] and len(shelved(room, room.subject())) == 8
    with monkeypatch.context() as patch:
        patch.setattr(imports, "INDEX_BYTES", 400)
        by_words = room.take_in(*rooms.chart(5, "li"))
    assert len(by_words.taken) > 1 and len(shelved(room, room.subject("li"))) == 8


def test_the_ledgers_order_of_patients_is_not_that_of_the_files(tmp_path: Path) -> None:
    """Whoever had a hospital's alphabetical list once put a name to each subject by its rank."""
    room = rooms.Room.found(tmp_path)
    names = [f"{letter}-patient" for letter in "abcdefghijkl"]
    try:
        room.take_in(*(rooms.patient(name) for name in names))
        heights = [height for height, _, _ in room.node.blocks()]
        outcomes = [room.node.ask(lambda ledger, height=height: ledger.block(height)) for height in heights]
        events = [event for block in outcomes for part in block.events
                  for event in codec.decode(part, room.node.modules.events_type)]
        registered = [event.subject for event in events if isinstance(event, subjects.Registered)]
        by_file = [room.subject(name) for name in names]
        assert sorted(registered) == sorted(by_file) and registered not in (by_file, by_file[::-1])
    finally:
        room.close()
