"""Signatures verified in a helper process, in chunks over a pipe; or here, when there is only a handful.

In threads each verification needs the interpreter's lock back; a process of its own does not.

    request   u32 number of checks, then per check: u8 suite, u16 key, u32 message, u16 signature lengths, bytes
    answer    one byte per check: 1 good, 0 not
"""

import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import IO

from xinglin.base.check import Failed, SignatureInvalid
from xinglin.base.crypto import SignatureSuite, verify
from xinglin.engine.codes import EngineCode
from xinglin.kernel.tx import Check

_COUNT = struct.Struct(">I")
_CHECK = struct.Struct(">BHIH")

PIPE_BYTES = 256 * 1024            # four chunks of 64 small transactions are 100 KB


def hold(checks: Iterable[Check]) -> bool:
    """Whether every one of `checks` holds."""
    try:
        for check in checks:
            verify(check.suite, check.key, check.message, check.signature)
    except SignatureInvalid:
        return False
    return True


class Helper:
    """The helper process. It reads a chunk, verifies it, answers, and ends when its pipe closes.

    It may be killed at any time: `send` then raises and `receive` is short, and whoever holds the chunk
    verifies it elsewhere.
    """

    def __init__(self) -> None:
        """Errors  Failed HELPER_ENDED when it cannot be started."""
        read_requests, self._requests = os.pipe()
        _widen(self._requests)
        self._answers, write_answers = os.pipe()
        # Its own session: an interrupt at the terminal is the node's to handle. Its modules come from where
        # this process has them from, and never from the folder that it happens to be started in. What is in our
        # own variables, a passphrase perhaps, is not for it.
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "xinglin.engine.signatures"], stdin=read_requests,
                stdout=write_answers, start_new_session=True,
                env={**{name: value for name, value in os.environ.items() if not name.startswith("XINGLIN_")},
                     "PYTHONPATH": os.pathsep.join([folder for folder in sys.path if folder])})
        except OSError as error:
            self._close_pipes()
            raise Failed(EngineCode.HELPER_ENDED, f"it cannot be started: {error.strerror}") from error
        finally:
            os.close(read_requests)
            os.close(write_answers)

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        """Readable when an answer is waiting."""
        return self._answers

    def send(self, checks: list[Check]) -> None:
        """Errors  BrokenPipeError when the helper has died."""
        parts = [_COUNT.pack(len(checks))]
        for suite, key, message, signature in checks:
            parts.append(_CHECK.pack(suite, len(key), len(message), len(signature)))
            parts += (key, message, signature)
        data = memoryview(b"".join(parts))
        while data:
            data = data[os.write(self._requests, data):]

    def receive(self, count: int) -> bytes:
        """The answer to the oldest chunk sent, which had `count` checks; shorter if the helper died."""
        return _read(self._answers, count)

    def close(self) -> None:
        """It holds nothing that could be lost, and a process forked meanwhile may hold its pipe open: so kill it."""
        self._close_pipes()
        self._process.kill()
        self._process.wait()

    def _close_pipes(self) -> None:
        os.close(self._requests)
        os.close(self._answers)


def _widen(descriptor: int) -> None:
    """Let the pipe hold all chunks under way, where it can: whoever sends is not to wait for whoever verifies."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):           # a user who has many pipes gets narrow ones
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _read(descriptor: int, wanted: int) -> bytes:
    data = b""
    while len(data) < wanted:
        piece = os.read(descriptor, wanted - len(data))
        if not piece:
            break
        data += piece
    return data


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer chunks until the requests end, or nobody is there to hear. `answers` is not buffered."""
    while len(head := requests.read(4)) == 4:
        verdicts = bytearray()
        for _ in range(_COUNT.unpack(head)[0]):
            head = requests.read(_CHECK.size)
            if len(head) < _CHECK.size:
                return                    # the node was killed while it sent
            suite, key, message, signature = _CHECK.unpack(head)
            check = Check(SignatureSuite(suite), requests.read(key), requests.read(message),
                          requests.read(signature))
            verdicts.append(hold((check,)))
        try:
            answers.write(verdicts)
        except BrokenPipeError:
            return


if __name__ == "__main__":
    serve(sys.stdin.buffer, open(sys.stdout.fileno(), "wb", buffering=0, closefd=False))
