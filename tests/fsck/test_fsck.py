"""Fsck says that a clean ledger is clean, and of each lie planted in the store where it is."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from fsck.ledgers import flipped, lived, planted, stored
from homes import Home
from rows import Span
from worlds import World, key_named, named
from xinglin import fsck
from xinglin.base import codec, sparse
from xinglin.base.check import Failed
from xinglin.base.note import KeyUse, NoteKey
from xinglin.base.succession import statement
from xinglin.engine import scrub, tree
from xinglin.engine.codes import EngineCode
from xinglin.engine.ledger import BlockRow, TipRow
from xinglin.fsck import FsckCode, Lie
from xinglin.fsck.replay import Tree
from xinglin.kernel.accounts import ACCOUNTS, AccountRow
from xinglin.kernel.outcome import Closing, Leaf
from xinglin.modules import MODULES, access, consent, members, module_set, subjects

Changes = dict[bytes, bytes | None]
MODULE_SET = module_set()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = lived(tmp_path_factory.mktemp("fsck") / "home")
    made.node.close()
    yield made.folder
    fsck.check(made.folder, MODULE_SET)        # every test took its lie back


def lie_in(folder: Path) -> Lie:
    with pytest.raises(Lie) as caught:
        fsck.check(folder, MODULE_SET)
    return caught.value


def test_a_ledger_in_which_everything_has_happened_is_clean(ledger: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    report = fsck.check(ledger, MODULE_SET, told=lambda *said: heard.append(said))
    assert report.transactions == 323 and report.timers == 2
    assert report.signatures > report.transactions and report.rows > 80 and report.pruned == 0
    assert heard[0] == ("blocks", 1, report.height) and heard[-1][0] == "state tree"
    assert fsck.check(ledger, MODULE_SET, network=report.network) == report


def test_executed_again_from_genesis_everything_comes_out_the_same(ledger: Path) -> None:
    report, again = fsck.check(ledger, MODULE_SET), fsck.replay(ledger, MODULE_SET)
    assert again == (0, report.height, report.transactions)


def test_a_founded_ledger_without_a_block_is_clean(tmp_path: Path) -> None:
    Home(tmp_path / "home").node.close()
    assert fsck.check(tmp_path / "home", MODULE_SET).height == 0
    assert fsck.replay(tmp_path / "home", MODULE_SET) == (0, 0, 0)


def test_the_state_tree_is_the_same_when_it_is_built_in_parts(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fsck.check(ledger, MODULE_SET)
    monkeypatch.setattr("xinglin.fsck.rows.ENTRIES_AT_ONCE_MAX", 7)
    assert fsck.check(ledger, MODULE_SET) == whole
    with planted(ledger, row_changed(store_of(ledger))):
        assert lie_in(ledger).code is FsckCode.STATE_LIES


def test_another_network_than_the_one_expected_is_said(ledger: Path) -> None:
    with pytest.raises(Lie) as caught:
        fsck.check(ledger, MODULE_SET, network=bytes(32))
    assert caught.value.code is FsckCode.TIP_LIES


def test_no_ledger_another_module_set_and_one_in_use_are_no_lies(ledger: Path, tmp_path: Path) -> None:
    for folder, modules, code in ((tmp_path, MODULE_SET, EngineCode.NO_LEDGER_HERE),
                                  (ledger, World(modules=MODULES[:-1]).modules, EngineCode.MODULES_DIFFER)):
        with pytest.raises(Failed) as caught:
            fsck.check(folder, modules)
        assert caught.value.code is code and not isinstance(caught.value, Lie)
    assert not list(tmp_path.iterdir())
    with stored(ledger), pytest.raises(Failed) as caught:
        fsck.check(ledger, MODULE_SET)
    assert caught.value.code is EngineCode.STORE_IN_USE


# -- lies of every kind, each told as what it is

class Snapshot(dict[bytes, bytes]):
    """All that a store holds."""

    def first(self, prefix: bytes) -> bytes:
        return min(key for key in self if key.startswith(prefix))

    def last(self, prefix: bytes) -> bytes:
        return max(key for key in self if key.startswith(prefix))

    def block(self, height: int) -> BlockRow:
        return codec.decode(self[b"k" + height.to_bytes(8, "big")], BlockRow)

    def with_block(self, at: int, /, **changes: Any) -> Changes:
        return {b"k" + at.to_bytes(8, "big"): codec.encode(structs.replace(self.block(at), **changes))}

    def with_tip(self, **changes: Any) -> Changes:
        return {b"mtip": codec.encode(structs.replace(codec.decode(self[b"mtip"], TipRow), **changes))}

    def with_row(self, table: Any, *key: Any, **changes: Any) -> Changes:
        at = table.store_prefix + table.encode_key(key)
        return {at: codec.encode(structs.replace(table.decode_row(self[at]), **changes))}


def store_of(folder: Path) -> Snapshot:
    with stored(folder) as store:
        return Snapshot(store.scan(b""))


def leaf_changed(store: Snapshot, **changes: Any) -> Changes:
    block = store.block(3)
    leaf = structs.replace(codec.decode(block.leaves[0], Leaf), **changes)
    return store.with_block(3, leaves=(codec.encode(leaf), *block.leaves[1:]))


def closing_changed(store: Snapshot, **changes: Any) -> Changes:
    return store.with_block(4, closing=codec.encode(structs.replace(
        codec.decode(store.block(4).closing, Closing), **changes)))


def row_changed(store: Snapshot) -> Changes:
    return store.with_row(subjects.SUBJECTS, named("mei"), registered_ms=1)


def bits_of(store: Snapshot, key: bytes) -> Changes:
    return {key: flipped(store[key], 77)}


def journal_flipped(store: Snapshot, bit: int) -> Changes:
    """A bit of what the journal's last row says of the tree; which buckets it touched only spares a start."""
    key, head = store.last(b"j"), tree.JOURNAL_HEAD.size
    return {key: flipped(store[key][:head], bit) + store[key][head:]}


