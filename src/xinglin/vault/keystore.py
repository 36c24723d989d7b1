"""One 32-byte key per subject, outside every database and every backup. Destroying it is erasure.

Each folder, the first and its mirrors, holds `keys` and `tags`, two files of slots (slots.py):

    keys   state (1) | 0 (7) | subject (16) | nonce (12) | key under the holder's KEK (48) | 0 | check (8)
    tags   state (1) | 0 (7) | subject (16) | HMAC-SHA256(look-up key, system | 0 | value) (32) | check (8)

A new key is returned once every folder has it. A destroyed one is overwritten by a tombstone in every
folder, or the call fails and names those that did not follow. Tombstones never leave: opened beside an
older copy, they are applied to it. Live keys that a folder lacks are copied to it, so an empty folder
becomes a mirror. The look-up key is itself a slot, under an id that is never drawn. Tags of a kind other than
an identifier have a look-up key of their own, derived from it: HMAC-SHA256(look-up key, "xinglin/tag/" | kind).

The holder's own key is the slot under its member id. What flash and copying file systems may keep of
overwritten bytes no file can help; keep the KEK in hardware where that matters (docs/spec/vault.md).
"""

import hmac
import os
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import IntEnum
from pathlib import Path
from types import TracebackType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from xinglin import disk
from xinglin.base.check import Busy, Failed, NotFound, NotUnderstood, require
from xinglin.base.ids import NO_ID, short
from xinglin.vault import VaultCode
from xinglin.vault.seal import KEY_BYTES
from xinglin.vault.slots import SlotFile

LIVE, TOMBSTONE, DAMAGED = 1, 2, 3   # DAMAGED is never written: no folder has an intact slot
LOOKUP_ID = b"\xff" * 16

_KEY_SLOT_BYTES = 128             # divides a 512-byte sector: power loss rarely tears one
_TAG_SLOT_BYTES = 64
_KEY_BODY = struct.Struct(">B7x16s12s48s36x")
_TAG_BODY = struct.Struct(">B7x16s32s")
_KEYS_MAGIC = b"xinglin keystore keys 1"
_TAGS_MAGIC = b"xinglin keystore tags 1"
_WRAP_DOMAIN = b"xinglin/keystore/1"


class TagKind(IntEnum):
    """What a tag is about. Each has its own look-up key, so that no word of an input reaches another kind's tags."""

    IDENTIFIER = 1                # a patient's identifier, as an input writes it
    SOURCE = 2                    # a source's own name for a patient
    CONTESTED = 3                 # an identifier that a second patient has too: it leads to nobody


def holder_kek(*folders: Path) -> bytes:
    """The key-encryption key in `holder.kek`, drawn at first use and copied to every folder given.

    A folder that has the keys but not the KEK is no mirror; an HSM's owner passes a KEK of its own.

    Errors  NotUnderstood KEK_NOT_VALID, KEK_READABLE_BY_OTHERS, KEYSTORES_DIFFER, KEK_LOST: keys are there, which a
            fresh one would not open.
    """
    found = [kek for kek in (_read_kek(folder / "holder.kek") for folder in folders) if kek]
    for folder in folders:
        require(bool(found) or not (folder / "keys").exists(), VaultCode.KEK_LOST, str(folder / "holder.kek"))
    kek = found[0] if found else os.urandom(KEY_BYTES)
    require(all(hmac.compare_digest(kek, other) for other in found), VaultCode.KEYSTORES_DIFFER,
            "the folders have different holder.kek")
    for folder in folders:
        if not (folder / "holder.kek").exists():
            disk.make_folder(folder)
            disk.replace_file(folder / "holder.kek", kek)
    return kek


def _read_kek(path: Path) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        require(not disk.readable_by_others(fd), VaultCode.KEK_READABLE_BY_OTHERS,
                f"{path}: chmod 600")
        kek = os.read(fd, KEY_BYTES + 1)
    finally:
        os.close(fd)
    require(len(kek) == KEY_BYTES, VaultCode.KEK_NOT_VALID, f"{path} has not {KEY_BYTES} bytes")
    return kek


