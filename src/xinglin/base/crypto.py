"""Hash suites, tagged hashes, and the one strict accept set of signatures and keys.

A library that accepts one signature more or less than its neighbour's forks the chain. So each suite stands on one
library, its accept set is in docs/spec/crypto.md, and `self_test` tries the edge cases when a node starts.

  ED25519             libsodium by PyNaCl: canonical A, S < L, no small-order A or R, cofactorless
  WEBAUTHN_P256       WebAuthn Level 3, limited verification; P-256 by OpenSSL behind a strict DER reader
  ML_DSA_65           FIPS 204 by OpenSSL, exact lengths, fixed context
  ED25519_ML_DSA_65   both, over the same message

Source  RFC 8032; FIPS 204; WebAuthn Level 3, 5.8.1 and 7.2; tests/golden/vectors/{tagged,crypto,ed25519_accept}.json
"""

import base64
import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes as openssl_hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta
from nacl import bindings as sodium
from nacl.exceptions import BadSignatureError

from xinglin.base import codec
from xinglin.base.check import KeyInvalid, NotUnderstood, SignatureInvalid, invariant
from xinglin.base.crypto_cases import ED25519_CASES, SHA256_ABC, SM3_ABC, TAGGED_SHA256
from xinglin.base.ids import Hash, KeyHash

# -- hash suites


@dataclass(frozen=True)
class HashSuite:
    """A hash function of 32 bytes, named in the genesis manifest."""

    name: str
    digest: Callable[[bytes], bytes]


def _sha256(data: bytes, _new: Callable[[bytes], "hashlib._Hash"] = hashlib.sha256) -> bytes:
    return _new(data).digest()


def _sm3(data: bytes) -> bytes:
    state = openssl_hashes.Hash(_SM3)
    state.update(data)
    return state.finalize()


_SM3 = openssl_hashes.SM3()

SHA256: Final = HashSuite("sha-256", _sha256)
SM3: Final = HashSuite("sm3", _sm3)
HASH_SUITES: Final = {suite.name: suite for suite in (SHA256, SM3)}

DOMAIN_START: Final = "xinglin/"


@functools.cache
def _domain_bytes(domain: str) -> bytes:
    """The length-prefixed domain. Its first byte is at least 9, so never a tree prefix, 0x00 to 0x04."""
    named = domain.encode("ascii")
    if not domain.startswith(DOMAIN_START) or not len(DOMAIN_START) < len(named) < 256:
        raise ValueError(f"not a domain: {domain!r}")
    return bytes((len(named),)) + named


def tagged(suite: HashSuite, domain: str, *parts: bytes) -> bytes:
    """H(domain, parts): digest of u8 length, domain, then u32 length and bytes of each part.

    Errors  ValueError for a domain that does not start with "xinglin/": domains are constants of the code.
    """
    data = _domain_bytes(domain)
    for part in parts:
        data += len(part).to_bytes(4, "big") + part
    return suite.digest(data)


# -- signature suites


class SignatureSuite(IntEnum):
    """Wire numbers, permanent. SM2 will be one more."""

    ED25519 = 1
    WEBAUTHN_P256 = 2
    ML_DSA_65 = 3
    ED25519_ML_DSA_65 = 4


ED25519_KEY_BYTES: Final = 32
ED25519_SIGNATURE_BYTES: Final = 64
ML_DSA_65_KEY_BYTES: Final = 1_952
ML_DSA_65_SIGNATURE_BYTES: Final = 3_309
P256_POINT_BYTES: Final = 65
SEED_BYTES: Final = 32

ML_DSA_CONTEXT: Final = b"xinglin/tx/1"


def key_hash(hashes: HashSuite, suite: SignatureSuite, key: bytes) -> KeyHash:
    """What an account row and a signer carry in place of the key."""
    return tagged(hashes, "xinglin/key/1", bytes((suite,)), key)


def check_key(suite: SignatureSuite, key: bytes) -> None:
    """Refuse at registration a key that could mean two things to two libraries.

    Errors  KeyInvalid.
    """
    match suite:
        case SignatureSuite.ED25519:
            _check_ed25519_key(key)
        case SignatureSuite.WEBAUTHN_P256:
            _p256_point(_passkey(key).point)
        case SignatureSuite.ML_DSA_65:
            _check_ml_dsa_key(key)
        case SignatureSuite.ED25519_ML_DSA_65:
            _check_ed25519_key(key[:ED25519_KEY_BYTES])
            _check_ml_dsa_key(key[ED25519_KEY_BYTES:])
        case _:
            raise KeyInvalid("no such suite")


