"""A folder of FHIR files to sources: bundles, single resources, bulk NDJSON, each of them gzipped or not.

Nothing is trusted: what cannot be read becomes a Problem, and reading goes on with the next one. NDJSON is
read line by line; a bundle is read whole, within its limit. No link is followed: it may lead out of the folder.
"""

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from xinglin.base.check import NotUnderstood
from xinglin.base.limits import (
    BUNDLE_BYTES_MAX,
    BUNDLE_VALUES_MAX,
    INPUT_FILE_BYTES_MAX,
    INPUT_LINES_MAX,
    JSON_DEPTH_MAX,
    JSON_VALUES_MAX,
    REPORT_PROBLEMS_MAX,
    RESOURCE_BYTES_MAX,
    UNPACKED_BYTES_FREE,
    UNPACKED_PER_PACKED_MAX,
)
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir import json_text
from xinglin.holder.fhir.head import HEAD_LABELS_MAX
from xinglin.holder.fhir.labels import declared
from xinglin.holder.fhir.problem import Problem
from xinglin.holder.fhir.validate import shown

WHOLE = (".json", ".json.gz")
LINES = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")

# Bundles that carry current content; a history carries versions, a message commands, a response results.
BUNDLES = frozenset({"transaction", "batch", "collection", "searchset", "document"})
WITH_REQUEST = frozenset({"transaction", "batch"})
WRITES = frozenset({"POST", "PUT"})
DEPTH_OF_ENTRY = 4   # Bundle, entry, its item, resource
READ_BYTES = 1024 * 1024

# What names an entry wherever it lies. "Patient/x" would be a name in another file.
_full_url = re.compile(r"urn:uuid:[A-Za-z0-9.-]{1,64}|urn:oid:[0-9.]{1,128}|[A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s]{1,2000}").fullmatch


@dataclass(frozen=True, slots=True)
class Source:
    """One resource as it came, not yet judged."""

    file: str
    where: str            # "entry 3", "line 17", or "" for a file of one resource
    full_url: str         # Bundle.entry.fullUrl, by which other entries refer to it
    if_none_exist: str    # of a conditional create: "identifier=system|value"
    resource: Any
    bundle: str = ""      # where in its file the bundle stands, within which fullUrl is a name
    labels: frozenset[str] = frozenset()   # of the bundle as a whole, and of the document that it is


def read_folder(folder: Path) -> Iterator[Source | Problem]:
    """All resources below `folder`, file by file in the order of their names."""
    paths = [path for path in sorted(folder.rglob("*"))
             if path.is_symlink() or (path.name.lower().endswith(WHOLE + LINES) and path.is_file())]
    if not paths:
        yield Problem(HolderCode.NOTHING_TO_IMPORT, detail="no .json or .ndjson file in the folder")
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            yield Problem(HolderCode.LINK_NOT_FOLLOWED, name)
        else:
            yield from read_file(path, name)


