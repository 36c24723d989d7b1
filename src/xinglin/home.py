"""One home: the node, data rooms, keys and wallets that live in a folder, put together.

    ledger/                         the node's
    organisations/NAME/card.json    its names and ids; off the ledger, since names are of people too
                      /member.key   the organisation's own key; member.rotation, member.replacement: one that is
                                    to come (home_keys.py)
                      /service.key  its system's; service.pending: an enrolment that is under way
                      /vault/       its data room
                      /mirrors      folders, a line each, that keep its keystore as well
                      /staff/NAME.key, NAME.json; NAME.pending: as above
    wallets/NAME.wallet             of patients who keep theirs here
"""

import json
import re
import secrets
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

from xinglin import disk
from xinglin.base.check import Code, Failed, NotFound, NotUnderstood, require
from xinglin.base.crypto import HASH_SUITES, HashSuite, SignatureSuite, SigningKey
from xinglin.base.ids import AccountId, MemberId, NetworkId
from xinglin.base.limits import ANSWER_MS, CARD_NAME_CHARS_MAX, PAGE_PARTS
from xinglin.base.note import NoteKey
from xinglin.base.policy import Policy
from xinglin.client.client import Client, Sent
from xinglin.client.key_file import KeyFile
from xinglin.engine.codes import EngineCode
from xinglin.holder.holder import Holder
from xinglin.holder.peers import LocalDoor, LocalPeer
from xinglin.kernel.accounts import ACCOUNTS, Custody
from xinglin.kernel.genesis import CheckpointKey, Founder, Manifest, MemberKind, Parameters
from xinglin.kernel.module import Message
from xinglin.modules import members, module_set
from xinglin.modules.decision import commit
from xinglin.node import LocalTransport, Node

ORGANISATION_CARD = ("zh", "en", "kind"), ("member",)      # texts and ids in card.json
STAFF_CARD = ("name", "role"), ("account",)

MEMBER_SUITE = SignatureSuite.ED25519_ML_DSA_65
UNITS_PER_SECOND = 5_000           # about 1,500 consent changes a second for one member

# Letters by their class that no font draws: fillers and joiners, which `isprintable` lets pass.
INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
                      + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))))
LOOK_ALIKE_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")      # one name is in one of them
LOOK_ALIKE_SIGNS = str.maketrans("10\u0131", "loi")


class HomeCode(Code):
    ORGANISATION_NOT_FOUND = 8600
    STAFF_NOT_FOUND = 8601
    NAME_TAKEN = 8602
    NAME_NOT_VALID = 8603
    NO_HOME_HERE = 8604
    SUBJECT_NOT_FOUND = 8606      # 8605 was taken once, and stays free
    NAME_AMBIGUOUS = 8607
    CARD_NOT_UNDERSTOOD = 8608
    CARD_NOT_WRITTEN = 8609
    MIRROR_NOT_THERE = 8638


class NewOrganisation(NamedTuple):
    """An organisation to be: its folder name, its names, what it is."""

    slug: str
    zh: str
    en: str
    kind: MemberKind


@dataclass(frozen=True)
class Organisation:
    slug: str
    zh: str
    en: str
    kind: str
    member: MemberId
    service: AccountId | None
    folder: Path

    def name(self, lang: str) -> str:
        return self.zh if lang == "zh" else self.en


@dataclass(frozen=True)
class Staff:
    slug: str
    name: str
    role: str
    account: AccountId
    organisation: Organisation
    key_file: Path


