"""A user's whole path through the commands, on the sample that comes along.

The story itself is told by a process for each command; what looks at it afterwards shares this one.
"""

import csv
import io
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli.command import PASSPHRASE, Shell
from xinglin.base import codec
from xinglin.client import paper
from xinglin.client.verify import Completeness
from xinglin.holder.fhir import unpack_sample

MEMBERS = ("east:HOSPITAL:东院:East Hospital", "west:PRACTICE:西诊所:West Practice",
           "cover:INSURER:保险:Cover Insurance")
NOT_A_CODE = "AAAA-AAAA-AAAA"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A network of three with a doctor, a wallet and one patient's records at East Hospital."""
    shell = Shell(tmp_path_factory.mktemp("story"), apart=True)
    shell.ok("net", "init", "city", "--simulated", *(word for one in MEMBERS for word in ("--member", one)))
    shell.ok("member", "enrol-staff", "west", "chen", "--name", "陈医生 Dr Chen", "--role", "physician")
    shell.ok("key", "new", "--wallet", "mei.wallet")
    return shell


@pytest.fixture(scope="module")
def story(shell: Shell) -> dict[str, Any]:
    """The story up to a permitted request; each later test looks at what it left, or goes on with it."""
    folder = unpack_sample(shell.folder / "fhir")
    found: dict[str, Any] = {"report": shell.json("record", "import", folder, "--as", "east")}
    patients = shell.json("subject", "list", "--as", "East Hospital")
    found["subject"] = subject = max(patients, key=lambda one: one["records"])["subject"]
    found["patients"] = patients
    code = shell.json("subject", "code", subject[:8])["code"]
    assert shell.run("subject", "claim", subject, "--wallet", "mei.wallet", "--code", NOT_A_CODE).code == 4
    shell.ok("subject", "claim", subject[:8], "--wallet", "mei.wallet", "--code", code, "--label", "east")
    shell.ok("key", "new", "--wallet", "another.wallet")
    assert shell.run("subject", "claim", subject, "--wallet", "another.wallet", "--code", code).code == 4, "used"
    found["denied"] = shell.run(*request(subject))
    found["grant"] = shell.json("consent", "grant", "--wallet", "mei.wallet", "--to", "west", "--scope", "laboratory",
                                "--scope", "medications", "--purpose", "treat", "--days", "30", "--yes")
    found["permitted"] = shell.ok(*request(subject), "-o", "received", "--json")
    shell.apart = False
    return found


def request(subject: str, scope: str = "laboratory", purpose: str = "TREAT") -> list[str]:
    return ["access", "request", "--as", "chen", "--subject", subject, "--scope", scope, "--purpose", purpose,
            "--reason", "follow-up"]


def test_an_import_reports_what_it_took_in_and_skips_it_the_next_time(shell: Shell, story: dict[str, Any]) -> None:
    report = story["report"]
    assert report["records"] > 1_000 and report["errors"] == 0 and report["patients"] == report["new_patients"] == 6
    assert sum(one["records"] for one in report["batches"]) == report["records"]
    again = shell.json("record", "import", "--sample", "--as", "east")
    assert again["records"] == 0 and again["unchanged"] == report["records"] and again["batches"] == []


def test_a_request_without_consent_is_denied_with_a_way_on(story: dict[str, Any]) -> None:
    denied = story["denied"]
    assert denied.code == 4 and denied.out == ""
    assert "XL-8453 NOT_AVAILABLE" in denied.err and "Ask the patient" in denied.err


def test_what_is_withheld_is_denied_in_the_words_for_what_is_not_there(shell: Shell, story: dict[str, Any]) -> None:
    said = []
    for scope in ("DocumentReference", "Contract", "DocumentReference=" + "0" * 32):
        done = shell.run(*request(story["subject"], scope), "--json")
        said.append((done.code, done.out, {**json.loads(done.err), "detail": ""}))
    assert said[0] == said[1] == said[2] and said[0][0] == 4


