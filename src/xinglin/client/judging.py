"""Whether a holder's answer follows from the rules: `decide` run again over what the answer commits to.

What goes in is held to the ledger first: the request's words to the request, the consent's terms to the grant, the
role to the reader's row, the facts to the batches. What must come out stands in the answer: permitted or denied, and
the root over the parts that were released. Nothing is taken from the holder's word but what nobody else can know, and
then the finding says that it cannot be told.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from xinglin.base import codec
from xinglin.base.check import NotUnderstood
from xinglin.base.crypto import HashSuite
from xinglin.base.history import tree_root
from xinglin.base.ids import NO_HASH, NO_ID, Commitment, GrantId
from xinglin.base.limits import GRANTS_PER_ROW_MAX
from xinglin.base.units import MS_PER_HOUR, Count, Millis
from xinglin.client.door import Words
from xinglin.client.records import KnownBatch, KnownRecord, newest
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
    decide,
    records_root,
    salted,
)


class Finding(Enum):
    FOLLOWS = "the rule says the same, of the same records"

    # -- it does not follow
    OTHER_REQUEST = "another request was judged than the one on the ledger"
    OTHER_ROLE = "the reader was given a role that is not hers"
    OTHER_CONSENT = "the consent that was judged is not one to this organisation, or not the one that was named"
    OTHER_RECORDS = "the records that were judged are not those on the ledger"
    OTHER_CAUSE = "the rule says something else"
    OTHER_PARTS = "other records were released than the rule selects"
    COVERED = "denied, though a consent in force covers it"

    # -- it cannot be told
    NOT_OPENED = "what was asked or judged was not opened"
    OTHER_KEY = "denied; its words came with another key than the request's, and may not have counted"
    OTHER_RULE = "judged by a version of the rule that is not known here"
    CONSENT_NOT_KNOWN = "the terms of a consent are not known here"
    PERHAPS_COVERED = "denied; whether a consent that covers it was in force just then, the ledger does not tell"

    @property
    def follows(self) -> bool | None:
        """None when it cannot be told."""
        if self in (Finding.NOT_OPENED, Finding.OTHER_KEY, Finding.OTHER_RULE, Finding.CONSENT_NOT_KNOWN,
                    Finding.PERHAPS_COVERED):
            return None
        return self is Finding.FOLLOWS


class Terms(NamedTuple):
    """The terms of a consent, as its grant's commitment on the ledger has them."""

    grant_id: GrantId
    body: ConsentBody


class Known(NamedTuple):
    """What the ledger, and her own wallet, say of what an answer was judged by."""

    hashes: HashSuite
    answer_ms: Millis              # how long a holder may take
    batches: Sequence[KnownBatch]
    grants: Sequence[consent.Given]                # to the organisation that asked, as they stand now
    terms: Mapping[Commitment, Terms]              # of consents to that organisation
    staff: members.StaffRow | None                 # of the reader
    active_since_ms: Millis | None                 # she and her organisation; None when they may not ask now


class Judged(NamedTuple):
    """A finding about one answer: the cause that was stated, the one that the rule gives, and how many records were
    released and should have been."""

    request: Count
    permitted: bool
    finding: Finding
    stated: Cause | None = None
    found: Cause | None = None
    released: int = 0
    due: int = 0


def opened(type_: type[codec.T], one: Opened | None) -> codec.T | None:
    """What lies in a commitment that was opened; None also where it is no such thing."""
    try:
        value: codec.T | None = None if one is None else codec.decode(one.body, type_)
    except NotUnderstood:
        return None
    return value


