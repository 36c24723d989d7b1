"""A witness over HTTP: one path, bounded bodies, bounded connections, nothing that a request could make grow.

A connection has one request, and one deadline for the whole of it; each address has some of the places.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from socket import socket
from typing import Any

from xinglin.base.check import Failed
from xinglin.base.limits import (
    WITNESS_BODY_BYTES_MAX,
    WITNESS_CONNECTIONS_MAX,
    WITNESS_CONNECTIONS_PER_PEER_MAX,
    WITNESS_HEAD_BYTES_MAX,
    WITNESS_LINE_CHARACTERS_MAX,
    WITNESS_LINE_EVERY_MS,
    WITNESS_TIMEOUT_MS,
)
from xinglin.witness.codes import WitnessCode
from xinglin.witness.kept import Witness
from xinglin.witness.protocol import PATH, Answer
from xinglin.witness.within import Deadline, Received

LOOKS_UP_S = 0.05                  # from its socket, to see whether it is to end


class Lines:
    """What whoever runs the witness is told on stderr: one short line of a kind in a while, with how many came."""

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}
        self._since: Counter[str] = Counter()
        self._lock = threading.Lock()

    def tell(self, kind: str, text: str) -> None:
        with self._lock:
            now = time.monotonic()
            self._since[kind] += 1
            if now - self._told_at.get(kind, float("-inf")) < WITNESS_LINE_EVERY_MS / 1000:
                return
            self._told_at[kind] = now
            count = self._since.pop(kind)
        plain = "".join([one if one.isprintable() else "?" for one in text[:WITNESS_LINE_CHARACTERS_MAX]])
        sys.stderr.write(f"witness: {kind} ({count}): {plain}\n")


class WitnessServer(ThreadingHTTPServer):
    """Listens from the moment that it is made. `serve_forever` in one thread, `shutdown` from another."""

    daemon_threads = True
    request_queue_size = WITNESS_CONNECTIONS_MAX      # five, as it comes, are full before a thread is started

    def __init__(self, witness: Witness, host: str, port: int):
        """Errors  Failed ADDRESS_NOT_USABLE."""
        self.witness = witness
        self.lines = Lines()
        self._taken: Counter[str] = Counter()      # places, by address
        self._counting = threading.Lock()
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise Failed(WitnessCode.ADDRESS_NOT_USABLE, f"{host}:{port}: {error}") from None

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._take(client_address[0]):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)        # full: the log asks again

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._give_back(client_address[0])

    def _take(self, peer: str) -> bool:
        with self._counting:
            free = (self._taken.total() < WITNESS_CONNECTIONS_MAX
                    and self._taken[peer] < WITNESS_CONNECTIONS_PER_PEER_MAX)
            if free:
                self._taken[peer] += 1
            return free

    def _give_back(self, peer: str) -> None:
        with self._counting:
            self._taken[peer] -= 1
            if not self._taken[peer]:
                del self._taken[peer]

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """A peer that went away, or sent without end, is nothing to report; all else was answered with 500 already."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "xinglin-witness"
    sys_version = ""
    server: WitnessServer

    def setup(self) -> None:
        super().setup()
        self.within = Deadline(WITNESS_TIMEOUT_MS)
        self.rfile.close()
        self.rfile = BufferedReader(Received(
            self.connection, self.within, WITNESS_HEAD_BYTES_MAX + WITNESS_BODY_BYTES_MAX))

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        known = length.isascii() and length.isdigit() and "Transfer-Encoding" not in self.headers
        if not known or len(length) > 9 or int(length) > WITNESS_BODY_BYTES_MAX:
            self._send(Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE if known else HTTPStatus.LENGTH_REQUIRED))
            return
        body = self.rfile.read(int(length))
        if self.path.rstrip("/") != PATH:
            self._send(Answer(HTTPStatus.NOT_FOUND))
            return
        try:
            self._send(self.server.witness.answer(body))
        except Failed as error:                   # nothing was signed; whoever runs this sees why
            self.server.lines.tell("could not answer", str(error))
            self._send(Answer(HTTPStatus.INTERNAL_SERVER_ERROR))

    def _send(self, answer: Answer) -> None:
        self.close_connection = True
        self.connection.settimeout(self.within.left_s())
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What is no request of HTTP: neither the answer nor the line has anything of it."""
        self.server.lines.tell("refused", f"{code} to {self.client_address[0]}")
        self._send(Answer(HTTPStatus(code)))

    def log_message(self, format: str, *args: Any) -> None:
        """Not each request: a log asks once a second. Nor who was too slow."""


@contextmanager
def serving(server: WitnessServer) -> Iterator[WitnessServer]:
    """The server, answering in a thread of its own until the block is left."""
    thread = threading.Thread(target=server.serve_forever, args=(LOOKS_UP_S,), name="witness", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


__all__ = ["WitnessServer", "serving"]
