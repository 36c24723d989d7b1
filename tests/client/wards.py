"""A network with a patient and her wallet, and a door that lies to her."""

from pathlib import Path
from typing import Any

from holder import rooms
from xinglin.base import codec
from xinglin.client import Client, History, Patient, Wallet
from xinglin.client.sealed_file import Strength
from xinglin.holder import claim_codes
from xinglin.holder.peers import LocalDoor
from xinglin.kernel.tx import Body, Transaction
from xinglin.modules import module_set
from xinglin.node import LocalTransport


class Ward:
    """A network, a patient who has claimed her subject with her wallet, and what her wallet sent."""

    def __init__(self, folder: Path, room: rooms.Room | None = None):
        self.room = room or rooms.Room.found(folder)
        self.room.take_in(*rooms.chart(3))
        self.subject = self.room.subject()
        self.sent: list[Any] = []
        ward = self

        class Listening(LocalTransport):
            def order(self, raw: bytes) -> bytes:
                ward.sent.append(codec.decode(codec.decode(raw, Transaction).body, Body[module_set().message_type]))
                return super().order(raw)

        self.client = Client(Listening(self.room.node), module_set(), self.room.node.network)
        self.wallet = Wallet.create(folder / "mei.wallet", "passphrase", strength=Strength.INTERACTIVE)
        self.patient = Patient(self.client, self.wallet)
        self.door: LocalDoor = LocalDoor(self.room.holder)

    def claim(self, door: Any = None) -> bytes:
        code = claim_codes.issue(self.room.holder, self.subject)
        return self.patient.claim(door or self.door, rooms.A, self.subject, code, label="Harbour")

    def grant(self, **changes: Any) -> bytes:
        fields: dict[str, Any] = {"scope": rooms.LABORATORY, "purposes": ("TREAT",), "hours": 24, "labels": (),
                                  "wording": "My results.", "language": "en"} | changes
        return self.patient.grant(self.door, self.subject, rooms.B, **fields)[0]

    def history(self, door: Any = None) -> History:
        return self.patient.history(door or self.door, self.subject)


class Lying:
    """The holder's door, some of whose answers are replaced."""

    def __init__(self, door: LocalDoor, **answers: Any):
        self._door = door
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        honest = getattr(self._door, name)
        return lambda *values: self._answers[name](honest, *values) if name in self._answers else honest(*values)
