import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from holder.fhir_data import observation, patient
from xinglin.base import limits
from xinglin.holder import fhir
from xinglin.holder.codes import HolderCode as C


def bundle(kind: str, *entries: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def post(resource: Any, **more: Any) -> dict[str, Any]:
    return {"resource": resource, "request": {"method": "POST", "url": "X"}, **more}


def read(folder: Path, **files: Any) -> list[fhir.Source | fhir.Problem]:
    for name, value in files.items():
        name = name.replace("__", ".")
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return list(fhir.read_folder(folder))


def places(items: list[fhir.Source | fhir.Problem]) -> list[tuple[str, str, str]]:
    return [(i.file, i.where, i.code.name if isinstance(i, fhir.Problem) else i.resource["id"]) for i in items]


@pytest.mark.parametrize("kind", ["transaction", "batch", "collection", "searchset", "document"])
def test_a_bundle_that_carries_content_gives_its_resources(tmp_path: Path, kind: str) -> None:
    assert places(read(tmp_path, a__json=bundle(kind, post(patient("p")), post(observation("o"))))) == [
        ("a.json", "entry 0", "p"), ("a.json", "entry 1", "o")]


@pytest.mark.parametrize("kind", ["history", "message", "transaction-response", "batch-response", "", None, 3, ["x"]])
def test_a_bundle_of_another_kind_is_refused(tmp_path: Path, kind: Any) -> None:
    assert places(read(tmp_path, a__json=bundle(kind, post(patient())))) == [
        ("a.json", "", "BUNDLE_TYPE_NOT_IMPORTED")]


def test_single_resources_ndjson_and_gzip_are_read_in_the_order_of_names(tmp_path: Path) -> None:
    lines = b'\xef\xbb\xbf{"resourceType":"Patient","id":"1"}\r\n\r\n{"resourceType":"Patient","id":"2"}'
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "d.json").write_text(json.dumps(patient("9")))
    found = read(tmp_path, a__json=patient("7"), b__ndjson=lines, c__ndjson__gz=lines, e__json__gz=patient("8"),
                 notes__txt=b"not read")
    assert places(found) == [
        ("a.json", "", "7"), ("b.ndjson", "line 1", "1"), ("b.ndjson", "line 3", "2"),
        ("c.ndjson.gz", "line 1", "1"), ("c.ndjson.gz", "line 3", "2"), ("deep/d.json", "", "9"),
        ("e.json.gz", "", "8")]


def test_a_broken_line_is_told_by_its_number_and_the_next_is_read(tmp_path: Path) -> None:
    lines = b'{"resourceType":"Patient","id":"1"}\n{"resourceType":\n{"a":1,"a":2}\n' \
            b'{"resourceType":"Patient","id":"4"}\n'
    assert places(read(tmp_path, a__ndjson=lines)) == [
        ("a.ndjson", "line 1", "1"), ("a.ndjson", "line 2", "JSON_NOT_VALID"),
        ("a.ndjson", "line 3", "JSON_KEY_TWICE"), ("a.ndjson", "line 4", "4")]


def test_a_line_beyond_the_limit_is_passed_over_without_holding_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinglin.holder.fhir.read.RESOURCE_BYTES_MAX", 64)
    long = json.dumps(patient("x", language="y" * 1_000)).encode()
    assert places(read(tmp_path, a__ndjson=long + b"\n" + b'{"resourceType":"Patient","id":"2"}\n' + long)) == [
        ("a.ndjson", "line 1", "RESOURCE_TOO_LARGE"), ("a.ndjson", "line 2", "2"),
        ("a.ndjson", "line 3", "RESOURCE_TOO_LARGE")]


