import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from xinglin.base.check import Failed, NotFound, NotUnderstood
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


@pytest.mark.parametrize("name", ["east", "East", "东院", "EAST", "Ｅａｓｔ", "e-a-s-t", "East ", "东 院"])
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


@pytest.mark.parametrize("name", ["", " x", "x" * 121, "a\x1b[2Jb", "a\u202eb", "a\nb", "\u200b"])
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
