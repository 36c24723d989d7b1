"""The story, each step checked by what came of it: answers, receipts, proof files that a stranger could verify.

No step opens a vault to find out whether it held. Where a file has no name yet, the node is asked, as any member may
ask its own: for the outcome of a timer. The search for people reads every file that is outside the vaults.
"""

import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from xinglin.base import codec
from xinglin.base.check import Code, Failed, NotVerified, require
from xinglin.base.ids import MemberId, SubjectId
from xinglin.base.units import MS_PER_HOUR
from xinglin.client import Completeness, Patient, Wallet, verify_file
from xinglin.client.key_file import KeyFile
from xinglin.client.sealed_file import Strength
from xinglin.demo import leak
from xinglin.demo.cast import (
    DOCTOR,
    DOCTOR_NAME,
    FAMILY_DOCTOR,
    FAMILY_DOCTOR_NAME,
    HARBOUR,
    INSURER,
    ORGANISATIONS,
    PASSPHRASE,
    PRACTICE,
    WALLET,
    XINGLIN,
)
from xinglin.holder import asking, claim_codes, imports
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir import (
    Addition,
    Head,
    Problem,
    Source,
    addition,
    plan,
    read_folder,
    read_sample,
)
from xinglin.holder.fhir.sample import NOTE_PATIENT
from xinglin.home import Home, NewOrganisation, Organisation, Staff
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.genesis import MemberKind
from xinglin.modules import access, consent, members, subjects
from xinglin.modules.decision import ScopeItem

SCOPE = (ScopeItem(data_class="laboratory", id=""), ScopeItem(data_class="medications", id=""))
NOTE_SCOPE = (ScopeItem(data_class="DocumentReference", id=""),)


About = tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]


class DemoCode(Code):
    STEP_DID_NOT_HOLD = 8700
    NO_PATIENT_IN_DATA = 8701
    DATA_NOT_IMPORTED = 8702


class Held(NamedTuple):
    """What a step that held has to say, and the transaction that it is about."""

    zh: str
    en: str
    tx: bytes = b""


@dataclass
class Step:
    """What became of one step."""

    name: str
    ok: bool
    detail_zh: str
    detail: str
    tx: str


@dataclass
class Story:
    """One run: the home, and what earlier steps leave for later ones."""

    home: Home
    data: Path | None
    lang: str = "en"               # of what she signs and the doctor states
    steps: list[Step] = field(default_factory=list)
    patients: int = 0
    resources: int = 0
    canaries: list[str] = field(default_factory=list)
    heroine: str = ""              # "Patient/x" of the input
    extra: list[Source] = field(default_factory=list)      # what Harbour General's input has besides
    at_harbour: SubjectId = b""
    at_xinglin: SubjectId = b""
    receipt: bytes = b""
    grant_id: bytes = b""
    absence: bytes = b""

    # -- the cast

    def organisation(self, slug: str) -> Organisation:
        return self.home.organisation(slug)

    @property
    def doctor(self) -> Staff:
        return self.home.person(DOCTOR)

    @property
    def wallet_file(self) -> Path:
        return self.home.path / "wallets" / f"{WALLET}.wallet"

    def patient(self) -> Patient:
        return Patient(self.home.client, Wallet.open(self.wallet_file, PASSPHRASE))

    def member(self, slug: str) -> MemberId:
        return self.organisation(slug).member

    def items(self) -> Iterator[Source | Problem]:
        return read_sample() if self.data is None else read_folder(self.data)

    def other_subject(self) -> SubjectId:
        """A subject at Harbour General that nobody has claimed, or the heroine's when she is alone there."""
        rows = self.home.node.rows(subjects.SUBJECTS)
        harbour = self.member(HARBOUR)
        unclaimed = [key[0] for key, row in rows if row.holder == harbour and row.claimed_ms == subjects.NOT_CLAIMED]
        return unclaimed[0] if unclaimed else self.at_harbour

    def ask(self, scope: tuple[ScopeItem, ...]) -> asking.Asked:
        account, key = KeyFile.open(self.doctor.key_file)
        return asking.ask(self.home.holder(self.doctor.organisation), self.home.peer(self.at_harbour),
                          self.at_harbour, account, key, purpose="TREAT", scope=scope,
                          reason=self.words("随访", "follow-up visit"))

    def words(self, zh: str, en: str) -> str:
        return zh if self.lang == "zh" else en


