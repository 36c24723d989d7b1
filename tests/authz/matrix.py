"""Everybody x every message x every state, each tried on the real kernel.

`python -m authz.matrix` writes docs/auditors/access-matrix.md. A new message without a place here fails a test: what
nobody thought about is not let through unseen.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from authz.oracle import Answer, Facts, Person
from memory_ledger import MemoryLedger
from worlds import Signing, World, key_named, named
from xinglin.base.history import Appended, append
from xinglin.kernel.executor import Applied
from xinglin.kernel.module import Message
from xinglin.kernel.tx import NotIncludable
from xinglin.modules import access
from xinglin.modules.members import KeyMotion, Motion, Role

PAGE = Path(__file__).resolve().parents[2] / "docs" / "auditors" / "access-matrix.md"

STAFF_ROLES = tuple(role for role in Role if role is not Role.SERVICE)


class Actor(NamedTuple):
    zh: str
    en: str
    account: str
    key: str                       # whose key signs: that of `account`, an old one of it, or one that nobody enrolled
    person: Person


def _staff(role: Role) -> Actor:
    name = f"B.{role.name.lower()}"
    return Actor(f"B 的工作人员：{role.name}", f"staff of B: {role.name.lower()}", name, name,
                 Person("staff", "B", account=name))


ACTORS: tuple[Actor, ...] = (
    Actor("创始成员 A，mei 的持有方", "founding member A, mei's holder", "A", "A.new",
          Person("member", "A", account="A")),
    Actor("创始成员 B，被授权方", "founding member B, the grantee", "B", "B", Person("member", "B", account="B")),
    Actor("创始成员 T", "founding member T", "T", "T", Person("member", "T", account="T")),
    Actor("经表决接纳的成员 F", "member F, admitted by vote", "F", "F", Person("member", "F", account="F")),
    Actor("受邀未接纳的成员 D", "member D, invited", "D", "D", Person("member", "D", "none", "D")),
    Actor("暂停的成员 S", "member S, suspended", "S", "S", Person("member", "S", account="S")),
    *map(_staff, STAFF_ROLES),
    Actor("A 的医生", "doctor of A", "A.doctor", "A.doctor", Person("staff", "A", account="A.doctor")),
    Actor("已离职的 B 工作人员", "staff of B, ended", "B.ended", "B.ended", Person("staff", "B", "ended", "B.ended")),
    Actor("暂停成员 S 的医生", "doctor of S, suspended", "S.doctor", "S.doctor",
          Person("staff", "S", account="S.doctor")),
    Actor("A 的服务", "service of A", "A.service", "A.service.new", Person("service", "A", account="A.service")),
    Actor("B 的服务", "service of B", "B.service", "B.service", Person("service", "B", account="B.service")),
    Actor("暂停成员 S 的服务", "service of S, suspended", "S.service", "S.service",
          Person("service", "S", account="S.service")),
    Actor("患者 mei（A）", "patient mei, at A", "mei", "mei.new", Person("subject", "A", account="mei")),
    Actor("另一患者 li（A）", "patient li, at A", "li", "li", Person("subject", "A", account="li")),
    Actor("另一患者 zhao（B）", "patient zhao, at B", "zhao", "zhao", Person("subject", "B", account="zhao")),
    Actor("未认领的患者 wang", "patient wang, unclaimed", "wang", "wang.thief", Person("subject", "A", "none", "wang")),
    Actor("mei 已停用的密钥", "mei's ended key", "mei", "mei", Person("subject", "A", "ended", "mei")),
    Actor("A 已停用的密钥", "A's ended key", "A", "A", Person("member", "A", "ended", "A")),
    Actor("A 的服务已停用的密钥", "the ended key of A's service", "A.service", "A.service",
          Person("service", "A", "ended", "A.service")),
    Actor("B 医生已停用的密钥", "the ended key of a physician of B", "B.other", "B.other",
          Person("staff", "B", "ended", "B.other")),
    Actor("没有账户的陌生人", "stranger without an account", "stranger", "stranger", Person("nobody")),
)


class Said(NamedTuple):
    tag: str
    rightful: str                  # in whose name it is forged by everybody else
    say: Callable[[World, str], Message]


MESSAGES: tuple[Said, ...] = (
    Said("members.invite", "A", lambda w, who: w.invite(who, "E")),
    Said("members.propose suspend C", "A", lambda w, who: w.propose(who, "C", Motion.SUSPEND)),
    Said("members.vote suspend C", "B", lambda w, who: w.vote(who, "C", Motion.SUSPEND)),
    Said("members.vote admit E", "B", lambda w, who: w.vote(who, "E", Motion.ADMIT)),
    Said("members.enrol_staff", "A", lambda w, who: w.enrol_staff(who, "new")),
    Said("members.enrol_service", "A", lambda w, who: w.enrol_service(who, "new")),
    Said("members.end_staff A.extra", "A", lambda w, who: w.end_staff(who, "A.extra")),
    Said("members.rotate_key", "A", lambda w, who: w.rotate(who, "fresh")),
    Said("members.replace_key C", "A", lambda w, who: w.replace_key(who, "C", "C.other")),
    Said("members.retire_key C", "A", lambda w, who: w.retire_key(who, "C", "C")),
    Said("members.vote_key C", "B", lambda w, who: w.vote_key(who, "A", "C", KeyMotion.REPLACE, "C.other")),
    Said("subjects.register", "A.service", lambda w, who: w.register(who, "sun")),
    Said("subjects.claim wang", "A.service", lambda w, who: w.claim(who, "wang")),
    Said("subjects.rotate_key", "mei", lambda w, who: w.rotate_subject(who, "fresh")),
    Said("consent.grant g1 to B", "mei", lambda w, who: w.grant(who, "B", "g1")),
    Said("consent.revoke g1 of B", "mei", lambda w, who: w.revoke(who, "B", "g1")),
    Said("records.batch 1 of mei", "A.service", lambda w, who: w.batch(who, "mei", 1)),
    Said("access.request", "B.physician", lambda w, who: w.request(who, "mei")),
    Said("access.answer permit", "A.service", lambda w, who: w.permit(who, "mei", 1, "g1", 1)),
    Said("access.answer deny", "A.service", lambda w, who: w.deny(who, "mei", 1)),
    Said("access.anchor", "A.service", lambda w, who: w.anchor(who, 5)),
)

Step = Callable[[World], Message | int]


class State(NamedTuple):
    zh: str
    en: str
    steps: tuple[Step, ...]
    facts: Facts


def _suspend(member: str) -> tuple[Step, ...]:
    """By four of the five that are active: the first, and then three."""
    voters = [one for one in ("A", "B", "C", "T", "F") if one != member][:4]
    first: Step = lambda w: w.propose(voters[0], member, Motion.SUSPEND)  # noqa: E731
    return (first, *[lambda w, one=one: w.vote(one, member, Motion.SUSPEND) for one in voters[1:]])


GRANTED: Step = lambda w: w.grant("mei", "B", "g1")  # noqa: E731
ASKED: Step = lambda w: w.request("B.physician", "mei")  # noqa: E731
REVOKED: Step = lambda w: w.revoke("mei", "B", "g1")  # noqa: E731

STATES: tuple[State, ...] = (
    State("没有授权", "no consent", (), Facts()),
    State("已授权 B", "consent to B", (GRANTED,), Facts(grant="live")),
    State("授权已撤回", "consent taken back", (GRANTED, REVOKED), Facts(grant="revoked")),
    State("授权已到期", "consent run out", (GRANTED, lambda w: 25 * 3_600_000), Facts(grant="over")),
    State("请求待答复", "a request is open", (GRANTED, ASKED), Facts(grant="live", request="open")),
    State("请求待答复，授权已撤回", "a request is open, consent taken back", (GRANTED, ASKED, REVOKED),
          Facts(grant="revoked", request="open")),
    State("请求待答复，请求人已离职", "a request is open, its reader ended",
          (GRANTED, ASKED, lambda w: w.end_staff("B", "B.physician")),
          Facts(grant="live", request="open", reader_there=False)),
    State("请求已答复", "the request is answered", (GRANTED, ASKED, lambda w: w.deny("A.service", "mei", 1)),
          Facts(grant="live", request="closed")),
    State("请求逾期未答", "the request was not answered in time", (GRANTED, ASKED, lambda w: 61_000),
          Facts(grant="live", request="closed")),
    State("请求待答复，B 被暂停", "a request is open, B suspended", (GRANTED, ASKED, *_suspend("B")),
          Facts(grant="live", request="open", suspended=frozenset({"S", "B"}))),
    State("请求待答复，A 被暂停", "a request is open, A suspended", (GRANTED, *_suspend("A"), ASKED),
          Facts(grant="live", request="open", suspended=frozenset({"S", "A"}))),
    State("动议进行中", "motions are open", (
        lambda w: w.invite("A", "E"), lambda w: w.propose("A", "C", Motion.SUSPEND),
        lambda w: w.replace_key("A", "C", "C.other"), lambda w: w.rotate("C", "C.second", w.time_ms + 86_400_000)),
        Facts(invited=True, against_c=True, key_for_c=True, c_has_two_keys=True)),
    State("各项已成既成事实", "what would be done is done", (
        GRANTED, lambda w: w.claim("A.service", "wang"), lambda w: w.batch("A.service", "mei", 1),
        lambda w: w.end_staff("A", "A.extra")),
        Facts(grant="live", wang_claimed=True, batches=1, extra_ended=True)),
)


def furnished() -> World:
    """Everybody of ACTORS, and nothing said yet."""
    made = World(founders=("A", "B", "C", "S", "T"))
    for member in ("A", "B", "S"):
        made.done(made.enrol_service(member, f"{member}.service"), made.enrol_staff(member, f"{member}.doctor"))
    for role in STAFF_ROLES:
        made.done(made.enrol_staff("B", f"B.{role.name.lower()}", role))
    for more in ("B.ended", "B.other", "A.extra"):
        made.done(made.enrol_staff(more[0], more))
    made.done(made.end_staff("B", "B.ended"))
    for service, subject in (("A.service", "mei"), ("A.service", "li"), ("B.service", "zhao")):
        made.done(made.register(service, subject), made.claim(service, subject))
    made.done(made.register("A.service", "wang"))
    made.done(made.propose("A", "S", Motion.SUSPEND))
    for voter in ("B", "C", "T"):
        made.done(made.vote(voter, "S", Motion.SUSPEND))
    made.done(made.invite("A", "F"))
    for voter in ("B", "C"):
        made.done(made.vote(voter, "F", Motion.ADMIT))
    made.done(made.invite("B", "D"))
    made.done(made.rotate("B.other", "B.other.new"))
    for account, rotated in (("A", made.rotate("A", "A.new")), ("A.service", made.rotate("A.service", "A.service.new")),
                             ("mei", made.rotate_subject("mei", "mei.new"))):
        made.done(rotated)
        made.keys[named(account)] = key_named(f"{account}.new")
    return made


def reached(state: State) -> World:
    made = furnished()
    for step in state.steps:
        said = step(made)
        if isinstance(said, int):
            made.wait(said)
        else:
            made.done(said)
    return made


class Trial(MemoryLedger):
    """A ledger at its tip that keeps nothing: blocks are applied to it by the real executor, and forgotten. Roots
    are not asked about here, so no tree is built.
    """

    def __init__(self, of: MemoryLedger):
        vars(self).update(vars(of))

    def update_tree(self, changes: list[tuple[bytes, bytes | None]]) -> bytes:
        return bytes(32)

    def append(self, leaf_hashes: list[bytes]) -> Appended:
        return append(self.hashes, self.frontier, leaf_hashes)


KEPT = tuple(b"s" + bytes([len(name)]) + name for name in (b"kernel/replay", b"kernel/quota", b"kernel/lane"))


class Cell(NamedTuple):
    state: State
    said: Said
    actor: Actor
    forged: bool                   # in the name of who may, else in her own
    found: Answer


def cells() -> Iterator[Cell]:
    for state in STATES:
        world = reached(state)
        for said in MESSAGES:
            for actor in ACTORS:
                for forged in (False, True):
                    yield Cell(state, said, actor, forged, tried(world, said, actor, forged))


def tried(world: World, said: Said, actor: Actor, forged: bool) -> Answer:
    """What comes of it, at the world's tip, which stays as it is. Raises AssertionError when a refusal wrote a row."""
    account = said.rightful if forged else actor.account
    message = said.say(world, account)
    keys: dict[bytes, Signing] = {named(account): key_named(actor.key)}
    raw = world.transaction(message, keys=keys, expires_at_ms=world.time_ms + 60_000)
    now_ms = world.time_ms + 1_000
    try:
        tx = world.includable(raw, now_ms)
    except NotIncludable:
        return "never"
    applied = world.ledger.executor.apply(Trial(world.ledger), world.ledger.height + 1, now_ms, [tx])
    return _answer(world, applied)


