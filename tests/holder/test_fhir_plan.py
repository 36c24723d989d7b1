from pathlib import Path
from typing import Any

import pytest

from holder.fhir_data import (
    content,
    counter,
    observation,
    patient,
    planned,
    records,
    sources,
    third_party,
)
from xinglin.base import codec
from xinglin.holder import fhir
from xinglin.holder.codes import HolderCode as C
from xinglin.holder.fhir import json_text
from xinglin.holder.fhir.head import classes_of
from xinglin.holder.fhir.sample import NOTE_PATIENT

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
NPI = "http://hl7.org/fhir/sid/us-npi"

PRACTITIONER = {"resourceType": "Practitioner", "id": "d", "identifier": [{"system": NPI, "value": "99"}]}
MEDICATION = {"resourceType": "Medication", "id": "m", "code": {"text": "drug"}}
KNOWN = fhir.Known(id=b"\xaa" * 16, version=4, fingerprint=b"\0" * 32)


def prescription(own: str, about: str, medication: str = "Medication/m") -> dict[str, Any]:
    return {"resourceType": "MedicationRequest", "id": own, "status": "active", "intent": "order",
            "subject": {"reference": about}, "medicationReference": {"reference": medication}}


def owners(plan: fhir.Plan) -> dict[str, str]:
    return {r.source_key: batch.owner for batch in (plan.directory, *plan.patients) for r in batch}


def warned(plan: fhir.Plan) -> list[tuple[C, str]]:
    return [(p.code, p.element) for p in plan.warnings]


# -- whose is it

def test_resources_are_grouped_by_patient_and_the_directory_stands_apart() -> None:
    plan = planned(sources(PRACTITIONER, observation("o1", "Patient/p"), observation("o2", "Patient/q"), patient("p"),
                           patient("q")))
    assert plan.errors == () and plan.warnings == ()
    assert [(b.owner, [r.source_key for r in b]) for b in plan.patients] == [
        ("Patient/p", ["Patient/p", "Observation/o1"]), ("Patient/q", ["Patient/q", "Observation/o2"])]
    assert [r.source_key for r in plan.directory] == ["Practitioner/d"]


def test_provenance_follows_its_target_and_a_medication_the_patient_who_gets_it() -> None:
    provenance = {"resourceType": "Provenance", "id": "v", "recorded": "2026-01-02T03:04:05Z",
                  "target": [{"reference": "Observation/o"}], "agent": [{"who": {"reference": "Practitioner/d"}}]}
    of_directory = {**provenance, "id": "w", "target": [{"reference": "Practitioner/d"}]}
    plan = planned(sources(provenance, of_directory, MEDICATION, PRACTITIONER, patient("p"), observation("o"),
                           prescription("r", "Patient/p")))
    assert plan.errors == ()
    assert owners(plan)["Provenance/v"] == owners(plan)["Medication/m"] == "Patient/p"
    assert owners(plan)["Provenance/w"] == ""


def test_a_medication_of_two_patients_or_of_none_is_a_thing_of_the_directory() -> None:
    other = {**MEDICATION, "id": "n"}
    plan = planned(sources(MEDICATION, other, patient("p"), patient("q"), prescription("r", "Patient/p"),
                           prescription("s", "Patient/q")))
    assert owners(plan)["Medication/m"] == owners(plan)["Medication/n"] == ""


def test_a_resource_about_two_patients_is_refused() -> None:
    group = {"resourceType": "Group", "id": "g", "type": "person", "actual": True,
             "member": [{"entity": {"reference": "Patient/p"}}, {"entity": {"reference": "Patient/q"}}]}
    plan = planned(sources(group, patient("p"), patient("q")))
    assert [(p.code, p.resource) for p in plan.errors] == [(C.BELONGS_TO_SEVERAL_PATIENTS, "Group/g")]
    assert len(plan) == 2