def verify(suite: SignatureSuite, key: bytes, message: bytes, signature: bytes) -> None:
    """Return only if `signature` over `message` is in the accept set of `suite`.

    A key outside the set that `check_key` accepts may pass for Ed25519 (a mixed-order one): check it when it is
    introduced.

    Errors  SignatureInvalid, whatever is wrong, the key included.
    """
    if suite == SignatureSuite.ED25519:  # first and flat: nearly every signature of a network
        _verify_ed25519(key, message, signature)
    elif suite == SignatureSuite.WEBAUTHN_P256:
        _verify_webauthn(key, message, signature)
    elif suite == SignatureSuite.ML_DSA_65:
        _verify_ml_dsa(key, message, signature)
    elif suite == SignatureSuite.ED25519_ML_DSA_65:
        _verify_ed25519(key[:ED25519_KEY_BYTES], message, signature[:ED25519_SIGNATURE_BYTES])
        _verify_ml_dsa(key[ED25519_KEY_BYTES:], message, signature[ED25519_SIGNATURE_BYTES:])
    else:
        raise SignatureInvalid("no such suite")


# -- Ed25519


def _check_ed25519_key(key: bytes) -> None:
    # Canonical, on the curve, of the prime-order subgroup: with such a key, an accepted R is torsion-free too.
    if len(key) != ED25519_KEY_BYTES or not sodium.crypto_core_ed25519_is_valid_point(key):
        raise KeyInvalid("not an Ed25519 point of the prime-order subgroup")


def _verify_ed25519(
    key: bytes,
    message: bytes,
    signature: bytes,
    _open: Callable[[bytes, bytes], bytes] = sodium.crypto_sign_open,
) -> None:
    # libsodium reads 64 and 32 bytes whatever it is given.
    if len(signature) != ED25519_SIGNATURE_BYTES or len(key) != ED25519_KEY_BYTES:
        raise SignatureInvalid("Ed25519: wrong length")
    try:
        _open(signature + message, key)
    except BadSignatureError:
        raise SignatureInvalid("Ed25519") from None


# -- ML-DSA-65


def _check_ml_dsa_key(key: bytes) -> None:
    # Any 1,952 bytes are a key: t1 is packed in ten full bits.
    if len(key) != ML_DSA_65_KEY_BYTES:
        raise KeyInvalid(f"an ML-DSA-65 key has {ML_DSA_65_KEY_BYTES} bytes")


def _verify_ml_dsa(key: bytes, message: bytes, signature: bytes) -> None:
    if len(signature) != ML_DSA_65_SIGNATURE_BYTES or len(key) != ML_DSA_65_KEY_BYTES:
        raise SignatureInvalid("ML-DSA-65: wrong length")
    try:
        MLDSA65PublicKey.from_public_bytes(key).verify(signature, message, ML_DSA_CONTEXT)
    except InvalidSignature:
        raise SignatureInvalid("ML-DSA-65") from None


# -- P-256

_P256 = ec.SECP256R1()
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ECDSA = ec.ECDSA(openssl_hashes.SHA256())


def _p256_point(point: bytes) -> ec.EllipticCurvePublicKey:
    if len(point) != P256_POINT_BYTES or point[0] != 0x04:
        raise KeyInvalid("a P-256 point is 0x04 and two coordinates of 32 bytes")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_P256, point)
    except ValueError:
        raise KeyInvalid("not a point of P-256") from None


def _der_integer(der: bytes, at: int) -> int:
    """Where the integer that starts at `at` ends; refuses what is not minimal or not in [1, order - 1]."""
    size = der[at + 1] if at + 2 <= len(der) and der[at] == 0x02 else 0
    body = der[at + 2 : at + 2 + size]
    if not 0 < size <= 33 or len(body) != size:
        raise SignatureInvalid("DER: not an integer of a P-256 signature")
    if body[0] & 0x80 or (size > 1 and body[0] == 0 and not body[1] & 0x80):
        raise SignatureInvalid("DER: negative or not minimal")
    if not 0 < int.from_bytes(body, "big") < _P256_ORDER:
        raise SignatureInvalid("P-256: r or s out of range")
    return at + 2 + size


