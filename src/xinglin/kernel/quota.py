"""Who pays: units per second of block time for members, a lane of its own for what no one may block.

There is no coin. What a second does not use is gone. One packed row holds the running second, so that a
block writes one key for all its payers.
"""

from typing import Annotated

from msgspec import Meta

from xinglin.base.ids import MemberId, SubjectId
from xinglin.base.limits import LANE_PER_SUBJECT_DAY_MAX, PAYERS_PER_BLOCK_MAX
from xinglin.base.units import MS_PER_DAY, MS_PER_SECOND, U63, Count, Days, Units
from xinglin.kernel.module import Inner, MessageSpec, Row, Table
from xinglin.kernel.state import Overlay


class Used(Inner):
    payer: MemberId
    units: Units


class QuotaRow(Row):
    second: U63
    used: Annotated[tuple[Used, ...], Meta(max_length=PAYERS_PER_BLOCK_MAX)]


class LaneRow(Row):
    day: Days                      # a new day overwrites the one before, so a subject has one row for ever
    count: Count


QUOTA = Table("kernel/quota", key=(), value=QuotaRow)
LANE = Table("kernel/lane", key=(SubjectId,), value=LaneRow)


def cost(specs: tuple[MessageSpec, ...], tx_bytes: int) -> int:
    """Units of a transaction: those of its messages, one unless the module says more; one a kilobyte begun."""
    return sum([spec.units for spec in specs]) + (tx_bytes + 1023) // 1024


def lane_used(row: LaneRow | None, day: int) -> int:
    """How many unsponsored messages a subject's lane took on `day`."""
    return row.count if row is not None and row.day == day else 0


class Purse:
    """The running second's use and the day's lanes, written once at the end of a block."""

    def __init__(self, overlay: Overlay, units_per_second: int, time_ms: int):
        self._overlay = overlay
        self._limit = units_per_second
        self._second = time_ms // MS_PER_SECOND
        row = overlay.get(QUOTA, b"")
        running = row is not None and row.second == self._second
        self._used = {one.payer: one.units for one in row.used} if row and running else {}
        self._day = time_ms // MS_PER_DAY
        self._lanes: dict[bytes, int] = {}
        self._charged = False

    def charge(self, payer: MemberId, units: int) -> bool:
        """Take `units` from the payer's second; False when it had fewer, and the second is then used up."""
        self._charged = True
        used = self._used.get(payer, 0) + units
        self._used[payer] = min(used, self._limit)
        return used <= self._limit

    def use_lane(self, subject: SubjectId) -> bool:
        """Count an unsponsored message of `subject` today; False past the day's share."""
        key = LANE.encode_key((subject,))
        count = self._lanes.get(key)
        if count is None:
            count = lane_used(self._overlay.get(LANE, key), self._day)
        if count >= LANE_PER_SUBJECT_DAY_MAX:
            return False
        self._lanes[key] = count + 1
        return True

    def write(self) -> None:
        if self._charged:
            used = tuple(Used(payer=payer, units=units) for payer, units in sorted(self._used.items()))
            self._overlay.put(QUOTA, b"", QuotaRow(second=self._second, used=used))
        for key, count in self._lanes.items():
            self._overlay.put(LANE, key, LaneRow(day=self._day, count=count))