class Home:
    """An open home. Close it, or use it in a `with`."""

    def __init__(self, path: Path, node: Node):
        self.path = path
        self.node = node
        self.network: NetworkId = node.network
        self.client = Client(LocalTransport(node), node.modules, node.network, self.policy)
        self._holders: dict[MemberId, Holder] = {}

    # -- founding and opening

    @classmethod
    def create(cls, path: Path, name: str, organisations: Sequence[NewOrganisation], *, simulated: bool,
               started_ms: int, hash_suite: str = "sha-256") -> "Home":
        """Found a network whose members all live here, the first of them its operator.

        Each gets its keys and a service account. Errors  Failed HOME_NOT_EMPTY.
        """
        if any((path / name).exists() for name in ("ledger", "organisations")):
            raise Failed(EngineCode.HOME_NOT_EMPTY, str(path))
        for at, new in enumerate(organisations):
            _check_names(new, {name for other in organisations[:at] for name in (other.slug, other.zh, other.en)})
        hashes = HASH_SUITES[hash_suite]
        modules = module_set()
        founders = []
        for new in organisations:
            founders.append(_make_organisation(path / "organisations" / checked_slug(new.slug), new, hashes))
        seed = secrets.token_bytes(32)
        checkpoint = SigningKey.from_seed(SignatureSuite.ED25519, seed)
        manifest = Manifest(
            name=name, hash_suite=hash_suite, started_ms=started_ms, simulated=simulated,
            module_set=modules.hash(hashes), operator=founders[0].member, founders=tuple(founders),
            parameters=Parameters(units_per_second=UNITS_PER_SECOND, answer_ms=ANSWER_MS, page_parts=PAGE_PARTS),
            checkpoint_keys=(CheckpointKey(name=organisations[0].slug, key=checkpoint.public),))
        home = cls(path, Node.create(path / "ledger", manifest, modules, organisations[0].slug, seed))
        for new in organisations:
            home.enrol_service(new.slug)
        return home

    @classmethod
    def open(cls, path: Path) -> "Home":
        """Errors  NotFound NO_HOME_HERE, and the node's own."""
        if not (path / "ledger").is_dir():
            raise NotFound(HomeCode.NO_HOME_HERE, str(path))
        return cls(path, Node.open(path / "ledger", module_set()))

    def __enter__(self) -> "Home":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for holder in self._holders.values():
            holder.close()
        self.node.close()

    @property
    def policy(self) -> Policy:
        """By which to verify here what this home's ledger signed: by the manifest's checkpoint keys, or by those that
        took their place, as each has stated. A stranger is told of the latter by a policy of his own."""
        return self.node.policy

    def change_checkpoint_key(self) -> NoteKey:
        """A new key for the checkpoints. Errors  Failed DISK_FULL, STORE_NOT_USABLE."""
        key = self.node.change_checkpoint_key(secrets.token_bytes(32))
        self.client.policy = self.policy
        return key

    # -- who is here

    def organisations(self) -> list[Organisation]:
        return [self._organisation(file.parent)
                for file in sorted((self.path / "organisations").glob("*/card.json"))]

    def organisation(self, name: str) -> Organisation:
        """By folder name or id, else by either name.

        Errors  NotFound ORGANISATION_NOT_FOUND; NotUnderstood NAME_AMBIGUOUS: two have the name.
        """
        all_here = self.organisations()
        found = [one for one in all_here if name in (one.slug, one.member.hex())] or \
            [one for one in all_here if name in (one.zh, one.en)]
        if not found:
            raise NotFound(HomeCode.ORGANISATION_NOT_FOUND, name)
        require(len(found) == 1, HomeCode.NAME_AMBIGUOUS, f"{name}: {' | '.join(one.slug for one in found)}")
        return found[0]

    def member_named(self, member: MemberId) -> Organisation | None:
        return next((one for one in self.organisations() if one.member == member), None)

    def _organisation(self, folder: Path) -> Organisation:
        card = read_card(folder / "card.json", *ORGANISATION_CARD)
        service = bytes.fromhex(card["service"]) if "service" in card else None
        return Organisation(folder.name, card["zh"], card["en"], card["kind"], bytes.fromhex(card["member"]),
                            service, folder)

    def staff(self, organisation: Organisation) -> list[Staff]:
        found = []
        for file in sorted((organisation.folder / "staff").glob("*.json")):
            card = read_card(file, *STAFF_CARD)
            found.append(Staff(file.stem, card["name"], card["role"], bytes.fromhex(card["account"]), organisation,
                               file.with_suffix(".key")))
        return found

    def person(self, name: str) -> Staff:
        """By NAME, ORGANISATION/NAME or id. Errors  NotFound STAFF_NOT_FOUND; NotUnderstood NAME_AMBIGUOUS."""
        found = [one for organisation in self.organisations() for one in self.staff(organisation)
                 if name in (one.slug, f"{organisation.slug}/{one.slug}", one.account.hex())]
        if not found:
            raise NotFound(HomeCode.STAFF_NOT_FOUND, name)
        require(len(found) == 1, HomeCode.NAME_AMBIGUOUS,
                f"{name}: {' | '.join(f'{one.organisation.slug}/{one.slug}' for one in found)}")
        return found[0]

    def member_key(self, organisation: Organisation) -> SigningKey:
        return KeyFile.open(organisation.folder / "member.key")[1]

    # -- enrolling

    def enrol_service(self, slug: str) -> AccountId:
        """Give an organisation the account of its system, whose key its server keeps."""
        organisation = self.organisation(slug)
        pending, key_file = organisation.folder / "service.pending", organisation.folder / "service.key"
        begun = self._cut_off(pending, key_file) or {"account": secrets.token_bytes(16).hex()}
        account = bytes.fromhex(begun["account"])
        if not pending.exists():
            self._enrol(organisation, begun, pending, key_file, None, lambda key: members.EnrolService(
                member=organisation.member, account=account, suite=key.suite, key=key.public))
        card = organisation.folder / "card.json"
        _write_json(card, read_card(card, *ORGANISATION_CARD) | {"service": begun["account"]})
        pending.unlink()
        return account

    def serve_admitted(self) -> None:
        """Enrol the service of each organisation here that is a member by now: admitted by others, or when a crash
        came between."""
        for organisation in self.organisations():
            if organisation.service is None:
                self._serve_if_admitted(organisation.member)

    def enrol_staff(self, organisation: Organisation, slug: str, name: str, role: members.Role,
                    passphrase: str | None = None) -> Staff:
        """Give a person an account. Her key is her own where a passphrase seals it; one in clear is the
        organisation's, and every receipt says so. What a crash cut off is completed.

        Errors  NotUnderstood NAME_TAKEN, NAME_NOT_VALID; NotVerified PASSPHRASE_WRONG: the key was sealed with
                another one, before the crash; Failed on a refusal.
        """
        checked_name(name)
        folder = organisation.folder / "staff"
        disk.make_folder(folder)
        card, key_file = folder / f"{checked_slug(slug)}.json", folder / f"{slug}.key"
        if card.exists():
            raise NotUnderstood(HomeCode.NAME_TAKEN, slug)
        pending = folder / f"{slug}.pending"
        begun = self._cut_off(pending, key_file)
        if begun is None:
            account, nonce = secrets.token_bytes(16), secrets.token_bytes(32)
            begun = {"name": name, "role": role.name, "account": account.hex(), "nonce": nonce.hex()}
            self._enrol(organisation, begun, pending, key_file, passphrase, lambda key: members.EnrolStaff(
                member=organisation.member, account=account, role=role, suite=key.suite, key=key.public,
                custody=Custody.SERVER if passphrase is None else Custody.OWN,
                card=commit(self.node.hashes, "card", nonce, name.encode())))
        elif (begun["name"], begun["role"], KeyFile.is_sealed(key_file)) == (name, role.name, passphrase is not None):
            KeyFile.open(key_file, passphrase)
        else:
            disk.move(pending, card)
            raise NotUnderstood(HomeCode.NAME_TAKEN, slug)     # by whoever was enrolled then
        disk.move(pending, card)
        return self.person(begun["account"])

    def _enrol(self, organisation: Organisation, card: dict[str, str], pending: Path, key_file: Path,
               passphrase: str | None, message: Callable[[SigningKey], Message]) -> None:
        """Order an enrolment, its card and key written down before. Refused, it leaves nothing behind."""
        account = bytes.fromhex(card["account"])
        _write_json(pending, card)
        try:
            key = KeyFile.create(key_file, passphrase, SignatureSuite.ED25519, account)
        except Failed:
            pending.unlink()
            raise
        try:
            self.client.send([message(key)], {organisation.member: self.member_key(organisation), account: key})
        except Failed:
            self._cut_off(pending, key_file)
            raise

    def _cut_off(self, pending: Path, key_file: Path) -> dict[str, str] | None:
        """The card of an enrolment that came to the ledger and no further. One that never did leaves the name free."""
        if not pending.exists():
            return None
        card = read_card(pending, (), ("account",))
        if self.node.rows(ACCOUNTS, bytes.fromhex(card["account"])):
            return card
        key_file.unlink(missing_ok=True)       # first: without its card it could not be told from a key in use
        pending.unlink()
        return None

    def end_staff(self, staff: Staff) -> Sent:
        """End a person's account: its key signs no more. The key file stays, as a record."""
        organisation = staff.organisation
        return self.client.send([members.EndStaff(member=organisation.member, account=staff.account)],
                                {organisation.member: self.member_key(organisation)})

    # -- admitting, suspending, reinstating

    def invite(self, proposer: Organisation, new: NewOrganisation) -> Sent:
        """Propose an organisation, whose keys are made here; its own signature says that it wants to join.

        Errors  NotUnderstood NAME_TAKEN, NAME_NOT_VALID; Failed on a refusal.
        """
        folder = self.path / "organisations" / checked_slug(new.slug)
        self._drop_unordered(folder)
        _check_names(new, {name for one in self.organisations() for name in (one.slug, one.zh, one.en)})
        founder = _make_organisation(folder, new, self.node.hashes)
        keys = {proposer.member: self.member_key(proposer), founder.member: KeyFile.open(folder / "member.key")[1]}
        try:
            sent = self.client.send([members.Invite(
                proposer=proposer.member, member=founder.member, kind=founder.kind, suite=founder.suite,
                key=founder.key, card=founder.card)], keys)
        except Failed:
            if not self.node.rows(members.MEMBERS, founder.member):    # refused: the name is free again
                shutil.rmtree(folder)
            raise
        self._serve_if_admitted(founder.member)
        return sent

    def _drop_unordered(self, folder: Path) -> None:
        """Remove the keys of an invitation that a crash cut off before it was ordered."""
        if not folder.is_dir() or any(file.name not in ("member.key", "card.json") and not file.name.endswith(".part")
                                      for file in folder.iterdir()):
            return
        card = folder / "card.json"
        if not card.exists() or not self.node.rows(
                members.MEMBERS, bytes.fromhex(read_card(card, (), ("member",))["member"])):
            shutil.rmtree(folder)

    def propose(self, proposer: Organisation, member: MemberId, motion: members.Motion) -> Sent:
        """Move to suspend or reinstate a member. Errors  Failed on a refusal."""
        return self.client.send([members.Propose(proposer=proposer.member, member=member, motion=motion)],
                                {proposer.member: self.member_key(proposer)})

    def vote(self, voter: Organisation, member: MemberId, motion: members.Motion) -> Sent:
        """Agree with an open motion. An organisation of this home that it admits gets its service account."""
        sent = self.client.send([members.Vote(voter=voter.member, member=member, motion=motion)],
                                {voter.member: self.member_key(voter)})
        self._serve_if_admitted(member)
        return sent

    def _serve_if_admitted(self, member: MemberId) -> None:
        organisation = self.member_named(member)
        if organisation and organisation.service is None and self.node.read(
                lambda ctx: members.is_active(ctx, member)):
            self.enrol_service(organisation.slug)

    # -- data rooms

    def holder(self, organisation: Organisation) -> Holder:
        """The organisation's data room, opened at first use."""
        found = self._holders.get(organisation.member)
        if found is None:
            account, key = KeyFile.open(organisation.folder / "service.key")
            found = Holder.open(self.node, organisation.folder / "vault", organisation.member, account, key,
                                mirrors=self.mirrors(organisation))
            self._holders[organisation.member] = found
        return found

    def mirrors(self, organisation: Organisation) -> list[Path]:
        """Where its keystore is kept as well; each must be there, or keys would be written beside a disk that is not.

        Errors  Failed MIRROR_NOT_THERE.
        """
        named = organisation.folder / "mirrors"
        folders = [Path(line.strip()) for line in named.read_text("utf-8").splitlines() if line.strip()] \
            if named.exists() else []
        for folder in folders:
            if not folder.is_dir():
                raise Failed(HomeCode.MIRROR_NOT_THERE, str(folder))
        return folders

    def close_holder(self, organisation: Organisation) -> None:
        """Its data room, when it is needed again, is opened with the key that its system has then."""
        found = self._holders.pop(organisation.member, None)
        if found is not None:
            found.close()

    def holders(self) -> list[Holder]:
        """Every data room that has ever been opened here."""
        return [self.holder(one) for one in self.with_data_room()]

    def in_use(self) -> list[Holder]:
        """Every data room that this process has opened."""
        return [*self._holders.values()]

    def with_data_room(self) -> list[Organisation]:
        return [one for one in self.organisations() if (one.folder / "vault").is_dir()]

    def holder_of(self, subject: bytes) -> Holder:
        """Errors  NotFound SUBJECT_NOT_FOUND."""
        for holder in self.holders():
            if holder.holds(subject):
                return holder
        raise NotFound(HomeCode.SUBJECT_NOT_FOUND)

    def door(self, subject: bytes) -> LocalDoor:
        return LocalDoor(self.holder_of(subject))

    def peer(self, subject: bytes) -> LocalPeer:
        return LocalPeer(self.holder_of(subject))


