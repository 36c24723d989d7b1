"""Verifiers in Go and JavaScript accept and refuse exactly what ours does, and read the same from a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crosscheck import policies
from crosscheck.languages import Language, go, node, ours, write
from crosscheck.proof_files import Case, ProofFiles
from rows import Span
from tidy.tree import ROOT
from worlds import STARTED_MS
from xinglin.base import codec
from xinglin.client import verify_file
from xinglin.home import Home, NewOrganisation
from xinglin.kernel.genesis import MemberKind
from xinglin.kernel.receipt import StateProof
from xinglin.modules import consent

POLICY_MUTANTS = 3_000

EDWARDS = ROOT / "tests" / "golden" / "vectors" / "ed25519_accept.json"


@pytest.fixture(scope="module")
def files() -> ProofFiles:
    return ProofFiles()


@pytest.fixture(scope="module")
def languages(tmp_path_factory: pytest.TempPathFactory) -> list[Language]:
    return [go(tmp_path_factory.mktemp("go")), node()]


@pytest.fixture(params=[0, 1], ids=["go", "js"])
def language(request: pytest.FixtureRequest, languages: list[Language]) -> Language:
    return languages[request.param]


def disagreements(language: Language, files: ProofFiles, folder: Path, cases: list[Case]) -> list[Any]:
    """Cases of which the two do not say the same."""
    theirs = language.judge(folder)
    assert len(theirs) == len(cases)
    found = []
    for number, (case, said) in enumerate(zip(cases, theirs, strict=True)):
        mine = ours(files, case)
        if (None if "refused" in said else said) != mine:
            found.append((number, case.policy, case.file[:40].hex(), mine, said))
    return found


def test_every_good_file_is_read_alike(language: Language, files: ProofFiles, tmp_path: Path) -> None:
    cases = write(tmp_path, files, files.good.values())
    accepted = [ours(files, case) for case in cases]
    assert sum(one is not None for one in accepted) > 150
    kinds = {one["kind"] for one in accepted if one is not None}
    assert kinds == {"receipt", "cose-receipt", "state-proof", "completeness"}
    assert any(one is not None and not one["single_operator"] for one in accepted)
    assert disagreements(language, files, tmp_path, cases) == []


def test_what_breaks_one_rule_alone_is_refused_by_all(language: Language, files: ProofFiles, tmp_path: Path) -> None:
    crooked = files.crooked()
    cases = write(tmp_path, files, crooked.values())
    theirs = language.judge(tmp_path)
    for name, case, said in zip(crooked, cases, theirs, strict=True):
        assert ours(files, case) is None and "refused" in said, name


@pytest.mark.row("PROOF-CROSS")
def test_mutants_and_lies_are_judged_alike(languages: list[Language], files: ProofFiles, tmp_path: Path, span: Span,
                                           record_property: Callable[[str, object], None]) -> None:
    mutants, lies = [*files.mutants(span.first, span.count)], [*files.lies(span.first // 2, span.count // 2)]
    write(tmp_path, files, [*mutants, *lies])
    believed = sum(ours(files, case) is not None for case in lies)
    assert len(lies) / 20 < believed < len(lies) / 2, "else it shows little"
    for language in languages:
        assert disagreements(language, files, tmp_path, [*mutants, *lies]) == [], language.name
        record_property(f"judged in {language.name}", len(mutants) + len(lies))


def test_a_policy_is_read_alike(language: Language, tmp_path: Path) -> None:
    """Good ones, ones that break one rule alone, and mutants."""
    good, crooked = policies.good(), policies.crooked()
    for name, said in zip(good, policies.theirs(language, tmp_path, [*good.values()]), strict=True):
        assert said is not None and said == policies.ours(good[name]), name
    for name, said in zip(crooked, policies.theirs(language, tmp_path, [*crooked.values()]), strict=True):
        assert said is None and policies.ours(crooked[name]) is None, name
    mutants = [*policies.mutants(0, POLICY_MUTANTS)]
    mine = [policies.ours(text) for text in mutants]
    assert POLICY_MUTANTS / 10 < sum(one is not None for one in mine) < POLICY_MUTANTS / 2, "else it shows little"
    for text, said, own in zip(mutants, policies.theirs(language, tmp_path, mutants), mine, strict=True):
        assert said == own, text


def test_one_ed25519_signature_is_accepted_where_the_other_is(language: Language) -> None:
    cases = json.loads(EDWARDS.read_text())["cases"]
    assert [line == "true" for line in language.lines("--ed25519", str(EDWARDS))] == [one["accepted"] for one in cases]


def test_a_network_on_sm3_is_verified_too(language: Language, tmp_path: Path) -> None:
    founder = NewOrganisation("east", "东院", "East", MemberKind.HOSPITAL)
    with Home.create(tmp_path / "sm3", "city", [founder], simulated=True, hash_suite="sm3",
                     started_ms=STARTED_MS) as home:
        node, network = home.node, home.network.hex()
        files = {"receipt": node.receipt_at(1, 0), "absence": node.prove(consent.GRANTS, (bytes(16), bytes(16)))}
    for name, data in files.items():
        good, bad = tmp_path / name, tmp_path / f"bad {name}"
        good.write_bytes(data)
        bad.write_bytes(data[:-1] + bytes((data[-1] ^ 1,)))
        (said,) = language.lines(str(good), network)
        verdict = verify_file(data, bytes.fromhex(network), node.modules)
        assert (json.loads(said)["kind"], json.loads(said)["chain"]) == (verdict.kind, verdict.network.chain)
        assert language.run(str(bad), network).returncode == 5


def test_the_program_says_why_with_status_five(language: Language, files: ProofFiles, tmp_path: Path) -> None:
    file = tmp_path / "receipt"
    file.write_bytes(files.good["receipt 0"].file)
    assert language.run(str(file), files.network.hex()).returncode == 0
    other = language.run(str(file), bytes(32).hex())
    assert other.returncode == 5 and other.stderr.startswith("does not hold: ")
    (tmp_path / "policy").write_text(files.texts["two-of-three"])
    assert language.run("--policy", str(tmp_path / "policy"), str(file), files.network.hex()).returncode == 5
    (tmp_path / "policy").write_text("quorum none a\n")
    crooked = language.run("--policy", str(tmp_path / "policy"), str(file), files.network.hex())
    assert crooked.returncode == 5 and crooked.stderr.startswith("does not hold: policy")
    assert language.run().returncode == 2


def test_a_verifier_that_believes_too_much_or_too_little_would_be_found(files: ProofFiles, tmp_path: Path) -> None:
    """The comparison bites: one that accepts or refuses everything, or reads another height, disagrees."""
    cases = write(tmp_path, files, list(files.good.values())[::9])
    honest = [ours(files, case) or {"refused": "no"} for case in cases]

    class Other(Language):
        def __init__(self, spoil: Any):
            self.spoil = spoil

        def judge(self, folder: Path) -> list[dict[str, Any]]:
            return [self.spoil(one) for one in honest]
    assert disagreements(Other(lambda one: one), files, tmp_path, cases) == []
    for spoil in (lambda one: {"refused": "all"}, lambda one: {"kind": "receipt"}, lambda one: one | {"height": "7"}):
        assert disagreements(Other(spoil), files, tmp_path, cases)


def test_the_files_are_always_the_same_bytes(files: ProofFiles) -> None:
    again = ProofFiles()
    assert again.good == files.good
    assert list(again.mutants(0, 50)) == list(files.mutants(0, 50))
    assert list(again.lies(0, 50)) == list(files.lies(0, 50))
    assert codec.decode(again.good["row of consent/grants"].file, StateProof).table == "consent/grants"
