"""What is typed is not guessed at where somebody signs; what was verified is shown as it was written."""

import json
import threading
from typing import Any

import pytest

from cli.command import Shell
from holder import rooms
from xinglin.home import Home


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Mei's chart at East, a doctor at East and one at West."""
    shell = Shell(tmp_path_factory.mktemp("exact"))
    shell.ok("net", "init", "city", "--simulated", "--member", "east:HOSPITAL:东院:East", "--member",
             "west:PRACTICE:西诊所:West")
    for organisation, name in (("east", "zhou"), ("west", "chen")):
        shell.ok("member", "enrol-staff", organisation, name, "--name", name, "--role", "physician")
    (shell.folder / "fhir").mkdir()
    lines = [*map(json.dumps, rooms.chart(3)),
             json.dumps(measured("mei-mass")).replace("13.5", "13.50").replace(", ", ",\t")]
    (shell.folder / "fhir" / "a.ndjson").write_text("\n".join(lines))
    shell.ok("record", "import", "fhir", "--as", "east")
    (one,) = shell.json("subject", "list", "--as", "east")
    shell.ok("key", "new", "--wallet", "mei")
    code = shell.json("subject", "code", one["subject"])["code"]
    shell.ok("subject", "claim", one["subject"], "--wallet", "mei", "--code", code)
    shell.env["SUBJECT"] = one["subject"]
    return shell


def measured(own: str) -> dict[str, Any]:
    about = rooms.laboratory(own)
    del about["valueString"]
    return about | {"valueQuantity": {"value": 13.5, "unit": "kg"}}


def records(shell: Shell) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shell.json("record", "list", "--as", "east")
    return found


def grant(scope: str, *more: str) -> list[str]:
    return ["consent", "grant", "--wallet", "mei", "--to", "west", "--scope", scope, "--purpose", "TREAT",
            "--days", "30", "--yes", *more]


def request(shell: Shell, person: str, scope: str) -> list[str]:
    return ["access", "request", "--as", person, "--subject", shell.env["SUBJECT"], "--scope", scope, "--purpose",
            "TREAT", "--reason", "follow-up"]


def test_a_record_is_shown_with_each_number_as_it_was_written(shell: Shell) -> None:
    shown = [shell.ok("record", "show", one["id"], "--as", "east").out for one in records(shell)
             if one["type"] == "Observation"]
    (exact,) = [one for one in shown if "13.5" in one]
    assert "13.50" in exact and json.loads(exact)["resource"]["valueQuantity"]["unit"] == "kg"


def test_the_beginning_of_a_records_id_is_made_whole_before_it_is_signed(shell: Shell) -> None:
    one = next(one for one in records(shell) if one["type"] == "Observation")
    given = shell.json(*grant(f"Observation={one['id'][:8]}"))["grant"]
    (made,) = [found for found in shell.json("consent", "list", "--wallet", "mei") if found["grant"] == given]
    assert made["scope"] == [f"Observation={one['id']}"]
    whole = shell.json(*request(shell, "chen", f"Observation={one['id']}"))
    assert [json.loads(json.dumps(resource))["id"] for resource in whole["resources"]] == [one["id"]]
    other_type = shell.run(*grant(f"Patient={one['id'][:8]}"))
    assert other_type.code == 3 and "XL-9012" in other_type.err


def test_who_does_not_hold_the_subject_gives_a_records_id_whole(shell: Shell) -> None:
    one = next(one for one in records(shell) if one["type"] == "Observation")
    asked = shell.run(*request(shell, "chen", f"Observation={one['id'][:8]}"))
    assert asked.code == 2 and "XL-9021" in asked.err, "that it is there is the holder's to say"
    assert shell.run(*request(shell, "zhou", f"Observation={one['id'][:8]}")).code == 4, "understood, and not permitted"


@pytest.mark.parametrize("scope", ["Observation=", "=64b6a7f2", "Observation=not-hex", "Observation=" + "a" * 33])
def test_a_scope_of_no_record_is_a_usage_error(scope: str, shell: Shell) -> None:
    for words in (grant(scope), request(shell, "chen", scope)):
        said = shell.run(*words)
        assert said.code == 2 and said.err.startswith("XL-90"), said.err


def test_a_wallet_without_a_subject_says_how_it_gets_one(shell: Shell) -> None:
    shell.ok("key", "new", "--wallet", "new")
    for lang, has in (("en", "this wallet has no subject yet"), ("zh", "此钱包还没有主体")):
        said = shell.run("access", "list", "--wallet", "new", "--lang", lang)
        assert said.code == 3 and has in said.err and "xinglin subject claim" in said.err


@pytest.mark.parametrize(("more", "named"), [
    (["--purpose", "ETREAT"], "--purpose"), (["--to", "east"], "--to"), (["--json", "--csv"], "--json --csv"),
    (["--days", "1"], "--days")])
def test_of_two_values_where_one_is_taken_none_is_signed(more: list[str], named: str, shell: Shell) -> None:
    before = shell.json("consent", "list", "--wallet", "mei")
    said = shell.run(*grant("laboratory", *more))
    assert said.code == 2 and named in said.err.splitlines()[0]
    assert shell.json("consent", "list", "--wallet", "mei") == before


def test_a_shared_option_counts_wherever_it_stands(shell: Shell) -> None:
    assert shell.run("--home", "a", "version", "--home", "b").code == 2
    assert shell.run("--json", "version", "--json", "-y", "-y").code == 0, "the same twice is no riddle"


@pytest.mark.parametrize("words", [
    ["key", "new", "--wallet", ""], ["key", "show", "--wallet="], ["--home", "", "version"],
    ["subject", "show", ""], ["record", "list", "--as", ""], ["access", "prove", "--wallet", "mei", "-o", ""]])
def test_an_empty_name_is_a_usage_error(words: list[str], shell: Shell) -> None:
    said = shell.run(*words, "--lang", "zh")
    assert said.code == 2 and "XL-9001" in said.err and "为空" in said.err


@pytest.mark.parametrize(("more", "says"), [(["--class", "labs"], "laboratory"), (["--after", "zzz"], "XL-9021")])
def test_a_list_narrowed_by_what_there_is_not_is_a_usage_error(more: list[str], says: str, shell: Shell) -> None:
    said = shell.run("record", "list", "--as", "east", *more)
    assert said.code == 2 and says in said.err


def test_a_command_waits_for_another_terminals_to_end(shell: Shell) -> None:
    with Home.open(shell.home):
        refused = shell.run("member", "list")
        assert refused.code == 1 and "XL-8000" in refused.err and "lock" not in refused.err.lower()
    other = Home.open(shell.home)
    ending = threading.Timer(0.2, other.close)
    ending.start()
    assert shell.run("member", "list").code == 0
    ending.join()
