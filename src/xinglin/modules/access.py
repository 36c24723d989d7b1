"""Access: who asked and what the holder answered. The rule that decides is beside it, in decision.py.

Tables      access/log       (subject) -> LogRow: count and running hash of all entries, so a list is complete
            access/requests  (subject, number) -> RequestRow, while the answer is owed
            access/asked     (subject, grantee) -> AskedRow: what one organisation asked today, and what is open
            access/anchors   (member) -> AnchorRow: count and running hash of a holder's read log
Messages    access.request/1  a reader asks; takes the subject's next number, without a consent too, so many times a day
            access.answer/1   the holder permits or denies, and a denial says nothing finer; the rest is committed
            access.anchor/1   the holder commits to its read log
Timers      a request without an answer in time is a breach, in public, and an entry of its own, whyever none came
Invariants  a log row has an entry; a request has a time to be answered; nobody asks more than a day allows
Reads       members (who asks, who answers?), subjects (whose are they?), consent (is there a live grant?)
Source      design.md 5; core.md "Asking and answering"; safety.md P2, P3, P26
"""

from enum import IntEnum

from msgspec import structs

from xinglin.base.crypto import HashSuite, tagged
from xinglin.base.ids import (
    NO_HASH,
    NO_ID,
    AccountId,
    Commitment,
    GrantId,
    Hash,
    MemberId,
    SubjectId,
)
from xinglin.base.limits import (
    DENIED_PER_DAY_MAX,
    PERMIT_MS_MAX,
    REQUEST_UNITS,
    REQUESTS_OPEN_MAX,
    REQUESTS_PER_DAY_MAX,
)
from xinglin.base.units import CodeNumber, Count, Days, Epoch, Millis
from xinglin.kernel.module import Code, Event, Message, Module, Row, Table, refuse
from xinglin.kernel.outcome import event_hash
from xinglin.kernel.state import Context
from xinglin.modules import consent, members, subjects


class Refusal(Code):              # access' hundred, 500-599
    REQUEST_NOT_OPEN = 500
    NOT_THE_HOLDER = 501
    CONSENT_HAS_CHANGED = 502
    PERMIT_TOO_LONG = 503
    PERMIT_WITHOUT_PARTS = 504
    DENIAL_WITH_PARTS = 505
    ANCHOR_DOES_NOT_GROW = 506
    READER_IS_A_SERVICE = 507
    TOO_MANY_REQUESTS_TODAY = 508
    TOO_MANY_REQUESTS_OPEN = 509


class Decision(IntEnum):
    DENIED, PERMIT = range(2)


class LogRow(Row):
    count: Count
    running: Hash                 # running' = H(domain, running, H(event)), from 32 zero bytes


class RequestRow(Row):
    reader: AccountId
    grantee: MemberId
    grant_id: GrantId             # NO_ID: any that is live
    key_hash: Hash
    body: Commitment
    due_ms: Millis


class AskedRow(Row):
    day: Days                     # of the counts: UTC, by block time
    requests: Count               # that took a number
    denied: Count                 # of these at once, for want of a consent
    open: Count                   # not answered yet, of any day


class AnchorRow(Row):
    count: Count
    running: Hash
    at_ms: Millis


NO_ENTRIES = LogRow(count=0, running=NO_HASH)

LOG = Table("access/log", key=(SubjectId,), value=LogRow, empty=NO_ENTRIES)
REQUESTS = Table("access/requests", key=(SubjectId, Count), value=RequestRow, due=lambda row: row.due_ms)
NOTHING_ASKED = AskedRow(day=0, requests=0, denied=0, open=0)
ASKED = Table("access/asked", key=(SubjectId, MemberId), value=AskedRow, empty=NOTHING_ASKED)
NO_READS = AnchorRow(count=0, running=NO_HASH, at_ms=0)
ANCHORS = Table("access/anchors", key=(MemberId,), value=AnchorRow, empty=NO_READS)


class Request(Message, tag="access.request/1"):
    reader: AccountId             # a person of an active member; the role is looked up, never claimed
    subject: SubjectId
    grant_id: GrantId             # NO_ID when the reader does not know one
    key_hash: Hash                # of a fresh HPKE key, which travels off chain
    body: Commitment              # person, purpose, scope, reason


class Answer(Message, tag="access.answer/1"):
    service: AccountId
    subject: SubjectId
    number: Count                 # of the request
    decision: Decision
    grant_id: GrantId             # the one used; NO_ID in a denial
    epoch: Epoch                  # of that grant when it was judged; 0 in a denial
    inputs: Commitment            # opened to the patient, who judges again (docs/spec/release.md): facts, role, cause
    opening: Commitment           # opened to reader and patient: scope and reason
    parts_root: Hash
    expires_at_ms: Millis         # of the permit; 0 for a denial


class Anchor(Message, tag="access.anchor/1"):
    service: AccountId
    count: Count                  # one as before only says that the holder is there
    running: Hash


