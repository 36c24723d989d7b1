"""The witness over HTTP: sockets and all."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from witness.logs import ORIGIN, GrowingLog, following
from worlds import key_named
from xinglin.base import note
from xinglin.base.check import Failed
from xinglin.base.limits import WITNESS_BODY_BYTES_MAX, WITNESS_CONNECTIONS_MAX
from xinglin.base.note import KeyUse, NoteKey
from xinglin.base.policy import Witness as Named
from xinglin.witness import asking
from xinglin.witness import server as witness_server
from xinglin.witness.asking import Asked, ask, ask_all
from xinglin.witness.codes import WitnessCode
from xinglin.witness.kept import Witness
from xinglin.witness.server import WitnessServer, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WitnessServer]:
    witness = following(tmp_path / "w", GrowingLog())
    with serving(WitnessServer(witness, "127.0.0.1", 0)) as running:
        yield running
    witness.close()


def named(server: WitnessServer, key: NoteKey | None = None, path: str = "") -> Named:
    return Named("w", key or server.witness.verifier_key, f"http://127.0.0.1:{server.port}{path}")


def post(server: WitnessServer, body: bytes, path: str = "/add-checkpoint", **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_log_collects_a_cosignature_and_catches_up_with_what_the_witness_knows(server: WitnessServer) -> None:
    log = GrowingLog()
    for size, guess in ((3, 0), (10, 3), (20, 0), (20, 20), (21, 7)):
        log.to(size)
        asked = ask(named(server), log.note(), guess, log.proof)
        assert asked.why_not == ""
        assert note.open_checkpoint(log.note() + asked.line, [server.witness.verifier_key]).cosigned_by


def test_a_witness_that_saw_another_history_says_no_to_this_one(server: WitnessServer) -> None:
    assert ask(named(server), GrowingLog().to(10).note(), 0, GrowingLog().to(10).proof).line
    other = GrowingLog("other").to(10)
    assert "another history" in ask(named(server), other.note(), 0, other.proof).why_not
    longer = GrowingLog("other").to(30)
    assert "answered 422" in ask(named(server), longer.note(), 0, longer.proof).why_not
    shorter = GrowingLog().to(9)
    assert "another history" in ask(named(server), shorter.note(), 0, shorter.proof).why_not


def test_a_line_by_another_key_than_the_policys_is_no_cosignature(server: WitnessServer) -> None:
    other = NoteKey(server.witness.name, KeyUse.WITNESS, key_named("impostor").public)
    log = GrowingLog().to(5)
    assert ask(named(server, other), log.note(), 0, log.proof).why_not == "signed with another key"


def test_who_cannot_be_reached_holds_up_nobody(server: WitnessServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))            # bound and not listening: refused at once
        closed = Named("closed", server.witness.verifier_key, f"http://127.0.0.1:{taken.getsockname()[1]}")
        log = GrowingLog().to(5)
        silent = Named("silent", server.witness.verifier_key, None)
        odd = [Named(f"odd {at}", server.witness.verifier_key, url) for at, url in enumerate(
            ("file:///etc/passwd", "http://", "ftp://127.0.0.1/", "http://127.0.0.1:99999/", "http://127.0.0.1/?x=1"))]
        found = {one.witness: one for one in ask_all(
            [closed, silent, *odd, named(server)], log.note(), lambda _: 0, log.proof)}
    assert found["w"].line and "silent" not in found
    assert all(not found[one].line and found[one].why_not for one in found if one != "w")


class Hostile:
    """Answers with `start`, and then with `more` for as long as it is listened to."""

    def __init__(self, listener: socket.socket, start: bytes, more: bytes, pause_s: float):
        self.listener, self.start, self.more, self.pause_s = listener, start, more, pause_s
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.let_go, self.left = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        peer, _ = self.listener.accept()
        with peer:
            peer.recv(65_536)
            try:
                peer.sendall(self.start)
                while not self.let_go.wait(self.pause_s):
                    peer.sendall(self.more)
            except OSError:
                self.left.set()


@contextmanager
def hostile(start: bytes, more: bytes, pause_s: float = 0.0) -> Iterator[Hostile]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Hostile(listener, start, more, pause_s)
        made.thread.start()
        try:
            yield made
        finally:
            made.let_go.set()
            made.thread.join()


ENDLESS = {"trickles its headers": (b"HTTP/1.1 200 OK\r\nX: ", b"a", 0.1),
           "trickles its body": (b"HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n", b"a", 0.1),
           "says 100 Continue for ever": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0.0),
           "sends headers for ever": (b"HTTP/1.1 200 OK\r\n", b"X: " + b"a" * 60_000 + b"\r\n", 0.0),
           "sends a body for ever": (b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 60_000, 0.0)}


@pytest.mark.parametrize("way", ENDLESS)
def test_a_witness_that_never_ends_its_answer_holds_up_nobody(
        server: WitnessServer, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """It is left, and its socket closed; the line of the honest one is there."""
    monkeypatch.setattr(asking, "WITNESS_TIMEOUT_MS", 2_000)
    log = GrowingLog().to(5)
    found: list[Asked] = []
    with hostile(*ENDLESS[way]) as other:
        asked = threading.Thread(daemon=True, target=lambda: found.extend(ask_all(
            [Named("endless", server.witness.verifier_key, other.url), named(server)],
            log.note(), lambda _: 0, log.proof)))
        asked.start()
        asked.join(30)
        assert not asked.is_alive(), "the publication waits"
        assert other.left.wait(30), "its socket is still open"
    endless, honest = found
    assert honest.line and not endless.line and endless.why_not.startswith("not reached")


def test_a_proof_that_the_stopped_ledger_does_not_give_is_an_error(server: WitnessServer) -> None:
    def stopped(old: int) -> list[bytes]:
        raise Failed(WitnessCode.WITNESS_IN_USE)
    with pytest.raises(Failed):
        ask_all([named(server)], GrowingLog().to(5).note(), lambda _: 0, stopped)


def test_a_connection_is_closed_after_its_answer(server: WitnessServer) -> None:
    """Also when the log wants to keep it."""
    body = GrowingLog().to(1).request(0)
    head = f"POST /add-checkpoint HTTP/1.1\r\nConnection: keep-alive\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        peer.sendall(head + body)
        with peer.makefile("rb") as answer:
            said = answer.read()
    assert said.startswith(b"HTTP/1.1 200 ") and b"\r\nConnection: close\r\n" in said


def connected(server: WitnessServer, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30, source_address=(address, 0))


def trickle(peer: socket.socket, over: threading.Event) -> None:
    """A byte in a while, until the witness has had enough."""
    with peer:
        try:
            while not over.wait(0.05):
                peer.sendall(b"x")
        except OSError:
            over.set()


@pytest.mark.parametrize("start", [b"", b"POST /add-checkpoint HTTP/1.1\r\nX: ",
                                   b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 20000\r\n\r\n"])
def test_who_sends_a_byte_in_a_while_is_left_at_the_deadline(
        server: WitnessServer, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(witness_server, "WITNESS_TIMEOUT_MS", 500)
    peer, over = connected(server), threading.Event()
    peer.sendall(start)
    sending = threading.Thread(target=trickle, args=(peer, over), daemon=True)
    sending.start()
    left = over.wait(20)
    over.set()
    sending.join()
    assert left


def test_headers_without_end_are_not_read_to_the_end(server: WitnessServer) -> None:
    with connected(server) as peer, pytest.raises(OSError):
        peer.sendall(b"POST /add-checkpoint HTTP/1.1\r\n")
        for _ in range(2_000):
            peer.sendall(b"X: " + b"a" * 60_000 + b"\r\n")


def test_a_stranger_who_takes_all_places_of_an_address_leaves_the_others(server: WitnessServer) -> None:
    """Places are given back: afterwards the same address is served too."""
    waiting = [connected(server, "127.0.0.2") for _ in range(WITNESS_CONNECTIONS_MAX)]
    log = GrowingLog().to(5)
    assert ask(named(server), log.note(), 0, log.proof).line
    for one in waiting:
        one.close()
    for _ in range(500):
        with connected(server, "127.0.0.2") as again:
            again.sendall(b"GET / HTTP/1.1\r\n\r\n")
            if again.recv(1):
                break
    else:
        pytest.fail("the places were not given back")


def test_other_paths_methods_and_bodies_are_refused(server: WitnessServer) -> None:
    body = GrowingLog().to(3).request(0)
    assert post(server, body, "/elsewhere")[0] == 404
    assert post(server, bytes(WITNESS_BODY_BYTES_MAX + 1))[0] == 413
    assert post(server, body, **{"Content-Length": "x"})[0] == 411
    assert post(server, body, **{"Content-Length": "²"})[0] == 411
    assert post(server, body, **{"Transfer-Encoding": "chunked"})[0] == 411
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/add-checkpoint")
    assert connection.getresponse().status == 501
    connection.close()
    assert not list((server.witness.folder / "cosigned").iterdir())
    assert post(server, body)[0] == 200


def test_a_witness_whose_list_of_logs_is_broken_says_that_it_cannot(server: WitnessServer) -> None:
    (server.witness.folder / "logs").write_text("nonsense\n")
    assert post(server, GrowingLog().to(3).request(0)) == (500, b"")


def test_strangers_cannot_fill_the_log_of_a_witness(
        server: WitnessServer, capsys: pytest.CaptureFixture[str]) -> None:
    for data in (b"A" + b"\x01\x1b[2J" * 5_000, b"A" * 60_000, b"GET /AAAA HTTP/9.9", b"AAAA / HTTP/1.1", b""):
        for _ in range(10):
            with connected(server) as peer, contextlib.suppress(OSError):
                peer.sendall(data + b"\r\n\r\n")
                answered = peer.recv(65_536)
                assert b"A" not in answered.partition(b"\r\n\r\n")[2]
    said = capsys.readouterr().err
    assert said.startswith("witness: refused (1): 400 to 127.0.0.1\n") and len(said.splitlines()) == 1
    assert "AA" not in said and "\x1b" not in said


def test_whoever_runs_a_witness_hears_why_it_cannot_answer(
        server: WitnessServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever strangers do meanwhile; in a short line of one line."""
    (server.witness.folder / "logs").write_text("nonsense\x1b[2J" + "x" * 5_000 + "\n")
    for _ in range(3):
        with connected(server) as peer:
            peer.sendall(b"nothing\r\n\r\n")
            peer.recv(65_536)
        assert post(server, GrowingLog().to(3).request(0))[0] == 500
    _, line = capsys.readouterr().err.splitlines()
    assert line.startswith("witness: could not answer (1): ") and WitnessCode.LOGS_NOT_UNDERSTOOD.shown in line
    assert line.isprintable() and len(line) < 300


def test_an_address_in_use_is_an_error(server: WitnessServer) -> None:
    for port in (server.port, 99_999):
        with pytest.raises(Failed) as caught:
            WitnessServer(server.witness, "127.0.0.1", port)
        assert caught.value.code is WitnessCode.ADDRESS_NOT_USABLE


def test_the_witness_is_for_one_log_only(server: WitnessServer) -> None:
    assert list(server.witness.logs()) == [ORIGIN] and isinstance(server.witness, Witness)
