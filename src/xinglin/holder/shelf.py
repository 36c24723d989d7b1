"""What lies on a subject's shelf: records as sealed parts in segments, and the sealed index to them.

A record is one version of one FHIR resource, in two parts, `head` and `rest`, each with its own data key
and nonce. An import writes one segment per owner and one index row, both before its transaction is sent;
a row whose batch never came to the ledger is left aside.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import Failed, NotFound
from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite
from xinglin.base.history import Appended, tree, tree_root
from xinglin.base.ids import Hash, Id
from xinglin.base.limits import BATCHES_PER_OWNER_MAX
from xinglin.base.units import U32, U63
from xinglin.holder.holder import Holder
from xinglin.kernel.state import Reading
from xinglin.modules import decision, records, subjects
from xinglin.modules.decision import Facts, commit, records_root
from xinglin.vault import VaultCode
from xinglin.vault.seal import new_key, new_nonce, open_sealed, seal

HEAD, REST = 0, 1                  # parts of a record, in order

Text = Annotated[str, Meta(max_length=512)]


class Part(Struct):
    """Where a sealed part lies in its segment, and what opens it."""

    start: U63
    length: U32
    key: Hash
    nonce: Hash
    commitment: Hash


class Shelved(Struct):
    """One record on the shelf."""

    id: Text
    version: U32
    source_key: Text               # "Type/id" in the source, for the next import
    fingerprint: Hash              # of the source resource: unchanged is skipped
    facts: Facts
    head: Part
    rest: Part


class ShelvedBatch(Struct, tag="xinglin.shelved-batch/1"):
    """One import of one owner."""

    number: U32
    segment: Text
    root: Hash
    records: tuple[Shelved, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch that stands on the ledger, opened: its index, and the tree over its records."""

    number: int
    segment: str
    records: tuple[Shelved, ...]
    tree: Appended


class Record(NamedTuple):
    """A record with its place: batch number and position give the path to the ledger."""

    batch: Batch
    position: int
    shelved: Shelved

    @property
    def batch_path(self) -> list[bytes]:
        """From the record's root to its batch's root."""
        return self.batch.tree.path(self.position)


@dataclass(frozen=True, eq=False)
class Contents:
    """What is on a shelf at one moment: the newest version of every record, and what the rule may know of each."""

    roots: tuple[Hash, ...]        # of the batches that it comes from
    records: list[Record]
    facts: list[Facts]
    facts_root: Hash


class NewRecord(NamedTuple):
    """What an import puts on the shelf."""

    id: str
    version: int
    source_key: str
    fingerprint: bytes
    facts: Facts
    head: bytes
    rest: bytes


def part_context(owner: Id, record_id: str, version: int, part: int) -> bytes:
    """What a sealed part is bound to: owner, record, version, which part."""
    return codec.encode(("xinglin/part/1", owner, record_id, version, part))


def shelve(holder: Holder, owner: Id, number: int, new: list[NewRecord]) -> ShelvedBatch:
    """Seal `new` into one segment and its index row, durable before this returns."""
    hashes = holder.node.hashes
    pieces: list[bytes] = []
    at = 0
    shelved = []
    for record in new:
        parts = []
        for which, content in ((HEAD, record.head), (REST, record.rest)):
            key, nonce = new_key(), new_nonce()
            sealed = seal(key, part_context(owner, record.id, record.version, which), content)
            parts.append(Part(start=at, length=len(sealed), key=key, nonce=nonce,
                              commitment=commit(hashes, "part", nonce, content)))
            pieces.append(sealed)
            at += len(sealed)
        shelved.append(Shelved(id=record.id, version=record.version, source_key=record.source_key,
                               fingerprint=record.fingerprint, facts=record.facts,
                               head=parts[HEAD], rest=parts[REST]))
    segment = new_key()[:16].hex()
    batch = ShelvedBatch(number=number, segment=segment, records=tuple(shelved),
                         root=tree_root(hashes, [record_root(hashes, one) for one in shelved]))
    holder.blobs.put(segment, b"".join(pieces))
    holder.put("shelf", owner, _name(number, batch.root), batch)
    return batch


def _name(number: int, root: Hash) -> bytes:
    """Of a batch's index row. With the root in it no later try can write over one that may yet come to the ledger."""
    return number.to_bytes(4, "big") + root


def record_root(hashes: HashSuite, shelved: Shelved) -> Hash:
    return tree_root(hashes, [shelved.head.commitment, shelved.rest.commitment])


def roots(ctx: Reading, owner: Id) -> list[Hash]:
    """Roots of the owner's batches on the ledger; batch n is the n-th."""
    found: list[Hash] = []
    while len(found) < BATCHES_PER_OWNER_MAX:
        row = ctx[records.BATCHES].get((owner, len(found) + 1))
        if row is None:
            break
        found.append(row.root)
    return found


