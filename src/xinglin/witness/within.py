"""One time for a whole exchange over a socket. A socket's own timeout starts again with every byte that comes."""

import time
from io import RawIOBase
from socket import socket
from typing import Any


class Deadline:
    """So long from now, by a clock that nobody sets."""

    def __init__(self, ms: int):
        self._at = time.monotonic() + ms / 1000

    def left_s(self) -> float:
        """What is left, above nothing. Errors  TimeoutError."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("it takes too long")
        return left


class Received(RawIOBase):
    """What comes over a socket until the deadline, of so many bytes at most."""

    def __init__(self, source: socket, within: Deadline, bytes_max: int):
        self._source = source
        self._within = within
        self._bytes_left = bytes_max

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Errors  OSError: TimeoutError, or ConnectionError when too much comes."""
        self._source.settimeout(self._within.left_s())
        count = self._source.recv_into(buffer)
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise ConnectionError("too many bytes come")
        return count


__all__ = ["Deadline", "Received"]
