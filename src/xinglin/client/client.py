"""The SDK's ledger side: sign, send, and believe only what verifies under the pinned network."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from xinglin.base.check import Failed, NotVerified
from xinglin.base.crypto import SigningKey
from xinglin.base.ids import AccountId, NetworkId, TxId
from xinglin.base.policy import Policy
from xinglin.base.units import Height
from xinglin.client.codes import ClientCode
from xinglin.client.signing import EXPIRES_IN_MS, sign
from xinglin.client.transport import AsyncTransport, Transport
from xinglin.kernel.module import Event, Message, ModuleSet, Table
from xinglin.kernel.outcome import Envelope
from xinglin.kernel.receipt import (
    Network,
    Receipt,
    StateProof,
    VerifiedReceipt,
    VerifiedRow,
    open_network,
    read_file,
    verify_receipt,
    verify_state,
)

Keys = Mapping[AccountId, SigningKey]


class Sent(NamedTuple):
    """A transaction that was executed: its verified receipt, and the file to keep."""

    tx_id: TxId
    receipt: bytes
    events: tuple[Event, ...]      # after the envelope
    height: int
    time_ms: int                   # of its block, as the receipt has it


class _Verifying:
    """What both clients share: everything but waiting."""

    def __init__(self, modules: ModuleSet, pinned: NetworkId, policy: Policy | None):
        self.modules = modules
        self.pinned = pinned
        self.policy = policy
        self._network: Network | None = None
        self._seen = 0                 # the greatest height that was verified here

    @property
    def seen(self) -> Height:
        """No state is taken for the present one that is older than what has been verified already."""
        return self._seen

    def saw(self, height: Height) -> None:
        self._seen = max(self._seen, height)

    def _open(self, manifest: bytes) -> Network:
        if self._network is None:
            self._network = open_network(manifest, self.pinned)
        return self._network

    def _sign(self, network: Network, expires_at_ms: int, messages: Sequence[Message], keys: Keys,
              apart: Sequence[SigningKey]) -> tuple[bytes, TxId]:
        return sign(network.id, network.hashes, self.modules, messages, keys, expires_at_ms, apart)

    def sent(self, tx_id: TxId, file: bytes) -> Sent:
        """What the receipt file of this very transaction says.

        Errors  NotVerified RECEIPT_OF_ANOTHER_TX and as `verify`; Failed with the refusing module's code, whose
                `facts` hold the receipt.
        """
        verified = self.verify(file)
        envelope = verified.events[0]
        if not isinstance(envelope, Envelope) or envelope.tx_id != tx_id:
            raise NotVerified(ClientCode.RECEIPT_OF_ANOTHER_TX)
        self.saw(verified.leaf.height)
        if verified.leaf.code:
            raise Failed(self.modules.codes[verified.leaf.code], tx=tx_id, receipt=file)
        return Sent(tx_id, file, verified.events[1:], verified.leaf.height, verified.closing.time_ms)

    def verify(self, file: bytes) -> VerifiedReceipt:
        return verify_receipt(read_file(file, Receipt), self.pinned, self.modules, self.policy)

    def verify_row(self, file: bytes, table: Table[Any], key: tuple[Any, ...]) -> VerifiedRow:
        """Errors  NotVerified when the file does not prove this very row."""
        verified = verify_state(read_file(file, StateProof), self.pinned, self.modules, self.policy)
        if verified.table is not table or verified.key != key:
            raise NotVerified(ClientCode.RECEIPT_OF_ANOTHER_TX, "the proof is of another row")
        return verified

    def _present(self, file: bytes, table: Table[Any], key: tuple[Any, ...], since: Height) -> VerifiedRow:
        """The row in a state that is no older than height `since`.

        Errors  as `verify_row`; NotVerified PROOF_TOO_OLD.
        """
        verified = self.verify_row(file, table, key)
        if verified.closing.height < since:
            raise NotVerified(ClientCode.PROOF_TOO_OLD, f"height {verified.closing.height} of {since}")
        self.saw(verified.closing.height)
        return verified


class Client(_Verifying):
    """Blocking."""

    def __init__(self, transport: Transport, modules: ModuleSet, pinned: NetworkId, policy: Policy | None = None):
        super().__init__(modules, pinned, policy)
        self._transport = transport

    @property
    def network(self) -> Network:
        """Errors  NotVerified OTHER_NETWORK when the transport leads somewhere else than the pin."""
        return self._open(self._transport.manifest())

    def now_ms(self) -> int:
        return self._transport.now_ms()

    def send(self, messages: Sequence[Message], keys: Keys, *, apart: Sequence[SigningKey] = (),
             expires_in_ms: int = EXPIRES_IN_MS) -> Sent:
        """Sign, order, verify the receipt. `apart`: the keys that messages bring to accounts which have others.

        Errors  NotIncludable, Busy; NotVerified; Failed with the refusing module's code, whose `facts` hold the
                refusal's own receipt.
        """
        raw, tx_id = self._sign(self.network, self.now_ms() + expires_in_ms, messages, keys, apart)
        return self.sent(tx_id, self._transport.order(raw))

    def receipt(self, tx_id: TxId) -> VerifiedReceipt:
        return self.verify(self._transport.receipt(tx_id))

    def prove(self, table: Table[Any], key: tuple[Any, ...]) -> tuple[VerifiedRow, bytes]:
        """(the verified row or absence, the file to keep).

        Errors  as `verify_row`; NotVerified PROOF_TOO_OLD: the transport shows an older state than was seen before.
        """
        since = self.seen
        file = self._transport.prove(table.name, table.encode_key(key))
        return self._present(file, table, key, since), file


class AsyncClient(_Verifying):
    """For an event loop; the same verbs."""

    def __init__(self, transport: AsyncTransport, modules: ModuleSet, pinned: NetworkId,
                 policy: Policy | None = None):
        super().__init__(modules, pinned, policy)
        self._transport = transport

    async def network(self) -> Network:
        return self._open(await self._transport.manifest())

    async def send(self, messages: Sequence[Message], keys: Keys, *, apart: Sequence[SigningKey] = (),
                   expires_in_ms: int = EXPIRES_IN_MS) -> Sent:
        network = await self.network()
        raw, tx_id = self._sign(network, await self._transport.now_ms() + expires_in_ms, messages, keys, apart)
        return self.sent(tx_id, await self._transport.order(raw))

    async def receipt(self, tx_id: TxId) -> VerifiedReceipt:
        return self.verify(await self._transport.receipt(tx_id))

    async def prove(self, table: Table[Any], key: tuple[Any, ...]) -> tuple[VerifiedRow, bytes]:
        since = self.seen              # another answer that comes meanwhile makes this one no older
        file = await self._transport.prove(table.name, table.encode_key(key))
        return self._present(file, table, key, since), file
