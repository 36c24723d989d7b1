"""Sealed bytes open whole, under one key, in one place, or not at all."""

import json
import os
import random
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from xinglin.base.check import Failed, NotUnderstood, NotVerified
from xinglin.vault import VaultCode, seal

KEY = bytes(range(32))
CHUNK = seal.CHUNK_BYTES
STEP = CHUNK + 16
HEADER = 57
REPO = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("XINGLIN_DATA", REPO.parent / "shared" / "data"))


def refused(key: bytes, context: bytes, sealed: bytes) -> bool:
    with pytest.raises(NotVerified) as caught:
        seal.open_sealed(key, context, sealed)
    return caught.value.code is VaultCode.SEAL_NOT_VALID


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2_000), st.binary(max_size=100))
def test_what_is_sealed_opens(plaintext: bytes, context: bytes) -> None:
    assert seal.open_sealed(KEY, context, seal.seal(KEY, context, plaintext)) == plaintext


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5])
def test_every_chunk_boundary_opens_and_costs_one_tag_a_chunk(size: int) -> None:
    plaintext = os.urandom(size)
    sealed = seal.seal(KEY, b"c", plaintext)
    assert seal.open_sealed(KEY, b"c", sealed) == plaintext
    assert len(sealed) == HEADER + size + 16 * max(1, -(-size // CHUNK))


def test_a_seal_cut_anywhere_is_refused() -> None:
    sealed = seal.seal(KEY, b"c", os.urandom(100))
    assert all(refused(KEY, b"c", sealed[:cut]) for cut in range(len(sealed)))


def test_a_seal_cut_at_a_chunk_boundary_is_refused() -> None:
    for size in (2 * CHUNK, 3 * CHUNK + 7):
        sealed = seal.seal(KEY, b"c", os.urandom(size))
        for chunks in range((len(sealed) - HEADER) // STEP):
            assert refused(KEY, b"c", sealed[:HEADER + chunks * STEP])


def test_chunks_cannot_be_reordered_dropped_repeated_or_taken_from_another_seal() -> None:
    sealed = seal.seal(KEY, b"c", os.urandom(3 * CHUNK))
    other = seal.seal(KEY, b"c", os.urandom(3 * CHUNK))
    head, chunks = sealed[:HEADER], [sealed[HEADER + i * STEP:HEADER + (i + 1) * STEP]
                                     for i in range(3)]
    foreign = other[HEADER:HEADER + STEP]
    for order in ((1, 0, 2), (0, 2, 1), (0, 2), (0, 1, 1, 2), (0, 1, 2, 2), (1, 2)):
        assert refused(KEY, b"c", head + b"".join(chunks[i] for i in order))
    assert refused(KEY, b"c", head + foreign + chunks[1] + chunks[2])


def test_every_single_flipped_bit_is_refused() -> None:
    sealed = seal.seal(KEY, b"c", b"penicillin allergy")
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        assert refused(KEY, b"c", bytes(flipped))


def test_a_seal_does_not_open_under_another_context_or_key() -> None:
    sealed = seal.seal(KEY, b"record 1", b"x")
    assert refused(KEY, b"record 2", sealed)
    assert refused(KEY, b"", sealed)
    assert refused(seal.new_key(), b"record 1", sealed)


def test_chunks_good_under_a_second_key_do_not_open_behind_the_first_key_s_commitment() -> None:
    """GCM alone lets one ciphertext and tag fit two keys; the commitment in front fits one."""
    sealed = seal.seal(KEY, b"c", b"x" * 32)
    second = seal.new_key()
    okm = HKDF(SHA256(), 71, sealed[1:25], b"xinglin/seal/1c").derive(second)
    chunk = AESGCM(okm[:32]).encrypt(okm[32:39] + bytes(4) + b"\1", b"y" * 32, b"\1c")
    assert refused(second, b"c", sealed[:HEADER] + chunk)
    assert seal.open_sealed(second, b"c", sealed[:25] + okm[39:] + chunk) == b"y" * 32


def test_an_empty_last_chunk_after_full_ones_is_refused_even_from_the_key_s_owner() -> None:
    salt = bytes(24)
    okm = HKDF(SHA256(), 71, salt, b"xinglin/seal/1c").derive(KEY)
    cipher, prefix = AESGCM(okm[:32]), okm[32:39]
    body = cipher.encrypt(prefix + bytes(5), bytes(CHUNK), b"\1c")
    body += cipher.encrypt(prefix + b"\0\0\0\1\1", b"", b"\1c")
    assert refused(KEY, b"c", b"\1" + salt + okm[39:] + body)


def test_two_seals_of_the_same_bytes_share_nothing_but_the_version() -> None:
    one, two = seal.seal(KEY, b"c", b"same"), seal.seal(KEY, b"c", b"same")
    assert one[0] == two[0] == 1
    assert one[1:25] != two[1:25]
    assert one[25:HEADER] != two[25:HEADER]
    assert one[HEADER:] != two[HEADER:]


def test_no_salt_comes_twice_in_ten_thousand_seals() -> None:
    assert len({seal.seal(KEY, b"", b"")[1:25] for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    for call in (lambda: seal.seal(bytes(length), b"", b""),
                 lambda: seal.open_sealed(bytes(length), b"", b"")):
        with pytest.raises(NotUnderstood) as caught:
            call()
        assert caught.value.code is VaultCode.KEY_LENGTH_NOT_VALID


def test_twenty_thousand_hostile_inputs_are_refused_with_a_code() -> None:
    draw = random.Random(42)
    good = seal.seal(KEY, b"c", bytes(200))
    for number in range(20_000):
        if number % 2:
            data = draw.randbytes(draw.randrange(400))
        else:
            cut = bytearray(good[:draw.randrange(1, len(good) + 1)])
            cut[draw.randrange(len(cut))] ^= draw.randrange(1, 256)
            data = bytes(cut) + draw.randbytes(draw.randrange(30))
        with pytest.raises(Failed):
            seal.open_sealed(KEY, b"c", data)


def cases(name: str) -> list[tuple[dict, dict]]:
    path = DATA / "wycheproof" / name
    if not path.exists():
        pytest.skip(f"no {name}: set XINGLIN_DATA to the folder of third-party data")
    groups = json.loads(path.read_text())["testGroups"]
    return [(group, case) for group in groups for case in group["tests"]]


def test_the_cipher_below_agrees_with_wycheproof() -> None:
    checked = 0
    for group, case in cases("aes_gcm_test.json"):
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue
        key, iv, aad, message, sealed, tag = (
            bytes.fromhex(case[part]) for part in ("key", "iv", "aad", "msg", "ct", "tag"))
        checked += 1
        if case["result"] == "valid":
            assert AESGCM(key).encrypt(iv, message, aad) == sealed + tag
            assert AESGCM(key).decrypt(iv, sealed + tag, aad) == message
        else:
            with pytest.raises(InvalidTag):
                AESGCM(key).decrypt(iv, sealed + tag, aad)
    assert checked == 33


def test_the_key_derivation_below_agrees_with_wycheproof() -> None:
    checked = 0
    for _, case in cases("hkdf_sha256_test.json"):
        if case["result"] == "invalid":
            continue
        ikm, salt, info, okm = (bytes.fromhex(case[part]) for part in ("ikm", "salt", "info", "okm"))
        assert HKDF(SHA256(), case["size"], salt, info).derive(ikm) == okm
        checked += 1
    assert checked == 41
