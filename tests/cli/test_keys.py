"""`xinglin key rotate` and the members' votes about keys, as they are typed."""

from pathlib import Path

import pytest

from cli.command import Shell
from xinglin.cli.codes import CliCode


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    made = Shell(tmp_path_factory.mktemp("keys"))
    founders = [word for slug, zh in (("east", "东院"), ("west", "西院")) for word in (
        "--member", f"{slug}:HOSPITAL:{zh}:{slug.title()} Hospital")]
    assert made.run("net", "init", "city", "--simulated", *founders).code == 0
    return made


def keys(shell: Shell, member: str) -> list[str]:
    return [one["key"] for one in shell.run("member", "keys", member, "--json").json]


def test_an_organisation_rotates_its_key(shell: Shell) -> None:
    before = keys(shell, "east")
    done = shell.run("key", "rotate", "--member", "east", "--json")
    assert done.code == 0 and len(done.json["tx"]) == 64
    assert len(keys(shell, "east")) == 1 and keys(shell, "east") != before


def test_a_key_that_is_kept_is_ended_by_vote(shell: Shell) -> None:
    assert shell.run("key", "rotate", "--member", "west", "--keep-old", "24").code == 0
    old, new = keys(shell, "west")
    done = shell.run("member", "retire-key", "west", old[:8], "--by", "east")
    assert done.code == 0 and "motion is open" in done.err
    assert shell.run("member", "motions", "--json").json[0]["key"] == old
    done = shell.run("member", "vote-key", "west", old[:8], "--by", "west")
    assert done.code == 0 and "Carried" in done.err and keys(shell, "west") == [new]


def test_an_organisation_gets_a_new_key_by_vote(shell: Shell) -> None:
    before = keys(shell, "west")
    assert shell.run("member", "replace-key", "west", "--by", "east").code == 0
    (motion,) = shell.run("member", "motions", "--json").json
    assert shell.run("member", "vote-key", "west", motion["key"], "--by", "west").code == 0
    assert keys(shell, "west") == [motion["key"]] != before
    assert shell.run("member", "enrol-staff", "west", "chen", "--name", "Chen", "--role", "NURSE").code == 0
    assert shell.run("key", "rotate", "--person", "chen").code == 0
    assert shell.run("key", "rotate", "--service", "west").code == 0


def test_of_two_motions_about_one_key_each_can_be_voted_for(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    founders = [word for slug in ("aa", "bb", "cc", "dd") for word in ("--member", f"{slug}:HOSPITAL:{slug}院:{slug}")]
    assert shell.run("net", "init", "city", "--simulated", *founders).code == 0
    assert shell.run("key", "rotate", "--member", "cc", "--keep-old", "24").code == 0
    old, new = keys(shell, "cc")
    for proposer in ("aa", "bb"):
        assert shell.run("member", "retire-key", "cc", old, "--by", proposer).code == 0
    shown = {one["proposer"]: one["voters"] for one in shell.run("member", "motions", "--json").json}
    assert shown == {"aa": ["aa"], "bb": ["bb"]}
    assert "2 votes" in shell.run("member", "vote-key", "cc", old, "--by", "bb").err       # aa's: its own it has joined
    assert "2 votes" in shell.run("member", "vote-key", "cc", old, "--by", "aa").err
    done = shell.run("member", "vote-key", "cc", old, "--by", "bb", "--proposer", "bb")
    assert done.code != 0 and "ALREADY_VOTED" in done.err
    assert shell.run("member", "vote-key", "cc", old, "--by", "cc", "--proposer", "dd").code == 3
    assert "Carried" in shell.run("member", "vote-key", "cc", old, "--by", "cc", "--proposer", "bb").err
    assert keys(shell, "cc") == [new]
    assert [one["proposer"] for one in shell.run("member", "motions", "--json").json] == ["aa"]


@pytest.mark.parametrize("words", [
    [], ["--wallet", "a"], ["--to", "b"], ["--member", "east", "--service", "east"],
    ["--member", "east", "--to", "b"]])
def test_whose_key_it_is_must_be_said(shell: Shell, words: list[str]) -> None:
    done = shell.run("key", "rotate", *words)
    assert (done.code, CliCode.WHOSE_KEY.name in done.err) == (2, True)


def test_a_key_that_is_not_there_is_not_found(shell: Shell, tmp_path: Path) -> None:
    for verb in ("retire-key", "vote-key"):
        assert shell.run("member", verb, "east", "00ff00ff", "--by", "west").code == 3
