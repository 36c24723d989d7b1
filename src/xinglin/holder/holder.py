"""Holder: one organisation's data room. Its keys, its ciphertext, its service account, its ledger.

The folder has `keystore/` (never in a backup), `segments/` or an S3-compatible address (ciphertext), and
`cabinet.db` (sealed rows). What a subject's key opens is sealed under it; the rest under the holder's own.
"""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from xinglin.base import codec
from xinglin.base.check import Failed, NotFound, SignatureInvalid
from xinglin.base.crypto import SignatureSuite, SigningKey, verify
from xinglin.base.ids import AccountId, Id, MemberId, SubjectId, TxId
from xinglin.base.limits import ANSWERS_SERVED_MAX, SHELF_RECORDS_MAX
from xinglin.client.signing import EXPIRES_IN_MS, sign
from xinglin.engine.embedded import Committed
from xinglin.holder.challenges import Challenges
from xinglin.holder.codes import HolderCode
from xinglin.holder.recent import Recent
from xinglin.kernel.accounts import ACCOUNTS, has_ended
from xinglin.kernel.module import Event, Message
from xinglin.node import Node
from xinglin.vault import VaultCode
from xinglin.vault.blobs import Blobs
from xinglin.vault.cabinet import Cabinet
from xinglin.vault.keystore import Keystore, holder_kek

if TYPE_CHECKING:
    from xinglin.holder.release import Served
    from xinglin.holder.shelf import Batch, Contents

T = TypeVar("T")

TURNS = 64                         # owners that share one wait for each other now and then


