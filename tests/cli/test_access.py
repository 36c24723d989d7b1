"""`xinglin access`: a release that was cut off is taken later; a patient judges again what was answered."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from cli.charts import mei_at_east
from cli.command import Shell
from holder import rooms
from xinglin.base import codec
from xinglin.cli.access import _asked, _outcome
from xinglin.cli.call import Call
from xinglin.cli.show import verbatim
from xinglin.client.door import Words
from xinglin.holder import answer, asking, read_log
from xinglin.holder.peers import LocalDoor
from xinglin.home import Home
from xinglin.modules import access
from xinglin.modules.decision import Cause, Judgement, Opened, RequestBody


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Mei's chart at East, a doctor at West, a consent for the laboratory."""
    shell = mei_at_east(tmp_path_factory.mktemp("access"))
    shell.ok("consent", "grant", "--wallet", "mei.wallet", "--to", "west", "--scope", "laboratory", "--purpose",
             "treat", "--days", "30", "--yes")
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


def test_a_list_is_complete_as_of_its_own_proof_not_of_the_ledgers_tip(
        shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, heights = LocalDoor.history, []

    def meanwhile(door: LocalDoor, *values: Any) -> Any:
        found, holder = honest(door, *values), door._holder
        heights.append(holder.node.ask(lambda ledger: ledger.height))
        row = read_log.running(holder)
        holder.node.order(holder.signed(access.Anchor(
            service=holder.service, count=row.count, running=row.running))[0])
        assert holder.node.ask(lambda ledger: ledger.height) > heights[-1]
        return found
    monkeypatch.setattr(LocalDoor, "history", meanwhile)
    told = shell.ok("access", "list", "--wallet", "mei.wallet").err
    assert f"(height {heights[-1]} of the ledger)" in told


ASKED = access.Requested(subject=bytes(16), number=1, reader=rooms.DOCTOR, grantee=rooms.B, grant_id=bytes(16),
                         key_hash=bytes(32), body=bytes(32), denied=0, due_ms=1)
ANSWERED = access.Answered(subject=bytes(16), number=2, request=1, reader=rooms.DOCTOR,
                           decision=access.Decision.PERMIT, grant_id=bytes(16), epoch=1, inputs=bytes(32),
                           opening=bytes(32), parts_root=bytes(32), key_hash=bytes(32), expires_at_ms=1)


def words(number: int, **opened: bytes) -> Words:
    each = {name: Opened(nonce=bytes(32), body=body) for name, body in opened.items()}
    return Words(**{"number": number, **dict.fromkeys(("request", "inputs", "opening", "consent")), **each})


def test_a_list_shows_words_only_of_the_reader_who_asked() -> None:
    """A commitment may be copied from the ledger into another's request: it opens, to the other reader's words."""
    said = codec.encode(RequestBody(reader=rooms.DOCTOR, purpose="TREAT", scope=rooms.LABORATORY, reason="follow-up"))
    call = Call.new("en")
    assert _asked(call, ASKED, words(1, request=said))["reason"] == "follow-up"
    copied = _asked(call, structs.replace(ASKED, reader=rooms.NURSE), words(1, request=said))
    assert (copied["what"], copied["why"], copied["reason"], copied["purpose"]) == (*["not stated"] * 3, None)


@pytest.mark.parametrize(("lang", "said"), [("en", "not readable"), ("zh", "无法读取")])
def test_what_cannot_be_read_of_one_answer_ends_no_list(lang: Any, said: str) -> None:
    call, garbled = Call.new(lang), b"\xc0"
    assert _asked(call, ASKED, words(1, request=garbled))["reason"] == said
    outcome = _outcome(call, ASKED, ANSWERED, {2: words(2, inputs=garbled, opening=garbled)})
    assert (outcome["status"], outcome["because"], outcome["cause"], outcome["records"]) == ("permitted", said, None, 0)


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\t"])
def test_a_record_on_one_line_has_each_number_as_it_was_written(line_break: str) -> None:
    parts = ['{"id": "a\\nb",', '"value":0.10000000000000000001, "big":9007199254740993.0,', '"exp":1E400}']
    line = verbatim(line_break.join(parts).encode())
    assert "".join(line.split()) == "".join("".join(parts).split()) and len(line.splitlines()) == 1
    whole = " ".join(parts)
    assert verbatim(whole.encode()) == whole


def test_a_patient_judges_an_honest_answer_again(shell: Shell) -> None:
    shell.ok(*ask(shell))
    assert shell.run(*ask(shell)[:-3], "HRESCH", "--reason", "study").code == 4
    found = shell.json("access", "check", "--wallet", "mei.wallet")
    assert {one["follows"] for one in found} == {True} and {one["finding"] for one in found} == {"follows"}
    permitted, denied = found[-2:]
    assert (permitted["status"], permitted["released"], permitted["due"]) == ("permitted", 3, 3)
    assert (denied["status"], denied["stated_cause"], denied["found_cause"]) == ("denied", "other_purpose",
                                                                                   "other_purpose")
    (one,) = shell.json("access", "check", permitted["number"], "--wallet", "mei.wallet")
    assert one == permitted
    assert "符合规则" in shell.ok("access", "check", "--wallet", "mei.wallet", "--lang", "zh").out
    assert shell.run("access", "check", 9999, "--wallet", "mei.wallet").code == 3


def test_an_answer_that_does_not_follow_is_told_and_exits_5(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(answer, "decide", lambda *_: Judgement(Cause.NOTHING_IN_SCOPE, ()))
        assert shell.run(*ask(shell)).code == 4
    done = shell.run("access", "check", "--wallet", "mei.wallet", "--json")
    lied = json.loads(done.out)[-1]
    assert done.code == 5 and json.loads(done.err)["name"] == "ANSWER_DOES_NOT_FOLLOW"
    assert (lied["follows"], lied["finding"], lied["stated_cause"], lied["found_cause"]) == (
        False, "other_cause", "nothing_in_scope", "permitted")
    for lang, words in (("en", "does not follow"), ("zh", "不符合规则")):
        assert words in shell.run("access", "check", lied["number"], "--wallet", "mei.wallet", "--lang", lang).out


def test_an_answer_that_cannot_be_told_exits_5(shell: Shell) -> None:
    shell.ok(*ask(shell))
    with Home.open(shell.home) as home:
        holder = home.holder(home.organisation("east"))
        subject = bytes.fromhex(shell.env["SUBJECT"])
        for name in holder.cabinet.list("openings", subject)[-1:]:
            holder.cabinet.delete("openings", subject, name)
    number = shell.json("access", "list", "--wallet", "mei.wallet")[-1]["number"]
    done = shell.run("access", "check", number, "--wallet", "mei.wallet", "--json")
    assert done.code == 5 and json.loads(done.err)["name"] == "ANSWER_NOT_JUDGED"
    assert json.loads(done.out)[0]["follows"] is None
