"""From a network to a receipt that witnesses stand behind, as a user types it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cli.command import Shell
from cli.witnesses import witness
from xinglin.base.check import BaseCode
from xinglin.base.crypto import SHA256, SM3, SignatureSuite, SigningKey
from xinglin.base.note import KeyUse, NoteKey, read_checkpoint
from xinglin.cli.codes import CliCode
from xinglin.client.codes import ClientCode
from xinglin.fsck import FsckCode
from xinglin.home import Home
from xinglin.kernel.outcome import Envelope
from xinglin.node import NodeCode
from xinglin.witness.codes import WitnessCode
from xinglin.witness.kept import read_logs


def newest_receipt(shell: Shell, name: str) -> bytes:
    """Of a transaction that east orders now: a nurse is enrolled."""
    shell.ok("member", "enrol-staff", "east", name, "--name", name, "--role", "NURSE")
    with Home.open(shell.home) as home:
        return home.node.receipt_at(home.node.ask(lambda ledger: ledger.height), 0)


def id_in(shell: Shell, receipt: bytes) -> str:
    with Home.open(shell.home) as home:
        envelope = home.client.verify(receipt).events[0]
    assert isinstance(envelope, Envelope)
    return envelope.tx_id.hex()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A network of two, the receipt `plain` of one of its transactions, and a witness `c` that nobody runs."""
    made = Shell(tmp_path_factory.mktemp("witnessed"))
    made.ok("net", "init", "city", "--simulated", "--member", "east:HOSPITAL:东院:East",
            "--member", "west:PRACTICE:西诊所:West")
    made.ok("receipt", id_in(made, newest_receipt(made, "chen")), "-o", "plain")
    made.ok("witness", "--dir", "c", "--name", "c.example/w")
    return made


def test_a_receipt_is_published_cosigned_upgraded_and_verified(shell: Shell) -> None:
    (log,) = shell.json("net", "log")
    assert log["in_use"] and log["origin"].startswith("xinglin/city-")
    line = f"{log['key']} {log['origin']}"
    tx = id_in(shell, newest_receipt(shell, "zhou"))
    network = shell.json("net", "list")[0]["id"]
    with witness(shell, "a", line) as a, witness(shell, "b", line) as b:
        policy = shell.folder / "city.policy"
        policy.write_text(f"witness a {a['key']} {a['url']}\nwitness b {b['key']} {b['url']}\n"
                          f"witness c {shell.json('witness', '--dir', 'c')['key']}\n"
                          "group most 2 a b c\nquorum most\n")
        early = shell.run("receipt", tx, "-o", "early", "--policy", policy)
        assert early.code == 3 and "XL-8234" in early.err
        shell.ok("clock", "advance", "--ms", 1_000)
        published = shell.json("net", "publish", "--policy", policy)
        assert (published["cosigned"], published["enough"]) == ("2/3", True)
    shell.ok("receipt", tx, "-o", "cosigned", "--policy", policy)
    said = shell.ok("verify", "cosigned", "--policy", policy)
    assert "cosigned by 2 of 3 witnesses (a.example/w, b.example/w" in said.out
    assert "single-operator" not in said.out
    zh = shell.run("verify", "cosigned", "--policy", policy, env={"XINGLIN_LANG": "zh"})
    assert "3 个见证者中有 2 个联署" in zh.out and "这 2 个见证者各自声明" in zh.out
    assert "each of these states" in said.out and "everyone" not in said.out
    assert "other members agree" not in said.out and "其他成员也同意" not in zh.out
    found = shell.json("verify", "cosigned", "--policy", policy)
    assert (found["single_operator"], found["cosigned_by"], found["witnesses"]) == (
        False, ["a.example/w", "b.example/w"], 3)

    assert "single-operator" in shell.ok("verify", "plain").out
    refused = shell.run("verify", "plain", "--policy", policy)
    assert refused.code == 5 and BaseCode.NOT_COSIGNED.shown in refused.err
    shell.ok("net", "trust", network, "--name", log["origin"].removeprefix("xinglin/"), "--policy", policy)
    assert shell.run("verify", "plain").code == 5 and shell.run("verify", "cosigned").code == 0
    pinned_policy_is_seen_and_removed(shell, network, log["origin"].removeprefix("xinglin/"), policy)


