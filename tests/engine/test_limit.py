"""What the dearest transaction can cost (safety.md, LIMIT): work is counted, not timed, and units cap it.

The search fills rows to their bounds first, then lets hypothesis look for the transaction that makes an executor read,
write and hash the most for its units.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st

from homes import home
from memory_ledger import MemoryLedger
from worlds import World, content, named
from xinglin.base.crypto import SHA256, HashSuite
from xinglin.base.ids import NO_HASH
from xinglin.base.limits import (
    BLOCK_UNITS_MAX,
    GRANTS_PER_ROW_MAX,
    MEMBERS_MAX,
    MESSAGES_PER_TX_MAX,
    REQUESTS_OPEN_MAX,
    SIGNERS_PER_TX_MAX,
    TX_BYTES_MAX,
)
from xinglin.engine.ledger import Ledger
from xinglin.kernel.genesis import MemberKind
from xinglin.kernel.module import Message, Row, Table
from xinglin.kernel.quota import cost
from xinglin.kernel.state import Overlay
from xinglin.kernel.tx import needed_signers, prepare
from xinglin.modules import access, consent, members

# For each unit that a transaction costs, at most so much, and a little for any transaction at all.
READS, WRITES, DIGESTS, BYTES = 8, 3, 8, 6 * 1024
ROUNDS = 300                       # transactions that the search tries

GRANTEES = tuple(f"member {number}" for number in range(MESSAGES_PER_TX_MAX))
VOTERS = tuple(f"voter {number}" for number in range(200))
PATIENTS = tuple(f"patient {number}" for number in range(SIGNERS_PER_TX_MAX))


class Counting(MemoryLedger):
    """Counts what a block makes it do. Its tree has no root: what changes in it is counted as writes."""

    counts: Counter[str]

    def row(self, table: Table[Any], key: bytes) -> Any:
        data = self.rows.get(table.store_prefix + key)
        self.counts["bytes"] += len(data or b"")
        return None if data is None else table.decode_row(data)

    def update_tree(self, changes: list[tuple[bytes, bytes | None]]) -> bytes:
        return NO_HASH


def counted(world: World) -> Counter[str]:
    """From now on what `world` does is counted here."""
    counts = Counter[str]()
    ledger = world.ledger
    ledger.__class__ = Counting
    ledger.counts = counts  # type: ignore[attr-defined]

    def digest(data: bytes) -> bytes:
        counts["digests"] += 1
        counts["bytes"] += len(data)
        return SHA256.digest(data)
    ledger.hashes = HashSuite(SHA256.name, digest)
    return counts


@pytest.fixture(scope="module")
def full() -> Iterator[tuple[World, Counter[str]]]:
    """A world whose rows are as full as they get, but for the voters of a motion, of whom a part is enough to count."""
    world = World(founders=("A", "B", "C"))
    counts = counted(world)
    world.done(world.enrol_service("A", "A.service"), world.enrol_staff("A", "A.doctor"))
    for name in PATIENTS:
        world.done(world.register("A.service", name), world.claim("A.service", name))
    for name in (*GRANTEES, *VOTERS):
        world.plant(members.MEMBERS, (named(name),), members.MemberRow(
            kind=MemberKind.HOSPITAL, status=members.MemberStatus.ACTIVE, since_ms=1, card=content(name)))
    world.plant(members.TALLY, (), members.TallyRow(active=MEMBERS_MAX // 2, admitted=MEMBERS_MAX // 2))
    for name in GRANTEES:
        world.plant(members.MOTIONS, (named(name), members.Motion.SUSPEND),
                    members.MotionRow(voters=tuple(map(named, VOTERS))))
        for patient in PATIENTS[:2]:
            world.plant(consent.GRANTS, (named(patient), named(name)), full_row(world))
    real = Overlay.get

    def get(self: Overlay, table: Table[Any], key: bytes) -> Row | None:
        counts["reads"] += 1
        return real(self, table, key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Overlay, "get", get)
        yield world, counts


def full_row(world: World) -> consent.GrantsRow:
    """Of grants of which the oldest may make room."""
    return consent.GrantsRow(changes=GRANTS_PER_ROW_MAX, grants=tuple(consent.Given(
        grant_id=named(f"g{number}"), since_h=1, until_h=world.hour + 100,
        status=consent.Status.ACTIVE if number else consent.Status.REVOKED, epoch=number + 1, body=content("body"))
        for number in range(GRANTS_PER_ROW_MAX)))


def message(world: World, what: str, who: int, whom: int) -> Message:
    patient, grantee = PATIENTS[who % len(PATIENTS)], GRANTEES[whom]
    match what:
        case "grant":
            return world.grant(patient, grantee, f"new {who} {whom}")
        case "revoke":
            return world.revoke(patient, grantee, f"g{1 + who % (GRANTS_PER_ROW_MAX - 1)}")
        case "request":
            return world.request("A.doctor", patient)
        case "batch":
            return world.batch("A.service", patient, 1 + whom)
        case "anchor":
            return world.anchor("A.service", 1 + whom)
        case "staff":
            return world.enrol_staff("A", f"person {who} {whom}")
        case "invite":
            return world.invite("A", f"newcomer {who} {whom}")
        case _:
            return world.vote("A", grantee, members.Motion.SUSPEND)


WHAT = ("grant", "revoke", "request", "batch", "anchor", "staff", "invite", "vote")
MESSAGES = st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 31), st.integers(0, MESSAGES_PER_TX_MAX - 1)),
                    min_size=1, max_size=MESSAGES_PER_TX_MAX, unique=True)


def work(world: World, counts: Counter[str], said: list[Message]) -> tuple[Counter[str], int]:
    """(what one transaction makes the executor do, its units). Nothing of it is kept."""
    raw = world.transaction(*said)
    tx = world.reader.read(raw)
    ledger = world.ledger
    before = {name: getattr(ledger, name) for name in ("height", "time_ms")}
    counts.clear()
    counts["signatures"] = len(prepare(tx, ledger, world.time_ms))
    applied = ledger.executor.apply(ledger, ledger.height + 1, world.time_ms + 1, [tx])
    assert before == {name: getattr(ledger, name) for name in ("height", "time_ms")}
    counts["writes"] = len(applied.rows)
    counts["bytes"] += sum(len(data or b"") for _, data in applied.rows)
    counts["bytes"] += sum(len(outcome.events) + len(outcome.leaf) for outcome in applied.outcomes)
    return counts, cost(tx.specs, len(raw))


def bounds(units: int) -> dict[str, int]:
    return {"reads": READS * (units + 4), "writes": WRITES * (units + 4), "digests": DIGESTS * (units + 4),
            "bytes": BYTES * (units + 4), "signatures": SIGNERS_PER_TX_MAX}


def search(full: tuple[World, Counter[str]], weigh: Callable[[Counter[str], int], float],
           said: list[tuple[str, int, int]]) -> None:
    world, counts = full
    messages: list[Message] = []
    for one in (message(world, *each) for each in said):
        if signers(world, [*messages, one]) <= SIGNERS_PER_TX_MAX:
            messages.append(one)
    done, units = work(world, counts, messages)
    target(weigh(done, units))
    for name, most in bounds(units).items():
        assert done[name] <= most, (name, done, units, [type(one).__name__ for one in messages])


def signers(world: World, said: list[Message]) -> int:
    return len(needed_signers(tuple(said), tuple(world.modules.messages[type(one)] for one in said)))


SEARCH = settings(max_examples=ROUNDS, deadline=None, derandomize=True,
                  suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@SEARCH
@given(MESSAGES)
def test_no_transaction_is_found_that_reads_more_than_its_units_allow(
        full: tuple[World, Counter[str]], said: list[tuple[str, int, int]]) -> None:
    search(full, lambda done, units: done["reads"] / units, said)


@SEARCH
@given(MESSAGES)
def test_no_transaction_is_found_that_moves_more_bytes_than_its_units_allow(
        full: tuple[World, Counter[str]], said: list[tuple[str, int, int]]) -> None:
    search(full, lambda done, units: done["bytes"] / units, said)


@SEARCH
@given(MESSAGES)
def test_no_transaction_is_found_that_hashes_and_writes_more_than_its_units_allow(
        full: tuple[World, Counter[str]], said: list[tuple[str, int, int]]) -> None:
    search(full, lambda done, units: (done["digests"] + done["writes"]) / units, said)


@pytest.mark.parametrize("what", WHAT)
def test_a_transaction_full_of_one_message_stays_within_its_units(full: tuple[World, Counter[str]], what: str) -> None:
    """The corners that a search might miss: as many as fit of a kind, each on rows of its own."""
    world, counts = full
    many = SIGNERS_PER_TX_MAX - 1 if what in ("staff", "invite") else MESSAGES_PER_TX_MAX     # each brings a signer
    said = [message(world, what, 0, number) for number in range(many)]
    done, units = work(world, counts, said)
    assert all(done[name] <= most for name, most in bounds(units).items()), (done, units)
    assert len(world.transaction(*said)) <= TX_BYTES_MAX


def test_a_rule_that_reads_too_much_for_its_units_is_caught(
        full: tuple[World, Counter[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    world, counts = full

    def curious(ctx: Any, msg: Any) -> Any:
        for name in VOTERS:
            members.is_active(ctx, named(name))
        return access.Anchored(holder=named("A"), count=1, running=NO_HASH)
    monkeypatch.setattr(members, "service_of", lambda ctx, account: [
        members.is_active(ctx, named(name)) for name in VOTERS] and named("A"))
    done, units = work(world, counts, [world.anchor("A.service", 1)])
    assert done["reads"] > bounds(units)["reads"]


def test_no_block_that_is_made_here_costs_more_units_than_a_block_may(tmp_path: Path) -> None:
    """512 transactions of 64 messages each would be 35,000 units: seconds of work between two answers."""
    with home(tmp_path / "home", units_per_second=2**32 - 1) as one:
        one.furnished()
        dear = [one.raw(*[one.world.anchor("B.service", 1)] * MESSAGES_PER_TX_MAX) for _ in range(300)]
        handed: list[Future[Any]] = one.node.ask(lambda _: [one.node.submit(raw) for raw in dear])
        assert {future.result(60).code for future in handed} == {0}

        def units_of_blocks(ledger: Ledger) -> list[int]:
            read = one.world.reader.read
            return [sum(cost(read(raw).specs, len(raw)) for raw in ledger.transactions(height))
                    for height in range(1, ledger.height + 1)]
        assert max(one.node.ask(units_of_blocks)) <= BLOCK_UNITS_MAX < sum(
            cost(one.world.reader.read(raw).specs, len(raw)) for raw in dear)


def test_requests_that_a_holder_owes_are_bounded_for_each_who_asks() -> None:
    """What a request costs a holder, 32 units pay; and of one subject no more are open at once than it answers."""
    world = World().furnished()
    world.done(world.grant("mei", "B", "g1"))
    codes = [world.do(world.request("B.doctor", "mei"), after_ms=1).code for _ in range(REQUESTS_OPEN_MAX + 1)]
    assert codes == [0] * REQUESTS_OPEN_MAX + [access.Refusal.TOO_MANY_REQUESTS_OPEN]
