"""The same transactions give the same app hash whatever runs them: Python, flags, locale, zone (safety.md, DET)."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from models import determinism_run

ROOT = Path(__file__).resolve().parent.parent.parent
NEEDS = "import msgspec, nacl, cryptography.hazmat.primitives.asymmetric.mldsa"
HERE = f"python{sys.version_info.major}.{sys.version_info.minor}"


def output(python: str, *flags: str, run: tuple[str, ...] = ("-m", "models.determinism_run"),
           environment: Mapping[str, str] = MappingProxyType({})) -> str:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    done = subprocess.run([python, *flags, *run], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment})
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout


@functools.cache
def here() -> str:
    return output(sys.executable)


@functools.cache
def installed_locales() -> list[str]:
    tool = shutil.which("locale")
    return subprocess.run([tool, "-a"], capture_output=True, text=True, check=False).stdout.split() if tool else []


def test_the_scenario_is_of_500_transactions_and_more() -> None:
    *blocks, last = here().splitlines()
    assert len(blocks) == determinism_run.BLOCKS
    assert int(last.split()[0]) >= 500
    assert len({line.split()[2] for line in blocks}) == len(blocks)


@pytest.mark.parametrize("environment", [
    {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "UTC"},
    {"PYTHONHASHSEED": "1", "TZ": "Asia/Shanghai"},
    {"PYTHONHASHSEED": "42", "TZ": "America/St_Johns", "PYTHONUTF8": "0"},
], ids=str)
def test_hash_seed_locale_and_time_zone_change_nothing(environment: dict[str, str]) -> None:
    assert output(sys.executable, environment=environment) == here()


def test_every_installed_locale_gives_the_same() -> None:
    others = [name for name in ("tr_TR.utf8", "zh_CN.utf8", "de_DE.utf8", "C.utf8") if name in installed_locales()]
    if not others:
        pytest.skip("no locale but C is installed")
    for name in others:
        assert output(sys.executable, environment={"LC_ALL": name}) == here()


def test_optimised_bytecode_gives_the_same() -> None:
    assert output(sys.executable, "-OO") == here()
    assert output(sys.executable, "-X", "dev", "-b") == here()


@pytest.mark.parametrize("name", [f"python3.{minor}" for minor in range(11, 15) if f"python3.{minor}" != HERE])
def test_another_python_gives_the_same(name: str) -> None:
    python = shutil.which(name)
    if not python or subprocess.run([python, "-c", NEEDS], capture_output=True, check=False).returncode:
        pytest.skip(f"{name} with the dependencies is not on the path")
    assert output(python) == here()


def test_the_comparison_would_notice_another_chain() -> None:
    other = output(sys.executable, run=("-c", "from models import determinism_run as run; run.SEED = 43; run.main()"))
    assert other.splitlines()[1:] != here().splitlines()[1:]
