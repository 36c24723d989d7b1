"""The manifest: what a network is founded on, and on what none is."""

from typing import Any

import pytest
from msgspec import structs

from memory_ledger import MemoryLedger
from odd_keys import MixedOrderKey, PortalKey
from worlds import World, key_named, named
from xinglin.base import codec
from xinglin.base.check import NotUnderstood, NotVerified
from xinglin.base.crypto import SM3, SignatureSuite
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.genesis import CheckpointKey, Founder, Manifest, chain_id, network_id
from xinglin.modules import members

MANIFEST = World().manifest
FIRST, SECOND, *_ = MANIFEST.founders


def founder(key: Any) -> Founder:
    return structs.replace(FIRST, suite=key.suite, key=key.public)


def test_every_field_of_the_manifest_is_in_the_network_id() -> None:
    changes: list[dict[str, Any]] = [
        {"name": "other"}, {"hash_suite": SM3.name}, {"started_ms": 1}, {"simulated": False}, {"module_set": bytes(32)},
        {"parameters": structs.replace(MANIFEST.parameters, answer_ms=1)}, {"operator": named("B")},
        {"founders": MANIFEST.founders[:2]},
        {"checkpoint_keys": (CheckpointKey(name="other", key=MANIFEST.checkpoint_keys[0].key),)},
    ]
    assert {name for change in changes for name in change} == set(Manifest.__struct_fields__)
    ids = [network_id(structs.replace(MANIFEST, **change)) for change in changes]
    assert len({*ids, network_id(MANIFEST)}) == len(changes) + 1


def test_a_chain_name_says_that_time_is_simulated() -> None:
    assert chain_id(MANIFEST) == f"test-sim-{network_id(MANIFEST)[:8].hex()}"
    real = structs.replace(MANIFEST, simulated=False, name="x" * 29)
    assert chain_id(real) == f"{'x' * 29}-{network_id(real)[:8].hex()}" and len(chain_id(real)) <= 50


@pytest.mark.parametrize("change", [
    {"founders": (FIRST, FIRST)},
    {"founders": (FIRST, structs.replace(SECOND, member=FIRST.member))},
    {"founders": (founder(MixedOrderKey()),)},
    {"founders": (founder(PortalKey()),)},
    {"founders": (structs.replace(FIRST, key=bytes(32)),)},
    {"founders": (structs.replace(FIRST, suite=SignatureSuite.ML_DSA_65),)},
    {"founders": (structs.replace(FIRST, member=b"short"),)},
    {"founders": ()},
    {"operator": named("stranger")},
    {"checkpoint_keys": MANIFEST.checkpoint_keys * 2},
    {"checkpoint_keys": ()},
    {"hash_suite": "md5"},
    {"parameters": structs.replace(MANIFEST.parameters, answer_ms=0)},
    {"parameters": structs.replace(MANIFEST.parameters, answer_ms=2**62)},
    {"parameters": structs.replace(MANIFEST.parameters, units_per_second=0)},
    {"parameters": structs.replace(MANIFEST.parameters, page_parts=0)},
    {"name": "UPPER"}, {"name": ""}, {"name": "x" * 30}, {"name": "line\n"}, {"name": "a/b"},
    {"checkpoint_keys": (CheckpointKey(name="line\n", key=bytes(32)),)},
    {"checkpoint_keys": (CheckpointKey(name="two words", key=bytes(32)),)},
], ids=str)
def test_no_network_is_founded_on_a_wrong_manifest(change: dict[str, Any]) -> None:
    wrong = structs.replace(MANIFEST, **change)
    with pytest.raises(NotVerified) as caught:
        MemoryLedger(wrong, World().modules)
    assert caught.value.code == KernelCode.MANIFEST_NOT_VALID


@pytest.mark.parametrize("name", ["line\n", "\n", "a\nb", "a ", "É"])
def test_a_name_with_a_line_break_does_not_even_decode(name: str) -> None:
    with pytest.raises(NotUnderstood):
        codec.decode(codec.encode(structs.replace(MANIFEST, name=name)), Manifest)


def test_height_0_has_rows_and_no_leaf() -> None:
    world = World(founders=("A", "B"))
    assert (world.ledger.height, world.ledger.time_ms, world.ledger.frontier.size) == (0, MANIFEST.started_ms, 0)
    assert world.row(members.TALLY) == members.TallyRow(active=2, admitted=2)
    assert {key for key, in world.ledger.all_rows(members.MEMBERS)} == {named("A"), named("B")}
    assert world.ledger.state_root == World(founders=("B", "A")).ledger.state_root


def test_a_network_runs_under_sm3_as_well() -> None:
    manifest = structs.replace(MANIFEST, hash_suite=SM3.name)
    ledger = MemoryLedger(manifest, World().modules)
    assert ledger.hashes is SM3 and ledger.state_root != World().ledger.state_root
    assert key_named("A").public == manifest.founders[0].key
