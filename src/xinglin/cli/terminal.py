"""What a terminal adds to text: bold heads, lines that fit, a line of progress. Off a terminal there is none of it."""

import os
import shutil
import sys
import time
from types import TracebackType
from typing import TextIO

from rich.cells import cell_len

COLUMNS = 80                       # of a terminal that does not say
PROGRESS_S = 0.1                   # between two lines of progress


def columns(stream: TextIO) -> int | None:
    """How wide the terminal is; None when `stream` is none."""
    return shutil.get_terminal_size((COLUMNS, 24)).columns if stream.isatty() else None


def bold(text: str) -> str:
    """For stdout. NO_COLOR and a terminal that knows no colours get the text alone, as a pipe does."""
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[1m{text}\x1b[0m"


class Progress:
    """One line on stderr that is written over, without a control sequence but the return; gone when it is over."""

    def __init__(self, shown: bool):
        self._shown = shown and sys.stderr.isatty()
        self._width = 0
        self._next_s = 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._width:
            self._write("")
            print("\r", end="", file=sys.stderr, flush=True)

    def tell(self, words: str) -> None:
        if self._shown and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + PROGRESS_S
            self._write(words)

    def _write(self, words: str) -> None:
        width = cell_len(words)
        print("\r" + words + " " * (self._width - width), end="", file=sys.stderr, flush=True)
        self._width = max(self._width, width)