def check(holds: bool, what: str) -> None:
    """Errors  NotUnderstood STEP_DID_NOT_HOLD, with what did not."""
    require(holds, DemoCode.STEP_DID_NOT_HOLD, what)


def refused(call: Callable[[], object], *codes: Code) -> Failed:
    """The error that `call` must raise, with one of `codes`."""
    try:
        call()
    except Failed as error:
        check(error.code in codes, f"refused with {error.code.name}, not {codes[0].name}")
        return error
    raise Failed(DemoCode.STEP_DID_NOT_HOLD, f"{codes[0].name} was to come, and nothing was refused")


# -- the steps, in order

def import_records(story: Story) -> Held:
    keys = sorted(f"Patient/{one.resource['id']}" for one in story.items()
                  if isinstance(one, Source) and isinstance(one.resource, dict)
                  and one.resource.get("resourceType") == "Patient" and "id" in one.resource)
    require(bool(keys), DemoCode.NO_PATIENT_IN_DATA)
    story.heroine = heroine = NOTE_PATIENT if NOTE_PATIENT in keys else keys[0]
    half = (len(keys) + 1) // 2
    shares = {HARBOUR: {*keys[:half], heroine}, XINGLIN: {*keys[half:], heroine}}
    marks = {slug: {one: f"{slug}-{one.name.lower().replace('_', '-')}-7f3a91c2" for one in Addition}
             for slug in shares}
    story.canaries = [f"canary-{mark}" for share in marks.values() for mark in share.values()]
    tx = b""
    for slug, share in shares.items():
        holder = story.home.holder(story.organisation(slug))
        extra = [addition(one, heroine, f"demo-{mark}", f"canary-{mark}") for one, mark in marks[slug].items()]
        if slug == HARBOUR:
            story.extra = extra
        report = imports.take_in(holder, (*story.items(), *extra), wanted=share.__contains__)
        require(not report.refused, DemoCode.DATA_NOT_IMPORTED, "; ".join(map(str, report.errors[:3])))
        story.resources += report.records
        for one in report.subjects:
            if one.source == heroine:
                tx = one.committed.tx_id
                setattr(story, "at_harbour" if slug == HARBOUR else "at_xinglin", one.owner)
    story.patients = len(keys)
    row = story.home.client.prove(subjects.SUBJECTS, (story.at_harbour,))[0].row
    check(isinstance(row, subjects.SubjectRow) and row.claimed_ms == subjects.NOT_CLAIMED, "the subject is unclaimed")
    patient = story.patient()
    refused(lambda: patient.grant(story.home.door(story.at_harbour), story.at_harbour, story.member(XINGLIN),
                                  scope=SCOPE, purposes=("TREAT",), hours=24, labels=(), wording="-", language="en"),
            HolderCode.NOT_SIGNED)
    check(not patient.wallet.grants, "nothing is left of a consent that was refused")
    account, at_xinglin = story.at_harbour, story.member(XINGLIN)
    until_h = story.home.node.now_ms() // MS_PER_HOUR + 24
    refused(lambda: story.home.client.send([consent.Grant(
        subject=account, grantee=at_xinglin, grant_id=secrets.token_bytes(16), until_h=until_h,
        body=secrets.token_bytes(32))], {account: patient.key(account)}), KernelCode.SIGNER_UNKNOWN)
    check(story.home.client.prove(consent.GRANTS, (account, at_xinglin))[0].row is None, "the ledger has no consent")
    return Held(f"{story.patients} 位患者，{story.resources:,} 份资源",
                f"{story.patients} patients, {story.resources:,} resources", tx)