@pytest.mark.parametrize("subject", [
    {"reference": "urn:uuid:11111111-1111-1111-1111-111111111111"},
    {"reference": "http://elsewhere.example/fhir/Patient/p"},
    {"reference": "Patient?identifier=http://example.org/mrn|5"},
    {"identifier": {"system": "http://example.org/mrn", "value": "5"}},
    {"display": "Jane Doe"},
])
def test_nobody_else_is_guessed_for_a_patient_who_cannot_be_found(subject: dict[str, Any]) -> None:
    lost = {**observation("o"), "subject": subject, "encounter": {"reference": "Encounter/e"}}
    encounter = {"resourceType": "Encounter", "id": "e", "status": "finished", "subject": {"reference": "Patient/p"},
                 "class": {"system": ACT_CODE, "code": "AMB"}}
    plan = planned(sources(patient("p"), encounter, lost))
    assert [(p.code, p.resource) for p in plan.errors] == [(C.PATIENT_NOT_KNOWN, "Observation/o")]


def test_a_patient_is_found_by_identifier_in_the_import_and_among_the_known() -> None:
    here = patient("p", identifier=[{"system": "http://example.org/mrn", "value": "5"}])
    logical = {**observation("o"), "subject": {"identifier": {"system": "http://example.org/mrn", "value": "5"}}}
    earlier = observation("e", "Patient?identifier=http://example.org/mrn|6")
    plan = planned(sources(here, logical, earlier),
                   identified={("Patient", "http://example.org/mrn", "6"): ("Patient/z", KNOWN)},
                   known={("Patient/z", "Patient/z"): KNOWN})
    assert plan.errors == () and plan.warnings == ()
    assert owners(plan) == {"Patient/p": "Patient/p", "Observation/o": "Patient/p", "Observation/e": "Patient/z"}
    assert content(records(plan)["Observation/e"])["subject"] == {"reference": f"Patient/{KNOWN.id.hex()}"}


def test_a_patient_named_but_absent_is_told_and_her_resources_wait_under_her_name() -> None:
    plan = planned(sources(observation("o", "Patient/gone")))
    assert owners(plan) == {"Observation/o": "Patient/gone"}
    assert warned(plan) == [(C.PATIENT_NOT_IN_IMPORT, "Observation"), (C.REFERENCE_NOT_RESOLVED, "Observation.subject")]


def test_the_directory_may_not_name_a_patient() -> None:
    located = {"resourceType": "Location", "id": "l", "extension": [
        {"url": "http://example.org/home-of", "valueReference": {"reference": "Patient/p"}}]}
    plan = planned(sources(patient("p"), located))
    assert [(p.code, p.resource) for p in plan.errors] == [(C.DIRECTORY_NAMES_PATIENT, "Location/l")]


def test_a_resource_whose_patient_is_broken_is_not_imported_either() -> None:
    plan = planned(sources({**patient("p"), "gender": "F"},
                           observation("o", "urn:uuid:11111111-1111-1111-1111-111111111111")))
    assert [p.code for p in plan.errors] == [C.CODE_NOT_IN_VALUE_SET, C.PATIENT_NOT_KNOWN] and len(plan) == 0


# -- ids and references

def test_every_form_of_reference_comes_out_as_ours() -> None:
    urn = "urn:uuid:22222222-2222-2222-2222-222222222222"
    source = observation(
        "o", urn, contained=[{"resourceType": "Specimen", "id": "c"}], specimen={"reference": "#c"},
        performer=[{"reference": f"Practitioner?identifier={NPI}|99"}, {"reference": "Practitioner/d", "display": "D"}],
        hasMember=[{"reference": "Observation/v/_history/7"}], derivedFrom=[{"reference": "http://x.example/Observation/1"}])
    versioned = observation("v", "Patient/p", meta={"versionId": "7"})
    items = [fhir.Source("a.json", "", urn, "", patient("p")), *sources(PRACTITIONER, versioned, source)]
    plan = planned(items)
    found = records(plan)
    ours = {key: record.head.id for key, record in found.items()}
    assert plan.errors == () and plan.warnings == ()
    assert content(found["Observation/o"]) == {
        **source, "id": ours["Observation/o"], "subject": {"reference": f"Patient/{ours['Patient/p']}"},
        "performer": [{"reference": f"Practitioner/{ours['Practitioner/d']}"},
                      {"reference": f"Practitioner/{ours['Practitioner/d']}", "display": "D"}],
        "hasMember": [{"reference": f"Observation/{ours['Observation/v']}/_history/1"}]}


