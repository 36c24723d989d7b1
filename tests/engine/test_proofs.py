"""Receipts and state proofs as a node makes them, verified as a stranger does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homes import Home, home
from worlds import named
from xinglin.base import codec
from xinglin.base.check import Failed, InvariantBroken, NotFound, NotUnderstood
from xinglin.base.crypto import SHA256
from xinglin.kernel.module import Table
from xinglin.kernel.outcome import LeafKind
from xinglin.kernel.receipt import Receipt, StateProof, verify_receipt, verify_state
from xinglin.modules import access, consent, members, subjects
from xinglin.node import LocalTransport, NodeCode

HASHES = SHA256


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Something in every table: furnished, with grants, requests, breaches, batches, motions."""
    with home(tmp_path_factory.mktemp("proofs") / "home") as made:
        world = made.furnished().world
        made.done(world.grant("mei", "B", "g1"), world.grant("li", "C", "g2"))
        made.done(world.batch("A.service", "mei", 1))
        made.done(world.anchor("A.service", 3))
        made.done(world.propose("A", "C", members.Motion.SUSPEND))
        made.done(world.invite("A", "D"))
        made.done(world.replace_key("A", "C", "C.other"))
        made.done(world.request("B.doctor", "mei"))
        made.node.advance(120_000)
        made.order(world.revoke("mei", "C", "no such"))
        made.done(world.revoke("li", "C", "g2"))
        for _ in range(70):                 # enough blocks of several outcomes that paths differ in length
            asked = [made.raw(world.request("B.doctor", name)) for name in ("mei", "li", "zhao")]
            for future in [made.node.submit(raw) for raw in asked]:
                future.result()
        made.node.advance(120_000)          # what was asked too often is a breach by now, and may be asked again
        made.done(world.request("B.doctor", "mei"))
        yield made


def test_every_outcome_has_a_receipt_that_verifies_and_is_the_same_bytes_by_every_way(one: Home) -> None:
    seen = kinds = 0
    for height, time_ms, outcomes in one.node.blocks():
        for index in range(outcomes):
            data = one.node.receipt_at(height, index)
            receipt = codec.decode(data, Receipt)
            verified = verify_receipt(receipt, one.node.network, one.node.modules)
            assert (verified.leaf.height, verified.leaf.index) == (height, index)
            assert (verified.closing.time_ms, verified.signed.names) == (time_ms, ("operator",))
            if verified.leaf.kind is LeafKind.TX:
                envelope: Any = verified.events[0]
                assert one.node.receipt(envelope.tx_id) == data
                assert envelope.code == verified.leaf.code
            kinds |= 1 << verified.leaf.kind
            seen += 1
    assert seen > 200 and kinds == 1 << LeafKind.TX | 1 << LeafKind.TIMER


def test_a_transaction_is_found_by_any_beginning_of_its_id_and_two_alike_are_both_told(one: Home) -> None:
    ids = {}
    for height, _, outcomes in one.node.blocks():
        for index in range(outcomes):
            envelope: Any = verify_receipt(codec.decode(one.node.receipt_at(height, index), Receipt), one.node.network,
                                           one.node.modules).events[0]
            if hasattr(envelope, "tx_id"):
                ids[envelope.tx_id.hex()] = height, index
    assert len(ids) > 200

    def found(digits: str, limit: int) -> list[tuple[int, int]]:
        return one.node.ask(lambda ledger: ledger.find_prefix(digits, limit))
    for digits, at in [*ids.items()][::7]:
        assert [found(digits[:many], 2) for many in (8, 9, 31, 32, 33, 64)] == [[at]] * 6
    for short in ("0", "f", "7a", "fff", "00000000", "ffffffff"):
        assert set(found(short, 1_000)) == {at for digits, at in ids.items() if digits.startswith(short)}
    assert len(found("0", 2)) == 2


def test_the_receipt_at_hand_when_a_block_is_synced_is_the_one_found_later(one: Home) -> None:
    futures = [one.node.submit(one.raw(one.world.request("B.doctor", name))) for name in ("mei", "li", "zhao") * 20]
    for future in futures:
        committed = future.result()
        data = one.node.receipt_of(committed)
        assert data == one.node.receipt(committed.tx_id)
        assert data == one.node.receipt_at(committed.height, committed.index)
        verify_receipt(codec.decode(data, Receipt), one.node.network, one.node.modules)


@pytest.mark.parametrize("at", [(0, 0), (-1, 0), (10**9, 0), (1, -1), (1, 10**6), (2**70, 0)], ids=str)
def test_a_receipt_of_what_is_not_there_is_not_found_and_harms_nobody(one: Home, at: tuple[int, int]) -> None:
    with pytest.raises(NotFound) as missing:
        one.node.receipt_at(*at)
    assert missing.value.code is NodeCode.TX_NOT_FOUND
    with pytest.raises(NotFound):
        one.node.receipt(bytes(32))
    assert one.node.ask(lambda ledger: ledger.height) > 0


