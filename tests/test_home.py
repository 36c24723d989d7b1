import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from xinglin.base.check import Failed, NotFound, NotUnderstood, NotVerified
from xinglin.client.codes import ClientCode
from xinglin.client.key_file import KeyFile
from xinglin.engine.codes import EngineCode
from xinglin.home import Home, HomeCode, NewOrganisation
from xinglin.kernel.accounts import ACCOUNTS, Custody
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.genesis import MemberKind
from xinglin.modules import members
from xinglin.modules.members import Motion, Role

NEW = tuple(NewOrganisation(slug, zh, slug.title(), MemberKind.HOSPITAL)
            for slug, zh in (("east", "东院"), ("west", "西院"), ("south", "南院")))
LAB = NewOrganisation("lab", "检验", "Lab", MemberKind.OTHER)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home.create(tmp_path / "home", "city", NEW, simulated=True, started_ms=0) as one:
        yield one


def test_an_organisation_is_found_by_any_of_its_names(home: Home) -> None:
    east = home.organisation("east")
    for name in ("东院", "East", east.member.hex()):
        assert home.organisation(name) == east
    with pytest.raises(NotFound):
        home.organisation("north")


@pytest.mark.parametrize("name", ["east", "East", "东院", "EAST", "Ｅａｓｔ", "e-a-s-t", "East\u3164", "E\u0430st",
                                  "East ", "东 院"])
def test_nobody_is_invited_under_a_name_that_another_has(home: Home, name: str) -> None:
    for new in (LAB._replace(en=name), LAB._replace(zh=name)):
        with pytest.raises(NotUnderstood) as refused:
            home.invite(home.organisation("west"), new)
        assert refused.value.code in (HomeCode.NAME_TAKEN, HomeCode.NAME_NOT_VALID)
    assert not (home.path / "organisations" / "lab").exists()


def test_founders_have_names_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(NotUnderstood) as refused:
        Home.create(tmp_path / "new", "x", [*NEW, LAB._replace(en="South")], simulated=True, started_ms=0)
    assert refused.value.code is HomeCode.NAME_TAKEN and not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["", " x", "x" * 121, "a\x1b[2Jb", "a\u202eb", "a\nb", "\u200b", "a\u3164",
                                  "\u0430 b"])
def test_a_name_that_would_not_be_seen_as_it_is_is_refused(home: Home, name: str) -> None:
    east = home.organisation("east")
    for act in (lambda: home.invite(east, LAB._replace(zh=name)),
                lambda: home.enrol_staff(east, "chen", name, Role.NURSE)):
        with pytest.raises(NotUnderstood) as refused:
            act()
        assert refused.value.code is HomeCode.NAME_NOT_VALID


def test_a_folder_name_goes_before_a_card_that_was_altered_to_bear_it(home: Home) -> None:
    card = home.path / "organisations" / "south" / "card.json"
    card.write_text(card.read_text().replace("South", "east"))
    assert home.organisation("east").slug == "east"
    card.write_text(card.read_text().replace('"east"', '"East"'))
    with pytest.raises(NotUnderstood) as refused:
        home.organisation("East")
    assert refused.value.code is HomeCode.NAME_AMBIGUOUS and "east | south" in refused.value.detail


def test_a_person_is_named_with_her_organisation_where_two_have_the_name(home: Home) -> None:
    one, other = (home.enrol_staff(home.organisation(slug), "chen", "Chen", Role.NURSE) for slug in ("east", "west"))
    assert home.person("east/chen") == one and home.person("west/chen") == other
    assert home.person(one.account.hex()) == one
    with pytest.raises(NotUnderstood) as refused:
        home.person("chen")
    assert refused.value.code is HomeCode.NAME_AMBIGUOUS and "east/chen | west/chen" in refused.value.detail


def test_a_key_that_lies_in_clear_is_the_organisations_and_receipts_say_so(home: Home) -> None:
    east = home.organisation("east")
    for slug, passphrase, custody in (("chen", None, Custody.SERVER), ("wu", "a passphrase", Custody.OWN)):
        staff = home.enrol_staff(east, slug, "Name", Role.NURSE, passphrase)
        (_, row), = home.node.rows(ACCOUNTS, staff.account)
        assert [key.custody for key in row.keys] == [custody]


def test_a_home_stands_when_it_is_opened_again(home: Home) -> None:
    home.enrol_staff(home.organisation("east"), "chen", "Chen", Role.PHYSICIAN)
    before = home.organisations(), home.person("chen"), home.network
    home.close()
    with Home.open(home.path) as again:
        assert (again.organisations(), again.person("chen"), again.network) == before


def test_a_folder_in_use_is_not_founded_over(home: Home) -> None:
    before = sorted(home.path.rglob("*"))
    with pytest.raises(Failed) as refused:
        Home.create(home.path, "other", NEW, simulated=True, started_ms=0)
    assert refused.value.code is EngineCode.HOME_NOT_EMPTY and sorted(home.path.rglob("*")) == before
    with pytest.raises(NotFound):
        Home.open(home.path / "nowhere")


