"""A person's wallet: one seed, her subjects, the grants she made with what opens them, and notes.

One file under a passphrase. Each subject's key comes from the seed, so no two subjects share one and
the file may be lost as long as the seed is not; the subjects are then learnt again in person.
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta, structs

from xinglin.base import codec
from xinglin.base.check import Busy, NotUnderstood, require
from xinglin.base.crypto import SEED_BYTES, SignatureSuite, SigningKey
from xinglin.base.ids import GrantId, Hash, MemberId, NetworkId, SubjectId, short
from xinglin.base.limits import (
    BODY_BYTES_MAX,
    CELL_NAME_BYTES_MAX,
    NOTE_BYTES_MAX,
    TAG_CHARS_MAX,
    WALLET_BYTES_MAX,
    WALLET_GRANTS_MAX,
    WALLET_LABEL_CHARS_MAX,
    WALLET_NOTES_MAX,
    WALLET_SUBJECTS_MAX,
)
from xinglin.client import sealed_file
from xinglin.client.codes import ClientCode
from xinglin.client.sealed_file import PassphraseKey, Strength

FIRST_LINE = b"xinglin wallet 1, sealed with a passphrase\n"


class WalletSubject(codec.Struct):
    """Herself at one holder."""

    network: NetworkId
    subject: SubjectId
    holder: MemberId
    label: Annotated[str, Meta(max_length=WALLET_LABEL_CHARS_MAX)]   # her own word for it; may be empty


class GrantMade(codec.Struct):
    """What opens the commitment that a grant left on the ledger."""

    network: NetworkId
    subject: SubjectId
    grantee: MemberId
    grant_id: GrantId
    body: Annotated[bytes, Meta(max_length=BODY_BYTES_MAX)]
    nonce: Hash


class Note(codec.Struct):
    """Anything else: a guardian's share, a receipt, a pinned network."""

    kind: Annotated[str, Meta(max_length=TAG_CHARS_MAX)]
    name: Annotated[bytes, Meta(max_length=CELL_NAME_BYTES_MAX)]
    content: Annotated[bytes, Meta(max_length=NOTE_BYTES_MAX)]


class WalletContent(codec.Struct):
    seed: Hash
    subjects: Annotated[tuple[WalletSubject, ...], Meta(max_length=WALLET_SUBJECTS_MAX)]
    grants: Annotated[tuple[GrantMade, ...], Meta(max_length=WALLET_GRANTS_MAX)]
    notes: Annotated[tuple[Note, ...], Meta(max_length=WALLET_NOTES_MAX)]


