"""What a power cut may leave of a run opens with all that was acknowledged, or is refused (safety.md, POWER)."""

import hashlib
import os
import pickle
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from faults import power, works
from faults.power import Change, Disk
from faults.shimmed import Ended, Shimmed
from homes import CHECKPOINT_SEED, Home
from killed import Flaw
from killed_vault import Expected
from memory_ledger import MemoryLedger
from rows import Span
from worlds import World
from xinglin import disk as our_disk
from xinglin.base.check import Failed
from xinglin.engine.acknowledged import Acknowledged
from xinglin.engine.ledger import Ledger
from xinglin.engine.store import Store
from xinglin.node import Node
from xinglin.vault.slots import SlotFile

IMAGES_OF_A_RUN = 1_000
ORDERS_ON = 16                    # one image in so many is also gone on from


def record(shimmed: Shimmed, work: Callable[..., None], folder: Path, seed: int, flaw: Flaw | None) -> list[Change]:
    """The changes that two processes made, the first of them cut off."""
    trace = folder.with_suffix(".trace")
    for closes in (False, True):
        ended = shimmed.run(work, folder, trace, seed + closes, closes, flaw)
        assert ended == Ended(["done"], 0), ended
    changes, disk = list(power.read(trace)), Disk()
    trace.unlink()
    for change in changes:
        disk.apply(change)
    seen = without_mapped(disk.image("whole", Random(0), None))
    there = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert seen == without_mapped(there), "a change was not seen"
    return changes


def without_mapped(image: dict[str, bytes]) -> dict[str, bytes]:
    """SQLite's index to its log is written through memory, and made anew at a start."""
    return {name: data for name, data in image.items() if not name.endswith("-shm")}


class Recorded:
    """A node's run, with what the ledger was at each height."""

    def __init__(self, shimmed: Shimmed, folder: Path, seed: int, flaw: Flaw | None = None):
        home = folder / f"home{seed}"
        self.changes = record(shimmed, works.record_ledger, home, seed, flaw)
        self.states: dict[int, tuple[bytes, bytes]] = {}
        one = Home(home)
        memory = MemoryLedger(one.world.manifest, one.world.modules)
        self.states[0] = (bytes(32), digest(memory.rows.items()))
        for height, time_ms, _ in one.node.blocks():
            raws = one.node.ask(lambda ledger, height=height: ledger.transactions(height))
            memory.apply(time_ms, [one.world.reader.read(raw) for raw in raws])
            self.states[height] = (memory.app_hash, digest(memory.rows.items()))
        one.node.close()
        shutil.rmtree(home)

    def at(self, cuts: list[int]) -> Iterator[tuple[Disk, int | None]]:
        """The disk after so many changes, and the height that had been told by then; None before the founding."""
        disk, told, done = Disk(), None, 0
        for cut in cuts:
            for change in self.changes[done:cut]:
                if change.op == "!":
                    told = max(told or 0, pickle.loads(change.data))  # noqa: S301  (our own)
                else:
                    disk.apply(change)
            done = cut
            yield disk, told


def digest(rows: Any) -> bytes:
    whole = hashlib.sha256()
    for at, row in sorted(rows):
        whole.update(len(at).to_bytes(4, "big") + at + len(row).to_bytes(4, "big") + row)
    return whole.digest()


def look(folder: Path, recorded: Recorded, told: int | None, goes_on: bool) -> str:
    """What became of an image. Errors  AssertionError when it is a lie."""
    world = people()
    try:
        node = Node.open(folder, world.modules)
    except Failed as error:
        return error.code.name if told is not None else found_again(folder)
    try:
        height, found = node.ask(lambda ledger: (ledger.height, state(ledger)))
        assert told is None or height >= told, f"{told} was acknowledged, the ledger ends at {height}"
        assert found == recorded.states[height], f"another state at {height}"
    finally:
        node.close()
    if goes_on:
        go_on(folder, height)
    return "opened"


def found_again(folder: Path) -> str:
    """Nobody was told of a ledger: then there is room for one, unless what lies there may be rot."""
    world = people()
    try:
        Node.create(folder, world.manifest, world.modules, "operator", CHECKPOINT_SEED).close()
    except Failed as error:
        return error.code.name
    return "founded again"


def state(ledger: Ledger) -> tuple[bytes, bytes]:
    app_hash = ledger.app_hash if ledger.height else bytes(32)
    return app_hash, digest(ledger.store.scan(b"s"))


def go_on(folder: Path, height: int) -> None:
    """It orders, closes, and opens with what it ordered."""
    one = Home(folder)
    done = one.order(one.world.enrol_service("B", "another"))
    assert done.height == height + 1
    one.node.close()
    with_it = Node.open(folder, one.world.modules)
    assert with_it.outcome(done.tx_id) is not None
    with_it.close()


@cache
def people() -> World:
    return World()


