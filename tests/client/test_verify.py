"""`verify_file`: each kind of file, and everything that can be wrong with one."""

import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs

from holder import rooms
from mutations import mutated, single_bit_flips
from worlds import key_named
from xinglin.base import codec
from xinglin.base.check import BaseCode, NotVerified
from xinglin.base.ids import NO_ID
from xinglin.base.limits import COMPLETE_ENTRIES_MAX, PROOF_FILE_BYTES_MAX
from xinglin.base.note import KeyUse, NoteKey, cosign, read_checkpoint
from xinglin.base.policy import Policy, Witness
from xinglin.client import Completeness, Verdict, verify_file
from xinglin.client.codes import ClientCode
from xinglin.client.verify import same_rules
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.receipt import Receipt, StateProof
from xinglin.modules import access, consent, module_set, subjects

MODULES = module_set()


class Files:
    """One of each kind, of a small network: made once, never changed."""

    def __init__(self, room: rooms.Room):
        self.network: bytes = room.node.network
        subject = room.subject()
        grant_id = room.grant(subject, hours=1)
        self.subject = subject
        room.ask(subject)
        room.order(access.Request(reader=rooms.NURSE, subject=subject, grant_id=bytes(15) + b"?",
                                  key_hash=bytes(32), body=bytes(32)))
        entries = [event for found in room.node.outcomes_about(subject) for event in found.events
                   if isinstance(event, access.Entry)]
        self.receipt = room.node.receipt_at(2, 0)
        self.cose = room.node.cose_receipt_at(2, 0)
        self.refusal = self._refused(room)
        self.row = room.node.prove(consent.GRANTS, (subject, rooms.B))
        self.absence = room.node.prove(consent.GRANTS, (subject, rooms.C))
        self.log = room.node.prove(access.LOG, (subject,))
        self.other_log = room.node.prove(access.LOG, (bytes(15) + b"x",))
        self.entries = tuple(codec.encode(entry) for entry in entries)
        self.complete = self.completeness()
        room.node.advance(3_600_000)
        found = [one for one in room.node.outcomes_about(subject) if isinstance(one.events[-1], consent.Expired)]
        self.timer = room.node.receipt_at(found[0].height, found[0].index)
        self.expired = room.node.prove(consent.GRANTS, (subject, rooms.B))
        assert grant_id

    @staticmethod
    def _refused(room: rooms.Room) -> bytes:
        committed = room.node.order(room.holder.signed(subjects.Register(
            service=rooms.SERVICE, subject=room.subject()))[0])
        assert committed.code
        return room.node.receipt_of(committed)

    def completeness(self, entries: tuple[bytes, ...] | None = None, log: bytes | None = None) -> bytes:
        return codec.encode(Completeness(entries=self.entries if entries is None else entries,
                                         log=codec.decode(log or self.log, StateProof)))

    def kinds(self) -> dict[str, bytes]:
        return {"receipt": self.receipt, "refusal": self.refusal, "timer": self.timer, "row": self.row,
                "absence": self.absence, "completeness": self.complete}

    def verify(self, data: bytes) -> Verdict:
        return verify_file(data, self.network, MODULES)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    room = rooms.Room.furnished(tmp_path_factory.mktemp("files"), rooms.patient(), rooms.laboratory("a"))
    yield Files(room)
    room.close()


KINDS = pytest.mark.parametrize("kind", ["receipt", "refusal", "timer", "row", "absence", "completeness"])


def refused(files: Files, data: bytes) -> NotVerified:
    with pytest.raises(NotVerified) as caught:
        files.verify(data)
    return caught.value


def test_each_kind_says_what_it_proves(files: Files) -> None:
    said = {kind: files.verify(data) for kind, data in files.kinds().items()}
    assert {one.kind for one in said.values()} == {"receipt", "state-proof", "completeness"}
    assert all(one.signed_by == ("op",) and one.single_operator for one in said.values())
    assert all(one.network.id == files.network for one in said.values())
    assert said["receipt"].facts["code"] == 0 and said["receipt"].facts["tags"] == ["members.enrol_service/1"]
    assert said["refusal"].facts["code"] == subjects.Refusal.SUBJECT_ALREADY_REGISTERED.value
    assert said["refusal"].events == () and said["refusal"].facts["signers"] == [rooms.SERVICE.hex()]
    assert said["timer"].facts["timer"] == "consent/grants"
    assert said["row"].facts["present"] and said["row"].facts["live_grants"] == 1
    assert not said["absence"].facts["present"] and said["absence"].facts["live_grants"] == 0
    assert said["completeness"].facts["entries"] == 3 and len(said["completeness"].events) == 3


def test_a_grant_that_ran_out_is_no_live_grant_by_the_files_own_time(files: Files) -> None:
    verdict = files.verify(files.expired)
    assert verdict.facts["present"] and verdict.facts["live_grants"] == 0
    assert verdict.time_ms > files.verify(files.row).time_ms


