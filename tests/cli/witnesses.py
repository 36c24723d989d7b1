"""Witnesses that run beside a shell, in processes of their own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cli.command import Shell


@contextmanager
def witness(shell: Shell, name: str, line: str) -> Iterator[dict[str, Any]]:
    """One in a process of its own; its key and address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "xinglin", "witness", "--dir", str(shell.folder / name), "--name", f"{name}.example/w",
         "--log", line, "--listen", "127.0.0.1:0", "--json"], env=shell.env, cwd=shell.folder, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        said = ""
        while not said.rstrip().endswith("}"):
            more = process.stdout.readline()
            assert more, "it ended"
            said += more
        yield json.loads(said)
    finally:
        process.terminate()
        process.wait(timeout=30)