def _answer(world: World, applied: Applied) -> Answer:
    (result,) = [one for one in world.results(applied) if one.outcome.tx is not None]
    if result.code:
        written = [at for at, _ in applied.rows if not at.startswith(KEPT)]
        assert not written, "a refusal wrote a row"
        return "refused"
    events: tuple[Any, ...] = result.events
    return "noted" if isinstance(events[0], access.Requested) and events[0].denied else "done"


# -- the page

WORDS = {"done": ("✓", "生效 done"),
         "noted": ("○", "记入患者清单并当即拒绝 noted in the patient's list, and denied at once"),
         "refused": ("·", "执行后拒绝 executed and refused"), "never": (" ", "不成为交易 no transaction at all")}


def page(found: list[Cell]) -> str:
    own = [cell for cell in found if not cell.forged]
    forged = [cell for cell in found if cell.forged]
    counts, forged_counts = (Counter(cell.found for cell in part) for part in (own, forged))
    lines = [
        "<!-- Made by python -m authz.matrix in tests/. Change it there. -->",
        "# 谁能做什么 Who may do what", "",
        f"每种身份、每种消息、每种状态，共 {len(found):,} 格，"
        "逐格在真实内核上试过，并与另行写成的规则（`tests/authz/oracle.py`）核对；未列出的一律不许。", "",
        f"Everybody, every message, every state: {len(found):,} cells, each tried on the real kernel and compared with "
        "rules that were written apart (`tests/authz/oracle.py`). What is not named is not permitted.", "",
        f"{len(ACTORS)} 种身份 people · {len(MESSAGES)} 种消息 messages · {len(STATES)} 种状态 states · "
        "以自己名义和冒用他人名义 in her own name, and forged in another's", "",
        "| | 以自己名义 own name | 冒用 forged |", "|---|---|---|",
        *[f"| {mark} {words} | {counts[word]:,} | {forged_counts[word]:,} |".replace("|   ", "| ")
          for word, (mark, words) in WORDS.items()], "",
        "冒用而生效或被拒的，都是本人：以本人有效密钥签署本人名义。"
        "Forged ones that are executed are no forgeries: there the person is the one whose name it is, "
        "with a live key.", "",
        "## 状态 States", "",
        *[f"{number}. {state.zh} · {state.en}" for number, state in enumerate(STATES, 1)], "",
        "## 以自己名义 In her own name", "",
        "数字是生效的状态；✓ 为全部状态，括号内为「记入清单并当即拒绝」的状态。", "",
        "Numbers are the states in which it takes effect; ✓ is every state; in brackets, those in which it is noted "
        "and denied at once.", ""]
    by = {(cell.said.tag, cell.actor.en, cell.state.en): cell.found for cell in own}
    for said in MESSAGES:
        lines += [f"### {said.tag}", "", "| 身份 | who | 生效 takes effect in |", "|---|---|---|"]
        for actor in ACTORS:
            results = [by[said.tag, actor.en, state.en] for state in STATES]
            told = _states(results, "done")
            noted = _states(results, "noted")
            shown = told + (f" ({noted})" if noted else "")
            if shown:
                lines.append(f"| {actor.zh} | {actor.en} | {shown.strip()} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _states(results: list[Answer], word: Answer) -> str:
    found = [number for number, result in enumerate(results, 1) if result == word]
    return "✓" if len(found) == len(results) else ", ".join(map(str, found))


if __name__ == "__main__":
    from authz.test_doors import doors_page

    PAGE.write_text(page(list(cells())) + "\n" + doors_page(), "utf-8")
