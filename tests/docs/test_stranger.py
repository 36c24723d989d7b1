"""docs/spec is enough: a verifier written from it alone agrees with ours, file by file and bit by bit."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tidy.tree import ROOT
from xinglin.base import codec, note, sparse
from xinglin.base.check import NotUnderstood, NotVerified
from xinglin.base.crypto import SignatureSuite, SigningKey
from xinglin.base.history import tree
from xinglin.cli.proofs import _told
from xinglin.client import verify_file
from xinglin.demo.story import Story
from xinglin.kernel.accounts import Custody
from xinglin.kernel.outcome import (
    NONE_FAILED,
    Closing,
    Envelope,
    Leaf,
    LeafKind,
    TimerEnvelope,
    events_hash,
)
from xinglin.kernel.receipt import InHistory, Receipt, StateProof
from xinglin.modules import access, consent, members

PROGRAM = ROOT / "examples" / "verify_receipt.py"


def load(program: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(program.stem, program)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STRANGER = load(PROGRAM)


@pytest.fixture(scope="module")
def stranger() -> ModuleType:
    return STRANGER


@pytest.fixture(scope="module")
def files(told: Story) -> dict[str, bytes]:
    """One of each: done, a refusal, a row, and its absence in both forms a proof can have."""
    client, subject = told.home.client, told.at_harbour
    return {
        "receipt": told.receipt,
        "first": told.home.node.receipt_at(1, 0),
        "row": client.prove(consent.GRANTS, (subject, told.member("xinglin")))[1],
        "log": client.prove(access.LOG, (subject,))[1],
        "absent": client.prove(consent.GRANTS, (subject, told.member("insurer")))[1],
        "nobody": client.prove(members.MEMBERS, (bytes(16),))[1],
    }


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=20), max_leaves=40)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_the_page_on_encoding_and_our_encoder_make_the_same_bytes(value: object) -> None:
    data = codec.encode(value)
    assert STRANGER.decode(data) == value and STRANGER._encode(value) == data


def test_the_examples_on_the_page_on_encoding_are_true() -> None:
    page = (ROOT / "docs" / "spec" / "encoding.md").read_text()
    first, second = (bytes.fromhex(found) for found in re.findall(r"    ((?:[0-9a-f]{2} ?){3,})", page))
    assert STRANGER.decode(first) == [1, "a", None, b"\x01\x02", [True, 300]]
    with pytest.raises(STRANGER.DoesNotHold):
        STRANGER.decode(second)
    with pytest.raises(NotUnderstood):
        codec.decode(second, tuple[int])


@pytest.mark.parametrize("size", [0, 31, 32, 255, 256, 65_535, 65_536])
def test_lengths_at_the_edges_have_the_same_heads(size: int) -> None:
    for value in (b"x" * size, "x" * size, [0] * size):
        assert STRANGER._encode(value) == codec.encode(value)
        assert STRANGER.decode(codec.encode(value)) == value


def both_say(stranger: ModuleType, told: Story, data: bytes) -> tuple[bool, bool]:
    """Whether ours and the stranger's take the file."""
    verdicts = []
    for attempt in (lambda: verify_file(data, told.home.network, told.home.node.modules),
                    lambda: stranger.verify(data, told.home.network)):
        try:
            attempt()
            verdicts.append(True)
        except (NotVerified, stranger.DoesNotHold, stranger.CannotTell):
            verdicts.append(False)
    return verdicts[0], verdicts[1]


@pytest.mark.parametrize("name", ["receipt", "first", "row", "log", "absent", "nobody"])
def test_a_stranger_reads_from_a_file_what_we_read(
        stranger: ModuleType, told: Story, files: dict[str, bytes], name: str) -> None:
    ours = verify_file(files[name], told.home.network, told.home.node.modules)
    theirs = stranger.verify(files[name], told.home.network)
    assert (theirs["time_ms"], theirs["height"]) == (ours.time_ms, ours.facts["height"])
    assert tuple(theirs["signed_by"]) == ours.signed_by
    if name in ("receipt", "first"):
        assert theirs["code"] == ours.facts["code"] == 0
        assert theirs["events"][0][1].hex() == ours.facts["tx"]
    else:
        assert (theirs["row"] is not None) == ours.facts["present"] == (name in ("row", "log"))


@pytest.mark.parametrize("name", ["receipt", "row"])
def test_one_changed_bit_anywhere_is_refused_by_both(
        stranger: ModuleType, told: Story, files: dict[str, bytes], name: str) -> None:
    data = files[name]
    behind_manifest = data.index(told.home.node.manifest_bytes) + len(told.home.node.manifest_bytes)
    for at in (*range(0, behind_manifest, 101), *range(behind_manifest, len(data))):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        assert both_say(stranger, told, bytes(changed)) == (False, False), f"byte {at}"


