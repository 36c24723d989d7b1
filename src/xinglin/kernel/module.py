"""The form of a domain module: what it stores, understands, refuses and tells.

A module is data: `Module(name, codes, tables, rules, signed_by, ...)`. `ModuleSet` puts an ordered tuple
of them together, checks every declaration once, and is what the executor reads. Nothing is discovered.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, NoReturn, TypeVar, Union

from msgspec import Meta
from msgspec import inspect as types

from xinglin.base import codec
from xinglin.base.check import Code, InvariantBroken, Refused
from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite, tagged
from xinglin.base.ids import Id
from xinglin.base.limits import EVENT_BYTES_MAX, MESSAGES_PER_TX_MAX, ROW_BYTES_MAX, TAG_CHARS_MAX
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

    def layout(self) -> str:
        """Name, key and row, as the hash of a module set takes them in."""
        key = " ".join([f"u{8 * width}" if is_int else f"bytes{width}" for is_int, width in self._key_parts])
        timed = "" if self.due is None else " timed"
        return f"{self.name} [{key}]{timed} {codec.form(self.value).layout}"

    def encode_key(self, parts: tuple[Any, ...]) -> bytes:
        if self._all_bytes:
            key = b"".join(parts)
        else:
            key = b"".join(part.to_bytes(width, "big") if is_int else part
                           for part, (is_int, width) in zip(parts, self._key_parts, strict=True))
        if len(key) != self.width:      # not `invariant`, whose words would be made each time
            raise InvariantBroken(f"a key of {self.name} is {self.width} bytes")
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
    """The message fields that bring a new key, which signs the transaction that brings it.

    That signature is the proof of possession, so `account` stands in the message's `signed_by`: the key is the first
    of an account that has none. With `apart` the key signs in a place of its own, behind all others, whatever keys
    the account has; whoever may bring it there is in `signed_by` like anybody.
    """

    account: str
    suite: str
    key: str
    apart: bool = False


@dataclass(frozen=True, kw_only=True)
class Module:
    """A domain. `signed_by` has no default: it names, per message, the fields whose accounts must sign.

    version      goes up when rules do something else with the same forms: a hash cannot see into a function
    units        what a message costs its payer, where that is more than 1
    invariants   what holds of every row that is written: else the node stops before it keeps the block
    found        (ctx, manifest) -> None, writes the module's rows of height 0
    unsponsored  messages that need no payer; each counts for the subject that signs it, by day
    long_window  messages that may be signed up to 24 h before they expire
    """

    name: str
    version: int
    codes: type[Code]
    tables: tuple[Table[Any], ...]
    rules: Mapping[type[Message], Rule]
    signed_by: Mapping[type[Message], str | tuple[str, ...]]
    events: tuple[type[Event], ...]
    introduces: Mapping[type[Message], Introduces] = field(default_factory=dict)
    unsponsored: tuple[type[Message], ...] = ()
    long_window: tuple[type[Message], ...] = ()
    units: Mapping[type[Message], int] = field(default_factory=dict)
    timers: Mapping[Table[Any], TimerRule] = field(default_factory=dict)
    invariants: Mapping[Table[Any], tuple[Callable[[Any], bool], ...]] = field(default_factory=dict)
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
    units: int


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What every set of modules stands on, as far as its hash has to name it.

    version  as a module's
    values   what is signed or hashed besides messages, events and rows
    limits   by name, those that the rules of any module use
    """

    version: int
    tables: tuple[Table[Any], ...]
    events: tuple[type[Event], ...]
    values: Mapping[str, Any]
    limits: Mapping[str, int]