def test_what_cannot_be_resolved_is_kept_as_it_was_and_told_by_its_element() -> None:
    source = observation("o", performer=[{"reference": "Practitioner/d"}, {"reference": "Practitioner/none"},
                                         {"reference": f"Practitioner?identifier={NPI}|1"}],
                         hasMember=[{"reference": "Observation/v/_history/3"}, {"reference": "Observation/other"}])
    plan = planned(sources(PRACTITIONER, patient("p"), patient("q"), source, observation("v"),
                           observation("other", "Patient/q")))
    assert sorted(warned(plan)) == [
        (C.REFERENCE_NOT_RESOLVED, "Observation.performer[1]"), (C.REFERENCE_NOT_RESOLVED, "Observation.performer[2]"),
        (C.REFERENCE_LEAVES_PATIENT, "Observation.hasMember[1]"), (C.VERSION_NOT_RESOLVED, "Observation.hasMember[0]")]
    rest = content(records(plan)["Observation/o"])
    assert rest["performer"][1:] == source["performer"][1:] and rest["hasMember"] == source["hasMember"]
    assert plan.error_count == 0 and plan.warning_count == 4


def test_an_ambiguous_identifier_resolves_to_nobody() -> None:
    twin = {**PRACTITIONER, "id": "d2"}
    plan = planned(sources(PRACTITIONER, twin, patient(), observation(
        performer=[{"reference": f"Practitioner?identifier={NPI}|99"}])))
    assert warned(plan) == [(C.REFERENCE_NOT_RESOLVED, "Observation.performer[0]")]


def entries(file: str, *found: tuple[str, dict[str, Any]], bundle: str = "") -> list[fhir.Source]:
    return [fhir.Source(file, f"entry {at}", url, "", one, bundle) for at, (url, one) in enumerate(found)]


def test_a_full_url_is_a_name_within_its_own_bundle_only() -> None:
    urn, mine = "urn:uuid:33333333-3333-3333-3333-333333333333", "http://x.example/fhir/Patient/victim"
    hostile = entries("m.json", (urn, patient("mallory")), bundle="line 1") \
        + entries("m.json", (mine, patient("eve")), bundle="line 2")
    others = [*sources(observation("o", urn), observation("w", mine), file="m.json"),
              *entries("n.json", ("", observation("v", urn)))]
    plan = planned([*hostile, *others])
    assert [(p.code, p.resource) for p in plan.errors] == [
        (C.PATIENT_NOT_KNOWN, f"Observation/{own}") for own in "owv"]


def test_two_bundles_may_use_one_full_url_for_two_people() -> None:
    urn = "urn:uuid:33333333-3333-3333-3333-333333333333"
    items = [one for own in ("p", "q") for one in entries(
        "b.ndjson", (urn, patient(own)), ("", observation(f"of-{own}", urn)), bundle=f"line of {own}")]
    plan = planned(items)
    assert plan.errors == ()
    assert {key: owner for key, owner in owners(plan).items() if key.startswith("Observation")} == {
        "Observation/of-p": "Patient/p", "Observation/of-q": "Patient/q"}


def test_the_id_goes_before_every_other_name() -> None:
    items = [*entries("m.json", ("Patient/victim", patient("mallory"))),
             *sources(patient("victim"), observation("o", "Patient/victim"), file="m.json")]
    assert owners(planned(items))["Observation/o"] == "Patient/victim"


MRN = {"system": "http://example.org/mrn", "value": "5"}
BY_MRN = "Patient?identifier=http://example.org/mrn|5"


def test_an_identifier_that_another_patient_had_before_leads_to_neither_from_another_file() -> None:
    thief = sources(patient("mallory", identifier=[MRN]), file="m.json")
    lost = sources(observation("o", BY_MRN), {**observation("l"), "subject": {"identifier": MRN}}, file="lab.json")
    plan = planned([*thief, *lost], identified={("Patient", MRN["system"], "5"): ("Patient/victim", KNOWN)})
    assert [(p.code, p.resource) for p in plan.errors] == [
        (C.PATIENT_NOT_KNOWN, "Observation/o"), (C.PATIENT_NOT_KNOWN, "Observation/l")]


