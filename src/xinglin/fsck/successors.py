"""Who may have signed a ledger's checkpoints: the manifest's keys, and those that took their place one after the other.

Beside the store lie the statements, each signed by a key that stands before it. Read with code of its own.
"""

import base64
import re
from collections.abc import Sequence
from pathlib import Path

from xinglin.base.check import Failed
from xinglin.base.crypto import SignatureSuite, verify
from xinglin.base.limits import SUCCESSORS_BYTES_MAX
from xinglin.base.note import KeyUse, NoteKey, read_key
from xinglin.fsck.codes import FsckCode, Lie
from xinglin.kernel.genesis import Manifest, chain_id

STATEMENT = re.compile(rb"(xinglin\.successor/1\n(?P<origin>[^\n]+)\n(?P<key>[!-~]+)\n)\n"
                       rb"\xe2\x80\x94 (?P<name>[!-~]+) (?P<signature>[A-Za-z0-9+/]{91}=)\n")


def log_keys(folder: Path, manifest: Manifest) -> tuple[NoteKey, ...]:
    """Errors  Lie SUCCESSORS_LIE."""
    known = [NoteKey(one.name, KeyUse.LOG, one.key) for one in manifest.checkpoint_keys]
    try:
        with open(folder / "successors", "rb") as file:
            data = file.read(SUCCESSORS_BYTES_MAX + 1)
    except FileNotFoundError:
        return tuple(known)
    except OSError as error:
        raise _lie(error.strerror or "") from None
    if len(data) > SUCCESSORS_BYTES_MAX:
        raise _lie("too long")
    at = 0
    while at < len(data):
        count = len(known) - len(manifest.checkpoint_keys) + 1
        found = STATEMENT.match(data, at)
        if found is None:
            raise _lie(f"statement {count} is not one")
        if found["origin"] != f"xinglin/{chain_id(manifest)}".encode():
            raise _lie(f"statement {count} is of another log")
        known.append(_successor(found, known, count))
        at = found.end()
    return tuple(known)


def _successor(found: re.Match[bytes], known: Sequence[NoteKey], count: int) -> NoteKey:
    try:
        named = read_key(found["key"].decode())
        raw = base64.b64decode(found["signature"])
        signers = [one for one in known if one.id == raw[:4] and one.name == named.name == found["name"].decode()]
        if base64.b64encode(raw) == found["signature"] and signers and named.use is KeyUse.LOG \
                and named.key not in [one.key for one in known]:
            verify(SignatureSuite.ED25519, signers[0].key, found[1], raw[4:])
            return named
    except Failed:
        pass                           # a key or a signature that is none: said as the rest is
    raise _lie(f"statement {count} is signed by no key that stands before it")


def _lie(detail: str) -> Lie:
    return Lie(FsckCode.SUCCESSORS_LIE, f"ledger/successors: {detail}")
