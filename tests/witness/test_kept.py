"""A witness cosigns one history of each log, whatever it is sent and however often it is started."""

import base64
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from witness.logs import NOW_S, ORIGIN, GrowingLog, following
from worlds import key_named
from xinglin.base import note
from xinglin.base.check import Failed
from xinglin.base.crypto import SHA256, SM3
from xinglin.base.limits import WITNESS_EVIDENCE_MAX
from xinglin.base.note import KeyUse, NoteKey
from xinglin.witness.codes import WitnessCode
from xinglin.witness.kept import Witness, read_logs
from xinglin.witness.protocol import SIZE_TYPE, read_request, write_request

Status = HTTPStatus


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    kept = following(tmp_path / "w", GrowingLog())
    yield kept
    kept.close()


def evidence(witness: Witness, kind: str) -> list[Path]:
    found = sorted((witness.folder / "evidence").glob(f"*-{kind}-*"))
    assert kind != "split" or witness.splits() == found
    return found


def test_a_log_that_grows_is_cosigned_step_by_step(witness: Witness) -> None:
    log, old = GrowingLog(), 0
    for size in (1, 2, 3, 7, 8, 200, 200, 513):
        log.to(size)
        answer = witness.answer(log.request(old))
        assert answer.status == Status.OK
        opened = note.open_checkpoint(log.note() + answer.body, [log.named, witness.verifier_key])
        assert opened.checkpoint == log.checkpoint()
        assert opened.cosigned_by == (note.Cosignature(witness.name, witness.verifier_key.key, NOW_S),)
        old = size
    assert not list((witness.folder / "evidence").iterdir())


def test_who_asks_with_another_size_than_the_last_is_told_the_last(witness: Witness) -> None:
    log = GrowingLog().to(20)
    for old in (3, 12):
        answer = witness.answer(log.request(old))
        assert (answer.status, answer.body, answer.type) == (Status.CONFLICT, b"0\n", SIZE_TYPE)
    assert witness.answer(log.request(0)).status == Status.OK
    for old in (0, 3):
        assert witness.answer(log.request(old)).body == b"20\n"


@pytest.mark.parametrize(("body", "status"), [
    (b"", Status.BAD_REQUEST), (b"old 0\n", Status.BAD_REQUEST), (b"old 0\n\n", Status.BAD_REQUEST),
    (GrowingLog().to(3).request(0).replace(b"old 0", b"old 00"), Status.BAD_REQUEST),
    (GrowingLog().to(3).request(0).replace(b"old 0", b"old -1"), Status.BAD_REQUEST),
    (GrowingLog().to(3).request(0).replace(b"old 0", "old ０".encode()), Status.BAD_REQUEST),
    (GrowingLog().to(3).request(0).replace(b"old 0", b"Old 0"), Status.BAD_REQUEST),
    (write_request(0, [b"short"], GrowingLog().to(3).note()), Status.BAD_REQUEST),
    (write_request(0, [bytes(32)] * 64, GrowingLog().to(3).note()), Status.BAD_REQUEST),
    (GrowingLog().to(3).request(4, []), Status.BAD_REQUEST),
    (GrowingLog().to(3).request(0) + bytes(30_000), Status.BAD_REQUEST),
    (GrowingLog().to(3).request(0).replace(ORIGIN.encode(), b"xinglin/other"), Status.NOT_FOUND),
    (GrowingLog(key=key_named("stranger")).to(3).request(0), Status.FORBIDDEN),
    (GrowingLog().to(3).request(0).replace(b"\n3\n", b"\n4\n"), Status.FORBIDDEN),
    (GrowingLog().to(3).request(0, [bytes(32)]), Status.UNPROCESSABLE_ENTITY)])
def test_every_other_request_is_answered_as_the_protocol_says_and_nothing_is_signed(
        witness: Witness, body: bytes, status: Status) -> None:
    answer = witness.answer(body)
    assert answer.status == status and "—".encode() not in answer.body
    assert not list((witness.folder / "cosigned").iterdir())


