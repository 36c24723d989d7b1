"""What a holder opens to a patient of her records: the head of each, and how it leads to the ledger.

A head says what the rule may know of a record; a batch's root on the ledger commits to every head in it. So a holder
that leaves a record out, or gives one another label than it committed to at import, is found out.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import NotUnderstood, NotVerified
from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite
from xinglin.base.history import tree_root
from xinglin.base.ids import Hash
from xinglin.base.limits import BATCHES_PER_OWNER_MAX, HEAD_CODES_MAX, RECORDS_PER_BATCH_MAX
from xinglin.base.units import U8, U32, Millis
from xinglin.client.codes import ClientCode
from xinglin.modules import decision
from xinglin.modules.decision import Facts, commit
from xinglin.modules.records import BatchRow

HEAD_DATES_MAX = 8        # a record has one to three; more are kept in the rest
HEAD_CLASSES_MAX = 32     # named classes and categories
HEAD_LABELS_MAX = 64      # all of ActInformationSensitivityPolicy that could meet in one record
CODE_CHARS_MAX = 512      # "system|code"
HEAD_BYTES_MAX = 256 * 1024    # all of these in full, four bytes a character

Text = Annotated[str, Meta(max_length=CODE_CHARS_MAX)]


class Head(Struct, tag="xinglin.head/1"):
    resource_type: Annotated[str, Meta(max_length=64)]
    id: Annotated[str, Meta(max_length=64)]            # the holder's own, never the source's
    version: U32
    classes: Annotated[tuple[Text, ...], Meta(max_length=HEAD_CLASSES_MAX)]
    codes: Annotated[tuple[Text, ...], Meta(max_length=HEAD_CODES_MAX)]     # "system|code"
    dates: Annotated[tuple[Text, ...], Meta(max_length=HEAD_DATES_MAX)]     # as FHIR writes them
    labels: Annotated[tuple[Text, ...], Meta(max_length=HEAD_LABELS_MAX)]   # "system|code", sorted
    label_table: U8                                    # the version of the table that found them


class OpenedHead(Struct):
    """A head with its nonce, and the commitment of the record's other part."""

    head: Annotated[bytes, Meta(max_length=HEAD_BYTES_MAX)]
    nonce: Hash
    rest: Hash


class OpenedBatch(Struct):
    heads: Annotated[tuple[OpenedHead, ...], Meta(max_length=RECORDS_PER_BATCH_MAX)]


class OpenedRecords(Struct, tag="xinglin.opened-records/1"):
    """All batches of a subject, in order; None of one whose index the holder has lost."""

    batches: Annotated[tuple[OpenedBatch | None, ...], Meta(max_length=BATCHES_PER_OWNER_MAX)]


class KnownRecord(NamedTuple):
    """A record that the ledger commits to: what the rule may know of it, and its parts' commitments."""

    facts: Facts
    version: int
    parts: tuple[Hash, Hash]


class KnownBatch(NamedTuple):
    at_ms: Millis
    records: list[KnownRecord]


def known(hashes: HashSuite, opened: OpenedRecords, rows: Sequence[BatchRow]) -> list[KnownBatch]:
    """Each batch, as its row on the ledger commits to it.

    Errors  NotVerified RECORDS_DO_NOT_MATCH: one is not opened, or not the ledger's.
    """
    if len(opened.batches) < len(rows):
        raise NotVerified(ClientCode.RECORDS_DO_NOT_MATCH, f"{len(rows) - len(opened.batches)} batches left out")
    return [_known(hashes, number, batch, row)
            for number, (batch, row) in enumerate(zip(opened.batches, rows, strict=False), start=1)]


def _known(hashes: HashSuite, number: int, batch: OpenedBatch | None, row: BatchRow) -> KnownBatch:
    found: list[KnownRecord] = []
    roots: list[Hash] = []
    try:
        for one in batch.heads if batch else ():
            head: Head = codec.decode(one.head, Head)
            parts = commit(hashes, "part", one.nonce, one.head), one.rest
            found.append(KnownRecord(Facts(id=head.id, classes=head.classes, labels=head.labels), head.version, parts))
            roots.append(tree_root(hashes, [*parts]))
    except NotUnderstood:
        raise NotVerified(ClientCode.RECORDS_DO_NOT_MATCH, f"batch {number}") from None
    if len(found) != row.count or tree_root(hashes, roots) != row.root:
        raise NotVerified(ClientCode.RECORDS_DO_NOT_MATCH, f"batch {number}")
    return KnownBatch(row.at_ms, found)


def newest(batches: Sequence[KnownBatch]) -> list[KnownRecord]:
    """The newest version of every record, by batch and position: what an answer is judged over."""
    everything = [record for batch in batches for record in batch.records]
    return [everything[at] for at in decision.newest([(one.facts.id, one.version) for one in everything])]


__all__ = ["CODE_CHARS_MAX", "HEAD_CLASSES_MAX", "HEAD_DATES_MAX", "HEAD_LABELS_MAX", "Head", "KnownBatch",
           "KnownRecord", "OpenedBatch", "OpenedHead", "OpenedRecords", "known", "newest"]
