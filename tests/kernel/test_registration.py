"""A wrong declaration of a module, table, message or event stops at `ModuleSet`, before any network runs on it."""

import ast
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Optional

import msgspec
import pytest
from msgspec import Meta

from xinglin.base import codec, limits
from xinglin.base.crypto import SHA256, SignatureSuite
from xinglin.base.ids import Hash, Id
from xinglin.base.units import U8, Count, Millis
from xinglin.kernel.executor import KERNEL
from xinglin.kernel.genesis import PublicKey
from xinglin.kernel.module import (
    Code,
    Event,
    Inner,
    Introduces,
    Kernel,
    Message,
    Module,
    ModuleSet,
    Row,
    Table,
    refuse,
)
from xinglin.modules import MODULES, module_set


class Refusal(Code):
    NOT_TODAY = 7000


class Do(Message, tag="sample.do/1"):
    who: Id
    suite: SignatureSuite
    key: PublicKey
    number: Count


class Done(Event, tag="sample.done/1"):
    who: Id
    number: Count

    about = ("who",)


class Kept(Row):
    due_ms: Millis


KEPT = Table("sample/kept", key=(Id,), value=Kept, due=lambda row: row.due_ms)


def rule(ctx: Any, msg: Any) -> Event:
    refuse(Refusal.NOT_TODAY)


def timer(ctx: Any, key: Any, row: Any) -> Event:
    refuse(Refusal.NOT_TODAY)


GOOD = Module(name="sample", version=1, codes=Refusal, tables=(KEPT,), rules={Do: rule}, signed_by={Do: "who"},
              events=(Done,), introduces={Do: Introduces(account="who", suite="suite", key="key")}, unsponsored=(Do,),
              long_window=(Do,), timers={KEPT: timer})


def made(base: type, kind: Any, **options: str) -> Any:
    """A message, event or row with a field of this kind."""
    return type(base)("Wrong", (base,), {"__module__": __name__, "__annotations__": {"who": Id, "field": kind}},
                      **options)


def saying(message: type[Message]) -> Module:
    return replace(GOOD, rules={**GOOD.rules, message: rule}, signed_by={**GOOD.signed_by, message: "who"})


def check(*modules: Module, kernel: Kernel = KERNEL) -> ModuleSet:
    return ModuleSet((*MODULES, *modules), kernel)


def test_a_right_declaration_passes() -> None:
    assert Do in check(GOOD).messages


class Loop(Inner):
    inner: Optional["Loop"]


class WithDefault(Inner):
    number: Count = 0


class Loose(msgspec.Struct):
    number: Count


class Open(Inner, forbid_unknown_fields=False):
    number: Count


class AsMap(Inner, array_like=False):
    number: Count


class Fraction(Enum):
    HALF = 0.5


@pytest.mark.parametrize("kind", [
    float, Optional[float], dict[str, Count], dict, set[Count], frozenset[Count], list[Count], Any, object,  # noqa: UP045
    bytes, str, int, tuple[Count, ...], tuple, Annotated[int, Meta(ge=0)], Annotated[int, Meta(le=9)],
    Annotated[bytes, Meta(min_length=1)], Annotated[str, Meta(min_length=1)],
    Annotated[tuple[bytes, ...], Meta(max_length=3)], datetime, msgspec.Raw, msgspec.msgpack.Ext, bytearray,
    memoryview, Loop, WithDefault, Loose, Open, AsMap, Fraction, Annotated[tuple[float, ...], Meta(max_length=3)],
], ids=str)
def test_a_type_outside_the_whitelist_is_refused(kind: Any) -> None:
    message, event, row = kinds(kind)
    with pytest.raises(TypeError):
        check(saying(message))
    with pytest.raises(TypeError):
        check(replace(GOOD, events=(Done, event)))
    with pytest.raises(TypeError):
        check(replace(GOOD, tables=(*GOOD.tables, Table("sample/wrong", key=(Id,), value=row))))


@pytest.mark.parametrize("kind", [Count, Id, Hash, bool, SignatureSuite, Id | None, tuple[Count, bool],
                                  Annotated[str, Meta(max_length=9)], Annotated[tuple[Id, ...], Meta(max_length=9)]],
                         ids=str)
def test_a_type_of_the_whitelist_passes(kind: Any) -> None:
    message, event, row = kinds(kind)
    check(saying(message))
    check(replace(GOOD, events=(Done, event)))
    check(replace(GOOD, tables=(*GOOD.tables, Table("sample/wrong", key=(Id,), value=row))))


