"""One account's signing key in a file: staff, services, members, under a passphrase or, for a server,
in clear, which its first line says."""

import os
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import NotFound, NotUnderstood
from xinglin.base.crypto import SignatureSuite, SigningKey
from xinglin.base.ids import AccountId
from xinglin.client import sealed_file
from xinglin.client.codes import ClientCode
from xinglin.client.sealed_file import PassphraseKey, Strength

SEALED_LINE = b"xinglin key 1, sealed with a passphrase\n"
CLEAR_LINE = b"xinglin key 1, NOT ENCRYPTED: whoever reads this file can sign\n"


class KeyContent(codec.Struct):
    account: AccountId
    suite: SignatureSuite
    seed: Annotated[bytes, Meta(min_length=32, max_length=32)]


class KeyFile:
    """The file's two verbs; the key itself is base.crypto's."""

    @staticmethod
    def create(path: Path, passphrase: str | bytes | None, suite: SignatureSuite, account: AccountId,
               *, strength: Strength = Strength.MODERATE) -> SigningKey:
        """Draw a key and write it; with no passphrase in clear, for this user alone.

        Errors  NotUnderstood WALLET_ALREADY_EXISTS, PASSPHRASE_NOT_VALID; Failed WALLET_NOT_WRITTEN;
                KeyInvalid for a suite that does not sign here.
        """
        seed = os.urandom(32)
        key = SigningKey.from_seed(suite, seed)
        content = codec.encode(KeyContent(account=account, suite=suite, seed=seed))
        sealed_file.decode(content, KeyContent)   # a constructor checks nothing
        if passphrase is None:
            data = sealed_file.with_checksum(CLEAR_LINE + content)
        else:
            data = PassphraseKey.new(passphrase, strength).seal(SEALED_LINE, content)
        sealed_file.create(path, data)
        return key

    @staticmethod
    def open(path: Path, passphrase: str | bytes | None = None) -> tuple[AccountId, SigningKey]:
        """Errors  NotFound KEY_FILE_NOT_FOUND; as sealed_file.read, split and PassphraseKey.open; NotUnderstood
        PASSPHRASE_NEEDED."""
        line, body = _split(path)
        if line == CLEAR_LINE:
            content = body
        elif passphrase is None:
            raise NotUnderstood(ClientCode.PASSPHRASE_NEEDED, str(path))
        else:
            _, content = PassphraseKey.open(line, body, passphrase)
        key = sealed_file.decode(content, KeyContent)
        return key.account, SigningKey.from_seed(key.suite, key.seed)

    @staticmethod
    def is_sealed(path: Path) -> bool:
        """Whether `open` needs a passphrase."""
        return _split(path)[0] == SEALED_LINE


def _split(path: Path) -> tuple[bytes, bytes]:
    """(first line, body). One that is missing is no wallet: a new one would not be the account's key."""
    try:
        data = sealed_file.read(path)
    except NotFound:
        raise NotFound(ClientCode.KEY_FILE_NOT_FOUND, str(path)) from None
    return sealed_file.split(data, (SEALED_LINE, CLEAR_LINE))


__all__ = ["CLEAR_LINE", "SEALED_LINE", "KeyFile"]
