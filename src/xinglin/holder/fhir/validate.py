"""Is this a FHIR R4 resource? Structure, cardinality, forms, required codes and a few invariants.

Not judged: profiles, FHIRPath invariants beyond those below, extensible bindings, whether a code exists.
Source  R4 StructureDefinitions (definitions.py); docs/adr/0004-fhir-validation.md says why a table.
"""

import re
from typing import Any

from xinglin.base.limits import JSON_DEPTH_MAX
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir.definitions import Element, Type, resource_types, type_named
from xinglin.holder.fhir.primitives import FORMS
from xinglin.holder.fhir.problem import Problem

PROBLEMS_PER_RESOURCE_MAX = 20   # after that a person knows enough
ELEMENT_CHARS_MAX = 200          # of a path in the report

# Answers and questions of a server, not content: nothing that could be a record.
NOT_IMPORTED = frozenset({"Bundle", "OperationOutcome", "Parameters"})

_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}").fullmatch
_id = re.compile(r"[A-Za-z0-9.-]{1,64}").fullmatch
_relative = re.compile(r"([A-Z][A-Za-z]{1,63})/[A-Za-z0-9.-]{1,64}(?:/_history/[A-Za-z0-9.-]{1,64})?").fullmatch
_conditional = re.compile(r"([A-Z][A-Za-z]{1,63})\?[^\s]+").fullmatch
_absolute = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:[^\s]+").fullmatch
_fragment = re.compile(r"#[A-Za-z0-9.-]{0,64}").fullmatch


def validate(resource: Any, *, file: str = "", where: str = "") -> list[Problem]:
    """All that is wrong with a resource, at most 20 problems; none means it may be imported."""
    if type(resource) is not dict:
        return [Problem(HolderCode.ELEMENT_NOT_AN_OBJECT, file, where, detail="a resource is an object")]
    kind = resource.get("resourceType")
    if type(kind) is not str or kind not in resource_types():
        return [Problem(HolderCode.RESOURCE_TYPE_NOT_KNOWN, file, where, element="resourceType",
                        detail="not a resource type of FHIR R4")]
    name = shown(resource)
    if kind in NOT_IMPORTED:
        return [Problem(HolderCode.RESOURCE_TYPE_NOT_IMPORTED, file, where, name, detail=kind)]
    walk = _Walk(resource)
    walk.object(resource, type_named(kind), kind, 1)
    return [Problem(code, file, where, name, path[:ELEMENT_CHARS_MAX], detail)
            for code, path, detail in walk.found[:PROBLEMS_PER_RESOURCE_MAX]]


def shown(resource: dict[str, Any]) -> str:
    """"Observation/abc" for a report; an id of a wrong form may be anything, so it is left out."""
    kind, own = resource.get("resourceType"), resource.get("id")
    if type(kind) is not str or not _name(kind):
        return ""
    return f"{kind}/{own}" if type(own) is str and _id(own) else kind


