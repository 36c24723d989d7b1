"""The story holds on the shipped sample, on SM3, on NDJSON; each check of it bites; what it prints works."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli.command import Shell
from xinglin.base import codec
from xinglin.base.check import Failed
from xinglin.demo import NOTES, by_hand, run, story
from xinglin.demo.cast import PASSPHRASE, STEPS
from xinglin.demo.story import Story
from xinglin.holder import asking
from xinglin.holder.fhir import Addition, Source, addition, json_text, read_sample
from xinglin.holder.fhir.sample import NOTE_PATIENT
from xinglin.home import Home
from xinglin.modules.decision import ConsentBody, RequestBody, ScopeItem

STARTED_MS = 1_790_000_000_000
COLUMNS = 100
DENIED = 4                         # the exit status of a request that is


class Played(NamedTuple):
    folder: Path                   # with home and config
    said: dict[str, Any]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The whole story, once; a test that goes on with it takes a copy."""
    shell = Shell(tmp_path_factory.mktemp("played"))
    return Played(shell.folder, shell.json("demo", "--check", "--home", shell.home))


@pytest.fixture
def shell(played: Played, tmp_path: Path) -> Shell:
    """At the home that the demo left."""
    shutil.copytree(played.folder, tmp_path / "user")
    shell = Shell(tmp_path / "user")
    shell.env["XINGLIN_PASSPHRASE"] = PASSPHRASE
    return shell


def test_every_step_is_told_in_both_languages_and_in_order() -> None:
    assert [name for name, _ in story.ORDER] == list(STEPS)
    for told in STEPS.values():
        assert all((told.zh, told.en, told.proves_zh, told.proves_en))


def test_the_story_holds_on_the_shipped_sample_and_says_so_in_json(played: Played) -> None:
    said = played.said
    assert said["patients"] == 6 and said["resources"] > 1_614 and said["transactions"] > 30
    assert [step["name"] for step in said["steps"]] == list(STEPS)
    assert all(step["ok"] for step in said["steps"])


