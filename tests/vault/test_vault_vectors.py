"""What was written once opens for ever: frozen bytes of each format, read and never made here."""

import json
from pathlib import Path

import pytest

from xinglin.base.check import NotFound
from xinglin.client.key_file import KeyFile
from xinglin.client.wallet import Wallet
from xinglin.vault.keystore import Keystore
from xinglin.vault.seal import open_sealed
from xinglin.vault.wrap import RecipientKey

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "golden/vectors/vault.json").read_text())
raw = bytes.fromhex


@pytest.mark.parametrize("vector", VECTORS["seal"])
def test_a_frozen_seal_opens(vector: dict) -> None:
    opened = open_sealed(raw(vector["key"]), raw(vector["context"]), raw(vector["sealed"]))
    assert opened == raw(vector["plaintext"])


def test_a_frozen_wrap_opens_and_its_key_has_the_same_public_half() -> None:
    vector = VECTORS["wrap"]
    key = RecipientKey.from_private(raw(vector["private"]))
    assert key.public == raw(vector["public"])
    assert key.unwrap(raw(vector["info"]), raw(vector["wrapped"])) == raw(vector["plaintext"])


def test_a_frozen_keystore_gives_its_key_its_tombstone_and_its_tag(tmp_path: Path) -> None:
    vector = VECTORS["keystore"]
    for name in ("keys", "tags"):
        (tmp_path / name).write_bytes(raw(vector[name]))
    with Keystore.open(tmp_path, raw(vector["kek"])) as store:
        assert store.damaged == ()
        assert store.key(raw(vector["live"])) == raw(vector["key"])
        assert store.destroyed == (raw(vector["destroyed"]),)
        with pytest.raises(NotFound):
            store.key(raw(vector["destroyed"]))
        assert store.find(vector["system"], vector["value"]) == raw(vector["live"])


def test_a_frozen_wallet_and_key_file_open_to_the_same_keys(tmp_path: Path) -> None:
    vector = VECTORS["wallet"]
    for name in ("wallet", "key_file"):
        (tmp_path / name).write_bytes(raw(VECTORS[name]["file"]))
        (tmp_path / name).chmod(0o600)
    wallet = Wallet.open(tmp_path / "wallet", vector["passphrase"])
    assert wallet.seed == raw(vector["seed"])
    assert [subject.label for subject in wallet.subjects] == [vector["label"]]
    key = wallet.signing_key(raw(vector["network"]), raw(vector["subject"]))
    assert key.public == raw(vector["public"])
    account, service = KeyFile.open(tmp_path / "key_file")
    assert (account, service.public) == (raw(VECTORS["key_file"]["account"]),
                                         raw(VECTORS["key_file"]["public"]))
