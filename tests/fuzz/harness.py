"""Runs a parser over spoilt inputs in a process of its own: what crashes, hangs or grows is found, with its number.

An input is its number: `python -m fuzz.harness "FHIR bundle" 4711 1` plays it again. The process watches itself: a
timer for each input, and the most memory that it ever held (getrusage) before and after.
"""

import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fuzz import parsers
from fuzz.parsers import Parser

HANG_SECONDS = 10
GROWTH_MIB_MAX = 64
IN_MEMORY = "/dev/shm"             # files of parsers that read files: nobody tests the disk here
WARM_UP = 200                      # inputs before memory counts: imports, caches, tables of the interpreter


class Found(NamedTuple):
    """What a run came to. `fault` is empty when all is well."""

    inputs: int
    taken: int
    growth_mib: float
    seconds: float
    fault: str


class Hang(BaseException):
    """Not an Exception: no parser may catch it."""


def run(parser: Parser, first: int, count: int) -> Found:
    def too_long(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, too_long)
    started, taken, held = time.monotonic(), 0, 0
    try:
        for number in [*range(WARM_UP), *range(first, first + count)]:
            if not held and number == first:
                held = most_memory_kib()
            data = parser.mutate(random.Random(number), parser.seeds)
            signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
            try:
                parser.parse(data)
                taken += 1
            except parser.documented:
                pass
            except Hang:
                return Found(number - first, taken, 0, 0, f"input {number} hangs: {data[:200].hex()}")
            except Exception as error:  # noqa: BLE001  whatever it is, it is what we look for
                return Found(number - first, taken, 0, 0, f"input {number}: {error!r}: {data[:200].hex()}")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    growth = (most_memory_kib() - held) / 1024
    fault = f"grew by {growth:.0f} MiB" if growth > GROWTH_MIB_MAX else ""
    return Found(count, taken, round(growth, 1), round(time.monotonic() - started, 1), fault)


def most_memory_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def apart(name: str, make: Callable[[], Parser], first: int, count: int) -> Found:
    """As `run`, in a fork: whatever the parser does to the process, the others are not touched."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(read_end)
            found = run(make(), first, count)
            os.write(write_end, json.dumps(found).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if status or not said:
        return Found(0, 0, 0, 0, f"{name}: the process died ({status})")
    return Found(*json.loads(said))


def main(words: list[str]) -> int:
    """`NAME[,NAME] FIRST COUNT`; one JSON line a parser."""
    names, first, count = words[0].split(","), int(words[1]), int(words[2])
    faults = 0
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None) as folder:
        made: dict[str, Any] = parsers.all_parsers(Path(folder))
        for name in names:
            found = apart(name, made[name], first, count)
            print(json.dumps({"parser": name, **found._asdict()}), flush=True)
            faults += bool(found.fault)
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
