"""As much CBOR as COSE receipts are made of, in its one deterministic encoding.

A receipt has a fixed shape, so the reader is asked for what must come next and refuses anything else: no value is
built whose form is not known beforehand, and nothing recurses. No floats, no indefinite lengths, no simple value
but null.

Source  RFC 8949 4.2.1 (core deterministic encoding)
"""

from enum import IntEnum

from xinglin.base.check import BaseCode, NotUnderstood, require

NULL = b"\xf6"
INT_MAX = 2**63 - 1


class Major(IntEnum):
    UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG = range(7)


def head(major: Major, number: int) -> bytes:
    """The shortest head. Errors  ValueError for a number of 64 bits or more, or a negative one."""
    first = major << 5
    if 0 <= number < 24:
        return bytes((first | number,))
    for more, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if 0 <= number < 1 << 8 * width:
            return bytes((first | more,)) + number.to_bytes(width, "big")
    raise ValueError(f"not in CBOR: {number}")


def integer(number: int) -> bytes:
    return head(Major.UINT, number) if number >= 0 else head(Major.NEGATIVE, -1 - number)


def string(data: bytes) -> bytes:
    return head(Major.BYTES, len(data)) + data


def text(words: str) -> bytes:
    data = words.encode()
    return head(Major.TEXT, len(data)) + data


def array(*items: bytes) -> bytes:
    return head(Major.ARRAY, len(items)) + b"".join(items)


def mapping(*pairs: tuple[int, bytes]) -> bytes:
    """Under integer keys, in the order of their encodings."""
    encoded = sorted([(integer(key), value) for key, value in pairs])
    return head(Major.MAP, len(encoded)) + b"".join([key + value for key, value in encoded])


class Reader:
    """Errors  NotUnderstood BYTES_NOT_UNDERSTOOD, BYTES_NOT_CANONICAL, from every method."""

    def __init__(self, data: bytes):
        self._data = data
        self._at = 0

    def head(self, major: Major) -> int:
        """The number of a head of this kind: a value, a length, a count."""
        first = self._take(1)[0]
        require(first >> 5 == major, BaseCode.BYTES_NOT_UNDERSTOOD, f"no {major.name} where one belongs")
        number = first & 31
        if number < 24:
            return number
        require(number < 28, BaseCode.BYTES_NOT_UNDERSTOOD, "a head without a number")
        raw = self._take(1 << number - 24)
        number = int.from_bytes(raw, "big")
        require(head(major, number)[1:] == raw, BaseCode.BYTES_NOT_CANONICAL, "a longer head than needed")
        return number

    def exactly(self, expected: bytes) -> None:
        """Bytes that can be only these: heads of known counts, keys, null."""
        require(self._take(len(expected)) == expected, BaseCode.BYTES_NOT_UNDERSTOOD, "another form")

    def uint(self) -> int:
        number = self.head(Major.UINT)
        require(number <= INT_MAX, BaseCode.BYTES_NOT_UNDERSTOOD, "a number of 64 bits")
        return number

    def string(self, longest: int) -> bytes:
        return self._piece(Major.BYTES, longest)

    def text(self, longest: int) -> str:
        try:
            return self._piece(Major.TEXT, longest).decode()
        except UnicodeDecodeError:
            raise NotUnderstood(BaseCode.BYTES_NOT_UNDERSTOOD, "text that is not UTF-8") from None

    def end(self) -> None:
        require(self._at == len(self._data), BaseCode.BYTES_NOT_UNDERSTOOD, "something stands behind the value")

    def _piece(self, major: Major, longest: int) -> bytes:
        length = self.head(major)
        require(length <= longest, BaseCode.BYTES_NOT_UNDERSTOOD, "too long")
        return self._take(length)

    def _take(self, length: int) -> bytes:
        end = self._at + length
        require(end <= len(self._data), BaseCode.BYTES_NOT_UNDERSTOOD, "cut off")
        found = self._data[self._at:end]
        self._at = end
        return found


__all__ = ["INT_MAX", "NULL", "Major", "Reader", "array", "head", "integer", "mapping", "string", "text"]