def verify_p256(point: bytes, message: bytes, der: bytes) -> None:
    """ECDSA over SHA-256. High s is accepted: nothing is named after a signature.

    Errors  SignatureInvalid; KeyInvalid for a point that is none.
    """
    public = _p256_point(point)
    if len(der) < 2 or der[0] != 0x30 or der[1] != len(der) - 2:
        raise SignatureInvalid("DER: not one sequence of short form")
    if _der_integer(der, _der_integer(der, 2)) != len(der):
        raise SignatureInvalid("DER: more than two integers")
    try:
        public.verify(der, message, _ECDSA)
    except InvalidSignature:
        raise SignatureInvalid("P-256") from None


# -- WebAuthn


class PasskeyKey(codec.Struct):
    """A WEBAUTHN_P256 key. `origin` is as a browser serialises it; it serves one portal only."""

    point: Annotated[bytes, Meta(min_length=P256_POINT_BYTES, max_length=P256_POINT_BYTES)]
    rp_id_hash: Hash
    origin: Annotated[str, Meta(max_length=255)]


class PasskeySignature(codec.Struct):
    """A WEBAUTHN_P256 signature: the three byte strings of an AuthenticatorAssertionResponse."""

    authenticator_data: Annotated[bytes, Meta(max_length=1024)]
    client_data: Annotated[bytes, Meta(max_length=2048)]
    der: Annotated[bytes, Meta(max_length=80)]


_FLAG_USER_PRESENT = 0x01
_FLAG_USER_VERIFIED = 0x04
_FLAG_BACKUP_ELIGIBLE = 0x08
_FLAG_BACKED_UP = 0x10
_FLAG_ATTESTED = 0x40
_FLAG_EXTENSIONS = 0x80
_AUTHENTICATOR_DATA_BYTES_MIN = 37  # RP id hash, flags, counter


def _passkey(key: bytes) -> PasskeyKey:
    try:
        passkey: PasskeyKey = codec.decode(key, PasskeyKey)
    except NotUnderstood as error:
        raise KeyInvalid(f"passkey: {error.detail}") from None
    # A serialised origin is ASCII and holds nothing that CCDToString would escape.
    if not passkey.origin or any(not "!" <= sign <= "~" or sign in '"\\' for sign in passkey.origin):
        raise KeyInvalid("passkey: not a serialised origin")
    return passkey


def _verify_webauthn(key: bytes, message: bytes, signature: bytes) -> None:
    try:
        passkey = _passkey(key)
        assertion: PasskeySignature = codec.decode(signature, PasskeySignature)
        _check_authenticator_data(assertion.authenticator_data, passkey.rp_id_hash)
        _check_client_data(assertion.client_data, message, passkey.origin)
        signed = assertion.authenticator_data + hashlib.sha256(assertion.client_data).digest()
        verify_p256(passkey.point, signed, assertion.der)
    except (KeyInvalid, NotUnderstood) as error:
        raise SignatureInvalid(error.detail) from None


def _check_authenticator_data(data: bytes, rp_id_hash: bytes) -> None:
    """WebAuthn Level 3, 7.2 steps 15 to 19, and no attested key: an assertion has none."""
    if len(data) < _AUTHENTICATOR_DATA_BYTES_MIN or data[:32] != rp_id_hash:
        raise SignatureInvalid("WebAuthn: another relying party")
    flags = data[32]
    if not flags & _FLAG_USER_PRESENT or not flags & _FLAG_USER_VERIFIED:
        raise SignatureInvalid("WebAuthn: user not present or not verified")
    if flags & _FLAG_BACKED_UP and not flags & _FLAG_BACKUP_ELIGIBLE:
        raise SignatureInvalid("WebAuthn: backed up yet not eligible")
    extended = len(data) > _AUTHENTICATOR_DATA_BYTES_MIN
    if flags & _FLAG_ATTESTED or bool(flags & _FLAG_EXTENSIONS) != extended:
        raise SignatureInvalid("WebAuthn: authenticator data does not match its flags")


