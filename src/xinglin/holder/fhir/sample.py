"""The sample that comes with Xinglin: six invented patients, and what the demo adds to them.

Synthea writes no security label and no psychiatric note, and not every patient has a laboratory result or
a prescription: the additions fill that in, each with a canary that must never leave the vault in clear.
"""

import base64
import io
import json
import lzma
import tarfile
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

from xinglin.holder.fhir.problem import Problem
from xinglin.holder.fhir.read import Source, read_bytes

DATA = Path(__file__).resolve().parents[2] / "demo_data"
NOTE_PATIENT = "Patient/27a60d9c-3978-042a-18ea-0ec4481eb8bd"   # Trish512 Feest103 gets the psychiatric note


class Addition(IntEnum):
    """Lines of additions.ndjson."""

    PSYCHIATRIC_NOTE = 0       # DocumentReference, labelled PSY and R
    LABORATORY_RESULT = 1      # Observation
    PRESCRIPTION = 2           # MedicationRequest


def read_sample() -> Iterator[Source | Problem]:
    """The sample's resources, straight from the archive."""
    for name, data in _files():
        yield from read_bytes(data, name)


def unpack_sample(folder: Path) -> Path:
    """Write the sample's files to `folder`, as a folder of one's own data would look."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in _files():
        (folder / name).write_bytes(data)
    return folder


def addition(which: Addition, patient: str, source_id: str, canary: str) -> Source:
    """A resource for `patient` ("Patient/x" of the source) that holds `canary`, in clear or in its attachment."""
    text = f"Invented for the demo: sleeps badly since the spring, sees no way out, wants no drugs. {canary}"
    values = {"$ID": source_id, "$PATIENT": patient, "$CANARY": canary,
              "$NOTE": base64.b64encode(text.encode()).decode()}
    line = (DATA / "additions.ndjson").read_text().splitlines()[which]
    for name, value in values.items():
        line = line.replace(name, json.dumps(value)[1:-1])
    found = next(read_bytes(line.encode(), "additions.ndjson", f"line {which + 1}"))
    if isinstance(found, Problem):
        raise ValueError(str(found))
    return found


def _files() -> Iterator[tuple[str, bytes]]:
    archive = io.BytesIO(lzma.decompress((DATA / "synthea-fhir.tar.xz").read_bytes()))
    with tarfile.open(fileobj=archive, mode="r:") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                yield Path(member.name).name, file.read()
