#!/usr/bin/env python3
"""The toolbox, standard library only: ./dev.py demo, ./dev.py test, ./dev.py check ...

It makes .venv once from the lock file (versions and hashes) and remembers what it made, so that a
second start costs nothing. Works from any directory. All commands: ./dev.py help
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (this line is for the Pythons that are too old)
    sys.exit("Xinglin needs Python 3.11 or newer; this is " + sys.version.split()[0] + " (" +
             sys.executable + ").\nOn Debian or Ubuntu: apt-get install python3.11 "
             "python3.11-venv, then: python3.11 dev.py " + " ".join(sys.argv[1:]))

import hashlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
MADE_FROM = VENV / "made-from"
RUN_LOCK, DEV_LOCK = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"

TIDY = "tests/tidy"

Command = list[str | Path]


def demo(args: list[str]) -> NoReturn:
    """a hospital, a clinic, a patient and a stranger's verifier, in one process; --check is headless"""
    setup(RUN_LOCK)
    run_instead([PYTHON, "-m", "xinglin", "demo", *args])


def bench(args: list[str]) -> NoReturn:
    """the figures of docs/acceptance.md, as ratios to this machine's own baseline"""
    setup(RUN_LOCK)
    run_instead([PYTHON, "-m", "xinglin", "bench", *args])


def test(args: list[str]) -> NoReturn:
    """the whole suite; --release runs the long tests in pieces, --row KILL one row of them; the rest goes to pytest"""
    setup(DEV_LOCK)
    run_instead([PYTHON, "-m", "pytest", *in_parallel(args), *args])


def check(args: list[str]) -> NoReturn:
    """lint, types, imports, tidy tests and the tests of what changed"""
    setup(DEV_LOCK)
    tests = [TIDY, *tests_of_changes()]
    commands: dict[str, Command] = {
        "lint": [PYTHON, "-m", "ruff", "check", "."],
        "types": [PYTHON, "-m", "mypy"],
        "imports": [BIN / "lint-imports", "--no-cache"],
        "tests": [PYTHON, "-m", "pytest", "-q", *in_parallel(args), *tests, *args],
    }
    failed = [name for name, command in commands.items() if not passes(name, command)]
    sys.exit(f"check: {', '.join(failed)} failed" if failed else 0)


def docs(args: list[str]) -> NoReturn:
    """write the generated pages anew: docs/modules, docs/errors.md, docs/cli.md"""
    setup(DEV_LOCK)
    run_instead([PYTHON, ROOT / "docs" / "generate.py", *args])


def only_setup(args: list[str]) -> NoReturn:
    """make .venv with everything, and stop there (afterwards no network is needed)"""
    setup(DEV_LOCK)
    sys.exit(0)


def clean(args: list[str]) -> NoReturn:
    """remove .venv and what tools left behind; data of a demo stays"""
    for left in (VENV, *ROOT.glob(".*_cache"), ROOT / ".hypothesis", ROOT / "build", ROOT / "dist",
                 ROOT / "src" / "xinglin.egg-info", ROOT / ".coverage"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)
    for left in (*ROOT.glob("src/**/__pycache__"), *ROOT.glob("tests/**/__pycache__")):
        shutil.rmtree(left)
    sys.exit(0)


COMMANDS: dict[str, Callable[[list[str]], NoReturn]] = {
    "demo": demo, "test": test, "check": check, "bench": bench, "docs": docs,
    "setup": only_setup, "clean": clean,
}


# -- the environment


def setup(lock: Path) -> None:
    """Make .venv hold what `lock` pins, unless it already does. The larger lock serves both."""
    with one_at_a_time():
        made = MADE_FROM.read_text() if MADE_FROM.exists() and PYTHON.exists() else ""
        if made in (made_from(lock), made_from(DEV_LOCK)):
            return
        require_venv()
        say(f"[1/3] making {VENV.name} with Python {sys.version.split()[0]}")
        install("venv", [sys.executable, "-m", "venv", "--clear", VENV])
        pip: Command = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        say(f"[2/3] installing {packages_in(lock)} packages as locked in {lock.name}")
        install("packages", [*pip, "--require-hashes", "--only-binary", ":all:", "-r", lock])
        say("[3/3] installing xinglin itself")
        install("xinglin", [*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT])
        MADE_FROM.write_text(made_from(lock))


