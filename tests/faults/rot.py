"""What disks do to files that lie still: flipped bits, lost and misplaced sectors, whole files of another day."""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rows import Span

SECTORS = (512, 4_096)
TRIES_MAX = 1_000
BLOB_NAME_CHARS = 32

Damage = Callable[[random.Random, Path, list[Path]], str]


def damage(chance: random.Random, folder: Path, older: list[Path], kind: Damage) -> str:
    """Spoil one file in the folder, or two; `older` are earlier copies of it. Says what was done.

    Tries until something is another than before: a sector of another day may hold the same.
    """
    before = {path: path.read_bytes() for path in files(folder)}
    for _ in range(TRIES_MAX):
        what = kind(chance, folder, older)
        if before != {path: path.read_bytes() for path in files(folder)}:
            return what
    raise AssertionError("nothing could be spoilt")


def files(folder: Path) -> list[Path]:
    """All that matter: what RocksDB writes for people, and empty files, are not among them."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size
                  and not path.name.startswith(("LOG", "OPTIONS", "IDENTITY", "rocksdict-config")))


def one_of(chance: random.Random, folder: Path) -> Path:
    """Each kind of file as likely as another, however many there are."""
    kinds: dict[str, list[Path]] = {}
    for path in files(folder):
        kind = path.suffix or (path.parent.name if len(path.name) == BLOB_NAME_CHARS else path.name.split("-")[0])
        kinds.setdefault(kind, []).append(path)
    return chance.choice(kinds[chance.choice(sorted(kinds))])


def flip(chance: random.Random, folder: Path, older: list[Path]) -> str:
    file = one_of(chance, folder)
    data = bytearray(file.read_bytes())
    at = chance.randrange(len(data))
    data[at] ^= 1 << chance.randrange(8)
    file.write_bytes(data)
    return f"a bit flipped in {file.name} at {at} of {len(data)}"


def flip_at_the_end(chance: random.Random, folder: Path, older: list[Path]) -> str:
    """In the last record of a log."""
    logs = sorted((path for path in files(folder) if path.suffix == ".log"), key=lambda path: path.name)
    file = logs[-1] if logs else one_of(chance, folder)
    data = bytearray(file.read_bytes())
    at = len(data) - 1 - chance.randrange(min(len(data), 400))
    data[at] ^= 1 << chance.randrange(8)
    file.write_bytes(data)
    return f"a bit flipped near the end of {file.name}, at {at} of {len(data)}"


def swap(chance: random.Random, folder: Path, older: list[Path]) -> str:
    """Two sectors, each where the other should be."""
    one, two, size = one_of(chance, folder), one_of(chance, folder), chance.choice(SECTORS)
    data = {one: bytearray(one.read_bytes()), two: bytearray(two.read_bytes())}
    at, to = (chance.randrange(-(-len(data[file]) // size)) * size for file in (one, two))
    first, second = bytes(data[one][at:at + size]), bytes(data[two][to:to + size])
    if len(first) != len(second):
        return ""
    data[one][at:at + size], data[two][to:to + size] = second, first
    for file, spoilt in data.items():
        file.write_bytes(spoilt)
    return f"{size} bytes of {one.name} at {at} swapped with {two.name} at {to}"


def stale_sector(chance: random.Random, folder: Path, older: list[Path]) -> str:
    """A write that the disk called done and never did."""
    found = chance.choice(older)
    file, size = one_of(chance, folder), chance.choice(SECTORS)
    then = found / file.relative_to(folder)
    data, old = bytearray(file.read_bytes()), then.read_bytes() if then.is_file() else b""
    at = chance.randrange(-(-len(data) // size)) * size
    data[at:at + size] = old[at:at + size].ljust(min(size, len(data) - at), b"\0")
    file.write_bytes(data)
    return f"{size} bytes of {file.name} at {at} are those of {found.name}"


def stale_file(chance: random.Random, folder: Path, older: list[Path]) -> str:
    """A whole file as it was, or another of its kind in its place."""
    found = chance.choice(older)
    file = one_of(chance, folder)
    then = found / file.relative_to(folder)
    if then.is_file() and chance.randrange(3):
        file.write_bytes(then.read_bytes())
        return f"{file.name} is that of {found.name}"
    other = chance.choice([path for path in files(folder) if path.suffix == file.suffix])
    file.write_bytes(other.read_bytes())
    return f"{file.name} holds {other.name}"


def cut(chance: random.Random, folder: Path, older: list[Path]) -> str:
    file = one_of(chance, folder)
    data = file.read_bytes()
    file.write_bytes(data[:chance.randrange(len(data))])
    return f"{file.name} cut to {file.stat().st_size} of {len(data)}"


def lose(chance: random.Random, folder: Path, older: list[Path]) -> str:
    file = one_of(chance, folder)
    file.unlink()
    return f"{file.name} lost"


KINDS: tuple[Damage, ...] = (flip, flip_at_the_end, swap, stale_sector, stale_file, flip, flip, cut, swap, lose)


def spoil(home: Path, older: list[Path], folder: Path, span: Span,
          look: Callable[[random.Random, int], str]) -> Counter[str]:
    """Spoil a copy of `home` in `folder` for each item, and count what `look` says became of it.

    Errors  AssertionError of `look`, with the item and what was done.
    """
    found: Counter[str] = Counter()
    for item in span:
        chance = random.Random(item)
        shutil.copytree(home, folder)
        what = damage(chance, folder, older, KINDS[item % len(KINDS)])
        try:
            found[look(chance, item)] += 1
        except AssertionError as wrong:
            raise AssertionError(f"item {item}, {what}: {wrong}") from wrong
        shutil.rmtree(folder)
    return found
