"""Good files of every kind from a small world in memory, and lies that its operator could sign: always the same."""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import ValidationError, msgpack, structs

from mutations import altered, proof_mutants
from worlds import CHECKPOINT, CHECKPOINT_KEY, World, key_named, named
from xinglin.base import cbor, codec, note, sparse
from xinglin.base.check import NotUnderstood, NotVerified, ProofInvalid
from xinglin.base.crypto import SHA256, tagged
from xinglin.base.history import inclusion_root, leaf_hash, tree
from xinglin.base.note import Checkpoint, KeyUse, NoteKey
from xinglin.base.policy import Policy, read_policy
from xinglin.client import Completeness
from xinglin.kernel import receipt_cose
from xinglin.kernel.executor import Applied
from xinglin.kernel.genesis import Manifest, chain_id
from xinglin.kernel.outcome import Closing, Leaf, LeafKind, events_hash
from xinglin.kernel.receipt import InHistory, Receipt, StateProof, origin
from xinglin.modules import access

SUCCESSOR = key_named("checkpoint of another year")
SUCCESSOR_KEY = NoteKey("operator", KeyUse.LOG, SUCCESSOR.public)
WITNESSES = {name: key_named(f"witness {name}") for name in ("a", "b", "c")}


class Case(NamedTuple):
    """A file, the name of the policy to verify it under, if any, and the network that is pinned, if not the usual."""

    file: bytes
    policy: str | None = None
    network: bytes | None = None


class Recording(World):
    """Remembers its blocks."""

    def __init__(self) -> None:
        self.blocks: list[Applied] = []
        super().__init__()

    def block(self, *raws: bytes, after_ms: int = 1_000) -> Applied:
        applied = super().block(*raws, after_ms=after_ms)
        if applied.appended is not None:
            self.blocks.append(applied)
        return applied


def policy_texts() -> dict[str, str]:
    lines = [f"witness {name} {NoteKey(f'{name}.example/w', KeyUse.WITNESS, key.public).text()}"
             for name, key in WITNESSES.items()]
    witnesses = "".join(f"{line}\n" for line in lines)
    return {"two-of-three": witnesses + "group all 2 a b c\nquorum all\n",
            "all": "# everyone\n" + witnesses + "group some any a\tb\ngroup all all some c\nquorum all\n",
            "nobody": witnesses + "quorum none\n",
            "successor": f"log {SUCCESSOR_KEY.text()}\n" + witnesses + "group all 2 a b c\nquorum all\n"}