def test_a_second_start_keeps_the_home(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    home = played.folder / "home"
    before = (home / NOTES).read_bytes()
    assert run(home, None, check=False, as_json=False, lang="zh") == 0
    assert by_hand(home, "zh") in capsys.readouterr().out
    assert (home / NOTES).read_bytes() == before


def commands(text: str) -> list[tuple[str, int]]:
    """Each command by itself, and the exit status that the line above it promises."""
    found, promised = [], 0
    for line in text.replace("\\\n", "").splitlines():
        if line.startswith("#"):
            promised = DENIED if "denied" in line else 0
        elif line.startswith("xinglin "):
            found.append((line, promised))
    return found


def test_every_command_that_the_demo_prints_does_what_it_says(shell: Shell) -> None:
    assert by_hand(shell.home, "en").count("xinglin ") == by_hand(shell.home, "zh").count("xinglin ") > 20
    blanks = {}
    for line, promised in commands(by_hand(shell.home, "en")):
        for blank, value in blanks.items():
            line = line.replace(blank, value)
        words = shlex.split(line.replace("$XINGLIN_HOME", str(shell.home)))[1:]
        done = shell.run(*words, "--json")
        assert done.code == promised, f"{line}: {done.err}"
        if words[:2] == ["subject", "code"]:
            blanks["CODE"] = done.json["code"]
        if words[:2] == ["consent", "list"]:
            live = [one["grant"] for one in done.json if one["status"] == "live"]
            assert bool(live) is ("GRANT" not in blanks), "the second list is after all of them ended"
            blanks["GRANT"] = "".join(live)


@pytest.mark.skipif(sys.prefix == sys.base_prefix or not (Path(sys.prefix) / "bin" / "xinglin").exists(),
                    reason="xinglin is not installed in an environment of its own")
@pytest.mark.parametrize(("lang", "has"), [("en", "Harbour General"), ("zh", "海港综合医院")])
def test_the_printed_commands_work_from_a_fresh_shell(shell: Shell, lang: str, has: str) -> None:
    lines = by_hand(shell.home, lang).splitlines()
    at = lines.index("xinglin member list")
    done = subprocess.run(["sh", "-ec", "\n".join(lines[:at + 1])], cwd=shell.folder, capture_output=True, text=True,
                          check=False, env={"HOME": str(shell.folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})
    assert done.returncode == 0 and has in done.stdout, done.stderr


def test_a_chinese_demo_states_and_signs_in_chinese(tmp_path: Path) -> None:
    found = story.found(tmp_path / "home", None, STARTED_MS, lang="zh")
    try:
        story.import_records(found)
        story.claim(found)
        story.grant_and_read(found)
        words = found.patient().history(found.home.door(found.at_harbour), found.at_harbour).words
        stated = [codec.decode(one.request.body, RequestBody).reason for one in words if one.request]
        signed = [codec.decode(one.body, ConsentBody) for one in found.patient().wallet.grants]
    finally:
        found.home.close()
    assert stated == ["随访"] and [one.language for one in signed if "化验结果" in one.wording] == ["zh"]


def test_a_record_too_few_or_one_instead_of_another_fails_the_story(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = story.found(tmp_path / "home", None, STARTED_MS)
    whole = asking.fetch_all
    try:
        story.import_records(found)
        story.claim(found)
        for change in (lambda records: records[1:], lambda records: [records[-1], *records[1:]]):
            with monkeypatch.context() as patch, pytest.raises(Failed, match="the grant arrived|was granted arrived"):
                patch.setattr(story.asking, "fetch_all", lambda *words, change=change: change(whole(*words)))
                story.grant_and_read(found)
        story.grant_and_read(found)
    finally:
        found.home.close()


def test_a_patient_of_two_hospitals_is_offered_them_by_her_own_labels(shell: Shell) -> None:
    done = shell.run("access", "list", "--wallet", "patient")
    assert done.code == 2 and "--subject harbour | xinglin" in done.err
    assert shell.run("access", "list", "--wallet", "patient", "--subject", "harbour").code == 0


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_what_the_demo_prints_to_repeat_fits_a_terminal(played: Played, lang: str) -> None:
    lines = by_hand(played.folder / "home", lang).splitlines()
    assert not [line for line in lines if len(line) > COLUMNS and not line.startswith("export")]


def test_the_story_holds_on_bulk_ndjson_of_one_file_per_type(tmp_path: Path) -> None:
    data = tmp_path / "bulk"
    data.mkdir()
    resources = [one.resource for one in read_sample() if isinstance(one, Source)]
    types = {one["id"].encode(): one["resourceType"].encode() for one in resources}
    for one in resources:             # a bulk export refers by type and id, not by the entries of a bundle
        line = re.sub(rb"urn:uuid:([0-9a-f-]{36})", lambda match: types[match[1]] + b"/" + match[1],
                      json_text.write(one))
        with (data / f"{one['resourceType']}.ndjson").open("ab") as file:
            file.write(line + b"\n")
    found = story.found(tmp_path / "home", data, STARTED_MS)
    try:
        assert story.import_records(found).en.startswith("6 patients")
        story.claim(found)
        story.ask_and_be_denied(found)
        story.grant_and_read(found)
    finally:
        found.home.close()


def test_the_story_holds_on_a_network_whose_genesis_names_sm3(tmp_path: Path) -> None:
    found = story.found(tmp_path / "home", None, STARTED_MS, "sm3")
    try:
        for name, act in story.ORDER:
            if name != "receipt":     # which founds another network, and runs the command line, as above
                act(found)
        assert found.home.node.hashes.name == "sm3"
    finally:
        found.home.close()


def test_a_canary_outside_the_vault_fails_the_story(shell: Shell) -> None:
    with Home.open(shell.home) as home:
        told = Story(home, None, canaries=["canary-1234"])
        assert "0 hits" in story.search_for_people(told).en
        (home.path / "stray.log").write_text(f"debug: {told.canaries[0]}")
        with pytest.raises(Failed, match="hits"):
            story.search_for_people(told)


def test_a_grant_that_opens_more_fails_the_story(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    wider = (*story.SCOPE, ScopeItem(data_class="Immunization", id=""), ScopeItem(data_class="Procedure", id=""))
    with Home.open(shell.home) as home:
        subject = bytes.fromhex(json.loads((shell.home / NOTES).read_text())["subject"])
        told = Story(home, None, at_harbour=subject, heroine=NOTE_PATIENT,
                     extra=[addition(one, NOTE_PATIENT, f"demo-{one}", "canary") for one in Addition])
        granted = story._granted(told)
        monkeypatch.setattr(story, "SCOPE", wider)
        monkeypatch.setattr(story, "_granted", lambda _: granted)
        with pytest.raises(Failed, match="nothing outside the grant arrived: [1-9]"):
            story.grant_and_read(told)


def test_an_interrupted_demo_is_put_aside_and_a_finished_one_is_kept(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XINGLIN_CONFIG", str(tmp_path / "config"))
    home = tmp_path / "home"
    steps = story.ORDER[:2]

    def interrupted(told: story.Story) -> story.Held:
        raise KeyboardInterrupt
    monkeypatch.setattr(story, "ORDER", (*steps, ("denied", interrupted)))
    with pytest.raises(KeyboardInterrupt):
        run(home, None, check=False, as_json=False, lang="en")
    (home / "mine").write_text("kept")
    monkeypatch.setattr(story, "ORDER", (*steps, ("grant", story.grant_and_read)))
    assert run(home, None, check=False, as_json=False, lang="en") == 0
    assert not (home / "mine").exists() and (tmp_path / "home.unfinished-1" / "mine").read_text() == "kept"
    assert home.stat().st_mode & 0o777 == 0o700
    before = (home / NOTES).read_bytes()
    assert run(home, None, check=False, as_json=False, lang="en") == 0 and (home / NOTES).read_bytes() == before
    with pytest.raises(Failed, match="HOME_NOT_EMPTY"):
        run(home, None, check=True, as_json=True, lang="en")
    capsys.readouterr()
