import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cli.command import Shell
from xinglin import __version__
from xinglin.base.check import (
    BaseCode,
    Busy,
    Failed,
    InvariantBroken,
    NotAuthorised,
    NotFound,
    NotUnderstood,
    NotVerified,
)
from xinglin.cli import entry, errors, files
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.words import entries, numbers_of
from xinglin.home import Home, HomeCode, NewOrganisation
from xinglin.kernel.genesis import MemberKind

HAN = re.compile(r"[\u4e00-\u9fff]")
CODE = BaseCode.BYTES_NOT_UNDERSTOOD


@pytest.mark.parametrize(("error", "code"), [
    (Failed(CODE), 1), (NotUnderstood(CODE), 1), (Busy(CODE), 1), (InvariantBroken("bug"), 1),
    (Usage(CliCode.USAGE), 2), (NotFound(CODE), 3), (NotAuthorised(CODE), 4), (NotVerified(CODE), 5),
])
def test_each_kind_of_error_has_its_exit_status(error: Exception, code: int) -> None:
    assert errors.exit_code(error) == code


@pytest.mark.parametrize("shown", entries())
def test_every_code_is_rendered_in_both_languages(shown: str) -> None:
    (number,) = numbers_of(shown)

    class Made(Failed):
        def __init__(self) -> None:
            Exception.__init__(self)
            self.code = type("Fake", (), {"value": number})()  # type: ignore[assignment]
            self.detail = "here"

    zh, en = errors.rendered(Made(), "zh", False), errors.rendered(Made(), "en", False)
    assert zh.startswith(shown) and en.startswith(shown)
    assert HAN.search(zh) and not HAN.search(en)
    assert len(zh.splitlines()) == len(en.splitlines()) == 3
    told = json.loads(errors.rendered(Made(), "en", True))
    assert set(told) == {"code", "name", "what", "cause", "fix", "detail"} and told["detail"] == "here"


def test_an_error_cannot_steer_the_terminal() -> None:
    said = errors.rendered(NotFound(HomeCode.STAFF_NOT_FOUND, "x\x1b]0;owned\x07\u202e"), "en", False)
    assert "\x1b" not in said and "\u202e" not in said and "\\u001b" in said


@pytest.mark.parametrize("words", [
    ["nonsense"], ["record", "lst"], ["consent", "list"], ["trace"], ["explain", "1", "2"], ["--nonsense"],
    ["record", "list", "--as"], ["record", "list", "--as", "x", "--limit", "many"], ["--lang", "fr", "version"],
    ["--output", "xml", "version"], ["record", "import", "--as", "x"], ["clock", "advance"],
    ["net", "init", "x", "--member", "a:b"], ["net", "init", "X!", "--member", "a:OTHER:甲:A"],
    ["net", "init", "x", "--member", "a:MILL:甲:A"], ["trace", "abc"], ["net", "trust", "12", "--name", "x"],
])
def test_a_wrong_line_is_a_usage_error_in_either_language(
        words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XINGLIN_HOME", str(tmp_path / "home"))
    for lang in ("zh", "en"):
        monkeypatch.setenv("XINGLIN_LANG", lang)
        assert entry.main(words) == 2
        said = capsys.readouterr()
        assert not said.out and said.err.startswith("XL-")
        if words[:2] != ["--lang", "fr"]:
            assert bool(HAN.search(said.err.replace("甲", ""))) == (lang == "zh")


@pytest.mark.parametrize(("words", "has"), [
    (["consent", "list"], "缺少 '--wallet'"), (["record", "lst"], "没有命令"), (["trace"], "缺少"),
    (["version", "--nonsense"], "没有选项 --nonsense"), (["record", "list", "--as"], "需要一个值"),
    (["trace", "a", "b", "c"], "多余的参数：b c）"), (["clock", "advance", "--days", "many"], "不能使用：应为整数"),
    (["consent", "grant", "--days", "9999"], "不能大于 3660"), (["record", "lst"], "'lst'，是否指 'list'）"),
])
def test_the_parser_too_speaks_chinese(words: list[str], has: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["--lang", "zh", *words]) == 2
    assert has in capsys.readouterr().err


def test_an_error_is_an_object_when_json_was_asked_for_wherever_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--json", "explain", "nothing"], ["explain", "nothing", "--json"],
                  ["--output", "json", "explain", "x"], ["nonsense", "--json"]):
        assert entry.main(words) in (2, 3)
        said = capsys.readouterr()
        assert set(json.loads(said.err)) == {"code", "name", "what", "cause", "fix", "detail"} and not said.out


