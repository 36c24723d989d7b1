"""A subject goes into the hands of whoever holds the code, and of nobody else; each try counts once."""

from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Event, Thread, current_thread
from typing import Any

import pytest

from holder import rooms
from holder.rooms import seeded
from xinglin.base import codec
from xinglin.base.check import Busy, Failed, NotAuthorised, NotFound, NotUnderstood
from xinglin.base.crypto import SHA256
from xinglin.base.limits import CLAIM_CODE_MS, CLAIM_CODE_TRIES_MAX
from xinglin.client.door import ClaimRequest, code_proof
from xinglin.engine.codes import EngineCode
from xinglin.holder import claim_codes
from xinglin.holder.codes import HolderCode
from xinglin.kernel.accounts import ACCOUNTS
from xinglin.kernel.codes import KernelCode
from xinglin.modules import access, consent, subjects

WRONG = "2222-2222-2222"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[rooms.Room]:
    found = rooms.Room.found(tmp_path)
    found.take_in(rooms.patient("mei"), rooms.patient("li"))
    yield from rooms.opened(found)


def refused(room: rooms.Room, request: ClaimRequest, code: HolderCode = HolderCode.CODE_NOT_VALID) -> Failed:
    with pytest.raises(Failed) as caught:
        claim_codes.co_sign(room.holder, request)
    assert caught.value.code is code
    assert not room.node.read(lambda ctx: ctx[ACCOUNTS].get((room.subject(),))).keys
    return caught.value


@pytest.mark.parametrize("typed", [str, str.lower, lambda code: code.replace("-", " "), lambda code: f"  {code}\n",
                                   lambda code: code.replace("-", "")])
def test_the_code_claims_the_subject_however_it_is_typed(room: rooms.Room, typed: Any) -> None:
    subject = room.subject()
    committed = claim_codes.co_sign(room.holder, room.claim_request(
        subject, typed(claim_codes.issue(room.holder, subject))))
    assert committed.code == 0
    row = room.node.read(lambda ctx: ctx[ACCOUNTS].get((subject,)))
    assert [key.key for key in row.keys] == [room.keys[subject].public]


def test_a_wrong_code_and_one_never_issued_sound_the_same(room: rooms.Room) -> None:
    subject = room.subject()
    never = refused(room, room.claim_request(subject, WRONG))
    claim_codes.issue(room.holder, subject)
    wrong = refused(room, room.claim_request(subject, WRONG))
    assert str(never) == str(wrong) and never.detail == wrong.detail == ""


def test_the_counter_is_told_when_a_code_was_tried_out_and_gives_another_at_once(room: rooms.Room) -> None:
    subject = room.subject()
    code = claim_codes.issue(room.holder, subject)
    stranger = seeded(77)
    for _ in range(CLAIM_CODE_TRIES_MAX):
        assert not claim_codes.tried_out(room.holder, subject)
        refused(room, room.claim_request(subject, WRONG, key=stranger))
    assert claim_codes.tried_out(room.holder, subject)
    refused(room, room.claim_request(subject, code))
    again = claim_codes.issue(room.holder, subject)
    assert not claim_codes.tried_out(room.holder, subject)
    assert claim_codes.co_sign(room.holder, room.claim_request(subject, again)).code == 0


def test_a_code_runs_out_after_fifteen_minutes(room: rooms.Room) -> None:
    subject = room.subject()
    code = claim_codes.issue(room.holder, subject)
    room.node.advance(CLAIM_CODE_MS)
    refused(room, room.claim_request(subject, code))


def test_after_five_wrong_tries_the_right_code_is_void_and_a_new_one_works(room: rooms.Room) -> None:
    subject = room.subject()
    code = claim_codes.issue(room.holder, subject)
    for _ in range(CLAIM_CODE_TRIES_MAX):
        refused(room, room.claim_request(subject, WRONG))
    refused(room, room.claim_request(subject, code))
    room.claim(subject)


def test_the_fifth_try_may_be_the_right_one(room: rooms.Room) -> None:
    subject = room.subject()
    code = claim_codes.issue(room.holder, subject)
    for _ in range(CLAIM_CODE_TRIES_MAX - 1):
        refused(room, room.claim_request(subject, WRONG))
    assert claim_codes.co_sign(room.holder, room.claim_request(subject, code)).code == 0


