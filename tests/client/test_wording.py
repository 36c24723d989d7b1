import re

import pytest

from xinglin.base.ids import NO_ID
from xinglin.base.limits import BODY_BYTES_MAX
from xinglin.client import wording
from xinglin.client.wording import CLASSES, LABELS, PURPOSES, ROLES, Terms
from xinglin.modules import decision
from xinglin.modules.decision import ConsentBody, Facts, RequestBody, ScopeItem, decide
from xinglin.modules.members import Role

HAN = re.compile(r"[\u4e00-\u9fff]")
TERMS = Terms(grantee="West", holder="East", person="", roles=(), scope=(
    ScopeItem(data_class="laboratory", id=""), ScopeItem(data_class="medications", id="")),
    purposes=("TREAT",), labels=(), until_ms=1_800_000_000_000)


def test_the_sentence_says_who_what_why_and_until_when() -> None:
    assert wording.sentence(TERMS, "en") == (
        "I permit West (anyone of its staff) to see my laboratory results and medications held at East, for treatment, "
        "until 2027-01-15 08:00 UTC. What is marked sensitive is left out. I can take this back at any time.")
    assert wording.sentence(TERMS, "zh") == (
        "我允许West（其任何工作人员）为治疗查看我在East的化验结果、用药，有效期至 2027-01-15 08:00 UTC。"
        "标为敏感的内容不在其内。我可以随时撤回。")


def test_the_sentence_names_a_person_a_role_and_what_is_sensitive() -> None:
    named = wording.sentence(TERMS._replace(person="Dr Chen", labels=wording.labels_named("PSY")), "en")
    assert "(Dr Chen)" in named and "(psychiatry)" in named and "|" not in named
    roles = wording.sentence(TERMS._replace(roles=(Role.NURSE, Role.PHYSICIAN)), "zh")
    assert "（护士、医生）" in roles


@pytest.mark.parametrize("words", [PURPOSES, CLASSES, LABELS, ROLES])
def test_every_word_is_there_in_both_languages(words: dict[object, wording.Said]) -> None:
    for said in words.values():
        assert HAN.search(said.zh) and not HAN.search(said.en) and said.en


def test_every_role_of_a_person_has_a_word() -> None:
    assert set(ROLES) == set(Role) - {Role.SERVICE}


def test_what_has_no_word_of_its_own_keeps_its_code() -> None:
    scope = (ScopeItem(data_class="Observation/other", id=""), ScopeItem(data_class="Basic", id="0123456789ab"))
    assert wording.scope_words(scope, "en") == "observations (other) and Basic [01234567]"
    assert wording.purpose_words(("XYZ",), "zh") == "XYZ"


def test_a_chinese_sentence_names_a_category_in_chinese() -> None:
    scope = (ScopeItem(data_class="Observation/vital-signs", id=""),)
    assert wording.scope_words(scope, "zh") == "检验和观察（生命体征）"
    assert wording.scope_words(scope, "en") == "observations (vital signs)"


def test_a_shorthand_opens_a_restricted_record_of_its_kind_and_no_other() -> None:
    body = ConsentBody(person=NO_ID, roles=(), scope=(ScopeItem(data_class="X", id=""),), purposes=("TREAT",),
                       labels=wording.labels_named("PSY"), wording="", language="en")
    request = RequestBody(reader=bytes([1]) * 16, purpose="TREAT", scope=body.scope, reason="")
    restricted = f"{decision.CONFIDENTIALITY}|R"
    for labels, opened in ((("PSY",), True), (("PSY", "HIV"), False), (("HIV",), False)):
        facts = Facts(id="a", classes=("X",), labels=(*(f"{decision.ACT_CODE}|{one}" for one in labels), restricted))
        assert bool(decide(body, request, [facts], Role.PHYSICIAN).selected) == opened


def test_the_longest_sentence_fits_a_body() -> None:
    long = TERMS._replace(grantee="甲" * 80, holder="乙" * 80, person="丙" * 80, scope=tuple(
        ScopeItem(data_class="laboratory", id="f" * 32) for _ in range(64)))
    assert len(wording.sentence(long, "zh").encode()) < BODY_BYTES_MAX