@pytest.mark.parametrize("slug", ["", ".", "..", "a/b", "A", "a b", "-a", "a" * 41, "甲", "a\n"])
def test_a_name_that_is_no_folder_is_refused(slug: str, home: Home, tmp_path: Path) -> None:
    east = home.organisation("east")
    with pytest.raises(NotUnderstood) as refused:
        home.enrol_staff(east, slug, "x", Role.NURSE)
    assert refused.value.code is HomeCode.NAME_NOT_VALID
    with pytest.raises(NotUnderstood):
        home.invite(east, LAB._replace(slug=slug))
    with pytest.raises(NotUnderstood):
        Home.create(tmp_path / "new", "x", [LAB._replace(slug=slug)], simulated=True, started_ms=0)
    assert not (tmp_path / "new" / "ledger").exists()


def test_an_admitted_organisation_can_act_at_once(home: Home) -> None:
    east = home.organisation("east")
    home.invite(east, LAB)
    assert home.organisation("lab").service is None
    with pytest.raises(NotUnderstood) as taken:
        home.invite(east, LAB)
    assert taken.value.code is HomeCode.NAME_TAKEN
    lab = home.organisation("lab")
    home.vote(home.organisation("west"), lab.member, Motion.ADMIT)
    home.vote(home.organisation("south"), lab.member, Motion.ADMIT)
    assert home.organisation("lab").service is not None
    home.enrol_staff(home.organisation("lab"), "wu", "Wu", Role.NURSE)
    assert len(home.holder(home.organisation("lab")).keystore.damaged) == 0


def test_a_refused_invitation_or_enrolment_leaves_the_name_free(home: Home) -> None:
    east, west, south = map(home.organisation, ("east", "west", "south"))
    home.propose(west, east.member, Motion.SUSPEND)
    home.vote(south, east.member, Motion.SUSPEND)
    home.vote(east, east.member, Motion.SUSPEND)
    for act in (lambda: home.invite(east, LAB), lambda: home.enrol_staff(east, "chen", "Chen", Role.NURSE)):
        with pytest.raises(Failed) as refused:
            act()
        assert refused.value.code is KernelCode.PAYER_NOT_ACTIVE
    assert not (home.path / "organisations" / "lab").exists() and home.staff(east) == []
    home.propose(west, east.member, Motion.REINSTATE)
    home.vote(south, east.member, Motion.REINSTATE)
    home.invite(east, LAB)
    home.enrol_staff(east, "chen", "Chen", Role.NURSE)


def test_an_account_that_is_ended_signs_no_more(home: Home) -> None:
    east = home.organisation("east")
    chen = home.enrol_staff(east, "chen", "Chen", Role.PHYSICIAN, "a passphrase")
    assert KeyFile.open(chen.key_file, "a passphrase")[0] == chen.account
    home.end_staff(chen)
    (_, row), = home.node.rows(members.STAFF, chen.account)
    assert not row.active
    with pytest.raises(Failed) as refused:
        home.end_staff(chen)
    assert refused.value.code is members.Refusal.STAFF_NOT_ACTIVE


def test_no_name_stands_outside_the_cards(home: Home) -> None:
    home.enrol_staff(home.organisation("east"), "chen", "Chen Yang", Role.PHYSICIAN)
    card = json.loads((home.path / "organisations" / "east" / "staff" / "chen.json").read_text())
    assert card["name"] == "Chen Yang"
    home.close()
    for file in (home.path / "ledger").rglob("*"):
        assert not file.is_file() or b"Chen Yang" not in file.read_bytes()


# -- cut off

class Killed(BaseException):
    """Nobody catches it: as when the process ends."""


def killed(home: Home, monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any], *, ordered: bool) -> Home:
    """The home opened again after a process that ended just before, or just after, its order was taken."""
    honest = home.client.send

    def send(*values: Any, **options: Any) -> None:
        if ordered:
            honest(*values, **options)
        raise Killed
    monkeypatch.setattr(home.client, "send", send)
    with pytest.raises(Killed):
        act()
    home.close()
    home.__dict__ = Home.open(home.path).__dict__
    return home


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("passphrase", ["a passphrase", None])
def test_an_enrolment_that_a_crash_cut_off_is_completed_by_the_next_try(
        home: Home, monkeypatch: pytest.MonkeyPatch, ordered: bool, passphrase: str | None) -> None:
    def enrol() -> Any:
        return home.enrol_staff(home.organisation("east"), "chen", "Chen", Role.NURSE, passphrase)
    killed(home, monkeypatch, enrol, ordered=ordered)
    assert home.staff(home.organisation("east")) == []
    staff = enrol()
    assert KeyFile.open(staff.key_file, passphrase)[0] == staff.account and home.person("chen") == staff
    accounts = [key for (key,), row in home.node.rows(members.STAFF) if row.role is Role.NURSE]
    assert accounts == [staff.account], "one account, whichever try it was"
    assert sorted(file.name for file in staff.key_file.parent.iterdir()) == ["chen.json", "chen.key"]
    with pytest.raises(NotUnderstood) as taken:
        enrol()
    assert taken.value.code is HomeCode.NAME_TAKEN


