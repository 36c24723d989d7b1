"""A ledger with something of everything in it, and lies planted in its store."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from homes import Home
from worlds import key_named, named
from xinglin.base import codec
from xinglin.base.policy import Policy
from xinglin.base.units import MS_PER_HOUR
from xinglin.engine.ledger import BlockRow
from xinglin.engine.store import Store
from xinglin.modules.members import KeyMotion

LEAVES_WANTED = 300                # more than fill a tile of the history tree


def lived(folder: Path) -> Home:
    """An open home in which everything has happened: grants, requests, answers, breaches, refusals, timers."""
    made = Home(folder).furnished()
    world = made.world
    made.done(world.batch("A.service", "mei", 1))
    made.done(world.grant("mei", "B", "g1", hours=48), world.grant("mei", "C", "g2", hours=1))
    made.done(world.request("B.doctor", "mei", "g1"))
    made.done(world.permit("A.service", "mei", 1, "g1", 1))
    made.done(world.request("B.doctor", "mei"))
    made.done(world.request("B.doctor", "li"))
    made.node.publish(Policy())
    made.node.change_checkpoint_key(hashlib.sha256(b"key of another year").digest())
    made.done(world.revoke("mei", "B", "g1"))
    assert made.order(world.revoke("mei", "B", "g1")).code
    assert made.order(world.claim("A.service", "mei"), world.register("A.service", "mei")).code
    made.node.advance(MS_PER_HOUR)             # nobody answered, and a grant ran out
    for number in range(1, LEAVES_WANTED, 100):
        for future in [made.node.submit(made.raw(world.anchor("A.service", number + each))) for each in range(100)]:
            future.result()
    made.node.publish(Policy())
    rotate_keys(made)
    made.done(world.grant("li", "B", "g3", hours=24), world.grant("zhao", "A", "g4", hours=2))
    made.done(*[world.register("A.service", f"patient {number}") for number in range(40)])
    return made


def rotate_keys(made: Home) -> None:
    """New keys for old, of everyone who may have one: by themselves, and for an organisation by the votes of all."""
    world = made.world
    for account in ("A.service", "B.doctor"):
        made.done(world.rotate(account, f"{account} anew"))
        world.keys[named(account)] = key_named(f"{account} anew")
    made.done(world.rotate_subject("mei", "mei anew", world.time_ms + MS_PER_HOUR))
    world.keys[named("mei")] = key_named("mei anew")
    made.done(world.replace_key("A", "C", "C anew"))
    for voter in ("B", "C"):
        made.done(world.vote_key(voter, "A", "C", KeyMotion.REPLACE, "C anew"))
    world.keys[named("C")] = key_named("C anew")
    made.done(world.rotate("A", "A anew", world.time_ms + MS_PER_HOUR))
    made.done(world.retire_key("B", "A", "A"))
    for voter in ("A", "C"):           # the first with the very key
        made.done(world.vote_key(voter, "B", "A", KeyMotion.RETIRE, "A"))
    world.keys[named("A")] = key_named("A anew")


@contextmanager
def stored(folder: Path) -> Iterator[Store]:
    store = Store.open(folder / "store")
    try:
        yield store
    finally:
        store.close()


def put(folder: Path, changes: Mapping[bytes, bytes | None]) -> dict[bytes, bytes | None]:
    """Write over these keys, None to delete; what stood there before."""
    with stored(folder) as store:
        before = {key: store.get(key) for key in changes}
        batch = store.batch()
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        store.write(batch)
        store.sync()
    return before


@contextmanager
def planted(folder: Path, changes: Mapping[bytes, bytes | None]) -> Iterator[None]:
    """The ledger lies while inside."""
    before = put(folder, changes)
    try:
        yield
    finally:
        put(folder, before)


def block_at(store: Store, height: int) -> BlockRow:
    found: BlockRow = codec.decode(store.need(b"k" + height.to_bytes(8, "big")), BlockRow)
    return found


def flipped(data: bytes, bit: int) -> bytes:
    number = int.from_bytes(data, "big") ^ 1 << bit % (8 * len(data))
    return number.to_bytes(len(data), "big")