def test_a_bundle_beyond_the_limit_is_refused_also_when_gzip_hides_its_size(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinglin.holder.fhir.read.BUNDLE_BYTES_MAX", 100)
    big = patient("x", language="y" * 10_000)
    assert places(read(tmp_path, a__json=big, b__json__gz=big)) == [
        ("a.json", "", "FILE_TOO_LARGE"), ("b.json.gz", "", "FILE_TOO_LARGE")]


@pytest.mark.parametrize("data", [
    b"no gzip", gzip.compress(b'{"a":1}')[:-9], gzip.compress(b"x" * 999)[:20] + b"\0" * 9])
def test_a_broken_gzip_file_is_a_problem_of_that_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.json.gz").write_bytes(data)
    assert places(read(tmp_path, b__json=patient("p"))) == [("a.json.gz", "", "FILE_NOT_GZIP"), ("b.json", "", "p")]


def test_an_empty_folder_has_nothing_to_import(tmp_path: Path) -> None:
    assert places(read(tmp_path)) == [("", "", "NOTHING_TO_IMPORT")]


@pytest.mark.parametrize(("entry", "code"), [
    (7, C.BUNDLE_NOT_VALID),
    (None, C.BUNDLE_NOT_VALID),
    ({"resource": patient()}, C.BUNDLE_NOT_VALID),                               # a transaction needs requests
    ({"resource": patient(), "request": {"method": 7}}, C.BUNDLE_NOT_VALID),
    ({"resource": patient(), "request": []}, C.BUNDLE_NOT_VALID),
    ({"resource": patient(), "fullUrl": 7, "request": {"method": "POST"}}, C.BUNDLE_NOT_VALID),
    ({"resource": patient(), "request": {"method": "POST", "ifNoneExist": 7}}, C.BUNDLE_NOT_VALID),
    ({"request": {"method": "DELETE", "url": "Patient/p"}}, C.ENTRY_NOT_A_WRITE),
    ({"request": {"method": "GET", "url": "Patient/p"}}, C.ENTRY_NOT_A_WRITE),
    ({"resource": patient(), "request": {"method": "PATCH"}}, C.ENTRY_NOT_A_WRITE),
    ({"request": {"method": "POST"}}, C.ENTRY_WITHOUT_RESOURCE),
])
def test_an_entry_that_brings_no_resource_is_told_and_the_next_is_read(tmp_path: Path, entry: Any, code: C) -> None:
    assert places(read(tmp_path, a__json=bundle("transaction", entry, post(patient("q"))))) == [
        ("a.json", "entry 0", code.name), ("a.json", "entry 1", "q")]


def test_the_outcome_of_a_search_is_no_content(tmp_path: Path) -> None:
    outcome = {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}}
    assert places(read(tmp_path, a__json=bundle("searchset", outcome, {"resource": patient("p")}))) == [
        ("a.json", "entry 1", "p")]


def test_a_resource_in_a_bundle_may_be_as_deep_as_one_alone() -> None:
    value: Any = {"a": 1}
    for _ in range(limits.JSON_DEPTH_MAX - 2):
        value = {"a": value}
    alone = json.dumps({"resourceType": "Patient", "a": value}).encode()
    inside = json.dumps(bundle("collection", {"resource": json.loads(alone)})).encode()
    assert [type(i) for data in (alone, inside) for i in fhir.read_bytes(data, "x")] == [fhir.Source, fhir.Source]


def test_a_file_that_cannot_be_opened_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    assert [p.code for p in fhir.read_file(tmp_path / "gone.json", "gone.json") if isinstance(p, fhir.Problem)] == [
        C.FILE_NOT_READABLE]


def test_a_link_is_told_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text(json.dumps(patient("secret")))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.json").symlink_to(outside / "secret.json")
    (folder / "b").symlink_to(outside)
    assert places(read(folder, c__json=patient("c"))) == [
        ("a.json", "", "LINK_NOT_FOLLOWED"), ("b", "", "LINK_NOT_FOLLOWED"), ("c.json", "", "c")]
    assert places(list(fhir.read_file(folder / "a.json", "a.json"))) == [("a.json", "", "FILE_NOT_READABLE")]