def look_at(recorded: Recorded, span: Span, folder: Path) -> Counter[str]:
    """Images of a recorded run, spread over all its changes."""
    found: Counter[str] = Counter()
    points = list(power.cut_points(span, recorded.changes))
    for (at, item), (disk, told) in zip(points, recorded.at([at for at, _ in points]), strict=True):
        kind, image = power.image_of(recorded.changes, at, item, disk)
        power.lay_out(image, folder)
        try:
            became = look(folder, recorded, told, goes_on=item % ORDERS_ON == 0)
            # What came to the disk after a gap in the log: that may be rot too, and is not guessed at.
            holed = kind == "mixed" or hole_between_logs(image, disk)
            assert became in ("opened", "founded again") or holed, f"refused: {became}"
            found[became] += 1
        except AssertionError as wrong:
            raise AssertionError(f"image {item}, {kind}, at {at} of {len(recorded.changes)}: {wrong}") from wrong
        shutil.rmtree(folder)
    return found


def hole_between_logs(image: dict[str, bytes], disk: Disk) -> bool:
    """A log lacks its end, and a newer one has something: the store had just begun another."""
    logs = sorted(name for name in image if name.endswith(".log"))
    return any(image[newer] and len(image[older]) < len(disk.names[older].content(disk.names[older].pending))
               for older, newer in pairwise(logs) if older in disk.names)


@pytest.mark.row("POWER")
def test_every_image_of_a_cut_run_recovers_or_is_refused(
        shimmed: Shimmed, memory_path: Path, span: Span, record_property: Callable[[str, object], None]) -> None:
    found: Counter[str] = Counter()
    for part in parts(span):
        recorded = Recorded(shimmed, memory_path, part.first // IMAGES_OF_A_RUN)
        found += look_at(recorded, part, memory_path / "image")
    for became, count in found.items():
        record_property(became, count)
    print(dict(found))


def parts(span: Span) -> Iterator[Span]:
    """Of a run each."""
    first, end = span.first, span.first + span.count
    while first < end:
        following = min(first // IMAGES_OF_A_RUN * IMAGES_OF_A_RUN + IMAGES_OF_A_RUN, end)
        yield Span(first, following - first)
        first = following


@pytest.mark.row("POWER-VAULT")
def test_every_image_of_a_cut_data_room_has_all_that_was_done(shimmed: Shimmed, memory_path: Path, span: Span) -> None:
    for part in parts(span):
        look_at_rooms(shimmed, memory_path, part)


def look_at_rooms(shimmed: Shimmed, folder: Path, span: Span, flaw: Flaw | None = None) -> None:
    changes = record(shimmed, works.record_room, folder / "room", span.first // IMAGES_OF_A_RUN, flaw)
    shutil.rmtree(folder / "room")
    for at, item in power.cut_points(span, changes):
        disk, expected = Disk(), Expected()
        for change in changes[:at]:
            if change.op == "!":
                expected.hear(pickle.loads(change.data))  # noqa: S301  (our own)
            else:
                disk.apply(change)
        kind, image = power.image_of(changes, at, item, disk)
        power.lay_out(image, folder / "image")
        try:
            expected.look(folder / "image", list(expected.blobs), torn=True)
        except (AssertionError, Failed) as wrong:
            raise AssertionError(f"image {item}, {kind}, at {at} of {len(changes)}: {wrong!r}") from wrong
        shutil.rmtree(folder / "image")


# -- the harness bites

def no_sync_of_the_store(patch: pytest.MonkeyPatch) -> None:
    """Planted: blocks are told of that are only written."""
    patch.setattr(Store, "sync", lambda self: None)
    patch.setattr(Acknowledged, "note", lambda self, height: None)


def no_sync_of_slots(patch: pytest.MonkeyPatch) -> None:
    """Planted: keys are handed out that are only written."""
    patch.setattr(SlotFile, "sync", lambda self: None)


def no_sync_of_folders(patch: pytest.MonkeyPatch) -> None:
    """Planted: a blob's bytes are synced, and not its name."""
    patch.setattr(our_disk, "sync_folder", lambda folder: os.stat(folder))


def test_a_store_that_is_not_synced_is_found(shimmed: Shimmed, memory_path: Path) -> None:
    recorded = Recorded(shimmed, memory_path, 0, no_sync_of_the_store)
    with pytest.raises(AssertionError, match="was acknowledged, the ledger ends"):
        look_at(recorded, Span(0, 400), memory_path / "image")


@pytest.mark.parametrize("flaw", [no_sync_of_slots, no_sync_of_folders])
def test_a_data_room_that_is_not_synced_is_found(shimmed: Shimmed, memory_path: Path, flaw: Flaw) -> None:
    with pytest.raises(AssertionError, match="image .*(KEY_NOT_FOUND|BLOB_NOT_FOUND|lost)"):
        look_at_rooms(shimmed, memory_path, Span(0, 200), flaw)
