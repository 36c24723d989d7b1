from pathlib import Path

import pytest

from xinglin.base.check import NotFound
from xinglin.cli import choices, names
from xinglin.cli.call import language
from xinglin.cli.codes import CliCode, Usage
from xinglin.client import pins
from xinglin.home import HomeCode
from xinglin.kernel.genesis import MemberKind
from xinglin.modules.members import Motion, Role

ONE, OTHER = bytes.fromhex("ab01" + "00" * 14), bytes.fromhex("ab02" + "00" * 14)
MISSING = HomeCode.SUBJECT_NOT_FOUND


@pytest.mark.parametrize("text", ["ab01", "AB01", "ab01..", " ab01 ", ONE.hex()])
def test_a_beginning_that_is_unique_is_enough(text: str) -> None:
    assert names.the_one(text, [ONE, OTHER, ONE], MISSING) == ONE


@pytest.mark.parametrize(("text", "code"), [
    ("ab0", CliCode.ID_AMBIGUOUS), ("", CliCode.NOT_AN_ID), ("xyz", CliCode.NOT_AN_ID), ("..", CliCode.NOT_AN_ID)])
def test_what_is_not_one_id_is_a_usage_error(text: str, code: object) -> None:
    with pytest.raises(Usage) as refused:
        names.the_one(text, [ONE, OTHER], MISSING)
    assert refused.value.code is code


def test_what_nobody_has_is_not_found() -> None:
    with pytest.raises(NotFound) as refused:
        names.the_one("cd", [ONE, OTHER], MISSING)
    assert refused.value.code is MISSING


def test_a_hash_is_taken_whole() -> None:
    assert names.hash_of("AB" * 32 + "\n") == bytes.fromhex("ab" * 32)
    for text in ("ab" * 31, "ab" * 33, "zz" * 32, ""):
        with pytest.raises(Usage):
            names.hash_of(text)


def test_a_transaction_may_be_shortened_to_eight_digits() -> None:
    assert names.tx_digits(" ABCDEF01.. ") == "abcdef01" and names.tx_digits("ab" * 32) == "ab" * 32
    for text in ("abcdef0", "ab" * 33, "zz" * 8, ""):
        with pytest.raises(Usage) as refused:
            names.tx_digits(text)
        assert refused.value.code is CliCode.HASH_NOT_UNDERSTOOD


def test_a_network_in_short_is_one_that_is_trusted_already(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINGLIN_CONFIG", str(tmp_path))
    known, alike = bytes.fromhex("ab" * 16 + "01" * 16), bytes.fromhex("ab" * 16 + "02" * 16)
    other = bytes.fromhex("cd" * 32)
    pins.write(tmp_path, f"city-{known[:8].hex()}", known)
    pins.write(tmp_path, f"town-{alike[:8].hex()}", alike)
    assert names.network(other.hex()) == other                # whole: whoever it is of
    assert names.network(f"city-{known[:8].hex()}") == known and names.network("ab" * 16 + "01") == known
    for text, code in (("ab" * 8, CliCode.ID_AMBIGUOUS), ("cd" * 8, CliCode.NETWORK_ID_NEEDED),
                       ("city-" + "cd" * 8, CliCode.NETWORK_ID_NEEDED), ("abababa", CliCode.HASH_NOT_UNDERSTOOD),
                       ("city", CliCode.HASH_NOT_UNDERSTOOD), ("zz" * 32, CliCode.HASH_NOT_UNDERSTOOD)):
        with pytest.raises(Usage) as refused:
            names.network(text)
        assert refused.value.code is code, text


def test_choices_are_taken_in_any_case_and_others_are_listed() -> None:
    assert choices.role("claims-officer") is Role.CLAIMS_OFFICER
    assert choices.kind("hospital") is MemberKind.HOSPITAL and choices.motion("Suspend") is Motion.SUSPEND
    assert choices.purpose("treat") == "TREAT"
    assert [one.data_class for one in choices.scope(["laboratory", "Observation/vital-signs"])] == [
        "laboratory", "Observation/vital-signs"]
    assert choices.scope(["Observation=" + "0" * 32])[0].id == "0" * 32
    assert choices.labels(["psy", "PSY"]) == choices.labels(["PSY"]) and len(choices.labels(["PSY", "HIV"])) == 2
    for wrong in (lambda: choices.role("service"), lambda: choices.purpose("FUN"), lambda: choices.scope(["Lab"]),
                  lambda: choices.labels(["XYZ"]), lambda: choices.kind("mill"), lambda: choices.hash_suite("md5")):
        with pytest.raises(Usage) as refused:
            wrong()
        assert refused.value.code is CliCode.CHOICE_NOT_KNOWN and ":" in refused.value.detail


@pytest.mark.parametrize(("env", "lang"), [
    ({"LANG": "zh_CN.UTF-8"}, "zh"), ({"LANG": "en_GB.UTF-8"}, "en"), ({"LANG": "de_DE.UTF-8"}, "en"),
    ({"LC_ALL": "zh_TW", "LANG": "en_US"}, "zh"), ({"XINGLIN_LANG": "en", "LANG": "zh_CN"}, "en"),
    ({"LANG": "C"}, "en")])
def test_the_language_is_what_was_said_then_the_systems(
        env: dict[str, str], lang: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XINGLIN_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert language() == lang
    assert language("zh") == "zh"
