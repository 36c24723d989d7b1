"""New keys for old: accounts rotate theirs, members replace and end each other's, and what has ended tries to sign."""

from xinglin.base.limits import KEY_OVERLAP_MS_MAX
from xinglin.base.units import MS_PER_HOUR
from xinglin.kernel.module import Message
from xinglin.modules import members, subjects
from xinglin.sim.workload import Workload
from xinglin.sim.world import ED25519, Pocket, new_key


def rotate(workload: Workload) -> None:
    """A member, one of its people or its system. A lost answer does no harm: the ledger says which key it is."""
    world, chance = workload.world, workload.chance
    account = chance.one_of([*world.names.values(), *world.services.values(), *(one.account for one in world.people)])
    world.coming.setdefault(account, []).append(new := new_key(chance))
    raw = world.signed(members.RotateKey(account=account, suite=ED25519, key=new.public, old_until_ms=_until(workload)),
                       apart=[new])
    workload.send(raw)
    if not world.crashed():
        world.look()
        late(workload)


def move(workload: Workload) -> None:
    """A patient goes to another wallet, with another seed."""
    claimed = workload.claimed()
    if not claimed:
        return
    sick = workload.chance.one_of(claimed)
    sick.moving = sick.moving or Pocket(workload.chance.bytes(32))
    workload.world.patient(sick).rotate(sick.subject or b"", sick.moving, _until(workload))


def _until(workload: Workload) -> int:
    now_ms = workload.world.now_ms()
    return workload.chance.weighted((
        (6, 0), (2, now_ms + MS_PER_HOUR), (1, now_ms + KEY_OVERLAP_MS_MAX - MS_PER_HOUR),
        (1, now_ms + 2 * KEY_OVERLAP_MS_MAX)))


def motion(workload: Workload) -> None:
    """Members vote about a member's keys; one may be theirs that has lost its own."""
    world, oracle, chance = workload.world, workload.oracle, workload.chance
    active = [one for one in oracle.status if oracle.active(one)]
    voter, member = chance.one_of(active), chance.one_of([*world.names.values()])
    open_now = [*oracle.keys.motions.items()]
    if open_now and chance.percent(75):
        (member, proposer), row = chance.one_of(open_now)
        workload.order(members.VoteKey(voter=voter, proposer=proposer, member=member, motion=row.motion, key=row.key))
        return
    of_two = [one for one in world.names.values() if len(oracle.keys.live(one, oracle.now_ms)) > 1]
    if of_two and chance.percent(60):
        member = chance.one_of(of_two)
    if member not in of_two and chance.percent(80):
        world.coming.setdefault(member, []).append(new := new_key(chance))
        workload.send(world.signed(members.ReplaceKey(proposer=voter, member=member, suite=ED25519, key=new.public),
                                   apart=[new]))
    else:
        workload.order(members.RetireKey(proposer=voter, member=member, key=next(iter(
            oracle.keys.live(member, oracle.now_ms)))))


def late(workload: Workload) -> None:
    """P1: whoever has an old key tries it: to bring one of her own. The oracle sees what comes of it."""
    world, chance = workload.world, workload.chance
    if not world.replaced:
        return
    account, old = chance.one_of(world.replaced)
    thief = new_key(chance)
    message: Message
    if account in workload.oracle.holders:
        message = subjects.RotateKey(subject=account, suite=ED25519, key=thief.public, old_until_ms=0)
    else:
        message = members.RotateKey(account=account, suite=ED25519, key=thief.public, old_until_ms=0)
    workload.send(world.signed(message, keys={account: old}, apart=[thief]))
