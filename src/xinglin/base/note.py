"""C2SP signed notes: checkpoints of a log, signed by the log and cosigned by witnesses.

A note is a text, an empty line, and a line for each signature, which names its key. Whoever verifies knows some
keys; lines by others are left aside, so that witnesses can be added and keys changed.

Source  C2SP signed-note, tlog-checkpoint, tlog-cosignature (Ed25519)
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from xinglin.base.check import BaseCode, ProofInvalid, SignatureInvalid, require
from xinglin.base.crypto import SignatureSuite, SigningKey, check_key, verify
from xinglin.base.ids import Hash
from xinglin.base.limits import TREE_SIZE_MAX

_TIME_BYTES = 8
_KEY_BYTES = 32
_VKEY = re.compile(r"([!-*,-~]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)")


class KeyUse(IntEnum):
    """Signature types of C2SP signed-note that are known here; the same key may have both uses under two ids."""

    LOG = 1                        # Ed25519 over the text
    WITNESS = 4                    # Ed25519 over time and text: cosignature/v1


class NoteKey(NamedTuple):
    """A public key that signs notes under a name. As text it is a C2SP verifier key."""

    name: str
    use: KeyUse
    key: bytes

    @property
    def id(self) -> bytes:
        """What a signature line carries beside the name."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes((self.use,)) + self.key).digest()[:4]

    def text(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes((self.use,)) + self.key).decode()}"


def read_key(text: str) -> NoteKey:
    """A verifier key from its text. Errors  NotUnderstood BYTES_NOT_UNDERSTOOD; KeyInvalid."""
    found = _VKEY.fullmatch(text)
    raw = b""
    if found:
        try:
            raw = base64.b64decode(found[3], validate=True)
        except binascii.Error:
            raw = b""
    known = found is not None and len(raw) == 1 + _KEY_BYTES and raw[0] in tuple(KeyUse)
    require(known, BaseCode.BYTES_NOT_UNDERSTOOD, "not a verifier key of an Ed25519 log or witness")
    key = NoteKey(text.partition("+")[0], KeyUse(raw[0]), raw[1:])
    require(key.text() == text, BaseCode.BYTES_NOT_UNDERSTOOD, "the verifier key's hash is of another name or key")
    check_key(SignatureSuite.ED25519, key.key)
    return key


class Checkpoint(NamedTuple):
    """What a checkpoint says of a log: its origin, size and root."""

    origin: str
    size: int
    root: Hash

    def text(self) -> bytes:
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n".encode()


class Cosignature(NamedTuple):
    """A witness said that it saw the log grow into this checkpoint, and when."""

    name: str
    key: bytes
    time_s: int


class Opened(NamedTuple):
    """A checkpoint, and who of those that are known has signed it."""

    checkpoint: Checkpoint
    signed_by: tuple[NoteKey, ...]
    cosigned_by: tuple[Cosignature, ...]


# -- signing


def sign(checkpoint: Checkpoint, name: str, key: SigningKey) -> bytes:
    """The checkpoint as a note with one signature, the log's."""
    return sign_text(checkpoint.text(), name, key)


def sign_text(text: bytes, name: str, key: SigningKey) -> bytes:
    """Any text, of whole lines and none of them empty, as a note that a log signs."""
    return text + b"\n" + _line(NoteKey(name, KeyUse.LOG, key.public), key.sign(text))


def cosign(checkpoint: Checkpoint, name: str, key: SigningKey, time_s: int) -> bytes:
    """A witness's signature line, to be added to the note."""
    time = time_s.to_bytes(_TIME_BYTES, "big")
    return _line(NoteKey(name, KeyUse.WITNESS, key.public), time + key.sign(_cosigned(checkpoint.text(), time_s)))


def _line(key: NoteKey, signature: bytes) -> bytes:
    return f"— {key.name} {base64.b64encode(key.id + signature).decode()}\n".encode()


