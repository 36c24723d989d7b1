"""Wall and monotonic time; and simulated time, which moves by command and only forward.

Only a genesis with the simulated flag may run on a simulated clock. Its offset moves wall and monotonic
time together and is saved before it counts.
"""

import re
import threading
import time
from pathlib import Path
from typing import Protocol

from xinglin.base.check import Failed, NotUnderstood
from xinglin.base.units import MS_PER_DAY
from xinglin.engine import durable
from xinglin.engine.codes import EngineCode

OFFSET = re.compile(rb"[0-9]{1,18}")      # milliseconds
STEP_MS_MAX = 100 * 366 * MS_PER_DAY      # so that no typing error moves a ledger out of the range of its numbers,
OFFSET_MS_MAX = 10 * STEP_MS_MAX          # nor many of them: years keep four digits


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
        """Errors  Failed CLOCK_FILE_NOT_UNDERSTOOD, STORE_NOT_USABLE."""
        self._file = file
        self._moving = threading.Lock()
        self.offset_ms = _read(file)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000 + self.offset_ms

    def advance(self, by_ms: int) -> None:
        """Errors  NotUnderstood TIME_ONLY_GROWS, TIME_ENDS; Failed DISK_FULL, STORE_NOT_USABLE, and time stands as
        before."""
        if not 0 <= by_ms <= STEP_MS_MAX:
            raise NotUnderstood(EngineCode.TIME_ONLY_GROWS, f"by at most {STEP_MS_MAX} ms at a time")
        with self._moving:
            offset = self.offset_ms + by_ms
            if offset > OFFSET_MS_MAX:
                raise NotUnderstood(EngineCode.TIME_ENDS, f"by at most {OFFSET_MS_MAX - self.offset_ms} ms from here")
            durable.write(self._file, str(offset).encode())
            self.offset_ms = offset


def _read(file: Path) -> int:
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise durable.disk_failed(error, file.name) from error
    if not OFFSET.fullmatch(text) or int(text) > OFFSET_MS_MAX:
        raise Failed(EngineCode.CLOCK_FILE_NOT_UNDERSTOOD, str(file))
    return int(text)
