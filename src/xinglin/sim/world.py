"""The network of one seed: a node, data rooms, people with keys, a clock that moves by step; and its crashes.

Real are the node, its engine and store, the data rooms and the wallets' client. Simulated are time, chance, what
carries bytes between people, and the files of wallets, whose passphrase would cost more than all the rest.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from xinglin.base.check import Failed
from xinglin.base.crypto import SHA256, SignatureSuite, SigningKey, key_hash
from xinglin.base.ids import NO_HASH, AccountId, KeyHash, MemberId, SubjectId
from xinglin.base.note import KeyUse, NoteKey
from xinglin.client.client import Client
from xinglin.client.patient import Patient
from xinglin.client.sealed_file import PassphraseKey
from xinglin.client.signing import sign
from xinglin.client.wallet import Wallet, WalletContent
from xinglin.engine.clock import Clock
from xinglin.engine.codes import EngineCode
from xinglin.engine.embedded import Committed
from xinglin.engine.ledger import Ledger
from xinglin.holder.holder import Holder
from xinglin.holder.peers import LocalDoor, LocalPeer
from xinglin.kernel.accounts import Custody
from xinglin.kernel.genesis import CheckpointKey, Founder, Manifest, MemberKind, Parameters
from xinglin.kernel.module import Message
from xinglin.modules import members, module_set
from xinglin.node import LocalTransport, Node
from xinglin.sim.chance import Chance
from xinglin.sim.charts import Chart
from xinglin.sim.codes import Broken
from xinglin.sim.known_keys import FOREVER
from xinglin.sim.oracle import Oracle
from xinglin.sim.watch import Watch
from xinglin.vault.keystore import TagKind

ED25519 = SignatureSuite.ED25519
STARTED_MS = 1_700_000_000_000     # an hour's beginning plus some minutes
ANSWER_MS = 60_050                 # steps are 100 ms, a block 1 ms: no timer falls due between two blocks of a step
STEP_MS = 100
TX_MS = 60_000
INLINE_CHECKS_MAX = 1_000_000      # a helper process answers when it likes, so blocks would differ from run to run
UNITS_PER_SECOND = (1_000_000, 1_000_000, 5_000, 400)

HOSPITALS = ("north", "south")
KINDS = {"north": MemberKind.HOSPITAL, "south": MemberKind.HOSPITAL, "practice": MemberKind.PRACTICE,
         "insurer": MemberKind.INSURER, "regulator": MemberKind.REGULATOR}
ROLES = {"north": (members.Role.PHYSICIAN, members.Role.NURSE), "south": (members.Role.PHYSICIAN,),
         "practice": (members.Role.PHYSICIAN, members.Role.PSYCHIATRIST), "insurer": (members.Role.CLAIMS_OFFICER,),
         "regulator": (members.Role.AUDITOR,)}


class SteppedClock:
    """Moves only when told. Wall time may be set back; what has passed may not."""

    def __init__(self, now_ms: int):
        self._now_ms = now_ms
        self._passed_ms = 0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_ms(self) -> int:
        return self._passed_ms

    def pass_(self, by_ms: int) -> None:
        self._now_ms += by_ms
        self._passed_ms += by_ms

    def set_back(self, by_ms: int) -> None:
        self._now_ms -= by_ms


class Pocket(Wallet):
    """A wallet without its file."""

    def __init__(self, seed: bytes):
        super().__init__(Path(), _NO_KEY, WalletContent(seed=seed, subjects=(), grants=(), notes=()), b"")

    def _save(self, key: PassphraseKey, content: WalletContent) -> None:
        self._content = content


_NO_KEY: Any = None                # nothing is sealed


class Disk:
    """The store's database, and how much of its log was ever synced: what a machine that dies is sure to keep."""

    def __init__(self, database: Any, folder: Path):
        self.database = database
        self._folder = folder
        self.flush_wal(True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)

    def flush_wal(self, sync: bool) -> None:
        self.database.flush_wal(sync)
        self.synced = self.log().stat().st_size

    def log(self) -> Path:
        """Of what is in no table yet."""
        return max(self._folder.glob("*.log"), key=lambda file: int(file.stem))


class Point(Enum):
    """Where the process dies: around the write and the sync of a block."""

    BEFORE_WRITE = "write", False
    AFTER_WRITE = "write", True
    BEFORE_SYNC = "sync", False
    AFTER_SYNC = "sync", True


@dataclass
class Person:
    """Somebody who asks: an account of a member's staff."""

    account: AccountId
    member: MemberId


@dataclass
class Sick:
    """A patient of one hospital: one of its subjects, once her chart was imported."""

    hospital: MemberId
    chart: Chart
    wallet: Pocket
    subject: SubjectId | None = None
    coming: Chart | None = None    # what an import under way would make of her chart
    moving: Pocket | None = None   # to another seed, once the ledger has its key