def test_an_identifier_of_two_known_patients_leads_to_nobody() -> None:
    plan = planned(sources(observation("o", BY_MRN)),
                   identified={("Patient", MRN["system"], "5"): (fhir.NOBODY, fhir.Known(b"", 0, b""))})
    assert [p.code for p in plan.errors] == [C.PATIENT_NOT_KNOWN]


def test_an_identifier_leads_to_the_patient_of_its_own_bundle_whoever_else_claims_it() -> None:
    items = [one for own in ("p", "q") for one in sources(
        patient(own, identifier=[MRN]), observation(f"of-{own}", BY_MRN), file=f"{own}.json")]
    plan = planned(items)
    assert plan.errors == () and plan.warnings == ()
    assert owners(plan)["Observation/of-p"] == "Patient/p" and owners(plan)["Observation/of-q"] == "Patient/q"


# -- is it the same person

def card(birth_date: str = "", *identifiers: tuple[str, str]) -> fhir.PatientCard:
    return fhir.PatientCard(source_key="Patient/p", name="", birth_date=birth_date, identifiers=tuple(
        fhir.Identifier(system=system, value=value) for system, value in identifiers))


@pytest.mark.parametrize(("before", "now"), [
    (card("1950-01-01"), {"birthDate": "1990-09-09"}), (card("1950"), {"birthDate": "1951-01-01"}),
    (card("", ("urn:nat", "A")), {"identifier": [{"system": "urn:nat", "value": "B"}]}),
    (card("1950-01-01", ("urn:nat", "A")), {"birthDate": "1950-01-01", "identifier": [{"value": "A"}]})])
def test_a_known_id_with_another_persons_words_is_refused_with_all_that_is_hers(
        before: fhir.PatientCard, now: dict[str, Any]) -> None:
    items = sources(patient("p", **now), observation("o"), patient("q"), observation("n", "Patient/q"))
    plan = planned(items, people={"Patient/p": before})
    assert [(p.code, p.resource) for p in plan.errors] == [
        (C.PATIENT_IS_ANOTHER, "Patient/p"), (C.PATIENT_IS_ANOTHER, "Observation/o")]
    assert set(owners(plan)) == {"Patient/q", "Observation/n"}, "with --continue the others come in"
    assert not planned(items, people={"Patient/p": before}, same_person={"Patient/p"}).errors


@pytest.mark.parametrize(("before", "now"), [
    (card(), {"birthDate": "1990-09-09"}), (card("1950"), {"birthDate": "1950-02-03"}),
    (card("1950-02-03"), {"birthDate": "1950-02"}), (card("1950-02-03"), {}),
    (card("", ("a", "1"), ("b", "2")), {"identifier": [{"system": "b", "value": "2"}, {"system": "c", "value": "3"}]}),
    (card("", ("a", "1")), {"identifier": [{"system": "a"}]})])
def test_what_only_one_side_says_contradicts_nothing(before: fhir.PatientCard, now: dict[str, Any]) -> None:
    assert not planned(sources(patient("p", **now)), people={"Patient/p": before}).errors


# -- what can be kept

@pytest.mark.parametrize("identifier", [{"value": "x" * 2_001}, {"system": "urn:" + "x" * 2_000, "value": "1"}])
def test_an_identifier_longer_than_a_card_holds_is_refused_before_anything_is_written(identifier: Any) -> None:
    plan = planned(sources(patient("p", identifier=[identifier]), patient("q", identifier=[{"value": "x" * 2_000}])))
    assert [(p.code, p.resource) for p in plan.errors] == [(C.VALUE_TOO_LONG, "Patient/p")]


