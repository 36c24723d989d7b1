"""Who is let in, and in whose name: looked at by whoever brings a transaction, before it takes a place.

Accounts and keys are public, so anyone can send garbage in anyone's name, and it must not take the places of
whom it names. So the signer must be known here, and what nobody pays for is verified here. What a member pays
for is verified in the helper process, in chunks, which costs less; but for a while after something bad came in
a member's name, that too is verified here first.

The rows are those of the store, with a block that is not synced yet: nothing said here is a promise that
something has happened.
"""

from typing import NamedTuple, TypeVar

from xinglin.base.check import Busy
from xinglin.base.ids import AccountId, MemberId
from xinglin.base.limits import DISTRUST_MS, LANE_PER_SUBJECT_DAY_MAX
from xinglin.base.units import MS_PER_DAY
from xinglin.engine.budget import Budget, lane_messages
from xinglin.engine.clock import Clock
from xinglin.engine.codes import EngineCode
from xinglin.engine.ledger import Ledger
from xinglin.engine.signatures import hold
from xinglin.kernel.accounts import ACCOUNTS, AccountKind, find_key
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.module import Row, Table
from xinglin.kernel.quota import LANE, lane_used
from xinglin.kernel.tx import NotIncludable, Tx, in_lane, prepare

R = TypeVar("R", bound=Row)

SIGNERS_KNOWN_MAX = 200_000        # whose payer need not be looked up; some 60 MB


class Place(NamedTuple):
    """Where a transaction waits. `subject` is its first signer's account if that is a patient's, else empty."""

    payer: MemberId
    subject: AccountId
    lane: bool


class Stored:
    """The ledger's rows for any thread. What was executed is told by the engine alone, once that is durable."""

    def __init__(self, ledger: Ledger):
        self.hashes = ledger.hashes
        self._ledger = ledger

    def row(self, table: Table[R], key: bytes) -> R | None:
        return self._ledger.stored(table, key)

    def executed(self, minute: int, short_id: bytes) -> bool:
        return False


class Door:
    """`place` is for every thread, `distrust` for the executing one."""

    def __init__(self, ledger: Ledger, clock: Clock, budget: Budget):
        self._ledger = ledger
        self._stored = Stored(ledger)
        self._clock = clock
        self._budget = budget
        self._known: dict[bytes, Place] = {}              # account and key; an account's payer never changes
        self._distrusted: dict[MemberId, int] = {}        # until when, by the monotonic clock

    def place(self, tx: Tx) -> Place:
        """Errors  NotIncludable; Busy LANE_USED_UP, SECOND_USED_UP, SUBJECT_SHARE_USED_UP, PATIENTS_SHARE_USED_UP."""
        first = tx.signers[0]
        place = self._known.get(first.account + first.key) or self._look_up(tx)
        if tx.unsponsored and in_lane(tx, [self._stored.row(ACCOUNTS, signer.account) for signer in tx.signers]):
            self._check_lane(tx)
            self._verify(tx)
            return place._replace(lane=True)
        if self._budget.full:
            self._budget.check(place.payer, place.subject, self._now_ms())
        if self._distrusted and self._distrusted.get(place.payer, 0) > self._clock.monotonic_ms():
            self._verify(tx)
        return place

    def distrust(self, tx: Tx) -> None:
        """It was no transaction after all: what comes next in its payer's name is verified at the door."""
        row = self._ledger.row(ACCOUNTS, tx.signers[0].account)
        if row is not None:
            self._distrusted[row.payer] = self._clock.monotonic_ms() + DISTRUST_MS

    def _now_ms(self) -> int:
        return max(self._ledger.time_ms, self._clock.now_ms())

    def _look_up(self, tx: Tx) -> Place:
        first = tx.signers[0]
        row = self._stored.row(ACCOUNTS, first.account)
        if row is None or find_key(row, first.key) is None:
            raise NotIncludable(KernelCode.SIGNER_UNKNOWN)
        if len(self._known) >= SIGNERS_KNOWN_MAX:
            self._known.clear()
        place = Place(row.payer, first.account if row.kind is AccountKind.SUBJECT else b"", False)
        self._known[first.account + first.key] = place
        return place

    def _check_lane(self, tx: Tx) -> None:
        day = self._now_ms() // MS_PER_DAY
        for subject, count in lane_messages(tx).items():
            used = lane_used(self._stored.row(LANE, LANE.encode_key((subject,))), day)
            if count + used > LANE_PER_SUBJECT_DAY_MAX:
                raise Busy(EngineCode.LANE_USED_UP)

    def _verify(self, tx: Tx) -> None:
        if not hold(prepare(tx, self._stored, self._now_ms())):
            raise NotIncludable(KernelCode.SIGNATURE_NOT_VALID)
