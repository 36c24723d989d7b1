"""Releasing pages of a permitted answer. Every page rechecks the live grant on a fresh tip.

What leaves is ciphertext, and one HPKE wrap per page for the key that the request committed to. The
holder's own clock may only deny. A page is logged once it is certain to leave, and before it does.
"""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import Failed, NotAuthorised, Refused
from xinglin.base.codec import Struct
from xinglin.base.history import Appended, tree
from xinglin.base.ids import Hash, NetworkId, SubjectId
from xinglin.base.limits import PAGE_PARTS_MAX, RESOURCE_BYTES_MAX, TIP_AGE_MS_MAX
from xinglin.base.units import U32, Count
from xinglin.holder import read_log, shelf
from xinglin.holder.answer import Openings, Permit, Place
from xinglin.holder.codes import HolderCode
from xinglin.holder.holder import Holder
from xinglin.kernel.state import Reading
from xinglin.modules import access, consent, members
from xinglin.modules.decision import Opening, salted
from xinglin.vault import VaultCode
from xinglin.vault.wrap import wrap

FETCH_DOMAIN = b"xinglin/fetch/1\x00"

Path = Annotated[tuple[Hash, ...], Meta(max_length=64)]
Wrapped = Annotated[bytes, Meta(max_length=128 * 1024)]            # 1,000 parts: 69 KB of keys and nonces
Sealed = Annotated[bytes, Meta(max_length=RESOURCE_BYTES_MAX + 64 * 1024)]


class PartKeys(Struct):
    key: Hash
    nonce: Hash


class PageKeys(Struct, tag="xinglin.page-keys/1"):
    """What the wrap holds: key and nonce of each part of the page, in order."""

    parts: Annotated[tuple[PartKeys, ...], Meta(max_length=PAGE_PARTS_MAX)]


class ReleasedPart(Struct):
    """A sealed part, and its two ways to the ledger: within its batch, and within this answer."""

    batch: U32
    position: U32                  # of its record in the batch
    batch_size: U32
    part: U32
    record_id: Annotated[str, Meta(max_length=64)]
    version: U32
    sealed: Sealed
    sibling: Hash                  # commitment of the record's other part
    batch_path: Path
    answer_index: U32              # among the parts; its leaf is the next one, behind the salt's
    answer_path: Path


class Page(Struct, tag="xinglin.page/1"):
    network: NetworkId
    subject: SubjectId
    request: Count
    page: U32                      # from 0
    pages: U32
    parts_total: U32
    wrapped: Wrapped
    parts: Annotated[tuple[ReleasedPart, ...], Meta(max_length=PAGE_PARTS_MAX)]


@dataclass(frozen=True, eq=False)
class Served:
    """A permitted answer that stands on the ledger, and the tree over its parts. It holds no key."""

    permit: Permit
    tree: Appended


def wrap_info(network: NetworkId, subject: SubjectId, request: int, page: int) -> bytes:
    """What a page's wrap is bound to."""
    return codec.encode(("xinglin/page/1", network, subject, request, page))


def opening_info(network: NetworkId, subject: SubjectId, request: int) -> bytes:
    """What a wrapped opening is bound to."""
    return codec.encode(("xinglin/opening/1", network, subject, request))


def fetch_message(network: NetworkId, subject: SubjectId, request: int, page: int | None) -> bytes:
    """What the reader signs to be given a page, or the opening where there is none: others get nothing, and leave
    nothing in the read log."""
    return FETCH_DOMAIN + codec.encode((network, subject, request, page))