def test_a_permitted_request_brings_fhir_and_its_receipts(shell: Shell, story: dict[str, Any]) -> None:
    answer = story["permitted"].json
    lines = [json.loads(line) for file in answer["files"] if file.endswith(".ndjson")
             for line in (shell.folder / file).read_text().splitlines()]
    assert len(lines) == answer["records"] > 0
    assert {one["resourceType"] for one in lines} <= {"Observation", "DiagnosticReport"}
    for name in ("request.receipt", "answer.receipt"):
        assert shell.ok("verify", f"received/{name}").out.startswith("✓")
    assert shell.run(*request(story["subject"]), "-o", "received").code == 2      # nothing is written over
    again = shell.ok(*request(story["subject"]))
    whole = shell.ok(*request(story["subject"]), "--json")
    assert whole.json.keys() == {*answer} - {"files"} | {"resources"} and whole.json["records"] == answer["records"]
    assert all(line in whole.out for line in again.out.splitlines())              # byte for byte: 13.50 is not 13.5
    assert sorted(json.loads(line)["id"] for line in again.out.splitlines()) == sorted(one["id"] for one in lines)


def test_the_consent_says_what_was_signed(shell: Shell, story: dict[str, Any]) -> None:
    (listed,) = shell.json("consent", "list", "--wallet", "mei.wallet")
    assert listed["grant"] == story["grant"]["grant"] and listed["status"] == "live" and listed["days_left"] == 29
    assert listed["scope"] == ["laboratory", "medications"] and listed["to"] == "West Practice"
    shown = shell.json("consent", "show", listed["grant"][:6], "--wallet", "mei.wallet")
    assert "West Practice" in shown["wording"] and "treatment" in shown["wording"] and "sensitive" in shown["wording"]
    assert shell.run("consent", "list", "--wallet", "mei.wallet", "--lang", "zh").out.splitlines()[1].count("有效") == 1


def test_a_dry_run_shows_the_sentence_and_signs_nothing(shell: Shell, story: dict[str, Any]) -> None:
    words = ["consent", "grant", "--wallet", "mei.wallet", "--to", "cover", "--scope", "Claim", "--purpose", "HPAYMT",
             "--hours", "5", "--label", "PSY", "--role", "claims-officer"]
    before = shell.json("consent", "list", "--wallet", "mei.wallet")
    zh = shell.ok(*words, "--dry-run", "--lang", "zh").out
    assert "保险" in zh and "精神科" in zh and "理赔员" in zh
    assert "psychiatry" in shell.ok(*words, "--dry-run").out
    assert shell.run(*words).code == 2                                            # nobody there to agree
    assert shell.json("consent", "list", "--wallet", "mei.wallet") == before


def test_the_access_log_names_people_and_says_why(shell: Shell, story: dict[str, Any]) -> None:
    entries = shell.json("access", "list", "--wallet", "mei.wallet", "--subject", "east")
    assert [one["status"] for one in entries[:2]] == ["denied", "permitted"]
    assert all(one["person"] == "陈医生 Dr Chen" and one["organisation"] == "West Practice" for one in entries)
    assert all(one["reason"] == "follow-up" and one["purpose"] == "TREAT" and one["at"] for one in entries)
    assert entries[1]["records"] == story["permitted"].json["records"]
    rows = list(csv.DictReader(io.StringIO(shell.ok("access", "list", "--wallet", "mei.wallet", "--csv").out)))
    assert [row["number"] for row in rows] == [str(one["number"]) for one in entries]


def test_the_log_is_proved_complete_and_a_shorter_one_is_not(shell: Shell, story: dict[str, Any]) -> None:
    entries = shell.json("access", "prove", "--wallet", "mei.wallet", "-o", "history.proof", "--yes")["entries"]
    said = shell.ok("verify", "history.proof").out
    assert f"these {entries} entries" in said and "does not prove" in said and "single-operator" in said
    file = shell.folder / "history.proof"
    whole = codec.decode(file.read_bytes(), Completeness)
    (shell.folder / "short.proof").write_bytes(codec.encode(Completeness(entries=whole.entries[1:], log=whole.log)))
    short = shell.run("verify", "short.proof")
    assert short.code == 5 and short.out == "" and "XL-0058 LIST_NOT_COMPLETE" in short.err


