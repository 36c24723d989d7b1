"""What an error says to do next: commands that exist, with options that they have, the same in both languages."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from xinglin.cli import parser
from xinglin.cli.words import entries

COMMANDS = dict(parser.commands(parser.build("en")))
SAID = re.compile(r"\bxinglin((?: (?!xinglin)[A-Za-z-][A-Za-z:/-]*)*)")     # up to a mark, a Chinese word or the end
ORDERS = re.compile(r"\b(?:[Ll]ist the|[Ll]ook at the open|[Vv]ote on|[Tt]ake it back|[Rr]evoke (?:it|one)|pin your)\b")


def commands(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Each command that a text names, with the options it is said to take."""
    found = []
    for words in (said.split() for said in SAID.findall(text)):
        path = next(name for end in (2, 1, 0) if (name := " ".join(words[:end])) in COMMANDS)
        found.append((path, tuple(word for word in words if word.startswith("--"))))
    return found


def complaints(shown: str, entry: Mapping[str, str]) -> list[str]:
    en, zh = commands(entry["fix_en"]), commands(entry["fix_zh"])
    found = [f"{shown}: {en} and {zh} are not the same"] if en != zh else []
    for path, options in en:
        command: Any = COMMANDS[path]
        known = {name for one in (*command.params, *COMMANDS[""].params) for name in (*one.opts, *one.secondary_opts)}
        found += [f"{shown}: xinglin {path} has no {option}" for option in options if option not in known]
        if not path or hasattr(command, "commands"):
            found.append(f"{shown}: xinglin {path} is no whole command")
    if not en and ORDERS.search(entry["fix_en"]):
        found.append(f"{shown} describes a command and does not name it")
    return found


@pytest.mark.parametrize("shown", entries())
def test_a_next_step_that_is_a_command_names_it_exactly_in_both_languages(shown: str) -> None:
    assert not complaints(shown, entries()[shown])


@pytest.mark.parametrize("planted", [
    {"fix_en": "List the records first.", "fix_zh": "请先列出病历记录。"},
    {"fix_en": "xinglin member list", "fix_zh": "请列出机构。"},
    {"fix_en": "xinglin member list --fast", "fix_zh": "xinglin member list --fast"},
    {"fix_en": "xinglin member lst", "fix_zh": "xinglin member lst"},
    {"fix_en": "Ask: xinglin consent", "fix_zh": "请运行 xinglin consent"}])
def test_a_planted_wrong_next_step_is_caught(planted: Mapping[str, str]) -> None:
    assert complaints("XL-0000", planted)


def test_many_next_steps_are_commands() -> None:
    assert sum(bool(commands(entry["fix_en"])) for entry in entries().values()) > 50
