"""LEAK: after a full story no identifying string of the input, and no canary, is in any byte outside a sealed one."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from holder import rooms
from xinglin.base import codec
from xinglin.base.check import Failed
from xinglin.base.limits import PERMIT_MS_MAX
from xinglin.base.units import MS_PER_HOUR
from xinglin.client import Completeness, verify_file
from xinglin.demo import leak
from xinglin.holder import asking, claim_codes, imports, openings, read_log
from xinglin.holder.fhir import Addition, Source, addition, read_sample
from xinglin.kernel.receipt import StateProof
from xinglin.modules import access, consent
from xinglin.modules.decision import Opened, ScopeItem
from xinglin.node import Node

HEROINE = "Patient/27a60d9c-3978-042a-18ea-0ec4481eb8bd"
NOTES = (ScopeItem(data_class="DocumentReference", id=""),)
EVERYTHING = (*rooms.LABORATORY, ScopeItem(data_class="medications", id=""), *NOTES)
CANARY = "canary-7f3a91c2-{}"
WORDING = "My neighbour Mrs Feest103 may read it canary-7f3a91c2-wording"


def items() -> list[Source]:
    extra = [addition(one, HEROINE, f"leak-{one.value}", CANARY.format(one.name)) for one in Addition]
    return [one for one in (*read_sample(), *extra) if isinstance(one, Source)]


class Ears:
    """Everything that is said while the story goes on: errors, receipts, pages, outcomes."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def hear(self, *said: object) -> None:
        self.heard += [one if isinstance(one, bytes) else repr(one).encode() for one in said]

    def refused(self, call: Callable[[], object]) -> None:
        with pytest.raises(Failed) as caught:
            call()
        self.hear(str(caught.value), repr(caught.value), caught.value.detail, caught.value.facts)


def tell(room: rooms.Room, ears: Ears) -> None:
    holder = room.holder
    broken = [Source("broken.json", "entry 0", "", "", {
        "resourceType": "Patient", "id": "x", "birthDate": "born on canary-7f3a91c2-broken",
        "name": [{"family": 7}], "canary-7f3a91c2-key": 1})]
    report = imports.take_in(holder, broken)
    assert report.refused
    ears.hear(report.errors)
    report = imports.take_in(holder, items())
    assert not report.errors
    subject = next(one.owner for one in report.subjects if one.source == HEROINE)

    ears.refused(lambda: claim_codes.co_sign(holder, room.claim_request(subject, "AAAA-AAAA-AAAA")))
    room.claim(subject)
    assert room.ask(subject, scope=EVERYTHING).denied
    grant_id = room.grant(subject, scope=EVERYTHING, wording=WORDING)
    asked = room.ask(subject, scope=EVERYTHING)
    received = asking.fetch_all(room.node, room.peer, asked)
    assert len(received) > 20
    ears.hear(*(codec.encode(room.page(subject, asked.number, number)) for number in range(3)))
    ears.hear(room.opening(subject, asked.number), room.node.receipt(asked.tx), room.node.receipt(asked.answer_tx))

    withheld = room.ask(subject, scope=NOTES, purpose="HRESCH")
    ears.refused(lambda: asking.fetch_all(room.node, room.peer, withheld))
    ears.refused(lambda: room.keep_consent(subject, grant_id, Opened(nonce=bytes(32), body=b"Feest103")))
    room.revoke(subject, grant_id)
    ears.refused(lambda: asking.fetch_all(room.node, room.peer, asked))
    room.grant(subject, hours=1)
    room.node.advance(MS_PER_HOUR + PERMIT_MS_MAX)
    read_log.anchor(holder, even_unchanged=True)

    entries, _, proof = openings.history(holder, room.signed_challenge(subject))
    file = codec.encode(Completeness(entries=tuple(codec.encode(one) for one in entries),
                                     log=codec.decode(proof, StateProof)))
    ears.hear(file, verify_file(file, room.node.network, room.node.modules))
    ears.hear(room.node.prove(consent.GRANTS, (subject, rooms.B)), room.node.prove(access.LOG, (subject,)))


def outcomes(node: Node) -> list[bytes]:
    """Every outcome, as bytes and decoded: what is packed on the ledger is looked at unpacked too."""
    found = []
    for height, _, count in node.blocks():
        for index in range(count):
            receipt = node.receipt_at(height, index)
            found += [receipt, repr(verify_file(receipt, node.network, node.modules).events).encode()]
    return found


def test_nobody_can_be_found_outside_the_vault_nor_unsealed_within_it(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    needles = leak.identifying_strings(items()) | {CANARY.format(one.name) for one in Addition} | {
        "canary-7f3a91c2", WORDING, "follow-up"}
    room = rooms.Room.found(tmp_path / "home")
    ears = Ears()
    tell(room, ears)
    ears.hear(*outcomes(room.node), caplog.text.encode(), *(text.encode() for text in capfd.readouterr()))
    room.close()

    heard = tmp_path / "heard"
    heard.mkdir()
    for number, said in enumerate(ears.heard):
        (heard / str(number)).write_bytes(said)
    files = [file for folder in (tmp_path / "home", heard) for file in sorted(folder.rglob("*")) if file.is_file()]
    assert len(ears.heard) > 60 and sum(file.stat().st_size for file in files) > 1_000_000
    assert {"cabinet.db", "CURRENT", "keys"} <= {file.name for file in files}
    hits = leak.search(files, needles)
    assert not hits, [(hit.file.name, hit.spelling, hit.file.read_bytes()[hit.offset - 20:hit.offset + 40])
                      for hit in hits[:5]]


def test_the_search_would_have_found_them() -> None:
    """Resources in clear, as a careless cache or log would leave them."""
    sources = items()
    needles = leak.Needles(leak.identifying_strings(sources))
    for source in sources[::20]:
        data = b"\x00\x01" + codec.encode(("cached", repr(source.resource)))
        assert list(needles.in_bytes(data)), source.resource["resourceType"]
