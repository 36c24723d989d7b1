"""Transactions' bytes are let go of; what they led to stays: leaves, events, hashes, and where each id stands.

So every receipt still verifies, and one for a pruned transaction can still be made. What cannot be done any more is to
execute the history again from genesis, and to verify the pruned transactions' own signatures.
"""

from typing import NamedTuple

from xinglin.base.check import NotUnderstood
from xinglin.base.limits import TX_LONG_WINDOW_MS
from xinglin.engine.codes import EngineCode
from xinglin.engine.ledger import Ledger

META_PRUNED = b"mpruned"           # the height below which transactions have no bytes


class Pruned(NamedTuple):
    below: int                     # height
    transactions: int
    bytes: int


def pruned_below(ledger: Ledger) -> int:
    mark = ledger.store.get(META_PRUNED)
    return 0 if mark is None else int.from_bytes(mark, "big")


def height_at(ledger: Ledger, time_ms: int) -> int:
    """Of the first block at or after this time; one past the tip where there is none."""
    low, high = 1, ledger.height + 1
    while low < high:
        middle = (low + high) // 2
        if ledger.block(middle).time_ms < time_ms:
            low = middle + 1
        else:
            high = middle
    return low


def prune(ledger: Ledger, below: int) -> Pruned:
    """Delete the bytes of all transactions below this height, in one batch, and then from the files.

    Between blocks only: as a question to the engine.

    Errors  NotUnderstood PRUNE_TOO_RECENT: a block below is less than 24 hours older than the tip, or not there yet.
            What fsck says of executed ids rests on the bytes of these.
    """
    if below > ledger.height:
        raise NotUnderstood(EngineCode.PRUNE_TOO_RECENT, f"the tip is at {ledger.height}")
    if below > 1 and ledger.block(below - 1).time_ms > ledger.time_ms - TX_LONG_WINDOW_MS:
        raise NotUnderstood(EngineCode.PRUNE_TOO_RECENT, f"height {below - 1}")
    since = pruned_below(ledger)
    if below <= since:
        return Pruned(since, 0, 0)
    end = b"t" + below.to_bytes(8, "big")
    count = size = 0
    for height in range(max(since, 1), below):
        raws = ledger.transactions(height)
        count += len(raws)
        size += sum([len(raw) for raw in raws])

    batch = ledger.store.batch()
    batch.delete_range(b"t", end)
    batch.put(META_PRUNED, below.to_bytes(8, "big"))
    ledger.store.write(batch)
    ledger.store.sync()
    ledger.store.compact(b"t", end)    # else the files keep them until a merge happens to come by
    return Pruned(below, count, size)
