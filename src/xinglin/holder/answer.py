"""Answering a request: open the consent, run `decide`, order the answer, keep what a release needs.

What was asked in words arrives before the request is ordered and is kept under the subject's key, for
denied requests too. What was never delivered is denied.

Permit and openings are written before the answer is ordered, in one transaction, so that no committed answer
lacks them. A permit names that answer's transaction: nothing is released before it stands on the ledger.
A denial names no grant and no epoch: which one was considered is finer than "no".
"""

from typing import Annotated, NamedTuple

from msgspec import Meta, structs

from xinglin.base import codec
from xinglin.base.check import Busy, Failed, NotAuthorised, NotUnderstood
from xinglin.base.codec import Struct
from xinglin.base.history import tree_root
from xinglin.base.ids import NO_HASH, NO_ID, AccountId, GrantId, Hash, MemberId, SubjectId, TxId
from xinglin.base.limits import BATCHES_PER_OWNER_MAX, CONSENTS_KEPT_MAX, PERMIT_MS_MAX
from xinglin.base.units import MS_PER_MINUTE, U32, Epoch, Millis
from xinglin.client.door import SignedConsent
from xinglin.engine.embedded import Committed
from xinglin.holder import shelf
from xinglin.holder.codes import HolderCode
from xinglin.holder.deliveries import Delivered, in_words
from xinglin.holder.holder import Holder, events_of
from xinglin.kernel.state import Reading
from xinglin.modules import access, consent, members
from xinglin.modules.decision import (
    RULE_VERSION,
    Cause,
    ConsentBody,
    Inputs,
    Judgement,
    Opened,
    Opening,
    RequestBody,
    commit,
    decide,
    salted,
)
from xinglin.vault.seal import new_nonce
from xinglin.vault.wrap import PUBLIC_BYTES

PERMIT_MS = PERMIT_MS_MAX - MS_PER_MINUTE    # block time may be a little behind this clock


class Place(Struct):
    """A released part: which record of which batch, which part of it."""

    batch: U32
    position: U32
    part: U32


class Permit(Struct, tag="xinglin.permit/1"):
    """What a release needs of a permitted answer."""

    answer: TxId                   # counts only once this transaction stands on the ledger
    reader: AccountId
    grantee: MemberId
    grant_id: GrantId
    epoch: Epoch
    expires_at_ms: Millis
    recipient: Annotated[bytes, Meta(max_length=PUBLIC_BYTES)]
    batches: Annotated[tuple[Hash, ...], Meta(max_length=BATCHES_PER_OWNER_MAX)]   # roots that were judged
    parts: tuple[Place, ...]
    salt: Hash                     # of the parts root, as the opening has it
    parts_root: Hash


class Openings(Struct, tag="xinglin.openings/1"):
    """What opens an answer's commitments: `opening` for reader and patient, `inputs` for the patient."""

    reader: AccountId
    recipient: Annotated[bytes, Meta(max_length=PUBLIC_BYTES)]      # the reader's key; empty when it never came
    inputs: Opened
    opening: Opened


class Candidate(Struct):
    """A live grant that could cover the request."""

    grant_id: GrantId
    epoch: Epoch
    body: Hash


class Asked(NamedTuple):
    """An open request as the ledger has it, at one moment."""

    number: int
    row: access.RequestRow
    role: members.Role
    candidates: list[Candidate]    # none when the reader may not ask any more
    batches: list[Hash]            # roots of the subject's batches


class Judged(NamedTuple):
    """What became of a request: the grant that opens something, what it opens, or why none does."""

    grant: Candidate | None
    judgement: Judgement
    contents: shelf.Contents       # all that the subject has
    delivered: Delivered | None

    @property
    def permitted(self) -> bool:
        return self.judgement.cause is Cause.PERMITTED

    @property
    def selected(self) -> list[shelf.Record]:
        return [self.contents.records[at] for at in self.judgement.selected]

    def denied(self) -> "Judged":
        """The same, when she took it back between the decision and its block."""
        return self._replace(judgement=Judgement(cause=Cause.NO_LONGER_LIVE, selected=()))


