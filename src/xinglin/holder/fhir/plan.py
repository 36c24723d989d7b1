"""Sources to batches: one per patient and one for the directory, with our ids and rewritten references.

First every source is checked and set down as compact bytes; then owners are found; only when a batch is
walked are references rewritten, one record at a time. Pure: what is known from earlier imports, and new
ids, come in as functions.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from xinglin.base.limits import REPORT_PROBLEMS_MAX, RESOURCE_BYTES_MAX, SOURCE_RESOURCES_MAX
from xinglin.base.units import Count
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir import json_text
from xinglin.holder.fhir.head import CODE_CHARS_MAX, HEAD_LABELS_MAX, Head, head_of
from xinglin.holder.fhir.owner import DIRECTORY, SHARED, patient_references
from xinglin.holder.fhir.problem import Problem, Severity
from xinglin.holder.fhir.read import Source
from xinglin.holder.fhir.validate import shown, validate

# In compact JSON a quote inside a string is always escaped, so these bytes are a key and its value.
_reference = re.compile(rb'"(reference|url|valueUri|valueUrl)":"([^"\\]+)"')
_literal = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/([A-Za-z0-9.-]{1,64}))?").fullmatch
_conditional = re.compile(r"([A-Z][A-Za-z]+)\?identifier=([^|&]*)\|([^|&]+)").fullmatch

DIRECTORY_OWNER = ""


class Known(NamedTuple):
    """What an earlier import keeps, under the owner's key, of a resource of the source."""

    id: bytes             # 16 random bytes
    version: int          # the newest
    fingerprint: bytes    # of that version's source


# (owner, "Type/id" of the source) -> the resource we made of it
KnownByKey = Callable[[str, str], Known | None]
# (type, system, value) -> a directory resource or a patient: (owner, what we made of it)
KnownByIdentifier = Callable[[str, str, str], tuple[str, Known] | None]


@dataclass(frozen=True, slots=True)
class Planned:
    """One record to be: a new resource, or a new version of one."""

    resource_type: str
    id: bytes               # ours; as FHIR id its hex
    version: Count
    source_key: str         # "Observation/abc", as the source calls it
    head: Head
    rest: bytes             # the whole resource, compact JSON, references rewritten
    fingerprint: bytes      # of the source; personal, so it is kept under the owner's key
    file: str
    where: str


@dataclass(slots=True)
class _Held:
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
    owner: str | None = None
    id: bytes = b""
    version: int = 1
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one owner, in the order of the source. Walk it once or often: it holds bytes."""

    owner: str                   # "Patient/x" of the source, or "" for the directory
    _held: Sequence[_Held]
    _plan: "_Planner"

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Planned]:
        return (self._plan.planned(held) for held in self._held)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import would do. With errors nothing is imported, unless the caller says to go on."""

    directory: Batch
    patients: tuple[Batch, ...]
    unchanged: int               # of earlier imports, or twice in this one
    errors: tuple[Problem, ...]      # the first of them; their resources are in no batch
    warnings: tuple[Problem, ...]    # the first of them
    error_count: int
    warning_count: int

    def __len__(self) -> int:
        return len(self.directory) + sum(len(batch) for batch in self.patients)


def plan(items: Iterable[Source | Problem], *, known: KnownByKey, identified: KnownByIdentifier,
         new_id: Callable[[], bytes]) -> Plan:
    """Check all sources, group them by patient, mint ids. `items` is what read_folder yields."""
    planner = _Planner(known, identified, new_id)
    for item in items:
        if isinstance(item, Problem):
            planner.report(item)
        else:
            planner.hold(item)
    return planner.finish()


