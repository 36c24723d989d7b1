"""What the FHIR tests share: where third-party data lies, and small valid resources."""

import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from xinglin.holder import fhir
from xinglin.holder.fhir import json_text

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("XINGLIN_DATA", ROOT.parent / "shared" / "data"))


def third_party(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"third-party data {name} is absent; set XINGLIN_DATA")
    return folder


def counter() -> Callable[[], bytes]:
    """Ids that a test can name: 1, 2, 3 in 16 bytes."""
    numbers = itertools.count(1)
    return lambda: next(numbers).to_bytes(16, "big")


def planned(items: Iterable[fhir.Source | fhir.Problem], known: dict[tuple[str, str], fhir.Known] | None = None,
            identified: dict[tuple[str, str, str], tuple[str, fhir.Known]] | None = None,
            people: dict[str, fhir.PatientCard] | None = None, **options: Any) -> fhir.Plan:
    earlier, named = known or {}, identified or {}
    return fhir.plan(items, known=lambda owner, key: earlier.get((owner, key)),
                     identified=lambda kind, system, value: named.get((kind, system, value)),
                     person=(people or {}).get, new_id=counter(), **options)


def sources(*resources: dict[str, Any], file: str = "a.json") -> list[fhir.Source]:
    return [fhir.Source(file, f"entry {i}", "", "", resource) for i, resource in enumerate(resources)]


def records(plan: fhir.Plan) -> dict[str, fhir.Planned]:
    return {record.source_key: record for batch in (plan.directory, *plan.patients) for record in batch}


def content(record: fhir.Planned) -> Any:
    return json_text.parse(record.rest)


def patient(own: str = "p", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": own, **more}


def observation(own: str = "o", about: str = "Patient/p", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": own, "status": "final", "code": {"text": "x"},
            "subject": {"reference": about}, **more}
