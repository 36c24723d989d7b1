"""A stranger's verifier: written from docs/spec alone, it uses nothing of Xinglin.

    python verify_receipt.py FILE NETWORK_ID

Prints what a receipt or a state proof says when it holds; ends with a line on stderr and status 5 when it does
not or that cannot be told, and status 2 when there is nothing to verify. Needs PyNaCl for Ed25519. It knows SHA-256
networks, and shows events as plain arrays. Ids are whole: compare all their digits, others may begin alike. That a key
claimed a subject says that the holder's service signed with it, not whose key it is; a consent's row does not say
whether the member is active.
"""

import base64
import binascii
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

TX, TIMER, CLOSING = range(3)

# The longest that each may be (receipt.md), and the width of the keys that may be proved (modules).
FILE_BYTES, MANIFEST_BYTES, NOTE_BYTES, LEAF_BYTES, PATH_STEPS = 64 << 20, 1 << 20, 16 << 10, 1024, 64
EVENTS_BYTES = ROW_BYTES = 64 << 10
KEY_BYTES = {
    "access/anchors": 16, "access/asked": 32, "access/log": 16, "access/requests": 20, "consent/grants": 32,
    "kernel/accounts": 16, "kernel/lane": 16, "kernel/quota": 0, "kernel/replay": 4, "members/invited": 16,
    "members/key_motions": 32, "members/members": 16, "members/motions": 17, "members/staff": 16, "members/tally": 0,
    "records/batches": 20, "subjects/subjects": 16}


class DoesNotHold(Exception):
    """The file proves nothing; the words say at which step."""


class CannotTell(Exception):
    """The file is of a kind that this program does not know."""


# -- encoding.md

FORMS = {0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4), 0xD9: ("text", 1), 0xDA: ("text", 2),
         0xDB: ("text", 4), 0xDC: ("array", 2), 0xDD: ("array", 4), 0xCC: ("number", 1), 0xCD: ("number", 2),
         0xCE: ("number", 4), 0xCF: ("number", 8)}
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


def decode(data: bytes) -> Any:
    """The one value that `data` is the encoding of."""
    try:
        value, end = _value(data, 0)
    except (IndexError, KeyError, UnicodeDecodeError, RecursionError):
        raise DoesNotHold("the bytes are not understood") from None
    if end != len(data) or _encode(value) != data:
        raise DoesNotHold("the bytes are not the one encoding of their value")
    return value


def _value(data: bytes, at: int) -> tuple[Any, int]:
    head, at = data[at], at + 1
    if head < 0x80:
        return head, at
    if head in CONSTANTS:
        return CONSTANTS[head], at
    if 0x90 <= head < 0xA0:
        return _array(data, at, head - 0x90)
    if 0xA0 <= head < 0xC0:
        return _piece(data, at, head - 0xA0).decode(), at + head - 0xA0
    kind, width = FORMS[head]
    number, at = int.from_bytes(_piece(data, at, width), "big"), at + width
    if kind == "number":
        return number, at
    if kind == "array":
        return _array(data, at, number)
    piece = _piece(data, at, number)
    return piece if kind == "bytes" else piece.decode(), at + number


def _array(data: bytes, at: int, count: int) -> tuple[list[Any], int]:
    values = []
    for _ in range(count):
        value, at = _value(data, at)
        values.append(value)
    return values, at