@dataclass(slots=True)
class _Planner:
    known: KnownByKey
    identified: KnownByIdentifier
    new_id: Callable[[], bytes]
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    error_count: int = 0
    warning_count: int = 0
    held: dict[str, _Held] = field(default_factory=dict)
    by_url: dict[str, _Held] = field(default_factory=dict)
    by_identifier: dict[tuple[str, str, str], _Held | None] = field(default_factory=dict)  # None: ambiguous
    unchanged: int = 0

    # -- one source at a time

    def hold(self, source: Source) -> None:
        found = validate(source.resource, file=source.file, where=source.where)
        for problem in found:
            self.report(problem)
        if found:
            return
        resource: dict[str, Any] = source.resource
        body = json_text.write_sorted(resource)
        fingerprint = hashlib.sha256(body).digest()
        key = _key(source, fingerprint)
        head = head_of(resource, "", 1)
        held = _Held(
            kind=resource["resourceType"], key=key, full_url=source.full_url, tail=_tail(resource), head=head,
            fingerprint=fingerprint, references=(), patients=tuple(patient_references(resource)),
            source_version=resource.get("meta", {}).get("versionId", ""), condition=source.if_none_exist,
            file=source.file, where=source.where)
        held.references = tuple(dict.fromkeys(
            value.decode() for _, value in _reference.findall(held.tail)))
        if self._fits(held, body) and self._is_first(held):
            self.held[key] = held
            if held.full_url:
                self.by_url[held.full_url] = held
            self._index_identifiers(resource, held)

    def _fits(self, held: _Held, body: bytes) -> bool:
        if len(body) > RESOURCE_BYTES_MAX:
            self._error(HolderCode.RESOURCE_TOO_LARGE, held, f"{RESOURCE_BYTES_MAX} bytes")
        elif len(held.head.labels) > HEAD_LABELS_MAX or any(len(c) > CODE_CHARS_MAX for c in held.head.labels):
            self._error(HolderCode.TOO_MANY_LABELS, held, f"{HEAD_LABELS_MAX} of {CODE_CHARS_MAX} characters")
        elif len(self.held) >= SOURCE_RESOURCES_MAX:
            self._error(HolderCode.TOO_MANY_RESOURCES, held, f"{SOURCE_RESOURCES_MAX}")
        else:
            return True
        return False

    def _is_first(self, held: _Held) -> bool:
        """The same content twice counts once; another content under the same id is an error."""
        first = self.held.get(held.key)
        other = self.by_url.get(held.full_url) if held.full_url else None
        if first is None and (other is None or other.key == held.key):
            return True
        if first is not None and first.fingerprint == held.fingerprint:
            self.unchanged += 1
            if held.full_url:
                self.by_url.setdefault(held.full_url, first)
            return False
        self._error(HolderCode.RESOURCE_TWICE, held, "another resource of this import has the same id")
        return False

    def _index_identifiers(self, resource: dict[str, Any], held: _Held) -> None:
        if held.kind not in DIRECTORY and held.kind != "Patient":
            return
        identifiers = resource.get("identifier", ())
        for identifier in identifiers if type(identifiers) is list else (identifiers,):
            if type(identifier) is dict and "value" in identifier:
                name = (held.kind, identifier.get("system", ""), identifier["value"])
                self.by_identifier[name] = None if self.by_identifier.get(name, held) is not held else held

    # -- owners

    def finish(self) -> Plan:
        self._find_owners()
        batches: dict[str, list[_Held]] = {}
        for held in self.held.values():
            if held.owner is not None:
                self._compare(held, held.owner)
                if held.changed:
                    batches.setdefault(held.owner, []).append(held)
                else:
                    self.unchanged += 1
        for held in self.held.values():
            if held.owner is not None and held.changed:
                self._warn(held)
        directory = Batch(DIRECTORY_OWNER, batches.pop(DIRECTORY_OWNER, []), self)
        patients = tuple(Batch(owner, sorted(members, key=lambda held: held.kind != "Patient"), self)
                         for owner, members in batches.items())
        return Plan(directory, patients, self.unchanged, tuple(self.errors), tuple(self.warnings),
                    self.error_count, self.warning_count)

    def _find_owners(self) -> None:
        waiting = []
        for held in self.held.values():
            owners = self._named_owners(held)
            if held.kind in DIRECTORY and not owners:
                held.owner = DIRECTORY_OWNER
            elif held.kind in DIRECTORY:
                self._error(HolderCode.DIRECTORY_NAMES_PATIENT, held)
            elif len(owners) > 1:
                self._error(HolderCode.BELONGS_TO_SEVERAL_PATIENTS, held)
            elif owners:
                held.owner = owners.pop()
            elif held.kind != "Provenance" and any(map(self._names_nobody, held.patients)):
                self._error(HolderCode.PATIENT_NOT_KNOWN, held, "names no patient that is in the import or known")
            else:
                waiting.append(held)
        self._follow(waiting)

    def _named_owners(self, held: _Held) -> set[str]:
        """Patients that the resource itself names; for the directory those that it names anywhere."""
        if held.kind == "Patient":
            return {held.key}
        references = held.references if held.kind in DIRECTORY else held.patients
        return {owner for owner in map(self._patient_named, references) if owner}

    def _patient_named(self, reference: str) -> str:
        """The owner's name for a reference to a patient, "" for a reference to anything else."""
        target = self._in_import(reference)
        if target is not None:
            return target.key if target.kind == "Patient" else ""
        literal, conditional = _literal(reference), _conditional(reference)
        if literal and literal[1] == "Patient":
            return f"Patient/{literal[2]}"
        if conditional and conditional[1] == "Patient":
            found = self.identified(conditional[1], conditional[2], conditional[3])
            return found[0] if found else ""
        return ""

    def _names_nobody(self, reference: str) -> bool:
        """It may mean a patient whom we cannot find: then no other patient may be taken for that one."""
        named = _literal(reference) or _conditional(reference)
        return self._in_import(reference) is None and (named is None or named[1] == "Patient")

    def _follow(self, waiting: list[_Held]) -> None:
        """Whoever names no patient goes with what uses it, then with what it uses, then with its file."""
        users: dict[str, list[_Held]] = {}
        for held in self.held.values():
            for reference in held.references:
                target = self._in_import(reference)
                if target is not None and target is not held:
                    users.setdefault(target.key, []).append(held)
        alone = self._only_patients()
        while waiting:
            found = [(held, owners) for held in waiting if (owners := self._followed(held, users))]
            if not found:
                break
            for held, owners in found:
                self._settle(held, owners)
            placed = {held.key for held, _ in found}
            waiting = [held for held in waiting if held.key not in placed]
        for held in waiting:
            if held.file in alone and not held.patients:
                held.owner = alone[held.file]
            elif held.kind in SHARED or (held.kind == "Provenance" and self._targets_directory(held)):
                held.owner = DIRECTORY_OWNER
            else:
                self._error(HolderCode.PATIENT_NOT_KNOWN, held, "names no patient that is in the import or known")

    def _followed(self, held: _Held, users: dict[str, list[_Held]]) -> set[str]:
        by_users = {user.owner for user in users.get(held.key, ()) if user.owner}
        if by_users:
            return by_users
        used = held.patients if held.kind == "Provenance" else held.references
        targets = (self._in_import(reference) for reference in used)
        return {target.owner for target in targets if target is not None and target.owner}

    def _settle(self, held: _Held, owners: set[str]) -> None:
        if len(owners) == 1:
            held.owner = owners.pop()
        elif held.kind in SHARED:
            held.owner = DIRECTORY_OWNER
        else:
            self._error(HolderCode.BELONGS_TO_SEVERAL_PATIENTS, held)

    def _targets_directory(self, held: _Held) -> bool:
        targets = [self._in_import(reference) for reference in held.patients]
        return bool(targets) and all(t is not None and t.owner == DIRECTORY_OWNER for t in targets)

    def _only_patients(self) -> dict[str, str]:
        """file -> its one patient, for a bundle about one person."""
        found: dict[str, set[str]] = {}
        for held in self.held.values():
            if held.kind == "Patient":
                found.setdefault(held.file, set()).add(held.key)
        return {file: keys.pop() for file, keys in found.items() if len(keys) == 1}

    def _compare(self, held: _Held, owner: str) -> None:
        """Against earlier imports: the same source is skipped, another content is the next version."""
        known = self.known(owner, held.key)
        if known is None:
            held.id = self.new_id()
            self._create_conditionally(held, owner)
            return
        held.id, held.version = known.id, known.version
        held.changed = known.fingerprint != held.fingerprint
        if held.changed:
            held.version += 1

    def _create_conditionally(self, held: _Held, owner: str) -> None:
        """ifNoneExist: where the directory has one already, that one stands and nothing is written."""
        condition = _conditional(f"{held.kind}?{held.condition}")
        if owner == DIRECTORY_OWNER and condition:
            found = self.identified(held.kind, condition[2], condition[3])
            if found is not None and found[0] == DIRECTORY_OWNER:
                held.id, held.version, held.changed = found[1].id, found[1].version, False

    # -- references

    def _in_import(self, reference: str) -> _Held | None:
        found = self.by_url.get(reference)
        if found is not None:
            return found
        literal = _literal(reference)
        if literal:
            return self.held.get(f"{literal[1]}/{literal[2]}")
        conditional = _conditional(reference)
        if conditional:
            return self.by_identifier.get((conditional[1], conditional[2], conditional[3]))
        return None

    def _target(self, reference: str, owner: str) -> tuple[str, str, int | None] | HolderCode | None:
        """(type, our id, version or None) of what is referred to, why it stays, or None for outside things."""
        literal = _literal(reference)
        asked = literal[3] if literal else None
        held = self._in_import(reference)
        if held is not None and held.owner is not None:
            if held.owner not in (DIRECTORY_OWNER, owner):
                return HolderCode.REFERENCE_LEAVES_PATIENT
            if asked and asked != held.source_version:
                return HolderCode.VERSION_NOT_RESOLVED
            return held.kind, held.id.hex(), held.version if asked else None
        if literal:
            earlier = self._earlier(literal[1], f"{literal[1]}/{literal[2]}", owner)
            if earlier is None:
                return HolderCode.REFERENCE_NOT_RESOLVED
            return HolderCode.VERSION_NOT_RESOLVED if asked else (literal[1], earlier.id.hex(), None)
        conditional = _conditional(reference)
        if conditional:
            found = self.identified(conditional[1], conditional[2], conditional[3])
            if found is None:
                return HolderCode.REFERENCE_NOT_RESOLVED
            if found[0] not in (DIRECTORY_OWNER, owner):
                return HolderCode.REFERENCE_LEAVES_PATIENT
            return conditional[1], found[1].id.hex(), None
        if reference.startswith("urn:uuid:") or "?" in reference.partition(":")[0]:
            return HolderCode.REFERENCE_NOT_RESOLVED
        return None

    def _earlier(self, kind: str, key: str, owner: str) -> Known | None:
        return (self.known(owner, key) if owner else None) or self.known(DIRECTORY_OWNER, key)

    def _warn(self, held: _Held) -> None:
        """Say which references stay as the source wrote them."""
        owner = held.owner or DIRECTORY_OWNER
        if owner.startswith("Patient/") and owner not in self.held and self.known(owner, owner) is None:
            self._warning(HolderCode.PATIENT_NOT_IN_IMPORT, held, "")
        for key, value in _reference.findall(held.tail):
            target = self._target(value.decode(), owner)
            # An url that resolves to nothing is an address like any other.
            if isinstance(target, HolderCode) and key == b"reference":
                self._warning(target, held, value.decode())

    def planned(self, held: _Held) -> Planned:
        owner = held.owner or DIRECTORY_OWNER

        def rewritten(match: re.Match[bytes]) -> bytes:
            target = self._target(match[2].decode(), owner)
            if target is None or isinstance(target, HolderCode):
                return match[0]
            kind, own_id, version = target
            history = f"/_history/{version}" if version is not None else ""
            return b'"%b":"%b"' % (match[1], f"{kind}/{own_id}{history}".encode())

        own_id = held.id.hex()
        start = f'{{"resourceType":"{held.kind}","id":"{own_id}"'.encode()
        return Planned(
            resource_type=held.kind, id=held.id, version=held.version, source_key=held.key,
            head=_with_id(held.head, own_id, held.version), rest=start + _reference.sub(rewritten, held.tail),
            fingerprint=held.fingerprint, file=held.file, where=held.where)

    # -- the report

    def report(self, problem: Problem) -> None:
        """Count all, keep the first: a million warnings must not hide one error."""
        if problem.severity is Severity.ERROR:
            self.error_count += 1
            kept = self.errors
        else:
            self.warning_count += 1
            kept = self.warnings
        if len(kept) < REPORT_PROBLEMS_MAX:
            kept.append(problem)

    def _error(self, code: HolderCode, held: _Held, detail: str = "") -> None:
        self.report(Problem(code, held.file, held.where, _shown(held), held.kind, detail))

    def _warning(self, code: HolderCode, held: _Held, reference: str) -> None:
        worth_it = reference and len(self.warnings) < REPORT_PROBLEMS_MAX
        element = _element_of(held, reference) if worth_it else held.kind
        self.report(Problem(code, held.file, held.where, _shown(held), element, severity=Severity.WARNING))