def test_a_long_chain_without_a_patient_is_followed_in_as_many_steps_as_it_has_links(
        monkeypatch: pytest.MonkeyPatch) -> None:
    length = 1_000
    chain = [{"resourceType": "Basic", "id": f"b{at}", "code": {"text": "x"}, "extension": [
        {"url": "http://x.example/next", "valueReference": {"reference": f"Basic/b{at + 1}"}}]} for at in range(length)]
    last = {"resourceType": "Basic", "id": f"b{length}", "code": {"text": "x"}, "subject": {"reference": "Patient/p"}}
    literal, looked_up = fhir.plan.__globals__["_literal"], 0

    def counted(reference: str) -> Any:
        nonlocal looked_up
        looked_up += 1
        return literal(reference)

    monkeypatch.setitem(fhir.plan.__globals__, "_literal", counted)
    plan = planned(sources(patient("p"), *chain, last))
    assert plan.errors == () and [len(batch) for batch in plan.patients] == [length + 2]
    assert looked_up < 20 * length


def test_text_that_looks_like_a_reference_is_left_alone() -> None:
    text = '"reference":"Patient/p" and \\"reference\\":\\"Patient/p\\"'
    plan = planned(sources(patient(), observation(note=[{"text": text}])))
    assert content(records(plan)["Observation/o"])["note"] == [{"text": text}]


def test_an_attachment_that_lies_in_the_import_is_found_under_its_new_id() -> None:
    binary = {"resourceType": "Binary", "id": "b", "contentType": "text/plain", "data": "AAAA"}
    document = {"resourceType": "DocumentReference", "id": "f", "status": "current",
                "subject": {"reference": "Patient/p"},
                "content": [{"attachment": {"url": "Binary/b"}}, {"attachment": {"url": "http://x.example/y"}}]}
    found = records(planned(sources(patient(), binary, document)))
    assert [c["attachment"]["url"] for c in content(found["DocumentReference/f"])["content"]] == [
        f"Binary/{found['Binary/b'].head.id}", "http://x.example/y"]


def test_numbers_keep_their_digits_on_the_way() -> None:
    data = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"id":"o","subject":{"reference":' \
           b'"Patient/p"},"valueQuantity":{"value":1.50,"unit":"mg"}}'
    plan = planned([*sources(patient()), *fhir.read_bytes(data, "o.json")])
    assert b'"value":1.50,' in records(plan)["Observation/o"].rest


def test_no_id_of_the_source_is_left_in_the_sample() -> None:
    plan = planned(fhir.read_sample())
    found = records(plan)
    ids = {record.head.id for record in found.values()}
    assert plan.errors == () and plan.warnings == () and len(ids) == 1_614
    for record in found.values():
        # The contained helpers of an ExplanationOfBenefit keep their own names.
        said = {r for r in references_of(content(record)) if not r.startswith("#")}
        assert {r.partition("/")[2] for r in said} <= ids


def references_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["reference"]} if isinstance(value.get("reference"), str) else set()
        return own.union(*(references_of(part) for part in value.values()))
    return set().union(*(references_of(part) for part in value)) if isinstance(value, list) else set()


# -- again

def test_an_unchanged_source_is_skipped_and_a_changed_one_becomes_the_next_version() -> None:
    first = planned(sources(patient(), observation("o"), observation("n")))
    earlier = {("Patient/p", key): fhir.Known(r.id, r.version, r.fingerprint) for key, r in records(first).items()}
    again = planned(sources(patient(), observation("o", status="amended"), observation("n")), known=earlier)
    assert again.unchanged == 2
    (changed,) = [record for batch in again.patients for record in batch]
    assert (changed.source_key, changed.version, changed.head.version) == ("Observation/o", 2, 2)
    assert changed.id == records(first)["Observation/o"].id
    assert content(changed)["subject"] == {"reference": f"Patient/{records(first)['Patient/p'].head.id}"}


def test_the_order_of_keys_is_no_change() -> None:
    one = {"resourceType": "Patient", "id": "p", "active": True, "gender": "male"}
    (first,), (second,) = (records(planned(sources(r))).values() for r in (one, dict(reversed(one.items()))))
    assert first.fingerprint == second.fingerprint


def test_the_same_resource_twice_counts_once_and_another_under_its_id_is_refused() -> None:
    plan = planned([*sources(patient()), *sources(patient(), file="b.json"),
                    *sources(patient(gender="male"), file="c.json")])
    assert (len(plan), plan.unchanged) == (1, 1)
    assert [(p.code, p.file) for p in plan.errors] == [(C.RESOURCE_TWICE, "c.json")]


