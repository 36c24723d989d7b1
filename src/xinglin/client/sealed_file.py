"""A small private file: one line that says what it is, a body, a checksum over both.

    first line in words | body | SHA-256 of all before

A body under a passphrase is an Envelope: Argon2id gives 64 bytes, the first 32 seal the content, the
last 32 key the check by which a wrong passphrase is told from a damaged file. The checksum is for
damage alone; what keeps an intruder out is the seal.

Source  RFC 9106; libsodium's parameters; docs/spec/vault.md
"""

import hmac
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from msgspec import Meta
from nacl.pwhash import argon2id

from xinglin import disk
from xinglin.base import codec
from xinglin.base.check import Busy, Failed, NotFound, NotUnderstood, NotVerified, require
from xinglin.base.ids import Hash, Id
from xinglin.base.limits import PASSPHRASE_BYTES_MAX, WALLET_BYTES_MAX
from xinglin.base.units import U32, U63
from xinglin.client.codes import ClientCode
from xinglin.vault.seal import open_sealed, seal

_SALT_BYTES = 16
_CHECKSUM_BYTES = 32


class Strength(Enum):
    """Argon2id (passes, bytes of memory), as libsodium names them: 64 and 256 MiB. No file may ask for anything
    else: it may be a stranger's, and libsodium's third would take 1 GiB before the passphrase is found wrong.
    """

    INTERACTIVE = (argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE)
    MODERATE = (argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)


class Header(codec.Struct):
    salt: Id
    passes: U32
    memory_bytes: U63


class Envelope(codec.Struct):
    header: Header
    check: Hash
    sealed: Annotated[bytes, Meta(max_length=WALLET_BYTES_MAX)]


@dataclass(frozen=True)
class PassphraseKey:
    """What Argon2id made of a passphrase; kept while the file is open, so that saving is quick."""

    header: Header
    _sealing: bytes = field(repr=False)
    _checking: bytes = field(repr=False)

    @classmethod
    def new(cls, passphrase: str | bytes, strength: Strength) -> "PassphraseKey":
        passes, memory_bytes = strength.value
        header = Header(salt=os.urandom(_SALT_BYTES), passes=passes, memory_bytes=memory_bytes)
        return cls._derive(passphrase, header)

    @classmethod
    def _derive(cls, passphrase: str | bytes, header: Header) -> "PassphraseKey":
        try:
            okm = argon2id.kdf(64, _passphrase_bytes(passphrase), header.salt,
                               opslimit=header.passes, memlimit=header.memory_bytes)
        except RuntimeError:                      # all that libsodium says when memory is short
            raise Busy(ClientCode.NOT_ENOUGH_MEMORY,
                       f"{header.memory_bytes // 2**20} MiB are needed") from None
        return cls(header, okm[:32], okm[32:])

    def seal(self, first_line: bytes, content: bytes) -> bytes:
        """The whole file."""
        about = first_line + codec.encode(self.header)
        envelope = Envelope(header=self.header, check=hmac.digest(self._checking, about, "sha256"),
                            sealed=seal(self._sealing, about, content))
        return with_checksum(first_line + codec.encode(envelope))

    @classmethod
    def open(cls, first_line: bytes, body: bytes,
             passphrase: str | bytes) -> "tuple[PassphraseKey, bytes]":
        """The key and the content of a body that `split` gave.

        Errors  NotUnderstood WALLET_NOT_UNDERSTOOD; NotVerified PASSPHRASE_WRONG, WALLET_DAMAGED;
                Busy NOT_ENOUGH_MEMORY.
        """
        envelope: Envelope = decode(body, Envelope)
        header = envelope.header
        known = any((header.passes, header.memory_bytes) == strength.value for strength in Strength)
        require(known, ClientCode.WALLET_NOT_UNDERSTOOD, "its Argon2id parameters are not ours")
        key = cls._derive(passphrase, header)
        about = first_line + codec.encode(header)
        if not hmac.compare_digest(hmac.digest(key._checking, about, "sha256"), envelope.check):
            raise NotVerified(ClientCode.PASSPHRASE_WRONG)
        try:
            return key, open_sealed(key._sealing, about, envelope.sealed)
        except NotVerified:
            raise NotVerified(ClientCode.WALLET_DAMAGED, "its seal does not hold") from None


