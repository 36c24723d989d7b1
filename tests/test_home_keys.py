"""New keys for old, as the organisations of a home and their people get them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from xinglin import disk, home_keys
from xinglin.base.check import Failed
from xinglin.base.crypto import key_hash
from xinglin.base.units import MS_PER_HOUR
from xinglin.client.key_file import KeyFile
from xinglin.client.patient import Patient
from xinglin.client.sealed_file import Strength
from xinglin.client.wallet import Wallet, WalletSubject
from xinglin.engine.codes import EngineCode
from xinglin.home import MEMBER_SUITE, Home, NewOrganisation
from xinglin.kernel.accounts import ACCOUNTS, NO_END, Custody
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.genesis import MemberKind
from xinglin.kernel.tx import NotIncludable
from xinglin.modules import members, subjects
from xinglin.modules.members import Role

NEW = tuple(NewOrganisation(slug, zh, slug.title(), MemberKind.HOSPITAL)
            for slug, zh in (("east", "东院"), ("west", "西院"), ("south", "南院")))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home.create(tmp_path / "home", "city", NEW, simulated=True, started_ms=0) as one:
        yield one


def test_a_member_goes_on_with_its_new_key_and_the_old_one_signs_nothing(home: Home) -> None:
    east = home.organisation("east")
    old = home.member_key(east)
    home_keys.rotate_member(home, east)
    assert home.member_key(east).public != old.public
    home.enrol_staff(east, "chen", "Chen", Role.NURSE)
    with pytest.raises(NotIncludable) as refused:
        home.client.send([members.EndStaff(member=east.member, account=home.person("chen").account)],
                         {east.member: old})
    assert refused.value.code is KernelCode.SIGNER_UNKNOWN


def test_a_system_answers_with_its_new_key_while_the_old_one_is_still_somewhere(home: Home) -> None:
    east = home.organisation("east")
    holder = home.holder(east)
    until = home.node.now_ms() + MS_PER_HOUR
    home_keys.rotate_service(home, east, until)
    assert home.holder(east) is not holder
    home.holder(east).order(subjects.Register(service=home.holder(east).service, subject=b"s" * 16))
    assert east.service is not None
    assert [key.ends_ms for key in home_keys.live_keys(home, east.service)] == [until, NO_END]
    home.node.advance(MS_PER_HOUR)
    assert [key.ends_ms for key in home_keys.live_keys(home, east.service)] == [NO_END]


def test_a_persons_new_key_is_under_her_passphrase_and_stays_in_the_same_hands(home: Home) -> None:
    staff = home.enrol_staff(home.organisation("east"), "chen", "Chen", Role.NURSE, "her own words")
    home_keys.rotate_staff(home, staff, "her own words")
    assert KeyFile.is_sealed(staff.key_file)
    account, key = KeyFile.open(staff.key_file, "her own words")
    (live,) = home_keys.live_keys(home, staff.account)
    assert (account, key.public, Custody.OWN) == (staff.account, live.key, live.custody)


def test_a_rotation_that_was_cut_off_is_finished_by_the_same_call(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    east = home.organisation("east")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(disk, "move", dies)
        with pytest.raises(KeyboardInterrupt):
            home_keys.rotate_member(home, east)
    with pytest.raises(NotIncludable):
        home.enrol_staff(east, "chen", "Chen", Role.NURSE)
    assert home_keys.rotate_member(home, east) is None
    home.enrol_staff(east, "wang", "Wang", Role.NURSE)


def test_a_rotation_that_was_refused_leaves_the_key_as_it_was(home: Home) -> None:
    east = home.organisation("east")
    before = home.member_key(east).public
    with pytest.raises(Failed) as refused:
        home_keys.rotate_member(home, east, home.node.now_ms() + 32 * 24 * MS_PER_HOUR)
    assert refused.value.code is KernelCode.OVERLAP_TOO_LONG
    assert home.member_key(east).public == before and not (east.folder / "member.rotation").exists()
    home_keys.rotate_member(home, east)


def test_a_rotation_of_which_nothing_is_known_keeps_its_key(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    east = home.organisation("east")

    def lost(*_: object, **__: object) -> None:
        raise Failed(EngineCode.ENGINE_STOPPED)

    with monkeypatch.context() as patched:
        patched.setattr(home.client, "send", lost)
        with pytest.raises(Failed):
            home_keys.rotate_member(home, east)
    coming = KeyFile.open(east.folder / "member.rotation")[1]
    home_keys.rotate_member(home, east)
    assert home.member_key(east).public == coming.public


def test_a_key_that_ended_before_it_was_taken_up_is_not_taken_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    east, west, south = (home.organisation(slug) for slug in ("east", "west", "south"))

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(disk, "move", dies)
        with pytest.raises(KeyboardInterrupt):
            home_keys.rotate_member(home, south)
    home_keys.propose_replacement(home, east, south)
    (_, row), = home.node.rows(members.KEY_MOTIONS, south.member)
    home_keys.vote(home, west, south.member, east.member, row)
    # The third must sign with the key that was not taken up.
    third = KeyFile.open(south.folder / "member.rotation")[1]
    home.client.send([members.VoteKey(voter=south.member, proposer=east.member, member=south.member,
                                      motion=row.motion, key=row.id)], {south.member: third})
    assert home_keys.rotate_member(home, south) is None            # what was voted for
    home_keys.rotate_member(home, south)                           # not what has ended
    assert home.member_key(south).public != third.public
    home.enrol_staff(south, "chen", "Chen", Role.NURSE)


@pytest.mark.parametrize("days", [0, 32])
def test_a_rotation_refused_or_not_leaves_the_key_that_others_vote_on(home: Home, days: int) -> None:
    east, west, south = (home.organisation(slug) for slug in ("east", "west", "south"))
    home_keys.propose_replacement(home, east, south)
    ((at, row),) = home.node.rows(members.KEY_MOTIONS, south.member)
    try:
        home_keys.rotate_member(home, south, home.node.now_ms() + days * 24 * MS_PER_HOUR)
    except Failed as refused:
        assert (days, refused.code) == (32, KernelCode.OVERLAP_TOO_LONG)
    assert key_hash(home.node.hashes, MEMBER_SUITE, home.member_key(south).public) != row.id
    for voter in (west, south):
        home_keys.vote(home, voter, south.member, at[1], row)
    assert key_hash(home.node.hashes, MEMBER_SUITE, home.member_key(south).public) == row.id
    home.enrol_staff(south, "chen", "Chen", Role.NURSE)


def test_members_give_another_a_key_in_the_place_of_all_it_had(home: Home) -> None:
    east, west, south = (home.organisation(slug) for slug in ("east", "west", "south"))
    before = home.member_key(south).public
    event = home_keys.propose_replacement(home, east, south).events[0]
    assert isinstance(event, members.KeyMoved) and not event.carried
    assert home.member_key(south).public == before
    for voter in (west, south):
        ((at, row),) = home.node.rows(members.KEY_MOTIONS, south.member)
        home_keys.vote(home, voter, south.member, at[1], row)
    assert not home.node.rows(members.KEY_MOTIONS) and home.member_key(south).public != before
    home.enrol_staff(south, "chen", "Chen", Role.NURSE)


def test_members_end_a_key_that_a_member_replaced_and_left_valid_for_a_while(home: Home) -> None:
    east, west, south = (home.organisation(slug) for slug in ("east", "west", "south"))
    home_keys.rotate_member(home, south, home.node.now_ms() + MS_PER_HOUR)
    old, new = home_keys.live_keys(home, south.member)
    home_keys.propose_end(home, east, south.member, old.id)
    for voter in (west, south):
        ((at, row),) = home.node.rows(members.KEY_MOTIONS, south.member)
        home_keys.vote(home, voter, south.member, at[1], row)
    assert home_keys.live_keys(home, south.member) == [new]


def test_a_patient_moves_a_subject_into_a_wallet_of_another_seed(home: Home, tmp_path: Path) -> None:
    old, new = (Wallet.create(tmp_path / name, "passphrase", strength=Strength.INTERACTIVE) for name in ("old", "new"))
    east, subject = home.organisation("east"), b"s" * 16
    holder = home.holder(east)
    holder.order(subjects.Register(service=holder.service, subject=subject))
    key = old.signing_key(home.network, subject)
    assert east.service is not None
    home.client.send([subjects.Claim(service=holder.service, subject=subject, suite=key.suite, key=key.public)],
                     {east.service: KeyFile.open(east.folder / "service.key")[1], subject: key})
    old.add_subject(WalletSubject(network=home.network, subject=subject, holder=east.member, label="East"))
    Patient(home.client, old).rotate(subject, new)
    assert old.subjects == () and [one.label for one in new.subjects] == ["East"]
    assert not Patient(home.client, old).recognise(east.member, subject)
    assert Patient(home.client, new).recognise(east.member, subject)
    message = b"who is there"
    assert holder.has_signed(subject, message, new.signing_key(home.network, subject).sign(message))
    assert not holder.has_signed(subject, message, key.sign(message))
    with pytest.raises(NotIncludable):
        home.client.send([subjects.RotateKey(
            subject=subject, suite=key.suite, key=key.public, old_until_ms=0)], {subject: key}, apart=[key])
    assert len(home.node.rows(ACCOUNTS, subject)[0][1].keys) == 2
