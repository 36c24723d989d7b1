"""A patient's own commands after the ledger's checkpoint key was changed, and what a stranger is told to verify by."""

import asyncio
import re
from pathlib import Path

import pytest

from cli.charts import mei_at_east
from cli.command import PASSPHRASE, Shell
from cli.witnesses import witness
from xinglin.base.check import BaseCode
from xinglin.client import AsyncClient, Patient, Wallet, verify_file
from xinglin.home import Home
from xinglin.kernel.codes import KernelCode
from xinglin.modules import members
from xinglin.node import AsyncLocalTransport, NodeCode


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Mei's chart at East, a doctor at West, a consent, a request, and then another checkpoint key."""
    shell = mei_at_east(tmp_path_factory.mktemp("changed"))
    shell.ok("net", "change-key", "--yes")
    shell.ok("consent", "grant", "--wallet", "mei.wallet", "--to", "west", "--scope", "laboratory", "--purpose",
             "treat", "--days", "30", "--yes")
    shell.ok("access", "request", "--as", "chen", "--subject", shell.env["SUBJECT"], "--scope", "laboratory",
             "--purpose", "TREAT", "--reason", "follow-up", "-o", "received")
    return shell


def told_to_verify(shell: Shell, said: str) -> tuple[list[str], Path]:
    """The command that is printed for whoever is given a file, and the policy that is printed with it."""
    (line,) = re.findall(r"^  xinglin (verify .*)$", said, re.MULTILINE)
    policy = shell.folder / "POLICY"
    policy.write_text("".join(f"{one}\n" for one in re.findall(r"^  (log .*|quorum none)$", said, re.MULTILINE)))
    return line.split(), policy


def test_a_patient_reads_judges_and_proves_as_before(shell: Shell) -> None:
    assert len(shell.json("access", "list", "--wallet", "mei.wallet")) == 1
    (judged,) = shell.json("access", "check", "--wallet", "mei.wallet")
    assert judged["follows"] is True
    shell.ok("access", "prove", "--wallet", "mei.wallet", "-o", "history.proof")


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("words", [
    ("access", "prove", "--wallet", "mei.wallet"), ("consent", "absent", "--subject", "SUBJECT", "--to", "east")])
def test_the_printed_command_verifies_for_a_stranger_with_the_policy_that_is_printed(
        shell: Shell, words: tuple[str, ...], lang: str) -> None:
    said = shell.ok(*[shell.env.get(word, word) for word in words], "-o", f"{words[0]}-{lang}", "--lang", lang).err
    command, policy = told_to_verify(shell, said)
    assert command[-2:] == ["--policy", "POLICY"] and "xinglin net log" in said
    stranger = {"XINGLIN_CONFIG": str(shell.folder / "nobody")}
    assert shell.run(*command, env=stranger).code == 0
    policy.unlink()
    bare = shell.run(*command[:-2], env=stranger)
    assert bare.code == 5 and KernelCode.CHECKPOINT_NOT_VALID.shown in bare.err and "net log" in bare.err


def test_what_the_first_key_signed_needs_no_policy(shell: Shell) -> None:
    with Home.open(shell.home) as home:
        old = home.client.verify(home.node.receipt_at(1, 0))
    said = shell.ok("trace", old.events[0].tx_id.hex(), "-o", "old").err  # type: ignore[attr-defined]
    command, _ = told_to_verify(shell, said)
    assert "--policy" not in command
    assert shell.run(*command, env={"XINGLIN_CONFIG": str(shell.folder / "nobody")}).code == 0


def test_the_library_verifies_by_the_homes_own_policy(shell: Shell) -> None:
    with Home.open(shell.home) as home:
        patient = Patient(home.client, Wallet.open(shell.folder / "mei.wallet", PASSPHRASE))
        subject = bytes.fromhex(shell.env["SUBJECT"])
        history = patient.history(home.door(subject), subject)
        verdict = verify_file(history.file, home.network, home.node.modules, home.policy)
        assert verdict.signed.keys == (home.node.checkpoint_key,) and verdict.single_operator
        client = AsyncClient(AsyncLocalTransport(home.node), home.node.modules, home.network, home.policy)
        row, _ = asyncio.run(client.prove(members.MEMBERS, (home.organisation("west").member,)))
        assert row.row is not None


def test_absence_and_a_complete_log_are_cosigned_by_m_of_n_or_not_written(shell: Shell) -> None:
    log = shell.json("net", "log")[-1]
    absent = ["consent", "absent", "--subject", shell.env["SUBJECT"], "--to", "east"]
    prove = ["access", "prove", "--wallet", "mei.wallet"]
    policy = shell.folder / "city.policy"
    with witness(shell, "a", f"{log['key']} {log['origin']}") as a:
        policy.write_text(f"log {log['key']}\nwitness a {a['key']} {a['url']}\nquorum a\n")
        shell.ok("clock", "advance", "--ms", 1_000)
        for words in (absent, prove):
            said = shell.ok(*words, "-o", f"{words[0]}.cosigned", "--policy", policy)
            assert f"--policy {policy}" in said.err and "  log " not in said.err
    for name, kind in (("consent.cosigned", "state-proof"), ("access.cosigned", "completeness")):
        found = shell.json("verify", name, "--policy", policy)
        assert (found["kind"], found["cosigned_by"]) == (kind, ["a.example/w"])
        said = {lang: shell.ok("verify", name, "--policy", policy, "--lang", lang).out for lang in ("zh", "en")}
        assert "it states that it has seen" in said["en"] and "该见证者声明" in said["zh"]
        assert "other members agree: besides the operator, east, one witness alone has signed, a.exam" in said["en"]
        assert "其他成员也同意" in said["zh"] and "everyone" not in said["en"]
    shell.ok("member", "enrol-staff", "east", "zhou", "--name", "zhou", "--role", "NURSE")
    shell.ok("clock", "advance", "--ms", 1_000)
    for words in (absent, prove):
        refused = shell.run(*words, "-o", "late", "--policy", policy)
        assert refused.code == 3 and NodeCode.NOT_COSIGNED_YET.shown in refused.err
        assert "witness a did not sign" in refused.err and not (shell.folder / "late").exists()
        shell.ok(*words, "-o", f"{words[0]}.plain")
        bare = shell.run("verify", f"{words[0]}.plain", "--policy", policy)
        assert bare.code == 5 and BaseCode.NOT_COSIGNED.shown in bare.err
        assert f"xinglin {words[0]} {words[1]}" in bare.err