def judge(known: Known, asked: access.Requested, request: Words, answer: access.Answered, words: Words) -> Judged:
    """One answer. `request` and `words` were compared with the ledger's commitments before."""
    inputs, permitted = opened(Inputs, words.inputs), answer.decision is access.Decision.PERMIT
    if inputs is None:
        return Judged(asked.number, permitted, Finding.NOT_OPENED)
    opening = opened(Opening, words.opening)
    said = Judged(asked.number, permitted, Finding.FOLLOWS, inputs.cause,
                  released=opening.parts // 2 if opening else 0)
    if inputs.rule_version != RULE_VERSION:
        return said._replace(finding=Finding.OTHER_RULE)
    if inputs.request != asked.body:
        return said._replace(finding=Finding.OTHER_REQUEST)
    if known.staff is None or known.staff.role != inputs.role:
        return said._replace(finding=Finding.OTHER_ROLE)
    records = _records(known, asked, inputs)
    if records is None:
        return said._replace(finding=Finding.OTHER_RECORDS)
    if permitted is not (inputs.cause is Cause.PERMITTED):
        return said._replace(finding=Finding.OTHER_CAUSE)
    body = opened(RequestBody, request.request)
    if body is None:
        return said._replace(finding=Finding.NOT_OPENED)
    if body.reader != asked.reader:                # words of somebody else are as none
        return said._replace(finding=Finding.FOLLOWS if inputs.cause is Cause.NO_BODY else Finding.OTHER_CAUSE,
                             found=Cause.NO_BODY)
    if not permitted and request.recipient != asked.key_hash:    # a holder answers no to what it cannot be sure of
        return said._replace(finding=Finding.NOT_OPENED if request.recipient is None else Finding.OTHER_KEY)
    if permitted:
        return _permitted(known, said, asked, answer, inputs, body, records, opening)
    return _denied(known, said, asked, inputs, body, records)


def _records(known: Known, asked: access.Requested, inputs: Inputs) -> list[KnownRecord] | None:
    """The records that were judged: all that stood on the ledger at some moment between request and answer."""
    asked_ms = asked.due_ms - known.answer_ms
    before = sum(batch.at_ms <= asked_ms for batch in known.batches)
    until = sum(batch.at_ms <= asked.due_ms for batch in known.batches)
    for count in range(before, until + 1):
        found = newest(known.batches[:count])
        root = records_root(known.hashes, [codec.encode(one.facts) for one in found])
        if (len(found), root) == (inputs.records, inputs.records_root):
            return found
    return None


def _judgement(known: Known, terms: Terms, request: RequestBody, records: Sequence[KnownRecord]) -> Judgement:
    role = known.staff.role if known.staff else members.Role.SERVICE
    return decide(terms.body, request, [one.facts for one in records], role)


def _permitted(known: Known, said: Judged, asked: access.Requested, answer: access.Answered, inputs: Inputs,
               request: RequestBody, records: Sequence[KnownRecord], opening: Opening | None) -> Judged:
    """The ledger itself has seen that the grant was live, and is the one that was named if any was."""
    of_grant = [one.body for one in known.grants if one.grant_id == answer.grant_id] + [
        commitment for commitment, terms in known.terms.items() if terms.grant_id == answer.grant_id]
    if not of_grant or opening is None:
        return said._replace(finding=Finding.NOT_OPENED if of_grant else Finding.CONSENT_NOT_KNOWN)
    if inputs.consent not in of_grant:
        return said._replace(finding=Finding.OTHER_CONSENT)
    terms = known.terms.get(inputs.consent)
    if terms is None:
        return said._replace(finding=Finding.CONSENT_NOT_KNOWN)
    again = _judgement(known, terms, request, records)
    said = said._replace(found=again.cause, due=len(again.selected))
    if again.cause is not Cause.PERMITTED:
        return said._replace(finding=Finding.OTHER_CAUSE)
    entries = salted(known.hashes, opening.salt, [part for at in again.selected for part in records[at].parts])
    same = opening.parts == len(entries) - 1 and tree_root(known.hashes, entries) == answer.parts_root
    return said if same else said._replace(finding=Finding.OTHER_PARTS)


def _denied(known: Known, said: Judged, asked: access.Requested, inputs: Inputs, request: RequestBody,
            records: Sequence[KnownRecord]) -> Judged:
    """As the consent that was judged has it; and no other one in force may have covered it."""
    if inputs.consent != NO_HASH:
        terms = known.terms.get(inputs.consent)
        if terms is None:
            return said._replace(finding=Finding.CONSENT_NOT_KNOWN)
        if asked.grant_id not in (NO_ID, terms.grant_id):
            return said._replace(finding=Finding.OTHER_CONSENT)
        found = _judgement(known, terms, request, records).cause
        said = said._replace(found=found)
        stated = Cause.PERMITTED if inputs.cause is Cause.NO_LONGER_LIVE else inputs.cause
        lacking = stated in (Cause.NO_BODY, Cause.BODY_DOES_NOT_MATCH)       # it says that it has not the terms
        if found is not stated and (found is Cause.PERMITTED or not lacking):
            return said._replace(finding=Finding.OTHER_CAUSE)
    elif inputs.cause is not Cause.NO_BODY:
        return said._replace(finding=Finding.OTHER_CAUSE)
    return said._replace(finding=_in_force(known, asked, request, records))


def _in_force(known: Known, asked: access.Requested, request: RequestBody, records: Sequence[KnownRecord]) -> Finding:
    """Whether a consent that may have been in force covers what was denied, also one that is said to have ended.

    The ledger has the hours of a grant, and not when it was taken back: one that began in the hour of the request,
    ran out before the answer was due, or was taken back, may have been in force. One that ran out later was.
    """
    asked_ms, finding = asked.due_ms - known.answer_ms, Finding.FOLLOWS
    could_ask = known.active_since_ms is not None and known.active_since_ms <= asked_ms
    for given in known.grants:
        if asked.grant_id not in (NO_ID, given.grant_id) or given.since_h * MS_PER_HOUR > asked.due_ms \
                or given.until_h * MS_PER_HOUR <= asked_ms:
            continue
        terms = known.terms.get(given.body)
        if terms is None:
            finding = Finding.CONSENT_NOT_KNOWN
        elif _judgement(known, terms, request, records).cause is Cause.PERMITTED:
            throughout = given.status is not consent.Status.REVOKED and (given.since_h + 1) * MS_PER_HOUR <= asked_ms \
                and given.until_h * MS_PER_HOUR > asked.due_ms
            if throughout and could_ask:
                return Finding.COVERED
            finding = Finding.PERHAPS_COVERED
    for terms in _made_room(known, asked_ms):
        if asked.grant_id in (NO_ID, terms.grant_id) \
                and _judgement(known, terms, request, records).cause is Cause.PERMITTED:
            finding = Finding.PERHAPS_COVERED
    return finding


def _made_room(known: Known, asked_ms: Millis) -> list[Terms]:
    """Terms whose grant may have left the row since: a full row, with one that is newer than the request.

    A grant leaves only when it has ended and another takes its place; what left before was not in force any more.
    """
    if len(known.grants) < GRANTS_PER_ROW_MAX or (known.grants[-1].since_h + 1) * MS_PER_HOUR <= asked_ms:
        return []
    there = {given.grant_id for given in known.grants}
    return [terms for terms in known.terms.values() if terms.grant_id not in there]


__all__ = ["Finding", "Judged", "Known", "Terms", "judge", "opened"]
