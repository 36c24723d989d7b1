"""Wall and monotonic time; and simulated time, which moves by command and only forward.

Only a genesis with the simulated flag may run on a simulated clock. Its offset moves wall and monotonic
time together and is saved before it counts.
"""

import os
import time
from pathlib import Path
from typing import Protocol

from xinglin.base.check import NotUnderstood
from xinglin.engine.codes import EngineCode


class Clock(Protocol):
    def now_ms(self) -> int: ...

    def monotonic_ms(self) -> int: ...


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000


class SimulatedClock:
    """The system's clock plus an offset kept in a file of the home."""

    def __init__(self, file: Path):
        self._file = file
        self.offset_ms = int(file.read_text()) if file.exists() else 0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000 + self.offset_ms

    def advance(self, by_ms: int) -> None:
        """Errors  NotUnderstood TIME_ONLY_GROWS."""
        if by_ms < 0:
            raise NotUnderstood(EngineCode.TIME_ONLY_GROWS)
        offset = self.offset_ms + by_ms
        temporary = self._file.with_suffix(".new")
        with open(temporary, "w") as out:
            out.write(str(offset))
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        self.offset_ms = offset