def decode(body: bytes, type_: type[codec.T]) -> codec.T:
    try:
        value: codec.T = codec.decode(body, type_)
    except NotUnderstood as error:
        raise NotUnderstood(ClientCode.WALLET_NOT_UNDERSTOOD, error.detail) from None
    return value


def with_checksum(data: bytes) -> bytes:
    return data + sha256(data).digest()


def split(data: bytes, first_lines: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """(first line, body) of a file that begins with one of `first_lines`.

    Errors  NotUnderstood WALLET_NOT_UNDERSTOOD; NotVerified WALLET_DAMAGED.
    """
    line = next((line for line in first_lines if data.startswith(line)), None)
    if line is None:
        raise NotUnderstood(ClientCode.WALLET_NOT_UNDERSTOOD, "another kind of file, or version")
    content, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(content) < len(line) or sha256(content).digest() != checksum:
        raise NotVerified(ClientCode.WALLET_DAMAGED, "its checksum does not hold")
    return line, content[len(line):]


def read(path: Path) -> bytes:
    """The file's bytes, if this user alone can have written and read them.

    Errors  NotFound WALLET_NOT_FOUND; NotUnderstood WALLET_PERMISSIONS, WALLET_NOT_UNDERSTOOD;
            Failed WALLET_NOT_READ.
    """
    try:
        # NONBLOCK: a pipe in its place must not hold us until someone writes into it.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFound(ClientCode.WALLET_NOT_FOUND, str(path)) from None
    except OSError as error:
        raise Failed(ClientCode.WALLET_PERMISSIONS, f"{path}: {error.strerror}") from None
    try:
        require(stat.S_ISREG(os.fstat(fd).st_mode), ClientCode.WALLET_NOT_UNDERSTOOD, "not a file")
        require(not disk.readable_by_others(fd), ClientCode.WALLET_PERMISSIONS, f"chmod 600 {path}")
        with open(fd, "rb", closefd=False) as file:
            data = file.read(WALLET_BYTES_MAX + 1)
    except OSError as error:
        raise Failed(ClientCode.WALLET_NOT_READ, f"{path}: {error.strerror}") from None
    finally:
        os.close(fd)
    require(len(data) <= WALLET_BYTES_MAX, ClientCode.WALLET_NOT_UNDERSTOOD, "too large")
    return data


def create(path: Path, data: bytes) -> None:
    """Errors  NotUnderstood WALLET_ALREADY_EXISTS: nothing here ever writes over a key."""
    try:
        disk.make_folder(path.parent)
        disk.create_file(path, data)
    except FileExistsError:
        raise NotUnderstood(ClientCode.WALLET_ALREADY_EXISTS, str(path)) from None
    except OSError as error:
        raise Failed(ClientCode.WALLET_NOT_WRITTEN, f"{path}: {error.strerror}") from None


def replace(path: Path, data: bytes) -> None:
    try:
        disk.replace_file(path, data)
    except OSError as error:
        raise Failed(ClientCode.WALLET_NOT_WRITTEN, f"{path}: {error.strerror}") from None


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Nobody else who holds it changes the file meanwhile. It is the file itself that is locked: whoever waited for
    one that was then replaced sees that another stands there.

    Errors  NotFound WALLET_NOT_FOUND; Failed WALLET_NOT_WRITTEN.
    """
    try:
        lock = disk.lock_file(path, wait=True, make=False)
    except FileNotFoundError:
        raise NotFound(ClientCode.WALLET_NOT_FOUND, str(path)) from None
    except OSError as error:
        raise Failed(ClientCode.WALLET_NOT_WRITTEN, f"{path}: {error.strerror}") from None
    try:
        yield
    finally:
        os.close(lock)


def _passphrase_bytes(passphrase: str | bytes) -> bytes:
    """Text in its composed form, so that two keyboards' accents are one passphrase (RFC 8265)."""
    if isinstance(passphrase, str):
        try:
            passphrase = unicodedata.normalize("NFC", passphrase).encode()
        except UnicodeEncodeError:
            raise NotUnderstood(ClientCode.PASSPHRASE_NOT_VALID, "not Unicode text") from None
    require(0 < len(passphrase) <= PASSPHRASE_BYTES_MAX, ClientCode.PASSPHRASE_NOT_VALID,
            f"1 to {PASSPHRASE_BYTES_MAX} bytes")
    return passphrase


__all__ = ["PassphraseKey", "Strength", "create", "decode", "read", "replace", "split",
           "with_checksum"]
