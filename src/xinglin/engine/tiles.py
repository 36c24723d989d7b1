"""The history as C2SP tlog-tiles: which files there are in a tree of some size, and where each of them stands.

    checkpoint                   the published note
    tile/<level>/<index>         256 hashes; index in groups of three digits, x001/x234/067
    tile/<level>/<index>.p/<w>   the last w hashes of a level, fewer than 256

Entries are for members and have no file here: a hash of a leaf tells nothing of it, since leaves hold random ids
and salted commitments.

Source  C2SP tlog-tiles
"""

from collections.abc import Iterator
from typing import NamedTuple

from xinglin.engine.history import TILE


class Tile(NamedTuple):
    level: int
    index: int  # type: ignore[assignment]  # nobody misses the tuple's own
    width: int

    @property
    def path(self) -> str:
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[at:at + 3] for at in range(0, len(digits), 3)]
        name = "/".join([*[f"x{part}" for part in parts[:-1]], parts[-1]])
        return f"tile/{self.level}/{name}" + ("" if self.width == TILE else f".p/{self.width}")


def tiles_of(size: int, since: int = 0) -> Iterator[Tile]:
    """All tiles of a tree of `size` leaves that one of `since` leaves has not."""
    level = 0
    while size:
        for index in range(since // TILE, size // TILE):
            yield Tile(level, index, TILE)
        if size % TILE:
            yield Tile(level, size // TILE, size % TILE)
        size, since, level = size // TILE, since // TILE, level + 1


__all__ = ["Tile", "tiles_of"]
