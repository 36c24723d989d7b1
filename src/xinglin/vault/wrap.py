"""Short secrets for one recipient: HPKE with ML-KEM-768 and X25519, HKDF-SHA256, AES-256-GCM.

Public key   ML-KEM-768 encapsulation key (1,184) | X25519 public key (32)
Private key  ML-KEM-768 seed (64) | X25519 private key (32)
Wrapped      version (1) | encapsulation (1,120) | ciphertext and tag

HPKE as the library offers it has no AAD: whatever the secret is bound to goes into `info`.
Source  RFC 9180; draft-ietf-hpke-pq; docs/spec/vault.md
"""

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from xinglin.base.check import NotUnderstood, NotVerified, require
from xinglin.vault import VaultCode

PUBLIC_BYTES = 1_184 + 32
PRIVATE_BYTES = 64 + 32
VERSION = b"\x01"

_OVERHEAD_BYTES = len(VERSION) + 1_088 + 32 + 16
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True, eq=False)
class RecipientKey:
    """A private key that unwraps. Drawn fresh for each access request."""

    public: bytes
    _mlkem: MLKEM768PrivateKey = field(repr=False)
    _x25519: X25519PrivateKey = field(repr=False)

    @classmethod
    def new(cls) -> "RecipientKey":
        return cls._of(MLKEM768PrivateKey.generate(), X25519PrivateKey.generate())

    @classmethod
    def from_private(cls, private: bytes) -> "RecipientKey":
        require(len(private) == PRIVATE_BYTES, VaultCode.RECIPIENT_KEY_NOT_VALID,
                f"a private key has {PRIVATE_BYTES} bytes")
        return cls._of(MLKEM768PrivateKey.from_seed_bytes(private[:64]),
                       X25519PrivateKey.from_private_bytes(private[64:]))

    @classmethod
    def _of(cls, mlkem: MLKEM768PrivateKey, x25519: X25519PrivateKey) -> "RecipientKey":
        public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        return cls(public, mlkem, x25519)

    @property
    def private(self) -> bytes:
        return self._mlkem.private_bytes_raw() + self._x25519.private_bytes_raw()

    def unwrap(self, info: bytes, wrapped: bytes) -> bytes:
        """The secret that `wrap` was given with this public key and this `info`.

        Errors  NotVerified WRAP_NOT_VALID: another key, another info, cut or altered.
        """
        if wrapped[:1] != VERSION or len(wrapped) < _OVERHEAD_BYTES:
            raise NotVerified(VaultCode.WRAP_NOT_VALID, "too short or of an unknown version")
        key = hpke.MLKEM768X25519PrivateKey(self._mlkem, self._x25519)
        try:
            return _SUITE.decrypt(wrapped[1:], key, info)
        except (InvalidTag, ValueError):          # ValueError: an X25519 share of small order
            raise NotVerified(VaultCode.WRAP_NOT_VALID, "not for this key and purpose") from None


def wrap(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """`plaintext` for the holder of `public` alone; unwrapping takes the same `info`.

    Errors  NotUnderstood RECIPIENT_KEY_NOT_VALID.
    """
    require(len(public) == PUBLIC_BYTES, VaultCode.RECIPIENT_KEY_NOT_VALID,
            f"a public key has {PUBLIC_BYTES} bytes")
    try:
        key = hpke.MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(public[:1_184]),
                                           X25519PublicKey.from_public_bytes(public[1_184:]))
        return VERSION + _SUITE.encrypt(plaintext, key, info)
    except ValueError:                            # a coefficient out of range, a small-order point
        raise NotUnderstood(VaultCode.RECIPIENT_KEY_NOT_VALID, "not a usable key") from None


__all__ = ["PRIVATE_BYTES", "PUBLIC_BYTES", "RecipientKey", "wrap"]
