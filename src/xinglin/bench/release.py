"""Permit and release of one 20 KB FHIR resource: request, answer, page, decryption, verification; embedded.

The patient has some 250 records in one batch, as Synthea's have. Time is real, so is every sync: the request, what was
handed over for it, permit and openings, the answer, the read log. A sync of 4 KB in the same folder is timed in the
same run, since five of them are most of what is measured.

    python -m xinglin.bench.release 200
"""

import base64
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from xinglin.base.check import NotAuthorised
from xinglin.base.ids import SubjectId
from xinglin.client import Patient, Wallet
from xinglin.client.key_file import KeyFile
from xinglin.client.sealed_file import Strength
from xinglin.holder import asking, claim_codes, imports, shelf
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir import Source
from xinglin.home import Home, NewOrganisation, Staff
from xinglin.kernel.genesis import MemberKind
from xinglin.modules import members
from xinglin.modules.decision import ScopeItem

RECORDS = 250
RESOURCE_BYTES = 20_000
WARM_UP = 5
SYNCED_BYTES = 4_096


def run(n: int) -> dict[str, Any]:
    """Measure `n` releases, each under a permit of its own."""
    with _ward() as (home, subject, document, doctor):
        for _ in range(WARM_UP):
            _release(home, subject, document, doctor)
        cpu = time.process_time()
        steps = [_release(home, subject, document, doctor) for _ in range(n)]
        cpu = time.process_time() - cpu
        syncs = _syncs(home.path, n)
    asked, read = sorted(one[0] for one in steps), sorted(one[1] for one in steps)
    whole = sorted(sum(one) for one in steps)
    return {"releases": n, "records_of_the_subject": RECORDS + 2, "resource_bytes": RESOURCE_BYTES,
            **_spread("release", whole), **_spread("request_and_answer", asked), **_spread("page_and_check", read),
            **_spread("sync_4_kb", syncs), "cpu_ms": round(1_000 * cpu / n, 2),
            "p50_in_syncs": round(whole[n // 2] / syncs[n // 2], 1)}


def _spread(name: str, ordered: list[float]) -> dict[str, float]:
    return {f"{name}_p50_ms": round(1_000 * ordered[len(ordered) // 2], 2),
            f"{name}_p95_ms": round(1_000 * ordered[len(ordered) * 95 // 100], 2)}


def _release(home: Home, subject: SubjectId, document: str, doctor: Staff) -> tuple[float, float]:
    account, key = KeyFile.open(doctor.key_file)
    peer, room = home.peer(subject), home.holder(doctor.organisation)
    start = time.perf_counter()
    asked = asking.ask(room, peer, subject, account, key, purpose="TREAT", reason="follow-up visit",
                       scope=(ScopeItem(data_class="DocumentReference", id=document),))
    answered = time.perf_counter()
    received = asking.fetch_all(home.node, peer, asked)
    asking.taken(room, asked)
    end = time.perf_counter()
    if [len(one.resource) >= RESOURCE_BYTES for one in received] != [True]:
        raise NotAuthorised(HolderCode.NOT_AVAILABLE)
    return answered - start, end - answered


@contextmanager
def _ward() -> Iterator[tuple[Home, SubjectId, str, Staff]]:
    """Two hospitals, a patient who granted, a doctor who may ask, the id of the document."""
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xinglin-bench-")))
        home = stack.enter_context(Home.create(path, "bench", (
            NewOrganisation("holder", "持有方", "Holder", MemberKind.HOSPITAL),
            NewOrganisation("reader", "读取方", "Reader", MemberKind.HOSPITAL)),
            simulated=False, started_ms=time.time_ns() // 1_000_000))
        holder, reader = home.holder(home.organisation("holder")), home.organisation("reader")
        doctor = home.enrol_staff(reader, "doctor", "Doctor", members.Role.PHYSICIAN)
        subject = imports.take_in(holder, _chart()).subjects[0].owner
        wallet = Wallet.create(path / "patient.wallet", "bench", strength=Strength.INTERACTIVE)
        patient = Patient(home.client, wallet)
        door = home.door(subject)
        patient.claim(door, holder.member, subject, claim_codes.issue(holder, subject))
        patient.grant(door, subject, reader.member, scope=(ScopeItem(data_class="DocumentReference", id=""),),
                      purposes=("TREAT",), hours=24, labels=(), wording="My documents.", language="en")
        (document,) = [one.shelved.id for one in shelf.newest(shelf.batches(holder, subject))
                       if one.shelved.source_key.startswith("DocumentReference/")]
        yield home, subject, document, doctor


def _chart() -> Iterator[Source]:
    data = base64.b64encode(secrets.token_bytes(RESOURCE_BYTES * 3 // 4)).decode()
    about = {"reference": "Patient/p"}
    resources: list[dict[str, Any]] = [{"resourceType": "Patient", "id": "p", "birthDate": "1970-01-01"}, {
        "resourceType": "DocumentReference", "id": "d", "status": "current", "subject": about,
        "content": [{"attachment": {"contentType": "application/pdf", "data": data}}]}]
    resources += [{"resourceType": "Observation", "id": f"o{number}", "status": "final", "subject": about,
                   "code": {"text": f"measurement {number}"}, "valueString": "1"} for number in range(RECORDS)]
    for at, resource in enumerate(resources):
        yield Source("bench", f"entry {at}", "", "", resource)


def _syncs(folder: Path, n: int) -> list[float]:
    """Appending 4 KB and syncing it, as a log does."""
    took = []
    with open(folder / "sync", "wb", buffering=0) as file:
        for _ in range(n):
            start = time.perf_counter()
            file.write(bytes(SYNCED_BYTES))
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - start)
    return sorted(took)


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 200), indent=1))