def test_a_receipt_is_judged_by_a_pin_or_a_named_network_alone(shell: Shell, story: dict[str, Any]) -> None:
    network = shell.json("net", "list")[0]["id"]
    told = shell.json("trace", story["grant"]["tx"], "-o", "receipt", "--yes")
    assert told["code"] == 0 and told["messages"] == ["consent.grant/1"] and re.search(
        r"West Practice \([0-9a-f]{32}\)", told["told"][0])
    assert story["subject"] in told["told"][0] and told["signers"] == [story["subject"]]
    verified = shell.json("verify", "receipt")
    assert verified["verified"] and verified["simulated"] and verified["single_operator"]
    for short in (story["grant"]["tx"][:8], story["grant"]["tx"][:9].upper(), story["grant"]["tx"][:40] + ".."):
        assert shell.json("trace", short)["tx"] == story["grant"]["tx"]
    for other in ("ab" * 16, story["grant"]["tx"][:63] + ("0" if story["grant"]["tx"][63] != "0" else "1")):
        assert shell.run("trace", other).code == 3
    assert shell.run("trace", story["grant"]["tx"][:7]).code == 2
    assert f"--network {network}" in shell.run("trace", story["grant"]["tx"], "-o", "receipt", "--yes").err
    chain = shell.json("net", "list")[0]["chain"]
    for short in (chain, network[:12]):
        assert shell.run("verify", "receipt", "--network", short).code == 0
    stranger = {"XINGLIN_CONFIG": str(shell.folder / "stranger")}
    unknown = shell.run("verify", "receipt", env=stranger)
    assert unknown.code == 5 and "Cannot tell" in unknown.err and network in unknown.err
    assert shell.run("verify", "receipt", "--network", network, env=stranger).code == 0
    for words in (["verify", "receipt", "--network", network[:16]], ["net", "trust", chain, "--name", chain]):
        short = shell.run(*words, env=stranger)
        assert short.code == 2 and "XL-9018" in short.err and "xinglin net list" in short.err
    assert "XL-0051" in shell.run("verify", "receipt", "--network", "ab" * 32, env=stranger).err
    data = (shell.folder / "receipt").read_bytes()
    flipped = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    for name, bad in (("cut", data[:-9]), ("flipped", flipped), ("more", data + b"\0"), ("empty", b"")):
        (shell.folder / name).write_bytes(bad)
        done = shell.run("verify", name)
        assert done.code == 5 and done.out == "" and done.err.startswith("XL-"), name
    assert shell.run("verify", "-", stdin="nonsense").code == 5
    assert shell.run("verify", "nowhere").code == 1
    assert shell.run("trace", "ab" * 32).code == 3


def test_that_there_is_no_consent_is_proved_only_where_there_is_none(shell: Shell, story: dict[str, Any]) -> None:
    shell.ok("consent", "absent", "--subject", story["subject"], "--to", "cover", "-o", "absent.proof")
    assert "has no consent to member" in shell.ok("verify", "absent.proof").out
    assert "没有有效授权" in shell.ok("verify", "absent.proof", "--lang", "zh").out
    done = shell.run("consent", "absent", "--subject", story["subject"], "--to", "west", "-o", "never.proof")
    assert done.code == 1 and "XL-9008" in done.err and not (shell.folder / "never.proof").exists()


def test_a_holder_looks_at_its_records(shell: Shell, story: dict[str, Any]) -> None:
    subject = story["subject"]
    first = shell.json("record", "list", "--as", "east", "--subject", subject, "--class", "laboratory", "--limit", "3")
    assert len(first) == 3 and all("laboratory" in one["classes"] for one in first)
    after = shell.json("record", "list", "--as", "east", "--subject", subject, "--class", "laboratory", "--limit", "3",
                       "--after", first[1]["id"])
    assert after[0] == first[2]
    shown = shell.json("record", "show", first[0]["id"], "--as", "east")
    assert shown["resource"]["id"] == first[0]["id"] and shown["subject"] == subject
    assert shell.run("record", "show", "f" * 32, "--as", "east").code == 3
    batches = shell.json("record", "batches", subject)
    public = shell.json("subject", "show", subject[:8])
    assert sum(one["count"] for one in batches) == public["records"] and public["claimed"] is True
    assert shell.run("record", "list", "--as", "west", "--subject", subject).code == 3
    assert shell.run("subject", "list", "--as", "west", "--json").out == "[]\n"
    assert shell.json("subject", "find", "--as", "east", "--system", "urn:none", "--value", "0") == []


