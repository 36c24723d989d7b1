"""A process that fills and empties a holder's data room and is killed: what `tests/vault/test_kill.py` starts.

It says each thing twice, before it begins and when it is done. So whoever looks afterwards knows what must be
there, and the one thing that may be.
"""

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import killed
from xinglin.base.check import NotFound, NotUnderstood
from xinglin.vault import VaultCode
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
    works = Works(room, chance, write.send)
    while True:
        works.some()


class Works:
    """What is done, one after the other, in an order that the seed draws."""

    def __init__(self, room: Room, chance: random.Random, say: Callable[[Said], None]):
        self.room, self.chance, self._say = room, chance, say
        self.live: list[bytes] = []

    def some(self) -> None:
        self.chance.choice((self.create, self.destroy, self.blob, self.cells, self.row))()

    @contextmanager
    def saying(self, what: str, about: Any) -> Iterator[None]:
        self._say(Said(False, what, about))
        yield
        self._say(Said(True, what, about))

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


class Expected:
    """What must be there, from what the process said; `begun` is the one thing that need not be."""

    def __init__(self) -> None:
        self.keys: dict[bytes, bytes] = {}
        self.destroyed: set[bytes] = set()
        self.blobs: dict[str, int] = {}
        self.cells: dict[bytes, bytes] = {}
        self.rows: dict[bytes, list[bytes]] = {owner: [] for owner in OWNERS}
        self.begun: Said | None = None

    def hear(self, said: Said) -> None:
        self.begun = None if said.done else said
        match said:
            case Said(True, "key", keys):
                self.keys.update(keys)
            case Said(False, "destroy", subject):
                del self.keys[subject]
            case Said(True, "destroy", subject):
                self.destroyed.add(subject)
            case Said(True, "blob", (name, size)):
                self.blobs[name] = size
            case Said(True, "cells", (owner, value)):
                self.cells[owner] = value
            case Said(True, "row", (owner, value)):
                self.rows[owner].append(value)

    def look(self, folder: Path, new: Iterable[str], torn: bool = False) -> None:
        """`new` blobs only are read again: they are the bulk. What was under way may be `torn` by a power cut."""
        room = Room(folder)
        try:
            assert torn or room.keystore.damaged == ()
            self._look_at_keys(room.keystore)
            for name in new:
                assert room.blobs.get(name) == content(name, self.blobs[name]), "a blob that was put is lost"
            self._look_at_cabinet(room)
            self._take_in_what_was_begun(room)
        finally:
            room.close()
        assert not list((folder / "blobs").glob(".*")), "a piece of a put that never returned stays"

    def _look_at_keys(self, keystore: Keystore) -> None:
        for subject, key in self.keys.items():
            assert keystore.key(subject) == key, "a key that was handed out is lost"
        for subject in self.destroyed:
            with pytest.raises(NotFound) as gone:
                keystore.key(subject)
            assert gone.value.code is VaultCode.KEY_DESTROYED

    def _look_at_cabinet(self, room: Room) -> None:
        for owner in OWNERS:
            one, two = (room.cabinet.get("cell", owner, name, CABINET_KEY) for name in (b"one", b"two"))
            assert one == two, "half a transaction"
            assert one == self.cells.get(owner) or self.begun == Said(False, "cells", (owner, one))
            found = [value for _, value in room.cabinet.rows("row", owner, CABINET_KEY, start=1)]
            rows = self.rows[owner]
            assert found == rows or self.begun == Said(False, "row", (owner, found[-1])) and found[:-1] == rows

    def _take_in_what_was_begun(self, room: Room) -> None:
        """It is there wholly or not at all; from now on it is expected to stay as found."""
        match self.begun:
            case Said(_, "create", subjects):
                for subject in subjects:
                    with suppress(NotFound, NotUnderstood):              # or damaged, by a power cut
                        self.keys[subject] = room.keystore.key(subject)
            case Said(_, "destroy", subject):
                room.keystore.destroy(subject)
                self.destroyed.add(subject)
            case Said(_, "blob", (name, size)):
                with suppress(NotFound):
                    assert room.blobs.get(name) == content(name, size), "half a blob"
                    self.blobs[name] = size
            case Said(_, "cells", (owner, _)):
                found = room.cabinet.get("cell", owner, b"one", CABINET_KEY)
                if found is not None:
                    self.cells[owner] = found
            case Said(_, "row", (owner, _)):
                self.rows[owner] = [value for _, value in room.cabinet.rows("row", owner, CABINET_KEY)]
        self.begun = None
