"""fsck, scrub, prune, backup and restore as an operator types them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.command import Shell
from fsck.ledgers import flipped, put, stored
from xinglin.base.check import Failed
from xinglin.engine.codes import EngineCode
from xinglin.engine.store import Store
from xinglin.holder import answer

MEMBERS = ("east:HOSPITAL:东院:East", "west:PRACTICE:西诊所:West")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a data room, a few blocks of three days ago, and one of today."""
    shell = Shell(tmp_path_factory.mktemp("made"))
    shell.ok("net", "init", "city", "--simulated", *[word for one in MEMBERS for word in ("--member", one)])
    shell.ok("member", "enrol-staff", "east", "chen", "--name", "Chen", "--role", "PHYSICIAN")
    shell.ok("access", "anchor", "--as", "east")
    shell.ok("clock", "advance", "--days", "3")
    shell.ok("member", "enrol-staff", "west", "liu", "--name", "Liu", "--role", "PHYSICIAN")
    return shell.folder


@pytest.fixture
def shell(made: Path, tmp_path: Path) -> Iterator[Shell]:
    yield Shell(shutil.copytree(made, tmp_path / "copy"))


def plant_lie(shell: Shell) -> None:
    store = Store.open(shell.home / "ledger" / "store")
    (key, value), = store.scan(b"s" + bytes((len("members/staff"),)) + b"members/staff", limit=1)
    store.close()
    put(shell.home / "ledger", {key: flipped(value, 3)})


def test_fsck_says_that_a_ledger_is_clean_also_of_a_node_without_a_home(shell: Shell) -> None:
    found = shell.json("fsck", "--replay")
    assert found["clean"] is True and found["replayed"] == found["transactions"] > 3 and len(found["state_root"]) == 64
    assert "The ledger is clean" in shell.ok("fsck").err
    assert shell.json("fsck", "--home", shell.home / "ledger")["height"] == found["height"]
    assert shell.run("fsck", "--home", shell.folder / "nowhere").code == 1
    assert shell.run("fsck", "--from", shell.home).code == 2


@pytest.mark.parametrize(("lang", "said"), [
    ("en", "is not the one that the state tree commits to"), ("zh", "行 members/staff")])
def test_fsck_exits_with_5_at_a_lie_and_says_where_and_what_to_do(shell: Shell, lang: str, said: str) -> None:
    plant_lie(shell)
    done = shell.run("fsck", "--lang", lang)
    assert done.code == 5 and not done.out
    assert said in done.err and "members/staff" in done.err and "xinglin restore" in done.err


def test_scrub_walks_once_and_an_alarm_keeps_every_command_from_the_ledger(shell: Shell) -> None:
    assert shell.json("scrub")["clean"] is True
    plant_lie(shell)
    done = shell.run("scrub")
    assert done.code == 5 and "XL-8064" in done.err
    refused = shell.run("clock", "show")
    assert refused.code == 1 and "XL-8066" in refused.err and "members/staff" in refused.err


def test_pruning_asks_first_and_takes_a_height_or_a_day(shell: Shell) -> None:
    assert shell.run("prune", "--before", "3").code == 2
    assert shell.run("prune", "--before", "yesterday", "--yes").code == 2
    assert shell.run("prune", "--before", "9999", "--yes").code == 1
    assert shell.json("prune", "--before", "3", "--yes")["transactions"] == 2
    pruned = shell.json("fsck")
    assert (pruned["pruned_below"], pruned["pruned"]) == (3, 2)
    assert "below height 3 have no bytes" in shell.ok("fsck").err
    assert shell.run("fsck", "--replay").code == 5
    assert shell.json("prune", "--before", "2001-01-01", "--yes")["transactions"] == 0


@pytest.mark.parametrize(("lang", "said"), [("en", "stop it, then repeat"), ("zh", "停止该进程后重试")])
def test_a_backup_of_a_home_that_another_process_has_open_says_what_to_do(shell: Shell, lang: str, said: str) -> None:
    with stored(shell.home / "ledger"):
        done = shell.run("backup", "-o", shell.folder / "copy", "--lang", lang)
    assert done.code == 1 and "XL-8000" in done.err and said in done.err
    assert not (shell.folder / "copy").exists()


def test_a_home_is_backed_up_and_restored_and_told_what_is_still_to_be_brought(shell: Shell) -> None:
    copy, host = shell.folder / "copy", shell.folder / "host"
    done = shell.ok("backup", "-o", copy)
    assert "ledger/checkpoint.key" in done.err
    assert shell.run("backup", "-o", copy).code == 1
    again = shell.ok("restore", copy, "--home", host, "--verify")
    assert "organisations/east/vault/keystore (from a mirror of the keystore)" in again.err
    assert "receipt from above height" in again.err and "you have not trusted" not in again.err
    assert shell.json("fsck", "--home", host)["clean"] is True
    assert shell.run("clock", "show", "--home", host).code == 1
    assert shell.json("fsck", "--replay", "--from", copy)["replayed"] == 0
    assert shell.run("restore", copy, "--home", host).code == 1
    trusted = shell.run("restore", copy, "--home", shell.folder / "other", env={
        "XINGLIN_CONFIG": str(shell.folder / "stranger")})
    assert trusted.code == 0 and "you have not trusted" in trusted.err
    (copy / "home" / "ledger" / "clock").write_text("0")
    assert shell.run("restore", copy, "--home", shell.folder / "third").code == 5


def test_a_command_under_which_the_engine_stopped_is_no_success(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a data room cannot do is a note; that the store is damaged is not, though a data room met it."""
    def busy(holder: Any) -> None:
        raise Failed(EngineCode.QUEUE_FULL)

    def stopped(holder: Any) -> None:
        holder.node.engine.failed = Failed(EngineCode.STORE_CORRUPT)
        raise Failed(EngineCode.ENGINE_STOPPED)
    monkeypatch.setattr(answer, "answer_open", busy)
    done = shell.run("member", "list")
    assert done.code == 0 and "could not do its work" in done.err
    monkeypatch.setattr(answer, "answer_open", stopped)
    done = shell.run("member", "list")
    assert done.code == 1 and "ENGINE_STOPPED" in done.err