def _cosigned(text: bytes, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n".encode() + text


# -- opening


def open_checkpoint(note: bytes, keys: Iterable[NoteKey]) -> Opened:
    """The checkpoint, and which of `keys` signed it: perhaps none, which is the caller's to judge.

    Lines by keys we do not know are left aside, as the format asks; a bad line by one we know is an error.
    Errors  ProofInvalid when the form is wrong or a known signature is bad.
    """
    text, lines = _split(note)
    known = {(key.name, key.id): key for key in keys}
    signed: list[NoteKey] = []
    cosigned: list[Cosignature] = []
    seen: set[NoteKey] = set()
    for name, raw in lines:
        key = known.get((name, raw[:4]))
        if key is None:
            continue
        if key in seen:
            raise ProofInvalid("the checkpoint has two signatures by one key")
        seen.add(key)
        try:
            if key.use is KeyUse.LOG:
                verify(SignatureSuite.ED25519, key.key, text, raw[4:])
                signed.append(key)
            else:
                cosigned.append(_verify_cosignature(key, text, raw[4:]))
        except SignatureInvalid:
            raise ProofInvalid(f"the checkpoint's signature by {name} does not hold") from None
    return Opened(_parse(text), tuple(signed), tuple(cosigned))


def open_text(note: bytes, keys: Iterable[NoteKey]) -> tuple[bytes, tuple[NoteKey, ...]]:
    """The text of a note, and which of the logs' `keys` signed it. Errors  ProofInvalid as `open_checkpoint`."""
    text, lines = _split(note)
    known = {(key.name, key.id): key for key in keys}
    signed = []
    for name, raw in lines:
        key = known.get((name, raw[:4]))
        if key is None:
            continue
        try:
            verify(SignatureSuite.ED25519, key.key, text, raw[4:])
        except SignatureInvalid:
            raise ProofInvalid(f"the signature by {name} does not hold") from None
        signed.append(key)
    return text, tuple(signed)


def _verify_cosignature(key: NoteKey, text: bytes, signature: bytes) -> Cosignature:
    time_s = int.from_bytes(signature[:_TIME_BYTES], "big")
    if time_s >= 2**63:
        raise SignatureInvalid("its time is out of range")
    verify(SignatureSuite.ED25519, key.key, _cosigned(text, time_s), signature[_TIME_BYTES:])
    return Cosignature(key.name, key.key, time_s)


def read_checkpoint(note: bytes) -> Checkpoint:
    """What the note says, whoever signed it. Errors  ProofInvalid."""
    text, _ = _split(note)
    return _parse(text)


def signature_lines(note: bytes) -> dict[tuple[str, bytes], bytes]:
    """(name, key id) -> its line with the line break; of two by one key the later. Errors  ProofInvalid."""
    _, lines = _split(note)
    return {(name, raw[:4]): f"— {name} {base64.b64encode(raw).decode()}\n".encode() for name, raw in lines}


def _split(note: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    text, blank, signatures = note.partition(b"\n\n")
    if not blank or not signatures.endswith(b"\n"):
        raise ProofInvalid("the checkpoint is not a signed note")
    return text + b"\n", [_signature_line(line) for line in signatures[:-1].split(b"\n")]


def _signature_line(line: bytes) -> tuple[str, bytes]:
    try:
        dash, name, encoded = line.decode().split(" ")
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise ProofInvalid("a signature line of the checkpoint is malformed") from None
    if dash != "—" or not name or len(raw) < 5 or base64.b64encode(raw).decode() != encoded:
        raise ProofInvalid("a signature line of the checkpoint is malformed")
    return name, raw


def _parse(text: bytes) -> Checkpoint:
    try:
        origin, size, root, rest = text.decode().split("\n")
        checkpoint = Checkpoint(origin, int(size), base64.b64decode(root, validate=True))
    except (ValueError, binascii.Error):
        raise ProofInvalid("the checkpoint's text is malformed") from None
    if rest or len(checkpoint.root) != 32 or checkpoint.text() != text or not 0 <= checkpoint.size <= TREE_SIZE_MAX:
        raise ProofInvalid("the checkpoint's text has another form than ours")
    return checkpoint


__all__ = ["Checkpoint", "Cosignature", "KeyUse", "NoteKey", "Opened", "cosign", "open_checkpoint", "open_text",
           "read_checkpoint", "read_key", "sign", "sign_text", "signature_lines"]