def test_a_name_under_which_another_was_enrolled_before_the_crash_is_taken(
        home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(home, monkeypatch, lambda: home.enrol_staff(home.organisation("east"), "chen", "Chen", Role.NURSE),
           ordered=True)
    for _ in range(2):
        with pytest.raises(NotUnderstood) as taken:
            home.enrol_staff(home.organisation("east"), "chen", "Chen Yang", Role.PHYSICIAN)
        assert taken.value.code is HomeCode.NAME_TAKEN
    assert home.person("chen").name == "Chen", "the card is of whom the ledger knows"


def test_a_key_that_another_passphrase_sealed_before_the_crash_is_not_handed_over_as_hers(
        home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def enrol(passphrase: str) -> Any:
        return home.enrol_staff(home.organisation("east"), "chen", "Chen", Role.NURSE, passphrase)
    killed(home, monkeypatch, lambda: enrol("the first"), ordered=True)
    with pytest.raises(NotVerified) as wrong:
        enrol("the second")
    assert wrong.value.code is ClientCode.PASSPHRASE_WRONG
    assert KeyFile.open(enrol("the first").key_file, "the first")


@pytest.mark.parametrize("ordered", [True, False])
def test_an_invitation_that_a_crash_cut_off_can_be_made_again_or_stands(
        home: Home, monkeypatch: pytest.MonkeyPatch, ordered: bool) -> None:
    killed(home, monkeypatch, lambda: home.invite(home.organisation("east"), LAB), ordered=ordered)
    if ordered:
        with pytest.raises(NotUnderstood) as taken:
            home.invite(home.organisation("east"), LAB)
        assert taken.value.code is HomeCode.NAME_TAKEN
    else:
        home.invite(home.organisation("east"), LAB)
    lab = home.organisation("lab").member
    for slug in ("west", "south"):
        home.vote(home.organisation(slug), lab, Motion.ADMIT)
    assert home.organisation("lab").service is not None


@pytest.mark.parametrize("ordered", [True, False])
def test_a_service_whose_enrolment_a_crash_cut_off_is_enrolled_when_the_home_is_next_used(
        home: Home, monkeypatch: pytest.MonkeyPatch, ordered: bool) -> None:
    home.invite(home.organisation("east"), LAB)
    lab = home.organisation("lab").member
    home.vote(home.organisation("west"), lab, Motion.ADMIT)
    monkeypatch.setattr(home, "_serve_if_admitted", lambda member: None)       # ended in between
    home.vote(home.organisation("south"), lab, Motion.ADMIT)
    monkeypatch.undo()
    killed(home, monkeypatch, home.serve_admitted, ordered=ordered)
    assert home.organisation("lab").service is None
    for _ in range(2):
        home.serve_admitted()
    service = home.organisation("lab").service
    assert service is not None and home.holder(home.organisation("lab")).service == service
    assert not (home.organisation("lab").folder / "service.pending").exists()


@pytest.mark.parametrize("damage", [
    b"{", b"[]", b"\xff", b"{}", b'{"zh": "a", "en": "b", "kind": "OTHER"}',
    b'{"zh": "a", "en": "b", "kind": "OTHER", "member": "xyz"}',
    b'{"zh": 1, "en": "b", "kind": "OTHER", "member": "00"}'])
def test_a_damaged_card_is_named(home: Home, damage: bytes) -> None:
    card = home.path / "organisations" / "east" / "card.json"
    card.write_bytes(damage)
    with pytest.raises(NotUnderstood) as failed:
        home.organisations()
    assert failed.value.code is HomeCode.CARD_NOT_UNDERSTOOD and failed.value.detail == str(card)


def test_a_lost_key_file_is_not_taken_for_a_wallet(home: Home) -> None:
    east = home.organisation("east")
    (east.folder / "member.key").unlink()
    with pytest.raises(NotFound) as failed:
        home.member_key(east)
    assert failed.value.code is ClientCode.KEY_FILE_NOT_FOUND


def test_cards_are_for_one_user_and_replaced_whole(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.enrol_staff(home.organisation("east"), "chen", "Chen", Role.PHYSICIAN)
    cards = [*(home.path / "organisations").rglob("*.json")]
    assert len(cards) == 4 and {card.stat().st_mode & 0o777 for card in cards} == {0o600}
    (card,) = (home.path / "organisations" / "east").glob("card.json")
    before = card.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(Failed) as failed:
        home.enrol_service("east")
    assert failed.value.code is HomeCode.CARD_NOT_WRITTEN and card.read_bytes() == before
