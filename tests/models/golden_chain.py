"""A whole chain kept for ever: its manifest, every transaction's bytes, every block's time and what came of it.

`python -m models.golden_chain` writes tests/golden/chains/first.json anew. That is a change of what the network
does with old transactions: before the first network it takes a line in an ADR, afterwards a migration.
"""

import json
from pathlib import Path
from typing import Any

from memory_ledger import MemoryLedger
from models.pair import Pair, play
from xinglin.base import codec, crypto
from xinglin.base.crypto import SignatureSuite
from xinglin.kernel.genesis import Manifest, hash_suite, network_id
from xinglin.kernel.module import ModuleSet
from xinglin.kernel.tx import Reader, prepare

FILE = Path(__file__).resolve().parent.parent / "golden" / "chains" / "first.json"
SEED, BLOCKS, PER_BLOCK = 23, 22, 14


def make(seed: int = SEED, count: int = BLOCKS, per_block: int = PER_BLOCK) -> dict[str, Any]:
    """From the scenario of the models; C has a composite key, whose signatures differ at each run."""
    pair = Pair({"C": SignatureSuite.ED25519_ML_DSA_65})
    blocks: list[dict[str, Any]] = []
    ledger = pair.world.ledger
    apply = ledger.apply

    def record(time_ms: int, txs: list[Any]) -> Any:
        applied = apply(time_ms, txs)
        blocks.append({"time_ms": time_ms, "transactions": [tx.raw.hex() for tx in txs],
                       "codes": [outcome.code for outcome in applied.outcomes],
                       "state_root": ledger.state_root.hex(), "app_hash": ledger.app_hash.hex()})
        return applied

    ledger.apply = record  # type: ignore[method-assign]
    for _ in play(pair, seed, count, per_block):
        pair.compare()
    return {"about": "A chain that replays to the same roots for ever; docs/spec/transaction.md",
            "manifest": codec.encode(pair.world.manifest).hex(), "network": pair.world.network.hex(), "blocks": blocks}


def replay(chain: dict[str, Any], modules: ModuleSet) -> list[dict[str, Any]]:
    """What comes of the same transactions today, in the same form."""
    manifest: Manifest = codec.decode(bytes.fromhex(chain["manifest"]), Manifest)
    ledger = MemoryLedger(manifest, modules)
    reader = Reader(network_id(manifest), hash_suite(manifest), modules)
    blocks = []
    for block in chain["blocks"]:
        txs = [reader.read(bytes.fromhex(raw)) for raw in block["transactions"]]
        for tx in txs:
            for check in prepare(tx, ledger, block["time_ms"]):
                crypto.verify(*check)
        applied = ledger.apply(block["time_ms"], txs)
        blocks.append({**block, "codes": [outcome.code for outcome in applied.outcomes],
                       "state_root": ledger.state_root.hex(), "app_hash": ledger.app_hash.hex()})
    return blocks


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(make(), indent=1) + "\n")
