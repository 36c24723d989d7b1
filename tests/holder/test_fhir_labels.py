"""Labels: under every name of a code system, from a bundle, from what a record names, and never lost."""

import json
from typing import Any

import pytest

from holder.fhir_data import observation, patient, planned, records, sources
from xinglin.holder import fhir
from xinglin.holder.codes import HolderCode as C
from xinglin.holder.fhir.head import HEAD_LABELS_MAX
from xinglin.holder.fhir.labels import system_of
from xinglin.holder.fhir.spread import spread

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PSY, HIV, R, V, N = f"{ACT_CODE}|PSY", f"{ACT_CODE}|HIV", *(f"{CONFIDENTIALITY}|{code}" for code in "RVN")


def marked(*labels: str, **more: Any) -> dict[str, Any]:
    coded = [dict(zip(("system", "code"), label.split("|"), strict=True)) for label in labels]
    return {"meta": {"security": coded}, **more}


def labels(plan: fhir.Plan) -> dict[str, tuple[str, ...]]:
    return {key: record.head.labels for key, record in records(plan).items() if record.head.labels}


def naming(kind: str, own: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": own, **more}


def provenance(own: str, *targets: str) -> dict[str, Any]:
    return naming("Provenance", own, recorded="2026-01-02T03:04:05Z", agent=[{"who": {"display": "d"}}],
                  target=[{"reference": target} for target in targets])


def listing(own: str, *items: str) -> dict[str, Any]:
    return naming("List", own, status="current", mode="working", subject={"reference": "Patient/p"},
                  entry=[{"item": {"reference": item}} for item in items])


def composition(own: str, *entries: str, **more: Any) -> dict[str, Any]:
    return naming("Composition", own, status="final", type={"text": "x"}, date="2026-01-02", title="t",
                  author=[{"display": "d"}], subject={"reference": "Patient/p"}, **more,
                  section=[{"title": "t", "section": [
                      {"title": "t", **({"entry": [{"reference": one} for one in entries]} if entries else {})}]}])


def bundled(*resources: Any, kind: str = "collection", **more: Any) -> list[fhir.Source | fhir.Problem]:
    bundle = {"resourceType": "Bundle", "type": kind, "entry": [{"resource": one} for one in resources], **more}
    return list(fhir.read_bytes(json.dumps(bundle).encode(), "b.json"))


# -- code systems by all their names

@pytest.mark.parametrize(("system", "code", "label"), [
    ("urn:oid:2.16.840.1.113883.6.3", "B20", HIV), ("2.16.840.1.113883.6.3", "B20", HIV),
    ("urn:oid:2.16.840.1.113883.6.90", "F20.0", PSY), ("http://fhir.de/CodeSystem/bfarm/icd-10-gm", "B20", HIV),
    ("http://fhir.de/CodeSystem/dimdi/icd-10-gm", "b20.1", HIV), ("http://hl7.org/fhir/sid/icd-10-nl", "B20", HIV),
    ("http://hl7.org/fhir/sid/icd-10/2019", "B20", HIV), ("https://hl7.org/fhir/sid/icd-10-cm/", "B20", HIV),
    ("urn:oid:2.16.156.10011.2.3.3.11", "B20", HIV), ("http://snomed.info/sct/900000000000207008", "31676001", HIV),
    ("http://snomed.info/sct/731000124108/version/20240301", "31676001", HIV),
    ("http://snomed.info/sct/", "31676001", HIV),
    ("urn:oid:2.16.840.1.113883.6.96", "31676001", HIV), ("http://loinc.org/", "56888-1", HIV),
    ("HTTP://LOINC.ORG", "56888-1", HIV), ("http://loinc.org|2.72", "56888-1", HIV),
    ("urn:oid:2.16.840.1.113883.6.1", "56888-1", HIV), ("urn:oid:2.16.840.1.113883.6.88", "352364", f"{ACT_CODE}|SUD"),
    ("urn:oid:2.16.840.1.113883.5.4", "PSY", PSY), ("http://hl7.org/fhir/v3/Confidentiality", "R", R),
])
def test_a_sensitive_code_is_found_under_every_name_of_its_system(system: str, code: str, label: str) -> None:
    plan = planned(sources(patient(), observation(code={"coding": [{"system": system, "code": code}]})))
    assert labels(plan) == {"Observation/o": (label,)}


@pytest.mark.parametrize("system", [
    "http://hl7.org/fhir/sid/icd-10-pcs", "http://x.example/icd-100", "http://x.example/myicd-10", "http://x.example",
    "http://loinc.org.evil.example", "http://x.example/" + "icd-10/" * 200])
def test_another_system_is_not_taken_for_a_known_one(system: str) -> None:
    assert system_of(system) == system


def test_a_label_is_kept_under_the_one_name_of_its_system_so_that_a_grant_can_name_it() -> None:
    plan = planned(sources(patient(), observation("a", **marked("urn:oid:2.16.840.1.113883.5.25|N")),
                           observation("b", **marked("http://hl7.org/fhir/v3/ActCode|PSY"))))
    assert labels(plan) == {"Observation/a": (N,), "Observation/b": (PSY,)}


@pytest.mark.parametrize("mark", [
    {"system": CONFIDENTIALITY, "display": "restricted"}, {"display": "secret"},
    {"system": CONFIDENTIALITY, "_code": {"extension": [{"url": "http://x.example/u", "valueString": "x"}]}}])
def test_a_label_without_a_code_counts_as_restricted(mark: dict[str, Any]) -> None:
    document = naming("DocumentReference", "d", status="current", subject={"reference": "Patient/p"},
                      content=[{"attachment": {"title": "t"}}], securityLabel=[{"text": "for her eyes"}])
    plan = planned(sources(patient(), observation(meta={"security": [mark]}), document,
                           composition("c", _confidentiality={"id": "none"})))
    assert plan.errors == ()
    assert labels(plan) == {"Observation/o": (R,), "DocumentReference/d": (R,), "Composition/c": (R,)}


def test_the_security_label_of_a_document_counts_whatever_its_system() -> None:
    document = naming("DocumentReference", "d", status="current", subject={"reference": "Patient/p"},
                      content=[{"attachment": {"title": "t"}}],
                      securityLabel=[{"coding": [{"system": "http://x.example/own", "code": "secret"}]}])
    assert labels(planned(sources(patient(), document))) == {"DocumentReference/d": ("http://x.example/own|secret",)}


# -- the high-water mark

def test_what_a_bundle_says_of_itself_holds_for_each_of_its_entries() -> None:
    plan = planned(bundled(patient(), observation("a"), observation("b", **marked(PSY)), **marked(R)))
    assert labels(plan) == {"Patient/p": (R,), "Observation/a": (R,), "Observation/b": (PSY, R)}


@pytest.mark.parametrize("meta", [{"security": {"code": 7}}, {"security": "R"}, {"security": [None]}])
def test_a_bundle_whose_label_cannot_be_read_is_restricted(meta: Any) -> None:
    assert labels(planned(bundled(patient(), meta=meta))) == {"Patient/p": (R,)}


@pytest.mark.parametrize(("said", "label"), [({"confidentiality": "V"}, V), (marked(PSY), PSY)])
def test_what_a_composition_says_holds_for_the_whole_document(said: dict[str, Any], label: str) -> None:
    plan = planned(bundled(composition("c", **said), patient(), observation(), kind="document"))
    assert labels(plan) == dict.fromkeys(("Composition/c", "Patient/p", "Observation/o"), (label,))


def test_a_broken_composition_still_restricts_what_comes_with_it() -> None:
    plan = planned(bundled({"resourceType": "Composition", "confidentiality": "V"}, patient(), kind="document"))
    assert plan.errors and labels(plan) == {"Patient/p": (V,)}


def test_a_composition_outside_a_document_restricts_what_its_sections_are_made_of() -> None:
    plan = planned(sources(patient(), composition("c", "Observation/a", confidentiality="V"), observation("a"),
                           observation("b")))
    assert labels(plan) == {"Composition/c": (V,), "Observation/a": (V,)}


def test_a_resource_that_comes_twice_has_the_labels_of_both_bundles() -> None:
    plan = planned([*bundled(patient(), observation()), *bundled(observation(), **marked(R))])
    assert plan.errors == () and labels(plan) == {"Observation/o": (R,)}


# -- from record to record

def test_a_record_that_names_a_labelled_one_has_its_labels() -> None:
    plan = planned(sources(
        patient(), observation("a", **marked(PSY)), observation("b", **marked(HIV)), observation("c"),
        provenance("v", "Observation/a", "Observation/c"), listing("l", "Observation/a", "Observation/b"),
        composition("s", "Observation/b"), provenance("w", "Observation/c"), provenance("u", "List/l")))
    assert labels(plan) == {
        "Observation/a": (PSY,), "Observation/b": (HIV,), "Provenance/v": (PSY,), "List/l": (HIV, PSY),
        "Composition/s": (HIV,), "Provenance/u": (HIV, PSY)}


def test_no_released_record_of_a_chart_names_a_withheld_one() -> None:
    found = records(planned([*fhir.read_sample(), fhir.addition(
        fhir.Addition.PSYCHIATRIC_NOTE, fhir.sample.NOTE_PATIENT, "note", "canary")]))
    withheld = {one.head.id for one in found.values() if one.head.labels and one.resource_type != "Patient"}
    open_ = [one for one in found.values() if not one.head.labels]
    assert len(withheld) > 100 and len(open_) > 1_000
    assert not [one.source_key for one in open_ for own in withheld if own.encode() in one.rest]


def test_a_label_does_not_run_through_the_patient_or_who_cares_for_her() -> None:
    plan = planned(sources(patient(**marked(R)), naming("Practitioner", "d", **marked(V)),
                           observation(performer=[{"reference": "Practitioner/d"}])))
    assert labels(plan) == {"Patient/p": (R,), "Practitioner/d": (V,)}


def test_what_is_part_of_a_labelled_record_is_labelled_too() -> None:
    note = naming("DocumentReference", "d", status="current", subject={"reference": "Patient/p"}, **marked(PSY),
                  content=[{"attachment": {"url": "Binary/b"}}])
    binary = naming("Binary", "b", contentType="text/plain", data="AAAA")
    assert labels(planned(sources(patient(), note, binary))) == {"DocumentReference/d": (PSY,), "Binary/b": (PSY,)}


def test_a_prescription_of_a_sensitive_drug_is_as_sensitive_as_the_drug() -> None:
    drug = naming("Medication", "m", code={"coding": [
        {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "352364"}]})
    given = [naming("MedicationRequest", own, status="active", intent="order",
                    subject={"reference": f"Patient/{about}"}, medicationReference={"reference": "Medication/m"})
             for own, about in (("r", "p"), ("s", "q"))]
    plan = planned(sources(patient("p"), patient("q"), drug, *given))
    assert labels(plan) == dict.fromkeys(("Medication/m", "MedicationRequest/r", "MedicationRequest/s"),
                                         (f"{ACT_CODE}|SUD",))


def test_labels_run_round_a_circle_and_along_a_long_chain() -> None:
    chain = {str(at): [str(at + 1)] for at in range(10_000)} | {"10000": ["0"]}
    found = spread({**{key: () for key in chain}, "5": {"a"}, "9": {"b"}}, chain)
    assert set(map(frozenset, found.values())) == {frozenset({"a", "b"})}


def test_a_chain_of_records_with_a_label_each_is_refused_without_gathering_them_all() -> None:
    found = spread({str(at): {f"label {at}"} for at in range(2_000)}, {str(at): [str(at + 1)] for at in range(1_999)})
    assert len(found["50"]) == 51
    assert all(HEAD_LABELS_MAX < len(found[str(at)]) <= 2 * HEAD_LABELS_MAX + 1 for at in range(100, 2_000))


def test_a_bundle_with_more_labels_than_a_head_holds_is_refused() -> None:
    plan = planned(bundled(patient(), **marked(*(f"http://x.example|c{i}" for i in range(65)))))
    assert [p.code for p in plan.errors] == [C.TOO_MANY_LABELS] and len(plan) == 0


def test_more_labels_than_a_head_holds_are_refused_also_when_they_come_from_what_is_named() -> None:
    many = [observation(f"o{i}", **marked(f"http://x.example|c{i}")) for i in range(65)]
    plan = planned(sources(patient(), *many, listing("l", *(f"Observation/o{i}" for i in range(65)))))
    assert [(p.code, p.resource) for p in plan.errors] == [(C.TOO_MANY_LABELS, "List/l")]
    assert "List/l" not in records(plan)


# -- again

def earlier(plan: fhir.Plan) -> dict[tuple[str, str], fhir.Known]:
    return {("Patient/p", key): fhir.Known(one.id, one.version, one.fingerprint, one.head.labels)
            for key, one in records(plan).items()}


def test_a_label_that_the_source_no_longer_gives_stays_and_is_told() -> None:
    first = planned(sources(patient(), observation(**marked(R))))
    again = planned(sources(patient(), observation()), known=earlier(first))
    assert labels(again) == {"Observation/o": (R,)} and records(again)["Observation/o"].version == 2
    assert [(p.code, p.resource) for p in again.warnings] == [(C.LABEL_KEPT, "Observation/o")]
    assert planned(sources(patient(), observation(**marked(R))), known=earlier(first)).unchanged == 2


def test_an_unchanged_record_becomes_a_version_when_what_it_names_is_labelled_now() -> None:
    first = planned(sources(patient(), observation(), provenance("v", "Observation/o")))
    again = planned(sources(patient(), observation(**marked(PSY)), provenance("v", "Observation/o")),
                    known=earlier(first))
    assert labels(again) == {"Observation/o": (PSY,), "Provenance/v": (PSY,)}
    assert records(again)["Provenance/v"].version == 2 and again.unchanged == 1


def test_an_unchanged_record_becomes_a_version_when_its_bundle_is_restricted_now() -> None:
    first = planned(bundled(patient(), observation()))
    again = planned(bundled(patient(), observation(), **marked(R)), known=earlier(first))
    assert {key: one.version for key, one in records(again).items()} == {"Patient/p": 2, "Observation/o": 2}


def test_what_names_a_labelled_record_of_an_earlier_import_has_its_labels() -> None:
    first = planned(sources(patient(), observation(**marked(PSY))))
    again = planned(sources(patient(), listing("l", "Observation/o")), known=earlier(first))
    assert labels(again) == {"List/l": (PSY,)}