def keep_consent(holder: Holder, signed: SignedConsent) -> None:
    """Keep the body of a grant, handed over by the patient's wallet before she orders it, and signed with her key.

    Once the grant is on the ledger only the body that it commits to is taken.
    Errors  NotFound SUBJECT_NOT_HELD; NotAuthorised NOT_SIGNED; NotUnderstood BODY_DOES_NOT_MATCH; Busy
            TOO_MUCH_WAITING.
    """
    subject, grant_id, opened = signed.consent.subject, signed.consent.grant_id, signed.consent.opened
    holder.require_held(subject)
    if signed.consent.network != holder.node.network \
            or not holder.has_signed(subject, signed.consent.message(), signed.signature):
        raise NotAuthorised(HolderCode.NOT_SIGNED)
    try:
        codec.decode(opened.body, ConsentBody)
    except NotUnderstood:
        raise NotUnderstood(HolderCode.BODY_DOES_NOT_MATCH) from None
    commitment = commit(holder.node.hashes, "consent-body", opened.nonce, opened.body)
    on_ledger = {given.grant_id: given.body for _, row in holder.node.rows(consent.GRANTS, subject)
                 for given in row.grants}
    if on_ledger.get(grant_id, commitment) != commitment:
        raise NotUnderstood(HolderCode.BODY_DOES_NOT_MATCH)
    with holder.turn(subject):
        kept = set(holder.cabinet.list("consent", subject)) - {grant_id}
        if len(kept) >= CONSENTS_KEPT_MAX:
            for gone in kept - on_ledger.keys():       # closed long ago, or never ordered
                holder.cabinet.delete("consent", subject, gone)
            if len(kept & on_ledger.keys()) >= CONSENTS_KEPT_MAX:
                raise Busy(HolderCode.TOO_MUCH_WAITING)
        holder.put("consent", subject, grant_id, opened)


def answer_open(holder: Holder) -> list[Committed]:
    """Answer every open request about this holder's subjects.

    Errors  Failed, the first one met, once all were tried: one that cannot be answered holds up no other.
    """
    answered: list[Committed] = []
    failed: list[Failed] = []
    for (subject, number), _ in holder.node.rows(access.REQUESTS):
        try:
            if holder.holds(subject):
                answered.append(answer(holder, subject, number))
        except Failed as error:
            if error.code is not HolderCode.REQUEST_NOT_KNOWN:      # another thread was quicker
                failed.append(error)
    if failed:
        raise failed[0]
    return answered


def answer(holder: Holder, subject: SubjectId, number: int) -> Committed:
    """Decide one open request and order the answer.

    Errors  NotFound SUBJECT_NOT_HELD; NotUnderstood REQUEST_NOT_KNOWN when it is not open; Failed from the ledger.
    """
    holder.require_held(subject)
    with holder.turn(subject):     # two answers to one request would write over each other's openings
        asked = _asked(holder, subject, number)
        judged = _judge(holder, subject, asked)
        try:
            return _order(holder, subject, asked, judged)
        except Failed as error:
            if not (judged.permitted and _withdrawn(error)):
                raise
        return _order(holder, subject, asked, judged.denied())


def _withdrawn(error: Failed) -> bool:
    """The ledger refuses the permit, not the answer: the grant, the reader or the time is no longer what it was."""
    return error.code not in (access.Refusal.REQUEST_NOT_OPEN, access.Refusal.NOT_THE_HOLDER) and isinstance(
        error.code, access.Refusal | members.Refusal)


def _asked(holder: Holder, subject: SubjectId, number: int) -> Asked:
    def look(ctx: Reading) -> Asked:
        row = ctx[access.REQUESTS].get((subject, number)) if 0 < number < 2**32 else None
        staff = ctx[members.STAFF].get((row.reader,)) if row else None
        if row is None or staff is None:
            raise NotUnderstood(HolderCode.REQUEST_NOT_KNOWN)
        live = consent.any_live(ctx, subject, row.grantee) if staff.active else ()
        return Asked(number, row, staff.role, [
            Candidate(grant_id=given.grant_id, epoch=given.epoch, body=given.body)
            for given in live if row.grant_id in (NO_ID, given.grant_id)], shelf.roots(ctx, subject))
    return holder.node.read(look)


def _delivered(holder: Holder, subject: SubjectId, asked: access.RequestRow) -> Delivered | None:
    """What was handed over for this request, if it is what the request commits to."""
    kept = in_words(holder, subject, asked.body)
    if kept is None:
        return None
    found = kept.delivered
    hashes = holder.node.hashes
    right_key = access.key_hash(hashes, found.recipient) == asked.key_hash
    right_body = commit(hashes, "request-body", found.request.nonce, found.request.body) == asked.body
    request = codec.decode(found.request.body, RequestBody)
    return found if right_key and right_body and request.reader == asked.reader else None


