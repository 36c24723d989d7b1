"""`xinglin access`: a release that was cut off is taken later; a patient judges again what was answered."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.command import Shell
from holder import rooms
from xinglin.holder import asking


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Mei's chart at East, a doctor at West, a consent for the laboratory."""
    shell = Shell(tmp_path_factory.mktemp("access"))
    shell.ok("net", "init", "city", "--simulated", "--member", "east:HOSPITAL:东院:East", "--member",
             "west:PRACTICE:西诊所:West")
    shell.ok("member", "enrol-staff", "west", "chen", "--name", "Chen", "--role", "physician")
    shell.ok("key", "new", "--wallet", "mei.wallet")
    (shell.folder / "fhir").mkdir()
    (shell.folder / "fhir" / "a.ndjson").write_text("\n".join(map(json.dumps, rooms.chart(3))))
    shell.ok("record", "import", "fhir", "--as", "east")
    (one,) = shell.json("subject", "list", "--as", "east")
    code = shell.json("subject", "code", one["subject"])["code"]
    shell.ok("subject", "claim", one["subject"], "--wallet", "mei.wallet", "--code", code)
    shell.ok("consent", "grant", "--wallet", "mei.wallet", "--to", "west", "--scope", "laboratory", "--purpose",
             "treat", "--days", "30", "--yes")
    shell.env["SUBJECT"] = one["subject"]
    return shell


def ask(shell: Shell, *more: str) -> list[str]:
    return ["access", "request", "--as", "chen", "--subject", shell.env["SUBJECT"], "--scope", "laboratory",
            "--purpose", "TREAT", "--reason", "follow-up", *more]


class Killed(BaseException):
    """Nobody catches it: as when the process ends."""


def cut_off(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose process ends between the answer and the first page."""
    def ends(*_: Any) -> None:
        raise Killed
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(asking, "fetch_all", ends)
        shell.run(*ask(shell))


def test_a_release_that_was_cut_off_is_received_once(
        shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cut_off(shell, monkeypatch)
    got = shell.json("access", "receive", "--as", "chen", "-o", tmp_path / "got")
    assert got["records"] == 3 and {Path(file).name for file in got["files"]} == {
        "Observation.ndjson", "request.receipt", "answer.receipt"}
    assert shell.ok("verify", tmp_path / "got" / "answer.receipt").out.startswith("✓")
    again = shell.run("access", "receive", "--as", "chen")
    assert again.code == 4 and "no permitted answer waits" in again.err


def test_of_several_that_wait_one_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off(shell, monkeypatch)
    cut_off(shell, monkeypatch)
    which = shell.run("access", "receive", "--as", "chen", "--lang", "zh")
    assert which.code == 2 and "--subject" in which.err
    numbers = [one["number"] for one in shell.json("access", "list", "--wallet", "mei.wallet")][-2:]
    for number in numbers:
        assert shell.json("access", "receive", number, "--as", "chen", "--subject", shell.env["SUBJECT"][:8])[
            "number"] == number


def test_what_was_taken_at_once_does_not_wait(shell: Shell) -> None:
    shell.ok(*ask(shell))
    assert shell.run("access", "receive", "--as", "chen").code == 4
