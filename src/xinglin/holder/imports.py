"""Taking in FHIR: everything is checked first, then one transaction per subject, signed by the service.

Bytes are on disk before their commitment is ordered: keys, segment, sealed index, then the transaction. A
crash in between leaves sealed bytes that no batch names; the next import goes over them.

A source is who gives out the ids: Patient/1 of one hospital is not Patient/1 of another. Each has a name of its
own, "" as long as there is one; the keystore leads from (source, id) to the subject, under a kind of tag that no
word of an input reaches.
"""

import json
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from xinglin.base import codec
from xinglin.base.check import require
from xinglin.base.ids import Id, SubjectId
from xinglin.base.limits import (
    IMPORTS_UNDER_WAY_MAX,
    INDEX_BYTES,
    RECORDS_PER_IMPORT_BATCH,
    SEGMENT_BYTES,
    SOURCE_NAME_CHARS_MAX,
)
from xinglin.engine.embedded import Committed
from xinglin.holder import shelf
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir import (
    NOBODY,
    Batch,
    Head,
    Known,
    PatientCard,
    Planned,
    Problem,
    Source,
    plan,
    spread,
)
from xinglin.holder.fhir.card import identifiers_of
from xinglin.holder.fhir.head import HEAD_LABELS_MAX
from xinglin.holder.holder import Holder, events_of
from xinglin.kernel.module import Message
from xinglin.modules import records, subjects
from xinglin.modules.decision import Facts
from xinglin.vault.keystore import TagKind

_source_name = re.compile(rf"[a-z0-9-]{{0,{SOURCE_NAME_CHARS_MAX}}}").fullmatch
CHANCE = secrets.SystemRandom()
_our_id = re.compile(rb'/([0-9a-f]{32})["/]')


@dataclass(frozen=True)
class TakenIn:
    """One owner's share of an import."""

    owner: Id
    source: str                    # "Patient/x" or "" for the directory
    records: int
    new: bool
    committed: Committed


@dataclass
class Report:
    taken: list[TakenIn] = field(default_factory=list)
    unchanged: int = 0
    errors: tuple[Problem, ...] = ()       # the first of them
    warnings: tuple[Problem, ...] = ()
    error_count: int = 0
    warning_count: int = 0
    refused: bool = False          # something was wrong and nothing was imported

    @property
    def records(self) -> int:
        return sum(one.records for one in self.taken)

    @property
    def subjects(self) -> list[TakenIn]:
        return [one for one in self.taken if one.source]


class _Ordered(NamedTuple):
    """A batch under way."""

    owner: Id
    source: str
    records: int
    new: bool
    future: "Future[Committed]"


def take_in(holder: Holder, items: Iterable[Source | Problem], *, source: str = "", keep_going: bool = False,
            wanted: Callable[[str], bool] = lambda patient: True, same_person: Collection[str] = (),
            progress: Callable[[int, int], None] | None = None,
            records_per_batch: int = RECORDS_PER_IMPORT_BATCH) -> Report:
    """Import what `items` (from `fhir.read_folder`) yields, of the patients ("Patient/x") that are `wanted`.

    With an error in it nothing is imported, unless `keep_going`: then all that is good. `same_person` are patients
    whose new birth date or identifiers are a correction.
    Errors  NotUnderstood SOURCE_NAME_NOT_VALID; Failed from vault and ledger: what was committed until then stays
            and is skipped next time.
    """
    require(_source_name(source) is not None, HolderCode.SOURCE_NAME_NOT_VALID,
            f"a-z, 0-9 and -, at most {SOURCE_NAME_CHARS_MAX}")
    with holder.importing:         # two at once would give one resource two ids, and one batch number two batches
        known = _Known(holder, source)
        planned = plan(items, known=known.by_key, identified=known.by_identifier, person=known.person,
                       new_id=lambda: secrets.token_bytes(16), same_person=same_person)
        report = Report(unchanged=planned.unchanged, errors=planned.errors, warnings=planned.warnings,
                        error_count=planned.error_count, warning_count=planned.warning_count)
        if planned.errors and not keep_going:
            report.refused = True
            return report
        patients = [batch for batch in planned.patients if len(batch) and wanted(batch.owner)]
        CHANCE.shuffle(patients)       # files are named and sorted by people; the ledger's order must not be
        batches = [*patients, planned.directory] if len(planned.directory) else patients
        total, done = sum(map(len, batches)), 0
        owners = _owners(holder, known, batches)
        ordered: list[_Ordered] = []
        for batch in batches:
            for one in _take_in_batch(holder, known, batch, *owners[batch.owner], records_per_batch):
                ordered.append(one)
                done += one.records
                if progress:
                    progress(done, total)
                if len(ordered) > IMPORTS_UNDER_WAY_MAX:
                    ordered[-IMPORTS_UNDER_WAY_MAX - 1].future.result()
        for one in ordered:
            report.taken.append(TakenIn(one.owner, one.source, one.records, one.new, _stands(holder, one.future)))
        return report


