"""Members: organisations, admitted by votes, and the people and services that act for them.

Tables      members/members   (member) -> MemberRow
            members/staff     (account) -> StaffRow, staff and services
            members/motions   (member, motion) -> MotionRow, while a vote is open
            members/tally     () -> TallyRow, how many are active, and how many were ever admitted
            members/invited   (proposer) -> InvitedRow, how many of its newcomers are not admitted yet
            members/key_motions  (member, proposer) -> KeyMotionRow, while a vote about a member's key is open
Messages    members.invite/1   a member proposes another, which shows that it holds its key
            members.propose/1  a member proposes to suspend or reinstate another
            members.vote/1     a member agrees with an open motion, or has it counted anew
            members.enrol_staff/1, members.enrol_service/1, members.end_staff/1
            members.rotate_key/1   a member, a person or a system of one puts a new key in the place of its own
            members.replace_key/1  a member proposes to give another a new key, when it lost its own or was robbed of it
            members.retire_key/1   a member proposes to end one key of another
            members.vote_key/1     a member agrees with exactly that
Invariants  no more are active than were admitted; a motion has no voter twice; open invitations are bounded
            a motion is carried by a message alone, and counted when one comes: who is active then decides
            whatever became of others meanwhile, those who suffice can carry it: one who voted votes again
Reads       nothing below
Source      design.md 5; domains.md 2 and 12: more than two thirds of the active members decide
"""

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, structs

from xinglin.base.crypto import SignatureSuite
from xinglin.base.ids import AccountId, Commitment, KeyHash, MemberId
from xinglin.base.limits import INVITED_PER_MEMBER_MAX, MEMBERS_MAX, VOTE_UNITS
from xinglin.base.units import Count, Millis
from xinglin.kernel.accounts import (
    AccountKind,
    Custody,
    Key,
    end_keys,
    is_last_without_end,
    kind_of,
    live_key,
    open_with_key,
    replace_keys,
    require_new_key,
    rotate_key,
    suspend,
)
from xinglin.kernel.genesis import Manifest, MemberKind, PublicKey
from xinglin.kernel.module import Code, Event, Introduces, Message, Module, Row, Table, refuse
from xinglin.kernel.state import Context


class Refusal(Code):              # members' hundred, 100-199; permanent; order is precedence
    MEMBER_NOT_ACTIVE = 100
    MEMBER_ALREADY_KNOWN = 101
    MEMBER_NOT_FOUND = 102
    MOTION_NOT_FOUND = 103
    MOTION_ALREADY_OPEN = 104
    ALREADY_VOTED = 105
    NOTHING_TO_CHANGE = 106
    STAFF_NOT_ACTIVE = 107
    STAFF_OF_ANOTHER_MEMBER = 108
    SERVICE_NOT_ACTIVE = 109
    LAST_ACTIVE_MEMBER = 110
    ROLE_IS_FOR_SERVICES = 111
    TOO_MANY_MEMBERS = 112
    PASSKEY_IS_FOR_SUBJECTS = 113
    TOO_MANY_INVITATIONS = 114
    ACCOUNT_NOT_OF_A_MEMBER = 115
    KEY_NOT_LIVE = 116
    LAST_KEY_OF_MEMBER = 117


class MemberStatus(IntEnum):
    INVITED, ACTIVE, SUSPENDED = range(3)


class Motion(IntEnum):
    ADMIT, SUSPEND, REINSTATE = range(3)


class KeyMotion(IntEnum):
    REPLACE, RETIRE = range(2)


class Role(IntEnum):
    """What a member of staff is; a service is no person."""

    PHYSICIAN, NURSE, PHARMACIST, PSYCHIATRIST, CLAIMS_OFFICER, AUDITOR, RESEARCHER, SERVICE = range(8)


class MemberRow(Row):
    kind: MemberKind
    status: MemberStatus
    since_ms: Millis
    card: Commitment               # salted: the directory card with the name


