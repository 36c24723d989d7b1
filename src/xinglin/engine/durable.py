"""Small files of the engine that must outlive a crash; what the operating system says of them, in our words."""

import errno
from pathlib import Path

from xinglin import disk
from xinglin.base.check import Failed
from xinglin.engine.codes import EngineCode

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def disk_failed(error: OSError, what: str) -> Failed:
    """What an error of the operating system means for whoever asked."""
    code = EngineCode.DISK_FULL if error.errno in FULL else EngineCode.STORE_NOT_USABLE
    return Failed(code, f"{what}: {error.strerror}")


def write(file: Path, data: bytes) -> None:
    """As disk.replace_file. Errors  Failed DISK_FULL, STORE_NOT_USABLE; the file is then as it was."""
    try:
        disk.replace_file(file, data)
    except OSError as error:
        raise disk_failed(error, file.name) from error
