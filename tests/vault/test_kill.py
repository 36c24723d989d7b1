"""SIGKILL at any moment and at each failpoint of a data room: what was done stays done, wholly (safety.md, KILL)."""

import random
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import killed
from killed_vault import CABINET_KEY, OWNERS, Room, Said, content, run
from rows import Span
from xinglin import disk
from xinglin.base.check import Failed, NotFound
from xinglin.vault import VaultCode
from xinglin.vault.keystore import Keystore

PLACES = ("slot.write", "slot.written", "slots.synced", "file.write", "file.written", "file.synced", "file.renamed",
          "cabinet.commit", "cabinet.committed")


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

    def look(self, folder: Path, new: set[str]) -> None:
        """`new` blobs only are read again: they are the bulk."""
        room = Room(folder)
        try:
            self._look_at_keys(room.keystore)
            for name in new:
                assert room.blobs.get(name) == content(name, self.blobs[name])
            self._look_at_cabinet(room)
            self._take_in_what_was_begun(room)
        finally:
            room.close()
        assert not list((folder / "blobs").glob(".*")), "a piece of a put that never returned stays"

    def _look_at_keys(self, keystore: Keystore) -> None:
        assert keystore.damaged == ()
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
                    try:
                        self.keys[subject] = room.keystore.key(subject)
                    except NotFound:
                        pass
            case Said(_, "destroy", subject):
                room.keystore.destroy(subject)
                self.destroyed.add(subject)
            case Said(_, "blob", (name, size)):
                try:
                    assert room.blobs.get(name) == content(name, size), "half a blob"
                    self.blobs[name] = size
                except NotFound:
                    pass
            case Said(_, "cells", (owner, _)):
                found = room.cabinet.get("cell", owner, b"one", CABINET_KEY)
                if found is not None:
                    self.cells[owner] = found
            case Said(_, "row", (owner, _)):
                self.rows[owner] = [value for _, value in room.cabinet.rows("row", owner, CABINET_KEY)]
        self.begun = None


def kills(folder: Path, seeds: Iterable[int], flaw: killed.Flaw | None = None) -> int:
    """Kill a data room's process once a seed, look, go on. Returns how much was done."""
    expected, done = Expected(), 0
    for seed in seeds:
        chance = random.Random(seed)
        place = None if seed % 3 == 0 else PLACES[(seed - seed // 3 - 1) % len(PLACES)]
        process, read = killed.start(folder, seed, place and killed.Place(place, chance.randrange(1, 12)), flaw, run)
        said = list(heard(read, None if place else chance.randrange(1, 60)))
        if not place:
            time.sleep(chance.random() / 100)
        killed.kill(process)
        said += heard(read, None)
        read.close()
        for one in said:
            expected.hear(one)
        done += sum(one.done for one in said)
        expected.look(folder, {one.about[0] for one in said if one.done and one.what == "blob"})
    return done


def heard(read: Connection, most: int | None) -> Iterator[Said]:
    """So much, or all there is until the process has ended."""
    try:
        while most is None or most > 0:
            yield read.recv()
            most = None if most is None else most - 1
    except (EOFError, OSError):
        return


@pytest.mark.row("KILL-VAULT")
def test_kills_leave_what_was_done_and_no_half_of_what_was_not(memory_path: Path, span: Span) -> None:
    assert kills(memory_path / "room", span) > span.count


# -- the harness bites

def overwriting(patch: pytest.MonkeyPatch) -> None:
    """Planted: a blob is written in place."""
    def write(path: Path, data: bytes) -> None:
        path.write_bytes(data[:len(data) // 2])
        with disk.replacing(path) as out:
            out.write(data)
    patch.setattr(disk, "replace_file", write)


def without_the_mirror(patch: pytest.MonkeyPatch) -> None:
    """Planted: a key is handed out before it is written."""
    patch.setattr(Keystore, "_write_keys", lambda self, bodies: self._states.update(dict.fromkeys(bodies, 1)))


@pytest.mark.parametrize("flaw", [overwriting, without_the_mirror])
def test_a_planted_half_write_is_found(memory_path: Path, flaw: killed.Flaw) -> None:
    with pytest.raises((AssertionError, Failed)):
        kills(memory_path / "room", range(12), flaw)
