"""Which keys took the place of a log's first ones: a statement for each, a note signed by the key that it replaces.

    xinglin.successor/1
    ORIGIN
    VERIFIER KEY                   of the successor, under the name of the key that it replaces
                                   (an empty line)
    — NAME SIGNATURE

Statements stand one after the other, so whoever knows the first keys can tell each later one by them. A file that
holds them needs no other protection: nobody adds a key without one that is known already.

Source  C2SP signed-note
"""

from collections.abc import Sequence

from xinglin.base.check import KeyInvalid, NotUnderstood, ProofInvalid
from xinglin.base.crypto import SigningKey
from xinglin.base.limits import SUCCESSORS_BYTES_MAX
from xinglin.base.note import KeyUse, NoteKey, open_text, read_key, sign_text

_HEAD = "xinglin.successor/1"
_LINES = 5


def statement(origin: str, successor: NoteKey, replaced: SigningKey) -> bytes:
    """The note by which the key `replaced` gives its place to `successor`."""
    return sign_text(f"{_HEAD}\n{origin}\n{successor.text()}\n".encode(), successor.name, replaced)


def read_successors(data: bytes, origin: str, first: Sequence[NoteKey]) -> tuple[NoteKey, ...]:
    """The keys that the statements in `data` add to `first`, in order. Errors  ProofInvalid, which says of which."""
    lines = data.split(b"\n")
    if len(data) > SUCCESSORS_BYTES_MAX or lines.pop() or len(lines) % _LINES:
        raise ProofInvalid("too long, or cut off")
    known = list(first)
    for at in range(0, len(lines), _LINES):
        note = b"".join([line + b"\n" for line in lines[at:at + _LINES]])
        try:
            known.append(_successor(note, origin, known))
        except (ProofInvalid, NotUnderstood, KeyInvalid) as error:
            raise ProofInvalid(f"statement {at // _LINES + 1}: {error.detail}") from None
    return tuple(known[len(first):])


def _successor(note: bytes, origin: str, known: Sequence[NoteKey]) -> NoteKey:
    text, signed_by = open_text(note, known)
    words = text.split(b"\n")
    if len(words) != 4 or words[:2] != [_HEAD.encode(), origin.encode()]:
        raise ProofInvalid("it is no statement about this log")
    successor = read_key(words[2].decode("latin-1"))
    if successor.use is not KeyUse.LOG or any(successor.key == one.key for one in known):
        raise ProofInvalid("a key of another use, or one that signs already")
    if not any(one.name == successor.name for one in signed_by):
        raise ProofInvalid("no key that it could replace has signed it")
    return successor


__all__ = ["read_successors", "statement"]
