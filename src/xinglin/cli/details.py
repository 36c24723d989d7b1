"""The detail of an error in the reader's language: rooms below say it in English, details.toml has the Chinese."""

import functools
import re
import tomllib
from importlib import resources

from xinglin.cli.words import Lang

BLANKS = {"{}": "(.+)", "{n}": r"(-?[0-9][0-9,.]*)"}


@functools.cache
def _known() -> list[tuple[re.Pattern[str], str]]:
    """What details are like, and their Chinese; one with fewer blanks goes before one with more."""
    text = resources.files("xinglin.cli").joinpath("details.toml").read_text("utf-8")
    forms = sorted(tomllib.loads(text).items(), key=lambda form: (form[0].count("{"), -len(form[0])))
    return [(re.compile("".join(BLANKS.get(piece) or re.escape(piece) for piece in re.split(r"(\{n?\})", en)), re.S),
             zh.replace("{n}", "{}")) for en, zh in forms]


def said(detail: str, lang: Lang) -> str:
    """In Chinese as far as it is known: all of it, else what stands behind the name of a file."""
    if lang == "en" or not detail:
        return detail
    whole = _of(detail)
    if whole is not None:
        return whole
    head, colon, last = detail.rpartition(": ")
    known = _of(last) if colon else None
    return detail if known is None else f"{_of(head) or head}：{known}"


def _of(text: str) -> str | None:
    for form, zh in _known():
        found = form.fullmatch(text)
        if found:
            return zh.format(*found.groups())
    return None
