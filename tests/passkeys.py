"""A passkey that tests can hold: what a browser and its authenticator return, signed with a real P-256 key."""

import base64
import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from xinglin.base import codec
from xinglin.base.crypto import PasskeyKey, PasskeySignature

USER_PRESENT, USER_VERIFIED = 0x01, 0x04


class Passkey:
    """The same seed makes the same key and, ECDSA being deterministic here, the same signatures."""

    def __init__(self, seed: int = 1, rp_id: str = "portal.example", origin: str = "https://portal.example"):
        self.private = ec.derive_private_key(seed, ec.SECP256R1())
        self.point = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.rp_id_hash = hashlib.sha256(rp_id.encode()).digest()
        self.origin = origin

    @property
    def public(self) -> bytes:
        return codec.encode(PasskeyKey(point=self.point, rp_id_hash=self.rp_id_hash, origin=self.origin))

    def client_data(self, message: bytes, rest: bytes = b"}", kind: str = "webauthn.get") -> bytes:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(message).digest()).decode().rstrip("=")
        start = f'{{"type":"{kind}","challenge":"{challenge}","origin":"{self.origin}","crossOrigin":false'
        return start.encode() + rest

    def authenticator_data(self, flags: int = USER_PRESENT | USER_VERIFIED, extensions: bytes = b"") -> bytes:
        return self.rp_id_hash + bytes((flags,)) + (7).to_bytes(4, "big") + extensions

    def assertion(self, authenticator_data: bytes, client_data: bytes) -> bytes:
        """A good signature over these bytes, whether or not they are what they should be."""
        signed = authenticator_data + hashlib.sha256(client_data).digest()
        der = self.private.sign(signed, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return codec.encode(PasskeySignature(authenticator_data=authenticator_data, client_data=client_data, der=der))

    def sign(self, message: bytes) -> bytes:
        return self.assertion(self.authenticator_data(), self.client_data(message))