class StaffRow(Row):
    member: MemberId
    role: Role
    active: bool
    card: Commitment


class MotionRow(Row):
    # The proposer first.
    voters: Annotated[tuple[MemberId, ...], Meta(max_length=MEMBERS_MAX)]


class KeyMotionRow(Row):
    motion: KeyMotion
    suite: SignatureSuite
    key: PublicKey                 # the new one, or the one that is to end
    id: KeyHash
    # The proposer first.
    voters: Annotated[tuple[MemberId, ...], Meta(max_length=MEMBERS_MAX)]


class TallyRow(Row):
    active: Count
    admitted: Count                # at most MEMBERS_MAX, so the voters of a motion and a second's payers fit their rows


class InvitedRow(Row):
    open: Count


MEMBERS = Table("members/members", key=(MemberId,), value=MemberRow)
STAFF = Table("members/staff", key=(AccountId,), value=StaffRow)
MOTIONS = Table("members/motions", key=(MemberId, Motion), value=MotionRow)
TALLY = Table("members/tally", key=(), value=TallyRow, empty=TallyRow(active=0, admitted=0))
KEY_MOTIONS = Table("members/key_motions", key=(MemberId, MemberId), value=KeyMotionRow)
INVITED = Table("members/invited", key=(MemberId,), value=InvitedRow, empty=InvitedRow(open=0))


class Invite(Message, tag="members.invite/1"):
    proposer: MemberId
    member: MemberId               # drawn by the newcomer
    kind: MemberKind
    suite: SignatureSuite
    key: PublicKey
    card: Commitment


class Propose(Message, tag="members.propose/1"):
    proposer: MemberId
    member: MemberId
    motion: Motion                 # suspend or reinstate


class Vote(Message, tag="members.vote/1"):
    voter: MemberId
    member: MemberId
    motion: Motion


class EnrolStaff(Message, tag="members.enrol_staff/1"):
    member: MemberId
    account: AccountId
    role: Role
    custody: Custody               # server: the member keeps the key, and every receipt says so
    suite: SignatureSuite
    key: PublicKey
    card: Commitment


class EnrolService(Message, tag="members.enrol_service/1"):
    member: MemberId
    account: AccountId
    suite: SignatureSuite
    key: PublicKey


class EndStaff(Message, tag="members.end_staff/1"):
    member: MemberId
    account: AccountId


class RotateKey(Message, tag="members.rotate_key/1"):
    account: AccountId             # a member, or staff or a service of one; the key that signs for it is replaced
    suite: SignatureSuite
    key: PublicKey
    old_until_ms: Millis           # the old key signs until then; 0 or past: no more


class ReplaceKey(Message, tag="members.replace_key/1"):
    proposer: MemberId
    member: MemberId
    suite: SignatureSuite
    key: PublicKey


class RetireKey(Message, tag="members.retire_key/1"):
    proposer: MemberId
    member: MemberId
    key: KeyHash


class VoteKey(Message, tag="members.vote_key/1"):
    voter: MemberId
    proposer: MemberId
    member: MemberId
    motion: KeyMotion
    key: KeyHash                   # what is voted on to the bit: the proposer may have another motion by now


class Moved(Event, tag="members.moved/1"):
    """A motion was opened or joined; `carried` when it took effect."""

    member: MemberId
    motion: Motion
    votes: Count
    carried: bool

    about = ("member",)


class KeyMoved(Event, tag="members.key_moved/1"):
    """A motion about a key was opened or joined; `carried` when it took effect."""

    member: MemberId
    proposer: MemberId
    motion: KeyMotion
    key: KeyHash
    votes: Count
    carried: bool

    about = ("member",)


class KeyRotated(Event, tag="members.key_rotated/1"):
    account: AccountId
    old: KeyHash
    new: KeyHash
    old_until_ms: Millis

    about = ("account",)


