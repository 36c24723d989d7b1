"""Import of the shipped sample: read, checked, sealed, committed; embedded, every sync real."""

import tempfile
import time
from pathlib import Path
from typing import Any

from xinglin.holder import imports
from xinglin.holder.fhir import read_sample
from xinglin.home import Home, NewOrganisation
from xinglin.kernel.genesis import MemberKind


def run() -> dict[str, Any]:
    """Import it into an empty home, and once more, when nothing has changed."""
    with tempfile.TemporaryDirectory(prefix="xinglin-bench-") as name, Home.create(
            Path(name), "bench", (NewOrganisation("holder", "持有方", "Holder", MemberKind.HOSPITAL),),
            simulated=False, started_ms=time.time_ns() // 1_000_000) as home:
        holder = home.holder(home.organisation("holder"))
        start = time.perf_counter()
        taken = imports.take_in(holder, read_sample())
        first = time.perf_counter()
        again = imports.take_in(holder, read_sample())
        second = time.perf_counter()
    return {"resources": taken.records, "import_per_s": round(taken.records / (first - start)),
            "unchanged": again.unchanged, "unchanged_per_s": round(again.unchanged / (second - first))}