class Wallet:
    """An open wallet. Each change is in the file before the call returns."""

    def __init__(self, path: Path, key: PassphraseKey, content: WalletContent, data: bytes):
        """Use `create` or `open`."""
        self._path = path
        self._key = key
        self._content = content
        self._seen = sha256(data).digest()

    @classmethod
    def create(cls, path: Path, passphrase: str | bytes, *, seed: bytes | None = None,
               strength: Strength = Strength.MODERATE) -> "Wallet":
        """A new wallet, of a fresh seed or restored from one written down.

        Errors  NotUnderstood WALLET_ALREADY_EXISTS, PASSPHRASE_NOT_VALID, SEED_NOT_VALID;
                Failed WALLET_NOT_WRITTEN.
        """
        seed = os.urandom(SEED_BYTES) if seed is None else seed
        require(len(seed) == SEED_BYTES, ClientCode.SEED_NOT_VALID, f"a seed has {SEED_BYTES} bytes")
        key = PassphraseKey.new(passphrase, strength)
        content = WalletContent(seed=seed, subjects=(), grants=(), notes=())
        data = key.seal(FIRST_LINE, codec.encode(content))
        sealed_file.create(path, data)
        return cls(path, key, content, data)

    @classmethod
    def open(cls, path: Path, passphrase: str | bytes) -> "Wallet":
        """Errors  NotFound WALLET_NOT_FOUND; NotUnderstood WALLET_PERMISSIONS, WALLET_NOT_UNDERSTOOD;
                NotVerified PASSPHRASE_WRONG, WALLET_DAMAGED; Busy NOT_ENOUGH_MEMORY.
        """
        data = sealed_file.read(path)
        line, body = sealed_file.split(data, (FIRST_LINE,))
        key, content = PassphraseKey.open(line, body, passphrase)
        return cls(path, key, sealed_file.decode(content, WalletContent), data)

    @property
    def seed(self) -> bytes:
        """For writing down on paper. Whoever has it is her."""
        return self._content.seed

    @property
    def subjects(self) -> tuple[WalletSubject, ...]:
        return self._content.subjects

    @property
    def grants(self) -> tuple[GrantMade, ...]:
        return self._content.grants

    @property
    def notes(self) -> tuple[Note, ...]:
        return self._content.notes

    def signing_key(self, network: NetworkId, subject: SubjectId) -> SigningKey:
        """The subject's Ed25519 key; any id has one, whether the wallet lists it or not."""
        info = b"xinglin/wallet/1" + subject
        seed = HKDF(SHA256(), SEED_BYTES, network, info).derive(self.seed)
        return SigningKey.from_seed(SignatureSuite.ED25519, seed)

    def add_subject(self, subject: WalletSubject) -> None:
        """Errors  NotUnderstood SUBJECT_ALREADY_IN_WALLET; and what a change may meet, below."""
        require(all((subject.network, subject.subject) != (old.network, old.subject)
                    for old in self.subjects),
                ClientCode.SUBJECT_ALREADY_IN_WALLET, short(subject.subject))
        self._change(subjects=(*self.subjects, subject))

    def drop_subject(self, network: NetworkId, subject: SubjectId) -> None:
        """Forget a subject that is not hers after all; its grants stay."""
        self._change(subjects=tuple(one for one in self.subjects if (one.network, one.subject) != (network, subject)))

    def put_grant(self, grant: GrantMade) -> None:
        """Keep it, in the place of one with the same ids."""
        ids = (grant.network, grant.subject, grant.grant_id)
        others = (old for old in self.grants if (old.network, old.subject, old.grant_id) != ids)
        self._change(grants=(*others, grant))

    def drop_grant(self, network: NetworkId, subject: SubjectId, grant_id: GrantId) -> None:
        """Forget a grant that came to nothing."""
        ids = (network, subject, grant_id)
        self._change(grants=tuple(one for one in self.grants if (one.network, one.subject, one.grant_id) != ids))

    def put_back(self, subjects: tuple[WalletSubject, ...], grants: tuple[GrantMade, ...]) -> None:
        """Know exactly these, as before something that came to nothing."""
        self._change(subjects=subjects, grants=grants)

    def note(self, kind: str, name: bytes) -> bytes | None:
        found = (note.content for note in self.notes if (note.kind, note.name) == (kind, name))
        return next(found, None)

    def put_note(self, kind: str, name: bytes, content: bytes) -> None:
        """Keep it, in the place of one of the same kind and name."""
        note = Note(kind=kind, name=name, content=content)
        self._change(notes=(*self._other_notes(kind, name), note))

    def delete_note(self, kind: str, name: bytes) -> None:
        self._change(notes=self._other_notes(kind, name))

    def change_passphrase(self, passphrase: str | bytes, *,
                          strength: Strength = Strength.MODERATE) -> None:
        """From now on this one. (Copies of the old file still open with the old one.)"""
        self._save(PassphraseKey.new(passphrase, strength), self._content)

    def _other_notes(self, kind: str, name: bytes) -> tuple[Note, ...]:
        return tuple(note for note in self.notes if (note.kind, note.name) != (kind, name))

    def _change(self, **fields: object) -> None:
        self._save(self._key, structs.replace(self._content, **fields))

    def _save(self, key: PassphraseKey, content: WalletContent) -> None:
        """Errors  NotUnderstood WALLET_FULL, WALLET_ENTRY_NOT_VALID; Busy WALLET_CHANGED_MEANWHILE;
                Failed WALLET_NOT_WRITTEN.
        """
        require(len(content.subjects) <= WALLET_SUBJECTS_MAX
                and len(content.grants) <= WALLET_GRANTS_MAX
                and len(content.notes) <= WALLET_NOTES_MAX, ClientCode.WALLET_FULL, "entries")
        try:
            encoded = codec.encode(content)
            codec.decode(encoded, WalletContent)  # a constructor checks nothing
        except NotUnderstood as error:
            raise NotUnderstood(ClientCode.WALLET_ENTRY_NOT_VALID, error.detail) from None
        except UnicodeEncodeError:
            raise NotUnderstood(ClientCode.WALLET_ENTRY_NOT_VALID, "not Unicode text") from None
        data = key.seal(FIRST_LINE, encoded)
        require(len(data) <= WALLET_BYTES_MAX, ClientCode.WALLET_FULL, f"{len(data)} bytes")
        with sealed_file.held(self._path):        # from the look to the change: two that save at once are told apart
            if sha256(sealed_file.read(self._path)).digest() != self._seen:
                raise Busy(ClientCode.WALLET_CHANGED_MEANWHILE, "open it again")
            sealed_file.replace(self._path, data)
        self._key, self._content, self._seen = key, content, sha256(data).digest()


__all__ = ["GrantMade", "Note", "Wallet", "WalletSubject"]
