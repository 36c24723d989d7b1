"""The embedded engine under closed-loop clients in its own process, beside libsodium's rate of the same run.

A transaction is a signed 300-byte consent grant to a (subject, organisation) pair without a row: absence is
checked, the row written and synced, and the bytes of its receipt file made. All of it is signed before the
clock starts and read from a file as it is sent. Clients are callbacks of one event loop, which hears of a
block once; a lone client is a thread that waits.

    python -m xinglin.bench.embedded --clients 64 --seconds 20 --keys 20000
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from nacl import bindings as sodium

from xinglin.base.check import Code, Failed, require
from xinglin.bench import grants
from xinglin.bench.grants import Signers
from xinglin.engine.embedded import Committed, Result, Waiting
from xinglin.modules import module_set
from xinglin.node import Node

BASELINE_SECONDS = 1.0
WARM_UP_SECONDS = 1.0              # the helper process starts, caches fill; not counted
RATE_SIGNED_FOR = 0.75             # of libsodium's: so many transactions are signed ahead a second
FILLING_AT_ONCE = 1_024
COMPACTING_ASKED_EVERY_S = 0.1
SUBJECTS = 10_000                  # or more, for twice as many pairs as keys
KEYS_PER_SUBJECT = 2               # its account, its row
NOTE = "bench.json"                # what of a kept home's pairs is used up


class BenchCode(Code):
    HOME_NOT_OF_BENCH = 9500
    TOO_FEW_PAIRS = 9501
    GRANT_REFUSED = 9502


class Baseline(NamedTuple):
    """The message that libsodium is timed with, of a grant's size."""

    signed: bytes
    key: bytes

    @classmethod
    def of(cls, size: int) -> "Baseline":
        public, secret = sodium.crypto_sign_seed_keypair(bytes(32))
        return cls(sodium.crypto_sign(bytes(size), secret), public)

    def per_second(self) -> float:
        """Signatures verified a second by one core."""
        done, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < BASELINE_SECONDS:
            for _ in range(200):
                sodium.crypto_sign_open(self.signed, self.key)
            done += 200
        return done / spent


# -- the ledger under test