class _Walk:
    """One pass over a resource, collecting (code, FHIRPath, detail)."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.found: list[tuple[HolderCode, str, str]] = []
        inner = root.get("contained")
        self.contained = {c.get("id") for c in inner if type(c) is dict and type(c.get("id")) is str} \
            if type(inner) is list else set()

    def say(self, code: HolderCode, path: str, detail: str = "") -> None:
        if len(self.found) < PROBLEMS_PER_RESOURCE_MAX:
            self.found.append((code, path, detail))

    def object(self, value: Any, kind: Type, path: str, depth: int) -> None:
        """One element that has elements of its own."""
        if type(value) is not dict:
            return self.say(HolderCode.ELEMENT_NOT_AN_OBJECT, path, kind.name)
        if not value:
            return self.say(HolderCode.ELEMENT_EMPTY, path)
        if depth > JSON_DEPTH_MAX:
            return self.say(HolderCode.JSON_TOO_DEEP, path)
        elements = kind.elements
        choices: set[str] = set()
        for key, child in value.items():
            element = elements.get(key)
            if element is None:
                if key != "resourceType" or not kind.resource:
                    self._unlisted(key, child, value, kind, path, depth)
                continue
            if element.choice:
                if element.choice in choices:
                    self.say(HolderCode.CHOICE_TWICE, f"{path}.{element.choice}")
                choices.add(element.choice)
            if not element.many:
                if type(child) is list:
                    self.say(HolderCode.ELEMENT_NOT_SINGLE, f"{path}.{key}")
                else:
                    self._one(child, element, path, key, depth)
            elif type(child) is not list:
                self.say(HolderCode.ELEMENT_NOT_AN_ARRAY, f"{path}.{key}")
            elif not child:
                self.say(HolderCode.ELEMENT_EMPTY, f"{path}.{key}")
            else:
                beside = value.get("_" + key) if element.primitive else None
                for index, item in enumerate(child):
                    if item is None and type(beside) is list and index < len(beside) and beside[index] is not None:
                        continue   # the value is absent, its extension stands beside it
                    self._one(item, element, path, f"{key}[{index}]", depth)
        for name, keys in kind.required:
            if not any(key in value or "_" + key in value for key in keys):
                self.say(HolderCode.ELEMENT_MISSING, f"{path}.{name}")
        rule = _RULES.get(kind.name)
        if rule is not None:
            rule(self, value, path)

    def _one(self, value: Any, element: Element, path: str, key: str, depth: int) -> None:
        kind = element.type
        if element.primitive:
            if not FORMS[kind](value):
                self.say(HolderCode.VALUE_FORM_NOT_VALID, f"{path}.{key}", kind)
            elif element.allowed and value not in element.allowed:
                self.say(HolderCode.CODE_NOT_IN_VALUE_SET, f"{path}.{key}")
            return
        here = f"{path}.{key}"
        if kind == "Resource":
            self._contained(value, here, depth)
            return
        self.object(value, type_named(kind), here, depth + 1)
        if type(value) is not dict:
            return
        if kind == "Reference":
            self._reference(value, element, here)
        elif element.codes and kind in ("CodeableConcept", "Coding"):
            self._bound(value, element, here)

    def _unlisted(self, key: str, child: Any, value: dict[str, Any], kind: Type, path: str, depth: int) -> None:
        """"_birthDate": id and extensions of a primitive; anything else does not belong here."""
        element = kind.elements.get(key[1:]) if key.startswith("_") else None
        if element is None or not element.primitive:
            name = key if _name(key) else "?"    # a key may be anything, a name of a person too
            return self.say(HolderCode.ELEMENT_NOT_KNOWN, f"{path}.{name}", kind.name)
        here = f"{path}.{key[1:]}"
        if not element.many:
            return self.object(child, type_named("Element"), here, depth + 1)
        if type(child) is not list or not child:
            return self.say(HolderCode.ELEMENT_NOT_AN_ARRAY, here)
        values = value.get(key[1:])
        if type(values) is list and len(values) != len(child):
            self.say(HolderCode.VALUE_FORM_NOT_VALID, here, "as many extensions as values")
        for index, item in enumerate(child):
            if item is not None:
                self.object(item, type_named("Element"), f"{here}[{index}]", depth + 1)

    def _contained(self, value: Any, path: str, depth: int) -> None:
        kind = value.get("resourceType") if type(value) is dict else None
        if type(kind) is not str or kind not in resource_types():
            return self.say(HolderCode.RESOURCE_TYPE_NOT_KNOWN, path, "not a resource type of FHIR R4")
        if "contained" in value:
            self.say(HolderCode.CONTAINED_NOT_VALID, path, "contains again (dom-2)")
        if "id" not in value:
            self.say(HolderCode.CONTAINED_NOT_VALID, path, "has no id")
        self.object(value, type_named(kind), path, depth + 1)

    def _bound(self, value: dict[str, Any], element: Element, path: str) -> None:
        """A required binding: of the systems it names, only its codes."""
        codings = value.get("coding", ()) if element.type == "CodeableConcept" else (value,)
        for coding in codings if type(codings) in (list, tuple) else ():
            system, code = (coding.get("system"), coding.get("code")) if type(coding) is dict else (None, None)
            if type(system) is str and system in element.codes and type(code) is str \
                    and code not in element.codes[system]:
                self.say(HolderCode.CODE_NOT_IN_VALUE_SET, path)

    def _reference(self, value: dict[str, Any], element: Element, path: str) -> None:
        reference = value.get("reference")
        if type(reference) is not str:
            return
        if reference.startswith("#"):
            if not _fragment(reference):
                self.say(HolderCode.REFERENCE_NOT_VALID, path, "reference")
            elif reference != "#" and reference[1:] not in self.contained:
                self.say(HolderCode.CONTAINED_NOT_FOUND, path, "nothing contained has this id (ref-1)")
            return
        named = _relative(reference) or _conditional(reference)
        if named is None:
            if not _absolute(reference):
                self.say(HolderCode.REFERENCE_NOT_VALID, path, "Type/id, Type?query, #id or an absolute URL")
        elif named[1] not in resource_types():
            self.say(HolderCode.REFERENCE_NOT_VALID, path, "not a resource type of FHIR R4")
        elif element.targets and named[1] not in element.targets:
            self.say(HolderCode.REFERENCE_TARGET_NOT_ALLOWED, path, f"{named[1]} is not allowed here")


# -- invariants of R4 that catch real faults

def _period(walk: _Walk, value: dict[str, Any], path: str) -> None:
    start, end = value.get("start"), value.get("end")
    if type(start) is not str or type(end) is not str:
        return
    # Text order is time order only for the same precision and offset.
    same = len(start) == len(end) and start[19:] == end[19:]
    if same and start > end:
        walk.say(HolderCode.PERIOD_ENDS_BEFORE_START, path, "per-1")


def _extension(walk: _Walk, value: dict[str, Any], path: str) -> None:
    if "extension" in value and any(key.startswith("value") for key in value):
        walk.say(HolderCode.RULE_BROKEN, path, "a value or extensions, not both (ext-1)")


def _quantity(walk: _Walk, value: dict[str, Any], path: str) -> None:
    if "code" in value and "system" not in value:
        walk.say(HolderCode.RULE_BROKEN, path, "a code needs its system (qty-3)")


def _attachment(walk: _Walk, value: dict[str, Any], path: str) -> None:
    if "data" in value and "contentType" not in value:
        walk.say(HolderCode.RULE_BROKEN, path, "data needs a content type (att-1)")


def _observation(walk: _Walk, value: dict[str, Any], path: str) -> None:
    if "dataAbsentReason" in value and any(k.startswith(("value", "_value")) for k in value):
        walk.say(HolderCode.RULE_BROKEN, path, "a value or the reason why it is absent (obs-6)")


_RULES = {
    "Period": _period, "Extension": _extension, "Quantity": _quantity, "Attachment": _attachment,
    "Observation": _observation, "Observation.component": _observation,
}
