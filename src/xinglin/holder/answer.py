"""Answering a request: open the consent, run `decide`, order the answer, keep what a release needs.

What was asked in words arrives before the request is ordered and is kept under the subject's key, for
denied requests too. What was never delivered is denied.
"""

from typing import Annotated

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import Failed, NotUnderstood
from xinglin.base.codec import Struct
from xinglin.base.history import tree_root
from xinglin.base.ids import NO_HASH, NO_ID, GrantId, Hash, MemberId, SubjectId
from xinglin.base.limits import PERMIT_MS_MAX
from xinglin.base.units import MS_PER_MINUTE, U32, Epoch, Millis
from xinglin.engine.embedded import Committed
from xinglin.holder import shelf
from xinglin.holder.codes import HolderCode
from xinglin.holder.holder import Holder
from xinglin.kernel.state import Reading
from xinglin.modules import access, consent, members
from xinglin.modules.decision import (RULE_VERSION, Cause, ConsentBody, Facts, Inputs, Judgement, Opened, Opening,
                                      RequestBody, commit, decide, records_root)
from xinglin.vault.seal import new_nonce
from xinglin.vault.wrap import PUBLIC_BYTES

PERMIT_MS = PERMIT_MS_MAX - MS_PER_MINUTE    # block time may be a little behind this clock


class Delivered(Struct, tag="xinglin.delivered/1"):
    """A request in words, as the reader's holder hands it over before it is ordered."""

    subject: SubjectId
    request: Opened                # of RequestBody
    recipient: Annotated[bytes, Meta(min_length=PUBLIC_BYTES, max_length=PUBLIC_BYTES)]


class Place(Struct):
    """A released part: which record of which batch, which part of it."""

    batch: U32
    position: U32
    part: U32


class Permit(Struct, tag="xinglin.permit/1"):
    """What a release needs of a permitted answer."""

    grantee: MemberId
    grant_id: GrantId
    epoch: Epoch
    expires_at_ms: Millis
    recipient: Annotated[bytes, Meta(max_length=PUBLIC_BYTES)]
    parts: tuple[Place, ...]
    parts_root: Hash


class Openings(Struct, tag="xinglin.openings/1"):
    """What opens an answer's commitments: `opening` for reader and patient, `inputs` for the patient."""

    inputs: Opened
    opening: Opened


class Candidate(Struct):
    """A live grant that could cover the request."""

    grant_id: GrantId
    epoch: Epoch
    until_h: U32
    body: Hash


def deliver(holder: Holder, delivered: Delivered) -> None:
    """Keep what is about to be asked. Errors  NotFound SUBJECT_NOT_HELD, NotUnderstood BODY_DOES_NOT_MATCH."""
    holder.require_held(delivered.subject)
    try:
        codec.decode(delivered.request.body, RequestBody)
    except NotUnderstood:
        raise NotUnderstood(HolderCode.BODY_DOES_NOT_MATCH) from None
    commitment = commit(holder.node.hashes, "request-body", delivered.request.nonce, delivered.request.body)
    holder.put("delivered", delivered.subject, commitment, delivered)


def keep_consent(holder: Holder, subject: SubjectId, grant_id: GrantId, opened: Opened) -> None:
    """Keep the body of a grant, handed over by the patient's wallet.

    Errors  NotFound SUBJECT_NOT_HELD, NotUnderstood BODY_DOES_NOT_MATCH.
    """
    holder.require_held(subject)
    try:
        codec.decode(opened.body, ConsentBody)
    except NotUnderstood:
        raise NotUnderstood(HolderCode.BODY_DOES_NOT_MATCH) from None
    holder.put("consent", subject, grant_id, opened)


def answer_open(holder: Holder) -> list[Committed]:
    """Answer every open request about this holder's subjects."""
    return [answer(holder, subject, number)
            for (subject, number), _ in holder.node.rows(access.REQUESTS) if holder.holds(subject)]


def answer(holder: Holder, subject: SubjectId, number: int) -> Committed:
    """Decide one open request and order the answer.

    Errors  NotUnderstood REQUEST_NOT_KNOWN when it is not open; Failed from the ledger.
    """
    asked, role, candidates = holder.node.read(lambda ctx: _facts_of(ctx, subject, number))
    found = shelf.newest(shelf.batches(holder, subject))
    delivered = _delivered(holder, subject, asked)
    grant, judgement = _judge(holder, subject, candidates, delivered, [one.shelved.facts for one in found], role)
    try:
        return _order(holder, subject, number, asked, role, grant, judgement, delivered, found)
    except Failed as error:
        if error.code is not access.Refusal.CONSENT_HAS_CHANGED:
            raise
    # She took it back between the decision and its block: then the answer is no.
    denied = Judgement(cause=Cause.NO_BODY, selected=())
    return _order(holder, subject, number, asked, role, grant, denied, delivered, found)


def _facts_of(ctx: Reading, subject: SubjectId, number: int) -> tuple[
        access.RequestRow, members.Role, list[Candidate]]:
    asked = ctx[access.REQUESTS].get((subject, number))
    if asked is None:
        raise NotUnderstood(HolderCode.REQUEST_NOT_KNOWN)
    role = members.staff_of(ctx, asked.reader).role
    live = consent.any_live(ctx, subject, asked.grantee)
    return asked, role, [Candidate(grant_id=given.grant_id, epoch=given.epoch, until_h=given.until_h, body=given.body)
                         for given in live if asked.grant_id in (NO_ID, given.grant_id)]