class World:
    """In `folder`, which is empty. `close` it, whatever happens."""

    def __init__(self, folder: Path, seed: int):
        self.folder = folder
        self.chance = Chance(seed, "people")
        self.clock = SteppedClock(STARTED_MS)
        self.names: dict[str, MemberId] = {name: self.chance.bytes(16) for name in KINDS}
        self.keys: dict[AccountId, SigningKey] = {member: new_key(self.chance) for member in self.names.values()}
        self.checkpoint_key = self.keys[self.names["north"]]
        self.coming: dict[AccountId, list[SigningKey]] = {}          # what the ledger may get, from rotations and votes
        self.replaced: list[tuple[AccountId, SigningKey]] = []
        self.services: dict[MemberId, AccountId] = {}
        self.holders: dict[MemberId, Holder] = {}
        self.people: list[Person] = []
        self.sick: list[Sick] = []
        self.told: list[Committed] = []
        self.crashes = self.restarts = 0
        self.modules = module_set()
        self.manifest = self._manifest(UNITS_PER_SECOND[seed % len(UNITS_PER_SECOND)], 2 + seed % 4)
        self.oracle = Oracle(SHA256, STARTED_MS, status={member: "active" for member in self.names.values()})
        for member in self.names.values():
            self.oracle.keys.of[member] = {_id(self.keys[member]): FOREVER}
        self.watch = Watch(self.manifest, self.modules, self.oracle)
        Ledger.create(folder / "store", self.manifest, self.modules).close()
        self.open_node()

    def _manifest(self, units_per_second: int, page_parts: int) -> Manifest:
        operator = self.names["north"]
        return Manifest(
            name="sim", hash_suite=SHA256.name, started_ms=STARTED_MS, simulated=True,
            module_set=self.modules.hash(SHA256), operator=operator,
            parameters=Parameters(units_per_second=units_per_second, answer_ms=ANSWER_MS, page_parts=page_parts),
            founders=tuple(Founder(member=member, kind=KINDS[name], suite=ED25519, key=self.keys[member].public,
                                   card=NO_HASH) for name, member in self.names.items()),
            checkpoint_keys=(CheckpointKey(name="north", key=self.checkpoint_key.public),))

    def furnish(self) -> None:
        """Staff for all, data rooms for two."""
        for name, member in self.names.items():
            for role in ROLES[name]:
                self.enrol(member, role)
                self.pass_time(STEP_MS)
        for name in HOSPITALS:
            self._enrol_service(self.names[name])
            self._open_holder(self.names[name])
            self.pass_time(10 * STEP_MS)

    # -- opening, crashing, closing

    def open_node(self) -> None:
        ledger = Ledger.open(self.folder / "store", self.modules)
        clock: Clock = self.clock
        try:
            key = self.checkpoint_key
            self.node = Node(self.folder, ledger, clock, "north", key, (NoteKey("north", KeyUse.LOG, key.public),),
                             INLINE_CHECKS_MAX)
        except Failed:
            ledger.store.close()
            raise
        self.disk = vars(ledger.store)["_db"] = Disk(vars(ledger.store)["_db"], self.folder / "store")
        self.node.subscribe(self.watch.hear)
        self.client = Client(LocalTransport(self.node), self.modules, self.node.network)

    def _open_holder(self, member: MemberId) -> None:
        service = self.services[member]
        self.holders[member] = Holder.open(self.node, self.folder / member.hex(), member, service, self.keys[service])

    def close(self) -> None:
        for holder in self.holders.values():
            holder.close()
        self.node.close()

    def restart(self) -> None:
        """Close in order, and open again."""
        self.disarm()
        self.close()
        self.restarts += 1
        self.reopen()

    def reopen(self) -> None:
        """What is closed. Errors  Failed CLOCK_BEHIND_TIP."""
        self.open_node()
        for member in self.holders:
            self._open_holder(member)
        self.look(opened=True)

    def disarm(self) -> None:
        vars(self.node.engine.ledger.store).pop("write", None)
        vars(self.node.engine.ledger.store).pop("sync", None)

    def arm(self, point: Point) -> None:
        """The process dies at the next block that reaches `point`."""
        store = self.node.engine.ledger.store
        name, after = point.value
        real = getattr(store, name)

        def crash(*arguments: Any) -> None:
            if after:
                real(*arguments)
            raise Failed(EngineCode.STORE_NOT_USABLE, "the simulation stopped the process here")
        vars(store)[name] = crash

    def crashed(self) -> bool:
        return self.node.engine.failed is not None

    def recover(self, torn: bool) -> None:
        """Start again on what the crash left; `torn`: the machine died too, and part of what was not synced is lost."""
        self.crashes += 1
        store, left = self.folder / "store", self.folder / "left"
        shutil.copytree(store, left)         # closing writes what a process that died would not have written
        log = left / self.disk.log().name
        unsynced = log.stat().st_size - self.disk.synced
        if torn and unsynced:
            os.truncate(log, self.disk.synced + self.chance.below(unsynced + 1))
        self.close()
        shutil.rmtree(store)
        left.rename(store)
        try:
            self.reopen()
        except Failed as error:
            if isinstance(error, Broken):
                raise
            raise Broken("I2", f"what a crash left does not open: {error}") from error

    # -- time

    def pass_time(self, by_ms: int) -> None:
        """And let what falls due come to pass, before anything else is ordered."""
        self.clock.pass_(by_ms)
        if self.oracle.is_due(self.clock.now_ms()):
            self.node.engine.wake()
            self.node.settle()
            self.look()

    def now_ms(self) -> int:
        """As a holder sees it: the later of tip and clock."""
        return max(self.oracle.now_ms, self.clock.now_ms())

    # -- ordering

    def signed(self, *messages: Message, keys: Mapping[AccountId, SigningKey] | None = None,
               apart: Sequence[SigningKey] = ()) -> bytes:
        """`keys` are used before everybody's own."""
        return sign(self.node.network, SHA256, self.modules, messages, {**self.keys, **(keys or {})},
                    self.clock.now_ms() + TX_MS, apart)[0]

    def send(self, raws: Sequence[bytes]) -> list[Committed | Failed]:
        """Hand them over between two blocks, so that one block takes them all; what became of each."""
        def submit(_: Ledger) -> list[Future[Committed] | Failed]:
            return [self._submitted(raw) for raw in raws]
        found: list[Committed | Failed] = []
        for handed in self.node.ask(submit):
            if isinstance(handed, Failed):
                found.append(handed)
                continue
            error = handed.exception()
            if error is None:
                found.append(handed.result())
                self.told.append(handed.result())
            elif isinstance(error, Failed):
                found.append(error)
            else:
                raise error
        return found

    def _submitted(self, raw: bytes) -> "Future[Committed] | Failed":
        try:
            return self.node.submit(raw)
        except Failed as error:
            return error

    def look(self, opened: bool = False) -> None:
        """Check all that has happened, and what clients were told of it."""
        self.watch.look(self.node, opened)
        for committed in self.told:
            self.watch.check_told(committed)
        self.told.clear()
        for account in self.coming:
            self._learn_key(account)
        for one in self.sick:
            self._learn_wallet(one)
            self._learn(one)

    def _learn_key(self, account: AccountId) -> None:
        """Whoever brought a key signs with it once the ledger has it, and so does its data room."""
        for key in self.coming[account]:
            if self.oracle.keys.of[account].get(_id(key)) == FOREVER:
                self.coming[account].remove(key)
                self._replace(account, key)
                for member, holder in self.holders.items():
                    if self.services[member] == account:
                        holder.close()
                        self._open_holder(member)
                return

    def _learn_wallet(self, sick: Sick) -> None:
        subject = sick.subject or b""
        if sick.moving is not None:
            key = sick.moving.signing_key(self.node.network, subject)
            if self.oracle.keys.of.get(subject, {}).get(_id(key)) == FOREVER:
                sick.wallet, sick.moving = sick.moving, None
                self._replace(subject, key)

    def _replace(self, account: AccountId, key: SigningKey) -> None:
        self.replaced.append((account, self.keys[account]))
        self.keys[account] = key

    def _learn(self, sick: Sick) -> None:
        """A chart that was under way counts once its batch stands."""
        if sick.coming is None:
            return
        subject = sick.subject or self.subject_of(sick)
        before = self.oracle.charts.get(subject or b"")
        batches = len(self.oracle.batches.get(subject or b"", {}))
        if subject is not None and batches > (before.batches if before else 0):
            sick.coming.batches = batches
            sick.subject, sick.chart = subject, sick.coming
            self.oracle.charts[subject] = sick.coming
            sick.coming = None
            self.keys[subject] = self.patient(sick).key(subject)

    def subject_of(self, sick: Sick) -> SubjectId | None:
        return self.holders[sick.hospital].keystore.find("", f"Patient/{sick.chart.name}", TagKind.SOURCE)

    # -- people

    def patient(self, sick: Sick) -> Patient:
        return Patient(self.client, sick.wallet)

    def door(self, hospital: MemberId) -> LocalDoor:
        return LocalDoor(self.holders[hospital])

    def peer(self, hospital: MemberId) -> LocalPeer:
        return LocalPeer(self.holders[hospital])

    def enrol(self, member: MemberId, role: members.Role) -> Committed | Failed:
        account, key = self.chance.bytes(16), new_key(self.chance)
        (result,) = self.send([self.signed(members.EnrolStaff(
            member=member, account=account, role=role, custody=Custody.OWN, suite=ED25519, key=key.public,
            card=NO_HASH), keys={account: key})])
        if isinstance(result, Committed) and result.code == 0:
            self.keys[account] = key
            self.people.append(Person(account, member))
        return result

    def _enrol_service(self, member: MemberId) -> None:
        account, key = self.chance.bytes(16), new_key(self.chance)
        self.send([self.signed(members.EnrolService(member=member, account=account, suite=ED25519, key=key.public),
                               keys={account: key})])
        self.keys[account] = key
        self.services[member] = account


def new_key(chance: Chance) -> SigningKey:
    return SigningKey.from_seed(ED25519, chance.bytes(32))


def _id(key: SigningKey) -> KeyHash:
    return key_hash(SHA256, key.suite, key.public)
