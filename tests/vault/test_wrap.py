"""A wrapped secret opens for one recipient and one purpose."""

import json
import os
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from xinglin.base.check import Failed, NotUnderstood, NotVerified
from xinglin.vault import VaultCode
from xinglin.vault.wrap import PRIVATE_BYTES, PUBLIC_BYTES, RecipientKey, wrap

KEY = RecipientKey.new()
REPO = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("XINGLIN_DATA", REPO.parent / "shared" / "data"))


def test_a_wrapped_secret_opens_for_its_recipient() -> None:
    secret = os.urandom(1_000)
    wrapped = wrap(KEY.public, b"page 1", secret)
    assert KEY.unwrap(b"page 1", wrapped) == secret
    assert len(wrapped) == len(secret) + 1_137


def test_a_key_survives_its_private_bytes() -> None:
    again = RecipientKey.from_private(KEY.private)
    assert (len(KEY.private), len(KEY.public)) == (PRIVATE_BYTES, PUBLIC_BYTES)
    assert (again.private, again.public) == (KEY.private, KEY.public)
    assert again.unwrap(b"i", wrap(KEY.public, b"i", b"secret")) == b"secret"


def test_a_wrapped_secret_does_not_open_for_another_page_or_recipient() -> None:
    wrapped = wrap(KEY.public, b"page 1", b"secret")
    for key, info in ((KEY, b"page 2"), (KEY, b""), (RecipientKey.new(), b"page 1")):
        with pytest.raises(NotVerified) as caught:
            key.unwrap(info, wrapped)
        assert caught.value.code is VaultCode.WRAP_NOT_VALID


def test_both_halves_of_the_key_are_needed() -> None:
    wrapped = wrap(KEY.public, b"i", b"secret")
    other = RecipientKey.new()
    for mixed in (KEY.private[:64] + other.private[64:], other.private[:64] + KEY.private[64:]):
        with pytest.raises(NotVerified):
            RecipientKey.from_private(mixed).unwrap(b"i", wrapped)


def test_every_flipped_byte_and_every_cut_is_refused() -> None:
    wrapped = wrap(KEY.public, b"i", b"secret")
    for at in range(0, len(wrapped), 3):
        flipped = bytearray(wrapped)
        flipped[at] ^= 0x40
        for data in (bytes(flipped), wrapped[:at]):
            with pytest.raises(NotVerified):
                KEY.unwrap(b"i", data)


@pytest.mark.parametrize("public", [
    b"", bytes(PUBLIC_BYTES - 1), bytes(PUBLIC_BYTES + 1),
    b"\xff" * PUBLIC_BYTES,                       # coefficients not below q
    KEY.public[:1_184] + bytes(32),               # a point of small order
    KEY.public[:1_184] + b"\1" + bytes(31),
])
def test_what_is_no_recipient_key_is_refused(public: bytes) -> None:
    with pytest.raises(NotUnderstood) as caught:
        wrap(public, b"i", b"secret")
    assert caught.value.code is VaultCode.RECIPIENT_KEY_NOT_VALID


def test_a_private_key_of_another_length_is_refused() -> None:
    with pytest.raises(NotUnderstood):
        RecipientKey.from_private(bytes(PRIVATE_BYTES - 1))


def test_the_printed_form_of_a_key_holds_no_private_byte() -> None:
    assert KEY.private.hex()[:12] not in repr(KEY)
    assert repr(KEY.private[:6])[2:-1] not in repr(KEY)


def test_twenty_thousand_hostile_inputs_are_refused_with_a_code() -> None:
    draw = random.Random(7)
    for number in range(20_000):
        size = draw.randrange(1_137, 1_200) if number % 200 == 0 else draw.randrange(1_137)
        with pytest.raises(Failed):
            KEY.unwrap(b"i", b"\1" + draw.randbytes(size))


def test_the_exchange_below_agrees_with_wycheproof() -> None:
    path = DATA / "wycheproof" / "x25519_test.json"
    if not path.exists():
        pytest.skip("no x25519_test.json: set XINGLIN_DATA to the folder of third-party data")
    checked = 0
    for group in json.loads(path.read_text())["testGroups"]:
        for case in group["tests"]:
            private = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["private"]))
            public = X25519PublicKey.from_public_bytes(bytes.fromhex(case["public"]))
            shared = bytes.fromhex(case["shared"])
            checked += 1
            if any(shared):
                assert private.exchange(public) == shared
            else:                                 # stricter than required: all zero is refused
                with pytest.raises(ValueError):
                    private.exchange(public)
    assert checked == 259
