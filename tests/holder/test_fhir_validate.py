import copy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from holder.fhir_data import third_party
from xinglin.holder import fhir
from xinglin.holder.codes import HolderCode as C
from xinglin.holder.fhir.definitions import resource_types, type_named
from xinglin.holder.fhir.primitives import is_base64

# HL7's own examples that break HL7's own definitions.
EXCEPTIONS = {
    "DeviceMetric/example": "DeviceMetric.parent",   # names a DeviceDefinition, Device alone is allowed
}
NOT_CONTENT = {C.RESOURCE_TYPE_NOT_IMPORTED, C.BUNDLE_TYPE_NOT_IMPORTED, C.ENTRY_NOT_A_WRITE, C.ENTRY_WITHOUT_RESOURCE}

BASE: dict[str, Any] = {
    "resourceType": "Observation", "id": "o1", "meta": {"lastUpdated": "2026-01-02T03:04:05.678Z"},
    "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},
    "contained": [{"resourceType": "Specimen", "id": "s1"}],
    "extension": [{"url": "http://example.org/e", "valueString": "v"}],
    "identifier": [{"system": "http://example.org/ids", "value": "1"}],
    "status": "final",
    "category": [{"coding": [{"system": "http://example.org/c", "code": "laboratory"}]}],
    "code": {"coding": [{"system": "http://loinc.org", "code": "2339-0"}]},
    "subject": {"reference": "Patient/p"},
    "specimen": {"reference": "#s1"},
    "effectivePeriod": {"start": "2026-01-02T03:04:05Z", "end": "2026-01-02T03:05:05Z"},
    "issued": "2026-01-02T03:04:05Z", "_issued": {"id": "i"},
    "valueQuantity": {"value": Decimal("1.50"), "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"},
    "component": [{"code": {"text": "c"}, "valueInteger": 3}],
}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient", "id": "p1", "active": True, "gender": "female", "birthDate": "1960-02-29",
    "name": [{"family": "F", "given": ["A", None], "_given": [None, {"extension": [
        {"url": "http://example.org/e", "valueCode": "x"}]}]}],
    "photo": [{"contentType": "image/png", "data": "AAAA"}],
    "contact": [{"name": {"text": "N"}}],
    "maritalStatus": {"coding": [{"system": "http://example.org/m", "code": "M"}]},
}
CONDITION: dict[str, Any] = {
    "resourceType": "Condition", "subject": {"reference": "Patient/p"},
    "clinicalStatus": {"coding": [
        {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]},
}

# (resource, path into it, value or DELETE, code, the element that the report names)
DELETE = object()
FAULTS: list[tuple[dict[str, Any], str, Any, C, str]] = [
    (BASE, "resourceType", "Observatoin", C.RESOURCE_TYPE_NOT_KNOWN, "resourceType"),
    (BASE, "resourceType", "DomainResource", C.RESOURCE_TYPE_NOT_KNOWN, "resourceType"),
    (BASE, "resourceType", 7, C.RESOURCE_TYPE_NOT_KNOWN, "resourceType"),
    (BASE, "resourceType", "Parameters", C.RESOURCE_TYPE_NOT_IMPORTED, ""),
    (BASE, "id", "has space", C.VALUE_FORM_NOT_VALID, "Observation.id"),
    (BASE, "id", "x" * 65, C.VALUE_FORM_NOT_VALID, "Observation.id"),
    (BASE, "id", 12, C.VALUE_FORM_NOT_VALID, "Observation.id"),
    (BASE, "status", DELETE, C.ELEMENT_MISSING, "Observation.status"),
    (BASE, "status", "done", C.CODE_NOT_IN_VALUE_SET, "Observation.status"),
    (BASE, "status", ["final"], C.ELEMENT_NOT_SINGLE, "Observation.status"),
    (BASE, "code", DELETE, C.ELEMENT_MISSING, "Observation.code"),
    (BASE, "code", "2339-0", C.ELEMENT_NOT_AN_OBJECT, "Observation.code"),
    (BASE, "code", {}, C.ELEMENT_EMPTY, "Observation.code"),
    (BASE, "code", None, C.ELEMENT_NOT_AN_OBJECT, "Observation.code"),
    (BASE, "code.coding", {"code": "x"}, C.ELEMENT_NOT_AN_ARRAY, "Observation.code.coding"),
    (BASE, "code.coding.0.code", "two  spaces", C.VALUE_FORM_NOT_VALID, "Observation.code.coding[0].code"),
    (BASE, "code.coding.0.system", "http://a b", C.VALUE_FORM_NOT_VALID, "Observation.code.coding[0].system"),
    (BASE, "code.coding.0.system", "http://a\0b", C.VALUE_FORM_NOT_VALID, "Observation.code.coding[0].system"),
    (BASE, "code.coding.0.code", "a\x01b", C.VALUE_FORM_NOT_VALID, "Observation.code.coding[0].code"),
    (BASE, "code.coding.0.userSelected", "true", C.VALUE_FORM_NOT_VALID, "Observation.code.coding[0].userSelected"),
    (BASE, "category", [], C.ELEMENT_EMPTY, "Observation.category"),
    (BASE, "category", {"text": "lab"}, C.ELEMENT_NOT_AN_ARRAY, "Observation.category"),
    (BASE, "statuss", "final", C.ELEMENT_NOT_KNOWN, "Observation.statuss"),
    (BASE, "fhir_comments", ["x"], C.ELEMENT_NOT_KNOWN, "Observation.fhir_comments"),
    (BASE, "Jane Doe, 1960", "x", C.ELEMENT_NOT_KNOWN, "Observation.?"),
    (BASE, "_code", {"id": "x"}, C.ELEMENT_NOT_KNOWN, "Observation._code"),
    (BASE, "_issued", {"value": "x"}, C.ELEMENT_NOT_KNOWN, "Observation.issued.value"),
    (BASE, "valueString", "x", C.CHOICE_TWICE, "Observation.value[x]"),
    (BASE, "valueMoney", {"value": 1}, C.ELEMENT_NOT_KNOWN, "Observation.valueMoney"),
    (BASE, "valueQuantity.value", "1.5", C.VALUE_FORM_NOT_VALID, "Observation.valueQuantity.value"),
    (BASE, "valueQuantity.value", True, C.VALUE_FORM_NOT_VALID, "Observation.valueQuantity.value"),
    (BASE, "valueQuantity.system", DELETE, C.RULE_BROKEN, "Observation.valueQuantity"),
    (BASE, "valueQuantity.comparator", "~", C.CODE_NOT_IN_VALUE_SET, "Observation.valueQuantity.comparator"),
    (BASE, "dataAbsentReason", {"text": "x"}, C.RULE_BROKEN, "Observation"),
    (BASE, "component.0.code", DELETE, C.ELEMENT_MISSING, "Observation.component[0].code"),
    (BASE, "component.0.valueInteger", 2**31, C.VALUE_FORM_NOT_VALID, "Observation.component[0].valueInteger"),
    (BASE, "component.0.valueInteger", Decimal("3.0"), C.VALUE_FORM_NOT_VALID, "Observation.component[0].valueInteger"),
    (BASE, "issued", "2026-01-02", C.VALUE_FORM_NOT_VALID, "Observation.issued"),
    (BASE, "issued", "2026-01-02T03:04:05", C.VALUE_FORM_NOT_VALID, "Observation.issued"),
    (BASE, "issued", "2026-01-02T25:04:05Z", C.VALUE_FORM_NOT_VALID, "Observation.issued"),
    (BASE, "issued", "2026-01-02 03:04:05Z", C.VALUE_FORM_NOT_VALID, "Observation.issued"),
    (BASE, "meta.lastUpdated", "today", C.VALUE_FORM_NOT_VALID, "Observation.meta.lastUpdated"),
    (BASE, "effectivePeriod.start", "2027-01-02T03:04:05Z", C.PERIOD_ENDS_BEFORE_START, "Observation.effectivePeriod"),
    (BASE, "effectivePeriod.start", "2026-13-02", C.VALUE_FORM_NOT_VALID, "Observation.effectivePeriod.start"),
    (BASE, "subject.reference", "Practitioner/x", C.REFERENCE_TARGET_NOT_ALLOWED, "Observation.subject"),
    (BASE, "subject.reference", "Practitioner?identifier=a|b", C.REFERENCE_TARGET_NOT_ALLOWED, "Observation.subject"),
    (BASE, "subject.reference", "Patint/x", C.REFERENCE_NOT_VALID, "Observation.subject"),
    (BASE, "subject.reference", "p", C.REFERENCE_NOT_VALID, "Observation.subject"),
    (BASE, "subject.reference", "Patient/", C.REFERENCE_NOT_VALID, "Observation.subject"),
    (BASE, "subject", {"reference": ["Patient/p"]}, C.ELEMENT_NOT_SINGLE, "Observation.subject.reference"),
    (BASE, "specimen.reference", "#s2", C.CONTAINED_NOT_FOUND, "Observation.specimen"),
    (BASE, "contained.0.id", DELETE, C.CONTAINED_NOT_VALID, "Observation.contained[0]"),
    (BASE, "contained.0.resourceType", "Spice", C.RESOURCE_TYPE_NOT_KNOWN, "Observation.contained[0]"),
    (BASE, "contained.0.contained", [{"resourceType": "Patient", "id": "q"}], C.CONTAINED_NOT_VALID,
     "Observation.contained[0]"),
    (BASE, "contained.0.status", "lost", C.CODE_NOT_IN_VALUE_SET, "Observation.contained[0].status"),
    (BASE, "extension.0.url", DELETE, C.ELEMENT_MISSING, "Observation.extension[0].url"),
    (BASE, "extension.0.valueCode", "x", C.CHOICE_TWICE, "Observation.extension[0].value[x]"),
    (BASE, "extension.0.extension", [{"url": "u", "valueCode": "x"}], C.RULE_BROKEN, "Observation.extension[0]"),
    (BASE, "text.div", "no div", C.VALUE_FORM_NOT_VALID, "Observation.text.div"),
    (BASE, "text.status", DELETE, C.ELEMENT_MISSING, "Observation.text.status"),
    (BASE, "identifier.0.use", "mine", C.CODE_NOT_IN_VALUE_SET, "Observation.identifier[0].use"),
    (BASE, "identifier.0.value", "", C.VALUE_FORM_NOT_VALID, "Observation.identifier[0].value"),
    (BASE, "identifier.0.value", "a\x00b", C.VALUE_FORM_NOT_VALID, "Observation.identifier[0].value"),
    (PATIENT, "birthDate", "1961-02-29", C.VALUE_FORM_NOT_VALID, "Patient.birthDate"),
    (PATIENT, "birthDate", "1960-04-31", C.VALUE_FORM_NOT_VALID, "Patient.birthDate"),
    (PATIENT, "birthDate", "29.02.1960", C.VALUE_FORM_NOT_VALID, "Patient.birthDate"),
    (PATIENT, "birthDate", "1960-02-29T00:00:00Z", C.VALUE_FORM_NOT_VALID, "Patient.birthDate"),
    (PATIENT, "birthDate", "0000", C.VALUE_FORM_NOT_VALID, "Patient.birthDate"),
    (PATIENT, "gender", "F", C.CODE_NOT_IN_VALUE_SET, "Patient.gender"),
    (PATIENT, "active", "true", C.VALUE_FORM_NOT_VALID, "Patient.active"),
    (PATIENT, "active", 1, C.VALUE_FORM_NOT_VALID, "Patient.active"),
    (PATIENT, "name.0.given.0", None, C.VALUE_FORM_NOT_VALID, "Patient.name[0].given[0]"),
    (PATIENT, "name.0._given", [None], C.VALUE_FORM_NOT_VALID, "Patient.name[0].given"),
    (PATIENT, "photo.0.contentType", DELETE, C.RULE_BROKEN, "Patient.photo[0]"),
    (PATIENT, "photo.0.data", "not base64!", C.VALUE_FORM_NOT_VALID, "Patient.photo[0].data"),
    (PATIENT, "photo.0.size", -1, C.VALUE_FORM_NOT_VALID, "Patient.photo[0].size"),
    (PATIENT, "contact.0.name", [{"text": "N"}], C.ELEMENT_NOT_SINGLE, "Patient.contact[0].name"),
    (PATIENT, "telecom", [{"rank": 0}], C.VALUE_FORM_NOT_VALID, "Patient.telecom[0].rank"),
    (PATIENT, "multipleBirthInteger", "2", C.VALUE_FORM_NOT_VALID, "Patient.multipleBirthInteger"),
    (CONDITION, "subject", DELETE, C.ELEMENT_MISSING, "Condition.subject"),
    (CONDITION, "clinicalStatus.coding.0.code", "cured", C.CODE_NOT_IN_VALUE_SET, "Condition.clinicalStatus"),
    (CONDITION, "onsetDateTime", "2026-1-2", C.VALUE_FORM_NOT_VALID, "Condition.onsetDateTime"),
]


def changed(resource: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    whole: Any = copy.deepcopy(resource)
    at = whole
    *above, last = path.split(".") if not path.startswith("Jane") else [path]
    for name in above:
        at = at[int(name)] if name.isdigit() else at[name]
    if value is DELETE:
        del at[last]
    else:
        at[int(last) if last.isdigit() else last] = value
    return dict(whole)


@pytest.mark.parametrize("resource", [BASE, PATIENT, CONDITION], ids=lambda r: r["resourceType"])
def test_a_resource_that_uses_much_of_fhir_is_accepted(resource: dict[str, Any]) -> None:
    assert fhir.validate(resource) == []


@pytest.mark.parametrize(("resource", "path", "value", "code", "element"), FAULTS)
def test_a_planted_fault_is_found_at_its_element(
        resource: dict[str, Any], path: str, value: Any, code: C, element: str) -> None:
    found = [(p.code, p.element) for p in fhir.validate(changed(resource, path, value))]
    assert (code, element) in found


def test_all_faults_of_a_resource_are_told_at_once() -> None:
    broken = changed(changed(changed(BASE, "status", "done"), "issued", "x"), "code", DELETE)
    assert [p.code for p in fhir.validate(broken)] == [
        C.CODE_NOT_IN_VALUE_SET, C.VALUE_FORM_NOT_VALID, C.ELEMENT_MISSING]


def test_a_hopeless_resource_gives_twenty_problems_and_no_more() -> None:
    assert len(fhir.validate({"resourceType": "Patient", **{f"x{i}": 1 for i in range(100)}})) == 20


@pytest.mark.parametrize("value", [None, 7, "x", [], [BASE]])
def test_what_is_no_object_is_no_resource(value: Any) -> None:
    assert [p.code for p in fhir.validate(value)] == [C.ELEMENT_NOT_AN_OBJECT]


def test_a_report_never_repeats_a_value() -> None:
    secret = "Trish Feest 1960-06-23"
    paths = ("id", "status", "issued", "subject.reference", "code.coding.0.system", "identifier.0.use")
    said = [str(p) for path in paths for p in fhir.validate(changed(BASE, path, secret))]
    assert len(said) >= len(paths) and not any("Trish" in line for line in said)


def test_extensions_nested_deeper_than_the_limit_are_refused() -> None:
    inner: dict[str, Any] = {"url": "u", "valueCode": "x"}
    for _ in range(80):
        inner = {"url": "u", "extension": [inner]}
    assert C.JSON_TOO_DEEP in [p.code for p in fhir.validate(changed(BASE, "extension.0", inner))]


def test_periods_of_different_offsets_are_not_compared_as_text() -> None:
    assert fhir.validate(changed(BASE, "effectivePeriod", {
        "start": "2026-01-02T01:00:00+09:00", "end": "2026-01-01T20:00:00-05:00"})) == []


@pytest.mark.parametrize(("text", "valid"), [
    ("", True), ("AAAA", True), ("AA AA\n", True), ("AAA=", True), ("AA==", True), ("AAA", False), ("A===", False),
    ("AA=A", False), ("AAA!", False), (" " * 1_000_000 + "!", False), ("AAAA" + " " * 1_000_000, True), (7, False)])
def test_base64_may_have_white_space_anywhere_and_is_judged_in_one_pass(text: Any, valid: bool) -> None:
    assert is_base64(text) is valid


def test_the_table_has_every_type_of_r4_and_every_type_they_use() -> None:
    assert len(resource_types()) == 146
    todo, seen = ["Element", "Extension", *resource_types()], set()
    while todo:
        name = todo.pop()
        if name not in seen and name != "Resource":
            seen.add(name)
            todo += [e.type for e in type_named(name).elements.values() if not e.primitive]
    assert len(seen) > 600


def problems_in(folder: Path) -> tuple[int, list[fhir.Problem]]:
    count, found = 0, []
    for item in fhir.read_folder(folder):
        count += 1
        found += [item] if isinstance(item, fhir.Problem) else fhir.validate(item.resource, file=item.file)
    return count, found


def test_every_resource_of_the_sample_is_accepted() -> None:
    items = list(fhir.read_sample())
    assert len(items) == 1_614
    assert [p for s in items for p in (fhir.validate(s.resource) if isinstance(s, fhir.Source) else [s])] == []


@pytest.mark.parametrize(("name", "least"), [("fhir-r4-examples", 400), ("us-core", 180)])
def test_official_examples_are_accepted_but_for_the_listed_ones(name: str, least: int) -> None:
    count, found = problems_in(third_party(name))
    assert count >= least
    left = [p for p in found if p.code not in NOT_CONTENT and EXCEPTIONS.get(p.resource) != p.element]
    assert [str(p) for p in left] == []


def test_claims_in_the_shape_of_stu3_are_refused_each_with_its_reason() -> None:
    """No file of claims-eob is R4: 100 lines have STU3's Money and insurance, three are fragments."""
    count, found = problems_in(third_party("claims-eob"))
    assert count == 103 and len({(p.file, p.resource) for p in found}) == 103
    assert {p.code for p in found} == {C.ELEMENT_NOT_KNOWN, C.ELEMENT_NOT_AN_ARRAY, C.ELEMENT_MISSING}
