"""Names that a command takes from a list: purposes, classes of data, labels, roles, kinds."""

import re
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import TypeVar

from xinglin.base.crypto import HASH_SUITES
from xinglin.base.ids import SubjectId
from xinglin.base.limits import NAME_CHARS_MAX
from xinglin.cli import names
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.names import ID_DIGITS
from xinglin.client.wording import CLASSES, LABELS, PURPOSES, labels_named
from xinglin.holder import shelf
from xinglin.holder.fhir.definitions import resource_types
from xinglin.holder.fhir.labels import SENSITIVITY
from xinglin.holder.holder import Holder
from xinglin.kernel.genesis import MemberKind
from xinglin.modules.decision import ScopeItem
from xinglin.modules.members import Motion, Role

E = TypeVar("E", bound=IntEnum)


def purpose(text: str) -> str:
    code = text.strip().upper()
    if code not in PURPOSES:
        raise _unknown(text, PURPOSES)
    return code


def data_class(text: str) -> str:
    kind = text.partition("/")[0]
    if kind not in CLASSES and kind not in resource_types():
        raise _unknown(text, (*CLASSES, "…"))
    return text


def scope(texts: Sequence[str]) -> tuple[ScopeItem, ...]:
    """"laboratory", "Observation", "Observation/vital-signs", each narrowed to one record by "=ID", an id or its
    beginning: see `whole_records`.

    Errors  Usage USAGE, CHOICE_NOT_KNOWN, NOT_AN_ID.
    """
    return tuple(_scope_item(text) for text in texts)


def _scope_item(text: str) -> ScopeItem:
    name, narrowed, one = text.strip().partition("=")
    if narrowed and not (name and one):
        raise Usage(CliCode.USAGE, f"--scope {text}: TYPE=ID")
    data_class(name)
    one = one.lower().removesuffix("..")
    if narrowed and not re.fullmatch(f"[0-9a-f]{{1,{ID_DIGITS}}}", one):
        raise Usage(CliCode.NOT_AN_ID, text)
    return ScopeItem(data_class=name, id=one)


def whole_records(holder: Holder | None, subject: SubjectId, scope: Sequence[ScopeItem]) -> tuple[ScopeItem, ...]:
    """The scope with each beginning of a record's id made whole, from the records of that class which `holder` has of
    the subject: signed in short, it would permit nothing.

    Errors  as `names.the_one`, with RECORD_NOT_FOUND; Usage NOT_AN_ID where `holder` does not hold the subject.
    """
    return tuple(one if len(one.id) in (0, ID_DIGITS) else
                 ScopeItem(data_class=one.data_class, id=_whole_record(holder, subject, one)) for one in scope)


def _whole_record(holder: Holder | None, subject: SubjectId, item: ScopeItem) -> str:
    if holder is None or not holder.holds(subject):
        raise Usage(CliCode.NOT_AN_ID, f"{item.data_class}={item.id}")
    of_class = [bytes.fromhex(one.shelved.id) for one in shelf.newest(shelf.batches(holder, subject))
                if item.data_class in one.shelved.facts.classes]
    return names.the_one(item.id, of_class, CliCode.RECORD_NOT_FOUND).hex()


def labels(texts: Sequence[str]) -> tuple[str, ...]:
    """Shorthands ("PSY") and whole labels ("system|code"), each once."""
    found: dict[str, None] = {}
    for text in texts:
        code = text.strip().upper()
        if "|" in text:
            found[text.strip()] = None
        elif code in SENSITIVITY or code == "R":
            found |= dict.fromkeys(labels_named(code))
        else:
            raise _unknown(text, LABELS)
    return tuple(found)


def role(text: str) -> Role:
    return _of(Role, text, (Role.SERVICE,))


def kind(text: str) -> MemberKind:
    return _of(MemberKind, text, ())


def motion(text: str) -> Motion:
    return _of(Motion, text, ())


def network_name(text: str) -> str:
    """Errors  Usage USAGE when the manifest would not take it."""
    if len(text) > NAME_CHARS_MAX or not re.fullmatch(r"[a-z0-9][a-z0-9-]*", text):
        raise Usage(CliCode.USAGE, f"{text}: a-z 0-9 -, <= {NAME_CHARS_MAX}")
    return text


def hash_suite(text: str) -> str:
    if text not in HASH_SUITES:
        raise _unknown(text, HASH_SUITES)
    return text


def _of(choices: type[E], text: str, but: tuple[E, ...]) -> E:
    wanted = text.strip().upper().replace("-", "_")
    for one in choices:
        if one.name == wanted and one not in but:
            return one
    raise _unknown(text, (one.name.lower() for one in choices if one not in but))


def _unknown(text: str, known: Iterable[str]) -> Usage:
    return Usage(CliCode.CHOICE_NOT_KNOWN, f"{text}: {', '.join(known)}")