@KINDS
def test_a_file_of_another_network_is_refused_and_an_unpinned_one_names_its_own(files: Files, kind: str) -> None:
    data = files.kinds()[kind]
    with pytest.raises(NotVerified) as caught:
        verify_file(data, bytes(32), MODULES)
    assert caught.value.code is KernelCode.OTHER_NETWORK
    with pytest.raises(NotVerified) as unpinned:
        verify_file(data, None, MODULES)
    assert unpinned.value.code is KernelCode.NETWORK_NOT_PINNED and unpinned.value.facts["network"] == files.network


@KINDS
def test_a_file_cut_anywhere_or_with_something_behind_it_is_refused(files: Files, kind: str) -> None:
    data = files.kinds()[kind]
    for end in range(len(data)):
        refused(files, data[:end])
    for more in (b"\x00", b"\xc0", data):
        refused(files, data + more)


@pytest.mark.parametrize("data", [b"", b"\x00", b"{}", b"\x93\xa1x", b"\xc1" * 40, b"xinglin.receipt/1",
                                  codec.encode(("xinglin.unknown/1", 1))])
def test_what_is_no_file_of_ours_is_not_known(files: Files, data: bytes) -> None:
    assert refused(files, data).code is ClientCode.KIND_NOT_KNOWN


def test_a_file_over_the_limit_is_refused_unread(files: Files) -> None:
    assert refused(files, bytes(PROOF_FILE_BYTES_MAX + 1)).code is KernelCode.FILE_NOT_UNDERSTOOD
    oversized = files.receipt + bytes(PROOF_FILE_BYTES_MAX)
    assert refused(files, oversized).code is KernelCode.FILE_NOT_UNDERSTOOD


# -- who signed

def test_one_key_under_two_names_is_one_operator(files: Files) -> None:
    verdict = files.verify(files.receipt)
    assert verdict.single_operator
    (key,) = verdict.network.manifest.checkpoint_keys
    for other, single in ((key.key, True), (bytes(32), False)):
        names = [NoteKey(name, KeyUse.LOG, one) for name, one in ((key.name, key.key), ("other", other))]
        both = dataclasses.replace(verdict, signed=dataclasses.replace(verdict.signed, keys=tuple(names)))
        assert both.single_operator is single


# -- completeness

def test_a_list_may_be_as_long_as_a_file_may_be_large() -> None:
    assert COMPLETE_ENTRIES_MAX >= PROOF_FILE_BYTES_MAX // min(len(codec.encode(one)) for one in (
        access.Breached(subject=NO_ID, number=0, request=0, reader=NO_ID, holder=NO_ID),
        access.Answered(subject=NO_ID, number=0, request=0, reader=NO_ID, decision=access.Decision.DENIED,
                        grant_id=NO_ID, epoch=0, inputs=bytes(32), opening=bytes(32), parts_root=bytes(32),
                        key_hash=bytes(32), expires_at_ms=0),
        access.Requested(subject=NO_ID, number=0, reader=NO_ID, grantee=NO_ID, grant_id=NO_ID, key_hash=bytes(32),
                         body=bytes(32), denied=0, due_ms=0)))


def test_every_bit_of_a_list_of_three_entries_counts(files: Files) -> None:
    assert files.verify(files.complete).facts["entries"] == 3
    for bit, data in single_bit_flips(files.complete):
        try:
            files.verify(data)
        except NotVerified:
            continue
        pytest.fail(f"bit {bit} may be flipped")


def entry_lists(files: Files) -> dict[str, tuple[bytes, ...]]:
    first, second, third = files.entries
    return {"the first left out": (second, third), "the middle left out": (first, third),
            "the last left out": (first, second), "all left out": (), "reordered": (second, first, third),
            "reversed": (third, second, first), "one doubled": (first, first, second, third),
            "the last doubled": (first, second, third, third), "one in the place of another": (first, third, third)}


@pytest.mark.parametrize("name", [
    "the first left out", "the middle left out", "the last left out", "all left out", "reordered", "reversed",
    "one doubled", "the last doubled", "one in the place of another"])
def test_a_list_that_is_not_the_ledgers_is_not_complete(files: Files, name: str) -> None:
    error = refused(files, files.completeness(entry_lists(files)[name]))
    assert error.code is KernelCode.LIST_NOT_COMPLETE and error.detail


def test_a_list_that_is_too_long_is_told_before_its_entries_are_read(files: Files) -> None:
    """A false one may be as long as a file may be, and its entries are many times as large once they are read."""
    for count in (0, 2, 4, 1000):
        error = refused(files, files.completeness((b"not an entry",) * count))
        assert error.code is KernelCode.LIST_NOT_COMPLETE, count
    assert refused(files, files.completeness((b"not an entry",) * 3)).code is KernelCode.FILE_NOT_UNDERSTOOD


def test_a_receipt_in_the_other_form_says_the_same(files: Files) -> None:
    plain, cose = files.verify(files.receipt), files.verify(files.cose)
    assert (plain.kind, cose.kind) == ("receipt", "cose-receipt")
    assert (plain.facts, plain.time_ms, plain.events) == (cose.facts, cose.time_ms, cose.events)
    assert same_rules(plain.network, MODULES) is True