def test_every_read_is_one_json_value(shell: Shell, story: dict[str, Any]) -> None:
    for words in (["member", "list"], ["member", "show", "west"], ["member", "motions"], ["net", "list"],
                  ["clock", "show"], ["doctor"], ["version"], ["key", "show", "--wallet", "mei.wallet"],
                  ["access", "anchor", "--as", "east"], ["explain", "204"]):
        shell.json(*words)


def test_the_seed_is_shown_on_request_and_brings_the_keys_back(shell: Shell, story: dict[str, Any]) -> None:
    assert "seed" not in shell.ok("key", "show", "--wallet", "mei.wallet").out
    assert shell.run("key", "show", "--wallet", "mei.wallet", "--seed").code == 2
    written = shell.json("key", "show", "--wallet", "mei.wallet", "--seed", "--yes")["seed"]
    paper.read(written)
    restored = shell.run("key", "restore", "--wallet", "copy.wallet", stdin=written + "\n")
    assert restored.code == 0
    assert shell.json("key", "show", "--wallet", "copy.wallet", "--seed", "--yes")["seed"] == written
    assert shell.run("access", "list", "--wallet", "copy.wallet", "--subject", story["subject"]).code != 0
    shell.ok("subject", "claim", story["subject"], "--wallet", "copy.wallet")
    again = shell.json("access", "list", "--wallet", "copy.wallet", "--subject", story["subject"])
    assert again == shell.json("access", "list", "--wallet", "mei.wallet", "--subject", story["subject"])
    columns = ("grant", "to", "until", "status", "subject")
    listed, before = [[[one[name] for name in columns] for one in shell.json("consent", "list", "--wallet", wallet)]
                      for wallet in ("copy.wallet", "mei.wallet")]
    assert [one for one in listed if one[3] == "live"] == [one for one in before if one[3] == "live"]
    given = shell.json("consent", "grant", "--wallet", "mei.wallet", "--to", "east", "--scope", "laboratory",
                       "--purpose", "treat", "--days", "1", "--yes")["grant"]
    assert "not in this wallet" in shell.ok("consent", "show", given, "--wallet", "copy.wallet").out
    shell.ok("consent", "revoke", given[:8], "--wallet", "copy.wallet")
    (again,) = [one for one in shell.json("consent", "list", "--wallet", "mei.wallet") if one["grant"] == given]
    assert again["status"] == "revoked"
    wrong = shell.run("key", "restore", "--wallet", "wrong.wallet", stdin="0" + written[1:] if written[0] != "0"
                      else "1" + written[1:])
    assert wrong.code == 1 and "XL-8312" in wrong.err and not (shell.folder / "wrong.wallet").exists()


def test_a_passphrase_comes_from_a_file_or_the_environment_and_is_never_asked_of_a_pipe(
        shell: Shell, story: dict[str, Any]) -> None:
    (shell.folder / "phrase").write_text(PASSPHRASE + "\n")
    words = ("key", "show", "--wallet", "mei.wallet")
    assert shell.run(*words, "--passphrase-file", "phrase", env={"XINGLIN_PASSPHRASE": "other"}).code == 0
    wrong = shell.run(*words, env={"XINGLIN_PASSPHRASE": "other"})
    assert wrong.code == 5 and "XL-8305" in wrong.err
    bare = Shell(shell.folder)
    del bare.env["XINGLIN_PASSPHRASE"]
    assert "XL-8306" in bare.run(*words).err


# -- from here on the story goes on, and takes the consent back

def test_a_claimed_subject_gets_no_other_code(shell: Shell, story: dict[str, Any]) -> None:
    done = shell.run("subject", "code", story["subject"])
    assert done.code == 1 and done.out == "" and "XL-0303 SUBJECT_ALREADY_CLAIMED" in done.err
    assert "xinglin subject claim SUBJECT --wallet NAME" in done.err