def _chunks(new: Iterable[shelf.NewRecord], size: int) -> Iterator[list[shelf.NewRecord]]:
    """At most `size` records, as far as one segment and one sealed index may hold them."""
    chunk: list[shelf.NewRecord] = []
    in_segment = in_index = 0
    for one in new:
        content, words = len(one.head) + len(one.rest), 4 * (len(one.source_key) + sum(
            map(len, (*one.facts.classes, *one.facts.labels))))       # UTF-8 has at most four bytes a character
        if chunk and (len(chunk) == size or in_segment + content > SEGMENT_BYTES or in_index + words > INDEX_BYTES):
            yield chunk
            chunk, in_segment, in_index = [], 0, 0
        chunk.append(one)
        in_segment += content
        in_index += words
    if chunk:
        yield chunk


def _owners(holder: Holder, known: "_Known", batches: list[Batch]) -> dict[str, tuple[Id, bool]]:
    """source name -> (owner id, whether it is to be registered); keys and tags of new ones are made here."""
    found: dict[str, tuple[Id, bool]] = {"": (holder.member, False)}
    fresh: list[tuple[str, SubjectId]] = []
    for batch in batches:
        if not batch.owner:
            continue
        subject = known.subject(batch.owner)
        if subject is None:
            fresh.append((batch.owner, secrets.token_bytes(16)))
        else:
            registered = bool(holder.node.rows(subjects.SUBJECTS, subject))
            found[batch.owner] = subject, not registered
    holder.keystore.create_many([subject for _, subject in fresh])
    holder.keystore.tag_many([(known.source, patient, subject) for patient, subject in fresh], TagKind.SOURCE)
    found.update({patient: (subject, True) for patient, subject in fresh})
    return found


def _take_in_batch(holder: Holder, known: "_Known", batch: Batch, owner: Id, new: bool,
                   size: int) -> Iterable[_Ordered]:
    """Shelve an owner's records and order their commitment, chunk by chunk; each names the one before it."""
    on_ledger = holder.node.read(lambda ctx: shelf.roots(ctx, owner))
    shelf.sweep(holder, owner, on_ledger)
    number = len(on_ledger)
    relabelled = _relabelled(holder, owner, batch) if batch.raised else []
    if batch.card is not None:
        _remember_patient(holder, owner, known.stored(batch.card.source_key), batch.card)
    # Those first: cut short, the next import still sees by the others' labels what must follow them.
    for chunk in _chunks(chain(relabelled, (_new_record(one, known) for one in batch)), size):
        number += 1
        CHANCE.shuffle(chunk)          # or gaps between what is released would say what is withheld between
        shelved = shelf.shelve(holder, owner, number, chunk)
        messages: list[Message] = []
        if new:
            messages.append(subjects.Register(service=holder.service, subject=owner))
        messages.append(records.Batch(service=holder.service, owner=owner, number=number,
                                      root=shelved.root, count=len(chunk)))
        future = holder.submit(*messages)
        if len(batch) + len(relabelled) > len(chunk):
            _stands(holder, future)
        yield _Ordered(owner, batch.owner, len(chunk), new, future)
        new = False


def _stands(holder: Holder, future: "Future[Committed]") -> Committed:
    """Errors  Failed with the ledger's code, when it refused."""
    committed = future.result()
    events_of(holder.node, committed)
    return committed


def _new_record(planned: Planned, known: "_Known") -> shelf.NewRecord:
    head = planned.head
    facts = Facts(id=head.id, classes=head.classes, labels=head.labels)
    return shelf.NewRecord(id=head.id, version=planned.version, source_key=known.stored(planned.source_key),
                           fingerprint=planned.fingerprint, facts=facts, head=codec.encode(head),
                           rest=planned.rest)


def _relabelled(holder: Holder, owner: Id, batch: Batch) -> list[shelf.NewRecord]:
    """New versions of the owner's other records that name one whose labels were raised."""
    raised = batch.raised
    coming = {planned.head.id for planned in batch}
    others = {record.shelved.id: record for record in shelf.newest(shelf.batches(holder, owner))
              if record.shelved.id not in coming}
    # Naming the patient tells nothing (fhir/spread.py).
    tell = {*raised, *(own for own, one in others.items() if "Patient" not in one.shelved.facts.classes)}
    namers: dict[str, list[str]] = {}
    for own, record in others.items():
        for named in frozenset(_our_id.findall(shelf.open_part(holder, owner, record, shelf.REST))):
            if named.decode() in tell:
                namers.setdefault(named.decode(), []).append(own)
    found = spread({own: raised.get(own, ()) for own in (*raised, *others)}, namers)
    return [_with_labels(holder, owner, record, found[own]) for own, record in others.items()
            if not found[own] <= {*record.shelved.facts.labels}]


