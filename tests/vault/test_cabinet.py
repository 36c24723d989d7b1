"""Rows in the cabinet are sealed where they stand, and durable once a call returns."""

import os
import random
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from xinglin.base.check import Failed, NotUnderstood, NotVerified
from xinglin.vault import VaultCode
from xinglin.vault.cabinet import Cabinet
from xinglin.vault.seal import new_key

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
ANNA, BORIS = b"A" * 16, b"B" * 16


@pytest.fixture
def cabinet(tmp_path: Path) -> Iterator[Cabinet]:
    opened = Cabinet.open(tmp_path / "cabinet.db")
    yield opened
    opened.close()


def code_of(call, *arguments) -> VaultCode:
    with pytest.raises(Failed) as caught:
        call(*arguments)
    return caught.value.code


def test_a_cell_comes_back_as_it_was_put_and_is_replaced_by_the_next(cabinet: Cabinet) -> None:
    cabinet.put("permit", ANNA, b"1", b"first", KEY)
    cabinet.put("permit", ANNA, b"1", b"second", OTHER_KEY)
    assert cabinet.get("permit", ANNA, b"1", OTHER_KEY) == b"second"


def test_a_cell_that_is_not_there_is_none(cabinet: Cabinet) -> None:
    cabinet.put("permit", ANNA, b"1", b"x", KEY)
    assert cabinet.get("permit", ANNA, b"2", KEY) is None
    assert cabinet.get("permit", BORIS, b"1", KEY) is None
    assert cabinet.get("cursor", ANNA, b"1", KEY) is None
    cabinet.delete("permit", ANNA, b"1")
    assert cabinet.get("permit", ANNA, b"1", KEY) is None


def test_cells_outlive_closing(tmp_path: Path) -> None:
    first = Cabinet.open(tmp_path / "c.db")
    first.put("permit", ANNA, b"1", b"x", KEY)
    first.append("log", ANNA, b"y", KEY)
    first.close()
    again = Cabinet.open(tmp_path / "c.db")
    assert again.get("permit", ANNA, b"1", KEY) == b"x"
    assert again.rows("log", ANNA, KEY) == [(1, b"y")]
    again.close()


def test_a_cell_does_not_open_under_another_key(cabinet: Cabinet) -> None:
    cabinet.put("permit", ANNA, b"1", b"x", KEY)
    assert code_of(cabinet.get, "permit", ANNA, b"1", OTHER_KEY) is VaultCode.SEAL_NOT_VALID


def test_a_value_moved_to_another_place_does_not_open(tmp_path: Path) -> None:
    cabinet = Cabinet.open(tmp_path / "c.db")
    cabinet.put("permit", ANNA, b"1", b"x", KEY)
    cabinet.append("permit", ANNA, b"row 1", KEY)
    cabinet.append("permit", ANNA, b"row 2", KEY)
    with sqlite3.connect(tmp_path / "c.db") as sql:
        sql.execute("INSERT INTO cells SELECT 'permit', owner, X'32', sealed FROM cells")
        sql.execute("INSERT INTO cells SELECT 'cursor', owner, name, sealed FROM cells WHERE name = ?",
                    (b"1",))
        sql.execute("INSERT INTO cells SELECT 'permit', ?, name, sealed FROM cells WHERE kind = 'permit'"
                    " AND name = ?", (BORIS, b"1"))
        sql.execute("INSERT INTO cells SELECT kind, owner, X'0000000000000001', sealed FROM rows"
                    " WHERE number = 1")
        sql.execute("UPDATE rows SET sealed = (SELECT sealed FROM rows WHERE number = 1)")
    for kind, owner, name in (("permit", ANNA, b"2"), ("cursor", ANNA, b"1"), ("permit", BORIS, b"1"),
                              ("permit", ANNA, bytes(7) + b"\1")):
        with pytest.raises(NotVerified):
            cabinet.get(kind, owner, name, KEY)
    with pytest.raises(NotVerified):
        cabinet.rows("permit", ANNA, KEY)
    assert cabinet.get("permit", ANNA, b"1", KEY) == b"x"
    cabinet.close()


