"""What a client needs of a ledger: bytes in, files out. In process now, HTTP later; nothing it says is believed."""

from typing import Protocol

from xinglin.base.ids import TxId


class Transport(Protocol):
    """A ledger's side as a blocking client reaches it."""

    def manifest(self) -> bytes:
        """The genesis manifest, to be checked against a pin."""

    def now_ms(self) -> int:
        """The ledger's clock, for choosing an expiry."""

    def order(self, raw: bytes) -> bytes:
        """Order a transaction; its receipt file. Errors  Failed."""

    def receipt(self, tx_id: TxId) -> bytes:
        """The receipt file of an executed transaction. Errors  NotFound."""

    def prove(self, table: str, key: bytes) -> bytes:
        """A state-proof file for a row, or for there being none."""


class AsyncTransport(Protocol):
    """The same for a client in an event loop."""

    async def manifest(self) -> bytes: ...

    async def now_ms(self) -> int: ...

    async def order(self, raw: bytes) -> bytes: ...

    async def receipt(self, tx_id: TxId) -> bytes: ...

    async def prove(self, table: str, key: bytes) -> bytes: ...
