"""An operator who signs what cannot be: all hashes and signatures hold, and the file is refused for what it says."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from worlds import World, content, key_named, named
from xinglin.base import codec, note
from xinglin.base.check import NotVerified
from xinglin.base.crypto import SHA256
from xinglin.base.history import tree
from xinglin.base.limits import PROOF_FILE_BYTES_MAX
from xinglin.base.note import Checkpoint
from xinglin.kernel.accounts import Custody
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.genesis import chain_id
from xinglin.kernel.module import Event
from xinglin.kernel.outcome import (
    NONE_FAILED,
    Closing,
    Envelope,
    Leaf,
    LeafKind,
    TimerEnvelope,
    events_hash,
)
from xinglin.kernel.receipt import (
    InHistory,
    Receipt,
    VerifiedReceipt,
    origin,
    read_file,
    verify_receipt,
)
from xinglin.modules import consent, subjects

WORLD = World(founders=("A", "B"))
ENVELOPE = Envelope(tx_id=content("tx"), signers=(named("A"),), custody=(Custody.OWN,), tags=("consent.revoke/1",),
                    code=0, failed=NONE_FAILED)
TIMER = TimerEnvelope(table="consent/grants", due_ms=7)
REGISTERED = subjects.Registered(subject=named("mei"), holder=named("A"))
REVOKED = consent.Revoked(subject=named("mei"), grantee=named("B"), grant_id=named("g1"), epoch=2)
REFUSED = structs.replace(ENVELOPE, code=203, failed=0)
LEAF = Leaf(kind=LeafKind.TX, height=5, index=0, full_hash=content("raw"), code=0, events_hash=bytes(32))
CLOSING = Closing(kind=LeafKind.CLOSING, height=5, time_ms=9, state_root=content("state"),
                  module_set=WORLD.manifest.module_set)


def said(*events: Event, leaf: Leaf = LEAF, closing: Any = CLOSING, upside_down: bool = False) -> Receipt:
    """What the operator signs: a log of a first leaf, this outcome and this closing leaf."""
    data = codec.encode(events)
    leaves = [b"before", codec.encode(structs.replace(leaf, events_hash=events_hash(SHA256, data))),
              codec.encode(closing)]
    order = [0, 2, 1] if upside_down else [0, 1, 2]
    built = tree(SHA256, [leaves[at] for at in order])
    places = [InHistory(leaf=leaves[which], index=order.index(which), path=tuple(built.path(order.index(which))))
              for which in (1, 2)]
    checkpoint = note.sign(Checkpoint(origin(chain_id(WORLD.manifest)), 3, built.root), "operator",
                           key_named("checkpoint"))
    return Receipt(manifest=codec.encode(WORLD.manifest), checkpoint=checkpoint, outcome=places[0], closing=places[1],
                   events=data)


def verified(receipt: Receipt) -> VerifiedReceipt:
    return verify_receipt(receipt, WORLD.network, WORLD.modules)


TIMER_LEAF = structs.replace(LEAF, kind=LeafKind.TIMER)
REFUSED_LEAF = structs.replace(LEAF, code=203)

TRUE: dict[str, Callable[[], Receipt]] = {
    "a transaction": lambda: said(ENVELOPE, REVOKED),
    "a refusal": lambda: said(REFUSED, leaf=REFUSED_LEAF),
    "a timer": lambda: said(TIMER, REVOKED, leaf=TIMER_LEAF),
    "two messages": lambda: said(structs.replace(ENVELOPE, tags=ENVELOPE.tags * 2), REVOKED, REGISTERED),
}

LIES: dict[str, tuple[Callable[[], Receipt], KernelCode]] = {
    "a closing leaf as the outcome": (
        lambda: said(ENVELOPE, REVOKED, leaf=structs.replace(LEAF, kind=LeafKind.CLOSING)),
        KernelCode.EVENTS_DO_NOT_MATCH),
    "an outcome that closes a block": (
        lambda: said(ENVELOPE, REVOKED, closing=structs.replace(CLOSING, kind=LeafKind.TX)), KernelCode.NOT_IN_HISTORY),
    "a block made under other rules": (
        lambda: said(ENVELOPE, REVOKED, closing=structs.replace(CLOSING, module_set=content("other"))),
        KernelCode.OTHER_NETWORK),
    "the closing leaf of another block": (
        lambda: said(ENVELOPE, REVOKED, closing=structs.replace(CLOSING, height=6)), KernelCode.NOT_IN_HISTORY),
    "a block that closes before its outcome": (
        lambda: said(ENVELOPE, REVOKED, upside_down=True), KernelCode.NOT_IN_HISTORY),
    "another code in the envelope": (
        lambda: said(REFUSED, leaf=structs.replace(LEAF, code=204)), KernelCode.EVENTS_DO_NOT_MATCH),
    "a refusal that took effect": (
        lambda: said(REFUSED, REVOKED, leaf=REFUSED_LEAF), KernelCode.EVENTS_DO_NOT_MATCH),
    "an effect without an event": (lambda: said(ENVELOPE), KernelCode.EVENTS_DO_NOT_MATCH),
    "more events than messages": (lambda: said(ENVELOPE, REVOKED, REVOKED), KernelCode.EVENTS_DO_NOT_MATCH),
    "a message that failed, and no code": (
        lambda: said(structs.replace(ENVELOPE, failed=0), REVOKED), KernelCode.EVENTS_DO_NOT_MATCH),
    "a signer without custody": (
        lambda: said(structs.replace(ENVELOPE, custody=()), REVOKED), KernelCode.EVENTS_DO_NOT_MATCH),
    "a second envelope": (
        lambda: said(structs.replace(ENVELOPE, tags=ENVELOPE.tags * 2), REVOKED, ENVELOPE),
        KernelCode.EVENTS_DO_NOT_MATCH),
    "a timer's envelope behind": (lambda: said(ENVELOPE, TIMER), KernelCode.EVENTS_DO_NOT_MATCH),
    "no envelope": (lambda: said(REVOKED), KernelCode.EVENTS_DO_NOT_MATCH),
    "an event in place of the envelope": (lambda: said(REVOKED, REVOKED), KernelCode.EVENTS_DO_NOT_MATCH),
    "a timer's envelope under a transaction's leaf": (lambda: said(TIMER, REVOKED), KernelCode.EVENTS_DO_NOT_MATCH),
    "a transaction's envelope under a timer's leaf": (
        lambda: said(ENVELOPE, REVOKED, leaf=TIMER_LEAF), KernelCode.EVENTS_DO_NOT_MATCH),
    "a timer that was refused": (
        lambda: said(TIMER, REVOKED, leaf=structs.replace(TIMER_LEAF, code=203)), KernelCode.EVENTS_DO_NOT_MATCH),
}


@pytest.mark.parametrize("name", TRUE)
def test_what_may_be_is_verified(name: str) -> None:
    found = verified(TRUE[name]())
    assert found.closing == CLOSING and found.signed.names == ("operator",) and len(found.events) >= 1


@pytest.mark.parametrize("name", LIES)
def test_what_cannot_be_is_refused_though_it_is_signed(name: str) -> None:
    lie, code = LIES[name]
    with pytest.raises(NotVerified) as caught:
        verified(lie())
    assert caught.value.code is code


def test_a_file_may_be_as_large_as_is_said_and_no_larger() -> None:
    for size in (PROOF_FILE_BYTES_MAX, PROOF_FILE_BYTES_MAX + 1):
        with pytest.raises(NotVerified) as caught:
            read_file(bytes(size), Receipt)
        assert caught.value.code is KernelCode.FILE_NOT_UNDERSTOOD
        assert (caught.value.detail == f"over {PROOF_FILE_BYTES_MAX} bytes") is (size > PROOF_FILE_BYTES_MAX)