def claim(story: Story) -> Held:
    patient = story.patient()
    files = []
    for slug, subject in ((HARBOUR, story.at_harbour), (XINGLIN, story.at_xinglin)):
        holder = story.home.holder(story.organisation(slug))
        door = story.home.door(subject)
        member = story.member(slug)
        refused(partial(patient.claim, door, member, subject, "AAAA-AAAA-AAAA"), HolderCode.CODE_NOT_VALID)
        story.home.node.advance(secrets.randbelow(6 * MS_PER_HOUR) + MS_PER_HOUR)   # so that nobody pairs them by time
        code = claim_codes.issue(holder, subject)
        files.append(patient.claim(door, member, subject, code, label=slug))
    first, second = (verify_file(file, story.home.network, story.home.node.modules).facts for file in files)
    check(not set(first["signers"]) & set(second["signers"]), "the two claims share no signer")
    check(patient.key(story.at_harbour).public != patient.key(story.at_xinglin).public, "the two keys differ")
    one, other = story.at_harbour.hex()[:8], story.at_xinglin.hex()[:8]
    return Held(f"主体 {one}.. 和 {other}..，相隔数小时", f"subjects {one}.. and {other}.., hours apart",
                bytes.fromhex(first["tx"]))


def ask_and_be_denied(story: Story) -> Held:
    asked = story.ask(SCOPE)
    check(asked.denied == consent.Refusal.GRANT_NOT_FOUND.value and not asked.permitted, "denied: no consent")
    entries = story.patient().history(story.home.door(story.at_harbour), story.at_harbour).entries
    check([entry.number for entry in entries if isinstance(entry, access.Requested)] == [asked.number],
          "the denial is in her history")
    return Held(f"访问记录第 {asked.number} 条", f"entry number {asked.number}", asked.tx)


def grant_and_read(story: Story) -> Held:
    patient = story.patient()
    story.grant_id, sent = patient.grant(
        story.home.door(story.at_harbour), story.at_harbour, story.member(XINGLIN), scope=SCOPE, purposes=("TREAT",),
        hours=30 * 24, labels=(), language=story.lang, roles=(members.Role.PHYSICIAN,),
        wording=story.words(
            "杏林人民医院可以查看我的化验结果和用药，用于治疗，为期 30 天。",
            "Xinglin People's Hospital may read my laboratory results and medications, for treatment, 30 days."))
    story.receipt = sent.receipt
    asked = story.ask(SCOPE)
    check(asked.permitted and asking.available(story.home.node, story.home.peer(story.at_harbour), asked), "permitted")
    records = asking.fetch_all(story.home.node, story.home.peer(story.at_harbour), asked)
    check(bool(records), "something arrived")
    arrived, granted = Counter(_about(one.head) for one in records), _granted(story)
    check(arrived <= granted, f"nothing outside the grant arrived: {sum((arrived - granted).values())} records")
    check(granted <= arrived, f"all that was granted arrived: {sum((granted - arrived).values())} records did not")
    wanted = {"laboratory", "medications"} <= {name for one in records for name in one.head.classes}
    check(wanted, "both granted classes arrived")
    return Held(f"{len(records)} 份病历记录，每一部分都已核对",
                f"{len(records)} records, each part verified", sent.tx_id)


def _granted(story: Story) -> Counter[About]:
    """What the input has of her in the granted classes and without a label: read anew, not from the data room."""
    read = plan((*story.items(), *story.extra), known=lambda *_: None, identified=lambda *_: None,
                person=lambda *_: None, new_id=lambda: secrets.token_bytes(16))
    classes = {item.data_class for item in SCOPE}
    return Counter(_about(one.head) for batch in read.patients if batch.owner == story.heroine for one in batch
                   if classes & {*one.head.classes} and not one.head.labels)


def _about(head: Head) -> About:
    """What tells records apart whose ids are drawn at each import."""
    return head.resource_type, head.classes, head.codes, head.dates


def ask_for_the_note(story: Story) -> Held:
    withheld = story.ask(NOTE_SCOPE)
    nothing = story.ask((ScopeItem(data_class="DocumentReference", id="0" * 32),))
    peer, node = story.home.peer(story.at_harbour), story.home.node
    seen = []
    for asked in (withheld, nothing):
        check(not asked.permitted and not asking.available(node, peer, asked), "not available")
        error = refused(partial(asking.fetch, node, peer, asked, 0), HolderCode.NOT_AVAILABLE)
        seen.append((str(error), asked.answer is not None and asked.answer.parts_root))
    check(seen[0] == seen[1], "withheld and absent are the same words")
    return Held("无法提供：请向患者申请", "not available: ask the patient", withheld.tx)