def batches(holder: Holder, owner: Id, on_ledger: Sequence[Hash] | None = None) -> list[Batch]:
    """The owner's batches that are on the ledger, oldest first: all of them, or none may be judged by.

    Errors  NotFound KEY_NOT_FOUND, KEY_DESTROYED, whatever is still in memory.
            Failed CABINET_DAMAGED: the index row of one is lost, or is not what the ledger has.
    """
    if on_ledger is None:
        on_ledger = holder.node.read(lambda ctx: roots(ctx, owner))
    try:
        key = holder.keystore.key(owner)
    except NotFound:
        holder.forget(owner)
        raise
    return [holder.shelves.get(owner, number) or _open(holder, owner, number, root, key)
            for number, root in enumerate(on_ledger, start=1)]


def _open(holder: Holder, owner: Id, number: int, root: Hash, key: bytes) -> Batch:
    data = holder.cabinet.get("shelf", owner, _name(number, root), key)
    if data is None:
        raise Failed(VaultCode.CABINET_DAMAGED, "the index of a batch is lost")
    row: ShelvedBatch = codec.decode(data, ShelvedBatch)
    over = tree(holder.node.hashes, [record_root(holder.node.hashes, one) for one in row.records])
    if over.root != root:
        raise Failed(VaultCode.CABINET_DAMAGED, "the index of a batch is not what the ledger has")
    batch = Batch(number, row.segment, row.records, over)
    holder.shelves.put(owner, number, batch, len(row.records))
    return batch


def incomplete(holder: Holder) -> list[Id]:
    """Whose shelf lacks something that the ledger has, the directory's among them; the keystore says what else."""
    found = []
    for owner in _owners(holder):
        try:
            batches(holder, owner)
        except NotFound:
            continue                   # erased
        except Failed as error:
            if error.code is not VaultCode.KEY_DAMAGED:
                found.append(owner)
    return found


def _owners(holder: Holder) -> tuple[Id, ...]:
    """The directory's, which is the holder itself, and every subject's."""
    return (holder.member, *[key[0] for key, row in holder.node.rows(subjects.SUBJECTS) if row.holder == holder.member])


def opened(holder: Holder) -> Iterator[tuple[Record, bool]]:
    """Every record that lies here, older versions too, and whether its parts open and are what the ledger commits to.

    Of whom `incomplete` names, and of whom is erased, nothing.
    """
    for owner in _owners(holder):
        try:
            found = batches(holder, owner)
        except Failed:
            continue
        for batch in found:
            for position, shelved in enumerate(batch.records):
                record = Record(batch, position, shelved)
                yield record, all(_opens(holder, owner, record, which) for which in (HEAD, REST))


def _opens(holder: Holder, owner: Id, record: Record, which: int) -> bool:
    part = part_of(record.shelved, which)
    try:
        content = open_part(holder, owner, record, which)
    except Failed:
        return False
    return commit(holder.node.hashes, "part", part.nonce, content) == part.commitment


def sweep(holder: Holder, owner: Id, on_ledger: Sequence[Hash]) -> int:
    """Remove what earlier imports left behind: batches whose number another one has taken for good. How many."""
    strays = 0
    for name in holder.cabinet.list("shelf", owner):
        number = int.from_bytes(name[:4], "big")
        if number <= len(on_ledger) and name != _name(number, on_ledger[number - 1]):
            stray = holder.get("shelf", owner, name, ShelvedBatch)
            if stray is not None:
                holder.blobs.delete(stray.segment)
            holder.cabinet.delete("shelf", owner, name)
            strays += 1
    return strays


def contents(holder: Holder, owner: Id, on_ledger: Sequence[Hash]) -> Contents:
    """As `batches` and `newest`, kept until the next import. Errors  as `batches`."""
    found = batches(holder, owner, on_ledger)
    known = holder.contents.get(owner, len(on_ledger))
    if known is None or known.roots != tuple(on_ledger):
        records = newest(found)
        facts = [record.shelved.facts for record in records]
        known = Contents(tuple(on_ledger), records, facts, records_root(
            holder.node.hashes, [codec.encode(one) for one in facts]))
        holder.contents.put(owner, len(on_ledger), known, len(records))
    return known


def newest(found: Sequence[Batch]) -> list[Record]:
    """The newest version of every record, by batch and position."""
    everything = [Record(batch, position, shelved) for batch in found for position, shelved in enumerate(batch.records)]
    return [everything[at] for at in decision.newest([(one.shelved.id, one.shelved.version) for one in everything])]


def open_part(holder: Holder, owner: Id, record: Record, which: int) -> bytes:
    """The plaintext of a part, for the holder's own eyes."""
    part = part_of(record.shelved, which)
    sealed = sealed_part(holder, record, which)
    return open_sealed(part.key, part_context(owner, record.shelved.id, record.shelved.version, which), sealed)


def sealed_part(holder: Holder, record: Record, which: int) -> bytes:
    part = part_of(record.shelved, which)
    return holder.blobs.get_range(record.batch.segment, part.start, part.length)


def part_of(shelved: Shelved, which: int) -> Part:
    return shelved.head if which == HEAD else shelved.rest

