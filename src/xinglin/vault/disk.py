"""How bytes reach the disk and stay there: synced files, synced folders, modes for one user.

A failed sync is never tried again on the same pages: the kernel may have dropped them and call the
next sync good. Whoever gets an OSError from here stops writing to that place (safety.md R16).
"""

import fcntl
import os
import secrets
import stat
from pathlib import Path

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
    part = _part(path, data)
    try:
        os.replace(part, path)
    except OSError:
        os.unlink(part)
        raise
    sync_folder(path.parent)


def create_file(path: Path, data: bytes) -> None:
    """As `replace_file`, but a file that is there stays.

    Errors  FileExistsError.
    """
    part = _part(path, data)
    try:
        os.link(part, path)
    finally:
        os.unlink(part)
    sync_folder(path.parent)


def _part(path: Path, data: bytes) -> Path:
    """A synced file beside `path`, of this call alone: two that write at once never share one.

    A crash may leave it behind; nothing reads it, and whoever finds it may delete it.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, 0o600)                      # whatever the umask
        write_all(fd, data, 0)
        os.fsync(fd)
    except OSError:
        os.unlink(part)
        raise
    finally:
        os.close(fd)
    return part


def readable_by_others(fd: int) -> bool:
    return bool(os.fstat(fd).st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def lock_file(path: Path, *, wait: bool = False) -> int:
    """Hold `path` until the descriptor closes; `wait` for whoever has it.

    Errors  BlockingIOError when another has it, unless told to wait.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(fd)
        raise
    return fd


__all__ = ["create_file", "lock_file", "make_folder", "readable_by_others", "replace_file", "sync",
           "sync_folder", "write_all"]
