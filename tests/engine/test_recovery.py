"""What a node makes of the home it finds: torn, stale, full, taken, another's, half made."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import killed
from homes import CHECKPOINT_SEED, Home, Replay, home
from small_disk import small_disk
from worlds import World
from xinglin.base.check import Code, Failed, NotVerified
from xinglin.base.units import MS_PER_DAY
from xinglin.engine import acknowledged, durable
from xinglin.engine.codes import EngineCode
from xinglin.engine.embedded import Committed
from xinglin.kernel.codes import KernelCode
from xinglin.modules import MODULES
from xinglin.node import Node, NodeCode


@contextmanager
def fails(code: Code) -> Iterator[None]:
    with pytest.raises(Failed) as failed:
        yield
    assert failed.value.code is code, failed.value


def worked(folder: Path, count: int = 30) -> Home:
    """A home with some blocks, open."""
    made = Home(folder).furnished()
    for number in range(count):
        made.done(made.world.anchor("A.service", number + 1))
    return made


def crashed(folder: Path, count: int = 30) -> tuple[Path, World]:
    """The home of a node that was never closed."""
    running = worked(folder.with_name("running"), count)
    shutil.copytree(running.folder, folder)
    running.node.close()
    (folder / "store" / "LOCK").unlink(missing_ok=True)
    return folder, running.world


def log_of(folder: Path) -> Path:
    return max((folder / "store").glob("*.log"), key=lambda file: file.stat().st_size)


def follows(folder: Path, world: World) -> int:
    """Open, execute all blocks again, order one more; the height found."""
    found = Home(folder)
    found.world.network, found.world.manifest, found.world.reader = world.network, world.manifest, world.reader
    try:
        found.node.ask(Replay(world).follow)
        height = found.node.engine.synced_height
        found.done(found.world.register("A.service", "after"))
        assert found.node.engine.synced_height == height + 1
        return height
    finally:
        found.node.close()


# -- the end of the log

def test_what_a_crash_left_opens_at_the_acknowledged_tip(tmp_path: Path) -> None:
    assert follows(*crashed(tmp_path / "home")) == 32


@pytest.mark.parametrize("cut", [1, 7, 100, 1_000, 5_000, 20_000])
def test_a_torn_end_of_the_log_is_noticed_by_what_was_acknowledged(tmp_path: Path, cut: int) -> None:
    folder, world = crashed(tmp_path / "home")
    log = log_of(folder)
    os.truncate(log, log.stat().st_size - cut)
    with fails(EngineCode.TIP_BEHIND_ACKNOWLEDGED):
        Node.open(folder, world.modules)
    # Had nobody been answered, it would be a whole ledger of fewer blocks.
    (folder / "acknowledged").unlink()
    assert follows(folder, world) < 32


@pytest.mark.parametrize("torn", [b"", bytes(3), b"\xff" * 9])
def test_a_torn_note_is_written_anew_with_the_next_block(tmp_path: Path, torn: bytes) -> None:
    with home(tmp_path / "home") as one:
        one.furnished()
    (tmp_path / "home" / "acknowledged").write_bytes(torn)
    with home(tmp_path / "home") as one:
        one.done(one.world.anchor("A.service", 1))
        assert acknowledged.read(tmp_path / "home" / "acknowledged") == one.node.engine.synced_height


@pytest.mark.parametrize("from_end", [3, 300, 3_000])
def test_a_flipped_bit_near_the_end_of_the_log_does_not_pass_for_a_torn_one(tmp_path: Path, from_end: int) -> None:
    folder, world = crashed(tmp_path / "home")
    log = log_of(folder)
    data = bytearray(log.read_bytes())
    data[-from_end] ^= 1
    log.write_bytes(data)
    with pytest.raises(Failed) as failed:
        Node.open(folder, world.modules)
    assert failed.value.code in (EngineCode.TIP_BEHIND_ACKNOWLEDGED, EngineCode.STORE_CORRUPT)


def test_a_block_that_was_written_and_never_acknowledged_may_stay(tmp_path: Path) -> None:
    folder, world = crashed(tmp_path / "home")
    (folder / "acknowledged").write_bytes((20).to_bytes(8, "big"))
    assert follows(folder, world) == 32


def test_an_older_copy_of_the_store_is_not_gone_on_from(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        one.furnished()
        one.node.close()
        shutil.copytree(one.folder / "store", tmp_path / "old")
        one.node = one._open()
        one.done(one.world.register("A.service", "s"))
        one.node.close()
        shutil.rmtree(one.folder / "store")
        shutil.copytree(tmp_path / "old", one.folder / "store")
        with fails(EngineCode.TIP_BEHIND_ACKNOWLEDGED):
            Node.open(one.folder, one.world.modules)


@pytest.mark.parametrize("damage", [
    lambda file: file.unlink(), lambda file: file.write_bytes(b""),
    lambda file: file.write_bytes(file.read_bytes()[:-9])], ids=["lost", "empty", "torn"])
def test_without_its_snapshot_the_state_tree_is_read_from_its_buckets(tmp_path: Path, damage: Any) -> None:
    one = worked(tmp_path / "home")
    one.node.close()
    damage(one.folder / "store" / "tree.snapshot")
    assert follows(one.folder, one.world) == 32


# -- what does not fit together

def test_a_clock_behind_the_tip_refuses_to_start(tmp_path: Path) -> None:
    one = Home(tmp_path / "home").furnished()
    one.node.advance(MS_PER_DAY)
    one.done(one.world.register("A.service", "s"))
    one.node.close()
    moved = (one.folder / "clock").read_bytes()
    (one.folder / "clock").unlink()
    with fails(EngineCode.CLOCK_BEHIND_TIP):
        Node.open(one.folder, one.world.modules)
    (one.folder / "clock").write_bytes(moved)
    assert follows(one.folder, one.world) == 3


def test_a_home_that_is_open_is_in_use_also_for_another_process(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        with fails(EngineCode.STORE_IN_USE):
            Node.open(one.folder, one.world.modules)
        other = subprocess.run(
            [sys.executable, "-c", "import sys; from pathlib import Path; from xinglin.node import Node; "
             "from xinglin.modules import module_set; Node.open(Path(sys.argv[1]), module_set())", one.folder],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False)
        assert "XL-8000 STORE_IN_USE" in other.stderr
        one.furnished()                   # and the first one did not notice


def test_a_ledger_of_other_modules_is_not_opened_nor_founded(tmp_path: Path) -> None:
    fewer = World(modules=MODULES[:-1])
    with home(tmp_path / "home") as one:
        one.node.close()
        with fails(EngineCode.MODULES_DIFFER):
            Node.open(one.folder, fewer.modules)
        with fails(EngineCode.MODULES_DIFFER):
            Node.create(tmp_path / "other", one.world.manifest, fewer.modules, "operator", CHECKPOINT_SEED)
        one.node = one._open()


def test_a_home_with_a_ledger_is_not_founded_again(tmp_path: Path) -> None:
    one = worked(tmp_path / "home", 3)
    one.node.close()
    for _ in range(2):
        with fails(EngineCode.HOME_NOT_EMPTY):
            one._create()
        shutil.rmtree(one.folder / "store", ignore_errors=True)     # its store is lost: still not an empty home


def test_a_folder_without_a_ledger_says_so_and_stays_as_it_was(tmp_path: Path) -> None:
    with fails(EngineCode.NO_LEDGER_HERE):
        Node.open(tmp_path / "nowhere", World().modules)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("key", [None, b"", bytes(31), CHECKPOINT_SEED + b"somebody", bytes(32) + b"operator",
                                 CHECKPOINT_SEED + b"\xff\xfe"], ids=repr)
def test_a_checkpoint_key_that_is_missing_or_not_the_manifests_is_not_used(tmp_path: Path, key: bytes | None) -> None:
    with home(tmp_path / "home") as one:
        one.node.close()
        file = one.folder / "checkpoint.key"
        whole = file.read_bytes()
        file.unlink() if key is None else file.write_bytes(key)
        with fails(NodeCode.CHECKPOINT_KEY_NOT_USABLE):
            one._open()
        file.write_bytes(whole)
        one.node = one._open()


def test_the_checkpoint_key_is_for_this_user_alone(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        assert (one.folder / "checkpoint.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("step", ["manifest", "key"])
def test_a_founding_that_was_cut_off_can_be_done_again(
        tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise Failed(EngineCode.DISK_FULL)
    modules = World().modules
    monkeypatch.setattr(*{"manifest": ("xinglin.engine.ledger.Ledger._write_rows", stop),
                          "key": ("xinglin.engine.durable.write", stop)}[step])
    with fails(EngineCode.DISK_FULL):
        Home(tmp_path / "home")
    with fails(EngineCode.NO_LEDGER_HERE):
        Node.open(tmp_path / "home", modules)
    monkeypatch.undo()
    with home(tmp_path / "home") as one:
        one.furnished()


def test_a_manifest_that_no_network_can_be_founded_on_leaves_the_folder_free(tmp_path: Path) -> None:
    world = World()
    twice = structs.replace(world.manifest, founders=world.manifest.founders * 2)
    with pytest.raises(NotVerified) as failed:
        Node.create(tmp_path / "home", twice, world.modules, "operator", CHECKPOINT_SEED)
    assert failed.value.code is KernelCode.MANIFEST_NOT_VALID
    with home(tmp_path / "home") as one:
        one.furnished()


# -- a full disk

def flood(one: Home, mib: int) -> list["Future[Committed]"]:
    """Some megabytes of transactions, or as many as are let in."""
    futures: list[Future[Committed]] = []
    messages = [one.world.batch("A.service", "mei", number, 1) for number in range(1, 60)]
    raws = [one.raw(*messages) for _ in range(mib * 140)]
    for raw in raws:
        try:
            futures.append(one.node.submit(raw))
        except Failed:
            break
    return futures


def fill(one: Home, mib: int) -> list[Committed]:
    """Order until the disk is full; what was acknowledged until then."""
    told = []
    for future in flood(one, mib):
        error = future.exception(60)
        if error is None:
            told.append(future.result())
        else:
            assert isinstance(error, Failed) and error.code is EngineCode.ENGINE_STOPPED
            assert "DISK_FULL" in error.detail, error.detail
    assert isinstance(one.node.engine.failed, Failed) and one.node.engine.failed.code is EngineCode.DISK_FULL
    with fails(EngineCode.ENGINE_STOPPED):
        one.node.ask(lambda ledger: ledger.height)
    one.node.close()
    return told


def holds(one: Home, told: list[Committed]) -> None:
    replay = Replay(one.world)
    one.node.ask(replay.follow)
    for committed in told:
        assert replay.at[committed.tx_id] == (committed.height, committed.index)
        assert replay.leaves[committed.height, committed.index] == committed.leaf
    one.done(one.world.register("A.service", "after"))


def test_a_full_disk_stops_the_engine_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "16m") as disk:
        (disk / "ballast").write_bytes(bytes(9 * 1024 * 1024))
        one = Home(disk / "home").furnished()
        told = fill(one, 12)
        assert len(told) > 50
        (disk / "ballast").unlink()       # to open, the store writes what its log holds into a table
        one.node = one._open()
        holds(one, told)
        one.node.close()


def test_a_file_that_may_not_grow_stops_the_engine_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    one = Home(tmp_path / "home").furnished()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * 1024 * 1024, hard))
    try:
        told = fill(one, 6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(told) > 50
    one.node = one._open()
    holds(one, told)
    one.node.close()


def test_a_small_file_is_whole_as_before_when_the_disk_is_full(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    durable.write(file, b"1")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with fails(EngineCode.DISK_FULL):
            durable.write(file, bytes(2_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == b"1"


# -- founding, killed

def test_a_founding_that_is_killed_leaves_a_ledger_or_room_for_one(tmp_path: Path) -> None:
    founded = 0
    for at in range(12):
        folder = tmp_path / str(at)
        process, read = killed.start(folder, seed=at)
        process.join(at / 100)
        killed.kill(process)
        read.close()
        with home(folder) as one:         # opens it, or founds it
            founded += one.node.engine.synced_height >= 0
            one.node.order(one.raw(one.world.enrol_service("A", "A.service")))
            one.node.ask(Replay(one.world).follow)
    assert founded == 12
