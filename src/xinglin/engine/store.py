"""The one RocksDB under a node; nothing else imports it.

A block is one batch, written at once and then synced; after a crash the store holds a prefix of the batches written.
Keys are a byte for the family, then the family's own key:

  s  state rows        b  tree buckets      j  tree journal
  k  blocks            t  transaction bytes h  history tiles
  r  replay ids        d  due index         x  transaction ids
  a  about index       p  published checkpoints
  m  meta

RocksDB sums its blocks, so a flipped bit is an error and never a wrong answer; a torn end of its log is cut off.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from rocksdict import (
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    RdictIter,
    WriteBatch,
)

from xinglin.base.check import Failed
from xinglin.base.limits import STORE_BLOCK_CACHE_BYTES, STORE_WRITE_BUFFER_BYTES
from xinglin.engine.codes import EngineCode

STATE = b"s"
BUCKETS = b"b"
JOURNAL = b"j"

WAITING_TABLES_MAX = 2             # full and not yet written as tables: then a write waits
ROOM_POLL_S = 0.001

_FAILURES = (
    ("lock hold by current process", EngineCode.STORE_IN_USE),
    ("While lock file", EngineCode.STORE_IN_USE),
    ("No space left on device", EngineCode.DISK_FULL),
    ("Disk quota exceeded", EngineCode.DISK_FULL),
    ("File too large", EngineCode.DISK_FULL),
    ("Corruption", EngineCode.STORE_CORRUPT),
    ("checksum mismatch", EngineCode.STORE_CORRUPT),
)


def _failed(error: Exception) -> Failed:
    """What RocksDB's words mean; it raises bare Exception for everything, so there is nothing else to go by."""
    if type(error) is not Exception:
        raise error
    words = str(error)
    code = next((code for sign, code in _FAILURES if sign in words), EngineCode.STORE_NOT_USABLE)
    return Failed(code, "" if code is EngineCode.STORE_IN_USE else words)    # whose lock it is, its words do not tell


def _options() -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(Cache(STORE_BLOCK_CACHE_BYTES))
    table.set_bloom_filter(10, False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(STORE_WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(WAITING_TABLES_MAX + 1)     # what one write may fill stops none: _wait_for_room
    # A filter for the rows not yet in a table: a get then looks for what is not there in 3 us, not in 6.
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.1)
    options.set_max_background_jobs(1)      # two cores: one is the executing thread's
    options.set_compression_type(DBCompressionType.none())  # hashes and signatures do not shrink
    options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
    options.set_keep_log_file_num(4)
    return options


class Batch:
    """Puts and deletes that reach the store together or not at all; good for one write."""

    def __init__(self) -> None:
        self.raw = WriteBatch(raw_mode=True)
        self.put = self.raw.put         # (key, value), bound here: a call layer costs as much as the put
        self.delete = self.raw.delete   # (key)

    def delete_range(self, first: bytes, end: bytes) -> None:
        """Delete every key from `first` up to, not including, `end`."""
        self.raw.delete_range(first, end)

    def __len__(self) -> int:
        return self.raw.len()


def _seek_last(cursor: RdictIter, prefix: bytes) -> None:
    """To the last key under `prefix`, whose last byte is not 0xff."""
    cursor.seek(prefix[:-1] + bytes((prefix[-1] + 1,)))
    if cursor.valid():
        cursor.prev()
    else:
        cursor.seek_to_last()


class Store:
    """Errors  Failed STORE_IN_USE, STORE_CORRUPT, DISK_FULL, STORE_NOT_USABLE, from every method."""

    def __init__(self, db: Rdict):
        self._db = db
        self._errors = 0                  # in the background, that a write has met

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Open for this process alone, made if missing."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)     # RocksDB's files are for everyone to read
            # rocksdict takes the table options of an existing store only when its column family is named: without
            # that a reopened store has no filter and a cache of 8 MB, and a get takes 9 us instead of 3.
            return cls(Rdict(str(folder), _options(), {"default": _options()}))
        except OSError as error:
            raise Failed(EngineCode.STORE_NOT_USABLE, str(error)) from None
        except Exception as error:
            raise _failed(error) from error

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._db.get(key)
            return value
        except Exception as error:
            raise _failed(error) from error

    def need(self, key: bytes) -> bytes:
        """The value of a key that must be there; Failed STORE_CORRUPT when it is not."""
        value = self.get(key)
        if value is None:
            raise Failed(EngineCode.STORE_CORRUPT, f"no value under {key[:1]!r} {key[1:].hex()}")
        return value

    def batch(self) -> Batch:
        return Batch()

    def write(self, batch: Batch) -> None:
        """Make the batch visible; not yet durable. The batch is used up. For one thread at a time."""
        try:
            self._wait_for_room()
            self._db.write(batch.raw)
        except Exception as error:
            raise _failed(error) from error

    def _wait_for_room(self) -> None:
        """Until a write will not have to wait inside RocksDB.

        A write that waits there for a table to be written, when there is no room for it, waits until there is,
        and room alone may not wake it. Out here it is seen that something failed; the write then says what.
        """
        while self._count("num-immutable-mem-table") >= WAITING_TABLES_MAX:
            errors = self._count("background-errors")
            if errors != self._errors:
                self._errors = errors
                return
            time.sleep(ROOM_POLL_S)

    def _count(self, what: str) -> int:
        return self._db.property_int_value(f"rocksdb.{what}") or 0

    def sync(self) -> None:
        """Make everything written durable. Lets go of the GIL, which a synced write would not."""
        try:
            self._db.flush_wal(True)
        except Exception as error:
            raise _failed(error) from error

    def scan(
        self, prefix: bytes, start: bytes = b"", limit: int | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs under `prefix` in key order, as they were when the scan began.

        From prefix + start on, or with `reverse` from there, itself included, downward; from the end without start.
        An unfinished scan keeps the store's files open: drop it before `close`.
        """
        cursor = self._db.iter()
        try:
            if not reverse:
                cursor.seek(prefix + start)
            elif start:
                cursor.seek_for_prev(prefix + start)
            else:
                _seek_last(cursor, prefix)
            while limit is None or limit > 0:
                if not cursor.valid():
                    cursor.status()     # the end, or an error that made it look like one
                    return
                key: bytes = cursor.key()
                if not key.startswith(prefix):
                    return
                yield key, cursor.value()
                cursor.prev() if reverse else cursor.next()
                limit = None if limit is None else limit - 1
        except Exception as error:
            raise _failed(error) from error

    def is_compacting(self) -> bool:
        """Whether files are being merged in the background, or wait for it."""
        try:
            return any(self._count(name) for name in (
                "num-running-compactions", "num-running-flushes", "compaction-pending"))
        except Exception as error:
            raise _failed(error) from error

    def compact(self, first: bytes, end: bytes) -> None:
        """Rewrite the files that hold keys from `first` up to `end`, without what was deleted. Takes its time."""
        try:
            self._db.compact_range(first, end)
        except Exception as error:
            raise _failed(error) from error

    def checkpoint(self, folder: Path) -> None:
        """A second store in the new folder, of hard links where the file system is the same."""
        try:
            Checkpoint(self._db).create_checkpoint(str(folder))
        except Exception as error:
            raise _failed(error) from error

    def close(self) -> None:
        try:
            self._db.close()
        except Exception as error:
            raise _failed(error) from error
