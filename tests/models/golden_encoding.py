"""The vectors of encoding, made anew: `python -m models.golden_encoding`; what that means is said in golden_chain.py.

The bytes of a value come from the naive model's encoder; which bytes are refused stays as it was written by hand.
"""

import json
from pathlib import Path
from typing import Any

from models.naive import packed
from worlds import World
from xinglin.base import codec
from xinglin.kernel.outcome import Leaf

VECTORS = Path(__file__).resolve().parent.parent / "golden" / "vectors"


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
    file = VECTORS / "encoding.json"
    file.write_text(json.dumps(encoding(json.loads(file.read_text("utf-8"))), indent=1) + "\n", "utf-8")
