"""Time, and what breaks: the process at four points of a block, the machine with it, and the clock."""

from xinglin.base.check import Failed
from xinglin.engine.codes import EngineCode
from xinglin.sim import bare
from xinglin.sim.codes import Broken, hold
from xinglin.sim.workload import Workload
from xinglin.sim.world import STEP_MS, Point


def wait(workload: Workload) -> None:
    """Mostly a moment, now and then hours."""
    chance = workload.chance
    workload.world.pass_time(STEP_MS * chance.weighted((
        (800, 1 + chance.below(9)), (150, 10 + chance.below(100)), (35, 200 + chance.below(700)),
        (12, 600 * (1 + chance.below(60))), (3, 36_000 * (1 + chance.below(48))))))


def crash(workload: Workload) -> None:
    """The process dies at the next block, at one of four points."""
    workload.world.disarm()
    workload.world.arm(workload.chance.one_of([*Point]))
    workload.do(workload.chance.one_of((bare.burst, Workload.answer, Workload.fetch, Workload.grant,
                                        Workload.import_, Workload.revoke, Workload.request)))


def restart(workload: Workload) -> None:
    """In order; not while the clock is behind the tip."""
    behind = workload.oracle.now_ms - workload.world.clock.now_ms()
    if behind > 4_000:
        workload.world.pass_time(behind)
    workload.world.restart()


def clock_back(workload: Workload) -> None:
    """Somebody sets the clock back; the ledger goes on. A start with a clock far behind is refused."""
    world = workload.world
    if workload.chance.percent(70):
        world.clock.set_back(STEP_MS * (1 + workload.chance.below(30)))
        return
    world.disarm()
    world.close()
    by_ms = world.clock.now_ms() - world.oracle.now_ms + 60_000
    world.clock.set_back(by_ms)
    try:
        world.open_node()
    except Failed as error:
        hold(error.code is EngineCode.CLOCK_BEHIND_TIP, "R2", f"a start with a clock behind the tip: {error}")
    else:
        raise Broken("R2", "a node started with its clock a minute behind the tip")
    world.clock.set_back(-by_ms)
    world.reopen()
