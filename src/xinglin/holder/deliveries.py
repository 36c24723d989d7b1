"""What a reader's holder hands over before it orders a request: the request in words, signed by the reader.

Nothing is kept for strangers, and little for members: what was handed over and never ordered is counted, and goes
after as long as a transaction may wait.
"""

from typing import Annotated

from msgspec import Meta, structs

from xinglin.base import codec
from xinglin.base.check import Busy, NotAuthorised, NotUnderstood, Refused
from xinglin.base.codec import Struct
from xinglin.base.ids import AccountId, Hash, MemberId, NetworkId, SubjectId
from xinglin.base.limits import (
    DELIVERIES_WAITING_MAX,
    DELIVERIES_WAITING_PER_SUBJECT_MAX,
    TX_WINDOW_MS,
)
from xinglin.base.units import Height, Millis
from xinglin.holder.codes import HolderCode
from xinglin.holder.holder import Holder
from xinglin.modules import access, members
from xinglin.modules.decision import Opened, RequestBody, commit
from xinglin.vault.wrap import PUBLIC_BYTES

DOMAIN = b"xinglin/delivered/1\x00"
OUTCOMES_AT_ONCE = 200
LAST = 2**32 - 1                    # of a block's outcomes


class Delivered(Struct, tag="xinglin.delivered/1"):
    """A request in words, as the reader's holder hands it over before it is ordered."""

    subject: SubjectId
    request: Opened                # of RequestBody
    recipient: Annotated[bytes, Meta(min_length=PUBLIC_BYTES, max_length=PUBLIC_BYTES)]

    def message(self, network: NetworkId) -> bytes:
        """What the reader signs."""
        return DOMAIN + codec.encode((network, self))


class Kept(Struct, tag="xinglin.kept/1"):
    """What was handed over, and how high the ledger stood: what is ordered later was handed over in time."""

    delivered: Delivered
    height: Height


class Waiting(Struct):
    """Handed over, and not seen on the ledger yet."""

    subject: SubjectId
    body: Hash                     # the request's commitment
    height: Height                 # up to which it was looked for
    at_ms: Millis


class WaitingRow(Struct, tag="xinglin.waiting/1"):
    """Of the people of one member."""

    deliveries: Annotated[tuple[Waiting, ...], Meta(max_length=DELIVERIES_WAITING_MAX)]


def deliver(holder: Holder, delivered: Delivered, signature: bytes) -> None:
    """Keep what is about to be asked, for the patient to read and for the answer. Again changes nothing.

    Errors  NotFound SUBJECT_NOT_HELD; NotUnderstood BODY_DOES_NOT_MATCH, ORDERED_ALREADY; NotAuthorised NOT_SIGNED:
            its reader did not sign it, or is nobody's staff; Busy TOO_MUCH_WAITING.
    """
    holder.require_held(delivered.subject)
    try:
        request: RequestBody = codec.decode(delivered.request.body, RequestBody)
    except NotUnderstood:
        raise NotUnderstood(HolderCode.BODY_DOES_NOT_MATCH) from None
    member = _member_of(holder, request.reader)
    if member is None or not holder.has_signed(request.reader, delivered.message(holder.node.network), signature):
        raise NotAuthorised(HolderCode.NOT_SIGNED)
    commitment = commit(holder.node.hashes, "request-body", delivered.request.nonce, delivered.request.body)
    if any(row.body == commitment for _, row in holder.node.rows(access.REQUESTS, delivered.subject)):
        raise NotUnderstood(HolderCode.ORDERED_ALREADY)
    height = holder.node.ask(lambda ledger: ledger.height)
    mine = Waiting(subject=delivered.subject, body=commitment, at_ms=holder.node.now_ms(), height=height)
    with holder.turn(member):
        waiting, gone = _waiting(holder, member, delivered.subject, height)
        of_her = sum(one.subject == delivered.subject for one in waiting)
        there = commitment in holder.cabinet.list("delivered", delivered.subject) and commitment not in [
            one.body for one in gone]
        if not there and (len(waiting) >= DELIVERIES_WAITING_MAX or of_her >= DELIVERIES_WAITING_PER_SUBJECT_MAX):
            raise Busy(HolderCode.TOO_MUCH_WAITING)
        with holder.cabinet.transaction():
            for one in gone:
                holder.cabinet.delete("delivered", one.subject, one.body)
            if not there:              # else it was ordered, or waits: nothing of that is changed by saying it again
                waiting.append(mine)
                holder.put("delivered", delivered.subject, commitment, Kept(delivered=delivered, height=height))
            holder.put("waiting", holder.member, member, WaitingRow(deliveries=tuple(waiting)))


def in_words(holder: Holder, subject: SubjectId, body: Hash) -> Kept | None:
    """What was handed over for a request that commits to `body`."""
    return holder.get("delivered", subject, body, Kept)


def _member_of(holder: Holder, reader: AccountId) -> MemberId | None:
    """The active member whose staff the reader is; a system may not ask, so nothing is kept for it either."""
    try:
        row = holder.node.read(lambda ctx: members.staff_of(ctx, reader))
    except Refused:
        return None
    return None if row.role is members.Role.SERVICE else row.member


def _waiting(holder: Holder, member: MemberId, subject: SubjectId, height: int) -> tuple[list[Waiting], list[Waiting]]:
    """(what of the member's still waits, what has waited too long), without what has been ordered.

    Looked up where it may matter: about this subject, when time is up, or when the row is full. Each is looked for
    once a block, however often it is asked.
    """
    row = holder.get("waiting", holder.member, member, WaitingRow) or WaitingRow(deliveries=())
    full, oldest_ms = len(row.deliveries) >= DELIVERIES_WAITING_MAX, holder.node.now_ms() - TX_WINDOW_MS
    waiting: list[Waiting] = []
    gone: list[Waiting] = []
    for one in row.deliveries:
        late = one.at_ms < oldest_ms
        if late or full or one.subject == subject:
            if _ordered(holder, one):
                continue
            one = structs.replace(one, height=height)
        (gone if late else waiting).append(one)
    return waiting, gone


def _ordered(holder: Holder, one: Waiting) -> bool:
    after = (one.height, LAST)
    while found := holder.node.outcomes_about(one.subject, after, OUTCOMES_AT_ONCE):
        if any(isinstance(event, access.Requested) and event.body == one.body
               for outcome in found for event in outcome.events):
            return True
        after = (found[-1].height, found[-1].index)
    return False


__all__ = ["Delivered", "Kept", "deliver", "in_words"]
