"""engine.tree against base.sparse over a plain dict, through restarts, losses and damage."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from xinglin.base import codec, sparse
from xinglin.base.check import Failed, InvariantBroken
from xinglin.base.crypto import HASH_SUITES, SHA256, SM3, HashSuite
from xinglin.engine import tree as tree_module
from xinglin.engine import tree_snapshot
from xinglin.engine.codes import EngineCode
from xinglin.engine.store import BUCKETS, JOURNAL, Store
from xinglin.engine.tree import SNAPSHOT_NAME, StateTree

SRC = Path(__file__).resolve().parents[2] / "src"
Changes = list[tuple[bytes, bytes | None]]


def hashed(some: object, hashes: HashSuite = SHA256) -> bytes:
    return hashes.digest(repr(some).encode())


def update(store: Store, tree: StateTree, changes: Changes, height: int) -> bytes:
    batch = store.batch()
    root = tree.update(changes, batch, height)
    store.write(batch)
    return root


def some_changes(chance: random.Random, model: dict[bytes, bytes], count: int) -> Changes:
    """New, changed and deleted rows, paths in a few clusters, and the model changed with them."""
    changes: Changes = []
    for _ in range(count):
        if model and chance.random() < 0.4:
            path = chance.choice(sorted(model))
        else:
            head = bytes((chance.choice((0, 7, 255)),)) * chance.choice((0, 0, 3, 5))
            path = head + chance.randbytes(32 - len(head))
        row = None if chance.random() < 0.3 else chance.randbytes(32)
        changes.append((path, row))
        model.pop(path, None)
        if row is not None:
            model[path] = row
    return changes


def filled(folder: Path, rows: int = 300, hashes: HashSuite = SHA256) -> tuple[Store, StateTree, dict[bytes, bytes]]:
    store = Store.open(folder)
    tree = StateTree.open(store, hashes, folder)
    model = {hashed(("path", row)): hashed(row) for row in range(rows)}
    update(store, tree, list(model.items()), 0)
    return store, tree, model


class TreeMachine(RuleBasedStateMachine):
    @initialize(hashes=st.sampled_from(sorted(HASH_SUITES)))
    def start(self, hashes: str) -> None:
        self.hashes = HASH_SUITES[hashes]
        self.folder = Path(mkdtemp(prefix="xinglin-tree-"))
        self.model: dict[bytes, bytes] = {}
        self.height = 0
        self.open()

    def open(self) -> None:
        self.store = Store.open(self.folder)
        self.tree = StateTree.open(self.store, self.hashes, self.folder)

    @rule(seed=st.integers(0, 2**32), count=st.sampled_from((0, 1, 2, 5, 40)), gap=st.sampled_from((1, 1, 1, 9)))
    def change(self, seed: int, count: int, gap: int) -> None:
        self.height += gap
        changes = some_changes(random.Random(seed), self.model, count)
        root = update(self.store, self.tree, changes, self.height)
        assert root == sparse.root_of(self.hashes, self.model)

    @rule()
    def clear(self) -> None:
        self.height += 1
        update(self.store, self.tree, [(path, None) for path in self.model], self.height)
        self.model.clear()
        assert self.tree.root == sparse.EMPTY

    @rule()
    def snapshot(self) -> None:
        self.tree.snapshot()

    @rule(loss=st.sampled_from(("nothing", "snapshot", "a byte of it", "its end", "its place", "all but its name")))
    def restart(self, loss: str) -> None:
        self.store.close()
        file = self.folder / SNAPSHOT_NAME
        if file.exists() and loss == "snapshot":
            file.unlink()
        elif file.exists() and loss != "nothing":
            data = bytearray(file.read_bytes())
            if loss == "a byte of it" and data:
                data[len(data) // 2] ^= 1
            elif loss == "its end":
                del data[-7:]
            elif loss == "its place":
                data[:0] = b"\x00"
            else:
                data.clear()
            file.write_bytes(data)
        self.open()

    @rule(seed=st.integers(0, 2**32))
    def prove(self, seed: int) -> None:
        chance = random.Random(seed)
        for path in (chance.randbytes(32), bytes(32), *sorted(self.model)[:2]):
            assert self.tree.prove(path) == sparse.prove(self.hashes, self.model, path)

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "tree"):
            assert self.tree.count == len(self.model)
            assert self.tree.root == sparse.root_of(self.hashes, self.model)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)


TreeMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestTreeIsTheMapping = TreeMachine.TestCase


@pytest.mark.parametrize("hashes", [SHA256, SM3], ids=lambda suite: suite.name)
def test_the_way_to_a_set_of_rows_does_not_reach_the_root(tmp_path: Path, hashes: HashSuite) -> None:
    at_once, tree, model = filled(tmp_path / "once", 500, hashes)
    root = tree.root
    store = Store.open(tmp_path / "slowly")
    slow = StateTree.open(store, hashes, tmp_path / "slowly")
    for height, path in enumerate(sorted(model, key=lambda path: path[::-1])):
        update(store, slow, [(path, model[path]), (hashed(height), hashed("for a while"))], height)
    assert slow.root != root
    update(store, slow, [(hashed(height), None) for height in range(500)], 500)
    assert slow.root == root == sparse.root_of(hashes, model)
    at_once.close()
    store.close()


def test_the_last_change_of_a_path_counts(tmp_path: Path) -> None:
    store, tree, model = filled(tmp_path, 3)
    path, new = min(model), hashed("new")
    changes: Changes = [(path, None), (path, hashed("old")), (path, new), (hashed("x"), new), (hashed("x"), None)]
    assert update(store, tree, changes, 1) == sparse.root_of(SHA256, {**model, path: new})
    assert tree.count == 3
    store.close()


def killed_after_forty_blocks(folder: Path) -> list[bytes]:
    """A node that dies with all its blocks in RocksDB's log and a snapshot of block 20; the root of each block."""
    done = subprocess.run([sys.executable, "-c", """
import os, random, signal, sys
from pathlib import Path
from xinglin.base.crypto import SHA256
from xinglin.engine.store import Store
from xinglin.engine.tree import StateTree
folder = Path(sys.argv[1])
store = Store.open(folder)
tree = StateTree.open(store, SHA256, folder)
chance = random.Random(7)
paths = [chance.randbytes(32) for _ in range(150)]
for height in range(40):
    batch = store.batch()
    rows = [(chance.choice(paths), chance.choice((None, chance.randbytes(32)))) for _ in range(12)]
    print(tree.update(rows, batch, height).hex(), flush=True)
    store.write(batch)
    if height == 20:
        tree.snapshot()
os.kill(os.getpid(), signal.SIGKILL)
""", str(folder)], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(SRC)}, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return [bytes.fromhex(line) for line in done.stdout.split()]


