"""Small FHIR charts, and what in them a grant opens: written down beside each record, not looked up in the product."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from xinglin.holder.fhir import Source
from xinglin.sim.chance import Chance

PSYCHIATRIC = "http://terminology.hl7.org/CodeSystem/v3-ActCode|PSY"
RESTRICTED = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R"
LABORATORY = "http://terminology.hl7.org/CodeSystem/observation-category"

KINDS = (("Observation", ""), ("Observation", ""), ("DocumentReference", ""), ("DocumentReference", PSYCHIATRIC),
         ("Observation", RESTRICTED))
CLASSES = {"Patient": ("Patient",), "DocumentReference": ("DocumentReference",),
           "Observation": ("Observation", "laboratory", "Observation/laboratory")}
SCOPES = (("laboratory",), ("DocumentReference",), ("laboratory", "DocumentReference"), ("Patient", "Observation"),
          ("Patient", "DocumentReference", "Observation/laboratory"), ("Immunization",))
SCOPES_WIDE = ("Patient", "Observation", "DocumentReference")


@dataclass
class Entry:
    """One record as it came last: what it says of itself, and its label."""

    kind: str
    label: str
    version: int = 1

    def words(self, own: str) -> str:
        """What the record says; nothing else in the network says it."""
        return f"{own} version {self.version}"


@dataclass
class Chart:
    """One patient's records at one hospital, by their own ids there."""

    name: str
    entries: dict[str, Entry] = field(default_factory=dict)
    batches: int = 0               # on the ledger when it was so

    @classmethod
    def drawn(cls, name: str, chance: Chance) -> "Chart":
        chart = cls(name, {name: Entry("Patient", "")})
        for _ in range(1 + chance.below(4)):
            chart.add(chance)
        return chart

    def add(self, chance: Chance) -> str:
        own = f"{self.name}-{len(self.entries)}"
        self.entries[own] = Entry(*chance.one_of(KINDS))
        return own

    def copy(self) -> "Chart":
        return Chart(self.name, {own: Entry(one.kind, one.label, one.version) for own, one in self.entries.items()})

    def sources(self, some: Sequence[str]) -> list[Source]:
        return [Source("chart.json", own, "", "", self._resource(own)) for own in dict.fromkeys((self.name, *some))]

    def _resource(self, own: str) -> dict[str, Any]:
        entry = self.entries[own]
        words = {"text": entry.words(own)}
        system, _, code = entry.label.partition("|")
        label = {"meta": {"security": [{"system": system, "code": code}]}} if entry.label else {}
        named = {"resourceType": entry.kind, "id": own, **label}
        about = {"subject": {"reference": f"Patient/{self.name}"}}
        match entry.kind:
            case "Patient":
                return {**named, "name": [words], "birthDate": "1971-02-03"}
            case "Observation":
                return {**named, **about, "status": "final", "code": words, "valueString": words["text"],
                        "category": [{"coding": [{"system": LABORATORY, "code": "laboratory"}]}]}
            case _:
                return {**named, **about, "status": "current", "description": words["text"],
                        "content": [{"attachment": {"contentType": "text/plain", "data": "c2xlZXBz"}}]}


def words_of(resource: dict[str, Any]) -> str:
    """What a released resource says of itself."""
    match resource["resourceType"]:
        case "Patient":
            return str(resource["name"][0]["text"])
        case "Observation":
            return str(resource["valueString"])
        case _:
            return str(resource["description"])