def test_a_bug_is_a_short_message_and_never_a_traceback(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(lang: str) -> None:
        raise ZeroDivisionError(lang)
    monkeypatch.setattr("xinglin.cli.parser.build", broken)
    with pytest.raises(SystemExit) as ended:
        entry.main(["version"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("XL-9000 NOT_EXPECTED")
    monkeypatch.setenv("XINGLIN_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        entry.main(["version"])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="what a process waits for is read from /proc")
def test_an_interrupt_is_130(tmp_path: Path) -> None:
    script = "import sys; from xinglin.cli import main; print('up', flush=True); sys.exit(main(['verify', '-']))"
    waiting = subprocess.Popen([sys.executable, "-c", script], env=Shell(tmp_path).env, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert waiting.stdout and waiting.stdout.readline() == b"up\n"
    wait_until_it_reads(waiting.pid)
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 130 and b"Traceback" not in err


def wait_until_it_reads(pid: int) -> None:
    """Until the process sleeps, waiting for its input; a minute is too long."""
    for _ in range(600):
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S":
            return
        time.sleep(0.1)
    raise AssertionError("it never came to read")


def test_a_reader_that_goes_away_gets_no_traceback(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    done = subprocess.run(["sh", "-c", f"{sys.executable} -m xinglin --help | head -1"], env=shell.env,
                          capture_output=True, text=True, check=True)
    assert done.stdout == "Examples:\n" and not done.stderr


def test_a_home_in_use_says_so_with_a_next_step(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    with Home.create(shell.home, "busy", [NewOrganisation("a", "甲", "A", MemberKind.OTHER)], simulated=True,
                     started_ms=0):
        for words in (["member", "list"], ["clock", "show"]):
            done = shell.run(*words)
            assert done.code == 1 and "XL-8000 STORE_IN_USE" in done.err and "→" in done.err
        found = {one["check"]: one for one in shell.json("doctor")}
        assert found["ledger"]["state"] == "WARN" and "XL-8000" in found["ledger"]["found"]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("words", [
    ("access", "request", "--as", "chen", "--subject", "00", "--scope", "laboratory", "--purpose", "TREAT", "--reason",
     "\udcff"),
    ("subject", "claim", "00", "--wallet", "mei.wallet", "--label=\udcff"), ("member", "show", "\udcff"), ("\udcff",),
    ("verify", "\udcff")])
def test_bytes_that_are_no_text_are_refused_before_anything_is_done(
        words: tuple[str, ...], lang: str, tmp_path: Path) -> None:
    done = Shell(tmp_path).run("--lang", lang, *words)
    assert done.code == 2 and "XL-9001 USAGE" in done.err and "UTF-8" in done.err


def test_a_file_whose_name_is_no_text_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "\udcff").write_bytes(b"no receipt")
    done = Shell(tmp_path).run("verify", "\udcff", "--network", "00" * 32)
    assert "XL-9001" not in done.err and "XL-9000" not in done.err and done.code in (1, 5)


def test_a_damaged_card_is_named_and_doctor_says_so(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    with Home.create(shell.home, "city", [NewOrganisation("a", "甲", "A", MemberKind.OTHER)], simulated=True,
                     started_ms=0):
        pass
    card = shell.home / "organisations" / "a" / "card.json"
    card.write_text(card.read_text().replace('"member"', '"number"'))
    done = shell.run("member", "list")
    assert done.code == 1 and "XL-8608 CARD_NOT_UNDERSTOOD" in done.err and str(card) in done.err
    looked = shell.run("doctor", "--json")
    (found,) = [one for one in looked.json if one["check"] == "cards"]
    assert looked.code == 1 and found["state"] == "FAIL" and str(card) in found["found"] and found["repair"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_output_that_cannot_be_written_is_no_fault_of_ours(lang: str, tmp_path: Path) -> None:
    for words in ("--version", "explain 204 --json", "--help"):
        done = subprocess.run(["sh", "-c", f"{sys.executable} -m xinglin --lang {lang} {words} > /dev/full"],
                              env=Shell(tmp_path).env, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "XL-9010" in done.stderr and "Exception ignored" not in done.stderr
        assert ("磁盘已满" if lang == "zh" else "No space left") in done.stderr


@pytest.mark.parametrize(("number", "code"), [
    (errno.ENOSPC, CliCode.FILE_NOT_WRITTEN), (errno.EROFS, CliCode.FILE_NOT_WRITTEN),
    (errno.EACCES, CliCode.FILE_NOT_PERMITTED), (errno.ENOTDIR, CliCode.FILE_NOT_WRITTEN)])
def test_what_the_system_refuses_has_a_code_and_its_file(number: int, code: CliCode) -> None:
    failed = errors.of_system(OSError(number, os.strerror(number), "/somewhere/file"))
    assert failed is not None and failed.code is code and failed.detail == f"/somewhere/file: {os.strerror(number)}"
    assert errors.of_system(OSError(errno.EDOM, "odd")) is None


def test_a_home_where_none_can_be_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "below", "/dev/null/home"):
        for words in (["member", "list"], ["net", "init", "x", "--member", "a:OTHER:甲:A"], ["demo"], ["doctor"]):
            done = Shell(tmp_path).run(*words, "--home", home)
            assert "XL-9000" not in done.err and "Traceback" not in done.err, (words, home)
            assert words == ["doctor"] or (done.code in (1, 3) and done.err.startswith("XL-")), (words, home)


def test_the_version_is_told_as_other_programs_do(tmp_path: Path) -> None:
    assert Shell(tmp_path).ok("--version").out == f"xinglin {__version__}\n"


def test_a_new_wallet_goes_where_its_name_is_looked_for(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    made = shell.json("key", "new", "--wallet", "mei")["wallet"]
    assert made == str(shell.home / "wallets" / "mei.wallet") and Path(made).is_file()
    assert shell.json("key", "show", "--wallet", "mei")["wallet"] == made
    assert "XL-8301" in shell.run("key", "new", "--wallet", "mei").err
    for path in ("mei.wallet", "./here", tmp_path / "there"):
        shell.ok("key", "new", "--wallet", path)
        assert (tmp_path / path).is_file() and shell.run("key", "show", "--wallet", path).code == 0
    missing = shell.run("key", "show", "--wallet", "nobody")
    assert missing.code == 3 and str(shell.home / "wallets" / "nobody.wallet") in missing.err
    assert "xinglin key new --wallet NAME" in missing.err


def test_a_file_that_exists_is_not_written_over_unasked(tmp_path: Path) -> None:
    file = tmp_path / "b"
    files.write(file, b"one", over=False)
    with pytest.raises(Usage) as refused:
        files.write(file, b"two", over=False)
    assert refused.value.code is CliCode.FILE_EXISTS and file.read_bytes() == b"one"
    files.write(file, b"2", over=True)
    assert file.read_bytes() == b"2"
    with pytest.raises(Failed) as failed:
        files.write(file / "below", b"x", over=False)
    assert failed.value.code in (CliCode.FILE_NOT_WRITTEN, CliCode.FILE_EXISTS)
    with pytest.raises(Failed) as unread:
        files.read(tmp_path / "nowhere", 10)
    assert unread.value.code is CliCode.FILE_NOT_READ


def test_a_name_of_two_codes_is_explained_by_both(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert [one["code"] for one in shell.json("explain", "EXPIRY_TOO_FAR_AHEAD")] == ["XL-0005", "XL-0207"]
    told = shell.ok("explain", "subject_not_found").out
    assert "XL-0301" in told and "XL-8606" in told
    assert shell.json("explain", "GRANT_NOT_ACTIVE")["code"] == "XL-0204"
    assert shell.run("explain", "NO_SUCH_NAME").code == 3


def test_an_interrupt_while_the_commands_are_loaded_is_130(tmp_path: Path) -> None:
    script = ("import runpy, sys\n"
              "class Stop:\n"
              "    def find_spec(self, name, *_):\n"
              "        if name == 'xinglin.cli': raise KeyboardInterrupt\n"
              "sys.meta_path.insert(0, Stop())\n"
              "runpy.run_module('xinglin', run_name='__main__')")
    done = subprocess.run([sys.executable, "-c", script], env=Shell(tmp_path).env, capture_output=True, check=False)
    assert done.returncode == 130 and not done.stderr


@pytest.mark.parametrize(("starts", "comes_up"), [(1, False), (1, True), (2, False), (2, True)])
def test_an_interrupt_while_the_engine_starts_leaves_a_home_that_opens(
        starts: int, comes_up: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "home"
    Home.create(path, "city", [NewOrganisation("a", "甲", "A", MemberKind.HOSPITAL)], simulated=True,
                started_ms=0).close()
    start, count = threading.Thread.start, []

    def interrupted(thread: threading.Thread) -> None:
        count.append(thread)
        if len(count) < starts or comes_up:
            start(thread)
        if len(count) == starts:
            raise KeyboardInterrupt
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(threading.Thread, "start", interrupted)
        Home.open(path)
    assert not any(thread.is_alive() for thread in count)
    Home.open(path).close()
