"""The holder's log of what it released, in sealed rows; count and running hash are anchored on the ledger."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, structs

from xinglin.base import codec
from xinglin.base.codec import Struct
from xinglin.base.crypto import tagged
from xinglin.base.ids import NO_HASH, Hash, SubjectId
from xinglin.base.limits import ANCHOR_MS
from xinglin.base.units import U32, Count, Millis
from xinglin.engine.embedded import Committed
from xinglin.holder.holder import Holder
from xinglin.modules import access

KIND = "reads"


class Read(Struct, tag="xinglin.read/1"):
    """One page that left this holder under a permit."""

    at_ms: Millis
    subject: SubjectId
    request: Count
    page: U32
    parts: Annotated[tuple[Hash, ...], Meta(max_length=4096)]


class Running(Struct):
    count: Count
    running: Hash
    anchored: Count
    anchored_at_ms: Millis


NO_READS = Running(count=0, running=NO_HASH, anchored=0, anchored_at_ms=0)


def log(holder: Holder, read: Read) -> None:
    """Add a read, before its bytes leave: row and running hash in one transaction."""
    data = codec.encode(read)
    with holder.cabinet.transaction():
        before = running(holder)
        holder.cabinet.append(KIND, holder.member, data, holder.keystore.key(holder.member))
        holder.put(KIND, holder.member, b"running", structs.replace(
            before, count=before.count + 1, running=extend(holder, before.running, data)))


def extend(holder: Holder, before: Hash, data: bytes) -> Hash:
    """The running hash after one more encoded Read."""
    return tagged(holder.node.hashes, "xinglin/read-log/1", before, data)


def running(holder: Holder) -> Running:
    return holder.get(KIND, holder.member, b"running", Running) or NO_READS


def reads(holder: Holder) -> Iterator[Read]:
    """Every read, oldest first."""
    start = 1
    while found := holder.cabinet.rows(KIND, holder.member, holder.keystore.key(holder.member), start):
        for _, data in found:
            yield codec.decode(data, Read)
        start = found[-1][0] + 1


def anchor(holder: Holder, *, even_unchanged: bool = False) -> Committed | None:
    """Commit to the log so far; None when there is nothing new. An unchanged one only makes a fresh tip."""
    with holder.anchoring:         # two at once would overtake each other, and the ledger refuses the slower
        now = running(holder)
        if now.count == now.anchored and not even_unchanged:
            return None
        committed, _ = holder.order(access.Anchor(service=holder.service, count=now.count, running=now.running))
        with holder.cabinet.transaction():      # reads were logged meanwhile
            holder.put(KIND, holder.member, b"running", structs.replace(
                running(holder), anchored=now.count, anchored_at_ms=committed.time_ms))
        return committed


def anchor_if_due(holder: Holder) -> Committed | None:
    """Anchor when the last anchor is a minute old. A server calls it on a timer."""
    if holder.node.now_ms() - running(holder).anchored_at_ms < ANCHOR_MS:
        return None
    return anchor(holder)
