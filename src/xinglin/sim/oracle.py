"""What the network must know, in plain dicts: who is who, what is granted, who may read what.

It is told what was ordered and what came of it, checks that nothing was accepted that it forbids and nothing refused
that it allows, and answers for each page whether it may leave. It calls no rule of the product.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from xinglin.base import codec
from xinglin.base.crypto import HashSuite, tagged
from xinglin.base.ids import NO_HASH, NO_ID
from xinglin.base.limits import GRANTS_PER_ROW_MAX, LANE_PER_SUBJECT_DAY_MAX, PERMIT_MS_MAX
from xinglin.base.units import MS_PER_DAY, MS_PER_HOUR
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.module import Event, Message
from xinglin.modules import access, consent, members, records, subjects
from xinglin.modules.decision import RequestBody
from xinglin.sim.charts import CLASSES, Chart
from xinglin.sim.codes import Broken, hold
from xinglin.sim.known_keys import APART, KnownKeys

KERNEL_CODES = frozenset(code.value for code in KernelCode)


@dataclass
class Said:
    """The body of a grant as its patient wrote it."""

    person: bytes
    roles: tuple[int, ...]
    scope: tuple[str, ...]
    purposes: tuple[str, ...]
    labels: tuple[str, ...]
    delivered: bool = True


@dataclass
class Grant:
    until_h: int
    epoch: int
    revoked: bool = False
    marked_expired: bool = False


@dataclass
class Permit:
    """An answer that said yes."""

    reader: bytes
    grantee: bytes
    grant_id: bytes
    epoch: int
    expires_at_ms: int
    event: access.Answered


@dataclass
class Oracle:
    """`now_ms` is block time. Keys are ids."""

    hashes: HashSuite
    now_ms: int
    status: dict[bytes, str] = field(default_factory=dict)
    motions: dict[tuple[bytes, int], list[bytes]] = field(default_factory=dict)
    staff: dict[bytes, list[Any]] = field(default_factory=dict)              # member, role, active
    holders: dict[bytes, bytes] = field(default_factory=dict)                # subject -> member
    claimed: dict[bytes, bool] = field(default_factory=dict)
    grants: dict[tuple[bytes, bytes], dict[bytes, Grant]] = field(default_factory=dict)
    changes: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    said: dict[bytes, Said] = field(default_factory=dict)                    # grant -> its words
    requests: dict[tuple[bytes, int], dict[str, Any]] = field(default_factory=dict)     # without an answer yet
    asked: dict[bytes, tuple[RequestBody, bool]] = field(default_factory=dict)   # commitment -> words, delivered
    permits: dict[tuple[bytes, int], Permit] = field(default_factory=dict)
    denials: int = 0
    breaches: int = 0
    entries: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)    # subject -> count, running hash
    batches: dict[bytes, dict[int, bytes]] = field(default_factory=dict)     # owner -> number -> root
    anchors: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    lanes: dict[tuple[bytes, int], int] = field(default_factory=dict)
    charts: dict[bytes, Chart] = field(default_factory=dict)                 # subject -> what was committed

    def __post_init__(self) -> None:
        self.keys = KnownKeys(self.hashes, self._carry)

    # -- who may do what, now

    def is_due(self, now_ms: int) -> bool:
        """Whether a request has run out of time, or a grant out of hours."""
        hour = now_ms // MS_PER_HOUR
        return any(asked["due_ms"] <= now_ms for asked in self.requests.values()) or any(
            grant.until_h <= hour and not grant.revoked and not grant.marked_expired
            for row in self.grants.values() for grant in row.values())

    def active(self, member: bytes) -> bool:
        return self.status.get(member) == "active"

    def acts(self, account: bytes) -> bool:
        """Whether a person or system is one of an active member's."""
        return account in self.staff and self.staff[account][2] and self.active(self.staff[account][0])

    def is_service(self, account: bytes) -> bool:
        return self.acts(account) and self.staff[account][1] == members.Role.SERVICE

    def live(self, subject: bytes, grantee: bytes, at_ms: int) -> dict[bytes, Grant]:
        """Grants of the pair that are live, oldest first."""
        if not self.active(grantee):
            return {}
        return {own: grant for own, grant in self.grants.get((subject, grantee), {}).items()
                if not grant.revoked and grant.until_h > at_ms // MS_PER_HOUR}

    def may_fetch(self, subject: bytes, request: int, reader: bytes, now_ms: int) -> bool:
        """Whether a page or opening of this answer may leave now, to this reader."""
        permit = self.permits.get((subject, request))
        if permit is None or permit.reader != reader or not self.acts(reader):
            return False
        grant = self.live(subject, permit.grantee, now_ms).get(permit.grant_id)
        return (self.active(self.holders[subject]) and grant is not None and grant.epoch == permit.epoch
                and now_ms < permit.expires_at_ms)

    def opens(self, subject: bytes, number: int, now_ms: int) -> tuple[bytes, list[str]] | None:
        """(grant, own ids of the records) that an answer to this open request must give; None to be denied."""
        asked = self.requests[subject, number]
        words, delivered = self.asked.get(asked["body"], (None, False))
        if words is None or not delivered or not self.acts(asked["reader"]):
            return None
        for own in self.live(subject, asked["grantee"], now_ms):
            said = self.said[own]
            if asked["grant_id"] not in (NO_ID, own) or not said.delivered:
                continue
            if said.person not in (NO_ID, asked["reader"]) or words.purpose not in said.purposes:
                continue
            if said.roles and self.staff[asked["reader"]][1] not in said.roles:
                continue
            found = [record for record in self.charts[subject].entries
                     if self._covered(subject, record, said, words)]
            if found:
                return own, found
        return None

    def _covered(self, subject: bytes, record: str, said: Said, words: RequestBody) -> bool:
        entry = self.charts[subject].entries[record]
        wanted = {item.data_class for item in words.scope}
        label_opened = not entry.label or entry.label in said.labels
        return bool(wanted & {*CLASSES[entry.kind]}) and bool({*said.scope} & {*CLASSES[entry.kind]}) and label_opened

    # -- what was ordered, and what came of it

    def executed(self, signed: tuple[tuple[bytes, bytes], ...], messages: tuple[Message, ...], code: int,
                 events: tuple[Event, ...]) -> None:
        """One transaction; who signed, with which key. Errors  Broken."""
        own = len(signed) - sum(isinstance(message, APART) for message in messages)
        self.keys.signing = dict(signed[:own])
        if code == 0:
            self.keys.check_signers(signed, messages, self.now_ms)
            self._check_signers(tuple(account for account, _ in signed[:own]), messages)
            for message, event in zip(messages, events, strict=True):
                why = self.why_not(message)
                if why:
                    raise Broken(_promise_of(message), f"{type(message).__name__} was accepted, though {why}")
                self._take(message, event)
        elif code not in KERNEL_CODES and len(messages) == 1 and isinstance(messages[0], _STRICT):
            if not self.why_not(messages[0]) and code not in _BOUNDS:
                raise Broken(_promise_of(messages[0]), f"{type(messages[0]).__name__} was refused with {code}")
        self._count_lanes(messages, code)

    def _check_signers(self, signers: tuple[bytes, ...], messages: tuple[Message, ...]) -> None:
        """P1: the author signed, and an active member stands behind it."""
        for message in messages:
            for name in _SIGNED_BY[type(message)]:
                hold(getattr(message, name) in signers, "P1", f"{type(message).__name__} without its {name}")
        free = all(isinstance(message, _UNSPONSORED) for message in messages) and all(
            signer in self.holders for signer in signers)
        for at, signer in enumerate(signers):
            if signer in self.staff:
                hold(self.staff[signer][2], "P1", "somebody signed whose account has ended")
            if signer in self.status and signer not in {getattr(one, "member", b"") for one in messages
                                                         if isinstance(one, members.Invite)}:
                hold(self.active(signer), "P1", "a suspended member signed")
            if signer in self.holders:
                hold(self.claimed[signer] or any(isinstance(one, subjects.Claim) for one in messages), "P25",
                     "a subject signed whom nobody has claimed")
            if at == 0 and not free:
                hold(self.active(self._payer(signer)), "P1", "a suspended member paid")

    def _payer(self, account: bytes) -> bytes:
        if account in self.staff:
            return bytes(self.staff[account][0])
        return self.holders.get(account, account)

    def _count_lanes(self, messages: tuple[Message, ...], code: int) -> None:
        if not all(isinstance(message, _UNSPONSORED) for message in messages) or code == KernelCode.KEY_HAS_ENDED:
            return
        for message in messages:
            subject = getattr(message, "subject", b"")
            if subject in self.holders:
                at = subject, self.now_ms // MS_PER_DAY
                self.lanes[at] = self.lanes.get(at, 0) + 1
                hold(code == KernelCode.LANE_EXHAUSTED or self.lanes[at] <= LANE_PER_SUBJECT_DAY_MAX, "I3",
                     "more revocations in a day than the lane holds")

    def why_not(self, message: Message) -> str:
        """Why the rules must refuse it now, or nothing."""
        return next(self._reasons(message), "")

    def _reasons(self, message: Message) -> Iterator[str]:
        match message:
            case subjects.Register():
                yield from self._no_service(message.service)
                if message.subject in self.holders:
                    yield "it is registered"
            case subjects.Claim():
                yield from self._no_service(message.service)
                if self.holders.get(message.subject) != self._payer(message.service):
                    yield "it is another's"
                if self.claimed.get(message.subject):
                    yield "it is claimed"
            case records.Batch():
                yield from self._no_service(message.service)
                owner = self._payer(message.service)
                if message.owner != owner and self.holders.get(message.owner) != owner:
                    yield "it is another's"
                if message.number != len(self.batches.get(message.owner, {})) + 1:
                    yield "another batch has its number, or there is a gap"
            case consent.Grant():
                yield from self._no_grant(message)
            case consent.Revoke():
                given = self.grants.get((message.subject, message.grantee), {}).get(message.grant_id)
                if given is None or given.revoked or given.until_h <= self.now_ms // MS_PER_HOUR:
                    yield "there is nothing live to take back"
            case access.Request():
                if not self.acts(message.reader) or self.is_service(message.reader):
                    yield "its reader is nobody's"
                if message.subject not in self.holders:
                    yield "there is no such subject"
            case access.Answer():
                yield from self._no_answer(message)
            case access.Anchor():
                yield from self._no_service(message.service)
                if message.count < self.anchors.get(self._payer(message.service), (0, b""))[0]:
                    yield "the read log shrinks"
            case members.Propose() | members.Vote() | members.Invite():
                yield from self._no_motion(message)
            case members.EnrolStaff() | members.EnrolService():
                if not self.active(message.member) or message.account in self.staff:
                    yield "the member is not active, or the account exists"
            case members.RotateKey() | subjects.RotateKey():
                if isinstance(message, members.RotateKey) is (next(iter(self.keys.signing)) in self.holders):
                    yield "another message rotates the keys of such an account"
                yield from self.keys.reasons(message, self.now_ms)
            case members.ReplaceKey() | members.RetireKey() | members.VoteKey():
                yield from self._no_key_motion(message)
            case members.EndStaff():
                if self.staff.get(message.account, [None, 0, False])[::2] != [message.member, True]:
                    yield "no such person works there"

    def _no_service(self, service: bytes) -> Iterator[str]:
        if not self.is_service(service):
            yield "no active member's service signed"

    def _no_grant(self, message: consent.Grant) -> Iterator[str]:
        hour = self.now_ms // MS_PER_HOUR
        if not self.claimed.get(message.subject):
            yield "nobody has claimed the subject"
        if not self.active(message.grantee):
            yield "the grantee is not active"
        if message.until_h <= hour or message.grant_id in self.grants.get((message.subject, message.grantee), {}):
            yield "it has ended, or exists"

    def _no_answer(self, message: access.Answer) -> Iterator[str]:
        asked = self.requests.get((message.subject, message.number))
        if asked is None or asked["due_ms"] <= self.now_ms:
            yield "no answer is owed"
            return
        if not self.is_service(message.service) or self._payer(message.service) != self.holders[message.subject]:
            yield "another answered"
        if message.decision is access.Decision.PERMIT:
            grant = self.live(message.subject, asked["grantee"], self.now_ms).get(message.grant_id)
            if grant is None or grant.epoch != message.epoch or asked["grant_id"] not in (NO_ID, message.grant_id):
                yield "no live grant carries the permit"
            if not self.acts(asked["reader"]):
                yield "its reader is nobody's any more"
            if not self.now_ms < message.expires_at_ms <= self.now_ms + PERMIT_MS_MAX:
                yield "the permit is too long"

    def _no_motion(self, message: members.Propose | members.Vote | members.Invite) -> Iterator[str]:
        if isinstance(message, members.Vote):
            votes = self.motions.get((message.member, message.motion))
            if not self.active(message.voter) or votes is None or (message.voter in votes and not self._carry(votes)):
                yield "the voter may not vote"
        elif not self.active(message.proposer):
            yield "the proposer is not active"
        elif isinstance(message, members.Invite):
            if message.member in self.status:
                yield "the member is known"
        elif self.status.get(message.member) != {
                members.Motion.SUSPEND: "active", members.Motion.REINSTATE: "suspended"}.get(message.motion):
            yield "there is nothing to change"

    def _no_key_motion(self, message: members.ReplaceKey | members.RetireKey | members.VoteKey) -> Iterator[str]:
        who = message.voter if isinstance(message, members.VoteKey) else message.proposer
        if not self.active(who) or message.member not in self.status:
            yield "no active member moves or votes, or there is no such member"
        yield from self.keys.reasons(message, self.now_ms)

    # -- taking it in

    def _take(self, message: Message, event: Event) -> None:
        self.keys.take(message, event, self.now_ms)
        match message:
            case subjects.Register():
                self.holders[message.subject] = self._payer(message.service)
                self.claimed[message.subject] = False
            case subjects.Claim():
                self.claimed[message.subject] = True
            case records.Batch():
                self.batches.setdefault(message.owner, {})[message.number] = message.root
            case consent.Grant():
                epoch = self._change(message.subject, message.grantee)
                self._make_room(message.subject, message.grantee)
                self.grants.setdefault((message.subject, message.grantee), {})[message.grant_id] = Grant(
                    message.until_h, epoch)
            case consent.Revoke():
                given = self.grants[message.subject, message.grantee][message.grant_id]
                given.revoked, given.epoch = True, self._change(message.subject, message.grantee)
            case access.Anchor():
                self.anchors[self._payer(message.service)] = message.count, message.running
            case members.EnrolStaff():
                self.staff[message.account] = [message.member, message.role, True]
            case members.EnrolService():
                self.staff[message.account] = [message.member, members.Role.SERVICE, True]
            case members.EndStaff():
                self.staff[message.account][2] = False
        if isinstance(event, access.Entry):
            self._entry(event)
        elif isinstance(event, members.Moved):
            self._moved(message, event)

    def _change(self, subject: bytes, grantee: bytes) -> int:
        self.changes[subject, grantee] = self.changes.get((subject, grantee), 0) + 1
        return self.changes[subject, grantee]

    def _make_room(self, subject: bytes, grantee: bytes) -> None:
        row = self.grants.get((subject, grantee), {})
        live = self.live(subject, grantee, self.now_ms)
        if len(row) == GRANTS_PER_ROW_MAX:
            del row[next(own for own in row if own not in live)]

    def _moved(self, message: Message, event: members.Moved) -> None:
        proposer: bytes = getattr(message, "voter", b"") or getattr(message, "proposer", b"")
        motion = event.member, int(event.motion)
        before = self.motions.get(motion, [])
        voters = before if proposer in before else [*before, proposer]
        if isinstance(message, members.Invite):
            self.status[event.member] = "invited"
        carried = self._carry(voters)
        hold(carried is event.carried, "P1", "a motion carries with more than two thirds of the active members' votes")
        self.motions[motion] = voters
        if carried:
            del self.motions[motion]
            self.status[event.member] = "suspended" if event.motion is members.Motion.SUSPEND else "active"

    def _carry(self, voters: list[bytes]) -> bool:
        return 3 * sum(map(self.active, voters)) > 2 * sum(map(self.active, self.status))

    def _entry(self, event: access.Entry) -> None:
        """I15 and P26: entries of a subject are numbered 1 to n, and one hash runs over them all."""
        count, running = self.entries.get(event.subject, (0, NO_HASH))
        hold(event.number == count + 1, "I15", f"entry {event.number} follows {count}")
        entry = tagged(self.hashes, "xinglin/event/1", codec.encode(event))
        self.entries[event.subject] = count + 1, tagged(self.hashes, "xinglin/access-log/1", running, entry)
        if isinstance(event, access.Requested):
            live = self.live(event.subject, event.grantee, self.now_ms)
            consented = bool(live) if event.grant_id == NO_ID else event.grant_id in live
            hold((event.denied == 0) is consented, "I6", "a request is denied at once without a live consent, else not")
            if consented:
                self.requests[event.subject, event.number] = {
                    "reader": event.reader, "grantee": event.grantee, "grant_id": event.grant_id, "body": event.body,
                    "due_ms": event.due_ms}
            return
        asked = self.requests.pop((event.subject, event.request))
        if isinstance(event, access.Breached):
            hold(asked["due_ms"] <= self.now_ms, "P3", "a holder was blamed before its time was up")
            self.breaches += 1
        elif event.decision is access.Decision.PERMIT:
            self.permits[event.subject, event.request] = Permit(
                event.reader, asked["grantee"], event.grant_id, event.epoch, event.expires_at_ms, event)
        else:
            self.denials += 1

    def passed(self, event: Event) -> None:
        """A timer ran."""
        match event:
            case access.Breached():
                hold((event.subject, event.request) in self.requests, "P3", "a breach of what was answered")
                self._entry(event)
            case consent.Expired():
                epoch = self._change(event.subject, event.grantee)
                over = [grant for grant in self.grants[event.subject, event.grantee].values()
                        if not grant.revoked and not grant.marked_expired
                        and grant.until_h <= self.now_ms // MS_PER_HOUR]
                hold(len(over) == event.grants > 0, "R2", "a timer marks what has run out, and that alone")
                for grant in over:
                    grant.marked_expired, grant.epoch = True, epoch

    def after_block(self) -> None:
        late = [number for (_, number), asked in self.requests.items() if asked["due_ms"] <= self.now_ms]
        hold(not late, "P3", "no answer in time is a public breach in the next block")


_SIGNED_BY: dict[type[Message], tuple[str, ...]] = {
    members.Invite: ("proposer", "member"), members.Propose: ("proposer",), members.Vote: ("voter",),
    members.EnrolStaff: ("member", "account"), members.EnrolService: ("member", "account"),
    members.EndStaff: ("member",), members.RotateKey: ("account",), members.ReplaceKey: ("proposer",),
    members.RetireKey: ("proposer",), members.VoteKey: ("voter",), subjects.RotateKey: ("subject",),
    subjects.Register: ("service",), subjects.Claim: ("service", "subject"),
    consent.Grant: ("subject",), consent.Revoke: ("subject",), records.Batch: ("service",),
    access.Request: ("reader",), access.Answer: ("service",), access.Anchor: ("service",)}
_STRICT = (consent.Grant, consent.Revoke, access.Request, access.Answer, subjects.Claim, records.Batch,
           members.ReplaceKey, members.RetireKey, members.VoteKey)
_UNSPONSORED = (consent.Revoke, subjects.RotateKey)
_BOUNDS = (consent.Refusal.TOO_MANY_OPEN_GRANTS, access.Refusal.TOO_MANY_REQUESTS_TODAY,
           access.Refusal.TOO_MANY_REQUESTS_OPEN)


def _promise_of(message: Message) -> str:
    """Which promise an outcome of this kind would break."""
    match message:
        case consent.Grant() | subjects.Claim():
            return "P25"
        case access.Answer():
            return "I6"
        case records.Batch() | members.RotateKey() | members.ReplaceKey() | members.RetireKey() | members.VoteKey():
            return "P1"
    return "P2"