def kinds(kind: Any) -> tuple[Any, Any, Any]:
    return (made(Message, kind, tag="sample.wrong/1"), made(Event, kind, tag="sample.wrong_event/1"), made(Row, kind))


class Untagged(Message):
    who: Id


class Foreign(Message, tag="consent.do/1"):
    who: Id


class TooLongATag(Message, tag="sample." + "x" * 48 + "/1"):
    who: Id


class SameTag(Message, tag="sample.do/1"):
    who: Id


class NoMessage(Event, tag="sample.no_message/1"):
    who: Id


class ForeignEvent(Event, tag="consent.done/1"):
    who: Id


class SameEventTag(Event, tag="sample.done/1"):
    who: Id


class AboutNothing(Event, tag="sample.about_nothing/1"):
    who: Id

    about = ("whom",)


class AboutANumber(Event, tag="sample.about_a_number/1"):
    number: Count

    about = ("number",)


class Large(Event, tag="sample.large/1"):
    many: Annotated[tuple[Hash, ...], Meta(max_length=64)]


class LargeRow(Row):
    many: Annotated[tuple[Hash, ...], Meta(max_length=2_000)]


class TakenByTheKernel(Code):
    NOT_TODAY = 30


class TakenByConsent(Code):
    NOT_TODAY = 200


class Renumbered(Code):
    NOT_TODAY = 7001


class Twice(Code):
    NOT_TODAY = 7000
    NOT_TOMORROW = 7000


NO_DUE = Table("sample/kept", key=(Id,), value=Kept)

