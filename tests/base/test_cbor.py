"""CBOR as COSE receipts use it: the examples of RFC 8949, and one encoding for each value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinglin.base import cbor
from xinglin.base.cbor import Major, Reader
from xinglin.base.check import NotUnderstood

# RFC 8949, appendix A: those of the kinds that are used.
EXAMPLES = {0: "00", 1: "01", 10: "0a", 23: "17", 24: "1818", 25: "1819", 100: "1864", 1000: "1903e8",
            1_000_000: "1a000f4240", 1_000_000_000_000: "1b000000e8d4a51000", -1: "20", -10: "29", -100: "3863",
            -1000: "3903e7"}


@pytest.mark.parametrize(("number", "encoded"), EXAMPLES.items())
def test_integers_are_written_as_the_standard_shows(number: int, encoded: str) -> None:
    assert cbor.integer(number).hex() == encoded


def test_strings_arrays_and_maps_are_written_as_the_standard_shows() -> None:
    assert cbor.string(bytes.fromhex("01020304")).hex() == "4401020304" and cbor.string(b"") == b"\x40"
    assert cbor.text("IETF").hex() == "6449455446" and cbor.text("水").hex() == "63e6b0b4"
    assert cbor.array(*[cbor.integer(one) for one in range(1, 26)]).hex() == (
        "98190102030405060708090a0b0c0d0e0f101112131415161718181819")
    assert cbor.mapping((3, cbor.integer(4)), (1, cbor.integer(2))).hex() == "a201020304"


def test_a_map_stands_in_the_order_of_its_encoded_keys() -> None:
    """RFC 8949 4.2.1: 10, 100, -1."""
    one = cbor.integer(0)
    assert cbor.mapping((-1, one), (100, one), (10, one)).hex() == "a3" + "0a00" + "186400" + "2000"


@given(st.sampled_from(Major), st.integers(0, 2**64 - 1))
def test_a_head_is_read_as_it_was_written_and_only_in_its_shortest_form(major: Major, number: int) -> None:
    shortest = cbor.head(major, number)
    assert Reader(shortest).head(major) == number
    for more, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * width:
            other = bytes((major << 5 | more,)) + number.to_bytes(width, "big")
            if other != shortest:
                with pytest.raises(NotUnderstood):
                    Reader(other).head(major)
    for other_major in Major:
        if other_major is not major:
            with pytest.raises(NotUnderstood):
                Reader(shortest).head(other_major)


@pytest.mark.parametrize("data", [b"", b"\x18", b"\x19\x01", b"\x1c", b"\x1d", b"\x1e", b"\x1f", b"\x5f\x41a\xff",
                                  b"\x1b\x80" + bytes(7)])
def test_what_is_cut_off_indefinite_reserved_or_too_large_is_no_number(data: bytes) -> None:
    with pytest.raises(NotUnderstood):
        Reader(data).uint()


@pytest.mark.parametrize("data", [b"\x43ab", b"\x42ab", b"\x61a", b"\x58\x01a"])
def test_bytes_are_as_long_as_they_say_and_as_they_may_be(data: bytes) -> None:
    with pytest.raises(NotUnderstood):
        Reader(data).string(1)


def test_text_is_utf_8_and_nothing_stands_behind_the_value() -> None:
    with pytest.raises(NotUnderstood):
        Reader(b"\x62\xc3\x28").text(9)
    reader = Reader(b"\x61a\x00")
    assert reader.text(1) == "a"
    with pytest.raises(NotUnderstood):
        reader.end()


def test_a_number_that_has_no_head_is_not_written() -> None:
    for number in (-1, 2**64):
        with pytest.raises(ValueError, match="not in CBOR"):
            cbor.head(Major.UINT, number)
