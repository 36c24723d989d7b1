"""What is found by something else than its place: transaction ids, ids that events are about, executed ids.

Every entry that the blocks ask for is looked up; that there are no others, the counts say, and where they differ
the entry that is of nothing is sought.
"""

from collections.abc import Sequence
from typing import Any

from xinglin.base import codec
from xinglin.engine.store import Store
from xinglin.fsck.codes import FsckCode, Lie
from xinglin.fsck.formats import ID_BYTES, PLACE, Block, Found, read, same
from xinglin.kernel.module import ModuleSet
from xinglin.kernel.outcome import Envelope


class Indexes:
    """Goes along with the blocks."""

    def __init__(self, store: Store, modules: ModuleSet):
        self._store = store
        self._events = codec.decoder(modules.events_type)
        self._ids = self._abouts = 0

    def check(self, found: list[Found]) -> None:
        for one in found:
            where = f"block {one.height} leaf {one.index}"
            if one.tx_id:
                self._ids += 1
                same(self._store.get(b"x" + one.tx_id[:ID_BYTES]), one.place, FsckCode.INDEX_LIES,
                     f"{where}: its transaction is not found by its id, or was executed twice")
            for about in _abouts(one.events):
                self._abouts += 1
                same(self._store.get(b"a" + about + one.place), b"", FsckCode.INDEX_LIES,
                     f"{where}: is not found by {about.hex()}")

    def check_end(self) -> None:
        if self._count(b"x") != self._ids:
            for key, place in self._store.scan(b"x"):
                self._require(key, place, [one.tx_id[:ID_BYTES] for one in self._events_at(place)
                                           if isinstance(one, Envelope)], key[1:])
        if self._count(b"a") != self._abouts:
            for key, _ in self._store.scan(b"a"):
                self._require(key, key[17:], _abouts(self._events_at(key[17:])), key[1:17])

    def _count(self, family: bytes) -> int:
        return sum(1 for _ in self._store.scan(family))

    def _require(self, key: bytes, place: bytes, known: Sequence[bytes], some_id: bytes) -> None:
        if some_id not in known:
            raise Lie(FsckCode.INDEX_LIES, f"index entry {key.hex()}: is of no outcome")

    def _events_at(self, place: bytes) -> tuple[Any, ...]:
        """Of the outcome at this place; none when there is no such place. The blocks have been read before."""
        if len(place) != PLACE.size:
            return ()
        height, index = PLACE.unpack(place)
        data = self._store.get(b"k" + height.to_bytes(8, "big"))
        if data is None:
            return ()
        block: Block = read(data, Block, f"block {height}")
        found: tuple[Any, ...] = codec.decode_by(self._events, block.events[index]) if index < len(block.events) else ()
        return found


def _abouts(events: tuple[Any, ...]) -> list[bytes]:
    """The ids that an outcome is found by, each once."""
    return list(dict.fromkeys([getattr(event, name) for event in events for name in event.about]))


def check_executed(store: Store, ids: dict[int, list[tuple[int, bytes]]]) -> None:
    """The ids that may still be replayed: a row for each minute and block, and no other."""
    wanted = {b"r" + minute.to_bytes(4, "big") + height.to_bytes(8, "big"): joined
              for minute, rows in ids.items() for height, joined in rows}
    for key, joined in store.scan(b"r"):
        same(joined, wanted.pop(key, None), FsckCode.REPLAY_IDS_LIE,
             f"executed ids {key.hex()}: are not those of that block")
    for key in wanted:
        raise Lie(FsckCode.REPLAY_IDS_LIE, f"executed ids {key.hex()}: are missing")
