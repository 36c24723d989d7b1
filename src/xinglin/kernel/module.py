"""The form of a domain module: what it stores, understands, refuses and tells.

A module is data: `Module(name, codes, tables, rules, signed_by, ...)`. `ModuleSet` puts an ordered tuple
of them together, checks every declaration once, and is what the executor reads. Nothing is discovered.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, NoReturn, TypeVar, Union

from msgspec import Meta, inspect as types

from xinglin.base import codec
from xinglin.base.check import Code, Refused, invariant
from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite, tagged
from xinglin.base.limits import MESSAGES_PER_TX_MAX, TAG_CHARS_MAX
from xinglin.kernel.codes import KernelCode

if TYPE_CHECKING:
    from xinglin.kernel.state import Context


class Message(Struct):
    """What a transaction asks for. Subclasses carry the tag "module.verb/version"."""


class Event(Struct):
    """What came of a message, in the past participle. `about` names the id fields it is found by."""

    about: ClassVar[tuple[str, ...]] = ()


class Row(Struct):
    """What a table stores under one key."""


class Inner(Struct):
    """A value inside a message, event or row."""


R = TypeVar("R", bound=Row)


class Table(Generic[R]):
    """Rows of one type under keys of fixed width; byte order of keys is key order.

    empty   what `get` returns where there is no row; None when not given
    due     row -> milliseconds at which the module's timer for this table is to run, or None
    """

    def __init__(self, name: str, key: tuple[Any, ...], value: type[R], empty: R | None = None,
                 due: Callable[[R], int | None] | None = None):
        self.name = name
        self.value = value
        self.empty = empty
        self.due = due
        self.decode_row: Callable[[bytes], R] = codec.decoder(value).decode
        self._key_parts = tuple(_width_of(part) for part in key)
        self.width = sum(width for _, width in self._key_parts)
        self._all_bytes = not any(is_int for is_int, _ in self._key_parts)
        raw = name.encode()
        self.store_prefix = b"s" + bytes([len(raw)]) + raw
        self.path_prefix = b"\x02" + bytes([len(raw)]) + raw + self.width.to_bytes(2, "big")

    def encode_key(self, parts: tuple[Any, ...]) -> bytes:
        if self._all_bytes:
            key = b"".join(parts)
        else:
            key = b"".join(part.to_bytes(width, "big") if is_int else part
                           for part, (is_int, width) in zip(parts, self._key_parts, strict=True))
        invariant(len(key) == self.width, f"a key of {self.name} is {self.width} bytes")
        return key

    def decode_key(self, key: bytes) -> tuple[Any, ...]:
        parts: list[Any] = []
        at = 0
        for is_int, width in self._key_parts:
            piece = key[at:at + width]
            parts.append(int.from_bytes(piece, "big") if is_int else piece)
            at += width
        return tuple(parts)


def _width_of(part: Any) -> tuple[bool, int]:
    """(is an integer, bytes) of one part of a key."""
    match types.type_info(part):
        case types.BytesType(min_length=low, max_length=high) if low == high and high is not None:
            return False, high
        case types.IntType(ge=0, le=high) if high is not None:
            return True, 1 if high < 2**8 else 4 if high < 2**32 else 8
        case types.EnumType():
            return True, 1
    raise TypeError(f"{part!r} has no fixed width")


def refuse(code: Code, **facts: int | bytes | str) -> NoReturn:
    raise Refused(code, **facts)


Rule = Callable[["Context", Any], Event]
TimerRule = Callable[["Context", tuple[Any, ...], Any], Event]


@dataclass(frozen=True, kw_only=True)
class Introduces:
    """The message fields that bring a new key, which may then sign the transaction that brings it."""

    account: str
    suite: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Module:
    """A domain. `signed_by` has no default: it names, per message, the fields whose accounts must sign.

    found        (ctx, manifest) -> None, writes the module's rows of height 0
    unsponsored  messages that need no payer; counted per first signer and day
    long_window  messages that may be signed up to 24 h before they expire
    """

    name: str
    codes: type[Code]
    tables: tuple[Table[Any], ...]
    rules: Mapping[type[Message], Rule]
    signed_by: Mapping[type[Message], str | tuple[str, ...]]
    events: tuple[type[Event], ...]
    introduces: Mapping[type[Message], Introduces] = field(default_factory=dict)
    unsponsored: tuple[type[Message], ...] = ()
    long_window: tuple[type[Message], ...] = ()
    timers: Mapping[Table[Any], TimerRule] = field(default_factory=dict)
    invariants: tuple[Callable[[Any], bool], ...] = ()
    found: Callable[["Context", Any], None] | None = None


@dataclass(frozen=True, slots=True)
class MessageSpec:
    """All the executor needs to know of one message type."""

    tag: str
    module: str
    rule: Rule
    signed_by: tuple[str, ...]
    introduces: Introduces | None
    unsponsored: bool
    long_window: bool


class ModuleSet:
    """The modules of one network, in order, checked. Two networks may run different sets."""

    def __init__(self, modules: tuple[Module, ...], kernel_tables: tuple[Table[Any], ...],
                 kernel_events: tuple[type[Event], ...]):
        self.modules = modules
        self.messages: dict[type[Message], MessageSpec] = {}
        self.tables: dict[str, Table[Any]] = {}
        self.owners: dict[str, str] = {}
        self.timers: dict[str, tuple[str, TimerRule]] = {}
        self.codes: dict[int, Code] = {code.value: code for code in KernelCode}
        events: list[type[Event]] = list(kernel_events)
        for table in kernel_tables:
            self._add_table("kernel", table)
        for module in modules:
            self._add(module)
            events.extend(module.events)
        self.events = tuple(events)
        self.event_types = {codec.tag_of(event): event for event in events}
        for event in events:
            codec.check_type(event)
            _check_about(event)
        self.message_type: Any = Annotated[
            tuple[Union[tuple(self.messages)], ...], Meta(min_length=1, max_length=MESSAGES_PER_TX_MAX)]
        self.events_type: Any = Annotated[
            tuple[Union[self.events], ...], Meta(min_length=1, max_length=MESSAGES_PER_TX_MAX + 1)]

    def _add(self, module: Module) -> None:
        names = [message for message in module.rules]
        if set(module.signed_by) != set(names):
            raise TypeError(f"{module.name}: signed_by must name exactly the messages that have rules")
        for message, rule in module.rules.items():
            tag = codec.tag_of(message)
            if not tag.startswith(module.name + ".") or len(tag) > TAG_CHARS_MAX:
                raise TypeError(f"{tag} is not a message of {module.name}")
            codec.check_type(message)
            signed_by = module.signed_by[message]
            fields = (signed_by,) if isinstance(signed_by, str) else signed_by
            introduces = module.introduces.get(message)
            known = set(message.__struct_fields__)
            wanted = {*fields, *((introduces.account, introduces.suite, introduces.key) if introduces else ())}
            if not fields or wanted - known:
                raise TypeError(f"{tag}: signed_by and introduces must name fields of the message")
            self.messages[message] = MessageSpec(
                tag=tag, module=module.name, rule=rule, signed_by=fields, introduces=introduces,
                unsponsored=message in module.unsponsored, long_window=message in module.long_window)
        for table in module.tables:
            self._add_table(module.name, table)
        for table, timer in module.timers.items():
            if table not in module.tables or table.due is None:
                raise TypeError(f"{table.name}: a timer needs the module's own table and its due")
            self.timers[table.name] = (module.name, timer)
        for code in module.codes:
            if code.value in self.codes:
                raise TypeError(f"{code.shown} is used twice")
            self.codes[code.value] = code

    def _add_table(self, owner: str, table: Table[Any]) -> None:
        if table.name in self.tables or not table.name.startswith(owner + "/"):
            raise TypeError(f"{table.name} is taken or not named after {owner}")
        codec.check_type(table.value)
        self.tables[table.name] = table
        self.owners[table.name] = owner

    def hash(self, hashes: HashSuite) -> bytes:
        """H over every tag, table and code in order: what this set of modules can say and store."""
        lines: list[bytes] = []
        for module in self.modules:
            lines.append(module.name.encode())
            lines.extend(codec.tag_of(message).encode() for message in module.rules)
            lines.extend(codec.tag_of(event).encode() for event in module.events)
            lines.extend(table.name.encode() for table in module.tables)
            lines.extend(f"{code.value}={code.name}".encode() for code in module.codes)
        return tagged(hashes, "xinglin/modules/1", *lines)


def _check_about(event: type[Event]) -> None:
    unknown = set(event.about) - set(event.__struct_fields__)
    if unknown:
        raise TypeError(f"{event.__name__}.about names no field: {sorted(unknown)}")


__all__ = ["Code", "Event", "Inner", "Introduces", "Message", "Module", "ModuleSet", "Row", "Table",
           "refuse"]
