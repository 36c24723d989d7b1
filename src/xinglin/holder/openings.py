"""What a patient reads at her holder, after signing its challenge with her subject's key.

Entries are public to nobody: the store's index by subject answers her, or an entitled member.
"""

import secrets
from xinglin.base import codec
from xinglin.base.check import NotAuthorised, SignatureInvalid
from xinglin.base.crypto import verify
from xinglin.base.ids import SubjectId
from xinglin.client.door import Challenge, SignedChallenge, Words
from xinglin.holder.answer import Delivered, Openings
from xinglin.holder.codes import HolderCode
from xinglin.holder.holder import Holder
from xinglin.kernel.accounts import ACCOUNTS
from xinglin.kernel.module import Event
from xinglin.kernel.receipt import StateProof
from xinglin.modules import access

def challenge(holder: Holder, subject: SubjectId) -> Challenge:
    """Errors  NotFound SUBJECT_NOT_HELD."""
    holder.require_held(subject)
    nonce = secrets.token_bytes(32)
    holder.challenges[nonce] = subject
    return Challenge(network=holder.node.network, subject=subject, nonce=nonce)


def history(holder: Holder, signed: SignedChallenge) -> tuple[list[Event], list[Words], bytes]:
    """(all entries in order, the words behind them, a state-proof file of the log row) for the subject.

    Errors  NotAuthorised CHALLENGE_NOT_MET.
    """
    subject = _met(holder, signed)
    proof = holder.node.prove(access.LOG, (subject,))
    row = codec.decode(proof, StateProof).row
    count = codec.decode(row, access.LogRow).count if row else 0
    entries: list[Event] = []
    after = (0, 0)
    while found := holder.node.outcomes_about(subject, after):
        for outcome in found:
            entries.extend(event for event in outcome.events if isinstance(event, access.ENTRY_TYPES)
                           and event.subject == subject)
        after = (found[-1].height, found[-1].index)
    entries = entries[:count]      # what came after the proof is for the next one
    return entries, [_words(holder, subject, entry) for entry in entries], proof


def _words(holder: Holder, subject: SubjectId, entry: Event) -> Words:
    if isinstance(entry, access.Requested):
        delivered = holder.get("delivered", subject, entry.body, Delivered)
        return Words(number=entry.number, request=delivered.request if isinstance(delivered, Delivered) else None,
                     inputs=None, opening=None)
    if isinstance(entry, access.Answered):
        found = holder.get("openings", subject, entry.request.to_bytes(4, "big"), Openings)
        if isinstance(found, Openings):
            return Words(number=entry.number, request=None, inputs=found.inputs, opening=found.opening)
    return Words(number=entry.number, request=None, inputs=None, opening=None)


def _met(holder: Holder, signed: SignedChallenge) -> SubjectId:
    """The subject whose live key signed a challenge that was drawn here and not used before."""
    asked = signed.challenge
    subject = holder.challenges.pop(asked.nonce, None)
    if subject is None or subject != asked.subject or asked.network != holder.node.network:
        raise NotAuthorised(HolderCode.CHALLENGE_NOT_MET)
    row = holder.node.read(lambda ctx: ctx[ACCOUNTS].get((subject,)))
    message = asked.message()
    for key in row.keys if row else ():
        if not key.retired:
            try:
                verify(key.suite, key.key, message, signed.signature)
                return subject
            except SignatureInvalid:
                continue
    raise NotAuthorised(HolderCode.CHALLENGE_NOT_MET)
