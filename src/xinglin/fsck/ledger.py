"""One ledger, checked from its first block to its last row, until the first lie."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from xinglin.base.check import Failed
from xinglin.base.crypto import HashSuite
from xinglin.base.ids import NetworkId
from xinglin.engine.codes import EngineCode
from xinglin.engine.store import Store
from xinglin.engine.told import Told, untold
from xinglin.fsck.access_log import AccessLog
from xinglin.fsck.blocks import Blocks
from xinglin.fsck.codes import FsckCode, Lie
from xinglin.fsck.formats import HEIGHT_BYTES, Tip, check_families, read, same
from xinglin.fsck.indexes import Indexes, check_executed
from xinglin.fsck.rows import Rows
from xinglin.fsck.successors import log_keys
from xinglin.fsck.transactions import Transactions
from xinglin.kernel.genesis import Manifest, chain_id, hash_suite, network_id
from xinglin.kernel.module import ModuleSet

T = TypeVar("T")


class Report(NamedTuple):
    """What a clean ledger holds."""

    network: NetworkId
    chain: str
    height: int
    time_ms: int
    transactions: int
    timers: int
    signatures: int
    rows: int
    pruned_below: int              # transactions of lower blocks have no bytes any more; 0: all have
    pruned: int                    # how many
    unverified: int                # signatures of later ones by keys that only pruned bytes held
    history_root: bytes
    state_root: bytes


class Opened(NamedTuple):
    """A store, and what says how to read it."""

    store: Store
    manifest: Manifest
    hashes: HashSuite
    tip: Tip


@contextmanager
def opened(folder: Path, modules: ModuleSet) -> Iterator[Opened]:
    """The ledger in `folder`, alone.

    Errors  Failed NO_LEDGER_HERE, MODULES_DIFFER, STORE_IN_USE; Lie STORE_UNREADABLE for what the store itself finds
            damaged, also while it is open.
    """
    if not (folder / "store" / "CURRENT").exists():
        raise Failed(EngineCode.NO_LEDGER_HERE, str(folder))
    try:
        store = Store.open(folder / "store")
        try:
            manifest_bytes, tip_bytes = store.get(b"mmanifest"), store.get(b"mtip")
            if manifest_bytes is None or tip_bytes is None:
                raise Failed(EngineCode.NO_LEDGER_HERE, str(folder))
            manifest: Manifest = read(manifest_bytes, Manifest, "manifest")
            hashes = hash_suite(manifest)
            if modules.hash(hashes) != manifest.module_set:
                raise Failed(EngineCode.MODULES_DIFFER)
            yield Opened(store, manifest, hashes, read(tip_bytes, Tip, "tip"))
        finally:
            store.close()
    except Failed as error:
        if error.code is EngineCode.STORE_CORRUPT:
            raise Lie(FsckCode.STORE_UNREADABLE, error.detail) from error
        raise


def check(folder: Path, modules: ModuleSet, network: NetworkId | None = None, told: Told = untold) -> Report:
    """Read all of the ledger in `folder`; return only if everything in it follows from its own signed history.

    `network`: the id that its manifest must have, if the caller knows it.

    Errors  Lie, whose code and detail say what and where; and those of `opened`.
    """
    def run() -> Report:
        with opened(folder, modules) as found:
            return _check(found, folder, modules, network, told)
    return letting_go(run)


def letting_go(run: Callable[[], T]) -> T:
    """What `run` returns or finds. Its frames hold scans, and an unfinished scan holds the store: so a lie leaves
    without them."""
    try:
        return run()
    except Lie as lie:
        said = Lie(lie.code, lie.detail)
    raise said


def _check(found: Opened, folder: Path, modules: ModuleSet, network: NetworkId | None, told: Told) -> Report:
    store, manifest, hashes, tip = found
    own = network_id(manifest)
    if network is not None:
        same(own, network, FsckCode.TIP_LIES, f"the manifest is of network {own.hex()}")
    _check_acknowledged(folder, tip)
    check_families(store, tip)
    blocks = Blocks(store, hashes, manifest, modules, log_keys(folder, manifest))
    transactions = Transactions(store, hashes, manifest, modules, tip.time_ms)
    indexes, log = Indexes(store, modules), AccessLog(hashes)
    outcomes = 0
    for block, outcome in blocks:
        transactions.check(block, outcome)
        indexes.check(outcome)
        log.check(outcome)
        outcomes += len(outcome)
        told("blocks", block.height, tip.height)
    blocks.check_end(tip)
    transactions.check_end(tip.height)
    told("indexes", 0, 1)
    indexes.check_end()
    check_executed(store, transactions.ids)
    told("rows", 0, 1)
    rows = Rows(store, hashes, modules)
    rows.check(log.rows, transactions.ids)
    told("state tree", 0, 1)
    rows.check_tree(tip)
    return Report(own, chain_id(manifest), tip.height, tip.time_ms, transactions.count, outcomes - transactions.count,
                  transactions.signatures, rows.count, transactions.pruned_below, transactions.pruned,
                  transactions.unverified, blocks.tree.root(), tip.state_root)


def _check_acknowledged(folder: Path, tip: Tip) -> None:
    """Nobody was told of a height that the store does not have."""
    file = folder / "acknowledged"
    noted = file.read_bytes() if file.exists() else b""
    if len(noted) not in (0, HEIGHT_BYTES):            # none before the first block
        raise Lie(FsckCode.TIP_LIES, f"acknowledged: {len(noted)} bytes, {HEIGHT_BYTES} are due")
    height = int.from_bytes(noted, "big")
    if tip.height < height:
        raise Lie(FsckCode.TIP_LIES, f"the store ends at {tip.height}, {height} was acknowledged")
