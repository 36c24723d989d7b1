"""Small sealed rows in one SQLite file: permits, cursors, codes, request bodies, read logs.

    cells  (kind, owner, name)   -> sealed bytes, replaced by `put`
    rows   (kind, owner, number) -> sealed bytes, appended, numbered from 1

Each value is sealed under the key that the caller brings (the subject's or the holder's), with its
place as context: a value moved to another place does not open. In clear stand kind, owner, name and
number, so a `name` is a random id, a hash or a number, never a word about a person.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from xinglin import disk, failpoint
from xinglin.base.check import Busy, Failed, NotUnderstood, require
from xinglin.base.limits import (
    CELL_BYTES_MAX,
    CELL_NAME_BYTES_MAX,
    ROWS_PER_READ_MAX,
    TAG_CHARS_MAX,
)
from xinglin.vault import VaultCode
from xinglin.vault.seal import open_sealed, seal

_APPLICATION_ID = 0x584C4342      # "XLCB"
_VERSION = 1
_BUSY_MS = 5_000
_TABLES = """
CREATE TABLE cells (kind TEXT NOT NULL, owner BLOB NOT NULL, name BLOB NOT NULL,
                    sealed BLOB NOT NULL, PRIMARY KEY (kind, owner, name)) STRICT;
CREATE TABLE rows (kind TEXT NOT NULL, owner BLOB NOT NULL, number INTEGER NOT NULL,
                   sealed BLOB NOT NULL, PRIMARY KEY (kind, owner, number)) STRICT;
"""


class Cabinet:
    """One file, open. Its threads take turns; a write outside `transaction` is durable on return."""

    def __init__(self, connection: sqlite3.Connection):
        """Use `open`."""
        self._sql = connection
        self._turn = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> "Cabinet":
        """Errors  NotUnderstood CABINET_NOT_UNDERSTOOD, CABINET_DAMAGED; Busy CABINET_IN_USE."""
        disk.make_folder(path.parent)
        if not path.exists():
            disk.replace_file(path, b"")          # private before the first byte is in it
        with _failures():
            sql = sqlite3.connect(path, isolation_level=None, check_same_thread=False,
                                  timeout=_BUSY_MS / 1_000)
        try:
            with _failures():
                _set_up(sql)
        except Failed:
            sql.close()
            raise
        return cls(sql)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside, or none; durable once left. Not nested."""
        with self._turn:
            with _failures():
                self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield
                failpoint.hit("cabinet.commit")
                with _failures():
                    self._sql.execute("COMMIT")
                failpoint.hit("cabinet.committed")
            finally:
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")

    def put(self, kind: str, owner: bytes, name: bytes, plaintext: bytes, key: bytes) -> None:
        _check_place(kind, owner, name)
        _check_size(plaintext)
        sealed = seal(key, _place("cell", kind, owner, name), plaintext)
        self._run("INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?)", kind, owner, name, sealed)

    def get(self, kind: str, owner: bytes, name: bytes, key: bytes) -> bytes | None:
        """None when there is no such cell.

        Errors  NotVerified SEAL_NOT_VALID: another key, or the value is not the one put here.
        """
        found = self._run("SELECT sealed FROM cells WHERE kind = ? AND owner = ? AND name = ?",
                          kind, owner, name)
        if not found:
            return None
        return open_sealed(key, _place("cell", kind, owner, name), found[0][0])

    def list(self, kind: str, owner: bytes) -> Sequence[bytes]:
        """The names of the owner's cells of a kind, in byte order."""
        return [name for name, in self._run(
            "SELECT name FROM cells WHERE kind = ? AND owner = ? ORDER BY name", kind, owner)]

    def owners(self, kind: str) -> Sequence[bytes]:
        """Whoever has a cell or row of a kind, in byte order."""
        return [owner for owner, in self._run(
            "SELECT owner FROM cells WHERE kind = ?1 UNION SELECT owner FROM rows WHERE kind = ?1"
            " ORDER BY owner", kind)]

    def delete(self, kind: str, owner: bytes, name: bytes) -> None:
        self._run("DELETE FROM cells WHERE kind = ? AND owner = ? AND name = ?", kind, owner, name)

    def append(self, kind: str, owner: bytes, plaintext: bytes, key: bytes) -> int:
        """Add a row after the owner's last of this kind; its number."""
        _check_place(kind, owner, b"")
        _check_size(plaintext)
        with self._one_transaction():
            number = self.count(kind, owner) + 1
            sealed = seal(key, _place("row", kind, owner, _row_name(number)), plaintext)
            self._run("INSERT INTO rows VALUES (?, ?, ?, ?)", kind, owner, number, sealed)
        return number

    def count(self, kind: str, owner: bytes) -> int:
        """The number of the owner's last row of this kind; 0 when there is none."""
        (last,), = self._run("SELECT max(number) FROM rows WHERE kind = ? AND owner = ?", kind, owner)
        return last or 0

    def rows(self, kind: str, owner: bytes, key: bytes, start: int = 1,
             limit: int = ROWS_PER_READ_MAX) -> Sequence[tuple[int, bytes]]:
        """(number, plaintext) from number `start` on, in order, at most `limit` of them."""
        found = self._run("SELECT number, sealed FROM rows WHERE kind = ? AND owner = ?"
                          " AND number >= ? ORDER BY number LIMIT ?",
                          kind, owner, start, max(0, min(limit, ROWS_PER_READ_MAX)))
        return [(number, open_sealed(key, _place("row", kind, owner, _row_name(number)), sealed))
                for number, sealed in found]

    def forget(self, owner: bytes) -> None:
        """Delete all that the owner has, of every kind. (What erases is the destroyed key.)"""
        with self._one_transaction():
            self._run("DELETE FROM cells WHERE owner = ?", owner)
            self._run("DELETE FROM rows WHERE owner = ?", owner)

    def close(self) -> None:
        self._sql.close()

    @contextmanager
    def _one_transaction(self) -> Iterator[None]:
        """The caller's, or one of its own."""
        with self._turn:
            if self._sql.in_transaction:
                yield
            else:
                with self.transaction():
                    yield

    def _run(self, statement: str, *values: object) -> Sequence[Any]:
        with self._turn, _failures():
            return self._sql.execute(statement, values).fetchall()


