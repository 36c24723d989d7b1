"""How far clients have been answered, kept beside the store."""

import os
from pathlib import Path

from xinglin.engine import durable


class Acknowledged:
    """The last acknowledged height, outside the store: a lower bound that a lost log tail cannot hide.

    Written before each answer, not synced. A flipped last record of the log would else pass for a torn one.
    """

    def __init__(self, file: Path):
        """Errors  Failed DISK_FULL, STORE_NOT_USABLE."""
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
            data = os.pread(self._descriptor, 8, 0)
        except OSError as error:
            raise durable.disk_failed(error, file.name) from error
        self.height = int.from_bytes(data, "big") if len(data) == 8 else 0

    def note(self, height: int) -> None:
        """Errors  Failed DISK_FULL, STORE_NOT_USABLE."""
        try:
            os.pwrite(self._descriptor, height.to_bytes(8, "big"), 0)
        except OSError as error:
            raise durable.disk_failed(error, "acknowledged") from error
        self.height = height

    def close(self) -> None:
        os.close(self._descriptor)
