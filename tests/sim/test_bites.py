"""The simulation bites: planted bugs, at least one for each rule that it watches, are found by a few seeds."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from xinglin.base.check import NotAuthorised
from xinglin.engine import embedded
from xinglin.engine.ledger import Ledger
from xinglin.engine.store import Store
from xinglin.holder import answer, claim_codes, openings, read_log, release
from xinglin.holder.holder import Holder
from xinglin.kernel import accounts, executor, quota, replay, state
from xinglin.modules import access, consent, members, subjects
from xinglin.modules.decision import Cause, Judgement
from xinglin.sim.codes import Broken
from xinglin.sim.run import run

SEEDS = 8                          # the most it may take

Plant = Callable[[pytest.MonkeyPatch], None]


def an_id_row_that_depends_on_how_often_it_was_written(patch: pytest.MonkeyPatch) -> None:
    calls, add = itertools.count(), replay.add
    patch.setattr(replay, "add", lambda hashes, row, ids: add(hashes, row, [*ids, bytes([next(calls) % 256]) * 16]))


def answers_told_before_anything_is_synced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "sync", lambda self: None)


def a_client_told_of_the_outcome_beside_its_own(patch: pytest.MonkeyPatch) -> None:
    committed = embedded.Committed
    patch.setattr(embedded, "Committed", lambda *fields: committed(*fields)._replace(index=fields[1] + 1))


def executed_ids_that_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "executed", lambda self, minute, short_id: False)


def a_decision_that_opens_everything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(answer, "decide", lambda body, request, records, role: Judgement(
        Cause.PERMITTED, tuple(range(len(records)))))


def a_decision_that_forgets_who_may_ask(patch: pytest.MonkeyPatch) -> None:
    decide = answer.decide
    patch.setattr(answer, "decide", lambda body, request, records, role: decide(
        type(body)(person=bytes(16), roles=(), scope=body.scope, purposes=(*body.purposes, request.purpose),
                   labels=body.labels, wording=body.wording, language=body.language), request, records, role))


def a_decision_that_opens_what_is_labelled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("xinglin.modules.decision.withheld", lambda labels, named: False)


def pages_without_a_look_at_the_grant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(release, "_check_live", lambda holder, subject, permit: None)


def pages_without_a_second_look_at_the_grant(patch: pytest.MonkeyPatch) -> None:
    looks, check = itertools.count(), release._check_live

    def first(holder: Holder, subject: bytes, permit: answer.Permit) -> None:
        if next(looks) % 2 == 0:
            check(holder, subject, permit)
    page = release.page

    def counted(*arguments: Any) -> release.Page:
        nonlocal looks
        looks = itertools.count()
        return page(*arguments)
    patch.setattr(release, "_check_live", first)
    patch.setattr(release, "page", counted)


def pages_for_whoever_asks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Holder, "has_signed", lambda self, account, message, signature: True)


def a_rule_that_writes_anothers_table(patch: pytest.MonkeyPatch) -> None:
    following = access._next

    def touching(ctx: Any, subject: bytes) -> int:
        ctx[subjects.SUBJECTS].put((subject,), subjects.find(ctx, subject))
        return following(ctx, subject)
    patch.setattr(state.Handle, "_write", lambda self, key, row: self._overlay.put(
        self._table, self._table.encode_key(key), row))
    patch.setattr(access, "_next", touching)


def a_denied_request_that_is_not_entered(patch: pytest.MonkeyPatch) -> None:
    enter = access._enter
    patch.setattr(access, "_enter", lambda ctx, subject, event: None if getattr(event, "denied", 0) else enter(
        ctx, subject, event))


def a_page_that_is_not_logged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(read_log, "log", lambda holder, read: None)


def a_deleted_row_that_stays_in_the_store(patch: pytest.MonkeyPatch) -> None:
    write = Ledger._write_rows

    def without_deleting(self: Ledger, applied: executor.Applied, batch: Any) -> None:
        write(self, applied, batch)
        for at, data in applied.rows:
            if data is None and b"replay" in at:
                batch.put(at, b"left behind")
    patch.setattr(Ledger, "_write_rows", without_deleting)


def keys_that_never_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(members, "end_keys", lambda ctx, account: None)


def a_rotation_that_leaves_the_old_key_as_it_was(patch: pytest.MonkeyPatch) -> None:
    def rotate(ctx: Any, account: bytes, suite: Any, key: bytes, old_until_ms: int) -> tuple[bytes, bytes, int]:
        signing = next(signer.key for signer in ctx.signers if signer.account == account)
        return (signing, accounts.enrol_key(ctx, account, suite, key, accounts.Custody.OWN),
                max(old_until_ms, ctx.block_time_ms))
    patch.setattr(members, "rotate_key", rotate)


def a_replacement_that_leaves_what_was_stolen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(members, "replace_keys", accounts.enrol_key)


def a_key_that_ends_an_hour_later(patch: pytest.MonkeyPatch) -> None:
    end = accounts._set_end
    patch.setattr(accounts, "_set_end", lambda ctx, account, ids, at_ms: end(
        ctx, account, ids, at_ms + 3_600_000 * (at_ms == ctx.block_time_ms)))


def a_breach_an_hour_late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(access.REQUESTS, "due", lambda row: row.due_ms + 3_600_000)


def a_claim_without_its_code(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(claim_codes, "_use_code", lambda holder, subject, request: None)


def signatures_that_nobody_looks_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(embedded, "hold", lambda checks: True)
    patch.setattr("xinglin.engine.door.hold", lambda checks: True)


def a_list_without_denied_entries(patch: pytest.MonkeyPatch) -> None:
    history = openings.history

    def pleasant(holder: Holder, signed: Any) -> Any:
        entries, words, proof = history(holder, signed)
        kept = [at for at, entry in enumerate(entries) if not getattr(entry, "denied", 0)]
        return [entries[at] for at in kept], [words[at] for at in kept], proof
    patch.setattr(openings, "history", pleasant)


def an_expired_grant_that_lives_until_its_timer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(consent, "why_not_live", lambda given, now_h: {
        consent.Status.REVOKED: consent.Refusal.GRANT_NOT_ACTIVE,
        consent.Status.EXPIRED: consent.Refusal.GRANT_EXPIRED}.get(given.status))
    patch.setattr(consent.GRANTS, "due", lambda row: None)


def a_motion_that_half_of_the_members_carry(patch: pytest.MonkeyPatch) -> None:
    tally = members._tally
    patch.setattr(members, "_tally", lambda ctx: members.TallyRow(
        active=max(1, tally(ctx).active - 2), admitted=tally(ctx).admitted))


def a_lane_without_an_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(quota, "LANE_PER_SUBJECT_DAY_MAX", 10_000)
    patch.setattr("xinglin.engine.budget.LANE_PER_SUBJECT_DAY_MAX", 10_000)
    patch.setattr("xinglin.engine.door.LANE_PER_SUBJECT_DAY_MAX", 10_000)


def a_log_that_is_never_anchored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(read_log, "anchor", lambda holder, even_unchanged=False: None)


def a_holder_that_denies_what_is_granted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(answer, "decide", lambda *_: Judgement(Cause.OTHER_PURPOSE, ()))


def a_page_that_is_refused_in_the_middle(patch: pytest.MonkeyPatch) -> None:
    page = release.page

    def first_only(holder: Holder, subject: bytes, request: int, number: int, signature: bytes) -> release.Page:
        if number:
            raise NotAuthorised(release.HolderCode.NOT_AVAILABLE)
        return page(holder, subject, request, number, signature)
    patch.setattr(release, "page", first_only)


PLANTED: tuple[tuple[Plant, tuple[str, ...]], ...] = (
    (an_id_row_that_depends_on_how_often_it_was_written, ("I1",)),
    (answers_told_before_anything_is_synced, ("I2",)),
    (a_client_told_of_the_outcome_beside_its_own, ("I2",)),
    (executed_ids_that_are_forgotten, ("I3",)),
    (a_lane_without_an_end, ("I1", "I3")),
    (a_decision_that_opens_everything, ("I6",)),
    (a_decision_that_forgets_who_may_ask, ("I6",)),
    (a_decision_that_opens_what_is_labelled, ("I6",)),
    (pages_for_whoever_asks, ("I6", "I7")),
    (pages_without_a_look_at_the_grant, ("I7",)),
    (pages_without_a_second_look_at_the_grant, ("I7",)),
    (an_expired_grant_that_lives_until_its_timer, ("I6",)),
    (a_rule_that_writes_anothers_table, ("I13",)),
    (a_denied_request_that_is_not_entered, ("I15",)),
    (a_page_that_is_not_logged, ("I15",)),
    (a_deleted_row_that_stays_in_the_store, ("I17",)),
    (keys_that_never_end, ("P1",)),
    (a_rotation_that_leaves_the_old_key_as_it_was, ("P1",)),
    (a_replacement_that_leaves_what_was_stolen, ("P1",)),
    (a_key_that_ends_an_hour_later, ("P1",)),
    (a_motion_that_half_of_the_members_carry, ("P1",)),
    (signatures_that_nobody_looks_at, ("P1", "P25")),
    (a_holder_that_denies_what_is_granted, ("P2",)),
    (a_page_that_is_refused_in_the_middle, ("P2",)),
    (a_breach_an_hour_late, ("P3",)),
    (a_claim_without_its_code, ("P25",)),
    (a_list_without_denied_entries, ("P26",)),
    (a_log_that_is_never_anchored, ("progress",)),
)


@pytest.mark.parametrize(("plant", "promises"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_bug_is_found_by_a_few_seeds(
        plant: Plant, promises: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken) as found:
        for seed in range(SEEDS):
            run(seed)
    assert found.value.promise in promises, found.value
    assert f"xinglin sim --seed {seed} --steps " in found.value.detail
