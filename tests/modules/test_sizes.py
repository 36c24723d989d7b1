"""Bytes on the ledger for each piece of work: bodies alone, as domains.md 0.5 counts them."""

from worlds import World
from xinglin.base import codec
from xinglin.kernel.module import Message
from xinglin.kernel.tx import Transaction

CONSENT_CHANGE_BYTES_MAX = 600
ACCESS_BYTES_MAX = 600


def body_bytes(world: World, *messages: Message) -> int:
    return len(codec.decode(world.transaction(*messages), Transaction).body)


def test_a_consent_change_is_at_most_600_bytes() -> None:
    world = World().furnished()
    sizes = {"grant": body_bytes(world, world.grant("mei", "B", "g1", hours=87_840)),
             "revoke": body_bytes(world, world.revoke("mei", "B", "g1"))}
    assert max(sizes.values()) <= CONSENT_CHANGE_BYTES_MAX, sizes


def test_a_request_and_its_answer_are_at_most_600_bytes_together() -> None:
    world = World().furnished()
    large = 2**32 - 1
    sizes = (body_bytes(world, world.request("B.doctor", "mei", "g1")),
             body_bytes(world, world.permit("A.service", "mei", large, "g1", large)))
    assert sum(sizes) <= ACCESS_BYTES_MAX, sizes
