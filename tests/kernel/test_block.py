"""A block by hand, and what a block may and may not change."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from tables.probe import WITH_PROBE
from worlds import STARTED_MS, World, content, key_named, named
from xinglin.base import codec
from xinglin.base.check import InvariantBroken
from xinglin.base.crypto import SignatureSuite
from xinglin.base.history import leaf_hash, tree_root
from xinglin.base.limits import (
    EVENT_BYTES_MAX,
    MESSAGES_PER_TX_MAX,
    TIMERS_PER_BLOCK_MAX,
    VOTE_UNITS,
)
from xinglin.kernel import executor, quota, replay
from xinglin.kernel.accounts import ACCOUNTS, Custody
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.outcome import Closing, Leaf, LeafKind, TimerEnvelope, app_hash, events_hash
from xinglin.kernel.state import Context, Overlay
from xinglin.kernel.tx import NotIncludable
from xinglin.modules import access, consent, members, records, subjects
from xinglin.modules.access import REQUESTS, RequestRow


def test_a_block_by_hand_in_ten_lines() -> None:
    world = World().furnished()
    raw = world.transaction(world.grant("mei", "B", "g1", hours=24))
    applied = world.block(raw)
    (outcome,) = applied.outcomes
    leaf = codec.decode(outcome.leaf, Leaf)
    assert (leaf.kind, leaf.height, leaf.code) == (LeafKind.TX, applied.height, 0)
    assert leaf.full_hash == world.hashes.digest(raw)
    assert leaf.events_hash == events_hash(world.hashes, outcome.events)
    assert world.row(consent.GRANTS, named("mei"), named("B")).grants[0].body == content("g1")
    assert codec.decode(applied.closing, Closing).state_root == applied.state_root == world.ledger.state_root


def test_the_app_hash_commits_to_history_state_and_rules_alone() -> None:
    world = World()
    leaves = []
    for applied in (world.block(world.transaction(world.enrol_service("A", "A.service"))),
                    world.block(world.transaction(world.register("A.service", "mei")))):
        leaves += [*(outcome.leaf for outcome in applied.outcomes), applied.closing]
        root = tree_root(world.hashes, leaves)
        assert applied.appended is not None and applied.appended.root == root
        assert applied.app_hash == app_hash(world.hashes, root, applied.state_root, world.manifest.module_set)


def test_every_leaf_of_a_block_has_a_path_to_its_root() -> None:
    world = World().furnished()
    applied = world.block(*[world.transaction(world.request("B.doctor", "mei")) for _ in range(5)])
    assert applied.appended is not None
    for number, outcome in enumerate(applied.outcomes):
        path = applied.appended.path(applied.appended.first + number)
        assert path and leaf_hash(world.hashes, outcome.leaf) not in path


@pytest.mark.parametrize("after_ms", [1, 1_000, 40 * 86_400_000])
def test_a_block_in_which_nothing_happens_changes_nothing_at_all(after_ms: int) -> None:
    world = World().furnished()
    world.done(world.grant("mei", "B", "g1", hours=24 * 365))
    before = (dict(world.ledger.rows), world.ledger.state_root, world.ledger.app_hash, world.ledger.height,
              world.ledger.time_ms, world.ledger.frontier, world.ledger.replay_minutes())
    applied = world.block(after_ms=after_ms)
    assert not (applied.outcomes or applied.rows or applied.due or applied.replay or applied.dropped or applied.closing)
    assert before == (world.ledger.rows, world.ledger.state_root, world.ledger.app_hash, world.ledger.height,
                      world.ledger.time_ms, world.ledger.frontier, world.ledger.replay_minutes())


def test_a_block_of_copies_of_an_executed_transaction_is_empty() -> None:
    world = World().furnished()
    raw = world.transaction(world.request("B.doctor", "mei"))
    first = world.block(raw, raw, raw)
    assert len(first.outcomes) == 1
    assert world.events(access.Requested)[-1].number == 1


def test_an_old_replay_bucket_goes_with_the_next_leaf_and_not_before() -> None:
    world = World().furnished()
    old = world.ledger.replay_minutes()
    world.wait(3_600_000)
    assert world.ledger.replay_minutes() == old
    world.done(world.request("B.doctor", "mei"))
    assert not set(old) & set(world.ledger.replay_minutes())
    assert all(world.row(replay.REPLAY, minute) is None for minute in old)


def test_a_bucket_lives_as_long_as_any_transaction_in_it_could() -> None:
    world = World().furnished()
    minute_end = STARTED_MS + 10 * 60_000
    raw = world.transaction(world.request("B.doctor", "mei"), expires_at_ms=minute_end - 1)
    world.block(raw)
    world.done(world.request("B.doctor", "mei"))
    world.block(world.transaction(world.request("B.doctor", "mei"), expires_at_ms=minute_end + 60_000),
                after_ms=minute_end - 1 - world.time_ms)
    assert world.ledger.executed(minute_end // 60_000 - 1, world.reader.read(raw).short_id)
    world.done(world.request("B.doctor", "mei"))
    assert minute_end // 60_000 - 1 not in world.ledger.replay_minutes()


def test_an_id_of_two_signatures_is_executed_once() -> None:
    """ML-DSA signs the same body differently each time; the id is the body's."""
    world = World(suites={"A": SignatureSuite.ED25519_ML_DSA_65}).furnished()
    one, two = (world.transaction(world.propose("A", "B", members.Motion.SUSPEND), nonce=bytes(16),
                                  expires_at_ms=world.time_ms + 60_000) for _ in range(2))
    assert one != two
    assert len(world.block(one, two).outcomes) == 1


