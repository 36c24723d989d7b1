"""Sources to batches: one per patient and one for the directory, with our ids and rewritten references.

First every source is checked and set down as compact bytes; then owners are found; only when a batch is
walked are references rewritten, one record at a time. Pure: what is known from earlier imports, and new
ids, come in as functions.

An id ("Patient/x") is a name in the whole import, a fullUrl only within its bundle, and an identifier in its
bundle first: what one file says must not lead another file's records to somebody else.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from xinglin.base.limits import (
    REPORT_PROBLEMS_MAX,
    RESOURCE_BYTES_MAX,
    SOURCE_BYTES_MAX,
    SOURCE_RESOURCES_MAX,
)
from xinglin.base.units import Count
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir.card import CHARS_MAX, PatientCard, contradiction, identifiers_of
from xinglin.holder.fhir.head import CODE_CHARS_MAX, HEAD_LABELS_MAX, Head
from xinglin.holder.fhir.held import REFERENCE, Held, Known, decodes, elements, set_down
from xinglin.holder.fhir.owner import DIRECTORY, SHARED
from xinglin.holder.fhir.problem import Problem, Severity
from xinglin.holder.fhir.read import Source
from xinglin.holder.fhir.spread import spread, spreads
from xinglin.holder.fhir.validate import validate

_literal = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/([A-Za-z0-9.-]{1,64}))?").fullmatch
_conditional = re.compile(r"([A-Z][A-Za-z]+)\?identifier=([^|&]*)\|([^|&]+)").fullmatch

DIRECTORY_OWNER = ""
NOBODY = "*"              # owner of an identifier that several patients have

Name = tuple[str, str, str]      # (type, system, value)


# (owner, "Type/id" of the source) -> the resource we made of it
KnownByKey = Callable[[str, str], Known | None]
# (type, system, value) -> a directory resource or a patient: (owner or NOBODY, what we made of it)
KnownByIdentifier = Callable[[str, str, str], tuple[str, Known] | None]
# owner -> who she was when last imported
KnownPerson = Callable[[str], PatientCard | None]


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


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one owner, in the order of the source. Walk it once or often: it holds bytes."""

    owner: str                   # "Patient/x" of the source, or "" for the directory
    _held: Sequence[Held]
    _plan: "_Planner"

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Planned]:
        return (self._plan.planned(held) for held in self._held)

    @property
    def card(self) -> PatientCard | None:
        """Who the owner is, when this import says so."""
        return next((held.card for held in self._held if held.card is not None), None)

    @property
    def raised(self) -> dict[str, set[str]]:
        """id -> labels of records that had fewer when last imported: what names them from earlier must follow."""
        return {held.id.hex(): held.labels for held in self._held
                if held.known is not None and spreads(held.kind) and not held.labels <= {*held.known.labels}}


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
         person: KnownPerson, new_id: Callable[[], bytes], same_person: Collection[str] = ()) -> Plan:
    """Check all sources, group them by patient, mint ids. `items` is what read_folder yields.

    `same_person` are patients ("Patient/x") who are who they were, whatever birth date or identifiers now say.
    """
    planner = _Planner(known, identified, person, new_id, same_person)
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
    person: KnownPerson
    new_id: Callable[[], bytes]
    same_person: Collection[str]
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    error_count: int = 0
    warning_count: int = 0
    held: dict[str, Held] = field(default_factory=dict)
    by_url: dict[tuple[str, str, str], Held] = field(default_factory=dict)     # (file, bundle, fullUrl)
    by_identifier: dict[Name, Held | None] = field(default_factory=dict)       # None: ambiguous
    by_identifier_here: dict[tuple[tuple[str, str], Name], Held | None] = field(default_factory=dict)
    bytes_held: int = 0
    unchanged: int = 0
    paths: tuple[str, dict[str, str]] = ("", {})      # key of the record last told of, its elements by reference

    # -- one source at a time

    def hold(self, source: Source) -> None:
        found = validate(source.resource, file=source.file, where=source.where)
        for problem in found:
            self.report(problem)
        if found:
            return
        resource: dict[str, Any] = source.resource
        held, body = set_down(source)
        if self._fits(held, body) and self._is_first(held):
            self.held[held.key] = held
            self.bytes_held += len(held.tail)
            if held.full_url:
                self.by_url[*held.scope, held.full_url] = held
            self._index_identifiers(resource, held)

    def _fits(self, held: Held, body: bytes) -> bool:
        """Whether it can be kept and read again: asked here, before anything of the import is written."""
        if len(body) > RESOURCE_BYTES_MAX:
            self._error(HolderCode.RESOURCE_TOO_LARGE, held, f"{RESOURCE_BYTES_MAX} bytes")
        elif len(held.head.labels) > HEAD_LABELS_MAX or any(len(c) > CODE_CHARS_MAX for c in held.head.labels):
            self._error(HolderCode.TOO_MANY_LABELS, held, f"{HEAD_LABELS_MAX} of {CODE_CHARS_MAX} characters")
        elif not (decodes(held.head) and decodes(held.card)):
            self._error(HolderCode.VALUE_TOO_LONG, held, f"an identifier has at most {CHARS_MAX} characters")
        elif len(self.held) >= SOURCE_RESOURCES_MAX or self.bytes_held > SOURCE_BYTES_MAX:
            self._error(HolderCode.TOO_MANY_RESOURCES, held, f"{SOURCE_RESOURCES_MAX}, or {SOURCE_BYTES_MAX} bytes")
        else:
            return True
        return False

    def _is_first(self, held: Held) -> bool:
        """The same content twice counts once; another content under the same id is an error."""
        first = self.held.get(held.key)
        other = self.by_url.get((*held.scope, held.full_url)) if held.full_url else None
        if first is None and (other is None or other.key == held.key):
            return True
        if first is not None and first.fingerprint == held.fingerprint:
            self.unchanged += 1
            first.labels |= held.labels     # it may have come in a restricted bundle too
            if held.full_url:
                self.by_url.setdefault((*held.scope, held.full_url), first)
            return False
        self._error(HolderCode.RESOURCE_TWICE, held, "another resource of this import has the same id")
        return False

    def _index_identifiers(self, resource: dict[str, Any], held: Held) -> None:
        if held.kind not in DIRECTORY and held.kind != "Patient":
            return
        for system, value in identifiers_of(resource):
            name = (held.kind, system, value)
            self.by_identifier[name] = held if self.by_identifier.get(name, held) is held else None
            here = held.scope, name
            self.by_identifier_here[here] = held if self.by_identifier_here.get(here, held) is held else None

    # -- owners

    def finish(self) -> Plan:
        self._find_owners()
        self._refuse_other_people()
        for held in self.held.values():
            if held.owner is not None:
                self._compare(held, held.owner)
        self._spread_labels()
        batches: dict[str, list[Held]] = {}
        for held in self.held.values():
            if held.owner is not None:
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
            elif held.kind != "Provenance" and any(self._names_nobody(one, held) for one in held.patients):
                self._error(HolderCode.PATIENT_NOT_KNOWN, held, "names no patient that is in the import or known")
            else:
                waiting.append(held)
        self._follow(waiting)

    def _named_owners(self, held: Held) -> set[str]:
        """Patients that the resource itself names; for the directory those that it names anywhere."""
        if held.kind == "Patient":
            return {held.key}
        references = held.references if held.kind in DIRECTORY else held.patients
        return {owner for reference in references if (owner := self._patient_named(reference, held))}

    def _patient_named(self, reference: str, by: Held) -> str:
        """The owner's name for a reference to a patient, "" for a reference to anything else."""
        target = self._in_import(reference, by)
        if target is not None:
            return target.key if target.kind == "Patient" else ""
        literal, conditional = _literal(reference), _conditional(reference)
        if literal and literal[1] == "Patient":
            return f"Patient/{literal[2]}"
        if conditional and conditional[1] == "Patient" and not self._is_contested(conditional):
            found = self.identified(conditional[1], conditional[2], conditional[3])
            return found[0] if found else ""
        return ""

    def _is_contested(self, conditional: re.Match[str]) -> bool:
        """Whether an identifier that nobody has alone in this import is one of its patients', or of several known."""
        name = (conditional[1], conditional[2], conditional[3])
        found = self.identified(*name)
        return name in self.by_identifier or (found is not None and found[0] == NOBODY)

    def _names_nobody(self, reference: str, by: Held) -> bool:
        """It may mean a patient whom we cannot find: then no other patient may be taken for that one."""
        named = _literal(reference) or _conditional(reference)
        return self._in_import(reference, by) is None and (named is None or named[1] == "Patient")

    def _follow(self, waiting: list[Held]) -> None:
        """Whoever names no patient goes with what uses it, then with what it uses, then with its file."""
        users: dict[str, list[Held]] = {}
        for held in self.held.values():
            for target in self._used(held):
                users.setdefault(target.key, []).append(held)
        alone = self._only_patients()
        left = {held.key: held for held in waiting}
        wave = waiting
        while wave:            # only beside what was just placed can anything have changed: linear in all
            found = [(held, owners) for held in wave if (owners := self._followed(held, users))]
            for held, owners in found:
                self._settle(held, owners)
                del left[held.key]
            beside = (near.key for held, _ in found for near in (*users.get(held.key, ()), *self._used(held)))
            wave = [left[key] for key in dict.fromkeys(beside) if key in left]
        for held in left.values():
            if held.file in alone and not held.patients:
                held.owner = alone[held.file]
            elif held.kind in SHARED or (held.kind == "Provenance" and self._targets_directory(held)):
                held.owner = DIRECTORY_OWNER
            else:
                self._error(HolderCode.PATIENT_NOT_KNOWN, held, "names no patient that is in the import or known")

    def _followed(self, held: Held, users: dict[str, list[Held]]) -> set[str]:
        by_users = {user.owner for user in users.get(held.key, ()) if user.owner}
        if by_users:
            held.goes_with_users = True
            return by_users
        used = held.patients if held.kind == "Provenance" else held.references
        targets = (self._in_import(reference, held) for reference in used)
        return {target.owner for target in targets if target is not None and target.owner}

    def _used(self, held: Held) -> list[Held]:
        targets = (self._in_import(reference, held) for reference in held.references)
        return [target for target in targets if target is not None and target is not held]

    def _settle(self, held: Held, owners: set[str]) -> None:
        if len(owners) == 1:
            held.owner = owners.pop()
        elif held.kind in SHARED:
            held.owner = DIRECTORY_OWNER
        else:
            self._error(HolderCode.BELONGS_TO_SEVERAL_PATIENTS, held)

    def _targets_directory(self, held: Held) -> bool:
        targets = [self._in_import(reference, held) for reference in held.patients]
        return bool(targets) and all(t is not None and t.owner == DIRECTORY_OWNER for t in targets)

    def _only_patients(self) -> dict[str, str]:
        """file -> its one patient, for a bundle about one person."""
        found: dict[str, set[str]] = {}
        for held in self.held.values():
            if held.kind == "Patient":
                found.setdefault(held.file, set()).add(held.key)
        return {file: keys.pop() for file, keys in found.items() if len(keys) == 1}

    def _refuse_other_people(self) -> None:
        """A source's id given to somebody else: her records must not become the next version of another's."""
        others: dict[str, str] = {}
        for held in self.held.values():
            before = self.person(held.key) if held.card is not None and held.key not in self.same_person else None
            if held.card is not None and before is not None and (why := contradiction(before, held.card)):
                others[held.key] = why
        for held in self.held.values():
            if held.owner in others:
                self._error(HolderCode.PATIENT_IS_ANOTHER, held, others[held.owner])
                held.owner = None

    def _compare(self, held: Held, owner: str) -> None:
        """Against earlier imports: the same source is skipped, another content is the next version."""
        known = self.known(owner, held.key)
        if known is None:
            held.id = self.new_id()
            self._create_conditionally(held, owner)
            return
        held.id, held.known = known.id, known
        held.changed = known.fingerprint != held.fingerprint
        held.version = known.version + 1 if held.changed else known.version

    def _create_conditionally(self, held: Held, owner: str) -> None:
        """ifNoneExist: where the directory has one already, that one stands and nothing is written."""
        condition = _conditional(f"{held.kind}?{held.condition}")
        if owner == DIRECTORY_OWNER and condition:
            found = self.identified(held.kind, condition[2], condition[3])
            if found is not None and found[0] == DIRECTORY_OWNER:
                held.id, held.version, held.changed = found[1].id, found[1].version, False

    # -- labels

    def _spread_labels(self) -> None:
        """Give each record the labels of what it names, and those that it had: a label is never lost on the way."""
        owned = {key: held for key, held in self.held.items() if held.owner is not None}
        namers: dict[str, list[str]] = {}
        for held in owned.values():
            self._name_all(held, namers)
        now = spread({key: held.labels for key, held in owned.items()}, namers)
        before = {key: held.known.labels if held.known else () for key, held in owned.items()}
        every = spread({key: (*now[key], *before[key]) for key in owned}, namers) if any(before.values()) else now
        for key, held in owned.items():
            held.labels = every[key]
            if len(held.labels) > HEAD_LABELS_MAX:
                self._error(HolderCode.TOO_MANY_LABELS, held, f"{HEAD_LABELS_MAX}, with those of what it names")
                held.owner = None
            elif held.known is not None:
                if not held.changed and held.labels != {*before[key]}:
                    held.changed, held.version = True, held.version + 1
                if held.changed and not now[key].issuperset(before[key]):
                    self._warning(HolderCode.LABEL_KEPT, held, "")

    def _name_all(self, held: Held, namers: dict[str, list[str]]) -> None:
        """Note down whose labels run where, on account of what `held` names."""
        owner = held.owner or DIRECTORY_OWNER
        for reference in held.references:
            target = self._in_import(reference, held)
            if target is None:
                held.labels |= self._earlier_labels(reference, owner)
            elif target is not held and target.owner in (owner, DIRECTORY_OWNER):
                if spreads(target.kind):
                    namers.setdefault(target.key, []).append(held.key)
                if target.goes_with_users and target.owner == owner:
                    namers.setdefault(held.key, []).append(target.key)
        for reference in held.sections:
            target = self._in_import(reference, held)
            if target is not None and target.owner == owner:
                target.labels.update(held.head.labels)

    def _earlier_labels(self, reference: str, owner: str) -> set[str]:
        named = _literal(reference) or _conditional(reference)
        if named is None or not spreads(named[1]):
            return set()
        literal = _literal(reference)
        if literal:
            known = self._earlier(f"{literal[1]}/{literal[2]}", owner)
        else:
            found = self.identified(named[1], named[2], named[3])
            known = found[1] if found else None
        return {*known.labels} if known else set()

    # -- references

    def _in_import(self, reference: str, by: Held) -> Held | None:
        """What `by` means with `reference`, if it is in this import."""
        literal = _literal(reference)
        if literal:
            return self.held.get(f"{literal[1]}/{literal[2]}")
        conditional = _conditional(reference)
        if conditional:
            return self._identified_here((conditional[1], conditional[2], conditional[3]), by)
        return self.by_url.get((*by.scope, reference))

    def _identified_here(self, name: Name, by: Held) -> Held | None:
        here = by.scope, name
        if here in self.by_identifier_here:
            return self.by_identifier_here[here]
        held = self.by_identifier.get(name)
        known = self.identified(*name) if held is not None and held.kind == "Patient" else None
        # Another patient had the identifier before: one of the two has it wrongly.
        return held if known is None or held is None or known[0] == held.key else None

    def _target(self, reference: str, owner: str, by: Held) -> tuple[str, str, int | None] | HolderCode | None:
        """(type, our id, version or None) of what is referred to, why it stays, or None for outside things."""
        literal = _literal(reference)
        asked = literal[3] if literal else None
        held = self._in_import(reference, by)
        if held is not None and held.owner is not None:
            if held.owner not in (DIRECTORY_OWNER, owner):
                return HolderCode.REFERENCE_LEAVES_PATIENT
            if asked and asked != held.source_version:
                return HolderCode.VERSION_NOT_RESOLVED
            return held.kind, held.id.hex(), held.version if asked else None
        if literal:
            earlier = self._earlier(f"{literal[1]}/{literal[2]}", owner)
            if earlier is None:
                return HolderCode.REFERENCE_NOT_RESOLVED
            return HolderCode.VERSION_NOT_RESOLVED if asked else (literal[1], earlier.id.hex(), None)
        conditional = _conditional(reference)
        if conditional:
            contested = conditional[1] == "Patient" and self._is_contested(conditional)
            found = None if contested else self.identified(conditional[1], conditional[2], conditional[3])
            if found is None:
                return HolderCode.REFERENCE_NOT_RESOLVED
            if found[0] not in (DIRECTORY_OWNER, owner):
                return HolderCode.REFERENCE_LEAVES_PATIENT
            return conditional[1], found[1].id.hex(), None
        if reference.startswith("urn:uuid:") or "?" in reference.partition(":")[0]:
            return HolderCode.REFERENCE_NOT_RESOLVED
        return None

    def _earlier(self, key: str, owner: str) -> Known | None:
        return (self.known(owner, key) if owner else None) or self.known(DIRECTORY_OWNER, key)

    def _warn(self, held: Held) -> None:
        """Say which references stay as the source wrote them."""
        owner = held.owner or DIRECTORY_OWNER
        if owner.startswith("Patient/") and owner not in self.held and self.known(owner, owner) is None:
            self._warning(HolderCode.PATIENT_NOT_IN_IMPORT, held, "")
        for key, value in REFERENCE.findall(held.tail):
            target = self._target(value.decode(), owner, held)
            # An url that resolves to nothing is an address like any other.
            if isinstance(target, HolderCode) and key == b"reference":
                self._warning(target, held, value.decode())

    def planned(self, held: Held) -> Planned:
        owner = held.owner or DIRECTORY_OWNER

        def rewritten(match: re.Match[bytes]) -> bytes:
            target = self._target(match[2].decode(), owner, held)
            if target is None or isinstance(target, HolderCode):
                return match[0]
            kind, own_id, version = target
            history = f"/_history/{version}" if version is not None else ""
            return b'"%b":"%b"' % (match[1], f"{kind}/{own_id}{history}".encode())

        own_id = held.id.hex()
        start = f'{{"resourceType":"{held.kind}","id":"{own_id}"'.encode()
        return Planned(
            resource_type=held.kind, id=held.id, version=held.version, source_key=held.key,
            head=_with_id(held.head, own_id, held.version, held.labels),
            rest=start + REFERENCE.sub(rewritten, held.tail), fingerprint=held.fingerprint, file=held.file,
            where=held.where)

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

    def _error(self, code: HolderCode, held: Held, detail: str = "") -> None:
        self.report(Problem(code, held.file, held.where, held.shown, held.kind, detail))

    def _warning(self, code: HolderCode, held: Held, reference: str) -> None:
        worth_it = reference and len(self.warnings) < REPORT_PROBLEMS_MAX
        element = self._element_of(held, reference) if worth_it else held.kind
        self.report(Problem(code, held.file, held.where, held.shown, element, severity=Severity.WARNING))

    def _element_of(self, held: Held, reference: str) -> str:
        """The FHIRPath of a reference: looked for once a record, and only when there is something to say about it."""
        if self.paths[0] != held.key:
            self.paths = held.key, elements(held)
        return self.paths[1].get(reference, held.kind)


def _with_id(head: Head, own_id: str, version: int, labels: Iterable[str]) -> Head:
    return Head(resource_type=head.resource_type, id=own_id, version=version, classes=head.classes,
                codes=head.codes, dates=head.dates, labels=tuple(sorted(labels)), label_table=head.label_table)
