"""Tests marked `release` run only under --release, once for each state of the code; rows run more then.

Every one that passes leaves a line in docs/evidence, with the state it passed in; a second run goes on
where the first stopped. A row (rows.py) leaves a line for each piece in a file of its own, and one for a
piece that failed, which is run again. The files are the evidence that a release names: docs/evidence/README.md.
"""

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rows

ROOT = Path(__file__).resolve().parent.parent
EVIDENCE = ROOT / "docs" / "evidence"
PLACE = ("row", "first", "count")              # of a piece
UNCOUNTED = ("seeds", "failures", "seconds")   # and what of a line is no figure of the piece
MACHINE = f"{platform.machine()} {platform.system()}, {os.cpu_count()} processors"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--release", action="store_true", help="run the tests marked release and whole rows, only those")
    parser.addoption("--row", action="append", default=[], help="only this row of tests/rows.py, KILL for one")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marked = metafunc.definition.get_closest_marker("row")
    if marked:
        found = rows.spans(marked.args[0], metafunc.config.getoption("--release"))
        metafunc.parametrize("span", found, ids=[f"{marked.args[0]}-{span.first}-{span.count}" for span in found])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    release, wanted = config.getoption("--release"), config.getoption("--row")
    if unknown := [name for name in wanted if name not in rows.ROWS]:
        raise pytest.UsageError(f"no such row: {', '.join(unknown)}; there are {', '.join(rows.ROWS)}")
    done = passed_before(state_of_code()) if release else set()
    chosen = []
    for item in items:
        row = item.get_closest_marker("row")
        if row:
            span = item.callspec.params["span"]  # type: ignore[attr-defined]
            item.user_properties += zip(PLACE, (row.args[0], span.first, span.count), strict=True)
        runs = bool(row or item.get_closest_marker("release")) if release else not item.get_closest_marker("release")
        asked_for = not wanted or bool(row) and row.args[0] in wanted
        if runs and asked_for and place(item.nodeid, item.user_properties) not in done:
            chosen.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: for thousands of homes whose syncs nobody tests."""
    where = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=where if os.access(where, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    # Bytes may hold a time (gzip's do) or a key: two workers would then collect two different names.
    return argname if isinstance(val, bytes) else None


def place(test: str, properties: list[tuple[str, Any]]) -> tuple[Any, ...]:
    """What an item is remembered by: its place in its row, else its name."""
    said = dict(properties)
    return tuple(said[name] for name in PLACE) if "row" in said else (test,)


class Recorder:
    """In the one process that sees all reports, not in its workers."""

    def __init__(self, config: pytest.Config, state: str) -> None:
        self.config = config
        self.state = state
        self.commit = git("rev-parse", "--short=12", "HEAD")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        said = dict(report.user_properties)
        if report.when != "call" or report.skipped or not self.state or not (report.passed or "row" in said):
            return
        line = {"test": report.nodeid, "failures": int(report.failed), **said, "seconds": round(report.duration, 1),
                "commit": self.commit, "code": self.state, "python": platform.python_version(), "machine": MACHINE}
        if "row" in said:
            line["seeds"] = f"{said['first']} to {said['first'] + said['count'] - 1}"
        EVIDENCE.mkdir(parents=True, exist_ok=True)
        with (EVIDENCE / f"{said.get('row', 'release')}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter and "row" in said:
            reporter.write_line(progress(said["row"], self.state))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name in rows.ROWS:
            if (EVIDENCE / f"{name}.jsonl").exists():
                terminalreporter.write_line(progress(name, self.state))


def progress(name: str, state: str) -> str:
    """How far a row is in this state of the code, and the sums of what its pieces counted."""
    done = {(line["first"], line["count"]): line for line in evidence(f"{name}.jsonl") if line["code"] == state}
    sums: dict[str, int] = {}
    for line in done.values():
        for what, figure in line.items():
            if isinstance(figure, int) and what not in (*PLACE, *UNCOUNTED):
                sums[what] = sums.get(what, 0) + figure
    passed = sum(line["count"] for line in done.values() if not line["failures"])
    failed = sum(1 for line in done.values() if line["failures"])
    return ", ".join([f"{name}: {passed:,} of {rows.ROWS[name].release:,}", f"{failed} pieces failed",
                      *(f"{figure:,} {what}" for what, figure in sums.items())])


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--release") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config, state_of_code()))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # Nothing left to run is what a finished release looks like.
    if session.config.getoption("--release") and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


def passed_before(state: str) -> set[tuple[Any, ...]]:
    if not state:
        return set()
    return {place(line["test"], [(name, line[name]) for name in PLACE if name in line])
            for file in EVIDENCE.glob("*.jsonl") for line in evidence(file.name)
            if line.get("code") == state and not line.get("failures")}


def evidence(name: str) -> Iterator[dict[str, Any]]:
    file = EVIDENCE / name
    return (json.loads(line) for line in (file.read_text().splitlines() if file.exists() else ()))


def state_of_code() -> str:
    """Git's names for src and tests as committed, or "" when something there is not: then nothing
    is remembered, because nobody could say what was tested."""
    if git("status", "--porcelain", "--", "src", "tests"):
        return ""
    return "+".join(name[:16] for name in git("rev-parse", "HEAD:src", "HEAD:tests").split())


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
