"""The file that keeps the state tree's heap between runs; lost or damaged, it is only slower to start."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from xinglin import disk
from xinglin.base import codec
from xinglin.base.check import NotUnderstood
from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite
from xinglin.base.units import U32, Height
from xinglin.engine import durable

CHUNK_BYTES = 1024 * 1024       # what is hashed at once, so that the file is never in memory twice


class Header(Struct, tag="engine.tree_snapshot/2"):
    """First in the file, after its own length in 4 bytes; then hashes, occupancies and one digest over it all."""

    suite: Annotated[str, Meta(max_length=32)]
    height: Height      # of the update that it includes
    places: U32


def write(
    file: Path, hashes: HashSuite, header: Header, heap: bytearray, occupied: bytearray
) -> None:
    """Whole or not at all.

    Errors  Failed DISK_FULL, STORE_NOT_USABLE.
    """
    head = codec.encode(header)
    head = len(head).to_bytes(4, "big") + head
    try:
        with disk.replacing(file, sole_writer=True) as out:
            sums = [hashes.digest(head)]
            out.write(head)
            for part in (heap, occupied):
                with memoryview(part) as view:
                    for at in range(0, len(part), CHUNK_BYTES):
                        chunk = bytes(view[at : at + CHUNK_BYTES])
                        sums.append(hashes.digest(chunk))
                        out.write(chunk)
            out.write(hashes.digest(b"".join(sums)))
    except OSError as error:
        raise durable.disk_failed(error, "tree snapshot") from error


def read(file: Path, hashes: HashSuite) -> tuple[Header, bytearray, bytearray] | None:
    """Header, hashes and occupancies; None when the file is missing, damaged or of another hash suite."""
    try:
        with open(file, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            length = source.read(4)
            head = source.read(min(int.from_bytes(length, "big"), size))
            header = codec.decode(head, Header)
            rest = size - len(length) - len(head)
            if header.suite != hashes.name or header.places < 1 or rest != 66 * header.places + 32:
                return None
            heap, occupied = bytearray(64 * header.places), bytearray(2 * header.places)
            sums = [hashes.digest(length + head)]
            for part in (heap, occupied):
                for chunk in _chunks(part):
                    with chunk:
                        if source.readinto(chunk) != len(chunk):
                            return None
                        sums.append(hashes.digest(bytes(chunk)))
            if source.read() != hashes.digest(b"".join(sums)):
                return None
    except (OSError, NotUnderstood):
        return None
    return header, heap, occupied


def _chunks(part: bytearray) -> Iterator[memoryview]:
    with memoryview(part) as view:
        for at in range(0, len(part), CHUNK_BYTES):
            yield view[at : at + CHUNK_BYTES]