def made_from(lock: Path) -> str:
    """What a finished .venv depends on; anything else here means: make it anew."""
    parts = (lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode(),
             repr(sys.version_info[:2]).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest() + "\n"


def packages_in(lock: Path) -> int:
    return sum("==" in line for line in lock.read_text().splitlines())


def require_venv() -> None:
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            sys.exit(f"This Python ({sys.executable}) has no {module}.\n"
                     f"On Debian or Ubuntu: apt-get install python{version}-venv, then the same "
                     "command again. Elsewhere use a Python from its own installer.")


def install(what: str, command: Command) -> None:
    done = subprocess.run([str(part) for part in command], env=environment(), check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout.strip()}\n\nCould not install {what}. Needed once: 400 MB of disk, "
                 "and a Python package index that pip can reach (a proxy or mirror is set in pip's "
                 "own configuration). Then the same command again.")


class one_at_a_time:
    """Two starts at once must not build the same .venv; the second waits."""

    def __enter__(self) -> None:
        self.file = (ROOT / ".venv.lock").open("w")
        if os.name != "nt":
            import fcntl
            fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self.file.close()


# -- running


def environment() -> dict[str, str]:
    """The caller's, without what would put foreign packages on the path."""
    env = {name: value for name, value in os.environ.items()
           if name not in ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX")}
    return env | {"PYTHONNOUSERSITE": "1"}


def run_instead(command: Command) -> NoReturn:
    """Become `command`, so that signals and the exit status are its own."""
    words = [str(part) for part in command]
    sys.stdout.flush()
    if words[2:3] == ["pytest"]:
        os.chdir(ROOT)
    if os.name == "nt":
        sys.exit(subprocess.run(words, env=environment(), check=False).returncode)
    os.execve(words[0], words, environment())


def passes(name: str, command: Command) -> bool:
    say(f"-- {name}")
    words = [str(part) for part in command]
    return subprocess.run(words, cwd=ROOT, env=environment(), check=False).returncode == 0


def in_parallel(args: list[str]) -> list[str]:
    """Two workers, a file to each (a piece when it is a release), unless the caller wants to look inside one run."""
    by_hand = ("-n", "--pdb", "-s", "--capture=no", "-p")
    spread = "load" if "--release" in args else "loadfile"
    return [] if any(arg.startswith(by_hand) for arg in args) else ["-n", "2", "--dist", spread]


def tests_of_changes() -> list[str]:
    """Tests of what differs from where this branch left the main one, or is uncommitted.

    Of a source file those that are named after it, else its whole room.
    """
    found: set[str] = set()
    for path in changed_paths():
        parts = Path(path).parts
        if parts[0] == "tests" and len(parts) > 2:
            whole = parts[-1].startswith("test_") and (ROOT / path).exists()
            found.add(path if whole else "/".join(parts[:2]))
        elif parts[:2] == ("src", "xinglin"):
            room = f"tests/{parts[2].removesuffix('.py')}"
            mirror = sorted(ROOT.glob(f"{room}/test_*{Path(path).stem}*.py"))
            found |= {one.relative_to(ROOT).as_posix() for one in mirror} or {room}
    return sorted(path for path in found if (ROOT / path).exists() and not path.startswith(TIDY))


def changed_paths() -> list[str]:
    base = git("merge-base", "HEAD", "@{upstream}") or git("rev-parse", "HEAD~1")
    listed = git("diff", "--name-only", base.strip()) if base else ""
    return (listed + git("ls-files", "--others", "--exclude-standard")).splitlines()


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def main(argv: list[str]) -> NoReturn:
    if argv and argv[0] in COMMANDS:
        COMMANDS[argv[0]](argv[1:])
    wanted = not argv or argv[0] in ("help", "-h", "--help")
    lines = [f"  ./dev.py {name:<6} {command.__doc__}" for name, command in COMMANDS.items()]
    print("\n".join(lines if wanted else [f"No such command: {argv[0]}", *lines]),
          file=sys.stdout if wanted else sys.stderr)
    sys.exit(0 if wanted else 2)


if __name__ == "__main__":
    main(sys.argv[1:])
