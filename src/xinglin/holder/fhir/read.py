"""A folder of FHIR files to sources: bundles, single resources, bulk NDJSON, each of them gzipped or not.

Nothing is trusted: what cannot be read becomes a Problem, and reading goes on with the next one. NDJSON is
read line by line; a bundle is read whole, within its limit.
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from xinglin.base.check import NotUnderstood
from xinglin.base.limits import (
    BUNDLE_BYTES_MAX,
    INPUT_FILE_BYTES_MAX,
    JSON_DEPTH_MAX,
    RESOURCE_BYTES_MAX,
)
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir import json_text
from xinglin.holder.fhir.problem import Problem
from xinglin.holder.fhir.validate import shown

WHOLE = (".json", ".json.gz")
LINES = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")

# Bundles that carry current content; a history carries versions, a message commands, a response results.
BUNDLES = frozenset({"transaction", "batch", "collection", "searchset", "document"})
WITH_REQUEST = frozenset({"transaction", "batch"})
WRITES = frozenset({"POST", "PUT"})
DEPTH_OF_ENTRY = 4   # Bundle, entry, its item, resource


@dataclass(frozen=True, slots=True)
class Source:
    """One resource as it came, not yet judged."""

    file: str
    where: str            # "entry 3", "line 17", or "" for a file of one resource
    full_url: str         # Bundle.entry.fullUrl, by which other entries refer to it
    if_none_exist: str    # of a conditional create: "identifier=system|value"
    resource: Any


def read_folder(folder: Path) -> Iterator[Source | Problem]:
    """All resources below `folder`, file by file in the order of their names."""
    paths = [path for path in sorted(folder.rglob("*"))
             if path.name.lower().endswith(WHOLE + LINES) and path.is_file()]
    if not paths:
        yield Problem(HolderCode.NOTHING_TO_IMPORT, detail="no .json or .ndjson file in the folder")
    for path in paths:
        yield from read_file(path, path.relative_to(folder).as_posix())


def read_file(path: Path, name: str) -> Iterator[Source | Problem]:
    """The resources of one file; `name` is what the report calls it."""
    try:
        with _opened(path) as file:
            if path.name.lower().endswith(LINES):
                yield from _lines(file, name)
            else:
                yield from _whole(file, name)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield Problem(HolderCode.FILE_NOT_GZIP, name)
    except OSError as error:
        yield Problem(HolderCode.FILE_NOT_READABLE, name, detail=type(error).__name__)


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


def _whole(file: BinaryIO, name: str) -> Iterator[Source | Problem]:
    data = file.read(BUNDLE_BYTES_MAX + 1)
    if len(data) > BUNDLE_BYTES_MAX:
        yield Problem(HolderCode.FILE_TOO_LARGE, name, detail=f"more than {BUNDLE_BYTES_MAX} bytes; use NDJSON")
    else:
        yield from read_bytes(data, name)


def _lines(file: BinaryIO, name: str) -> Iterator[Source | Problem]:
    total = number = 0
    while line := file.readline(RESOURCE_BYTES_MAX + 1):
        number += 1
        total += len(line)
        if len(line) > RESOURCE_BYTES_MAX:
            yield Problem(HolderCode.RESOURCE_TOO_LARGE, name, f"line {number}", detail=f"{RESOURCE_BYTES_MAX} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(RESOURCE_BYTES_MAX)
                total += len(line)
        elif line.strip():
            yield from read_bytes(line, name, f"line {number}")
        if total > INPUT_FILE_BYTES_MAX:
            yield Problem(HolderCode.FILE_TOO_LARGE, name, detail=f"more than {INPUT_FILE_BYTES_MAX} bytes")
            return


def read_bytes(data: bytes, name: str, where: str = "") -> Iterator[Source | Problem]:
    """The resources that one JSON text holds: itself, or the entries of a bundle."""
    try:
        value = json_text.parse(data, JSON_DEPTH_MAX + DEPTH_OF_ENTRY)
    except NotUnderstood as error:
        yield Problem(cast(HolderCode, error.code), name, where, detail=error.detail)
        return
    if type(value) is dict and value.get("resourceType") == "Bundle":
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
    for index, entry in enumerate(entries):
        place = f"{where} entry {index}".strip()
        found = _entry(entry, kind, name, place, f"Bundle.entry[{index}]")
        if found is not None:
            yield found


def _entry(entry: Any, kind: str, name: str, place: str, path: str) -> Source | Problem | None:
    """One entry as a source; None for a search outcome, which is about the search and not content."""
    if type(entry) is not dict:
        return Problem(HolderCode.BUNDLE_NOT_VALID, name, place, "Bundle", path, "not an object")
    search, request = entry.get("search", {}), entry.get("request", {})
    full_url, resource = entry.get("fullUrl", ""), entry.get("resource")
    if type(search) is not dict or type(request) is not dict or type(full_url) is not str:
        return Problem(HolderCode.BUNDLE_NOT_VALID, name, place, "Bundle", path, "search, request or fullUrl")
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
    return Source(name, place, full_url, condition, resource)
