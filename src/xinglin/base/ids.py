"""Ids, all drawn at random outside the chain, and hashes. None of them is derived from a person."""

from typing import Annotated

from msgspec import Meta

Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]

AccountId = Id       # whoever signs: member, staff, service, device, node, subject
MemberId = Id        # an organisation
SubjectId = Id       # one (patient, holder) pair
GrantId = Id
Nonce = Id           # of a transaction
TxId = Hash
NetworkId = Hash     # H(genesis manifest)
KeyHash = Hash       # H(suite, key)
Commitment = Hash    # H(domain, 32-byte secret nonce, content)

NO_ID = bytes(16)
NO_HASH = bytes(32)


def short(some: bytes) -> str:
    """The first four hex digits, enough for a log and too few to look anyone up."""
    return some[:2].hex() + ".."
