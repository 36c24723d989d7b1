"""Examples in pages: what they say to run, run as a reader would, and what they show compared with what came."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tidy.tree import ROOT

BLOCK = re.compile(r"<!-- runs: (\w+) -->\n```(sh|python)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)
SECONDS_MAX = 300                  # a page that waits for an answer is broken, and must not hold up the suite


class Example(NamedTuple):
    """A block to run, and the lines that it shows; "…" stands for anything."""

    starts_from: str               # demo: the home that the demo leaves; empty: an empty one
    language: str
    code: str
    shown: tuple[str, ...]


def examples(page: Path) -> list[Example]:
    return [Example(starts, language, code, tuple(shown.splitlines()))
            for starts, language, code, shown in BLOCK.findall(page.read_text("utf-8"))]


def run(found: list[Example], home: Path) -> list[str]:
    """What each block printed, in one shell; AssertionError when a command failed."""
    pieces = ["set -e"]
    for example in found:
        pieces += [example.code if example.language == "sh" else f"python - <<'PYTHON'\n{example.code}PYTHON",
                   "printf '<<end of block>>\\n'"]
    done = subprocess.run(["bash", "-c", "\n".join(pieces)], cwd=home, env=environment(home), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout.split("<<end of block>>\n")[:-1]


def environment(home: Path) -> dict[str, str]:
    """A reader's terminal: nothing of ours but the command `xinglin` and this Python."""
    tools = home / ".bin"
    tools.mkdir(exist_ok=True)
    for name, program in (("xinglin", f'"{sys.executable}" -m xinglin'), ("python", f'"{sys.executable}"')):
        (tools / name).write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        (tools / name).chmod(0o755)
    return {"HOME": str(home), "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src"),
            "LANG": "C.UTF-8", "COLUMNS": "200"}


def missing(shown: tuple[str, ...], output: str) -> str | None:
    """The first line shown that does not come, in this order, in the output."""
    lines = iter(output.splitlines())
    for line in shown:
        pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
        if not any(pattern.fullmatch(one.rstrip()) for one in lines):
            return line
    return None