def copy(path: Path, to: Path) -> None:
    """A whole copy of a cabinet as of one moment, whether somebody has it open or not; durable on return.

    Errors  NotUnderstood CABINET_DAMAGED; Busy CABINET_IN_USE; Failed CABINET_FAILED.
    """
    disk.replace_file(to, b"")
    with _failures(), closing(sqlite3.connect(path, timeout=_BUSY_MS / 1_000)) as source, \
            closing(sqlite3.connect(to)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")     # one file, not three


def _set_up(sql: sqlite3.Connection) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON",
                   "trusted_schema = OFF"):
        sql.execute(f"PRAGMA {pragma}")
    (application,), = sql.execute("PRAGMA application_id").fetchall()
    (version,), = sql.execute("PRAGMA user_version").fetchall()
    if application == version == 0 and not sql.execute("SELECT 1 FROM sqlite_schema").fetchall():
        sql.executescript(f"BEGIN EXCLUSIVE; {_TABLES} PRAGMA application_id = {_APPLICATION_ID};"
                          f" PRAGMA user_version = {_VERSION}; COMMIT;")
        return
    require((application, version) == (_APPLICATION_ID, _VERSION),
            VaultCode.CABINET_NOT_UNDERSTOOD, "not a cabinet of this version")


@contextmanager
def _failures() -> Iterator[None]:
    """SQLite's errors as ours, without its words: they may quote what was stored."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise Busy(VaultCode.CABINET_IN_USE) from None
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            raise NotUnderstood(VaultCode.CABINET_DAMAGED, name) from None
        raise Failed(VaultCode.CABINET_FAILED, name) from None


def _place(table: str, kind: str, owner: bytes, name: bytes) -> bytes:
    """Context of a seal; each part with its length, so that no two places share one."""
    parts = (table.encode(), kind.encode(), owner, name)
    return b"xinglin/cabinet/1" + b"".join(bytes([len(part)]) + part for part in parts)


def _row_name(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _check_place(kind: str, owner: bytes, name: bytes) -> None:
    require(0 < len(kind.encode()) <= TAG_CHARS_MAX, VaultCode.CELL_NAME_NOT_VALID,
            f"a kind has at most {TAG_CHARS_MAX} characters")
    require(len(owner) == 16 and len(name) <= CELL_NAME_BYTES_MAX, VaultCode.CELL_NAME_NOT_VALID,
            f"an owner has 16 bytes, a name at most {CELL_NAME_BYTES_MAX}")


def _check_size(plaintext: bytes) -> None:
    require(len(plaintext) <= CELL_BYTES_MAX, VaultCode.CELL_TOO_LARGE, f"{len(plaintext)} bytes")


__all__ = ["Cabinet", "copy"]