def test_a_stop_of_the_process_gives_no_free_tries(room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = room.subject()
    code = claim_codes.issue(room.holder, subject)

    def stopped(raw: bytes) -> None:
        raise Busy(EngineCode.ENGINE_STOPPED)

    for _ in range(CLAIM_CODE_TRIES_MAX):      # the right code each time, and the process dies before the ledger
        with monkeypatch.context() as patch:
            patch.setattr(room.node, "order", stopped)
            with pytest.raises(Busy):
                claim_codes.co_sign(room.holder, room.claim_request(subject, code))
        room.reopen()
    refused(room, room.claim_request(subject, code))


def test_twenty_guesses_at_once_are_five_tries(room: rooms.Room) -> None:
    subject = room.subject()
    code = claim_codes.issue(room.holder, subject)
    together = Barrier(20)
    requests = [room.claim_request(subject, WRONG) for _ in range(20)]

    def guess(request: ClaimRequest) -> None:
        together.wait()
        with pytest.raises(NotAuthorised):
            claim_codes.co_sign(room.holder, request)

    threads = [Thread(target=guess, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = room.holder.get("code", subject, claim_codes.NAME, claim_codes.Code)
    assert stored is not None and stored.tries == CLAIM_CODE_TRIES_MAX
    refused(room, room.claim_request(subject, code))


def test_a_used_code_is_gone_and_the_subject_stays_hers(room: rooms.Room) -> None:
    subject = room.subject()
    code = claim_codes.issue(room.holder, subject)
    request = room.claim_request(subject, code)
    claim_codes.co_sign(room.holder, request)
    for again in (request, room.claim_request(subject, code, key=rooms.seeded(99))):
        with pytest.raises(NotAuthorised) as caught:
            claim_codes.co_sign(room.holder, again)
        assert caught.value.code is HolderCode.CODE_NOT_VALID
    claimed = claim_codes.issue(room.holder, subject)
    with pytest.raises(Failed) as taken:
        claim_codes.co_sign(room.holder, room.claim_request(subject, claimed, key=rooms.seeded(99)))
    assert taken.value.code is KernelCode.SIGNER_UNKNOWN
    row = room.node.read(lambda ctx: ctx[ACCOUNTS].get((subject,)))
    assert [key.key for key in row.keys] == [room.keys[subject].public]


def test_a_code_opens_its_own_subject_alone(room: rooms.Room) -> None:
    subject, other = room.subject("mei"), room.subject("li")
    code = claim_codes.issue(room.holder, other)
    claim_codes.issue(room.holder, subject)
    refused(room, room.claim_request(subject, code))


def test_a_second_code_voids_the_first(room: rooms.Room) -> None:
    subject = room.subject()
    first = claim_codes.issue(room.holder, subject)
    second = claim_codes.issue(room.holder, subject)
    refused(room, room.claim_request(subject, first))
    assert claim_codes.co_sign(room.holder, room.claim_request(subject, second)).code == 0


def test_a_try_under_way_does_not_bring_a_void_code_back(room: rooms.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = room.subject()
    first = claim_codes.issue(room.holder, subject)
    request = room.claim_request(subject, "ZZZZ-ZZZZ-ZZZZ")
    reached, go_on = Event(), Event()
    get = room.holder.get

    def slow(kind: str, *rest: Any) -> Any:
        found = get(kind, *rest)
        if kind == "code" and current_thread() is trying:
            reached.set()
            go_on.wait(5)
        return found
    monkeypatch.setattr(room.holder, "get", slow)

    def attempt() -> None:
        with pytest.raises(NotAuthorised):
            claim_codes.co_sign(room.holder, request)
    trying = Thread(target=attempt)
    trying.start()
    assert reached.wait(5)
    issued: list[str] = []
    counter = Thread(target=lambda: issued.append(claim_codes.issue(room.holder, subject)))
    counter.start()
    counter.join(0.2)              # it waits for the try, which goes on
    go_on.set()
    trying.join()
    counter.join()
    with pytest.raises(NotAuthorised):
        claim_codes.co_sign(room.holder, room.claim_request(subject, first))
    claim_codes.co_sign(room.holder, room.claim_request(subject, issued[0]))


def test_no_code_is_issued_for_a_subject_of_another_holder(room: rooms.Room) -> None:
    with pytest.raises(NotFound) as caught:
        claim_codes.issue(room.holder, bytes(15) + b"x")
    assert caught.value.code is HolderCode.SUBJECT_NOT_HELD


def altered(room: rooms.Room, name: str) -> ClaimRequest:
    """A claim that the service must not put its name to."""
    subject, code = room.subject(), claim_codes.issue(room.holder, room.subject())
    good = room.claim_request(subject, code)
    claim = codec.decode(good.body, claim_codes.ClaimBody).messages[0]
    match name:
        case "altered after signing":
            other = room.claim_request(subject, code)
            return ClaimRequest(body=other.body, signature=good.signature, proof=other.proof)
        case "another message":
            return room.claim_request(subject, code, messages=(subjects.Register(
                service=rooms.SERVICE, subject=subject),))
        case "an extra message":
            return room.claim_request(subject, code, messages=(claim, access.Anchor(
                service=rooms.SERVICE, count=0, running=bytes(32))))
        case "two claims":
            return room.claim_request(subject, code, messages=(claim, claim))
        case "a grant beside it":
            return room.claim_request(subject, code, messages=(claim, consent.Grant(
                subject=subject, grantee=rooms.B, grant_id=bytes(16), until_h=1, body=bytes(32))))
        case "another network":
            return room.claim_request(subject, code, network=bytes(32))
        case "another service":
            return room.claim_request(subject, code, service=rooms.B_SERVICE)
        case "another service in the message alone":
            signers = codec.decode(good.body, claim_codes.ClaimBody).signers
            return room.claim_request(subject, code, service=rooms.B_SERVICE, signers=signers)
        case "a subject that is not the signer":
            return room.claim_request(subject, code, claimed=room.subject("li"))
        case "a subject of nobody":
            return room.claim_request(bytes(15) + b"x", code)
        case "no signers":
            return room.claim_request(subject, code, signers=())
        case "an empty signature":
            return ClaimRequest(body=good.body, signature=b"", proof=good.proof)
        case "no body":
            return ClaimRequest(body=b"", signature=good.signature, proof=code_proof(SHA256, b"", code))
        case _:
            longer = good.body + b"\x00"
            return ClaimRequest(body=longer, signature=good.signature, proof=code_proof(SHA256, longer, code))


@pytest.mark.parametrize("name", [
    "altered after signing", "another message", "an extra message", "two claims", "a grant beside it",
    "another network", "another service", "another service in the message alone",
    "a subject that is not the signer", "a subject of nobody", "no signers", "an empty signature", "no body",
    "trailing bytes"])
def test_the_service_signs_one_claim_of_its_own_subject_and_nothing_else(room: rooms.Room, name: str) -> None:
    request = altered(room, name)
    error = refused(room, request, HolderCode.CLAIM_NOT_UNDERSTOOD)
    assert isinstance(error, NotUnderstood)
    stored = room.holder.get("code", room.subject(), claim_codes.NAME, claim_codes.Code)
    assert stored is not None and stored.tries == 0, "what was not understood is no try"


def test_who_carries_a_claim_cannot_make_it_his_own(room: rooms.Room) -> None:
    """The code once went along in clear: a portal in the middle claimed with a key of its own."""
    subject = room.subject()
    hers = room.claim_request(subject, claim_codes.issue(room.holder, subject))
    his = room.claim_request(subject, "", key=seeded(7))
    refused(room, ClaimRequest(body=his.body, signature=his.signature, proof=hers.proof))
    claim_codes.co_sign(room.holder, hers)


def test_the_code_stands_nowhere_in_clear(room: rooms.Room) -> None:
    code = claim_codes.issue(room.holder, room.subject())
    room.close()
    for file in room.folder.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert code.encode() not in data and code.replace("-", "").encode() not in data
    room.node = rooms.Node.open(room.folder / "ledger", rooms.module_set())
    room.holder = rooms.Holder.open(room.node, room.folder / "A", rooms.A, rooms.SERVICE, room.keys[rooms.SERVICE])