class ModuleSet:
    """The modules of one network, in order, checked. Two networks may run different sets."""

    def __init__(self, modules: tuple[Module, ...], kernel: Kernel):
        self.modules = modules
        self.kernel = kernel
        self.messages: dict[type[Message], MessageSpec] = {}
        self.tables: dict[str, Table[Any]] = {}
        self.owners: dict[str, str] = {}
        self.timers: dict[str, tuple[str, TimerRule]] = {}
        self.invariants: dict[str, tuple[Callable[[Any], bool], ...]] = {}
        self.codes: dict[int, Code] = {code.value: code for code in KernelCode}
        self.event_types: dict[str, type[Event]] = {}
        self.told_by: dict[type[Event], str] = {}
        for table in kernel.tables:
            self._add_table("kernel", table)
        first = max([self._add_event("kernel", event) for event in kernel.events])
        others = [0]
        for module in modules:
            self._add(module)
            others.extend([self._add_event(module.name, event) for event in module.events])
        if codec.HEAD_BYTES + first + MESSAGES_PER_TX_MAX * max(others) > EVENT_BYTES_MAX:
            raise TypeError(f"the events of a full transaction may take more than {EVENT_BYTES_MAX} bytes")
        self.events = tuple(self.event_types.values())
        self.message_type: Any = Annotated[
            tuple[Union[tuple(self.messages)], ...],  # type: ignore[misc]  # noqa: UP007
            Meta(min_length=1, max_length=MESSAGES_PER_TX_MAX)]
        self.events_type: Any = Annotated[
            tuple[Union[self.events], ...],  # type: ignore[name-defined]  # noqa: UP007
            Meta(min_length=1, max_length=MESSAGES_PER_TX_MAX + 1)]
        self.decode_events: Callable[[bytes], tuple[Event, ...]] = codec.decoder(self.events_type).decode

    def _add(self, module: Module) -> None:
        if set(module.signed_by) != set(module.rules):
            raise TypeError(f"{module.name}: signed_by must name exactly the messages that have rules")
        if {*module.introduces, *module.unsponsored, *module.long_window, *module.units} - set(module.rules):
            raise TypeError(f"{module.name}: introduces, unsponsored, long_window and units name messages with rules")
        for message, rule in module.rules.items():
            spec = _spec_of(module, message, rule)
            if spec.tag in [known.tag for known in self.messages.values()]:
                raise TypeError(f"{spec.tag} is the tag of two messages")
            self.messages[message] = spec
        for table in module.tables:
            self._add_table(module.name, table)
            if (table.due is None) is (table in module.timers):
                raise TypeError(f"{table.name}: a timer and its due go together")
        for table, timer in module.timers.items():
            if table not in module.tables:
                raise TypeError(f"{table.name}: a timer is of the module's own table")
            self.timers[table.name] = (module.name, timer)
        for table, held in module.invariants.items():
            if table not in module.tables:
                raise TypeError(f"{table.name}: an invariant is of the module's own table")
            self.invariants[table.name] = held
        for name, code in module.codes.__members__.items():
            if code.value in self.codes:
                raise TypeError(f"{code.shown} {name} is used twice")
            self.codes[code.value] = code

    def _add_event(self, owner: str, event: type[Event]) -> int:
        """Returns the most bytes it can take."""
        tag = codec.tag_of(event)
        if not issubclass(event, Event) or not tag.startswith(owner + ".") or tag in self.event_types:
            raise TypeError(f"{tag} is taken or not an event of {owner}")
        longest = codec.form(event).longest
        if any([not _is_id(event, name) for name in event.about]):
            raise TypeError(f"{tag}: about must name fields that hold ids")
        self.event_types[tag] = event
        self.told_by[event] = owner
        return longest

    def _add_table(self, owner: str, table: Table[Any]) -> None:
        if table.name in self.tables or not table.name.startswith(owner + "/"):
            raise TypeError(f"{table.name} is taken or not named after {owner}")
        if not issubclass(table.value, Row) or codec.form(table.value).longest > ROW_BYTES_MAX:
            raise TypeError(f"{table.name} holds Rows, none of which may take more than {ROW_BYTES_MAX} bytes")
        self.tables[table.name] = table
        self.owners[table.name] = owner

    def hash(self, hashes: HashSuite) -> bytes:
        """H over `lines`: nodes that have it in common read the same bytes alike and store the same rows."""
        return tagged(hashes, "xinglin/modules/1", *[line.encode() for line in self.lines()])

    def lines(self) -> list[str]:
        """All that consensus depends on, a fact a line, but for what a function does: that has a version."""
        kernel = self.kernel
        lines = [f"kernel {kernel.version}"]
        lines += [f"limit {name}={value}" for name, value in sorted(kernel.limits.items())]
        lines += [f"value {name} {codec.form(value).layout}" for name, value in kernel.values.items()]
        lines += _declared(KernelCode, kernel.events, kernel.tables)
        for module in self.modules:
            lines.append(f"module {module.name} {module.version}")
            lines += [_line_of(message, self.messages[message]) for message in module.rules]
            lines += _declared(module.codes, module.events, module.tables)
        return lines


def _declared(codes: type[Code], events: tuple[type[Event], ...], tables: tuple[Table[Any], ...]) -> list[str]:
    return [*[f"code {code.value}={code.name}" for code in codes],
            *[f"event {codec.form(event).layout}" for event in events],
            *[f"table {table.layout()}" for table in tables]]


def _line_of(message: type[Message], spec: MessageSpec) -> str:
    brings = spec.introduces
    return " ".join([
        f"message {codec.form(message).layout}", f"signed_by={','.join(spec.signed_by)}", f"units={spec.units}",
        *([f"introduces={brings.account},{brings.suite},{brings.key}{',apart' * brings.apart}"] if brings else []),
        *(["unsponsored"] if spec.unsponsored else []), *(["long_window"] if spec.long_window else [])])


def _spec_of(module: Module, message: type[Message], rule: Rule) -> MessageSpec:
    tag = codec.tag_of(message)
    if not issubclass(message, Message) or not tag.startswith(module.name + ".") or len(tag) > TAG_CHARS_MAX:
        raise TypeError(f"{tag} is not a message of {module.name}")
    codec.form(message)
    signed_by = module.signed_by[message]
    fields = (signed_by,) if isinstance(signed_by, str) else signed_by
    if not fields or any([not _is_id(message, name) for name in fields]):
        raise TypeError(f"{tag}: signed_by must name fields that hold ids")
    introduces = module.introduces.get(message)
    if introduces and not (_is_id(message, introduces.account) and (introduces.apart or introduces.account in fields)
                           and {introduces.suite, introduces.key} <= set(message.__struct_fields__)):
        raise TypeError(f"{tag}: introduces must name its fields, and an account that signs")
    return MessageSpec(tag=tag, module=module.name, rule=rule, signed_by=fields, introduces=introduces,
                       unsponsored=message in module.unsponsored, long_window=message in module.long_window,
                       units=module.units.get(message, 1))


def _is_id(struct: type[Struct], name: str) -> bool:
    """Whether `name` is a field of 16 bytes."""
    match types.type_info(struct):
        case types.StructType(fields=fields):
            return any([field.name == name and field.type == types.type_info(Id) for field in fields])
    return False


__all__ = ["Code", "Event", "Inner", "Introduces", "Kernel", "Message", "Module", "ModuleSet", "Row", "Table",
           "refuse"]
