"""Receipts and state proofs: what verifies, what each altered file is refused for, and that every bit counts."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec import structs

from mutations import single_bit_flips
from worlds import World, key_named, named
from xinglin.base import codec, note, sparse
from xinglin.base.check import NotVerified
from xinglin.base.history import Frontier, append, leaf_hash
from xinglin.base.note import Checkpoint
from xinglin.kernel import receipt
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.genesis import chain_id
from xinglin.kernel.outcome import Envelope, Leaf, TimerEnvelope
from xinglin.kernel.receipt import (
    InHistory,
    Receipt,
    StateProof,
    origin,
    read_file,
    verify_receipt,
    verify_state,
)
from xinglin.modules import access, consent


def asked() -> tuple[World, Receipt, StateProof, StateProof]:
    """A receipt of a request, and proofs of her grants to B and of none to A, all of one block."""
    world = World(founders=("A", "B")).furnished()
    world.done(world.grant("mei", "B", "g1"))
    applied = world.block(world.transaction(world.request("B.doctor", "mei")))
    return (world, world.receipt(applied), world.state_proof(applied, consent.GRANTS, named("mei"), named("B")),
            world.state_proof(applied, consent.GRANTS, named("mei"), named("A")))


def test_a_receipt_says_who_asked_and_what_came_of_it() -> None:
    world, good, _, _ = asked()
    found = verify_receipt(good, world.network, world.modules)
    envelope, event = found.events
    assert isinstance(envelope, Envelope) and isinstance(event, access.Requested)
    assert (event.reader, event.number, found.leaf.code) == (named("B.doctor"), 1, 0)
    assert found.signed.names == ("operator",) and found.network.chain == chain_id(world.manifest)


def test_a_block_made_under_other_rules_than_the_manifests_is_of_another_network() -> None:
    world = World(founders=("A", "B")).furnished()
    world.ledger.executor.module_set = bytes(32)
    applied = world.block(world.transaction(world.request("B.doctor", "mei")))
    for verify, file in ((verify_receipt, world.receipt(applied)),
                         (verify_state, world.state_proof(applied, access.LOG, named("mei")))):
        with pytest.raises(NotVerified) as caught:
            verify(file, world.network, world.modules)  # type: ignore[operator]
        assert caught.value.code is KernelCode.OTHER_NETWORK


def test_a_timer_and_a_refusal_have_receipts_too() -> None:
    world = asked()[0]
    applied = world.block(after_ms=61_000)
    found = verify_receipt(world.receipt(applied), world.network, world.modules)
    assert isinstance(found.events[0], TimerEnvelope) and isinstance(found.events[1], access.Breached)
    applied = world.block(world.transaction(world.request("B.doctor", "nobody")))
    found = verify_receipt(world.receipt(applied), world.network, world.modules)
    assert found.leaf.code == 301 and len(found.events) == 1


def test_a_state_proof_shows_a_row_or_that_there_is_none() -> None:
    world, _, there, absent = asked()
    found = verify_state(there, world.network, world.modules)
    assert isinstance(found.row, consent.GrantsRow) and found.row.grants[0].grant_id == named("g1")
    assert found.closing.time_ms == world.time_ms and found.key == (named("mei"), named("B"))
    assert verify_state(absent, world.network, world.modules).row is None


def test_every_row_of_the_state_can_be_shown_and_none_can_be_denied() -> None:
    world = asked()[0]
    applied = world.block(world.transaction(world.request("B.doctor", "mei")))
    for table in world.modules.tables.values():
        for key in world.ledger.all_rows(table):
            proof = world.state_proof(applied, table, *key)
            assert verify_state(proof, world.network, world.modules).row is not None
            with pytest.raises(NotVerified, match="NOT_IN_STATE"):
                verify_state(structs.replace(proof, row=None), world.network, world.modules)


Alter = Callable[[World, Receipt], Receipt]


def outcome(good: Receipt, **change: Any) -> Receipt:
    return structs.replace(good, outcome=structs.replace(good.outcome, **change))


def signed(good: Receipt, log: str | None = None, name: str = "operator", key: str = "checkpoint",
           size: int = 0) -> Receipt:
    was = note.read_checkpoint(good.checkpoint)
    made = Checkpoint(log or was.origin, was.size + size, was.root)
    return structs.replace(good, checkpoint=note.sign(made, name, key_named(key)))


def of_md5(world: World, good: Receipt) -> Receipt:
    return structs.replace(good, manifest=codec.encode(structs.replace(world.manifest, hash_suite="md5")))


ALTERED: dict[str, tuple[KernelCode, Alter]] = {
    "another network's manifest": (KernelCode.OTHER_NETWORK, lambda world, good: structs.replace(
        good, manifest=codec.encode(World(founders=("X",)).manifest))),
    "no manifest": (KernelCode.MANIFEST_NOT_VALID, lambda world, good: structs.replace(good, manifest=b"")),
    "a manifest of an unknown hash suite": (KernelCode.MANIFEST_NOT_VALID, of_md5),
    "events left out": (KernelCode.EVENTS_DO_NOT_MATCH, lambda world, good: structs.replace(good, events=b"\x90")),
    "another leaf": (KernelCode.NOT_IN_HISTORY, lambda world, good: outcome(good, leaf=good.outcome.leaf + b"\0")),
    "another place": (KernelCode.NOT_IN_HISTORY, lambda world, good: outcome(good, index=good.outcome.index - 1)),
    "a shorter path": (KernelCode.NOT_IN_HISTORY, lambda world, good: outcome(good, path=good.outcome.path[1:])),
    "a longer path": (KernelCode.NOT_IN_HISTORY, lambda world, good: outcome(
        good, path=(*good.outcome.path, bytes(32)))),
    "the closing leaf as its outcome": (KernelCode.FILE_NOT_UNDERSTOOD, lambda world, good: structs.replace(
        good, outcome=good.closing)),
    "the outcome as its closing leaf": (KernelCode.FILE_NOT_UNDERSTOOD, lambda world, good: structs.replace(
        good, closing=good.outcome)),
    "a checkpoint of another log": (KernelCode.CHECKPOINT_NOT_VALID, lambda world, good: signed(good, "xinglin/x")),
    "a checkpoint by an unknown name": (KernelCode.CHECKPOINT_NOT_VALID, lambda world, good: signed(good, name="x")),
    "a checkpoint by another key": (KernelCode.CHECKPOINT_NOT_VALID, lambda world, good: signed(good, key="thief")),
    "a checkpoint of another size": (KernelCode.NOT_IN_HISTORY, lambda world, good: signed(good, size=64)),
    "no checkpoint": (KernelCode.CHECKPOINT_NOT_VALID, lambda world, good: structs.replace(good, checkpoint=b"")),
}


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_receipt_is_refused_for_what_is_wrong_with_it(name: str) -> None:
    world, good, _, _ = asked()
    code, alter = ALTERED[name]
    with pytest.raises(NotVerified) as caught:
        verify_receipt(alter(world, good), world.network, world.modules)
    assert caught.value.code == code


def test_nothing_is_verified_without_a_pin_and_the_id_is_told() -> None:
    world, good, there, _ = asked()
    unpinned: list[Callable[[], object]] = [lambda: verify_receipt(good, None, world.modules),
                                            lambda: verify_state(there, None, world.modules)]
    for verify in unpinned:
        with pytest.raises(NotVerified) as caught:
            verify()
        assert caught.value.code == KernelCode.NETWORK_NOT_PINNED and caught.value.facts["network"] == world.network


def test_a_proof_speaks_of_its_own_key_table_and_row_alone() -> None:
    world, good, there, absent = asked()
    wrong = [
        structs.replace(there, key=absent.key), structs.replace(absent, key=there.key),
        structs.replace(there, table="access/log"), structs.replace(there, table="no/table"),
        structs.replace(there, row=absent.row), structs.replace(absent, row=there.row),
        structs.replace(there, key=b""), structs.replace(there, key=there.key + b"\0"),
        structs.replace(there, proof=absent.proof),
        structs.replace(there, proof=sparse.StateProof(siblings=(), other=None)),
    ]
    for proof in wrong:
        with pytest.raises(NotVerified, match="NOT_IN_STATE"):
            verify_state(proof, world.network, world.modules)
    with pytest.raises(NotVerified):
        verify_state(structs.replace(there, closing=good.outcome), world.network, world.modules)


def test_a_receipt_is_not_closed_by_the_block_after_its_own() -> None:
    """Both leaves are in history and both paths hold, so the heights must agree."""
    world, _, _, _ = asked()
    first = world.block(world.transaction(world.request("B.doctor", "mei")))
    second = world.block(world.transaction(world.request("B.doctor", "mei")))
    leaves = [leaf for applied in (first, second) for leaf in (applied.outcomes[0].leaf, applied.closing)]
    both = append(world.hashes, Frontier(), [leaf_hash(world.hashes, leaf) for leaf in leaves])
    made = Checkpoint(origin(chain_id(world.manifest)), both.size, both.root)
    places = [InHistory(leaf=leaf, index=at, path=tuple(both.path(at))) for at, leaf in enumerate(leaves)]
    good = Receipt(manifest=codec.encode(world.manifest), outcome=places[0], closing=places[1],
                   events=first.outcomes[0].events,
                   checkpoint=note.sign(made, "operator", key_named("checkpoint")))
    assert verify_receipt(good, world.network, world.modules).closing.height == first.height
    with pytest.raises(NotVerified, match="NOT_IN_HISTORY"):
        verify_receipt(structs.replace(good, closing=places[3]), world.network, world.modules)


# -- every bit


def accepted_flips(world: World, file: Receipt | StateProof) -> Iterator[int]:
    """Bits of the file that may be flipped without anybody noticing."""
    kind: Any = type(file)
    verify: Any = verify_receipt if kind is Receipt else verify_state
    for bit, data in single_bit_flips(codec.encode(file)):
        try:
            verify(read_file(data, kind), world.network, world.modules)
        except NotVerified:
            continue
        yield bit


def test_no_bit_of_a_receipt_or_state_proof_can_be_flipped() -> None:
    world, good, there, _ = asked()
    for file in (good, there):
        assert list(accepted_flips(world, file)) == []


def test_a_flipped_bit_of_an_absence_is_refused_or_names_another_key_that_is_absent_too() -> None:
    """An empty place is shared by many keys: such a file says of another key what is true of it."""
    world, _, _, absent = asked()
    for bit in accepted_flips(world, absent):
        data = bytearray(codec.encode(absent))
        data[bit >> 3] ^= 1 << (bit & 7)
        other = codec.decode(bytes(data), StateProof)
        assert structs.replace(other, key=absent.key) == absent and other.key != absent.key
        assert consent.GRANTS.store_prefix + other.key not in world.ledger.rows


@pytest.mark.parametrize("planted", ["verify_inclusion", "events_hash"])
def test_a_verifier_that_forgets_a_step_is_found_by_the_flips(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world, good, _, _ = asked()
    leaf = codec.decode(good.outcome.leaf, Leaf)
    forgets: dict[str, Any] = {"verify_inclusion": lambda *_: None, "events_hash": lambda *_: leaf.events_hash}
    monkeypatch.setattr(receipt, planted, forgets[planted])
    assert len(list(accepted_flips(world, good))) > 100


def test_a_verifier_that_does_not_check_the_state_is_found_by_the_flips(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _, there, absent = asked()
    monkeypatch.setattr(sparse, "verify_presence", lambda *_: None)
    monkeypatch.setattr(sparse, "verify_absence", lambda *_: None)
    assert len(list(accepted_flips(world, there))) > 100
    assert len(list(accepted_flips(world, absent))) > 100