def read_file(path: Path, name: str) -> Iterator[Source | Problem]:
    """The resources of one file; `name` is what the report calls it."""
    try:
        with ExitStack() as opened:
            # Looked at before, it may be another file now.
            raw = opened.enter_context(os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb"))
            packed = path.name.lower().endswith(".gz")
            file = _Unpacked(cast(IO[bytes], opened.enter_context(gzip.open(raw))) if packed else raw, raw)
            yield from _lines(file, name) if path.name.lower().endswith(LINES) else _whole(file, name)
    except _UnpackedTooMuch:
        yield Problem(HolderCode.UNPACKED_TOO_MUCH, name, detail=f"more than {UNPACKED_PER_PACKED_MAX} times")
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield Problem(HolderCode.FILE_NOT_GZIP, name)
    except OSError as error:
        yield Problem(HolderCode.FILE_NOT_READABLE, name, detail=type(error).__name__)


class _UnpackedTooMuch(Exception):
    """Few bytes that become many: no record is written so."""


class _Unpacked:
    """A file's content, as long as it is in proportion to what lies on the disk."""

    def __init__(self, content: IO[bytes], raw: IO[bytes]) -> None:
        self._content = content
        self._raw = raw
        self._look_at = UNPACKED_BYTES_FREE if raw is not content else INPUT_FILE_BYTES_MAX * 2
        self.total = 0

    def read(self, most: int) -> bytes:
        return self._counted(self._content.read(most))

    def readline(self, most: int) -> bytes:
        return self._counted(self._content.readline(most))

    def _counted(self, data: bytes) -> bytes:
        self.total += len(data)
        if self.total > self._look_at:
            self._look_at = self.total + UNPACKED_BYTES_FREE
            if self.total > UNPACKED_PER_PACKED_MAX * self._raw.tell():
                raise _UnpackedTooMuch
        return data


def _whole(file: _Unpacked, name: str) -> Iterator[Source | Problem]:
    data = bytearray()
    while len(data) <= BUNDLE_BYTES_MAX and (piece := file.read(READ_BYTES)):
        data += piece
    if len(data) > BUNDLE_BYTES_MAX:
        yield Problem(HolderCode.FILE_TOO_LARGE, name, detail=f"more than {BUNDLE_BYTES_MAX} bytes; use NDJSON")
    else:
        yield from read_bytes(data, name)


def _lines(file: _Unpacked, name: str) -> Iterator[Source | Problem]:
    number = problems = 0
    while line := file.readline(RESOURCE_BYTES_MAX + 1):
        number += 1
        if len(line) > RESOURCE_BYTES_MAX:
            problems += 1
            yield Problem(HolderCode.RESOURCE_TOO_LARGE, name, f"line {number}", detail=f"{RESOURCE_BYTES_MAX} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(READ_BYTES)
        elif line.strip():
            for found in read_bytes(line, name, f"line {number}"):
                problems += isinstance(found, Problem)
                yield found
        if file.total > INPUT_FILE_BYTES_MAX or number >= INPUT_LINES_MAX:
            yield Problem(HolderCode.FILE_TOO_LARGE, name,
                          detail=f"more than {INPUT_FILE_BYTES_MAX} bytes or {INPUT_LINES_MAX} lines")
            return
        if problems >= REPORT_PROBLEMS_MAX:
            yield Problem(HolderCode.FILE_GIVEN_UP, name, f"line {number}", detail=f"{REPORT_PROBLEMS_MAX} problems")
            return


def read_bytes(data: bytes | bytearray, name: str, where: str = "") -> Iterator[Source | Problem]:
    """The resources that one JSON text holds: itself, or the entries of a bundle."""
    try:
        value = json_text.parse(data, JSON_DEPTH_MAX + DEPTH_OF_ENTRY,
                                JSON_VALUES_MAX if len(data) <= RESOURCE_BYTES_MAX else BUNDLE_VALUES_MAX)
    except NotUnderstood as error:
        yield Problem(cast(HolderCode, error.code), name, where, detail=error.detail)
        return
    if type(value) is not dict:
        yield Problem(HolderCode.ELEMENT_NOT_AN_OBJECT, name, where, detail="a resource is an object")
    elif value.get("resourceType") == "Bundle":
        yield from _bundle(value, name, where)
    else:
        yield Source(name, where, "", "", value)


def _bundle(bundle: dict[str, Any], name: str, where: str) -> Iterator[Source | Problem]:
    kind, entries = bundle.get("type"), bundle.get("entry", [])
    if type(kind) is not str or kind not in BUNDLES:
        yield Problem(HolderCode.BUNDLE_TYPE_NOT_IMPORTED, name, where, "Bundle", "Bundle.type",
                      "one of " + ", ".join(sorted(BUNDLES)))
        return
    if type(entries) is not list:
        yield Problem(HolderCode.BUNDLE_NOT_VALID, name, where, "Bundle", "Bundle.entry", "not an array")
        return
    labels = frozenset(_labels(bundle, kind, entries))
    if len(labels) > HEAD_LABELS_MAX:
        yield Problem(HolderCode.TOO_MANY_LABELS, name, where, "Bundle", "Bundle.meta.security", f"{HEAD_LABELS_MAX}")
        return
    for index, entry in enumerate(entries):
        found = _entry(entry, kind, name, f"{where} entry {index}".strip(), f"Bundle.entry[{index}]", where, labels)
        if found is not None:
            yield found


def _labels(bundle: dict[str, Any], kind: str, entries: list[Any]) -> set[str]:
    """What every entry has at least: the labels of the bundle, and of a document those of its composition.

    R4 Bundle: the high-water mark is for all of it; R4 Composition: confidentiality is of the whole document.
    """
    found = declared(bundle)
    if kind == "document" and entries and type(entries[0]) is dict:
        found |= declared(entries[0].get("resource"))
    return found


def _entry(entry: Any, kind: str, name: str, place: str, path: str, bundle: str,
           labels: frozenset[str]) -> Source | Problem | None:
    """One entry as a source; None for a search outcome, which is about the search and not content."""
    if type(entry) is not dict:
        return Problem(HolderCode.BUNDLE_NOT_VALID, name, place, "Bundle", path, "not an object")
    search, request = entry.get("search", {}), entry.get("request", {})
    full_url, resource = entry.get("fullUrl", ""), entry.get("resource")
    if type(search) is not dict or type(request) is not dict or type(full_url) is not str:
        return Problem(HolderCode.BUNDLE_NOT_VALID, name, place, "Bundle", path, "search, request or fullUrl")
    if full_url and not _full_url(full_url):
        return Problem(HolderCode.BUNDLE_NOT_VALID, name, place, "Bundle", f"{path}.fullUrl",
                       "an absolute URL, urn:uuid or urn:oid (bdl-8)")
    if search.get("mode") == "outcome":
        return None
    if kind in WITH_REQUEST:
        method = request.get("method")
        if type(method) is not str:
            return Problem(HolderCode.BUNDLE_NOT_VALID, name, place, "Bundle", f"{path}.request", "missing (bdl-3)")
        if method not in WRITES:
            return Problem(HolderCode.ENTRY_NOT_A_WRITE, name, place, "Bundle", f"{path}.request.method",
                           "only POST and PUT bring a resource")
    if resource is None:
        return Problem(HolderCode.ENTRY_WITHOUT_RESOURCE, name, place, "Bundle", f"{path}.resource")
    condition = request.get("ifNoneExist", "")
    if type(condition) is not str:
        return Problem(HolderCode.BUNDLE_NOT_VALID, name, place, shown(resource) if type(resource) is dict else "",
                       f"{path}.request.ifNoneExist", "not a string")
    return Source(name, place, full_url, condition, resource, bundle, labels)