def _key(source: Source, fingerprint: bytes) -> str:
    """The source's name for a resource: its id, else its fullUrl, else its content."""
    kind, own = source.resource["resourceType"], source.resource.get("id")
    if own is None and source.full_url.startswith("urn:uuid:"):
        own = source.full_url.removeprefix("urn:uuid:")
    return f"{kind}/{own}" if own is not None else f"{kind}/~{fingerprint[:16].hex()}"


def _tail(resource: dict[str, Any]) -> bytes:
    body = json_text.write({key: value for key, value in resource.items() if key not in ("resourceType", "id")})
    return b"," + body[1:] if body != b"{}" else b"}"


def _with_id(head: Head, own_id: str, version: int) -> Head:
    return Head(resource_type=head.resource_type, id=own_id, version=version, classes=head.classes,
                codes=head.codes, dates=head.dates, labels=head.labels, label_table=head.label_table)


def _shown(held: _Held) -> str:
    return shown({"resourceType": held.kind, "id": held.key.partition("/")[2]})


def _element_of(held: _Held, reference: str) -> str:
    """The FHIRPath of a reference: looked for only when there is something to say about it."""
    todo: list[tuple[str, Any]] = [(held.kind, json_text.parse(b"{" + held.tail[1:]))]
    while todo:
        path, value = todo.pop()
        if type(value) is dict:
            if value.get("reference") == reference:
                return path
            todo += [(f"{path}.{key}", part) for key, part in reversed(value.items())]
        elif type(value) is list:
            todo += [(f"{path}[{i}]", part) for i, part in reversed(list(enumerate(value)))]
    return held.kind
