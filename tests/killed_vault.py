"""A process that fills and empties a holder's data room and is killed: what `tests/vault/test_kill.py` starts.

It says each thing twice, before it begins and when it is done. So whoever looks afterwards knows what must be
there, and the one thing that may be.
"""

import hashlib
import random
from collections.abc import Callable
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import killed
from xinglin.vault.blobs import Blobs
from xinglin.vault.cabinet import Cabinet
from xinglin.vault.keystore import Keystore

KEK, CABINET_KEY = bytes(range(32)), bytes(range(32, 64))
OWNERS = [bytes([number]) * 16 for number in range(1, 4)]
BLOB_BYTES_MAX = 200_000


class Said(NamedTuple):
    """`done` or about to be."""

    done: bool
    what: str
    about: Any


class Room:
    """What a data room keeps, open."""

    def __init__(self, folder: Path):
        self.keystore = Keystore.open(folder / "keystore", KEK, (folder / "mirror",))
        self.blobs = Blobs.open(folder / "blobs")
        self.cabinet = Cabinet.open(folder / "cabinet")

    def close(self) -> None:
        self.keystore.close()
        self.cabinet.close()


def run(folder: Path, seed: int, write: Connection, place: killed.Place | None, flaw: killed.Flaw | None) -> None:
    chance = random.Random(seed)
    if flaw:
        flaw(pytest.MonkeyPatch())
    if place:
        place.die_here()
    room = Room(folder)
    live: list[bytes] = []

    @contextmanager
    def saying(what: str, about: Any) -> Any:
        write.send(Said(False, what, about))
        yield
        write.send(Said(True, what, about))

    works = Works(room, chance, live, saying)
    while True:
        chance.choice((works.create, works.destroy, works.blob, works.cells, works.row))()


class Works:
    """What is done, one after the other, in an order that the seed draws."""

    def __init__(self, room: Room, chance: random.Random, live: list[bytes], saying: Callable[[str, Any], Any]):
        self.room, self.chance, self.live, self.saying = room, chance, live, saying

    def create(self) -> None:
        subjects = [self.chance.randbytes(16) for _ in range(self.chance.randrange(1, 4))]
        with self.saying("create", subjects):
            keys = self.room.keystore.create_many(subjects)
        with self.saying("key", dict(zip(subjects, keys, strict=True))):
            self.live += subjects

    def destroy(self) -> None:
        if self.live:
            subject = self.live.pop(self.chance.randrange(len(self.live)))
            with self.saying("destroy", subject):
                self.room.keystore.destroy(subject)

    def blob(self) -> None:
        name, size = self.chance.randbytes(16).hex(), self.chance.randrange(BLOB_BYTES_MAX)
        with self.saying("blob", (name, size)):
            self.room.blobs.put(name, content(name, size))

    def cells(self) -> None:
        """Two that say the same, or neither."""
        owner, value = self.chance.choice(OWNERS), self.chance.randbytes(40)
        with self.saying("cells", (owner, value)), self.room.cabinet.transaction():
            for name in (b"one", b"two"):
                self.room.cabinet.put("cell", owner, name, value, CABINET_KEY)

    def row(self) -> None:
        owner, value = self.chance.choice(OWNERS), self.chance.randbytes(40)
        with self.saying("row", (owner, value)):
            self.room.cabinet.append("row", owner, value, CABINET_KEY)


def content(name: str, size: int) -> bytes:
    """A blob's bytes, known by its name."""
    return (hashlib.sha256(name.encode()).digest() * (size // 32 + 1))[:size]
