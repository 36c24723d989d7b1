"""The vectors of blocks and of the module set: made here, and read by other code in tests/kernel/test_vectors.py.

`python -m models.golden_blocks` writes tests/golden/vectors/blocks.json and modules.json anew. What that means is
said in `golden_chain.py`.
"""

import json
from pathlib import Path
from typing import Any

from worlds import World, key_named, named
from xinglin.base import codec
from xinglin.base.crypto import SHA256, SM3
from xinglin.kernel.executor import Applied
from xinglin.kernel.genesis import chain_id
from xinglin.kernel.module import Message
from xinglin.modules import module_set

VECTORS = Path(__file__).resolve().parent.parent / "golden" / "vectors"
ABOUT_BLOCKS = ("docs/spec/transaction.md, genesis.md, history.md, state-tree.md. A chain of two members, block by "
                "block. A row is (store key, bytes or null): the store key is 's', one byte of length, the table's "
                "name, the key.")
ABOUT_MODULES = "docs/spec/genesis.md: the lines that the hash of the module set takes in, and the hash by suite."


def blocks() -> dict[str, Any]:
    """A consent from registration to its end, a request without one, with one and unanswered, one refused by each; and
    new keys.
    """
    world = World(founders=("A", "B"))
    rows = dict(world.ledger.rows)
    genesis_root = world.ledger.state_root
    made: list[dict[str, Any]] = []

    def block(*transactions: tuple[Message, ...], after_ms: int = 1_000) -> None:
        raws = [world.transaction(*messages, expires_at_ms=world.time_ms + after_ms + 60_000)
                for messages in transactions]
        made.append(_told(world, raws, world.block(*raws, after_ms=after_ms)))

    block((world.enrol_service("A", "A.service"),), (world.enrol_staff("B", "B.doctor"),))
    block((world.register("A.service", "mei"), world.batch("A.service", "mei", 1)))
    block((world.claim("A.service", "mei"),), (world.request("B.doctor", "mei"),))
    block((world.grant("mei", "B", "g1", hours=1),))
    block((world.request("B.doctor", "mei"),), (world.request("B.doctor", "nobody"),))
    block((world.permit("A.service", "mei", 2, "g1", 1),), (world.request("B.doctor", "mei", "g1"),))
    block(after_ms=61_000)
    block(after_ms=3_600_000)
    block((world.revoke("mei", "B", "g1"),))
    block((world.rotate("B.doctor", "B.doctor.new", world.time_ms + 3_600_000),),
          (world.rotate_subject("mei", "mei.new"),))
    world.keys[named("mei")] = key_named("mei.new")
    block((world.replace_key("A", "B", "B.new"),), (world.grant("mei", "B", "g2"),))
    return {"about": ABOUT_BLOCKS, "manifest": codec.encode(world.manifest).hex(), "network": world.network.hex(),
            "chain": chain_id(world.manifest), "genesis_rows": _rows(sorted(rows.items())),
            "genesis_state_root": genesis_root.hex(), "blocks": made}


def _told(world: World, raws: list[bytes], applied: Applied) -> dict[str, Any]:
    assert applied.appended is not None
    return {
        "height": applied.height, "time_ms": applied.time_ms,
        "transactions": [{"bytes": raw.hex(), "id": world.reader.read(raw).id.hex()} for raw in raws],
        "outcomes": [{"code": outcome.code, "leaf": outcome.leaf.hex(), "events": outcome.events.hex()}
                     for outcome in applied.outcomes],
        "closing": applied.closing.hex(), "rows": _rows(sorted(applied.rows)),
        "history_root": applied.appended.root.hex(), "state_root": applied.state_root.hex(),
        "app_hash": applied.app_hash.hex()}


def _rows(rows: list[Any]) -> list[list[str | None]]:
    return [["0x" + at.hex(), None if row is None else "0x" + row.hex()] for at, row in rows]


def modules() -> dict[str, Any]:
    found = module_set()
    return {"about": ABOUT_MODULES, "lines": found.lines(),
            "hash": {suite.name: found.hash(suite).hex() for suite in (SHA256, SM3)}}


if __name__ == "__main__":
    for name, made in (("blocks", blocks()), ("modules", modules())):
        (VECTORS / f"{name}.json").write_text(json.dumps(made, indent=1) + "\n", "utf-8")