def checked_slug(slug: str) -> str:
    """Errors  NotUnderstood NAME_NOT_VALID: it names a folder."""
    require(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", slug) is not None, HomeCode.NAME_NOT_VALID,
            f"{slug}: a-z 0-9 -, at most 40")
    return slug


def checked_name(name: str) -> str:
    """Errors  NotUnderstood NAME_NOT_VALID: empty, long, with what cannot be seen, or in two look-alike scripts."""
    require(0 < len(name) <= CARD_NAME_CHARS_MAX and name.isprintable() and name == name.strip()
            and not INVISIBLE.intersection(name), HomeCode.NAME_NOT_VALID,
            f"1 to {CARD_NAME_CHARS_MAX} characters that can be seen")
    scripts = {script for script in LOOK_ALIKE_SCRIPTS for char in name
               if unicodedata.name(char, "").startswith(script)}
    require(len(scripts) <= 1, HomeCode.NAME_NOT_VALID, " + ".join(sorted(scripts)))
    return name


def _check_names(new: NewOrganisation, taken: set[str]) -> None:
    """Nobody comes in under another's name: whoever types it must reach whom she means.

    Errors  NotUnderstood NAME_TAKEN, NAME_NOT_VALID.
    """
    alike = {_folded(name) for name in taken}
    for name in (new.slug, checked_name(new.zh), checked_name(new.en)):
        require(_folded(name) not in alike, HomeCode.NAME_TAKEN, name)