def test_two_roots_of_one_size_are_refused_and_kept_as_evidence(witness: Witness) -> None:
    true, other = GrowingLog().to(10), GrowingLog("other").to(10, shared=5)
    assert witness.answer(true.request(0)).status == Status.OK
    for old in (10, 0, 5):
        answer = witness.answer(other.request(old, []))
        assert (answer.status, answer.body) == (Status.CONFLICT, b"10\n")
    (found,) = evidence(witness, "split")
    cosigned, _, conflicting = found.read_bytes().partition(b"\n" + ORIGIN.encode())
    conflicting = ORIGIN.encode() + conflicting
    both = [note.open_checkpoint(one, [true.named]) for one in (cosigned, conflicting)]
    assert all(one.signed_by == (true.named,) for one in both)
    assert both[0].checkpoint.size == both[1].checkpoint.size and both[0].checkpoint.root != both[1].checkpoint.root


def test_a_longer_history_that_does_not_extend_the_last_is_refused(witness: Witness) -> None:
    assert witness.answer(GrowingLog().to(10).request(0)).status == Status.OK
    other = GrowingLog("other").to(20, shared=9)
    assert witness.answer(other.request(10)).status == Status.UNPROCESSABLE_ENTITY
    assert len(evidence(witness, "unproved")) == 1 and not evidence(witness, "split")
    assert witness.answer(GrowingLog().to(20).request(10)).status == Status.OK


def test_what_anyone_can_send_takes_no_place_from_what_convicts_a_log(witness: Witness) -> None:
    log = GrowingLog()
    assert witness.answer(log.to(10).request(0)).status == Status.OK
    for size in range(11, 13 + WITNESS_EVIDENCE_MAX):
        witness.answer(log.to(size).request(10, [bytes(32)]))
    assert len(evidence(witness, "unproved")) == WITNESS_EVIDENCE_MAX
    padded = GrowingLog("other").to(10).request(10, [])
    for at in range(5):
        line = f"— passer-by {base64.b64encode(bytes((at,)) * 68).decode()}\n".encode()
        assert witness.answer(padded + line).status == Status.CONFLICT
    assert len(evidence(witness, "split")) == 1


def test_a_witness_that_is_started_again_remembers(witness: Witness, tmp_path: Path) -> None:
    assert witness.answer(GrowingLog().to(10).request(0)).status == Status.OK
    witness.close()
    again = Witness.open(witness.folder, lambda: NOW_S)
    try:
        assert again.verifier_key == witness.verifier_key
        assert again.answer(GrowingLog("other").to(10).request(10, [])).status == Status.CONFLICT
        assert again.answer(GrowingLog().to(11).request(10)).status == Status.OK
    finally:
        witness._lock = again._lock


def test_a_checkpoint_that_brings_our_own_cosignature_along_does_not_spoil_what_is_kept(witness: Witness) -> None:
    log = GrowingLog().to(10)
    line = witness.answer(log.request(0)).body
    assert witness.answer(log.request(10) + line).status == Status.OK
    assert witness.answer(log.to(11).request(10) + b"").status == Status.OK


def test_a_damaged_record_stops_the_witness_from_signing(witness: Witness) -> None:
    log = GrowingLog().to(10)
    assert witness.answer(log.request(0)).status == Status.OK
    (kept,) = (witness.folder / "cosigned").iterdir()
    good = kept.read_bytes()
    for bad in (b"", good[:-1], good.replace(b"\n10\n", b"\n11\n"), log.note(), good + good):
        kept.write_bytes(bad)
        with pytest.raises(Failed) as caught:
            witness.answer(log.request(10))
        assert caught.value.code is WitnessCode.WITNESS_STATE_DAMAGED