class Enrolled(Event, tag="members.enrolled/1"):
    member: MemberId
    account: AccountId
    role: Role
    custody: Custody

    about = ("member", "account")


class Ended(Event, tag="members.ended/1"):
    member: MemberId
    account: AccountId

    about = ("member", "account")


def found(ctx: Context, manifest: Manifest) -> None:
    """Height 0: the founders are active, without a vote."""
    for founder in manifest.founders:
        _no_passkey(founder.suite)
        open_with_key(ctx, founder.member, AccountKind.MEMBER, founder.member, founder.suite, founder.key, Custody.OWN)
        ctx[MEMBERS].put((founder.member,), MemberRow(
            kind=founder.kind, status=MemberStatus.ACTIVE, since_ms=manifest.started_ms, card=founder.card))
    ctx[TALLY].put((), TallyRow(active=len(manifest.founders), admitted=len(manifest.founders)))


def invite(ctx: Context, msg: Invite) -> Event:
    """Propose a new member; its own signature shows that it holds the key and wants to join."""
    require_active(ctx, msg.proposer)
    if ctx[MEMBERS].has((msg.member,)):
        refuse(Refusal.MEMBER_ALREADY_KNOWN)
    _require_room(ctx)
    _no_passkey(msg.suite)
    invited = _invited(ctx, msg.proposer)
    if invited == INVITED_PER_MEMBER_MAX:
        refuse(Refusal.TOO_MANY_INVITATIONS)

    open_with_key(ctx, msg.member, AccountKind.MEMBER, msg.member, msg.suite, msg.key, Custody.OWN,
                  suspended=True)                     # until it is admitted
    ctx[INVITED].put((msg.proposer,), InvitedRow(open=invited + 1))
    ctx[MEMBERS].put((msg.member,), MemberRow(
        kind=msg.kind, status=MemberStatus.INVITED, since_ms=ctx.block_time_ms, card=msg.card))
    return _count(ctx, msg.member, Motion.ADMIT, (msg.proposer,))


def propose(ctx: Context, msg: Propose) -> Event:
    """Open a motion to suspend or reinstate a member; proposing is the first vote."""
    require_active(ctx, msg.proposer)
    row = ctx[MEMBERS].get((msg.member,))
    if row is None:
        refuse(Refusal.MEMBER_NOT_FOUND)
    wanted = {Motion.SUSPEND: MemberStatus.ACTIVE, Motion.REINSTATE: MemberStatus.SUSPENDED}.get(msg.motion)
    if row.status is not wanted:
        refuse(Refusal.NOTHING_TO_CHANGE)
    if ctx[MOTIONS].has((msg.member, msg.motion)):
        refuse(Refusal.MOTION_ALREADY_OPEN)
    _keep_one(ctx, msg.motion)

    return _count(ctx, msg.member, msg.motion, (msg.proposer,))


def vote(ctx: Context, msg: Vote) -> Event:
    """Agree with an open motion; who did so may again once that carries it, since others came or went meanwhile."""
    require_active(ctx, msg.voter)
    motion = ctx[MOTIONS].get((msg.member, msg.motion))
    if motion is None:
        refuse(Refusal.MOTION_NOT_FOUND)
    voters = _joined(ctx, motion, msg.voter)
    _keep_one(ctx, msg.motion)
    if msg.motion is Motion.ADMIT:
        _require_room(ctx)

    return _count(ctx, msg.member, msg.motion, voters)


def _joined(ctx: Context, motion: MotionRow | KeyMotionRow, voter: MemberId) -> tuple[MemberId, ...]:
    """Its voters with this one, who may be among them where that carries it now. Refused ALREADY_VOTED."""
    if voter not in motion.voters:
        return (*motion.voters, voter)
    if not _suffice(ctx, standing(ctx, motion)):
        refuse(Refusal.ALREADY_VOTED)
    return motion.voters


