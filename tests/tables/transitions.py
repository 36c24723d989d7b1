"""Every state of a thing, every message about it, everybody who might send it: what comes of each.

A word is the state that follows; a number is the code of the refusal, after which the thing and all else is as it
was; a number in brackets says that it was no transaction at all. `python -m tables.transitions` prints the tables,
and transitions.txt holds them as they were agreed: a difference is a change of the rules, and takes an ADR.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from worlds import World, key_named, named
from xinglin.kernel.accounts import ACCOUNTS
from xinglin.kernel.module import Message
from xinglin.kernel.tx import NotIncludable
from xinglin.modules import access, consent, members, records, subjects
from xinglin.modules.members import KeyMotion, Motion, Role

Say = Callable[[World, str], Message]
HERE = Path(__file__).resolve().parent

# D is invited, S was an active member and is suspended, with S.doctor; N signs with a key that nobody knows.
EVERYBODY = ("A", "A.service", "A.doctor", "B", "B.service", "B.doctor", "mei", "li", "D", "S", "S.doctor", "N")


class Machine(NamedTuple):
    """`place` is the field that a sender puts itself in; "" when all sign as the one account that may."""

    title: str
    states: dict[str, Callable[[World], None]]
    messages: dict[str, Say]
    state_of: Callable[[World], str]
    owner: str = ""


def world() -> World:
    made = World(founders=("A", "B", "C", "S")).furnished()
    made.done(made.enrol_staff("S", "S.doctor"))
    made.done(made.propose("A", "S", Motion.SUSPEND))
    made.done(made.vote("B", "S", Motion.SUSPEND))
    made.done(made.vote("C", "S", Motion.SUSPEND))
    made.done(made.invite("A", "D"))
    made.key("N")
    return made


def cell(made: World, machine: Machine, say: Say, who: str) -> str:
    message = say(made, who)
    keys = {named(machine.owner): key_named(who)} if machine.owner and who != machine.owner else {}
    before = made.domain_rows()
    try:
        result = made.do(message, keys=keys)
    except NotIncludable as error:
        assert made.domain_rows() == before
        return f"({error.code.value})"
    if result.code:
        assert made.domain_rows() == before, f"{who}: a refusal changed something"
        return str(result.code)
    return machine.state_of(made)


def table(machine: Machine) -> list[list[str]]:
    rows = [["", "", *EVERYBODY]]
    for state, reach in machine.states.items():
        for name, say in machine.messages.items():
            row = [state, name]
            fresh: World | None = None
            for who in EVERYBODY:
                if fresh is None:
                    fresh = world()
                    reach(fresh)
                    assert machine.state_of(fresh) == state, (machine.title, state)
                found = cell(fresh, machine, say, who)
                if not found.strip("()").isdigit():
                    fresh = None
                row.append(found)
            rows.append(row)
    return rows


def as_text(machines: Sequence[Machine]) -> str:
    parts = []
    for machine in machines:
        rows = table(machine)
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        parts.append(f"== {machine.title}\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


# -- the machines


def steps(*said: Callable[[World], Message | int]) -> Callable[[World], None]:
    """Messages that are taken for granted, and milliseconds to wait."""
    def reach(made: World) -> None:
        for one in said:
            step = one(made)
            if isinstance(step, int):
                made.wait(step)
            else:
                made.done(step)
    return reach


def grant_state(made: World) -> str:
    given = consent.find(made.row(consent.GRANTS, named("mei"), named("B")) or consent.NO_GRANTS, named("g1"))
    return "none" if given is None else given.status.name.lower()


def granted(made: World) -> Message:
    return made.grant("mei", "B", "g1")


GRANT = Machine("mei's grant g1 to B; whoever else sends it signs in her name", {
    "none": steps(),
    "active": steps(granted),
    "revoked": steps(granted, lambda w: w.revoke("mei", "B", "g1")),
    "expired": steps(granted, lambda w: 25 * 3_600_000),
}, {
    "consent.grant": lambda w, who: w.grant("mei", "B", "g1"),
    "consent.revoke": lambda w, who: w.revoke("mei", "B", "g1"),
}, grant_state, owner="mei")


def subject_state(made: World) -> str:
    row = made.row(subjects.SUBJECTS, named("sun"))
    return "none" if row is None else "claimed" if row.claimed_ms else "unclaimed"


SUBJECT = Machine("the subject sun, of A", {
    "none": steps(),
    "unclaimed": steps(lambda w: w.register("A.service", "sun")),
    "claimed": steps(lambda w: w.register("A.service", "sun"), lambda w: w.claim("A.service", "sun")),
}, {
    "subjects.register": lambda w, who: w.register(who, "sun"),
    "subjects.claim": lambda w, who: w.claim(who, "sun"),
}, subject_state)


def request_state(made: World) -> str:
    if made.row(access.REQUESTS, named("mei"), 1):
        return "open"
    if any(event.request == 1 for event in made.events(access.Answered)):
        return "answered"
    if any(event.request == 1 for event in made.events(access.Breached)):
        return "breached"
    return "denied" if made.events(access.Requested) else "none"


def asked(made: World) -> Message:
    return made.request("B.doctor", "mei")


REQUEST = Machine("request 1 of B.doctor about mei", {
    "none": steps(granted),
    "denied": steps(asked, granted),
    "open": steps(granted, asked),
    "answered": steps(granted, asked, lambda w: w.deny("A.service", "mei", 1)),
    "breached": steps(granted, asked, lambda w: 61_000),
}, {
    "access.answer permit": lambda w, who: w.permit(who, "mei", 1, "g1", 1),
    "access.answer denied": lambda w, who: w.deny(who, "mei", 1),
}, request_state)


def reader_state(made: World) -> str:
    return f"numbered {len(made.events(access.Requested))}"


READER = Machine("who may ask about mei, and gets a number", {
    "numbered 0": steps(),
}, {
    "access.request": lambda w, who: w.request(who, "mei"),
}, reader_state)


def member_state(made: World) -> str:
    row = made.row(members.MEMBERS, named("E"))
    status = "unknown" if row is None else row.status.name.lower()
    votes = [len(motion.voters) for what in Motion if (motion := made.row(members.MOTIONS, named("E"), what))]
    return status + (f" {votes[0]} votes" if votes else "")


def invited(made: World) -> Message:
    return made.invite("B", "E")


def admitted(made: World) -> Message:
    return made.vote("C", "E", Motion.ADMIT)


MEMBER = Machine("the member E; three members are active, then four with E, and more than two thirds decide", {
    "unknown": steps(),
    "invited 1 votes": steps(invited),
    "invited 2 votes": steps(invited, admitted),
    "active": steps(invited, admitted, lambda w: w.vote("A", "E", Motion.ADMIT)),
    "active 2 votes": steps(invited, admitted, lambda w: w.vote("A", "E", Motion.ADMIT),
                            lambda w: w.propose("B", "E", Motion.SUSPEND), lambda w: w.vote("C", "E", Motion.SUSPEND)),
    "suspended": steps(invited, admitted, lambda w: w.vote("A", "E", Motion.ADMIT),
                       lambda w: w.propose("B", "E", Motion.SUSPEND), lambda w: w.vote("C", "E", Motion.SUSPEND),
                       lambda w: w.vote("E", "E", Motion.SUSPEND)),
}, {
    "members.invite": lambda w, who: w.invite(who, "E"),
    "members.propose admit": lambda w, who: w.propose(who, "E", Motion.ADMIT),
    "members.propose suspend": lambda w, who: w.propose(who, "E", Motion.SUSPEND),
    "members.propose reinstate": lambda w, who: w.propose(who, "E", Motion.REINSTATE),
    "members.vote admit": lambda w, who: w.vote(who, "E", Motion.ADMIT),
    "members.vote suspend": lambda w, who: w.vote(who, "E", Motion.SUSPEND),
    "members.vote reinstate": lambda w, who: w.vote(who, "E", Motion.REINSTATE),
}, member_state)


def staff_state(made: World) -> str:
    row = made.row(members.STAFF, named("A.new"))
    return "none" if row is None else (row.role.name.lower() if row.active else "ended")


STAFF = Machine("A.new, of A", {
    "none": steps(),
    "nurse": steps(lambda w: w.enrol_staff("A", "A.new", Role.NURSE)),
    "service": steps(lambda w: w.enrol_service("A", "A.new")),
    "ended": steps(lambda w: w.enrol_staff("A", "A.new"), lambda w: w.end_staff("A", "A.new")),
}, {
    "members.enrol_staff": lambda w, who: w.enrol_staff(who, "A.new", Role.NURSE),
    "members.enrol_service": lambda w, who: w.enrol_service(who, "A.new"),
    "members.end_staff": lambda w, who: w.end_staff(who, "A.new"),
}, staff_state)


def key_state(made: World, account: str) -> str:
    ends = [key.ends_ms for key in made.row(ACCOUNTS, named(account)).keys]
    return f"keys {ends.count(0)}" + "".join([" and one that ends" for end in ends if end > made.time_ms])


KEY = Machine("the key of A.doctor; whoever else sends it signs in its name", {
    "keys 1": steps(),
    "keys 1 and one that ends": steps(lambda w: w.rotate("A.doctor", "second", w.time_ms + 60_000)),
}, {
    "members.rotate_key at once": lambda w, who: w.rotate("A.doctor", "third"),
    "members.rotate_key later": lambda w, who: w.rotate("A.doctor", "third", w.time_ms + 60_000),
    "subjects.rotate_key": lambda w, who: w.rotate_subject("A.doctor", "third"),
}, lambda made: key_state(made, "A.doctor"), owner="A.doctor")

SUBJECT_KEY = Machine("the key of mei; whoever else sends it signs in her name", {
    "keys 1": steps(),
    "keys 1 and one that ends": steps(lambda w: w.rotate_subject("mei", "second", w.time_ms + 60_000)),
}, {
    "subjects.rotate_key at once": lambda w, who: w.rotate_subject("mei", "third"),
    "subjects.rotate_key later": lambda w, who: w.rotate_subject("mei", "third", w.time_ms + 60_000),
    "members.rotate_key": lambda w, who: w.rotate("mei", "third"),
}, lambda made: key_state(made, "mei"), owner="mei")


def moved_state(made: World) -> str:
    motions = {who: made.row(members.KEY_MOTIONS, named("C"), named(who)) for who in ("A", "B")}
    said = [f", {who} {row.motion.name.lower()} {len(row.voters)}" for who, row in motions.items() if row]
    return key_state(made, "C") + "".join(said)


def overlap(made: World) -> Message:
    return made.rotate("C", "C.second", made.time_ms + 86_400_000)


KEY_MOTION = Machine("the keys of C, about which three members vote", {
    "keys 1": steps(),
    "keys 1, A replace 1": steps(lambda w: w.replace_key("A", "C", "C.other")),
    "keys 1, A replace 2": steps(lambda w: w.replace_key("A", "C", "C.other"), lambda w: w.vote_key(
        "C", "A", "C", KeyMotion.REPLACE, "C.other")),
    "keys 1 and one that ends": steps(overlap),
    "keys 1 and one that ends, A retire 2": steps(overlap, lambda w: w.retire_key("A", "C", "C"), lambda w: w.vote_key(
        "C", "A", "C", KeyMotion.RETIRE, "C")),
}, {
    "members.replace_key": lambda w, who: w.replace_key(who, "C", "C.other"),
    "members.retire_key": lambda w, who: w.retire_key(who, "C", "C"),
    "members.vote_key replace": lambda w, who: w.vote_key(who, "A", "C", KeyMotion.REPLACE, "C.other"),
    "members.vote_key retire": lambda w, who: w.vote_key(who, "A", "C", KeyMotion.RETIRE, "C"),
}, moved_state)


def batch_state(made: World) -> str:
    return f"batches {len([number for number in range(1, 4) if made.row(records.BATCHES, named('mei'), number)])}"


BATCH = Machine("batches of mei's records", {
    "batches 0": steps(),
    "batches 1": steps(lambda w: w.batch("A.service", "mei", 1)),
}, {
    "records.batch 1": lambda w, who: w.batch(who, "mei", 1),
    "records.batch 2": lambda w, who: w.batch(who, "mei", 2),
    "records.batch 3": lambda w, who: w.batch(who, "mei", 3),
}, batch_state)


def anchor_state(made: World) -> str:
    rows = {who: made.row(access.ANCHORS, named(who)) for who in ("A", "B")}
    return " ".join([f"{who}={row.count}" for who, row in rows.items() if row]) or "-"


ANCHOR = Machine("the anchors of A's and of B's read log", {
    "-": steps(),
    "A=5": steps(lambda w: w.anchor("A.service", 5)),
}, {
    "access.anchor 4": lambda w, who: w.anchor(who, 4),
    "access.anchor 6": lambda w, who: w.anchor(who, 6),
}, anchor_state)

MACHINES = (MEMBER, STAFF, KEY, KEY_MOTION, SUBJECT, SUBJECT_KEY, GRANT, BATCH, READER, REQUEST, ANCHOR)

if __name__ == "__main__":
    sys.stdout.write(as_text(MACHINES))