WRONG: dict[str, Callable[[], object]] = {
    "signed_by lacks a message": lambda: check(replace(GOOD, signed_by={})),
    "signed_by names another message": lambda: check(replace(GOOD, signed_by={**GOOD.signed_by, Foreign: "who"})),
    "signed_by names no field": lambda: check(replace(GOOD, signed_by={Do: ()})),
    "signed_by names a field that is not there": lambda: check(replace(GOOD, signed_by={Do: "whom"})),
    "signed_by names a number": lambda: check(replace(GOOD, signed_by={Do: "number"})),
    "introduces an account that does not sign": lambda: check(replace(GOOD, introduces={
        Do: Introduces(account="number", suite="suite", key="key")})),
    "introduces a key that is not there": lambda: check(replace(GOOD, introduces={
        Do: Introduces(account="who", suite="suite", key="keys")})),
    "introduces for a message without a rule": lambda: check(replace(GOOD, introduces={
        Foreign: Introduces(account="who", suite="who", key="who")})),
    "unsponsored without a rule": lambda: check(replace(GOOD, unsponsored=(Foreign,))),
    "long window without a rule": lambda: check(replace(GOOD, long_window=(Foreign,))),
    "a message without a tag": lambda: check(saying(Untagged)),
    "a message with another module's tag": lambda: check(saying(Foreign)),
    "a message with a tag too long": lambda: check(saying(TooLongATag)),
    "two messages with one tag": lambda: check(saying(SameTag)),
    "an event in place of a message": lambda: check(saying(NoMessage)),  # type: ignore[arg-type]
    "an event with another module's tag": lambda: check(replace(GOOD, events=(ForeignEvent,))),
    "two events with one tag": lambda: check(replace(GOOD, events=(Done, SameEventTag))),
    "a message in place of an event": lambda: check(replace(GOOD, events=(Do,))),  # type: ignore[arg-type]
    "an event about a field that is not there": lambda: check(replace(GOOD, events=(AboutNothing,))),
    "an event about a number": lambda: check(replace(GOOD, events=(AboutANumber,))),
    "events of which 64 do not fit a transaction's": lambda: check(replace(GOOD, events=(Large,))),
    "a row that may not fit": lambda: check(replace(GOOD, tables=(Table("sample/a", key=(Id,), value=LargeRow),),
                                                    timers={})),
    "an event in place of a row": lambda: check(replace(GOOD, timers={}, tables=(
        Table("sample/a", key=(Id,), value=Done),))),
    "a table named after another module": lambda: check(replace(GOOD, timers={}, tables=(
        Table("consent/a", key=(Id,), value=Kept),))),
    "a table that another has the name of": lambda: check(replace(GOOD, timers={}, tables=(
        Table("sample/a", key=(Id,), value=Kept), Table("sample/a", key=(Id,), value=Kept)))),
    "a timer without due": lambda: check(replace(GOOD, tables=(NO_DUE,), timers={NO_DUE: timer})),
    "due without a timer": lambda: check(replace(GOOD, timers={})),
    "a timer of another's table": lambda: check(replace(GOOD, timers={**GOOD.timers, MODULES[2].tables[0]: timer})),
    "an invariant of another's table": lambda: check(replace(GOOD, invariants={MODULES[2].tables[0]: (bool,)})),
    "a code of the kernel's": lambda: check(replace(GOOD, codes=TakenByTheKernel)),
    "a code of another module's": lambda: check(replace(GOOD, codes=TakenByConsent)),
    "one number for two codes": lambda: check(replace(GOOD, codes=Twice)),
    "the same module twice": lambda: check(GOOD, GOOD),
    "a key of no fixed width": lambda: Table("sample/a", key=(bytes,), value=Kept),
    "a key of text": lambda: Table("sample/a", key=(Annotated[str, Meta(max_length=4)],), value=Kept),
    "a key of signed numbers": lambda: Table("sample/a", key=(Annotated[int, Meta(ge=-1, le=1)],), value=Kept),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_declaration_is_refused(name: str) -> None:
    with pytest.raises(TypeError):
        WRONG[name]()


def test_the_order_of_keys_is_the_order_of_their_parts() -> None:
    class Kind(IntEnum):
        LOW, HIGH = range(2)

    table = Table("sample/a", key=(Id, U8, Count, Millis, Kind), value=Kept)
    parts = [(bytes([a]) * 16, b, c, d, kind) for a in (0, 255) for b in (0, 255) for c in (0, 2**32 - 1)
             for d in (0, 2**63 - 1) for kind in Kind]
    keys = [table.encode_key(one) for one in parts]
    assert keys == sorted(keys) and {len(key) for key in keys} == {16 + 1 + 4 + 8 + 1}
    assert [table.decode_key(key) for key in keys] == parts


def test_no_value_is_longer_than_its_type_says() -> None:
    class Full(Message, tag="sample.full/1"):
        small: U8
        large: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
        text: Annotated[str, Meta(max_length=10)]
        data: Annotated[bytes, Meta(max_length=300)]
        many: Annotated[tuple[Id, ...], Meta(max_length=20)]
        pair: tuple[bool, Count]
        maybe: Id | None

    full = Full(small=255, large=-(2**63), text="\U0001f98a" * 10, data=bytes(300), many=(bytes(16),) * 20,
                pair=(True, 2**32 - 1), maybe=bytes(16))
    assert 0.8 * codec.form(Full).longest < len(codec.encode(full)) <= codec.form(Full).longest
    assert codec.decode(codec.encode(full), Full) == full


class OneMore(Event, tag="sample.one_more/1"):
    who: Id


class KeptLonger(Row):
    due_ms: Millis
    until_ms: Millis


class Named(Row):
    at_ms: Millis


class Coded(Row):
    due_ms: U8


def storing(name: str = "sample/kept", key: tuple[Any, ...] = (Id,), value: Any = Kept, timed: bool = True) -> Module:
    """The sample module with another table in its one's place."""
    table: Table[Any] = Table(name, key=key, value=value, due=(lambda row: None) if timed else None)
    return replace(GOOD, tables=(table,), timers={table: timer} if timed else {})


def asking(kind: Any, field: str = "number") -> Module:
    """The sample module with a message whose last field is another."""
    said = type(Message)("Do", (Message,), {"__module__": __name__, "__annotations__": {
        "who": Id, "suite": SignatureSuite, "key": PublicKey, field: kind}}, tag="sample.do/1")
    return replace(GOOD, rules={said: rule}, signed_by={said: "who"}, unsponsored=(said,), long_window=(said,),
                   introduces={said: GOOD.introduces[Do]})


class Once(IntEnum):
    NEVER, ONCE = range(2)


class Often(IntEnum):
    NEVER, ONCE, OFTEN = range(3)


class Renamed(IntEnum):
    NEVER, ALWAYS = range(2)


OTHER_TABLE: Table[Any] = Table("kernel/lane", key=(Id,), value=Kept)
CHANGED: dict[str, Callable[[], ModuleSet]] = {
    "nothing": lambda: check(GOOD),
    "no sample module": module_set,
    "the order of modules": lambda: ModuleSet((GOOD, *MODULES), KERNEL),
    "what rules do": lambda: check(replace(GOOD, version=2)),
    "a code": lambda: check(replace(GOOD, codes=Renumbered)),
    "one more event": lambda: check(replace(GOOD, events=(Done, OneMore))),
    "a table's name": lambda: check(storing(name="sample/other")),
    "the width of a key": lambda: check(storing(key=(Hash,))),
    "a number as a key": lambda: check(storing(key=(Millis, Millis))),
    "a longer row": lambda: check(storing(value=KeptLonger)),
    "a row's field of another name": lambda: check(storing(value=Named)),
    "a row's field of another bound": lambda: check(storing(value=Coded)),
    "no timer": lambda: check(storing(timed=False)),
    "a field's bound": lambda: check(asking(U8)),
    "a field's name": lambda: check(asking(Count, "amount")),
    "a field's kind": lambda: check(asking(bool)),
    "a field that may be nil": lambda: check(asking(Count | None)),
    "bytes up to 8": lambda: check(asking(Annotated[bytes, Meta(max_length=8)])),
    "bytes up to 9": lambda: check(asking(Annotated[bytes, Meta(max_length=9)])),
    "bytes of 1 to 9": lambda: check(asking(Annotated[bytes, Meta(min_length=1, max_length=9)])),
    "text up to 9": lambda: check(asking(Annotated[str, Meta(max_length=9)])),
    "text of a pattern": lambda: check(asking(Annotated[str, Meta(max_length=9, pattern="^a")])),
    "a list up to 9": lambda: check(asking(Annotated[tuple[Count, ...], Meta(max_length=9)])),
    "a list of 1 to 9": lambda: check(asking(Annotated[tuple[Count, ...], Meta(min_length=1, max_length=9)])),
    "a pair": lambda: check(asking(tuple[Count, Count])),
    "an enumeration": lambda: check(asking(Once)),
    "an enumeration with one more": lambda: check(asking(Often)),
    "an enumeration with another name": lambda: check(asking(Renamed)),
    "who signs": lambda: check(replace(GOOD, signed_by={Do: ("who", "who")})),
    "no key brought": lambda: check(replace(GOOD, introduces={})),
    "sponsored": lambda: check(replace(GOOD, unsponsored=())),
    "a short window": lambda: check(replace(GOOD, long_window=())),
    "its price": lambda: check(replace(GOOD, units={Do: 2})),
    "what the kernel does": lambda: check(GOOD, kernel=replace(KERNEL, version=2)),
    "a kernel table less": lambda: check(GOOD, kernel=replace(KERNEL, tables=KERNEL.tables[:-1])),
    "a kernel table of other rows": lambda: check(GOOD, kernel=replace(
        KERNEL, tables=(*KERNEL.tables[:-1], OTHER_TABLE))),
    "a kernel event less": lambda: check(GOOD, kernel=replace(KERNEL, events=KERNEL.events[:1])),
    "another leaf": lambda: check(GOOD, kernel=replace(KERNEL, values={**KERNEL.values, "leaf": Kept})),
    "a limit": lambda: check(GOOD, kernel=replace(KERNEL, limits={**KERNEL.limits, "GRANT_HOURS_MAX": 1})),
}


def test_the_hash_of_a_module_set_names_all_that_consensus_depends_on() -> None:
    """Each change of a form, a table, a limit or a version alone makes another hash."""
    hashes = {name: make().hash(SHA256) for name, make in CHANGED.items()}
    same = {name: [other for other in hashes if hashes[other] == hashes[name]] for name in hashes}
    assert {name: others for name, others in same.items() if len(others) > 1} == {}
    assert check(asking(Count)).hash(SHA256) == hashes["nothing"], "the same form, said by another class"


def test_the_lines_of_a_module_set_say_nothing_of_how_python_writes_a_type() -> None:
    said = "\n".join(check(GOOD).lines())
    assert not [word for word in ("<", "typing", "msgspec", "xinglin.base", "Annotated", "None", "NoneType")
                if word in said.replace("</", "")]


def test_the_hash_names_every_limit_that_a_rule_uses_and_no_other() -> None:
    """Files that only read what came out may use others: whoever changes these changes no ledger."""
    source = Path(limits.__file__).parent.parent
    of_files = {"PROOF_FILE_BYTES_MAX", "MANIFEST_BYTES_MAX", "LEAF_BYTES_MAX", "NOTE_BYTES_MAX", "PATH_STEPS_MAX"}
    off_chain = {"kernel/receipt.py": of_files, "kernel/receipt_cose.py": of_files,
                 "modules/decision.py": {"BODY_BYTES_MAX", "WORDS_CHARS_MAX"}}
    used: set[str] = set()
    for room in ("kernel", "modules"):
        for path in (source / room).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module == "xinglin.base.limits":
                    used |= {one.name for one in node.names} - off_chain.get(f"{room}/{path.name}", set())
    used.remove("OF_THE_RULES")
    assert used == set(KERNEL.limits) and len(KERNEL.limits) == len(limits.OF_THE_RULES)
    assert {name: getattr(limits, name) for name in used} == KERNEL.limits
