"""What lies on a subject's shelf: records as sealed parts in segments, and the sealed index to them.

A record is one version of one FHIR resource, in two parts, `head` and `rest`, each with its own data key
and nonce. An import writes one segment per owner and one index row, both before its transaction is sent;
a row whose batch never came to the ledger is left aside.
"""

from typing import Annotated, NamedTuple

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite
from xinglin.base.history import tree, tree_root
from xinglin.base.ids import Hash, Id
from xinglin.base.units import U32, U63
from xinglin.holder.holder import Holder
from xinglin.modules import records
from xinglin.modules.decision import Facts, commit
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


class Record(NamedTuple):
    """A record with its place: batch number and position give the path to the ledger."""

    batch: ShelvedBatch
    position: int
    shelved: Shelved


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
    holder.cabinet.put("shelf", owner, number.to_bytes(4, "big"), codec.encode(batch), holder.keystore.key(owner))
    return batch


def record_root(hashes: HashSuite, shelved: Shelved) -> Hash:
    return tree_root(hashes, [shelved.head.commitment, shelved.rest.commitment])


def batches(holder: Holder, owner: Id) -> list[ShelvedBatch]:
    """The owner's batches that are on the ledger, oldest first."""
    known = {key[1]: row.root for key, row in holder.node.rows(records.BATCHES, owner)}
    key = holder.keystore.key(owner)
    found = []
    for name in holder.cabinet.list("shelf", owner):
        data = holder.cabinet.get("shelf", owner, name, key)
        if data is not None:
            batch = codec.decode(data, ShelvedBatch)
            if known.get(batch.number) == batch.root:
                found.append(batch)
    return found


def newest(found: list[ShelvedBatch]) -> list[Record]:
    """The newest version of every record, by batch and position."""
    latest: dict[str, Record] = {}
    for batch in found:
        for position, shelved in enumerate(batch.records):
            before = latest.get(shelved.id)
            if before is None or shelved.version > before.shelved.version:
                latest[shelved.id] = Record(batch, position, shelved)
    return sorted(latest.values(), key=lambda record: (record.batch.number, record.position))


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


def batch_path(hashes: HashSuite, record: Record) -> list[bytes]:
    """From the record's root to its batch's root."""
    return tree(hashes, [record_root(hashes, one) for one in record.batch.records]).path(record.position)