def _delivered(holder: Holder, subject: SubjectId, asked: access.RequestRow) -> Delivered | None:
    """What was handed over for this request, if it is what the request commits to."""
    found = holder.get("delivered", subject, asked.body, Delivered)
    if not isinstance(found, Delivered):
        return None
    hashes = holder.node.hashes
    right_key = access.key_hash(hashes, found.recipient) == asked.key_hash
    right_body = commit(hashes, "request-body", found.request.nonce, found.request.body) == asked.body
    request = codec.decode(found.request.body, RequestBody)
    return found if right_key and right_body and request.reader == asked.reader else None


def _judge(holder: Holder, subject: SubjectId, candidates: list[Candidate], delivered: Delivered | None,
           facts: list[Facts], role: members.Role) -> tuple[Candidate | None, Judgement]:
    """The first grant that opens something, else the last one's cause."""
    grant: Candidate | None = None
    judgement = Judgement(cause=Cause.NO_BODY, selected=())
    if delivered is None:
        return (candidates[0] if candidates else None), judgement
    request = codec.decode(delivered.request.body, RequestBody)
    for grant in candidates:
        body = consent_body(holder, subject, grant.grant_id, grant.body)
        if isinstance(body, Cause):
            judgement = Judgement(cause=body, selected=())
            continue
        judgement = decide(body, request, facts, role)
        if judgement.cause is Cause.PERMITTED:
            break
    return grant, judgement


def consent_body(holder: Holder, subject: SubjectId, grant_id: GrantId, commitment: Hash) -> ConsentBody | Cause:
    """The body behind a grant's commitment, or why it cannot be judged."""
    opened = holder.get("consent", subject, grant_id, Opened)
    if not isinstance(opened, Opened):
        return Cause.NO_BODY
    if commit(holder.node.hashes, "consent-body", opened.nonce, opened.body) != commitment:
        return Cause.BODY_DOES_NOT_MATCH
    return codec.decode(opened.body, ConsentBody)


def _order(holder: Holder, subject: SubjectId, number: int, asked: access.RequestRow, role: members.Role,
           grant: Candidate | None, judgement: Judgement, delivered: Delivered | None,
           found: list[shelf.Record]) -> Committed:
    hashes, now_ms = holder.node.hashes, holder.node.now_ms()
    selected = [found[at] for at in judgement.selected]
    places = tuple(Place(batch=record.batch.number, position=record.position, part=part)
                   for record in selected for part in (shelf.HEAD, shelf.REST))
    permitted = delivered is not None and grant is not None and bool(places)
    parts_root = tree_root(hashes, [shelf.part_of(record.shelved, part).commitment for record in selected
                                    for part in (shelf.HEAD, shelf.REST)]) if permitted else NO_HASH
    expires_at_ms = now_ms + PERMIT_MS if permitted else 0
    openings = _openings(holder, asked, role, grant, judgement, delivered, found, len(places), now_ms)
    message = access.Answer(
        service=holder.service, subject=subject, number=number,
        decision=access.Decision.PERMIT if permitted else access.Decision.DENIED,
        grant_id=grant.grant_id if grant else NO_ID, epoch=grant.epoch if grant else 0,
        inputs=commit(hashes, "inputs", openings.inputs.nonce, openings.inputs.body),
        opening=commit(hashes, "opening", openings.opening.nonce, openings.opening.body),
        parts_root=parts_root, expires_at_ms=expires_at_ms)
    name = number.to_bytes(4, "big")
    holder.put("openings", subject, name, openings)
    if permitted and delivered is not None and grant is not None:
        holder.put("permit", subject, name, Permit(
            grantee=asked.grantee, grant_id=grant.grant_id, epoch=grant.epoch, expires_at_ms=expires_at_ms,
            recipient=delivered.recipient, parts=places, parts_root=parts_root))
    else:
        holder.cabinet.delete("permit", subject, name)
    committed, _ = holder.order(message)
    return committed


def _openings(holder: Holder, asked: access.RequestRow, role: members.Role, grant: Candidate | None,
              judgement: Judgement, delivered: Delivered | None, found: list[shelf.Record], parts: int,
              now_ms: int) -> Openings:
    facts = [codec.encode(record.shelved.facts) for record in found]
    inputs = Inputs(rule_version=RULE_VERSION, request=asked.body, consent=grant.body if grant else NO_HASH,
                    role=role, at_ms=now_ms, records=len(found),
                    records_root=records_root(holder.node.hashes, facts), cause=judgement.cause)
    scope = codec.decode(delivered.request.body, RequestBody).scope if delivered else ()
    opening = Opening(available=bool(judgement.selected), scope=scope if judgement.selected else (), parts=parts)
    return Openings(inputs=Opened(nonce=new_nonce(), body=codec.encode(inputs)),
                    opening=Opened(nonce=new_nonce(), body=codec.encode(opening)))


__all__ = ["Delivered", "Openings", "Permit", "Place", "answer", "answer_open", "consent_body",
           "deliver", "keep_consent"]
