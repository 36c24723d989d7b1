"""Blobs come back as they were put, in a folder and in an S3-compatible store."""

import json
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from xinglin.base import limits
from xinglin.base.check import Failed, NotFound, NotUnderstood
from xinglin.vault import VaultCode
from xinglin.vault.blobs import Blobs, BucketBlobs, FolderBlobs

NAMES = [digit * 32 for digit in "0123"]


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """A small S3-compatible server on this machine, on any free port."""
    server = os.environ.get("XINGLIN_MOTO") or shutil.which("moto_server")
    if not server:
        pytest.skip("no moto_server: pip install 'moto[server,s3]', or XINGLIN_MOTO=its path")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = subprocess.Popen([server, "-H", "127.0.0.1", "-p", str(port)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(150):
            try:
                request = urllib.request.Request(f"{url}/vault", method="PUT")
                urllib.request.urlopen(request).close()
                break
            except urllib.error.URLError:
                time.sleep(0.2)
        yield url
    finally:
        running.terminate()
        running.wait()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return Blobs.open(tmp_path / "blobs")
    url = request.getfixturevalue("s3_server")
    # a path of its own for each test
    return Blobs.open(f"s3://vault/{secrets.token_hex(16)}", {
        "aws_endpoint_url": url, "aws_access_key_id": "any", "aws_secret_access_key": "any",
        "aws_region": "us-east-1", "aws_allow_http": "true"})


def code_of(call, *arguments) -> VaultCode:
    with pytest.raises(Failed) as caught:
        call(*arguments)
    return caught.value.code


def test_a_blob_comes_back_whole_and_in_ranges(store: Blobs) -> None:
    data = os.urandom(200_000)
    store.put(NAMES[0], data)
    assert store.get(NAMES[0]) == data
    assert store.get_range(NAMES[0], 0, 1) == data[:1]
    assert store.get_range(NAMES[0], 65_000, 70_000) == data[65_000:135_000]
    assert store.get_range(NAMES[0], 199_999, 1) == data[-1:]


def test_an_empty_blob_is_a_blob(store: Blobs) -> None:
    store.put(NAMES[0], b"")
    assert store.get(NAMES[0]) == b""


def test_a_put_tried_again_is_the_same_put(store: Blobs) -> None:
    store.put(NAMES[0], b"data")
    store.put(NAMES[0], b"data")
    assert store.get(NAMES[0]) == b"data"
    assert list(store.list()) == [NAMES[0]]


def test_a_blob_that_is_not_there_is_not_found(store: Blobs) -> None:
    for call, *more in ((store.get,), (store.get_range, 0, 5)):
        with pytest.raises(NotFound) as caught:
            call(NAMES[0], *more)
        assert caught.value.code is VaultCode.BLOB_NOT_FOUND


def test_a_deleted_blob_is_gone_and_deleting_it_again_is_fine(store: Blobs) -> None:
    store.put(NAMES[0], b"data")
    store.delete(NAMES[0])
    store.delete(NAMES[0])
    assert code_of(store.get, NAMES[0]) is VaultCode.BLOB_NOT_FOUND
    assert list(store.list()) == []


def test_names_are_listed_in_order_by_prefix(store: Blobs) -> None:
    for name in (NAMES[2], NAMES[0], NAMES[1], "1" * 31 + "2"):
        store.put(name, b"x")
    assert list(store.list()) == [NAMES[0], NAMES[1], "1" * 31 + "2", NAMES[2]]
    assert list(store.list("1111")) == [NAMES[1], "1" * 31 + "2"]
    assert list(store.list("f")) == []


@pytest.mark.parametrize(("start", "length"), [(0, 11), (5, 6), (10, 1), (100, 1), (-1, 2), (0, 0)])
def test_a_range_that_is_not_there_is_never_given_in_part(
        store: Blobs, start: int, length: int) -> None:
    store.put(NAMES[0], b"0123456789")
    assert code_of(store.get_range, NAMES[0], start, length) in (
        VaultCode.BLOB_RANGE_NOT_THERE, VaultCode.STORE_FAILED)


@pytest.mark.parametrize("name", ["", "a" * 31, "a" * 65, "A" * 32, "../" + "a" * 32, "a" * 32 + "/b",
                                  "a" * 32 + "\n", ".." * 16, "é" * 32, "patient-4711" * 3])
def test_a_name_that_is_not_random_hex_is_refused(store: Blobs, name: str) -> None:
    for call, *more in ((store.put, b""), (store.get,), (store.get_range, 0, 1), (store.delete,)):
        assert code_of(call, name, *more) is VaultCode.BLOB_NAME_NOT_VALID
    assert list(store.list()) == []


def test_a_blob_past_the_limit_is_refused(store: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinglin.vault.blobs.BLOB_BYTES_MAX", 10)
    store.put(NAMES[0], bytes(10))
    assert code_of(store.put, NAMES[1], bytes(11)) is VaultCode.BLOB_TOO_LARGE
    assert limits.BLOB_BYTES_MAX >= limits.RESOURCE_BYTES_MAX


# -- the folder


def test_files_are_for_the_user_alone(tmp_path: Path) -> None:
    store = Blobs.open(tmp_path / "deep" / "blobs")
    store.put(NAMES[0], b"x")
    assert stat.S_IMODE((tmp_path / "deep" / "blobs").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "deep" / "blobs" / NAMES[0]).stat().st_mode) == 0o600


def test_a_put_that_a_crash_cut_short_is_no_blob_and_is_swept_away(tmp_path: Path) -> None:
    store = Blobs.open(tmp_path)
    store.put(NAMES[0], b"whole")
    (tmp_path / f".{NAMES[1]}.part").write_bytes(b"ha")
    assert list(store.list()) == [NAMES[0]]
    again = Blobs.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [NAMES[0]]
    assert again.get(NAMES[0]) == b"whole"


def test_a_put_is_synced_with_its_folder_before_it_returns(tmp_path: Path) -> None:
    """Watched from outside, as the kernel sees it: content, name, folder, in this order."""
    if not shutil.which("strace"):
        pytest.skip("no strace")
    work = ("from xinglin.vault.blobs import Blobs; import os\n"
            f"Blobs.open({str(tmp_path)!r}).put('a' * 32, b'x' * 1000); os.write(1, b'returned')")
    source = Path(__file__).resolve().parents[2] / "src"
    traced = subprocess.run(
        ["strace", "-f", "-o", tmp_path / "trace", "-e", "trace=fsync,rename,write",
         sys.executable, "-c", work],
        env=os.environ | {"PYTHONPATH": str(source)}, capture_output=True, check=False)
    if traced.returncode:
        pytest.skip("strace may not trace here")
    calls = [line.split(None, 1)[1].split("(")[0] for line in
             (tmp_path / "trace").read_text().splitlines() if "(" in line]
    wanted = ["write", "fsync", "rename", "fsync", "write"]
    assert calls[-5:] == wanted


def test_after_a_failed_write_nothing_more_is_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    store = Blobs.open(folder)
    store.put(NAMES[0], b"kept")
    folder.rename(tmp_path / "unplugged")
    assert code_of(store.put, NAMES[1], b"x") is VaultCode.STORE_FAILED
    (tmp_path / "unplugged").rename(folder)
    assert code_of(store.put, NAMES[1], b"x") is VaultCode.STORE_FAILED
    assert store.get(NAMES[0]) == b"kept"
    Blobs.open(folder).put(NAMES[1], b"x")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert code_of(Blobs.open, tmp_path / "file" / "blobs") is VaultCode.STORE_FAILED


# -- where it is


@pytest.mark.parametrize("where", ["ftp://host/path", "https://host/bucket", "s3:///", "memory:///"])
def test_an_address_of_another_kind_is_refused(where: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        Blobs.open(where)
    assert caught.value.code is VaultCode.STORE_NOT_UNDERSTOOD


@pytest.mark.parametrize("name", ["region", "aws_no_such_setting"])
def test_a_setting_that_nobody_knows_is_refused(name: str) -> None:
    assert code_of(Blobs.open, "s3://bucket/path", {name: "x"}) is VaultCode.STORE_NOT_UNDERSTOOD


def test_the_address_chooses_the_store(tmp_path: Path) -> None:
    assert isinstance(Blobs.open(str(tmp_path)), FolderBlobs)
    assert isinstance(Blobs.open("s3://bucket/path", {"aws_region": "us-east-1"}), BucketBlobs)


def test_a_store_that_does_not_answer_says_so_without_its_credentials() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    store = Blobs.open("s3://vault/x", {
        "aws_endpoint_url": f"http://127.0.0.1:{port}", "aws_access_key_id": "id4711",
        "aws_secret_access_key": "secret4711", "aws_region": "us-east-1", "aws_allow_http": "true"})
    with pytest.raises(Failed) as caught:
        store.get(NAMES[0])
    assert caught.value.code is VaultCode.STORE_FAILED
    assert "4711" not in json.dumps([str(caught.value), repr(caught.value.facts)])
