"""Small files that must outlive a crash: whole as before or whole as now, and on the disk when written."""

import errno
import os
from pathlib import Path

from xinglin.base.check import Failed
from xinglin.engine.codes import EngineCode

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def disk_failed(error: OSError, what: str) -> Failed:
    """What an error of the operating system means for whoever asked."""
    code = EngineCode.DISK_FULL if error.errno in FULL else EngineCode.STORE_NOT_USABLE
    return Failed(code, f"{what}: {error.strerror}")


def write(file: Path, data: bytes) -> None:
    """Write beside, sync, rename, sync the folder. Readable by this user alone.

    Errors  Failed DISK_FULL, STORE_NOT_USABLE; the file is then as it was.
    """
    beside = file.with_name(file.name + ".new")
    try:
        with open(beside, "wb", opener=_for_this_user) as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, file)
        sync_folder(file.parent)
    except OSError as error:
        raise disk_failed(error, file.name) from error


def sync_folder(folder: Path) -> None:
    """A new name in a folder is only durable once the folder is. Errors  OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _for_this_user(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
