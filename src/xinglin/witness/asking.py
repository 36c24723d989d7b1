"""A log asks its witnesses: push a checkpoint with the proof that it grew, collect the cosignature.

A witness says which size it cosigned last, so nothing needs to be remembered of it here: the first try names the
size that we think it has, a second one the size that it named itself. It is asked for one thing, at the address that
the operator wrote down; no redirect is followed, and what comes back is believed only as far as its key goes.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import urlsplit

from xinglin.base import note
from xinglin.base.check import Failed, ProofInvalid
from xinglin.base.limits import WITNESS_ANSWER_BYTES_MAX, WITNESS_TIMEOUT_MS
from xinglin.base.policy import Witness
from xinglin.witness.protocol import PATH, read_size, write_request

Prove = Callable[[int], Sequence[bytes]]   # from this size to the checkpoint's


class Asked(NamedTuple):
    """What came of asking one witness: its line, or why there is none."""

    witness: str
    line: bytes
    why_not: str


def ask_all(witnesses: Sequence[Witness], signed: bytes, guess: Callable[[Witness], int], prove: Prove) -> list[Asked]:
    """Ask each that has an address, all at once. `signed` is the checkpoint with the log's signature."""
    there = [one for one in witnesses if one.url is not None]
    if not there:
        return []
    with ThreadPoolExecutor(len(there)) as threads:
        return list(threads.map(lambda one: ask(one, signed, guess(one), prove), there))


def ask(witness: Witness, signed: bytes, guess: int, prove: Prove) -> Asked:
    """Errors  none of the witness: what it does wrong stands in `why_not`."""
    size = note.read_checkpoint(signed).size
    old = guess
    for _ in range(2):
        try:
            status, body = _post(witness.url or "", write_request(old, prove(old), signed))
        except (OSError, HTTPException, ValueError) as error:
            return Asked(witness.name, b"", f"not reached: {error}")
        if status == HTTPStatus.OK:
            return _taken(witness, signed, body)
        if status != HTTPStatus.CONFLICT:
            return Asked(witness.name, b"", f"answered {status}")
        try:
            named = read_size(body.removesuffix(b"\n"))
        except Failed:
            return Asked(witness.name, b"", "answered 409 without a size")
        if named > size or named == old:
            return Asked(witness.name, b"", f"has cosigned another history, of {named} leaves")
        old = named
    return Asked(witness.name, b"", "is asked by two of us at once")


def _taken(witness: Witness, signed: bytes, body: bytes) -> Asked:
    """Our witness's own line, if it is among those that came, and holds."""
    text, _, _ = signed.partition(b"\n\n")
    try:
        line = note.signature_lines(text + b"\n\n" + body).get((witness.key.name, witness.key.id))
        if line is None or not note.open_checkpoint(text + b"\n\n" + line, [witness.key]).cosigned_by:
            return Asked(witness.name, b"", "signed with another key")
    except ProofInvalid as error:
        return Asked(witness.name, b"", error.detail)
    return Asked(witness.name, line, "")


def _post(url: str, body: bytes) -> tuple[int, bytes]:
    """Errors  OSError, HTTPException, ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("not an address of a witness")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=WITNESS_TIMEOUT_MS / 1000)
    try:
        connection.request("POST", parts.path.rstrip("/") + PATH, body, {"Content-Type": "text/plain"})
        answer = connection.getresponse()
        found = answer.read(WITNESS_ANSWER_BYTES_MAX + 1)
        if len(found) > WITNESS_ANSWER_BYTES_MAX:
            raise ValueError("too long an answer")
        return answer.status, found
    finally:
        connection.close()


__all__ = ["Asked", "ask", "ask_all"]
