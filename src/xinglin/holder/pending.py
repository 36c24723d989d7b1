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
        if len(room.cabinet.list(KIND, room.member)) >= PENDING_MAX and len(kept(room)) >= PENDING_MAX:
            raise Busy(HolderCode.TOO_MUCH_WAITING)
        room.put(KIND, room.member, pending.body, pending)


def drop(room: Holder, body: Hash) -> None:
    room.cabinet.delete(KIND, room.member, body)


def kept(room: Holder) -> list[tuple[Pending, Fate]]:
    """Oldest first. What nothing can come of any more is dropped."""
    found = []
    for name in room.cabinet.list(KIND, room.member):
        one = room.get(KIND, room.member, name, Pending)
        if one is not None:
            said = _fate(room, one)
            if said.over:
                drop(room, name)
            else:
                found.append((one, said))
    return sorted(found, key=lambda pair: pair[0].at_ms)


def _fate(room: Holder, pending: Pending) -> Fate:
    requested: access.Requested | None = None
    answer: access.Answered | None = None
    tx: TxId | None = None
    answer_tx: TxId | None = None
    now_ms, after, over = room.node.now_ms(), (pending.height, 0), False
    while found := room.node.outcomes_about(pending.reader, after):
        for outcome in found:
            envelope = outcome.events[0]
            tx_id = envelope.tx_id if isinstance(envelope, Envelope) else None
            for event in outcome.events:
                if isinstance(event, access.Requested) and event.body == pending.body:
                    requested, tx, over = event, tx_id, event.denied != 0
                elif isinstance(event, access.Answered | access.Breached) and requested is not None and (
                        event.subject, event.request) == (requested.subject, requested.number):
                    if isinstance(event, access.Answered):
                        answer, answer_tx = event, tx_id
                    over = answer is None or answer.expires_at_ms <= now_ms      # of a denial it is 0
        after = (found[-1].height, found[-1].index)
    if requested is None:
        over = now_ms > pending.at_ms + TX_WINDOW_MS
    return Fate(requested, tx, answer, answer_tx, over)


__all__ = ["PENDING_MAX", "Fate", "Pending", "drop", "keep", "kept"]