# -- full transactions and rows


def test_a_full_transaction_of_the_longest_events_is_only_a_transaction() -> None:
    """64 requests in one once outgrew the room for events, and stopped the node."""
    world = World().furnished()
    result = world.done(*[world.request("B.doctor", name) for name in ("mei", "li")] * (MESSAGES_PER_TX_MAX // 2))
    assert len(result.events) == MESSAGES_PER_TX_MAX
    assert len(result.outcome.events) < EVENT_BYTES_MAX


def test_a_motion_holds_the_votes_of_more_than_a_hundred_members() -> None:
    """The 101st voter once outgrew the row, and stopped the node."""
    world = World(founders=[f"M{number}" for number in range(100)])
    world.plant(members.TALLY, (), members.TallyRow(active=200, admitted=200))
    for number in range(100, 105):
        world.plant(members.MEMBERS, (named(f"M{number}"),), world.row(members.MEMBERS, named("M0")))
        account = world.row(ACCOUNTS, named("M0"))
        world.plant(ACCOUNTS, (named(f"M{number}"),), type(account)(
            kind=account.kind, payer=named(f"M{number}"), suspended=False, keys=account.keys))
        world.keys[named(f"M{number}")] = world.key("M0")
    world.plant(members.MOTIONS, (named("M0"), members.Motion.SUSPEND), members.MotionRow(
        voters=tuple(named(f"M{number}") for number in range(1, 100))))
    for number in range(100, 105):
        event = world.done(world.vote(f"M{number}", "M0", members.Motion.SUSPEND)).event
    assert event.votes == 104 and not event.carried


def _given(since_h: int, until_h: int, epoch: int) -> consent.Given:
    return consent.Given(grant_id=named("g1"), since_h=since_h, until_h=until_h, status=consent.Status.ACTIVE,
                         epoch=epoch, body=content("g1"))


@pytest.mark.parametrize(("row", "fault"), [
    (consent.GrantsRow(changes=-1, grants=()), "outside its type"),
    (consent.GrantsRow(changes=1, grants=(_given(9, 9, 1),)), "grant_ends_after_it_starts"),
    (consent.GrantsRow(changes=1, grants=(_given(8, 9, 2),)), "ids_and_epochs_are_told_apart"),
    (consent.GrantsRow(changes=1, grants=(_given(8, 9, 1),) * 2), "ids_and_epochs_are_told_apart"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_row_outside_its_type_or_its_invariants_stops_the_node_before_anything_is_kept(
        row: consent.GrantsRow, fault: str) -> None:
    world = World().furnished()

    def wrong(ctx: Context, msg: consent.Grant) -> consent.Granted:
        ctx[consent.GRANTS].put((msg.subject, msg.grantee), row)
        return consent.Granted(subject=msg.subject, grantee=msg.grantee, grant_id=msg.grant_id, until_h=1, epoch=1,
                               body=msg.body)
    world.modules.messages[consent.Grant] = replace(world.modules.messages[consent.Grant], rule=wrong)
    before = (dict(world.ledger.rows), world.ledger.app_hash)
    with pytest.raises(InvariantBroken, match=fault):
        world.do(world.grant("mei", "B", "g1"))
    assert before == (world.ledger.rows, world.ledger.app_hash)


def _granted(msg: consent.Grant, **but: Any) -> consent.Granted:
    return structs.replace(consent.Granted(subject=msg.subject, grantee=msg.grantee, grant_id=msg.grant_id, until_h=1,
                                           epoch=1, body=msg.body), **but)


@pytest.mark.parametrize(("told", "fault"), [
    (lambda msg: _granted(msg, epoch=-1), "outside its type"),
    (lambda msg: _granted(msg, body=b"short"), "outside its type"),
    (lambda msg: _granted(msg, subject=None), "outside its type"),
    (lambda msg: records.Committed(owner=msg.subject, number=1, root=bytes(32), count=1), "does not declare"),
    (lambda msg: TimerEnvelope(table="x", due_ms=1), "does not declare"),
    (lambda msg: None, "does not declare"),
], ids=["a negative number", "a short hash", "no subject", "another module's", "the kernel's", "nothing"])
def test_an_event_outside_its_type_or_of_another_module_stops_the_node_before_anything_is_kept(
        told: Callable[[consent.Grant], Any], fault: str) -> None:
    world = World().furnished()

    def wrong(ctx: Context, msg: consent.Grant) -> Any:
        return told(msg)
    world.modules.messages[consent.Grant] = replace(world.modules.messages[consent.Grant], rule=wrong)
    before = (dict(world.ledger.rows), world.ledger.app_hash)
    with pytest.raises(InvariantBroken, match=fault):
        world.do(world.grant("mei", "B", "g1"))
    assert before == (world.ledger.rows, world.ledger.app_hash)


def test_a_timers_event_of_another_module_stops_the_node_too() -> None:
    world = World().furnished()
    world.done(world.grant("mei", "B", "g1"))
    world.done(world.request("B.doctor", "mei"))

    def wrong(ctx: Context, key: tuple[Any, ...], row: Any) -> Any:
        return records.Committed(owner=named("mei"), number=1, root=bytes(32), count=1)
    name = access.REQUESTS.name
    world.modules.timers[name] = (world.modules.timers[name][0], wrong)
    with pytest.raises(InvariantBroken, match="does not declare"):
        _breached(world, 61_000)


def test_a_module_writes_only_its_own_tables() -> None:
    world = World().furnished()
    ctx = Context(Overlay(world.ledger), world.modules.owners, world.manifest.parameters, 1, STARTED_MS)
    ctx.run_as("access")
    for table in world.modules.tables.values():
        handle = ctx[table]
        row = next(iter(world.ledger.all_rows(table).values()), None)
        if world.modules.owners[table.name] == "access" or row is None:
            continue
        key = next(iter(world.ledger.all_rows(table)))
        with pytest.raises(InvariantBroken, match="does not own it"):
            handle.put(key, row)
        with pytest.raises(InvariantBroken, match="does not own it"):
            handle.delete(key)


def test_a_reading_outside_a_transaction_writes_nothing() -> None:
    world = World().furnished()
    with pytest.raises(InvariantBroken):
        world.reading()[members.TALLY].put((), members.TallyRow(active=1, admitted=1))


# -- timers


def test_due_timers_are_bounded_in_a_block_and_the_rest_is_carried_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "TIMERS_PER_BLOCK_MAX", 3)
    world = World().furnished()
    world.done(world.grant("mei", "B", "g1"))
    for _ in range(5):
        world.done(world.request("B.doctor", "mei"))
    assert [event.request for event in _breached(world, 61_000)] == [1, 2, 3]
    assert world.do(world.deny("A.service", "mei", 5)).code == access.Refusal.REQUEST_NOT_OPEN
    assert [event.request for event in world.events(access.Breached)] == [1, 2, 3, 4, 5]
    assert _breached(world, 1_000) == []


def _breached(world: World, ms: int) -> list[access.Breached]:
    return [event for result in world.wait(ms) for event in result.events if isinstance(event, access.Breached)]


def test_an_answer_is_late_when_its_time_is_past_and_not_when_the_timer_has_run(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "TIMERS_PER_BLOCK_MAX", 1)
    world = World().furnished()
    world.done(world.grant("mei", "B", "g1"))
    for _ in range(3):
        world.done(world.request("B.doctor", "mei"))
    result = world.do(world.permit("A.service", "mei", 3, "g1", 1, for_ms=600_000), after_ms=60_000)
    assert [event.request for event in world.events(access.Breached)] == [1]
    assert world.row(REQUESTS, named("mei"), 3).due_ms == world.time_ms
    assert result.code == access.Refusal.REQUEST_NOT_OPEN


def test_a_thousand_timers_and_more_run_in_the_order_of_their_time_table_and_key() -> None:
    world = World().furnished()
    world.plant(access.ASKED, (named("mei"), named("B")), access.AskedRow(
        day=0, requests=0, denied=0, open=TIMERS_PER_BLOCK_MAX + 10))
    for number in range(1, TIMERS_PER_BLOCK_MAX + 11):
        row = RequestRow(reader=named("B.doctor"), grantee=named("B"), grant_id=named("g"), key_hash=content("k"),
                         body=content("b"), due_ms=world.time_ms + 1_000 - number % 7)
        world.plant(REQUESTS, (named("mei"), number), row)
    first = world.wait(2_000)
    assert len(first) == TIMERS_PER_BLOCK_MAX
    assert len(world.wait(1)) == 10
    order = [(-(event.request % 7), event.request) for event in world.events(access.Breached)]
    assert order == sorted(order) and len(order) == TIMERS_PER_BLOCK_MAX + 10
    assert world.row(access.LOG, named("mei")).count == TIMERS_PER_BLOCK_MAX + 10


def test_a_timer_that_finds_nothing_leaves_no_leaf() -> None:
    world = World().furnished()
    world.done(world.grant("mei", "B", "g1", hours=1))
    world.done(world.revoke("mei", "B", "g1"))
    height = world.ledger.height
    assert world.wait(2 * 3_600_000) == []
    assert world.ledger.height == height


# -- who pays


def test_refusals_of_modules_and_of_the_kernel_are_paid_for() -> None:
    world = World(founders=("A", "B", "C")).furnished()
    world.done(world.propose("A", "C", members.Motion.SUSPEND))
    world.done(world.vote("B", "C", members.Motion.SUSPEND))
    raws = [world.transaction(message) for message in (
        world.vote("C", "C", members.Motion.SUSPEND), world.request("B.doctor", "nobody"),
        world.propose("C", "A", members.Motion.SUSPEND), world.request("C.doctor", "mei"))]
    results = world.results(world.block(*raws))
    assert [result.code for result in results] == [
        0, subjects.Refusal.SUBJECT_NOT_FOUND, KernelCode.ACCOUNT_SUSPENDED, KernelCode.PAYER_SUSPENDED]
    assert {used.payer: used.units for used in world.row(quota.QUOTA).used} == {
        named("B"): 33, named("C"): VOTE_UNITS + 1 + 2 + 33}


def test_who_is_invited_and_not_admitted_takes_no_place_among_the_payers() -> None:
    """1,500 newcomers, each refused once within one second, outgrew the quota's row and stopped the node."""
    world = World().furnished()
    for number in range(3):
        world.done(world.invite("A", f"N{number}"))
        raw = world.transaction(world.vote(f"N{number}", f"N{number}", members.Motion.ADMIT))
        with pytest.raises(NotIncludable) as caught:
            world.includable(raw)
        assert caught.value.code is KernelCode.PAYER_NOT_ACTIVE
    assert [used.payer for used in world.row(quota.QUOTA).used] == [named("A")]


def test_what_a_second_does_not_use_is_gone_and_a_block_writes_one_row_for_all() -> None:
    world = World().furnished()
    world.block(*[world.transaction(world.request(who, "mei")) for who in ("B.doctor", "C.doctor")])
    assert {used.payer: used.units for used in world.row(quota.QUOTA).used} == {named("B"): 33, named("C"): 33}
    world.block(world.transaction(world.request("B.doctor", "mei")), after_ms=1)
    assert {used.payer: used.units for used in world.row(quota.QUOTA).used} == {named("B"): 66, named("C"): 33}
    world.done(world.request("C.doctor", "mei"))
    assert {used.payer: used.units for used in world.row(quota.QUOTA).used} == {named("C"): 33}


def test_the_lane_counts_each_message_for_its_own_subject() -> None:
    world = World().furnished()
    world.do(world.revoke("mei", "B", "g1"), world.revoke("li", "B", "g1"), world.revoke("mei", "B", "g2"))
    day = world.time_ms // 86_400_000
    assert [world.row(quota.LANE, named(name)) for name in ("mei", "li")] == [
        quota.LaneRow(day=day, count=2), quota.LaneRow(day=day, count=1)]


def test_a_subject_has_one_lane_row_however_many_days_it_takes_something_back() -> None:
    world = World().furnished()
    for day in range(3):
        world.do(world.revoke("mei", "B", "g1"), after_ms=86_400_000)
        world.do(world.revoke("mei", "B", "g1"))
        assert world.ledger.all_rows(quota.LANE) == {
            (named("mei"),): quota.LaneRow(day=world.time_ms // 86_400_000, count=2)}, day


def test_the_lane_is_for_subjects_and_others_pay() -> None:
    world = World().furnished()
    world.do(world.revoke("B.doctor", "B", "g1"))
    assert world.row(quota.LANE, named("B.doctor")) is None
    assert world.row(quota.QUOTA).used[0].payer == named("B")


# -- envelopes


def test_an_envelope_names_who_signed_and_whose_hands_the_key_is_in() -> None:
    world = World().furnished()
    enrolled = world.done(world.enrol_staff("B", "B.nurse", members.Role.NURSE, Custody.SERVER))
    assert enrolled.envelope.custody == (Custody.OWN, Custody.SERVER)
    asked = world.done(world.request("B.nurse", "mei"))
    assert asked.envelope.custody == (Custody.SERVER,)
    refused = world.do(world.request("B.nurse", "nobody"))
    assert refused.code and refused.envelope.custody == (Custody.SERVER,)
    assert refused.events == ()


def test_a_receipt_names_nobody_whose_own_key_did_not_sign() -> None:
    """Whoever brings a key for another's account signs for it with that key; refused, it was named as a signer."""
    world = World().furnished()
    thief = key_named("thief")
    forged = subjects.Claim(service=named("B.service"), subject=named("wang"), suite=thief.suite, key=thief.public)
    result = world.do(forged, keys={named("wang"): thief})      # wang has no key yet, so these bytes are a transaction
    assert result.code == subjects.Refusal.SUBJECT_OF_ANOTHER_HOLDER
    assert (result.envelope.signers, result.envelope.custody) == ((named("B.service"),), (Custody.SERVER,))


def test_of_two_keys_brought_to_one_account_in_one_block_only_the_first_has_signed() -> None:
    world = World().furnished()
    thief = key_named("thief")
    forged = subjects.Claim(service=named("A.service"), subject=named("wang"), suite=thief.suite, key=thief.public)
    raws = [world.transaction(world.claim("A.service", "wang")),
            world.transaction(forged, keys={named("wang"): thief})]
    first, second = world.results(world.block(*raws))
    assert first.code == 0 and first.envelope.signers == (named("A.service"), named("wang"))
    assert second.code == subjects.Refusal.SUBJECT_ALREADY_CLAIMED
    assert second.envelope.signers == (named("A.service"),)


def test_a_key_that_comes_later_in_a_transaction_is_not_replaced_before_it() -> None:
    """It signs first for its account by the claim that brings it; the rotation found no key, and the node stopped."""
    world = World().furnished()
    applied = world.block(world.transaction(
        world.register("A.service", "s"), world.rotate_subject("wang", "wang2"), world.claim("A.service", "wang")))
    assert [result.code for result in world.results(applied)] == [KernelCode.KEY_NOT_ENROLLED]
    world.done(world.claim("A.service", "wang"))


def test_a_refusal_names_the_message_that_failed() -> None:
    world = World().furnished()
    result = world.do(world.grant("mei", "B", "g1"), world.grant("mei", "B", "g2"), world.grant("mei", "B", "g1"))
    assert (result.envelope.failed, result.envelope.code) == (2, consent.Refusal.GRANT_ALREADY_EXISTS)
    assert result.envelope.tags == ("consent.grant/1",) * 3
    assert world.row(consent.GRANTS, named("mei"), named("B")) is None


def test_another_set_of_modules_is_another_network() -> None:
    assert World().network != World(modules=WITH_PROBE).network
