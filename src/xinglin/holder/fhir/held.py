"""A checked source as it is held until the whole import is known: compact bytes, and what they say of others."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from xinglin.base import codec
from xinglin.base.check import NotUnderstood
from xinglin.holder.fhir import json_text
from xinglin.holder.fhir.card import PatientCard, card_of
from xinglin.holder.fhir.head import Head, head_of
from xinglin.holder.fhir.owner import DIRECTORY, patient_references
from xinglin.holder.fhir.read import Source
from xinglin.holder.fhir.validate import shown

# In compact JSON a quote inside a string is always escaped, so these bytes are a key and its value.
REFERENCE = re.compile(rb'"(reference|url|valueUri|valueUrl)":"([^"\\]+)"')


class Known(NamedTuple):
    """What an earlier import keeps, under the owner's key, of a resource of the source."""

    id: bytes             # 16 random bytes
    version: int          # the newest
    fingerprint: bytes    # of that version's source
    labels: tuple[str, ...] = ()     # of that version


@dataclass(slots=True)
class Held:
    """A checked source, as bytes; what follows the id is rewritten only when it is planned."""

    kind: str
    key: str
    full_url: str
    tail: bytes               # compact JSON after {"resourceType":..,"id":..
    head: Head
    fingerprint: bytes
    references: tuple[str, ...]
    patients: tuple[str, ...]      # references that say whom it is about
    source_version: str
    condition: str                 # of a conditional create
    file: str
    where: str
    bundle: str
    labels: set[str]               # its own, and of the bundle that brought it; after _spread_labels all
    sections: tuple[str, ...]      # of a Composition: the entries that its labels are for
    card: PatientCard | None       # of a Patient
    owner: str | None = None
    id: bytes = b""
    version: int = 1
    changed: bool = True
    known: Known | None = None
    goes_with_users: bool = False  # names nobody: a part of what uses it, as the content of a document is

    @property
    def scope(self) -> tuple[str, str]:
        return self.file, self.bundle

    @property
    def shown(self) -> str:
        """For a report."""
        return shown({"resourceType": self.kind, "id": self.key.partition("/")[2]})


def set_down(source: Source) -> tuple[Held, bytes]:
    """A source that `validate` found nothing against, and the bytes that its fingerprint is of."""
    resource: dict[str, Any] = source.resource
    body = json_text.write_sorted(resource)
    fingerprint = hashlib.sha256(body).digest()
    kind, key = resource["resourceType"], _key(source, fingerprint)
    tail, head = _tail(resource), head_of(resource, "", 1)
    return Held(
        kind=kind, key=key, full_url=source.full_url, tail=tail, head=head, fingerprint=fingerprint,
        references=tuple(dict.fromkeys(value.decode() for _, value in REFERENCE.findall(tail))),
        patients=tuple(patient_references(resource)), source_version=resource.get("meta", {}).get("versionId", ""),
        condition=source.if_none_exist, file=source.file, where=source.where, bundle=source.bundle,
        labels={*head.labels} if kind in DIRECTORY else {*head.labels, *source.labels},
        sections=_sections(resource) if kind == "Composition" else (),
        card=card_of(resource, key) if kind == "Patient" else None), body


def decodes(value: Head | PatientCard | None) -> bool:
    """Whether it can be read again once it is stored."""
    try:
        return value is None or codec.decode(codec.encode(value), type(value)) == value
    except NotUnderstood:
        return False


def elements(held: Held) -> dict[str, str]:
    """reference -> the FHIRPath where it stands first."""
    found: dict[str, str] = {}
    todo: list[tuple[str, Any]] = [(held.kind, json_text.parse(b"{" + held.tail[1:]))]
    while todo:
        path, value = todo.pop()
        if type(value) is dict:
            if type(value.get("reference")) is str:
                found.setdefault(value["reference"], path)
            todo += [(f"{path}.{key}", part) for key, part in reversed(value.items())]
        elif type(value) is list:
            todo += [(f"{path}[{i}]", part) for i, part in reversed(list(enumerate(value)))]
    return found


def _key(source: Source, fingerprint: bytes) -> str:
    """The source's name for a resource: its id, else its fullUrl, else its content."""
    kind, own = source.resource["resourceType"], source.resource.get("id")
    if own is None and source.full_url.startswith("urn:uuid:"):
        own = source.full_url.removeprefix("urn:uuid:")
    return f"{kind}/{own}" if own is not None else f"{kind}/~{fingerprint[:16].hex()}"


def _tail(resource: dict[str, Any]) -> bytes:
    body = json_text.write({key: value for key, value in resource.items() if key not in ("resourceType", "id")})
    return b"," + body[1:] if body != b"{}" else b"}"


def _sections(composition: dict[str, Any]) -> tuple[str, ...]:
    """What the sections of a composition are made of."""
    found: list[str] = []
    todo = list(composition.get("section", ()))
    while todo:
        section = todo.pop()
        todo += section.get("section", ())
        found += [entry["reference"] for entry in section.get("entry", ()) if "reference" in entry]
    return tuple(found)
