"""The embedded engine: what it commits is what the kernel alone makes of the same blocks."""

import random
from concurrent.futures import Future
from pathlib import Path

import pytest

from homes import Home, Replay, home
from xinglin.base import codec
from xinglin.base.units import MS_PER_HOUR, MS_PER_MINUTE
from xinglin.engine.embedded import Committed
from xinglin.kernel.module import Message
from xinglin.kernel.outcome import Leaf, LeafKind
from xinglin.kernel.tx import NotIncludable

SUBJECTS = [f"patient {number}" for number in range(24)]


def people(home: Home) -> None:
    """Half of the subjects at A, half at B; all but the last four are claimed."""
    service = {name: "AB"[at % 2] + ".service" for at, name in enumerate(SUBJECTS)}
    home.done(*[home.world.register(service[name], name) for name in SUBJECTS])
    for name in SUBJECTS[:20]:
        home.done(home.world.claim(service[name], name))


def step(home: Home, chance: random.Random) -> list[Message]:
    """What someone might want now: often allowed, often not."""
    world = home.world
    subject = chance.choice(SUBJECTS[:20])
    member, grant = chance.choice("ABC"), f"grant {chance.randrange(6)}"
    match chance.randrange(12):
        case 0 | 1 | 2:
            return [world.grant(subject, member, grant, hours=chance.choice((1, 2, 48)))]
        case 3:
            return [world.revoke(subject, member, grant)]
        case 4 | 5:
            return [world.request(f"{member}.doctor", chance.choice(SUBJECTS))]
        case 6:
            return [world.permit(f"{chance.choice('AB')}.service", subject, chance.randrange(1, 9), grant, 1)]
        case 7:
            return [world.deny(f"{chance.choice('AB')}.service", subject, chance.randrange(1, 9))]
        case 8:
            return [world.anchor(f"{chance.choice('AB')}.service", chance.randrange(50))]
        case 9:     # two signers, all or nothing
            return [world.register("A.service", f"new {chance.randrange(200)}"),
                    world.grant(subject, member, f"grant {chance.randrange(40)}")]
        case 10:    # the new key signs too
            name = f"new {chance.randrange(200)}"
            return [world.claim("A.service", name)]
        case _:     # many signers
            return [world.grant(name, member, "shared", hours=3) for name in chance.sample(SUBJECTS[:20], 5)]


@pytest.mark.parametrize("seed", [1])
def test_two_thousand_transactions_commit_to_what_the_reference_ledger_makes_of_them(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with home(tmp_path / "home") as one:
        one.furnished()
        people(one)
        sent: list[Future[Committed]] = []
        while len(sent) < 2_000:
            sent += [one.node.submit(one.raw(*step(one, chance))) for _ in range(chance.choice((1, 1, 7, 60)))]
            if chance.randrange(12) == 0:
                one.node.advance(chance.choice((1, 59_000, MS_PER_MINUTE, MS_PER_HOUR)))
        outcomes = [future.exception() or future.result() for future in sent]
        codes = {outcome.code for outcome in outcomes if isinstance(outcome, Committed | NotIncludable)}
        one.node.settle()
        replay = Replay(one.world)
        one.node.ask(replay.follow)
        kinds = [codec.decode(leaf, Leaf).kind for leaf in replay.leaves.values()]

    assert all(isinstance(outcome, Committed | NotIncludable) for outcome in outcomes)
    assert sum(isinstance(outcome, Committed) for outcome in outcomes) > 1_000
    assert 0 in codes and len(codes) > 8, codes     # it was not all of one kind
    assert kinds.count(LeafKind.TIMER) > 20
    for outcome in outcomes:
        if isinstance(outcome, Committed):
            assert replay.at[outcome.tx_id] == (outcome.height, outcome.index)
            assert replay.leaves[outcome.height, outcome.index] == outcome.leaf
