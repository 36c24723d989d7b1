"""A transaction exists with every listed signature in place and valid, in its window, once; or it does not exist.

Whoever is between signer and network can strip, add, reorder, alter and replay. Nothing of that leaves a leaf or uses
up an id, so the signer's own bytes still work afterwards (safety.md P20; the REPLAY row of its table).
"""

import random
from typing import Any

import pytest

from mutations import mutated
from worlds import STARTED_MS, World, key_named, named
from xinglin.base import codec
from xinglin.base.check import NotUnderstood
from xinglin.base.crypto import key_hash
from xinglin.base.limits import MESSAGES_PER_TX_MAX, SIGNERS_PER_TX_MAX, TX_BYTES_MAX, TX_WINDOW_MS
from xinglin.base.units import MS_PER_MINUTE
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.module import Message
from xinglin.kernel.tx import SIGN_DOMAIN, NotIncludable, Transaction

VARIANTS = 5_000


def parts(raw: bytes) -> tuple[list[Any], tuple[bytes, ...]]:
    outer = codec.decode(raw, Transaction)
    return codec.decoder(Any).decode(outer.body), outer.signatures


def built(body: list[Any], signatures: tuple[bytes, ...]) -> bytes:
    return codec.encode(Transaction(body=codec.encode(body), signatures=signatures))


def of_three_signers(world: World) -> bytes:
    """The holder's service, a new patient and a doctor, in one transaction."""
    return world.transaction(world.claim("A.service", "wang"), world.grant("wang", "B", "g1"),
                             world.request("B.doctor", "wang"), expires_at_ms=world.time_ms + TX_WINDOW_MS)


def spoilt(chance: random.Random, world: World, raw: bytes, strangers: bytes) -> bytes:
    """A variant of `raw` that its signers never made."""
    body, signatures = parts(raw)
    other_body, foreign = parts(strangers)
    at = chance.randrange(len(signatures))
    match chance.randrange(14):
        case 0:
            signatures = signatures[:at] + signatures[at + 1:]
        case 1:
            signatures = (*signatures[:at], chance.choice((*signatures, *foreign)), *signatures[at:])
        case 2:
            signatures = tuple(chance.sample(signatures, len(signatures)))
        case 3:
            signatures = (*signatures[:at], foreign[at % len(foreign)], *signatures[at + 1:])
        case 4:
            signatures = (*signatures[:at], flipped(chance, signatures[at]), *signatures[at + 1:])
        case 5:
            body[3] = chance.sample(body[3], len(body[3]))
        case 6:
            body[3], signatures = body[3][:at] + body[3][at + 1:], signatures[:at] + signatures[at + 1:]
        case 7:
            key = key_named("stranger")
            body[3] = [*body[3], [named("stranger"), key_hash(world.hashes, key.suite, key.public)]]
            signatures = (*signatures, key.sign(SIGN_DOMAIN + codec.encode(body)))
        case 8:
            key = key_named("stranger")
            body[3][at] = [body[3][at][0], key_hash(world.hashes, key.suite, key.public)]
            signatures = (*signatures[:at], key.sign(SIGN_DOMAIN + codec.encode(body)), *signatures[at + 1:])
        case 9:
            body[0] = flipped(chance, body[0])
        case 10:
            body[1] += chance.choice((-1, 1, 1_000, -TX_WINDOW_MS, 2**40))
        case 11:
            body[2] = flipped(chance, body[2])
        case 12:
            body[4] = chance.choice((body[4][:-1], body[4][1:], other_body[4], body[4] + other_body[4]))
        case _:
            return mutated(chance, [raw])
    return built(body, signatures)


def flipped(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1:]


