"""What a code means, in Chinese and English: errors.toml holds the words, the code only the number."""

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Literal

Lang = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class Words:
    """What happened, why, and what to do next, in one language."""

    shown: str
    name: str
    what: str
    cause: str
    fix: str


@functools.cache
def entries() -> dict[str, dict[str, str]]:
    """All of errors.toml, by code as shown."""
    text = resources.files("xinglin").joinpath("errors.toml").read_text("utf-8")
    return tomllib.loads(text)


def words_of(number: int, lang: Lang) -> Words | None:
    """The words for a code's number, or None for a number that no code has."""
    shown = f"XL-{number:04d}"
    entry = entries().get(shown)
    if entry is None:
        return None
    return Words(shown=shown, name=entry["name"], what=entry[lang], cause=entry[f"cause_{lang}"],
                 fix=entry[f"fix_{lang}"])


def numbers_of(text: str) -> list[int]:
    """[204] of "XL-0204", "xl-204", "0204", "204" or "GRANT_NOT_ACTIVE"; a name may be that of two rooms' codes."""
    wanted = text.strip().upper()
    digits = wanted.removeprefix("XL-")
    if digits.isascii() and digits.isdigit() and len(digits) <= 5:
        return [int(digits)]
    return [int(shown.removeprefix("XL-")) for shown, entry in entries().items() if entry["name"] == wanted]