def _piece(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise IndexError
    return data[at:at + length]


def _encode(value: Any) -> bytes:
    if value is None or value is True or value is False:
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return bytes([value]) if value < 0x80 else _headed("number", value)
    if isinstance(value, bytes):
        return _headed("bytes", len(value)) + value
    if isinstance(value, str):
        data = value.encode()
        return (bytes([0xA0 + len(data)]) if len(data) < 32 else _headed("text", len(data))) + data
    head = bytes([0x90 + len(value)]) if len(value) < 16 else _headed("array", len(value))
    return head + b"".join(map(_encode, value))


def _headed(kind: str, number: int) -> bytes:
    """The shortest head of this kind with this number."""
    head, width = min((head, width) for head, (name, width) in FORMS.items()
                      if name == kind and number < 1 << 8 * width)
    return bytes([head]) + number.to_bytes(width, "big")


# -- crypto.md

def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def tagged(domain: str, *parts: bytes) -> bytes:
    return digest(bytes([len(domain)]) + domain.encode() + b"".join(
        len(part).to_bytes(4, "big") + part for part in parts))


# -- receipt.md

def verify(data: bytes, network: bytes) -> dict[str, Any]:
    """What the file proves. Errors  DoesNotHold, CannotTell."""
    _within(data, FILE_BYTES)
    file = decode(data)
    try:
        match file:
            case ["xinglin.receipt/1", manifest, checkpoint, outcome, closing, events]:
                (leaf, block), signed_by = _in_history(manifest, checkpoint, (outcome, closing), network)
                return _receipt(leaf, block, events) | {"signed_by": signed_by}
            case ["xinglin.state-proof/1", manifest, checkpoint, closing, table, key, row, proof]:
                (block,), signed_by = _in_history(manifest, checkpoint, (closing,), network)
                return _state(block, table, key, row, proof) | {"signed_by": signed_by}
    except (TypeError, ValueError, AttributeError, LookupError, binascii.Error):
        raise DoesNotHold("a part of the file has another form") from None
    if isinstance(file, list) and file and file[0] in ("xinglin.receipt/1", "xinglin.state-proof/1"):
        raise DoesNotHold("a part of the file has another form")
    raise CannotTell("this program knows receipts and state proofs")


def _within(data: bytes, most: int) -> bytes:
    """`data`, if it is bytes and no more than `most`."""
    if type(data) is not bytes or len(data) > most:
        raise DoesNotHold("a part of the file is not bytes, or too long")
    return data


def _numbers(*values: int) -> None:
    """True is 1 to Python; in these files it is not."""
    if any(type(value) is not int for value in values):
        raise DoesNotHold("a number is not a number")


def _in_history(manifest_bytes: bytes, note: bytes, places: tuple[list[Any], ...],
                network: bytes) -> tuple[list[list[Any]], list[str]]:
    """The leaves, and who signed the checkpoint that they stand under."""
    manifest = decode(_within(manifest_bytes, MANIFEST_BYTES))
    tag, name, suite, _, simulated, module_set, _, _, _, checkpoint_keys = manifest
    if tag != "xinglin.manifest/1" or suite != "sha-256":
        raise DoesNotHold("not a manifest of a SHA-256 network")
    if tagged("xinglin/network/1", manifest_bytes) != network:
        raise DoesNotHold("the file is of another network")
    chain = f"{name}{'-sim' if simulated else ''}-{network[:8].hex()}"
    size, root, signed_by = _checkpoint(_within(note, NOTE_BYTES), chain, dict(checkpoint_keys))
    for leaf, index, path in places:
        _numbers(index)
        _inclusion(digest(b"\x00" + _within(leaf, LEAF_BYTES)), index, size, path, root)
    if len(places) == 2 and places[0][1] >= places[1][1]:
        raise DoesNotHold("the closing leaf is not behind the outcome")
    leaves = [decode(leaf) for leaf, _, _ in places]
    if leaves[-1][4] != module_set:
        raise DoesNotHold("the block was not closed under the rules of the manifest")
    return leaves, signed_by


def _checkpoint(note: bytes, chain: str, keys: dict[str, bytes]) -> tuple[int, bytes, list[str]]:
    text, gap, lines = note.partition(b"\n\n")
    text += b"\n"
    if not gap or not lines.endswith(b"\n"):
        raise DoesNotHold("the checkpoint is not a signed note")
    signed_by: list[str] = []
    for line in lines[:-1].decode().split("\n"):
        dash, name, encoded = line.split(" ")
        raw = base64.b64decode(encoded, validate=True)
        if dash != "—" or not name or len(raw) < 5 or base64.b64encode(raw).decode() != encoded:
            raise DoesNotHold("a signature line of the checkpoint is malformed")
        key = keys.get(name)
        if key is None or raw[:4] != digest(name.encode() + b"\n\x01" + key)[:4]:
            continue
        try:
            VerifyKey(key).verify(text, raw[4:])
        except (BadSignatureError, ValueError):
            raise DoesNotHold("a checkpoint signature does not hold") from None
        if name in signed_by:
            raise DoesNotHold("two signatures by one key")
        signed_by.append(name)
    origin, size, root, rest = text.decode().split("\n")
    exact = f"{origin}\n{int(size)}\n{base64.b64encode(base64.b64decode(root)).decode()}\n"
    if not signed_by or origin != f"xinglin/{chain}" or rest or exact.encode() != text or int(size) >= 1 << 63:
        raise DoesNotHold("the checkpoint is not this network's")
    return int(size), base64.b64decode(root), signed_by


def _inclusion(found: bytes, index: int, size: int, path: list[bytes], root: bytes) -> None:
    """RFC 9162 2.1.3.2."""
    at, last = index, size - 1
    if at > last or len(path) > PATH_STEPS or any(len(step) != 32 for step in path):
        raise DoesNotHold("not in the history")
    for step in path:
        if last == 0:
            raise DoesNotHold("not in the history")
        if at & 1 or at == last:
            found = digest(b"\x01" + step + found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = digest(b"\x01" + found + step)
        at, last = at >> 1, last >> 1
    if last or found != root:
        raise DoesNotHold("not in the history")


def _receipt(leaf: list[Any], block: list[Any], events: bytes) -> dict[str, Any]:
    kind, height, index, _, code, events_hash = leaf
    closes, closed, time_ms, _, _ = block
    _numbers(kind, height, index, code, closes, closed, time_ms)
    if closes != CLOSING or closed != height:
        raise DoesNotHold("the closing leaf is not of this block")
    if kind not in (TX, TIMER) or tagged("xinglin/events/1", _within(events, EVENTS_BYTES)) != events_hash:
        raise DoesNotHold("the events are not those of the leaf")
    told = decode(events)
    match told[0]:
        case ["kernel.envelope/1", _, signers, custody, tags, said, failed]:
            _numbers(said, failed)
            same = kind == TX and said == code and len(signers) == len(custody)
            done = len(told) == 1 if code else failed == 255 and len(told) == 1 + len(tags)
        case ["kernel.timer/1", _, _]:
            same, done = kind == TIMER and code == 0, True
        case _:
            same = done = False
    if not same or not done or any(event[0] in ("kernel.envelope/1", "kernel.timer/1") for event in told[1:]):
        raise DoesNotHold("the envelope says something else than the leaf")
    return {"kind": "receipt", "height": height, "time_ms": time_ms, "code": code, "events": told}


# -- state-tree.md

def _state(leaf: list[Any], table: str, key: bytes, row: bytes | None, proof: list[Any]) -> dict[str, Any]:
    kind, height, time_ms, state_root, _ = leaf
    _numbers(kind, height, time_ms)
    if kind != CLOSING:
        raise DoesNotHold("not a closing leaf")
    if type(table) is not str or KEY_BYTES.get(table) != len(_within(key, 256)):
        raise DoesNotHold("not a table that is known, or not a key of it")
    path = digest(b"\x02" + bytes([len(table)]) + table.encode() + len(key).to_bytes(2, "big") + key)
    siblings, other = proof
    if any(len(sibling) != 32 for sibling in siblings) or (siblings and siblings[-1] == bytes(32)):
        raise DoesNotHold("a sibling is not what it should be")
    if row is not None:
        end = path + digest(_within(row, ROW_BYTES))
        if other is not None:
            raise DoesNotHold("a proof of presence names another leaf")
    elif other is not None:
        end = other[0] + other[1]
        on_path = _bits(other[0], siblings) == _bits(path, siblings)
        if len(other[0]) != 32 or len(end) != 64 or other[0] == path or not on_path:
            raise DoesNotHold("the other leaf does not show absence")
    else:
        end = b""
    found = digest(b"\x03" + end) if end else bytes(32)
    for sibling, right in reversed(list(zip(siblings, _bits(path, siblings), strict=True))):
        found = digest(b"\x04" + (sibling + found if right else found + sibling))
    if found != state_root:
        raise DoesNotHold("not in the state")
    found = {"kind": "state proof", "height": height, "time_ms": time_ms, "table": table, "key": key,
             "row": None if row is None else decode(row)}
    # Swapped ids prove as truly that there is no consent, of something that is nobody's: so each is named.
    return found | ({"subject": key[:16], "member": key[16:]} if table == "consent/grants" else {})


def _bits(path: bytes, siblings: list[bytes]) -> list[bool]:
    """Right or left, from the root down, for as many levels as there are siblings."""
    number = int.from_bytes(path, "big")
    return [bool(number >> 255 - depth & 1) for depth in range(len(siblings))]


def _end(status: int, words: str) -> NoReturn:
    print(words, file=sys.stderr)
    sys.exit(status)


def main() -> None:
    if len(sys.argv) != 3:
        _end(2, "usage: verify_receipt.py FILE NETWORK_ID")
    if not re.fullmatch("[0-9a-fA-F]{64}", sys.argv[2]):
        _end(2, f"not a network id, which is 64 hex digits: {sys.argv[2]}")
    try:
        data = Path(sys.argv[1]).read_bytes()
    except OSError as error:
        _end(2, f"{sys.argv[1]}: {error.strerror}")
    try:
        said = verify(data, bytes.fromhex(sys.argv[2]))
    except DoesNotHold as why:
        _end(5, f"does not hold: {why}")
    except CannotTell as why:
        _end(5, f"cannot tell: {why}")
    print(json.dumps(said, default=bytes.hex, indent=1))


if __name__ == "__main__":
    main()
