"""Good proof files of a chain at many heights, and what may be done to one: by a seed, so that a number is a mutant.

A mutant is spoilt in its structure (parts of two good files mixed, paths longer, shorter and in another order, indexes
off by one, lists with one entry left out) or in its bytes. Most mutants of the second kind say nothing any more; so the
first kind is drawn more often.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, get_args

from msgspec import structs

from mutations import mutated
from worlds import CHECKPOINT, CHECKPOINT_KEY, World, content, key_named
from xinglin.base import codec, note, sparse
from xinglin.base.check import NotUnderstood, ProofInvalid
from xinglin.base.ids import NO_HASH
from xinglin.client.verify import Completeness
from xinglin.kernel.executor import Applied
from xinglin.kernel.outcome import LeafKind
from xinglin.kernel.receipt import InHistory, Receipt, StateProof
from xinglin.modules import access

File = Receipt | StateProof | Completeness


class Archive(World):
    """A world that keeps every receipt, and at every few heights proofs of rows, of absences and of whole logs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.receipts: list[Receipt] = []
        self.rows: list[StateProof] = []
        self.complete: list[Completeness] = []
        self.states: dict[int, dict[bytes, bytes]] = {}      # height -> rows by store key

    def block(self, *raws: bytes, after_ms: int = 1_000) -> Applied:
        applied = super().block(*raws, after_ms=after_ms)
        if applied.appended is None:
            return applied
        self.receipts += [self.receipt(applied, number) for number in range(len(applied.outcomes))]
        self.states[applied.height] = dict(self.ledger.rows)
        if applied.height % 2 == 0:
            self._prove(applied)
        return applied

    def _prove(self, applied: Applied) -> None:
        for table in self.modules.tables.values():
            keys = [*self.ledger.all_rows(table)]
            for key in keys[:2] + keys[-1:]:
                self.rows.append(self.state_proof(applied, table, *key))
            if table.width:
                self.rows.append(self.state_proof(applied, table, *table.decode_key(b"\xa5" * table.width)))
        for key, row in self.ledger.all_rows(access.LOG).items():
            entries = self.entries(key[0])
            assert row.count == len(entries)
            self.complete.append(Completeness(entries=entries, log=self.state_proof(applied, access.LOG, *key)))

    def entries(self, subject: bytes) -> tuple[bytes, ...]:
        found = [event for kind in get_args(access.Entry) for event in self.events(kind) if event.subject == subject]
        return tuple(codec.encode(event) for event in sorted(found, key=lambda event: event.number))

    @property
    def files(self) -> list[File]:
        return [*self.receipts, *self.rows, *self.complete]


