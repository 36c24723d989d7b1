"""The vectors of encoding and blocks, made anew: `python -m models.vectors`.

That is a change of what is on the wire: before the first network it takes a line in an ADR, afterwards a migration.
The bytes of a value come from the naive model's encoder; which bytes are refused stays as it was written by hand.
"""

import json
from pathlib import Path
from typing import Any

from models.naive import packed
from worlds import World, key_named, named
from xinglin.base import codec
from xinglin.kernel.executor import Applied
from xinglin.kernel.genesis import chain_id
from xinglin.kernel.module import Message
from xinglin.kernel.outcome import Leaf

VECTORS = Path(__file__).resolve().parent.parent / "golden" / "vectors"
HOUR_MS = 3_600_000


def blocks(about: str) -> dict[str, Any]:
    """A small chain: a service, a person, a subject, a consent, requests, an answer, a breach, new keys."""
    world = World(founders=("A", "B"))
    ledger = world.ledger
    genesis = sorted(ledger.rows.items())
    root = ledger.state_root.hex()
    made: list[dict[str, Any]] = []

    def block(*said: Message | tuple[Message, ...], after_ms: int = 1_000) -> None:
        raws = [world.transaction(*(one if isinstance(one, tuple) else (one,)),
                                  expires_at_ms=world.time_ms + after_ms + 60_000) for one in said]
        applied = world.block(*raws, after_ms=after_ms)
        made.append(written(world, applied))

    block(world.enrol_service("A", "A.service"), world.enrol_staff("B", "B.doctor"))
    block((world.register("A.service", "mei"), world.batch("A.service", "mei", 1)))
    block(world.claim("A.service", "mei"), world.request("B.doctor", "mei"))
    block(world.grant("mei", "B", "g1", hours=1))
    block(world.request("B.doctor", "mei"), world.request("B.doctor", "nobody"))
    block(world.permit("A.service", "mei", 2, "g1", 1), world.request("B.doctor", "mei", "g1"))
    block(after_ms=61_000)
    block(after_ms=HOUR_MS)
    block(world.revoke("mei", "B", "g1"))
    block(world.rotate("B.doctor", "B.doctor.new", world.time_ms + HOUR_MS), world.rotate_subject("mei", "mei.new"))
    world.keys[named("mei")] = key_named("mei.new")
    block(world.replace_key("A", "B", "B.new"), world.grant("mei", "B", "g2"))
    return {"about": about, "manifest": codec.encode(world.manifest).hex(), "network": world.network.hex(),
            "chain": chain_id(world.manifest), "genesis_rows": [[shown(at), shown(row)] for at, row in genesis],
            "genesis_state_root": root, "blocks": made}


def written(world: World, applied: Applied) -> dict[str, Any]:
    assert applied.appended is not None
    txs = [outcome.tx for outcome in applied.outcomes if outcome.tx]
    return {
        "height": applied.height, "time_ms": applied.time_ms,
        "transactions": [{"bytes": tx.raw.hex(), "id": tx.id.hex()} for tx in txs],
        "outcomes": [{"code": outcome.code, "leaf": outcome.leaf.hex(), "events": outcome.events.hex()}
                     for outcome in applied.outcomes],
        "closing": applied.closing.hex(),
        "rows": [[shown(at), shown(row)] for at, row in sorted(applied.rows)],
        "history_root": applied.appended.root.hex(), "state_root": applied.state_root.hex(),
        "app_hash": applied.app_hash.hex()}


def encoding(before: dict[str, Any]) -> dict[str, Any]:
    """The plain values as they were, and one of each message, event and row that an eventful world holds."""
    world = World(founders=("A", "B", "C")).eventful()
    values: dict[str, Any] = {}
    for result in world.history:
        for event in (result.envelope, *result.events):
            values.setdefault(codec.tag_of(type(event)), event)
        if result.outcome.tx:
            for message, spec in zip(result.outcome.tx.messages, result.outcome.tx.specs, strict=True):
                values.setdefault(spec.tag, message)
    for name, table in world.modules.tables.items():
        values[name] = next(iter(world.ledger.all_rows(table).values()))
    values["leaf"] = codec.decode(world.history[-1].outcome.leaf, Leaf)
    values["xinglin.manifest/1"] = world.manifest
    plain = [case for case in before["cases"] if case["type"] == "value"]
    cases = []
    for kind, value in values.items():
        fields = codec.decoder(Any).decode(codec.encode(value))
        cases.append({"type": kind, "value": shown(fields), "hex": packed(fields).hex()})
    return {**before, "cases": [*plain, *cases]}


def shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return [shown(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    for name, make in (("blocks", lambda before: blocks(before["about"])), ("encoding", encoding)):
        file = VECTORS / f"{name}.json"
        file.write_text(json.dumps(make(json.loads(file.read_text("utf-8"))), indent=1) + "\n", "utf-8")
