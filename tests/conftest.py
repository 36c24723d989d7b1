"""Tests marked `release` run only under --release, once for each state of the code.

Every one that passes leaves a line in docs/evidence/release.jsonl, with the state it passed in; a
second run goes on where the first stopped. So a long release test is many small ones (a parameter
for each chunk of seeds), and the file is the evidence that a release names.
"""

import json
import platform
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EVIDENCE = ROOT / "docs" / "evidence" / "release.jsonl"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--release", action="store_true", help="run the tests marked release, and only those")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    release = config.getoption("--release")
    done = passed_before(state_of_code()) if release else set()
    chosen = [item for item in items
              if bool(item.get_closest_marker("release")) == release and item.nodeid not in done]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    # Bytes may hold a time (gzip's do) or a key: two workers would then collect two different names.
    return argname if isinstance(val, bytes) else None


class Recorder:
    """In the one process that sees all reports, not in its workers."""

    def __init__(self, state: str) -> None:
        self.state = state

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" or not report.passed or not self.state:
            return
        EVIDENCE.parent.mkdir(parents=True, exist_ok=True)
        line = {"test": report.nodeid, "code": self.state, "seconds": round(report.duration, 1),
                "python": platform.python_version(), "machine": platform.machine()}
        with EVIDENCE.open("a") as file:
            file.write(json.dumps(line) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--release") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(state_of_code()))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # Nothing left to run is what a finished release looks like.
    if session.config.getoption("--release") and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


def passed_before(state: str) -> set[str]:
    if not state or not EVIDENCE.exists():
        return set()
    lines = (json.loads(line) for line in EVIDENCE.read_text().splitlines())
    return {line["test"] for line in lines if line["code"] == state}


def state_of_code() -> str:
    """Git's names for src and tests as committed, or "" when something there is not: then nothing
    is remembered, because nobody could say what was tested."""
    if git("status", "--porcelain", "--", "src", "tests"):
        return ""
    return "+".join(name[:16] for name in git("rev-parse", "HEAD:src", "HEAD:tests").split())


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