def test_a_changed_bit_of_an_absence_is_refused_or_names_another_key_that_is_absent_too(
        stranger: ModuleType, told: Story, files: dict[str, bytes]) -> None:
    data = files["absent"]
    key = data.index(told.at_harbour + told.member("insurer"))
    for at in range(key - 18, len(data)):           # the table's name too
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        ours, theirs = both_say(stranger, told, bytes(changed))
        assert ours == theirs and (not ours or key <= at < key + 32), f"byte {at}"


def test_the_stranger_knows_the_tables_that_there_are(told: Story) -> None:
    assert {name: table.width for name, table in told.home.node.modules.tables.items()} == STRANGER.KEY_BYTES


def absent(told: Story, table: str, key: bytes) -> bytes:
    """A sound proof that the state has no such row, whatever table and key are called."""
    node = told.home.node
    good: StateProof = codec.decode(node.prove(consent.GRANTS, (bytes(16), bytes(16))), StateProof)
    path = sparse.path_of(node.hashes, table, key)
    return codec.encode(structs.replace(
        good, table=table, key=key, proof=node.ask(lambda ledger: ledger.tree.prove(path))))


def test_a_row_of_no_table_or_with_no_key_of_it_is_absent_to_neither(stranger: ModuleType, told: Story) -> None:
    subject, member = told.at_harbour, told.member("insurer")
    assert both_say(stranger, told, absent(told, "consent/grants", subject + member)) == (True, True)
    for table, key in (("consent/grant", subject + member), ("consent/grants", subject + member + b"\x00"),
                       ("consent/grants", subject), ("consent/grants", b""), ("", subject + member)):
        assert both_say(stranger, told, absent(told, table, key)) == (False, False), table


def test_a_proof_of_absence_says_which_id_is_the_subject(stranger: ModuleType, told: Story) -> None:
    subject, member = told.at_harbour, told.member("insurer")
    for one, other in ((subject, member), (member, subject)):
        data = absent(told, "consent/grants", one + other)
        facts = verify_file(data, told.home.network, told.home.node.modules).facts
        assert (facts["subject"], facts["grantee"]) == (one.hex(), other.hex())
        theirs = stranger.verify(data, told.home.network)
        assert (theirs["subject"], theirs["member"]) == (one, other)


def forged(told: Story, leaf: Leaf, *events: object, behind: bool = True, rules: bytes | None = None) -> bytes:
    """What an operator can make with its checkpoint key and nothing else."""
    node = told.home.node
    seed = (told.home.path / "ledger" / "checkpoint.key").read_bytes()
    key, name = SigningKey.from_seed(SignatureSuite.ED25519, seed[:32]), seed[32:].decode()
    data = codec.encode(events)
    leaves = [codec.encode(structs.replace(leaf, events_hash=events_hash(node.hashes, data))), codec.encode(Closing(
        kind=LeafKind.CLOSING, height=leaf.height, time_ms=node.now_ms(), state_root=bytes(32),
        module_set=node.manifest.module_set if rules is None else rules))]
    places = (0, 1) if behind else (1, 0)
    log = tree(node.hashes, leaves if behind else leaves[::-1])
    return codec.encode(Receipt(
        manifest=node.manifest_bytes, events=data,
        checkpoint=note.sign(note.Checkpoint(f"xinglin/{node.chain}", 2, log.root), name, key),
        outcome=InHistory(leaf=leaves[0], index=places[0], path=tuple(log.path(places[0]))),
        closing=InHistory(leaf=leaves[1], index=places[1], path=tuple(log.path(places[1])))))


LEAF = Leaf(kind=LeafKind.TX, height=5, index=0, full_hash=bytes(32), code=0, events_hash=bytes(32))
ENVELOPE = Envelope(tx_id=bytes(32), signers=(b"s" * 16,), custody=(Custody.OWN,), tags=("consent.grant/1",), code=0,
                    failed=NONE_FAILED)
GRANTED = consent.Granted(subject=b"s" * 16, grantee=b"m" * 16, grant_id=bytes(16), until_h=1, epoch=1, body=bytes(32))
REFUSED = structs.replace(ENVELOPE, code=204, failed=0)
TIMER = TimerEnvelope(table="consent/grants", due_ms=1)


def test_an_operator_can_state_what_nobody_signed_and_the_file_says_whose_statement_it_is(
        stranger: ModuleType, told: Story) -> None:
    """Not a defence: what a receipt is worth. docs/spec/receipt.md and `xinglin verify` say so."""
    data = forged(told, LEAF, ENVELOPE, GRANTED)
    assert both_say(stranger, told, data) == (True, True)
    verdict = verify_file(data, told.home.network, told.home.node.modules)
    assert verdict.single_operator
    for lang, words in (("en", "their signatures are not in the file"), ("zh", "文件里没有它们的签名")):
        assert words in "\n".join(_told(verdict, lang))