def test_taking_a_consent_back_denies_the_next_request(shell: Shell, story: dict[str, Any]) -> None:
    grant = story["grant"]["grant"]
    shell.ok("consent", "revoke", grant[:6], "--wallet", "mei.wallet")
    assert shell.json("consent", "list", "--wallet", "mei.wallet")[0]["status"] == "revoked"
    assert shell.run(*request(story["subject"])).code == 4
    again = shell.run("consent", "revoke", grant, "--wallet", "mei.wallet")
    assert again.code == 1 and "XL-0204" in again.err and "patient need do nothing" in again.err
    shell.ok("consent", "absent", "--subject", story["subject"], "--to", "west", "-o", "gone.proof")
    assert shell.run("consent", "revoke", "f" * 32, "--wallet", "mei.wallet").code == 3


def test_a_consent_runs_out_by_itself(shell: Shell, story: dict[str, Any]) -> None:
    shell.ok("consent", "grant", "--wallet", "mei.wallet", "--to", "west", "--scope", "laboratory", "--purpose",
             "TREAT", "--hours", "2", "--yes")
    assert shell.run(*request(story["subject"])).code == 0
    assert "timers that ran: 1." in shell.ok("clock", "advance", "--hours", "3").err
    assert shell.run(*request(story["subject"])).code == 4
    to_west = [one for one in shell.json("consent", "list", "--wallet", "mei.wallet") if one["to"].startswith("West")]
    assert [one["status"] for one in to_west] == ["revoked", "expired"]
    over = to_west[1]["grant"]
    late = shell.run("consent", "revoke", over, "--wallet", "mei.wallet")
    assert late.code == 1 and "XL-9019" in late.err and "run out" in late.err and "sk the patient" not in late.err


def test_members_admit_and_suspend_each_other(shell: Shell, story: dict[str, Any]) -> None:
    assert "open" in shell.ok("member", "invite", "lab", "--by", "east", "--kind", "other", "--zh", "检验", "--en",
                              "Lab").err
    assert shell.run("member", "invite", "lab", "--by", "east", "--kind", "other", "--zh", "a", "--en", "b").code == 1
    (motion,) = shell.json("member", "motions")
    assert motion["motion"] == "admit" and motion["votes"] == 1 and motion["needed"] == 3
    shell.ok("member", "vote", "lab", "admit", "--by", "west")
    assert "Carried" in shell.ok("member", "vote", "lab", "admit", "--by", "cover").err
    shell.ok("member", "enrol-staff", "lab", "wu", "--name", "Wu", "--role", "NURSE", "--no-passphrase")
    shell.ok("member", "suspend", "west", "--by", "cover")
    shell.ok("member", "suspend", "cover", "--by", "east")
    shell.ok("member", "vote", "cover", "suspend", "--by", "west")
    shell.ok("member", "vote", "cover", "suspend", "--by", "lab")
    states = {one["slug"]: one["status"] for one in shell.json("member", "list")}
    assert states == {"east": "active", "west": "active", "lab": "active", "cover": "suspended"}
    assert "XL-0011" in shell.run("member", "suspend", "east", "--by", "cover").err
    (motion,) = shell.json("member", "motions")      # opened by who is suspended now: no vote stands
    assert (motion["motion"], motion["votes"], motion["needed"], len(motion["voters"])) == ("suspend", 0, 3, 1)
    shell.ok("member", "end-staff", "wu", "--yes")
    assert shell.json("member", "show", "lab")["people"][0]["active"] is False


def test_a_broken_file_imports_nothing_unless_told_to_go_on(shell: Shell, story: dict[str, Any]) -> None:
    folder = shell.folder / "broken"
    folder.mkdir()
    (folder / "good.json").write_text(json.dumps({"resourceType": "Organization", "id": "o", "name": "O"}))
    (folder / "bad.json").write_text(json.dumps({"resourceType": "Patient", "id": "p", "gender": "purple"}))
    done = shell.run("record", "import", folder, "--as", "east", "--json")
    assert done.code == 1 and json.loads(done.err)["name"] == "NOTHING_IMPORTED"
    (problem,) = done.json["problems"]
    assert problem["file"] == "bad.json" and problem["element"] == "Patient.gender" and problem["severity"] == "error"
    assert "purple" not in done.out
    partly = shell.run("record", "import", folder, "--as", "east", "--continue", "--json")
    assert partly.code == 6 and partly.json["records"] == 1
    assert json.loads(partly.err)["name"] == "SOME_NOT_IMPORTED" and "errors: 1" in json.loads(partly.err)["detail"]
    assert shell.run("record", "import", folder / "none", "--as", "east").code == 2


