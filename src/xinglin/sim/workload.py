"""What patients, readers and their holders do, through the product's own code: imports, claims, grants, revocations,
requests, answers, pages, histories. Each deed knows what the oracle expects of it.
"""

import functools
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from xinglin.base import codec
from xinglin.base.check import Busy, Failed, NotAuthorised
from xinglin.base.crypto import SHA256
from xinglin.base.ids import NO_HASH, NO_ID, Commitment, GrantId, MemberId, SubjectId
from xinglin.base.units import MS_PER_HOUR, MS_PER_MINUTE
from xinglin.client.door import KeptConsent
from xinglin.engine.codes import EngineCode
from xinglin.engine.embedded import Committed
from xinglin.holder import answer, asking, claim_codes, imports
from xinglin.holder.codes import HolderCode
from xinglin.holder.deliveries import Delivered
from xinglin.holder.holder import Holder
from xinglin.holder.shelf import REST
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.module import Message
from xinglin.modules import access, consent, members
from xinglin.modules.decision import ConsentBody, Opened, RequestBody, ScopeItem, commit
from xinglin.sim import charts
from xinglin.sim.chance import Chance
from xinglin.sim.charts import PSYCHIATRIC, RESTRICTED, SCOPES, SCOPES_WIDE, Chart
from xinglin.sim.codes import Broken, hold
from xinglin.sim.oracle import Said
from xinglin.sim.world import Person, Pocket, Sick, World
from xinglin.vault.wrap import PRIVATE_BYTES, RecipientKey

PURPOSES = (*("TREAT",) * 6, "HPAYMT", "PUBHLTH")
SICK_PER_HOSPITAL = 4
PEOPLE_MAX = 24
ASKS_KEPT = 40
RECIPIENTS = 8
BUSY = (EngineCode.SECOND_USED_UP, EngineCode.LANE_USED_UP, EngineCode.SUBJECT_SHARE_USED_UP, EngineCode.QUEUE_FULL)
NOT_NOW = (KernelCode.TX_EXPIRED, KernelCode.SIGNER_UNKNOWN, KernelCode.PAYER_NOT_ACTIVE, *BUSY)
KERNEL_REFUSALS = range(KernelCode.KEY_HAS_ENDED, KernelCode.KEY_NOT_ENROLLED + 1)     # of what was executed
MODULE_CODES = range(100, 600)
PROMISES = {"history": "P26", "claim": "P25", "grant": "P25", "import": "P1"}    # what a failed deed breaks


@dataclass
class Ask:
    """A request as its reader's system remembers it."""

    sick: Sick
    subject: SubjectId
    reader: Person
    recipient: RecipientKey
    body: Commitment
    number: int = 0
    tx: bytes = b""


@dataclass
class Opens:
    """What an answer opens, if it says yes: noted before it is ordered, since a crash may hide that it was."""

    words: frozenset[str] = frozenset()
    parts: int = 0


