"""Keys that sign well and must not be registered where they are offered."""

import hashlib

from nacl import bindings as sodium

from passkeys import Passkey
from xinglin.base.crypto import SignatureSuite

ORDER_TWO = bytes.fromhex("ec" + "ff" * 30 + "7f")      # the point (0, -1)


class MixedOrderKey:
    """An Ed25519 key off the prime-order subgroup, with signatures that verify all the same.

    It is A + T for T of order 2. Its signature holds when the challenge is even, so it tries until one is.
    """

    suite = SignatureSuite.ED25519

    def __init__(self, seed: bytes = b"mixed"):
        self._scalar = sodium.crypto_core_ed25519_scalar_reduce(hashlib.sha512(seed).digest())
        prime = sodium.crypto_scalarmult_ed25519_base_noclamp(self._scalar)
        self.public = sodium.crypto_core_ed25519_add(prime, ORDER_TWO)

    def sign(self, message: bytes) -> bytes:
        tried = 0
        while True:
            tried += 1
            nonce = sodium.crypto_core_ed25519_scalar_reduce(
                hashlib.sha512(tried.to_bytes(4, "big") + self._scalar + message).digest())
            point = sodium.crypto_scalarmult_ed25519_base_noclamp(nonce)
            challenge = sodium.crypto_core_ed25519_scalar_reduce(
                hashlib.sha512(point + self.public + message).digest())
            if challenge[0] % 2 == 0:
                product = sodium.crypto_core_ed25519_scalar_mul(challenge, self._scalar)
                return point + sodium.crypto_core_ed25519_scalar_add(nonce, product)


class PortalKey(Passkey):
    """A passkey, as one that signs transactions."""

    suite = SignatureSuite.WEBAUTHN_P256
