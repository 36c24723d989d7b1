"""The SDK against a real node, blocking and in an event loop: it believes what verifies, and says what was refused."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holder import rooms
from xinglin.base.check import Failed, NotFound, NotVerified
from xinglin.base.ids import NO_ID
from xinglin.client import AsyncClient, Client
from xinglin.client.codes import ClientCode
from xinglin.client.signing import EXPIRES_IN_MS
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.module import Message
from xinglin.modules import access, consent, members, module_set
from xinglin.node import AsyncLocalTransport, LocalTransport, NodeCode


@pytest.fixture
def room(tmp_path: Path) -> Iterator[rooms.Room]:
    yield from rooms.opened(rooms.Room.furnished(tmp_path, rooms.patient()))


class Both:
    """The same verbs of both clients, so that each test is about both."""

    def __init__(self, room: rooms.Room, kind: str, pinned: bytes | None = None, **altered: Any):
        pin = room.node.network if pinned is None else pinned
        self._kind = kind
        if kind == "blocking":
            self.client: Any = Client(altering(LocalTransport, altered)(room.node), module_set(), pin)
        else:
            self.client = AsyncClient(altering(AsyncLocalTransport, altered)(room.node), module_set(), pin)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if self._kind == "blocking":
            return method
        return lambda *values, **named: asyncio.run(method(*values, **named))

    def network(self) -> Any:
        return self.client.network if self._kind == "blocking" else asyncio.run(self.client.network())


def altering(transport: Any, altered: dict[str, Any]) -> Any:
    """A transport, some of whose answers are replaced by what `altered` makes of them."""
    if not altered:
        return transport

    class Altered(transport):  # type: ignore[misc]
        pass

    for name, change in altered.items():
        if transport is LocalTransport:
            setattr(Altered, name, lambda self, *values, n=name, c=change: c(getattr(transport, n)(self, *values)))
        else:
            async def answer(self: Any, *values: Any, n: str = name, c: Any = change) -> Any:
                return c(await getattr(transport, n)(self, *values))
            setattr(Altered, name, answer)
    return Altered


def request(room: rooms.Room, reader: bytes = rooms.DOCTOR) -> Message:
    return access.Request(reader=reader, subject=room.subject(), grant_id=NO_ID, key_hash=bytes(32), body=bytes(32))


KINDS = pytest.mark.parametrize("kind", ["blocking", "event loop"])


@KINDS
def test_what_is_sent_comes_back_as_a_verified_receipt(room: rooms.Room, kind: str) -> None:
    client = Both(room, kind)
    sent = client.send([request(room)], room.keys)
    (event,) = sent.events
    assert isinstance(event, access.Requested) and event.number == 1
    again = client.receipt(sent.tx_id)
    assert again.leaf.height == sent.height and again.events[1:] == sent.events
    assert client.client.verify(sent.receipt).events[1:] == sent.events


@KINDS
def test_a_row_and_its_absence_are_proved(room: rooms.Room, kind: str) -> None:
    client = Both(room, kind)
    present, file = client.prove(access.LOG, (room.subject(),))
    assert present.row is None and file
    client.send([request(room)], room.keys)
    verified, file = client.prove(access.LOG, (room.subject(),))
    assert verified.row.count == 1
    absent, file = client.prove(consent.GRANTS, (room.subject(), rooms.C))
    assert absent.row is None
    with pytest.raises(NotVerified) as caught:
        client.client.verify_row(file, consent.GRANTS, (room.subject(), rooms.B))
    assert caught.value.code is ClientCode.RECEIPT_OF_ANOTHER_TX


@KINDS
@pytest.mark.parametrize("seen", ["a row", "a receipt", "a list"])
def test_a_row_of_an_older_state_than_was_seen_is_refused(room: rooms.Room, kind: str, seen: str) -> None:
    old = room.node.prove(access.LOG, (room.subject(),))
    files = [old]
    client = Both(room, kind, prove=lambda file: files.pop() if files else file)
    assert client.prove(access.LOG, (room.subject(),))[0].row is None, "nothing newer is known yet"
    height = client.send([request(room)], room.keys).height if seen == "a receipt" else room.order(
        request(room)) and room.node.ask(lambda ledger: ledger.height)
    if seen == "a row":
        client.prove(access.LOG, (room.subject(),))
    elif seen == "a list":
        client.client.saw(height)
    files.append(old)
    with pytest.raises(NotVerified) as caught:
        client.prove(access.LOG, (room.subject(),))
    assert caught.value.code is ClientCode.PROOF_TOO_OLD
    assert client.prove(access.LOG, (room.subject(),))[0].closing.height >= height


@KINDS
def test_a_refusal_carries_its_own_receipt(room: rooms.Room, kind: str) -> None:
    client = Both(room, kind)
    with pytest.raises(Failed) as caught:
        client.send([request(room, rooms.SERVICE)], room.keys)
    assert caught.value.code is access.Refusal.READER_IS_A_SERVICE
    verified = client.client.verify(caught.value.facts["receipt"])
    assert verified.leaf.code == access.Refusal.READER_IS_A_SERVICE.value
    assert verified.events[0].tx_id == caught.value.facts["tx"]


@KINDS
def test_what_is_no_transaction_has_no_receipt(room: rooms.Room, kind: str) -> None:
    client = Both(room, kind)
    keys = room.keys | {rooms.DOCTOR: rooms.seeded(77)}
    with pytest.raises(Failed) as caught:
        client.send([request(room)], keys)
    assert caught.value.code is KernelCode.SIGNER_UNKNOWN and "receipt" not in caught.value.facts
    with pytest.raises(NotFound) as missing:
        client.receipt(bytes(32))
    assert missing.value.code is NodeCode.TX_NOT_FOUND


@KINDS
def test_a_receipt_of_another_transaction_is_refused(room: rooms.Room, kind: str) -> None:
    other = Both(room, kind).send([request(room)], room.keys).receipt
    client = Both(room, kind, order=lambda receipt: other)
    with pytest.raises(NotVerified) as caught:
        client.send([request(room)], room.keys)
    assert caught.value.code is ClientCode.RECEIPT_OF_ANOTHER_TX


@KINDS
def test_a_receipt_that_was_altered_is_refused(room: rooms.Room, kind: str) -> None:
    for change in (lambda file: file[:-1], lambda file: file + b"\x00", lambda file: b"",
                   lambda file: file[:len(file) // 2] + bytes([file[len(file) // 2] ^ 1]) + file[len(file) // 2 + 1:]):
        with pytest.raises(NotVerified):
            Both(room, kind, order=change).send([request(room)], room.keys)
        with pytest.raises(NotVerified):
            Both(room, kind, prove=change).prove(access.LOG, (room.subject(),))


@KINDS
def test_a_transport_to_another_network_is_refused_before_anything_is_signed(room: rooms.Room, kind: str) -> None:
    client = Both(room, kind, pinned=bytes(32))
    height = room.node.read(lambda ctx: ctx.height)
    for call in (client.network, lambda: client.send([request(room)], room.keys),
                 lambda: client.prove(access.LOG, (room.subject(),))):
        with pytest.raises(NotVerified) as caught:
            call()
        assert caught.value.code is KernelCode.OTHER_NETWORK
    assert room.node.read(lambda ctx: ctx.height) == height
    for change in (lambda manifest: b"", lambda manifest: manifest[:-1]):
        with pytest.raises(NotVerified) as caught:
            Both(room, kind, manifest=change).network()
        assert caught.value.code is KernelCode.MANIFEST_NOT_VALID


@KINDS
def test_a_transaction_is_signed_for_a_minute_unless_told(room: rooms.Room, kind: str) -> None:
    client = Both(room, kind, now_ms=lambda now_ms: now_ms - EXPIRES_IN_MS - 1_000)
    with pytest.raises(Failed) as caught:
        client.send([request(room)], room.keys)
    assert caught.value.code is KernelCode.TX_EXPIRED
    client.send([request(room)], room.keys, expires_in_ms=2 * EXPIRES_IN_MS)


@KINDS
def test_a_proof_of_a_table_that_is_not_there_is_not_found(room: rooms.Room, kind: str) -> None:
    class Elsewhere:
        name = "no/such-table"

        def encode_key(self, key: tuple[bytes, ...]) -> bytes:
            return b"".join(key)

    with pytest.raises(NotFound) as caught:
        Both(room, kind).prove(Elsewhere(), (room.subject(),))
    assert caught.value.code is NodeCode.TABLE_NOT_FOUND


def test_many_senders_in_one_loop_each_get_their_own_receipt(room: rooms.Room) -> None:
    client = AsyncClient(AsyncLocalTransport(room.node), module_set(), room.node.network)

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(client.send([request(room)], room.keys) for _ in range(24)))

    sent = asyncio.run(all_at_once())
    assert sorted(one.events[0].number for one in sent) == list(range(1, 25))
    assert len({one.tx_id for one in sent}) == 24


def test_several_messages_and_signers_make_one_transaction(room: rooms.Room) -> None:
    client = Both(room, "blocking")
    key = rooms.seeded(60)
    account = bytes(15) + b"n"
    sent = client.send([members.EnrolStaff(member=rooms.B, account=account, role=members.Role.NURSE, custody=0,
                                           suite=rooms.ED25519, key=key.public, card=bytes(32)), request(room)],
                       room.keys | {account: key})
    assert [type(event).__name__ for event in sent.events] == ["Enrolled", "Requested"]
