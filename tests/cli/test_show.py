import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from cli.command import Shell
from xinglin.base.check import NotUnderstood
from xinglin.cli import errors, show
from xinglin.cli.call import Call, Output
from xinglin.cli.codes import CliCode
from xinglin.cli.show import Column, Time
from xinglin.modules.members import Motion

COLUMNS = (Column("id", "标识", "id"), Column("name", "姓名", "name"), Column("at", "时间", "at"))
ITEM = {"id": bytes(range(16)), "name": "陈 Chen", "at": Time(1_700_000_000_123), "more": [1, b"\x01"], "none": None}


def call(output: Output, lang: Any = "en") -> Call:
    return Call(lang, Path("nowhere"), output=output)


def test_an_empty_list_is_brackets_headings_or_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    show.rows(call(Output.JSON), COLUMNS, [])
    assert capsys.readouterr().out == "[]\n"
    show.rows(call(Output.CSV), COLUMNS, [])
    assert capsys.readouterr().out == "id,name,at\n"
    show.rows(call(Output.TABLE), COLUMNS, [])
    said = capsys.readouterr()
    assert said.out == "" and said.err == "(none)\n"


def test_json_has_whole_ids_utc_times_and_everything(capsys: pytest.CaptureFixture[str]) -> None:
    show.rows(call(Output.JSON), COLUMNS, [ITEM])
    assert json.loads(capsys.readouterr().out) == [{
        "id": "000102030405060708090a0b0c0d0e0f", "name": "陈 Chen", "at": "2023-11-14T22:13:20Z", "more": [1, "01"],
        "none": None}]


def test_a_table_off_a_terminal_is_plain_aligned_text(capsys: pytest.CaptureFixture[str],
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    show.rows(call(Output.TABLE, "zh"), COLUMNS, [ITEM, ITEM | {"name": "x"}])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("标识      姓名")
    assert len(lines) == 3 and not any("\x1b" in line for line in lines)
    assert {cell_len(line[:line.index("2023")]) for line in lines[1:]} == {19}


def test_csv_is_read_back_and_a_spreadsheet_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show.rows(call(Output.CSV), COLUMNS, [ITEM | {"name": "=HYPERLINK(1)"}, ITEM | {"name": 'a,"b"\nc'}])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["name"] for row in rows] == ["'=HYPERLINK(1)", 'a,"b"\nc']
    assert rows[0]["id"] == bytes(range(16)).hex()


@pytest.mark.parametrize("wrote", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "\n=1", "＝1+1", "＋1", "－1",
                                   "＠x", ["=1+1", "x"], ["\t@x"], "\ufeff=1", "\u00a0=1"])
def test_nothing_that_others_wrote_begins_as_a_formula_does(wrote: Any, capsys: pytest.CaptureFixture[str]) -> None:
    show.rows(call(Output.CSV), COLUMNS, [ITEM | {"name": wrote}])
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["name"].startswith(("'", "\\u"))


STEERING = "\x1b]0;owned\x07\x1b[2J\x9b\u202eevil\u2066\x7f\rline"


@pytest.mark.parametrize("output", Output)
def test_no_form_of_output_steers_the_terminal(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    show.rows(call(output), COLUMNS, [ITEM | {"name": STEERING}, ITEM | {"name": [STEERING]}])
    show.one(call(output), COLUMNS, ITEM | {"name": STEERING})
    show.json_line(json.dumps({"resourceType": STEERING}, ensure_ascii=False))
    said = capsys.readouterr().out
    assert not show_steers(said) and "evil" in said


def test_json_still_means_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    show.one(call(Output.JSON), COLUMNS, {"name": STEERING})
    assert json.loads(capsys.readouterr().out)["name"] == STEERING
    show.json_line(json.dumps({"name": STEERING}, ensure_ascii=False))
    assert json.loads(capsys.readouterr().out)["name"] == STEERING


def test_nothing_that_is_said_asked_or_warned_steers_the_terminal(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    one = call(Output.TABLE)
    one.say(STEERING, STEERING)
    one.warn(STEERING, STEERING)
    monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})("y\n"))
    one.confirm(STEERING, STEERING)
    print(errors.rendered(NotUnderstood(CliCode.FILE_NOT_READ, STEERING), "en", as_json=False))
    print(errors.rendered(NotUnderstood(CliCode.FILE_NOT_READ, STEERING), "en", as_json=True))
    said = "".join(capsys.readouterr())
    assert not show_steers(said) and said.count("evil") == 5