def test_a_conditional_create_keeps_the_one_that_the_directory_has() -> None:
    again = fhir.Source("b.json", "", "urn:uuid:1", f"identifier={NPI}|99", {**PRACTITIONER, "id": "new"})
    plan = planned([again, *sources(patient(), observation(performer=[{"reference": "Practitioner/new"}]))],
                   identified={("Practitioner", NPI, "99"): ("", KNOWN)})
    assert (len(plan.directory), plan.unchanged) == (0, 1)
    assert content(records(plan)["Observation/o"])["performer"] == [{"reference": f"Practitioner/{KNOWN.id.hex()}"}]


def test_a_resource_without_an_id_is_known_again_by_its_content() -> None:
    nameless = {key: value for key, value in observation().items() if key != "id"}
    one, two = (set(records(planned(sources(patient(), nameless)))) for _ in range(2))
    assert one == two and len(one) == 2


def test_a_batch_may_be_walked_twice_and_gives_the_same() -> None:
    plan = planned(sources(patient(), observation()))
    assert list(plan.patients[0]) == list(plan.patients[0])


def test_a_thousand_warnings_do_not_hide_an_error() -> None:
    many = [observation(f"o{i}", performer=[{"reference": "Practitioner/none"}]) for i in range(1_200)]
    plan = planned(sources(patient(), *many, {**observation("bad"), "status": "done"}))
    assert (plan.error_count, plan.warning_count, len(plan.warnings)) == (1, 1_200, 1_000)
    assert [p.resource for p in plan.errors] == ["Observation/bad"]


# -- heads

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


@pytest.mark.parametrize(("resource", "classes"), [
    ({"resourceType": "Observation", "category": [{"coding": [{"system": CATEGORY, "code": "laboratory"}]}]},
     ("laboratory", "Observation", "Observation/laboratory")),
    ({"resourceType": "Observation", "category": [{"coding": [{"system": CATEGORY, "code": "vital-signs"}]}]},
     ("Observation", "Observation/vital-signs")),
    ({"resourceType": "Observation", "category": [{"coding": [{"system": "http://x.example", "code": "laboratory"}]}]},
     ("Observation", "Observation/laboratory")),
    ({"resourceType": "DiagnosticReport", "category": [{"coding": [
        {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}]},
     ("laboratory", "DiagnosticReport", "DiagnosticReport/LAB")),
    ({"resourceType": "MedicationDispense", "category": {"text": "x"}}, ("medications", "MedicationDispense")),
    ({"resourceType": "AllergyIntolerance", "category": ["food"]}, ("AllergyIntolerance", "AllergyIntolerance/food")),
])
def test_a_class_is_the_type_with_its_category(resource: dict[str, Any], classes: tuple[str, ...]) -> None:
    assert classes_of(resource) == classes


@pytest.mark.parametrize(("more", "label"), [
    ({"meta": {"security": [{"system": CONFIDENTIALITY, "code": "V"}]}}, f"{CONFIDENTIALITY}|V"),
    ({"meta": {"security": [{"system": "http://x.example/own", "code": "secret"}]}}, "http://x.example/own|secret"),
    ({"valueCodeableConcept": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "B20.6"}]}},
     f"{ACT_CODE}|HIV"),
    ({"valueCodeableConcept": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "F33.1"}]}},
     f"{ACT_CODE}|PSY"),
    ({"code": {"coding": [{"system": "http://loinc.org", "code": "56888-1"}]}}, f"{ACT_CODE}|HIV"),
    ({"contained": [{"resourceType": "Condition", "id": "c", "subject": {"reference": "#"}, "code": {"coding": [
        {"system": "http://snomed.info/sct", "code": "5602001"}]}}]}, f"{ACT_CODE}|SUD"),
    ({"contained": [{"resourceType": "Specimen", "id": "c", "meta": {"security": [
        {"system": ACT_CODE, "code": "PSY"}]}}]}, f"{ACT_CODE}|PSY"),
])
def test_a_label_is_found_wherever_it_or_a_sensitive_code_stands(more: dict[str, Any], label: str) -> None:
    plan = planned(sources(patient(), observation(**more)))
    assert plan.errors == () and label in records(plan)["Observation/o"].head.labels


