"""Records: what exists, as commitments. A record is one version of one FHIR resource.

Tables      records/batches  (owner, number) -> BatchRow; owner is a subject, or a member for its directory
Messages    records.batch/1  a holder commits to a batch of records under one root
Invariants  a batch holds at least one record
Reads       members (whose service signs?), subjects (who holds this subject?)
Source      design.md 5: record root = RFC 6962 over (head, rest), batch root over record roots
"""

from typing import Annotated

from msgspec import Meta

from xinglin.base.ids import AccountId, Hash, Id
from xinglin.base.limits import RECORDS_PER_BATCH_MAX
from xinglin.base.units import Count, Millis
from xinglin.kernel.module import Code, Event, Message, Module, Row, Table, refuse
from xinglin.kernel.state import Context
from xinglin.modules import members, subjects


class Refusal(Code):              # records' hundred, 400-499
    OWNER_NOT_HELD_HERE = 400
    BATCH_NUMBER_TAKEN = 401
    BATCH_NUMBER_SKIPPED = 402


RecordCount = Annotated[int, Meta(ge=1, le=RECORDS_PER_BATCH_MAX)]


class BatchRow(Row):
    root: Hash
    count: RecordCount
    at_ms: Millis


BATCHES = Table("records/batches", key=(Id, Count), value=BatchRow)


class Batch(Message, tag="records.batch/1"):
    service: AccountId
    owner: Id                      # a subject of this holder, or the holder itself
    number: Annotated[int, Meta(ge=1, le=2**32 - 1)]   # the one after the batch before: a stale writer loses
    root: Hash
    count: RecordCount


class Committed(Event, tag="records.committed/1"):
    owner: Id
    number: Count
    root: Hash
    count: RecordCount

    about = ("owner",)


def batch(ctx: Context, msg: Batch) -> Event:
    """Commit to a batch. Numbers count up without a gap, so two writers cannot both follow one batch."""
    holder = members.service_of(ctx, msg.service)
    if msg.owner != holder:
        if subjects.find(ctx, msg.owner).holder != holder:
            refuse(Refusal.OWNER_NOT_HELD_HERE)
    if ctx[BATCHES].has((msg.owner, msg.number)):
        refuse(Refusal.BATCH_NUMBER_TAKEN)
    if msg.number > 1 and not ctx[BATCHES].has((msg.owner, msg.number - 1)):
        refuse(Refusal.BATCH_NUMBER_SKIPPED)

    ctx[BATCHES].put((msg.owner, msg.number), BatchRow(
        root=msg.root, count=msg.count, at_ms=ctx.block_time_ms))
    return Committed(owner=msg.owner, number=msg.number, root=msg.root, count=msg.count)


def batch_holds_a_record(row: BatchRow) -> bool:
    return row.count > 0


MODULE = Module(
    name="records",
    version=1,
    codes=Refusal,
    tables=(BATCHES,),
    rules={Batch: batch},
    signed_by={Batch: "service"},
    events=(Committed,),
    invariants={BATCHES: (batch_holds_a_record,)},
)