def _count(ctx: Context, member: MemberId, motion: Motion, voters: tuple[MemberId, ...]) -> Event:
    """Write the votes, and what they decide. Only votes of members that are active now count."""
    tally = _tally(ctx)
    written = MotionRow(voters=voters)
    votes = standing(ctx, written)
    carried = _suffice(ctx, votes)
    if not carried:
        ctx[MOTIONS].put((member, motion), written)
    else:
        ctx[MOTIONS].delete((member, motion))
        row = ctx[MEMBERS].get((member,))
        status = MemberStatus.SUSPENDED if motion is Motion.SUSPEND else MemberStatus.ACTIVE
        if row is not None:
            ctx[MEMBERS].put((member,), structs.replace(row, status=status, since_ms=ctx.block_time_ms))
        suspend(ctx, member, motion is Motion.SUSPEND)
        if motion is Motion.ADMIT:
            ctx[INVITED].put((voters[0],), InvitedRow(open=_invited(ctx, voters[0]) - 1))
        ctx[TALLY].put((), TallyRow(active=tally.active + (-1 if motion is Motion.SUSPEND else 1),
                                    admitted=tally.admitted + (motion is Motion.ADMIT)))
    return Moved(member=member, motion=motion, votes=votes, carried=carried)


def enrol_staff(ctx: Context, msg: EnrolStaff) -> Event:
    """Give a person of the member an account; role and custody stand in the state from now on."""
    require_active(ctx, msg.member)
    if msg.role is Role.SERVICE:
        refuse(Refusal.ROLE_IS_FOR_SERVICES)
    _no_passkey(msg.suite)

    open_with_key(ctx, msg.account, AccountKind.STAFF, msg.member, msg.suite, msg.key, msg.custody)
    ctx[STAFF].put((msg.account,), StaffRow(member=msg.member, role=msg.role, active=True, card=msg.card))
    return Enrolled(member=msg.member, account=msg.account, role=msg.role, custody=msg.custody)


def enrol_service(ctx: Context, msg: EnrolService) -> Event:
    """Give a system of the member an account: it imports, co-signs claims and answers."""
    require_active(ctx, msg.member)
    _no_passkey(msg.suite)

    open_with_key(ctx, msg.account, AccountKind.SERVICE, msg.member, msg.suite, msg.key, Custody.SERVER)
    ctx[STAFF].put((msg.account,), StaffRow(
        member=msg.member, role=Role.SERVICE, active=True, card=bytes(32)))
    return Enrolled(member=msg.member, account=msg.account, role=Role.SERVICE, custody=Custody.SERVER)


def end_staff(ctx: Context, msg: EndStaff) -> Event:
    """End an account of the member: its keys end and it acts no more."""
    row = ctx[STAFF].get((msg.account,))
    if row is None or not row.active:
        refuse(Refusal.STAFF_NOT_ACTIVE)
    if row.member != msg.member:
        refuse(Refusal.STAFF_OF_ANOTHER_MEMBER)

    end_keys(ctx, msg.account)
    ctx[STAFF].put((msg.account,), structs.replace(row, active=False))
    return Ended(member=msg.member, account=msg.account)


def rotate(ctx: Context, msg: RotateKey) -> Event:
    """Put a new key in the place of the one that signs, in the same hands; both sign this."""
    if kind_of(ctx, msg.account) is AccountKind.SUBJECT:
        refuse(Refusal.ACCOUNT_NOT_OF_A_MEMBER)
    _no_passkey(msg.suite)

    old, new, ends_ms = rotate_key(ctx, msg.account, msg.suite, msg.key, msg.old_until_ms)
    return KeyRotated(account=msg.account, old=old, new=new, old_until_ms=ends_ms)