class ProofFiles:
    """`good` by name; `mutants` and `lies` without end."""

    def __init__(self) -> None:
        self.world = Recording().eventful()
        self.network = self.world.network
        self.manifest = codec.encode(self.world.manifest)
        self.texts = policy_texts()
        self.policies: dict[str, Policy] = {name: read_policy(text.encode()) for name, text in self.texts.items()}
        self.leaves = [leaf for block in self.world.blocks
                       for leaf in (*[outcome.leaf for outcome in block.outcomes], block.closing)]
        self.log = tree(SHA256, self.leaves)
        self.good = dict(self._good())
        self.seeds = [case.file for case in self.good.values()]

    # -- good ones

    def _good(self) -> Iterator[tuple[str, Case]]:
        world = self.world
        for at, block in enumerate(world.blocks):
            receipt = world.receipt(block, len(block.outcomes) - 1)
            yield f"receipt {at}", Case(codec.encode(receipt))
            yield f"cose {at}", Case(receipt_cose.write(receipt, CHECKPOINT_KEY, CHECKPOINT.sign))
        last = world.blocks[-1]
        for name, table in world.modules.tables.items():
            keys = [at[len(table.store_prefix):] for at in world.ledger.rows if at.startswith(table.store_prefix)]
            if keys:
                yield f"row of {name}", Case(codec.encode(self.proof(last, name, min(keys))))
            for number in range(4):
                key = random.Random(f"{name} {number}").randbytes(table.width)
                if key not in keys:
                    yield f"absence in {name} {number}", Case(codec.encode(self.proof(last, name, key)))
        for subject in ("mei", "zhao"):
            yield f"completeness of {subject}", Case(codec.encode(Completeness(
                entries=self.entries(named(subject)), log=self.proof(last, "access/log", named(subject)))))
        yield from self._cosigned(last)

    def proof(self, applied: Applied, table: str, key: bytes) -> StateProof:
        found = self.world.modules.tables[table]
        return self.world.state_proof(applied, found, *found.decode_key(key))

    def entries(self, subject: bytes) -> tuple[bytes, ...]:
        return tuple([codec.encode(event) for result in self.world.history for event in result.events
                      if isinstance(event, access.Entry) and event.subject == subject])

    def _cosigned(self, last: Applied) -> Iterator[tuple[str, Case]]:
        """A receipt of the first block, and what the newest checkpoint makes of it, by whoever signed that."""
        old = self.world.receipt(self.world.blocks[0], 0)
        yield "not cosigned", Case(codec.encode(old), "two-of-three")
        for signer, key in (("operator", CHECKPOINT), ("successor", SUCCESSOR)):
            for names in ("", "a", "ab", "bc", "ac", "abc"):
                upgraded = self.upgraded(old, self.note(key) + b"".join(self.cosigned(name) for name in names))
                for policy in (None, *self.texts):
                    yield f"{signer} {names} {policy}", Case(codec.encode(upgraded), policy)
        proof = structs.replace(self.proof(last, "consent/grants", named("mei") + named("B")),
                                checkpoint=self.note(CHECKPOINT) + self.cosigned("a") + self.cosigned("c"))
        for policy in self.texts:
            yield f"cosigned row {policy}", Case(codec.encode(proof), policy)
        for name, key in (("operator", CHECKPOINT), ("successor", SUCCESSOR)):
            signed_by = CHECKPOINT_KEY._replace(key=key.public)
            for policy in (None, *self.texts):
                yield f"cose by {name} {policy}", Case(receipt_cose.write(old, signed_by, key.sign), policy)

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(origin(chain_id(self.world.manifest)), self.log.size, self.log.root)

    def note(self, key: Any) -> bytes:
        return note.sign(self.checkpoint(), "operator", key)

    def cosigned(self, name: str) -> bytes:
        return note.cosign(self.checkpoint(), f"{name}.example/w", WITNESSES[name], 1_700_000_000 + ord(name))

    def upgraded(self, old: Receipt, checkpoint: bytes) -> Receipt:
        """The same leaves under the newest tree."""
        outcome, closing = [structs.replace(place, path=tuple(self.log.path(place.index)))
                            for place in (old.outcome, old.closing)]
        return structs.replace(old, checkpoint=checkpoint, outcome=outcome, closing=closing)

    # -- bad ones

    def crooked(self) -> dict[str, Case]:
        """Each holds but for one rule, which neither chance nor a bit would find."""
        old = self.world.receipt(self.world.blocks[0], 0)
        cosigned = self.note(CHECKPOINT) + self.cosigned("a") + self.cosigned("b")
        late = note.cosign(self.checkpoint(), "b.example/w", WITNESSES["b"], 2**63)
        once_more = self.note(CHECKPOINT).partition(b"\n\n")[2]
        notes = {"a signature twice": cosigned + once_more,
                 "a cosignature twice": cosigned + self.cosigned("b"),
                 "a cosignature after the end of time": self.note(CHECKPOINT) + self.cosigned("a") + late,
                 "a cosignature of another's name": self.note(CHECKPOINT) + self.cosigned("a") + note.cosign(
                     self.checkpoint(), "b.example/w", WITNESSES["c"], 1)}
        found = {name: Case(codec.encode(self.upgraded(old, said)), "two-of-three") for name, said in notes.items()}
        found |= {f"a size of {size}": Case(codec.encode(structs.replace(old, checkpoint=self._of_size(old, size))))
                  for size in ("02", "9223372036854775808", "18446744073709551618", "-2", "2.0", "")}
        found["a block under other rules"] = Case(codec.encode(self._under_other_rules(old)))
        found["a history of 2^63 leaves"] = Case(codec.encode(self._long_history(old, 2**63)))
        return found | self._crooked_rows() | self._crooked_cose(old)

    def _under_other_rules(self, receipt: Receipt) -> Receipt:
        closing = structs.replace(codec.decode(receipt.closing.leaf, Closing), module_set=SHA256.digest(b"other rules"))
        leaves = [receipt.outcome.leaf, codec.encode(closing)]
        log = tree(SHA256, leaves)
        outcome, closed = [InHistory(leaf=leaf, index=at, path=tuple(log.path(at))) for at, leaf in enumerate(leaves)]
        return structs.replace(receipt, outcome=outcome, closing=closed, checkpoint=self._signed(2, log.root))

    def _long_history(self, receipt: Receipt, size: int) -> Receipt:
        """Its last two leaves; what stands before them are any 62 hashes."""
        leaves = [receipt.outcome.leaf, receipt.closing.leaf]
        hashed = [leaf_hash(SHA256, leaf) for leaf in leaves]
        before = tuple([SHA256.digest(b"%d" % at) for at in range(62)])
        places = [InHistory(leaf=leaf, index=size - 2 + at, path=(hashed[1 - at], *before))
                  for at, leaf in enumerate(leaves)]
        root = inclusion_root(SHA256, hashed[1], size - 1, size, places[1].path)
        return structs.replace(receipt, outcome=places[0], closing=places[1], checkpoint=self._signed(size, root))

    def _of_size(self, receipt: Receipt, size: str) -> bytes:
        said = note.read_checkpoint(receipt.checkpoint)
        text = said.text().replace(f"\n{said.size}\n".encode(), f"\n{size}\n".encode())
        line = note._line(CHECKPOINT_KEY, CHECKPOINT.sign(text))
        return text + b"\n" + line

    def _crooked_rows(self) -> dict[str, Case]:
        last = self.world.blocks[-1]
        there = self.proof(last, "consent/grants", named("mei") + named("B"))
        assert there.row is not None
        path = sparse.path_of(SHA256, there.table, there.key)
        itself, siblings = (path, SHA256.digest(there.row)), there.proof.siblings
        other = next(case for case in (self.proof(last, "consent/grants", bytes((number,)) * 32)
                                       for number in range(256)) if case.proof.other is not None)
        assert other.proof.other is not None
        off = bytes((other.proof.other[0][0] ^ 0x80,)) + other.proof.other[0][1:]

        def case(of: StateProof, **changes: Any) -> Case:
            proof = structs.replace(of.proof, **{name: changes.pop(name) for name in ("siblings", "other")
                                                 if name in changes})
            return Case(codec.encode(structs.replace(of, proof=proof, **changes)))
        return {"a row that is absent because it is there": case(there, row=None, other=itself),
                "a row that is simply left out": case(there, row=None),
                "a presence that names a leaf": case(there, other=itself),
                "a presence that names another": case(there, other=other.proof.other),
                "a last sibling that is empty": case(there, siblings=(*siblings, bytes(32))),
                "a sibling too few": case(there, siblings=siblings[:-1]),
                "an absence off the path": case(other, other=(off, other.proof.other[1])),
                "an absence without the leaf": case(other, other=None),
                "an empty row": case(other, row=b""),
                "a leaf that stands lower than it must": Case(codec.encode(self._low_leaf(there)))}

    def _low_leaf(self, of: StateProof) -> StateProof:
        """The state's only leaf, below a node whose other side is empty: an operator can sign such a root."""
        assert of.row is not None
        path = sparse.path_of(SHA256, of.table, of.key)
        leaf = sparse.leaf_hash(SHA256, path, SHA256.digest(of.row))
        pair = (bytes(32), leaf) if path[0] & 0x80 else (leaf, bytes(32))
        made = self._state_at(of.table, of.key, of.row, 10**12, sparse.node_hash(SHA256, *pair))
        return structs.replace(made, proof=sparse.StateProof(siblings=(bytes(32),), other=None))

    def _crooked_cose(self, old: Receipt) -> dict[str, Case]:
        """A path leads to the same root from the same place of a tree of another size."""
        old = self.world.receipt(self.world.blocks[2], 0)
        size, good = note.read_checkpoint(old.checkpoint).size, receipt_cose.write(old, CHECKPOINT_KEY, CHECKPOINT.sign)
        found = {}
        for name, place in (("outcome", old.outcome), ("closing", old.closing)):
            path = cbor.array(*[cbor.string(step) for step in place.path])
            proof = cbor.string(cbor.array(cbor.integer(size), cbor.integer(place.index), path))
            for at in range(1, 24):
                resized = cbor.string(cbor.array(cbor.integer(at), cbor.integer(place.index), path))
                if at != size and len(resized) == len(proof):
                    found[f"a {name} that says {at}"] = Case(good.replace(proof, resized))
                for index in range(at):
                    moved = cbor.string(cbor.array(cbor.integer(at), cbor.integer(index), path))
                    if moved != proof and len(moved) == len(proof) and self._leads(place, index, at):
                        found[f"a {name} at {index} of {at}"] = Case(good.replace(proof, moved))
        assert good.count(proof) == 1 and found
        return found

    def _leads(self, place: InHistory, index: int, size: int) -> bool:
        try:
            root = inclusion_root(SHA256, leaf_hash(SHA256, place.leaf), index, size, place.path)
            own = inclusion_root(SHA256, leaf_hash(SHA256, place.leaf), place.index, self._size_of(place), place.path)
        except ProofInvalid:
            return False
        return root == own

    def _size_of(self, place: InHistory) -> int:
        """Of the tree that ends with the block of this place."""
        return next(block.appended.size for block in self.world.blocks
                    if block.appended is not None and block.appended.size > place.index)

    def mutants(self, first: int, count: int) -> Iterator[Case]:
        cases = list(self.good.values())
        for number, data in enumerate(proof_mutants(self.seeds, first, count), start=first):
            chance = random.Random(f"policy {number}")
            yield Case(data, chance.choice([None, None, chance.choice(cases).policy]))

    def lies(self, first: int, count: int) -> Iterator[Case]:
        """Files whose signatures and paths all hold, over content that the operator made up."""
        for number in range(first, first + count):
            chance = random.Random(f"lie {number}")
            make = (self._lying_receipt, self._lying_receipt, self._lying_row, self._lying_list, self._odd_network)
            yield make[number % len(make)](chance)

    def _lying_receipt(self, chance: random.Random) -> Case:
        block = chance.choice(self.world.blocks)
        outcome = chance.choice(block.outcomes)
        events, leaf, closing = outcome.events, outcome.leaf, block.closing
        match chance.randrange(4):
            case 0 | 1:
                events = changed(chance, events)
            case 2:
                leaf = changed(chance, leaf)
            case 3:
                closing = changed(chance, closing)
        leaf = self._telling(leaf, events)
        leaves = [leaf, closing] if chance.random() < 0.9 else [closing, leaf]
        log = tree(SHA256, leaves)
        places = [InHistory(leaf=one, index=leaves.index(one), path=tuple(log.path(leaves.index(one))))
                  for one in (leaf, closing)]
        receipt = Receipt(manifest=self.manifest, checkpoint=self._signed(2, log.root), outcome=places[0],
                          closing=places[1], events=events)
        if chance.random() < 0.4:
            return Case(receipt_cose.write(receipt, CHECKPOINT_KEY, CHECKPOINT.sign))
        return Case(codec.encode(receipt))

    def _odd_network(self, chance: random.Random) -> Case:
        """Pinned by someone who trusts this very manifest: is it one?"""
        manifest = changed(chance, self.manifest)
        network = tagged(SHA256, "xinglin/network/1", manifest)
        receipt = self.world.receipt(self.world.blocks[0], 0)
        try:
            chain = chain_id(codec.decode(manifest, Manifest))
        except (NotUnderstood, NotVerified):
            chain = "none"
        said = note.read_checkpoint(receipt.checkpoint)._replace(origin=origin(chain))
        return Case(codec.encode(structs.replace(receipt, manifest=manifest, checkpoint=note.sign(
            said, "operator", CHECKPOINT))), network=network)

    def _telling(self, leaf: bytes, events: bytes) -> bytes:
        """The leaf with the hash of these events, if it is one."""
        try:
            read = msgpack.decode(leaf, type=Leaf)
        except ValidationError:
            return leaf
        return codec.encode(structs.replace(read, events_hash=events_hash(SHA256, events)))

    def _lying_row(self, chance: random.Random) -> Case:
        name = chance.choice(list(self.world.modules.tables))
        table = self.world.modules.tables[name]
        keys = [at for at in self.world.ledger.rows if at.startswith(table.store_prefix)]
        at = chance.choice(keys) if keys else table.store_prefix + bytes(table.width)
        row = self.world.ledger.rows.get(at, b"\x90")
        if chance.random() < 0.9:
            row = changed(chance, row)
        return Case(codec.encode(self._state_of(chance, name, at[len(table.store_prefix):], row)))

    def _lying_list(self, chance: random.Random) -> Case:
        subject = named("mei")
        entries = [*self.entries(subject)]
        at = chance.randrange(len(entries))
        entries[at] = changed(chance, entries[at])
        if chance.random() < 0.2:
            entries = entries[:at] + entries[at + 1:]
        running = bytes(32)
        for one in entries:
            event = tagged(SHA256, "xinglin/event/1", one)
            running = tagged(SHA256, "xinglin/access-log/1", running, event)
        row = codec.encode(access.LogRow(count=len(entries), running=running))
        log = self._state_of(chance, "access/log", subject, row)
        return Case(codec.encode(Completeness(entries=tuple(entries), log=log)))

    def _state_of(self, chance: random.Random, table: str, key: bytes, row: bytes) -> StateProof:
        """A state of this one row."""
        path = sparse.path_of(SHA256, table, key)
        root = sparse.leaf_hash(SHA256, path, SHA256.digest(row))
        return self._state_at(table, key, row, chance.choice((0, 1, 2**63 - 1, 10**12)), root)

    def _state_at(self, table: str, key: bytes, row: bytes, time_ms: int, root: bytes) -> StateProof:
        closing = codec.encode(Closing(kind=LeafKind.CLOSING, height=1, time_ms=time_ms, state_root=root,
                                       module_set=self.world.manifest.module_set))
        log = tree(SHA256, [closing])
        return StateProof(manifest=self.manifest, checkpoint=self._signed(1, log.root), table=table, key=key, row=row,
                          closing=InHistory(leaf=closing, index=0, path=()),
                          proof=sparse.StateProof(siblings=(), other=None))

    def _signed(self, size: int, root: bytes) -> bytes:
        return note.sign(Checkpoint(origin(chain_id(self.world.manifest)), size, root), "operator", CHECKPOINT)


def changed(chance: random.Random, data: bytes) -> bytes:
    return msgpack.encode(altered(chance, msgpack.decode(data)))


__all__ = ["Case", "ProofFiles"]
