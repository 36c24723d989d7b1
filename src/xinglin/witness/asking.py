"""A log asks its witnesses: push a checkpoint with the proof that it grew, collect the cosignature.

A witness says which size it cosigned last, so nothing needs to be remembered of it here: the first try names the
size that we think it has, a second one the size that it named itself. It is asked for one thing, at the address that
the operator wrote down; no redirect is followed, and what comes back is believed only as far as its key goes.
Whatever it does, it has one time for all of it: a witness holds up neither the others nor the publication.
"""

import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from io import BufferedReader
from socket import SOCK_STREAM, getaddrinfo, socket
from typing import NamedTuple
from urllib.parse import urlsplit

from xinglin.base import note
from xinglin.base.check import Failed, ProofInvalid
from xinglin.base.limits import WITNESS_ANSWER_BYTES_MAX, WITNESS_HEAD_BYTES_MAX, WITNESS_TIMEOUT_MS
from xinglin.base.policy import Witness
from xinglin.witness.protocol import PATH, read_size, write_request
from xinglin.witness.within import Deadline, Received

Prove = Callable[[int], Sequence[bytes]]   # from this size to the checkpoint's


class Asked(NamedTuple):
    """What came of asking one witness: its line, or why there is none."""

    witness: str
    line: bytes
    why_not: str


def ask_all(witnesses: Sequence[Witness], signed: bytes, guess: Callable[[Witness], int], prove: Prove) -> list[Asked]:
    """Ask each that has an address, all at once. `signed` is the checkpoint with the log's signature.

    Who is not done in time is left to a thread that ends by itself, and nobody waits for it.
    """
    asked = [(one, _in_a_thread(one, signed, guess(one), prove)) for one in witnesses if one.url is not None]
    done, _ = wait([answer for _, answer in asked], WITNESS_TIMEOUT_MS / 1000)
    return [answer.result() if answer in done else Asked(one.name, b"", "not reached: it takes too long")
            for one, answer in asked]


def _in_a_thread(witness: Witness, signed: bytes, guess: int, prove: Prove) -> Future[Asked]:
    """A thread of our own: an executor's would be waited for when the process ends, if not before."""
    answer: Future[Asked] = Future()

    def run() -> None:
        try:
            answer.set_result(ask(witness, signed, guess, prove))
        except Failed as error:                # by the ledger, when it has stopped: for who asks
            answer.set_exception(error)
        except BaseException as error:
            answer.set_exception(error)
            raise
    threading.Thread(target=run, name=f"ask {witness.name}", daemon=True).start()
    return answer


def ask(witness: Witness, signed: bytes, guess: int, prove: Prove) -> Asked:
    """Errors  none of the witness: what it does wrong stands in `why_not`."""
    within = Deadline(WITNESS_TIMEOUT_MS)
    size = note.read_checkpoint(signed).size
    old = guess
    for _ in range(2):
        try:
            status, body = _post(witness.url or "", write_request(old, prove(old), signed), within)
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


def _post(url: str, body: bytes, within: Deadline) -> tuple[int, bytes]:
    """Errors  OSError, HTTPException, ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("not an address of a witness")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname, parts.port)
    try:
        connection.sock = _connected(connection.host, connection.port, within)
        if parts.scheme == "https":            # the handshake is one call, so its timeout is for all of it
            connection.sock = ssl.create_default_context().wrap_socket(connection.sock, server_hostname=parts.hostname)
        connection.sock.settimeout(within.left_s())
        connection.request("POST", parts.path.rstrip("/") + PATH, body, {
            "Content-Type": "text/plain", "Connection": "close"})
        return _answer(connection.sock, within)
    finally:
        connection.close()


def _connected(host: str, port: int, within: Deadline) -> socket:
    """As `create_connection`, which gives each of a name's addresses the whole time. Errors  OSError, ValueError."""
    failed = OSError("it has no address")
    for family, kind, protocol, _, address in getaddrinfo(host, port, type=SOCK_STREAM):
        made = socket(family, kind, protocol)
        try:
            made.settimeout(within.left_s())
            made.connect(address)
            return made
        except OSError as error:
            made.close()
            failed = error
    raise failed


def _answer(connection: socket, within: Deadline) -> tuple[int, bytes]:
    """Errors  OSError, HTTPException, ValueError."""
    answer = HTTPResponse(connection, method="POST")
    answer.fp.close()
    answer.fp = BufferedReader(Received(connection, within, WITNESS_HEAD_BYTES_MAX + WITNESS_ANSWER_BYTES_MAX))
    with answer:
        answer.begin()
        found = answer.read(WITNESS_ANSWER_BYTES_MAX + 1)
    if len(found) > WITNESS_ANSWER_BYTES_MAX:
        raise ValueError("too long an answer")
    return answer.status, found


__all__ = ["Asked", "ask", "ask_all"]