def pinned_policy_is_seen_and_removed(shell: Shell, network: str, name: str, policy: Path) -> None:
    (listed,) = shell.json("net", "list")
    assert (listed["witnesses"], listed["quorum"], listed["log_keys"]) == (3, "2/3 most", [])
    assert "2/3 most" in shell.ok("net", "list").out
    for lang, words in (("en", "witnesses 3, quorum 2/3 most"), ("zh", "见证者 3 个，法定数 2/3 most")):
        again = shell.ok("net", "trust", network, "--name", name, "--lang", lang)
        assert words in again.err and "--no-policy" in again.err
    assert shell.run("verify", "plain").code == 5, "trusting it once more leaves the policy where it is"
    both = shell.run("net", "trust", network, "--name", name, "--no-policy", "--policy", policy)
    assert both.code == 2 and CliCode.SAY_WHICH.shown in both.err
    assert "is removed" in shell.ok("net", "trust", network, "--name", name, "--no-policy").err
    (listed,) = shell.json("net", "list")
    assert (listed["witnesses"], listed["quorum"], listed["log_keys"]) == (None, None, None)
    shell.ok("verify", "plain")
    assert "had no policy" in shell.ok("net", "trust", network, "--name", name, "--no-policy").err
    assert "policy" not in shell.ok("net", "trust", network, "--name", name).err


def test_a_cose_receipt_is_written_and_verified(shell: Shell) -> None:
    tx = shell.json("verify", "plain")["facts"]["tx"]
    shell.ok("receipt", tx, "-o", "receipt.cose", "--cose")
    assert shell.json("verify", "receipt.cose")["kind"] == "cose-receipt"
    assert "a COSE receipt of network" in shell.ok("verify", "receipt.cose").out
    assert shell.run("receipt", tx, "-o", "other", "--cose", "--policy", "plain").code == 2
    good = (shell.folder / "receipt.cose").read_bytes()        # the last byte of a signature is 0 once in sixteen
    (shell.folder / "spoiled").write_bytes(good[:-1] + bytes((good[-1] ^ 1,)))
    assert shell.run("verify", "spoiled").code == 5


def test_tiles_are_written_for_a_static_server_and_added_to(shell: Shell) -> None:
    first = shell.json("tiles", "-o", "public")
    shell.ok("member", "enrol-staff", "east", "li", "--name", "Li", "--role", "NURSE")
    shell.ok("clock", "advance", "--ms", 1_000)
    (shell.folder / "one.policy").write_text("quorum none\n")
    shell.ok("net", "publish", "--policy", "one.policy")
    second = shell.json("tiles", "-o", "public")
    public = shell.folder / "public"
    assert first["size"] < second["size"] == read_checkpoint((public / "checkpoint").read_bytes()).size
    assert (public / "tile" / "0" / f"000.p/{second['size']}").stat().st_mode & 0o777 == 0o644
    assert {path.relative_to(public).parts[0] for path in public.rglob("*") if path.is_file()} == {"checkpoint", "tile"}
    (public / "checkpoint").write_bytes((public / "checkpoint").read_bytes().replace(b"xinglin/", b"another/"))
    other = shell.run("tiles", "-o", "public")
    assert other.code == 2 and CliCode.FILE_EXISTS.shown in other.err


def test_a_changed_key_signs_what_the_home_itself_believes_and_others_only_by_policy(shell: Shell) -> None:
    before = shell.json("net", "log")
    after = shell.json("net", "change-key", "--yes")
    assert [one["in_use"] for one in after] == [False, True] and after[0]["key"] == before[0]["key"]
    (shell.folder / "new").write_bytes(newest_receipt(shell, "wu"))
    assert (shell.home / "ledger" / "successors").exists()
    assert shell.run("verify", "new").code == 5
    (shell.folder / "new.policy").write_text(f"log {after[1]['key']}\nquorum none\n")
    shell.ok("verify", "new", "--policy", "new.policy")
    assert shell.run("verify", "plain", "--policy", "new.policy").code == 5, "the old key is not in the policy"
    assert shell.run("net", "change-key").code == 2, "it asks first"


