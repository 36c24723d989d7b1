"""What a witness keeps: its key, whose checkpoints it cosigns, and for each log the last that it cosigned.

    witness.key             seed, then the name
    logs                    lines: log <verifier key> <origin> [sm3]; more than one key of an origin while it changes
    cosigned/<log>          the last note, with the log's signature and ours
    evidence/<log>-split-*  two checkpoints of one size and two roots, each signed by the log: it has two histories
    evidence/<log>-unproved-*  a signed checkpoint that came without a proof that it extends what we cosigned

`<log>` is the hash of its origin. A log's file is durable before the cosignature leaves: a witness that forgot what
it signed could be led to sign another history. Whoever loses this folder makes a new witness, with a new key.

Source  C2SP tlog-witness
"""

import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from xinglin import disk
from xinglin.base import note
from xinglin.base.check import Failed, NotUnderstood, ProofInvalid
from xinglin.base.crypto import HASH_SUITES, SHA256, SM3, HashSuite, SignatureSuite, SigningKey
from xinglin.base.history import verify_consistency
from xinglin.base.limits import POLICY_BYTES_MAX, WITNESS_EVIDENCE_MAX, WITNESS_LOGS_MAX
from xinglin.base.note import Checkpoint, KeyUse, NoteKey
from xinglin.witness.codes import WitnessCode
from xinglin.witness.protocol import SIZE_TYPE, Answer, Request, read_request

SEED_BYTES = 32
NAME_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-/_")


class Log(NamedTuple):
    """A log that this witness follows."""

    origin: str
    keys: tuple[NoteKey, ...]
    hashes: HashSuite

    @property
    def file_name(self) -> str:
        return hashlib.sha256(self.origin.encode()).hexdigest()[:32]


class Witness:
    """One folder, held by one process. `close` it."""

    def __init__(self, folder: Path, key: SigningKey, name: str, now_s: Callable[[], int], lock: int):
        self.folder = folder
        self.name = name
        self._key = key
        self._now_s = now_s
        self._lock = lock
        self._one_at_a_time = threading.Lock()     # compared and kept as one step, or a slow request rolls a log back

    @classmethod
    def open(cls, folder: Path, now_s: Callable[[], int], name: str | None = None) -> "Witness":
        """Open the folder for this process alone. With a name it is made if there is none yet.

        Errors  Failed WITNESS_IN_USE, WITNESS_KEY_NOT_USABLE, WITNESS_NOT_WRITTEN.
        """
        try:
            for part in (folder, folder / "cosigned", folder / "evidence"):
                disk.make_folder(part)
            lock = disk.lock_file(folder / "lock")
        except BlockingIOError:
            raise Failed(WitnessCode.WITNESS_IN_USE, str(folder)) from None
        except OSError as error:
            raise _not_written(error, folder) from None
        try:
            key, said = _open_key(folder / "witness.key", name)
            return cls(folder, key, said, now_s, lock)
        except BaseException:
            os.close(lock)
            raise

    def close(self) -> None:
        os.close(self._lock)

    @property
    def verifier_key(self) -> NoteKey:
        return NoteKey(self.name, KeyUse.WITNESS, self._key.public)

    # -- logs

    def logs(self) -> dict[str, Log]:
        """By origin; read anew each time, so that a change of keys needs no restart.

        Errors  NotUnderstood LOGS_NOT_UNDERSTOOD.
        """
        try:
            text = (self.folder / "logs").read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _wrong_logs(error.strerror or "") from None
        return read_logs(text)

    def follow(self, key: NoteKey, origin: str, hashes: HashSuite) -> None:
        """Cosign this log from now on, if this key signed; or by this key too.

        Errors  NotUnderstood LOGS_NOT_UNDERSTOOD; Failed WITNESS_NOT_WRITTEN.
        """
        line = f"log {key.text()} {origin}" + (f" {SM3.name}" if hashes is SM3 else "") + "\n"
        with self._one_at_a_time:
            file = self.folder / "logs"
            lines = file.read_bytes() if file.exists() else b""
            if line.encode() not in lines.splitlines(keepends=True):
                read_logs(lines + line.encode())
                self._write(file, lines + line.encode())

    # -- cosigning

    def answer(self, body: bytes) -> Answer:
        """What to answer to `add-checkpoint`, durable already.

        Errors  Failed WITNESS_NOT_WRITTEN, WITNESS_STATE_DAMAGED, LOGS_NOT_UNDERSTOOD: nothing was signed.
        """
        try:
            request = read_request(body)
            checkpoint = note.read_checkpoint(request.note)
        except Failed:
            return Answer(HTTPStatus.BAD_REQUEST)
        log = self.logs().get(checkpoint.origin)
        if log is None:
            return Answer(HTTPStatus.NOT_FOUND)
        try:
            signed = note.open_checkpoint(request.note, log.keys).signed_by
        except ProofInvalid:
            signed = ()
        if not signed:
            return Answer(HTTPStatus.FORBIDDEN)
        # Only the log's own lines: anyone may have added others, ours of another day among them.
        lines = note.signature_lines(request.note)
        by_log = checkpoint.text() + b"\n" + b"".join(lines[key.name, key.id] for key in signed)
        with self._one_at_a_time:
            return self._judge(log, request, checkpoint, by_log)

    def _judge(self, log: Log, request: Request, checkpoint: Checkpoint, by_log: bytes) -> Answer:
        if request.old > checkpoint.size:
            return Answer(HTTPStatus.BAD_REQUEST)
        last_note, last = self._last(log)
        if checkpoint.size == last.size and checkpoint.root != last.root:
            self._keep_evidence("split", log, by_log, last_note)     # two roots of one size, both signed by the log
            return _conflict(last.size)
        if request.old != last.size:
            return _conflict(last.size)
        try:
            verify_consistency(log.hashes, last.size, checkpoint.size, request.path, last.root, checkpoint.root)
        except ProofInvalid:
            self._keep_evidence("unproved", log, by_log, last_note)  # another history, or only a wrong proof
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY)
        line = note.cosign(checkpoint, self.name, self._key, self._now_s())
        self._write(self.folder / "cosigned" / log.file_name, by_log + line)
        return Answer(HTTPStatus.OK, line)

    def _last(self, log: Log) -> tuple[bytes, Checkpoint]:
        """The last note and checkpoint that was cosigned; an empty tree when none was."""
        try:
            kept = (self.folder / "cosigned" / log.file_name).read_bytes()
        except FileNotFoundError:
            return b"", Checkpoint(log.origin, 0, log.hashes.digest(b""))
        except OSError as error:
            raise Failed(WitnessCode.WITNESS_STATE_DAMAGED, error.strerror or "") from None
        try:
            opened = note.open_checkpoint(kept, [self.verifier_key])
        except ProofInvalid as error:
            raise Failed(WitnessCode.WITNESS_STATE_DAMAGED, error.detail) from None
        if not opened.cosigned_by or opened.checkpoint.origin != log.origin:
            raise Failed(WitnessCode.WITNESS_STATE_DAMAGED, "our own signature is not on it")
        return kept, opened.checkpoint

    def splits(self) -> list[Path]:
        """The evidence that convicts a log: two signed histories, a file each."""
        return sorted((self.folder / "evidence").glob("*-split-*"))

    def _keep_evidence(self, kind: str, log: Log, by_log: bytes, last_note: bytes) -> None:
        """Both notes, once. A log that makes many is convicted by the first ones.

        Anyone can send a checkpoint with a wrong proof: so what proves nothing yet takes no place from what does.
        """
        data = last_note + b"\n" + by_log
        start = f"{log.file_name}-{kind}-"
        name = start + hashlib.sha256(data).hexdigest()[:16]
        kept = [one for one in (self.folder / "evidence").iterdir() if one.name.startswith(start)]
        if len(kept) < WITNESS_EVIDENCE_MAX and all(one.name != name for one in kept):
            self._write(self.folder / "evidence" / name, data)

    def _write(self, file: Path, data: bytes) -> None:
        try:
            disk.replace_file(file, data)
        except OSError as error:
            raise _not_written(error, file) from None