class Requested(Event, tag="access.requested/1"):
    subject: SubjectId
    number: Count
    reader: AccountId
    grantee: MemberId
    grant_id: GrantId
    key_hash: Hash
    body: Commitment
    denied: CodeNumber            # 0 while an answer is owed, else consent's code: no live consent
    due_ms: Millis                # 0 when denied

    about = ("subject", "reader")


class Answered(Event, tag="access.answered/1"):
    subject: SubjectId
    number: Count
    request: Count
    reader: AccountId
    decision: Decision
    grant_id: GrantId
    epoch: Epoch
    inputs: Commitment
    opening: Commitment
    parts_root: Hash
    key_hash: Hash
    expires_at_ms: Millis

    about = ("subject", "reader")


class Breached(Event, tag="access.breached/1"):
    """The holder owed an answer and gave none."""

    subject: SubjectId
    number: Count
    request: Count
    reader: AccountId
    holder: MemberId

    about = ("subject", "reader", "holder")


class Anchored(Event, tag="access.anchored/1"):
    holder: MemberId
    count: Count
    running: Hash

    about = ("holder",)


Entry = Requested | Answered | Breached


def request(ctx: Context, msg: Request) -> Event:
    """Take the subject's next number; without a live consent the answer is already no. So many a day, then none."""
    staff = members.staff_of(ctx, msg.reader)
    if staff.role is members.Role.SERVICE:
        refuse(Refusal.READER_IS_A_SERVICE)
    subjects.find(ctx, msg.subject)
    denied = _no_live_consent(ctx, msg.subject, staff.member, msg.grant_id)
    asked = _asked_once_more(ctx, msg.subject, staff.member, bool(denied))
    number = _next(ctx, msg.subject)
    due_ms = 0 if denied else ctx.block_time_ms + ctx.parameters.answer_ms

    ctx[ASKED].put((msg.subject, staff.member), asked)
    if not denied:
        ctx[REQUESTS].put((msg.subject, number), RequestRow(
            reader=msg.reader, grantee=staff.member, grant_id=msg.grant_id, key_hash=msg.key_hash,
            body=msg.body, due_ms=due_ms))
    event = Requested(subject=msg.subject, number=number, reader=msg.reader, grantee=staff.member,
                      grant_id=msg.grant_id, key_hash=msg.key_hash, body=msg.body, denied=denied,
                      due_ms=due_ms)
    _enter(ctx, msg.subject, event)
    return event


def _asked_once_more(ctx: Context, subject: SubjectId, grantee: MemberId, denied: bool) -> AskedRow:
    """Bounds how fast one organisation can grow a subject's list, and how many answers a holder can owe it."""
    row = ctx[ASKED].get((subject, grantee)) or NOTHING_ASKED
    if row.day != ctx.block_day:
        row = structs.replace(row, day=ctx.block_day, requests=0, denied=0)
    if row.requests == REQUESTS_PER_DAY_MAX or (denied and row.denied == DENIED_PER_DAY_MAX):
        refuse(Refusal.TOO_MANY_REQUESTS_TODAY)
    if not denied and row.open == REQUESTS_OPEN_MAX:
        refuse(Refusal.TOO_MANY_REQUESTS_OPEN)
    return AskedRow(day=row.day, requests=row.requests + 1, denied=row.denied + denied, open=row.open + (not denied))


def _close(ctx: Context, subject: SubjectId, number: Count, grantee: MemberId) -> None:
    row = ctx[ASKED].get((subject, grantee)) or NOTHING_ASKED
    ctx[REQUESTS].delete((subject, number))
    ctx[ASKED].put((subject, grantee), structs.replace(row, open=row.open - 1))


def _no_live_consent(ctx: Context, subject: SubjectId, grantee: MemberId, grant_id: GrantId) -> CodeNumber:
    """0 when a grant is live, else consent's code for why none is."""
    if grant_id != NO_ID:
        given = consent.live(ctx, subject, grantee, grant_id)
        return given.value if isinstance(given, consent.Refusal) else 0
    return 0 if consent.any_live(ctx, subject, grantee) else consent.Refusal.GRANT_NOT_FOUND.value


