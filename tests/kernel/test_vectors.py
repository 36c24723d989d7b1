"""The frozen vectors of encoding, transactions and blocks, read by code that shares nothing with what made them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from memory_ledger import MemoryLedger
from models import golden_blocks
from models.naive import packed, tagged
from xinglin.base import codec, crypto, sparse
from xinglin.base.check import NotUnderstood
from xinglin.base.crypto import SHA256
from xinglin.kernel.genesis import Manifest, chain_id, network_id
from xinglin.kernel.outcome import Leaf
from xinglin.kernel.tx import Reader, prepare
from xinglin.modules import module_set

VECTORS = Path(__file__).resolve().parent.parent / "golden" / "vectors"
ENCODING = json.loads((VECTORS / "encoding.json").read_text("utf-8"))
LINES = json.loads((VECTORS / "modules.json").read_text("utf-8"))
CHAIN = json.loads((VECTORS / "blocks.json").read_text("utf-8"))
MODULES = module_set()
KINDS: dict[str, Any] = {"xinglin.manifest/1": Manifest, "leaf": Leaf,
                         **{spec.tag: kind for kind, spec in MODULES.messages.items()}, **MODULES.event_types,
                         **{name: table.value for name, table in MODULES.tables.items()}}


def told(value: Any) -> Any:
    """A value from its JSON form."""
    if isinstance(value, str):
        return bytes.fromhex(value[2:]) if value.startswith("0x") else value
    return [told(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("case", ENCODING["cases"], ids=lambda case: f"{case['type']} {case['hex'][:16]}")
def test_a_value_has_the_bytes_of_its_vector(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    assert packed(told(case["value"])) == data
    if case["type"] == "value":
        assert codec.encode(told(case["value"])) == data
    else:
        assert codec.encode(codec.decode(data, KINDS[case["type"]])) == data


@pytest.mark.parametrize("case", ENCODING["refused"], ids=lambda case: f"{case['type']} {case['why']}")
def test_bytes_that_are_no_value_are_refused_as_the_vector_says(case: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood) as caught:
        codec.decode(bytes.fromhex(case["hex"]), KINDS[case["type"]])
    assert caught.value.code.name == case["code"]


def test_every_message_event_and_row_has_a_vector() -> None:
    assert {case["type"] for case in ENCODING["cases"]} == {*KINDS, "value"}


def test_the_module_set_is_what_its_lines_say() -> None:
    assert tagged("xinglin/modules/1", *[line.encode() for line in LINES["lines"]]).hex() == LINES["hash"]["sha-256"]
    assert LINES == golden_blocks.modules()


def test_the_vectors_of_blocks_are_made_as_they_say() -> None:
    assert golden_blocks.blocks() == CHAIN


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def merkle(leaves: list[bytes]) -> bytes:
    """RFC 6962 2.1, as it is written there."""
    if len(leaves) < 2:
        return digest(b"\x00" + leaves[0]) if leaves else digest(b"")
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return digest(b"\x01" + merkle(leaves[:half]) + merkle(leaves[half:]))


def state_root(rows: dict[bytes, bytes]) -> bytes:
    leaves = {}
    for at, row in rows.items():
        name, key = at[2:2 + at[1]], at[2 + at[1]:]
        leaves[digest(b"\x02" + bytes([len(name)]) + name + len(key).to_bytes(2, "big") + key)] = digest(row)
    return sparse.root_of(SHA256, leaves)


def test_the_chain_of_the_vectors_is_what_its_bytes_say() -> None:
    """Ids, hashes and roots from the written bytes alone, by hashlib."""
    manifest = bytes.fromhex(CHAIN["manifest"])
    network = tagged("xinglin/network/1", manifest)
    assert network.hex() == CHAIN["network"]
    name, _, _, simulated, modules = codec.decoder(Any).decode(manifest)[1:6]
    assert CHAIN["chain"] == f"{name}{'-sim' if simulated else ''}-{network[:8].hex()}"
    rows = {told(at): told(row) for at, row in CHAIN["genesis_rows"]}
    assert state_root(rows).hex() == CHAIN["genesis_state_root"]
    history: list[bytes] = []
    for block in CHAIN["blocks"]:
        for raw, outcome in zip(block["transactions"], [o for o in block["outcomes"] if kind_of(o) == 0], strict=True):
            body, _ = codec.decoder(Any).decode(bytes.fromhex(raw["bytes"]))
            assert tagged("xinglin/txid/1", body).hex() == raw["id"]
            assert codec.decoder(Any).decode(body)[0] == network
            assert codec.decoder(Any).decode(bytes.fromhex(outcome["leaf"]))[3] == digest(bytes.fromhex(raw["bytes"]))
        for index, outcome in enumerate(block["outcomes"]):
            kind, height, place, _, code, events = codec.decoder(Any).decode(bytes.fromhex(outcome["leaf"]))
            assert (height, place, code) == (block["height"], index, outcome["code"])
            assert events == tagged("xinglin/events/1", bytes.fromhex(outcome["events"]))
        rows.update({told(at): told(row) for at, row in block["rows"]})
        rows = {at: row for at, row in rows.items() if row is not None}
        closing = bytes.fromhex(block["closing"])
        history += [*[bytes.fromhex(outcome["leaf"]) for outcome in block["outcomes"]], closing]
        assert merkle(history).hex() == block["history_root"]
        assert state_root(rows).hex() == block["state_root"]
        assert closing == packed([2, block["height"], block["time_ms"], state_root(rows), modules])
        assert block["app_hash"] == tagged("xinglin/app/1", merkle(history), state_root(rows), modules).hex()


def kind_of(outcome: dict[str, Any]) -> int:
    kind: int = codec.decoder(Any).decode(bytes.fromhex(outcome["leaf"]))[0]
    return kind


def test_the_kernel_makes_of_the_vectors_transactions_what_they_say() -> None:
    manifest = codec.decode(bytes.fromhex(CHAIN["manifest"]), Manifest)
    assert (network_id(manifest).hex(), chain_id(manifest)) == (CHAIN["network"], CHAIN["chain"])
    assert manifest.module_set == MODULES.hash(SHA256)
    ledger, reader = MemoryLedger(manifest, MODULES), Reader(network_id(manifest), SHA256, MODULES)
    assert ledger.rows == {told(at): told(row) for at, row in CHAIN["genesis_rows"]}
    for block in CHAIN["blocks"]:
        txs = [reader.read(bytes.fromhex(raw["bytes"])) for raw in block["transactions"]]
        for tx in txs:
            for check in prepare(tx, ledger, block["time_ms"]):
                crypto.verify(*check)
        applied = ledger.apply(block["time_ms"], txs)
        assert [[outcome.code, outcome.leaf.hex(), outcome.events.hex()] for outcome in applied.outcomes] == [
            [outcome["code"], outcome["leaf"], outcome["events"]] for outcome in block["outcomes"]]
        assert sorted(applied.rows) == [(told(at), told(row)) for at, row in block["rows"]]
        assert (applied.closing.hex(), applied.app_hash.hex()) == (block["closing"], block["app_hash"])
