"""SIGKILL at any moment and at each failpoint of a data room: what was done stays done, wholly (safety.md, KILL)."""

import random
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import killed
from killed_vault import Expected, Said, run
from rows import Span
from xinglin import disk
from xinglin.base.check import Failed
from xinglin.vault.keystore import Keystore

PLACES = ("slot.write", "slot.written", "slots.synced", "file.write", "file.written", "file.synced", "file.renamed",
          "cabinet.commit", "cabinet.committed")


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
