"""Ciphertext by random name, in a local folder or an S3-compatible store. Nothing here opens it.

A name is drawn at random, so no two blobs meet: putting one again is the same put retried. In a folder
a put is durable, name and content, before it returns; one process at a time writes there, which the
keystore's lock sees to.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from obstore.exceptions import BaseError
from obstore.store import S3Store

from xinglin import disk
from xinglin.base.check import Failed, NotFound, NotUnderstood, require
from xinglin.base.limits import BLOB_BYTES_MAX
from xinglin.vault import VaultCode

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

_NAME = re.compile(r"[0-9a-f]{32,64}")
_PREFIX = re.compile(r"[0-9a-f]{0,64}")
_FAILURES = (BaseError, OSError, ValueError)      # obstore lets some of Python's own through


class Blobs(ABC):
    """What both stores do.

    Errors  NotFound BLOB_NOT_FOUND; NotUnderstood BLOB_NAME_NOT_VALID, BLOB_TOO_LARGE,
            BLOB_RANGE_NOT_THERE; Failed STORE_FAILED.
    """

    @staticmethod
    def open(where: str | Path, config: Mapping[str, str] | None = None) -> "Blobs":
        """`where` is a folder or `s3://bucket/path`.

        An S3 store takes its endpoint and credentials from the environment, as usual
        (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_ALLOW_HTTP, ...), or by the same names from `config`.

        Errors  NotUnderstood STORE_NOT_UNDERSTOOD.
        """
        text = str(where)
        if text.startswith("s3://"):
            return BucketBlobs(text, config or {})
        require("://" not in text, VaultCode.STORE_NOT_UNDERSTOOD, "a folder or s3://bucket/path")
        return FolderBlobs(Path(where))

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Durable on return."""

    @abstractmethod
    def get(self, name: str) -> bytes:
        """The whole blob."""

    @abstractmethod
    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Exactly `length` bytes from `start`."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """Names that begin with `prefix`, in order."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """One that is not there is as good as deleted."""


class FolderBlobs(Blobs):
    def __init__(self, folder: Path):
        self._folder = folder
        self._failed = False
        try:
            disk.make_folder(folder)
            for part in folder.glob(".*.part"):   # puts that never returned
                part.unlink()
        except OSError as error:
            raise Failed(VaultCode.STORE_FAILED, error.strerror or "") from None

    def put(self, name: str, data: bytes) -> None:
        path = self._path(name)
        _check_size(data)
        if self._failed:
            raise Failed(VaultCode.STORE_FAILED, "a write failed before: restart once it is mended")
        try:
            disk.replace_file(path, data)
        except OSError as error:
            self._failed = True
            raise Failed(VaultCode.STORE_FAILED, error.strerror or "") from None

    def get(self, name: str) -> bytes:
        try:
            return self._path(name).read_bytes()
        except OSError as error:
            raise _read_failed(error) from None

    def get_range(self, name: str, start: int, length: int) -> bytes:
        _check_range(start, length)
        try:
            fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(fd, length, start)
            finally:
                os.close(fd)
        except OSError as error:
            raise _read_failed(error) from None
        require(len(data) == length, VaultCode.BLOB_RANGE_NOT_THERE, name)
        return data

    def list(self, prefix: str = "") -> Iterator[str]:
        _check_prefix(prefix)
        with os.scandir(self._folder) as entries:
            names = [entry.name for entry in entries]
        yield from sorted(n for n in names if n.startswith(prefix) and _NAME.fullmatch(n))

    def delete(self, name: str) -> None:
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
            disk.sync_folder(self._folder)
        except OSError as error:
            raise Failed(VaultCode.STORE_FAILED, error.strerror or "") from None

    def _path(self, name: str) -> Path:
        _check_name(name)
        return self._folder / name


class BucketBlobs(Blobs):
    def __init__(self, url: str, config: Mapping[str, str]):
        settings = {key.lower(): value for key, value in config.items()}
        require(all(key.startswith("aws_") for key in settings), VaultCode.STORE_NOT_UNDERSTOOD,
                "settings are named aws_..., as in the environment")
        client: ClientConfig = {}
        if settings.pop("aws_allow_http", "false") == "true":   # the library wants this one apart
            client["allow_http"] = True
        retries: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
        try:
            self._store = S3Store.from_url(url, config=cast("S3Config", settings),
                                           client_options=client or None, retry_config=retries)
        except _FAILURES:                         # its words may repeat a credential
            raise NotUnderstood(VaultCode.STORE_NOT_UNDERSTOOD, "bucket or settings") from None

    def put(self, name: str, data: bytes) -> None:
        _check_name(name)
        _check_size(data)
        try:
            self._store.put(name, data)
        except _FAILURES as error:
            raise _failed(error) from None

    def get(self, name: str) -> bytes:
        _check_name(name)
        try:
            return bytes(self._store.get(name).bytes())
        except _FAILURES as error:
            raise _read_failed(error) from None

    def get_range(self, name: str, start: int, length: int) -> bytes:
        _check_name(name)
        _check_range(start, length)
        try:
            data = bytes(self._store.get_range(name, start=start, length=length))
        except _FAILURES as error:
            raise _read_failed(error) from None
        require(len(data) == length, VaultCode.BLOB_RANGE_NOT_THERE, name)
        return data

    def list(self, prefix: str = "") -> Iterator[str]:
        """An S3 store lists by whole path segments, so a name's prefix is compared here."""
        _check_prefix(prefix)
        try:
            for batch in self._store.list():
                for entry in batch:
                    name = entry["path"]
                    if name.startswith(prefix) and _NAME.fullmatch(name):
                        yield name
        except _FAILURES as error:
            raise _failed(error) from None

    def delete(self, name: str) -> None:
        _check_name(name)
        try:
            self._store.delete(name)
        except FileNotFoundError:
            return
        except _FAILURES as error:
            raise _failed(error) from None


def _read_failed(error: Exception) -> Failed:
    if isinstance(error, FileNotFoundError):
        return NotFound(VaultCode.BLOB_NOT_FOUND)
    return _failed(error)


def _failed(error: Exception) -> Failed:
    """The kind of the error alone: its words hold addresses and request headers."""
    return Failed(VaultCode.STORE_FAILED, type(error).__name__)


def _check_name(name: str) -> None:
    require(_NAME.fullmatch(name) is not None, VaultCode.BLOB_NAME_NOT_VALID,
            "32 to 64 lower-case hex digits")


def _check_prefix(prefix: str) -> None:
    require(_PREFIX.fullmatch(prefix) is not None, VaultCode.BLOB_NAME_NOT_VALID, "hex digits")


def _check_size(data: bytes) -> None:
    require(len(data) <= BLOB_BYTES_MAX, VaultCode.BLOB_TOO_LARGE, f"{len(data)} bytes")


def _check_range(start: int, length: int) -> None:
    require(start >= 0 and 0 < length <= BLOB_BYTES_MAX, VaultCode.BLOB_RANGE_NOT_THERE,
            f"{length} bytes at {start}")


__all__ = ["Blobs", "BucketBlobs", "FolderBlobs"]
