"""How often each deed comes, and a step: some time passes, then one deed."""

from collections.abc import Callable

from xinglin.sim import bare, faults, keys, organisations
from xinglin.sim.workload import Workload

DEEDS: tuple[tuple[int, Callable[[Workload], None]], ...] = (
    (40, Workload.import_), (30, Workload.claim), (110, Workload.grant), (45, Workload.revoke),
    (200, Workload.request), (220, Workload.answer), (230, Workload.fetch), (20, Workload.history),
    (15, Workload.late_body), (25, organisations.anchor), (40, organisations.motion), (20, organisations.staff),
    (25, keys.rotate), (10, keys.move), (40, keys.motion), (10, keys.late),
    (90, bare.burst), (30, bare.copy), (15, bare.forgery), (6, bare.flood),
    (9, faults.crash), (3, faults.restart), (6, faults.clock_back))


def begin(workload: Workload) -> None:
    """A few patients, so that there is something to ask for. Errors  Broken."""
    for deed in (Workload.import_, Workload.import_, Workload.import_, Workload.claim, Workload.claim,
                 Workload.grant, Workload.grant, Workload.grant):
        workload.do(faults.wait)
        workload.do(deed)


def step(workload: Workload) -> None:
    """Errors  Broken."""
    workload.do(faults.wait)
    workload.do(workload.chance.weighted(DEEDS))
