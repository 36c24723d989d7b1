"""A log that grows in memory, an operator that signs what it likes, and witnesses of it."""

from collections.abc import Sequence
from pathlib import Path

from worlds import key_named
from xinglin.base import note
from xinglin.base.crypto import SHA256, SigningKey
from xinglin.base.history import consistency_path, leaf_hash, node_hash, tree
from xinglin.base.note import Checkpoint, KeyUse, NoteKey
from xinglin.witness.kept import Witness
from xinglin.witness.protocol import write_request

ORIGIN = "xinglin/city-0011223344556677"
NOW_S = 1_700_000_000


class GrowingLog:
    """`history` tells two logs of one operator apart."""

    def __init__(self, history: str = "true", key: SigningKey | None = None):
        self.key = key or key_named("operator")
        self.history = history
        self.leaves: list[bytes] = []

    @property
    def named(self) -> NoteKey:
        return NoteKey("operator", KeyUse.LOG, self.key.public)

    def to(self, size: int, shared: int = 0) -> "GrowingLog":
        """Of `size` leaves, the first `shared` of them as in every history."""
        self.leaves = [f"{'true' if at < shared else self.history} {at}".encode() for at in range(size)]
        return self

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(ORIGIN, len(self.leaves), tree(SHA256, self.leaves).root)

    def note(self) -> bytes:
        return note.sign(self.checkpoint(), "operator", self.key)

    def proof(self, old: int) -> list[bytes]:
        hashed = [leaf_hash(SHA256, leaf) for leaf in self.leaves]

        def node(level: int, index: int) -> bytes:
            row = hashed[index << level:index + 1 << level]
            while len(row) > 1:
                row = [node_hash(SHA256, row[at], row[at + 1]) for at in range(0, len(row), 2)]
            return row[0]
        return consistency_path(SHA256, node, old, len(hashed))

    def request(self, old: int, path: Sequence[bytes] | None = None) -> bytes:
        return write_request(old, self.proof(old) if path is None else path, self.note())


def following(folder: Path, log: GrowingLog, name: str = "west.example/w") -> Witness:
    witness = Witness.open(folder, lambda: NOW_S, name)
    witness.follow(log.named, ORIGIN, SHA256)
    return witness
