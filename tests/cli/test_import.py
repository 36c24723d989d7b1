"""What an import says of files that it does not read, of errors past the report's end, of being interrupted."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.command import Shell
from cli.test_show import in_terminal
from xinglin.base.limits import REPORT_PROBLEMS_MAX

PATIENTS = 3_000                   # an import of some seconds: an interrupt finds it under way


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.ok("net", "init", "city", "--simulated", "--member", "east:HOSPITAL:东院:East Hospital")
    return shell


def patients(folder: Path, count: int, **more: object) -> Path:
    folder.mkdir()
    (folder / "Patient.ndjson").write_text("".join(
        json.dumps({"resourceType": "Patient", "id": f"p{number}", **more}) + "\n" for number in range(count)))
    return folder


def test_files_that_are_not_json_are_counted_and_named(shell: Shell) -> None:
    folder = patients(shell.folder / "mixed", 2)
    for number in range(7):
        (folder / f"report{number}.xml").write_text("<Bundle/>")
    (folder / "below").mkdir()
    (folder / "below" / "table.csv").write_text("a,b")
    done = shell.run("record", "import", folder, "--as", "east", "--json")
    assert done.code == 0 and done.json["records"] == 2 and done.json["passed_over"] == 8
    assert done.json["passed_over_names"][:2] == ["below/table.csv", "report0.xml"]
    assert "8 (below/table.csv, report0.xml" in done.err and "…" in done.err and "report6.xml" not in done.err
    assert "8 个文件不是 .json 或 .ndjson" in shell.run("record", "import", folder, "--as", "east", "--lang", "zh").err


def test_errors_past_the_end_of_the_report_are_counted(shell: Shell) -> None:
    folder = shell.folder / "many"
    folder.mkdir()
    for part in range(2):          # a file with too many is given up
        (folder / f"{part}.ndjson").write_text('{"resourceType": "Patient", "gender": "purple"}\n' * 600)
    done = shell.run("record", "import", folder, "--as", "east", "--json")
    assert done.code == 1 and done.json["errors"] == 1_200 and len(done.json["problems"]) == REPORT_PROBLEMS_MAX
    assert "not listed: 200 errors" in done.err and "errors: 1200" in done.err
    assert "还有：错误 200 处" in shell.run("record", "import", folder, "--as", "east", "--lang", "zh").err


def test_an_import_under_way_shows_it_on_a_terminal_and_nowhere_else(shell: Shell) -> None:
    folder = patients(shell.folder / "some", 20)
    said = in_terminal(shell, "record", "import", str(folder), "--as", "east", NO_COLOR="1")
    assert "resources read" in said and "\r" in said and "\x1b" not in said
    for more in ("--json", "--quiet"):
        assert "resources read" not in in_terminal(shell, "record", "import", str(folder), "--as", "east", more)
    assert "read" not in shell.run("record", "import", folder, "--as", "east").err


def test_an_interrupted_import_says_what_was_committed_and_goes_on_the_next_time(shell: Shell) -> None:
    folder = patients(shell.folder / "long", PATIENTS)
    words = [sys.executable, "-m", "xinglin", "record", "import", str(folder), "--as", "east", "--json"]
    under_way = subprocess.Popen(words, env=shell.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    segments = shell.home / "organisations" / "east" / "vault" / "segments"
    for _ in range(6_000):
        if under_way.poll() is not None or (segments.is_dir() and any(segments.iterdir())):
            break
        time.sleep(0.01)
    under_way.send_signal(signal.SIGINT)
    out, err = under_way.communicate(timeout=120)
    assert under_way.returncode == 130 and out == b"" and b"Traceback" not in err
    told = json.loads(err)
    assert told["name"] == "IMPORT_INTERRUPTED" and "xinglin record import" in told["fix"]
    committed = int(told["detail"].split()[1])
    again = shell.json("record", "import", folder, "--as", "east")
    assert again["unchanged"] == committed < PATIENTS and again["records"] == PATIENTS - committed


def test_an_import_report_is_chinese_for_a_chinese_reader(shell: Shell) -> None:
    folder = shell.folder / "wrong"
    folder.mkdir()
    (folder / "a.json").write_text('{"resourceType": "Patient", "id": "p", "active": tru}')
    (folder / "b.json").write_text('{"resourceType": "Bundle", "type": "batch", "entry": [{"request": {}}]}')
    (folder / "c.ndjson").write_text('\n{"resourceType": "Patientt"}\n')
    done = shell.run("record", "import", folder, "--as", "east", "--lang", "zh", "--json")
    told = {(one["file"], one["where"]): one["reason"] for one in done.json["problems"]}
    assert told["a.json", ""].endswith("（第 1 行第 50 列）")
    assert told["b.json", "entry 0"].endswith("（缺失（bdl-3））")
    assert told["c.ndjson", "第 2 行"].endswith("（不是 FHIR R4 的资源类型）")
