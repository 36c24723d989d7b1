"""The five modules once more, in plain dictionaries and numbers, written from the specification and not from the code.

It is slow, keeps everything, looks nothing up in an index and imports no module, so whoever agrees with it agrees
with a second reading of the rules. `execute` and `pass_time` are the whole of it; the rest are questions.
"""

import hashlib
import pickle
from typing import Any

NO_ID, ZERO = bytes(16), bytes(32)
HOUR, DAY, ANSWER = 3_600_000, 86_400_000, 60_000

SIGNERS = {
    "members.invite/1": ("proposer", "member"), "members.propose/1": ("proposer",), "members.vote/1": ("voter",),
    "members.enrol_staff/1": ("member", "account"), "members.enrol_service/1": ("member", "account"),
    "members.end_staff/1": ("member",), "subjects.register/1": ("service",), "subjects.claim/1": ("service", "subject"),
    "consent.grant/1": ("subject",), "consent.revoke/1": ("subject",), "records.batch/1": ("service",),
    "access.request/1": ("reader",), "access.answer/1": ("service",), "access.anchor/1": ("service",),
    "members.rotate_key/1": ("account",), "members.replace_key/1": ("proposer",), "members.retire_key/1": ("proposer",),
    "members.vote_key/1": ("voter",), "subjects.rotate_key/1": ("subject",),
}
NEW_KEY = {"members.invite/1": "member", "members.enrol_staff/1": "account", "members.enrol_service/1": "account",
           "subjects.claim/1": "subject"}
APART = {"members.rotate_key/1": "account", "members.replace_key/1": "member", "subjects.rotate_key/1": "subject"}
UNPAID = ("consent.revoke/1", "subjects.rotate_key/1")
NEVER = 2**63                               # when a key ends that is not told to

Said = tuple[str, dict[str, Any]]           # a message or an event: its tag, and its fields in order


class No(Exception):
    """Refused, with the number."""


