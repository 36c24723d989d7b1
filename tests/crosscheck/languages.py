"""Running the verifiers of crosscheck/ over a folder of cases, and ours over the same."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from crosscheck.proof_files import Case, ProofFiles
from tidy.tree import ROOT
from xinglin.base.check import NotVerified
from xinglin.client import Verdict, verify_file
from xinglin.modules import module_set

CROSSCHECK = ROOT / "crosscheck"
SECONDS_MAX = 1_200


def tool(name: str) -> str:
    """Where it is, or the test is skipped, loudly: a machine without it checks one language less."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on this machine: crosscheck/{name} was not run")
    return found


class Language:
    """A verifier in another language. `command` is what runs it, without its arguments."""

    def __init__(self, name: str, *command: str):
        self.name = name
        self.command = command

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*self.command, *words], capture_output=True, text=True, timeout=SECONDS_MAX, check=False)

    def lines(self, *words: str) -> list[str]:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr[-2_000:]
        return [line for line in done.stdout.split("\n") if line]      # some characters break a line for Python alone

    def judge(self, folder: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines("--cases", str(folder))]


def node() -> Language:
    return Language("js", tool("node"), str(CROSSCHECK / "js" / "main.js"))


def go(folder: Path) -> Language:
    """Built once, from the standard library alone, so that nothing is fetched."""
    program = folder / "crosscheck-go"
    done = subprocess.run([tool("go"), "build", "-o", str(program), "."], cwd=CROSSCHECK / "go", check=False,
                          env=os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local"},
                          capture_output=True, text=True, timeout=SECONDS_MAX)
    assert done.returncode == 0, done.stderr[-2_000:]
    return Language("go", str(program), "--schema", str(CROSSCHECK / "schema.json"))


def write(folder: Path, files: ProofFiles, cases: Iterable[Case]) -> list[Case]:
    """The folder that all verifiers read."""
    found = list(cases)
    folder.mkdir(exist_ok=True)
    (folder / "network").write_text(files.network.hex())
    for name, text in files.texts.items():
        (folder / f"{name}.policy").write_text(text)
    (folder / "cases.jsonl").write_text("".join(json.dumps({
        "file": base64.b64encode(one.file).decode(), "policy": one.policy,
        "network": one.network.hex() if one.network else None}) + "\n" for one in found))
    return found


def ours(files: ProofFiles, case: Case) -> dict[str, Any] | None:
    """What we say of a case, in the words of the others; None when it is refused."""
    policy = None if case.policy is None else files.policies[case.policy]
    try:
        return facts(verify_file(case.file, case.network or files.network, files.world.modules, policy))
    except NotVerified:
        return None


def facts(verdict: Verdict) -> dict[str, Any]:
    said = verdict.facts
    found = {
        "kind": verdict.kind, "network": verdict.network.id.hex(), "chain": verdict.network.chain,
        "signed_by": list(verdict.signed_by), "cosigned_by": [one.name for one in verdict.signed.cosigned_by],
        "single_operator": verdict.single_operator, "time_ms": str(verdict.time_ms), "height": str(said["height"])}
    match verdict.kind:
        case "receipt" | "cose-receipt":
            found |= {"code": str(said["code"]), "index": str(said["index"]), "events": str(len(verdict.events))}
            found |= {"tx": said["tx"], "tags": said["tags"], "signers": said["signers"]} if "tx" in said else {
                "timer": said["timer"], "due_ms": str(said["due_ms"])}
        case "state-proof":
            table = module_set().tables[said["table"]]
            key = tuple([bytes.fromhex(part) if isinstance(part, str) else part for part in said["key"]])
            found |= {"table": table.name, "present": said["present"], "key": table.encode_key(key).hex()}
            if "live_grants" in said:
                found |= {"subject": said["subject"], "grantee": said["grantee"],
                          "live_grants": str(said["live_grants"])}
        case "completeness":
            found |= {"subject": said["subject"], "entries": str(said["entries"])}
    return found


__all__ = ["CROSSCHECK", "Language", "facts", "go", "node", "ours", "tool", "write"]
