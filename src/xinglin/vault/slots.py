"""A file of fixed-size slots, overwritten in place, so that what is overwritten is gone from the file.

Slot 0 is the header (magic, padded). A slot is its body and the first 8 bytes of the body's SHA-256; all
zero is free. The file grows by whole runs of zero slots, so that a later write changes no size.

A write that power loss cut short leaves a slot whose checksum fails: it is reported, never guessed at.
"""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from xinglin import disk, failpoint
from xinglin.base.check import require
from xinglin.vault import VaultCode

GROW_SLOTS = 1_024
_CHECK_BYTES = 8


class SlotFile:
    """One such file, open. I/O errors pass as OSError: the caller knows which copy this is."""

    def __init__(self, path: Path, magic: bytes, slot_bytes: int):
        self.path = path
        self._slot_bytes = slot_bytes
        self._body_bytes = slot_bytes - _CHECK_BYTES
        self._zero = bytes(slot_bytes)
        header = self._with_check(magic.ljust(self._body_bytes, b"\0"))
        if not path.exists():
            disk.replace_file(path, header)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._slots = os.fstat(self._fd).st_size // slot_bytes
        self._free: list[int] = []
        self._next = 1
        self._dirty = False
        if os.pread(self._fd, slot_bytes, 0) != header:
            self.close()
            require(False, VaultCode.KEYSTORE_NOT_UNDERSTOOD, f"{path} is not a file of this version")

    def load(self) -> Iterator[tuple[int, bytes, bool]]:
        """(index, body, intact) of every slot that is not free; one sequential read."""
        with open(self.path, "rb") as file:
            data = file.read()
        size, body_bytes = self._slot_bytes, self._body_bytes
        self._next = 1
        self._free.clear()
        free = []
        for index in range(1, -(-len(data) // size)):
            slot = data[index * size:(index + 1) * size].ljust(size, b"\0")
            if slot == self._zero:
                free.append(index)
                continue
            self._free += free                    # holes only; the tail is counted by _next
            free.clear()
            self._next = index + 1
            body = slot[:body_bytes]
            yield index, body, sha256(body).digest()[:_CHECK_BYTES] == slot[body_bytes:]

    def take(self) -> int:
        """The index of a free slot, the caller's to write."""
        if self._free:
            return self._free.pop()
        index = self._next
        if index >= self._slots:
            disk.write_all(self._fd, bytes(GROW_SLOTS * self._slot_bytes), index * self._slot_bytes)
            self._slots = index + GROW_SLOTS
            self._dirty = True
        self._next = index + 1
        return index

    def read(self, index: int) -> bytes | None:
        """The body, or None when its checksum fails."""
        slot = os.pread(self._fd, self._slot_bytes, index * self._slot_bytes)
        body = slot[:self._body_bytes]
        return body if self._with_check(body) == slot else None

    def write(self, index: int, body: bytes) -> None:
        self._dirty = True
        failpoint.hit("slot.write")
        disk.write_all(self._fd, self._with_check(body), index * self._slot_bytes)
        failpoint.hit("slot.written")

    def wipe(self, index: int) -> None:
        """Overwrite with zeros and make free."""
        self._dirty = True
        disk.write_all(self._fd, self._zero, index * self._slot_bytes)
        self._free.append(index)

    def sync(self) -> None:
        if self._dirty:
            disk.sync(self._fd)
            failpoint.hit("slots.synced")
            self._dirty = False

    def close(self) -> None:
        os.close(self._fd)

    def _with_check(self, body: bytes) -> bytes:
        return body + sha256(body).digest()[:_CHECK_BYTES]


__all__ = ["SlotFile"]
