"""Signatures verified in a helper process, in chunks over a pipe; or here, when there is only a handful.

In threads each verification needs the interpreter's lock back; a process of its own does not.

    request   u32 number of checks, then per check: u8 suite, u16 key, u32 message, u16 signature lengths, bytes
    answer    one byte per check: 1 good, 0 not
"""

import os
import struct
import subprocess
import sys
from collections.abc import Iterable
from typing import IO

from xinglin.base.check import SignatureInvalid
from xinglin.base.crypto import SignatureSuite, verify
from xinglin.kernel.tx import Check

_COUNT = struct.Struct(">I")
_CHECK = struct.Struct(">BHIH")


def hold(checks: Iterable[Check]) -> bool:
    """Whether every one of `checks` holds."""
    try:
        for check in checks:
            verify(check.suite, check.key, check.message, check.signature)
    except SignatureInvalid:
        return False
    return True


class Helper:
    """The helper process. It reads a chunk, verifies it, answers, and ends when its pipe closes."""

    def __init__(self) -> None:
        read_requests, write_requests = os.pipe()
        read_answers, write_answers = os.pipe()
        self._process = subprocess.Popen([sys.executable, "-m", "xinglin.engine.signatures"],
                                         stdin=read_requests, stdout=write_answers)
        os.close(read_requests)
        os.close(write_answers)
        self._requests = open(write_requests, "wb")
        self._answers = open(read_answers, "rb", buffering=0)

    def fileno(self) -> int:
        """Readable when an answer is waiting."""
        return self._answers.fileno()

    def send(self, checks: list[Check]) -> None:
        parts = [_COUNT.pack(len(checks))]
        for suite, key, message, signature in checks:
            parts.append(_CHECK.pack(suite, len(key), len(message), len(signature)))
            parts += (key, message, signature)
        self._requests.write(b"".join(parts))
        self._requests.flush()

    def receive(self, count: int) -> bytes:
        """The answer to the oldest chunk sent, which had `count` checks; shorter if the helper died."""
        return _read(self._answers.fileno(), count)

    def close(self) -> None:
        self._requests.close()
        self._process.wait()
        self._answers.close()


def _read(descriptor: int, wanted: int) -> bytes:
    data = b""
    while len(data) < wanted:
        piece = os.read(descriptor, wanted - len(data))
        if not piece:
            break
        data += piece
    return data


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer chunks until the requests end."""
    while len(head := requests.read(4)) == 4:
        verdicts = bytearray()
        for _ in range(_COUNT.unpack(head)[0]):
            suite, key, message, signature = _CHECK.unpack(requests.read(_CHECK.size))
            check = Check(SignatureSuite(suite), requests.read(key), requests.read(message),
                          requests.read(signature))
            verdicts.append(hold((check,)))
        answers.write(verdicts)
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
