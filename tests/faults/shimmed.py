"""Functions of tests run in processes of their own under the shim, one after the other.

One interpreter with the shim and every module loaded forks for each: a thousand starts would else be minutes.
"""

import ctypes
import os
import pickle
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pytest

SOURCE = Path(__file__).with_name("shim.c")
Say = Callable[[Any], None]


def compiled(folder: Path) -> Path:
    """The shim as a library; a test that needs it is skipped where it cannot be had."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("NOT TESTED: failing and lost writes need a C compiler and Linux (LD_PRELOAD)")
    library = folder / "shim.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", library, SOURCE],
                   check=True)
    return library


class Raised(NamedTuple):
    """What a function raised."""

    kind: str
    code: int                     # of a Failed, else 0
    words: str


class Ended(NamedTuple):
    """What a process said before it ended, and how: 0, or a signal."""

    said: list[Any]
    signal: int


class Shimmed:
    """An interpreter under the shim that runs functions in children."""

    def __init__(self, library: Path):
        self._ours, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from faults.shimmed import serve; serve(int(sys.argv[1]))",
             str(theirs.fileno())],
            pass_fds=[theirs.fileno()], env={**os.environ, "LD_PRELOAD": str(library),
                                             "PYTHONPATH": os.pathsep.join(sys.path)})
        theirs.close()

    def run(self, function: Callable[..., None], *args: Any) -> Ended:
        """`function(say, *args)` in a child. What it raises is said as the last."""
        self._ours.send_bytes(pickle.dumps((function, args)))
        ended: Ended = self._ours.recv()
        return ended

    def __enter__(self) -> "Shimmed":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._ours.close()
        self._process.wait()


def serve(descriptor: int) -> None:
    ours = Connection(descriptor)
    while True:
        try:
            function, args = pickle.loads(ours.recv_bytes())  # noqa: S301  (the test's own words)
        except EOFError:
            return
        read, write = Pipe(duplex=False)
        child = os.fork()
        if child == 0:
            ours.close()
            read.close()
            _be_child(function, args, write)
        write.close()
        said = []
        try:
            while True:
                said.append(read.recv())
        except EOFError:
            read.close()
        ours.send(Ended(said, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))


def _be_child(function: Callable[..., None], args: tuple[Any, ...], write: Connection) -> None:
    try:
        function(write.send, *args)
    except BaseException as error:  # noqa: BLE001  (told to whoever asked)
        write.send(Raised(type(error).__name__, int(getattr(error, "code", 0) or 0), traceback.format_exc()))
    finally:
        os._exit(0)               # no leave is taken: what a process does at its end is not under test


class Shim:
    """The shim of this process."""

    def __init__(self, root: Path):
        self._shim = _loaded()
        self._shim.shim_root(str(root).encode())

    def trace(self, file: Path) -> None:
        """Write down every change from here on."""
        self._shim.shim_trace(str(file).encode())

    def mark(self, data: bytes) -> None:
        """Something that happened between two changes."""
        self._shim.shim_mark(data, ctypes.c_size_t(len(data)))

    def fail(self, at: int, error: int, for_ever: bool) -> None:
        """Let the `at`-th call from here on fail; with no error number, let a write stop half way."""
        self._shim.shim_fail(ctypes.c_long(at), error, int(for_ever))

    def full(self, ending: str, after_ms: int) -> None:
        """There is no room for new files whose names end so, which is found out after some time."""
        self._shim.shim_full(ending.encode(), after_ms)

    @property
    def calls(self) -> int:
        """How many there have been since `fail`."""
        return int(self._shim.shim_calls())


@cache
def _loaded() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.shim_calls.restype = ctypes.c_long
    return library
