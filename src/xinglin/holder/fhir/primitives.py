"""The forms of FHIR R4's primitive types (R4 2.24.0.1), as predicates that take linear time."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

STRING_BYTES_MAX = 1024 * 1024   # R4: "strings SHALL NOT exceed 1 MB"
INTEGER_MAX = 2**31 - 1
DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_DATE = r"(?!0000)[0-9]{4}(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01]))?)?"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,9})?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_FULL_DATE = r"(?!0000)[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"

_date = re.compile(_DATE).fullmatch
_date_time = re.compile(rf"{_DATE}|{_FULL_DATE}T{_CLOCK}{_ZONE}").fullmatch
_instant = re.compile(rf"{_FULL_DATE}T{_CLOCK}{_ZONE}").fullmatch
_time = re.compile(_CLOCK).fullmatch
_id = re.compile(r"[A-Za-z0-9.-]{1,64}").fullmatch
# Unicode's white space leaves out most control characters.
_code = re.compile(r"[^\s\x00-\x1f]+(?:[ ][^\s\x00-\x1f]+)*").fullmatch
_uri = re.compile(r"[^\s\x00-\x1f]+").fullmatch
_oid = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch
_uuid = re.compile(r"urn:uuid:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
_base64 = re.compile(r"[A-Za-z0-9+/]*={0,2}").fullmatch
# R4 allows tab, newline and carriage return, no other control character.
_control = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]").search


def is_boolean(value: Any) -> bool:
    return type(value) is bool


def is_integer(value: Any) -> bool:
    return type(value) is int and -INTEGER_MAX - 1 <= value <= INTEGER_MAX


def is_unsigned(value: Any) -> bool:
    return type(value) is int and 0 <= value <= INTEGER_MAX


def is_positive(value: Any) -> bool:
    return type(value) is int and 0 < value <= INTEGER_MAX


def is_decimal(value: Any) -> bool:
    return type(value) is int or type(value) is Decimal


def is_string(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= STRING_BYTES_MAX and not value.isspace() \
        and not _control(value)


def is_xhtml(value: Any) -> bool:
    return type(value) is str and value.lstrip().startswith("<div") and value.rstrip().endswith(">")


def is_base64(value: Any) -> bool:
    # White space is taken out first: beside it in one pattern it would be tried in every way.
    bare = "".join(value.split()) if type(value) is str else "="
    return len(bare) % 4 == 0 and bool(_base64(bare))


def is_date(value: Any) -> bool:
    return type(value) is str and bool(_date(value)) and _day_exists(value)


def is_date_time(value: Any) -> bool:
    return type(value) is str and bool(_date_time(value)) and _day_exists(value)


def is_instant(value: Any) -> bool:
    return type(value) is str and bool(_instant(value)) and _day_exists(value)


def _day_exists(date: str) -> bool:
    if len(date) < 10:
        return True
    year, month, day = int(date[:4]), int(date[5:7]), int(date[8:10])
    if month == 2 and day == 29:
        return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return day <= DAYS_IN_MONTH[month - 1]


def _written(matches: Callable[[str], object]) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and matches(value) is not None


FORMS: Mapping[str, Callable[[Any], bool]] = {
    "boolean": is_boolean, "integer": is_integer, "unsignedInt": is_unsigned, "positiveInt": is_positive,
    "decimal": is_decimal, "string": is_string, "markdown": is_string, "xhtml": is_xhtml,
    "base64Binary": is_base64, "date": is_date, "dateTime": is_date_time, "instant": is_instant,
    "time": _written(_time), "id": _written(_id), "code": _written(_code), "uri": _written(_uri),
    "url": _written(_uri), "canonical": _written(_uri), "oid": _written(_oid), "uuid": _written(_uuid),
}