class Spoiler:
    """The mutant of a number, of one archive."""

    def __init__(self, archive: Archive, other: Archive):
        self.archive = archive
        self.other = other                      # another network, whose files are good there
        self.by_kind: dict[type, list[Any]] = {Receipt: archive.receipts, StateProof: archive.rows,
                                               Completeness: archive.complete}
        self.raws = [codec.encode(file) for file in archive.files]
        self.good = frozenset(self.raws)

    def mutant(self, number: int) -> bytes:
        """Never one of the good files: what came out as it went in is drawn again."""
        chance = random.Random(number)
        data = self._drawn(chance)
        while data in self.good:
            data = self._drawn(chance)
        return data

    def _drawn(self, chance: random.Random) -> bytes:
        if chance.random() < 0.25:
            return mutated(chance, [chance.choice(self.raws) for _ in range(3)])
        file = chance.choice(self.by_kind[chance.choice((Receipt, Receipt, StateProof, StateProof, Completeness))])
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            try:
                file = self.spoilt(chance, file)
            except (NotUnderstood, ProofInvalid):
                break                           # spoilt already where this way needs it whole
        return codec.encode(file)

    def spoilt(self, chance: random.Random, file: File) -> File:
        like = chance.choice(self.by_kind[type(file)])
        if isinstance(file, Receipt):
            return self._receipt(chance, file, like)
        if isinstance(file, StateProof):
            return self._state(chance, file, like)
        return self._complete(chance, file, like)

    def _receipt(self, chance: random.Random, file: Receipt, like: Receipt) -> Receipt:
        match chance.randrange(8):
            case 0:
                return _with_part_of(chance, file, like, ("checkpoint", "outcome", "closing", "events"))
            case 1:
                return structs.replace(file, outcome=file.closing, closing=file.outcome)
            case 2:
                return structs.replace(file, outcome=_leaf(chance, file.outcome, like.outcome))
            case 3:
                return structs.replace(file, closing=_leaf(chance, file.closing, like.closing))
            case 4:
                return structs.replace(file, events=self._events(chance, file.events, like.events))
            case 5:
                return structs.replace(file, checkpoint=self._note(chance, file.checkpoint, like.checkpoint))
            case 6:
                return structs.replace(file, outcome=chance.choice((file.closing, like.closing)))
            case _:
                return structs.replace(file, manifest=self._manifest(chance, file.manifest))

    def _state(self, chance: random.Random, file: StateProof, like: StateProof) -> StateProof:
        match chance.randrange(9):
            case 0:
                return _with_part_of(chance, file, like, ("checkpoint", "closing", "table", "key", "row", "proof"))
            case 1:
                return structs.replace(file, row=None if file.row is not None else like.row or b"\x90")
            case 2 if file.row is not None:
                return structs.replace(file, row=mutated(chance, [file.row, like.row or b"\x90"]))
            case 3:
                return structs.replace(file, key=_flipped(chance, file.key))
            case 4:
                return structs.replace(file, table=chance.choice((*self.archive.modules.tables, "members/member", "")))
            case 5:
                return structs.replace(file, closing=_leaf(chance, file.closing, like.closing))
            case 6:
                return structs.replace(file, checkpoint=self._note(chance, file.checkpoint, like.checkpoint))
            case 7:
                return structs.replace(file, manifest=self._manifest(chance, file.manifest))
            case _:
                return structs.replace(file, proof=_sparse(chance, file.proof, like.proof))

    def _complete(self, chance: random.Random, file: Completeness, like: Completeness) -> Completeness:
        entries = list(file.entries or like.entries)
        at = chance.randrange(len(entries))
        match chance.randrange(8):
            case 0:
                del entries[at]
            case 1:
                entries.insert(at, entries[chance.randrange(len(entries))])
            case 2:
                other = chance.randrange(len(entries))
                entries[at], entries[other] = entries[other], entries[at]
            case 3:
                entries[at] = mutated(chance, [entries[at], chance.choice(like.entries)])
            case 4:
                entries[at] = chance.choice(like.entries)
            case 5:
                entries.append(chance.choice(like.entries))
            case 6:
                return structs.replace(file, log=like.log)
            case _:
                return structs.replace(file, log=self._state(chance, file.log, like.log))
        return structs.replace(file, entries=tuple(entries))

    def _events(self, chance: random.Random, events: bytes, like: bytes) -> bytes:
        values = list(codec.decode(events, self.archive.modules.events_type))
        match chance.randrange(5):
            case 0:
                del values[chance.randrange(len(values))]
            case 1:
                values.append(chance.choice(values))
            case 2:
                values.reverse()
            case 3:
                values += codec.decode(like, self.archive.modules.events_type)[1:]
            case _:
                return mutated(chance, [events, like])
        return codec.encode(tuple(values))

    def _note(self, chance: random.Random, data: bytes, like: bytes) -> bytes:
        """Never a line by a key that nobody knows, which the format asks to be left aside."""
        text, _, signature = data.partition(b"\n\n")
        said = note.open_checkpoint(data, [CHECKPOINT_KEY])[0]
        match chance.randrange(9):
            case 0:
                return like.partition(b"\n\n")[0] + b"\n\n" + signature
            case 1:
                return text.replace(str(said.size).encode(), str(said.size + chance.choice((-1, 1))).encode(), 1) \
                    + b"\n\n" + signature
            case 2:
                return note.sign(said, "operator", key_named("thief"))
            case 3:
                return note.sign(said._replace(origin=said.origin + "x"), "operator", CHECKPOINT)
            case 4:
                return data + signature
            case 5:
                return data.replace(b"\n", b"\r\n")
            case 6:
                return text + b"\n\n"
            case 7:
                return note.sign(said, "somebody", CHECKPOINT)
            case _:
                return _flipped(chance, data)

    def _manifest(self, chance: random.Random, data: bytes) -> bytes:
        return chance.choice((codec.encode(self.other.manifest), _flipped(chance, data), data + b"\xc0", data[:-1]))


def _with_part_of(chance: random.Random, file: Any, like: Any, names: Sequence[str]) -> Any:
    name = chance.choice(names)
    return structs.replace(file, **{name: getattr(like, name)})


def _leaf(chance: random.Random, one: InHistory, like: InHistory) -> InHistory:
    match chance.randrange(6):
        case 0:
            return structs.replace(one, index=max(0, one.index + chance.choice((-1, 1, 2, 64))))
        case 1:
            return structs.replace(one, index=chance.choice((like.index, 0, 2**63 - 1)))
        case 2:
            return structs.replace(one, path=_path(chance, one.path, like.path))
        case 3:
            return structs.replace(one, leaf=like.leaf)
        case 4:
            return structs.replace(one, leaf=mutated(chance, [one.leaf, like.leaf]))
        case _:
            kind = chance.choice(tuple(LeafKind))
            return structs.replace(one, leaf=one.leaf[:1] + bytes([kind]) + one.leaf[2:])


def _path(chance: random.Random, path: tuple[bytes, ...], like: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Another list of hashes: longer, shorter, in another order, or one of another file."""
    changed = list(path)
    extra = chance.choice((NO_HASH, content(str(chance.random())), *path, *like))
    where = chance.randrange(len(path) + 1)
    if not path:
        return (extra,)
    at, other = chance.randrange(len(path)), chance.randrange(len(path))
    ways: tuple[Callable[[], object], ...] = (
        lambda: changed.__delitem__(at), lambda: changed.insert(where, extra), changed.reverse,
        lambda: changed.__setitem__(at, _flipped(chance, changed[at])), lambda: changed.__setitem__(at, extra),
        lambda: changed.__setitem__(at, path[other]), lambda: changed.append(extra),
        lambda: changed.__setitem__(slice(None), like))
    chance.choice(ways)()
    return tuple(changed)


def _sparse(chance: random.Random, proof: sparse.StateProof, like: sparse.StateProof) -> sparse.StateProof:
    if chance.random() < 0.7:
        return structs.replace(proof, siblings=_path(chance, proof.siblings, like.siblings)[:sparse.PATH_BITS])
    made_up = (content(str(chance.random())), content("row"))
    others = (None, like.other, made_up, proof.other and (proof.other[1], proof.other[0]),
              proof.other and (_flipped(chance, proof.other[0]), proof.other[1]))
    return structs.replace(proof, other=chance.choice(others))


def _flipped(chance: random.Random, data: bytes) -> bytes:
    if not data:
        return b"\x00"
    changed = bytearray(data)
    changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)
