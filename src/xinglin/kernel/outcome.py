"""What came of a transaction or a timer: leaf, envelope and events. All of it is consensus."""

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite, tagged
from xinglin.base.ids import AccountId, Hash, TxId
from xinglin.base.limits import MESSAGES_PER_TX_MAX, SIGNERS_PER_TX_MAX, TAG_CHARS_MAX
from xinglin.base.units import U8, U32, CodeNumber, Height, Millis
from xinglin.kernel.accounts import Custody
from xinglin.kernel.module import Event

NONE_FAILED = 255                  # Envelope.failed when no message did, or the kernel itself refused

Tag = Annotated[str, Meta(max_length=TAG_CHARS_MAX)]


class LeafKind(IntEnum):
    TX, TIMER, CLOSING = range(3)


class Leaf(Struct):
    """One executed transaction, refused ones too, or one timer outcome."""

    kind: LeafKind
    height: Height
    index: U32                     # within the block
    full_hash: Hash                # of the transaction's full bytes; of (table, key) for a timer
    code: CodeNumber
    events_hash: Hash


class Closing(Struct):
    """The last leaf of a non-empty block: whoever cosigns the log covers the state too."""

    kind: LeafKind
    height: Height
    time_ms: Millis
    state_root: Hash
    module_set: Hash


class Envelope(Event, tag="kernel.envelope/1"):
    """First in a transaction's events; alone when it was refused, so a refusal stays readable."""

    tx_id: TxId
    signers: Annotated[tuple[AccountId, ...], Meta(max_length=SIGNERS_PER_TX_MAX)]
    custody: Annotated[tuple[Custody, ...], Meta(max_length=SIGNERS_PER_TX_MAX)]
    tags: Annotated[tuple[Tag, ...], Meta(max_length=MESSAGES_PER_TX_MAX)]
    code: CodeNumber
    failed: U8                     # which message was refused


class TimerEnvelope(Event, tag="kernel.timer/1"):
    """First in a timer's events: nobody signed, the time had come."""

    table: Tag
    due_ms: Millis


KERNEL_EVENTS: tuple[type[Event], ...] = (Envelope, TimerEnvelope)


def events_hash(hashes: HashSuite, events: bytes) -> Hash:
    return tagged(hashes, "xinglin/events/1", events)


def event_hash(hashes: HashSuite, event: Event) -> Hash:
    """H of one event alone, as running hashes of entries take it in."""
    return tagged(hashes, "xinglin/event/1", codec.encode(event))


def app_hash(hashes: HashSuite, history_root: Hash, state_root: Hash, module_set: Hash) -> Hash:
    """Height and time are in the header, not in here: an idle chain stays idle."""
    return tagged(hashes, "xinglin/app/1", history_root, state_root, module_set)