def test_names_and_owners_are_listed_in_byte_order_without_any_key(cabinet: Cabinet) -> None:
    for name in (b"\xff", b"", b"a", b"\0"):
        cabinet.put("permit", ANNA, name, b"x", KEY)
    cabinet.put("cursor", ANNA, b"z", b"x", KEY)
    cabinet.append("permit", BORIS, b"x", KEY)
    assert cabinet.list("permit", ANNA) == [b"", b"\0", b"a", b"\xff"]
    assert cabinet.owners("permit") == [ANNA, BORIS]
    assert cabinet.owners("cursor") == [ANNA]


def test_rows_are_numbered_from_one_for_each_owner_and_kind(cabinet: Cabinet) -> None:
    assert cabinet.count("log", ANNA) == 0
    assert [cabinet.append("log", ANNA, bytes([n]), KEY) for n in range(5)] == [1, 2, 3, 4, 5]
    assert cabinet.append("log", BORIS, b"x", KEY) == 1
    assert cabinet.append("mail", ANNA, b"x", KEY) == 1
    assert cabinet.count("log", ANNA) == 5
    assert cabinet.rows("log", ANNA, KEY) == [(n + 1, bytes([n])) for n in range(5)]
    assert cabinet.rows("log", ANNA, KEY, start=3, limit=2) == [(3, b"\2"), (4, b"\3")]
    assert cabinet.rows("log", ANNA, KEY, start=6) == []
    assert cabinet.rows("log", ANNA, KEY, limit=-1) == []


def test_a_transaction_that_fails_leaves_nothing(cabinet: Cabinet) -> None:
    cabinet.put("permit", ANNA, b"1", b"before", KEY)
    with pytest.raises(KeyError), cabinet.transaction():
        cabinet.put("permit", ANNA, b"1", b"after", KEY)
        cabinet.append("log", ANNA, b"x", KEY)
        cabinet.delete("permit", ANNA, b"1")
        raise KeyError
    assert cabinet.get("permit", ANNA, b"1", KEY) == b"before"
    assert cabinet.count("log", ANNA) == 0


def test_a_transaction_that_ends_is_whole_for_another_reader(tmp_path: Path) -> None:
    cabinet, reader = (Cabinet.open(tmp_path / "c.db") for _ in range(2))
    with cabinet.transaction():
        cabinet.put("permit", ANNA, b"1", b"x", KEY)
        cabinet.append("log", ANNA, b"y", KEY)
        assert reader.get("permit", ANNA, b"1", KEY) is None
    assert reader.get("permit", ANNA, b"1", KEY) == b"x"
    assert reader.count("log", ANNA) == 1
    cabinet.close()
    reader.close()


def test_threads_take_turns_and_lose_no_row(cabinet: Cabinet) -> None:
    def work(number: int) -> None:
        for _ in range(25):
            with cabinet.transaction():
                last = cabinet.append("log", ANNA, bytes([number]), KEY)
                assert cabinet.count("log", ANNA) == last

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [number for number, _ in cabinet.rows("log", ANNA, KEY)] == list(range(1, 101))


def test_what_a_subject_had_is_forgotten_and_nothing_else(cabinet: Cabinet) -> None:
    for owner in (ANNA, BORIS):
        cabinet.put("permit", owner, b"1", b"x", KEY)
        cabinet.append("log", owner, b"y", KEY)
    cabinet.forget(ANNA)
    assert cabinet.list("permit", ANNA) == []
    assert cabinet.count("log", ANNA) == 0
    assert cabinet.get("permit", BORIS, b"1", KEY) == b"x"
    assert cabinet.count("log", BORIS) == 1


def test_no_plaintext_stands_in_the_file_or_beside_it(tmp_path: Path) -> None:
    cabinet = Cabinet.open(tmp_path / "c.db")
    cabinet.put("permit", ANNA, b"1", b"penicillin allergy", KEY)
    cabinet.append("log", ANNA, b"penicillin allergy", KEY)
    seen = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert any(ANNA in data for data in seen.values())
    assert not any(b"penicillin" in data for data in seen.values())
    cabinet.close()


def test_files_are_for_the_user_alone(tmp_path: Path) -> None:
    cabinet = Cabinet.open(tmp_path / "new" / "c.db")
    cabinet.put("permit", ANNA, b"1", b"x", KEY)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert set(modes) == {"c.db", "c.db-wal", "c.db-shm"}
    assert set(modes.values()) == {0o600}
    cabinet.close()


