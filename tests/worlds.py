"""A network to test with: ids and keys come from names, block time moves when told, nonces count up.

The same calls make the same bytes, so a test that fails once fails always. No clock, no chance, no files.

    world = World().furnished()
    world.do(world.grant("mei", "B", "g1", hours=24))
    assert world.do(world.request("B.doctor", "mei")).event.denied == 0
"""

import functools
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from memory_ledger import MemoryLedger
from xinglin.base import codec, crypto, note, sparse
from xinglin.base.check import SignatureInvalid
from xinglin.base.crypto import SHA256, SignatureSuite, SigningKey, key_hash
from xinglin.base.ids import NO_HASH, NO_ID
from xinglin.base.note import Checkpoint, KeyUse, NoteKey
from xinglin.base.units import MS_PER_HOUR
from xinglin.kernel.accounts import Custody
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.executor import KERNEL, Applied, Outcome
from xinglin.kernel.genesis import (
    CheckpointKey,
    Founder,
    Manifest,
    MemberKind,
    Parameters,
    chain_id,
    network_id,
)
from xinglin.kernel.module import Event, Message, Module, ModuleSet, Table
from xinglin.kernel.receipt import InHistory, Receipt, StateProof, origin
from xinglin.kernel.state import Reading
from xinglin.kernel.tx import (
    SIGN_DOMAIN,
    Body,
    NotIncludable,
    Reader,
    Signer,
    Transaction,
    Tx,
    needed_signers,
    prepare,
)
from xinglin.modules import MODULES, access, consent, members, records, subjects

STARTED_MS = 472_223 * MS_PER_HOUR      # a whole hour, so that hours in a test can be counted
ED25519 = SignatureSuite.ED25519
NO_SUITES: Mapping[str, SignatureSuite] = {}      # founder -> suite, Ed25519 unless told

E = TypeVar("E", bound=Event)


def named(name: str) -> bytes:
    """The id that goes by `name`; "-" is no id."""
    return NO_ID if name == "-" else hashlib.sha256(b"id " + name.encode()).digest()[:16]


def content(name: str) -> bytes:
    """Thirty-two bytes that stand for a commitment, root or hash called `name`; "-" is none."""
    return NO_HASH if name == "-" else hashlib.sha256(b"content " + name.encode()).digest()


@functools.cache
def key_named(name: str, suite: SignatureSuite = ED25519) -> SigningKey:
    return SigningKey.from_seed(suite, hashlib.sha256(b"key " + name.encode()).digest())


CHECKPOINT = key_named("checkpoint")
CHECKPOINT_KEY = NoteKey("operator", KeyUse.LOG, CHECKPOINT.public)      # as verifiers know it


