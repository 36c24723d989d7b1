from decimal import Decimal

import pytest

from xinglin.base.check import NotUnderstood
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir import json_text


def code_of(data: bytes) -> HolderCode:
    with pytest.raises(NotUnderstood) as caught:
        json_text.parse(data)
    return HolderCode(caught.value.code)


@pytest.mark.parametrize(("data", "code"), [
    (b"", HolderCode.JSON_NOT_VALID),
    (b"{", HolderCode.JSON_NOT_VALID),
    (b'{"a":1} x', HolderCode.JSON_NOT_VALID),
    (b'{"a":01}', HolderCode.JSON_NOT_VALID),
    (b"{'a':1}", HolderCode.JSON_NOT_VALID),
    (b'{"a":1,}', HolderCode.JSON_NOT_VALID),
    (b'"a\x01b"', HolderCode.JSON_NOT_VALID),
    (b'"\xff"', HolderCode.TEXT_NOT_UTF8),
    ('{"a":1}'.encode("utf-16"), HolderCode.TEXT_NOT_UTF8),
    (b'"\xed\xa0\x80"', HolderCode.TEXT_NOT_UTF8),          # a surrogate written as UTF-8
    (b'{"a":1,"a":1}', HolderCode.JSON_KEY_TWICE),
    (b'{"x":[{"a":1,"\\u0061":2}]}', HolderCode.JSON_KEY_TWICE),
    (b"[NaN]", HolderCode.JSON_NUMBER_NOT_VALID),
    (b"[-Infinity]", HolderCode.JSON_NUMBER_NOT_VALID),
    (b"[" + b"1" * 65 + b"]", HolderCode.JSON_NUMBER_NOT_VALID),
    (b"[1e99999]", HolderCode.JSON_NUMBER_NOT_VALID),
    (b'"\\ud800"', HolderCode.JSON_SURROGATE_ALONE),
    (b'{"\\uDC00":1}', HolderCode.JSON_SURROGATE_ALONE),
    (b"[" * 65 + b"]" * 65, HolderCode.JSON_TOO_DEEP),
    (b"[" * 200_000, HolderCode.JSON_TOO_DEEP),
    (b'{"a":' * 100_000, HolderCode.JSON_TOO_DEEP),
])
def test_what_is_not_strict_json_is_refused_with_its_code(data: bytes, code: HolderCode) -> None:
    assert code_of(data) is code


def test_a_byte_order_mark_is_passed_over() -> None:
    assert json_text.parse(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


def test_sixty_four_levels_are_read() -> None:
    json_text.parse(b"[" * 64 + b"]" * 64)


@pytest.mark.parametrize("number", ["1.50", "0.00", "-0.0", "-0", "100", "0.1", "1E+5", "1.10E-7", "98.6000"])
def test_a_number_keeps_its_digits(number: str) -> None:
    assert json_text.write(json_text.parse(f"[{number}]".encode())) == f"[{number}]".encode()


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert json_text.parse(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_the_same_content_in_another_order_has_the_same_sorted_bytes() -> None:
    one, other = json_text.parse(b'{"b":1.0,"a":{"d":1,"c":2}}'), json_text.parse(b'{"a":{"c":2,"d":1},"b":1.0}')
    assert json_text.write(one) != json_text.write(other)
    assert json_text.write_sorted(one) == json_text.write_sorted(other)
    assert one["b"] == Decimal("1.0")


def test_an_error_names_a_place_and_never_the_text() -> None:
    with pytest.raises(NotUnderstood) as caught:
        json_text.parse(b'{"name": "Trish Feest" oops}')
    assert "Trish" not in str(caught.value) and "column" in str(caught.value)
