"""The head of a record: what it is, when, and under which labels. Committed apart from the rest."""

from typing import Any

from xinglin.base.limits import HEAD_CODES_MAX
from xinglin.client.records import (
    CODE_CHARS_MAX,
    HEAD_CLASSES_MAX,
    HEAD_DATES_MAX,
    HEAD_LABELS_MAX,
    Head,
)
from xinglin.holder.fhir.labels import LABEL_TABLE_VERSION, labels_of

LABORATORY = "laboratory"
MEDICATIONS = "medications"

OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
DIAGNOSTIC_SERVICE = "http://terminology.hl7.org/CodeSystem/v2-0074"
MEDICATION_TYPES = frozenset({
    "Medication", "MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration"})

# What a record is about and when, most telling first.
CODE_ELEMENTS = ("code", "medicationCodeableConcept", "vaccineCode", "type", "class", "productOrService", "topic")
DATE_ELEMENTS = (
    "effectiveDateTime", "effectiveInstant", "effectivePeriod", "onsetDateTime", "onsetPeriod", "performedDateTime",
    "performedPeriod", "occurrenceDateTime", "occurrencePeriod", "period", "authoredOn", "whenHandedOver",
    "whenPrepared", "started", "date", "recordedDate", "dateAsserted", "issued", "created", "billablePeriod",
    "recorded", "servicedDate", "servicedPeriod")


def head_of(resource: dict[str, Any], own_id: str, version: int) -> Head:
    """The head of a resource that `validate` found nothing against."""
    codings, marks = codings_of(resource)
    return Head(
        resource_type=resource["resourceType"], id=own_id, version=version, classes=classes_of(resource),
        codes=codes_of(resource), dates=dates_of(resource), labels=labels_of(resource, codings, marks),
        label_table=LABEL_TABLE_VERSION)


def classes_of(resource: dict[str, Any]) -> tuple[str, ...]:
    """Named classes first ("laboratory"), then the type, then type and category ("Observation/laboratory")."""
    kind = resource["resourceType"]
    categories = _listed(resource.get("category"))
    found = [coding for concept in categories if type(concept) is dict for coding in concept.get("coding", ())]
    codes = {(coding.get("system"), coding.get("code")) for coding in found}
    named = []
    if (kind == "Observation" and (OBSERVATION_CATEGORY, "laboratory") in codes) \
            or (kind == "DiagnosticReport" and (DIAGNOSTIC_SERVICE, "LAB") in codes):
        named.append(LABORATORY)
    if kind in MEDICATION_TYPES:
        named.append(MEDICATIONS)
    finer = {coding["code"] for coding in found if type(coding.get("code")) is str}
    finer |= {code for code in categories if type(code) is str}
    return _bounded((*named, kind, *(f"{kind}/{code}" for code in sorted(finer))), HEAD_CLASSES_MAX)


def codes_of(resource: dict[str, Any]) -> tuple[str, ...]:
    """Codes of what the record is about, each once."""
    found: dict[str, None] = {}
    for name in CODE_ELEMENTS:
        for concept in _listed(resource.get(name)):
            for coding in concept.get("coding", (concept,)) if type(concept) is dict else ():
                if type(coding.get("code")) is str:
                    found[f"{coding.get('system', '')}|{coding['code']}"] = None
    return _bounded(tuple(found), HEAD_CODES_MAX)


def dates_of(resource: dict[str, Any]) -> tuple[str, ...]:
    """When it happened, was asserted, was issued; a period gives its start and its end."""
    found: dict[str, None] = {}
    for name in DATE_ELEMENTS:
        value = resource.get(name)
        parts = (value.get("start"), value.get("end")) if type(value) is dict else (value,)
        found.update((part, None) for part in parts if type(part) is str)
    return _bounded(tuple(found), HEAD_DATES_MAX)


def codings_of(resource: dict[str, Any]) -> tuple[set[tuple[str, str]], list[Any]]:
    """Every (system, code) anywhere in the resource, contained resources and extensions too; every securityLabel."""
    found: set[tuple[str, str]] = set()
    marks: list[Any] = []
    todo: list[Any] = [resource]
    while todo:
        value = todo.pop()
        if type(value) is dict:
            if "code" in value and "system" in value:
                system, code = value["system"], value["code"]
                if type(system) is str and type(code) is str:
                    found.add((system, code))
            if "securityLabel" in value:
                marks += _listed(value["securityLabel"])
            todo.extend(part for part in value.values() if type(part) is dict or type(part) is list)
        else:
            todo.extend(part for part in value if type(part) is dict or type(part) is list)
    return found, marks


def _listed(value: Any) -> list[Any]:
    return value if type(value) is list else [] if value is None else [value]


def _bounded(values: tuple[str, ...], most: int) -> tuple[str, ...]:
    return tuple(value[:CODE_CHARS_MAX] for value in values[:most])


__all__ = ["CODE_CHARS_MAX", "HEAD_LABELS_MAX", "LABORATORY", "MEDICATIONS", "Head", "classes_of", "codings_of",
           "head_of"]
