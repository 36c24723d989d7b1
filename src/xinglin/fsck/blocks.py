"""Blocks in order: heights and times, leaves and events, the history tree, its tiles and its checkpoints.

Invariant I2 (safety.md): one block a height, none missing.
"""

from collections.abc import Iterator
from typing import Any

from xinglin.base import codec, note
from xinglin.base.check import NotUnderstood, ProofInvalid
from xinglin.base.crypto import HashSuite, tagged
from xinglin.engine.store import Store
from xinglin.fsck.codes import FsckCode, Lie
from xinglin.fsck.formats import Block, Found, Published, Tip, read, same
from xinglin.fsck.trees import HistoryTree
from xinglin.kernel.genesis import Manifest, chain_id
from xinglin.kernel.module import ModuleSet
from xinglin.kernel.outcome import Closing, Envelope, Leaf, LeafKind, TimerEnvelope


class Blocks:
    """The history of one ledger as it is read; `tree` and `state_root` follow."""

    def __init__(self, store: Store, hashes: HashSuite, manifest: Manifest, modules: ModuleSet,
                 log_keys: tuple[note.NoteKey, ...]):
        self._store = store
        self._hashes = hashes
        self._module_set = manifest.module_set
        self._origin = f"xinglin/{chain_id(manifest)}"
        self._keys = log_keys
        self._published = 0
        self._events = codec.decoder(modules.events_type)
        self.tree = HistoryTree(hashes.digest)
        self.height, self.time_ms = 0, manifest.started_ms
        self.state_root: bytes | None = None            # of the last closing leaf

    def __iter__(self) -> Iterator[tuple[Block, list[Found]]]:
        """Every block with its outcomes, all that can be said of it alone being checked."""
        for key, data in self._store.scan(b"k"):
            where = f"block {int.from_bytes(key[1:], 'big')}"
            block: Block = read(data, Block, where)
            same(key[1:], (self.height + 1).to_bytes(8, "big"), FsckCode.BLOCKS_LIE,
                 f"{where}: stands where block {self.height + 1} is due")
            self._check_head(block, where)
            found = [self._outcome(block, index, where) for index in range(len(block.leaves))]
            self._check_order(found, where)
            self._check_closing(block, where)
            for leaf in (*block.leaves, block.closing):
                self._grow(leaf, where)
            self._check_checkpoint(block.checkpoint, where)
            self._check_published(block, where)
            self.height, self.time_ms = block.height, block.time_ms
            yield block, found

    def _check_head(self, block: Block, where: str) -> None:
        same(block.height, self.height + 1, FsckCode.BLOCKS_LIE, f"{where}: says it is block {block.height}")
        same(block.first, self.tree.size, FsckCode.BLOCKS_LIE,
             f"{where}: begins at leaf {block.first}, {self.tree.size} stand before it")
        if block.time_ms <= self.time_ms:
            raise Lie(FsckCode.BLOCKS_LIE, f"{where}: is not later than the one before")
        if not block.leaves or len(block.leaves) != len(block.events):
            raise Lie(FsckCode.BLOCKS_LIE, f"{where}: has {len(block.leaves)} leaves, {len(block.events)} events")

    def _outcome(self, block: Block, index: int, block_where: str) -> Found:
        where = f"{block_where} leaf {index}"
        leaf: Leaf = read(block.leaves[index], Leaf, where)
        same((leaf.height, leaf.index), (block.height, index), FsckCode.BLOCKS_LIE, f"{where}: is of another place")
        data = block.events[index]
        same(tagged(self._hashes, "xinglin/events/1", data), leaf.events_hash, FsckCode.EVENTS_LIE,
             f"{where}: its events have another hash")
        try:
            events: tuple[Any, ...] = codec.decode_by(self._events, data)
        except NotUnderstood as error:
            raise Lie(FsckCode.EVENTS_LIE, f"{where}: {error.detail}") from None
        first = events[0]
        if leaf.kind is LeafKind.TX and isinstance(first, Envelope) and first.code == leaf.code:
            wanted = 1 if leaf.code else 1 + len(first.tags)
            same(len(events), wanted, FsckCode.EVENTS_LIE, f"{where}: {len(events)} events, {wanted} were due")
            return Found(block.height, index, leaf.kind, leaf.full_hash, first.tx_id, first.tags, events)
        if leaf.kind is LeafKind.TIMER and isinstance(first, TimerEnvelope) and not leaf.code and len(events) == 2:
            return Found(block.height, index, leaf.kind, leaf.full_hash, b"", (), events)
        raise Lie(FsckCode.EVENTS_LIE, f"{where}: its events tell of something else")

    def _check_order(self, found: list[Found], where: str) -> None:
        """Timers run first."""
        kinds = [one.kind for one in found]
        same(kinds, sorted(kinds, reverse=True), FsckCode.BLOCKS_LIE, f"{where}: a timer behind a transaction")

    def _check_closing(self, block: Block, where: str) -> None:
        closing: Closing = read(block.closing, Closing, f"{where} closing leaf")
        same((closing.kind, closing.height, closing.time_ms, closing.module_set),
             (LeafKind.CLOSING, block.height, block.time_ms, self._module_set), FsckCode.BLOCKS_LIE,
             f"{where}: its closing leaf tells of something else")
        self.state_root = closing.state_root

    def _grow(self, leaf: bytes, where: str) -> None:
        for level, index, hashes in self.tree.add(leaf):
            key = b"h" + bytes((level,)) + index.to_bytes(8, "big")
            same(self._store.get(key), hashes, FsckCode.HISTORY_LIES,
                 f"{where}: tile {index} of level {level}, which it fills, has other hashes")

    def _check_published(self, block: Block, where: str) -> None:
        """What was shown to the world of this block, if anything. Whoever knows the witnesses judges who cosigned."""
        data = self._store.get(b"p" + self.tree.size.to_bytes(8, "big"))
        if data is not None:
            shown: Published = read(data, Published, f"{where} published")
            same(shown.height, block.height, FsckCode.CHECKPOINT_LIES, f"{where}: published as of {shown.height}")
            self._check_checkpoint(shown.note, f"{where} published")
            self._published += 1

    def _check_checkpoint(self, signed_note: bytes, where: str) -> None:
        try:
            said, signed_by, _ = note.open_checkpoint(signed_note, self._keys)
        except ProofInvalid as error:
            raise Lie(FsckCode.CHECKPOINT_LIES, f"{where}: {error.detail}") from None
        if not signed_by:
            names = {name for name, _ in note.signature_lines(signed_note)}
            if names & {key.name for key in self._keys}:       # by a successor that nobody stated, or by a forger
                raise Lie(FsckCode.SIGNER_NOT_KNOWN, f"{where}: ledger/successors does not name the key")
            raise Lie(FsckCode.CHECKPOINT_LIES, f"{where}: its checkpoint is signed by none of this ledger's keys")
        same(said, note.Checkpoint(self._origin, self.tree.size, self.tree.root()), FsckCode.CHECKPOINT_LIES,
             f"{where}: its checkpoint signs another history")

    def check_end(self, tip: Tip) -> None:
        """The tip is where the blocks end, and no tile is left over."""
        same((tip.height, tip.time_ms), (self.height, self.time_ms), FsckCode.TIP_LIES,
             f"the tip is at height {tip.height}, the blocks end at {self.height}")
        same((tip.history.size, tip.history.peaks), (self.tree.size, self.tree.peaks), FsckCode.TIP_LIES,
             "the tip has another history")
        if self.state_root is not None:
            same(tip.state_root, self.state_root, FsckCode.TIP_LIES, "the tip has another state root than its block")
            wanted = tagged(self._hashes, "xinglin/app/1", self.tree.root(), self.state_root, self._module_set)
        else:
            wanted = self._hashes.digest(b"")
        same(tip.app_hash, wanted, FsckCode.TIP_LIES, "the tip has another app hash")
        same(sum(1 for _ in self._store.scan(b"p")), self._published, FsckCode.CHECKPOINT_LIES,
             "a checkpoint was published that ends no block")
        for key, _ in self._store.scan(b"h"):
            level, index = key[1], int.from_bytes(key[2:], "big")
            if len(key) != 10 or not self.tree.has_tile(level, index):
                raise Lie(FsckCode.HISTORY_LIES, f"tile {index} of level {level}: is of no leaf")