@pytest.mark.parametrize("kind", ["receipt", "row", "absence"])
def test_a_policy_asks_for_cosignatures_and_may_name_other_keys_of_the_log(files: Files, kind: str) -> None:
    file: Any = codec.decode(files.kinds()[kind], Receipt if kind == "receipt" else StateProof)
    key = key_named("witness")
    line = cosign(read_checkpoint(file.checkpoint), "w.example", key, 1)
    cosigned = codec.encode(structs.replace(file, checkpoint=file.checkpoint + line))
    witness = Witness("w", NoteKey("w.example", KeyUse.WITNESS, key.public), None)
    asks, leaves = Policy(witnesses=(witness,), quorum="w"), Policy(witnesses=(witness,))
    signed = verify_file(cosigned, files.network, MODULES, asks).signed
    assert signed.by_quorum and not signed.single_operator and signed.witnesses == 1 and len(signed.cosigned_by) == 1
    signed = verify_file(cosigned, files.network, MODULES, leaves).signed
    assert not signed.by_quorum and signed.single_operator
    assert verify_file(cosigned, files.network, MODULES).signed.witnesses == 0
    with pytest.raises(NotVerified) as caught:
        verify_file(codec.encode(file), files.network, MODULES, asks)
    assert caught.value.code is BaseCode.NOT_COSIGNED
    other = Policy(logs=(NoteKey("op", KeyUse.LOG, key.public),))
    with pytest.raises(NotVerified) as caught:
        verify_file(cosigned, files.network, MODULES, other)
    assert caught.value.code is KernelCode.CHECKPOINT_NOT_VALID


@pytest.mark.parametrize("key", [b"", b"short", bytes(33)])
def test_a_key_that_is_not_as_long_as_its_tables_is_not_proved(files: Files, key: bytes) -> None:
    proof: Any = codec.decode(files.absence, StateProof)
    assert refused(files, codec.encode(structs.replace(proof, key=key))).code is KernelCode.NOT_IN_STATE


def test_a_list_under_another_rows_proof_is_not_complete(files: Files) -> None:
    for log in (files.row, files.absence, files.other_log):
        assert refused(files, files.completeness(log=log)).code is KernelCode.LIST_NOT_COMPLETE


def test_an_empty_list_is_complete_where_nobody_ever_asked(files: Files) -> None:
    verdict = files.verify(files.completeness((), files.other_log))
    assert verdict.facts["entries"] == 0 and verdict.events == ()


def test_an_event_that_is_no_entry_does_not_pass_for_one(files: Files) -> None:
    granted = codec.encode(consent.Granted(subject=files.subject, grantee=rooms.B, grant_id=NO_ID, until_h=1, epoch=1,
                                           body=bytes(32)))
    assert refused(files, files.completeness((granted, *files.entries[1:]))).code is KernelCode.FILE_NOT_UNDERSTOOD


# -- parts of one file in another

@pytest.mark.parametrize(("kind", "field", "other"), [
    ("receipt", "events", "refusal"), ("receipt", "outcome", "refusal"), ("receipt", "checkpoint", "timer"),
    ("refusal", "events", "timer"), ("row", "row", "log"), ("row", "proof", "absence"), ("absence", "proof", "row"),
    ("row", "key", "absence"), ("absence", "key", "row"), ("row", "closing", "receipt"), ("row", "table", "log")])
def test_a_part_of_another_file_does_not_fit(files: Files, kind: str, field: str, other: str) -> None:
    def read(name: str) -> Any:
        data = getattr(files, name)
        return codec.decode(data, Receipt if name in ("receipt", "refusal", "timer") else StateProof)

    good, stranger = read(kind), read(other)
    spliced = structs.replace(good, **{field: getattr(stranger, field)})
    assert codec.encode(spliced) != codec.encode(good)
    refused(files, codec.encode(spliced))


def test_a_row_is_not_proved_by_saying_it_is_absent(files: Files) -> None:
    proof: StateProof = codec.decode(files.row, StateProof)
    assert refused(files, codec.encode(structs.replace(proof, row=None))).code is KernelCode.NOT_IN_STATE
    absence: StateProof = codec.decode(files.absence, StateProof)
    assert refused(files, codec.encode(structs.replace(absence, row=proof.row))).code is KernelCode.NOT_IN_STATE


@KINDS
def test_of_2000_altered_files_none_says_anything_else(files: Files, kind: str) -> None:
    """But a proof of absence may come to be of a neighbour that is absent too: another statement, and true."""
    data = files.kinds()[kind]
    truth, chance = files.verify(data), random.Random(kind)
    same = 0
    for _ in range(2_000):
        try:
            verdict = files.verify(mutated(chance, (data,)))
        except NotVerified:
            continue
        same += 1
        if kind == "absence":
            verdict.facts.update({name: truth.facts[name] for name in ("key", "subject", "grantee")})
        assert verdict == truth
    assert same < 100
