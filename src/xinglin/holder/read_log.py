"""The holder's log of what it released, in sealed rows; count and running hash are anchored on the ledger."""

from typing import Annotated

from msgspec import Meta

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


def log(holder: Holder, read: Read) -> None:
    """Add a read, before its bytes leave."""
    data = codec.encode(read)
    key = holder.keystore.key(holder.member)
    before = running(holder)
    holder.cabinet.append(KIND, holder.member, data, key)
    holder.put(KIND, holder.member, b"running", Running(
        count=before.count + 1, running=tagged(holder.node.hashes, "xinglin/read-log/1", before.running, data),
        anchored=before.anchored, anchored_at_ms=before.anchored_at_ms))


def running(holder: Holder) -> Running:
    found = holder.get(KIND, holder.member, b"running", Running)
    return found if isinstance(found, Running) else Running(count=0, running=NO_HASH, anchored=0, anchored_at_ms=0)


def anchor(holder: Holder) -> Committed | None:
    """Commit to the log so far; None when there is nothing new."""
    now = running(holder)
    if now.count == now.anchored:
        return None
    committed, _ = holder.order(access.Anchor(service=holder.service, count=now.count, running=now.running))
    holder.put(KIND, holder.member, b"running", Running(
        count=now.count, running=now.running, anchored=now.count, anchored_at_ms=committed.time_ms))
    return committed


def anchor_if_due(holder: Holder) -> Committed | None:
    """Anchor when the last anchor is a minute old. A server calls it on a timer, a command when it ends."""
    if holder.node.now_ms() - running(holder).anchored_at_ms < ANCHOR_MS:
        return None
    return anchor(holder)
