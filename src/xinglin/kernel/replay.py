"""Executed ids by expiry minute: one row a minute, count and running hash; the ids lie beside the state.

An id as a state key would make dropping a minute a stall of seconds.
"""

from xinglin.base.crypto import HashSuite, tagged
from xinglin.base.ids import NO_HASH, Hash
from xinglin.base.units import Count, Minutes
from xinglin.kernel.module import Row, Table


class ReplayRow(Row):
    count: Count
    running: Hash


REPLAY = Table("kernel/replay", key=(Minutes,), value=ReplayRow)

NOTHING_YET = ReplayRow(count=0, running=NO_HASH)


def add(hashes: HashSuite, row: ReplayRow | None, short_ids: list[bytes]) -> ReplayRow:
    """The bucket after `short_ids`, in order: running' = H(domain, running, the ids joined)."""
    row = row or NOTHING_YET
    return ReplayRow(count=row.count + len(short_ids),
                     running=tagged(hashes, "xinglin/replay/1", row.running, b"".join(short_ids)))
