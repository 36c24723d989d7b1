import subprocess
import sys
from pathlib import Path

import dev
import pytest

from tidy.tree import ROOT


def test_every_command_says_what_it_does() -> None:
    done = subprocess.run([sys.executable, ROOT / "dev.py", "help"], capture_output=True, text=True, check=True)
    for name, command in dev.COMMANDS.items():
        assert name in done.stdout and command.__doc__ and command.__doc__ in done.stdout


def test_an_unknown_command_is_a_usage_error_and_lists_the_known_ones() -> None:
    done = subprocess.run([sys.executable, ROOT / "dev.py", "tset"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "tset" in done.stderr and "./dev.py test" in done.stderr


def test_a_change_selects_the_tests_named_after_it_or_else_those_of_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = ["src/xinglin/engine/store.py", "src/xinglin/base/units.py", "tests/tidy/rules.py",
               "README.md", "tests/gone/test_gone.py", "tests/golden/vectors/a.json"]
    monkeypatch.setattr(dev, "changed_paths", lambda: changed)
    assert dev.tests_of_changes() == ["tests/base", "tests/engine/test_store.py", "tests/golden"]


def test_tests_run_in_parallel_unless_someone_looks_inside_one() -> None:
    assert dev.in_parallel(["-k", "consent"])
    assert not dev.in_parallel(["--pdb"])


def test_the_environment_is_made_anew_when_its_lock_changes(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    lock.write_text("a==1 \\\n")
    before = dev.made_from(lock)
    lock.write_text("a==2 \\\n")
    assert dev.made_from(lock) != before
    assert dev.packages_in(lock) == 1
