"""The story holds on the shipped sample, on SM3, on NDJSON; and each check of it bites."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from xinglin.base.check import Failed
from xinglin.demo import NOTES, by_hand, leak, run, story
from xinglin.demo.cast import STEPS
from xinglin.holder.fhir import Source, json_text, read_sample
from xinglin.modules.decision import ScopeItem

STARTED_MS = 1_790_000_000_000


@pytest.fixture
def told(tmp_path: Path) -> Iterator[story.Story]:
    found = story.found(tmp_path / "home", None, STARTED_MS)
    yield found
    found.home.close()


def test_every_step_is_told_in_both_languages_and_in_order() -> None:
    assert [name for name, _ in story.ORDER] == list(STEPS)
    for told in STEPS.values():
        assert all((told.zh, told.en, told.proves_zh, told.proves_en))


def test_the_story_holds_on_the_shipped_sample_and_says_so_in_json(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XINGLIN_CONFIG", str(tmp_path / "config"))
    assert run(tmp_path / "home", None, check=True, as_json=True, lang="en") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["patients"] == 6 and said["resources"] > 1_614 and said["transactions"] > 30
    assert [step["name"] for step in said["steps"]] == list(STEPS)
    assert all(step["ok"] for step in said["steps"])

    assert (tmp_path / "home" / NOTES).exists()
    assert run(tmp_path / "home", None, check=False, as_json=False, lang="zh") == 0, "a second start keeps the home"
    assert by_hand(tmp_path / "home", "zh") in capsys.readouterr().out


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


def test_a_canary_outside_the_vault_fails_the_story(told: story.Story) -> None:
    for name, act in story.ORDER:
        if name == "no-personal-data":
            break
        act(told)
    (told.home.path / "stray.log").write_text(f"debug: {told.canaries[0]}")
    with pytest.raises(Failed, match="hits"):
        story.search_for_people(told)


def test_a_grant_that_opens_more_fails_the_story(told: story.Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.import_records(told)
    story.claim(told)
    wider = (*story.SCOPE, ScopeItem(data_class="Immunization", id=""), ScopeItem(data_class="Procedure", id=""))
    monkeypatch.setattr(story, "SCOPE", wider)
    with pytest.raises(Failed, match="outside the grant"):
        story.grant_and_read(told)


def test_leaks_are_found_in_every_spelling(tmp_path: Path) -> None:
    name = "Trish512 Feest103"
    spellings = {"utf-8": name.encode(), "hex": name.encode().hex().encode(),
                 "base64": base64.b64encode(b"xy" + name.encode() + b"z")}
    for spelling, data in spellings.items():
        file = tmp_path / spelling
        file.write_bytes(b"\x00\x01" + data + b"\xff")
        assert {hit.spelling for hit in leak.search([file], [name])} == {spelling}
    assert not leak.search([tmp_path / "hex"], ["Somebody Else"])
