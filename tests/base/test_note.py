"""Notes, cosignatures, verifier keys: the published examples, and what is not one."""

import base64
import hashlib

import pytest

from worlds import key_named
from xinglin.base import note
from xinglin.base.check import Failed, ProofInvalid
from xinglin.base.limits import TREE_SIZE_MAX
from xinglin.base.note import Checkpoint, KeyUse, NoteKey

LOG, WITNESS = key_named("log"), key_named("witness")
LOG_KEY = NoteKey("example.com/log", KeyUse.LOG, LOG.public)
WITNESS_KEY = NoteKey("example.com/w1", KeyUse.WITNESS, WITNESS.public)
CHECKPOINT = Checkpoint("example.com/log", 20_852_163, bytes(range(32)))

# The example of C2SP signed-note, and the two of Go's golang.org/x/mod/sumdb/note and sum.golang.org.
PUBLISHED = ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
             "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")


@pytest.mark.parametrize("text", PUBLISHED)
def test_verifier_keys_that_others_published_are_read_and_written_alike(text: str) -> None:
    assert note.read_key(text).text() == text


@pytest.mark.parametrize("text", [
    "", "a", "a+b", PUBLISHED[0][:-1], PUBLISHED[0] + "A", PUBLISHED[0].replace("c74f", "c74e"),
    PUBLISHED[0].replace("Peter", "peter"), " " + PUBLISHED[0], PUBLISHED[0] + "\n",
    NoteKey("a b", KeyUse.LOG, LOG.public).text(), NoteKey("a+b", KeyUse.LOG, LOG.public).text(),
    NoteKey("small", KeyUse.LOG, bytes(32)).text(), NoteKey("short", KeyUse.LOG, LOG.public[:31]).text()])
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(Failed):
        note.read_key(text)


def cosigned(time_s: int = 1_679_315_147) -> bytes:
    return note.sign(CHECKPOINT, LOG_KEY.name, LOG) + note.cosign(CHECKPOINT, WITNESS_KEY.name, WITNESS, time_s)


def test_a_note_names_those_who_signed_among_those_who_are_known() -> None:
    opened = note.open_checkpoint(cosigned(), [LOG_KEY, WITNESS_KEY])
    assert opened.checkpoint == CHECKPOINT and opened.signed_by == (LOG_KEY,)
    assert opened.cosigned_by == (note.Cosignature(WITNESS_KEY.name, WITNESS.public, 1_679_315_147),)
    assert note.open_checkpoint(cosigned(), []) == note.Opened(CHECKPOINT, (), ())


def test_a_cosignature_is_over_its_time_and_is_no_log_signature() -> None:
    """The bytes that C2SP tlog-cosignature says."""
    line = note.cosign(CHECKPOINT, WITNESS_KEY.name, WITNESS, 5)
    (raw,) = [raw for _, raw in note._split(CHECKPOINT.text() + b"\n" + line)[1]]
    assert raw[4:12] == bytes(7) + b"\x05"
    assert raw[12:] == WITNESS.sign(b"cosignature/v1\ntime 5\n" + CHECKPOINT.text())
    as_log = WITNESS_KEY._replace(use=KeyUse.LOG)
    assert note.open_checkpoint(cosigned(), [as_log]).signed_by == ()


def test_every_changed_bit_of_a_cosigned_checkpoint_loses_a_signature_or_is_refused() -> None:
    good = cosigned()
    for at in range(8 * len(good)):
        bad = bytearray(good)
        bad[at >> 3] ^= 1 << (at & 7)
        try:
            opened = note.open_checkpoint(bytes(bad), [LOG_KEY, WITNESS_KEY])
        except ProofInvalid:
            continue
        assert len(opened.signed_by) + len(opened.cosigned_by) < 2, at


@pytest.mark.parametrize("size", ["9223372036854775808", "-1", "+1", "01", "1_0", " 1", "१"])
def test_a_size_that_is_no_place_of_a_history_is_refused(size: str) -> None:
    text = CHECKPOINT.text().replace(b"20852163", size.encode())
    with pytest.raises(ProofInvalid):
        note.read_checkpoint(text + b"\n" + note._line(LOG_KEY, LOG.sign(text)))


def test_two_signatures_by_one_key_are_refused() -> None:
    with pytest.raises(ProofInvalid):
        note.open_checkpoint(cosigned() + note.cosign(CHECKPOINT, WITNESS_KEY.name, WITNESS, 6), [WITNESS_KEY])


def test_a_cosignature_from_beyond_the_end_of_time_is_refused() -> None:
    with pytest.raises(ProofInvalid):
        note.open_checkpoint(cosigned(2**63), [WITNESS_KEY])
    assert note.open_checkpoint(cosigned(2**63 - 1), [WITNESS_KEY]).cosigned_by


def as_note(text: bytes, *lines: bytes) -> bytes:
    return text + b"\n" + b"".join(line + b"\n" for line in lines)


LINE = note.sign(CHECKPOINT, LOG_KEY.name, LOG).splitlines()[-1]
ROOT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.mark.parametrize("text", [
    b"", b"\n", b"example.com/log\n", b"example.com/log\n1\n", b"example.com/log\nx\n" + ROOT.encode() + b"\n",
    b"example.com/log\n1\n*" + ROOT.encode() + b"\n", b"example.com/log\n1\nAAAA\n",
    b"\xff\n1\n" + ROOT.encode() + b"\n",
    b"example.com/log\n1\n" + ROOT.encode() + b"\nmore\n", b"example.com/log\n1\n" + ROOT.encode() + b"\n\n",
    b"example.com/log\n1\n" + ROOT.encode() + b" \n"])
def test_a_text_of_another_form_is_no_checkpoint(text: bytes) -> None:
    with pytest.raises(ProofInvalid):
        note.read_checkpoint(as_note(text, LINE))


@pytest.mark.parametrize("size", [0, 1, TREE_SIZE_MAX])
def test_a_checkpoint_of_any_size_of_a_history_is_read_as_it_was_written(size: int) -> None:
    said = CHECKPOINT._replace(size=size)
    assert note.read_checkpoint(as_note(said.text(), LINE)) == said


@pytest.mark.parametrize("line", [
    "", "-", "— name", "- name AAAAAAA=", "— AAAAAAA= name more", "—  AAAAAAA=", "— name AAAA", "— name AAAAAAA",
    "— name AAAAAA==", "— name AAAAAAB=", "— name *AAAAAAA=", "— name AAAAAAA= ", "\xff"])
def test_a_line_of_another_form_is_no_signature(line: str) -> None:
    with pytest.raises(ProofInvalid):
        note.read_checkpoint(as_note(CHECKPOINT.text(), LINE, line.encode("latin-1" if line == "\xff" else "utf-8")))


def test_a_signature_line_is_found_by_its_name_and_key_id() -> None:
    short = "— name AAECAwQ=".encode()
    lines = note.signature_lines(as_note(CHECKPOINT.text(), LINE, short))
    assert lines == {(LOG_KEY.name, LOG_KEY.id): LINE + b"\n", ("name", bytes(range(4))): short + b"\n"}


def test_a_key_with_another_use_than_we_know_is_refused() -> None:
    raw = bytes((2,)) + LOG.public
    key_id = hashlib.sha256(b"name\n" + raw).digest()[:4]
    with pytest.raises(Failed):
        note.read_key(f"name+{key_id.hex()}+{base64.b64encode(raw).decode()}")


def test_uses_have_the_numbers_of_the_specification() -> None:
    assert [(use.name, int(use)) for use in KeyUse] == [("LOG", 1), ("WITNESS", 4)]