class _Copy:
    """One folder's two files, and where in them each subject and tag stands."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.failed = False
        self.key_at: dict[bytes, int] = {}
        self.tag_at: dict[bytes, int] = {}
        self.damaged: dict[int, bytes] = {}       # slot of `keys` -> body as far as it can be read
        self.notes: list[str] = []
        with ExitStack() as opened:
            disk.make_folder(folder)
            self._lock = disk.lock_file(folder / "lock")
            opened.callback(os.close, self._lock)
            self._keys = SlotFile(folder / "keys", _KEYS_MAGIC, _KEY_SLOT_BYTES)
            opened.callback(self._keys.close)
            self._tags = SlotFile(folder / "tags", _TAGS_MAGIC, _TAG_SLOT_BYTES)
            opened.callback(self._tags.close)
            self.close = opened.pop_all().close

    def load_keys(self) -> dict[bytes, bytes]:
        """subject -> body, of the intact slots."""
        bodies = {}
        for index, body, intact in self._keys.load():
            state, subject, _, _ = _KEY_BODY.unpack(body)
            if not intact or state not in (LIVE, TOMBSTONE):
                self.damaged[index] = body
                self.notes.append(f"{self.folder / 'keys'} slot {index} is damaged")
                continue
            if subject in bodies:                 # not `require`: its words cost more than the check
                raise NotUnderstood(VaultCode.KEYSTORE_NOT_UNDERSTOOD,
                                    f"{self.folder / 'keys'} slot {index} repeats a subject")
            bodies[subject] = body
            self.key_at[subject] = index
        return bodies

    def load_tags(self) -> dict[bytes, bytes]:
        """tag -> subject. A damaged slot is wiped: it may be half of an erasure, and finds nobody."""
        subjects = {}
        for index, body, intact in self._tags.load():
            state, subject, tag = _TAG_BODY.unpack(body)
            if not intact or state != LIVE or tag in subjects:
                self.notes.append(f"{self.folder / 'tags'} slot {index} was damaged and is wiped")
                self._tags.wipe(index)
                continue
            subjects[tag] = subject
            self.tag_at[tag] = index
        return subjects

    def read_key(self, subject: bytes) -> bytes | None:
        """The live slot's body; None when this folder lacks it, or cannot be read."""
        index = self.key_at.get(subject)
        try:
            body = None if index is None else self._keys.read(index)
        except OSError:
            return None
        return body if body is not None and body[0] == LIVE and body[8:24] == subject else None

    def write_key(self, subject: bytes, body: bytes, old: bytes | None = None) -> None:
        """Over the subject's slot, and over damaged slots that hold remains of `old` or of `body`."""
        remains = [index for index, damaged in self.damaged.items()
                   if _share_bytes(damaged, subject, (body, old or body))]
        for index in remains:
            del self.damaged[index]
            self._keys.wipe(index)
        if subject not in self.key_at:
            self.key_at[subject] = self._keys.take()
        self._keys.write(self.key_at[subject], body)

    def write_tag(self, tag: bytes, subject: bytes) -> None:
        index = self._tags.take()
        self._tags.write(index, _TAG_BODY.pack(LIVE, subject, tag))
        self.tag_at[tag] = index

    def wipe_tag(self, tag: bytes) -> None:
        index = self.tag_at.pop(tag, None)
        if index is not None:
            self._tags.wipe(index)

    def sync(self) -> None:
        self._keys.sync()
        self._tags.sync()


