import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rows
from tidy.tree import ROOT, committed, text_of

TESTS = '''
import time
import pytest

def test_short(): pass

@pytest.mark.parametrize("data", [str(time.time_ns()).encode(), b"b"])
def test_named_by_a_clock(data): pass

@pytest.mark.release
@pytest.mark.parametrize("chunk", range(3))
def test_long(chunk, request):
    if chunk == 2 and not (request.config.rootpath / "mended").exists():
        pytest.fail("not yet")
'''


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of its own with our conftest, one short test and three release tests."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "ledger.py").write_text("")
    for name in ("conftest.py", "rows.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests" / "test_it.py").write_text(TESTS)
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words], cwd=root, check=True)


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "state")


def run(root: Path, *args: str, **more: str) -> str:
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args], cwd=root,
                          capture_output=True, text=True, check=False,
                          env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more)
    assert done.stdout, done.stderr
    return done.stdout.splitlines()[-1]


def test_release_tests_run_only_when_asked_for_and_only_they(repository: Path) -> None:
    assert "3 passed, 3 deselected" in run(repository)
    assert "1 failed, 2 passed, 3 deselected" in run(repository, "--release")


def test_a_second_release_run_goes_on_where_the_first_stopped(repository: Path) -> None:
    run(repository, "--release", "-n", "2")
    lines = (repository / "docs" / "evidence" / "release.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["test"][-3:] for line in lines) == ["[0]", "[1]"]
    (repository / "mended").touch()
    assert "1 passed, 5 deselected" in run(repository, "--release")
    assert "6 deselected" in run(repository, "--release")


def test_changed_code_is_released_anew_and_uncommitted_code_leaves_no_evidence(repository: Path) -> None:
    (repository / "mended").touch()
    run(repository, "--release")
    (repository / "src" / "ledger.py").write_text("x = 1\n")
    evidence = (repository / "docs" / "evidence" / "release.jsonl").read_text()
    assert "3 passed" in run(repository, "--release")
    assert (repository / "docs" / "evidence" / "release.jsonl").read_text() == evidence
    commit(repository)
    assert "3 passed" in run(repository, "--release")


def test_a_name_made_of_bytes_that_hold_a_time_does_not_part_two_workers(repository: Path) -> None:
    assert "3 passed" in run(repository, "-n", "2")


ROW = '''
import pytest

@pytest.mark.row("KILL")
def test_row(span, record_property, request):
    record_property("acknowledged", 2 * span.count)
    assert 130 not in span or (request.config.rootpath / "mended").exists()
'''


@pytest.fixture
def row(repository: Path) -> Path:
    (repository / "tests" / "test_row.py").write_text(ROW)
    commit(repository)
    return repository


def lines(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "docs" / "evidence" / "KILL.jsonl").read_text().splitlines()]


def test_a_row_runs_a_part_every_time_and_under_release_the_range_that_is_asked_for(row: Path) -> None:
    kill = rows.ROWS["KILL"]
    (row / "mended").touch()
    assert f"{-(-kill.every_run // kill.piece)} passed" in run(row, "--row", "KILL")
    asked = run(row, "--release", "--row", "KILL", XINGLIN_RELEASE_FIRST="90", XINGLIN_RELEASE_COUNT="30")
    assert "1 passed" in asked
    (line,) = lines(row)
    assert line.items() >= {"row": "KILL", "first": 90, "count": 30, "failures": 0, "seeds": "90 to 119",
                            "acknowledged": 60}.items()
    assert {"commit", "code", "machine", "seconds", "python"} <= line.keys()


def test_a_piece_of_a_row_that_failed_leaves_a_line_and_is_run_again(row: Path) -> None:
    asked = {"XINGLIN_RELEASE_COUNT": "180"}
    assert "1 failed, 2 passed" in run(row, "--release", "--row", "KILL", "-n", "2", **asked)
    assert sorted((line["first"], line["failures"]) for line in lines(row)) == [(0, 0), (60, 0), (120, 1)]
    (row / "mended").touch()
    assert "1 passed" in run(row, "--release", "--row", "KILL", **asked)
    assert lines(row)[-1]["first"] == 120 and not lines(row)[-1]["failures"]
    assert "deselected" in run(row, "--release", "--row", "KILL", **asked)
    assert len(lines(row)) == 4


def test_a_row_that_is_not_there_is_a_usage_error(repository: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "pytest", "--row", "KILLS"], cwd=repository, capture_output=True,
                          text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR and "no such row: KILLS" in done.stderr


def test_every_row_has_a_test() -> None:
    marked = {name for path in committed() if path.suffix == ".py" and path != Path(__file__)
              for name in re.findall(r'mark[.]row\("([A-Z-]+)"\)', text_of(path))}
    assert marked == set(rows.ROWS)
    assert all(row.piece <= row.every_run <= row.release for row in rows.ROWS.values())
