"""Releasing pages of a permitted answer. Every page rechecks the live grant on a fresh tip.

What leaves is ciphertext, and one HPKE wrap per page for the key that the request committed to. The
holder's own clock may only deny.
"""

from typing import Annotated

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import NotAuthorised, NotFound
from xinglin.base.codec import Struct
from xinglin.base.history import tree
from xinglin.base.ids import Hash, NetworkId, SubjectId
from xinglin.base.limits import TIP_AGE_MS_MAX
from xinglin.base.units import U32, Count
from xinglin.holder import read_log, shelf
from xinglin.holder.answer import Openings, Permit, Place
from xinglin.holder.codes import HolderCode
from xinglin.holder.holder import Holder
from xinglin.kernel.state import Reading
from xinglin.modules import consent, members
from xinglin.modules.decision import Opened
from xinglin.vault.wrap import wrap

Path = Annotated[tuple[Hash, ...], Meta(max_length=64)]


class PartKeys(Struct):
    key: Hash
    nonce: Hash


class PageKeys(Struct, tag="xinglin.page-keys/1"):
    """What the wrap holds: key and nonce of each part of the page, in order."""

    parts: tuple[PartKeys, ...]


class ReleasedPart(Struct):
    """A sealed part, and its two ways to the ledger: within its batch, and within this answer."""

    batch: U32
    position: U32                  # of its record in the batch
    batch_size: U32
    part: U32
    record_id: Annotated[str, Meta(max_length=64)]
    version: U32
    sealed: bytes
    sibling: Hash                  # commitment of the record's other part
    batch_path: Path
    answer_index: U32
    answer_path: Path


class Page(Struct, tag="xinglin.page/1"):
    network: NetworkId
    subject: SubjectId
    request: Count
    page: U32                      # from 0
    pages: U32
    parts_total: U32
    wrapped: Annotated[bytes, Meta(max_length=64 * 1024)]
    parts: tuple[ReleasedPart, ...]


def wrap_info(network: NetworkId, subject: SubjectId, request: int, page: int) -> bytes:
    """What a page's wrap is bound to."""
    return codec.encode(("xinglin/page/1", network, subject, request, page))


def page(holder: Holder, subject: SubjectId, request: int, number: int) -> Page:
    """Page `number` of the answer to `request`, logged before it leaves.

    Errors  NotAuthorised NOT_AVAILABLE: denied, ended, taken back or never there, in the same words.
            NotAuthorised TIP_TOO_OLD when the ledger does not move.
    """
    permit = _permit(holder, subject, request)
    per_page = holder.node.manifest.parameters.page_parts
    places = permit.parts[number * per_page:(number + 1) * per_page]
    if not places:
        raise NotAuthorised(HolderCode.NOT_AVAILABLE)
    _check_live(holder, subject, permit)
    records = _records(holder, subject)
    hashes = holder.node.hashes
    answer = tree(hashes, [_part(records[place.batch, place.position], place).commitment for place in permit.parts])
    keys: list[PartKeys] = []
    parts: list[ReleasedPart] = []
    for index, place in enumerate(places, start=number * per_page):
        record = records[place.batch, place.position]
        part = _part(record, place)
        keys.append(PartKeys(key=part.key, nonce=part.nonce))
        parts.append(ReleasedPart(
            batch=place.batch, position=place.position, batch_size=len(record.batch.records), part=place.part,
            record_id=record.shelved.id, version=record.shelved.version,
            sealed=shelf.sealed_part(holder, record, place.part),
            sibling=shelf.part_of(record.shelved, 1 - place.part).commitment,
            batch_path=tuple(shelf.batch_path(hashes, record)),
            answer_index=index, answer_path=tuple(answer.path(index))))
    info = wrap_info(holder.node.network, subject, request, number)
    wrapped = wrap(permit.recipient, info, codec.encode(PageKeys(parts=tuple(keys))))
    read_log.log(holder, read_log.Read(
        at_ms=holder.node.now_ms(), subject=subject, request=request, page=number,
        parts=tuple(_part(records[place.batch, place.position], place).commitment for place in places)))
    _check_fresh(holder)
    _check_live(holder, subject, permit)
    return Page(network=holder.node.network, subject=subject, request=request, page=number,
                pages=-(-len(permit.parts) // per_page), parts_total=len(permit.parts), wrapped=wrapped,
                parts=tuple(parts))


def opening(holder: Holder, subject: SubjectId, request: int) -> Opened:
    """What the reader may know of an answer: available or not, nothing finer."""
    found = None
    if holder.holds(subject):
        found = holder.get("openings", subject, request.to_bytes(4, "big"), Openings)
    if not isinstance(found, Openings):
        raise NotAuthorised(HolderCode.NOT_AVAILABLE)
    return found.opening


def _permit(holder: Holder, subject: SubjectId, request: int) -> Permit:
    try:
        permit = holder.get("permit", subject, request.to_bytes(4, "big"), Permit)
    except NotFound:
        permit = None
    if not isinstance(permit, Permit):
        raise NotAuthorised(HolderCode.NOT_AVAILABLE)
    return permit


def _check_live(holder: Holder, subject: SubjectId, permit: Permit) -> None:
    """The grant is live at the tip, at the epoch that was judged, the reader's member active, time not up."""
    def live(ctx: Reading) -> bool:
        given = consent.live(ctx, subject, permit.grantee, permit.grant_id)
        return (not isinstance(given, consent.Refusal) and given.epoch == permit.epoch
                and ctx.block_time_ms < permit.expires_at_ms and members.is_active(ctx, permit.grantee))
    if not holder.node.read(live):
        raise NotAuthorised(HolderCode.NOT_AVAILABLE)


def _check_fresh(holder: Holder) -> None:
    """The tip is not older than ten seconds; on an idle network the read log's anchor makes a new one."""
    if holder.node.tip_age_ms() > TIP_AGE_MS_MAX:
        read_log.anchor(holder)
    else:
        read_log.anchor_if_due(holder)
    if holder.node.tip_age_ms() > TIP_AGE_MS_MAX:
        raise NotAuthorised(HolderCode.TIP_TOO_OLD)


def _records(holder: Holder, subject: SubjectId) -> dict[tuple[int, int], shelf.Record]:
    return {(batch.number, position): shelf.Record(batch, position, shelved)
            for batch in shelf.batches(holder, subject) for position, shelved in enumerate(batch.records)}


def _part(record: shelf.Record, place: Place) -> shelf.Part:
    return shelf.part_of(record.shelved, place.part)
