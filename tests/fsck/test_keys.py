"""Fsck knows every key that ever signed, also those that an account's row has given up, and no other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homes import Home, home
from worlds import key_named, named
from xinglin import fsck
from xinglin.base.limits import KEYS_PER_ACCOUNT_MAX
from xinglin.base.units import MS_PER_DAY
from xinglin.engine import embedded, pruning
from xinglin.fsck import FsckCode, Lie
from xinglin.fsck.keys import BROUGHT_KEPT_MAX
from xinglin.kernel.accounts import ACCOUNTS
from xinglin.modules import module_set
from xinglin.modules.members import KeyMotion

MODULE_SET = module_set()
ROTATIONS = 20                     # a day apart: more than a row has room for


def replace(made: Home, key: str) -> None:
    """B's key, by the votes of all."""
    world = made.world
    made.done(world.replace_key("A", "B", key))
    for voter in ("B", "C"):
        made.done(world.vote_key(voter, "A", "B", KeyMotion.REPLACE, key))
    world.keys[named("B")] = key_named(key)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Home]:
    """A home in which a founder, a doctor, a patient, and B by votes, had more keys than a row holds."""
    with home(tmp_path / "home") as made:
        made.furnished()
        world = made.world
        for day in range(ROTATIONS):
            for account in ("A", "A.doctor"):
                made.done(world.rotate(account, f"{account} of day {day}"))
                world.keys[named(account)] = key_named(f"{account} of day {day}")
            made.done(world.rotate_subject("mei", f"mei of day {day}"))
            world.keys[named("mei")] = key_named(f"mei of day {day}")
            made.done(world.replace_key("C", "B", f"never carried {day}"))
            replace(made, f"B of day {day}")
            made.node.advance(MS_PER_DAY + 1)
        world.time_ms = made.node.now_ms()
        made.done(world.grant("mei", "B", "g1"))
        yield made


def test_a_ledger_whose_accounts_had_more_keys_than_a_row_holds_is_clean(old: Home) -> None:
    rows = {key: row for (key,), row in old.node.rows(ACCOUNTS)}
    assert all(len(rows[named(account)].keys) < ROTATIONS for account in ("A", "A.doctor", "B", "mei"))
    old.node.close()
    report = fsck.check(old.folder, MODULE_SET)
    assert report.unverified == 0 and report.signatures > report.transactions


def test_of_a_pruned_ledger_it_says_how_many_signatures_are_by_keys_that_are_gone(old: Home) -> None:
    after_a_day = old.node.now_ms() - ROTATIONS * MS_PER_DAY + MS_PER_DAY // 2
    cut = old.node.ask(lambda opened: pruning.height_at(opened, after_a_day))
    old.node.ask(lambda opened: pruning.prune(opened, cut))
    old.node.close()
    report = fsck.check(old.folder, MODULE_SET)
    assert report.pruned_below == cut
    assert 0 < report.unverified < report.signatures     # by the keys of that day, which brought their successors


@pytest.mark.parametrize("key", ["never carried 3", "B of nobody"])
def test_a_signature_by_a_key_that_the_account_never_had_is_a_lie(
        old: Home, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    signs(old, monkeypatch, key)
    with pytest.raises(Lie) as caught:
        fsck.check(old.folder, MODULE_SET)
    assert caught.value.code is FsckCode.SIGNATURE_LIES and "no such key" in caught.value.detail


def signs(made: Home, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """A node that asks for no key takes in what this one signed for B, and signs for the block."""
    world = made.world
    raw = made.raw(world.enrol_staff("C", "C.nurse"), world.enrol_staff("B", "B.nurse"),
                   keys={named("B"): key_named(key)})
    with monkeypatch.context() as patched:
        patched.setattr(embedded, "prepare", lambda *_: [])
        assert made.node.order(raw).code == 0
    made.node.close()


def test_what_is_kept_of_an_account_is_bounded() -> None:
    assert BROUGHT_KEPT_MAX == 32 * KEYS_PER_ACCOUNT_MAX