def test_nothing_is_signed_that_could_not_be_written(witness: Witness) -> None:
    (witness.folder / "cosigned").rmdir()
    (witness.folder / "cosigned").write_bytes(b"")
    with pytest.raises(Failed):
        witness.answer(GrowingLog().to(10).request(0))


def test_of_many_at_once_each_size_is_cosigned_for_one_history(witness: Witness) -> None:
    """Two histories race for the same witness: it signs one of them only."""
    logs = [GrowingLog(), GrowingLog("other")]
    requests = [(log.history, log.to(size).request(0)) for size in range(1, 9) for log in logs]
    signed: list[str] = []

    def send(history: str, body: bytes) -> None:
        if witness.answer(body).status == Status.OK:
            signed.append(history)
    threads = [threading.Thread(target=send, args=one) for one in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(signed) == 1


def test_a_log_that_changes_its_key_is_followed_under_both_until_one_is_taken_out(witness: Witness) -> None:
    new = GrowingLog(key=key_named("new operator"))
    assert witness.answer(GrowingLog().to(5).request(0)).status == Status.OK
    assert witness.answer(new.to(6).request(5)).status == Status.FORBIDDEN
    witness.follow(new.named, ORIGIN, SHA256)
    assert witness.answer(new.request(5)).status == Status.OK
    assert witness.answer(GrowingLog().to(7).request(6)).status == Status.OK
    (witness.folder / "logs").write_text(f"# only the new one\nlog {new.named.text()} {ORIGIN}\n")
    assert witness.answer(GrowingLog().to(8).request(7)).status == Status.FORBIDDEN
    assert witness.answer(new.to(8).request(7)).status == Status.OK


def test_a_folder_is_for_one_process_and_keeps_its_name(witness: Witness) -> None:
    with pytest.raises(Failed) as caught:
        Witness.open(witness.folder, lambda: NOW_S)
    assert caught.value.code is WitnessCode.WITNESS_IN_USE


@pytest.mark.parametrize("name", [None, "", "with space", "Ä", "a+b"])
def test_a_witness_is_made_only_under_a_name_that_a_note_can_carry(tmp_path: Path, name: str | None) -> None:
    with pytest.raises(Failed) as caught:
        Witness.open(tmp_path / "new", lambda: NOW_S, name)
    assert caught.value.code is WitnessCode.WITNESS_KEY_NOT_USABLE


def test_a_key_file_of_another_name_is_not_used(witness: Witness, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    Witness.open(folder, lambda: NOW_S, "one").close()
    for said, damage in (("two", None), (None, b"short"), (None, b"\xff" * 40)):
        if damage is not None:
            (folder / "witness.key").write_bytes(damage)
        with pytest.raises(Failed):
            Witness.open(folder, lambda: NOW_S, said)


KEY = GrowingLog().named.text()


@pytest.mark.parametrize("text", [
    "log", f"log {KEY}", f"log {KEY} a b c", f"log {KEY[:-3]} a", f"log {KEY} a md5", f"log {KEY} a\nlog {KEY} a",
    f"log {KEY} a\nlog {GrowingLog(key=key_named('k')).named.text()} a sm3", f"watch {KEY} a",
    f"log {NoteKey('w', KeyUse.WITNESS, key_named('w').public).text()} a", "#\n" * 1_001])
def test_a_list_of_logs_that_is_not_one_is_refused(text: str) -> None:
    with pytest.raises(Failed) as caught:
        read_logs(text.encode())
    assert caught.value.code is WitnessCode.LOGS_NOT_UNDERSTOOD


def test_a_log_on_another_suite_says_so() -> None:
    assert read_logs(f"\n# SM3\nlog {KEY} a sm3\nlog {KEY} b\n".encode())["a"].hashes is SM3


def test_a_request_is_read_as_it_was_written() -> None:
    log = GrowingLog().to(9)
    request = read_request(log.request(5))
    assert request == (5, tuple(log.proof(5)), log.note())
