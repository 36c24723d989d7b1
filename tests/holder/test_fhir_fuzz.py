"""20,000 mutated inputs: each is planned or refused with a Problem; nothing crashes, nothing grows.

A seed is an input: tried(seed, bundles()) plays it again.
"""

import copy
import json
import random
from typing import Any

import pytest

from holder.fhir_data import planned
from xinglin.base import codec
from xinglin.holder import fhir
from xinglin.holder.fhir import json_text

CHUNKS = 8
INPUTS = 20_000

ODD: list[Any] = [
    None, True, False, 0, -1, 2**31, 10**30, 1.5, "", " ", "x", "#", "#x", "Patient/p", "Patient/",
    "Patient?identifier=a|b", "urn:uuid:x", "http://x.example/Patient/p", "\ud83d\ude00", "\x00", "2026-02-30",
    "A" * 3_000, [], {}, [[]], [{}],
    [None], {"reference": "Observation/o"}, {"coding": [{"system": "http://loinc.org", "code": "34788-0"}]},
    {"resourceType": "Patient"}, {"resourceType": "Bundle", "type": "batch"}]
KEYS = ["resourceType", "id", "reference", "subject", "patient", "contained", "extension", "_status", "identifier",
        "coding", "meta", "category", "code", "type", "entry", "resource", "fullUrl", "request", "url", "class",
        "value", "system"]


def bundles() -> list[bytes]:
    """Small bundles of real resources, one for each type of the sample with its patient."""
    kinds: dict[str, Any] = {}
    found = [item.resource for item in fhir.read_sample() if isinstance(item, fhir.Source)]
    person = next(r for r in found if r["resourceType"] == "Patient")
    for resource in found:
        kinds.setdefault(resource["resourceType"], resource)
    entries = [json_text.write({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": f"urn:uuid:{r['id']}", "resource": r, "request": {"method": "POST", "url": r["resourceType"]}}
        for r in (person, resource)]}) for resource in kinds.values()]
    return [data for data in entries if len(data) < 12_000]


def mutated(data: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.7:
        return mutated_value(data, draw)
    out = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at, to = sorted((draw.randrange(len(out) + 1), draw.randrange(len(out) + 1)))
        to = min(to, at + 200)
        match draw.randrange(5):
            case 0:
                out[at:at + 1] = bytes([draw.randrange(256)])
            case 1:
                del out[at:to]
            case 2:
                out[at:at] = out[at:to] * draw.randint(1, 3)
            case 3:
                out[at:at] = draw.choice([b"{", b"[", b'"', b"\\", b"\\ud800", b"NaN", b"1e9", b"\xff", b",",
                                          b"}" * 70])
            case _:
                out[at:to] = bytes(reversed(out[at:to]))
        if not out:
            return b""
    return bytes(out)


def mutated_value(data: bytes, draw: random.Random) -> bytes:
    value = json.loads(data)
    for _ in range(draw.randint(1, 5)):
        at: Any = value
        while True:
            places = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not places:
                break
            place = draw.choice(places)
            if isinstance(at[place], dict | list) and draw.random() < 0.85:
                at = at[place]
                continue
            match draw.randrange(4):
                case 0:
                    at[place] = copy.deepcopy(draw.choice(ODD))
                case 1:
                    del at[place]
                case 2 if isinstance(at, dict):
                    at[draw.choice(KEYS)] = copy.deepcopy(draw.choice((at[place], draw.choice(ODD))))
                case _:
                    at[place] = [at[place]] if draw.random() < 0.5 else {"x": at[place]}
            break
    return json.dumps(value, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")


def tried(seed: int, seeds: list[bytes]) -> tuple[int, int]:
    draw = random.Random(seed)
    data = mutated(draw.choice(seeds), draw)
    items = list(fhir.read_bytes(data, "fuzz.json"))
    plan = planned(items)
    size = 0
    for batch in (plan.directory, *plan.patients):
        for record in batch:
            size += len(record.rest)
            assert codec.decode(codec.encode(record.head), fhir.Head) == record.head
            assert json_text.parse(record.rest)["id"] == record.head.id
    # A reference grows by a new id at most; a report by its own limits.
    assert size <= 3 * len(data) + 200
    assert all(len(str(problem)) < 1_000 for problem in (*plan.errors, *plan.warnings))
    assert len(plan) + plan.unchanged + plan.error_count >= (1 if items else 0)
    return len(plan), plan.error_count


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_mutated_bundles_are_planned_or_refused_and_never_crash(chunk: int) -> None:
    seeds = bundles()
    outcomes = []
    for seed in range(chunk, INPUTS, CHUNKS):
        try:
            outcomes.append(tried(seed, seeds))
        except Exception as error:
            error.add_note(f"replay: tried({seed}, bundles())")
            raise
    # Both ends are reached: some mutations leave a resource good, some spoil it.
    assert sum(bool(good) for good, _ in outcomes) > 100
    assert sum(bool(bad) for _, bad in outcomes) > 100