def test_each_commit_is_synced(cabinet: Cabinet) -> None:
    assert cabinet._sql.execute("PRAGMA synchronous").fetchall() == [(2,)]
    assert cabinet._sql.execute("PRAGMA journal_mode").fetchall() == [("wal",)]


def test_every_cut_of_the_log_keeps_a_beginning_of_what_was_acknowledged(tmp_path: Path) -> None:
    """Power loss while the last row is written: the log stops anywhere in it."""
    path, wal = tmp_path / "c.db", tmp_path / "c.db-wal"
    cabinet = Cabinet.open(path)
    lengths = []
    for number in range(4):
        cabinet.append("log", ANNA, bytes([number]), KEY)
        lengths.append(wal.stat().st_size)
    database, log = path.read_bytes(), wal.read_bytes()
    cabinet.close()
    draw = random.Random(5)
    for number in range(60):
        cut = draw.randrange(lengths[2], lengths[3] + 1)
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "c.db").write_bytes(database)
        (folder / "c.db-wal").write_bytes(log[:cut])
        image = Cabinet.open(folder / "c.db")
        rows = image.rows("log", ANNA, KEY)
        assert rows[:3] == [(n + 1, bytes([n])) for n in range(3)]
        assert len(rows) == 3 or cut == lengths[3]
        image.close()


def test_a_file_that_is_no_cabinet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"this is not a database, whatever its name says" * 100)
    assert code_of(Cabinet.open, tmp_path / "text") is VaultCode.CABINET_DAMAGED
    sql = sqlite3.connect(tmp_path / "other.db")
    sql.execute("CREATE TABLE t (x)")
    sql.close()
    assert code_of(Cabinet.open, tmp_path / "other.db") is VaultCode.CABINET_NOT_UNDERSTOOD
    Cabinet.open(tmp_path / "c.db").close()
    sql = sqlite3.connect(tmp_path / "c.db")
    sql.execute("PRAGMA user_version = 2")
    sql.close()
    assert code_of(Cabinet.open, tmp_path / "c.db") is VaultCode.CABINET_NOT_UNDERSTOOD


def test_a_damaged_file_is_said_in_no_words_of_what_it_holds(tmp_path: Path) -> None:
    cabinet = Cabinet.open(tmp_path / "c.db")
    for number in range(200):
        cabinet.put("permit", ANNA, number.to_bytes(4, "big"), os.urandom(500), KEY)
    cabinet.close()
    data = bytearray((tmp_path / "c.db").read_bytes())
    data[4_096:] = b"\xa5" * (len(data) - 4_096)
    (tmp_path / "c.db").write_bytes(bytes(data))
    damaged = Cabinet.open(tmp_path / "c.db")
    with pytest.raises(NotUnderstood) as caught:
        damaged.list("permit", ANNA)
    assert caught.value.code is VaultCode.CABINET_DAMAGED
    assert caught.value.detail == "SQLITE_CORRUPT"
    damaged.close()


@pytest.mark.parametrize(("kind", "owner", "name"), [
    ("permit", b"short", b""), ("permit", ANNA, bytes(65)), ("", ANNA, b""), ("k" * 49, ANNA, b"")])
def test_a_place_out_of_bounds_is_refused(
        cabinet: Cabinet, kind: str, owner: bytes, name: bytes) -> None:
    assert code_of(cabinet.put, kind, owner, name, b"x", KEY) is VaultCode.CELL_NAME_NOT_VALID


def test_a_value_past_the_limit_is_refused(
        cabinet: Cabinet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinglin.vault.cabinet.CELL_BYTES_MAX", 10)
    cabinet.put("permit", ANNA, b"1", bytes(10), KEY)
    assert code_of(cabinet.put, "permit", ANNA, b"1", bytes(11), KEY) is VaultCode.CELL_TOO_LARGE
    assert code_of(cabinet.append, "log", ANNA, bytes(11), KEY) is VaultCode.CELL_TOO_LARGE


def test_once_its_key_is_destroyed_a_cell_opens_no_more(cabinet: Cabinet) -> None:
    key = new_key()
    cabinet.put("body", ANNA, b"1", b"x", key)
    del key
    assert code_of(cabinet.get, "body", ANNA, b"1", new_key()) is VaultCode.SEAL_NOT_VALID