def test_five_thousand_spoilt_variants_burn_nothing_and_the_original_still_works() -> None:
    chance = random.Random(20)
    world = World().furnished()
    raw = of_three_signers(world)
    strangers = world.transaction(world.claim("A.service", "wang"), world.grant("mei", "C", "g1"))
    before = (dict(world.ledger.rows), world.ledger.app_hash)
    codes: set[int] = set()
    tried = 0
    while tried < VARIANTS:
        variant = spoilt(chance, world, raw, strangers)
        if variant == raw:
            continue
        tried += 1
        with pytest.raises(NotIncludable) as caught:
            world.includable(variant)
        codes.add(caught.value.code)
    assert before == (world.ledger.rows, world.ledger.app_hash)
    assert codes == set(range(2, 10)) - {KernelCode.TX_TOO_LARGE}
    (outcome,) = world.block(raw).outcomes
    assert outcome.code == 0


def test_the_same_bytes_are_a_transaction_once() -> None:
    world = World().furnished()
    raw = of_three_signers(world)
    world.block(raw)
    for ms in (1, 1_000, TX_WINDOW_MS - 10_000):
        world.wait(ms)
        with pytest.raises(NotIncludable, match="ALREADY_EXECUTED"):
            world.includable(raw)
    world.wait(60_000)
    with pytest.raises(NotIncludable, match="TX_EXPIRED"):
        world.includable(raw)


@pytest.mark.parametrize(("ahead_ms", "code"), [
    (-(2**40), KernelCode.TX_EXPIRED), (-1, KernelCode.TX_EXPIRED), (0, KernelCode.TX_EXPIRED), (1, None),
    (TX_WINDOW_MS, None), (TX_WINDOW_MS + 1, KernelCode.EXPIRY_TOO_FAR_AHEAD), (2**60, KernelCode.EXPIRY_TOO_FAR_AHEAD),
])
def test_an_expiry_lies_within_ten_minutes_from_now(ahead_ms: int, code: KernelCode | None) -> None:
    world = World().furnished()
    raw = world.transaction(world.request("B.doctor", "mei"), expires_at_ms=max(1, world.time_ms + ahead_ms))
    assert refusal(world, raw) == code


def test_no_executed_id_comes_back_at_any_later_moment() -> None:
    """Minute by minute past its expiry, blocks dropping old buckets as they go."""
    world = World().furnished()
    raw = world.transaction(world.request("B.doctor", "mei"),
                            expires_at_ms=STARTED_MS + 9 * MS_PER_MINUTE + 59_999)
    world.block(raw)
    for _ in range(30):
        world.wait(30_000)
        world.done(world.request("C.doctor", "mei"))
        assert refusal(world, raw) in (KernelCode.ALREADY_EXECUTED, KernelCode.TX_EXPIRED)


def test_a_transaction_of_one_network_is_none_of_another() -> None:
    one, two = World().furnished(), World(founders=("A", "B", "C", "D")).furnished()
    assert refusal(two, one.transaction(one.request("B.doctor", "mei"))) == KernelCode.WRONG_NETWORK


def test_limits_of_a_transaction_are_held_at_their_very_edge() -> None:
    world = World().furnished()
    asked = world.request("B.doctor", "mei")
    assert refusal(world, world.transaction(*[asked] * MESSAGES_PER_TX_MAX)) is None
    assert refusal(world, world.transaction(*[asked] * (MESSAGES_PER_TX_MAX + 1))) == KernelCode.TX_NOT_UNDERSTOOD
    assert refusal(world, bytes(TX_BYTES_MAX)) == KernelCode.TX_NOT_UNDERSTOOD
    assert refusal(world, bytes(TX_BYTES_MAX + 1)) == KernelCode.TX_TOO_LARGE
    services = [f"S{number}" for number in range(SIGNERS_PER_TX_MAX + 1)]
    for service in services:
        world.done(world.enrol_service("A", service))
    many: list[Message] = [world.anchor(service, number) for number, service in enumerate(services, 1)]
    assert refusal(world, world.transaction(*many[:-1])) is None
    assert refusal(world, world.transaction(*many)) == KernelCode.TX_NOT_UNDERSTOOD


def refusal(world: World, raw: bytes) -> KernelCode | None:
    try:
        world.includable(raw)
    except NotIncludable as error:
        return KernelCode(error.code)
    return None


