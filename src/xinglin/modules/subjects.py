"""Subjects: a patient at one holder. One person is many subjects, and nobody else can link two of them.

Tables      subjects/subjects  (subject) -> SubjectRow
Messages    subjects.register/1  the holder opens the subject's account, without a key
            subjects.claim/1     the patient's key and the holder's co-signature take it into her hands
            subjects.rotate_key/1  the patient puts a new key in the place of hers; needs no sponsor
Invariants  a claimed subject was not claimed before it was registered
Reads       members (whose service signs?)
Source      design.md 5; safety.md P25: the one-time code never touches the ledger
"""

from xinglin.base.crypto import SignatureSuite
from xinglin.base.ids import AccountId, KeyHash, MemberId, SubjectId
from xinglin.base.units import Millis
from xinglin.kernel.accounts import (
    AccountKind,
    Custody,
    enrol_key,
    kind_of,
    open_account,
    rotate_key,
)
from xinglin.kernel.genesis import PublicKey
from xinglin.kernel.module import Code, Event, Introduces, Message, Module, Row, Table, refuse
from xinglin.kernel.state import Context
from xinglin.modules import members


class Refusal(Code):              # subjects' hundred, 300-399
    SUBJECT_ALREADY_REGISTERED = 300
    SUBJECT_NOT_FOUND = 301
    SUBJECT_OF_ANOTHER_HOLDER = 302
    SUBJECT_ALREADY_CLAIMED = 303
    SUITE_NOT_FOR_WALLETS = 304


NOT_CLAIMED = 0                   # SubjectRow.claimed_ms

WALLET_SUITES = (SignatureSuite.ED25519, SignatureSuite.ED25519_ML_DSA_65)


class SubjectRow(Row):
    holder: MemberId
    registered_ms: Millis
    claimed_ms: Millis


SUBJECTS = Table("subjects/subjects", key=(SubjectId,), value=SubjectRow)


class Register(Message, tag="subjects.register/1"):
    service: AccountId
    subject: SubjectId             # drawn by the holder


class Claim(Message, tag="subjects.claim/1"):
    service: AccountId             # co-signs against a one-time code handed over in person
    subject: SubjectId
    suite: SignatureSuite
    key: PublicKey


class RotateKey(Message, tag="subjects.rotate_key/1"):
    subject: SubjectId
    suite: SignatureSuite
    key: PublicKey                 # of another seed: whoever has the old wallet has all that comes from its seed
    old_until_ms: Millis           # the old key signs until then; 0 or past: no more


class Registered(Event, tag="subjects.registered/1"):
    subject: SubjectId
    holder: MemberId

    about = ("subject", "holder")


class Claimed(Event, tag="subjects.claimed/1"):
    subject: SubjectId
    holder: MemberId

    about = ("subject",)


class KeyRotated(Event, tag="subjects.key_rotated/1"):
    subject: SubjectId
    old: KeyHash
    new: KeyHash
    old_until_ms: Millis

    about = ("subject",)


def register(ctx: Context, msg: Register) -> Event:
    """Open a subject that nobody can sign for: unclaimed, so nothing can be granted."""
    holder = members.service_of(ctx, msg.service)
    if ctx[SUBJECTS].has((msg.subject,)):
        refuse(Refusal.SUBJECT_ALREADY_REGISTERED)

    open_account(ctx, msg.subject, AccountKind.SUBJECT, holder)
    ctx[SUBJECTS].put((msg.subject,), SubjectRow(
        holder=holder, registered_ms=ctx.block_time_ms, claimed_ms=NOT_CLAIMED))
    return Registered(subject=msg.subject, holder=holder)


def claim(ctx: Context, msg: Claim) -> Event:
    """Hand the subject to the key that signs here; from now on only it may grant."""
    holder = members.service_of(ctx, msg.service)
    row = find(ctx, msg.subject)
    if row.holder != holder:
        refuse(Refusal.SUBJECT_OF_ANOTHER_HOLDER)
    if row.claimed_ms != NOT_CLAIMED:
        refuse(Refusal.SUBJECT_ALREADY_CLAIMED)
    if msg.suite not in WALLET_SUITES:
        refuse(Refusal.SUITE_NOT_FOR_WALLETS)

    enrol_key(ctx, msg.subject, msg.suite, msg.key, Custody.OWN)
    ctx[SUBJECTS].put((msg.subject,), SubjectRow(
        holder=row.holder, registered_ms=row.registered_ms, claimed_ms=ctx.block_time_ms))
    return Claimed(subject=msg.subject, holder=holder)


def rotate(ctx: Context, msg: RotateKey) -> Event:
    """Put a new key in the place of the one that signs; both sign this, and nobody else has a say."""
    require_subject(ctx, msg.subject)
    if msg.suite not in WALLET_SUITES:
        refuse(Refusal.SUITE_NOT_FOR_WALLETS)

    old, new, ends_ms = rotate_key(ctx, msg.subject, msg.suite, msg.key, msg.old_until_ms)
    return KeyRotated(subject=msg.subject, old=old, new=new, old_until_ms=ends_ms)


def require_subject(ctx: Context, account: AccountId) -> None:
    """Of an account that signs: it is a patient's, not an organisation's or one of its staff."""
    if kind_of(ctx, account) is not AccountKind.SUBJECT:
        refuse(Refusal.SUBJECT_NOT_FOUND)


def find(ctx: Context, subject: SubjectId) -> SubjectRow:
    """Errors  refused SUBJECT_NOT_FOUND."""
    row = ctx[SUBJECTS].get((subject,))
    if row is None:
        refuse(Refusal.SUBJECT_NOT_FOUND)
    return row


def not_claimed_before_registered(row: SubjectRow) -> bool:
    return row.claimed_ms == NOT_CLAIMED or row.claimed_ms >= row.registered_ms


MODULE = Module(
    name="subjects",
    version=1,
    codes=Refusal,
    tables=(SUBJECTS,),
    rules={Register: register, Claim: claim, RotateKey: rotate},
    signed_by={Register: "service", Claim: ("service", "subject"), RotateKey: "subject"},
    events=(Registered, Claimed, KeyRotated),
    introduces={Claim: Introduces(account="subject", suite="suite", key="key"),
                RotateKey: Introduces(account="subject", suite="suite", key="key", apart=True)},
    unsponsored=(RotateKey,),
    invariants={SUBJECTS: (not_claimed_before_registered,)},
)
