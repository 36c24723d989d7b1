"""One seed, from founding to the last pending thing."""

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from xinglin.base import codec
from xinglin.base.check import Failed, InvariantBroken
from xinglin.base.ids import NO_HASH
from xinglin.base.units import MS_PER_DAY, MS_PER_HOUR
from xinglin.engine.store import Store
from xinglin.holder import read_log
from xinglin.modules import consent, records
from xinglin.sim import chance, deeds
from xinglin.sim.chance import Chance
from xinglin.sim.codes import Broken, hold
from xinglin.sim.workload import Workload
from xinglin.sim.world import World

STEPS = 500
ROUNDS_MAX = 50
ROUND_MS = (1_000, 61_000, MS_PER_HOUR, MS_PER_DAY)
FAST_FOLDER = Path("/dev/shm")     # memory, where a sync costs nothing; power loss is simulated, not real
COPY_EVERY = 1_000                  # steps


@dataclass(frozen=True)
class Figures:
    """What came of a seed that held."""

    seed: int
    steps: int
    blocks: int
    transactions: int
    accepted: int
    pages: int
    permits: int
    denials: int
    breaches: int
    crashes: int
    restarts: int
    rounds: int
    app_hash: str


def run(seed: int, steps: int = STEPS) -> Figures:
    """Errors  Broken, whose detail ends with the command that repeats it."""
    with ExitStack() as opened:
        opened.enter_context(chance.only(Chance(seed, "process")))
        folder = Path(tempfile.mkdtemp(prefix="xinglin-sim-", dir=FAST_FOLDER if FAST_FOLDER.is_dir() else None))
        opened.callback(shutil.rmtree, folder)
        done = 0
        try:
            world = World(folder, seed)
            opened.callback(world.close)
            world.furnish()
            workload = Workload(world, Chance(seed, "workload"))
            deeds.begin(workload)
            while done < steps:
                done += 1
                deeds.step(workload)
                if done % COPY_EVERY == 0:
                    check_all(workload)
            rounds = finish(workload)
            check_all(workload)
        except Broken as broken:
            raise _repeatable(broken, seed, done) from broken
        except (Failed, InvariantBroken) as error:
            raise _repeatable(Broken("R4", f"{type(error).__name__}: {error}"), seed, done) from error
        return _figures(workload, seed, steps, rounds)


def _repeatable(broken: Broken, seed: int, step: int) -> Broken:
    """With the shortest run that shows it: what comes after the step changes nothing before it."""
    _, _, what = broken.detail.partition(": ")
    step = max(step, 1)            # before the first one it is the founding that shows it
    return Broken(broken.promise, f"{what}. At step {step}: xinglin sim --seed {seed} --steps {step}")


def finish(workload: Workload) -> int:
    """No more faults: everything that is pending comes to its end. How many rounds it took. Errors  Broken."""
    workload.world.disarm()
    for number in range(1, ROUNDS_MAX + 1):
        workload.world.pass_time(ROUND_MS[number % len(ROUND_MS)])
        workload.do(_round)
        if not pending(workload):
            return number
    raise Broken("progress", f"after {ROUNDS_MAX} rounds there is still: {', '.join(pending(workload))}")


def _round(workload: Workload) -> None:
    """Everyone does once what she owes."""
    world, oracle = workload.world, workload.oracle
    again = [*workload.held, *workload.in_flight]
    workload.held.clear()
    workload.in_flight.clear()
    workload.send(*again)
    world.look()
    for subject, number in [*oracle.requests]:
        if oracle.active(oracle.holders[subject]):
            workload.answer_one(subject, number)
    for subject, grantee, own in _to_revoke(workload):
        workload.order(consent.Revoke(subject=subject, grantee=grantee, grant_id=own))
    for member, holder in world.holders.items():
        if oracle.active(member):
            read_log.anchor(holder)


def _to_revoke(workload: Workload) -> list[tuple[bytes, bytes, bytes]]:
    oracle = workload.oracle
    return [one for one in workload.wanted if one[2] in oracle.live(one[0], one[1], oracle.now_ms)]


def pending(workload: Workload) -> list[str]:
    """What still waits for something, in words."""
    oracle = workload.oracle
    unanchored = [member for member, holder in workload.world.holders.items() if oracle.active(member)
                  and read_log.running(holder).count != oracle.anchors.get(member, (0, b""))[0]]
    return [words for words, some in (
        ("a transaction of which nobody knows what became", workload.in_flight), ("an open request", oracle.requests),
        ("a revocation", _to_revoke(workload)), ("reads that are not anchored", unanchored)) if some]


def check_all(workload: Workload) -> None:
    """What is looked at less often: the read logs, the batches, a copy of the ledger. Errors  Broken."""
    world, oracle = workload.world, workload.oracle
    for member, holder in world.holders.items():
        running = NO_HASH
        anchored, expected = oracle.anchors.get(member, (0, NO_HASH)), NO_HASH
        found = []
        for read in read_log.reads(holder):
            found.append((read.subject, read.request, read.page))
            running = read_log.extend(holder, running, codec.encode(read))
            if len(found) == anchored[0]:
                expected = running
        hold(found == workload.left.get(member, []), "I15", "a holder's log lists other reads than there were")
        hold(anchored[1] == expected, "I15", "an anchor is not of the read log")
        for place in found:
            hold(place[:2] in oracle.permits, "I15", "a read without an answer that permits it")
    for owner, roots in oracle.batches.items():
        for number, root in roots.items():
            row = world.watch.shadow.row(records.BATCHES, records.BATCHES.encode_key((owner, number)))
            hold(row is not None and row.root == root, "P1", "a batch of records is not what it was")
    world.watch.forget_old_ids()
    world.watch.check_copy(world.node, Store(world.disk.database), world.folder / "copy")


def _figures(workload: Workload, seed: int, steps: int, rounds: int) -> Figures:
    world, oracle = workload.world, workload.oracle
    return Figures(
        seed=seed, steps=steps, blocks=world.watch.blocks, transactions=world.watch.transactions,
        accepted=world.watch.accepted, pages=sum(map(len, workload.left.values())), permits=len(oracle.permits),
        denials=oracle.denials, breaches=oracle.breaches, crashes=world.crashes, restarts=world.restarts,
        rounds=rounds, app_hash=world.watch.shadow.app_hash.hex())
