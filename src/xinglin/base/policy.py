"""Whom to believe about a log: its keys, its witnesses, and how many of them must have cosigned.

    log operator+2ba5eb36+ATlw...            a key that the log signs with; none: those of the manifest
    witness east east.example+4f2c...+BFd... [URL]
    witness west west.example+81aa...+BBu... [URL]
    group both 2 east west                   `all`, `any` or a number
    quorum both                              a witness, a group, or `none`

A checkpoint passes when a log key signed it and the quorum cosigned it.

Source  C2SP tlog-policy; here a log line's name is the key's, and the origin is known from the network
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from xinglin.base.check import BaseCode, Failed, NotUnderstood
from xinglin.base.limits import POLICY_BYTES_MAX, POLICY_LINES_MAX
from xinglin.base.note import KeyUse, NoteKey, read_key

NONE = "none"
_ALLOWED = re.compile(rb"[\t\n\x20-\x7e\x80-\xff]*")
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")


class Witness(NamedTuple):
    name: str                      # within the policy
    key: NoteKey
    url: str | None


class Group(NamedTuple):
    name: str
    least: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """`groups` stand in an order in which each names only what stands before it."""

    logs: tuple[NoteKey, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    groups: tuple[Group, ...] = ()
    quorum: str = NONE

    @property
    def witness_keys(self) -> tuple[NoteKey, ...]:
        return tuple([one.key for one in self.witnesses])

    def quorum_text(self) -> str:
        """How many of whom: `2/3 most`, the name of a witness, or `none`."""
        found = next((one for one in self.groups if one.name == self.quorum), None)
        return self.quorum if found is None else f"{found.least}/{len(found.members)} {found.name}"

    def is_met_by(self, keys: Iterable[bytes]) -> bool:
        """Whether cosignatures by these public keys are a quorum. Nothing at all is one where none is asked for."""
        there = frozenset(keys)
        holds = {one.name: one.key.key in there for one in self.witnesses} | {NONE: True}
        for group in self.groups:
            holds[group.name] = sum([holds[member] for member in group.members]) >= group.least
        return holds[self.quorum]


class _Reading:
    """The lines so far."""

    def __init__(self) -> None:
        self.logs: list[NoteKey] = []
        self.witnesses: list[Witness] = []
        self.groups: list[Group] = []
        self.grouped: set[str] = set()
        self.quorum: str | None = None

    def names(self) -> set[str]:
        return {one.name for one in self.witnesses} | {one.name for one in self.groups}

    def line(self, words: list[str]) -> None:
        match words:
            case ["log", key] | ["log", key, _]:
                self.logs.append(self._key(key, KeyUse.LOG, self.logs))
            case ["witness", name, key]:
                self._witness(name, key, None)
            case ["witness", name, key, url]:
                self._witness(name, key, url)
            case ["group", name, least, *members] if members:
                self._group(name, least, tuple(members))
            case ["quorum", name] if self.quorum is None and name in self.names() | {NONE}:
                self.quorum = name
            case _:
                raise _wrong(" ".join(words[:2]))

    def _key(self, text: str, use: KeyUse, others: list[NoteKey]) -> NoteKey:
        try:
            key = read_key(text)
        except Failed as error:
            raise _wrong(error.detail) from None
        if key.use is not use or any(key.key == one.key or (key.name, key.id) == (one.name, one.id) for one in others):
            raise _wrong(f"{key.name}: a key of another use, or twice")
        return key

    def _new_name(self, name: str) -> str:
        if name == NONE or name in self.names():
            raise _wrong(f"{name}: a name twice")
        return name

    def _witness(self, name: str, key: str, url: str | None) -> None:
        known = [one.key for one in self.witnesses]
        self.witnesses.append(Witness(self._new_name(name), self._key(key, KeyUse.WITNESS, known), url))

    def _group(self, name: str, least: str, members: tuple[str, ...]) -> None:
        known = self.names() - self.grouped
        if len(set(members)) != len(members) or not known.issuperset(members):
            raise _wrong(f"{name}: a member that is not known before it, or is in a group already")
        if least not in ("all", "any") and not _NUMBER.fullmatch(least):
            raise _wrong(f"{name}: {least}")
        count = {"all": len(members), "any": 1}.get(least) or int(least)
        if count > len(members):
            raise _wrong(f"{name}: {count} of {len(members)}")
        self.groups.append(Group(self._new_name(name), count, members))
        self.grouped.update(members)


def read_policy(data: bytes) -> Policy:
    """Errors  NotUnderstood POLICY_NOT_UNDERSTOOD, with the line that is wrong."""
    if len(data) > POLICY_BYTES_MAX or not _ALLOWED.fullmatch(data):
        raise _wrong("too long, or a control character")
    reading = _Reading()
    lines = data.split(b"\n")
    if lines.pop() or len(lines) > POLICY_LINES_MAX:
        raise _wrong("the last line has no end, or there are too many")
    for line in lines:
        # Names are compared as bytes; so each byte is a character, and nothing here knows Unicode.
        words = [word for word in re.split("[ \t]+", line.decode("latin-1")) if word]
        if words and not words[0].startswith("#"):
            reading.line(words)
    if reading.quorum is None:
        raise _wrong("no quorum line")
    return Policy(tuple(reading.logs), tuple(reading.witnesses), tuple(reading.groups), reading.quorum)


def _wrong(detail: str) -> NotUnderstood:
    return NotUnderstood(BaseCode.POLICY_NOT_UNDERSTOOD, detail)


__all__ = ["NONE", "Group", "Policy", "Witness", "read_policy"]