@pytest.mark.parametrize(("system", "code"), [
    ("http://hl7.org/fhir/sid/icd-10", "E11.9"), ("http://hl7.org/fhir/sid/icd-10-cm", "F17.210"),
    ("http://loinc.org", "2339-0"), ("http://x.example", "B20"), ("http://snomed.info/sct", "44054006")])
def test_an_ordinary_code_has_no_label(system: str, code: str) -> None:
    plan = planned(sources(patient(), observation(code={"coding": [{"system": system, "code": code}]})))
    assert records(plan)["Observation/o"].head.labels == ()


def test_labels_beyond_the_head_are_refused_and_never_cut() -> None:
    security = [{"system": "http://x.example", "code": f"c{i}"} for i in range(65)]
    plan = planned(sources(patient(), observation(meta={"security": security})))
    assert [p.code for p in plan.errors] == [C.TOO_MANY_LABELS]


def test_a_head_of_the_sample_is_canonical_and_of_allowed_types() -> None:
    codec.form(fhir.Head)
    for record in records(planned(fhir.read_sample())).values():
        assert codec.decode(codec.encode(record.head), fhir.Head) == record.head
        assert content(record)["id"] == record.head.id == record.id.hex()


# -- the sample

def test_the_sample_is_six_patients_and_a_directory_of_229() -> None:
    plan = planned(fhir.read_sample())
    assert (len(plan), len(plan.directory), [len(b) for b in plan.patients]) == (
        1_614, 229, [284, 329, 109, 218, 198, 247])
    assert {r.resource_type for r in plan.directory} == {"Organization", "Location", "Practitioner", "PractitionerRole"}


def test_the_shipped_sample_is_the_generated_one(tmp_path: Path) -> None:
    generated = {path.name: path.read_bytes() for path in third_party("synthea-fhir").glob("*.json")}
    shipped = {path.name: path.read_bytes() for path in fhir.unpack_sample(tmp_path / "sample").iterdir()}
    assert shipped == generated
    assert len(list(fhir.read_folder(tmp_path / "sample"))) == 1_614


def test_the_sample_has_no_label_of_its_own_and_the_note_has_two() -> None:
    assert not any(item.resource.get("meta", {}).get("security") for item in fhir.read_sample()
                   if isinstance(item, fhir.Source))
    note = fhir.addition(fhir.Addition.PSYCHIATRIC_NOTE, NOTE_PATIENT, "demo-note", "canary-1f3a")
    plan = planned([*fhir.read_sample(), note])
    head = records(plan)["DocumentReference/demo-note"].head
    assert head.labels == (f"{ACT_CODE}|PSY", f"{CONFIDENTIALITY}|R") and plan.errors == () == plan.warnings
    assert owners(plan)["DocumentReference/demo-note"] == NOTE_PATIENT


@pytest.mark.parametrize(("which", "named"), [
    (fhir.Addition.PSYCHIATRIC_NOTE, "DocumentReference"), (fhir.Addition.LABORATORY_RESULT, "laboratory"),
    (fhir.Addition.PRESCRIPTION, "medications")])
def test_an_addition_is_valid_has_its_class_and_carries_its_canary(which: fhir.Addition, named: str) -> None:
    source = fhir.addition(which, "Patient/x", f"demo-{which}", 'canary "7"')
    assert fhir.validate(source.resource) == [] and classes_of(source.resource)[0] == named
    assert source.resource["id"] == f"demo-{which}" and b'canary \\"7\\"' in json_text.write(source.resource)


def test_ids_are_drawn_once_for_each_new_resource() -> None:
    draw = counter()
    plan = fhir.plan(sources(patient(), observation()), known=lambda o, k: None, identified=lambda t, s, v: None,
                     person=lambda o: None, new_id=draw)
    assert sorted(r.id[-1] for r in records(plan).values()) == [1, 2] and draw()[-1] == 3