class Naive:
    def __init__(self, founders: dict[bytes, tuple[int, bytes]], time_ms: int, cards: dict[bytes, bytes],
                 kind: int = 0):
        """`founders` are members by id, each with suite and bytes of its key."""
        self.publics: dict[bytes, tuple[int, bytes]] = {}   # id of a key -> suite and bytes
        self.now = time_ms
        self.accounts: dict[bytes, dict[str, Any]] = {
            one: {"kind": "member", "payer": one, "suspended": False, "keys": {self.key(*key): NEVER}}
            for one, key in founders.items()}
        self.key_motions: dict[tuple[bytes, bytes], list[Any]] = {}     # motion, suite, key, id, voters
        self.signing: dict[bytes, bytes] = {}               # account -> the id of its key in what is executed
        self.members = {one: [kind, "active", time_ms, cards[one]] for one in founders}
        self.staff: dict[bytes, list[Any]] = {}             # account -> member, role, active, card
        self.motions: dict[tuple[bytes, int], list[bytes]] = {}
        self.subjects: dict[bytes, list[Any]] = {}          # holder, registered, claimed
        self.grants: dict[tuple[bytes, bytes], dict[str, Any]] = {}
        self.batches: dict[tuple[bytes, int], list[Any]] = {}
        self.entries: dict[bytes, list[Said]] = {}
        self.requests: dict[tuple[bytes, int], dict[str, Any]] = {}
        self.anchors: dict[bytes, list[Any]] = {}
        self.asked: dict[tuple[bytes, bytes], list[int]] = {}       # day, requests, denied, open
        self.invited: dict[bytes, int] = {}
        self.lanes: dict[tuple[bytes, int], int] = {}

    def key(self, suite: int, public: bytes) -> bytes:
        """Its id, under which it can be looked up again."""
        found = tagged("xinglin/key/1", bytes([suite]), public)
        self.publics[found] = (suite, public)
        return found

    # -- is it a transaction, and does the kernel let it in

    def exists(self, said: list[Said], keys: list[bytes], at_ms: int) -> bool:
        """Whether its signers' keys are known, or brought by it, and somebody active pays; judged before the block."""
        brought = {fields[NEW_KEY[tag]] for tag, fields in said if tag in NEW_KEY}
        own = len(signers(said)) - len(apart(said))
        for at, (one, key) in enumerate(zip(signers(said), keys, strict=True)):
            known = self.accounts[one]["keys"] if one in self.accounts else {}
            if key in known:
                if known[key] <= at_ms:
                    return False
            elif at < own and (at == 0 or known or one not in brought):
                return False
        return self._unpaid(said) or not self.accounts[self.accounts[signers(said)[0]]["payer"]]["suspended"]

    def _unpaid(self, said: list[Said]) -> bool:
        rows = [self.accounts.get(one) for one in signers(said)]
        return all(tag in UNPAID for tag, _ in said) and all(row and row["kind"] == "subject"
                                                                         for row in rows)

    def execute(self, said: list[Said], keys: list[bytes]) -> tuple[int, list[Said]]:
        """The code, and the events when it is 0."""
        kept = pickle.dumps({name: value for name, value in vars(self).items() if name not in ("lanes", "entries")})
        entries = {subject: list(entries) for subject, entries in self.entries.items()}
        try:
            self._admit(said, keys)
            return 0, [getattr(self, "_" + tag.replace(".", "_").removesuffix("/1"))(**fields) for tag, fields in said]
        except No as no:
            vars(self).update(pickle.loads(kept), entries=entries)  # noqa: S301
            return no.args[0], []

    def _admit(self, said: list[Said], keys: list[bytes]) -> None:
        own = len(keys) - len(apart(said))
        self.signing = dict(zip(signers(said)[:own], keys, strict=False))
        rows = [self.accounts.get(one) for one in signers(said)]
        full = False
        if self._unpaid(said):
            payer = None
            for _, fields in said:
                lane = (fields["subject"], self.now // DAY)
                if self.lanes.get(lane, 0) == 64:
                    full = True
                    break
                self.lanes[lane] = self.lanes.get(lane, 0) + 1
        else:
            assert rows[0]
            payer = self.accounts[rows[0]["payer"]]
        for at, (row, key) in enumerate(zip(rows, keys, strict=True)):
            if row and row["keys"].get(key, NEVER) <= self.now:
                raise No(30)
            if row and row["suspended"] and at < own:
                raise No(31)
        if payer and payer["suspended"]:
            raise No(32)
        if full:
            raise No(34)

    # -- time

    def pass_time(self, now: int) -> list[Said]:
        """What was due comes to pass, in the order of (when, table, key)."""
        self.now = now
        due: list[tuple[int, str, bytes, Any]] = []
        for (subject, grantee), row in self.grants.items():
            ends = [given["until_h"] * HOUR for given in row["grants"] if given["status"] == "active"]
            if ends and min(ends) <= now:
                due.append((min(ends), "consent/grants", subject + grantee, (subject, grantee)))
        for (subject, number), asked in self.requests.items():
            if asked["due_ms"] <= now:
                due.append((asked["due_ms"], "access/requests", subject + number.to_bytes(4, "big"), (subject, number)))
        events = []
        for _, table, _, key in sorted(due):
            events.append(self._expire(*key) if table == "consent/grants" else self._breach(*key))
        return events

    def _expire(self, subject: bytes, grantee: bytes) -> Said:
        row = self.grants[subject, grantee]
        row["changes"] += 1
        over = [given for given in row["grants"] if given["status"] == "active" and given["until_h"] * HOUR <= self.now]
        for given in over:
            given.update(status="expired", epoch=row["changes"])
        return "consent.expired/1", {"subject": subject, "grantee": grantee, "grants": len(over),
                                     "epoch": row["changes"]}

    def _breach(self, subject: bytes, number: int) -> Said:
        asked = self.requests.pop((subject, number))
        self.asked[subject, asked["grantee"]][3] -= 1
        return self._enter(subject, "access.breached/1", {
            "subject": subject, "number": self._count(subject) + 1, "request": number, "reader": asked["reader"],
            "holder": self.subjects[subject][0]})

    # -- members

    def active(self, member: bytes) -> bool:
        return member in self.members and self.members[member][1] == "active"

    def _must_be_active(self, member: bytes, code: int = 100) -> None:
        if not self.active(member):
            raise No(code)

    def _how_many(self) -> int:
        return len([one for one in self.members if self.active(one)])

    def _open(self, account: bytes, kind: str, payer: bytes, *keys: bytes) -> None:
        if account in self.accounts:
            raise No(35)
        self.accounts[account] = {"kind": kind, "payer": payer, "suspended": False, "keys": dict.fromkeys(keys, NEVER)}

    def _enrol(self, account: bytes, key: bytes, places: int = 16) -> None:
        keys = self.accounts[account]["keys"]
        if key in keys:
            raise No(37)
        while len(keys) >= places:
            ended = [one for one in keys if keys[one] <= self.now - DAY]
            if not ended:
                raise No(38)
            del keys[min(ended, key=lambda one: keys[one])]
        keys[key] = NEVER

    def _rotate(self, account: bytes, suite: int, key: bytes, old_until_ms: int) -> dict[str, Any]:
        keys, old, new = self.accounts[account]["keys"], self.signing[account], self.key(suite, key)
        if old not in keys:
            raise No(42)
        if keys[old] != NEVER:
            raise No(40)
        if old_until_ms > self.now + 31 * DAY:
            raise No(41)
        self._enrol(account, new)
        keys[old] = max(self.now, old_until_ms)
        return {"old": old, "new": new, "old_until_ms": keys[old]}

    def _end_keys(self, account: bytes, wanted: list[bytes]) -> None:
        keys = self.accounts[account]["keys"]
        keys.update({one: min(keys[one], self.now) for one in wanted})

    def _members_rotate_key(self, account: bytes, suite: int, key: bytes, old_until_ms: int) -> Said:
        if self.accounts[account]["kind"] == "subject":
            raise No(115)
        return "members.key_rotated/1", {"account": account, **self._rotate(account, suite, key, old_until_ms)}

    def _subjects_rotate_key(self, subject: bytes, suite: int, key: bytes, old_until_ms: int) -> Said:
        if self.accounts[subject]["kind"] != "subject":
            raise No(301)
        return "subjects.key_rotated/1", {"subject": subject, **self._rotate(subject, suite, key, old_until_ms)}

    def _members_replace_key(self, proposer: bytes, member: bytes, suite: int, key: bytes) -> Said:
        self._must_be_active(proposer)
        if member not in self.members:
            raise No(102)
        if self.key(suite, key) in self.accounts[member]["keys"]:
            raise No(37)
        return self._keys_counted(member, [0, suite, key, self.key(suite, key), [proposer]])

    def _members_retire_key(self, proposer: bytes, member: bytes, key: bytes) -> Said:
        self._must_be_active(proposer)
        if member not in self.members:
            raise No(102)
        if self.accounts[member]["keys"].get(key, 0) <= self.now:
            raise No(116)
        return self._keys_counted(member, [1, *self.publics[key], key, [proposer]])

    def _members_vote_key(self, voter: bytes, proposer: bytes, member: bytes, motion: int, key: bytes) -> Said:
        self._must_be_active(voter)
        row = self.key_motions.get((member, proposer))
        if row is None or [row[0], row[3]] != [motion, key]:
            raise No(103)
        if voter not in row[4]:
            return self._keys_counted(member, [*row[:4], [*row[4], voter]])
        if not self._carried(row[4]):
            raise No(105)
        return self._keys_counted(member, row)

    def _standing(self, voters: list[bytes]) -> int:
        return len([one for one in voters if self.active(one)])

    def _keys_counted(self, member: bytes, row: list[Any]) -> Said:
        motion, _, _, key, voters = row
        keys = self.accounts[member]["keys"]
        if motion == 1:
            if keys.get(key, 0) <= self.now:
                raise No(116)
            if NEVER not in [ends for one, ends in keys.items() if one != key]:
                raise No(117)
        votes = self._standing(voters)
        carried = votes * 3 > self._how_many() * 2
        self.key_motions[member, voters[0]] = row
        if carried:
            del self.key_motions[member, voters[0]]
            if motion == 0:
                self._enrol(member, key, places=17)
                self._end_keys(member, [one for one in keys if one != key])
            else:
                self._end_keys(member, [key])
        return "members.key_moved/1", {"member": member, "proposer": voters[0], "motion": motion, "key": key,
                                       "votes": votes, "carried": carried}

    def _members_invite(self, proposer: bytes, member: bytes, kind: int, suite: int, key: bytes, card: bytes) -> Said:
        self._must_be_active(proposer)
        if member in self.members:
            raise No(101)
        if self.invited.get(proposer) == 100:
            raise No(114)
        self._open(member, "member", member, self.key(suite, key))
        self.invited[proposer] = self.invited.get(proposer, 0) + 1
        self.accounts[member]["suspended"] = True
        self.members[member] = [kind, "invited", self.now, card]
        return self._counted(member, 0, [proposer])

    def _members_propose(self, proposer: bytes, member: bytes, motion: int) -> Said:
        self._must_be_active(proposer)
        if member not in self.members:
            raise No(102)
        if self.members[member][1] != {1: "active", 2: "suspended"}.get(motion):
            raise No(106)
        if (member, motion) in self.motions:
            raise No(104)
        if motion == 1 and self._how_many() == 1:
            raise No(110)
        return self._counted(member, motion, [proposer])

    def _members_vote(self, voter: bytes, member: bytes, motion: int) -> Said:
        self._must_be_active(voter)
        if (member, motion) not in self.motions:
            raise No(103)
        voters = self.motions[member, motion]
        if voter in voters:
            if not self._carried(voters):
                raise No(105)
        else:
            voters = [*voters, voter]
        if motion == 1 and self._how_many() == 1:
            raise No(110)
        return self._counted(member, motion, voters)

    def _carried(self, voters: list[bytes]) -> bool:
        votes = self._standing(voters)
        return votes / self._how_many() > 2 / 3 and votes * 3 != self._how_many() * 2

    def _counted(self, member: bytes, motion: int, voters: list[bytes]) -> Said:
        votes = len([one for one in voters if self.active(one)])
        carried = self._carried(voters)
        self.motions[member, motion] = voters
        if carried:
            del self.motions[member, motion]
            self.members[member][1:3] = ["suspended" if motion == 1 else "active", self.now]
            self.accounts[member]["suspended"] = motion == 1
            if motion == 0:
                self.invited[voters[0]] -= 1
        return "members.moved/1", {"member": member, "motion": motion, "votes": votes, "carried": carried}

    def _members_enrol_staff(self, member: bytes, account: bytes, role: int, custody: int, suite: int, key: bytes,
                             card: bytes) -> Said:
        self._must_be_active(member)
        if role == 7:
            raise No(111)
        self._open(account, "staff", member, self.key(suite, key))
        self.staff[account] = [member, role, True, card]
        return "members.enrolled/1", {"member": member, "account": account, "role": role, "custody": custody}

    def _members_enrol_service(self, member: bytes, account: bytes, suite: int, key: bytes) -> Said:
        self._must_be_active(member)
        self._open(account, "service", member, self.key(suite, key))
        self.staff[account] = [member, 7, True, ZERO]
        return "members.enrolled/1", {"member": member, "account": account, "role": 7, "custody": 1}

    def _members_end_staff(self, member: bytes, account: bytes) -> Said:
        if account not in self.staff or not self.staff[account][2]:
            raise No(107)
        if self.staff[account][0] != member:
            raise No(108)
        self.staff[account][2] = False
        self._end_keys(account, list(self.accounts[account]["keys"]))
        return "members.ended/1", {"member": member, "account": account}

    def _service(self, account: bytes) -> bytes:
        if account not in self.staff or not self.staff[account][2] or self.staff[account][1] != 7:
            raise No(109)
        self._must_be_active(self.staff[account][0])
        holder: bytes = self.staff[account][0]
        return holder

    # -- subjects, records

    def _subject(self, subject: bytes) -> list[Any]:
        if subject not in self.subjects:
            raise No(301)
        return self.subjects[subject]

    def _subjects_register(self, service: bytes, subject: bytes) -> Said:
        holder = self._service(service)
        if subject in self.subjects:
            raise No(300)
        self._open(subject, "subject", holder)
        self.subjects[subject] = [holder, self.now, 0]
        return "subjects.registered/1", {"subject": subject, "holder": holder}

    def _subjects_claim(self, service: bytes, subject: bytes, suite: int, key: bytes) -> Said:
        holder = self._service(service)
        row = self._subject(subject)
        if row[0] != holder:
            raise No(302)
        if row[2]:
            raise No(303)
        row[2] = self.now
        self._enrol(subject, self.key(suite, key))
        return "subjects.claimed/1", {"subject": subject, "holder": holder}

    def _records_batch(self, service: bytes, owner: bytes, number: int, root: bytes, count: int) -> Said:
        holder = self._service(service)
        if owner != holder and self._subject(owner)[0] != holder:
            raise No(400)
        there = [n for one, n in self.batches if one == owner]
        if number in there:
            raise No(401)
        if number != len(there) + 1:
            raise No(402)
        self.batches[owner, number] = [root, count, self.now]
        return "records.committed/1", {"owner": owner, "number": number, "root": root, "count": count}

    # -- consent

    def _consent_grant(self, subject: bytes, grantee: bytes, grant_id: bytes, until_h: int, body: bytes) -> Said:
        if subject not in self.subjects:
            raise No(301)
        self._must_be_active(grantee, 200)
        hour = self.now // HOUR
        if until_h <= hour:
            raise No(201)
        row = self.grants.get((subject, grantee), {"changes": 0, "grants": []})
        if grant_id in [given["grant_id"] for given in row["grants"]]:
            raise No(202)
        closed = [given for given in row["grants"] if given["status"] == "revoked" or given["until_h"] <= hour]
        if len(row["grants"]) == 32:
            if not closed:
                raise No(206)
            row["grants"].remove(closed[0])
        if until_h > hour + 24 * 366 * 10:
            raise No(207)
        row["changes"] += 1
        row["grants"].append({"grant_id": grant_id, "since_h": hour, "until_h": until_h, "status": "active",
                              "epoch": row["changes"], "body": body})
        self.grants[subject, grantee] = row
        return "consent.granted/1", {"subject": subject, "grantee": grantee, "grant_id": grant_id, "until_h": until_h,
                                     "epoch": row["changes"], "body": body}

    def _consent_revoke(self, subject: bytes, grantee: bytes, grant_id: bytes) -> Said:
        row = self.grants.get((subject, grantee), {"changes": 0, "grants": []})
        for given in row["grants"]:
            if given["grant_id"] == grant_id:
                if given["status"] == "revoked":
                    raise No(204)
                if given["until_h"] * HOUR <= self.now:
                    raise No(205)
                row["changes"] += 1
                given.update(status="revoked", epoch=row["changes"])
                return "consent.revoked/1", {"subject": subject, "grantee": grantee, "grant_id": grant_id,
                                             "epoch": row["changes"]}
        raise No(203)

    def why_not(self, subject: bytes, grantee: bytes, grant_id: bytes) -> int:
        """0 when the grant is live now."""
        if not self.active(grantee):
            return 200
        for given in self.grants.get((subject, grantee), {"grants": []})["grants"]:
            if given["grant_id"] == grant_id:
                return 204 if given["status"] == "revoked" else 205 if given["until_h"] * HOUR <= self.now else 0
        return 203

    def live(self, subject: bytes, grantee: bytes) -> list[bytes]:
        row = self.grants.get((subject, grantee), {"grants": []})
        return [given["grant_id"] for given in row["grants"] if not self.why_not(subject, grantee, given["grant_id"])]

    # -- access

    def _count(self, subject: bytes) -> int:
        return len(self.entries.get(subject, []))

    def _enter(self, subject: bytes, tag: str, fields: dict[str, Any]) -> Said:
        self.entries.setdefault(subject, []).append((tag, fields))
        return tag, fields

    def _reader(self, account: bytes) -> list[Any]:
        if account not in self.staff or not self.staff[account][2]:
            raise No(107)
        self._must_be_active(self.staff[account][0])
        return self.staff[account]

    def _access_request(self, reader: bytes, subject: bytes, grant_id: bytes, key_hash: bytes, body: bytes) -> Said:
        grantee, role, *_ = self._reader(reader)
        if role == 7:
            raise No(507)
        self._subject(subject)
        if grant_id == NO_ID:
            denied = 0 if self.live(subject, grantee) else 203
        else:
            denied = self.why_not(subject, grantee, grant_id)
        day, requests, noes, still = self.asked.get((subject, grantee), [0, 0, 0, 0])
        if day < self.now // DAY:
            day, requests, noes = self.now // DAY, 0, 0
        if requests >= 1000 or (denied and noes >= 32):
            raise No(508)
        if not denied and still >= 16:
            raise No(509)
        self.asked[subject, grantee] = [day, requests + 1, noes + 1 if denied else noes, still if denied else still + 1]
        number = self._count(subject) + 1
        due_ms = 0 if denied else self.now + ANSWER
        if not denied:
            self.requests[subject, number] = {"reader": reader, "grantee": grantee, "grant_id": grant_id,
                                              "key_hash": key_hash, "body": body, "due_ms": due_ms}
        return self._enter(subject, "access.requested/1", {
            "subject": subject, "number": number, "reader": reader, "grantee": grantee, "grant_id": grant_id,
            "key_hash": key_hash, "body": body, "denied": denied, "due_ms": due_ms})

    def _access_answer(self, service: bytes, subject: bytes, number: int, decision: int, grant_id: bytes, epoch: int,
                       inputs: bytes, opening: bytes, parts_root: bytes, expires_at_ms: int) -> Said:
        holder = self._service(service)
        asked = self.requests.get((subject, number))
        if asked is None:
            raise No(500)
        if self.subjects[subject][0] != holder:
            raise No(501)
        if decision == 0 and (parts_root != ZERO or expires_at_ms or grant_id != NO_ID or epoch):
            raise No(505)
        if decision == 1:
            self._reader(asked["reader"])
            epochs = {given["grant_id"]: given["epoch"]
                      for given in self.grants.get((subject, asked["grantee"]), {"grants": []})["grants"]}
            if grant_id not in self.live(subject, asked["grantee"]) or epochs[grant_id] != epoch:
                raise No(502)
            if asked["grant_id"] != NO_ID and asked["grant_id"] != grant_id:
                raise No(502)
            if expires_at_ms <= self.now or expires_at_ms - self.now > 15 * 60_000:
                raise No(503)
            if parts_root == ZERO:
                raise No(504)
        del self.requests[subject, number]
        self.asked[subject, asked["grantee"]][3] -= 1
        return self._enter(subject, "access.answered/1", {
            "subject": subject, "number": self._count(subject) + 1, "request": number, "reader": asked["reader"],
            "decision": decision, "grant_id": grant_id, "epoch": epoch, "inputs": inputs, "opening": opening,
            "parts_root": parts_root, "key_hash": asked["key_hash"], "expires_at_ms": expires_at_ms})

    def _access_anchor(self, service: bytes, count: int, running: bytes) -> Said:
        holder = self._service(service)
        before = self.anchors.get(holder, [0, ZERO, 0])
        if count < before[0] or (count == before[0] and running != before[1]):
            raise No(506)
        self.anchors[holder] = [count, running, self.now]
        return "access.anchored/1", {"holder": holder, "count": count, "running": running}

    # -- what the tables must hold

    def rows(self) -> dict[str, dict[bytes, list[Any]]]:
        """table -> key bytes -> fields in order, but for the kernel's own tables."""
        status: dict[Any, int] = {"invited": 0, "active": 1, "suspended": 2, "revoked": 3, "expired": 4}
        admitted = [one for one in self.members.values() if one[1] != "invited"]
        return {
            "members/members": {one: [row[0], status[row[1]], *row[2:]] for one, row in self.members.items()},
            "members/staff": dict(self.staff),
            "members/motions": {one + bytes([motion]): [voters] for (one, motion), voters in self.motions.items()},
            "members/key_motions": {one + two: row for (one, two), row in self.key_motions.items()},
            "members/invited": {one: [count] for one, count in self.invited.items()},
            "members/tally": {b"": [self._how_many(), len(admitted)]},
            "subjects/subjects": dict(self.subjects),
            "consent/grants": {one + two: [row["changes"], [[
                given["grant_id"], given["since_h"], given["until_h"], status[given["status"]], given["epoch"],
                given["body"]] for given in row["grants"]]] for (one, two), row in self.grants.items()},
            "records/batches": {one + number.to_bytes(4, "big"): row for (one, number), row in self.batches.items()},
            "access/log": {one: [len(entries), running(entries)] for one, entries in self.entries.items()},
            "access/requests": {one + number.to_bytes(4, "big"): list(row.values())
                                for (one, number), row in self.requests.items()},
            "access/asked": {one + two: row for (one, two), row in self.asked.items()},
            "access/anchors": dict(self.anchors),
        }


def signers(said: list[Said]) -> list[bytes]:
    found = dict.fromkeys(fields[name] for tag, fields in said for name in SIGNERS[tag])
    return [*found, *apart(said)]


def apart(said: list[Said]) -> list[bytes]:
    """Who signs once more, with a key that a message brings."""
    return [fields[APART[tag]] for tag, fields in said if tag in APART]


def running(entries: list[Said]) -> bytes:
    """The log's running hash, from the words of the specification."""
    value = ZERO
    for tag, fields in entries:
        value = tagged("xinglin/access-log/1", value, tagged("xinglin/event/1", packed([tag, *fields.values()])))
    return value


def tagged(domain: str, *parts: bytes) -> bytes:
    data = bytes([len(domain)]) + domain.encode()
    for part in parts:
        data += len(part).to_bytes(4, "big") + part
    return hashlib.sha256(data).digest()


def packed(value: Any) -> bytes:
    """MessagePack in its one shortest form, as docs/spec/encoding.md has it; no negative numbers."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return bytes([value]) if value < 128 else headed(value, b"", (0xCC, 0xCD, 0xCE, 0xCF))
    if isinstance(value, bytes):
        return headed(len(value), value, (0xC4, 0xC5, 0xC6))
    if isinstance(value, str):
        text = value.encode()
        return bytes([0xA0 + len(text)]) + text if len(text) < 32 else headed(len(text), text, (0xD9, 0xDA, 0xDB))
    inside = b"".join([packed(one) for one in value])
    return bytes([0x90 + len(value)]) + inside if len(value) < 16 else headed(len(value), inside, (None, 0xDC, 0xDD))


def headed(number: int, data: bytes, heads: tuple[int | None, ...]) -> bytes:
    """The first head whose width holds the number: 1, 2, 4 or 8 bytes of it."""
    for at, head in enumerate(heads):
        if head is not None and number < 256 ** 2**at:
            return bytes([head]) + number.to_bytes(2**at, "big") + data
    raise ValueError(number)