def test_a_source_that_gives_out_the_same_ids_is_named_and_a_correction_is_said(
        shell: Shell, story: dict[str, Any]) -> None:
    folder = shell.folder / "lab"
    folder.mkdir()

    def patient(born: str) -> None:
        (folder / "p.json").write_text(json.dumps({"resourceType": "Patient", "id": "of-two", "birthDate": born}))

    patient("1950-01-01")
    assert shell.json("record", "import", folder, "--as", "east")["new_patients"] == 1
    patient("1990-09-09")
    done = shell.run("record", "import", folder, "--as", "east", "--json")
    assert done.code == 1 and [one["code"] for one in done.json["problems"]] == ["XL-8440"]
    assert shell.json("record", "import", folder, "--as", "east", "--source", "lab")["new_patients"] == 1
    corrected = shell.json("record", "import", folder, "--as", "east", "--same-person", "Patient/of-two")
    assert (corrected["records"], corrected["new_patients"]) == (1, 0)
    assert shell.run("record", "import", folder, "--as", "east", "--source", "The Lab").code == 1


def test_time_passes_by_command_only_where_it_is_simulated(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.ok("net", "init", "real", "--member", MEMBERS[0])
    done = shell.run("clock", "advance", "--days", "1")
    assert done.code == 1 and "XL-8201" in done.err
    assert shell.json("clock", "show")["simulated"] is False
    assert shell.run("net", "init", "real", "--member", MEMBERS[0]).code == 1


def test_doctor_fails_on_a_broken_list_of_pins_and_says_the_repair(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    config = tmp_path / "config"
    config.mkdir()
    (config / "networks.json").write_text("{")
    done = shell.run("doctor", "--json")
    found = {one["check"]: one for one in done.json}
    assert done.code == 1 and found["trust"]["state"] == "FAIL" and found["trust"]["repair"]
    assert found["ledger"]["state"] == "WARN" and found["python"]["state"] == "OK"


def test_doctor_fails_on_a_lost_index_and_names_whose(shell: Shell, story: dict[str, Any]) -> None:
    cabinet = shell.home / "organisations" / "east" / "vault" / "cabinet.db"
    kept = cabinet.read_bytes()
    with closing(sqlite3.connect(cabinet)) as sql:
        sql.execute("PRAGMA journal_mode = DELETE")
        sql.execute("DELETE FROM cells WHERE kind = 'shelf' AND owner = ?", (bytes.fromhex(story["subject"]),))
        sql.commit()
    try:
        done = shell.run("doctor", "--json")
        found = {one["check"]: one for one in done.json}
        assert done.code == 1 and found["vault east"]["state"] == "FAIL" and found["vault east"]["repair"]
        assert "XL-8151" in found["vault east"]["found"] and story["subject"] in found["vault east"]["found"]
    finally:
        cabinet.write_bytes(kept)
    assert {one["check"]: one for one in shell.json("doctor")}["vault east"]["state"] == "OK"


def test_a_request_whose_answer_has_no_place_is_not_ordered(shell: Shell, story: dict[str, Any]) -> None:
    before = len(shell.json("access", "list", "--wallet", "mei.wallet", "--subject", story["subject"]))
    (shell.folder / "taken").write_text("a file, not a folder")
    (shell.folder / "full").mkdir()
    (shell.folder / "full" / "old").write_text("-")
    assert shell.run(*request(story["subject"]), "-o", "taken").code == 1
    full = shell.run(*request(story["subject"]), "-o", "full")
    assert full.code == 2 and "XL-9009" in full.err
    for reason in ("", " ", "x" * 2_001):
        refused = shell.run(*request(story["subject"])[:-1], reason)
        assert refused.code == 2 and "XL-9015" in refused.err
    assert len(shell.json("access", "list", "--wallet", "mei.wallet", "--subject", story["subject"])) == before
