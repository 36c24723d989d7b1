"""Files that a command reads and writes."""

import os
import stat
import sys
from pathlib import Path

from xinglin import disk
from xinglin.base.check import Code, Failed, NotFound
from xinglin.cli.codes import CliCode, Usage


def read(path: Path, limit: int) -> bytes:
    """At most `limit` bytes and one more, so that a reader notices what is too long; "-" is stdin.

    Errors  Failed FILE_NOT_READ.
    """
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(limit + 1)
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise Failed(CliCode.FILE_NOT_READ, f"{path}: {error.strerror}") from None


def require_there(path: Path, code: Code = CliCode.FILE_NOT_READ) -> None:
    """Errors  NotFound with `code`."""
    if not path.exists():
        raise NotFound(code, str(path))


def require_room(folder: Path, *, over: bool) -> None:
    """Make `folder`, for this user alone, which is to be written to later: new or empty, unless that was said.

    Errors  Usage FILE_EXISTS; Failed FILE_NOT_WRITTEN.
    """
    try:
        disk.make_folder(folder)
        taken = any(folder.iterdir())
    except OSError as error:
        raise Failed(CliCode.FILE_NOT_WRITTEN, f"{folder}: {error.strerror}") from None
    if taken and not over:
        raise Usage(CliCode.FILE_EXISTS, str(folder))
    if not os.access(folder, os.W_OK):
        raise Failed(CliCode.FILE_NOT_WRITTEN, str(folder))


def write(path: Path, data: bytes, *, over: bool) -> None:
    """A new file that nobody else may read, in a folder that is there; over an old one only when that was said, and
    never through a link.

    Errors  Usage FILE_EXISTS; Failed FILE_NOT_WRITTEN.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (0 if over else os.O_EXCL)
    try:
        with open(os.open(path, flags, 0o600), "wb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):      # an old one may have been for others to read
                os.fchmod(file.fileno(), 0o600)
                file.truncate()
            file.write(data)
    except FileExistsError:
        raise Usage(CliCode.FILE_EXISTS, str(path)) from None
    except OSError as error:
        raise Failed(CliCode.FILE_NOT_WRITTEN, f"{path}: {error.strerror}") from None