def test_a_home_without_its_successors_is_told_which_file_to_bring(shell: Shell) -> None:
    file = shell.home / "ledger" / "successors"
    stated = file.read_bytes()
    file.unlink()
    for lang in ("zh", "en"):
        for command in ("doctor", "fsck", "net log"):
            told = shell.run(*command.split(), env={"XINGLIN_LANG": lang})
            assert told.code and "ledger/successors" in told.out + told.err, told
    assert "Do not go on" not in shell.run("fsck").err
    file.write_bytes(stated)
    shell.ok("fsck")


def test_a_key_that_was_written_into_a_backup_is_not_believed(shell: Shell) -> None:
    shell.ok("backup", "-o", "kept")
    thief = SigningKey.from_seed(SignatureSuite.ED25519, bytes(32))
    forged = f"log {NoteKey('east', KeyUse.LOG, thief.public).text()}\nquorum none\n".encode()
    (shell.folder / "kept" / "home" / "ledger" / "successors").write_bytes(forged)
    listed = json.loads((shell.folder / "kept" / "backup.json").read_bytes())
    listed["files"]["ledger/successors"] = [len(forged), hashlib.sha256(forged).hexdigest()]
    (shell.folder / "kept" / "backup.json").write_text(json.dumps(listed))
    refused = shell.run("restore", "kept", "--home", "again", "--verify")
    assert refused.code == 5 and FsckCode.SUCCESSORS_LIE.shown in refused.err and "ledger/successors" in refused.err
    shell.ok("restore", "kept", "--home", "again")
    (shell.folder / "again" / "ledger" / "checkpoint.key").write_bytes(bytes(32) + b"east")
    started = shell.run("net", "log", "--home", "again")
    assert started.code and NodeCode.CHECKPOINT_KEY_NOT_USABLE.shown in started.err


@pytest.mark.parametrize(("words", "code"), [
    (("verify", "plain", "--policy", "no.policy"), CliCode.FILE_NOT_READ),
    (("verify", "plain", "--policy", "plain"), BaseCode.POLICY_NOT_UNDERSTOOD),
    (("net", "publish", "--policy", "plain"), BaseCode.POLICY_NOT_UNDERSTOOD),
    (("witness", "--dir", "nothing"), WitnessCode.WITNESS_KEY_NOT_USABLE),
    (("witness", "--dir", "c", "--listen", "here"), CliCode.CHOICE_NOT_KNOWN),
    (("witness", "--dir", "c", "--listen", "127.0.0.1:99999"), CliCode.CHOICE_NOT_KNOWN),
    (("witness", "--dir", "c", "--log", "key origin"), BaseCode.BYTES_NOT_UNDERSTOOD),
    (("witness", "--dir", "c", "--log", "key origin md5"), CliCode.CHOICE_NOT_KNOWN),
    (("witness", "--dir", "c", "--log", "key"), CliCode.CHOICE_NOT_KNOWN),
    (("witness", "--dir", "c", "--log", "key origin sm3 more"), CliCode.CHOICE_NOT_KNOWN)])
def test_what_is_wrong_with_policies_and_witnesses_is_said(shell: Shell, words: tuple[str, ...], code: Any) -> None:
    done = shell.run(*words)
    assert done.code and code.shown in done.err


def test_a_log_on_another_suite_is_followed_as_one(shell: Shell) -> None:
    key = shell.json("net", "log")[0]["key"]
    said = shell.json("witness", "--dir", "d", "--name", "d.example/w", "--log", f"{key} xinglin/plain",
                      "--log", f" {key}  xinglin/guomi sm3 ")
    logs = read_logs((shell.folder / "d" / "logs").read_bytes())
    assert said["logs"] == ["xinglin/guomi", "xinglin/plain"] and said["evidence"] == 0
    assert {name: log.hashes for name, log in logs.items()} == {"xinglin/plain": SHA256, "xinglin/guomi": SM3}


def test_a_policy_beside_a_pin_that_is_broken_is_not_passed_over(shell: Shell) -> None:
    network = shell.json("net", "list")[0]["id"]
    file = shell.folder / "config" / f"{network}.policy"
    file.write_text("nonsense\n")
    assert shell.run("verify", "plain").code != 0
    file.unlink()
    file.mkdir()
    done = shell.run("verify", "plain")
    assert done.code and ClientCode.PIN_NOT_UNDERSTOOD.shown in done.err
    file.rmdir()