def page(holder: Holder, subject: SubjectId, request: int, number: int, signature: bytes) -> Page:
    """Page `number` of the answer to `request`, for the reader who signed for it, logged before it leaves.

    Errors  NotAuthorised NOT_AVAILABLE: denied, ended, taken back or never there, in the same words.
            NotAuthorised TIP_TOO_OLD when the ledger does not move.
    """
    if not 0 <= number < 2**32:
        raise NotAuthorised(HolderCode.NOT_AVAILABLE)
    served = _served(holder, subject, request, number, signature)
    permit = served.permit
    per_page = holder.node.manifest.parameters.page_parts
    places = permit.parts[number * per_page:(number + 1) * per_page]
    if not places:
        raise NotAuthorised(HolderCode.NOT_AVAILABLE)
    _check_live(holder, subject, permit)
    found = _found(holder, subject, permit, places)
    parts = tuple(_released(holder, served, place, record, index)
                  for index, (place, record) in enumerate(found, start=number * per_page))
    inner = [_part(record, place) for place, record in found]
    wrapped = wrap(permit.recipient, wrap_info(holder.node.network, subject, request, number), codec.encode(
        PageKeys(parts=tuple(PartKeys(key=part.key, nonce=part.nonce) for part in inner))))
    _check_fresh(holder)
    _check_live(holder, subject, permit)
    read_log.log(holder, read_log.Read(at_ms=holder.node.now_ms(), subject=subject, request=request, page=number,
                                       parts=tuple(part.commitment for part in inner)))
    return Page(network=holder.node.network, subject=subject, request=request, page=number,
                pages=-(-len(permit.parts) // per_page), parts_total=len(permit.parts), wrapped=wrapped, parts=parts)


def opening(holder: Holder, subject: SubjectId, request: int, signature: bytes) -> bytes:
    """What the reader may know of an answer, available or not and nothing finer, wrapped for her key alone.

    Of what was permitted it is given as long as a page would be.
    Errors  NotAuthorised NOT_AVAILABLE.
    """
    _check_held(holder, subject, request)
    found = holder.get("openings", subject, request.to_bytes(4, "big"), Openings)
    if found is None or not found.recipient or not holder.has_signed(
            found.reader, fetch_message(holder.node.network, subject, request, None), signature):
        raise NotAuthorised(HolderCode.NOT_AVAILABLE)
    if codec.decode(found.opening.body, Opening).available:
        _check_live(holder, subject, _served(holder, subject, request, None, signature).permit)
    return wrap(found.recipient, opening_info(holder.node.network, subject, request), codec.encode(found.opening))


def _check_held(holder: Holder, subject: SubjectId, request: int) -> None:
    try:
        holder.keystore.key(subject)
    except Failed as error:
        holder.forget(subject)
        if error.code is VaultCode.KEY_DAMAGED:
            raise
        raise NotAuthorised(HolderCode.NOT_AVAILABLE) from None
    if not 0 < request < 2**32:
        raise NotAuthorised(HolderCode.NOT_AVAILABLE)


def _served(holder: Holder, subject: SubjectId, request: int, number: int | None, signature: bytes) -> Served:
    """The permit, if its reader signed for this page and the answer that it belongs to stands on the ledger."""
    _check_held(holder, subject, request)
    served = holder.served.get(subject, request)
    permit = served.permit if served else holder.get("permit", subject, request.to_bytes(4, "big"), Permit)
    if permit is None or not holder.has_signed(
            permit.reader, fetch_message(holder.node.network, subject, request, number), signature):
        raise NotAuthorised(HolderCode.NOT_AVAILABLE)
    if served is None:
        if not _stands(holder, subject, request, permit):
            raise NotAuthorised(HolderCode.NOT_AVAILABLE)
        served = Served(permit, tree(holder.node.hashes, salted(holder.node.hashes, permit.salt, [
            _part(record, place).commitment for place, record in _found(holder, subject, permit, permit.parts)])))
        holder.served.put(subject, request, served)
    return served


def _stands(holder: Holder, subject: SubjectId, request: int, permit: Permit) -> bool:
    outcome = holder.node.outcome(permit.answer)
    for event in outcome.events if outcome else ():
        if isinstance(event, access.Answered) and (event.subject, event.request) == (subject, request):
            return (event.decision, event.reader, event.grant_id, event.epoch, event.parts_root, event.expires_at_ms) \
                == (access.Decision.PERMIT, permit.reader, permit.grant_id, permit.epoch, permit.parts_root,
                    permit.expires_at_ms)
    return False


def _check_live(holder: Holder, subject: SubjectId, permit: Permit) -> None:
    """The grant is live at the tip, at the epoch that was judged; reader and holder are still of active members."""
    def live(ctx: Reading) -> bool:
        if not members.is_active(ctx, holder.member):
            return False
        try:
            members.staff_of(ctx, permit.reader)
        except Refused:
            return False
        given = consent.live(ctx, subject, permit.grantee, permit.grant_id)
        return (not isinstance(given, consent.Refusal) and given.epoch == permit.epoch
                and ctx.block_time_ms < permit.expires_at_ms)
    if not holder.node.read(live):
        raise NotAuthorised(HolderCode.NOT_AVAILABLE)


def _check_fresh(holder: Holder) -> None:
    """The tip is not older than ten seconds; on an idle network the read log's anchor makes a new one."""
    if holder.node.tip_age_ms() > TIP_AGE_MS_MAX:
        read_log.anchor(holder, even_unchanged=True)
    else:
        read_log.anchor_if_due(holder)
    if holder.node.tip_age_ms() > TIP_AGE_MS_MAX:
        raise NotAuthorised(HolderCode.TIP_TOO_OLD)


def _found(holder: Holder, subject: SubjectId, permit: Permit,
           places: tuple[Place, ...]) -> list[tuple[Place, shelf.Record]]:
    batches = {batch.number: batch for batch in shelf.batches(holder, subject, permit.batches)}
    return [(place, shelf.Record(batches[place.batch], place.position, batches[place.batch].records[place.position]))
            for place in places]


def _released(holder: Holder, served: Served, place: Place, record: shelf.Record, index: int) -> ReleasedPart:
    return ReleasedPart(
        batch=place.batch, position=place.position, batch_size=len(record.batch.records), part=place.part,
        record_id=record.shelved.id, version=record.shelved.version,
        sealed=shelf.sealed_part(holder, record, place.part),
        sibling=shelf.part_of(record.shelved, 1 - place.part).commitment,
        batch_path=tuple(record.batch_path), answer_index=index, answer_path=tuple(served.tree.path(1 + index)))


def _part(record: shelf.Record, place: Place) -> shelf.Part:
    return shelf.part_of(record.shelved, place.part)
