"""The ledger and the naive model side by side: the same blocks to both, and everything compared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from msgspec import structs

from models.draw import Draw
from models.naive import Naive
from models.shadow import Shadow
from models.words import plain, spoken
from worlds import NO_SUITES, World, content, named
from xinglin.base import codec
from xinglin.base.crypto import SignatureSuite
from xinglin.kernel.executor import KERNEL
from xinglin.kernel.module import Message
from xinglin.kernel.tx import NotIncludable
from xinglin.modules import access, consent, members
from xinglin.modules.members import Motion, Role

Choose = Callable[[Sequence[Any]], Any]

MEMBERS = ("A", "B", "C", "D", "E")
SERVICES = ("A.service", "B.service", "D.service", "A.second")
STAFF = ("A.doctor", "B.doctor", "B.nurse", "C.doctor", "A.two", "B.two", "B.three", "C.two", "D.doctor")
SUBJECTS = ("mei", "li", "zhao", "wang", "sun", "qian")
GRANTS = ("g1", "g2", "g3", "g4")
STEPS_MS = (1_000, 1_000, 1_000, 30_000, 61_000, 3_600_000, 25 * 3_600_000)


class Pair:
    """Raises AssertionError at the first difference."""

    def __init__(self, suites: Mapping[str, SignatureSuite] = NO_SUITES, folder: Path | None = None) -> None:
        """With a folder there is a ledger on disk too, which answers questions."""
        founders = MEMBERS[:3]
        self.world = World(founders=founders, suites=suites)
        self.naive = Naive({named(one): (int(key.suite), key.public) for one in founders
                            for key in [self.world.key(one)]}, self.world.time_ms,
                           {named(one): content(one) for one in founders})
        for name in (*MEMBERS, *SERVICES, *STAFF, *SUBJECTS):
            self.world.key(name)
        self.codes: dict[int, int] = {}
        self.shadow = Shadow(folder, self.world.manifest, self.world.modules) if folder else None

    def block(self, transactions: list[list[Message]], after_ms: int) -> None:
        """Both take the transactions that exist, in one block."""
        world = self.world
        said = [[spoken(message) for message in messages] for messages in transactions]
        raws = []
        kept = []
        for messages, words in zip(transactions, said, strict=True):
            raw = world.transaction(*messages, expires_at_ms=world.time_ms + after_ms + 60_000)
            keys = signing_keys(raw)
            try:
                world.includable(raw, world.time_ms + after_ms)
            except NotIncludable as error:
                assert error.code in (2, 7, 11), error
                assert error.code == 2 or not self.naive.exists(words, keys, world.time_ms + after_ms), (error, words)
                continue
            assert self.naive.exists(words, keys, world.time_ms + after_ms), words
            raws.append(raw)
            kept.append((words, keys))
        results = world.results(world.block(*raws, after_ms=after_ms))
        timers = [result for result in results if result.outcome.tx is None]
        passed = self.naive.pass_time(world.time_ms)
        assert [spoken(event) for result in timers for event in result.events] == passed
        heard = [[event] for event in passed]
        for result, (words, keys) in zip(results[len(timers):], kept, strict=True):
            code, events = self.naive.execute(words, keys)
            heard.append(events)
            assert (result.code, [spoken(event) for event in result.events]) == (code, events), words
            self.codes[code] = self.codes.get(code, 0) + 1
        if self.shadow:
            self.shadow.block(world.time_ms, [world.reader.read(raw) for raw in raws], heard)
        self._take_keys()

    def _take_keys(self) -> None:
        """Everybody signs with the oldest key that still may: so old ones are used until they end, and ended ones
        now and then, since a block's time is not known when this is asked.
        """
        for account, row in self.naive.accounts.items():
            for one, ends in row["keys"].items():
                public = self.naive.publics[one][1]
                if ends > self.world.time_ms and public in self.world.brought:
                    self.world.keys[account] = self.world.brought[public]
                    break
                if ends > self.world.time_ms:
                    break

    def compare(self) -> None:
        """Rows, queries, invariants and the due index."""
        ledger, modules = self.world.ledger, self.world.modules
        rows = {table.name: {table.encode_key(key): plain(row) for key, row in ledger.all_rows(table).items()}
                for table in modules.tables.values() if table not in KERNEL.tables}
        assert rows == {name: {key: plain(row) for key, row in table.items()}
                        for name, table in self.naive.rows().items()}
        ctx = self.world.reading()
        for subject in map(named, SUBJECTS):
            for grantee in map(named, MEMBERS):
                found = [given.grant_id for given in consent.any_live(ctx, subject, grantee)]
                assert found == self.naive.live(subject, grantee)
                for grant in map(named, GRANTS):
                    given = consent.live(ctx, subject, grantee, grant)
                    code = given.value if isinstance(given, consent.Refusal) else 0
                    assert code == self.naive.why_not(subject, grantee, grant)
        for member in map(named, MEMBERS):
            assert members.is_active(ctx, member) == self.naive.active(member)
        if self.shadow:
            assert (self.shadow.ledger.app_hash, self.shadow.ledger.state_root) == (ledger.app_hash, ledger.state_root)
            self.shadow.compare(self.naive)
        self.check_invariants()

    def check_invariants(self) -> None:
        ledger, modules = self.world.ledger, self.world.modules
        for table in modules.tables.values():
            for key, row in ledger.all_rows(table).items():
                assert all(holds(row) for holds in modules.invariants.get(table.name, ())), (table.name, key, row)
        due = sorted((table.due(row), table.name, table.encode_key(key))
                     for table in modules.tables.values() if table.due is not None
                     for key, row in ledger.all_rows(table).items() if table.due(row) is not None)
        assert due == ledger.due(2**63, 2**31)
        entries: list[Any] = [entry for kind in get_args(access.Entry) for entry in self.world.events(kind)]
        for subject in map(named, SUBJECTS):
            mine = sorted((entry for entry in entries if entry.subject == subject), key=lambda entry: entry.number)
            assert [entry.number for entry in mine] == list(range(1, len(mine) + 1))
            log = self.world.row(access.LOG, subject) or access.LogRow(count=0, running=bytes(32))
            assert log == access.running_of(self.world.hashes, list(mine))

    # -- what is said; plausible, and often wrong

    def transaction(self, choose: Choose) -> list[Message]:
        return [self.message(choose) for _ in range(choose((1, 1, 1, 1, 2, 3)))]

    def message(self, choose: Choose) -> Message:
        say = self.world
        active = [name for name in MEMBERS if self.naive.active(named(name))]
        member, subject = choose((*MEMBERS, *active, *active, *active)), choose(SUBJECTS)
        match choose(RARELY):
            case "invite":
                return say.invite(member, choose(MEMBERS))
            case "propose":
                return say.propose(member, choose(MEMBERS), choose((*Motion, Motion.REINSTATE, Motion.REINSTATE)))
            case "vote":
                kind = choose((Motion.ADMIT, Motion.REINSTATE, Motion.REINSTATE, Motion.SUSPEND))
                open_now = [motion for motion in self.naive.motions if motion[1] == kind]
                what, motion = choose(open_now or [(named(member), 0)])
                return members.Vote(voter=named(member), member=what, motion=Motion(motion))
            case "staff":
                account = choose(STAFF)
                return say.enrol_staff(choose((member, account[0])), account,
                                       choose((Role.PHYSICIAN, Role.NURSE, Role.PSYCHIATRIST, Role.SERVICE)))
            case "service":
                account = choose(SERVICES)
                return say.enrol_service(choose((member, account[0])), account)
            case "end":
                ended = choose((*STAFF, *SERVICES))
                return say.end_staff(choose((member, ended[0])), ended)
            case "rotate":
                account = choose((*STAFF, *STAFF, *SERVICES, *MEMBERS, "mei"))
                return say.rotate(account, f"{account}.{choose(range(40))}", self.old_until(choose))
            case "rotate subject":
                account = choose((*SUBJECTS, *SUBJECTS, *SUBJECTS, "A.doctor"))
                return say.rotate_subject(account, f"{account}.{choose(range(40))}", self.old_until(choose))
            case "replace":
                what = choose(MEMBERS)
                return say.replace_key(member, what, f"{what}.{choose(range(40))}")
            case "retire":
                what = choose(MEMBERS)
                keys = [*self.naive.accounts.get(named(what), {"keys": {named(what) * 2: 0}})["keys"]]
                return members.RetireKey(proposer=named(member), member=named(what), key=choose(keys))
            case "vote key":
                about, row = choose([*self.naive.key_motions.items()] or [
                    ((named(member), named("A")), [0, 0, b"", bytes(32), []])])
                return members.VoteKey(voter=named(member), member=about[0], proposer=about[1],
                                       motion=members.KeyMotion(row[0]), key=row[3])
            case "register":
                return say.register(choose((*SERVICES, *SERVICES, "A.doctor")), subject)
            case "claim":
                return say.claim(choose(SERVICES), subject)
            case "grant":
                return say.grant(subject, member, choose(GRANTS), choose((-1, 0, 1, 2, 24, 30, 87_840, 87_841)))
            case "revoke":
                return say.revoke(choose((*SUBJECTS, *SUBJECTS, "B.doctor")), member, choose(GRANTS))
            case "batch":
                return say.batch(choose(SERVICES), choose((*SUBJECTS, "A", "B")), choose((1, 1, 2, 3)))
            case "request":
                return say.request(choose((*STAFF, "B.service")), subject, choose(("-", "-", *GRANTS)))
            case "anchor":
                return say.anchor(choose(SERVICES), choose((1, 2, 3)), choose(("one", "two")))
            case _:
                return self.answer(choose)

    def old_until(self, choose: Choose) -> int:
        return choose((0, 0, self.world.time_ms + 61_000, self.world.time_ms + 7_200_000,
                       self.world.time_ms + 32 * 86_400_000))

    def answer(self, choose: Choose) -> access.Answer:
        subject, number = choose([*self.naive.requests] * 4 + [(named(choose(SUBJECTS)), 1)])
        asked = self.naive.requests.get((subject, number), {"grantee": named("B")})
        grants = self.naive.grants.get((subject, asked["grantee"]), {"grants": []})["grants"]
        given = choose([*grants, *grants, {"grant_id": named("g1"), "epoch": 1}])
        holders = [name for name in SERVICES if named(name[0]) in self.naive.subjects.get(subject, ())]
        service = choose((*holders, *holders, *holders, *SERVICES))
        said = self.world.permit(service, "mei", number, "g1", given["epoch"],
                                 for_ms=choose((900_000, 60_000, 60_000, 60_000, 2_000_000, 0)))
        if choose((True, False, False)):
            said = self.world.deny(service, "mei", number)
            wrong = choose(({}, {}, {}, {"parts_root": content("parts")}, {"grant_id": given["grant_id"]},
                            {"epoch": 1}))
            return structs.replace(said, subject=subject, **wrong)
        if choose((True, False, False, False, False, False)):
            said = structs.replace(said, parts_root=content("-"))
        return structs.replace(said, subject=subject, grant_id=given["grant_id"])


KEYS = ("rotate", "rotate", "rotate subject", "replace", "retire", *("vote key",) * 4)
KINDS = ("invite", "propose", *("vote",) * 4, "staff", "staff", "service", "register", "register", "claim", "claim",
         *("grant",) * 5, "revoke", "batch", "batch", *("request",) * 6, *("answer",) * 7, "anchor")
RARELY = ("end", "propose", *KEYS, *KINDS, *KINDS, *KINDS, *KINDS)


def furnish(pair: Pair) -> None:
    """Services, staff, and three patients who hold their subjects; each in a block of its own."""
    say = pair.world
    for service in SERVICES[:2]:
        pair.block([[say.enrol_service(service[0], service)]], 1_000)
    for person in STAFF[:4]:
        pair.block([[say.enrol_staff(person[0], person)]], 1_000)
    for subject, service in zip(SUBJECTS[:3], ("A.service", "A.service", "B.service"), strict=True):
        pair.block([[say.register(service, subject), say.claim(service, subject)]], 1_000)


def play(pair: Pair, seed: int, blocks: int, per_block: int) -> Iterator[int]:
    """The seed's blocks, one after the other: the number of each, when it is done."""
    choose = Draw(seed)
    furnish(pair)
    for number in range(blocks):
        pair.block([pair.transaction(choose) for _ in range(per_block)], choose(STEPS_MS))
        yield number


def signing_keys(raw: bytes) -> list[bytes]:
    """The ids of the keys by which it is signed, in place."""
    body = codec.decoder(list).decode(codec.decoder(list).decode(raw)[0])
    return [key for _, key in body[3]]
