"""engine.store on real disks: what survives, what is noticed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xinglin.base.check import Failed
from xinglin.base.limits import STORE_BLOCK_CACHE_BYTES
from xinglin.engine.codes import EngineCode
from xinglin.engine.store import Store

SRC = Path(__file__).resolve().parents[2] / "src"


def write(store: Store, pairs: dict[bytes, bytes]) -> None:
    batch = store.batch()
    for key, value in pairs.items():
        batch.put(key, value)
    store.write(batch)


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`code` in another process, which may die."""
    return subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(SRC)}, timeout=60)


def refused(action: Callable[[], object]) -> EngineCode:
    with pytest.raises(Failed) as caught:
        action()
    assert isinstance(caught.value.code, EngineCode)
    return caught.value.code


def killed_after_ten_blocks(folder: Path) -> None:
    """Ten batches of 20 rows in the log alone, the way a killed node leaves them."""
    done = run("""
import os, signal, sys
from pathlib import Path
from xinglin.engine.store import Store
store = Store.open(Path(sys.argv[1]))
for block in range(10):
    batch = store.batch()
    for row in range(20):
        batch.put(b"s%03d/%02d" % (block, row), b"%d" % block * 100)
    store.write(batch)
    store.sync()
os.kill(os.getpid(), signal.SIGKILL)
""", folder)
    assert done.returncode == -signal.SIGKILL, done.stderr


def log_of(folder: Path) -> Path:
    [log] = [file for file in folder.glob("*.log") if file.stat().st_size]
    return log


