"""Taking in FHIR: everything is checked first, then one transaction per subject, signed by the service.

Bytes are on disk before their commitment is ordered: keys, segment, sealed index, then the transaction. A
crash in between leaves sealed bytes that no batch names; the next import goes over them.
"""

import json
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.codec import Struct
from xinglin.base.ids import Id, SubjectId
from xinglin.base.limits import IMPORTS_UNDER_WAY_MAX, RECORDS_PER_IMPORT_BATCH
from xinglin.engine.embedded import Committed
from xinglin.holder import shelf
from xinglin.holder.fhir import Batch, Known, Planned, Problem, Source, plan
from xinglin.holder.holder import Holder, events_of
from xinglin.kernel.module import Message
from xinglin.modules import records, subjects
from xinglin.modules.decision import Facts

SOURCE_SYSTEM = "urn:xinglin:source"   # look-up tags by which the next import finds a source's patient

Text = Annotated[str, Meta(max_length=2_000)]


class Identifier(Struct):
    system: Text
    value: Text


class PatientCard(Struct, tag="xinglin.patient-card/1"):
    """Who a subject is, for pages rendered at the holder. Sealed under the subject's key."""

    source_key: Text
    name: Text
    birth_date: Text
    identifiers: Annotated[tuple[Identifier, ...], Meta(max_length=100)]


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
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
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


def take_in(holder: Holder, items: Iterable[Source | Problem], *, keep_going: bool = False,
            wanted: Callable[[str], bool] = lambda source: True,
            progress: Callable[[int, int], None] | None = None,
            records_per_batch: int = RECORDS_PER_IMPORT_BATCH) -> Report:
    """Import what `items` (from `fhir.read_folder`) yields, of the patients ("Patient/x") that are `wanted`.

    With an error in it nothing is imported, unless `keep_going`: then all that is good.
    Errors  Failed from vault and ledger; what was committed until then stays and is skipped next time.
    """
    with holder.importing:         # two at once would give one resource two ids, and one batch number two batches
        known = _Known(holder)
        planned = plan(items, known=known.by_key, identified=known.by_identifier,
                       new_id=lambda: secrets.token_bytes(16))
        report = Report(unchanged=planned.unchanged, errors=planned.errors, warnings=planned.warnings)
        if planned.errors and not keep_going:
            report.refused = True
            return report
        batches = [batch for batch in (*planned.patients, planned.directory)
                   if len(batch) and (batch is planned.directory or wanted(batch.owner))]
        total, done = sum(map(len, batches)), 0
        owners = _owners(holder, batches)
        ordered: list[_Ordered] = []
        for batch in batches:
            for one in _take_in_batch(holder, batch, *owners[batch.owner], records_per_batch):
                ordered.append(one)
                done += one.records
                if progress:
                    progress(done, total)
                if len(ordered) > IMPORTS_UNDER_WAY_MAX:
                    ordered[-IMPORTS_UNDER_WAY_MAX - 1].future.result()
        for one in ordered:
            report.taken.append(TakenIn(one.owner, one.source, one.records, one.new, _stands(holder, one.future)))
        return report


def _chunks(batch: Batch, size: int) -> Iterable[list[Planned]]:
    chunk: list[Planned] = []
    for planned in batch:
        chunk.append(planned)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _owners(holder: Holder, batches: list[Batch]) -> dict[str, tuple[Id, bool]]:
    """source name -> (owner id, whether it is to be registered); keys and tags of new ones are made here."""
    found: dict[str, tuple[Id, bool]] = {"": (holder.member, False)}
    fresh: list[tuple[str, SubjectId]] = []
    for batch in batches:
        if not batch.owner:
            continue
        subject = holder.keystore.find(SOURCE_SYSTEM, batch.owner)
        if subject is None:
            fresh.append((batch.owner, secrets.token_bytes(16)))
        else:
            registered = bool(holder.node.rows(subjects.SUBJECTS, subject))
            found[batch.owner] = subject, not registered
    holder.keystore.create_many([subject for _, subject in fresh])
    holder.keystore.tag_many([(SOURCE_SYSTEM, source, subject) for source, subject in fresh])
    found.update({source: (subject, True) for source, subject in fresh})
    return found