def read_logs(text: bytes) -> dict[str, Log]:
    """Errors  NotUnderstood LOGS_NOT_UNDERSTOOD."""
    found: dict[str, Log] = {}
    lines = text.decode("utf-8", "replace").splitlines()
    if len(text) > POLICY_BYTES_MAX or len(lines) > WITNESS_LOGS_MAX:
        raise _wrong_logs("too long")
    for line in lines:
        match line.split():
            case ["log", key, origin]:
                _add(found, key, origin, SHA256.name)
            case ["log", key, origin, suite]:
                _add(found, key, origin, suite)
            case []:
                continue
            case [first, *_] if first.startswith("#"):
                continue
            case _:
                raise _wrong_logs(line[:80])
    return found


def _add(found: dict[str, Log], key: str, origin: str, suite: str) -> None:
    try:
        known = note.read_key(key)
    except Failed as error:
        raise _wrong_logs(error.detail) from None
    hashes = HASH_SUITES.get(suite)
    before = found.get(origin)
    if known.use is not KeyUse.LOG or hashes is None:
        raise _wrong_logs(f"{origin}: a key of another use, or no suite of ours")
    if before and (before.hashes is not hashes or known in before.keys):
        raise _wrong_logs(f"{origin}: a key twice, or two suites")
    found[origin] = Log(origin, (*(before.keys if before else ()), known), hashes)


def _open_key(file: Path, name: str | None) -> tuple[SigningKey, str]:
    """Errors  Failed WITNESS_KEY_NOT_USABLE, WITNESS_NOT_WRITTEN."""
    try:
        if name is not None and not file.exists():
            if not name or not NAME_ALLOWED.issuperset(name):
                raise Failed(WitnessCode.WITNESS_KEY_NOT_USABLE, "a name is of a-z 0-9 . - / _")
            disk.create_file(file, secrets.token_bytes(SEED_BYTES) + name.encode())
        secret = file.read_bytes()
        said = secret[SEED_BYTES:].decode("ascii")
    except FileNotFoundError:
        raise Failed(WitnessCode.WITNESS_KEY_NOT_USABLE, "there is none yet: name the witness to make one") from None
    except UnicodeDecodeError:
        raise Failed(WitnessCode.WITNESS_KEY_NOT_USABLE, "the file is damaged") from None
    except OSError as error:
        raise _not_written(error, file) from None
    if len(secret) <= SEED_BYTES or (name is not None and name != said):
        raise Failed(WitnessCode.WITNESS_KEY_NOT_USABLE, f"it is of {said!r}")
    return SigningKey.from_seed(SignatureSuite.ED25519, secret[:SEED_BYTES]), said


def _conflict(size: int) -> Answer:
    return Answer(HTTPStatus.CONFLICT, f"{size}\n".encode(), SIZE_TYPE)


def _wrong_logs(detail: str) -> NotUnderstood:
    return NotUnderstood(WitnessCode.LOGS_NOT_UNDERSTOOD, detail)


def _not_written(error: OSError, file: Path) -> Failed:
    return Failed(WitnessCode.WITNESS_NOT_WRITTEN, f"{file}: {error.strerror}")


__all__ = ["Log", "Witness", "read_logs"]