def test_a_batch_is_all_there_or_not_at_all(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    write(store, {b"sa": b"1", b"sb": b"", b"sc": b"3", b"td": b"4"})
    assert store.get(b"sb") == b"" and store.get(b"sx") is None
    batch = store.batch()
    batch.put(b"sa", b"2")
    batch.delete(b"sb")
    batch.delete_range(b"sc", b"sz")
    assert len(batch) == 3
    assert store.get(b"sa") == b"1", "nothing is visible before write"
    store.write(batch)
    assert list(store.scan(b"")) == [(b"sa", b"2"), (b"td", b"4")]
    store.close()


def test_a_value_that_must_be_there_is_asked_for_by_need(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    write(store, {b"sa": b"1"})
    assert store.need(b"sa") == b"1"
    assert refused(lambda: store.need(b"sb")) == EngineCode.STORE_CORRUPT
    store.close()


def test_a_scan_keeps_to_its_prefix(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    keys = [b"j1", b"s", b"s\x00", b"sa", b"sa\xff", b"sa\xff\xff", b"sb", b"s\xff", b"t"]
    write(store, {key: key for key in keys})

    def scanned(prefix: bytes, start: bytes = b"", limit: int | None = None, reverse: bool = False) -> list[bytes]:
        return [key for key, _ in store.scan(prefix, start, limit, reverse)]

    assert scanned(b"s") == keys[1:8]
    assert scanned(b"s", reverse=True) == keys[7:0:-1]
    assert scanned(b"sa") == keys[3:6] and scanned(b"sa", reverse=True) == keys[5:2:-1]
    assert scanned(b"s", b"b") == keys[6:8] and scanned(b"s", b"b", reverse=True) == keys[6:0:-1]
    assert scanned(b"s", b"aa", reverse=True) == [b"sa", b"s\x00", b"s"]
    assert scanned(b"s", limit=2) == keys[1:3] and scanned(b"s", limit=0) == []
    assert scanned(b"t", reverse=True) == [b"t"] and scanned(b"q") == scanned(b"q", reverse=True) == []
    store.close()


def test_a_scan_sees_the_store_as_it_was_when_it_began(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    write(store, {b"sa": b"1", b"sb": b"1"})
    scan = store.scan(b"s")
    first = next(scan)
    write(store, {b"sb": b"2", b"sc": b"2"})
    assert [first, *scan] == [(b"sa", b"1"), (b"sb", b"1")]
    store.close()


def test_a_store_belongs_to_one_process(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "home")
    assert refused(lambda: Store.open(tmp_path / "home")) == EngineCode.STORE_IN_USE
    other = run("""
import sys
import time
from pathlib import Path
from xinglin.base.check import Failed
from xinglin.engine.store import Store
try:
    Store.open(Path(sys.argv[1]))
except Failed as error:
    print(error.code.name)
""", tmp_path / "home")
    assert other.stdout.strip() == "STORE_IN_USE", other.stderr
    store.close()
    Store.open(tmp_path / "home").close()


def test_a_folder_that_is_a_file_is_not_usable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert refused(lambda: Store.open(tmp_path / "file")) == EngineCode.STORE_NOT_USABLE
    assert refused(lambda: Store.open(tmp_path / "file" / "below")) == EngineCode.STORE_NOT_USABLE


def test_a_reopened_store_keeps_its_cache(tmp_path: Path) -> None:
    for _ in range(2):
        store = Store.open(tmp_path)
        assert store._db.property_int_value("rocksdb.block-cache-capacity") == STORE_BLOCK_CACHE_BYTES
        store.close()


def test_what_was_synced_survives_a_kill(tmp_path: Path) -> None:
    killed_after_ten_blocks(tmp_path)
    store = Store.open(tmp_path)
    assert len(list(store.scan(b"s"))) == 200
    store.close()


def test_a_torn_log_loses_the_torn_batch_and_those_after_it(tmp_path: Path) -> None:
    killed_after_ten_blocks(tmp_path / "whole")
    log = log_of(tmp_path / "whole")
    data, seen = log.read_bytes(), set()
    for part in range(0, 20):
        torn = tmp_path / f"torn{part}"
        subprocess.run(["cp", "-r", tmp_path / "whole", torn], check=True)
        (torn / log.name).write_bytes(data[: len(data) * part // 20])
        store = Store.open(torn)
        rows = [key for key, _ in store.scan(b"s")]
        store.close()
        blocks = len(rows) // 20
        assert rows == [b"s%03d/%02d" % (block, row) for block in range(blocks) for row in range(20)]
        seen.add(blocks)
    assert min(seen) == 0 and max(seen) == 9 and len(seen) > 5


def test_a_flipped_byte_inside_the_log_is_noticed(tmp_path: Path) -> None:
    killed_after_ten_blocks(tmp_path)
    log = log_of(tmp_path)
    data = bytearray(log.read_bytes())
    data[len(data) // 3] ^= 1
    log.write_bytes(data)
    assert refused(lambda: Store.open(tmp_path)) == EngineCode.STORE_CORRUPT


def test_a_flipped_byte_in_a_table_is_noticed_and_never_a_wrong_answer(tmp_path: Path) -> None:
    pairs = {b"s%05d" % row: os.urandom(100) for row in range(2_000)}
    store = Store.open(tmp_path / "first")
    write(store, pairs)
    store.checkpoint(tmp_path / "second")       # flushes the log into a table
    store.close()
    [table] = (tmp_path / "second").glob("*.sst")
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.unlink()                              # a hard link to the first store's
    table.write_bytes(data)
    store = Store.open(tmp_path / "second")
    noticed = 0
    for key, value in pairs.items():
        try:
            assert store.get(key) == value
        except Failed as error:
            assert error.code == EngineCode.STORE_CORRUPT
            noticed += 1
    assert 0 < noticed < 100
    assert refused(lambda: list(store.scan(b"s"))) == EngineCode.STORE_CORRUPT
    store.close()


def test_a_checkpoint_is_a_store_of_its_own(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "first")
    write(store, {b"sa": b"1"})
    store.checkpoint(tmp_path / "second")
    write(store, {b"sa": b"2"})
    second = Store.open(tmp_path / "second")
    assert (store.get(b"sa"), second.get(b"sa")) == (b"2", b"1")
    assert refused(lambda: store.checkpoint(tmp_path / "second")) == EngineCode.STORE_NOT_USABLE
    second.close()
    store.close()


def test_a_full_disk_is_said_to_be_full_and_loses_nothing_synced(tmp_path: Path) -> None:
    # A limit on the size of a file is the full disk that needs no rights.
    full = run("""
import os, resource, signal, sys
from pathlib import Path
from xinglin.base.check import Failed
from xinglin.engine.store import Store
store = Store.open(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    for block in range(100):
        batch = store.batch()
        batch.put(b"s%03d" % block, os.urandom(50_000))
        store.write(batch)
        store.sync()
        print(block, flush=True)
except Failed as error:
    print(error.code.name, flush=True)
    os._exit(0)
""", tmp_path)
    *blocks, code = full.stdout.split()
    assert code == "DISK_FULL" and blocks, full.stderr
    store = Store.open(tmp_path)
    assert [key for key, _ in store.scan(b"s")] == [b"s%03d" % block for block in range(len(blocks))]
    store.close()


def test_a_store_is_for_its_own_user(tmp_path: Path) -> None:
    """Its files are for everyone to read, as RocksDB makes them; its folder is not."""
    Store.open(tmp_path / "store").close()
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700


def test_a_store_says_whether_it_works_in_the_background(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    seen = set()
    for number in range(40):                  # five write buffers
        write(store, {b"s%d %d" % (piece, number): os.urandom(1024 * 1024) for piece in range(4)})
        seen.add(store.is_compacting())
    assert True in seen
    while store.is_compacting():
        time.sleep(0.01)
    store.close()
