"""What a patient's wallet and her holder say to each other, off the ledger. In process now, HTTPS later."""

from typing import Annotated, Protocol

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite, SigningKey, tagged
from xinglin.base.ids import GrantId, Hash, NetworkId, SubjectId
from xinglin.base.limits import COMPLETE_ENTRIES_MAX, PROOF_FILE_BYTES_MAX
from xinglin.base.units import Count
from xinglin.client.verify import EntryBytes
from xinglin.modules.decision import Opened
from xinglin.vault.seal import new_key, open_sealed, seal
from xinglin.vault.wrap import PUBLIC_BYTES, RecipientKey, wrap

CHALLENGE_DOMAIN = b"xinglin/challenge/2\x00"
KEPT_CONSENT_DOMAIN = b"xinglin/kept-consent/1\x00"

SignatureBytes = Annotated[bytes, Meta(max_length=4096)]


CODE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"    # no 0 O 1 I L, which people mix up


class ClaimRequest(Struct, tag="xinglin.claim-request/2"):
    """The body of a claim, her signature over it, and proof that whoever wrote this very body has the one-time code.

    The code itself stays with her: who carries the request could else claim with a key of his own.
    """

    body: Annotated[bytes, Meta(max_length=4096)]
    signature: SignatureBytes
    proof: Hash


def code_proof(hashes: HashSuite, body: bytes, code: str) -> Hash:
    """H(domain, body, code), the code however it was typed: small letters, spaces and missing hyphens are no other."""
    typed = "".join(char for char in code.upper() if char in CODE_ALPHABET)
    return tagged(hashes, "xinglin/claim-proof/1", body, typed.encode())


class Challenge(Struct, tag="xinglin.challenge/1"):
    """Drawn by the holder, signed once with the subject's key, then gone."""

    network: Hash
    subject: SubjectId
    nonce: Hash

    def signed(self, key: SigningKey, recipient: bytes) -> "SignedChallenge":
        return SignedChallenge(challenge=self, recipient=recipient,
                               signature=key.sign(challenge_message(self, recipient)))


def challenge_message(challenge: Challenge, recipient: bytes) -> bytes:
    """What she signs. With the key for the reply in it, a door between her and her holder learns nothing."""
    return CHALLENGE_DOMAIN + codec.encode((challenge, recipient))


class SignedChallenge(Struct, tag="xinglin.signed-challenge/2"):
    challenge: Challenge
    recipient: Annotated[bytes, Meta(min_length=PUBLIC_BYTES, max_length=PUBLIC_BYTES)]    # fresh
    signature: SignatureBytes


class Reply(Struct, tag="xinglin.reply/1"):
    """What a signed challenge is answered with, for the key in it alone."""

    wrapped: Annotated[bytes, Meta(max_length=4096)]           # a fresh key
    sealed: Annotated[bytes, Meta(max_length=2 * PROOF_FILE_BYTES_MAX)]     # the content under it

    @classmethod
    def to(cls, signed: SignedChallenge, content: Struct) -> "Reply":
        key, context = new_key(), _reply_context(signed.challenge)
        return cls(wrapped=wrap(signed.recipient, context, key), sealed=seal(key, context, codec.encode(content)))

    def opened(self, challenge: Challenge, recipient: RecipientKey, type_: type[codec.T]) -> codec.T:
        """Errors  NotVerified WRAP_NOT_VALID, SEAL_NOT_VALID; NotUnderstood BYTES_NOT_UNDERSTOOD."""
        context = _reply_context(challenge)
        content: codec.T = codec.decode(
            open_sealed(recipient.unwrap(context, self.wrapped), context, self.sealed), type_)
        return content


def _reply_context(challenge: Challenge) -> bytes:
    return codec.encode(("xinglin/reply/1", challenge.network, challenge.subject, challenge.nonce))


class KeptConsent(Struct, tag="xinglin.kept-consent/1"):
    """The body behind a grant, for the holder to keep."""

    network: NetworkId
    subject: SubjectId
    grant_id: GrantId
    opened: Opened                 # of ConsentBody

    def message(self) -> bytes:
        return KEPT_CONSENT_DOMAIN + codec.encode(self)

    def signed(self, key: SigningKey) -> "SignedConsent":
        return SignedConsent(consent=self, signature=key.sign(self.message()))


class SignedConsent(Struct, tag="xinglin.signed-consent/1"):
    """Signed with the subject's key: a holder keeps nothing for strangers."""

    consent: KeptConsent
    signature: SignatureBytes


class Words(Struct, tag="xinglin.words/3"):
    """What was asked and judged behind one entry; None where nothing was delivered ("not stated")."""

    number: Count
    request: Opened | None
    inputs: Opened | None
    opening: Opened | None
    consent: Opened | None         # the terms that were judged, which her wallet may have lost
    recipient: Hash | None = None  # the hash of the key that came with the request


class OpenedHistory(Struct, tag="xinglin.opened-history/1"):
    """Entries in order, the words behind each, and a state-proof file of the log row."""

    entries: Annotated[tuple[EntryBytes, ...], Meta(max_length=COMPLETE_ENTRIES_MAX)]
    words: Annotated[tuple[Words, ...], Meta(max_length=COMPLETE_ENTRIES_MAX)]
    proof: Annotated[bytes, Meta(max_length=PROOF_FILE_BYTES_MAX)]


class Door(Protocol):
    """A holder, as a patient's wallet reaches it."""

    def service(self) -> tuple[bytes, bytes]:
        """(service account, hash of its key) that co-signs claims."""

    def claim(self, request: ClaimRequest) -> bytes:
        """Check code and claim, co-sign, order; the receipt file."""

    def keep_consent(self, signed: SignedConsent) -> None:
        """Keep the body behind a grant. Without it the holder answers no."""

    def challenge(self, subject: SubjectId) -> Challenge: ...

    def history(self, signed: SignedChallenge) -> Reply:
        """Of OpenedHistory."""

    def records(self, signed: SignedChallenge) -> Reply:
        """Of OpenedRecords."""