class Keystore:
    """The keys of one holder's subjects, opened by one process at a time; safe for its threads."""

    def __init__(self, copies: Sequence[_Copy], kek: bytes):
        """Use `open`."""
        self._copies = copies
        self._kek = AESGCM(kek)
        self._mutex = threading.Lock()
        self._states: dict[bytes, int] = {}
        self._subject_of: dict[bytes, bytes] = {}
        self._tags_of: dict[bytes, list[bytes]] = {}
        self._merge_keys()
        self._merge_tags()
        for copy in copies:
            with self._naming(copy):
                copy.sync()
        lookup = self._open_lookup()
        self._lookup = None if lookup is None else {kind: _kind_key(lookup, kind) for kind in TagKind}

    @classmethod
    def open(cls, folder: Path, kek: bytes, mirrors: Sequence[Path] = ()) -> "Keystore":
        """Open or create; bring every folder to the same keys and tombstones first.

        Errors  Busy KEYSTORE_IN_USE; NotUnderstood KEK_NOT_VALID, KEYSTORE_NOT_UNDERSTOOD,
                KEYSTORES_DIFFER; Failed MIRROR_FAILED, naming the folder.
        """
        require(len(kek) == KEY_BYTES, VaultCode.KEK_NOT_VALID, f"a KEK has {KEY_BYTES} bytes")
        copies = []
        with ExitStack() as opened:
            for path in (folder, *mirrors):
                try:
                    copy = _Copy(Path(path))
                except BlockingIOError:
                    raise Busy(VaultCode.KEYSTORE_IN_USE, str(path)) from None
                except OSError as error:
                    raise Failed(VaultCode.MIRROR_FAILED, f"{path}: {error.strerror}") from None
                opened.callback(copy.close)
                copies.append(copy)
            store = cls(copies, kek)
            opened.pop_all()
        return store

    @property
    def damaged(self) -> tuple[str, ...]:
        """What was found damaged when opening, for a doctor; what another folder had is repaired."""
        return tuple(note for copy in self._copies for note in copy.notes)

    @property
    def destroyed(self) -> tuple[bytes, ...]:
        """Subjects with a tombstone: after a restore their rows elsewhere are to be removed again."""
        return tuple(sorted(s for s, state in self._states.items() if state == TOMBSTONE))

    def create(self, subject: bytes) -> bytes:
        """A new key, in every folder before it is returned."""
        return self.create_many((subject,))[0]

    def create_many(self, subjects: Sequence[bytes]) -> list[bytes]:
        """New keys in the order of `subjects`, with one sync a folder; all or none.

        Errors  NotUnderstood SUBJECT_ID_NOT_VALID, KEY_ALREADY_EXISTS, KEY_DAMAGED;
                NotFound KEY_DESTROYED; Failed MIRROR_FAILED: none of them may be used.
        """
        with self._mutex:
            for subject in subjects:
                self._check_new(subject)
            require(len(frozenset(subjects)) == len(subjects), VaultCode.KEY_ALREADY_EXISTS,
                    "the same subject twice")
            keys = [os.urandom(KEY_BYTES) for _ in subjects]
            self._write_keys({s: self._wrapped(s, key) for s, key in zip(subjects, keys, strict=True)})
        return keys

    def key(self, subject: bytes) -> bytes:
        """The subject's key.

        Errors  NotFound KEY_NOT_FOUND, KEY_DESTROYED; NotUnderstood KEY_DAMAGED.
        """
        _check_id(subject)
        with self._mutex:
            return self._key(subject)

    def destroy(self, subject: bytes) -> None:
        """Overwrite the key and erase its tags in every folder; leave a tombstone. May be repeated.

        A subject without a key gets a tombstone too: an older copy of it may turn up one day.

        Errors  Failed MIRROR_FAILED, naming every folder that may still hold the key; the others
                have their tombstones and hand them on at the next open.
        """
        _check_id(subject)
        failed = []
        with self._mutex:
            old = next(filter(None, (copy.read_key(subject) for copy in self._copies)), None)
            self._states[subject] = TOMBSTONE
            tags = self._tags_of.pop(subject, [])
            for tag in tags:
                del self._subject_of[tag]
            for copy in self._copies:
                try:
                    self._entomb(copy, subject, old, tags)
                except OSError as error:
                    copy.failed = True
                    failed.append(f"{copy.folder}: {error.strerror}")
        if failed:
            raise Failed(VaultCode.MIRROR_FAILED, "; ".join(failed))

    def tag(self, system: str, value: str, subject: bytes, kind: TagKind = TagKind.IDENTIFIER) -> None:
        """Let `find` lead from an identifier, as FHIR writes it, to the subject."""
        self.tag_many(((system, value, subject),), kind)

    def tag_many(self, entries: Iterable[tuple[str, str, bytes]], kind: TagKind = TagKind.IDENTIFIER) -> None:
        """Many (system, value, subject) with one sync a folder; one that stands already is kept.

        Errors  NotUnderstood TAG_NOT_VALID, TAG_TAKEN by another subject; as `key` for the subject.
        """
        with self._mutex:
            new: dict[bytes, bytes] = {}
            for system, value, subject in entries:
                self._check_live(subject)
                tag = self._tag(kind, system, value)
                taken = self._subject_of.get(tag) or new.get(tag) or subject
                require(taken == subject, VaultCode.TAG_TAKEN, f"by {short(taken)}")
                if tag not in self._subject_of:
                    new[tag] = subject
            for copy in self._copies:
                with self._naming(copy):
                    for tag, subject in new.items():
                        copy.write_tag(tag, subject)
                    copy.sync()
            for tag, subject in new.items():
                self._keep_tag(tag, subject)

    def find(self, system: str, value: str, kind: TagKind = TagKind.IDENTIFIER) -> bytes | None:
        with self._mutex:
            return self._subject_of.get(self._tag(kind, system, value))

    def close(self) -> None:
        for copy in self._copies:
            copy.close()

    def __enter__(self) -> "Keystore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    # -- opening

    def _merge_keys(self) -> None:
        found = [copy.load_keys() for copy in self._copies]
        bodies: dict[bytes, bytes] = {}
        for copy, theirs in zip(self._copies, found, strict=True):
            for subject, body in theirs.items():
                have = bodies.setdefault(subject, body)
                if body[0] == TOMBSTONE:
                    bodies[subject] = body
                elif have[0] == LIVE and have != body:
                    raise NotUnderstood(VaultCode.KEYSTORES_DIFFER,
                                        f"{copy.folder} has another key for {short(subject)}")
        for copy, theirs in zip(self._copies, found, strict=True):
            with self._naming(copy):
                for subject, body in bodies.items():
                    if theirs.get(subject) != body:
                        copy.write_key(subject, body)
            for damaged in copy.damaged.values():
                self._states[damaged[8:24]] = DAMAGED
        for subject, body in bodies.items():
            self._states[subject] = body[0]

    def _merge_tags(self) -> None:
        found = [copy.load_tags() for copy in self._copies]
        for copy, theirs in zip(self._copies, found, strict=True):
            for tag, subject in theirs.items():
                if self._states.get(subject) != LIVE:
                    with self._naming(copy):
                        copy.wipe_tag(tag)
                elif tag not in self._subject_of:
                    self._keep_tag(tag, subject)
                elif self._subject_of[tag] != subject:
                    raise NotUnderstood(VaultCode.KEYSTORES_DIFFER,
                                        f"{copy.folder} leads a tag to another than {short(subject)}")
        for copy in self._copies:
            with self._naming(copy):
                for tag, subject in self._subject_of.items():
                    if tag not in copy.tag_at:
                        copy.write_tag(tag, subject)

    def _open_lookup(self) -> bytes | None:
        """The look-up key; it also shows that the KEK is the right one. None when it is damaged."""
        state = self._states.get(LOOKUP_ID)
        if state == LIVE:
            try:
                return self._key(LOOKUP_ID)
            except NotUnderstood:
                raise NotUnderstood(VaultCode.KEK_NOT_VALID, "it opens another keystore") from None
        if LIVE in self._states.values() or TOMBSTONE in self._states.values():
            return None
        key = os.urandom(KEY_BYTES)
        self._write_keys({LOOKUP_ID: self._wrapped(LOOKUP_ID, key)})
        return key

    # -- one key, one tag

    def _key(self, subject: bytes) -> bytes:
        self._check_live(subject)
        about = _WRAP_DOMAIN + subject
        for copy in self._copies:
            body = copy.read_key(subject)
            if body is not None:
                _, _, nonce, wrapped = _KEY_BODY.unpack(body)
                try:
                    return self._kek.decrypt(nonce, wrapped, about)
                except InvalidTag:
                    continue
        raise NotUnderstood(VaultCode.KEY_DAMAGED, short(subject))

    def _wrapped(self, subject: bytes, key: bytes) -> bytes:
        nonce = os.urandom(12)    # random under one KEK: good for 2^32 keys
        return _KEY_BODY.pack(LIVE, subject, nonce,
                              self._kek.encrypt(nonce, key, _WRAP_DOMAIN + subject))

    def _write_keys(self, bodies: dict[bytes, bytes]) -> None:
        for copy in self._copies:
            with self._naming(copy):
                for subject, body in bodies.items():
                    copy.write_key(subject, body)
                copy.sync()
        for subject in bodies:
            self._states[subject] = LIVE

    def _entomb(self, copy: _Copy, subject: bytes, old: bytes | None, tags: Sequence[bytes]) -> None:
        if copy.failed:
            raise OSError(0, "failed before; close and open the keystore")
        # Written again even where one stands: only a write of our own makes the sync say something.
        copy.write_key(subject, _KEY_BODY.pack(TOMBSTONE, subject, b"", b""), old)
        for tag in tags:
            copy.wipe_tag(tag)
        copy.sync()

    def _tag(self, kind: TagKind, system: str, value: str) -> bytes:
        if self._lookup is None:
            raise NotUnderstood(VaultCode.KEY_DAMAGED, "the look-up key")
        # A zero byte in the system would let two pairs share one tag.
        require("\0" not in system and value != "", VaultCode.TAG_NOT_VALID, "system or value")
        try:
            message = system.encode() + b"\0" + value.encode()
        except UnicodeEncodeError:
            raise NotUnderstood(VaultCode.TAG_NOT_VALID, "not Unicode text") from None
        return hmac.digest(self._lookup[kind], message, "sha256")

    def _keep_tag(self, tag: bytes, subject: bytes) -> None:
        self._subject_of[tag] = subject
        self._tags_of.setdefault(subject, []).append(tag)

    # -- checks

    def _check_new(self, subject: bytes) -> None:
        _check_id(subject)
        state = self._states.get(subject)
        if state == TOMBSTONE:
            raise NotFound(VaultCode.KEY_DESTROYED, short(subject))
        require(state != LIVE, VaultCode.KEY_ALREADY_EXISTS, short(subject))
        # It may be a key that rotted: a new one would hide that what it sealed is lost.
        require(state != DAMAGED, VaultCode.KEY_DAMAGED, short(subject))

    def _check_live(self, subject: bytes) -> None:
        state = self._states.get(subject)
        if state is None:
            raise NotFound(VaultCode.KEY_NOT_FOUND, short(subject))
        if state == TOMBSTONE:
            raise NotFound(VaultCode.KEY_DESTROYED, short(subject))
        require(state == LIVE, VaultCode.KEY_DAMAGED, short(subject))

    @contextmanager
    def _naming(self, copy: _Copy) -> Iterator[None]:
        """Turn an I/O error into one that names the folder, and let nothing write there again."""
        if copy.failed:
            raise Failed(VaultCode.MIRROR_FAILED, f"{copy.folder}: failed before")
        try:
            yield
        except OSError as error:
            copy.failed = True
            raise Failed(VaultCode.MIRROR_FAILED, f"{copy.folder}: {error.strerror}") from None


def _kind_key(lookup: bytes, kind: TagKind) -> bytes:
    # What it is made of has no zero byte, and so is no identifier's.
    return lookup if kind is TagKind.IDENTIFIER else hmac.digest(lookup, b"xinglin/tag/%d" % kind, "sha256")


def _share_bytes(damaged: bytes, subject: bytes, bodies: Iterable[bytes]) -> bool:
    """Whether a damaged slot was this subject's: rot that reached its id left other pieces whole."""
    if damaged[8:24] == subject:
        return True
    return any(damaged[at:at + 12] == body[at:at + 12] != bytes(12)
               for body in bodies for at in range(24, 84, 12))


def _check_id(subject: bytes) -> None:
    require(len(subject) == 16 and subject not in (NO_ID, LOOKUP_ID),
            VaultCode.SUBJECT_ID_NOT_VALID, "16 random bytes are wanted")


__all__ = ["Keystore", "TagKind", "holder_kek"]
