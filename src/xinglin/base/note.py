"""C2SP signed notes and checkpoints: a few lines of text, signed by named Ed25519 keys.

Source  C2SP signed-note, tlog-checkpoint
"""

import base64
import binascii
import hashlib
from typing import NamedTuple

from xinglin.base.check import ProofInvalid, SignatureInvalid
from xinglin.base.crypto import SignatureSuite, SigningKey, verify
from xinglin.base.ids import Hash

_ED25519 = b"\x01"                 # signature type of C2SP signed-note


class Checkpoint(NamedTuple):
    """What a checkpoint says of a log: its origin, size and root."""

    origin: str
    size: int
    root: Hash

    def text(self) -> bytes:
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n".encode()


def key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def sign(checkpoint: Checkpoint, name: str, key: SigningKey) -> bytes:
    text = checkpoint.text()
    signature = base64.b64encode(key_id(name, key.public) + key.sign(text)).decode()
    return text + f"\n— {name} {signature}\n".encode()


def open_checkpoint(note: bytes, keys: dict[str, bytes]) -> tuple[Checkpoint, tuple[str, ...]]:
    """The checkpoint and the names among `keys` (name -> Ed25519 public key) that signed it.

    Lines by keys we do not know are left aside, as the format asks; a bad line by one we know is an error.
    Errors  ProofInvalid when the form is wrong, nobody we know signed, or a known signature is bad.
    """
    text, blank, signatures = note.partition(b"\n\n")
    text += b"\n"
    if not blank or not signatures.endswith(b"\n"):
        raise ProofInvalid("the checkpoint is not a signed note")
    signers: list[str] = []
    for line in signatures[:-1].split(b"\n"):
        name, raw = _signature_line(line)
        public = keys.get(name)
        if public is None or raw[:4] != key_id(name, public):
            continue
        try:
            verify(SignatureSuite.ED25519, public, text, raw[4:])
        except SignatureInvalid:
            raise ProofInvalid(f"the checkpoint's signature by {name} does not hold") from None
        if name in signers:
            raise ProofInvalid("the checkpoint has two signatures by one key")
        signers.append(name)
    if not signers:
        raise ProofInvalid("the checkpoint is signed by nobody whom the network names")
    return _parse(text), tuple(signers)


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
    if rest or len(checkpoint.root) != 32 or checkpoint.text() != text:
        raise ProofInvalid("the checkpoint's text has another form than ours")
    return checkpoint