def answer(ctx: Context, msg: Answer) -> Event:
    """The holder's decision, bound to the grant as it stands, the reader's key and the parts."""
    holder = members.service_of(ctx, msg.service)
    asked = ctx[REQUESTS].get((msg.subject, msg.number))
    if asked is None or asked.due_ms <= ctx.block_time_ms:    # too late, though its timer may not have run yet
        refuse(Refusal.REQUEST_NOT_OPEN)
    if subjects.find(ctx, msg.subject).holder != holder:
        refuse(Refusal.NOT_THE_HOLDER)
    if msg.decision is Decision.PERMIT:
        _check_permit(ctx, msg, asked)
    elif msg.parts_root != NO_HASH or msg.expires_at_ms or msg.grant_id != NO_ID or msg.epoch:
        refuse(Refusal.DENIAL_WITH_PARTS)         # a grant's name would say that she gave one, and not for this

    _close(ctx, msg.subject, msg.number, asked.grantee)
    event = Answered(subject=msg.subject, number=_next(ctx, msg.subject), request=msg.number,
                     reader=asked.reader, decision=msg.decision, grant_id=msg.grant_id, epoch=msg.epoch,
                     inputs=msg.inputs, opening=msg.opening, parts_root=msg.parts_root,
                     key_hash=asked.key_hash, expires_at_ms=msg.expires_at_ms)
    _enter(ctx, msg.subject, event)
    return event


def _check_permit(ctx: Context, msg: Answer, asked: RequestRow) -> None:
    """Things may have changed since the request: its reader must still be there, and the grant as it was judged."""
    members.staff_of(ctx, asked.reader)
    given = consent.live(ctx, msg.subject, asked.grantee, msg.grant_id)
    if isinstance(given, consent.Refusal) or given.epoch != msg.epoch:
        refuse(Refusal.CONSENT_HAS_CHANGED)
    if asked.grant_id not in (NO_ID, msg.grant_id):
        refuse(Refusal.CONSENT_HAS_CHANGED)
    if not ctx.block_time_ms < msg.expires_at_ms <= ctx.block_time_ms + PERMIT_MS_MAX:
        refuse(Refusal.PERMIT_TOO_LONG)
    if msg.parts_root == NO_HASH:
        refuse(Refusal.PERMIT_WITHOUT_PARTS)


def breach(ctx: Context, key: tuple[SubjectId, Count], row: RequestRow) -> Event:
    """No answer in time: said in public, and the request is closed."""
    subject, number = key
    holder = subjects.find(ctx, subject).holder
    _close(ctx, subject, number, row.grantee)
    event = Breached(subject=subject, number=_next(ctx, subject), request=number, reader=row.reader,
                     holder=holder)
    _enter(ctx, subject, event)
    return event


def anchor(ctx: Context, msg: Anchor) -> Event:
    """Commit to the holder's read log so far. An unchanged one may be repeated: it makes a fresh tip."""
    holder = members.service_of(ctx, msg.service)
    before = ctx[ANCHORS].get((holder,)) or NO_READS
    if msg.count < before.count or (msg.count == before.count and msg.running != before.running):
        refuse(Refusal.ANCHOR_DOES_NOT_GROW)

    ctx[ANCHORS].put((holder,), AnchorRow(count=msg.count, running=msg.running, at_ms=ctx.block_time_ms))
    return Anchored(holder=holder, count=msg.count, running=msg.running)


def _next(ctx: Context, subject: SubjectId) -> int:
    row = ctx[LOG].get((subject,))
    return (row.count if row else 0) + 1


def _enter(ctx: Context, subject: SubjectId, event: Event) -> None:
    """The event becomes entry number count + 1 of the subject's log."""
    row = ctx[LOG].get((subject,))
    count, running = (row.count, row.running) if row else (0, NO_HASH)
    ctx[LOG].put((subject,), LogRow(count=count + 1, running=extend(
        ctx.hashes, running, event_hash(ctx.hashes, event))))


def log_row_has_an_entry(row: LogRow) -> bool:
    return row.count > 0


def request_has_time_to_be_answered(row: RequestRow) -> bool:
    return row.due_ms > 0


def asked_within_bounds(row: AskedRow) -> bool:
    return row.denied <= row.requests <= REQUESTS_PER_DAY_MAX and row.open <= REQUESTS_OPEN_MAX


# -- reads

def extend(hashes: HashSuite, running: Hash, entry: Hash) -> Hash:
    return tagged(hashes, "xinglin/access-log/1", running, entry)


def running_of(hashes: HashSuite, entries: list[Event]) -> LogRow:
    """The row that a complete list of entries leads to; completeness compares it with the state's."""
    running = NO_HASH
    for entry in entries:
        running = extend(hashes, running, event_hash(hashes, entry))
    return LogRow(count=len(entries), running=running)


def key_hash(hashes: HashSuite, recipient_public: bytes) -> Hash:
    return tagged(hashes, "xinglin/recipient-key/1", recipient_public)


MODULE = Module(
    name="access",
    version=1,
    codes=Refusal,
    tables=(LOG, REQUESTS, ASKED, ANCHORS),
    rules={Request: request, Answer: answer, Anchor: anchor},
    signed_by={Request: "reader", Answer: "service", Anchor: "service"},
    events=(Requested, Answered, Breached, Anchored),
    units={Request: REQUEST_UNITS},
    timers={REQUESTS: breach},
    invariants={LOG: (log_row_has_an_entry,), REQUESTS: (request_has_time_to_be_answered,),
                ASKED: (asked_within_bounds,)},
)
