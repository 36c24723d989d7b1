"""The transactions' bytes: the leaf's own, understood, signed by everyone they name, inside their window, once.

Invariant I3 (safety.md). Whether a key was live at the time is for `fsck --replay`, which has the state of then.
Bytes below the height `mpruned` may be gone; leaves, events and the index of ids never are.
"""

from typing import Annotated, Any

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import NotUnderstood, SignatureInvalid
from xinglin.base.crypto import HashSuite, tagged, verify
from xinglin.base.limits import TX_BYTES_MAX, TX_LONG_WINDOW_MS, TX_WINDOW_MS
from xinglin.base.units import MS_PER_MINUTE
from xinglin.engine.store import Store
from xinglin.fsck.codes import FsckCode, Lie
from xinglin.fsck.formats import ID_BYTES, Block, Found, read, same
from xinglin.fsck.keys import Key, Keys, brought
from xinglin.kernel.genesis import Manifest, network_id
from xinglin.kernel.module import ModuleSet
from xinglin.kernel.outcome import LeafKind
from xinglin.kernel.tx import SIGN_DOMAIN, Body, Transaction

Raws = tuple[Annotated[bytes, Meta(max_length=TX_BYTES_MAX)], ...]


class Transactions:
    """Goes along with the blocks; `ids` are those that the replay buckets must still hold."""

    def __init__(self, store: Store, hashes: HashSuite, manifest: Manifest, modules: ModuleSet, tip_ms: int):
        self._store = store
        self._hashes = hashes
        self._network = network_id(manifest)
        self._modules = modules
        self._body: Any = codec.decoder(Body[modules.message_type])  # type: ignore[name-defined]
        self._tip_ms = tip_ms
        mark = store.get(b"mpruned")
        self.pruned_below = 0 if mark is None else int.from_bytes(mark, "big")
        self._stored = store.scan(b"t")
        self._next = next(self._stored, None)
        self._keys = Keys(store, hashes, manifest.founders)
        self.ids: dict[int, list[tuple[int, bytes]]] = {}       # minute -> (height, ids joined)
        self.count = self.pruned = self.signatures = 0
        self.unverified = 0            # signatures of keys that are nowhere any more

    def check(self, block: Block, found: list[Found]) -> None:
        where = f"block {block.height}"
        executed = [one for one in found if one.kind == LeafKind.TX]
        self.count += len(executed)
        raws = self._raws_of(block.height, where)
        if raws is None:
            if executed and block.height >= self.pruned_below:
                raise Lie(FsckCode.TRANSACTION_LIES, f"{where}: the bytes of its transactions are gone")
            self.pruned += len(executed)
            return
        if block.height < self.pruned_below:
            raise Lie(FsckCode.TRANSACTION_LIES, f"{where}: its transactions were pruned, and have bytes")
        same(len(raws), len(executed), FsckCode.TRANSACTION_LIES,
             f"{where}: has {len(executed)} transactions and bytes of {len(raws)}")
        by_minute: dict[int, list[bytes]] = {}
        for raw, one in zip(raws, executed, strict=True):
            minute = self._check_one(raw, one, block.time_ms, f"{where} leaf {one.index}")
            if (minute + 1) * MS_PER_MINUTE > self._tip_ms:
                by_minute.setdefault(minute, []).append(one.tx_id[:ID_BYTES])
        for minute, ids in by_minute.items():
            self.ids.setdefault(minute, []).append((block.height, b"".join(ids)))

    def _raws_of(self, height: int, where: str) -> Raws | None:
        if self._next is None or self._next[0][1:] != height.to_bytes(8, "big"):
            return None
        raws: Raws = read(self._next[1], Raws, f"{where}: transactions")
        self._next = next(self._stored, None)
        return raws

    def check_end(self, tip_height: int) -> None:
        """No bytes are left over, and none were pruned that are still to come."""
        same(self.pruned_below <= tip_height, True, FsckCode.TRANSACTION_LIES,
             f"transactions below height {self.pruned_below} are said to be pruned; the tip is at {tip_height}")
        if self._next is not None:
            raise Lie(FsckCode.TRANSACTION_LIES, f"transactions {self._next[0].hex()}: their bytes are of no block")

    def _check_one(self, raw: bytes, one: Found, time_ms: int, where: str) -> int:
        """Returns the minute of its expiry."""
        same(self._hashes.digest(raw), one.full_hash, FsckCode.TRANSACTION_LIES,
             f"{where}: its bytes have another hash")
        try:
            outer: Transaction = codec.decode(raw, Transaction)
            body: Any = codec.decode_by(self._body, outer.body)
        except NotUnderstood as error:
            raise Lie(FsckCode.TRANSACTION_LIES, f"{where}: {error.detail}") from None
        same(body.network, self._network, FsckCode.TRANSACTION_LIES, f"{where}: is of another network")
        same(tagged(self._hashes, "xinglin/txid/1", outer.body), one.tx_id, FsckCode.EVENTS_LIE,
             f"{where}: its events name another transaction")
        specs = [self._modules.messages[type(message)] for message in body.messages]
        same(tuple([spec.tag for spec in specs]), one.tags, FsckCode.EVENTS_LIE,
             f"{where}: its events name other messages")
        window = TX_LONG_WINDOW_MS if all([spec.long_window for spec in specs]) else TX_WINDOW_MS
        if not time_ms < body.expires_at_ms <= time_ms + window:
            raise Lie(FsckCode.TRANSACTION_LIES, f"{where}: was executed outside its window")
        self._check_signatures(outer, body, specs, where)
        if len(one.events) > 1:        # not refused
            self._keys.take(body.messages, specs, one.events[1:])
        return int(body.expires_at_ms) // MS_PER_MINUTE

    def _check_signatures(self, outer: Transaction, body: Any, specs: list[Any], where: str) -> None:
        own = list(dict.fromkeys([getattr(message, field) for message, spec in zip(body.messages, specs, strict=True)
                                  for field in spec.signed_by]))
        coming = [new for message, spec in zip(body.messages, specs, strict=True)
                  if (new := brought(self._hashes, message, spec))]
        within = {(new.account, new.id): new.key for new in coming if not new.apart}
        apart = [new for new in coming if new.apart]
        if ([signer.account for signer in body.signers] != [*own, *[new.account for new in apart]]
                or len(outer.signatures) != len(body.signers)
                or within.keys() - {(signer.account, signer.key) for signer in body.signers[:len(own)]}):
            raise Lie(FsckCode.SIGNATURE_LIES, f"{where}: is not signed by whom it needs")
        signed = SIGN_DOMAIN + outer.body
        for at, (signer, signature) in enumerate(zip(body.signers, outer.signatures, strict=True)):
            known: Key | None
            if at < len(own):
                known = self._keys.find(signer.account, signer.key) or within.get((signer.account, signer.key))
            else:                      # each key that is brought apart signs, in the order in which they are brought
                new = apart[at - len(own)]
                known = new.key if new.id == signer.key else None
            if known is None and at < len(own) and self.pruned_below and self._keys.gave_up_some(signer.account):
                self.unverified += 1   # what brought it may be pruned
                continue
            if known is None:
                raise Lie(FsckCode.SIGNATURE_LIES, f"{where}: account {signer.account.hex()} has no such key")
            try:
                verify(known.suite, known.public, signed, signature)
            except SignatureInvalid:
                raise Lie(FsckCode.SIGNATURE_LIES, f"{where}: account {signer.account.hex()} did not sign it") from None
            self.signatures += 1
