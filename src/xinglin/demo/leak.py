"""Looking for people in bytes: every identifying string of the input, in three spellings, in every file.

HL7's definitions say what an element is. Identifying is whatever may hold words, an id or a moment: string, markdown,
id, url, date, dateTime, instant, narrative and attachments. So names, addresses, telephone numbers, identifiers,
dates of birth and of visits, notes, the source's ids, and the ids in its references. Not identifying are codes, uris,
numbers, and the display or text beside a code: vocabulary, which is the same for everybody. What the definitions do
not know counts as identifying. What any file may hold by chance is not looked for: strings below six bytes, and below
nine when they are digits alone.

A long text is looked for in pieces, so that a fragment of it is found too: 63 characters of it always hold a piece.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from xinglin.holder.fhir import Problem, Source
from xinglin.holder.fhir.definitions import Type, resource_types, type_named

SHORTEST = 6                       # bytes
SHORTEST_NUMBER = 9                # digits: a log of the store is full of shorter ones
PIECE = 32                         # characters
PIECES_MAX = 2_000                 # of one text: 64,000 characters
PERSONAL = frozenset({"string", "markdown", "id", "url", "xhtml", "base64Binary", "date", "dateTime", "instant"})
VOCABULARY = frozenset({("Coding", "display"), ("Coding", "version"), ("Quantity", "unit"), ("Age", "unit"),
                        ("Duration", "unit"), ("Count", "unit"), ("Distance", "unit"), ("Money", "unit")})

# In what cannot be text no text can be: only runs of well-formed UTF-8 are looked at.
_run = re.compile(rb"(?:[\t\n\r\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}"
                  rb"|[\xf0-\xf4][\x80-\xbf]{3}){2,}")
_cut = re.compile(r"[^\t\n\r\x20-\x7e\x80-\U0010ffff]+")


class Hit(NamedTuple):
    file: Path
    offset: int
    spelling: str                  # utf-8, hex, base64


# -- what to look for

def identifying_strings(items: Iterable[Source | Problem]) -> set[str]:
    """Every string, or piece of one, that could tell who someone is."""
    found: set[str] = set()
    for item in items:
        if isinstance(item, Source):
            found.update(_pieces(item.full_url.rpartition(":")[2].rpartition("/")[2]))
            for text in _strings(item.resource):
                found.update(_pieces(text))
    return found


def _strings(resource: Any) -> Iterator[str]:
    todo: list[tuple[Any, Type | None]] = [(resource, None)]
    while todo:
        value, kind = todo.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            todo += [(one, kind) for one in value]
        elif isinstance(value, dict):
            named = value.get("resourceType")
            if isinstance(named, str) and named in resource_types():
                kind = type_named(named)
            for key, child in value.items():
                yield from _element(key, child, kind, value, todo)


def _element(key: str, child: Any, kind: Type | None, beside: dict[str, Any],
             todo: list[tuple[Any, Type | None]]) -> Iterator[str]:
    """Strings of one element; what has elements of its own goes to `todo`."""
    element = kind.elements.get(key.removeprefix("_")) if kind else None
    if kind is None or element is None:
        if key != "resourceType":
            todo.append((child, None))
    elif key.startswith("_"):
        todo.append((child, type_named("Element")))
    elif not element.primitive:
        todo.append((child, None if element.type == "Resource" else type_named(element.type)))
    elif element.type in PERSONAL and (kind.name, key) not in VOCABULARY \
            and not (kind.name == "CodeableConcept" and "coding" in beside):
        for one in child if isinstance(child, list) else (child,):
            if isinstance(one, str):
                yield from _said(kind.name, key, element.type, one)


def _said(kind: str, key: str, type_: str, text: str) -> Iterator[str]:
    if (kind, key) == ("Reference", "reference"):
        yield re.split(r"[/:#|]", text.partition("/_history/")[0])[-1]
        return
    yield text
    if type_ == "base64Binary":
        try:
            yield base64.b64decode(text).decode()
        except (binascii.Error, UnicodeDecodeError):
            return                 # an image, say: its base64 is looked for


def _pieces(text: str) -> Iterator[str]:
    """The text, or if it is long its pieces, without control characters. The last piece overlaps the one before."""
    for part in _cut.split(text):
        for at in range(0, min(len(part), PIECE * PIECES_MAX), PIECE):
            piece = part[max(0, min(at, len(part) - PIECE)):at + PIECE]
            shortest = SHORTEST_NUMBER if piece.isdecimal() else SHORTEST
            if len(piece.encode(errors="replace")) >= shortest:
                yield piece


# -- looking

class Needles:
    """Strings in all their spellings, told apart by their first six bytes."""

    def __init__(self, strings: Iterable[str]):
        self._by_start: dict[bytes, list[tuple[bytes, str]]] = {}
        for text in {piece for one in strings for piece in _pieces(one)}:
            for spelling, needle in _spellings(text.encode(errors="replace")):
                self._by_start.setdefault(needle[:SHORTEST], []).append((needle, spelling))

    def in_bytes(self, data: bytes) -> Iterator[tuple[int, str]]:
        """(offset, spelling) of every find."""
        by_start = self._by_start
        for run in _run.finditer(data):
            first, text = run.start(), run[0]
            for at in [at for at in range(len(text) - SHORTEST + 1) if text[at:at + SHORTEST] in by_start]:
                for needle, spelling in by_start[text[at:at + SHORTEST]]:
                    if text.startswith(needle, at):
                        yield first + at, spelling


def search(files: Iterable[Path], strings: Iterable[str]) -> list[Hit]:
    """Where any of `strings` stands in `files`, as UTF-8, hex or base64."""
    needles = Needles(strings)
    return [Hit(file, offset, spelling) for file in files for offset, spelling in needles.in_bytes(file.read_bytes())]


def _spellings(raw: bytes) -> Iterator[tuple[str, bytes]]:
    yield "utf-8", raw
    yield "hex", raw.hex().encode()
    yield "hex", raw.hex().upper().encode()
    for shift in range(3):
        middle = _middle(raw, shift)
        yield "base64", middle
        if b"+" in middle or b"/" in middle:
            yield "base64", middle.translate(_url_safe())


def _middle(raw: bytes, shift: int) -> bytes:
    """Base64 of bytes `shift` bytes after a multiple of three: the characters that no neighbour can touch."""
    whole = base64.b64encode(bytes(shift) + raw)
    return whole[-(-shift * 8 // 6):(shift + len(raw)) * 8 // 6]


@cache
def _url_safe() -> bytes:
    return bytes.maketrans(b"+/", b"-_")
