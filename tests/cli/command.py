"""Running commands in a user's shell: each in a process of its own, as she does, or in this one, for speed."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import xinglin
from xinglin.cli import main

SOURCE = Path(xinglin.__file__).parents[1]
PASSPHRASE = "correct horse"


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """A home, a configuration, a language and a passphrase in an environment."""

    def __init__(self, folder: Path, *, apart: bool = False):
        self.folder = folder
        self.home = folder / "home"
        self.apart = apart
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONPATH": str(SOURCE),
            "XINGLIN_HOME": str(self.home), "XINGLIN_CONFIG": str(folder / "config"), "XINGLIN_LANG": "en",
            "XINGLIN_PASSPHRASE": PASSPHRASE}

    def run(self, *words: object, env: Mapping[str, str] | None = None, stdin: str = "") -> Done:
        said = [str(word) for word in words]
        whole = self.env | dict(env or {})
        return self._apart(said, whole, stdin) if self.apart else self._here(said, whole, stdin)

    def _apart(self, words: list[str], env: dict[str, str], stdin: str) -> Done:
        done = subprocess.run([sys.executable, "-m", "xinglin", *words], cwd=self.folder, input=stdin, env=env,
                              capture_output=True, text=True, check=False, timeout=300)
        if "Traceback" in done.stderr:
            raise AssertionError(done.stderr)
        return Done(done.returncode, done.stdout, done.stderr)

    def _here(self, words: list[str], env: dict[str, str], stdin: str) -> Done:
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        given = io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8")
        with (patch.dict(os.environ, env, clear=True), patch.object(sys, "stdin", given), chdir(self.folder),
              redirect_stdout(out), redirect_stderr(err)):
            code = main(words)
        return Done(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))  # type: ignore[attr-defined]

    def ok(self, *words: object) -> Done:
        """What must succeed."""
        done = self.run(*words)
        if done.code:
            raise AssertionError(f"exit {done.code} of {words}: {done.err}")
        return done

    def json(self, *words: object) -> Any:
        return self.ok(*words, "--json").json
