"""How far clients have been answered, kept beside the store."""

import os
from pathlib import Path

from xinglin.engine import durable

NAME = "acknowledged"
HEIGHT_BYTES = 8


def read(file: Path) -> int | None:
    """The height in such a file; None when it is missing, or torn: then nothing is known.

    Errors  Failed STORE_NOT_USABLE.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise durable.disk_failed(error, file.name) from error
    return int.from_bytes(data, "big") if len(data) == HEIGHT_BYTES else None


class Acknowledged:
    """The last acknowledged height, outside the store: a lower bound that a lost log tail cannot hide.

    Written before each answer, not synced. A flipped last record of the log would else pass for a torn one.
    """

    def __init__(self, file: Path):
        """Errors  Failed DISK_FULL, STORE_NOT_USABLE."""
        self.height = read(file) or 0
        try:
            self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
            if os.fstat(self._descriptor).st_size > HEIGHT_BYTES:      # else what is noted next would be torn as well
                os.ftruncate(self._descriptor, 0)
        except OSError as error:
            raise durable.disk_failed(error, file.name) from error

    def note(self, height: int) -> None:
        """Errors  Failed DISK_FULL, STORE_NOT_USABLE."""
        try:
            os.pwrite(self._descriptor, height.to_bytes(HEIGHT_BYTES, "big"), 0)
        except OSError as error:
            raise durable.disk_failed(error, NAME) from error
        self.height = height

    def close(self) -> None:
        os.close(self._descriptor)
