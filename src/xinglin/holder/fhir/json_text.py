"""Strict JSON for FHIR: no key twice, no NaN, no lone surrogate, bounded depth, decimals kept as written.

FHIR gives 1.50 another meaning than 1.5, so a fraction is read as a Decimal and written back digit by
digit. The wire codec of the ledger is another thing: this text is never hashed as ours but kept as bytes.
"""

import json
from decimal import Decimal
from typing import Any

import msgspec

from xinglin.base.check import NotUnderstood
from xinglin.base.limits import JSON_DEPTH_MAX, JSON_NUMBER_CHARS_MAX, JSON_VALUES_MAX
from xinglin.holder.codes import HolderCode

_compact = msgspec.json.Encoder(decimal_format="number")
_sorted = msgspec.json.Encoder(decimal_format="number", order="sorted")


def parse(data: bytes | bytearray, depth_max: int = JSON_DEPTH_MAX, values_max: int = JSON_VALUES_MAX) -> Any:
    """The value that `data` writes.

    Errors  NotUnderstood TEXT_NOT_UTF8, JSON_NOT_VALID, JSON_KEY_TWICE, JSON_NUMBER_NOT_VALID,
            JSON_TOO_DEEP, JSON_TOO_MANY_VALUES, JSON_SURROGATE_ALONE.
    """
    # Each value but the first stands behind one of these; in a text they count too, which only counts too many.
    if data.count(b",") + data.count(b"[") + data.count(b"{") > values_max:
        raise NotUnderstood(HolderCode.JSON_TOO_MANY_VALUES, f"more than {values_max}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotUnderstood(HolderCode.TEXT_NOT_UTF8, f"byte {error.start}") from None
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise NotUnderstood(HolderCode.JSON_NOT_VALID, place) from None
    except RecursionError:
        raise NotUnderstood(HolderCode.JSON_TOO_DEEP, f"more than {depth_max} levels") from None
    _check_depth(value, depth_max)
    # Only an escape can bring in half a surrogate pair: UTF-8 itself has none.
    if "\\ud" in text or "\\uD" in text:
        try:
            _compact.encode(value)
        except UnicodeEncodeError:
            raise NotUnderstood(HolderCode.JSON_SURROGATE_ALONE, "half a surrogate pair") from None
    return value


def write(value: Any) -> bytes:
    """Compact UTF-8 in the order of the source, numbers with the digits they came with."""
    return _compact.encode(value)


def write_sorted(value: Any) -> bytes:
    """As `write`, keys sorted: the same content has the same bytes whatever order it came in."""
    return _sorted.encode(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotUnderstood(HolderCode.JSON_KEY_TWICE, "one object names a key twice")
    return found


def _fraction(text: str) -> Decimal:
    _check_number(text)
    number = Decimal(text)
    # A conversion out of range would not come back as it was written.
    if not number.is_finite():
        raise NotUnderstood(HolderCode.JSON_NUMBER_NOT_VALID, "out of range")
    return number


def _integer(text: str) -> int | Decimal:
    _check_number(text)
    return Decimal(text) if text == "-0" else int(text)


def _check_number(text: str) -> None:
    # An exponent of five digits is no measurement; it is what makes a reader fill its memory.
    exponent = text.lower().partition("e")[2].lstrip("+-")
    if len(text) > JSON_NUMBER_CHARS_MAX or len(exponent) > 4:
        raise NotUnderstood(HolderCode.JSON_NUMBER_NOT_VALID, "too many digits")


def _constant(name: str) -> Any:
    raise NotUnderstood(HolderCode.JSON_NUMBER_NOT_VALID, f"{name} is not JSON")


def _check_depth(value: Any, depth_max: int) -> None:
    level = [value]
    for _ in range(depth_max):
        below: list[Any] = []
        for found in level:
            if type(found) is dict:
                below.extend(found.values())
            elif type(found) is list:
                below.extend(found)
        level = [found for found in below if type(found) in (dict, list)]
        if not level:
            return
    raise NotUnderstood(HolderCode.JSON_TOO_DEEP, f"more than {depth_max} levels")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_fraction, parse_int=_integer, parse_constant=_constant)
