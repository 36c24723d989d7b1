"""(state, block) -> outcomes: the one function that the ledger is.

Order within a block: due timers, transactions, then the kernel's own rows, state root, closing leaf. A
block in which nothing came of anything changes nothing at all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xinglin.base import codec, limits
from xinglin.base.check import InvariantBroken, NotVerified, Refused, invariant
from xinglin.base.crypto import tagged
from xinglin.base.history import Appended
from xinglin.base.history import leaf_hash as history_leaf_hash
from xinglin.base.ids import AccountId
from xinglin.base.limits import EVENT_BYTES_MAX, OF_THE_RULES, ROW_BYTES_MAX, TIMERS_PER_BLOCK_MAX
from xinglin.base.units import MS_PER_MINUTE, CodeNumber
from xinglin.kernel import quota, replay
from xinglin.kernel.accounts import ACCOUNTS, AccountRow, Custody, find_key, has_ended
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.genesis import Manifest, check_manifest
from xinglin.kernel.module import Event, Kernel, ModuleSet, Table, refuse
from xinglin.kernel.outcome import (
    KERNEL_EVENTS,
    NONE_FAILED,
    Closing,
    Envelope,
    Leaf,
    LeafKind,
    TimerEnvelope,
    app_hash,
    events_hash,
)
from xinglin.kernel.state import Context, Overlay, State
from xinglin.kernel.tx import Body, Transaction, Tx, in_lane

KERNEL = Kernel(
    version=1,
    tables=(ACCOUNTS, replay.REPLAY, quota.QUOTA, quota.LANE),
    events=KERNEL_EVENTS,
    # A body's messages are described one by one.
    values={"transaction": Transaction, "body": Body[None], "leaf": Leaf, "closing": Closing, "manifest": Manifest},
    limits={name: getattr(limits, name) for name in OF_THE_RULES},
)


@dataclass(slots=True)
class Outcome:
    """One leaf with what it commits to. `about` are the ids it is found by. Not frozen: that costs 1 us each."""

    index: int
    leaf: bytes
    events: bytes
    code: CodeNumber
    tx: Tx | None
    about: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """All that a block changed. `outcomes` is empty when it changed nothing."""

    height: int
    time_ms: int
    outcomes: list[Outcome]
    closing: bytes
    rows: list[tuple[bytes, bytes | None]]                  # (store key, row bytes or None)
    due: list[tuple[str, bytes, int | None, int | None]]    # (table, key, due before, due after)
    replay: dict[int, list[bytes]]                          # minute -> ids executed in this block
    dropped: list[int]                                      # minutes whose buckets went
    state_root: bytes
    appended: Appended | None
    app_hash: bytes


class Executor:
    """Applies blocks under one manifest and one set of modules."""

    def __init__(self, modules: ModuleSet, manifest: Manifest, module_set: bytes):
        self.modules = modules
        self.manifest = manifest
        self.module_set = module_set

    def found(self, state: State) -> Applied:
        """Height 0: the rows that the manifest implies. No leaf, no transaction.

        Errors  NotVerified MANIFEST_NOT_VALID.
        """
        check_manifest(self.manifest)
        overlay = Overlay(state)
        ctx = self._context(overlay, 0, self.manifest.started_ms)
        for module in self.modules.modules:
            if module.found:
                ctx.run_as(module.name)
                try:
                    module.found(ctx, self.manifest)
                except Refused as refused:
                    raise NotVerified(KernelCode.MANIFEST_NOT_VALID, refused.code.name) from None
                overlay.keep()
        rows, due, changes = self._changes(overlay, state)
        root = state.update_tree(changes)
        return Applied(0, self.manifest.started_ms, [], b"", rows, due, {}, [], root, None, b"")

    def apply(self, state: State, height: int, time_ms: int, txs: list[Tx]) -> Applied:
        """Apply `txs`, which are includable apart from duplicates among themselves."""
        invariant(time_ms > state.time_ms, "block time moves forward")
        overlay = Overlay(state)
        ctx = self._context(overlay, height, time_ms)
        run = _Block(self, state, overlay, ctx)
        run.timers()
        for tx in txs:
            run.transaction(tx)
        return run.close()

    def _context(self, overlay: Overlay, height: int, time_ms: int) -> Context:
        return Context(overlay, self.modules.owners, self.manifest.parameters, height, time_ms)

    def _changes(self, overlay: Overlay, state: State) -> tuple[
            list[tuple[bytes, bytes | None]], list[tuple[str, bytes, int | None, int | None]],
            list[tuple[bytes, bytes | None]]]:
        """The block's writes as rows, moves in the due index, and changes of the state tree."""
        digest = state.hashes.digest
        rows, due, changes = [], [], []
        for at, (table, key, row) in overlay.rows.items():
            data = None if row is None else _row_bytes(table, row, self.modules.invariants.get(table.name, ()))
            rows.append((at, data))
            changes.append((digest(table.path_prefix + key), None if data is None else digest(data)))
            if table.due is not None:
                old = overlay.original(table, key)
                before = None if old is None else table.due(old)
                after = None if row is None else table.due(row)
                if before != after:
                    due.append((table.name, key, before, after))
        return rows, due, changes


