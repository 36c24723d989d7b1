"""How long checking takes: a whole ledger by fsck, all of it executed again, receipts by a stranger."""

import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from xinglin import fsck
from xinglin.bench.embedded import FILLING_AT_ONCE, Baseline, Bench, closed_loop
from xinglin.bench.grants import Signers, one_grant
from xinglin.client import verify_file
from xinglin.node import Node

RECEIPTS = 10_000
KEYS = 20_000                      # of subjects enough that none of them is over its share


def run(transactions: int) -> dict[str, Any]:
    """Order so many grants, then read all of it, execute all of it, and verify the newest receipts of it."""
    with tempfile.TemporaryDirectory(prefix="xinglin-bench-") as own, Signers() as signers:
        home = Path(own) / "bench"
        bench = Bench(home, signers)
        first = bench.open(min(transactions, KEYS), transactions)
        node = bench.node
        try:
            closed_loop(node, FILLING_AT_ONCE, None, signers.grants(first, first + transactions, bench.subjects))
            start = time.perf_counter()
            files = list(islice(_receipts(node), RECEIPTS))
            made_s, start = time.perf_counter() - start, time.perf_counter()
            for file in files:
                verify_file(file, node.network, node.modules)
            verified_s = time.perf_counter() - start
        finally:
            node.close()
        start = time.perf_counter()
        report = fsck.check(home, node.modules)
        fsck_s, start = time.perf_counter() - start, time.perf_counter()
        fsck.replay(home, node.modules)
        replay_s = time.perf_counter() - start
    return {"transactions": report.transactions, "height": report.height, "fsck_s": round(fsck_s, 1),
            "replay_s": round(replay_s, 1), "receipts": len(files), "receipts_made_s": round(made_s, 2),
            "receipts_verified_s": round(verified_s, 2),
            "signature_checks_per_s_one_core": round(Baseline.of(len(one_grant())).per_second())}


def _receipts(node: Node) -> Iterator[bytes]:
    """Newest block first."""
    for height, _, outcomes in reversed(list(node.blocks())):
        for index in range(outcomes):
            yield node.receipt_at(height, index)
