import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tidy.tree import ROOT

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


def run(root: Path, *args: str) -> str:
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args], cwd=root,
                          capture_output=True, text=True, check=False)
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
