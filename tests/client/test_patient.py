"""A patient's verbs, with a real holder behind the door, and with one that lies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from client.wards import Lying, Ward
from holder import rooms
from xinglin.base import codec
from xinglin.base.check import Failed, NotAuthorised, NotFound, NotUnderstood, NotVerified
from xinglin.base.limits import WALLET_LABEL_CHARS_MAX
from xinglin.base.units import MS_PER_HOUR
from xinglin.client import Client, Patient, Wallet, verify_file
from xinglin.client.codes import ClientCode
from xinglin.client.door import Challenge, ClaimRequest, OpenedHistory, Reply, SignedChallenge
from xinglin.client.patient import JITTER_MS
from xinglin.client.sealed_file import Strength
from xinglin.client.signing import EXPIRES_IN_MS
from xinglin.engine.codes import EngineCode
from xinglin.holder import asking, claim_codes, openings
from xinglin.holder.codes import HolderCode
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.tx import NotIncludable
from xinglin.modules import access, consent, module_set
from xinglin.modules.decision import Opened, RequestBody, ScopeItem
from xinglin.node import LocalTransport, Node


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    found = Ward(tmp_path)
    yield found
    found.room.close()


@pytest.fixture
def claimed(ward: Ward) -> Ward:
    ward.claim()
    return ward


# -- honest

def test_she_claims_grants_reads_who_asked_and_takes_it_back(claimed: Ward) -> None:
    room, subject = claimed.room, claimed.subject
    (listed,) = claimed.wallet.subjects
    assert (listed.subject, listed.holder, listed.label) == (subject, rooms.A, "Harbour")
    assert room.ask(subject).denied

    grant_id = claimed.grant()
    asked = room.ask(subject)
    assert len(asking.fetch_all(room.node, room.peer, asked)) == 3
    history = claimed.history()
    assert [type(entry).__name__ for entry in history.entries] == ["Requested", "Requested", "Answered"]
    assert codec.decode(history.words[0].request.body, RequestBody).reason == "follow-up"
    verdict = verify_file(history.file, room.node.network, module_set())
    assert verdict.facts["entries"] == 3 and verdict.time_ms == history.as_of_ms

    sent = claimed.patient.revoke(subject, grant_id)
    (event,) = sent.events
    assert isinstance(event, consent.Revoked)
    with pytest.raises(NotAuthorised):
        room.page(subject, asked.number, 0)
    verified, file = claimed.patient.prove_consent(subject, rooms.B)
    assert verify_file(file, room.node.network, module_set()).facts["live_grants"] == 0
    absent, _ = claimed.patient.prove_consent(subject, rooms.C)
    assert absent.row is None and verified.row is not None


def test_the_wallet_keeps_what_opens_each_grant(claimed: Ward) -> None:
    grant_id = claimed.grant(wording="For my knee.")
    made = claimed.patient.grant_made(claimed.subject, grant_id)
    assert b"For my knee." in made.body and made.grantee == rooms.B
    reopened = Wallet.open(claimed.room.folder / "mei.wallet", "passphrase")
    assert reopened.grants == claimed.wallet.grants and reopened.subjects == claimed.wallet.subjects


def test_a_grant_that_the_wallet_does_not_know_is_not_revoked(claimed: Ward) -> None:
    with pytest.raises(NotFound) as caught:
        claimed.patient.revoke(claimed.subject, bytes(16))
    assert caught.value.code is ClientCode.GRANT_NOT_IN_WALLET


def test_a_wallet_restored_from_its_seed_signs_again(claimed: Ward) -> None:
    grant_id = claimed.grant()
    restored = Wallet.create(claimed.room.folder / "new.wallet", "other", seed=claimed.wallet.seed,
                             strength=Strength.INTERACTIVE)
    again = Patient(claimed.client, restored)
    assert again.key(claimed.subject).public == claimed.patient.key(claimed.subject).public
    assert again.history(claimed.door, claimed.subject).entries == []
    with pytest.raises(NotFound):
        again.revoke(claimed.subject, grant_id)


def another_wallet(ward: Ward, name: str, seed: bytes | None = None) -> Wallet:
    return Wallet.create(ward.room.folder / name, "other", seed=seed, strength=Strength.INTERACTIVE)


def test_a_rotation_that_is_refused_leaves_both_wallets_as_they_were(claimed: Ward) -> None:
    claimed.grant()
    other = another_wallet(claimed, "other.wallet")
    before = (claimed.wallet.subjects, claimed.wallet.grants)
    with pytest.raises(Failed) as refused:
        claimed.patient.rotate(claimed.subject, other, claimed.room.node.now_ms() + 32 * 24 * MS_PER_HOUR)
    assert refused.value.code is KernelCode.OVERLAP_TOO_LONG
    assert (other.subjects, other.grants) == ((), ()) and (claimed.wallet.subjects, claimed.wallet.grants) == before
    assert Wallet.open(claimed.room.folder / "other.wallet", "other").subjects == ()
    claimed.patient.rotate(claimed.subject, other)
    assert (other.subjects, other.grants) == before and claimed.wallet.subjects == ()


def test_a_rotation_by_a_key_that_has_ended_leaves_nothing_in_the_new_wallet(claimed: Ward) -> None:
    copy, third = another_wallet(claimed, "copy", claimed.wallet.seed), another_wallet(claimed, "third")
    copy.add_subject(claimed.wallet.subjects[0])
    claimed.patient.rotate(claimed.subject, another_wallet(claimed, "other"))
    with pytest.raises(NotIncludable):
        Patient(claimed.client, copy).rotate(claimed.subject, third)
    assert third.subjects == ()


def test_a_rotation_of_which_nothing_is_known_leaves_the_subject_in_both_wallets(
        claimed: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    other, grant_id = another_wallet(claimed, "other.wallet"), claimed.grant()

    def lost(*_: object) -> bytes:
        raise Failed(EngineCode.ENGINE_STOPPED)

    with monkeypatch.context() as patched:
        patched.setattr(LocalTransport, "order", lost)
        with pytest.raises(Failed):
            claimed.patient.rotate(claimed.subject, other)
    assert other.subjects == claimed.wallet.subjects and [one.grant_id for one in other.grants] == [grant_id]
    claimed.patient.rotate(claimed.subject, other)
    assert claimed.wallet.subjects == () and len(other.subjects) == 1


def test_nothing_is_granted_before_the_claim(ward: Ward) -> None:
    with pytest.raises(Failed) as caught:
        ward.grant()
    assert caught.value.code is HolderCode.NOT_SIGNED


def test_a_wallet_that_cannot_keep_a_subject_claims_nothing(ward: Ward) -> None:
    code = claim_codes.issue(ward.room.holder, ward.subject)
    with pytest.raises(NotUnderstood) as full:
        ward.patient.claim(ward.door, rooms.A, ward.subject, code, label="x" * (WALLET_LABEL_CHARS_MAX + 1))
    assert full.value.code is ClientCode.WALLET_ENTRY_NOT_VALID and not ward.patient.recognise(rooms.A, ward.subject)
    ward.patient.claim(ward.door, rooms.A, ward.subject, code)


def test_a_wallet_restored_from_its_seed_recognises_its_own_subject_and_no_other(claimed: Ward, tmp_path: Path) -> None:
    def restored(seed: bytes | None, name: str) -> Patient:
        return Patient(claimed.client, Wallet.create(tmp_path / name, "-", seed=seed, strength=Strength.INTERACTIVE))
    hers, anothers = restored(claimed.wallet.seed, "hers"), restored(None, "another's")
    assert hers.recognise(rooms.A, claimed.subject) and not anothers.recognise(rooms.A, claimed.subject)
    assert [one.subject for one in hers.wallet.subjects] == [claimed.subject] and anothers.wallet.subjects == ()
    assert hers.history(claimed.door, claimed.subject).entries == claimed.history().entries


def test_a_wrong_code_claims_nothing_and_lists_nothing(ward: Ward) -> None:
    with pytest.raises(NotAuthorised) as caught:
        ward.patient.claim(ward.door, rooms.A, ward.subject, "AAAA-AAAA-AAAA")
    assert caught.value.code is HolderCode.CODE_NOT_VALID
    assert ward.wallet.subjects == ()


def test_a_second_claim_that_fails_forgets_no_subject_that_is_hers(claimed: Ward) -> None:
    with pytest.raises(NotAuthorised):
        claimed.patient.claim(claimed.door, rooms.A, claimed.subject, "AAAA-AAAA-AAAA")
    assert [one.subject for one in claimed.wallet.subjects] == [claimed.subject]


def test_a_claim_of_which_nobody_knows_what_became_stays_in_the_wallet(ward: Ward) -> None:
    def stopped(honest: Any, request: ClaimRequest) -> bytes:
        raise Failed(EngineCode.ENGINE_STOPPED)
    with pytest.raises(Failed):
        ward.patient.claim(Lying(ward.door, claim=stopped), rooms.A, ward.subject, "AAAA-AAAA-AAAA")
    assert [one.subject for one in ward.wallet.subjects] == [ward.subject]


@pytest.mark.parametrize("terms", [
    {"scope": (ScopeItem(data_class="laboratory", id="a" * 70),)}, {"scope": rooms.LABORATORY * 65},
    {"wording": "x" * 10_000}])
def test_terms_that_nobody_could_read_are_kept_nowhere(claimed: Ward, terms: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood) as caught:
        claimed.grant(**terms)
    assert caught.value.code is ClientCode.CONSENT_NOT_VALID
    assert claimed.wallet.grants == () and not claimed.room.holder.cabinet.list("consent", claimed.subject)


def test_a_grant_that_was_refused_is_forgotten_and_one_of_unknown_fate_is_not(claimed: Ward) -> None:
    with pytest.raises(Failed):
        claimed.grant(hours=0)
    assert claimed.wallet.grants == ()

    def stopped(honest: Any, signed: Any) -> None:
        raise Failed(EngineCode.ENGINE_STOPPED)
    door = claimed.door
    claimed.door = Lying(door, keep_consent=stopped)
    with pytest.raises(Failed):
        claimed.grant()
    assert len(claimed.wallet.grants) == 1


# -- what others could link

def test_what_a_wallet_signs_does_not_tell_its_clock(claimed: Ward) -> None:
    claimed.sent.clear()
    for _ in range(12):
        claimed.patient.revoke(claimed.subject, claimed.grant())
    now_ms = claimed.room.node.now_ms()
    lasting = [body.expires_at_ms - now_ms for body in claimed.sent]
    assert len(set(lasting)) == 24 and max(lasting) - min(lasting) > 5_000, "drawn at random"
    assert max(lasting) <= EXPIRES_IN_MS + JITTER_MS


def test_what_a_wallet_signs_for_two_subjects_shares_nothing(claimed: Ward) -> None:
    room = claimed.room
    room.take_in(*rooms.chart(1, "li"))
    other = room.subject("li")
    claimed.patient.claim(claimed.door, rooms.A, other, claim_codes.issue(room.holder, other))
    claimed.sent.clear()
    for subject in (claimed.subject, other):
        claimed.patient.grant(claimed.door, subject, rooms.B, scope=rooms.LABORATORY, purposes=("TREAT",), hours=24,
                              labels=(), wording="The same words.", language="en")
    public = (room.node.network, b"consent.grant/1", rooms.B)      # of everybody's grants to this organisation
    first, second = (codec.encode(body) for body in claimed.sent)
    for part in public:
        first, second = first.replace(part, b""), second.replace(part, b"")
    pieces = [{one[at:at + 12] for at in range(len(one) - 11)} for one in (first, second)]
    assert not pieces[0] & pieces[1], "what is equal is shorter: the hour, the minute of the expiry"
    ids = {body.messages[0].grant_id for body in claimed.sent} | {body.nonce for body in claimed.sent} | {
        body.messages[0].body for body in claimed.sent} | {body.signers[0].key for body in claimed.sent}
    assert len(ids) == 8
    assert {body.messages[0].until_h for body in claimed.sent} == {claimed.room.node.now_ms() // 3_600_000 + 24}


# -- a ledger that lies about the time

class LyingClock(LocalTransport):
    """A server that names a far hour when it is asked, `lie_ms` ahead."""

    lie_ms = 9 * 365 * 24 * MS_PER_HOUR

    def now_ms(self) -> int:
        return super().now_ms() + self.lie_ms


class LyingOnce(LyingClock):
    def now_ms(self) -> int:
        found, self.lie_ms = super().now_ms(), 0
        return found


def granted_for_a_day(ward: Ward, transport: LocalTransport) -> tuple[bytes, Any]:
    patient = Patient(Client(transport, module_set(), ward.room.node.network), ward.wallet)
    return patient.grant(ward.door, ward.subject, rooms.B, scope=rooms.LABORATORY, purposes=("TREAT",), hours=24,
                         labels=(), wording="For a day.", language="en")


@pytest.mark.parametrize("lie_ms", [9 * 365 * 24 * MS_PER_HOUR, 3 * MS_PER_HOUR, -3 * MS_PER_HOUR])
def test_a_consent_that_a_lying_clock_stretched_is_not_taken_for_hers_and_she_can_take_it_back(
        claimed: Ward, lie_ms: int) -> None:
    transport = LyingOnce(claimed.room.node)
    transport.lie_ms = lie_ms
    with pytest.raises(NotVerified) as caught:
        granted_for_a_day(claimed, transport)
    assert caught.value.code is ClientCode.GRANT_NOT_AS_ASKED
    claimed.patient.revoke(claimed.subject, caught.value.facts["grant_id"])
    assert claimed.room.ask(claimed.subject).denied


def test_a_real_networks_consent_is_counted_from_the_wallets_own_clock(tmp_path: Path) -> None:
    node = Node.create(tmp_path / "ledger", structs.replace(rooms.manifest(), simulated=False), module_set(), "op",
                       bytes([9]) * 32)
    ward = Ward(tmp_path, rooms.Room.found(tmp_path, node))
    try:
        ward.claim()
        transport = LyingOnce(ward.room.node)
        with pytest.raises(Failed) as caught:
            granted_for_a_day(ward, transport)
        assert caught.value.code is KernelCode.EXPIRY_TOO_FAR_AHEAD and ward.room.ask(ward.subject).denied
        _, sent = granted_for_a_day(ward, transport)
        assert abs(sent.events[0].until_h - node.now_ms() // MS_PER_HOUR - 24) <= 1
    finally:
        ward.room.close()


# -- a door that lies

def test_a_claim_is_believed_only_with_its_own_receipt(ward: Ward) -> None:
    other = ward.room.node.receipt_at(1, 0)
    for answer in (lambda honest, request: other, lambda honest, request: b"",
                   lambda honest, request: honest(request)[:-1]):
        with pytest.raises(NotVerified):
            ward.claim(Lying(ward.door, claim=answer))
        assert ward.wallet.subjects == ()
        ward.room.close()
        ward.__init__(ward.room.folder / "again")  # type: ignore[misc]


def test_a_claim_that_the_ledger_refused_is_not_taken_for_one_that_stands(ward: Ward) -> None:
    ward.claim()

    def refused(honest: Any, request: ClaimRequest) -> bytes:
        with pytest.raises(Failed) as caught:
            honest(request)
        return ward.room.node.receipt(caught.value.facts["tx"])

    with pytest.raises(Failed) as caught:
        ward.claim(Lying(ward.door, claim=refused))
    assert caught.value.code.name == "SUBJECT_ALREADY_CLAIMED"


def with_history(ward: Ward, change: Any) -> Any:
    def history(honest: Any, signed: SignedChallenge) -> Reply:
        entries, words, proof = change(*openings.history(ward.room.holder, signed))
        return Reply.to(signed, OpenedHistory(entries=tuple(map(codec.encode, entries)), words=tuple(words),
                                              proof=proof))
    return {"history": history}


def another_request(words: list[Any]) -> list[Any]:
    body = codec.encode(RequestBody(reader=rooms.DOCTOR, purpose="TREAT", scope=rooms.LABORATORY, reason="nothing"))
    return [structs.replace(words[0], request=Opened(nonce=bytes(32), body=body)), *words[1:]]


def another_opening(words: list[Any], name: str) -> list[Any]:
    return [words[0], structs.replace(words[1], **{name: Opened(nonce=bytes(32), body=b"")}), *words[2:]]


LIES: dict[str, Any] = {
    "an entry left out": lambda entries, words, proof: (entries[1:], words[1:], proof),
    "the last entry left out": lambda entries, words, proof: (entries[:-1], words[:-1], proof),
    "two entries swapped": lambda entries, words, proof: ([entries[1], entries[0], *entries[2:]], words, proof),
    "an entry doubled": lambda entries, words, proof: ([entries[0], *entries], [words[0], *words], proof),
    "an entry altered": lambda entries, words, proof: (
        [structs.replace(entries[0], reader=rooms.NURSE), *entries[1:]], words, proof),
    "no entries": lambda entries, words, proof: ([], [], proof),
    "words left out": lambda entries, words, proof: (entries, words[1:], proof),
    "another request": lambda entries, words, proof: (entries, another_request(words), proof),
    "another opening": lambda entries, words, proof: (entries, another_opening(words, "opening"), proof),
    "other inputs": lambda entries, words, proof: (entries, another_opening(words, "inputs"), proof),
    "no proof": lambda entries, words, proof: (entries, words, b""),
    "a proof cut": lambda entries, words, proof: (entries, words, proof[:-1]),
}


@pytest.mark.parametrize("name", LIES)
def test_a_history_that_is_not_the_ledgers_is_not_shown(claimed: Ward, name: str) -> None:
    claimed.grant()
    claimed.room.ask(claimed.subject)
    assert len(claimed.history().entries) == 2
    with pytest.raises(NotVerified):
        claimed.history(Lying(claimed.door, **with_history(claimed, LIES[name])))


def test_a_list_of_yesterday_is_not_taken_for_todays(claimed: Ward) -> None:
    """Complete, and proved so: by the proof of its own day."""
    claimed.grant(hours=72)
    claimed.room.ask(claimed.subject)
    old = openings.history(claimed.room.holder, claimed.door.challenge(claimed.subject).signed(
        claimed.patient.key(claimed.subject), rooms.RECIPIENT.public))
    yesterday = Lying(claimed.door, **with_history(claimed, lambda *_: old))
    assert len(claimed.history(yesterday).entries) == 2, "nobody asked since"
    claimed.room.node.advance(26 * MS_PER_HOUR)
    claimed.room.ask(claimed.subject)
    with pytest.raises(NotVerified) as caught:
        claimed.history(yesterday)
    assert caught.value.code is ClientCode.LIST_TOO_OLD
    with pytest.raises(NotVerified):
        claimed.patient.judge(yesterday, claimed.subject)
    assert len(claimed.history().entries) == 4


def test_a_list_that_grows_while_it_is_asked_for_is_taken(claimed: Ward) -> None:
    claimed.grant()

    def meanwhile(honest: Any, subject: bytes) -> Any:
        claimed.room.ask(subject)
        return honest(subject)
    history = claimed.history(Lying(claimed.door, challenge=meanwhile))
    assert len(history.entries) == 2
    assert history.height == claimed.room.node.ask(lambda ledger: ledger.height)


def test_a_history_of_another_subject_is_not_taken_for_hers(claimed: Ward) -> None:
    room = claimed.room
    room.take_in(*rooms.chart(1, "li"))
    room.claim(room.subject("li"))

    def others(honest: Any, signed: SignedChallenge) -> Any:
        entries, words, proof = openings.history(room.holder, room.signed_challenge(room.subject("li")))
        return Reply.to(signed, OpenedHistory(entries=tuple(map(codec.encode, entries)), words=tuple(words),
                                              proof=proof))

    with pytest.raises(NotVerified) as caught:
        claimed.history(Lying(claimed.door, history=others))
    assert caught.value.code is ClientCode.WORDS_DO_NOT_MATCH


def test_she_signs_no_challenge_but_for_her_own_subject_and_network(claimed: Ward) -> None:
    signed: list[SignedChallenge] = []
    for change in ({"subject": bytes(16)}, {"network": bytes(32)}):
        def other(honest: Any, subject: bytes, change: Any = change) -> Challenge:
            drawn: Challenge = structs.replace(honest(subject), **change)
            return drawn
        with pytest.raises(NotVerified):
            claimed.history(Lying(claimed.door, challenge=other, history=lambda honest, one: signed.append(one)))
    assert signed == []


def test_words_that_were_never_stated_are_no_lie(claimed: Ward) -> None:
    claimed.room.order(access.Request(reader=rooms.DOCTOR, subject=claimed.subject, grant_id=bytes(16),
                                      key_hash=bytes(32), body=bytes(32)))
    (words,) = claimed.history().words
    assert words.request is None