def show_steers(said: str) -> bool:
    return re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066]", said) is not None


def test_what_others_wrote_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show.rows(call(Output.TABLE), COLUMNS, [ITEM | {"name": "\x1b[2J\x9b\u202eevil\nline"}])
    said = capsys.readouterr().out
    assert not re.search("[\x1b\x9b\u202e]", said) and len(said.splitlines()) == 2


def test_an_enum_is_its_code_for_programs_and_a_word_for_chinese_readers(capsys: pytest.CaptureFixture[str]) -> None:
    column = (Column("motion", "动议", "motion"),)
    for output, lang, has in ((Output.JSON, "zh", '"suspend"'), (Output.TABLE, "zh", "暂停"),
                              (Output.TABLE, "en", "suspend")):
        show.rows(call(output, lang), column, [{"motion": Motion.SUSPEND}])
        assert has in capsys.readouterr().out


def test_every_enum_that_is_shown_has_a_chinese_word() -> None:
    from xinglin.holder.fhir import Severity
    from xinglin.kernel.genesis import MemberKind
    from xinglin.modules.members import MemberStatus, Role
    kinds: tuple[type[IntEnum], ...] = (MemberKind, MemberStatus, Motion, Role, Severity)
    assert not [one.name for kind in kinds for one in kind if one.name not in show.NAMES_ZH]


def in_terminal(shell: Shell, *words: str, **env: str) -> str:
    """What a command says to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "xinglin", *words], stdin=theirs, stdout=theirs, stderr=theirs,
                               env=shell.env | {"TERM": "xterm-256color", "COLUMNS": "100"} | env)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 4096)
        except OSError:            # the other end is closed
            break
    os.close(ours)
    process.wait()
    return said.decode()


@pytest.mark.parametrize("words", [("doctor",), ("version",), ("demo", "--check"), ("explain", "204")])
def test_no_color_leaves_no_control_sequence_at_all(words: tuple[str, ...], tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert "\x1b" not in in_terminal(shell, *words, NO_COLOR="1")
    assert "\x1b[1m" in in_terminal(shell, *words)


WIDE = (*COLUMNS, Column("words", "说明", "words"), Column("also", "另有", "also"))
LONG = ITEM | {"words": "one sentence that goes on and on behind the edge of a narrow terminal window", "also": ""}


def in_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80 columns, without colours."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_table_that_is_wider_than_the_terminal_is_a_block_for_each_item(
        lang: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    in_narrow_terminal(monkeypatch)
    show.rows(call(Output.TABLE, lang), WIDE, [LONG, LONG])
    said = capsys.readouterr().out
    blocks = said.rstrip().split("\n\n")
    assert len(blocks) == 2 and blocks[0] == blocks[1]
    assert bytes(range(16)).hex() in blocks[0].splitlines()[0]                # whole, to be copied
    assert all(cell_len(line) <= 80 for line in said.splitlines())
    assert "terminal" in said and " ".join(blocks[0].split()).endswith("terminal window")
    assert "另有" not in said and "also" not in said                           # nothing to say, no line


def test_a_table_that_fits_stays_one_and_says_where_whole_ids_are(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    in_narrow_terminal(monkeypatch)
    show.rows(call(Output.TABLE), COLUMNS, [ITEM])
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2 and "00010203  " in said.out and "--json" in said.err


def test_a_narrow_terminal_breaks_no_word_of_a_real_list(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.ok("net", "init", "city", "--simulated", "--member", "east:HOSPITAL:东院:Eastern District General Hospital")
    said = in_terminal(shell, "member", "list", COLUMNS="60")
    assert "Eastern District General Hospital" in said and re.search(r"\b[0-9a-f]{32}\b", said)


def test_quiet_leaves_only_data(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    done = shell.run("key", "new", "--wallet", "w", "--quiet")
    assert done.code == 0 and done.err == "" and done.out


def test_every_read_takes_its_form_before_or_after_the_noun(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for words in (["--json", "net", "list"], ["net", "--json", "list"], ["net", "list", "--json"],
                  ["net", "list", "--output", "json"], ["net", "list", "--output=json"]):
        assert shell.run(*words).out == "[]\n"
    assert shell.run("net", "list", "--csv").out == "chain,id,witnesses,quorum\n"
