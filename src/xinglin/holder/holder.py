"""Holder: one organisation's data room. Its keys, its ciphertext, its service account, its ledger.

The folder has `keystore/` (never in a backup), `segments/` or an S3-compatible address (ciphertext), and
`cabinet.db` (sealed rows). What a subject's key opens is sealed under it; the rest under the holder's own.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from xinglin.base import codec
from xinglin.base.check import Failed, NotFound
from xinglin.base.crypto import SignatureSuite, SigningKey
from xinglin.base.ids import AccountId, MemberId, SubjectId
from xinglin.client.signing import EXPIRES_IN_MS, sign
from xinglin.engine.embedded import Committed
from xinglin.holder.codes import HolderCode
from xinglin.kernel.module import Event, Message
from xinglin.node import Node
from xinglin.vault import VaultCode
from xinglin.vault.blobs import Blobs
from xinglin.vault.cabinet import Cabinet
from xinglin.vault.keystore import Keystore, holder_kek


class Holder:
    """One open data room. One process at a time."""

    def __init__(self, node: Node, member: MemberId, service: AccountId, service_key: SigningKey,
                 keystore: Keystore, blobs: Blobs, cabinet: Cabinet):
        self.node = node
        self.member = member
        self.service = service
        self._service_key = service_key
        self.keystore = keystore
        self.blobs = blobs
        self.cabinet = cabinet
        self.challenges: dict[bytes, SubjectId] = {}

    @classmethod
    def open(cls, node: Node, folder: Path, member: MemberId, service: AccountId, service_key: SigningKey,
             segments: str | None = None, mirrors: Sequence[Path] = ()) -> "Holder":
        """Open or create. `segments` is a folder or an S3-compatible address for ciphertext."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kek = holder_kek(folder / "keystore", *mirrors)
        keystore = Keystore.open(folder / "keystore", kek, mirrors)
        try:
            keystore.key(member)
        except NotFound as error:
            if error.code is not VaultCode.KEY_NOT_FOUND:
                raise
            keystore.create(member)
        blobs = Blobs.open(segments or folder / "segments")
        return cls(node, member, service, service_key, keystore, blobs, Cabinet.open(folder / "cabinet.db"))

    def close(self) -> None:
        self.cabinet.close()
        self.keystore.close()

    # -- sealed rows

    def put(self, kind: str, owner: bytes, name: bytes, value: object) -> None:
        """Seal a Struct under its owner's key."""
        self.cabinet.put(kind, owner, name, codec.encode(value), self.keystore.key(owner))

    def get(self, kind: str, owner: bytes, name: bytes, type_: type) -> object | None:
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

    # -- ordering as the service

    def order(self, *messages: Message) -> tuple[Committed, tuple[Event, ...]]:
        """Sign with the service key, order, and wait. Errors  Failed with the ledger's code on a refusal."""
        return order(self.node, messages, {self.service: self._service_key})

    def submit(self, *messages: Message) -> "Future[Committed]":
        """Like `order`, without waiting."""
        return self.node.submit(self._signed(messages))

    def _signed(self, messages: Sequence[Message]) -> bytes:
        return sign(self.node.network, self.node.hashes, self.node.modules, messages,
                    {self.service: self._service_key}, self.node.now_ms() + EXPIRES_IN_MS)[0]

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
    return codec.decode(committed.events, node.modules.events_type)[1:]
