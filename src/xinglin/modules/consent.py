"""Consent: which organisation may ask for a subject's data, until when.

Tables      consent/grants   (subject, grantee) -> GrantsRow: at most 32; a closed one makes room
Messages    consent.grant/1   the subject permits an organisation, in whole UTC hours
            consent.revoke/1  the subject takes it back; needs no sponsor
Timers      a grant that has run out is marked so, one event; it was not live a moment earlier
Invariants  a grant ends after it starts; of the active grants of a row no two have one id or one epoch
Reads       members (is this organisation active?), subjects (is the grantor one?)
Source      FHIR R4 Consent; GDPR Art. 7(3): withdrawing is as easy as giving
"""

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, structs

from xinglin.base.ids import Commitment, GrantId, MemberId, SubjectId
from xinglin.base.limits import GRANT_HOURS_MAX, GRANTS_PER_ROW_MAX
from xinglin.base.units import MS_PER_HOUR, Count, Epoch, Hours
from xinglin.kernel.module import Code, Event, Inner, Message, Module, Row, Table, refuse
from xinglin.kernel.state import Context
from xinglin.modules import members, subjects


class Refusal(Code):              # consent's hundred, 200-299; permanent; order is precedence
    GRANTEE_NOT_ACTIVE = 200
    EXPIRY_MUST_BE_IN_FUTURE = 201
    GRANT_ALREADY_EXISTS = 202
    GRANT_NOT_FOUND = 203
    GRANT_NOT_ACTIVE = 204
    GRANT_EXPIRED = 205
    TOO_MANY_OPEN_GRANTS = 206
    EXPIRY_TOO_FAR_AHEAD = 207


class Status(IntEnum):
    """0 and 2 are kept for pending and suspended, which come with passkeys and recovery."""

    ACTIVE = 1
    REVOKED = 3
    EXPIRED = 4


class Grant(Message, tag="consent.grant/1"):
    subject: SubjectId            # random, one per (patient, holder); unclaimed has no key to sign with
    grantee: MemberId             # the organisation; person or role is in the body
    grant_id: GrantId             # drawn by the wallet
    until_h: Hours                # whole UTC hours: milliseconds would link a patient's subjects
    body: Commitment              # salted: person or role, scope, purposes, labels, wording, language


class Revoke(Message, tag="consent.revoke/1"):
    subject: SubjectId
    grantee: MemberId
    grant_id: GrantId


class Given(Inner):
    grant_id: GrantId
    since_h: Hours
    until_h: Hours
    status: Status
    epoch: Epoch                  # the row's counter at its last change; a permit binds it
    body: Commitment


class GrantsRow(Row):
    changes: Epoch
    grants: Annotated[tuple[Given, ...], Meta(max_length=GRANTS_PER_ROW_MAX)]


class Granted(Event, tag="consent.granted/1"):
    subject: SubjectId
    grantee: MemberId
    grant_id: GrantId
    until_h: Hours
    epoch: Epoch
    body: Commitment

    about = ("subject",)


class Revoked(Event, tag="consent.revoked/1"):
    subject: SubjectId
    grantee: MemberId
    grant_id: GrantId
    epoch: Epoch

    about = ("subject",)


class Expired(Event, tag="consent.expired/1"):
    subject: SubjectId
    grantee: MemberId
    grants: Count                 # how many ran out in this hour
    epoch: Epoch

    about = ("subject",)


NO_GRANTS = GrantsRow(changes=0, grants=())


def earliest_end_of_an_open_grant(row: GrantsRow) -> int | None:
    ends = [given.until_h for given in row.grants if given.status is Status.ACTIVE]
    return min(ends) * MS_PER_HOUR if ends else None


GRANTS = Table("consent/grants", key=(SubjectId, MemberId), value=GrantsRow, empty=NO_GRANTS,
               due=earliest_end_of_an_open_grant)


def grant(ctx: Context, msg: Grant) -> Event:
    """Record the subject's permission; the kernel has already checked the signer."""
    subjects.require_subject(ctx, msg.subject)
    row = ctx[GRANTS].get((msg.subject, msg.grantee)) or NO_GRANTS
    members.require_active(ctx, msg.grantee, Refusal.GRANTEE_NOT_ACTIVE)
    if msg.until_h <= ctx.block_time_h:
        refuse(Refusal.EXPIRY_MUST_BE_IN_FUTURE, until_h=msg.until_h)
    if find(row, msg.grant_id):
        refuse(Refusal.GRANT_ALREADY_EXISTS)
    kept = make_room(row.grants, ctx.block_time_h)
    if len(kept) == GRANTS_PER_ROW_MAX:
        refuse(Refusal.TOO_MANY_OPEN_GRANTS)
    if msg.until_h > ctx.block_time_h + GRANT_HOURS_MAX:
        refuse(Refusal.EXPIRY_TOO_FAR_AHEAD, until_h=msg.until_h)

    epoch = row.changes + 1
    ctx[GRANTS].put((msg.subject, msg.grantee), GrantsRow(changes=epoch, grants=(*kept, Given(
        grant_id=msg.grant_id, since_h=ctx.block_time_h, until_h=msg.until_h,
        status=Status.ACTIVE, epoch=epoch, body=msg.body))))

    return Granted(subject=msg.subject, grantee=msg.grantee, grant_id=msg.grant_id,
                   until_h=msg.until_h, epoch=epoch, body=msg.body)