def _check_client_data(data: bytes, message: bytes, origin: str) -> None:
    """The limited verification algorithm: rebuild the fixed start, compare bytes, parse nothing."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(message).digest()).rstrip(b"=")
    start = b'{"type":"webauthn.get","challenge":"%b","origin":"%b","crossOrigin":false' % (
        challenge,
        origin.encode("ascii"),
    )
    rest = data[len(start) :]
    if not data.startswith(start) or not (rest == b"}" or (rest[:1] == b"," and rest[-1:] == b"}")):
        raise SignatureInvalid("WebAuthn: client data of another challenge, origin or form")


# -- signing


class SigningKey:
    """A private key of a suite that signs here. Passkeys sign in the browser. Prints as nothing."""

    __slots__ = ("_ed25519", "_ml_dsa", "public", "suite")

    def __init__(self, suite: SignatureSuite, ed25519: bytes | None, ml_dsa: MLDSA65PrivateKey | None):
        self.suite = suite
        self._ed25519 = ed25519
        self._ml_dsa = ml_dsa
        self.public: bytes = (ed25519[SEED_BYTES:] if ed25519 else b"") + (
            ml_dsa.public_key().public_bytes_raw() if ml_dsa else b""
        )

    @classmethod
    def from_seed(cls, suite: SignatureSuite, seed: bytes) -> "SigningKey":
        """The key of a 32-byte secret; a composite key derives one secret for each of its halves.

        Errors  KeyInvalid for another length, or a suite that does not sign here.
        """
        if len(seed) != SEED_BYTES:
            raise KeyInvalid(f"a seed has {SEED_BYTES} bytes")
        match suite:
            case SignatureSuite.ED25519:
                return cls(suite, _ed25519_secret(seed), None)
            case SignatureSuite.ML_DSA_65:
                return cls(suite, None, MLDSA65PrivateKey.from_seed_bytes(seed))
            case SignatureSuite.ED25519_ML_DSA_65:
                both = HKDF(openssl_hashes.SHA256(), 2 * SEED_BYTES, None, b"xinglin/composite/1").derive(seed)
                return cls(
                    suite,
                    _ed25519_secret(both[:SEED_BYTES]),
                    MLDSA65PrivateKey.from_seed_bytes(both[SEED_BYTES:]),
                )
            case _:
                raise KeyInvalid("this suite has no key here")

    def sign(self, message: bytes) -> bytes:
        """A signature that `verify` accepts. ML-DSA is hedged: two signatures of one message differ."""
        signature = b""
        if self._ed25519 is not None:
            signed: bytes = sodium.crypto_sign(message, self._ed25519)
            signature = signed[:ED25519_SIGNATURE_BYTES]
        if self._ml_dsa is not None:
            signature += self._ml_dsa.sign(message, ML_DSA_CONTEXT)
        return signature

    def __repr__(self) -> str:
        return f"SigningKey({self.suite.name})"


def _ed25519_secret(seed: bytes) -> bytes:
    """libsodium's form: seed, then public key."""
    _, secret = sodium.crypto_sign_seed_keypair(seed)
    return bytes(secret)


# -- at start-up


def self_test() -> None:
    """Try the libraries of this machine on frozen cases, before a node counts on them.

    Errors  InvariantBroken: a node must not start.
    """
    for name, key, message, signature, accepted in ED25519_CASES:
        invariant(
            _accepts(SignatureSuite.ED25519, key, message, signature) == accepted,
            f"Ed25519 accept set, case {name}",
        )
    invariant(SHA256.digest(b"abc") == SHA256_ABC, "SHA-256 of abc")
    invariant(SM3.digest(b"abc") == SM3_ABC, "SM3 of abc")
    invariant(tagged(SHA256, "xinglin/self-test/1", b"", b"abc") == TAGGED_SHA256, "tagged hash")

    signer = SigningKey.from_seed(SignatureSuite.ED25519_ML_DSA_65, bytes(SEED_BYTES))
    composite = signer.sign(b"abc")
    invariant(_accepts(signer.suite, signer.public, b"abc", composite), "composite signature")
    invariant(not _accepts(signer.suite, signer.public, b"abd", composite), "composite signature, other message")


def _accepts(suite: SignatureSuite, key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        verify(suite, key, message, signature)
    except SignatureInvalid:
        return False
    return True


__all__ = [
    "HASH_SUITES", "SHA256", "SM3", "HashSuite", "PasskeyKey", "PasskeySignature", "SignatureSuite",
    "SigningKey", "check_key", "key_hash", "self_test", "tagged", "verify", "verify_p256",
]