@pytest.mark.parametrize(("leaf", "events"), [
    ({"code": 204}, (ENVELOPE, GRANTED)), ({"code": 204}, (ENVELOPE,)), ({}, (REFUSED,)), ({}, (REFUSED, GRANTED)),
    ({"code": 204}, (REFUSED, GRANTED)), ({"code": 203}, (REFUSED,)), ({"kind": LeafKind.TIMER}, (ENVELOPE, GRANTED)),
    ({}, (TIMER, GRANTED)), ({"kind": LeafKind.TIMER, "code": 204}, (TIMER,)), ({}, (ENVELOPE,)),
    ({}, (ENVELOPE, GRANTED, GRANTED)), ({}, (GRANTED,)), ({}, (GRANTED, ENVELOPE)), ({}, (ENVELOPE, ENVELOPE)),
    ({}, ()),
    ({}, (structs.replace(ENVELOPE, failed=0), GRANTED)), ({}, (structs.replace(ENVELOPE, custody=()), GRANTED)),
    ({"kind": LeafKind.CLOSING}, (ENVELOPE, GRANTED))])
def test_events_that_tell_something_else_than_their_leaf_are_refused_by_both(
        stranger: ModuleType, told: Story, leaf: dict[str, Any], events: tuple[object, ...]) -> None:
    data = forged(told, structs.replace(LEAF, **leaf), *events)
    assert both_say(stranger, told, data) == (False, False)


def test_honest_refusals_and_timers_pass_both(stranger: ModuleType, told: Story) -> None:
    for leaf, events in (({"code": 204}, (REFUSED,)), ({"kind": LeafKind.TIMER}, (TIMER, GRANTED))):
        assert both_say(stranger, told, forged(told, structs.replace(LEAF, **leaf), *events)) == (True, True)


def test_a_closing_leaf_before_its_outcome_is_refused_by_both(stranger: ModuleType, told: Story) -> None:
    assert both_say(stranger, told, forged(told, LEAF, ENVELOPE, GRANTED, behind=False)) == (False, False)


def test_a_block_closed_under_other_rules_is_refused_by_both(stranger: ModuleType, told: Story) -> None:
    assert both_say(stranger, told, forged(told, LEAF, ENVELOPE, GRANTED, rules=bytes(32))) == (False, False)


def respelled(data: bytes, change: Callable[[list[Any]], None]) -> bytes:
    """The file with some of its values written as others, which a laxer reader takes for the same."""
    fields: list[Any] = STRANGER.decode(data)
    change(fields)
    return codec.encode(fields)


def true_index(fields: list[Any]) -> None:
    for at in (3, 4):
        if fields[at][1] in (0, 1):
            fields[at][1] = bool(fields[at][1])


def test_what_python_takes_for_the_same_is_not_the_same(stranger: ModuleType, told: Story) -> None:
    first = forged(told, LEAF, ENVELOPE, GRANTED)
    assert both_say(stranger, told, respelled(first, lambda fields: None)) == (True, True)
    assert both_say(stranger, told, respelled(first, true_index)) == (False, False)
    for line in ("—  AAAAAAAA\n", "— a  AAAAAAAA\n", "— cosigner AAAAAAAA\n" * 800):
        def added(fields: list[Any], line: str = line) -> None:
            fields[2] += line.encode()
        assert both_say(stranger, told, respelled(first, added)) == (False, False)


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data + b"\x00", lambda data: b"",
                                   lambda data: b"\x96\xb1xinglin.receipt/1\xc0\xc0\xc0\xc0\xc0"])
def test_a_cut_or_longer_file_is_refused_by_both(
        stranger: ModuleType, told: Story, files: dict[str, bytes], spoil: object) -> None:
    assert callable(spoil)
    assert both_say(stranger, told, spoil(files["receipt"])) == (False, False)


def test_the_program_runs_alone_and_says_no_with_status_five(told: Story, tmp_path: Path) -> None:
    (tmp_path / "receipt").write_bytes(told.receipt)
    network = told.home.network.hex()

    def run(pinned: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, PROGRAM, "receipt", pinned], cwd=tmp_path, env={}, capture_output=True,
                              text=True, check=False)
    good, bad = run(network), run("00" * 32)
    assert good.returncode == 0 and '"kind": "receipt"' in good.stdout
    assert bad.returncode == 5 and "another network" in bad.stderr


def test_the_program_cannot_tell_of_another_kind_and_names_what_it_cannot_read(told: Story, tmp_path: Path) -> None:
    network = told.home.network.hex()
    (tmp_path / "other").write_bytes(codec.encode(["xinglin.completeness/1", 1]))

    def run(file: str, pinned: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, PROGRAM, file, pinned], cwd=tmp_path, env={}, capture_output=True,
                              text=True, check=False)
        return done.returncode, done.stderr
    assert run("other", network) == (5, "cannot tell: this program knows receipts and state proofs\n")
    for file, pinned in (("missing", network), (".", network), ("other", "12"), ("other", "zz" * 32)):
        status, said = run(file, pinned)
        assert status == 2 and len(said.splitlines()) == 1