def other_keys(store: Snapshot) -> Changes:
    row: AccountRow = ACCOUNTS.decode_row(store[ACCOUNTS.store_prefix + named("li")])
    return store.with_row(ACCOUNTS, named("mei"), keys=row.keys)


def two_transactions_in_each_others_place(store: Snapshot) -> Changes:
    one, other = sorted(key for key in store if key[:1] == b"t")[3:5]
    return {one: store[other], other: store[one]}


def row_consistent_with_its_bucket(store: Snapshot) -> Changes:
    """A row, its bucket, the journal and the tip changed together: only the signed closing leaf does not follow."""
    changes = row_changed(store)
    (at, data), = changes.items()
    assert data is not None
    hashes = World().hashes
    key = at[len(subjects.SUBJECTS.store_prefix):]
    path = sparse.path_of(hashes, subjects.SUBJECTS.name, key)
    (bucket, row), = [(key, row) for key, row in store.items() if key[:1] == b"b" and path in row]
    entries = [row[at:at + 64] for at in range(0, len(row), 64)]
    new = [path + hashes.digest(data) if entry.startswith(path) else entry for entry in entries]
    leaves = {entry[:32]: entry[32:] for key, row in (store | {bucket: b"".join(new)}).items() if key[:1] == b"b"
              for entry in [row[at:at + 64] for at in range(0, len(row), 64)]}
    root = sparse.root_of(hashes, leaves)
    last = store.last(b"j")
    head = tree.JOURNAL_HEAD.unpack_from(store[last])
    return {**changes, bucket: b"".join(new), **store.with_tip(state_root=root),
            last: tree.JOURNAL_HEAD.pack(*head[:3], root) + store[last][tree.JOURNAL_HEAD.size:]}