def list_and_prove(story: Story) -> Held:
    history = story.patient().history(story.home.door(story.at_harbour), story.at_harbour)
    modules, network = story.home.node.modules, story.home.network
    verdict = verify_file(history.file, network, modules)
    check(verdict.facts["entries"] == len(history.entries), "the list is complete")
    file: Completeness = codec.decode(history.file, Completeness)
    for at in range(len(file.entries)):
        short = codec.encode(Completeness(entries=file.entries[:at] + file.entries[at + 1:], log=file.log))
        error = refused(partial(verify_file, short, network, modules), KernelCode.LIST_NOT_COMPLETE)
        check(isinstance(error, NotVerified), "an entry left out is a failed proof")
    (story.home.path / "history.proof").write_bytes(history.file)
    permitted = sum(isinstance(entry, access.Answered) and entry.decision is access.Decision.PERMIT
                    for entry in history.entries)
    return Held(f"共 {len(history.entries)} 条，允许 {permitted} 条；漏掉任何一条都会被发现",
                f"{len(history.entries)} entries, {permitted} permitted; any one left out is noticed")


def revoke(story: Story) -> Held:
    peer, node = story.home.peer(story.at_harbour), story.home.node
    under_way = story.ask(SCOPE)
    _, pages = asking.fetch(node, peer, under_way, 0)
    sent = story.patient().revoke(story.at_harbour, story.grant_id)
    for page in range(pages):
        refused(partial(asking.fetch, node, peer, under_way, page), HolderCode.NOT_AVAILABLE)
    asked = story.ask(SCOPE)
    check(asked.denied == consent.Refusal.GRANT_NOT_FOUND.value, "the next request is denied")
    return Held(f"共 {pages} 页，撤回前读了 1 页，之后一页也读不到",
                f"page 1 of {pages} had been read; no further one", sent.tx_id)


def run_out(story: Story) -> Held:
    node = story.home.node
    story.patient().grant(story.home.door(story.at_harbour), story.at_harbour, story.member(XINGLIN), scope=SCOPE,
                          purposes=("TREAT",), hours=24, labels=(), language=story.lang,
                          wording=story.words("为期一天。", "For one day."))
    check(story.ask(SCOPE).permitted, "permitted while it lasts")
    node.advance(25 * MS_PER_HOUR)
    check(story.ask(SCOPE).denied != 0, "denied when it has run out")
    found = [one for one in node.outcomes_about(story.at_harbour) if isinstance(one.events[-1], consent.Expired)]
    check(len(found) == 1, "the timer left one outcome")
    verdict = verify_file(node.receipt_at(found[0].height, found[0].index), story.home.network, node.modules)
    check(verdict.facts["timer"] == "consent/grants", "with a receipt of its own")
    return Held(f"到期结果记在高度 {found[0].height}", f"the timer's outcome at height {found[0].height}")


def search_for_people(story: Story) -> Held:
    strings = leak.identifying_strings(story.items()) | set(story.canaries)
    with tempfile.TemporaryDirectory() as name:
        outside = Path(name)
        (outside / "receipt").write_bytes(story.receipt)
        (outside / "history").write_bytes((story.home.path / "history.proof").read_bytes())
        searched = [*_outside_the_vaults(story.home), *outside.iterdir()]
        hits = leak.search(searched, strings)
        size = sum(file.stat().st_size for file in searched)
    check(not hits, f"{len(hits)} hits, the first in {hits[0].file.name} as {hits[0].spelling}" if hits else "")
    return Held(f"{len(strings):,} 个字符串各三种写法，{len(searched)} 个文件共 {size:,} 字节：找到 0 处",
                f"{len(strings):,} strings in three spellings, {len(searched)} files, {size:,} bytes: 0 hits")