class Holder:
    """One open data room. One process at a time, any number of its threads.

    In memory it keeps, of what was used in the last minute, the index of some 20,000 records, data keys
    included, and the trees of answers that are being released; `forget` drops an owner's share at once.
    """

    def __init__(self, node: Node, member: MemberId, service: AccountId, service_key: SigningKey,
                 keystore: Keystore, blobs: Blobs, cabinet: Cabinet):
        self.node = node
        self.member = member
        self.service = service
        self._service_key = service_key
        self.keystore = keystore
        self.blobs = blobs
        self.cabinet = cabinet
        self.shelves: Recent[Batch] = Recent(SHELF_RECORDS_MAX, node.clock.monotonic_ms)
        self.contents: Recent[Contents] = Recent(SHELF_RECORDS_MAX, node.clock.monotonic_ms)
        self.served: Recent[Served] = Recent(ANSWERS_SERVED_MAX, node.clock.monotonic_ms)
        self.challenges = Challenges(node.clock.monotonic_ms)
        self.importing = threading.Lock()
        self.anchoring = threading.Lock()
        self._turns = tuple(threading.Lock() for _ in range(TURNS))

    @classmethod
    def open(cls, node: Node, folder: Path, member: MemberId, service: AccountId, service_key: SigningKey,
             segments: str | None = None, mirrors: Sequence[Path] = ()) -> "Holder":
        """Open or create. `segments` is a folder or an S3-compatible address for ciphertext.

        Errors  Failed KEYSTORE_GONE: there are sealed rows, and nowhere the keys that open them. New ones would open
                none of it, and stand in the way of the old ones.
        """
        keys = [where / "keys" for where in (folder / "keystore", *mirrors)]
        if (folder / "cabinet.db").exists() and not any([file.exists() for file in keys]):
            raise Failed(HolderCode.KEYSTORE_GONE, str(folder / "keystore"))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kek = holder_kek(folder / "keystore", *mirrors)
        with ExitStack() as opened:
            keystore = Keystore.open(folder / "keystore", kek, mirrors)
            opened.callback(keystore.close)
            try:
                keystore.key(member)
            except NotFound as error:
                if error.code is not VaultCode.KEY_NOT_FOUND:
                    raise
                keystore.create(member)
            blobs = Blobs.open(segments or folder / "segments")
            holder = cls(node, member, service, service_key, keystore, blobs, Cabinet.open(folder / "cabinet.db"))
            opened.pop_all()
        return holder

    def close(self) -> None:
        self.shelves.clear()
        self.contents.clear()
        self.served.clear()
        self.cabinet.close()
        self.keystore.close()

    # -- sealed rows

    def put(self, kind: str, owner: bytes, name: bytes, value: object) -> None:
        """Seal a Struct under its owner's key."""
        self.cabinet.put(kind, owner, name, codec.encode(value), self.keystore.key(owner))

    def get(self, kind: str, owner: bytes, name: bytes, type_: type[T]) -> T | None:
        data = self.cabinet.get(kind, owner, name, self.keystore.key(owner))
        return None if data is None else codec.decode(data, type_)

    def holds(self, subject: SubjectId) -> bool:
        """Whether this holder has a key for the subject: destroyed is not held."""
        try:
            self.keystore.key(subject)
        except NotFound:
            return False
        return subject != self.member

    def require_held(self, subject: SubjectId) -> None:
        """Errors  NotFound SUBJECT_NOT_HELD."""
        if not self.holds(subject):
            raise NotFound(HolderCode.SUBJECT_NOT_HELD)

    def turn(self, owner: Id) -> threading.Lock:
        """Held while something is decided for an owner and written down: an answer, a try of a code."""
        return self._turns[owner[-1] % TURNS]

    def forget(self, owner: Id) -> None:
        """Let go of what of the owner is in memory."""
        self.shelves.forget(owner)
        self.contents.forget(owner)
        self.served.forget(owner)

    def has_signed(self, account: AccountId, message: bytes, signature: bytes) -> bool:
        """Whether a live key of the account signed the message: how the door tells who is there."""
        row, now_ms = self.node.read(lambda ctx: (ctx[ACCOUNTS].get((account,)), ctx.block_time_ms))
        for key in row.keys if row and not row.suspended else ():
            try:
                if not has_ended(key, now_ms):
                    verify(key.suite, key.key, message, signature)
                    return True
            except SignatureInvalid:
                continue
        return False

    # -- ordering as the service

    def order(self, *messages: Message) -> tuple[Committed, tuple[Event, ...]]:
        """Sign with the service key, order, and wait. Errors  Failed with the ledger's code on a refusal."""
        return order(self.node, messages, {self.service: self._service_key})

    def submit(self, *messages: Message) -> "Future[Committed]":
        """Like `order`, without waiting."""
        return self.node.submit(self.signed(*messages)[0])

    def signed(self, *messages: Message) -> tuple[bytes, TxId]:
        """(transaction bytes, its id), not yet ordered."""
        return sign(self.node.network, self.node.hashes, self.node.modules, messages,
                    {self.service: self._service_key}, self.node.now_ms() + EXPIRES_IN_MS)

    def co_sign(self, message: bytes) -> bytes:
        return self._service_key.sign(message)

    @property
    def service_public(self) -> bytes:
        return self._service_key.public

    @property
    def service_suite(self) -> SignatureSuite:
        return self._service_key.suite


def order(node: Node, messages: Sequence[Message],
          keys: Mapping[AccountId, SigningKey]) -> tuple[Committed, tuple[Event, ...]]:
    """Sign, order and wait: what was committed, and its events without the envelope.

    Errors  NotIncludable, Busy; Failed with the refusing module's code.
    """
    raw, _ = sign(node.network, node.hashes, node.modules, messages, keys, node.now_ms() + EXPIRES_IN_MS)
    committed = node.order(raw)
    return committed, events_of(node, committed)


def events_of(node: Node, committed: Committed) -> tuple[Event, ...]:
    """Errors  Failed with the refusing module's code, when the ledger refused."""
    if committed.code:
        raise Failed(node.modules.codes[committed.code], tx=committed.tx_id)
    events: tuple[Event, ...] = codec.decode(committed.events, node.modules.events_type)
    return events[1:]
