"""docs/spec is enough: a verifier written from it alone agrees with ours, file by file and bit by bit."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidy.tree import ROOT
from xinglin.base import codec
from xinglin.base.check import NotUnderstood, NotVerified
from xinglin.client import verify_file
from xinglin.demo.story import Story
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
        except (NotVerified, stranger.DoesNotHold):
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
    for at in range(key - 2, len(data)):            # a stranger does not know our tables' names, which stand before it
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        ours, theirs = both_say(stranger, told, bytes(changed))
        assert ours == theirs and (not ours or key <= at < key + 32), f"byte {at}"


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
