"""The ledger on disk, led through the same blocks as the pair; and every question to it answered by the naive model.

The naive model brings its own list of what an event is about, its own encoding of a row and its own running hash.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from models.naive import Naive, Said, packed, running
from models.words import plain
from xinglin.base import codec, sparse
from xinglin.engine.ledger import Ledger
from xinglin.kernel.executor import KERNEL
from xinglin.kernel.genesis import Manifest
from xinglin.kernel.module import ModuleSet, Table
from xinglin.kernel.tx import Tx
from xinglin.modules import access

# By which ids somebody finds an event, as docs/modules says.
ABOUT = {
    "members.moved/1": ("member",), "members.enrolled/1": ("member", "account"),
    "members.ended/1": ("member", "account"), "members.key_moved/1": ("member",), "members.key_rotated/1": ("account",),
    "subjects.registered/1": ("subject", "holder"), "subjects.claimed/1": ("subject",),
    "subjects.key_rotated/1": ("subject",),
    "consent.granted/1": ("subject",), "consent.revoked/1": ("subject",), "consent.expired/1": ("subject",),
    "records.committed/1": ("owner",), "access.requested/1": ("subject", "reader"),
    "access.answered/1": ("subject", "reader"), "access.breached/1": ("subject", "reader", "holder"),
    "access.anchored/1": ("holder",),
}
NOBODY = b"\xee" * 16


class Shadow:
    def __init__(self, folder: Path, manifest: Manifest, modules: ModuleSet):
        self.ledger = Ledger.create(folder, manifest, modules)
        self.modules = modules
        self.height = 0
        self.about: dict[bytes, list[tuple[int, int]]] = {}      # as the naive model has it
        self.places: dict[bytes, tuple[int, int]] = {}

    def block(self, time_ms: int, txs: list[Tx], events: Iterable[list[Said]]) -> None:
        """The same block; `events` are the naive model's, an outcome each, the timers' first."""
        ledger = self.ledger
        applied = ledger.executor.apply(ledger, ledger.height + 1, time_ms, txs)
        if applied.appended is not None:
            ledger.write(applied, b"")
        outcomes = list(events)
        if not outcomes:
            return
        self.height += 1
        for index, said in enumerate(outcomes):
            ids = dict.fromkeys(fields[name] for tag, fields in said for name in ABOUT[tag])
            for one in ids:
                self.about.setdefault(one, []).append((self.height, index))
        for tx, index in zip(txs, range(len(outcomes) - len(txs), len(outcomes)), strict=True):
            self.places[tx.id] = (self.height, index)

    def compare(self, naive: Naive) -> None:
        self._rows(naive)
        self._places()
        self._access_lists(naive)

    def _rows(self, naive: Naive) -> None:
        """Every row by scan, by key and with its proof; and a proof of what is not there."""
        for name, rows in naive.rows().items():
            table = self.modules.tables[name]
            stored = dict(self.ledger.store.scan(table.store_prefix))
            prefix = len(table.store_prefix)
            assert {key[prefix:]: row for key, row in stored.items()} == {
                key: packed(plain(row)) for key, row in rows.items()}, name
            for key in [*rows][:3]:
                self._proof(table, key, packed(plain(rows[key])))
            missing = bytes(table.width)
            if missing not in rows:
                assert self.ledger.row(table, missing) is None
                self._proof(table, missing, None)
        assert {*naive.rows()} == {name for name, table in self.modules.tables.items() if table not in KERNEL.tables}

    def _proof(self, table: Table[Any], key: bytes, row: bytes | None) -> None:
        ledger = self.ledger
        path = sparse.path_of(ledger.hashes, table.name, key)
        proof = ledger.tree.prove(path)
        if row is None:
            sparse.verify_absence(ledger.hashes, ledger.state_root, path, proof)
        else:
            sparse.verify_presence(ledger.hashes, ledger.state_root, path, hashlib.sha256(row).digest(), proof)

    def _places(self) -> None:
        ledger = self.ledger
        assert ledger.height == self.height
        for one, places in self.about.items():
            assert list(ledger.about(one)) == places
            middle = len(places) // 2
            assert list(ledger.about(one, places[middle])) == places[middle + 1:]
        assert list(ledger.about(NOBODY)) == []
        for tx_id, place in self.places.items():
            assert ledger.find(tx_id) == place
        assert ledger.find(NOBODY * 2) is None
        some = next(iter(self.places), None)
        if some is not None:
            assert self.places[some] in ledger.find_prefix(some.hex()[:12], 10)

    def _access_lists(self, naive: Naive) -> None:
        """A subject's list is complete: what is found about it are its entries 1 to n, and they hash to its row."""
        for subject, entries in naive.entries.items():
            found = [event for height, index in self.ledger.about(subject)
                     for event in self.events(height, index)
                     if isinstance(event, access.Entry) and event.subject == subject]
            assert [event.number for event in found] == list(range(1, len(entries) + 1))
            row = self.ledger.row(access.LOG, access.LOG.encode_key((subject,)))
            assert row is not None and (row.count, row.running) == (len(entries), running(entries))

    def events(self, height: int, index: int) -> tuple[Any, ...]:
        found: tuple[Any, ...] = codec.decode(self.ledger.block(height).events[index], self.modules.events_type)
        return found

    def close(self) -> None:
        self.ledger.close()