class Signing(Protocol):
    """What signs: a SigningKey, or something odder."""

    suite: SignatureSuite

    @property
    def public(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


class Result(NamedTuple):
    """What came of one transaction or timer, read back from its committed bytes."""

    code: int
    envelope: Any                 # Envelope of a transaction, TimerEnvelope of a timer
    events: tuple[Event, ...]
    outcome: Outcome

    @property
    def event(self) -> Any:
        """The one event of a transaction of one message."""
        (event,) = self.events
        return event


class World:
    """A ledger in memory with its clock and everybody's keys."""

    def __init__(self, founders: Iterable[str] = ("A", "B", "C"), modules: tuple[Module, ...] = MODULES,
                 suites: Mapping[str, SignatureSuite] = NO_SUITES, units_per_second: int = 1_000_000,
                 answer_ms: int = 60_000):
        keys = {name: key_named(name, suites.get(name, ED25519)) for name in founders}
        self.modules = ModuleSet(modules, KERNEL)
        self.hashes = SHA256
        self.keys: dict[bytes, Signing] = {named(name): key for name, key in keys.items()}
        self.manifest = Manifest(
            name="test", hash_suite=SHA256.name, started_ms=STARTED_MS, simulated=True,
            module_set=self.modules.hash(SHA256),
            parameters=Parameters(units_per_second=units_per_second, answer_ms=answer_ms, page_parts=16),
            operator=named(next(iter(keys))),
            founders=tuple(Founder(member=named(name), kind=MemberKind.HOSPITAL, suite=key.suite, key=key.public,
                                   card=content(name)) for name, key in keys.items()),
            checkpoint_keys=(CheckpointKey(name="operator", key=key_named("checkpoint").public),))
        self.network = network_id(self.manifest)
        self.ledger = MemoryLedger(self.manifest, self.modules)
        self.reader = Reader(self.network, self.hashes, self.modules)
        self.time_ms = STARTED_MS
        self.history: list[Result] = []
        self.brought: dict[bytes, Signing] = {}           # public key -> what signs, of keys that are brought apart
        self._nonce = 0

    # -- making and ordering transactions

    def transaction(self, *messages: Message, expires_at_ms: int | None = None, nonce: bytes | None = None,
                    keys: Mapping[bytes, Signing] | None = None) -> bytes:
        """Signed bytes. `keys` are used before everybody's own."""
        self._nonce += 1
        known: dict[bytes, Signing] = {**self.keys, **(keys or {})}
        specs = tuple(self.modules.messages[type(message)] for message in messages)
        apart = [getattr(message, spec.introduces.key) for message, spec in zip(messages, specs, strict=True)
                 if spec.introduces and spec.introduces.apart]
        accounts = needed_signers(messages, specs)
        own = len(accounts) - len(apart)
        signing = list(zip(accounts, [*[known[account] for account in accounts[:own]],
                                      *[self.brought[public] for public in apart]], strict=True))
        body = codec.encode(Body(
            network=self.network, expires_at_ms=expires_at_ms or self.time_ms + 60_000,
            nonce=nonce or self._nonce.to_bytes(16, "big"), messages=messages,
            signers=tuple(Signer(account=account, key=key_hash(self.hashes, key.suite, key.public))
                          for account, key in signing)))
        return codec.encode(Transaction(body=body, signatures=tuple(key.sign(SIGN_DOMAIN + body)
                                                                    for _, key in signing)))

    def includable(self, raw: bytes, now_ms: int | None = None) -> Tx:
        """The transaction that `raw` is at the tip, all of its signatures verified, or NotIncludable."""
        tx = self.reader.read(raw)
        for check in prepare(tx, self.ledger, now_ms or self.time_ms):
            try:
                crypto.verify(*check)
            except SignatureInvalid as error:
                raise NotIncludable(KernelCode.SIGNATURE_NOT_VALID, error.detail) from None
        return tx

    def block(self, *raws: bytes, after_ms: int = 1_000) -> Applied:
        """One block with these transactions, each of which must be includable, `after_ms` from now."""
        self.time_ms += after_ms
        applied = self.ledger.apply(self.time_ms, [self.includable(raw) for raw in raws])
        self.history.extend(self.results(applied))
        return applied

    def results(self, applied: Applied) -> list[Result]:
        found = []
        for outcome in applied.outcomes:
            envelope, *events = codec.decode(outcome.events, self.modules.events_type)
            found.append(Result(outcome.code, envelope, tuple(events), outcome))
        return found

    def do(self, *messages: Message, after_ms: int = 1_000, keys: Mapping[bytes, Signing] | None = None) -> Result:
        """One transaction in a block of its own. Timers that were due come to pass before it, unmentioned."""
        raw = self.transaction(*messages, expires_at_ms=self.time_ms + after_ms + 60_000, keys=keys)
        return self.results(self.block(raw, after_ms=after_ms))[-1]

    def done(self, *messages: Message) -> Result:
        """As `do`, of something that a test takes for granted."""
        result = self.do(*messages)
        assert result.code == 0, self.code(result.code)
        return result

    def wait(self, ms: int) -> list[Result]:
        """A block without transactions: what the timers do."""
        return self.results(self.block(after_ms=ms))

    def plant(self, table: Table[Any], key: tuple[Any, ...], row: Any) -> None:
        """A row that it would take too many transactions to reach."""
        at, data = table.encode_key(key), codec.encode(row)
        self.ledger.rows[table.store_prefix + at] = data
        self.ledger.update_tree([(self.hashes.digest(table.path_prefix + at), self.hashes.digest(data))])
        due_ms = table.due(row) if table.due is not None else None
        if due_ms is not None:
            self.ledger._due.add((due_ms, table.name, at))

    # -- files for strangers, each under a checkpoint of its own block

    def checkpoint(self, applied: Applied) -> bytes:
        assert applied.appended is not None
        said = Checkpoint(origin(chain_id(self.manifest)), applied.appended.size, applied.appended.root)
        return note.sign(said, "operator", key_named("checkpoint"))

    def in_history(self, applied: Applied, number: int) -> InHistory:
        """A leaf of the block; the one after its outcomes closes it."""
        assert applied.appended is not None
        index = applied.appended.first + number
        leaves = [*[outcome.leaf for outcome in applied.outcomes], applied.closing]
        return InHistory(leaf=leaves[number], index=index, path=tuple(applied.appended.path(index)))

    def receipt(self, applied: Applied, number: int = 0) -> Receipt:
        return Receipt(manifest=codec.encode(self.manifest), checkpoint=self.checkpoint(applied),
                       outcome=self.in_history(applied, number),
                       closing=self.in_history(applied, len(applied.outcomes)),
                       events=applied.outcomes[number].events)

    def state_proof(self, applied: Applied, table: Table[Any], *key: Any) -> StateProof:
        """The row, or its absence, after the newest block, which `applied` is."""
        at = table.encode_key(key)
        path = sparse.path_of(self.hashes, table.name, at)
        return StateProof(manifest=codec.encode(self.manifest), checkpoint=self.checkpoint(applied),
                          closing=self.in_history(applied, len(applied.outcomes)), table=table.name, key=at,
                          row=self.ledger.rows.get(table.store_prefix + at),
                          proof=sparse.prove(self.hashes, self.ledger.leaves, path))

    # -- looking

    def events(self, kind: type[E]) -> list[E]:
        """All there have been of a kind."""
        return [event for result in self.history for event in result.events if isinstance(event, kind)]

    def code(self, number: int) -> Any:
        return self.modules.codes[number]

    def row(self, table: Table[Any], *key: Any) -> Any:
        return self.ledger.row(table, table.encode_key(key))

    def reading(self) -> Reading:
        """What holder and node ask with, at the tip and now."""
        return Reading(self.ledger, self.modules.owners, self.manifest.parameters, self.time_ms)

    def domain_rows(self) -> dict[bytes, bytes]:
        """All rows but what the kernel keeps of every executed transaction, refused ones too."""
        kept = tuple(table.store_prefix for table in KERNEL.tables if table.name != "kernel/accounts")
        return {at: row for at, row in self.ledger.rows.items() if not at.startswith(kept)}

    @property
    def hour(self) -> int:
        return self.time_ms // MS_PER_HOUR

    # -- what people say; a name stands for an id, a key and a commitment

    def key(self, name: str) -> Signing:
        return self.keys.setdefault(named(name), key_named(name))

    def invite(self, proposer: str, member: str, kind: MemberKind = MemberKind.PHARMACY) -> members.Invite:
        key = self.key(member)
        return members.Invite(proposer=named(proposer), member=named(member), kind=kind, suite=key.suite,
                              key=key.public, card=content(member))

    def propose(self, proposer: str, member: str, motion: members.Motion) -> members.Propose:
        return members.Propose(proposer=named(proposer), member=named(member), motion=motion)

    def vote(self, voter: str, member: str, motion: members.Motion) -> members.Vote:
        return members.Vote(voter=named(voter), member=named(member), motion=motion)

    def enrol_staff(self, member: str, account: str, role: members.Role = members.Role.PHYSICIAN,
                    custody: Custody = Custody.OWN) -> members.EnrolStaff:
        key = self.key(account)
        return members.EnrolStaff(member=named(member), account=named(account), role=role, custody=custody,
                                  suite=key.suite, key=key.public, card=content(account))

    def enrol_service(self, member: str, account: str) -> members.EnrolService:
        key = self.key(account)
        return members.EnrolService(member=named(member), account=named(account), suite=key.suite, key=key.public)

    def bring(self, key: str, suite: SignatureSuite = ED25519) -> Signing:
        """A key for a message that brings it apart; whose it is then is the message's affair."""
        signing = key_named(key, suite)
        return self.brought.setdefault(signing.public, signing)

    def key_id(self, key: str) -> bytes:
        signing = key_named(key)
        return key_hash(self.hashes, signing.suite, signing.public)

    def rotate(self, account: str, key: str, old_until_ms: int = 0) -> members.RotateKey:
        new = self.bring(key)
        return members.RotateKey(account=named(account), suite=new.suite, key=new.public, old_until_ms=old_until_ms)

    def rotate_subject(self, subject: str, key: str, old_until_ms: int = 0) -> subjects.RotateKey:
        new = self.bring(key)
        return subjects.RotateKey(subject=named(subject), suite=new.suite, key=new.public, old_until_ms=old_until_ms)

    def replace_key(self, proposer: str, member: str, key: str) -> members.ReplaceKey:
        new = self.bring(key)
        return members.ReplaceKey(proposer=named(proposer), member=named(member), suite=new.suite, key=new.public)

    def retire_key(self, proposer: str, member: str, key: str) -> members.RetireKey:
        return members.RetireKey(proposer=named(proposer), member=named(member), key=self.key_id(key))

    def vote_key(self, voter: str, proposer: str, member: str, motion: members.KeyMotion, key: str) -> members.VoteKey:
        return members.VoteKey(voter=named(voter), proposer=named(proposer), member=named(member), motion=motion,
                               key=self.key_id(key))

    def end_staff(self, member: str, account: str) -> members.EndStaff:
        return members.EndStaff(member=named(member), account=named(account))

    def register(self, service: str, subject: str) -> subjects.Register:
        return subjects.Register(service=named(service), subject=named(subject))

    def claim(self, service: str, subject: str) -> subjects.Claim:
        key = self.key(subject)
        return subjects.Claim(service=named(service), subject=named(subject), suite=key.suite, key=key.public)

    def grant(self, subject: str, grantee: str, grant: str, hours: int = 24) -> consent.Grant:
        return consent.Grant(subject=named(subject), grantee=named(grantee), grant_id=named(grant),
                             until_h=self.hour + hours, body=content(grant))

    def revoke(self, subject: str, grantee: str, grant: str) -> consent.Revoke:
        return consent.Revoke(subject=named(subject), grantee=named(grantee), grant_id=named(grant))

    def batch(self, service: str, owner: str, number: int, count: int = 3) -> records.Batch:
        return records.Batch(service=named(service), owner=named(owner), number=number,
                             root=content(f"{owner} {number}"), count=count)

    def request(self, reader: str, subject: str, grant: str = "-") -> access.Request:
        return access.Request(reader=named(reader), subject=named(subject), grant_id=named(grant),
                              key_hash=content("recipient"), body=content("request"))

    def permit(self, service: str, subject: str, number: int, grant: str, epoch: int,
               for_ms: int = 900_000) -> access.Answer:
        """Said now, so in the next second's block it has `for_ms` less a second to run."""
        return access.Answer(service=named(service), subject=named(subject), number=number,
                             decision=access.Decision.PERMIT, grant_id=named(grant), epoch=epoch,
                             inputs=content("inputs"), opening=content("opening"), parts_root=content("parts"),
                             expires_at_ms=self.time_ms + for_ms)

    def deny(self, service: str, subject: str, number: int) -> access.Answer:
        return access.Answer(service=named(service), subject=named(subject), number=number,
                             decision=access.Decision.DENIED, grant_id=NO_ID, epoch=0, inputs=content("inputs"),
                             opening=content("opening"), parts_root=NO_HASH, expires_at_ms=0)

    def anchor(self, service: str, count: int, running: str = "reads") -> access.Anchor:
        return access.Anchor(service=named(service), count=count, running=content(running))

    def furnished(self) -> "World":
        """With a service at A and B, doctors at A, B and C, mei and li claimed at A, zhao at B, wang unclaimed."""
        there = [member for member in ("A", "B", "C") if named(member) in self.keys]
        for member in there[:2]:
            self.done(self.enrol_service(member, f"{member}.service"))
        for member in there:
            self.done(self.enrol_staff(member, f"{member}.doctor"))
        for service, subject in (("A.service", "mei"), ("A.service", "li"), ("B.service", "zhao")):
            self.done(self.register(service, subject))
            self.done(self.claim(service, subject))
        self.done(self.register("A.service", "wang"))
        return self

    def eventful(self) -> "World":
        """Furnished, and then one of everything: each message, each event, a row in each table."""
        self.furnished()
        self.done(self.enrol_staff("B", "B.nurse", members.Role.NURSE, Custody.SERVER))
        self.done(self.end_staff("B", "B.nurse"))
        self.done(self.invite("A", "D"))
        self.done(self.vote("B", "D", members.Motion.ADMIT))
        self.done(self.propose("A", "C", members.Motion.SUSPEND))
        self.done(self.replace_key("A", "C", "C.other"))
        self.done(self.vote_key("B", "A", "C", members.KeyMotion.REPLACE, "C.other"))
        self.done(self.rotate("A", "A.new", self.time_ms + 3_600_000))
        self.done(self.retire_key("B", "A", "A"))
        self.done(self.rotate("B.doctor", "B.doctor.new"))
        self.keys[named("B.doctor")] = key_named("B.doctor.new")
        self.done(self.rotate("A.service", "A.service.new", self.time_ms + 3_600_000))
        self.done(self.rotate_subject("li", "li.new"))
        self.keys[named("li")] = key_named("li.new")
        self.done(self.batch("A.service", "mei", 1), self.batch("A.service", "A", 1))
        self.done(self.request("B.doctor", "mei"))
        self.done(self.grant("mei", "B", "g1", hours=48), self.grant("mei", "B", "g2"), self.grant("mei", "C", "g3", 1))
        self.done(self.revoke("mei", "B", "g2"))
        self.do(self.revoke("mei", "B", "g2"))
        self.done(self.request("B.doctor", "mei", "g1"))
        self.done(self.permit("A.service", "mei", 2, "g1", 1))
        self.done(self.request("B.doctor", "mei"))
        self.done(self.deny("A.service", "mei", 4))
        self.done(self.request("B.doctor", "mei"))
        self.wait(61_000)
        self.done(self.anchor("A.service", 7))
        self.wait(3_600_000)
        self.keys[named("A.service")], self.keys[named("A")] = key_named("A.service.new"), key_named("A.new")
        self.done(self.request("B.doctor", "mei"))
        return self