class Workload:
    def __init__(self, world: World, chance: Chance):
        self.world = world
        self.oracle = world.oracle
        self.chance = chance
        self.asks: deque[Ask] = deque(maxlen=ASKS_KEPT)
        self.opens: dict[tuple[SubjectId, int], Opens] = {}
        self.sent: deque[bytes] = deque(maxlen=60)                   # executed, for copies
        self.held: list[bytes] = []                                  # signed, to be delivered some time
        self.in_flight: list[bytes] = []                             # nobody knows what became of them
        self.wanted: dict[tuple[SubjectId, MemberId, GrantId], None] = {}    # to be taken back
        self.late_bodies: list[KeptConsent] = []
        self.left: dict[MemberId, list[tuple[SubjectId, int, int]]] = {}     # pages that left, by holder
        self.set_back_ms = 0

    # -- deeds

    def do(self, deed: "Callable[[Workload], None]") -> None:
        """One deed, and what a crash in it asks for."""
        try:
            deed(self)
        except Broken:
            raise
        except Failed as error:
            if not self.world.crashed() and error.code not in NOT_NOW and error.code.value not in MODULE_CODES \
                    and error.code.value not in KERNEL_REFUSALS:
                name = deed.__name__.strip("_")
                raise Broken(PROMISES.get(name, "P2"), f"{name} failed with {error}") from error
        if self.world.crashed():
            self.world.recover(torn=self.chance.percent(50))
        self.world.look()

    def send(self, *raws: bytes) -> list[Committed | Failed]:
        """What became of them; whoever hears nothing sends the same again, later."""
        results = self.world.send(raws)
        for raw, result in zip(raws, results, strict=True):
            if isinstance(result, Committed):
                self.sent.append(raw)
            elif result.code is EngineCode.ENGINE_STOPPED:
                self.in_flight.append(raw)
            elif result.code not in NOT_NOW and result.code is not KernelCode.ALREADY_EXECUTED:
                raise Broken("P2", f"a good transaction was turned away: {result}")
        return results

    def order(self, *messages: Message) -> Committed | None:
        """Alone in a block: what came of it, if anything did."""
        result = self.send(self.world.signed(*messages))[0]
        return result if isinstance(result, Committed) else None

    # -- whom it may concern

    def claimed(self) -> list[Sick]:
        return [sick for sick in self.world.sick if sick.subject and self.oracle.claimed.get(sick.subject)]

    def readers(self) -> list[Person]:
        return [one for one in self.world.people if self.oracle.acts(one.account)]

    def live_grants(self, sick: Sick) -> list[tuple[MemberId, GrantId]]:
        return [(grantee, own) for (subject, grantee) in self.oracle.grants if subject == sick.subject
                for own in self.oracle.live(subject, grantee, self.oracle.now_ms)]

    # -- records

    def import_(self) -> None:
        """A new chart, an amendment, or another record; what failed half-way is tried again first."""
        hospital = self.chance.one_of([*self.world.holders])
        here = [sick for sick in self.world.sick if sick.hospital == hospital]
        sick = next((one for one in here if one.coming), None)
        if sick is None and (len(here) < SICK_PER_HOSPITAL and self.chance.percent(50) or not here):
            name = f"p{len(self.world.sick)}"
            sick = Sick(hospital, Chart(name), Pocket(self.chance.bytes(32)), coming=Chart.drawn(name, self.chance))
            self.world.sick.append(sick)
        elif sick is None:
            sick = self.chance.one_of(here)
            sick.coming = sick.chart.copy()
            if self.chance.percent(30) and len(sick.coming.entries) < 8:
                sick.coming.add(self.chance)
            own = self.chance.one_of([*sick.coming.entries])
            sick.coming.entries[own].version += 1
        if sick.coming is None:
            raise ValueError("nothing is coming")
        report = imports.take_in(self.world.holders[hospital], sick.coming.sources([*sick.coming.entries]))
        hold(not report.refused, "P1", f"a good chart was not taken in: {report.errors}")

    # -- patients

    def claim(self) -> None:
        """P25: with the one-time code it is hers, with another or a late one it is not."""
        unclaimed = [sick for sick in self.world.sick if sick.subject and not self.oracle.claimed[sick.subject]]
        if not unclaimed:
            return
        sick = self.chance.one_of(unclaimed)
        holder = self.world.holders[sick.hospital]
        code = claim_codes.issue(holder, sick.subject or b"")
        wrong = self.chance.percent(40)
        if wrong and self.chance.percent(50):
            self.world.pass_time(16 * MS_PER_MINUTE)
        elif wrong:
            code = "AAAA-AAAA-AAAA"
        try:
            self.world.patient(sick).claim(self.world.door(sick.hospital), sick.hospital, sick.subject or b"", code)
        except NotAuthorised as error:
            hold(wrong and error.code is HolderCode.CODE_NOT_VALID, "P25", f"a good code was turned away: {error}")
        else:
            hold(not wrong, "P25", "a subject was claimed without its code")

    def grant(self) -> None:
        if not self.claimed():
            return
        sick = self.chance.one_of(self.claimed())
        said = self.said()
        if self.chance.percent(60):
            self._grant_by_client(sick, said)
        else:
            self.send(self.signed_grant(sick, said))

    def said(self) -> Said:
        chance = self.chance
        return Said(
            person=chance.one_of(self.world.people).account if chance.percent(15) else NO_ID,
            roles=(int(members.Role.PHYSICIAN),) if chance.percent(20) else (),
            scope=SCOPES_WIDE if chance.percent(60) else chance.one_of(SCOPES),
            purposes=("TREAT", "HPAYMT") if chance.percent(30) else ("TREAT",),
            labels=chance.one_of(((), (), (PSYCHIATRIC,), (RESTRICTED,), (PSYCHIATRIC, RESTRICTED))))

    def _hours(self) -> int:
        return self.chance.one_of((1, 2, 24, 24, 72, 1_000))

    def _grant_by_client(self, sick: Sick, said: Said) -> None:
        grantee = self.chance.one_of([*self.oracle.status])
        known = len(sick.wallet.grants)
        try:
            self.world.patient(sick).grant(
                self.world.door(sick.hospital), sick.subject or b"", grantee, scope=_items(said.scope),
                purposes=said.purposes, hours=self._hours(), labels=said.labels, wording="As I said.", language="en",
                person=said.person, roles=tuple(members.Role(role) for role in said.roles))
        finally:
            for made in sick.wallet.grants[known:]:
                self.oracle.said[made.grant_id] = said

    def signed_grant(self, sick: Sick, said: Said) -> bytes:
        """A grant as bytes; its body goes to the holder before, later, never, or as another."""
        subject, grant_id = sick.subject or b"", self.chance.bytes(16)
        body = codec.encode(ConsentBody(
            person=said.person, roles=tuple(members.Role(role) for role in said.roles), scope=_items(said.scope),
            purposes=said.purposes, labels=said.labels, wording="As I said.", language="en"))
        opened = Opened(nonce=self.chance.bytes(32), body=body)
        kept = KeptConsent(network=self.world.node.network, subject=subject, grant_id=grant_id, opened=opened)
        said.delivered = False
        self.oracle.said[grant_id] = said
        if self.chance.percent(70):
            self._keep(kept)
        elif self.chance.percent(60):
            self.late_bodies.append(kept)
        return self.world.signed(consent.Grant(
            subject=subject, grantee=self.chance.one_of([*self.oracle.status]), grant_id=grant_id,
            until_h=self.world.now_ms() // MS_PER_HOUR + self._hours() - self.chance.percent(5),
            body=commit(SHA256, "consent-body", opened.nonce, body)))

    def _keep(self, kept: KeptConsent) -> None:
        answer.keep_consent(self._holder_of(kept.subject), kept.signed(self.world.keys[kept.subject]))
        self.oracle.said[kept.grant_id].delivered = True

    def late_body(self) -> None:
        """What was lost on the way arrives after all."""
        if self.late_bodies:
            self._keep(self.late_bodies.pop(self.chance.below(len(self.late_bodies))))

    def _holder_of(self, subject: SubjectId) -> Holder:
        return self.world.holders[self.oracle.holders[subject]]

    def revoke(self) -> None:
        """P2, I7: from the next page on nothing is released under it."""
        found = [(sick, *one) for sick in self.claimed() for one in self.live_grants(sick)]
        if not found:
            return
        sick, grantee, own = self.chance.one_of(found)
        subject = sick.subject or b""
        self.wanted[subject, grantee, own] = None
        by_client = self.chance.percent(50) and any(made.grant_id == own for made in sick.wallet.grants)
        if by_client:
            self.world.patient(sick).revoke(subject, own)
        else:
            self.order(consent.Revoke(subject=subject, grantee=grantee, grant_id=own))
        if not self.world.crashed():
            self.world.look()
            for ask in [one for one in self.asks if self._grant_of(one) == own]:
                self._fetch(ask, 0)

    def _grant_of(self, ask: Ask) -> GrantId:
        permit = self.oracle.permits.get((ask.subject, ask.number))
        return permit.grant_id if permit else b""

    def history(self) -> None:
        """P26: she is shown every entry, denied ones too, and the list is proved complete."""
        if not self.claimed():
            return
        sick = self.chance.one_of(self.claimed())
        shown = self.world.patient(sick).history(self.world.door(sick.hospital), sick.subject or b"")
        row = access.running_of(SHA256, shown.entries)
        hold((row.count, row.running) == self.oracle.entries.get(sick.subject or b"", (0, NO_HASH)), "P26",
             "a patient was shown another list of entries than was ordered")

    # -- readers

    def request(self) -> None:
        there = [sick for sick in self.world.sick if sick.subject]
        if not there or not self.readers():
            return
        sick, reader = self.chance.one_of(there), self.chance.one_of(self.readers())
        if self.chance.percent(80):
            welcome = [(one, who) for one in there for who in self.readers() if self.oracle.live(
                one.subject or b"", who.member, self.oracle.now_ms)]
            sick, reader = self.chance.one_of(welcome or [(sick, reader)])
        raw, ask = self.signed_request(sick, reader)
        self.note_asked(self.send(raw)[0], ask)

    def signed_request(self, sick: Sick, reader: Person) -> tuple[bytes, Ask]:
        """A request as bytes, its words handed over before, or lost."""
        chance, subject = self.chance, sick.subject or b""
        recipient = _recipient(chance.below(RECIPIENTS))
        scope = SCOPES_WIDE if chance.percent(50) else chance.one_of(SCOPES)
        words = RequestBody(reader=reader.account, purpose=chance.one_of(PURPOSES), scope=_items(scope), reason="seen")
        opened = Opened(nonce=chance.bytes(32), body=codec.encode(words))
        commitment = commit(SHA256, "request-body", opened.nonce, opened.body)
        self.oracle.asked[commitment] = words, False
        if chance.percent(88):
            delivered = Delivered(subject=subject, request=opened, recipient=recipient.public)
            signature = self.world.keys[reader.account].sign(delivered.message(self.world.node.network))
            try:
                self.world.peer(sick.hospital).deliver(delivered, signature)
                self.oracle.asked[commitment] = words, True
            except Busy as error:
                hold(error.code is HolderCode.TOO_MUCH_WAITING, "P2", f"a holder did not take what was asked: {error}")
        live = self.live_grants(sick)
        grant_id = chance.one_of(live)[1] if live and chance.percent(30) else NO_ID
        raw = self.world.signed(access.Request(
            reader=reader.account, subject=subject, grant_id=grant_id,
            key_hash=access.key_hash(SHA256, recipient.public), body=commitment))
        return raw, Ask(sick, subject, reader, recipient, commitment)

    def note_asked(self, result: Committed | Failed, ask: Ask) -> None:
        if not isinstance(result, Committed) or result.code:
            return
        _, event = codec.decode(result.events, self.world.modules.events_type)
        ask.number, ask.tx = event.number, result.tx_id
        self.asks.append(ask)

    def answer(self) -> None:
        """What the holder says is what the oracle expects; now and then she takes it back while it is decided."""
        if not self.oracle.requests:
            return
        subject, number = self.chance.one_of([*self.oracle.requests])
        if self.chance.percent(10):
            self._race("order", subject)
        try:
            self.answer_one(subject, number)
        finally:
            vars(self.world.node).pop("order", None)

    def answer_one(self, subject: SubjectId, number: int) -> None:
        expected = self.oracle.opens(subject, number, self.world.now_ms())
        if expected is not None:
            chart = self.oracle.charts[subject]
            self.opens[subject, number] = Opens(
                frozenset(chart.entries[own].words(own) for own in expected[1]), 2 * len(expected[1]))
        racing = "order" in vars(self.world.node)
        answer.answer(self._holder_of(subject), subject, number)
        self.world.look()
        permit = self.oracle.permits.get((subject, number))
        if permit is None:
            hold(expected is None or racing, "P2", f"request {number} was denied, though a grant covers it")
            return
        if expected is None:
            raise Broken("I6", f"request {number} was permitted, though nothing covers it")
        hold(permit.grant_id == expected[0], "I6", f"request {number} was permitted under another grant")
        for ask in self.asks:
            if (ask.subject, ask.number) == (subject, number) and self.chance.percent(60):
                self._fetch(ask, 0)

    def _race(self, name: str, subject: SubjectId) -> None:
        """At the next call of the node's `name`, some live grant of the subject is revoked first."""
        node = self.world.node
        real = getattr(node, name)
        sick = next(one for one in self.world.sick if one.subject == subject)

        def raced(*arguments: object) -> object:
            vars(node).pop(name, None)
            for grantee, own in self.live_grants(sick)[:3]:
                self.wanted[subject, grantee, own] = None
                self.order(consent.Revoke(subject=subject, grantee=grantee, grant_id=own))
            return real(*arguments)
        vars(node)[name] = raced

    def fetch(self) -> None:
        """A page, for its reader or for somebody else; sometimes she takes it back while it is made ready."""
        answered = [ask for ask in self.asks if (ask.subject, ask.number) not in self.oracle.requests]
        if not answered:
            return
        now = [ask for ask in answered if self.oracle.may_fetch(
            ask.subject, ask.number, ask.reader.account, self.world.now_ms())]
        ask = self.chance.one_of(now if now and self.chance.percent(70) else answered)
        opens = self.opens.get((ask.subject, ask.number), Opens())
        page = self.chance.below(1 + opens.parts // self.world.manifest.parameters.page_parts)
        if self.chance.percent(8):
            self._race("tip_age_ms", ask.subject)
        try:
            self._fetch(ask, page, self.chance.one_of(self.world.people) if self.chance.percent(5) else ask.reader)
        finally:
            vars(self.world.node).pop("tip_age_ms", None)

    def _fetch(self, ask: Ask, page: int, signer: Person | None = None) -> None:
        """I6, I7, P2: a page leaves if and only if the oracle says so, and holds nothing but what the answer opens."""
        world, oracle = self.world, self.oracle
        reader = signer or ask.reader
        permit = oracle.permits.get((ask.subject, ask.number))
        opens = self.opens.get((ask.subject, ask.number), Opens())
        asked = asking.Asked(ask.subject, ask.number, 0, ask.body, ask.tx, reader.account, world.keys[reader.account],
                             ask.recipient, permit.event if permit else None, None)
        per_page = world.manifest.parameters.page_parts
        racing = "tip_age_ms" in vars(world.node)
        there = page * per_page < opens.parts
        allowed = there and oracle.may_fetch(ask.subject, ask.number, reader.account, world.now_ms())
        hospital = ask.sick.hospital
        try:
            found, _ = asking.fetch(world.node, world.peer(hospital), asked, page)
        except (NotAuthorised, Busy) as error:
            excused = not allowed or racing or error.code is HolderCode.TIP_TOO_OLD or error.code in BUSY
            hold(excused or world.crashed(), "P2", f"page {page} of request {ask.number} was not given: {error}")
            return
        self.left.setdefault(hospital, []).append((ask.subject, ask.number, page))
        world.look()
        if not allowed or not oracle.may_fetch(ask.subject, ask.number, reader.account, oracle.now_ms):
            raise Broken("I7" if permit and there else "I6",
                         f"page {page} of request {ask.number} left without a live permit")
        hold(len(found) == min(per_page, opens.parts - page * per_page), "P2", "a page has other parts than its answer")
        for one in found:
            said = charts.words_of(json.loads(one.content)) if one.part.part == REST else None
            hold(said is None or said in opens.words, "I6", "a record was released that the grant does not open")


@functools.cache
def _recipient(number: int) -> RecipientKey:
    """Of a few, since making one takes as long as a transaction. (A reader's system makes one for each request.)"""
    return RecipientKey.from_private(bytes([number]) * PRIVATE_BYTES)


def _items(scope: tuple[str, ...]) -> tuple[ScopeItem, ...]:
    return tuple(ScopeItem(data_class=one, id="") for one in scope)
