"""What travels between a log and its witnesses: `add-checkpoint` of C2SP tlog-witness, as bytes.

    old <size>\n  <hash in base64>\n ..  \n  <checkpoint, a signed note>      ->  200 signature lines
                                                                              ->  409 the size last cosigned
"""

import base64
import binascii
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

from xinglin.base.check import NotUnderstood
from xinglin.base.limits import TREE_SIZE_MAX, WITNESS_BODY_BYTES_MAX, WITNESS_PATH_MAX
from xinglin.witness.codes import WitnessCode

PATH = "/add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"


class Request(NamedTuple):
    """A log asks for a cosignature of `note`, which `path` shows to extend its first `old` leaves."""

    old: int
    path: tuple[bytes, ...]
    note: bytes


class Answer(NamedTuple):
    status: HTTPStatus
    body: bytes = b""
    type: str = TEXT_TYPE


def write_request(old: int, path: Sequence[bytes], note: bytes) -> bytes:
    return f"old {old}\n".encode() + b"".join(base64.b64encode(step) + b"\n" for step in path) + b"\n" + note


def read_request(body: bytes) -> Request:
    """Errors  NotUnderstood REQUEST_NOT_UNDERSTOOD."""
    if len(body) > WITNESS_BODY_BYTES_MAX:
        raise _wrong("too long")
    head, blank, note = body.partition(b"\n\n")
    first, *rest = head.split(b"\n")
    if not blank or not first.startswith(b"old ") or len(rest) > WITNESS_PATH_MAX:
        raise _wrong("no old size, no empty line, or too long a proof")
    return Request(read_size(first[4:]), tuple(_step(line) for line in rest), note)


def read_size(digits: bytes) -> int:
    """A size in decimal, without leading zeros. Errors  NotUnderstood REQUEST_NOT_UNDERSTOOD."""
    size = int(digits) if digits.isdigit() and len(digits) < 20 else -1
    if not 0 <= size <= TREE_SIZE_MAX or str(size).encode() != digits:
        raise _wrong("not a size")
    return size


def _step(line: bytes) -> bytes:
    try:
        step = base64.b64decode(line, validate=True)
    except binascii.Error:
        raise _wrong("a line of the proof is not base64") from None
    if len(step) != 32 or base64.b64encode(step) != line:
        raise _wrong("a line of the proof is not a hash")
    return step


def _wrong(detail: str) -> NotUnderstood:
    return NotUnderstood(WitnessCode.REQUEST_NOT_UNDERSTOOD, detail)


__all__ = ["PATH", "SIZE_TYPE", "Answer", "Request", "read_request", "read_size", "write_request"]
