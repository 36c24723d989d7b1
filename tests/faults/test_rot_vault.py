"""What rotted in a data room is repaired from a mirror or refused; never another's, never what was not written.

That a cabinet is an older one as a whole, or some of its pages are, is not seen: its values open, as they were.
Destroyed keys stay destroyed.
"""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import rot
from killed_vault import CABINET_KEY, OWNERS, Room
from rows import Span
from xinglin.base.check import Failed
from xinglin.vault import keystore, seal

DAYS = 3


class WholeRoom:
    """A data room that is well, what it ever held in which place, and copies of it from earlier days."""

    def __init__(self, folder: Path):
        self.home = folder / "room"
        self.older = [folder / f"day {day}" for day in range(DAYS)]
        self.keys: dict[bytes, bytes] = {}
        self.destroyed: list[bytes] = []
        self.blobs: dict[str, tuple[bytes, bytes]] = {}          # name -> (key, content)
        self.cells: dict[tuple[bytes, bytes], list[bytes | None]] = {}
        self.rows: dict[bytes, list[bytes]] = {owner: [] for owner in OWNERS}
        chance, room = random.Random(1), Room(self.home)
        for day in (*self.older, None):
            self._work(room, chance)
            if day:
                room.close()
                shutil.copytree(self.home, day)
                room = Room(self.home)
        shutil.copytree(self.home, folder / "open")              # with what is in SQLite's log
        room.close()
        self.home = folder / "open"

    def _work(self, room: Room, chance: random.Random) -> None:
        subjects = [chance.randbytes(16) for _ in range(6)]
        self.keys.update(zip(subjects, room.keystore.create_many(subjects), strict=True))
        room.keystore.tag_many([("urn:card", subject.hex(), subject) for subject in subjects])
        gone = next(iter(self.keys))              # the oldest: live in what an earlier day left
        del self.keys[gone]
        self.destroyed.append(gone)
        room.keystore.destroy(gone)
        for _ in range(3):
            name, content = chance.randbytes(16).hex(), chance.randbytes(chance.randrange(1, 9_000))
            key = chance.randbytes(32)
            room.blobs.put(name, seal.seal(key, name.encode(), content))
            self.blobs[name] = key, content
        for owner in OWNERS:
            for name in (b"one", b"two"):
                value = chance.randbytes(500)
                room.cabinet.put("cell", owner, name, value, CABINET_KEY)
                self.cells.setdefault((owner, name), [None]).append(value)
            value = chance.randbytes(500)
            room.cabinet.append("row", owner, value, CABINET_KEY)
            self.rows[owner].append(value)

    def look(self, room: Room) -> int:
        """How many answers were refused. Errors  AssertionError when one is untrue."""
        refused = 0
        for subject, key in self.keys.items():
            refused += answers(lambda subject=subject: room.keystore.key(subject), [key])
            refused += answers(lambda subject=subject: room.keystore.find("urn:card", subject.hex()), [subject, None])
        for subject in self.destroyed:
            refused += 1 - answers(lambda subject=subject: room.keystore.key(subject), [])
            refused += answers(lambda subject=subject: room.keystore.find("urn:card", subject.hex()), [None])
        for name, (key, content) in self.blobs.items():
            refused += answers(lambda name=name, key=key: seal.open_sealed(key, name.encode(), room.blobs.get(name)),
                               [content])
        for (owner, name), values in self.cells.items():
            refused += answers(lambda place=(owner, name): room.cabinet.get("cell", *place, CABINET_KEY), values)
        for owner, values in self.rows.items():
            refused += answers(lambda owner=owner: [row for _, row in room.cabinet.rows("row", owner, CABINET_KEY)],
                               [values[:count] for count in range(len(values) + 1)])
        return refused


def answers(ask: Callable[[], object], true: list[object]) -> int:
    """0 when the answer is one of the true ones, 1 when there is none."""
    try:
        found = ask()
    except Failed:
        return 1
    assert found in true, "a spoilt answer is served"
    return 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> WholeRoom:
    return WholeRoom(tmp_path_factory.mktemp("whole"))


def spoil(whole: WholeRoom, folder: Path, span: Span) -> Counter[str]:
    return rot.spoil(whole.home, whole.older, folder, span, lambda chance, item: look(whole, folder))


def look(whole: WholeRoom, folder: Path) -> str:
    try:
        room = Room(folder)
    except Failed:
        return "not opened"
    try:
        return "some answers refused" if whole.look(room) else "all answers true"
    finally:
        room.close()


@pytest.mark.row("ROT-VAULT")
def test_nothing_that_rotted_in_a_data_room_is_served(
        whole: WholeRoom, memory_path: Path, span: Span, record_property: Callable[[str, object], None]) -> None:
    found = spoil(whole, memory_path / "spoilt", span)
    for became, count in found.items():
        record_property(became, count)
    print(dict(found))


# -- the harness bites

def test_a_destroyed_key_that_comes_back_with_an_older_file_is_found(
        whole: WholeRoom, memory_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = keystore._Copy.load_keys

    def live_only(self: keystore._Copy) -> dict[bytes, bytes]:
        return {subject: body for subject, body in load(self).items() if body[0] == keystore.LIVE}
    monkeypatch.setattr(keystore._Copy, "load_keys", live_only)
    monkeypatch.setattr(rot, "KINDS", (rot.stale_file,))
    with pytest.raises(AssertionError, match="item .*a spoilt answer is served"):
        spoil(whole, memory_path / "spoilt", Span(0, 200))