def revoke(ctx: Context, msg: Revoke) -> Event:
    """Take a permission back: the next request and the next page of an answer are denied."""
    row = ctx[GRANTS].get((msg.subject, msg.grantee)) or NO_GRANTS
    given = find(row, msg.grant_id)
    if given is None:
        refuse(Refusal.GRANT_NOT_FOUND)
    if given.status is Status.REVOKED:
        refuse(Refusal.GRANT_NOT_ACTIVE)
    if given.until_h <= ctx.block_time_h:
        refuse(Refusal.GRANT_EXPIRED)

    epoch = row.changes + 1
    _close(ctx, msg.subject, msg.grantee, row, (given,), Status.REVOKED)
    return Revoked(subject=msg.subject, grantee=msg.grantee, grant_id=msg.grant_id, epoch=epoch)


def expire(ctx: Context, key: tuple[SubjectId, MemberId], row: GrantsRow) -> Event:
    """Mark what has run out. Nothing waits for this: `live` judges by block time alone."""
    over = tuple(given for given in row.grants
                 if given.status is Status.ACTIVE and given.until_h <= ctx.block_time_h)
    subject, grantee = key
    _close(ctx, subject, grantee, row, over, Status.EXPIRED)
    return Expired(subject=subject, grantee=grantee, grants=len(over), epoch=row.changes + 1)


def _close(ctx: Context, subject: SubjectId, grantee: MemberId, row: GrantsRow,
           ended: tuple[Given, ...], status: Status) -> None:
    epoch = row.changes + 1
    grants = tuple(structs.replace(given, status=status, epoch=epoch) if given in ended else given
                   for given in row.grants)
    ctx[GRANTS].put((subject, grantee), GrantsRow(changes=epoch, grants=grants))


# -- reads

def find(row: GrantsRow, grant_id: GrantId) -> Given | None:
    for given in row.grants:
        if given.grant_id == grant_id:
            return given
    return None


def make_room(grants: tuple[Given, ...], at_h: Hours) -> tuple[Given, ...]:
    """The grants without the oldest closed one, if the row is full."""
    if len(grants) < GRANTS_PER_ROW_MAX:
        return grants
    for at, given in enumerate(grants):
        if why_not_live(given, at_h) is not None:
            return grants[:at] + grants[at + 1:]
    return grants


def why_not_live(given: Given, now_h: Hours) -> Refusal | None:
    """None when live at hour `now_h`, else why not."""
    if given.status is Status.REVOKED:      # before expired: a withdrawn grant must never look merely stale
        return Refusal.GRANT_NOT_ACTIVE
    if given.until_h <= now_h:              # never "has the timer run"
        return Refusal.GRANT_EXPIRED
    return None


def live(ctx: Context, subject: SubjectId, grantee: MemberId, grant_id: GrantId) -> Given | Refusal:
    """The grant if it is live at block time, else why not. Pure read, for modules and holder.

    A suspended organisation holds no live grant: nothing is released to it meanwhile.
    """
    if not members.is_active(ctx, grantee):
        return Refusal.GRANTEE_NOT_ACTIVE
    given = find(ctx[GRANTS].get((subject, grantee)) or NO_GRANTS, grant_id)
    if given is None:
        return Refusal.GRANT_NOT_FOUND
    return why_not_live(given, ctx.block_time_h) or given


def any_live(ctx: Context, subject: SubjectId, grantee: MemberId) -> tuple[Given, ...]:
    """Every grant of the pair that is live at block time, oldest first; none while the grantee is not active."""
    if not members.is_active(ctx, grantee):
        return ()
    row = ctx[GRANTS].get((subject, grantee)) or NO_GRANTS
    return tuple(given for given in row.grants if why_not_live(given, ctx.block_time_h) is None)


def grant_ends_after_it_starts(row: GrantsRow) -> bool:
    return all(given.until_h > given.since_h for given in row.grants)


def ids_and_epochs_are_told_apart(row: GrantsRow) -> bool:
    """Grants that ran out together share the epoch of their end; no permit can bind that one."""
    active = [given.epoch for given in row.grants if given.status is Status.ACTIVE]
    ids = {given.grant_id for given in row.grants}
    return (len(ids) == len(row.grants) and len(set(active)) == len(active)
            and all(0 < given.epoch <= row.changes for given in row.grants))


MODULE = Module(
    name="consent",
    version=1,
    codes=Refusal,
    tables=(GRANTS,),
    rules={Grant: grant, Revoke: revoke},
    signed_by={Grant: "subject", Revoke: "subject"},
    events=(Granted, Revoked, Expired),
    unsponsored=(Revoke,),
    timers={GRANTS: expire},
    invariants={GRANTS: (grant_ends_after_it_starts, ids_and_epochs_are_told_apart)},
)