def _row_bytes(table: Table[Any], row: Any, invariants: tuple[Callable[[Any], bool], ...]) -> bytes:
    """Constructors do not validate, so what is stored is decoded once more under its own type."""
    data = codec.encode(row)
    try:
        table.decode_row(data)
    except ValueError as error:
        raise InvariantBroken(f"a row of {table.name} is outside its type: {error}") from None
    for holds in invariants:
        if not holds(row):
            raise InvariantBroken(f"a row of {table.name}: {holds.__name__}")
    if len(data) > ROW_BYTES_MAX:
        raise InvariantBroken(f"a row of {table.name} is at most {ROW_BYTES_MAX} bytes")
    return data


class _Block:
    """One block under way."""

    def __init__(self, executor: Executor, state: State, overlay: Overlay, ctx: Context):
        self.executor = executor
        self.modules = executor.modules
        self.state = state
        self.hashes = state.hashes
        self.overlay = overlay
        self.ctx = ctx
        self.purse = quota.Purse(overlay, executor.manifest.parameters.units_per_second, ctx.block_time_ms)
        self.outcomes: list[Outcome] = []
        self.ids: dict[int, list[bytes]] = {}
        self.seen: set[bytes] = set()

    # -- timers

    def timers(self) -> None:
        for due_ms, table_name, key in self.state.due(self.ctx.block_time_ms, TIMERS_PER_BLOCK_MAX):
            table = self.modules.tables[table_name]
            module, rule = self.modules.timers[table_name]
            row, due = self.overlay.get(table, key), table.due
            invariant(row is not None and due is not None and due(row) == due_ms,
                      f"the due index of {table_name} follows its rows")
            self.ctx.run_as(module)
            self.ctx.signers = self.ctx.custody = ()
            event = rule(self.ctx, table.decode_key(key), row)
            self._check_own(module, event)
            self.overlay.keep()
            after = self.overlay.get(table, key)
            next_ms = due(after) if due and after is not None else None
            invariant(next_ms is None or next_ms > self.ctx.block_time_ms,
                      f"the timer of {table_name} moves its row on")
            subject = tagged(self.hashes, "xinglin/timer/1", table_name.encode(), key)
            self._outcome(LeafKind.TIMER, subject, 0,
                          (TimerEnvelope(table=table_name, due_ms=due_ms), event), None)

    # -- transactions

    def transaction(self, tx: Tx) -> None:
        short_id = tx.short_id
        if short_id in self.seen:
            return                        # a second copy within the block: skipped, no leaf
        self.seen.add(short_id)
        self.ids.setdefault(tx.minute, []).append(short_id)
        ctx = self.ctx
        ctx.signers = tx.signers
        failed = NONE_FAILED
        events: list[Event] = []
        code = 0
        try:
            custody = ctx.custody = self._admit(tx)
            signers = tuple([signer.account for signer in tx.signers])
            for at, (message, spec) in enumerate(zip(tx.messages, tx.specs, strict=True)):
                failed = at
                ctx.run_as(spec.module)
                event = spec.rule(ctx, message)
                self._check_own(spec.module, event)
                events.append(event)
            if any([spec.introduces for spec in tx.specs]):
                signers, custody = self._signed(tx)   # a new key's custody stands in the state only now
            self.overlay.keep()
            failed = NONE_FAILED
        except Refused as refused:
            self.overlay.drop()
            code = refused.code.value
            events = []
            signers, custody = self._signed(tx)
        envelope = Envelope(tx_id=tx.id, signers=signers, custody=custody,
                            tags=tuple([spec.tag for spec in tx.specs]), code=code, failed=failed)
        self._outcome(LeafKind.TX, tx.full_hash, code, (envelope, *events), tx)

    def _signed(self, tx: Tx) -> tuple[tuple[AccountId, ...], tuple[Custody, ...]]:
        """Whose own key signed, and in whose hands it is. A key that was refused speaks for nobody's account."""
        found = [(signer.account, find_key(self.overlay.get(ACCOUNTS, signer.account), signer.key))
                 for signer in tx.signers]
        return (tuple([account for account, key in found if key]), tuple([key.custody for _, key in found if key]))

    def _admit(self, tx: Tx) -> tuple[Custody, ...]:
        """The price, then keys and accounts as they are now. The kernel's own refusals, which are charged too."""
        rows = [self.overlay.get(ACCOUNTS, signer.account) for signer in tx.signers]
        unpaid = self._pay(tx, rows)
        custody = []
        for at, (signer, row) in enumerate(zip(tx.signers, rows, strict=True)):
            key = find_key(row, signer.key)
            if key is not None and has_ended(key, self.ctx.block_time_ms):
                refuse(KernelCode.KEY_HAS_ENDED)
            if row is not None and row.suspended and at < len(rows) - tx.apart:   # a new key only shows itself
                refuse(KernelCode.ACCOUNT_SUSPENDED)
            custody.append(key.custody if key else Custody.OWN)
        if unpaid is not None:
            refuse(unpaid)
        return tuple(custody)

    def _pay(self, tx: Tx, rows: list[AccountRow | None]) -> KernelCode | None:
        """Charge the first signer's payer, or each subject's own lane where no one may stand in the way."""
        if in_lane(tx, rows):
            for message, spec in zip(tx.messages, tx.specs, strict=True):
                if not self.purse.use_lane(getattr(message, spec.signed_by[0])):
                    return KernelCode.LANE_EXHAUSTED
            return None
        payer = rows[0].payer if rows[0] is not None else b""
        paying = self.overlay.get(ACCOUNTS, payer)
        if paying is None:
            raise InvariantBroken("a transaction's payer has an account")
        enough = self.purse.charge(payer, quota.cost(tx.specs, len(tx.raw)))
        if paying.suspended:              # earlier in this block, or it were no transaction
            return KernelCode.PAYER_SUSPENDED
        return None if enough else KernelCode.QUOTA_EXHAUSTED

    def _check_own(self, module: str, event: Event) -> None:
        if self.modules.told_by.get(type(event)) != module:
            raise InvariantBroken(f"{module} told {type(event).__name__}, which it does not declare")

    def _outcome(self, kind: LeafKind, full_hash: bytes, code: CodeNumber, events: tuple[Event, ...],
                 tx: Tx | None) -> None:
        data = codec.encode(events)
        try:
            self.modules.decode_events(data)      # as rows are: constructors do not validate
        except ValueError as error:
            raise InvariantBroken(f"an event is outside its type: {error}") from None
        if len(data) > EVENT_BYTES_MAX:
            raise InvariantBroken(f"events are at most {EVENT_BYTES_MAX} bytes")
        index = len(self.outcomes)
        leaf = codec.encode(Leaf(kind=kind, height=self.ctx.height, index=index, full_hash=full_hash,
                                 code=code, events_hash=events_hash(self.hashes, data)))
        about: dict[bytes, None] = {}
        for event in events:
            for name in event.about:
                about[getattr(event, name)] = None
        self.outcomes.append(Outcome(index, leaf, data, code, tx, tuple(about)))

    # -- the end of a block

    def close(self) -> Applied:
        ctx, state = self.ctx, self.state
        if not self.outcomes:
            return Applied(state.height, state.time_ms, [], b"", [], [], {}, [], b"", None, b"")
        dropped = [minute for minute in state.replay_minutes()
                   if (minute + 1) * MS_PER_MINUTE <= ctx.block_time_ms]
        for minute in dropped:
            self.overlay.put(replay.REPLAY, replay.REPLAY.encode_key((minute,)), None)
        for minute, ids in sorted(self.ids.items()):
            key = replay.REPLAY.encode_key((minute,))
            row = self.overlay.get(replay.REPLAY, key)
            self.overlay.put(replay.REPLAY, key, replay.add(self.hashes, row, ids))
        self.purse.write()
        self.overlay.keep()

        rows, due, changes = self.executor._changes(self.overlay, state)
        root = state.update_tree(changes)
        closing = codec.encode(Closing(kind=LeafKind.CLOSING, height=ctx.height, time_ms=ctx.block_time_ms,
                                       state_root=root, module_set=self.executor.module_set))
        leaves = [history_leaf_hash(self.hashes, outcome.leaf) for outcome in self.outcomes]
        leaves.append(history_leaf_hash(self.hashes, closing))
        appended = state.append(leaves)
        return Applied(ctx.height, ctx.block_time_ms, self.outcomes, closing, rows, due, self.ids, dropped,
                       root, appended, app_hash(self.hashes, appended.root, root, self.executor.module_set))
