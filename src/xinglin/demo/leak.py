"""Looking for people in bytes: every identifying string of the input, in three spellings, in every file.

Identifying are names, addresses, telephone numbers, birth and death dates, identifiers' values, the source's
ids, narrative and notes; not codes and their displays, which are vocabulary. Strings below six bytes would be
found by chance.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from xinglin.holder.fhir import Problem, Source

SHORTEST = 6
NEEDLES_PER_PATTERN = 2_000
PERSONAL = frozenset({"name", "address", "telecom", "identifier", "birthDate", "deceasedDateTime", "contact", "text",
                      "note", "id", "photo", "data"})
VOCABULARY = frozenset({"system", "code", "use", "url", "status", "resourceType", "period", "type", "rank", "country",
                        "state", "reference", "contentType", "mode"})


class Hit(NamedTuple):
    file: Path
    offset: int
    spelling: str


def identifying_strings(items: Iterable[Source | Problem]) -> set[str]:
    """Every string of at least six bytes that could tell who someone is."""
    found: set[str] = set()
    for item in items:
        if isinstance(item, Source) and isinstance(item.resource, dict):
            for key, value in item.resource.items():
                if key in PERSONAL:
                    found.update(_strings(value))
    return {text for text in found if len(text.encode()) >= SHORTEST}


def _strings(value: Any) -> Iterator[str]:
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            todo.extend(one)
        elif isinstance(one, dict):
            todo.extend(part for key, part in one.items() if key not in VOCABULARY)


def search(files: Iterable[Path], strings: Iterable[str]) -> list[Hit]:
    """Where any of `strings` stands in `files`, as UTF-8, hex or base64."""
    needles: dict[bytes, str] = {}
    for text in strings:
        for spelling, needle in _spellings(text):
            needles[needle] = spelling
    ordered = sorted(needles, key=len, reverse=True)
    patterns = [re.compile(b"|".join(re.escape(one) for one in ordered[at:at + NEEDLES_PER_PATTERN]))
                for at in range(0, len(ordered), NEEDLES_PER_PATTERN)]
    hits = []
    for file in files:
        data = file.read_bytes()
        for pattern in patterns:
            hits += [Hit(file, match.start(), needles[match[0]]) for match in pattern.finditer(data)]
    return hits


def _spellings(text: str) -> Iterator[tuple[str, bytes]]:
    raw = text.encode()
    yield "utf-8", raw
    yield "hex", raw.hex().encode()
    for shift in range(3):        # base64 of the string at any alignment, without the edges
        whole = base64.b64encode(bytes(shift) + raw).rstrip(b"=")
        middle = whole[4 if shift else 0:-1]
        if len(middle) >= 8:
            yield "base64", middle
