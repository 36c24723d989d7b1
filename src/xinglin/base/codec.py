"""The only encoder: msgspec Structs as MessagePack arrays, canonical, of whitelisted types.

A decoder refuses anything for which `encode(decode(b)) != b`. The truth is docs/spec/encoding.md with
tests/golden/vectors/encoding.json, not the library. Constructors do not validate: trust decoded bytes.
"""

import functools
from typing import Any, Literal, TypeVar

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


@functools.cache
def check_type(type_: Any) -> int:
    """The most bytes that a value of `type_` can take, a close upper bound.

    Raises TypeError unless `type_` and all it holds come from the whitelist: bounded int, bytes and str of
    bounded length, tuple, enum, bool, None, Struct. No float, dict, set, datetime, Raw, Ext or Any: dict
    order and Raw survive the round trip, so only the type can stop them.
    """
    return _check(types.type_info(type_), repr(type_), ())


def _check(info: types.Type, where: str, above: tuple[type, ...]) -> int:
    match info:
        case types.IntType(ge=low, le=high) if low is not None and high is not None:
            return INT_BYTES
        case types.BytesType(max_length=longest) if longest is not None:
            return HEAD_BYTES + longest
        case types.StrType(max_length=longest) if longest is not None:
            return HEAD_BYTES + 4 * longest
        case types.BoolType() | types.NoneType():
            return 1
        case types.EnumType(cls=cls) if all([isinstance(one.value, int | str) for one in cls]):
            return max([len(_encode(one.value)) for one in cls])
        case types.LiteralType(values=values):
            return max([len(_encode(one)) for one in values])
        case types.TupleType(item_types=parts):
            return HEAD_BYTES + sum([_check(part, where, above) for part in parts])
        case types.VarTupleType(item_type=item, max_length=longest) if longest is not None:
            return HEAD_BYTES + longest * _check(item, where, above)
        case types.UnionType(types=parts):
            return max([_check(part, where, above) for part in parts])
        case types.StructType(cls=cls, fields=fields):
            size = HEAD_BYTES + (0 if cls.__struct_config__.tag is None else len(_encode(tag_of(cls))))
            if cls in above:
                raise TypeError(f"{where}: recursive")
            if not (cls.__struct_config__.array_like and cls.__struct_config__.forbid_unknown_fields):
                raise TypeError(f"{where}: {cls.__name__} is not a base.codec.Struct")
            for field in fields:
                if not field.required:
                    raise TypeError(f"{where}: {cls.__name__}.{field.name} has a default; a new field is a new tag")
                size += _check(field.type, f"{cls.__name__}.{field.name}", (*above, cls))
            return size
        case _:
            raise TypeError(f"{where}: {type(info).__name__} is not whitelisted or not bounded")


__all__ = ["Literal", "Struct", "check_type", "decode", "decode_by", "decoder", "encode", "tag_of"]
