"""Bare transactions: several in one block in each other's way, copies, late ones, forgeries and floods."""

from xinglin.base.ids import NO_HASH, NO_ID
from xinglin.base.units import MS_PER_HOUR
from xinglin.engine.embedded import Committed
from xinglin.modules import access, consent, members, records
from xinglin.sim.codes import Broken
from xinglin.sim.workload import Ask, Workload
from xinglin.sim.world import Sick


def burst(workload: Workload) -> None:
    """Several in one block, each in the others' way; some twice, some held back, some that were held back."""
    asks: dict[int, Ask] = {}
    raws: list[bytes] = []
    for _ in range(2 + workload.chance.below(6)):
        raw, ask = _any(workload)
        if workload.chance.percent(12):
            workload.held.append(raw)
            continue
        if ask is not None:
            asks[len(raws)] = ask
        raws.append(raw)
        if workload.chance.percent(10):
            raws.append(raw)
    for waiting in (workload.held, workload.in_flight):
        while waiting and workload.chance.percent(60):
            raws.append(waiting.pop(workload.chance.below(len(waiting))))
    results = workload.send(*raws)
    for at, ask in asks.items():
        workload.note_asked(results[at], ask)


def _any(workload: Workload) -> tuple[bytes, Ask | None]:
    chance, world = workload.chance, workload.world
    sick = [one for one in world.sick if one.subject]
    claimed, readers = workload.claimed(), workload.readers()
    kind = chance.weighted(((4, "grant"), (2, "revoke"), (5, "request"), (1, "batch"), (1, "vote"), (1, "two")))
    if kind == "request" and sick and readers:
        return workload.signed_request(chance.one_of(sick), chance.one_of(readers))
    if kind == "grant" and claimed:
        return workload.signed_grant(chance.one_of(claimed), workload.said()), None
    if kind == "revoke" and claimed:
        return world.signed(_revocation(workload, chance.one_of(claimed))), None
    if kind == "two" and claimed:
        one = chance.one_of(claimed)
        return world.signed(*(_revocation(workload, one) for _ in range(1 + chance.below(4)))), None
    if kind == "batch" and sick:
        one = chance.one_of(sick)
        return world.signed(records.Batch(service=world.services[one.hospital], owner=one.subject or b"",
                                          number=1, root=NO_HASH, count=1)), None
    every = [*workload.oracle.status]
    return world.signed(members.Vote(voter=chance.one_of(every), member=chance.one_of(every),
                                     motion=members.Motion.SUSPEND)), None


def _revocation(workload: Workload, sick: Sick) -> consent.Revoke:
    live = workload.live_grants(sick)
    if live and workload.chance.percent(50):
        grantee, own = workload.chance.one_of(live)
    else:
        grantee, own = workload.chance.one_of([*workload.oracle.status]), workload.chance.bytes(16)
    return consent.Revoke(subject=sick.subject or b"", grantee=grantee, grant_id=own)


def copy(workload: Workload) -> None:
    """I3: what was executed is executed no more, whatever is done to its signatures."""
    if not workload.sent:
        return
    raw = workload.chance.one_of([*workload.sent])
    if workload.chance.percent(30):
        raw = _flipped(workload, raw)
    for result in workload.world.send([raw, raw]):
        if isinstance(result, Committed):
            raise Broken("I3", f"a copy was executed at height {result.height}")


def _flipped(workload: Workload, raw: bytes) -> bytes:
    """One bit of the last signature is another."""
    at = len(raw) - 1 - workload.chance.below(64)
    return raw[:at] + bytes([raw[at] ^ 1 << workload.chance.below(8)]) + raw[at + 1:]


def forgery(workload: Workload) -> None:
    """P1, P25: signed by another's key, or with one bit that is not hers, it is no transaction."""
    sick = [one for one in workload.world.sick if one.subject]
    if not sick:
        return
    subject, stranger = workload.chance.one_of(sick).subject or b"", workload.chance.one_of(workload.world.people)
    wanted = consent.Grant(subject=subject, grantee=stranger.member, grant_id=workload.chance.bytes(16), body=NO_HASH,
                           until_h=workload.world.now_ms() // MS_PER_HOUR + 24)
    if workload.chance.percent(50):
        raw = workload.world.signed(wanted, keys={subject: workload.world.keys[stranger.account]})
    else:
        raw = _flipped(workload, workload.world.signed(wanted))
    if isinstance(workload.world.send([raw])[0], Committed):
        raise Broken("P25", "a grant stands that its subject did not sign")


def flood(workload: Workload) -> None:
    """More than a second or a day allows: busy, and nobody else is in its way."""
    claimed, readers = workload.claimed(), workload.readers()
    if not claimed or not readers:
        return
    if workload.chance.percent(50):
        sick = workload.chance.one_of(claimed)
        workload.send(*(workload.world.signed(*(_revocation(workload, sick) for _ in range(30))) for _ in range(3)))
    else:
        reader, subject = workload.chance.one_of(readers), workload.chance.one_of(claimed).subject or b""
        workload.send(*(workload.world.signed(access.Request(
            reader=reader.account, subject=subject, grant_id=NO_ID, key_hash=NO_HASH, body=NO_HASH))
            for _ in range(16)))
