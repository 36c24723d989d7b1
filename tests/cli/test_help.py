import re
from pathlib import Path
from typing import Any

import pytest

from xinglin.cli import help, parser
from xinglin.cli.entry import main

HAN = re.compile(r"[\u4e00-\u9fff]")
GOLDEN = Path(__file__).parent / "golden"


def all_commands(lang: Any) -> list[tuple[str, Any]]:
    return list(parser.commands(parser.build(lang)))


def test_every_command_and_option_has_words_in_both_languages() -> None:
    zh, en = dict(all_commands("zh")), dict(all_commands("en"))
    assert len(zh) > 40 and zh.keys() == en.keys()
    for path in zh:
        for lang, command in (("zh", zh[path]), ("en", en[path])):
            words = [command.help, *(found.help for found in command.params)]
            assert all(bool(HAN.search(text)) == (lang == "zh") for text in words), f"{path}: {words}"


def test_no_words_are_left_of_a_command_or_option_that_is_gone() -> None:
    commands = dict(all_commands("en"))
    texts = help.texts()
    assert {path or "xinglin" for path in commands} == set(texts["commands"])
    used = {found.name for command in commands.values() for found in command.params}
    assert set(texts["options"]) <= used
    for path, command in commands.items():
        own = set(texts["commands"][path or "xinglin"]) - {"en", "zh", "examples"}
        assert own <= {found.name for found in command.params}, path


def test_every_command_has_an_example_that_it_understands() -> None:
    commands = dict(all_commands("en"))
    for path in commands:
        examples = help.examples(path)
        assert examples, path
        own = [line for line in examples if line.startswith(f"xinglin {path}".strip())]
        assert own == examples, path


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("path", ["", "consent grant", "record import"])
def test_help_looks_as_agreed(path: str, lang: str, capsys: pytest.CaptureFixture[str],
                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main([*path.split(), "--help", "--lang", lang]) == 0
    golden = GOLDEN / f"help-{path.replace(' ', '-') or 'xinglin'}.{lang}.txt"
    assert capsys.readouterr().out == golden.read_text("utf-8")


def test_examples_stand_first(capsys: pytest.CaptureFixture[str]) -> None:
    for path, _ in all_commands("en"):
        main([*path.split(), "-h", "--lang", "en"])
        assert capsys.readouterr().out.startswith("Examples:\n"), path


def test_a_noun_without_a_verb_shows_its_help_and_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["consent", "--lang", "zh"]) == 2 or main(["--lang", "zh", "consent"]) == 2
    said = capsys.readouterr()
    assert said.err and not said.out


def test_lines_of_help_are_no_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("患者允许一个机构为某一目的查看部分病历记录，到某日为止。" * 5, "one word after another " * 20):
        lines = help.wrapped(text, 40)
        assert all(help.cell_len(line) <= 42 for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_no_line_of_chinese_begins_with_a_closing_mark_or_ends_with_an_opening_one() -> None:
    for width in range(10, 60):
        lines = help.wrapped("甲乙，丙（丁）。戊己；（HL7）庚辛、“壬癸”" * 8, width)
        assert not any(line[0] in help.CLOSING or line[-1] in help.OPENING for line in lines)
