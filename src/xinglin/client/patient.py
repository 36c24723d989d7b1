"""A patient with her wallet: claim, grant, revoke, read who asked, prove what is and what is not."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from xinglin.base import codec
from xinglin.base.check import Busy, Failed, NotAuthorised, NotFound, NotUnderstood, NotVerified
from xinglin.base.crypto import HashSuite, SignatureSuite, SigningKey, key_hash
from xinglin.base.ids import NO_ID, AccountId, Commitment, GrantId, MemberId, SubjectId, short
from xinglin.base.units import MS_PER_HOUR, Millis
from xinglin.client.client import Client, Sent
from xinglin.client.codes import ClientCode
from xinglin.client.door import (
    ClaimRequest,
    Door,
    KeptConsent,
    OpenedHistory,
    Reply,
    SignedChallenge,
    Words,
    code_proof,
)
from xinglin.client.judging import Judged, Known, Terms, judge, opened
from xinglin.client.records import KnownBatch, OpenedRecords
from xinglin.client.records import known as known_batches
from xinglin.client.signing import EXPIRES_IN_MS
from xinglin.client.verify import Completeness, verify_file
from xinglin.client.wallet import GrantMade, Wallet, WalletSubject
from xinglin.kernel.accounts import ACCOUNTS, NO_END, AccountRow, find_key
from xinglin.kernel.module import Event, Message
from xinglin.kernel.receipt import Signed, StateProof, VerifiedRow, read_file
from xinglin.kernel.tx import SIGN_DOMAIN, Body, NotIncludable, Signer, tx_id
from xinglin.modules import access, consent, members, records, subjects
from xinglin.modules.decision import ConsentBody, Opened, ScopeItem, commit
from xinglin.modules.members import Role
from xinglin.vault.wrap import RecipientKey

CLOCK_HOURS = 1                    # by which two clocks may differ: the hour turns, or one is a little fast
JITTER_MS = 30_000                 # wallets draw the expiry: a constant one would tell this device's clock, to the ms


class History(NamedTuple):
    """Everything ordered about a subject until `as_of_ms`, and the file that proves nothing was left out."""

    entries: list[Event]
    words: list[Words]
    file: bytes
    as_of_ms: int
    height: int                    # of the ledger, at that time
    signed: Signed                 # who stands behind the file


class Patient:
    def __init__(self, client: Client, wallet: Wallet):
        self._client = client
        self.wallet = wallet

    def key(self, subject: SubjectId) -> SigningKey:
        return self.wallet.signing_key(self._client.network.id, subject)

    def claim(self, door: Door, holder: MemberId, subject: SubjectId, code: str, label: str = "") -> bytes:
        """Take the subject into her own hands; the receipt file.

        The wallet knows the subject before the claim is ordered: what cannot be kept is not claimed.
        Errors  NotUnderstood WALLET_FULL and other trouble with the wallet, before anything is ordered;
                NotAuthorised CODE_NOT_VALID; NotVerified when the receipt is not of this claim; Failed on a refusal.
        """
        network, key = self._client.network, self.key(subject)
        fresh = self._keep(holder, subject, label)
        service, service_key = door.service()
        claim = subjects.Claim(service=service, subject=subject, suite=SignatureSuite.ED25519, key=key.public)
        body = codec.encode(Body(
            network=network.id, expires_at_ms=self._client.now_ms() + _expires_in_ms(),
            nonce=secrets.token_bytes(16), messages=(claim,), signers=(
                Signer(account=service, key=service_key),
                Signer(account=subject, key=key_hash(network.hashes, key.suite, key.public)))))
        try:
            file = door.claim(ClaimRequest(body=body, signature=key.sign(SIGN_DOMAIN + body),
                                           proof=code_proof(network.hashes, body, code)))
            self._client.sent(tx_id(network.hashes, body), file)
        except Failed as error:
            if fresh and (_came_to_nothing(error) or isinstance(error, NotVerified)):    # a lie is not believed
                self.wallet.drop_subject(network.id, subject)
            raise
        return file

    def recognise(self, holder: MemberId, subject: SubjectId, label: str = "") -> bool:
        """Whether the subject is hers already: the ledger proves that its account has her key. Then the wallet
        keeps it: so a wallet restored from its seed learns its subjects again.
        """
        key = self.key(subject)
        row = self._client.prove(ACCOUNTS, (subject,))[0].row
        wanted = key_hash(self._client.network.hashes, key.suite, key.public)
        found = find_key(row, wanted) if isinstance(row, AccountRow) else None
        known = found is not None and found.ends_ms == NO_END    # a key that was replaced is another wallet's to use
        if known:
            self._keep(holder, subject, label)
        return known

    def _keep(self, holder: MemberId, subject: SubjectId, label: str) -> bool:
        """Whether the wallet did not know it."""
        network = self._client.network.id
        if any((one.network, one.subject) == (network, subject) for one in self.wallet.subjects):
            return False
        self.wallet.add_subject(WalletSubject(network=network, subject=subject, holder=holder, label=label))
        return True

    def rotate(self, subject: SubjectId, to: Wallet, old_until_ms: int = 0) -> Sent:
        """Give a subject into the hands of another wallet, of another seed: a new key, in the place of this one's.

        The new wallet knows the subject, and what opens its grants, before the change is ordered, and forgets them
        when it came to nothing; this one forgets the subject after it. Whoever has a copy of this wallet can do
        nothing more in her name from then on, and she nothing less.
        Errors  NotFound SUBJECT_NOT_IN_WALLET; what a wallet may say; Failed on a refusal.
        """
        network, new = self._client.network, to.signing_key(self._client.network.id, subject)
        known = next((one for one in self.wallet.subjects if (one.network, one.subject) == (network.id, subject)), None)
        if known is None:
            raise NotFound(ClientCode.SUBJECT_NOT_IN_WALLET, short(subject))
        had_subjects, had_grants = to.subjects, to.grants
        message = subjects.RotateKey(subject=subject, suite=new.suite, key=new.public, old_until_ms=old_until_ms)
        try:
            if all((one.network, one.subject) != (network.id, subject) for one in had_subjects):
                to.add_subject(known)
            for made in self.wallet.grants:
                if (made.network, made.subject) == (network.id, subject):
                    to.put_grant(made)
            sent = self._client.send([message], {subject: self.key(subject)}, apart=[new],
                                     expires_in_ms=_expires_in_ms())
        except Failed as error:
            if _came_to_nothing(error):
                to.put_back(had_subjects, had_grants)
            raise
        self.wallet.drop_subject(network.id, subject)
        return sent

    def grant(self, door: Door, subject: SubjectId, grantee: MemberId, *, scope: Sequence[ScopeItem],
              purposes: Sequence[str], hours: int, labels: Sequence[str], wording: str, language: str,
              person: AccountId = NO_ID, roles: Sequence[Role] = ()) -> tuple[GrantId, Sent]:
        """Permit an organisation, for `hours` from now. The body goes to the wallet and the holder before the grant
        is ordered; a grant that came to nothing is forgotten again.

        Errors  NotUnderstood CONSENT_NOT_VALID, before anything is kept; NotVerified GRANT_NOT_AS_ASKED: the ledger
                has another grant, or its time is not the time that she was shown; the wallet has it, so that she
                can take it back.
        """
        network = self._client.network
        body = codec.encode(ConsentBody(person=person, roles=tuple(roles), scope=tuple(scope), labels=tuple(labels),
                                        purposes=tuple(purposes), wording=wording, language=language))
        try:
            codec.decode(body, ConsentBody)    # a constructor checks nothing, and what is kept must be readable
        except NotUnderstood as error:
            raise NotUnderstood(ClientCode.CONSENT_NOT_VALID, error.detail) from None
        opened = Opened(nonce=secrets.token_bytes(32), body=body)
        grant_id = secrets.token_bytes(16)
        self.wallet.put_grant(GrantMade(network=network.id, subject=subject, grantee=grantee, grant_id=grant_id,
                                        body=body, nonce=opened.nonce))
        commitment = commit(network.hashes, "consent-body", opened.nonce, body)
        until_h = self._now_ms() // MS_PER_HOUR + hours
        kept = KeptConsent(network=network.id, subject=subject, grant_id=grant_id, opened=opened)
        try:
            door.keep_consent(kept.signed(self.key(subject)))
            sent = self._send(subject, consent.Grant(
                subject=subject, grantee=grantee, grant_id=grant_id, until_h=until_h, body=commitment))
        except Failed as error:
            if _came_to_nothing(error):
                self.wallet.drop_grant(network.id, subject, grant_id)
            raise
        _check_grant(sent, subject, grantee, grant_id, until_h, commitment, hours)
        return grant_id, sent

    def _now_ms(self) -> int:
        """What a grant is counted from: this device's clock. Only a simulated network's clock is not here."""
        if self._client.network.manifest.simulated:
            return self._client.now_ms()
        return time.time_ns() // 1_000_000

    def revoke(self, subject: SubjectId, grant_id: GrantId, grantee: MemberId | None = None) -> Sent:
        """Take a permission back; needs nobody's help. `grantee` is needed where the wallet does not know the grant.

        Errors  NotFound GRANT_NOT_IN_WALLET.
        """
        if grantee is None:
            grantee = self.grant_made(subject, grant_id).grantee
        return self._send(subject, consent.Revoke(subject=subject, grantee=grantee, grant_id=grant_id))

    def _send(self, subject: SubjectId, message: Message) -> Sent:
        return self._client.send([message], {subject: self.key(subject)}, expires_in_ms=_expires_in_ms())

    def grant_made(self, subject: SubjectId, grant_id: GrantId) -> GrantMade:
        for made in self.wallet.grants:
            if (made.network, made.subject, made.grant_id) == (self._client.network.id, subject, grant_id):
                return made
        raise NotFound(ClientCode.GRANT_NOT_IN_WALLET)

    def history(self, door: Door, subject: SubjectId) -> History:
        """Who asked, who was answered, what, why, permitted or denied; complete, and proved so here and now.

        Errors  NotVerified: entries or words are not the ones that were ordered; LIST_TOO_OLD; NotAuthorised
                CHALLENGE_NOT_MET.
        """
        # The ledger first, then the holder: an entry that comes meanwhile makes the list longer, never short.
        row = self._client.prove(access.LOG, (subject,))[0].row
        opened = self._opened(door, subject, door.history, OpenedHistory)
        words = [*opened.words]
        file = codec.encode(Completeness(entries=opened.entries, log=read_file(opened.proof, StateProof)))
        verdict = verify_file(file, self._client.pinned, self._client.modules, self._client.policy)
        if verdict.facts["subject"] != subject.hex() or len(words) != len(verdict.events):
            raise NotVerified(ClientCode.WORDS_DO_NOT_MATCH, "the list is of another subject, or lacks words")
        for entry, one in zip(verdict.events, words, strict=True):
            _check_words(verdict.network.hashes, entry, one)
        _check_begins(verdict.network.hashes, verdict.events, row if isinstance(row, access.LogRow)
                      else access.NO_ENTRIES)
        self._client.saw(verdict.facts["height"])
        return History([*verdict.events], words, file, verdict.time_ms, verdict.facts["height"], verdict.signed)

    def _opened(self, door: Door, subject: SubjectId, ask: Callable[[SignedChallenge], Reply],
                type_: type[codec.T]) -> codec.T:
        """What the door replies to a signed challenge, which nobody on the way can read.

        Errors  NotVerified WORDS_DO_NOT_MATCH, WRAP_NOT_VALID, SEAL_NOT_VALID; NotAuthorised CHALLENGE_NOT_MET.
        """
        challenge, recipient = door.challenge(subject), RecipientKey.new()
        if (challenge.network, challenge.subject) != (self._client.network.id, subject):
            raise NotVerified(ClientCode.WORDS_DO_NOT_MATCH, "the challenge is for something else")
        try:
            return ask(challenge.signed(self.key(subject), recipient.public)).opened(challenge, recipient, type_)
        except NotUnderstood as error:
            raise NotVerified(ClientCode.WORDS_DO_NOT_MATCH, error.detail) from None

    def judge(self, door: Door, subject: SubjectId) -> list[Judged]:
        """Every answer of her holder, judged again: does it follow from the rules? Oldest first.

        Errors  as `history`; NotVerified RECORDS_DO_NOT_MATCH: the records that the holder shows are not the ledger's.
        """
        history = self.history(door, subject)
        words = {one.number: one for one in history.words}
        asked = {entry.number: entry for entry in history.entries if isinstance(entry, access.Requested)}
        answers = [entry for entry in history.entries if isinstance(entry, access.Answered)]
        batches = self._batches(door, subject) if answers else []
        of_grantee: dict[MemberId, tuple[Sequence[consent.Given], Mapping[Commitment, Terms]]] = {}
        found = []
        for answer in answers:
            request = asked[answer.request]
            if request.grantee not in of_grantee:
                of_grantee[request.grantee] = self._consents(subject, request.grantee, answers, words)
            grants, terms = of_grantee[request.grantee]
            staff, active_since_ms = self._reader(request.reader)
            known = Known(self._client.network.hashes, self._client.network.manifest.parameters.answer_ms, batches,
                          grants, terms, staff, active_since_ms)
            found.append(judge(known, request, words[request.number], answer, words[answer.number]))
        return found

    def _batches(self, door: Door, subject: SubjectId) -> list[KnownBatch]:
        """What the holder opens of her records, held to every batch on the ledger."""
        opened = self._opened(door, subject, door.records, OpenedRecords)
        rows: list[records.BatchRow] = []
        while isinstance(row := self._client.prove(records.BATCHES, (subject, len(rows) + 1))[0].row, records.BatchRow):
            rows.append(row)
        return known_batches(self._client.network.hashes, opened, rows)

    def _consents(self, subject: SubjectId, grantee: MemberId, answers: Sequence[access.Answered],
                  words: Mapping[int, Words]) -> tuple[Sequence[consent.Given], Mapping[Commitment, Terms]]:
        """Her grants to an organisation as they stand, and the terms of those that are known: from her wallet, else
        from her holder, where they are those that a grant on the ledger commits to."""
        hashes, network = self._client.network.hashes, self._client.network.id
        row = self._client.prove(consent.GRANTS, (subject, grantee))[0].row
        grants = row.grants if isinstance(row, consent.GrantsRow) else ()
        bodies = [(made.grant_id, Opened(nonce=made.nonce, body=made.body)) for made in self.wallet.grants
                  if (made.network, made.subject, made.grantee) == (network, subject, grantee)]
        by_commitment = {given.body: given.grant_id for given in grants}
        for answer in answers:
            kept = words[answer.number].consent
            if kept is not None:
                commitment = commit(hashes, "consent-body", kept.nonce, kept.body)
                if commitment in by_commitment:
                    bodies.append((by_commitment[commitment], kept))
        terms = {}
        for grant_id, one in bodies:
            body = opened(ConsentBody, one)
            if body is not None:
                terms[commit(hashes, "consent-body", one.nonce, one.body)] = Terms(grant_id, body)
        return grants, terms

    def _reader(self, reader: AccountId) -> tuple[members.StaffRow | None, Millis | None]:
        """Who asked, as the ledger has her, and since when her organisation has been active; None when they may not
        ask now. An account that was ended never comes back, so what is active was so from the start."""
        staff = self._client.prove(members.STAFF, (reader,))[0].row
        if not isinstance(staff, members.StaffRow):
            return None, None
        member = self._client.prove(members.MEMBERS, (staff.member,))[0].row
        if not staff.active or not isinstance(member, members.MemberRow) \
                or member.status is not members.MemberStatus.ACTIVE:
            return staff, None
        return staff, member.since_ms

    def prove_consent(self, subject: SubjectId, grantee: MemberId) -> tuple[VerifiedRow, bytes]:
        """The row of grants to an organisation, or that there is none; with the file to keep."""
        return self._client.prove(consent.GRANTS, (subject, grantee))


def _came_to_nothing(error: Failed) -> bool:
    """Whether what was sent has certainly not happened: turned away, or refused with a receipt of the refusal."""
    return "receipt" in error.facts or isinstance(
        error, Busy | NotAuthorised | NotFound | NotIncludable | NotUnderstood)


def _expires_in_ms() -> int:
    return EXPIRES_IN_MS + secrets.randbelow(JITTER_MS)


def _check_grant(sent: Sent, subject: SubjectId, grantee: MemberId, grant_id: GrantId, until_h: int,
                 commitment: Commitment, hours: int) -> None:
    """The grant on the ledger is the one she was shown, and ends `hours` after it was made, as its block has it."""
    (given,) = sent.events
    lasts_h = until_h - sent.time_ms // MS_PER_HOUR
    same = isinstance(given, consent.Granted) and (
        given.subject, given.grantee, given.grant_id, given.until_h, given.body) == (
        subject, grantee, grant_id, until_h, commitment)
    if not same or abs(lasts_h - hours) > CLOCK_HOURS:
        raise NotVerified(ClientCode.GRANT_NOT_AS_ASKED, f"{lasts_h} h", grant_id=grant_id, receipt=sent.receipt)


def _check_begins(hashes: HashSuite, entries: Sequence[Event], row: access.LogRow) -> None:
    """A list has at least what stood on the ledger before it was asked for: its own proof may be yesterday's."""
    if access.running_of(hashes, [*entries[:row.count]]) != row:
        raise NotVerified(ClientCode.LIST_TOO_OLD, f"{len(entries)} entries, the ledger counts {row.count}")


def _check_words(hashes: HashSuite, entry: Event, words: Words) -> None:
    """What is opened is what the entry commits to. Nothing opened is "not stated", which is no lie."""
    committed: list[tuple[str, Opened | None, bytes]] = []
    if isinstance(entry, access.Requested):
        committed = [("request-body", words.request, entry.body)]
    elif isinstance(entry, access.Answered):
        committed = [("inputs", words.inputs, entry.inputs), ("opening", words.opening, entry.opening)]
    for kind, shown, commitment in committed:
        if shown is not None and commit(hashes, kind, shown.nonce, shown.body) != commitment:
            raise NotVerified(ClientCode.WORDS_DO_NOT_MATCH, f"the {kind} of an entry")