LIES: dict[str, tuple[Callable[[Snapshot], Changes], FsckCode]] = {
    "a block is gone": (lambda s: {b"k" + (5).to_bytes(8, "big"): None}, FsckCode.BLOCKS_LIE),
    "the last block is gone": (lambda s: {s.last(b"k"): None}, FsckCode.TIP_LIES),
    "a block is twice there": (lambda s: {b"k" + (99).to_bytes(8, "big"): s[s.first(b"k")]}, FsckCode.BLOCKS_LIE),
    "a block is of another height": (lambda s: s.with_block(3, height=4), FsckCode.BLOCKS_LIE),
    "a block has another time": (lambda s: s.with_block(3, time_ms=s.block(3).time_ms + 1), FsckCode.BLOCKS_LIE),
    "a block begins elsewhere": (lambda s: s.with_block(3, first=1), FsckCode.BLOCKS_LIE),
    "a block has no leaves": (lambda s: s.with_block(3, leaves=(), events=()), FsckCode.BLOCKS_LIE),
    "a leaf is left out": (lambda s: s.with_block(3, leaves=s.block(3).leaves * 2), FsckCode.BLOCKS_LIE),
    "a leaf has another index": (lambda s: leaf_changed(s, index=7), FsckCode.BLOCKS_LIE),
    "a leaf has another code": (lambda s: leaf_changed(s, code=200), FsckCode.EVENTS_LIE),
    "a leaf is of other bytes": (lambda s: leaf_changed(s, full_hash=bytes(32)), FsckCode.CHECKPOINT_LIES),
    "a leaf names other events": (lambda s: leaf_changed(s, events_hash=bytes(32)), FsckCode.EVENTS_LIE),
    "events are another block's": (lambda s: s.with_block(3, events=s.block(4).events), FsckCode.EVENTS_LIE),
    "another state root is closed on": (lambda s: closing_changed(s, state_root=bytes(32)), FsckCode.CHECKPOINT_LIES),
    "other modules are closed on": (lambda s: closing_changed(s, module_set=bytes(32)), FsckCode.BLOCKS_LIE),
    "a checkpoint is another's": (lambda s: s.with_block(3, checkpoint=s.block(2).checkpoint),
                                  FsckCode.CHECKPOINT_LIES),
    "a checkpoint is not signed": (lambda s: s.with_block(
        3, checkpoint=s.block(3).checkpoint.replace(b"operator", b"o")), FsckCode.CHECKPOINT_LIES),
    "a checkpoint was published of no block": (lambda s: {b"p" + bytes(8): s[s.first(b"p")]}, FsckCode.CHECKPOINT_LIES),
    "a published checkpoint is another's": (lambda s: {s.first(b"p"): s[s.last(b"p")]}, FsckCode.CHECKPOINT_LIES),
    "a published checkpoint is not signed": (lambda s: {
        s.first(b"p"): s[s.first(b"p")].replace(b"operator", b"someelse")}, FsckCode.CHECKPOINT_LIES),
    "a tile is altered": (lambda s: bits_of(s, s.first(b"h")), FsckCode.HISTORY_LIES),
    "a tile is gone": (lambda s: {s.first(b"h"): None}, FsckCode.HISTORY_LIES),
    "a tile is too many": (lambda s: {b"h\x00" + (9).to_bytes(8, "big"): bytes(8192)}, FsckCode.HISTORY_LIES),
    "bytes are gone": (lambda s: {s.first(b"t"): None}, FsckCode.TRANSACTION_LIES),
    "bytes are exchanged": (two_transactions_in_each_others_place, FsckCode.TRANSACTION_LIES),
    "bytes are of no block": (lambda s: {b"t" + (99).to_bytes(8, "big"): s[s.first(b"t")]}, FsckCode.TRANSACTION_LIES),
    "bytes are altered": (lambda s: {s.first(b"t"): s[s.first(b"t")][:-1] + b"?"}, FsckCode.TRANSACTION_LIES),
    "less was pruned than is said": (lambda s: {b"mpruned": (3).to_bytes(8, "big")}, FsckCode.TRANSACTION_LIES),
    "keys are another's": (other_keys, FsckCode.SIGNATURE_LIES),
    "an executed id is gone": (lambda s: {s.last(b"r"): None}, FsckCode.REPLAY_IDS_LIE),
    "an executed id is altered": (lambda s: bits_of(s, s.last(b"r")), FsckCode.REPLAY_IDS_LIE),
    "an id was never executed": (lambda s: {b"r" + bytes(12): bytes(16)}, FsckCode.REPLAY_IDS_LIE),
    "a transaction is not found": (lambda s: {s.first(b"x"): None}, FsckCode.INDEX_LIES),
    "a transaction is found elsewhere": (lambda s: {s.first(b"x"): s[s.last(b"x")]}, FsckCode.INDEX_LIES),
    "what never was is found": (lambda s: {b"x" + bytes(16): s[s.first(b"x")]}, FsckCode.INDEX_LIES),
    "a subject's event is not found": (lambda s: {s.first(b"a" + named("mei")): None}, FsckCode.INDEX_LIES),
    "an event is found by a stranger": (lambda s: {b"a" + bytes(16) + s.first(b"a")[17:]: b""}, FsckCode.INDEX_LIES),
    "a timer is forgotten": (lambda s: {s.first(b"d"): None}, FsckCode.INDEX_LIES),
    "a timer is of no row": (lambda s: {s.first(b"d")[:-1] + b"?": b""}, FsckCode.INDEX_LIES),
    "a row is altered": (row_changed, FsckCode.STATE_LIES),
    "a row is gone": (lambda s: {s.last(subjects.SUBJECTS.store_prefix): None}, FsckCode.TREE_LIES),
    "a row is added": (lambda s: {
        subjects.SUBJECTS.store_prefix + bytes(16): s[s.last(subjects.SUBJECTS.store_prefix)]}, FsckCode.TREE_LIES),
    "a row is of no table": (lambda s: {b"s\x05other" + bytes(16): b""}, FsckCode.ROW_NOT_UNDERSTOOD),
    "a row is cut": (lambda s: {s.first(b"s"): s[s.first(b"s")][:-1]}, FsckCode.ROW_NOT_UNDERSTOOD),
    "a row breaks its invariant": (lambda s: s.with_row(subjects.SUBJECTS, named("mei"), registered_ms=2**62),
                                   FsckCode.INVARIANT_LIES),
    "members are miscounted": (lambda s: s.with_row(members.TALLY, active=2), FsckCode.INVARIANT_LIES),
    "an access is left out": (lambda s: s.with_row(access.LOG, named("mei"), count=2), FsckCode.ACCESS_LOG_LIES),
    "an access log is gone": (lambda s: {access.LOG.store_prefix + named("mei"): None}, FsckCode.ACCESS_LOG_LIES),
    "a bucket is altered": (lambda s: bits_of(s, s.first(b"b")), FsckCode.STATE_LIES),
    "a bucket is gone": (lambda s: {s.last(b"b"): None}, FsckCode.STATE_LIES),
    "a bucket is another's": (lambda s: {s.last(b"b"): s[s.first(b"b")]}, FsckCode.TREE_LIES),
    "a bucket is cut": (lambda s: {s.last(b"b"): s[s.last(b"b")][:-1]}, FsckCode.TREE_LIES),
    "the journal ends elsewhere": (lambda s: journal_flipped(s, 77), FsckCode.TREE_LIES),
    "the journal is gone": (lambda s: {key: None for key in s if key[:1] == b"j"}, FsckCode.TREE_LIES),
    "all of it agrees but what was signed": (row_consistent_with_its_bucket, FsckCode.TIP_LIES),
    "the tip is another height": (lambda s: s.with_tip(height=3), FsckCode.TIP_LIES),
    "the tip is another time": (lambda s: s.with_tip(time_ms=3), FsckCode.TIP_LIES),
    "the tip has another app hash": (lambda s: s.with_tip(app_hash=bytes(32)), FsckCode.TIP_LIES),
    "a key is of no family": (lambda s: {b"z": b""}, FsckCode.ROW_NOT_UNDERSTOOD),
    "the scrubber's place is not understood": (lambda s: {b"mscrub": b"?"}, FsckCode.ROW_NOT_UNDERSTOOD),
    "the scrubber was where nothing is": (lambda s: {b"mscrub": codec.encode(scrub.Place(
        phase=scrub.Phase.BLOCKS, row=b"", rows=0, counted=True, block=9_999, walks=0, height=3))}, FsckCode.TIP_LIES),
    "the mark of what was pruned is torn": (lambda s: {b"mpruned": b"\x00" * 3}, FsckCode.ROW_NOT_UNDERSTOOD),
    "a key is none of a ledger": (lambda s: {b"mnote": b""}, FsckCode.ROW_NOT_UNDERSTOOD),
}


