"""The images of a folder that a power cut may leave, made from the record of a run under the shim.

What a disk must keep is what was synced: a file's bytes by a sync of the file, a name by a sync of its folder.
Of the rest it may have kept all (`whole`), the first writes (`cut`), any of them in blocks (`mixed`), and of the
write under way the first bytes (`torn`). Names of one folder come to the disk in their order, as in a journal.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rows import Span

HEAD = struct.Struct(">cQQIII")
BLOCK_BYTES = 512
KINDS = ("whole", "torn", "cut", "mixed")


class Change(NamedTuple):
    op: str
    inode: int
    at: int                       # offset of a write, length of a truncated file
    name: str
    to: str
    data: bytes


def read(file: Path) -> Iterator[Change]:
    data, at = memoryview(file.read_bytes()), 0
    while at < len(data):
        op, inode, offset, *sizes = HEAD.unpack_from(data, at)
        at += HEAD.size
        parts = []
        for size in sizes:
            parts.append(bytes(data[at:at + size]))
            at += size
        yield Change(op.decode(), inode, offset, parts[0].decode(), parts[1].decode(), parts[2])


def put(data: bytearray, change: Change) -> None:
    if change.op == "t":
        del data[change.at:]
        data.extend(bytes(change.at - len(data)))
    else:
        data.extend(bytes(max(change.at - len(data), 0)))
        data[change.at:change.at + len(change.data)] = change.data


@dataclass(eq=False)
class File:
    """What of it is on the disk, and what was written since."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def content(self, changes: list[Change]) -> bytes:
        data = bytearray(self.durable)
        for change in changes:
            put(data, change)
        return bytes(data)


class Disk:
    """The folder as the process sees it, and as far as it is on the disk."""

    def __init__(self) -> None:
        self.by_inode: dict[int, File] = {}
        self.names: dict[str, File] = {}                       # as seen
        self.durable: dict[str, File] = {}
        self.pending: dict[str, list[tuple[str, File | None]]] = {}     # folder -> (name, what it came to mean)

    @classmethod
    def of(cls, folder: Path) -> "Disk":
        """One on which all is synced that is in the folder."""
        disk = cls()
        for path in folder.rglob("*"):
            if path.is_file():
                file = disk.by_inode[path.stat().st_ino] = File(bytearray(path.read_bytes()))
                disk.names[path.relative_to(folder).as_posix()] = file
        disk.durable = dict(disk.names)
        return disk

    def apply(self, change: Change) -> None:
        match change.op:
            case "c":
                self.by_inode[change.inode] = File()
                self._name(change.name, self.by_inode[change.inode])
            case "w" | "t":
                file = self.by_inode.get(change.inode)
                if file is not None:
                    file.pending.append(change)
            case "s":
                file = self.by_inode.get(change.inode)
                if file is not None:
                    file.durable = bytearray(file.content(file.pending))
                    file.pending.clear()
            case "f":             # the kernel may drop the pages, and call the next sync good
                file = self.by_inode.get(change.inode)
                if file is not None:
                    file.pending.clear()
            case "r":
                file = self.names.get(change.name)
                self._name(change.to, file)
                self._name(change.name, None)
            case "l":
                self._name(change.to, self.names.get(change.name))
            case "u":
                self._name(change.name, None)
            case "x":
                for name, meant in self.pending.pop(change.name, ()):
                    _set(self.durable, name, meant)

    def _name(self, name: str, file: File | None) -> None:
        _set(self.names, name, file)
        self.pending.setdefault(str(PurePosixPath("/", name).parent).strip("/"), []).append((name, file))

    def worst(self) -> dict[str, bytes]:
        """Name -> content when nothing was kept that was not synced."""
        return {name: bytes(file.durable) for name, file in self.durable.items()}

    def image(self, kind: str, chance: random.Random, under_way: Change | None) -> dict[str, bytes]:
        """Name -> content of one possible image."""
        if kind in ("whole", "torn"):
            found = {name: (file, list(file.pending)) for name, file in self.names.items()}
            if kind == "torn" and under_way and under_way.op == "w" and len(under_way.data) > 1:
                torn = under_way._replace(data=under_way.data[:chance.randrange(1, len(under_way.data))])
                for file, pending in found.values():
                    if file is self.by_inode.get(under_way.inode):
                        pending.append(torn)
        else:
            names = dict(self.durable)
            for pending_names in self.pending.values():
                for name, meant in pending_names[:chance.randrange(len(pending_names) + 1)]:
                    _set(names, name, meant)
            kept: dict[int, list[Change]] = {}
            for file in names.values():
                if id(file) not in kept:
                    kept[id(file)] = _first(file, chance) if kind == "cut" else _mixed(file, chance)
            found = {name: (file, kept[id(file)]) for name, file in names.items()}
        return {name: file.content(changes) for name, (file, changes) in found.items()}


def _set(names: dict[str, File], name: str, file: File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


def _first(file: File, chance: random.Random) -> list[Change]:
    return file.pending[:chance.randrange(len(file.pending) + 1)]


def _mixed(file: File, chance: random.Random) -> list[Change]:
    """Some blocks of each write, whichever the disk took first."""
    found = []
    for change in file.pending:
        if change.op == "t":
            found += [change] * chance.randrange(2)
            continue
        end = change.at + len(change.data)
        at = change.at
        while at < end:
            next_at = min(at // BLOCK_BYTES * BLOCK_BYTES + BLOCK_BYTES, end)
            if chance.randrange(3):
                found.append(change._replace(at=at, data=change.data[at - change.at:next_at - change.at]))
            at = next_at
    return found


def image_of(changes: list[Change], at: int, item: int, disk: Disk) -> tuple[str, dict[str, bytes]]:
    """The kind of an item, and its image after so many changes, which `disk` has."""
    under_way = next((one for one in changes[at:] if one.op != "!"), None)
    kind = KINDS[item % len(KINDS)]
    return kind, disk.image(kind, random.Random(item), under_way)


def cut_points(span: Span, changes: list[Change]) -> Iterator[tuple[int, int]]:
    """(changes done, item), the items of the span spread over all the changes, in the order of these."""
    return iter(sorted((item * 7_919 % len(changes) + 1, item) for item in span))


def lay_out(image: dict[str, bytes], folder: Path) -> None:
    folder.mkdir()
    for name, data in image.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
