"""What must hold after each step: every block is read back from the store, done again, and told to the oracle.

I1 the same root on other code   I2 one block a height, and none that was told is lost   I3 once, in its window
I13 a module wrote its own tables   I15 one entry after another   I17 a copy is the same ledger
"""

import shutil
from collections import deque
from pathlib import Path

from xinglin.base import codec
from xinglin.base.history import leaf_hash
from xinglin.base.limits import TX_WINDOW_MS
from xinglin.engine.embedded import Committed
from xinglin.engine.ledger import BlockRow, Ledger
from xinglin.engine.signatures import hold as signatures_hold
from xinglin.engine.store import Store
from xinglin.kernel.accounts import ACCOUNTS, has_ended
from xinglin.kernel.executor import Applied
from xinglin.kernel.genesis import Manifest, network_id
from xinglin.kernel.module import ModuleSet
from xinglin.kernel.tx import NotIncludable, Reader, Tx, prepare
from xinglin.modules import access, consent
from xinglin.node import Node
from xinglin.sim.codes import Broken, hold
from xinglin.sim.known_keys import FOREVER
from xinglin.sim.oracle import Oracle
from xinglin.sim.shadow import Shadow


class Watch:
    """Told of blocks by the node; looks for itself after each step."""

    def __init__(self, manifest: Manifest, modules: ModuleSet, oracle: Oracle):
        self.modules = modules
        self.manifest = manifest
        self.oracle = oracle
        self.shadow = Shadow(manifest, modules)
        self.reader = Reader(network_id(manifest), self.shadow.hashes, modules)
        self.owners = {table.store_prefix: modules.owners[name] for name, table in modules.tables.items()}
        self.heard: deque[tuple[int, bytes, bytes]] = deque()       # (height, closing leaf, app hash), when durable
        self.ids: dict[bytes, int] = {}                             # transaction -> height, while it could come again
        self.leaves: dict[tuple[int, int], bytes] = {}              # of this step's blocks
        self.revoked: list[tuple[bytes, bytes, bytes]] = []         # (subject, grantee, grant), newest last
        self.transactions = self.accepted = self.blocks = 0

    def hear(self, applied: Applied) -> None:
        """A listener of the node, on its syncing thread."""
        self.heard.append((applied.height, applied.closing, applied.app_hash))

    def look(self, node: Node, opened: bool) -> None:
        """Follow the store to its tip, if it moved, or may hold what nobody heard of. Errors  Broken."""
        if not self.heard and not opened:
            return
        since = self.shadow.height + 1
        blocks, app_hash, state_root = node.ask(lambda ledger: (
            [(ledger.block(height), ledger.transactions(height)) for height in range(since, ledger.height + 1)],
            ledger.app_hash, ledger.state_root))
        self.leaves.clear()
        for block, raws in blocks:
            self._follow(block, raws)
        if blocks:
            hold(self.shadow.app_hash == app_hash, "I1", "the tip's app hash is another one when done again")
            hold(self.shadow.state_root == state_root, "I1", "the state root is another one when done again")
        while self.heard:
            height, _, _ = self.heard.popleft()
            hold(height <= self.shadow.height, "I2", f"block {height} was told to be durable, and is lost")

    def _follow(self, block: BlockRow, raws: tuple[bytes, ...]) -> None:
        shadow = self.shadow
        hold(block.height == shadow.height + 1, "I2", f"block {block.height} follows {shadow.height}")
        hold(block.time_ms > shadow.time_ms, "R2", "block time goes back")
        txs = [self._read(raw, block) for raw in raws]
        applied = shadow.apply(block.time_ms, txs)
        if tuple(outcome.leaf for outcome in applied.outcomes) != block.leaves:
            raise Broken("I1", f"block {block.height} has other outcomes when it is done again")
        if tuple(outcome.events for outcome in applied.outcomes) != block.events:
            raise Broken("I1", f"block {block.height} tells other events when it is done again")
        hold(applied.closing == block.closing, "I1", f"block {block.height} closes otherwise when it is done again")
        self._check_heard(block, applied)
        self._check_owners(applied)
        self._tell(block, applied)
        self.blocks += 1

    def _read(self, raw: bytes, block: BlockRow) -> Tx:
        """I3 and P1: form, signatures, window, and never before."""
        try:
            tx = self.reader.read(raw)
            checks = prepare(tx, self.shadow, block.time_ms)
        except NotIncludable as error:
            raise Broken("I3", f"block {block.height} holds what is no transaction: {error}") from None
        hold(signatures_hold(checks), "P1", "a block holds a transaction whose signature is not good")
        hold(block.time_ms < tx.expires_at_ms <= block.time_ms + TX_WINDOW_MS, "I3", "executed outside its window")
        hold(tx.id not in self.ids, "I3", f"executed at {self.ids.get(tx.id)} and again at {block.height}")
        self.ids[tx.id] = block.height
        return tx

    def _check_heard(self, block: BlockRow, applied: Applied) -> None:
        """I2: what was told is what is kept. A block that nobody heard of may stand too, after a crash."""
        while self.heard and self.heard[0][0] <= block.height:
            height, closing, app_hash = self.heard.popleft()
            hold((height, closing, app_hash) == (block.height, block.closing, applied.app_hash), "I2",
                 f"two blocks at height {height}")

    def _check_owners(self, applied: Applied) -> None:
        """I13: nothing was written but by owners of what ran."""
        ran = {"kernel"}
        for outcome in applied.outcomes:
            if outcome.tx is None:
                envelope = codec.decode(outcome.events, self.modules.events_type)[0]
                ran.add(self.modules.owners[envelope.table])
            elif outcome.code == 0:
                ran.update(spec.module for spec in outcome.tx.specs)
        for at, _ in applied.rows:
            owner = self.owners[at[:2 + at[1]]]
            if owner not in ran:
                raise Broken("I13", f"a table of {owner} was written when none of its rules ran")

    def _tell(self, block: BlockRow, applied: Applied) -> None:
        oracle = self.oracle
        oracle.now_ms = block.time_ms
        touched: dict[bytes, None] = {}
        changed: dict[bytes, None] = {}
        for outcome in applied.outcomes:
            self.leaves[block.height, outcome.index] = outcome.leaf
            events = codec.decode(outcome.events, self.modules.events_type)[1:]
            if outcome.tx is None:
                for event in events:
                    oracle.passed(event)
            else:
                self.transactions += 1
                self.accepted += outcome.code == 0
                tx = outcome.tx
                oracle.executed(tuple((signer.account, signer.key) for signer in tx.signers), tx.messages, outcome.code,
                                events)
                if outcome.code == 0:
                    changed |= dict.fromkeys(signer.account for signer in tx.signers)
            for event in events:
                if isinstance(event, access.Entry):
                    touched[event.subject] = None
                elif isinstance(event, consent.Revoked):
                    self.revoked.append((event.subject, event.grantee, event.grant_id))
        for subject in touched:
            row = self.shadow.row(access.LOG, access.LOG.encode_key((subject,)))
            hold(row is not None and (row.count, row.running) == oracle.entries[subject], "I15",
                 "a subject's row counts and sums all that was ordered about her")
        for account in changed:
            self._check_keys(account)
        oracle.after_block()

    def _check_keys(self, account: bytes) -> None:
        """P1: who signed has the keys that the oracle knows of, with their ends; of ended ones some are forgotten."""
        row = self.shadow.row(ACCOUNTS, ACCOUNTS.encode_key((account,)))
        now_ms = self.oracle.now_ms
        known = {key: ends_ms for key, ends_ms in self.oracle.keys.of[account].items() if ends_ms > now_ms}
        found = {key.id: key.ends_ms or FOREVER for key in row.keys if not has_ended(key, now_ms)} if row else {}
        hold(found == known, "P1", "an account has other keys than it was given")

    # -- what clients were told

    def check_told(self, committed: Committed) -> None:
        """Errors  Broken I2: a client was told of an outcome that does not stand so."""
        hold(self.leaves.get((committed.height, committed.index)) == committed.leaf, "I2",
             "a client was told of an outcome that does not stand so")

    def forget_old_ids(self) -> None:
        """What is out of its window cannot come again; a long run would keep them all."""
        oldest = self.shadow.height - 100_000
        self.ids = {own: height for own, height in self.ids.items() if height > oldest}

    # -- copies

    def check_copy(self, node: Node, store: Store, folder: Path) -> None:
        """I17: a copy of the `store`, opened on its own, is the same ledger to the last row. Errors  Broken."""
        hold(self.shadow.reference_root() == self.shadow.state_root, "I1", "the reference gives another state root")
        node.ask(lambda _: store.checkpoint(folder))
        try:
            copy = Ledger.open(folder, self.modules)
            try:
                hold((copy.height, copy.app_hash, copy.state_root) == (
                    self.shadow.height, self.shadow.app_hash, self.shadow.state_root), "I17", "a copy stands elsewhere")
                rows = dict(copy.store.scan(b"s"))
                if rows != self.shadow.rows:
                    raise Broken("I17", f"{len(rows)} rows in a copy, {len(self.shadow.rows)} when done again")
                self._check_last_leaves(copy)
            finally:
                copy.close()
        finally:
            shutil.rmtree(folder)

    def _check_last_leaves(self, copy: Ledger) -> None:
        """The history's own tiles hold the leaves of the last block, at their places."""
        if not copy.height:
            return
        block = copy.block(copy.height)
        for at, leaf in enumerate([*block.leaves, block.closing], start=block.first):
            hold(copy.history.node(0, at) == leaf_hash(copy.hashes, leaf), "I17", "a copy's history has another leaf")
