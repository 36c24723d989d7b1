"""FUZZ: whatever a parser is given, it takes it or refuses it with a code; it neither crashes, hangs nor grows."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz import harness, parsers
from fuzz.parsers import SLOW, Parser
from rows import Span
from tidy.tree import ROOT
from xinglin.base.check import Failed

NAMES = list(parsers.all_parsers(Path("unused")))
FAST = [name for name in NAMES if name not in SLOW]


def fuzzed(names: list[str], span: Span, record: Callable[[str, object], None]) -> None:
    done = subprocess.run([sys.executable, "-m", "fuzz.harness", ",".join(names), str(span.first), str(span.count)],
                          cwd=ROOT / "tests", capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["parser"] for one in found if one["fault"] == ""] == names, done.stdout + done.stderr
    record("inputs", sum(one["inputs"] for one in found))
    record("parsers", len(found) if span.first == 0 else 0)


@pytest.mark.row("FUZZ")
def test_a_fast_parser_takes_or_refuses_whatever_it_is_given(
        span: Span, record_property: Callable[[str, object], None]) -> None:
    fuzzed(FAST, span, record_property)


@pytest.mark.row("FUZZ-SLOW")
def test_a_slow_parser_takes_or_refuses_whatever_it_is_given(
        span: Span, record_property: Callable[[str, object], None]) -> None:
    fuzzed(list(SLOW), span, record_property)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[], Parser]]:
    return parsers.all_parsers(tmp_path_factory.mktemp("fuzz"))


def takes(parser: Parser, data: bytes) -> bool:
    try:
        parser.parse(data)
    except parser.documented:
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_good_inputs_are_taken_and_a_planted_bug_is_found(made: dict[str, Callable[[], Parser]], name: str) -> None:
    """The bug of every day: one kind of bad input that nobody thought of."""
    parser = made[name]()
    assert sum([takes(parser, seed) for seed in parser.seeds]) > 0

    def forgetful(data: bytes) -> None:
        try:
            parser.parse(data)
        finally:
            if data not in parser.seeds and len(data) % 5 == 3:
                raise IndexError("a length that was left out")

    assert harness.run(parser._replace(parse=forgetful), 0, 300).fault.startswith("input ")
    assert harness.run(parser, 0, 300).fault == ""


def test_a_parser_that_hangs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "HANG_SECONDS", 0.2)

    def endless(data: bytes) -> None:
        while len(data) % 7 == 3:
            time.sleep(0.01)

    found = harness.run(Parser([b"x" * 40], endless), 0, 100)
    assert "hangs" in found.fault


def test_a_parser_that_grows_is_found() -> None:
    kept: list[bytes] = []
    hoards = Parser([b"x" * 40], lambda data: kept.append(b"x" * 1_000_000))
    found = harness.apart("planted", lambda: hoards, 10_000, 100)
    assert "grew by" in found.fault


def test_a_parser_that_kills_its_process_is_found() -> None:
    def dies(data: bytes) -> None:
        raise SystemExit(9)

    assert "died" in harness.apart("planted", lambda: Parser([b"x"], dies), 0, 1).fault


def test_a_documented_refusal_is_no_fault() -> None:
    def refuses(data: bytes) -> None:
        from xinglin.base.check import BaseCode, NotUnderstood

        raise NotUnderstood(BaseCode.BYTES_NOT_UNDERSTOOD)

    found = harness.run(Parser([b"x"], refuses, documented=(Failed,)), 0, 50)
    assert (found.fault, found.taken) == ("", 0)