def replace_key(ctx: Context, msg: ReplaceKey) -> Event:
    """Open a motion to end a member's keys and to give it a new one, which shows here that somebody has it."""
    require_active(ctx, msg.proposer)
    if not ctx[MEMBERS].has((msg.member,)):
        refuse(Refusal.MEMBER_NOT_FOUND)
    _no_passkey(msg.suite)
    new = require_new_key(ctx, msg.member, msg.suite, msg.key, Custody.OWN)

    return _count_key(ctx, msg.member, KeyMotionRow(
        motion=KeyMotion.REPLACE, suite=msg.suite, key=msg.key, id=new.id, voters=(msg.proposer,)))


def retire_key(ctx: Context, msg: RetireKey) -> Event:
    """Open a motion to end one key of a member, not its last one: who can sign nothing could not vote any more."""
    require_active(ctx, msg.proposer)
    if not ctx[MEMBERS].has((msg.member,)):
        refuse(Refusal.MEMBER_NOT_FOUND)
    key = _key_to_end(ctx, msg.member, msg.key)

    return _count_key(ctx, msg.member, KeyMotionRow(
        motion=KeyMotion.RETIRE, suite=key.suite, key=key.key, id=key.id, voters=(msg.proposer,)))


def vote_key(ctx: Context, msg: VoteKey) -> Event:
    """Agree with an open motion about a key, as its proposer has it now; again once that carries it, as in `vote`."""
    require_active(ctx, msg.voter)
    row = ctx[KEY_MOTIONS].get((msg.member, msg.proposer))
    if row is None or (row.motion, row.id) != (msg.motion, msg.key):
        refuse(Refusal.MOTION_NOT_FOUND)
    voters = _joined(ctx, row, msg.voter)
    if row.motion is KeyMotion.RETIRE:
        _key_to_end(ctx, msg.member, row.id)          # rotated since, perhaps

    return _count_key(ctx, msg.member, structs.replace(row, voters=voters))


def _key_to_end(ctx: Context, member: MemberId, key_id: KeyHash) -> Key:
    """A key of a member that signs, and another is left when it ends. Refused KEY_NOT_LIVE, LAST_KEY_OF_MEMBER."""
    key = live_key(ctx, member, key_id)
    if key is None:
        refuse(Refusal.KEY_NOT_LIVE)
    if is_last_without_end(ctx, member, key_id):
        refuse(Refusal.LAST_KEY_OF_MEMBER)
    return key


def _count_key(ctx: Context, member: MemberId, row: KeyMotionRow) -> Event:
    """As `_count`. A proposer has one motion about a member's key: a newer one takes the older one's place."""
    votes = standing(ctx, row)
    carried = _suffice(ctx, votes)
    proposer = row.voters[0]
    if not carried:
        ctx[KEY_MOTIONS].put((member, proposer), row)
    elif row.motion is KeyMotion.REPLACE:
        replace_keys(ctx, member, row.suite, row.key, Custody.OWN)      # first, since it may refuse
        ctx[KEY_MOTIONS].delete((member, proposer))
    else:
        end_keys(ctx, member, only=row.id)
        ctx[KEY_MOTIONS].delete((member, proposer))
    return KeyMoved(member=member, proposer=proposer, motion=row.motion, key=row.id, votes=votes, carried=carried)


# -- reads, for modules above and for the holder

def is_active(ctx: Context, member: MemberId) -> bool:
    row = ctx[MEMBERS].get((member,))
    return row is not None and row.status is MemberStatus.ACTIVE


def require_active(ctx: Context, member: MemberId, otherwise: Code = Refusal.MEMBER_NOT_ACTIVE) -> None:
    if not is_active(ctx, member):
        refuse(otherwise)


def standing(ctx: Context, motion: MotionRow | KeyMotionRow) -> int:
    """How many votes of a motion count now: those of active members."""
    return len([one for one in motion.voters if is_active(ctx, one)])


def staff_of(ctx: Context, account: AccountId) -> StaffRow:
    """The active person behind `account`, of an active member. Refused STAFF_NOT_ACTIVE, MEMBER_NOT_ACTIVE."""
    row = ctx[STAFF].get((account,))
    if row is None or not row.active:
        refuse(Refusal.STAFF_NOT_ACTIVE)
    require_active(ctx, row.member)
    return row


