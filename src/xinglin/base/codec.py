"""The only encoder: msgspec Structs as MessagePack arrays, canonical, of whitelisted types.

A decoder refuses anything for which `encode(decode(b)) != b`. The truth is docs/spec/encoding.md with
tests/golden/vectors/encoding.json, not the library. Constructors do not validate: trust decoded bytes.
"""

import functools
from typing import Any, NamedTuple, TypeVar, get_origin

import msgspec
from msgspec import inspect as types

from xinglin.base.check import BaseCode, NotUnderstood

T = TypeVar("T")

HEAD_BYTES = 5                    # the longest head of an array, bytes or str
INT_BYTES = 9

_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


class _Canonical(msgspec.StructMeta):
    """Makes every Struct below frozen, keyword-only, closed and an array on the wire."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        for option in ("frozen", "kw_only", "forbid_unknown_fields", "array_like"):
            options.setdefault(option, True)
        return super().__new__(mcls, name, bases, namespace, **options)


class Struct(msgspec.Struct, metaclass=_Canonical):
    """A value that may be signed, hashed or stored. Tag those that stand in a union."""


def encode(value: Any) -> bytes:
    return _encode(value)


def decoder(type_: Any) -> msgspec.msgpack.Decoder[Any]:
    found = _decoders.get(type_)
    if found is None:
        found = _decoders[type_] = msgspec.msgpack.Decoder(type_, strict=True)
    return found


def decode(data: bytes, type_: type[T] | Any) -> T | Any:
    """The value whose only encoding is `data`.

    Errors  NotUnderstood BYTES_NOT_UNDERSTOOD, BYTES_NOT_CANONICAL.
    """
    return decode_by(decoder(type_), data)


def decode_by(decoder: msgspec.msgpack.Decoder[Any], data: bytes) -> Any:
    """As `decode`, for whoever keeps the decoder: to find a union's takes longer than to decode.

    Errors  as those of `decode`.
    """
    try:
        value = decoder.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise NotUnderstood(BaseCode.BYTES_NOT_UNDERSTOOD, _without_values(error)) from None
    if _encode(value) != data:
        raise NotUnderstood(BaseCode.BYTES_NOT_CANONICAL, "the same value has another encoding")
    return value


def _without_values(error: Exception) -> str:
    """msgspec names types and paths; cut anything quoted, which may be of a person."""
    return str(error).split("'")[0].strip() or type(error).__name__


def tag_of(struct: type[msgspec.Struct]) -> str:
    tag = struct.__struct_config__.tag
    if not isinstance(tag, str):
        raise TypeError(f"{struct.__name__} has no tag")
    return tag


class Form(NamedTuple):
    """What there is to know of a type that may be signed, hashed or stored."""

    longest: int                  # the most bytes that a value of it can take, a close upper bound
    layout: str                   # the same words for the same encodings, whatever Python says them (genesis.md)


@functools.cache
def form(type_: Any) -> Form:
    """Raises TypeError unless `type_` and all it holds come from the whitelist.

    Bounded int, bytes and str of bounded length, tuple, enum, bool, None, Struct. No float, dict, set, datetime,
    Raw, Ext or Any: dict order and Raw survive the round trip, so only the type can stop them.
    """
    return _check(types.type_info(type_), repr(type_), ())


def _check(info: types.Type, where: str, above: tuple[type, ...]) -> Form:
    match info:
        case types.IntType(gt=None, ge=int(low), lt=None, le=int(high), multiple_of=None):
            return Form(INT_BYTES, f"int {low}..{high}")
        case types.BytesType(min_length=shortest, max_length=int(longest)):
            return Form(HEAD_BYTES + longest, f"bytes {shortest or 0}..{longest}")
        case types.StrType(min_length=shortest, max_length=int(longest), pattern=pattern):
            return Form(HEAD_BYTES + 4 * longest,
                        f"text {shortest or 0}..{longest}" + (f" /{pattern}/" if pattern else ""))
        case types.BoolType():
            return Form(1, "bool")
        case types.NoneType():
            return Form(1, "nil")
        case types.EnumType(cls=cls) if all([isinstance(one.value, int | str) for one in cls]):
            return Form(max([len(_encode(one.value)) for one in cls]),
                        "enum " + " ".join([f"{one.name}={one.value}" for one in cls]))
        case types.TupleType(item_types=parts):
            inner = [_check(part, where, above) for part in parts]
            return Form(HEAD_BYTES + sum([part.longest for part in inner]),
                        f"({', '.join([part.layout for part in inner])})")
        case types.VarTupleType(item_type=item, min_length=fewest, max_length=int(most)):
            one = _check(item, where, above)
            return Form(HEAD_BYTES + most * one.longest, f"[{fewest or 0}..{most} of {one.layout}]")
        case types.UnionType(types=parts):
            inner = [_check(part, where, above) for part in parts]
            return Form(max([part.longest for part in inner]), " | ".join(sorted([part.layout for part in inner])))
        case types.StructType(cls=cls, fields=fields):
            cls = get_origin(cls) or cls          # a generic one with what it holds
            head = _head_of(cls, fields, where, above)
            inner = [_check(field.type, f"{cls.__name__}.{field.name}", (*above, cls)) for field in fields]
            said = [f"{field.name}: {part.layout}" for field, part in zip(fields, inner, strict=True)]
            return Form(head.longest + sum([part.longest for part in inner]),
                        "{" + ", ".join([*([head.layout] if head.layout else []), *said]) + "}")
    raise TypeError(f"{where}: {type(info).__name__} is not whitelisted or not bounded")


def _head_of(cls: type[msgspec.Struct], fields: tuple[types.Field, ...], where: str,
             above: tuple[type, ...]) -> Form:
    """What stands before a struct's fields, if it is one of ours."""
    config = cls.__struct_config__
    if cls in above:
        raise TypeError(f"{where}: recursive")
    if not (config.array_like and config.forbid_unknown_fields):
        raise TypeError(f"{where}: {cls.__name__} is not a base.codec.Struct")
    for field in fields:
        if not field.required:
            raise TypeError(f"{where}: {cls.__name__}.{field.name} has a default; a new field is a new tag")
    if config.tag is None:
        return Form(HEAD_BYTES, "")
    return Form(HEAD_BYTES + len(_encode(tag_of(cls))), f'"{tag_of(cls)}"')


__all__ = ["Form", "Struct", "decode", "decode_by", "decoder", "encode", "form", "tag_of"]
