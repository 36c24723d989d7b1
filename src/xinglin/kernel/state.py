"""Reading and writing rows while a block is applied: what a rule is given, and what lies beneath it.

`State` is what an engine offers (rows, due timers, executed ids, both trees). Over it lie the block's
writes, over these one transaction's, so that a refusal leaves nothing behind.
"""

from typing import Any, Generic, Protocol, TypeVar

from xinglin.base.check import InvariantBroken
from xinglin.base.crypto import HashSuite
from xinglin.base.history import Appended
from xinglin.base.ids import AccountId, KeyHash
from xinglin.base.units import MS_PER_DAY, MS_PER_HOUR
from xinglin.kernel.genesis import Parameters
from xinglin.kernel.module import Row, Table

R = TypeVar("R", bound=Row)


class Accounts(Protocol):
    """A ledger at its tip, as far as it takes to tell whether bytes are a transaction."""

    hashes: HashSuite

    def row(self, table: Table[R], key: bytes) -> R | None: ...

    def executed(self, minute: int, short_id: bytes) -> bool:
        """Whether a transaction with this id (16 bytes) stands in the bucket of this expiry minute."""


class State(Accounts, Protocol):
    """A ledger at its tip, as the executor needs it."""

    height: int
    time_ms: int

    def due(self, until_ms: int, limit: int) -> list[tuple[int, str, bytes]]:
        """Timers due at or before `until_ms`: (due, table, key) in that order, at most `limit`."""

    def replay_minutes(self) -> list[int]:
        """The minutes whose buckets are kept, ascending."""

    def update_tree(self, changes: list[tuple[bytes, bytes | None]]) -> bytes:
        """The state root after (path, hash of row bytes or None for deleted)."""

    def append(self, leaf_hashes: list[bytes]) -> Appended:
        """The history tree with these leaves at its end."""


class Overlay:
    """Rows by store key over a state: what a block has read and written so far."""

    def __init__(self, state: State):
        self.state = state
        self.before: dict[bytes, Row | None] = {}                    # as the state had it
        self.rows: dict[bytes, tuple[Table[Any], bytes, Row | None]] = {}    # written in this block
        self.pending: dict[bytes, tuple[Table[Any], bytes, Row | None]] = {}  # by the transaction under way

    def get(self, table: Table[R], key: bytes) -> R | None:
        at = table.store_prefix + key
        found = self.pending.get(at) or self.rows.get(at)
        if found is not None:
            return found[2]  # type: ignore[return-value]
        if at in self.before:
            return self.before[at]  # type: ignore[return-value]
        row = self.state.row(table, key)
        self.before[at] = row
        return row

    def put(self, table: Table[R], key: bytes, row: R | None) -> None:
        self.pending[table.store_prefix + key] = (table, key, row)

    def keep(self) -> None:
        """The transaction held: its writes become the block's."""
        self.rows.update(self.pending)
        self.pending.clear()

    def drop(self) -> None:
        self.pending.clear()

    def original(self, table: Table[R], key: bytes) -> R | None:
        """The row as it was before the block."""
        at = table.store_prefix + key
        if at not in self.before:
            self.before[at] = self.state.row(table, key)
        return self.before[at]  # type: ignore[return-value]


class Handle(Generic[R]):
    """One table, as the module that owns it or as any other sees it."""

    __slots__ = ("_overlay", "_table", "_writable")

    def __init__(self, overlay: Overlay, table: Table[R], writable: bool):
        self._overlay = overlay
        self._table = table
        self._writable = writable

    def get(self, key: tuple[Any, ...]) -> R | None:
        row = self._overlay.get(self._table, self._table.encode_key(key))
        return self._table.empty if row is None else row

    def has(self, key: tuple[Any, ...]) -> bool:
        return self._overlay.get(self._table, self._table.encode_key(key)) is not None

    def put(self, key: tuple[Any, ...], row: R) -> None:
        self._write(key, row)

    def delete(self, key: tuple[Any, ...]) -> None:
        self._write(key, None)

    def _write(self, key: tuple[Any, ...], row: R | None) -> None:
        if not self._writable:
            raise InvariantBroken(f"{self._table.name} was written by a module that does not own it")
        self._overlay.put(self._table, self._table.encode_key(key), row)


class Signs(Protocol):
    """An account that signs, and the key it does so with."""

    @property
    def account(self) -> AccountId: ...

    @property
    def key(self) -> KeyHash: ...


class Context:
    """What a rule sees: its block, its transaction, and tables (its own to write, all to read)."""

    __slots__ = ("_handles", "_kernel_handles", "_overlay", "_owner", "_owners", "_own_handles",
                 "block_time_ms", "custody", "hashes", "height", "parameters", "signers")

    def __init__(self, overlay: Overlay, owners: dict[str, str], parameters: Parameters,
                 height: int, block_time_ms: int):
        self._overlay = overlay
        self._owners = owners
        self._owner = ""
        self._own_handles: dict[str, dict[Table[Any], Handle[Any]]] = {}    # by module, made when first asked for
        self._handles: dict[Table[Any], Handle[Any]] = {}
        self._kernel_handles: dict[Table[Any], Handle[Any]] = {}
        self.hashes = overlay.state.hashes
        self.parameters = parameters
        self.height = height
        self.block_time_ms = block_time_ms
        self.signers: tuple[Signs, ...] = ()
        self.custody: tuple[int, ...] = ()

    @property
    def block_time_h(self) -> int:
        """Whole hours that have begun, so a grant until hour h is live while block time is before h."""
        return self.block_time_ms // MS_PER_HOUR

    @property
    def block_day(self) -> int:
        return self.block_time_ms // MS_PER_DAY

    def run_as(self, module: str) -> None:
        """The executor names the module whose rule runs next; only its tables can be written."""
        if module != self._owner:
            self._owner = module
            self._handles = self._own_handles.setdefault(module, {})

    def __getitem__(self, table: Table[R]) -> Handle[R]:
        handle = self._handles.get(table)
        if handle is None:
            handle = Handle(self._overlay, table, self._owners[table.name] == self._owner)
            self._handles[table] = handle
        return handle

    def kernel(self, table: Table[R]) -> Handle[R]:
        """For the kernel's own functions, which keep its rules whoever calls them. No module's source may name it
        (tests/tidy/test_source.py): it calls those functions."""
        handle = self._kernel_handles.get(table)
        if handle is None:
            handle = self._kernel_handles[table] = Handle(self._overlay, table, True)
        return handle


class Reading(Context):
    """A context to ask with, outside any transaction: pure reads of modules, by node and holder."""

    def __init__(self, state: State, owners: dict[str, str], parameters: Parameters, now_ms: int):
        super().__init__(Overlay(state), owners, parameters, state.height, now_ms)