def service_of(ctx: Context, account: AccountId) -> MemberId:
    """The active member whose service `account` is. Refused SERVICE_NOT_ACTIVE, MEMBER_NOT_ACTIVE."""
    row = ctx[STAFF].get((account,))
    if row is None or not row.active or row.role is not Role.SERVICE:
        refuse(Refusal.SERVICE_NOT_ACTIVE)
    require_active(ctx, row.member)
    return row.member


def _tally(ctx: Context) -> TallyRow:
    return ctx[TALLY].get(()) or TallyRow(active=0, admitted=0)


def _suffice(ctx: Context, votes: int) -> bool:
    """More than two thirds of the active members."""
    return 3 * votes > 2 * _tally(ctx).active


def _invited(ctx: Context, proposer: MemberId) -> int:
    row = ctx[INVITED].get((proposer,))
    return row.open if row else 0


def _keep_one(ctx: Context, motion: Motion) -> None:
    """A network without an active member could never act again; an older motion must not get there either."""
    if motion is Motion.SUSPEND and _tally(ctx).active == 1:
        refuse(Refusal.LAST_ACTIVE_MEMBER)


def _require_room(ctx: Context) -> None:
    if _tally(ctx).admitted >= MEMBERS_MAX:
        refuse(Refusal.TOO_MANY_MEMBERS)


def _no_passkey(suite: SignatureSuite) -> None:
    """A passkey shows no transaction to who signs; for a subject that is made up for by a second key."""
    if suite is SignatureSuite.WEBAUTHN_P256:
        refuse(Refusal.PASSKEY_IS_FOR_SUBJECTS)


# -- invariants

def no_voter_twice(row: MotionRow) -> bool:
    return len(set(row.voters)) == len(row.voters)


def of_a_proposer_and_no_voter_twice(row: KeyMotionRow) -> bool:
    return 0 < len(set(row.voters)) == len(row.voters)


def active_were_admitted(row: TallyRow) -> bool:
    return 0 < row.active <= row.admitted <= MEMBERS_MAX


def invitations_are_bounded(row: InvitedRow) -> bool:
    return row.open <= INVITED_PER_MEMBER_MAX


MODULE = Module(
    name="members",
    version=1,
    codes=Refusal,
    tables=(MEMBERS, STAFF, MOTIONS, TALLY, INVITED, KEY_MOTIONS),
    rules={Invite: invite, Propose: propose, Vote: vote, EnrolStaff: enrol_staff,
           EnrolService: enrol_service, EndStaff: end_staff, RotateKey: rotate, ReplaceKey: replace_key,
           RetireKey: retire_key, VoteKey: vote_key},
    signed_by={Invite: ("proposer", "member"), Propose: "proposer", Vote: "voter",
               EnrolStaff: ("member", "account"), EnrolService: ("member", "account"), EndStaff: "member",
               RotateKey: "account", ReplaceKey: "proposer", RetireKey: "proposer", VoteKey: "voter"},
    units={Vote: VOTE_UNITS, VoteKey: VOTE_UNITS},
    events=(Moved, Enrolled, Ended, KeyMoved, KeyRotated),
    introduces={Invite: Introduces(account="member", suite="suite", key="key"),
                EnrolStaff: Introduces(account="account", suite="suite", key="key"),
                EnrolService: Introduces(account="account", suite="suite", key="key"),
                RotateKey: Introduces(account="account", suite="suite", key="key", apart=True),
                ReplaceKey: Introduces(account="member", suite="suite", key="key", apart=True)},
    invariants={MOTIONS: (no_voter_twice,), TALLY: (active_were_admitted,), INVITED: (invitations_are_bounded,),
                KEY_MOTIONS: (of_a_proposer_and_no_voter_twice,)},
    found=found,
)
