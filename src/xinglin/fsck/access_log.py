"""Who asked and what was answered, as the events tell: entries 1 to n of each subject, and their running hash.

Invariant I15 (safety.md), as far as a ledger shows it: what was read at a holder is in the holder's own log.
"""

from xinglin.base import codec
from xinglin.base.crypto import HashSuite, tagged
from xinglin.base.ids import NO_HASH
from xinglin.fsck.codes import FsckCode
from xinglin.fsck.formats import Found, same

ENTRIES = ("access.requested/1", "access.answered/1", "access.breached/1")


class AccessLog:
    """Goes along with the blocks."""

    def __init__(self, hashes: HashSuite):
        self._hashes = hashes
        self.rows: dict[bytes, tuple[int, bytes]] = {}      # subject -> count, running hash

    def check(self, found: list[Found]) -> None:
        for one in found:
            for event in one.events:
                if codec.tag_of(type(event)) not in ENTRIES:
                    continue
                count, running = self.rows.get(event.subject, (0, NO_HASH))
                same(event.number, count + 1, FsckCode.ACCESS_LOG_LIES,
                     f"block {one.height} leaf {one.index}: entry {event.number} of {event.subject.hex()}, "
                     f"{count + 1} is due")
                entry = tagged(self._hashes, "xinglin/event/1", codec.encode(event))
                self.rows[event.subject] = count + 1, tagged(self._hashes, "xinglin/access-log/1", running, entry)