# -- nobody signs for another


def test_a_stranger_without_an_account_can_leave_nothing_on_the_chain() -> None:
    """A newcomer's own key once sufficed, when it was named as proposer as well; nobody paid for the leaf."""
    world = World().furnished()
    stranger = world.key("stranger")
    for message in (world.invite("stranger", "stranger"), world.enrol_staff("stranger", "stranger"),
                    world.enrol_service("stranger", "stranger"), world.claim("stranger", "stranger"),
                    world.request("stranger", "mei"), world.revoke("stranger", "B", "g1")):
        assert refusal(world, world.transaction(message)) == KernelCode.SIGNER_UNKNOWN
        assert refusal(world, world.transaction(message, world.invite("A", "other"),
                                                keys={named("A"): stranger})) == KernelCode.SIGNER_UNKNOWN


def test_a_key_that_one_message_brings_signs_for_no_other_account() -> None:
    world = World().furnished()
    thief = key_named("thief")
    enrol = world.enrol_staff("B", "thief")
    for victim, stolen in (("mei", world.grant("mei", "B", "g1")), ("C.doctor", world.request("C.doctor", "mei")),
                           ("A.service", world.deny("A.service", "mei", 1)), ("C", world.end_staff("C", "C.doctor"))):
        raw = world.transaction(enrol, stolen, keys={named(victim): thief})
        assert refusal(world, raw) == KernelCode.SIGNER_UNKNOWN


def test_bringing_a_key_for_somebody_elses_account_takes_nothing_over() -> None:
    """Where the account has a key it is no transaction; where it has none, all that the new key signs falls with it."""
    world = World().furnished()
    thief = key_named("thief")
    enrol = world.enrol_staff("B", "C.doctor")
    forged = type(enrol)(member=enrol.member, account=enrol.account, role=enrol.role, custody=enrol.custody,
                         suite=thief.suite, key=thief.public, card=enrol.card)
    for messages in ((forged, world.request("C.doctor", "mei")), (forged, world.end_staff("B", "B.doctor"))):
        raw = world.transaction(*messages, keys={named("C.doctor"): thief})
        assert refusal(world, raw) == KernelCode.SIGNER_UNKNOWN
    forged_claim = type(world.claim("B.service", "wang"))(
        service=named("B.service"), subject=named("wang"), suite=thief.suite, key=thief.public)
    before = world.domain_rows()
    result = world.do(forged_claim, world.grant("wang", "B", "g1"), keys={named("wang"): thief})
    assert world.code(result.code).name == "SUBJECT_OF_ANOTHER_HOLDER"
    assert world.domain_rows() == before


def test_a_new_key_that_does_not_sign_is_no_transaction() -> None:
    world = World().furnished()
    for message in (world.enrol_staff("B", "B.new"), world.enrol_service("B", "B.new"), world.invite("B", "B.new"),
                    world.claim("A.service", "wang")):
        account = named("wang") if hasattr(message, "subject") else named("B.new")
        raw = world.transaction(message, keys={account: key_named("other")})
        assert refusal(world, raw) == KernelCode.SIGNERS_DO_NOT_MATCH


def test_another_encoding_of_the_same_body_is_no_transaction() -> None:
    world = World().furnished()
    raw = world.transaction(world.request("B.doctor", "mei"))
    outer = codec.decode(raw, Transaction)
    long_head = b"\xdc\x00\x05" + outer.body[1:]             # an array of five, its length in two bytes more
    signature = world.key("B.doctor").sign(SIGN_DOMAIN + long_head)
    assert refusal(world, codec.encode(Transaction(body=long_head, signatures=(signature,)))) == (
        KernelCode.TX_NOT_UNDERSTOOD)
    assert refusal(world, raw + b"\x00") == KernelCode.TX_NOT_UNDERSTOOD
    with pytest.raises(NotUnderstood):
        codec.decode(b"\xdc\x00\x02" + raw[1:], Transaction)