def _folded(name: str) -> str:
    """Names that look alike to a reader in a hurry are one: width, capitals, spaces, hyphens aside; 1 is l, 0 is o."""
    folded = "".join(char for char in unicodedata.normalize("NFKC", name).casefold() if char.isalnum())
    return folded.translate(LOOK_ALIKE_SIGNS)


def _make_organisation(folder: Path, new: NewOrganisation, hashes: HashSuite) -> Founder:
    """Its folder with key and card, and what the ledger is told of it."""
    disk.make_folder(folder)
    member, nonce = secrets.token_bytes(16), secrets.token_bytes(32)
    key = KeyFile.create(folder / "member.key", None, MEMBER_SUITE, member)
    names = json.dumps({"zh": new.zh, "en": new.en}, ensure_ascii=False).encode()
    _write_json(folder / "card.json", {
        "zh": new.zh, "en": new.en, "kind": new.kind.name, "member": member.hex(), "nonce": nonce.hex()})
    return Founder(member=member, kind=new.kind, suite=MEMBER_SUITE, key=key.public,
                   card=commit(hashes, "card", nonce, names))


def _write_json(file: Path, value: dict[str, str]) -> None:
    """Errors  Failed CARD_NOT_WRITTEN; the file is then as it was."""
    try:
        disk.replace_file(file, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())
    except OSError as error:
        raise Failed(HomeCode.CARD_NOT_WRITTEN, f"{file}: {error.strerror}") from None


def read_card(file: Path, texts: Sequence[str], ids: Sequence[str]) -> dict[str, str]:
    """Text by name, the named ones among it; `ids`, and a `service` where one is, are ids.

    Errors  NotUnderstood CARD_NOT_UNDERSTOOD, with the file.
    """
    try:
        card = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError, OSError):
        card = None
    require(isinstance(card, dict) and all(isinstance(value, str) for value in card.values())
            and all(name in card for name in texts)
            and all(re.fullmatch("[0-9a-f]{32}", card.get(name, "")) for name in ids)
            and re.fullmatch("[0-9a-f]{32}", card.get("service", "0" * 32)) is not None,
            HomeCode.CARD_NOT_UNDERSTOOD, str(file))
    return cast(dict[str, str], card)
