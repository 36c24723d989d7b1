"""What organisations do: anchor their read logs, vote on one another, take people on and let them go."""

from xinglin.base.ids import NO_HASH, NO_ID
from xinglin.engine.embedded import Committed
from xinglin.holder import read_log
from xinglin.modules import access, members
from xinglin.sim.codes import Broken
from xinglin.sim.workload import Workload
from xinglin.sim.world import Person, Sick

PEOPLE_MAX = 24


def anchor(workload: Workload) -> None:
    hospital = workload.chance.one_of([*workload.world.holders])
    read_log.anchor(workload.world.holders[hospital], even_unchanged=workload.chance.percent(50))


def motion(workload: Workload) -> None:
    """Members suspend and take back one another; three stay active."""
    every = [*workload.oracle.status]
    active = [one for one in every if workload.oracle.active(one)]
    voter = workload.chance.one_of(active)
    open_now = [*workload.oracle.motions]
    if open_now and workload.chance.percent(75):
        member, motion = workload.chance.one_of(open_now)
        if motion != members.Motion.SUSPEND or len(active) > 3:
            workload.order(members.Vote(voter=voter, member=member, motion=members.Motion(motion)))
        return
    suspended = [one for one in every if workload.oracle.status[one] == "suspended"]
    if suspended:
        workload.order(members.Propose(proposer=voter, member=workload.chance.one_of(suspended),
                                       motion=members.Motion.REINSTATE))
    elif len(active) > 3 and workload.chance.percent(50):
        workload.order(members.Propose(proposer=voter, member=workload.chance.one_of(every),
                                       motion=members.Motion.SUSPEND))


def staff(workload: Workload) -> None:
    """A person comes or goes; a key that has ended signs no more."""
    readers = workload.readers()
    if len(readers) > 4 and workload.chance.percent(60):
        gone = workload.chance.one_of(readers)
        workload.order(members.EndStaff(member=gone.member, account=gone.account))
        if workload.chance.percent(50) and not workload.world.crashed():
            workload.world.look()
            there = [sick for sick in workload.world.sick if sick.subject]
            if there:
                _late_request(workload, workload.chance.one_of(there), gone)
    elif len(workload.world.people) < PEOPLE_MAX:
        member = workload.chance.one_of([*workload.world.names.values()])
        workload.world.enrol(member, workload.chance.one_of((members.Role.PHYSICIAN, members.Role.NURSE)))
    elif not readers or workload.chance.percent(50):
        workload.world.people = [one for one in workload.world.people if workload.oracle.staff[one.account][2]]


def _late_request(workload: Workload, sick: Sick, gone: Person) -> None:
    raw = workload.world.signed(access.Request(reader=gone.account, subject=sick.subject or b"", grant_id=NO_ID,
                                               key_hash=NO_HASH, body=NO_HASH))
    result = workload.world.send([raw])[0]
    if isinstance(result, Committed) and not workload.oracle.staff[gone.account][2]:
        raise Broken("P1", "a key that has ended signed a transaction")
