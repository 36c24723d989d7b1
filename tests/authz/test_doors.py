"""AUTHZ at a holder's doors: everybody x every door x every state, on a real holder, against a table written apart.

The answer to a stranger and to whoever is denied is the same word; what is refused leaves no read and no file behind.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from holder import rooms
from holder.rooms import B_SERVICE, DOCTOR, ED25519, LABORATORY, NURSE, SERVICE, A, B, C, Room
from xinglin.base import codec
from xinglin.base.check import Failed
from xinglin.client.door import KeptConsent
from xinglin.client.signing import sign
from xinglin.holder import answer, claim_codes, openings, read_log, release
from xinglin.holder.deliveries import Delivered, deliver
from xinglin.kernel.accounts import Custody
from xinglin.modules import members, subjects
from xinglin.modules.decision import Opened, RequestBody
from xinglin.modules.members import Motion, Role
from xinglin.vault.wrap import PUBLIC_BYTES

OWN_DOCTOR, ENDED, STRANGER = (bytes([letter]) * 16 for letter in b"oex")


class Who(NamedTuple):
    """An account, as a name that the room can tell, and the key by which it signs."""

    zh: str
    en: str
    account: str
    key: str


WHO: tuple[Who, ...] = (
    Who("患者 mei", "patient mei", "mei", "mei"),
    Who("mei 已停用的密钥", "mei's ended key", "mei", "mei.old"),
    Who("另一患者 li", "patient li", "li", "li"),
    Who("B 的医生，提出请求者", "doctor of B, who asked", "doctor", "doctor"),
    Who("B 的护士", "nurse of B", "nurse", "nurse"),
    Who("B 已离职的人员", "staff of B, ended", "ended", "ended"),
    Who("B 的服务", "service of B", "B.service", "B.service"),
    Who("成员 B", "member B", "B", "B"),
    Who("A 自己的医生", "doctor of A itself", "own", "own"),
    Who("A 的服务", "service of A", "A.service", "A.service"),
    Who("成员 A", "member A", "A", "A"),
    Who("冒充医生的陌生人", "stranger in the doctor's name", "doctor", "stranger"),
    Who("冒充 mei 的陌生人", "stranger in mei's name", "mei", "stranger"),
    Who("没有账户的陌生人", "stranger without an account", "stranger", "stranger"),
)

# What each state is reached by, after mei granted and the doctor was permitted, unless it says otherwise.
STATES: dict[str, tuple[str, Callable[[Room], None]]] = {
    "permitted": ("已允许", lambda room: None),
    "taken back": ("授权已撤回", lambda room: room.revoke(room.subject(), room.given)),  # type: ignore[attr-defined]
    "permit over": ("许可已过期", lambda room: room.node.advance(16 * 60_000)),
    "reader ended": ("请求人已离职", lambda room: room.order(members.EndStaff(member=B, account=DOCTOR)) and None),
    "B suspended": ("B 被暂停", lambda room: suspend(room, B)),
    "A suspended": ("A 被暂停", lambda room: suspend(room, A)),
    "denied": ("已拒绝", lambda room: None),
    "nothing asked": ("未提出请求", lambda room: None),
}


def suspend(room: Room, member: bytes) -> None:
    room.order(members.Propose(proposer=A, member=member, motion=Motion.SUSPEND))
    for voter in (B, C):
        room.order(members.Vote(voter=voter, member=member, motion=Motion.SUSPEND))


def account(room: Room, name: str) -> bytes:
    ids = {"doctor": DOCTOR, "nurse": NURSE, "ended": ENDED, "B.service": B_SERVICE, "B": B, "own": OWN_DOCTOR,
           "A.service": SERVICE, "A": A, "stranger": STRANGER}
    return ids[name] if name in ids else room.subject(name)


def key(room: Room, name: str) -> Any:
    return room.old if name == "mei.old" else room.keys[account(room, name)]  # type: ignore[attr-defined]


def reached(folder: Path, state: str) -> Room:
    room = Room.furnished(folder, *rooms.chart(2, "mei"), *rooms.chart(2, "li"))
    for staff, member in ((OWN_DOCTOR, A), (ENDED, B)):
        room.keys[staff] = rooms.seeded(60 + staff[0])
        room.order(members.EnrolStaff(member=member, account=staff, role=Role.PHYSICIAN, custody=Custody.OWN,
                                      suite=ED25519, key=room.keys[staff].public, card=bytes(32)))
    room.order(members.EndStaff(member=B, account=ENDED))
    room.keys[STRANGER] = rooms.seeded(200)
    mei, new = room.subject(), rooms.seeded(201)
    room.old = room.keys[mei]  # type: ignore[attr-defined]
    rotation = subjects.RotateKey(subject=mei, suite=ED25519, key=new.public, old_until_ms=0)
    room.node.order(sign(room.node.network, room.node.hashes, room.node.modules, [rotation], room.keys,
                         room.node.now_ms() + 60_000, apart=[new])[0])
    room.keys[mei] = new
    if state != "nothing asked":
        room.given = room.grant(mei, purposes=("HRESCH",) if state == "denied" else ("TREAT",))  # type: ignore[attr-defined]
        assert room.ask(mei).number == 1
    STATES[state][1](room)
    return room


# -- the doors: each tries, and raises Failed when it is not opened

def hand_over(room: Room, who: Who) -> None:
    body = codec.encode(RequestBody(reader=account(room, who.account), purpose="TREAT", scope=LABORATORY, reason="x"))
    delivered = Delivered(subject=room.subject(), request=Opened(nonce=bytes(32), body=body),
                          recipient=bytes(PUBLIC_BYTES))
    deliver(room.holder, delivered, key(room, who.key).sign(delivered.message(room.node.network)))


def page(room: Room, who: Who) -> None:
    said = release.fetch_message(room.node.network, room.subject(), 1, 0)
    release.page(room.holder, room.subject(), 1, 0, key(room, who.key).sign(said))


def opening(room: Room, who: Who) -> None:
    said = release.fetch_message(room.node.network, room.subject(), 1, None)
    release.opening(room.holder, room.subject(), 1, key(room, who.key).sign(said))


def terms(room: Room, who: Who) -> None:
    opened = Opened(nonce=bytes(32), body=codec.encode(room.consent_body()))
    kept = KeptConsent(network=room.node.network, subject=room.subject(), grant_id=b"g" * 16, opened=opened)
    answer.keep_consent(room.holder, kept.signed(key(room, who.key)))


def history(room: Room, who: Who) -> None:
    drawn = openings.challenge(room.holder, room.subject())
    openings.history(room.holder, drawn.signed(key(room, who.key), rooms.RECIPIENT.public))


def claim_without_code(room: Room, who: Who) -> None:
    """The subject is claimed already; and nobody was handed a code."""
    claim_codes.co_sign(room.holder, room.claim_request(room.subject(), "AAAA-AAAA-AAAA", key=key(room, who.key)))


DOORS: dict[str, tuple[str, Callable[[Room, Who], None]]] = {
    "hand over a request": ("递交请求", hand_over),
    "fetch a page": ("取一页数据", page),
    "fetch the opening": ("取答复说明", opening),
    "hand over the terms of a consent": ("递交授权条款", terms),
    "read the history of mei": ("读 mei 的访问清单", history),
    "claim without a code": ("无认领码认领", claim_without_code),
}

# -- the second oracle: who is let in where, in which states. Nobody else, nowhere else.

EVERY = frozenset(STATES)
LET_IN: dict[tuple[str, str], frozenset[str]] = {
    ("hand over a request", "doctor of B, who asked"): EVERY - {"reader ended", "B suspended"},
    ("hand over a request", "nurse of B"): EVERY - {"B suspended"},
    ("hand over a request", "doctor of A itself"): EVERY - {"A suspended"},
    ("fetch a page", "doctor of B, who asked"): frozenset({"permitted"}),
    ("fetch the opening", "doctor of B, who asked"): frozenset({"permitted", "denied"}),
    ("hand over the terms of a consent", "patient mei"): EVERY,
    ("read the history of mei", "patient mei"): EVERY,
}

CELLS = len(DOORS) * len(WHO) * len(STATES)


@pytest.mark.parametrize("state", STATES)
def test_a_holders_doors_open_for_those_in_the_table_and_for_nobody_else(tmp_path: Path, state: str) -> None:
    room = reached(tmp_path, state)
    try:
        wrong = []
        for door, (_, tries) in DOORS.items():
            for who in WHO:
                before = (read_log.running(room.holder).count, room.node.ask(lambda ledger: ledger.height))
                try:
                    tries(room, who)
                    found = True
                except Failed as refused:
                    found = False
                    assert refused.detail == "", "why is nobody's business"
                    assert (read_log.running(room.holder).count, room.node.ask(lambda ledger: ledger.height)) == before
                if found != (state in LET_IN.get((door, who.en), frozenset())):
                    wrong.append((door, who.en, found))
        assert wrong == []
    finally:
        room.close()


def test_the_table_is_about_doors_people_and_states_that_there_are() -> None:
    assert {door for door, _ in LET_IN} | {"claim without a code"} == set(DOORS)
    assert {who for _, who in LET_IN} <= {who.en for who in WHO}
    assert all(states <= EVERY for states in LET_IN.values())


def doors_page() -> str:
    lines = ["## 持有方的门 A holder's doors", "",
             f"{len(WHO)} 种身份 people · {len(DOORS)} 道门 doors · {len(STATES)} 种状态 states · "
             f"共 {CELLS} 格 cells。未列出的一律不开。What is not named stays shut.", "",
             "| 门 | door | 谁 | who | 状态 in the states |", "|---|---|---|---|---|"]
    for (door, name), states in LET_IN.items():
        who_zh = next(who.zh for who in WHO if who.en == name)
        shown = "全部 all" if states == EVERY else "; ".join(
            f"{zh} {state}" for state, (zh, _) in STATES.items() if state in states)
        lines.append(f"| {DOORS[door][0]} | {door} | {who_zh} | {name} | {shown} |")
    return "\n".join(lines) + "\n"