def _with_labels(holder: Holder, owner: Id, record: shelf.Record, more: Collection[str]) -> shelf.NewRecord:
    before = record.shelved
    had = before.facts.labels
    labels = tuple(sorted((*had, *sorted({*more} - {*had})[:HEAD_LABELS_MAX - len(had)])))   # withheld in any case
    head = codec.decode(shelf.open_part(holder, owner, record, shelf.HEAD), Head)
    head = Head(resource_type=head.resource_type, id=head.id, version=before.version + 1, classes=head.classes,
                codes=head.codes, dates=head.dates, labels=labels, label_table=head.label_table)
    return shelf.NewRecord(id=before.id, version=head.version, source_key=before.source_key,
                           fingerprint=before.fingerprint, head=codec.encode(head),
                           facts=Facts(id=before.id, classes=before.facts.classes, labels=labels),
                           rest=shelf.open_part(holder, owner, record, shelf.REST))


def _remember_patient(holder: Holder, subject: SubjectId, source_key: str, card: PatientCard) -> None:
    """Keep who the subject is, and tags by which the holder finds her by identifier."""
    holder.put("patient", subject, b"card", PatientCard(
        source_key=source_key, name=card.name, birth_date=card.birth_date, identifiers=card.identifiers))
    names = [(one.system, one.value) for one in card.identifiers]
    taken = [name for name in names if holder.keystore.find(*name) not in (None, subject)]
    holder.keystore.tag_many([(*name, subject) for name in names if name not in taken])
    # A second patient with it: from now on it leads to neither, since one of them has it wrongly.
    holder.keystore.tag_many([(*name, subject) for name in taken
                              if holder.keystore.find(*name, TagKind.CONTESTED) is None], TagKind.CONTESTED)


class _Known:
    """What earlier imports keep, loaded once per owner.

    An owner is "Patient/x" of this import's source, or "name|Patient/x" of another that an identifier led to.
    """

    def __init__(self, holder: Holder, source: str):
        self._holder = holder
        self.source = source
        self._by_owner: dict[Id, dict[str, Known]] = {}
        self._subjects: dict[str, SubjectId | None] = {}      # each reference of a resource may ask for one
        self._directory: dict[tuple[str, str, str], Known] | None = None

    def stored(self, key: str) -> str:
        """A resource's name with that of its source, as the shelf keeps it; "|" is in no id and no source's name."""
        return key.removeprefix("|") if "|" in key or not self.source else f"{self.source}|{key}"

    def subject(self, owner: str) -> SubjectId | None:
        if owner not in self._subjects:
            named, _, patient = owner.rpartition("|")
            self._subjects[owner] = self._holder.keystore.find(
                named if "|" in owner else self.source, patient, TagKind.SOURCE)
        return self._subjects[owner]

    def by_key(self, owner: str, key: str) -> Known | None:
        found = self.subject(owner) if owner else self._holder.member
        return None if found is None else self._of(found).get(self.stored(key))

    def person(self, owner: str) -> PatientCard | None:
        found = self.subject(owner)
        return None if found is None else self._holder.get("patient", found, b"card", PatientCard)

    def by_identifier(self, kind: str, system: str, value: str) -> tuple[str, Known] | None:
        if kind == "Patient":
            return self._patient(system, value)
        if self._directory is None:
            self._directory = self._read_directory()
        known = self._directory.get((kind, system, value))
        return None if known is None else ("", known)

    def _patient(self, system: str, value: str) -> tuple[str, Known] | None:
        if self._holder.keystore.find(system, value, TagKind.CONTESTED) is not None:
            return NOBODY, Known(b"", 0, b"")
        subject = self._holder.keystore.find(system, value)
        card = None if subject is None else self._holder.get("patient", subject, b"card", PatientCard)
        if subject is None or card is None:
            return None
        known = self._of(subject).get(card.source_key)
        source, _, patient = card.source_key.rpartition("|")
        owner = patient if source == self.source else f"{source}|{patient}"
        return None if known is None else (owner, known)

    def _of(self, owner: Id) -> dict[str, Known]:
        if owner not in self._by_owner:
            self._by_owner[owner] = {
                record.shelved.source_key: Known(bytes.fromhex(record.shelved.id), record.shelved.version,
                                                 record.shelved.fingerprint, record.shelved.facts.labels)
                for record in shelf.newest(shelf.batches(self._holder, owner))}
        return self._by_owner[owner]

    def _read_directory(self) -> dict[tuple[str, str, str], Known]:
        found = {}
        member = self._holder.member
        for record in shelf.newest(shelf.batches(self._holder, member)):
            resource = json.loads(shelf.open_part(self._holder, member, record, shelf.REST))
            for system, value in identifiers_of(resource):
                found[resource["resourceType"], system, value] = Known(
                    bytes.fromhex(record.shelved.id), record.shelved.version, record.shelved.fingerprint,
                    record.shelved.facts.labels)
        return found


__all__ = ["PatientCard", "Report", "TakenIn", "take_in"]
