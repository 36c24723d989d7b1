"""What is let in: window, copies, and every listed signature present, in place and valid; nothing else burns an id."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from homes import Home, home
from passkeys import Passkey
from rows import Span
from worlds import key_named
from xinglin.base import codec
from xinglin.base.check import Busy
from xinglin.base.crypto import SignatureSuite, SigningKey
from xinglin.base.limits import TX_LONG_WINDOW_MS, TX_WINDOW_MS
from xinglin.base.units import MS_PER_MINUTE
from xinglin.engine import door, embedded
from xinglin.engine.clock import SimulatedClock
from xinglin.engine.embedded import Committed
from xinglin.engine.signatures import Helper, hold
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.tx import Body, Check, NotIncludable, Transaction


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path / "home", units_per_second=2**32 - 1) as made:
        yield made.furnished()


def refusal(one: Home, raw: bytes) -> KernelCode:
    with pytest.raises(NotIncludable) as refused:
        one.node.order(raw)
    code = refused.value.code
    assert isinstance(code, KernelCode)
    return code


def sent(one: Home, raw: bytes) -> "Future[Committed]":
    """What will be heard of it, at the door or later; again while it is busy."""
    while True:
        try:
            return one.node.submit(raw)
        except Busy:
            time.sleep(0.001)
        except NotIncludable as error:
            told: Future[Committed] = Future()
            told.set_exception(error)
            return told


# -- the window

def test_what_has_expired_is_not_let_in(one: Home) -> None:
    raw = one.raw(one.world.register("A.service", "s"), expires_in_ms=60_000)
    one.node.advance(60_000)
    assert refusal(one, raw) is KernelCode.TX_EXPIRED


def test_what_expires_while_its_signatures_are_verified_is_not_executed(
        one: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = one.raw(one.world.register("A.service", "s"))
    clock = one.node.clock
    assert isinstance(clock, SimulatedClock)

    def slow_hold(some: list[Check]) -> bool:
        clock.advance(MS_PER_MINUTE)
        return hold(some)
    monkeypatch.setattr(embedded, "hold", slow_hold)
    assert refusal(one, raw) is KernelCode.TX_EXPIRED
    assert one.node.ask(lambda ledger: ledger.find(one.world.reader.read(raw).id)) is None


def test_an_expiry_further_ahead_than_the_window_is_not_let_in(one: Home) -> None:
    # Time moves on between signing and admission, so a minute is left on either side.
    message = one.world.register("A.service", "s")
    assert one.node.order(one.raw(message, expires_in_ms=TX_WINDOW_MS - MS_PER_MINUTE)).code == 0
    raw = one.raw(one.world.register("A.service", "t"), expires_in_ms=TX_WINDOW_MS + MS_PER_MINUTE)
    assert refusal(one, raw) is KernelCode.EXPIRY_TOO_FAR_AHEAD
    one.node.advance(2 * MS_PER_MINUTE)
    assert one.node.order(raw).code == 0            # no id was burnt


def test_only_a_transaction_whose_messages_are_all_of_a_listed_type_has_the_long_window(one: Home) -> None:
    far = TX_LONG_WINDOW_MS - MS_PER_MINUTE
    listed = [message for message, spec in one.world.modules.messages.items() if spec.long_window]
    grant, register = one.world.grant("mei", "B", "g1"), one.world.register("A.service", "s")
    for message in (grant, register):
        if type(message) in listed:
            assert one.node.order(one.raw(message, expires_in_ms=far)).code == 0
        else:
            assert refusal(one, one.raw(message, expires_in_ms=far)) is KernelCode.EXPIRY_TOO_FAR_AHEAD
    assert refusal(one, one.raw(grant, register, expires_in_ms=far)) is KernelCode.EXPIRY_TOO_FAR_AHEAD


# -- copies

def test_what_was_executed_is_not_executed_again_not_even_after_a_restart(one: Home) -> None:
    good = one.raw(one.world.register("A.service", "s"))
    refused = one.raw(one.world.revoke("mei", "B", "no such"))
    assert one.node.order(good).code == 0
    assert one.node.order(refused).code != 0        # a refusal counts too
    for _ in range(3):
        for raw in (good, refused):
            assert refusal(one, raw) is KernelCode.ALREADY_EXECUTED
        one.reopen()
    one.node.advance(30_000)                        # far from its end: what runs here may be slow
    assert refusal(one, good) is KernelCode.ALREADY_EXECUTED
    one.node.advance(2 * MS_PER_MINUTE)
    one.done(one.world.register("A.service", "t"))  # a block, with which the bucket of that minute goes
    assert refusal(one, good) is KernelCode.TX_EXPIRED
    one.reopen()
    assert refusal(one, good) is KernelCode.TX_EXPIRED


def test_of_many_copies_sent_at_once_one_is_executed(one: Home) -> None:
    raws = [one.raw(one.world.register("A.service", f"s{number}")) for number in range(20)]
    copies = [raw for raw in raws for _ in range(5)]
    random.Random(1).shuffle(copies)
    futures = [one.node.submit(raw) for raw in copies]
    results = [future.exception(20) or future.result() for future in futures]
    assert sum(isinstance(result, Committed) for result in results) == 20
    assert all(isinstance(result, Committed) or result.code is KernelCode.ALREADY_EXECUTED  # type: ignore[attr-defined]
               for result in results)


# -- forgeries

def parts(raw: bytes) -> tuple[bytes, list[bytes]]:
    outer = codec.decode(raw, Transaction)
    return outer.body, list(outer.signatures)


def whole(body: bytes, signatures: list[bytes]) -> bytes:
    return codec.encode(Transaction(body=body, signatures=tuple(signatures)))


def flipped(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1:]


def forgery(raw: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """`raw` with its signatures or body tampered with, as someone without the keys could."""
    body, signatures = parts(raw)
    match chance.randrange(9):
        case 0:
            signatures.pop(chance.randrange(len(signatures)))
        case 1:
            signatures.insert(chance.randrange(len(signatures) + 1), chance.choice(signatures))
        case 2:
            signatures = signatures[1:] + signatures[:1] if len(signatures) > 1 else [b""]
        case 3:
            at = chance.randrange(len(signatures))
            signatures[at] = chance.choice(parts(chance.choice(others))[1])
        case 4:
            at = chance.randrange(len(signatures))
            signatures[at] = flipped(signatures[at], chance)
        case 5:
            at = chance.randrange(len(signatures))
            signatures[at] = chance.choice((b"", bytes(64), signatures[at][:-1], signatures[at] + b"\0",
                                            chance.randbytes(64), bytes(4_096)))
        case 6:
            body = flipped(body, chance)
        case 7:
            body = parts(chance.choice(others))[0]
        case _:
            return flipped(raw, chance)
    return whole(body, signatures)


def forgeries(one: Home, span: Span) -> None:
    """Send what was never signed so, then what was, then that once more."""
    chance, world = random.Random(span.first), one.world
    for number in range(8):
        one.done(world.register("A.service", f"p{number}"))
    raws = [one.raw(world.register("A.service", f"s{number}")) for number in range(8)]
    raws += [one.raw(world.claim("A.service", f"p{number}")) for number in range(8)]
    raws += [one.raw(*[world.grant(name, "B", f"g{number}") for name in ("mei", "li", "zhao")]) for number in range(8)]
    forged: list[bytes] = []
    while len(forged) < span.count:
        raw = chance.choice(raws)
        forged.append(forgery(raw, [other for other in raws if other != raw], chance))
    forged = [raw for raw in forged if raw not in raws]
    errors = [future.exception(60) for future in [sent(one, raw) for raw in forged]]

    assert all(isinstance(error, NotIncludable) for error in errors), "what nobody signed was executed"
    codes = {error.code for error in errors if isinstance(error, NotIncludable)}
    assert {KernelCode.SIGNATURE_NOT_VALID, KernelCode.SIGNATURES_DO_NOT_MATCH, KernelCode.TX_NOT_UNDERSTOOD,
            KernelCode.WRONG_NETWORK, KernelCode.SIGNER_UNKNOWN, KernelCode.SIGNERS_DO_NOT_MATCH} <= codes
    assert KernelCode.ALREADY_EXECUTED not in codes
    assert [sent(one, raw).result(60).code for raw in raws] == [0] * len(raws)
    again = [sent(one, raw).exception(60) for raw in raws]
    assert all(isinstance(error, NotIncludable) and error.code is KernelCode.ALREADY_EXECUTED
               for error in again), "a transaction was executed twice"


@pytest.mark.row("REPLAY")
def test_forgeries_and_replays_are_refused_and_burn_no_id(one: Home, span: Span) -> None:
    forgeries(one, span)


@pytest.mark.parametrize("planted", [
    (("xinglin.engine.embedded.hold", "xinglin.engine.door.hold"), lambda checks: True,
     "what nobody signed was executed"),
    (("xinglin.engine.ledger.Ledger.executed",), lambda self, minute, short_id: False,
     "a transaction was executed twice"),
], ids=["no signature is verified", "no id is remembered"])
def test_a_planted_hole_at_the_door_is_found(
        one: Home, planted: tuple[tuple[str, ...], Any, str], monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, found = planted
    for name in where:
        monkeypatch.setattr(name, what)
    monkeypatch.setattr(one.node.engine, "_inline_checks_max", 10**6)     # none in the helper process
    with pytest.raises(AssertionError, match=found):
        forgeries(one, Span(0, 1_000))


def test_signers_in_another_order_or_beyond_need_are_no_transaction(one: Home) -> None:
    """Signed anew by everyone, so every signature holds: the list itself is wrong."""
    raw = one.raw(one.world.enrol_staff("A", "nurse"))
    body = codec.decode(parts(raw)[0], Body[one.world.modules.message_type])  # type: ignore[name-defined]
    first, second = body.signers
    for signers in ((second, first), (first,), (first, second, first)):
        changed = codec.encode(Body(network=body.network, expires_at_ms=body.expires_at_ms, nonce=body.nonce,
                                    signers=signers, messages=body.messages))
        names = {first.account: "A", second.account: "nurse"}
        signatures = [key_named(names[signer.account]).sign(b"xinglin/tx/1\x00" + changed) for signer in signers]
        assert refusal(one, whole(changed, signatures)) is KernelCode.SIGNERS_DO_NOT_MATCH
    assert one.node.order(raw).code == 0


# -- where signatures are verified

def checks(chance: random.Random) -> list[Check]:
    """Good and bad ones of every suite."""
    found = []
    for suite in SignatureSuite:
        for seed in range(3):
            message = chance.randbytes(chance.choice((0, 1, 300)))
            if suite is SignatureSuite.WEBAUTHN_P256:
                passkey = Passkey(seed + 1)
                key, signature = passkey.public, passkey.sign(message)
            else:
                signing = SigningKey.from_seed(suite, bytes([seed + 1]) * 32)
                key, signature = signing.public, signing.sign(message)
            good = Check(suite, key, message, signature)
            found += [good, *[good._replace(signature=other) for other in (
                flipped(signature, chance), b"", chance.randbytes(len(signature)), bytes(4_096))]]
            found += [good._replace(key=other) for other in (
                flipped(key, chance), b"", chance.randbytes(len(key)), key + b"\0")]
            found.append(good._replace(message=message + b"."))
    return found


def test_the_helper_process_and_this_one_agree_on_every_suite() -> None:
    chance = random.Random(5)
    helper = Helper()
    try:
        for _ in range(5):
            some = checks(chance)
            helper.send(some)
            here = [hold((check,)) for check in some]
            assert list(helper.receive(len(some))) == [int(verdict) for verdict in here]
            assert here.count(True) >= 3 * len(SignatureSuite) and here.count(False) > 50
    finally:
        helper.close()


@pytest.mark.parametrize("together", [1, 2, 40])
def test_one_bad_signature_spoils_no_other_transaction_however_many_are_verified_at_once(
        one: Home, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "DISTRUST_MS", 0)     # or only the first would get past the door
    raws = [one.raw(*[one.world.grant(name, "B", f"g{number}") for name in ("mei", "li")]) for number in range(30)]
    for at in range(0, 30, 3):
        body, signatures = parts(raws[at])
        raws[at] = whole(body, [signatures[0], flipped(signatures[1], random.Random(at))])
    for first in range(0, 30, together):
        futures = [one.node.submit(raw) for raw in raws[first:first + together]]
        for at, future in enumerate(futures, first):
            error = future.exception(20)
            assert (error is not None) == (at % 3 == 0)
            assert error is None or getattr(error, "code", 0) is KernelCode.SIGNATURE_NOT_VALID
