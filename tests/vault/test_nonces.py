"""CRYPTO: no nonce is used twice under one key, whoever draws it; and what is drawn is as long as it is said to be."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rows import Span
from worlds import World, key_named, named
from xinglin.base import codec
from xinglin.base.crypto import SHA256
from xinglin.client.sealed_file import PassphraseKey, Strength
from xinglin.client.signing import sign
from xinglin.holder.challenges import Challenges
from xinglin.kernel.tx import Body, Transaction
from xinglin.modules import module_set
from xinglin.vault import keystore, seal
from xinglin.vault.keystore import Keystore
from xinglin.vault.wrap import RecipientKey, wrap

MODULES = module_set()


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """(key, nonce) of everything that is encrypted with AES-GCM from now on, by seals and by the key store."""
    found: list[tuple[bytes, bytes]] = []

    class Recording:
        def __init__(self, key: bytes) -> None:
            self._key, self._cipher = key, AESGCM(key)

        def encrypt(self, nonce: bytes, data: bytes, about: bytes) -> bytes:
            found.append((self._key, nonce))
            return self._cipher.encrypt(nonce, data, about)

        def decrypt(self, nonce: bytes, data: bytes, about: bytes) -> bytes:
            return self._cipher.decrypt(nonce, data, about)

    for module in (seal, keystore):
        monkeypatch.setattr(module, "AESGCM", Recording)
    return found


def test_chunks_of_many_seals_under_one_key_have_pairs_of_their_own(used: list[tuple[bytes, bytes]]) -> None:
    key, size = bytes(32), seal.CHUNK_BYTES
    for length in (0, 1, size, size + 1, 3 * size) * 40:
        seal.seal(key, b"the same purpose", bytes(length))
    assert len(used) == 40 * (1 + 1 + 1 + 2 + 3) == len(set(used))
    assert {len(nonce) for _, nonce in used} == {12}
    assert len({key for key, _ in used}) == 200, "each seal has a key of its own"


def test_keys_of_the_store_are_wrapped_under_nonces_of_their_own(
        used: list[tuple[bytes, bytes]], tmp_path: Path) -> None:
    with Keystore.open(tmp_path, bytes(32)) as store:
        store.create_many([number.to_bytes(16, "big") for number in range(1, 2_001)])
    assert len(used) >= 2_000 and len(set(used)) == len(used) and {key for key, _ in used} == {bytes(32)}


def test_a_passphrase_seals_each_time_under_another_key(used: list[tuple[bytes, bytes]]) -> None:
    key = PassphraseKey.new("passphrase", Strength.INTERACTIVE)
    for _ in range(50):
        key.seal(b"line\n", b"the same content")
    assert len({key for key, _ in used}) == len(used) == 50


def test_wraps_for_one_recipient_share_nothing() -> None:
    key = RecipientKey.new()
    wraps = [wrap(key.public, b"info", b"secret") for _ in range(200)]
    assert len({one[1:1 + 1_088] for one in wraps}) == len({one[1 + 1_088:1 + 1_088 + 32] for one in wraps}) == 200


def drawn(kind: str, count: int) -> list[bytes]:
    match kind:
        case "seal":
            return [seal.seal(bytes(32), b"", b"")[1:25] for _ in range(count)]
        case "challenge":
            challenges = Challenges(lambda: 7)
            return [challenges.draw(bytes(16)) for _ in range(count)]
        case _:
            world = World()
            message, keys = world.anchor("A", 1), {named("A"): key_named("A")}
            body = Body[MODULES.message_type]  # type: ignore[name-defined]
            return [codec.decode(codec.decode(sign(world.network, SHA256, MODULES, [message], keys, 1)[0],
                                              Transaction).body, body).nonce for _ in range(count)]


@pytest.mark.row("NONCES")
def test_no_nonce_comes_twice(span: Span, record_property: Callable[[str, object], None]) -> None:
    for kind, length in (("seal", 24), ("challenge", 32), ("transaction", 16)):
        found = drawn(kind, span.count)
        assert len(set(found)) == span.count and {len(one) for one in found} == {length}
    record_property("nonces", 3 * span.count)


def test_threads_draw_no_nonce_twice() -> None:
    challenges = Challenges(lambda: 7)
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.extend([challenges.draw(bytes(16)) for _ in range(2_000)]))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8_000