@pytest.mark.parametrize("name", LIES)
def test_a_planted_lie_is_told_as_what_it_is(ledger: Path, name: str) -> None:
    plant, code = LIES[name]
    with planted(ledger, plant(store_of(ledger))):
        lie = lie_in(ledger)
    assert lie.code is code, lie
    assert lie.detail


def test_each_kind_of_lie_is_planted_once_at_least() -> None:
    assert {code for _, code in LIES.values()} | {
        FsckCode.STORE_UNREADABLE, FsckCode.REPLAY_DIFFERS, FsckCode.REPLAY_NOT_POSSIBLE,
            FsckCode.SUCCESSORS_LIE, FsckCode.SIGNER_NOT_KNOWN} == {*FsckCode}


def test_a_height_that_somebody_was_told_of_and_the_store_lacks_is_said(ledger: Path) -> None:
    noted = (ledger / "acknowledged").read_bytes()
    (ledger / "acknowledged").write_bytes((10_000).to_bytes(8, "big"))
    try:
        assert lie_in(ledger).code is FsckCode.TIP_LIES
    finally:
        (ledger / "acknowledged").write_bytes(noted)


@pytest.mark.parametrize("torn", [b"\x00", bytes(7), bytes(9)])
def test_a_torn_note_of_what_was_acknowledged_is_a_lie(ledger: Path, torn: bytes) -> None:
    noted = (ledger / "acknowledged").read_bytes()
    (ledger / "acknowledged").write_bytes(torn)
    try:
        assert lie_in(ledger).code is FsckCode.TIP_LIES
    finally:
        (ledger / "acknowledged").write_bytes(noted)


