"""What a patient reads at her holder, after signing its challenge with her subject's key.

Entries are public to nobody: the store's index by subject answers her, or an entitled member.
"""

from collections.abc import Mapping

from xinglin.base import codec
from xinglin.base.check import NotAuthorised
from xinglin.base.ids import Commitment, Hash, SubjectId
from xinglin.client.door import Challenge, SignedChallenge, Words, challenge_message
from xinglin.client.records import OpenedBatch, OpenedHead, OpenedRecords
from xinglin.holder import shelf
from xinglin.holder.answer import Openings
from xinglin.holder.codes import HolderCode
from xinglin.holder.deliveries import in_words
from xinglin.holder.holder import Holder
from xinglin.kernel.module import Event
from xinglin.kernel.receipt import StateProof
from xinglin.modules import access
from xinglin.modules.decision import Inputs, Opened, commit

OUTCOMES_AT_ONCE = 200             # read between two blocks: the ledger goes on meanwhile


def challenge(holder: Holder, subject: SubjectId) -> Challenge:
    """Errors  NotFound SUBJECT_NOT_HELD."""
    holder.require_held(subject)
    return Challenge(network=holder.node.network, subject=subject, nonce=holder.challenges.draw(subject))


def history(holder: Holder, signed: SignedChallenge) -> tuple[list[Event], list[Words], bytes]:
    """(all entries in order, the words behind them, a state-proof file of the log row) for the subject.

    Errors  NotAuthorised CHALLENGE_NOT_MET.
    """
    subject = _met(holder, signed)
    proof = holder.node.prove(access.LOG, (subject,))
    row = codec.decode(proof, StateProof).row
    count = codec.decode(row, access.LogRow).count if row else 0
    entries: list[tuple[access.Entry, int]] = []       # each with its height
    after = (0, 0)
    while len(entries) < count and (found := holder.node.outcomes_about(subject, after, OUTCOMES_AT_ONCE)):
        for outcome in found:
            entries.extend((event, outcome.height) for event in outcome.events if isinstance(event, access.Entry)
                           and event.subject == subject)
        after = (found[-1].height, found[-1].index)
    entries = entries[:count]      # what came after the proof is for the next one
    terms = _terms(holder, subject)
    return ([entry for entry, _ in entries],
            [_words(holder, subject, entry, height, terms) for entry, height in entries], proof)


def records(holder: Holder, signed: SignedChallenge) -> OpenedRecords:
    """The head of each of her records, with what leads it to the ledger: what `decide` was given, for her to check.

    Errors  NotAuthorised CHALLENGE_NOT_MET; as the vault's.
    """
    subject = _met(holder, signed)
    on_ledger = holder.node.read(lambda ctx: shelf.roots(ctx, subject))
    found = {batch.number: batch for batch in shelf.batches(holder, subject, on_ledger)}
    return OpenedRecords(batches=tuple(
        _batch(holder, subject, found[number]) if number in found else None
        for number in range(1, len(on_ledger) + 1)))


def _batch(holder: Holder, subject: SubjectId, batch: shelf.Batch) -> OpenedBatch:
    return OpenedBatch(heads=tuple(
        OpenedHead(head=shelf.open_part(holder, subject, shelf.Record(batch, position, one), shelf.HEAD),
                   nonce=one.head.nonce, rest=one.rest.commitment)
        for position, one in enumerate(batch.records)))


def _terms(holder: Holder, subject: SubjectId) -> dict[Commitment, Opened]:
    """Every consent's terms that are kept, by what a grant commits to."""
    kept = (holder.get("consent", subject, name, Opened) for name in holder.cabinet.list("consent", subject))
    return {commit(holder.node.hashes, "consent-body", one.nonce, one.body): one for one in kept if one is not None}


def _words(holder: Holder, subject: SubjectId, entry: access.Entry, height: int,
           terms: Mapping[Commitment, Opened]) -> Words:
    """What is kept of an entry, if it is what the entry commits to: an answer that failed half-way left others.

    A request that was handed over once it stood on the ledger was not handed over: its answer did not know it.
    """
    hashes = holder.node.hashes
    request: Opened | None = None
    inputs: Opened | None = None
    opening: Opened | None = None
    judged: Opened | None = None
    recipient: Hash | None = None
    if isinstance(entry, access.Requested):
        told = in_words(holder, subject, entry.body)
        if told and told.height < height:
            request, recipient = told.delivered.request, access.key_hash(hashes, told.delivered.recipient)
    elif isinstance(entry, access.Answered):
        kept = holder.get("openings", subject, entry.request.to_bytes(4, "big"), Openings)
        if kept and commit(hashes, "inputs", kept.inputs.nonce, kept.inputs.body) == entry.inputs:
            inputs, opening = kept.inputs, kept.opening
            judged = terms.get(codec.decode(inputs.body, Inputs).consent)
    return Words(number=entry.number, request=request, inputs=inputs, opening=opening, consent=judged,
                 recipient=recipient)


def _met(holder: Holder, signed: SignedChallenge) -> SubjectId:
    """The subject whose live key signed a challenge that was drawn here and not used before."""
    asked = signed.challenge
    subject = asked.subject
    # Used up last, once the signature was found good.
    if asked.network == holder.node.network and holder.holds(subject) \
            and holder.challenges.is_open(subject, asked.nonce) \
            and holder.has_signed(subject, challenge_message(asked, signed.recipient), signed.signature) \
            and holder.challenges.use(subject, asked.nonce):
        return subject
    raise NotAuthorised(HolderCode.CHALLENGE_NOT_MET)
