"""What the running second and day still allow, so that nothing is ordered only to be refused for want of it.

The rules refuse what goes beyond a quota or a lane, and that refusal is a leaf which nobody pays for. One engine
orders everything here, so it can count along and say busy first.
"""

from collections import Counter

from xinglin.base.check import Busy
from xinglin.base.ids import AccountId, MemberId, SubjectId
from xinglin.base.limits import (
    LANE_PER_SUBJECT_DAY_MAX,
    MESSAGES_PER_TX_MAX,
    SUBJECTS_PER_SECOND,
    TX_BYTES_MAX,
)
from xinglin.base.units import MS_PER_DAY, MS_PER_SECOND
from xinglin.engine.codes import EngineCode
from xinglin.engine.ledger import Ledger
from xinglin.kernel.accounts import ACCOUNTS, AccountKind
from xinglin.kernel.quota import LANE, QUOTA, lane_used
from xinglin.kernel.tx import Tx, in_lane

PATIENTS = b"patients of "         # before a payer's id: all of them together; no id has this length


class Budget:
    """Counted by the executing thread, block by block; `check` is for every thread, with what is known by then."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._limit = ledger.manifest.parameters.units_per_second
        # One full transaction a second is no flood, however little a network allows.
        self._share = max(self._limit // SUBJECTS_PER_SECOND, MESSAGES_PER_TX_MAX + TX_BYTES_MAX // 1024)
        self._second = -1
        self._day = 0
        self._used: dict[bytes, int] = {}                 # member or subject -> units of the running second
        self._used_by_patients: dict[MemberId, int] = {}  # of what their payer used; after a restart from zero
        self._lanes: dict[SubjectId, int] = {}            # messages in the block under way, and today before it
        self.full: dict[bytes, tuple[int, EngineCode]] = {}    # who has nothing left in which second

    def start_block(self, now_ms: int) -> None:
        self._day = now_ms // MS_PER_DAY
        self._lanes.clear()
        second = now_ms // MS_PER_SECOND
        if second != self._second:
            self._second = second
            row = self._ledger.row(QUOTA, b"")            # after a restart it may be this second's
            self._used = {one.payer: one.units for one in row.used} if row and row.second == second else {}
            self._used_by_patients = {}
            if self.full:
                self.full = {}

    def take(self, tx: Tx, units: int) -> EngineCode | None:
        """Count `tx`, which costs `units`, to the block under way; or why it is not to be ordered now."""
        rows = [self._ledger.row(ACCOUNTS, signer.account) for signer in tx.signers]
        if in_lane(tx, rows):
            return self._take_lane(tx)
        first = rows[0]
        if first is None:                                 # not after `prepare`
            return None
        return self._take_units(first.payer, tx.signers[0].account if first.kind is AccountKind.SUBJECT else b"",
                                units)

    def check(self, payer: MemberId, subject: AccountId, now_ms: int) -> None:
        """Errors  Busy SECOND_USED_UP, SUBJECT_SHARE_USED_UP, PATIENTS_SHARE_USED_UP."""
        for one in (payer, subject, PATIENTS + payer) if subject else (payer,):
            second, code = self.full.get(one, (-1, EngineCode.SECOND_USED_UP))
            if second == now_ms // MS_PER_SECOND:
                raise Busy(code)

    def _take_units(self, payer: MemberId, subject: AccountId, units: int) -> EngineCode | None:
        used = self._used.get(payer, 0) + units
        if used > self._limit:
            self.full[payer] = self._second, EngineCode.SECOND_USED_UP
            return EngineCode.SECOND_USED_UP
        if subject:
            share = self._used.get(subject, 0) + units
            if share > self._share:
                self.full[subject] = self._second, EngineCode.SUBJECT_SHARE_USED_UP
                return EngineCode.SUBJECT_SHARE_USED_UP
            together = self._used_by_patients.get(payer, 0) + units
            if together > max(self._limit // 2, self._share):
                self.full[PATIENTS + payer] = self._second, EngineCode.PATIENTS_SHARE_USED_UP
                return EngineCode.PATIENTS_SHARE_USED_UP
            self._used[subject] = share
            self._used_by_patients[payer] = together
        self._used[payer] = used
        return None

    def _take_lane(self, tx: Tx) -> EngineCode | None:
        wanted = lane_messages(tx)
        for subject, count in wanted.items():
            if subject not in self._lanes:
                self._lanes[subject] = lane_used(self._ledger.row(LANE, LANE.encode_key((subject,))), self._day)
            if self._lanes[subject] + count > LANE_PER_SUBJECT_DAY_MAX:
                return EngineCode.LANE_USED_UP
        for subject, count in wanted.items():
            self._lanes[subject] += count
        return None


def lane_messages(tx: Tx) -> Counter[SubjectId]:
    """How many messages of an unsponsored transaction count for which subject."""
    return Counter(getattr(message, spec.signed_by[0]) for message, spec in zip(tx.messages, tx.specs, strict=True))
