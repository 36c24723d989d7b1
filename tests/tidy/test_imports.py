import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tidy.tree import ROOT, SOURCE

LINT = Path(sys.executable).with_name("lint-imports")


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LINT, "--no-cache", ROOT / ".importlinter"], cwd=root / "src",
                          env=os.environ | {"PYTHONPATH": str(root / "src")},
                          capture_output=True, text=True, check=False)


def test_the_import_contract_is_kept() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("file", "planted", "contract"), [
    ("base/codec.py", "import xinglin.kernel.tx", "Imports go downward only"),
    ("kernel/tx.py", "import xinglin.modules.members", "Imports go downward only"),
    ("modules/members.py", "import xinglin.engine.store", "Imports go downward only"),
    ("vault/seal.py", "import xinglin.engine.store", "Imports go downward only"),
    ("newroom.py", "", "Imports go downward only"),
    ("modules/members.py", "import xinglin.modules.consent", "Domain modules form a written-down DAG"),
    ("modules/newdomain.py", "", "Domain modules form a written-down DAG"),
    ("modules/consent.py", "import time", "On-chain code reaches no clock"),
    ("kernel/state.py", "from os import environ", "On-chain code reaches no clock"),
    ("base/codec.py", "import json", "On-chain code reaches no clock"),
    ("engine/history.py", "import rocksdict", "Only engine.store knows RocksDB"),
    ("fsck/rows.py", "import xinglin.engine.tree", "Fsck reads what others wrote"),
    ("fsck/blocks.py", "import xinglin.base.history", "Fsck reads what others wrote"),
    ("vault/seal.py", "import obstore", "Only vault.blobs knows the object store"),
])
def test_a_planted_breach_of_the_contract_is_caught(
        tmp_path: Path, file: str, planted: str, contract: str) -> None:
    copy = tmp_path / "src" / "xinglin"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "demo_data"))
    with (copy / file).open("a") as source:
        source.write(f"\n{planted}\n")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert any(contract in line and "BROKEN" in line for line in done.stdout.splitlines()), done.stdout