def tables(one: Home) -> list[Table[Any]]:
    return list(one.node.modules.tables.values())


def test_every_row_of_every_table_has_a_proof_that_verifies(one: Home) -> None:
    proved: dict[str, int] = {}
    for table in tables(one):
        for key, row in one.node.rows(table)[:20]:
            data = one.node.prove(table, key)
            verified = verify_state(codec.decode(data, StateProof), one.node.network, one.node.modules)
            assert (verified.table.name, verified.key, verified.row) == (table.name, key, row)
            assert data == LocalTransport(one.node).prove(table.name, table.encode_key(key))
            proved[table.name] = proved.get(table.name, 0) + 1
    assert set(proved) == set(one.node.modules.tables), "the furnished home has a row in every table"


def absent(table: Table[Any], like: bytes) -> Iterator[tuple[Any, ...]]:
    """Keys without a row: zeros, ones, and neighbours of one that has."""
    for raw in (bytes(table.width), b"\xff" * table.width,
                like[:-1] + bytes([like[-1] ^ 1]), bytes([like[0] ^ 0x80]) + like[1:]):
        yield table.decode_key(raw)


def test_every_table_has_proofs_of_absence_that_verify(one: Home) -> None:
    for table in tables(one):
        rows = dict(one.node.rows(table))
        if table.width == 0:                # one row, always there
            continue
        for key in absent(table, table.encode_key(next(iter(rows)))):
            if key in rows:
                continue
            proof = codec.decode(one.node.prove(table, key), StateProof)
            verified = verify_state(proof, one.node.network, one.node.modules)
            assert verified.row is None and verified.key == key


def test_a_proof_shows_the_row_at_its_own_tip_and_stays_valid(one: Home) -> None:
    key = (named("zhao"), named("C"))
    before = one.node.prove(consent.GRANTS, key)
    one.done(one.world.grant("zhao", "C", "g9"))
    after = one.node.prove(consent.GRANTS, key)
    first, second = (verify_state(codec.decode(data, StateProof), one.node.network, one.node.modules)
                     for data in (before, after))
    assert first.row is None and second.row is not None
    assert first.closing.height < second.closing.height
    assert second.closing.state_root == one.node.ask(lambda ledger: ledger.state_root)


@pytest.mark.parametrize("key", [b"", bytes(15), bytes(17), bytes(10_000)], ids=len)
def test_a_key_of_the_wrong_length_is_not_understood_and_harms_nobody(one: Home, key: bytes) -> None:
    with pytest.raises(NotUnderstood):
        LocalTransport(one.node).prove(subjects.SUBJECTS.name, key)
    with pytest.raises(InvariantBroken):
        one.node.prove(subjects.SUBJECTS, (key,))
    assert one.node.ask(lambda ledger: ledger.height) > 0


def test_an_unknown_table_is_not_found(one: Home) -> None:
    with pytest.raises(NotFound) as missing:
        LocalTransport(one.node).prove("no/such", b"")
    assert missing.value.code is NodeCode.TABLE_NOT_FOUND


def test_before_the_first_block_there_is_nothing_to_prove_and_that_is_said(tmp_path: Path) -> None:
    with home(tmp_path / "home") as fresh:
        with pytest.raises(NotFound) as missing:
            fresh.node.prove(members.MEMBERS, (named("A"),))
        assert missing.value.code is NodeCode.NO_BLOCK_YET
        assert list(fresh.node.blocks()) == []
        assert fresh.node.rows(members.MEMBERS)


def test_a_complete_list_is_the_one_that_the_row_commits_to(one: Home) -> None:
    entries = [event for found in one.node.outcomes_about(named("mei"), limit=10**6)
               for event in found.events[1:] if isinstance(event, access.Entry)
               and getattr(event, "subject", b"") == named("mei")]
    row = dict(one.node.rows(access.LOG))[(named("mei"),)]
    assert access.running_of(HASHES, entries) == row
    assert access.running_of(HASHES, entries[:-1]) != row


def test_outcomes_about_someone_come_in_pages_without_gap_or_overlap(one: Home) -> None:
    whole = one.node.outcomes_about(named("mei"), limit=10**6)
    paged, after = [], (0, 0)
    while page := one.node.outcomes_about(named("mei"), after, limit=7):
        paged += page
        after = page[-1].height, page[-1].index
    assert paged == whole and len(whole) > 50


def test_the_largest_transaction_has_a_receipt_and_the_ledger_opens_after_it(tmp_path: Path) -> None:
    """Sixty-four messages tell sixty-four events: more than fits the bytes that most blocks need."""
    with home(tmp_path / "home") as made:
        world = made.furnished().world
        committed = made.done(*[world.grant("mei", "BC"[at % 2], f"g{at}") for at in range(64)])
        assert len(committed.events) > 8_192
        made.reopen()
        data = made.node.receipt(committed.tx_id)
        assert len(verify_receipt(codec.decode(data, Receipt), made.node.network, made.node.modules).events) == 65
        with pytest.raises(Failed):
            made.node.order(b"")
