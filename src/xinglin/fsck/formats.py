"""What stands in a store, written down once more: a check must not read it with the writer's own types.

Source  docs/spec/store.md
"""

from struct import Struct as Packed
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import NotUnderstood
from xinglin.base.codec import Struct
from xinglin.base.ids import Hash
from xinglin.base.units import U63, Height, Index, Millis
from xinglin.engine.store import Store
from xinglin.fsck.codes import FsckCode, Lie

FAMILIES = b"abdhjkmprstx"
META_KEYS = (b"mmanifest", b"mpruned", b"mscrub", b"mtip")

TILE = 256                         # hashes in a tile of the history tree
HASH_BYTES = 32
ENTRY_BYTES = 64                   # of a bucket: path, row hash
ID_BYTES = 16
HEIGHT_BYTES = 8
JOURNAL_HEAD = Packed(">qIQ32s")   # height of the row before or -1, buckets, leaves, root
PLACE = Packed(">QI")              # height, index: where an outcome stands


class Peaks(Struct):
    """The roots of a history's complete subtrees, largest first."""

    size: U63
    peaks: Annotated[tuple[Hash, ...], Meta(max_length=63)]


class Tip(Struct):
    height: Height
    time_ms: Millis
    state_root: Hash
    app_hash: Hash
    history: Peaks


class Block(Struct, tag="xinglin.block/1"):
    height: Height
    time_ms: Millis
    first: Index
    leaves: tuple[bytes, ...]
    events: tuple[bytes, ...]
    closing: bytes
    checkpoint: bytes


class Published(Struct, tag="engine.published/1"):
    height: Height
    at_ms: Millis
    note: bytes


class ScrubPlace(Struct, tag="engine.scrub/1"):
    phase: Annotated[int, Meta(ge=0, le=1)]
    row: Annotated[bytes, Meta(max_length=512)]
    rows: U63
    counted: bool
    block: Height
    walks: U63
    height: Height


class Found(NamedTuple):
    """One outcome as its leaf and events tell it."""

    height: int
    index: int  # type: ignore[assignment]  # nobody misses the tuple's own
    kind: int
    full_hash: bytes
    tx_id: bytes                   # empty for a timer
    tags: tuple[str, ...]
    events: tuple[Any, ...]

    @property
    def place(self) -> bytes:
        return PLACE.pack(self.height, self.index)


def read(data: bytes, type_: Any, where: str) -> Any:
    """Errors  Lie ROW_NOT_UNDERSTOOD."""
    try:
        return codec.decode(data, type_)
    except NotUnderstood as error:
        raise Lie(FsckCode.ROW_NOT_UNDERSTOOD, f"{where}: {error.detail}") from None


def same(found: Any, wanted: Any, code: FsckCode, where: str) -> None:
    """Errors  Lie with `code`."""
    if found != wanted:
        raise Lie(code, where)


def check_families(store: Store, tip: Tip) -> None:
    """No key belongs to no one. Errors  Lie ROW_NOT_UNDERSTOOD, TIP_LIES."""
    start = b""
    while True:
        first = next(iter(store.scan(b"", start=start, limit=1)), None)
        if first is None:
            break
        if first[0][:1] not in [bytes((one,)) for one in FAMILIES]:
            raise Lie(FsckCode.ROW_NOT_UNDERSTOOD, f"key {first[0].hex()}: is of no family")
        start = bytes((first[0][0] + 1,))
    for key, data in store.scan(b"m"):
        if key not in META_KEYS:
            raise Lie(FsckCode.ROW_NOT_UNDERSTOOD, f"key {key.hex()}: is none that a ledger has")
        if key == b"mpruned" and len(data) != HEIGHT_BYTES:
            raise Lie(FsckCode.ROW_NOT_UNDERSTOOD, f"key {key.hex()}: is cut")
        if key == b"mscrub":
            place: ScrubPlace = read(data, ScrubPlace, f"key {key.hex()}")
            if not place.block <= place.height <= tip.height:
                raise Lie(FsckCode.TIP_LIES, f"the scrubber was at block {place.block}; the tip is at {tip.height}")