class Bench:
    """A node with subjects registered by real blocks, and how many of their pairs are used up."""

    def __init__(self, home: Path, signers: Signers):
        self.signers = signers
        self._home = home
        self._note = home / NOTE
        self.subjects = 0
        self.next_pair = 0
        self.node: Node
        self.start_s = 0.0

    def open(self, keys: int, fresh: int) -> int:
        """A ledger of at least `keys` rows; returns the first of `fresh` unused pairs.

        Errors  NotUnderstood HOME_NOT_OF_BENCH, TOO_FEW_PAIRS for a kept home.
        """
        if (self._home / "store").exists():
            require(self._note.exists(), BenchCode.HOME_NOT_OF_BENCH)
            self.subjects, self.next_pair = json.loads(self._note.read_text())
            self.node = Node.open(self._home, module_set())
        else:
            self._create(keys, fresh)
        missing = max(keys - self.state_keys(), 0)
        unused = grants.ORGANISATIONS * self.subjects - self.next_pair
        require(missing + fresh <= unused, BenchCode.TOO_FEW_PAIRS, f"{unused} left")
        filling = self._take(missing)
        self._order_all(self.signers.grants(filling, self.next_pair, self.subjects))
        self.node.close()
        start = time.perf_counter()
        self.node = Node.open(self._home, module_set())
        self.start_s = time.perf_counter() - start
        while self.node.ask(lambda ledger: ledger.store.is_compacting()):     # what filling left over
            time.sleep(COMPACTING_ASKED_EVERY_S)
        return self._take(fresh)

    def _create(self, keys: int, fresh: int) -> None:
        pairs = grants.ORGANISATIONS
        self.subjects = max(min(SUBJECTS, keys // KEYS_PER_SUBJECT), -(-max(2 * keys, fresh) // pairs))
        modules = module_set()
        self.node = Node.create(self._home, grants.manifest(modules), modules,
                                grants.CHECKPOINT_NAME, grants.checkpoint_seed())
        self.node.order(self.signers.hospital())
        self._order_all(self.signers.claims(self.subjects))

    def _take(self, count: int) -> int:
        """The first of so many pairs; noted before they are used, so that none is used twice."""
        first = self.next_pair
        self.next_pair += count
        self._note.write_text(json.dumps([self.subjects, self.next_pair]))
        return first

    def give_back(self, count: int) -> None:
        """The last so many pairs that were taken were not used."""
        self._take(-count)

    def _order_all(self, raws: Iterator[bytes]) -> None:
        closed_loop(self.node, FILLING_AT_ONCE, None, raws)

    def state_keys(self) -> int:
        return self.node.ask(lambda ledger: ledger.tree.count)

    def store_bytes(self) -> int:
        files = (self._home / "store").rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())


# -- clients


class Load:
    """Clients of one event loop, each of which sends its next transaction when it holds a receipt.

    Tickets are the clients' numbers.
    """

    def __init__(self, node: Node, clients: int, seconds: float | None, raws: Iterator[bytes]):
        self._node = node
        self._raws = raws
        self._loop = asyncio.new_event_loop()
        self._sent_at = [0.0] * clients
        self._seconds = seconds
        self._under_way = 0
        self._error: Failed | None = None
        self.latencies: list[float] = []
        self.receipt_bytes = 0

    def deliver(self, results: list[tuple[object, Result]]) -> None:
        """The engine's side: one wake-up of the loop for all results of a block."""
        self._loop.call_soon_threadsafe(self._answered, results)

    def run(self) -> float:
        """Returns the seconds from the first sent to the last answered."""
        start = time.perf_counter()
        self._until = float("inf") if self._seconds is None else start + self._seconds
        for client in range(len(self._sent_at)):
            self._send(client)
        if self._under_way:
            self._loop.run_forever()
        self._loop.close()
        if self._error:
            raise self._error
        return time.perf_counter() - start

    def _send(self, client: int) -> None:
        now = time.perf_counter()
        raw = next(self._raws, None) if now < self._until and not self._error else None
        if raw is not None:
            self._sent_at[client] = now
            self._node.engine.submit(raw, Waiting(self, client))
            self._under_way += 1

    def _answered(self, results: list[tuple[object, Result]]) -> None:
        for client, result in results:
            self._under_way -= 1
            error = failure(result)
            if error or not isinstance(result, Committed) or not isinstance(client, int):
                self._error = error
                continue
            self.receipt_bytes = len(self._node.receipt_of(result))
            self.latencies.append(time.perf_counter() - self._sent_at[client])
            self._send(client)
        if not self._under_way:
            self._loop.stop()


def failure(result: Result) -> Failed | None:
    if isinstance(result, Failed):
        return result
    return Failed(BenchCode.GRANT_REFUSED, f"code {result.code}") if result.code else None


class Timings(NamedTuple):
    count: int  # type: ignore[assignment]  # nobody misses the tuple's own
    seconds: float
    latencies: list[float]         # ascending
    receipt_bytes: int


def closed_loop(node: Node, clients: int, seconds: float | None, raws: Iterator[bytes]) -> Timings:
    """Order `raws` from so many clients, for so long or to the end."""
    load = Load(node, clients, seconds, raws)
    spent = load.run()
    return Timings(len(load.latencies), spent, sorted(load.latencies), load.receipt_bytes)


def alone(node: Node, seconds: float, raws: Iterator[bytes]) -> Timings:
    """One client, who waits for each receipt in a thread of its own: this one."""
    latencies: list[float] = []
    receipt = b""
    start = now = time.perf_counter()
    for raw in raws:
        if now - start >= seconds:
            break
        result = node.order(raw)
        error = failure(result)
        if error:
            raise error
        receipt = node.receipt_of(result)
        before, now = now, time.perf_counter()
        latencies.append(now - before)
    return Timings(len(latencies), now - start, sorted(latencies), len(receipt))


# -- measuring


def resident_mb() -> float:
    """Of this process, without pages of files; the peak where only that is told."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def cpu_seconds() -> float:
    """Of this process and, where they can be seen, of its living children: the helper verifies there."""
    ticks = 0
    for task in Path("/proc/self/task").glob("*/children"):
        for child in task.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


class Signed:
    """Transactions signed ahead, from their file; `taken` counts them."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        head = self._file.read(4)
        if len(head) < 4:
            raise StopIteration
        self.taken += 1
        return self._file.read(int.from_bytes(head, "big"))


def run(clients: int, seconds: float, keys: int, home: Path) -> dict[str, Any]:
    """Measure once, in `home`, which is made and filled if it is not there; a kept one goes on where it was.

    Errors  NotUnderstood HOME_NOT_OF_BENCH, TOO_FEW_PAIRS; Failed GRANT_REFUSED.
    """
    size = len(grants.one_grant())
    baseline = Baseline.of(size)
    fresh = int((seconds + WARM_UP_SECONDS) * baseline.per_second() * (
        0.2 if clients == 1 else RATE_SIGNED_FOR))
    work = home / "work"
    with Signers() as signers:
        bench = Bench(home, signers)
        first = bench.open(keys, fresh)
        with open(work, "wb") as out:
            for raw in signers.grants(first, first + fresh, bench.subjects):
                out.write(len(raw).to_bytes(4, "big") + raw)
    try:
        with open(work, "rb", buffering=1024 * 1024) as file:
            signed = Signed(file)
            found = _measure(bench, baseline, clients, seconds, signed) | {"tx_bytes": size}
            bench.give_back(fresh - signed.taken)
            return found
    finally:
        work.unlink()
        bench.node.close()


def _measure(bench: Bench, baseline: Baseline, clients: int, seconds: float, raws: Iterator[bytes]) -> dict[str, Any]:
    node = bench.node
    closed_loop(node, max(clients, 8), WARM_UP_SECONDS, raws)
    gc.collect()
    gc.freeze()
    keys, stored, checks = bench.state_keys(), bench.store_bytes(), [baseline.per_second()]
    resident, cpu = resident_mb(), cpu_seconds()
    timings = alone(node, seconds, raws) if clients == 1 else closed_loop(node, clients, seconds, raws)
    cpu = cpu_seconds() - cpu
    grown = resident_mb() - resident
    checks.append(baseline.per_second())
    gc.unfreeze()
    count, rate = timings.count, timings.count / timings.seconds
    one_core = sum(checks) / len(checks)
    return {
        "clients": clients,
        "state_keys": keys,
        "transactions": count,
        "tx_per_s": round(rate, 1),
        "p50_ms": round(1000 * timings.latencies[count // 2], 3),
        "p99_ms": round(1000 * timings.latencies[count * 99 // 100], 3),
        "cpu_ms_per_tx": round(1000 * cpu / count, 4),
        "signature_checks_per_s_one_core": round(one_core),
        "ratio": round(rate / one_core, 3),
        "rss_mb": round(resident_mb(), 1),
        "rss_growth_mb": round(grown, 1),
        "start_s": round(bench.start_s, 3),
        "bytes_per_tx": round((bench.store_bytes() - stored) / count),
        "receipt_bytes": timings.receipt_bytes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m xinglin.bench.embedded")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--home", type=Path, help="kept and filled on; without it a folder of the run's own")
    chosen = parser.parse_args()
    home = chosen.home or Path(tempfile.mkdtemp(prefix="xinglin-bench-"))
    try:
        print(json.dumps(run(chosen.clients, chosen.seconds, chosen.keys, home)))
    finally:
        if chosen.home is None:
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