def _outside_the_vaults(home: Home) -> list[Path]:
    """Every file of the home but what lies in a data room: ledger, keys, cards, wallets, proofs."""
    return [file for file in sorted(home.path.rglob("*"))
            if file.is_file() and "vault" not in file.relative_to(home.path).parts]


def verify_the_receipt(story: Story) -> Held:
    data = story.receipt
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Home.create(folder / "other", "other", [NewOrganisation("other", "他", "Other", MemberKind.OTHER)],
                         simulated=True, started_ms=story.home.node.manifest.started_ms) as other:
            foreign = other.node.receipt_at(1, 0)
        samples = {"good": data, "changed": bytes(flipped), "cut": data[:-40], "foreign": foreign}
        reasons = []
        for sample, content in samples.items():
            empty = folder / sample
            empty.mkdir()
            (empty / "receipt").write_bytes(content)
            code, words = _verify_alone(empty, story.home.network.hex())
            check(code == (0 if sample == "good" else 5), f"{sample}: exit {code} {words}")
            reasons.append(words)
    check(len(set(reasons)) == len(reasons), "each reason is its own")
    return Held("完好的通过；改动的、截断的、别的网络的不通过，原因各不相同",
                "good passes; changed, cut and foreign fail, each with its reason")


def _verify_alone(folder: Path, network: str) -> tuple[int, str]:
    """Run `xinglin verify` in `folder` with an empty home: (exit code, the first line of what it says)."""
    done = subprocess.run([sys.executable, "-m", "xinglin", "verify", "receipt", "--network", network], cwd=folder,
                          env={"HOME": str(folder), "PYTHONPATH": ":".join(sys.path), "LANG": "C.UTF-8",
                               "XINGLIN_LANG": "en"},
                          capture_output=True, text=True, check=False)
    said = (done.stdout or done.stderr).strip().splitlines()
    return done.returncode, said[0] if said else ""


def prove_absence(story: Story) -> Held:
    verified, story.absence = story.patient().prove_consent(story.at_harbour, story.member(INSURER))
    check(verified.row is None, "there is no row")
    verdict = verify_file(story.absence, story.home.network, story.home.node.modules)
    check(not verdict.facts["present"] and verdict.facts["live_grants"] == 0, "the file says so offline")
    (story.home.path / "no-consent-to-insurer.proof").write_bytes(story.absence)
    insurer = story.organisation(INSURER)
    return Held(f"没有给{insurer.zh}的授权", f"no consent to {insurer.en}")


ORDER: tuple[tuple[str, Callable[[Story], Held]], ...] = (
    ("import", import_records), ("claim", claim), ("denied", ask_and_be_denied), ("grant", grant_and_read),
    ("withheld", ask_for_the_note), ("history", list_and_prove), ("revoke", revoke), ("expire", run_out),
    ("no-personal-data", search_for_people), ("receipt", verify_the_receipt), ("absence", prove_absence))


def found(path: Path, data: Path | None, started_ms: int, hash_suite: str = "sha-256", lang: str = "en") -> Story:
    """The network, its people, and an empty wallet."""
    home = Home.create(path, "demo", ORGANISATIONS, simulated=True, started_ms=started_ms, hash_suite=hash_suite)
    home.enrol_staff(home.organisation(XINGLIN), DOCTOR, DOCTOR_NAME, members.Role.PHYSICIAN)
    home.enrol_staff(home.organisation(PRACTICE), FAMILY_DOCTOR, FAMILY_DOCTOR_NAME, members.Role.PHYSICIAN)
    (path / "wallets").mkdir(mode=0o700, exist_ok=True)
    Wallet.create(path / "wallets" / f"{WALLET}.wallet", PASSPHRASE, strength=Strength.INTERACTIVE)
    return Story(home, data, lang)


def play(story: Story, tell: Callable[[Step], None]) -> bool:
    """Play every step; a step that fails ends the story. Whether all held."""
    for name, act in ORDER:
        try:
            held = act(story)
            step = Step(name, True, held.zh, held.en, held.tx.hex())
        except Failed as error:
            step = Step(name, False, str(error), str(error), "")
        story.steps.append(step)
        tell(step)
        if not step.ok:
            return False
    return True


__all__ = ["Step", "Story", "found", "play"]
