"""`xinglin verify` in words: ids are whole, and what a file does not prove is said."""

import re
import secrets
from pathlib import Path

import pytest

from cli.command import Shell
from tables.probe import WITH_PROBE
from worlds import World, key_named, named
from xinglin.base import codec
from xinglin.cli.proofs import _told
from xinglin.client.verify import verify_file
from xinglin.kernel.module import Module
from xinglin.modules import MODULES, consent, members, subjects

LANGS = pytest.mark.parametrize("lang", ["en", "zh"])


def told(world: World, file: object, lang: str) -> list[str]:
    return _told(verify_file(codec.encode(file), world.network, world.modules), lang)  # type: ignore[arg-type]


@LANGS
def test_a_receipt_about_an_id_that_begins_alike_does_not_read_like_hers(lang: str) -> None:
    """Ids are drawn by whoever opens them: another organisation may draw one that begins as hers does."""
    world = World().furnished()
    other = named("mei")[:4] + secrets.token_bytes(12)
    key = world.keys[other] = key_named("another")
    world.done(subjects.Register(service=named("B.service"), subject=other))
    claim = world.transaction(subjects.Claim(service=named("B.service"), subject=other, suite=key.suite,
                                             key=key.public))
    claimed = told(world, world.receipt(world.block(claim)), lang)
    assert any(("co-signed" if lang == "en" else "共同签名") in line for line in claimed)
    read = []
    for subject in (named("mei"), other):
        raw = world.transaction(consent.Grant(subject=subject, grantee=named("B"), grant_id=bytes(16),
                                              until_h=world.hour + 24, body=bytes(32)))
        lines = told(world, world.receipt(world.block(raw)), lang)
        about, signed = (line for line in lines[3:] if named("B").hex() in line or subject.hex() in line)
        assert subject.hex() in about and named("B").hex() in about and subject.hex() in signed
        read.append(about)
        assert not any(re.search(r"[0-9a-f]{8}\.\.", line) for line in lines)
    assert read[0] != read[1]


@LANGS
def test_a_proof_of_a_consent_says_that_it_does_not_tell_whether_the_member_is_active(lang: str) -> None:
    world = World().furnished()
    world.done(world.grant("mei", "B", "g"))
    world.done(world.propose("A", "B", members.Motion.SUSPEND))
    for voter in ("C", "B"):
        world.do(world.vote(voter, "B", members.Motion.SUSPEND))
    assert world.row(members.MEMBERS, named("B")).status is members.MemberStatus.SUSPENDED
    block = world.block(world.transaction(world.anchor("A.service", 9)))
    lines = told(world, world.state_proof(block, consent.GRANTS, named("mei"), named("B")), lang)
    proved, limits = lines[2], lines[lines.index("不能证明：" if lang == "zh" else "It does not prove:"):]
    assert not re.search("live|有效", proved)
    assert any(("suspended" if lang == "en" else "暂停") in line for line in limits)


@LANGS
@pytest.mark.parametrize("modules", [MODULES, WITH_PROBE], ids=["this program's rules", "other rules"])
def test_a_file_made_under_other_rules_than_this_programs_says_so(
        modules: tuple[Module, ...], lang: str, tmp_path: Path) -> None:
    world = World(modules=modules).furnished()
    file = tmp_path / "receipt"
    file.write_bytes(codec.encode(world.receipt(world.block(world.transaction(world.grant("mei", "B", "g"))))))
    done = Shell(tmp_path).run("--lang", lang, "verify", file, "--network", world.network.hex())
    assert done.code == 0
    assert (("other rules" if lang == "en" else "规则版本") in done.err) is (modules is WITH_PROBE)
    assert Shell(tmp_path).json("verify", file, "--network", world.network.hex())["same_rules"] is (modules is MODULES)
