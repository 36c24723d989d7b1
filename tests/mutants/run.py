"""MUT: how many small changes to the heart the tests notice.

    python -m mutants.run              every target, going on where the last run stopped
    python -m mutants.run sparse 0 40  forty mutants of one
    python -m mutants.run --page       docs/evidence/mutation.md from what is known

A mutant lives in a copy of the repository. Its tests are the fast ones that are about the file; they run in a fork of
a process that has imported what all need, with a limit of time. What came of it is a line in docs/evidence/MUT.jsonl,
for this very source and these very tests.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import cryptography.hazmat.primitives.asymmetric.mldsa
import hypothesis
import msgspec
import nacl.bindings
import pytest

from mutants.change import mutants

ROOT = Path(__file__).resolve().parents[2]
EVIDENCE = ROOT / "docs" / "evidence" / "MUT.jsonl"
PAGE = EVIDENCE.with_name("mutation.md")
WORK = ROOT / "src" / "xinglin"
SECONDS = 90
ONCE = (cryptography, hypothesis, msgspec, nacl)      # imported once, for every fork

RULES = ["tests/modules/test_invariants.py", "tests/tables/test_tables.py", "tests/tables/test_transitions.py",
         "tests/modules/test_reads.py"]
PROOFS = ["tests/kernel/test_lies.py", "tests/kernel/test_receipt.py", "tests/client/test_verify.py"]


class Target(NamedTuple):
    """`about` chooses among the tests, as pytest's -k does: those that are about the file."""

    file: str
    tests: list[str]
    about: str = ""


TARGETS = {
    "codec": Target("base/codec.py", ["tests/base/test_codec.py", "tests/kernel/test_vectors.py",
                                      "tests/kernel/test_registration.py"]),
    "sparse": Target("base/sparse.py", ["tests/base/test_sparse.py", "tests/kernel/test_vectors.py"]),
    "history": Target("base/history.py", ["tests/base/test_history.py"]),
    "consent": Target("modules/consent.py", RULES, "consent or grant or claim or test_reads or who or invariants"),
    "access": Target("modules/access.py", RULES, "access or request or ask or anchor or test_reads or invariants"),
    "accounts": Target("kernel/accounts.py", RULES),
    "receipt": Target("kernel/receipt.py", PROOFS),
    "verify": Target("client/verify.py", PROOFS),
    "note": Target("base/note.py", ["tests/base/test_note.py", *PROOFS]),
}


def hash_of(*names: str) -> str:
    return hashlib.sha256(b"".join([(ROOT / name).read_bytes() for name in names])).hexdigest()[:16]


def known(name: str) -> dict[int, dict[str, Any]]:
    """What is known of the mutants of this very source, by these very tests."""
    tests = hash_of(*TARGETS[name].tests)
    return {number: line for number, line in known_ever(name).items() if line["tests"] == tests}


def known_ever(name: str) -> dict[int, dict[str, Any]]:
    """What is known of the mutants of this very source, by the tests as they were then; the latest line of each."""
    if not EVIDENCE.exists():
        return {}
    source = hash_of(f"src/xinglin/{TARGETS[name].file}")
    lines = [json.loads(line) for line in EVIDENCE.read_text().splitlines()]
    return {line["mutant"]: line for line in lines if (line["target"], line["source"]) == (name, source)}


def noticed(home: Path, target: Target) -> str:
    """killed | survived | timeout: what the tests in `home` say."""
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            os.chdir(home)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            sys.path[:] = [where for where in sys.path if not where.startswith(str(ROOT))]
            for module in [name for name in sys.modules if name.split(".")[0] in ("xinglin", "mutants")]:
                del sys.modules[module]
            status = pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:randomly",
                                  "-p", "no:xdist", *(["-k", target.about] if target.about else []), *target.tests])
            os._exit(0 if status == 0 else 1)
        except BaseException:  # noqa: BLE001  the child ends here, whatever it was
            os._exit(1)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if status == 0 else "killed"
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


def run(name: str, first: int = 0, count: int = 10**6) -> None:
    target = TARGETS[name]
    found = mutants((WORK / target.file).read_text("utf-8"))
    done = known(name)
    source, tests = hash_of(f"src/xinglin/{target.file}"), hash_of(*target.tests)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "copy"
        shutil.copytree(ROOT, home, ignore=shutil.ignore_patterns(".git", "*.jsonl", "__pycache__", ".*_cache"))
        assert noticed(home, target) == "survived", f"the tests of {name} do not pass as they are"
        for mutant in found[first:first + count]:
            if mutant.number in done:
                continue
            (home / "src" / "xinglin" / target.file).write_text(mutant.source, "utf-8")
            result = noticed(home, target)
            _keep({"target": name, "source": source, "tests": tests, "mutant": mutant.number, "line": mutant.line,
                   "what": mutant.what, "result": result})


def _keep(line: dict[str, Any]) -> None:
    EVIDENCE.parent.mkdir(parents=True, exist_ok=True)
    with EVIDENCE.open("a") as file:
        file.write(json.dumps(line) + "\n")
    if line["result"] == "survived":
        print(f"{line['target']}:{line['line']} {line['what']}", flush=True)


def figures(name: str, found: dict[int, dict[str, Any]]) -> tuple[int, int, int]:
    """(mutants, tried, noticed)."""
    total = len(mutants((WORK / TARGETS[name].file).read_text("utf-8")))
    return total, len(found), len([line for line in found.values() if line["result"] != "survived"])


def page() -> str:
    lines = ["# Mutation testing", "",
             "Made by `python -m mutants.run --page` in tests/, from MUT.jsonl. A mutant is one small change of a file "
             "(a comparison, a sign, a constant, a branch, a return, a call left out); its tests are the fast ones "
             "about the file, not the whole suite, as they were when it was tried. What they did not notice is below.",
             "",
             "| file | mutants | tried | noticed | share |", "|---|---|---|---|---|"]
    for name, target in TARGETS.items():
        total, tried, killed = figures(name, known_ever(name))
        share = f"{100 * killed / tried:.1f} %" if tried else ""
        lines.append(f"| `{target.file}` | {total} | {tried} | {killed} | {share} |")
    lines += ["", "## Survivors", ""]
    for name, target in TARGETS.items():
        survivors = [line for line in known_ever(name).values() if line["result"] == "survived"]
        if survivors:
            lines += [f"### {target.file}", "", *[f"- line {line['line']}: {line['what']}" for line in
                                                  sorted(survivors, key=lambda one: one["mutant"])], ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    words = sys.argv[1:]
    if words == ["--page"]:
        PAGE.write_text(page(), "utf-8")
    else:
        for chosen in words[:1] or TARGETS:
            run(chosen, *map(int, words[1:3]))
