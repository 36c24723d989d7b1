"""Sealed bytes: AES-256-GCM in 64 KiB chunks under a key derived for each object.

    version (1) | salt (24, random) | commitment (32) | chunks, each with its 16-byte tag

HKDF-SHA256 over (key, salt, context) gives the object's key, its nonce prefix and the commitment. So
one caller's key may seal any number of objects, and sealed bytes open under one (key, context) alone.

Source  STREAM (Hoang, Reyhanitabar, Rogaway, Vizar 2015): counter and last flag stand in the nonce;
        key commitment as in the AWS Encryption SDK, algorithm suite 0x0478; docs/spec/vault.md
"""

import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from xinglin.base.check import NotVerified, require
from xinglin.vault import VaultCode

KEY_BYTES = 32
CHUNK_BYTES = 64 * 1024
VERSION = b"\x01"                 # AES-256-GCM, HKDF-SHA256, chunks of 64 KiB

_DOMAIN = b"xinglin/seal/1"
_SALT_BYTES = 24                  # 2^64 objects under one key: a repeat is still a 2^-64 event
_TAG_BYTES = 16
_PREFIX_BYTES = 7
_HEADER_BYTES = len(VERSION) + _SALT_BYTES + 32


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def seal(key: bytes, context: bytes, plaintext: bytes) -> bytes:
    """Bytes that only `open_sealed` with this key and this context turns back.

    `context` says what the bytes are and whose: record, version, owner. It is not in the output.
    """
    _check_key(key)
    salt = os.urandom(_SALT_BYTES)
    cipher, prefix, commitment = _derive(key, salt, context)
    about = VERSION + context
    out = [VERSION, salt, commitment]
    view = memoryview(plaintext)
    chunks = max(1, -(-len(plaintext) // CHUNK_BYTES))
    for number in range(chunks):
        chunk = view[number * CHUNK_BYTES:(number + 1) * CHUNK_BYTES]
        out.append(cipher.encrypt(_nonce(prefix, number, number == chunks - 1), chunk, about))
    return b"".join(out)


def open_sealed(key: bytes, context: bytes, sealed: bytes) -> bytes:
    """The plaintext, whole or not at all.

    Errors  NotVerified SEAL_NOT_VALID: another key, another context, cut, reordered or altered.
    """
    _check_key(key)
    _require_valid(sealed[:1] == VERSION, "the version is unknown")
    _require_valid(len(sealed) >= _HEADER_BYTES + _TAG_BYTES, "too short")
    cipher, prefix, commitment = _derive(key, sealed[1:1 + _SALT_BYTES], context)
    _require_valid(hmac.compare_digest(commitment, sealed[1 + _SALT_BYTES:_HEADER_BYTES]),
                   "sealed under another key or for another purpose")
    about = VERSION + context
    body = memoryview(sealed)[_HEADER_BYTES:]
    step = CHUNK_BYTES + _TAG_BYTES
    chunks = -(-len(body) // step)
    out = []
    try:
        for number in range(chunks):
            nonce = _nonce(prefix, number, number == chunks - 1)
            out.append(cipher.decrypt(nonce, body[number * step:(number + 1) * step], about))
    except InvalidTag:
        raise NotVerified(VaultCode.SEAL_NOT_VALID, "cut or altered") from None
    # Only whoever has the key could write an empty last chunk after full ones; one value, one form.
    _require_valid(chunks == 1 or out[-1] != b"", "the last chunk is empty")
    return b"".join(out)


def new_nonce() -> bytes:
    return os.urandom(32)


def _derive(key: bytes, salt: bytes, context: bytes) -> tuple[AESGCM, bytes, bytes]:
    okm = HKDF(SHA256(), KEY_BYTES + _PREFIX_BYTES + 32, salt, _DOMAIN + context).derive(key)
    return AESGCM(okm[:32]), okm[32:32 + _PREFIX_BYTES], okm[32 + _PREFIX_BYTES:]


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + (b"\x01" if last else b"\x00")


def _check_key(key: bytes) -> None:
    require(len(key) == KEY_BYTES, VaultCode.KEY_LENGTH_NOT_VALID, "a key has 32 bytes")


def _require_valid(holds: bool, detail: str) -> None:
    if not holds:
        raise NotVerified(VaultCode.SEAL_NOT_VALID, detail)


__all__ = ["CHUNK_BYTES", "KEY_BYTES", "new_key", "new_nonce", "open_sealed", "seal"]