def _take_in_batch(holder: Holder, batch: Batch, owner: Id, new: bool, size: int) -> Iterable[_Ordered]:
    """Shelve an owner's records and order their commitment, chunk by chunk; each names the one before it."""
    on_ledger = holder.node.read(lambda ctx: shelf.roots(ctx, owner))
    shelf.sweep(holder, owner, on_ledger)
    number = len(on_ledger)
    for chunk in _chunks(batch, size):
        for planned in chunk:
            if planned.resource_type == "Patient":
                _remember_patient(holder, owner, planned)
        number += 1
        shelved = shelf.shelve(holder, owner, number, [_new_record(planned) for planned in chunk])
        messages: list[Message] = []
        if new:
            messages.append(subjects.Register(service=holder.service, subject=owner))
        messages.append(records.Batch(service=holder.service, owner=owner, number=number,
                                      root=shelved.root, count=len(chunk)))
        future = holder.submit(*messages)
        if len(batch) > len(chunk):
            _stands(holder, future)
        yield _Ordered(owner, batch.owner, len(chunk), new, future)
        new = False


def _stands(holder: Holder, future: "Future[Committed]") -> Committed:
    """Errors  Failed with the ledger's code, when it refused."""
    committed = future.result()
    events_of(holder.node, committed)
    return committed


def _new_record(planned: Planned) -> shelf.NewRecord:
    head = planned.head
    facts = Facts(id=head.id, classes=head.classes, labels=head.labels)
    return shelf.NewRecord(id=head.id, version=planned.version, source_key=planned.source_key,
                           fingerprint=planned.fingerprint, facts=facts, head=codec.encode(head),
                           rest=planned.rest)


def _remember_patient(holder: Holder, subject: SubjectId, planned: Planned) -> None:
    """Keep who the subject is, and tags by which the holder finds her by identifier."""
    patient = json.loads(planned.rest)
    identifiers = tuple(Identifier(system=one.get("system", ""), value=one["value"])
                        for one in patient.get("identifier", [])[:100] if one.get("value"))
    holder.put("patient", subject, b"card", PatientCard(
        source_key=planned.source_key, name=_name(patient)[:2_000],
        birth_date=patient.get("birthDate", ""), identifiers=identifiers))
    taken = [(one.system, one.value, subject) for one in identifiers
             if holder.keystore.find(one.system, one.value) in (None, subject)]
    holder.keystore.tag_many(taken)


def _name(patient: dict[str, object]) -> str:
    names = patient.get("name")
    if not isinstance(names, list) or not names or not isinstance(names[0], dict):
        return ""
    first = names[0]
    return str(first.get("text") or " ".join([*first.get("given", []), first.get("family", "")])).strip()


class _Known:
    """What earlier imports keep, loaded once per owner."""

    def __init__(self, holder: Holder):
        self._holder = holder
        self._by_owner: dict[Id, dict[str, Known]] = {}
        self._directory: dict[tuple[str, str, str], Known] | None = None

    def by_key(self, owner: str, source_key: str) -> Known | None:
        found = self._holder.keystore.find(SOURCE_SYSTEM, owner) if owner else self._holder.member
        return None if found is None else self._of(found).get(source_key)

    def by_identifier(self, kind: str, system: str, value: str) -> tuple[str, Known] | None:
        if kind == "Patient":
            return self._patient(system, value)
        if self._directory is None:
            self._directory = self._read_directory()
        known = self._directory.get((kind, system, value))
        return None if known is None else ("", known)

    def _patient(self, system: str, value: str) -> tuple[str, Known] | None:
        subject = self._holder.keystore.find(system, value)
        card = None if subject is None else self._holder.get("patient", subject, b"card", PatientCard)
        if subject is None or card is None:
            return None
        known = self._of(subject).get(card.source_key)
        return None if known is None else (card.source_key, known)

    def _of(self, owner: Id) -> dict[str, Known]:
        if owner not in self._by_owner:
            self._by_owner[owner] = {
                record.shelved.source_key: Known(bytes.fromhex(record.shelved.id), record.shelved.version,
                                                 record.shelved.fingerprint)
                for record in shelf.newest(shelf.batches(self._holder, owner))}
        return self._by_owner[owner]

    def _read_directory(self) -> dict[tuple[str, str, str], Known]:
        found = {}
        member = self._holder.member
        for record in shelf.newest(shelf.batches(self._holder, member)):
            resource = json.loads(shelf.open_part(self._holder, member, record, shelf.REST))
            identifiers = resource.get("identifier", [])
            for one in identifiers if isinstance(identifiers, list) else [identifiers]:
                if "value" in one:
                    name = (resource["resourceType"], one.get("system", ""), one["value"])
                    found[name] = Known(bytes.fromhex(record.shelved.id), record.shelved.version,
                                        record.shelved.fingerprint)
        return found


__all__ = ["Identifier", "PatientCard", "Report", "TakenIn", "take_in"]