def test_whatever_part_of_the_log_survives_the_tree_opens_at_its_last_block(tmp_path: Path) -> None:
    roots = killed_after_forty_blocks(tmp_path / "whole")
    [log] = [file for file in (tmp_path / "whole").glob("*.log") if file.stat().st_size]
    data, ends = log.read_bytes(), set()
    for part in range(26):
        torn = tmp_path / f"torn{part}"
        shutil.copytree(tmp_path / "whole", torn)
        (torn / log.name).write_bytes(data[: len(data) * part // 25])
        store = Store.open(torn)
        tree = StateTree.open(store, SHA256, torn)
        last = [int.from_bytes(key[1:], "big") for key, _ in store.scan(JOURNAL)][-1:]
        ends.update(last)
        assert tree.root == (roots[last[0]] if last else sparse.EMPTY)
        height = last[0] + 1 if last else 0
        before = tree.root
        update(store, tree, [(hashed("probe"), hashed("row"))], height)
        assert update(store, tree, [(hashed("probe"), None)], height + 1) == before
        store.close()
    assert min(ends) < 20 and max(ends) == 39, "cut before and after the snapshot"


def test_a_snapshot_ahead_of_the_store_is_not_believed(tmp_path: Path) -> None:
    store, tree, model = filled(tmp_path / "first")
    store.checkpoint(tmp_path / "second")
    update(store, tree, [(hashed("more"), hashed("row"))], 1)
    tree.snapshot()
    store.close()
    shutil.copy(tmp_path / "first" / SNAPSHOT_NAME, tmp_path / "second" / SNAPSHOT_NAME)
    store = Store.open(tmp_path / "second")
    tree = StateTree.open(store, SHA256, tmp_path / "second")
    assert tree.root == sparse.root_of(SHA256, model)
    assert update(store, tree, [(path, None) for path in model], 1) == sparse.EMPTY
    store.close()


def test_an_old_snapshot_whose_journal_is_gone_is_not_believed(tmp_path: Path) -> None:
    store, tree, model = filled(tmp_path)
    tree.snapshot()
    shutil.copy(tmp_path / SNAPSHOT_NAME, tmp_path / "old")
    for height in range(1, 4):
        model |= {hashed((height, row)): hashed(row) for row in range(50)}
        update(store, tree, list(model.items()), height)
        tree.snapshot()
    assert [key[-1] for key, _ in store.scan(JOURNAL)] == [3], "only the row of the snapshot stays"
    store.close()
    shutil.copy(tmp_path / "old", tmp_path / SNAPSHOT_NAME)
    store = Store.open(tmp_path)
    tree = StateTree.open(store, SHA256, tmp_path)
    assert tree.root == sparse.root_of(SHA256, model)
    assert update(store, tree, [(path, None) for path in model], 4) == sparse.EMPTY
    store.close()


def test_a_gap_in_the_journal_is_noticed_though_the_root_stayed(tmp_path: Path) -> None:
    store, tree, model = filled(tmp_path)
    tree.snapshot()
    shutil.copy(tmp_path / SNAPSHOT_NAME, tmp_path / "old")
    update(store, tree, list(model.items()), 1)     # splits buckets, changes no row
    update(store, tree, [], 2)
    tree.snapshot()
    store.close()
    shutil.copy(tmp_path / "old", tmp_path / SNAPSHOT_NAME)
    store = Store.open(tmp_path)
    tree = StateTree.open(store, SHA256, tmp_path)
    assert update(store, tree, [(path, None) for path in model], 3) == sparse.EMPTY
    store.close()


def test_the_snapshot_of_another_ledger_is_not_believed(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        store, tree, model = filled(tmp_path / name, 60)
        update(store, tree, [(hashed(name), hashed("row"))], 1)
        tree.snapshot()
        store.close()
    shutil.copy(tmp_path / "theirs" / SNAPSHOT_NAME, tmp_path / "ours" / SNAPSHOT_NAME)
    store = Store.open(tmp_path / "ours")
    tree = StateTree.open(store, SHA256, tmp_path / "ours")
    assert tree.root == sparse.root_of(SHA256, model | {hashed("ours"): hashed("row")})
    tree.prove(hashed("ours"))
    store.close()


@pytest.mark.parametrize("start", ["snapshot", "old snapshot and journal", "buckets alone"])
def test_a_bucket_that_nobody_touches_while_places_double_and_double_is_found_and_divided(
    tmp_path: Path, start: str
) -> None:
    store, tree, model = filled(tmp_path, 20)
    tree.snapshot()
    shutil.copy(tmp_path / SNAPSHOT_NAME, tmp_path / "old")
    untouched = sorted(path for path in model if path[0] >= 128)
    many = {bytes((row % 128,)) + hashed(row)[1:]: hashed(row) for row in range(1_000)}
    model |= many
    update(store, tree, list(many.items()), 1)
    assert len([key for key, _ in store.scan(BUCKETS) if key[1] >= 128]) < len(untouched), "not divided yet"
    if start == "snapshot":
        tree.snapshot()
    elif start == "buckets alone":
        (tmp_path / SNAPSHOT_NAME).unlink()
    store.close()

    store = Store.open(tmp_path)
    assert StateTree.starts_fast(store, SHA256, tmp_path) == (start != "buckets alone")
    tree = StateTree.open(store, SHA256, tmp_path)
    for path in (*untouched, bytes((200,)) + bytes(31)):
        assert tree.prove(path) == sparse.prove(SHA256, model, path)
    assert all(tree.holds(path, model[path]) for path in untouched)
    changes: Changes = [(untouched[0], None), (untouched[-1], hashed("new"))]
    model |= {untouched[-1]: hashed("new")}
    del model[untouched[0]]
    assert update(store, tree, changes, 2) == sparse.root_of(SHA256, model)
    for path in (*untouched, min(model)):
        assert tree.prove(path) == sparse.prove(SHA256, model, path)
    store.close()


def test_a_snapshot_that_claims_to_be_huge_is_dropped_before_memory_is_taken(tmp_path: Path) -> None:
    head = codec.encode(tree_snapshot.Header(suite=SHA256.name, height=0, places=2**32 - 1))
    (tmp_path / "file").write_bytes(len(head).to_bytes(4, "big") + head + bytes(1_000))
    assert tree_snapshot.read(tmp_path / "file", SHA256) is None


def test_a_snapshot_of_another_hash_suite_is_not_believed(tmp_path: Path) -> None:
    store, tree, model = filled(tmp_path / "sm3", 50, SM3)
    tree.snapshot()
    store.close()
    store, tree, model = filled(tmp_path / "sha", 50)
    store.close()
    shutil.copy(tmp_path / "sm3" / SNAPSHOT_NAME, tmp_path / "sha" / SNAPSHOT_NAME)
    store = Store.open(tmp_path / "sha")
    assert StateTree.open(store, SHA256, tmp_path / "sha").root == sparse.root_of(SHA256, model)
    store.close()


def damage(store: Store, path: bytes) -> None:
    """Change one byte of the bucket in which `path` stands, as RocksDB would never let a disk do."""
    [(key, row)] = [(key, row) for key, row in store.scan(BUCKETS) if path in row]
    batch = store.batch()
    batch.put(key, row[:-1] + bytes((row[-1] ^ 1,)))
    store.write(batch)


def test_a_damaged_bucket_is_noticed_when_touched_and_changes_nothing(tmp_path: Path) -> None:
    store, tree, model = filled(tmp_path)
    path, root = min(model), tree.root
    damage(store, path)
    for action in (lambda: update(store, tree, [(path, None)], 1), lambda: tree.prove(path),
                   lambda: update(store, tree, [(hashed(row), hashed(row)) for row in range(900)], 1)):
        with pytest.raises(Failed) as caught:
            action()
        assert caught.value.code == EngineCode.STORE_CORRUPT
        assert tree.root == root and tree.count == len(model)
    untouched = max(model)
    assert tree.prove(untouched) == sparse.prove(SHA256, model, untouched)
    store.close()


def test_a_damaged_bucket_is_noticed_when_the_snapshot_is_lost_too(tmp_path: Path) -> None:
    store, _, model = filled(tmp_path)
    damage(store, min(model))
    store.close()
    store = Store.open(tmp_path)
    with pytest.raises(Failed) as caught:
        StateTree.open(store, SHA256, tmp_path)
    assert caught.value.code == EngineCode.STORE_CORRUPT
    store.close()


def test_a_tree_ahead_of_its_store_neither_proves_nor_keeps_itself(tmp_path: Path) -> None:
    store, tree, model = filled(tmp_path)
    batch = store.batch()
    tree.update([(hashed("more"), hashed("row"))], batch, 1)
    with pytest.raises(InvariantBroken, match="is written"):
        tree.prove(min(model))
    with pytest.raises(InvariantBroken, match="is written"):
        tree.snapshot()
    store.write(batch)
    tree.snapshot()
    with pytest.raises(InvariantBroken, match="ascend"):
        tree.update([], store.batch(), 1)
    store.close()


@pytest.mark.parametrize("change", [(b"short", None), (bytes(33), None), (bytes(32), b"short"), (b"", bytes(32))])
def test_a_change_of_another_length_is_our_own_bug(tmp_path: Path, change: tuple[bytes, bytes | None]) -> None:
    store, tree, model = filled(tmp_path, 5)
    with pytest.raises(InvariantBroken):
        tree.update([change], store.batch(), 1)
    assert tree.root == sparse.root_of(SHA256, model)
    store.close()


def test_a_long_journal_becomes_a_snapshot_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "TREE_JOURNAL_ENTRIES_MIN", 100)
    store, tree, model = filled(tmp_path, 40)
    for height in range(1, 30):
        model[hashed(height)] = hashed("row")
        update(store, tree, [(path, model[path]) for path in sorted(model)[:20]] + list(model.items())[-1:], height)
    assert (tmp_path / SNAPSHOT_NAME).exists()
    assert len(list(store.scan(JOURNAL))) < 15
    store.close()
    store = Store.open(tmp_path)
    assert StateTree.open(store, SHA256, tmp_path).root == sparse.root_of(SHA256, model)
    store.close()


def test_a_snapshot_that_cannot_be_written_leaves_the_older_one(tmp_path: Path) -> None:
    store, tree, model = filled(tmp_path)
    tree.snapshot()
    before = (tmp_path / SNAPSHOT_NAME).read_bytes()
    (tmp_path / f".{SNAPSHOT_NAME}.part").mkdir()
    update(store, tree, [(hashed("more"), hashed("row"))], 1)
    with pytest.raises(Failed) as caught:
        tree.snapshot()
    assert caught.value.code == EngineCode.STORE_NOT_USABLE
    assert (tmp_path / SNAPSHOT_NAME).read_bytes() == before
    store.close()
    store = Store.open(tmp_path)
    model[hashed("more")] = hashed("row")
    assert StateTree.open(store, SHA256, tmp_path).root == sparse.root_of(SHA256, model)
    store.close()
