"""Checkpoints that are shown to the world: at most one a second, each of a whole block, cosigned by witnesses.

Every block has a checkpoint, which its receipts carry. Few of them are published: a witness signs one, a static
server serves one. A published checkpoint is a row of its own, outside the state, under its size; cosignatures are
added to it as they come. All of this runs between blocks, when what the ledger shows is durable.
"""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from xinglin.base import codec
from xinglin.base import note as notes
from xinglin.base.check import NotFound
from xinglin.base.codec import Struct
from xinglin.base.limits import NOTE_BYTES_MAX, PUBLISH_MS
from xinglin.base.units import Height, Millis
from xinglin.engine.codes import EngineCode
from xinglin.engine.ledger import Ledger

FAMILY = b"p"


class PublishedRow(Struct, tag="engine.published/1"):
    height: Height
    at_ms: Millis                  # by this node's clock
    note: Annotated[bytes, Meta(max_length=NOTE_BYTES_MAX)]

    @property
    def checkpoint(self) -> notes.Checkpoint:
        return notes.read_checkpoint(self.note)


def newest_first(ledger: Ledger, limit: int | None = None) -> Iterator[PublishedRow]:
    for _, data in ledger.store.scan(FAMILY, reverse=True, limit=limit):
        yield codec.decode(data, PublishedRow)


def newest(ledger: Ledger) -> PublishedRow | None:
    return next(newest_first(ledger, limit=1), None)


def publish(ledger: Ledger, now_ms: int) -> PublishedRow:
    """The tip's checkpoint, published from now on; the last one while it is less than a second old.

    Errors  NotFound NOTHING_TO_PUBLISH before the first block.
    """
    last = newest(ledger)
    if last is not None and (last.height == ledger.height or 0 <= now_ms - last.at_ms < PUBLISH_MS):
        return last
    if ledger.height == 0:
        raise NotFound(EngineCode.NOTHING_TO_PUBLISH)
    row = PublishedRow(height=ledger.height, at_ms=now_ms, note=ledger.block(ledger.height).checkpoint)
    _keep(ledger, row)
    return row


def add_cosignatures(ledger: Ledger, row: PublishedRow, lines: bytes) -> PublishedRow:
    """The row with more signature lines, as many as fit; a line by a key that has one there takes its place."""
    text, _, _ = row.note.partition(b"\n\n")
    signatures = notes.signature_lines(row.note) | notes.signature_lines(text + b"\n\n" + lines)
    note = text + b"\n\n"
    for line in signatures.values():
        if len(note) + len(line) <= NOTE_BYTES_MAX:
            note += line
    grown = PublishedRow(height=row.height, at_ms=row.at_ms, note=note)
    _keep(ledger, grown)
    return grown


def _keep(ledger: Ledger, row: PublishedRow) -> None:
    batch = ledger.store.batch()
    batch.put(FAMILY + row.checkpoint.size.to_bytes(8, "big"), codec.encode(row))
    ledger.store.write(batch)
    ledger.store.sync()


__all__ = ["PublishedRow", "add_cosignatures", "newest", "newest_first", "publish"]