def test_a_damaged_file_of_the_store_is_a_lie_too(ledger: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(ledger, tmp_path / "copy")
    table = max((copy / "store").glob("*.sst"), key=lambda file: file.stat().st_size)
    data = bytearray(table.read_bytes())
    data[len(data) // 3] ^= 1
    table.write_bytes(data)
    assert lie_in(copy).code is FsckCode.STORE_UNREADABLE


# -- lies at random places

def random_lie(store: Snapshot, chance: random.Random) -> Changes:
    """Something is flipped, gone, another's, or at a place of its own. Of what was published (p) one less, or another
    time, contradicts nothing."""
    families = [key for key in store if key[:1] not in b"jmp"]
    family = chance.choice(sorted({key[:1] for key in families}))
    key = chance.choice([key for key in families if key[:1] == family])
    other = chance.choice([key for key in families if key[:1] == family])
    match chance.randrange(6):
        case 0 | 1 if store[key]:
            return {key: flipped(store[key], chance.randrange(2**20))}
        case 2:
            return {key: None}
        case 3 if store[key] != store[other]:
            return {key: store[other]}
        case 4:
            return {key: None, flipped(key, chance.randrange(8 * len(key) - 8)): store[key]}
        case _:
            return journal_flipped(store, chance.randrange(8 * (tree.JOURNAL_HEAD.size - 8)))


@pytest.mark.row("ROT-FSCK")
def test_lies_at_random_places_are_all_found(ledger: Path, span: Span) -> None:
    store = store_of(ledger)
    for seed in span:
        with planted(ledger, random_lie(store, random.Random(seed))):
            assert lie_in(ledger).detail, f"seed {seed}"


# -- the keys that took the place of the manifest's

@contextmanager
def successors(folder: Path, data: bytes | None) -> Iterator[None]:
    file = folder / "successors"
    before = file.read_bytes()
    if data is None:
        file.unlink()
    else:
        file.write_bytes(data)
    yield
    file.write_bytes(before)


def test_a_ledger_of_a_changed_key_whose_statement_is_not_there_names_the_file(ledger: Path) -> None:
    for data in (None, b""):
        with successors(ledger, data):
            lie = lie_in(ledger)
            assert lie.code is FsckCode.SIGNER_NOT_KNOWN and "ledger/successors" in lie.detail


def test_successors_that_no_replaced_key_has_stated_are_a_lie(ledger: Path) -> None:
    stated = (ledger / "successors").read_bytes()
    thief, heir = key_named("thief"), key_named("heir")
    origin = stated.split(b"\n")[1].decode()
    his, hers = (NoteKey("operator", KeyUse.LOG, key.public) for key in (thief, heir))
    first = key_named("checkpoint")
    lies = [f"log {his.text()}\nquorum none\n".encode(), statement(origin, his, thief), stated[:-1], b"\n" + stated,
            stated + statement(origin, his, thief), stated + statement("xinglin/other", his, first), stated + stated,
            stated + statement(origin, NoteKey("other", KeyUse.LOG, thief.public), first), stated + b"x" * 2**20,
            stated + statement(origin, NoteKey("operator", KeyUse.WITNESS, thief.public), first),
            stated.replace(stated.split(b"\n")[2], his.text().encode())]
    for at in range(len(stated)):
        spoiled = bytearray(stated)
        spoiled[at] ^= 1
        lies.append(bytes(spoiled))
    for lie in lies:
        with successors(ledger, lie):
            found = lie_in(ledger)
            assert found.code is FsckCode.SUCCESSORS_LIE and found.detail.startswith("ledger/successors: ")
    with successors(ledger, stated + statement(origin, hers, first)):
        fsck.check(ledger, MODULE_SET)


# -- what only doing it again can find

def test_a_history_that_was_signed_by_whoever_broke_the_rules_is_found_by_doing_it_again(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_row = consent.GrantsRow

    def longer(*args: Any, **kwargs: Any) -> consent.GrantsRow:
        return put_row(*args, **kwargs | {"changes": kwargs["changes"] + 1})
    monkeypatch.setattr(consent, "GrantsRow", longer)
    made = Home(tmp_path / "home").furnished()
    committed = made.done(made.world.grant("mei", "B", "g1"))
    made.done(made.world.register("A.service", "after"))
    made.node.close()
    monkeypatch.undo()
    fsck.check(made.folder, MODULE_SET)        # it is all one lie, and signed
    with pytest.raises(Lie) as caught:
        fsck.replay(made.folder, MODULE_SET)
    assert caught.value.code is FsckCode.REPLAY_DIFFERS and f"block {committed.height}" in caught.value.detail


def test_a_leaf_that_comes_out_another_way_is_named(ledger: Path) -> None:
    store = store_of(ledger)
    with planted(ledger, leaf_changed(store, code=200)), pytest.raises(Lie) as caught:
        fsck.replay(ledger, MODULE_SET)
    assert caught.value.code is FsckCode.REPLAY_DIFFERS and caught.value.detail.startswith("block 3 leaf 0")


def test_the_tree_of_a_replay_has_the_roots_of_the_reference_whatever_comes_and_goes() -> None:
    hashes, chance = World().hashes, random.Random(1)
    leaves: dict[bytes, bytes] = {}
    again = Tree(hashes.digest)
    paths = [hashes.digest(bytes((number,))) for number in range(40)]
    paths += [path[:31] + bytes((path[31] ^ 1,)) for path in paths[:10]]     # neighbours to the last bit
    for step in range(600):
        path = chance.choice(paths)
        row_hash = None if chance.randrange(2) else hashes.digest(step.to_bytes(2, "big"))
        again.put(path, row_hash)
        if row_hash is None:
            leaves.pop(path, None)
        else:
            leaves[path] = row_hash
        assert again.root() == sparse.root_of(hashes, leaves)
