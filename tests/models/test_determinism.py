"""The same transactions give the same app hash whatever runs them: Python, flags, locale, zone (safety.md, DET)."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from models import determinism_run, golden_chain
from rows import Span

ROOT = Path(__file__).resolve().parent.parent.parent
NEEDS = "import msgspec, nacl, cryptography.hazmat.primitives.asymmetric.mldsa"
CHAIN_BLOCKS, CHAIN_PER_BLOCK = 200, 22        # of which some are no transactions at their time
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


# -- eight configurations, a chain for each seed

class Configuration(NamedTuple):
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = MappingProxyType({})
    on_disk: bool = False


def locale_but_c() -> str:
    return next((name for name in ("tr_TR.utf8", "zh_CN.utf8", "de_DE.utf8") if name in installed_locales()), "C.utf8")


CONFIGURATIONS = (
    Configuration(environment={"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "UTC"}),
    Configuration(environment={"PYTHONHASHSEED": "1", "TZ": "Asia/Shanghai"}),
    Configuration(("-O",), {"PYTHONHASHSEED": "42", "TZ": "America/St_Johns", "PYTHONUTF8": "0"}),
    Configuration(("-OO",), {"LC_ALL": locale_but_c()}),
    Configuration(("-X", "dev", "-b"), {"PYTHONHASHSEED": "4294967295"}),
    Configuration(environment={"PYTHONUTF8": "1", "TZ": "Pacific/Apia"}, on_disk=True),
    Configuration(("-O",), {"PYTHONHASHSEED": "7"}, on_disk=True),
    Configuration(("-X", "int_max_str_digits=640"), {"PYTHONMALLOC": "malloc", "LC_ALL": locale_but_c()}),
)


@functools.cache
def interpreters() -> list[str]:
    """This one, and the others that have the dependencies: on the path, or named in XINGLIN_PYTHONS."""
    named = os.environ.get("XINGLIN_PYTHONS", "").split(os.pathsep)
    others = [shutil.which(f"python3.{minor}") for minor in range(11, 15) if f"python3.{minor}" != HERE]
    return [sys.executable, *[python for python in [*named, *others] if python and not subprocess.run(
        [python, "-c", NEEDS], capture_output=True, check=False).returncode]]


@functools.lru_cache(1)
def chain(seed: int) -> str:
    return json.dumps(golden_chain.make(seed, CHAIN_BLOCKS, CHAIN_PER_BLOCK))


def replayed(made: str, folder: Path, item: int) -> list[str]:
    """The app hashes under an item's configuration; interpreters take turns."""
    number, seed = item % len(CONFIGURATIONS), item // len(CONFIGURATIONS)
    flags, environment, on_disk = CONFIGURATIONS[number]
    file = folder / "chain.json"
    file.write_text(made)
    where = [str(folder / f"store{item}")] if on_disk else []
    python = interpreters()[(number + seed) % len(interpreters())]
    return output(python, *flags, run=("-m", "models.replay_run", str(file), *where), environment=environment).split()


@pytest.mark.row("DET")
def test_every_configuration_gives_the_same_app_hashes(
        memory_path: Path, span: Span, record_property: Callable[[str, object], None]) -> None:
    count = 0
    for item in span:
        made = chain(item // len(CONFIGURATIONS))
        blocks = json.loads(made)["blocks"]
        assert replayed(made, memory_path, item) == [block["app_hash"] for block in blocks], f"item {item}"
        count += sum(len(block["transactions"]) for block in blocks)
    assert count >= 2_000 * span.count
    record_property("transactions", count)


def test_a_planted_dependence_on_the_hash_seed_is_found(memory_path: Path) -> None:
    """Rows of a block in the order of a set: the roots differ between some of the configurations."""
    (memory_path / "sitecustomize.py").write_text(PLANTED)
    found = set()
    for seed in ("1", "2", "3"):
        path = os.pathsep.join([str(memory_path), str(ROOT / "src"), str(ROOT / "tests")])
        (memory_path / "chain.json").write_text(golden_chain.FILE.read_text())
        found.add(output(sys.executable, run=("-m", "models.replay_run", str(memory_path / "chain.json")),
                         environment={"PYTHONPATH": path, "PYTHONHASHSEED": seed}))
    assert len(found) > 1


PLANTED = """
from xinglin.kernel import executor
encode = executor.codec.encode
def by_hash(value):
    if isinstance(value, tuple) and len(value) > 1:
        value = tuple(sorted(value, key=lambda one: hash(encode(one))))
    return encode(value)
executor.codec = type("Codec", (), {**vars(executor.codec), "encode": staticmethod(by_hash)})
"""


def test_the_comparison_would_notice_another_chain() -> None:
    other = output(sys.executable, run=("-c", "from models import determinism_run as run; run.SEED = 43; run.main()"))
    assert other.splitlines()[1:] != here().splitlines()[1:]