@pytest.mark.parametrize("url", ["Patient/victim", "/Patient/victim", "urn:uuid:", "urn:uuid:" + "z" * 65, "urn:x:y",
                                 "http://x.example/a b", "http://", "#p", "http://x.example/" + "y" * 2_000])
def test_a_full_url_that_is_no_absolute_name_is_refused(tmp_path: Path, url: str) -> None:
    assert places(read(tmp_path, a__json=bundle("collection", {"fullUrl": url, "resource": patient()}))) == [
        ("a.json", "entry 0", "BUNDLE_NOT_VALID")]


@pytest.mark.parametrize("url", ["urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "urn:oid:1.2.3", "http://x.example/Patient/p",
                                 "https://x.example/fhir/Patient/p?x=1"])
def test_an_absolute_name_of_an_entry_is_kept_with_its_bundle(tmp_path: Path, url: str) -> None:
    lines = json.dumps(bundle("collection", {"fullUrl": url, "resource": patient()})).encode()
    found = read(tmp_path, a__ndjson=b"\n" + lines)
    assert [(i.full_url, i.bundle) for i in found if isinstance(i, fhir.Source)] == [(url, "line 2")]


# -- few bytes that become many

BOMBS = {"lists": b"[[]," + b"[]," * 3_000_000 + b"[]]", "blank": b"\n" * 8_000_000, "zeros": b"0\n" * 4_000_000,
         "text": b'{"resourceType":"Patient","id":"' + b"x" * 8_000_000 + b'"}'}


@pytest.mark.parametrize("name", ["a.json.gz", "a.ndjson.gz"])
@pytest.mark.parametrize("kind", sorted(BOMBS))
def test_a_small_file_that_unpacks_to_a_large_one_is_given_up_early(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str) -> None:
    monkeypatch.setattr("xinglin.holder.fhir.read.RESOURCE_BYTES_MAX", 1_000_000)
    monkeypatch.setattr("xinglin.holder.fhir.read.INPUT_LINES_MAX", 100_000)
    (tmp_path / name).write_bytes(gzip.compress(BOMBS[kind]))
    tracemalloc.start()
    found = places(list(fhir.read_folder(tmp_path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[-1][2] in ("UNPACKED_TOO_MUCH", "FILE_GIVEN_UP", "FILE_TOO_LARGE")
    assert len(found) <= limits.REPORT_PROBLEMS_MAX + 1
    assert peak < 10 * 1024 * 1024


def test_what_repeats_itself_as_records_do_is_read(tmp_path: Path) -> None:
    note = [{"text": "the same words again and again"}]
    lines = [json.dumps(observation(f"o{at}", note=note)) for at in range(20_000)]
    data = "\n".join(lines).encode()
    assert len(data) > 3 * limits.UNPACKED_BYTES_FREE
    assert len(read(tmp_path, a__ndjson__gz=data)) == 20_000


def test_a_text_of_too_many_values_is_refused_before_it_is_read_into_memory(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinglin.holder.fhir.read.JSON_VALUES_MAX", 50)
    small, large = (patient("p", name=[{"given": ["x"] * given}]) for given in (40, 60))
    assert places(read(tmp_path, a__json=small, b__json=large)) == [
        ("a.json", "", "p"), ("b.json", "", "JSON_TOO_MANY_VALUES")]


def test_a_file_of_too_many_lines_or_problems_is_left_at_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinglin.holder.fhir.read.INPUT_LINES_MAX", 4)
    monkeypatch.setattr("xinglin.holder.fhir.read.REPORT_PROBLEMS_MAX", 2)
    good = json.dumps(patient("p")).encode() + b"\n"
    assert [one[2] for one in places(read(tmp_path, a__ndjson=b"\n\n\n\n" + good, b__ndjson=b"0\n0\n" + good))] == [
        "FILE_TOO_LARGE", "ELEMENT_NOT_AN_OBJECT", "ELEMENT_NOT_AN_OBJECT", "FILE_GIVEN_UP"]
