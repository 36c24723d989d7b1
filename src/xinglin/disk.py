"""How bytes reach the disk and stay there: synced files, synced folders, modes for one user.

A failed sync is never tried again on the same pages: the kernel may have dropped them and call the
next sync good. Whoever gets an OSError from here stops writing to that place (safety.md R16).
"""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from xinglin import failpoint

# macOS: fsync stops at the drive's cache. Only its own command goes further.
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)


def sync(fd: int) -> None:
    if _FULL_SYNC is None:
        os.fdatasync(fd)
    else:
        fcntl.fcntl(fd, _FULL_SYNC)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a synced file whose name is lost is lost."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Create `folder` for this user alone, durable in its parent. One that exists is left as it is."""
    missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
    for path in reversed(missing):
        path.mkdir(mode=0o700)
        sync_folder(path.parent)


def write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all, readable by this user, durable on return."""
    with replacing(path) as out:
        out.write(data)


@contextmanager
def replacing(path: Path, *, sole_writer: bool = False) -> Iterator[BinaryIO]:
    """As `replace_file`, of what is written inside. With a `sole_writer` the piece that a crash left behind is
    written over the next time: for a large file, of which no second copy may stay.
    """
    part = path.with_name(f".{path.name}.part") if sole_writer else _own_part(path)
    if sole_writer:
        part.unlink(missing_ok=True)
    with new_file(part) as out:
        yield out
    failpoint.hit("file.synced")
    try:
        os.replace(part, path)
    except OSError:
        os.unlink(part)
        raise
    failpoint.hit("file.renamed")
    sync_folder(path.parent)


def move(path: Path, to: Path) -> None:
    """Give a durable file or folder another name in its folder, over what bears it; durable on return."""
    os.replace(path, to)
    sync_folder(to.parent)


def create_file(path: Path, data: bytes) -> None:
    """As `replace_file`, but a file that is there stays.

    Errors  FileExistsError.
    """
    part = _own_part(path)
    with new_file(part) as out:
        out.write(data)
    try:
        os.link(part, path)
    finally:
        os.unlink(part)
    sync_folder(path.parent)


def _own_part(path: Path) -> Path:
    """A name beside `path` for this call alone: two that write at once never share one.

    A crash may leave the file behind; nothing reads it, and whoever finds it may delete it.
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A new file, synced once left; gone when that fails."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as out:
            os.fchmod(fd, 0o600)                  # whatever the umask
            failpoint.hit("file.write")
            yield out
            out.flush()
            failpoint.hit("file.written")
            os.fsync(fd)
    except BaseException:
        os.unlink(path)
        raise


def readable_by_others(fd: int) -> bool:
    return bool(os.fstat(fd).st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def lock_file(path: Path, *, wait: bool = False, make: bool = True) -> int:
    """Hold `path` until the descriptor closes; `wait` for whoever has it, `make` it if it is missing.

    Errors  BlockingIOError when another has it, unless told to wait.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(fd)
        raise
    return fd


__all__ = ["create_file", "lock_file", "make_folder", "move", "new_file", "readable_by_others", "replace_file",
           "replacing", "sync", "sync_folder", "write_all"]
