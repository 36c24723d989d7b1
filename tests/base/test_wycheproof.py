"""CRYPTO: every Wycheproof case of what we build on, through our own checks where there are any.

Some files are in the folder of third-party data; all of them are in the `wycheproof` crate: `cargo fetch` it and let
XINGLIN_DATA name a folder whose `wycheproof` is the crate's src/data. What is not at hand is skipped, and said.
"""

import hmac
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from xinglin.base.check import KeyInvalid, SignatureInvalid
from xinglin.base.crypto import (
    ML_DSA_65_KEY_BYTES,
    ML_DSA_65_SIGNATURE_BYTES,
    SignatureSuite,
    verify,
    verify_p256,
)

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("XINGLIN_DATA", ROOT.parent / "shared" / "data")) / "wycheproof"

Case = dict[str, Any]
Says = Callable[[Case, Case], bool]            # (group, case) -> whether it is accepted; raises when the value is wrong


def raw(case: Case, name: str) -> bytes:
    return bytes.fromhex(case[name])


def ed25519(group: Case, case: Case) -> bool:
    key = raw(group["publicKey"], "pk")
    return holds(lambda: verify(SignatureSuite.ED25519, key, raw(case, "msg"), raw(case, "sig")))


def ecdsa(group: Case, case: Case) -> bool:
    return holds(lambda: verify_p256(raw(group["publicKey"], "uncompressed"), raw(case, "msg"), raw(case, "sig")))


def mldsa_verify(group: Case, case: Case) -> bool:
    """Ours has one context, and lengths of its own that come first; below them is what this asks."""
    key, signature, context = raw(group, "publicKey"), raw(case, "sig"), bytes.fromhex(case.get("ctx", ""))
    if len(key) != ML_DSA_65_KEY_BYTES or len(signature) != ML_DSA_65_SIGNATURE_BYTES:
        assert not holds(lambda: verify(SignatureSuite.ML_DSA_65, key, raw(case, "msg"), signature))
        return False
    return holds(lambda: MLDSA65PublicKey.from_public_bytes(key).verify(signature, raw(case, "msg"), context or None))


def mldsa_sign(group: Case, case: Case) -> bool:
    """What the seed's key signed verifies under the key that comes of the seed."""
    try:
        key = MLDSA65PrivateKey.from_seed_bytes(raw(group, "privateSeed")).public_key()
    except ValueError:
        return False
    assert key.public_bytes_raw() == raw(group, "publicKey")
    context = bytes.fromhex(case.get("ctx", ""))
    if "msg" not in case:
        return case["result"] == "valid"           # of a digest: nothing here signs one
    return holds(lambda: key.verify(raw(case, "sig"), raw(case, "msg"), context or None))


def mlkem(group: Case, case: Case) -> bool:
    try:
        key = MLKEM768PrivateKey.from_seed_bytes(raw(case, "seed"))
        shared = key.decapsulate(raw(case, "c"))
    except ValueError:
        return False
    return shared == raw(case, "K")


def mlkem_encaps(group: Case, case: Case) -> bool:
    """Which keys may be wrapped for: a coefficient out of range is none."""
    try:
        MLKEM768PublicKey.from_public_bytes(raw(case, "ek")).encapsulate()
    except ValueError:
        return False
    return True


def mlkem_keygen(group: Case, case: Case) -> bool:
    return MLKEM768PrivateKey.from_seed_bytes(raw(case, "seed")).public_key().public_bytes_raw() == raw(case, "ek")


def x25519(group: Case, case: Case) -> bool:
    """Stricter than asked: a shared secret of zeros is refused."""
    try:
        shared = X25519PrivateKey.from_private_bytes(raw(case, "private")).exchange(
            X25519PublicKey.from_public_bytes(raw(case, "public")))
    except ValueError:
        assert not any(raw(case, "shared"))
        return case["result"] != "invalid"
    return shared == raw(case, "shared")


def aes_gcm(group: Case, case: Case) -> bool:
    """Other lengths of nonce are not used here, and libraries differ about them."""
    if group["ivSize"] != 96:
        return case["result"] == "valid"
    try:
        opened = AESGCM(raw(case, "key")).decrypt(raw(case, "iv"), raw(case, "ct") + raw(case, "tag"), raw(case, "aad"))
    except (InvalidTag, ValueError):
        return False
    return opened == raw(case, "msg")


def hkdf(group: Case, case: Case) -> bool:
    try:
        okm = HKDF(SHA256(), case["size"], raw(case, "salt"), raw(case, "info")).derive(raw(case, "ikm"))
    except ValueError:
        return False
    return okm == raw(case, "okm")


def hmac_sha256(group: Case, case: Case) -> bool:
    full = hmac.digest(raw(case, "key"), raw(case, "msg"), "sha256")
    return hmac.compare_digest(full[:group["tagSize"] // 8], raw(case, "tag"))


def holds(call: Callable[[], object]) -> bool:
    try:
        call()
    except (SignatureInvalid, KeyInvalid, InvalidSignature, ValueError):
        return False
    return True


FILES: dict[str, Says] = {
    "ed25519": ed25519, "ecdsa_secp256r1_sha256": ecdsa, "mldsa_65_verify": mldsa_verify,
    "mldsa_65_sign_seed": mldsa_sign, "mlkem_768": mlkem, "mlkem_768_encaps": mlkem_encaps,
    "mlkem_768_keygen_seed": mlkem_keygen, "x25519": x25519, "aes_gcm": aes_gcm, "hkdf_sha256": hkdf,
    "hmac_sha256": hmac_sha256,
}


def cases(name: str) -> Iterator[tuple[Case, Case]]:
    path = FOLDER / f"{name}_test.json"
    if not path.exists():
        pytest.skip(f"no Wycheproof data: set XINGLIN_DATA, {path.name}")
    for group in json.loads(path.read_text())["testGroups"]:
        for case in group["tests"]:
            yield group, case


@pytest.mark.parametrize("name", FILES)
def test_every_case_has_the_verdict_that_wycheproof_wants(
        name: str, record_property: Callable[[str, object], None]) -> None:
    tried = 0
    for group, case in cases(name):
        wanted = case["result"] in ("valid", "acceptable")
        assert FILES[name](group, case) == wanted, (name, case["tcId"], case.get("comment"))
        tried += 1
    assert tried > 10
    record_property("cases", tried)
