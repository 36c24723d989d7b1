"""Releasing: every page on a fresh tip under a live grant, logged, sealed for one reader, true to the ledger."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from holder import rooms
from mutations import mutated
from xinglin.base import codec
from xinglin.base.check import Failed, NotAuthorised, NotVerified
from xinglin.base.history import tree_root
from xinglin.base.ids import NO_HASH
from xinglin.base.limits import MEMORY_IDLE_MS, PERMIT_MS_MAX, TIP_AGE_MS_MAX
from xinglin.base.note import KeyUse, NoteKey
from xinglin.base.units import MS_PER_HOUR
from xinglin.engine.clock import SystemClock
from xinglin.engine.ledger import Ledger
from xinglin.holder import asking, read_log, release, shelf
from xinglin.holder.answer import salted
from xinglin.holder.asking import Asked, Received
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir import Head
from xinglin.holder.peers import LocalPeer
from xinglin.holder.recent import Recent
from xinglin.holder.release import Page
from xinglin.modules import access, members, module_set, records
from xinglin.modules.decision import Facts, ScopeItem
from xinglin.node import Node
from xinglin.vault import VaultCode
from xinglin.vault.wrap import RecipientKey

PAGES = 3                          # of ten parts, four a page


@pytest.fixture
def room(tmp_path: Path) -> Iterator[rooms.Room]:
    yield from rooms.opened(rooms.Room.furnished(tmp_path))


@pytest.fixture
def asked(room: rooms.Room) -> Asked:
    room.grant(room.subject())
    return room.ask(room.subject())


def pages(room: rooms.Room, asked: Asked) -> list[Page]:
    return [room.page(asked.subject, asked.number, number) for number in range(PAGES)]


def denied(room: rooms.Room, asked: Asked, number: int = 0) -> None:
    before = read_log.running(room.holder).count
    with pytest.raises(NotAuthorised) as caught:
        room.page(asked.subject, asked.number, number)
    assert caught.value.code is HolderCode.NOT_AVAILABLE and caught.value.detail == ""
    assert read_log.running(room.holder).count == before, "what does not leave is not logged"


# -- every page rechecks

def test_an_answer_comes_in_pages_and_whole(room: rooms.Room, asked: Asked) -> None:
    found = pages(room, asked)
    assert [len(page.parts) for page in found] == [4, 4, 2]
    assert {page.pages for page in found} == {PAGES} and {page.parts_total for page in found} == {10}
    assert [part.answer_index for page in found for part in page.parts] == list(range(10))
    received = asking.fetch_all(room.node, room.peer, asked)
    assert {one.head.resource_type for one in received} == {"Observation"} and len(received) == 5


def test_the_page_after_a_revocation_is_denied(room: rooms.Room) -> None:
    grant_id = room.grant(room.subject())
    asked = room.ask(room.subject())
    asking.fetch(room.node, room.peer, asked, 0)
    room.revoke(room.subject(), grant_id)
    for number in range(PAGES):
        denied(room, asked, number)


def test_another_grant_does_not_bring_a_permit_back(room: rooms.Room) -> None:
    grant_id = room.grant(room.subject())
    asked = room.ask(room.subject())
    room.revoke(room.subject(), grant_id)
    room.grant(room.subject())
    denied(room, asked)


def test_a_permit_ends_when_its_time_is_up(room: rooms.Room, asked: Asked) -> None:
    room.node.advance(PERMIT_MS_MAX)
    denied(room, asked)


def test_a_permit_ends_with_its_grant(room: rooms.Room) -> None:
    now_ms = room.node.now_ms()
    room.node.advance(2 * MS_PER_HOUR - now_ms % MS_PER_HOUR - 60_000)     # a minute before the end of the next hour
    room.grant(room.subject(), hours=1)
    asked = room.ask(room.subject())
    room.page(asked.subject, asked.number, 0)
    room.node.advance(60_000)
    denied(room, asked, 1)


def test_a_suspended_organisation_gets_no_further_page(room: rooms.Room, asked: Asked) -> None:
    room.order(members.Propose(proposer=rooms.A, member=rooms.B, motion=members.Motion.SUSPEND))
    for voter in (rooms.C, rooms.B):
        room.order(members.Vote(voter=voter, member=rooms.B, motion=members.Motion.SUSPEND))
    denied(room, asked)


def test_a_reader_who_left_gets_no_further_page(room: rooms.Room, asked: Asked) -> None:
    room.page(asked.subject, asked.number, 0)
    room.order(members.EndStaff(member=rooms.B, account=rooms.DOCTOR))
    denied(room, asked, 1)


def test_nothing_is_released_of_a_subject_whose_key_is_destroyed(room: rooms.Room, asked: Asked) -> None:
    room.page(asked.subject, asked.number, 0)
    assert len(room.holder.shelves) and len(room.holder.served)
    room.holder.keystore.destroy(asked.subject)
    denied(room, asked, 1)
    assert not len(room.holder.shelves) and not len(room.holder.served), "and nothing of hers stays in memory"
    with pytest.raises(NotAuthorised):
        room.opening(asked.subject, asked.number)


@pytest.mark.parametrize("number", [PAGES, 99, -1, -2, -3, 2**40])
def test_a_page_that_is_not_there_is_not_available(room: rooms.Room, asked: Asked, number: int) -> None:
    denied(room, asked, number)


@pytest.mark.parametrize("request_number", [-1, 0, 99, 2**32, 2**70])
def test_an_answer_that_is_not_there_is_not_available(room: rooms.Room, asked: Asked, request_number: int) -> None:
    for call in (lambda: room.page(asked.subject, request_number, 0),
                 lambda: room.opening(asked.subject, request_number)):
        with pytest.raises(NotAuthorised):
            call()


@pytest.mark.parametrize("subject", [b"", bytes(16), b"x" * 17, b"\xff" * 16, rooms.A])
def test_whatever_is_no_subject_is_not_available(room: rooms.Room, subject: bytes) -> None:
    with pytest.raises(NotAuthorised):
        room.page(subject, 1, 0)


def test_a_permit_of_another_request_is_of_no_use(room: rooms.Room, asked: Asked) -> None:
    name = asked.number.to_bytes(4, "big")
    permit = room.holder.get("permit", asked.subject, name, release.Permit)
    room.holder.put("permit", asked.subject, (asked.number + 5).to_bytes(4, "big"), permit)
    with pytest.raises(NotAuthorised):
        room.page(asked.subject, asked.number + 5, 0)


@pytest.mark.parametrize("change", [
    {"expires_at_ms": 2**50}, {"epoch": 2}, {"grant_id": bytes(16)}, {"reader": rooms.NURSE}, {"answer": NO_HASH},
    {"parts_root": bytes(32)}])
def test_a_permit_that_says_other_than_its_answer_is_of_no_use(
        room: rooms.Room, asked: Asked, change: dict[str, Any]) -> None:
    name = asked.number.to_bytes(4, "big")
    permit = room.holder.get("permit", asked.subject, name, release.Permit)
    assert permit is not None
    room.holder.put("permit", asked.subject, name, structs.replace(permit, **change))
    denied(room, asked)


def test_a_lost_index_row_is_damage_and_says_so(room: rooms.Room, asked: Asked) -> None:
    for name in room.holder.cabinet.list("shelf", asked.subject):
        room.holder.cabinet.delete("shelf", asked.subject, name)
    room.holder.forget(asked.subject)
    with pytest.raises(Failed) as caught:
        room.page(asked.subject, asked.number, 0)
    assert caught.value.code is VaultCode.CABINET_DAMAGED


# -- a fresh tip

def test_a_stale_tip_is_made_fresh_by_an_anchor_and_then_serves(room: rooms.Room, asked: Asked) -> None:
    pages(room, asked)
    height = room.node.read(lambda ctx: ctx.height)
    room.page(asked.subject, asked.number, 0)
    assert room.node.read(lambda ctx: ctx.height) == height, "a fresh tip needs no block"
    room.node.advance(TIP_AGE_MS_MAX + 1_000)
    room.page(asked.subject, asked.number, 0)
    assert room.node.read(lambda ctx: ctx.height) == height + 1
    assert room.node.tip_age_ms() < TIP_AGE_MS_MAX


def test_a_tip_found_at_start_is_stale_until_a_block_is_made(room: rooms.Room, asked: Asked) -> None:
    room.reopen()
    height = room.node.read(lambda ctx: ctx.height)
    assert len(asking.fetch_all(room.node, LocalPeer(room.holder), asked)) == 5
    assert room.node.read(lambda ctx: ctx.height) == height + 1


def test_an_anchor_that_changes_nothing_still_makes_a_fresh_tip(room: rooms.Room, asked: Asked) -> None:
    room.node.advance(TIP_AGE_MS_MAX + 1_000)
    read_log.anchor(room.holder)
    assert read_log.anchor(room.holder) is None
    room.node.advance(TIP_AGE_MS_MAX + 1_000)
    room.page(asked.subject, asked.number, 0)
    assert room.node.tip_age_ms() < TIP_AGE_MS_MAX


class Runaway(SystemClock):
    """A monotonic clock that leaps on once it is told to: no tip is ever fresh by it."""

    leap_ms = 0

    def monotonic_ms(self) -> int:
        self.__class__.leap_ms += 11_000 if self.leap_ms else 0
        return super().monotonic_ms() + self.leap_ms


def test_a_tip_that_does_not_move_releases_nothing(tmp_path: Path) -> None:
    modules = module_set()
    Ledger.create(tmp_path / "ledger" / "store", rooms.manifest(), modules).close()
    clock, key = Runaway(), rooms.seeded(9)
    node = Node(tmp_path / "ledger", Ledger.open(tmp_path / "ledger" / "store", modules), clock, "op", key,
                (NoteKey("op", KeyUse.LOG, key.public),))
    room = rooms.Room.found(tmp_path, node)
    try:
        room.take_in(*rooms.chart())
        room.claim(room.subject())
        room.grant(room.subject())
        asked = room.ask(room.subject())
        room.page(asked.subject, asked.number, 0)
        Runaway.leap_ms = 1
        before = read_log.running(room.holder).count
        with pytest.raises(NotAuthorised) as caught:
            room.page(asked.subject, asked.number, 1)
        assert caught.value.code is HolderCode.TIP_TOO_OLD
        assert read_log.running(room.holder).count == before
    finally:
        Runaway.leap_ms = 0
        room.close()


# -- the door asks who is there

def test_a_stranger_gets_no_page_and_leaves_no_read(room: rooms.Room, asked: Asked) -> None:
    subject, number = asked.subject, asked.number
    before = read_log.running(room.holder).count
    hers = room.fetches(subject, number, 0)
    for signature in (b"", room.fetches(subject, number, 0, rooms.NURSE), room.fetches(subject, number, 0, rooms.B),
                      room.fetches(subject, number, 1), room.fetches(subject, number, None),
                      room.fetches(subject, number + 1, 0), hers[:-1], hers[:-1] + bytes([hers[-1] ^ 1])):
        with pytest.raises(NotAuthorised) as caught:
            release.page(room.holder, subject, number, 0, signature)
        assert str(caught.value) == "XL-8453 NOT_AVAILABLE"
        with pytest.raises(NotAuthorised):
            release.opening(room.holder, subject, number, signature if signature != room.fetches(
                subject, number, None) else b"")
    assert read_log.running(room.holder).count == before and room.holder.served.get(subject, number) is None
    assert release.page(room.holder, subject, number, 0, hers).parts_total == 10


def test_what_was_said_of_a_permitted_answer_is_not_said_again_once_consent_is_taken_back(room: rooms.Room) -> None:
    grant_id = room.grant(room.subject())
    asked = room.ask(room.subject())
    assert asking.opening(room.node, room.peer, asked).parts == 10
    room.revoke(room.subject(), grant_id)
    with pytest.raises(NotAuthorised) as caught:
        asking.opening(room.node, room.peer, asked)
    assert caught.value.code is HolderCode.NOT_AVAILABLE


def test_a_suspended_holder_releases_nothing(room: rooms.Room, asked: Asked) -> None:
    asking.fetch(room.node, room.peer, asked, 0)
    room.order(members.Propose(proposer=rooms.B, member=rooms.A, motion=members.Motion.SUSPEND))
    for voter in (rooms.C, rooms.A):
        room.order(members.Vote(voter=voter, member=rooms.A, motion=members.Motion.SUSPEND))
    denied(room, asked)
    with pytest.raises(NotAuthorised):
        asking.opening(room.node, room.peer, asked)


# -- what the ledger shows of an answer

def test_equal_answers_have_different_roots_and_no_guess_can_be_tested(room: rooms.Room, asked: Asked) -> None:
    again = room.ask(room.subject())
    assert asked.answer and again.answer and asked.answer.parts_root != again.answer.parts_root
    page, number, commitments = [], 0, []
    while len(commitments) < 10:
        page, _ = asking.fetch(room.node, room.peer, asked, number)
        commitments += [one.commitment for one in page]
        number += 1
    hashes = room.node.hashes
    guesses = {tree_root(hashes, commitments), tree_root(hashes, salted(hashes, NO_HASH, commitments))}
    assert not guesses & {asked.answer.parts_root, again.answer.parts_root}, "who has every part learns nothing"
    salt = asking.opening(room.node, room.peer, asked).salt
    assert tree_root(hashes, salted(hashes, salt, commitments)) == asked.answer.parts_root, "the opening opens it"
    assert tree_root(hashes, salted(hashes, salt, commitments)) != again.answer.parts_root


# -- what the reader believes

def shelved_by_a_liar(room: rooms.Room, head: Head, resource: bytes) -> Asked:
    """A record whose head and resource the holder made up and put on the ledger, asked for."""
    subject = room.subject()
    number = len(room.node.read(lambda ctx: shelf.roots(ctx, subject))) + 1
    facts = Facts(id=head.id, classes=("lie",), labels=())
    batch = shelf.shelve(room.holder, subject, number, [shelf.NewRecord(
        head.id, head.version, "x/y", bytes(32), facts, codec.encode(head), resource)])
    room.holder.order(records.Batch(service=rooms.SERVICE, owner=subject, number=number, root=batch.root, count=1))
    scope = (ScopeItem(data_class="lie", id=""),)
    room.grant(subject, scope=scope)
    return room.ask(subject, scope=scope)


LIED: dict[str, tuple[dict[str, Any], bytes]] = {
    "a type that is a path": ({"resource_type": "../../pwned"}, b'{"resourceType":"../../pwned","id":"%s"}'),
    "no type of FHIR's": ({"resource_type": "Observations"}, b'{"resourceType":"Observations","id":"%s"}'),
    "another id": ({"id": "bb" * 16}, b'{"resourceType":"Observation","id":"%s"}'),
    "another version": ({"version": 2}, b'{"resourceType":"Observation","id":"%s"}'),
    "the resource's type": ({}, b'{"resourceType":"Patient","id":"%s"}'),
    "the resource's id": ({}, b'{"resourceType":"Observation","id":"x%s"}'),
    "no JSON": ({}, b"\x1b]0;owned\x07\x1b[2J %s"),
    "no object": ({}, b'["%s"]'),
    "not UTF-8": ({}, b'{"resourceType":"Observation","id":"%s","x":"\xff"}'),
}


@pytest.mark.parametrize("name", LIED)
def test_what_a_holder_made_up_is_not_taken_for_a_record(room: rooms.Room, name: str) -> None:
    own = "aa" * 16
    honest = Head(resource_type="Observation", id=own, version=1, classes=("lie",), codes=(), dates=(), labels=(),
                  label_table=1)
    good = shelved_by_a_liar(room, honest, b'{"resourceType":"Observation","id":"%s"}' % own.encode())
    assert len(asking.fetch_all(room.node, room.peer, good)) == 1
    changes, resource = LIED[name]
    parts = [asking.Verified(first, bytes(32), content) for first, content in zip(
        [one.part for one in asking.fetch(room.node, room.peer, good, 0)[0]],
        (codec.encode(structs.replace(honest, **changes)), resource % own.encode()), strict=True)]
    with pytest.raises(NotVerified) as caught:
        asking.join(parts)
    assert caught.value.code is HolderCode.PART_NOT_VERIFIED

class Tampering:
    """Another holder, whose pages and openings were altered on the way."""

    def __init__(self, room: rooms.Room, page: Callable[[Page], Page] = lambda page: page,
                 opening: Callable[[bytes], bytes] = lambda data: data):
        self._honest = room.peer
        self._page, self._opening = page, opening
        self.deliver, self.answer = self._honest.deliver, self._honest.answer

    def page(self, subject: bytes, request: int, number: int, signature: bytes) -> Page:
        return self._page(self._honest.page(subject, request, number, signature))

    def opening(self, subject: bytes, request: int, signature: bytes) -> bytes:
        return self._opening(self._honest.opening(subject, request, signature))


def first_part(page: Page, **changes: Any) -> Page:
    return structs.replace(page, parts=(structs.replace(page.parts[0], **changes), *page.parts[1:]))


TAMPERED: dict[str, Callable[[Page], Page]] = {
    "network": lambda page: structs.replace(page, network=bytes(32)),
    "subject": lambda page: structs.replace(page, subject=bytes(16)),
    "request": lambda page: structs.replace(page, request=page.request + 1),
    "page": lambda page: structs.replace(page, page=page.page + 1),
    "fewer pages": lambda page: structs.replace(page, pages=1),
    "more pages": lambda page: structs.replace(page, pages=page.pages + 1),
    "fewer parts in all": lambda page: structs.replace(page, parts_total=page.parts_total - 1),
    "more parts in all": lambda page: structs.replace(page, parts_total=page.parts_total + 1),
    "a wrap cut": lambda page: structs.replace(page, wrapped=page.wrapped[:-1]),
    "no parts": lambda page: structs.replace(page, parts=()),
    "a part left out": lambda page: structs.replace(page, parts=page.parts[1:]),
    "two parts swapped": lambda page: structs.replace(page, parts=(page.parts[1], page.parts[0], *page.parts[2:])),
    "a part doubled": lambda page: structs.replace(page, parts=(page.parts[0], *page.parts[:-1])),
    "batch": lambda page: first_part(page, batch=9),
    "position": lambda page: first_part(page, position=page.parts[0].position + 1),
    "batch size": lambda page: first_part(page, batch_size=page.parts[0].batch_size + 1),
    "which part": lambda page: first_part(page, part=1),
    "a third part": lambda page: first_part(page, part=2),
    "record id": lambda page: first_part(page, record_id="0" * 32),
    "version": lambda page: first_part(page, version=2),
    "sealed": lambda page: first_part(page, sealed=page.parts[1].sealed),
    "sibling": lambda page: first_part(page, sibling=bytes(32)),
    "batch path": lambda page: first_part(page, batch_path=page.parts[0].batch_path[:-1]),
    "answer index": lambda page: first_part(page, answer_index=1),
    "answer path": lambda page: first_part(page, answer_path=page.parts[0].answer_path[1:]),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_an_altered_page_is_noticed(room: rooms.Room, asked: Asked, name: str) -> None:
    with pytest.raises(NotVerified):
        asking.fetch_all(room.node, Tampering(room, TAMPERED[name]), asked)


def test_pages_that_end_too_early_are_noticed(room: rooms.Room, asked: Asked) -> None:
    def short(page: Page) -> Page:
        return structs.replace(page, pages=2)
    with pytest.raises(NotVerified):
        asking.fetch_all(room.node, Tampering(room, short), asked)


def test_an_altered_opening_is_noticed(room: rooms.Room, asked: Asked) -> None:
    later = room.ask(room.subject())
    for opening in (lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: data[:40], lambda data: b"",
                    lambda data: room.opening(asked.subject, later.number)):
        with pytest.raises(NotVerified):
            asking.fetch_all(room.node, Tampering(room, opening=opening), asked)


def test_an_answer_to_another_request_is_not_taken_for_this_one(room: rooms.Room, asked: Asked) -> None:
    class Substituting(Tampering):
        def __init__(self) -> None:
            super().__init__(room)
            self.answer = lambda subject, number: room.peer.answer(subject, number)._replace(tx_id=asked.answer_tx)

    with pytest.raises(NotVerified):
        asking.ask(room.reading, Substituting(), room.subject(), rooms.DOCTOR, room.keys[rooms.DOCTOR],
                   purpose="TREAT", scope=rooms.LABORATORY, reason="x")


def test_of_5000_altered_pages_none_yields_a_wrong_record(room: rooms.Room, asked: Asked) -> None:
    honest = [codec.encode(page) for page in pages(room, asked)]
    truth: list[Received] = asking.fetch_all(room.node, room.peer, asked)
    opening = room.opening(asked.subject, asked.number)
    chance = random.Random(7)
    caught = unchanged = 0
    for _ in range(5_000):
        which, data = chance.randrange(PAGES), mutated(chance, honest)

        class Mutated:
            deliver, answer = room.peer.deliver, room.peer.answer

            def opening(self, subject: bytes, request: int, signature: bytes) -> bytes:
                return opening

            def page(self, subject: bytes, request: int, number: int, signature: bytes, which: int = which,
                     data: bytes = data) -> Page:
                found: Page = codec.decode(data if number == which else honest[number], Page)
                return found

        try:
            assert asking.fetch_all(room.node, Mutated(), asked) == truth
            unchanged += 1
        except Failed:
            caught += 1
    assert caught >= 4_900, f"{unchanged} of 5,000 altered pages were as good as the true ones"


def test_only_the_key_that_asked_opens_a_page(room: rooms.Room, asked: Asked) -> None:
    page = room.page(asked.subject, asked.number, 0)
    info = release.wrap_info(room.node.network, asked.subject, asked.number, 0)
    assert asked.recipient.unwrap(info, page.wrapped)
    with pytest.raises(NotVerified):
        RecipientKey.new().unwrap(info, page.wrapped)
    with pytest.raises(NotVerified):
        asked.recipient.unwrap(release.wrap_info(room.node.network, asked.subject, asked.number, 1), page.wrapped)


def test_what_leaves_is_ciphertext(room: rooms.Room, asked: Asked) -> None:
    for page in pages(room, asked):
        data = codec.encode(page)
        assert b"mmol" not in data and b"Observation" not in data and b"glucose" not in data


# -- the log

def rederived(room: rooms.Room) -> tuple[int, bytes]:
    count, running = 0, NO_HASH
    for read in read_log.reads(room.holder):
        count, running = count + 1, read_log.extend(room.holder, running, codec.encode(read))
    return count, running


def test_each_page_is_logged_before_it_leaves_and_the_hash_follows_from_the_rows(
        room: rooms.Room, asked: Asked) -> None:
    found = pages(room, asked)
    logged = list(read_log.reads(room.holder))
    assert [(read.subject, read.request, read.page) for read in logged] == [
        (asked.subject, asked.number, page.page) for page in found]
    now = read_log.running(room.holder)
    assert rederived(room) == (now.count, now.running) and now.count == PAGES


def test_the_ledger_holds_the_log_as_of_its_last_anchor(room: rooms.Room, asked: Asked) -> None:
    pages(room, asked)
    read_log.anchor(room.holder)
    room.page(asked.subject, asked.number, 0)
    row = room.node.read(lambda ctx: ctx[access.ANCHORS].get((rooms.A,)))
    assert row is not None and row.count == PAGES and read_log.running(room.holder).count == PAGES + 1
    room.node.advance(60_000)
    assert read_log.anchor_if_due(room.holder) is not None
    row = room.node.read(lambda ctx: ctx[access.ANCHORS].get((rooms.A,)))
    assert row is not None and (row.count, row.running) == rederived(room)


def test_eight_threads_lose_no_read_and_break_no_chain(room: rooms.Room, asked: Asked) -> None:
    def read_and_anchor(number: int) -> int:
        if number % 10 == 9:
            read_log.anchor(room.holder, even_unchanged=True)
        return room.page(asked.subject, asked.number, number % PAGES).page

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(read_and_anchor, range(80)))) == 80
    now = read_log.running(room.holder)
    assert rederived(room) == (now.count, now.running) and now.count == 80
    committed = read_log.anchor(room.holder, even_unchanged=True)
    assert committed is not None and read_log.running(room.holder).anchored == 80


def test_a_page_that_was_logged_is_still_logged_after_a_stop(room: rooms.Room, asked: Asked) -> None:
    pages(room, asked)
    before = rederived(room)
    room.reopen()
    assert rederived(room) == before


# -- what is kept in memory

def test_memory_is_bounded_in_weight_and_in_time() -> None:
    now_ms = 0
    recent: Recent[str] = Recent(10, lambda: now_ms)
    for number in range(4):
        recent.put(b"a", number, str(number), 3)
    assert recent.get(b"a", 0) is None and recent.get(b"a", 3) == "3" and len(recent) == 3
    recent.put(b"b", 0, "too heavy", 11)
    assert recent.get(b"b", 0) is None and len(recent) == 3
    recent.put(b"a", 1, "again", 3)
    assert len(recent) == 3 and recent.get(b"a", 1) == "again"

    now_ms = MEMORY_IDLE_MS
    assert recent.get(b"a", 3) == "3", "what is used stays"
    now_ms = MEMORY_IDLE_MS + 1
    assert recent.get(b"a", 1) is None and len(recent) == 1
    recent.forget(b"a")
    assert len(recent) == 0


def test_what_was_not_used_for_a_minute_is_let_go(room: rooms.Room, asked: Asked) -> None:
    room.page(asked.subject, asked.number, 0)
    room.node.advance(MEMORY_IDLE_MS + 1)
    assert room.holder.shelves.get(asked.subject, 1) is None
    assert room.holder.served.get(asked.subject, asked.number) is None


def test_an_import_between_two_pages_changes_nothing_of_the_answer(room: rooms.Room, asked: Asked) -> None:
    first = codec.encode(room.page(asked.subject, asked.number, 1).parts)
    room.take_in(*rooms.chart(9))
    assert codec.encode(room.page(asked.subject, asked.number, 1).parts) == first
    assert len(asking.fetch_all(room.node, room.peer, asked)) == 5
    assert len(asking.fetch_all(room.node, room.peer, room.ask(room.subject()))) == 9
