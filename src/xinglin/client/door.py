"""What a patient's wallet and her holder say to each other, off the ledger. In process now, HTTPS later."""

from typing import Annotated, Protocol

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.codec import Struct
from xinglin.base.crypto import SigningKey
from xinglin.base.ids import GrantId, Hash, NetworkId, SubjectId
from xinglin.base.units import Count
from xinglin.kernel.module import Event
from xinglin.modules.decision import Opened

CHALLENGE_DOMAIN = b"xinglin/challenge/1\x00"
KEPT_CONSENT_DOMAIN = b"xinglin/kept-consent/1\x00"

SignatureBytes = Annotated[bytes, Meta(max_length=4096)]


class ClaimRequest(Struct, tag="xinglin.claim-request/1"):
    """The body of a claim, her signature over it, and the one-time code."""

    body: Annotated[bytes, Meta(max_length=4096)]
    signature: SignatureBytes
    code: Annotated[str, Meta(max_length=64)]


class Challenge(Struct, tag="xinglin.challenge/1"):
    """Drawn by the holder, signed once with the subject's key, then gone."""

    network: Hash
    subject: SubjectId
    nonce: Hash

    def message(self) -> bytes:
        return CHALLENGE_DOMAIN + codec.encode(self)


class SignedChallenge(Struct, tag="xinglin.signed-challenge/1"):
    challenge: Challenge
    signature: SignatureBytes


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


class Words(Struct, tag="xinglin.words/1"):
    """What was asked and judged behind one entry; None where nothing was delivered ("not stated")."""

    number: Count
    request: Opened | None
    inputs: Opened | None
    opening: Opened | None


class Door(Protocol):
    """A holder, as a patient's wallet reaches it."""

    def service(self) -> tuple[bytes, bytes]:
        """(service account, hash of its key) that co-signs claims."""

    def claim(self, request: ClaimRequest) -> bytes:
        """Check code and claim, co-sign, order; the receipt file."""

    def keep_consent(self, signed: SignedConsent) -> None:
        """Keep the body behind a grant. Without it the holder answers no."""

    def challenge(self, subject: SubjectId) -> Challenge: ...

    def history(self, signed: SignedChallenge) -> tuple[list[Event], list[Words], bytes]:
        """(entries in order, the words behind them, a state-proof file of the log row)."""