def _judge(holder: Holder, subject: SubjectId, asked: Asked) -> Judged:
    """By the first grant that opens something, else with the last one's cause."""
    contents = shelf.contents(holder, subject, asked.batches)
    delivered = _delivered(holder, subject, asked.row)
    grant: Candidate | None = None
    judgement = Judgement(cause=Cause.NO_BODY, selected=())
    if delivered is not None:
        request = codec.decode(delivered.request.body, RequestBody)
        for grant in asked.candidates:
            body = consent_body(holder, subject, grant.grant_id, grant.body)
            if isinstance(body, Cause):
                judgement = Judgement(cause=body, selected=())
            else:
                judgement = decide(body, request, contents.facts, asked.role)
            if judgement.cause is Cause.PERMITTED:
                break
    return Judged(grant, judgement, contents, delivered)


def consent_body(holder: Holder, subject: SubjectId, grant_id: GrantId, commitment: Hash) -> ConsentBody | Cause:
    """The body behind a grant's commitment, or why it cannot be judged."""
    opened = holder.get("consent", subject, grant_id, Opened)
    if opened is None:
        return Cause.NO_BODY
    if commit(holder.node.hashes, "consent-body", opened.nonce, opened.body) != commitment:
        return Cause.BODY_DOES_NOT_MATCH
    body: ConsentBody = codec.decode(opened.body, ConsentBody)
    return body


def _order(holder: Holder, subject: SubjectId, asked: Asked, judged: Judged) -> Committed:
    """Keep permit and openings, then order the answer that they belong to."""
    hashes, now_ms = holder.node.hashes, holder.node.now_ms()
    places = tuple(Place(batch=record.batch.number, position=record.position, part=part)
                   for record in judged.selected for part in (shelf.HEAD, shelf.REST))
    salt = new_nonce() if judged.permitted else NO_HASH
    openings = _openings(holder, asked, judged, now_ms, len(places), salt)
    permit: Permit | None = None
    grant, delivered = judged.grant, judged.delivered
    if judged.permitted and grant is not None and delivered is not None:
        permit = Permit(
            answer=NO_HASH, reader=asked.row.reader, grantee=asked.row.grantee, grant_id=grant.grant_id,
            epoch=grant.epoch, expires_at_ms=now_ms + PERMIT_MS, recipient=delivered.recipient,
            batches=tuple(asked.batches), parts=places, salt=salt, parts_root=tree_root(hashes, salted(hashes, salt, [
                shelf.part_of(record.shelved, part).commitment
                for record in judged.selected for part in (shelf.HEAD, shelf.REST)])))
    raw, tx_id = holder.signed(access.Answer(
        service=holder.service, subject=subject, number=asked.number,
        decision=access.Decision.PERMIT if permit else access.Decision.DENIED,
        grant_id=permit.grant_id if permit else NO_ID, epoch=permit.epoch if permit else 0,
        inputs=commit(hashes, "inputs", openings.inputs.nonce, openings.inputs.body),
        opening=commit(hashes, "opening", openings.opening.nonce, openings.opening.body),
        parts_root=permit.parts_root if permit else NO_HASH, expires_at_ms=permit.expires_at_ms if permit else 0))
    name = asked.number.to_bytes(4, "big")
    with holder.cabinet.transaction():
        holder.put("openings", subject, name, openings)
        if permit:
            holder.put("permit", subject, name, structs.replace(permit, answer=tx_id))
        else:
            holder.cabinet.delete("permit", subject, name)
    committed = holder.node.order(raw)
    events_of(holder.node, committed)
    return committed


def _openings(holder: Holder, asked: Asked, judged: Judged, now_ms: int, parts: int, salt: Hash) -> Openings:
    inputs = Inputs(rule_version=RULE_VERSION, request=asked.row.body,
                    consent=judged.grant.body if judged.grant else NO_HASH,
                    role=asked.role, at_ms=now_ms, records=len(judged.contents.facts),
                    records_root=judged.contents.facts_root, cause=judged.judgement.cause)
    available, delivered = judged.permitted, judged.delivered
    scope = codec.decode(delivered.request.body, RequestBody).scope if delivered and available else ()
    opening = Opening(available=available, scope=scope, parts=parts, salt=salt)
    return Openings(reader=asked.row.reader, recipient=delivered.recipient if delivered else b"",
                    inputs=Opened(nonce=new_nonce(), body=codec.encode(inputs)),
                    opening=Opened(nonce=new_nonce(), body=codec.encode(opening)))


__all__ = ["Openings", "Permit", "Place", "answer", "answer_open", "consent_body", "keep_consent"]
