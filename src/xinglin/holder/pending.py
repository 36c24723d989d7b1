"""Requests of this organisation's people whose release was not taken yet, with the key that opens it.

A row is written before its request is ordered, under the organisation's own key, so that a crash loses no release; it
goes when the parts were taken, or when nothing can come any more.
"""

from typing import Annotated, NamedTuple

from msgspec import Meta

from xinglin.base.check import Busy
from xinglin.base.codec import Struct
from xinglin.base.ids import AccountId, Hash, SubjectId, TxId
from xinglin.base.limits import TX_WINDOW_MS
from xinglin.base.units import Height, Millis
from xinglin.holder.codes import HolderCode
from xinglin.holder.holder import Holder
from xinglin.kernel.outcome import Envelope
from xinglin.modules import access
from xinglin.vault.wrap import PRIVATE_BYTES

PENDING_MAX = 4_096                # of one organisation: some five a second, each for as long as a permit lasts
PENDING_PER_READER_MAX = 256       # nor does one of its people take the others' places
KIND = "pending"


class Pending(Struct, tag="xinglin.pending/1"):
    subject: SubjectId
    reader: AccountId
    body: Hash                     # the request's commitment
    private: Annotated[bytes, Meta(min_length=PRIVATE_BYTES, max_length=PRIVATE_BYTES)]
    height: Height                 # of the ledger when it was written
    at_ms: Millis


class Fate(NamedTuple):
    """What the ledger says of a request: None where it says nothing yet."""

    requested: access.Requested | None
    tx: TxId | None
    answer: access.Answered | None
    answer_tx: TxId | None
    over: bool                     # nothing can come any more


def keep(room: Holder, pending: Pending) -> None:
    """Durable on return. Errors  Busy TOO_MUCH_WAITING."""
    with room.turn(room.member):
        if _full(room, pending.reader):
            for reader in {_reader(name) for name in room.cabinet.list(KIND, room.member)}:
                kept(room, reader)
            if _full(room, pending.reader):
                raise Busy(HolderCode.TOO_MUCH_WAITING)
        room.put(KIND, room.member, pending.reader + pending.body, pending)


def drop(room: Holder, reader: AccountId, body: Hash) -> None:
    room.cabinet.delete(KIND, room.member, reader + body)


def kept(room: Holder, reader: AccountId) -> list[tuple[Pending, Fate]]:
    """The reader's, oldest first. What nothing can come of any more is dropped."""
    names = [name for name in room.cabinet.list(KIND, room.member) if _reader(name) == reader]
    rows = [one for name in names if (one := room.get(KIND, room.member, name, Pending)) is not None]
    found = []
    for one, fate in _fates(room, reader, sorted(rows, key=lambda row: row.at_ms)):
        if fate.over:
            drop(room, reader, one.body)
        else:
            found.append((one, fate))
    return found


def fate_of(room: Holder, pending: Pending) -> Fate:
    """What the ledger says of one, which stays."""
    return _fates(room, pending.reader, [pending])[0][1]


def _reader(name: bytes) -> AccountId:
    return name[:16]


def _full(room: Holder, reader: AccountId) -> bool:
    names = room.cabinet.list(KIND, room.member)
    return len(names) >= PENDING_MAX or sum(_reader(name) == reader for name in names) >= PENDING_PER_READER_MAX


def _fates(room: Holder, reader: AccountId, rows: list[Pending]) -> list[tuple[Pending, Fate]]:
    """One walk through what the ledger has of the reader since the oldest of them."""
    if not rows:
        return []
    now_ms = room.node.now_ms()
    fates = {one.body: Fate(None, None, None, None, now_ms > one.at_ms + TX_WINDOW_MS) for one in rows}
    bodies: dict[tuple[SubjectId, int], Hash] = {}     # by (subject, number) of the request
    after = (min(one.height for one in rows), 0)
    while found := room.node.outcomes_about(reader, after):
        for outcome in found:
            envelope = outcome.events[0]
            tx_id = envelope.tx_id if isinstance(envelope, Envelope) else None
            for event in outcome.events:
                if isinstance(event, access.Requested) and event.body in fates:
                    bodies[event.subject, event.number] = event.body
                    fates[event.body] = Fate(event, tx_id, None, None, event.denied != 0)
                elif isinstance(event, access.Answered | access.Breached):
                    body = bodies.get((event.subject, event.request))
                    if body is not None:
                        fates[body] = _answered(fates[body], event, tx_id, now_ms)
        after = (found[-1].height, found[-1].index)
    return [(one, fates[one.body]) for one in rows]


def _answered(fate: Fate, event: access.Answered | access.Breached, tx: TxId | None, now_ms: int) -> Fate:
    if isinstance(event, access.Breached):
        return fate._replace(over=True)
    return fate._replace(answer=event, answer_tx=tx, over=event.expires_at_ms <= now_ms)      # of a denial it is 0


__all__ = ["PENDING_MAX", "Fate", "Pending", "drop", "fate_of", "keep", "kept"]
