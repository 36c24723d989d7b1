"""The only encoder: one encoding of a value, and types that leave no room for a second."""

from enum import Enum, IntEnum
from typing import Annotated, Any

import pytest
from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import BaseCode, NotUnderstood
from xinglin.base.codec import Struct

Byte = Annotated[int, Meta(ge=0, le=255)]
Few = Annotated[bytes, Meta(max_length=7)]
Text = Annotated[str, Meta(max_length=3)]


class Colour(IntEnum):
    RED, GREEN = 1, 300


class Word(Enum):
    LONG = "twelve chars"


class Number(Struct):
    """Without a tag."""

    number: Byte


class Tagged(Struct, tag="test.tagged/1"):
    """With one."""

    few: Few
    inner: Number


class Other(Struct, tag="test.other/1"):
    """Another of a union."""

    yes: bool


@pytest.mark.parametrize(("kind", "most"), [
    (Byte, 9), (Few, 5 + 7), (Text, 5 + 4 * 3), (bool, 1), (None, 1), (Colour, 3), (Word, 13),
    (tuple[Byte, bool], 5 + 9 + 1),
    (Annotated[tuple[Byte, ...], Meta(max_length=10)], 5 + 90),
    (Number, 5 + 9), (Tagged, 5 + 14 + 12 + 14), (Tagged | Other, 5 + 14 + 12 + 14), (Other | None, 5 + 13 + 1)])
def test_the_most_bytes_of_a_type_are_counted_part_by_part(kind: Any, most: int) -> None:
    assert codec.form(kind).longest == most


class Recursive(Struct):
    """Of itself."""

    inner: "Recursive | None"


class Defaulted(Struct):
    """A field that may be left out."""

    number: Byte = 0


class Deep(Struct):
    """Bad only inside."""

    parts: Annotated[tuple[Defaulted, ...], Meta(max_length=2)]


class Map(Struct, array_like=False):
    """Not an array on the wire."""

    number: Byte


class Open(Struct, forbid_unknown_fields=False):
    """With room for more."""

    number: Byte


@pytest.mark.parametrize(("kind", "why"), [
    (int, "IntType is not whitelisted"), (Annotated[int, Meta(ge=0)], "IntType"),
    (Annotated[int, Meta(le=5)], "IntType"),
    (bytes, "BytesType"), (str, "StrType"), (tuple[Byte, ...], "VarTupleType"), (float, "FloatType"), (Any, "AnyType"),
    (dict[str, bool], "DictType"), (list[bool], "ListType"), (Recursive, "recursive"),
    (Defaulted, "number has a default"),
    (Deep, "Defaulted.number has a default"), (Map, "Map is not a base.codec.Struct"),
    (Open, "Open is not a base.codec.Struct"), (tuple[Byte, float], "FloatType"), (Byte | float, "FloatType")])
def test_a_type_that_leaves_room_is_refused_and_named(kind: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        codec.form(kind)


def test_the_error_names_where_and_never_what_was_said() -> None:
    with pytest.raises(NotUnderstood) as caught:
        codec.decode(codec.encode(["no such tag of mine", 1]), Tagged | Other)
    assert caught.value.code is BaseCode.BYTES_NOT_UNDERSTOOD
    assert caught.value.detail == "Invalid value" and "mine" not in str(caught.value)
    with pytest.raises(NotUnderstood) as caught:
        codec.decode(b"\x91\xcd\x01\x00", Number)
    assert caught.value.detail == "Expected `int` <= 255 - at `$[0]`"


def test_deep_bytes_are_refused_like_any_others() -> None:
    with pytest.raises(NotUnderstood) as caught:
        codec.decode(b"\x91" * 100_000, Number)
    assert caught.value.code is BaseCode.BYTES_NOT_UNDERSTOOD and caught.value.detail


def test_another_encoding_of_the_same_value_is_told_from_bytes_that_are_none() -> None:
    with pytest.raises(NotUnderstood) as caught:
        codec.decode(b"\x91\xcc\x07", Number)
    assert caught.value.code is BaseCode.BYTES_NOT_CANONICAL
    assert caught.value.detail == "the same value has another encoding"


def test_a_struct_is_frozen_named_and_closed() -> None:
    one = Number(number=1)
    with pytest.raises(AttributeError):
        one.number = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Number(1)  # type: ignore[call-arg, misc]
    with pytest.raises(NotUnderstood):
        codec.decode(b"\x92\x01\x01", Number)
    assert codec.encode(one) == b"\x91\x01" and codec.encode(Other(yes=True)) == b"\x92\xactest.other/1\xc3"


def test_only_a_tag_of_text_is_a_tag() -> None:
    assert codec.tag_of(Tagged) == "test.tagged/1"
    with pytest.raises(TypeError, match="Number has no tag"):
        codec.tag_of(Number)


def test_a_decoder_is_made_once() -> None:
    assert codec.decoder(Number) is codec.decoder(Number)
    assert codec.decoder(Number).strict
