"""Outcomes as sentences: what an event says, with names where they are known."""

from collections.abc import Callable
from enum import Enum
from typing import Any

from xinglin.base.check import InvariantBroken
from xinglin.base.units import MS_PER_HOUR, CodeNumber
from xinglin.cli import show
from xinglin.cli.show import Time
from xinglin.cli.words import Lang, words_of
from xinglin.client.wording import Said
from xinglin.kernel.module import Event
from xinglin.modules import access, consent, members, records, subjects

Named = Callable[[bytes], str]     # an id, with a name where one is known

SENTENCES: dict[type[Event], Said] = {
    members.Moved: Said("关于成员 {member} 的动议（{motion}）：{votes} 票，通过：{carried}",
                        "a motion about member {member} ({motion}): {votes} votes, carried: {carried}"),
    members.Enrolled: Said("成员 {member} 登记了账户 {account}（{role}，密钥保管：{custody}）",
                           "member {member} enrolled account {account} ({role}, key custody: {custody})"),
    members.KeyMoved: Said("{proposer} 关于成员 {member} 密钥的动议（{motion} {key}）：{votes} 票，通过：{carried}",
                           "{proposer}'s motion about a key of member {member} ({motion} {key}): {votes} votes, "
                           "carried: {carried}"),
    members.KeyRotated: Said("账户 {account} 以密钥 {new} 接替 {old}，旧密钥用至 {old_until}",
                             "account {account} signs with key {new} in the place of {old}, which ends {old_until}"),
    members.Ended: Said("成员 {member} 终止了账户 {account}", "member {member} ended account {account}"),
    consent.Granted: Said("主体 {subject} 授权给 {grantee}（授权 {grant_id}，有效期至 {until}）",
                          "subject {subject} permits {grantee}, consent {grant_id}, until {until}"),
    consent.Revoked: Said("主体 {subject} 撤回了给 {grantee} 的授权 {grant_id}",
                          "subject {subject} takes consent {grant_id} to {grantee} back"),
    consent.Expired: Said("主体 {subject} 给 {grantee} 的 {grants} 项授权已到期",
                          "{grants} consents of subject {subject} to {grantee} ran out"),
    subjects.Registered: Said("{holder} 登记了主体 {subject}", "{holder} registered subject {subject}"),
    subjects.Claimed: Said("主体 {subject}（持有方 {holder}）由持有方共同签名的一把密钥认领",
                           "subject {subject} at {holder} was claimed by a key that its holder co-signed"),
    subjects.KeyRotated: Said("主体 {subject} 以密钥 {new} 接替 {old}，旧密钥用至 {old_until}",
                              "subject {subject} has key {new} in the place of {old}, which ends {old_until}"),
    records.Committed: Said("{owner} 的第 {number} 批：{count} 份病历记录，根 {root}",
                            "batch {number} of {owner}: {count} records, root {root}"),
    access.Requested: Said("第 {number} 条：{grantee} 的 {reader} 请求查看主体 {subject} 的病历{because}",
                           "entry {number}: {reader} of {grantee} asks about subject {subject}{because}"),
    access.Answered: Said("第 {number} 条：对请求 {request} 的答复：{decision}", "entry {number}: request {request} is "
                          "answered: {decision}"),
    access.Breached: Said("第 {number} 条：{holder} 未按时答复请求 {request}",
                          "entry {number}: {holder} did not answer request {request} in time"),
    access.Anchored: Said("{holder} 锚定了读取日志：{count} 次读取", "{holder} anchored its read log: {count} reads"),
}


def fields(event: Event) -> dict[str, Any]:
    """As a program reads them."""
    return {name: getattr(event, name) for name in event.__struct_fields__}


def sentence(event: Event, lang: Lang, named: Named) -> str:
    said = SENTENCES.get(type(event))
    if said is None:
        raise InvariantBroken(f"no sentence for {type(event).__name__}")
    values = {name: _shown(value, lang, named) for name, value in fields(event).items()}
    until_h = getattr(event, "until_h", 0)
    because = _because(event.denied, lang) if isinstance(event, access.Requested) else ""
    return said.in_(lang).format(**values, until=Time(until_h * MS_PER_HOUR).iso(), because=because,
                                 old_until=Time(getattr(event, "old_until_ms", 0)).iso())


def _shown(value: Any, lang: Lang, named: Named) -> str:
    if isinstance(value, bytes):
        return named(value)
    if isinstance(value, bool):
        return {"zh": ("否", "是"), "en": ("no", "yes")}[lang][value]
    if isinstance(value, Enum):
        return show.NAMES_ZH.get(value.name, value.name) if lang == "zh" else value.name.lower()
    return str(value)


def _because(code: CodeNumber, lang: Lang) -> str:
    """Why the ledger itself said no, after a request; nothing of one that its holder answers."""
    if not code:
        return ""
    words = words_of(code, lang)
    said = f"XL-{code:04d}" if words is None else f"{words.shown} {words.what.rstrip('.。')}"
    return f"：已拒绝，{said}" if lang == "zh" else f": denied, {said}"


def whole(some: bytes) -> str:
    """Whoever opens an id draws it, and may draw one that begins as another does: a proof has it whole."""
    return some.hex()
