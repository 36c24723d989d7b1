"""FHIR R4 (4.0.1) as a table: types, elements, cardinality, required codes, allowed reference targets.

The table `r4.json.xz` is derived from HL7's own StructureDefinition, ValueSet and CodeSystem resources
(npm package hl7.fhir.r4.examples 4.0.1, CC0-1.0): python -m xinglin.holder.fhir.definitions FOLDER
"""

import functools
import json
import lzma
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("r4.json.xz")
DEFINITION = "http://hl7.org/fhir/StructureDefinition/"
STRING = "http://hl7.org/fhirpath/System.String"

Codes = frozenset[str]


@dataclass(frozen=True, slots=True)
class Element:
    """One JSON key of a type; a choice (value[x]) has one for each type it may take."""

    type: str                      # "dateTime", "CodeableConcept", "Observation.component"
    many: bool
    primitive: bool
    choice: str                    # "value[x]", or "" where there is no choice
    codes: dict[str, Codes]        # of a required binding, by system; empty: any code
    allowed: Codes                 # the same without their systems
    targets: Codes                 # types that a Reference may name; empty: any


@dataclass(frozen=True, slots=True)
class Type:
    name: str
    resource: bool
    elements: dict[str, Element]
    required: tuple[tuple[str, tuple[str, ...]], ...]   # (name in the definition, keys that do)


@functools.cache
def resource_types() -> Codes:
    """Names of all concrete R4 resource types."""
    return frozenset(name for name, row in _table()["types"].items() if row["resource"])


@functools.cache
def type_named(name: str) -> Type:
    """The type called `name`: a resource, a data type or a backbone such as "Patient.contact"."""
    table = _table()
    row = table["types"][name]
    elements: dict[str, Element] = {}
    required: list[tuple[str, tuple[str, ...]]] = []
    for shown, least, many, kinds, binding, targets in row["elements"]:
        codes = {s: frozenset(c) for s, c in table["sets"].get(binding, {}).items()}
        choice = shown if shown.endswith("[x]") else ""
        stem = shown.removesuffix("[x]")
        keys = tuple(stem + (kind[0].upper() + kind[1:] if choice else "") for kind in kinds)
        for key, kind in zip(keys, kinds, strict=True):
            elements[key] = Element(kind, bool(many), kind[0].islower(), choice, codes,
                                    frozenset().union(*codes.values()), frozenset(targets))
        if least:
            required.append((shown, keys))
    return Type(name, row["resource"], elements, tuple(required))


@functools.cache
def _table() -> Any:
    return json.loads(lzma.decompress(TABLE.read_bytes()))


# -- deriving the table

def derive(folder: Path) -> bytes:
    """The table from a folder of HL7's definitions, as the bytes of `r4.json.xz`."""
    sets = _ValueSets(folder)
    types: dict[str, Any] = {}
    for path in sorted(folder.glob("StructureDefinition-*.json")):
        definition = json.loads(path.read_bytes())
        kind = definition["kind"]
        if definition.get("derivation") == "constraint" or kind not in ("resource", "complex-type"):
            continue
        elements = definition["snapshot"]["element"]
        parents = _parents(elements)
        for parent in parents:
            concrete = kind == "resource" and not definition.get("abstract") and parent == definition["type"]
            types[parent] = {"resource": concrete, "elements": []}
        for element in elements[1:]:
            parent, _, name = element["path"].rpartition(".")
            if element["max"] != "0":
                owner = definition["type"] if kind == "resource" else ""
                types[parent]["elements"].append(_row(element, name, parent, parents, sets, owner))
    table = {"fhir": "4.0.1", "types": types, "sets": dict(sorted(sets.used.items()))}
    text = json.dumps(table, separators=(",", ":"), sort_keys=True)
    return lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)


def _parents(elements: list[dict[str, Any]]) -> set[str]:
    return {element["path"].rpartition(".")[0] for element in elements[1:]} | {elements[0]["path"]}


def _row(element: dict[str, Any], name: str, parent: str, parents: set[str],
         sets: "_ValueSets", resource: str) -> list[Any]:
    if element["path"] in parents and "." in element["path"]:
        kinds = [element["path"]]
    elif "contentReference" in element:
        kinds = [element["contentReference"].removeprefix("#")]
    else:
        kinds = [_kind(kind) for kind in element["type"]]
    if name == "id" and parent == resource:
        kinds = ["id"]     # the definition says string, its text and every server say id
    targets = sorted({target.removeprefix(DEFINITION) for kind in element.get("type", ())
                      for target in kind.get("targetProfile", ())} - {"Resource"})
    binding = element.get("binding", {})
    bound = sets.use(binding["valueSet"]) if binding.get("strength") == "required" else ""
    return [name, element["min"], element["max"] != "1", kinds, bound, targets]


def _kind(kind: dict[str, Any]) -> str:
    if not kind["code"].startswith("http"):
        return str(kind["code"])
    said = [e.get("valueUrl", e.get("valueUri")) for e in kind.get("extension", ())]
    return str(said[0]) if said else "string"


class _ValueSets:
    """Required value sets that can be listed; the others (languages, MIME types, UCUM) bind nothing here."""

    def __init__(self, folder: Path) -> None:
        self._sets = self._load(folder.glob("ValueSet-*.json"))
        self._systems = self._load(folder.glob("CodeSystem-*.json"))
        self.used: dict[str, dict[str, list[str]]] = {}

    @staticmethod
    def _load(paths: Iterable[Path]) -> dict[str, Any]:
        read = (json.loads(path.read_bytes()) for path in sorted(paths))
        return {found["url"]: found for found in read}

    def use(self, url: str) -> str:
        name = url.partition("|")[0]
        listed = self._expand(name)
        if listed is None:
            return ""
        found: dict[str, list[str]] = {}
        for system, code in sorted(listed):
            found.setdefault(system, []).append(code)
        self.used[name] = found
        return name

    def _expand(self, url: str) -> set[tuple[str, str]] | None:
        compose = self._sets.get(url, {}).get("compose")
        if compose is None or "exclude" in compose:
            return None
        found: set[tuple[str, str]] = set()
        for part in compose["include"]:
            codes = self._codes(part)
            nested = [self._expand(inner) for inner in part.get("valueSet", ())]
            if codes is None or None in nested:
                return None
            found = found.union(codes, *(inner for inner in nested if inner))
        return found

    def _codes(self, part: dict[str, Any]) -> set[tuple[str, str]] | None:
        if "filter" in part:
            return None
        if "system" not in part:
            return set()
        if "concept" in part:
            return {(part["system"], concept["code"]) for concept in part["concept"]}
        system = self._systems.get(part["system"], {})
        if system.get("content") != "complete":
            return None
        return {(part["system"], code) for code in _flat(system["concept"])}


def _flat(concepts: list[dict[str, Any]]) -> Iterable[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _flat(concept.get("concept", []))


if __name__ == "__main__":
    TABLE.write_bytes(derive(Path(sys.argv[1])))
