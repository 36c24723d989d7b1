"""A home goes into a backup without its keys, and comes back whole, or not at all."""

import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from small_disk import small_disk
from xinglin import backup, demo, fsck
from xinglin.backup import BackupCode, contents, make
from xinglin.base.check import Code, Failed
from xinglin.base.codec import Struct
from xinglin.engine import acknowledged
from xinglin.engine.codes import EngineCode
from xinglin.engine.store import Store
from xinglin.engine.told import untold
from xinglin.fsck import Lie
from xinglin.holder import read_log
from xinglin.holder.codes import HolderCode
from xinglin.home import Home, HomeCode
from xinglin.modules import module_set
from xinglin.node import NodeCode
from xinglin.vault import VaultCode
from xinglin.vault.blobs import Blobs
from xinglin.vault.keystore import Keystore, holder_kek

SEGMENTS_BYTES = 64 * 1024 * 1024      # BACKUP's share in CI (safety.md 3)
MODULE_SET = module_set()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which the demo's story was told; nobody writes to it but in a copy."""
    path = tmp_path_factory.mktemp("told") / "home"
    kept = os.environ.get("XINGLIN_CONFIG")
    os.environ["XINGLIN_CONFIG"] = str(path.parent / "config")
    try:
        assert demo.run(path, None, check=True, as_json=True, lang="en") == 0
    finally:
        os.environ.pop("XINGLIN_CONFIG")
        if kept is not None:
            os.environ["XINGLIN_CONFIG"] = kept
    yield path


@pytest.fixture
def home(told: Path, tmp_path: Path) -> Path:
    return shutil.copytree(told, tmp_path / "home")


def fails(code: Code, act: Callable[[], object]) -> Failed:
    with pytest.raises(Failed) as caught:
        act()
    assert caught.value.code is code, caught.value
    return caught.value


def bring_apart(home: Path, restored: Path, found: backup.Restored) -> None:
    """What an operator brings from where it is kept."""
    for name in found.apart:
        (restored / name).parent.mkdir(parents=True, exist_ok=True)
        if (home / name).is_dir():
            shutil.copytree(home / name, restored / name)
        else:
            shutil.copy2(home / name, restored / name)


def everything_in(home: Home) -> list[object]:
    """What a reader of the ledger and of the data rooms sees."""
    ledger = home.node.ask(lambda opened: (opened.height, opened.state_root, opened.app_hash))
    return [ledger, *[(sorted(holder.blobs.list()), read_log.running(holder), list(read_log.reads(holder)))
                      for holder in home.holders()]]


# -- there and back

def test_a_home_comes_back_on_an_empty_host_and_goes_on(home: Path, tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    made = backup.of_closed(home, tmp_path / "copy", lambda *said: heard.append(said))
    assert heard[-1][1] == heard[-1][2] > 10_000
    assert not [path for path in (tmp_path / "copy").rglob("*") if path.stat().st_mode & 0o077]
    with Home.open(home) as one:
        before = everything_in(one)
    found = backup.restore(tmp_path / "copy", tmp_path / "far" / "host", MODULE_SET, verify=True)
    restored = tmp_path / "far" / "host"
    assert found.report is not None and found.report.height == made.height == found.contents.height
    fails(NodeCode.CHECKPOINT_KEY_NOT_USABLE, lambda: Home.open(restored))     # it signs nothing until it may
    bring_apart(home, restored, found)
    with Home.open(restored) as again:
        assert everything_in(again) == before
        for organisation in again.with_data_room():
            read_log.anchor(again.holder(organisation), even_unchanged=True)
        assert again.node.engine.synced_height > made.height


def test_nothing_that_signs_or_opens_is_in_a_backup(home: Path, tmp_path: Path) -> None:
    secret = {path.read_bytes() for pattern in contents.APART for found in home.glob(pattern)
              for path in ([found] if found.is_file() else found.iterdir()) if path.stat().st_size >= 32}
    keys = []
    for folder in home.glob("organisations/*/vault/keystore"):
        kek = holder_kek(folder)
        keystore = Keystore.open(folder, kek)
        keys += [kek, *[keystore.key(subject) for subject in keystore._states if keystore._states[subject] == 1
                        and subject != b"\xff" * 16]]
        keystore.close()
    seed = (home / "ledger" / "checkpoint.key").read_bytes()[:32]
    assert len(keys) > 6 and len(secret) > 10
    made = backup.of_closed(home, tmp_path / "copy")
    for file in (path for path in (tmp_path / "copy").rglob("*") if path.is_file()):
        data = file.read_bytes()
        assert data not in secret and not any(key in data for key in (*keys, seed)), file
    assert {name.rsplit("/", 1)[-1] for name in made.apart} >= {
        "checkpoint.key", "member.key", "service.key", "keystore", "chen.key", "patient.wallet"}


def test_keys_that_are_to_take_the_place_of_others_are_kept_by_other_ways_too(home: Path, tmp_path: Path) -> None:
    coming = ["organisations/xinglin/member.replacement", "organisations/xinglin/service.rotation",
              "organisations/xinglin/staff/chen.rotation", "organisations/xinglin/member.next"]
    for name in coming:
        (home / name).write_bytes(b"new key")
    made = backup.of_closed(home, tmp_path / "copy")
    assert {*coming} < {*made.apart}
    assert not [path for path in (tmp_path / "copy").rglob("*") if path.is_file() and b"new key" in path.read_bytes()]


def of_running(home: Path, running: Home, to: Path) -> contents.Contents:
    """As a server will make one of its own home: between two blocks."""
    return make._made(home, to, untold, lambda freeze: running.node.ask(lambda ledger: freeze(ledger.store)))


def test_a_backup_of_a_running_node_is_of_one_moment(home: Path, tmp_path: Path) -> None:
    with Home.open(home) as one:
        ended = threading.Event()

        def busy() -> None:
            while not ended.is_set():
                for holder in one.in_use():
                    read_log.anchor(holder, even_unchanged=True)
        one.holders()
        worker = threading.Thread(target=busy)
        worker.start()
        try:
            made = [of_running(home, one, tmp_path / f"copy {number}") for number in range(3)]
        finally:
            ended.set()
            worker.join()
        assert made[0].height < made[-1].height <= one.node.engine.synced_height
    for number, each in enumerate(made):
        found = backup.restore(tmp_path / f"copy {number}", tmp_path / f"host {number}", MODULE_SET, verify=True)
        assert found.report is not None and found.report.height == each.height


def test_ciphertext_of_any_size_comes_back_byte_for_byte(home: Path, tmp_path: Path) -> None:
    segments = home / "organisations" / "xinglin" / "vault" / "segments"
    held = {secrets.token_hex(16): secrets.token_bytes(SEGMENTS_BYTES // 4) for _ in range(4)}
    blobs = Blobs.open(segments)
    for name, data in held.items():
        blobs.put(name, data)
    backup.of_closed(home, tmp_path / "copy")
    backup.restore(tmp_path / "copy", tmp_path / "host", MODULE_SET, verify=False)
    again = Blobs.open(tmp_path / "host" / segments.relative_to(home))
    assert all(again.get(name) == data for name, data in held.items())


def test_the_whole_history_can_be_rebuilt_from_a_restored_backup(home: Path, tmp_path: Path) -> None:
    backup.of_closed(home, tmp_path / "copy")
    backup.restore(tmp_path / "copy", tmp_path / "host", MODULE_SET, verify=True)
    assert fsck.replay(tmp_path / "host" / "ledger", MODULE_SET).transactions > 30
    assert fsck.replay(home / "ledger", MODULE_SET, base=tmp_path / "host" / "ledger").transactions == 0


# -- what is erased stays erased

def test_an_older_backup_brings_back_nothing_that_was_destroyed_since(home: Path, tmp_path: Path) -> None:
    vault = home / "organisations" / "xinglin" / "vault"
    mirror = tmp_path / "mirror"
    kek = holder_kek(vault / "keystore", mirror)
    keystore = Keystore.open(vault / "keystore", kek, [mirror])
    subject = next(one for one, state in sorted(keystore._states.items()) if state == 1
                   and one != b"\xff" * 16 and one.hex() not in (vault.parent / "card.json").read_text())
    keystore.close()
    backup.of_closed(home, tmp_path / "copy")              # from before the erasure
    keystore = Keystore.open(vault / "keystore", kek, [mirror])
    keystore.destroy(subject)
    keystore.close()

    found = backup.restore(tmp_path / "copy", tmp_path / "host", MODULE_SET, verify=True)
    shutil.rmtree(vault / "keystore")                      # the old host is lost; the mirror lives
    restored = tmp_path / "host"
    bring_apart(home, restored, found._replace(
        apart=tuple(name for name in found.apart if "xinglin/vault" not in name)))
    with Home.open(restored) as one:
        xinglin = one.organisation("xinglin")
        fails(HolderCode.KEYSTORE_GONE, lambda: one.holder(xinglin))
        (xinglin.folder / "mirrors").write_text(f"{tmp_path / 'nowhere'}\n")
        fails(HomeCode.MIRROR_NOT_THERE, lambda: one.holder(xinglin))
        (xinglin.folder / "mirrors").write_text(f"{mirror}\n")
        holder = one.holder(xinglin)
        assert not holder.holds(subject) and subject in holder.keystore.destroyed
        with sqlite3.connect(xinglin.folder / "vault" / "cabinet.db") as rows:      # what it sealed is there, and shut
            (kind, name), *_ = rows.execute("SELECT kind, name FROM cells WHERE owner = ?", (subject,)).fetchall()
        fails(VaultCode.KEY_DESTROYED, lambda: holder.get(kind, subject, name, Struct))


# -- what is no backup

def test_a_backup_that_was_killed_is_recognised_and_leaves_the_home_as_it_was(home: Path, tmp_path: Path) -> None:
    with Home.open(home) as one:
        before = everything_in(one)
    code = ("import os, sys; from pathlib import Path; from xinglin import backup; from xinglin.backup import make\n"
            "left = [int(sys.argv[3])]\n"
            "def copy(source, to, real=make.copy_file):\n"
            "    left[0] -= 1\n"
            "    return real(source, to) if left[0] else os._exit(9)\n"
            "make.copy_file = copy\n"
            "backup.of_closed(Path(sys.argv[1]), Path(sys.argv[2]))\n")
    for number in (1, 4, 12):
        folder = tmp_path / f"copy {number}"
        done = subprocess.run([sys.executable, "-c", code, home, folder, str(number)], check=False,
                              env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
        assert done.returncode == 9
        fails(BackupCode.BACKUP_INCOMPLETE, lambda at=folder: backup.restore(  # type: ignore[misc]
            at, tmp_path / "host", MODULE_SET, verify=False))
        assert not (tmp_path / "host").exists() and not (home / contents.NOTE_NAME).exists()
    with Home.open(home) as one:
        assert everything_in(one) == before


def listed(folder: Path) -> dict[str, object]:
    return json.loads((folder / contents.LIST_NAME).read_text())


def altered(folder: Path, **changes: object) -> None:
    (folder / contents.LIST_NAME).write_text(json.dumps(listed(folder) | changes))


def some_file(folder: Path) -> Path:
    return next(path for path in sorted((folder / "home" / "ledger" / "store").iterdir()) if path.suffix == ".sst")


def one_bit(folder: Path) -> None:
    data = bytearray(some_file(folder).read_bytes())
    data[len(data) // 2] ^= 1
    some_file(folder).write_bytes(data)


def another_link(folder: Path) -> None:
    name = some_file(folder)
    name.unlink()
    name.symlink_to(folder / "home" / "ledger" / "clock")


ALTERED: dict[str, tuple[Callable[[Path], object], Code]] = {
    "a bit": (one_bit, BackupCode.BACKUP_ALTERED),
    "cut": (lambda folder: os.truncate(some_file(folder), 100), BackupCode.BACKUP_ALTERED),
    "gone": (lambda folder: some_file(folder).unlink(), BackupCode.BACKUP_ALTERED),
    "one more": (lambda folder: (folder / "home" / "ledger" / "store" / "more").write_bytes(b""),
                 BackupCode.BACKUP_ALTERED),
    "a key": (lambda folder: (folder / "home" / "ledger" / "checkpoint.key").write_bytes(bytes(32)),
              BackupCode.BACKUP_ALTERED),
    "a link": (another_link, BackupCode.BACKUP_ALTERED),
    "another height": (lambda folder: altered(folder, height=3), BackupCode.BACKUP_ALTERED),
    "another network": (lambda folder: altered(folder, network="00" * 32), fsck.FsckCode.TIP_LIES),
    "another format": (lambda folder: altered(folder, format="xinglin backup 2"), BackupCode.BACKUP_NOT_UNDERSTOOD),
    "below zero": (lambda folder: altered(folder, height=-1), BackupCode.BACKUP_NOT_UNDERSTOOD),
    "no number": (lambda folder: altered(folder, height=True), BackupCode.BACKUP_NOT_UNDERSTOOD),
    "no hash": (lambda folder: altered(folder, network="../.."), BackupCode.BACKUP_NOT_UNDERSTOOD),
    "no size": (lambda folder: altered(folder, files={"ledger/clock": [1]}), BackupCode.BACKUP_NOT_UNDERSTOOD),
    "no name": (lambda folder: altered(folder, apart=[3]), BackupCode.BACKUP_NOT_UNDERSTOOD),
    "no JSON": (lambda folder: (folder / contents.LIST_NAME).write_text("[1, 2"), BackupCode.BACKUP_NOT_UNDERSTOOD),
    "no object": (lambda folder: (folder / contents.LIST_NAME).write_text("[]"), BackupCode.BACKUP_NOT_UNDERSTOOD),
    "no list": (lambda folder: (folder / contents.LIST_NAME).unlink(), BackupCode.BACKUP_INCOMPLETE),
}


@pytest.mark.parametrize("name", ALTERED)
def test_a_backup_that_is_not_as_it_was_made_gives_no_home(
        home: Path, tmp_path: Path, name: str) -> None:
    (alter, code), folder = ALTERED[name], tmp_path / "copy"
    backup.of_closed(home, folder)
    alter(folder)
    fails(code, lambda: backup.restore(folder, tmp_path / "host", MODULE_SET, verify=True))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["copy", "home"]


def test_a_lie_that_was_backed_up_faithfully_is_found_when_it_is_restored(home: Path, tmp_path: Path) -> None:
    store = Store.open(home / "ledger" / "store")
    (key, value), = store.scan(b"s", limit=1)
    batch = store.batch()
    batch.put(key, value[:-1] + bytes((value[-1] ^ 1,)))
    store.write(batch)
    store.close()
    backup.of_closed(home, tmp_path / "copy")
    with pytest.raises(Lie):
        backup.restore(tmp_path / "copy", tmp_path / "host", MODULE_SET, verify=True)
    assert not (tmp_path / "host").exists()


def test_no_backup_is_made_over_another_nor_of_what_is_in_use_or_has_lost_blocks(home: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    fails(BackupCode.BACKUP_NOT_WRITTEN, lambda: backup.of_closed(home, tmp_path / "taken"))
    fails(EngineCode.NO_LEDGER_HERE, lambda: backup.of_closed(tmp_path / "taken", tmp_path / "copy"))
    with Home.open(home):
        fails(EngineCode.STORE_IN_USE, lambda: backup.of_closed(home, tmp_path / "copy"))
    (home / "ledger" / "acknowledged").write_bytes((10_000).to_bytes(8, "big"))
    fails(EngineCode.TIP_BEHIND_ACKNOWLEDGED, lambda: backup.of_closed(home, tmp_path / "copy"))


@pytest.mark.parametrize("note", [b"", b"\xff", bytes(7), b"\xff" * 9])
def test_a_torn_note_of_what_was_acknowledged_is_no_height(home: Path, tmp_path: Path, note: bytes) -> None:
    (home / "ledger" / "acknowledged").write_bytes(note)
    made = backup.of_closed(home, tmp_path / "copy")
    assert acknowledged.read(home / "ledger" / "acknowledged") is None
    assert acknowledged.read(tmp_path / "copy" / "home" / "ledger" / "acknowledged") == made.height


def test_no_backup_is_made_of_a_ledger_with_an_alarm(home: Path, tmp_path: Path) -> None:
    (home / "ledger" / "alarm").write_text("XL-8064 SCRUB_ALARM: row x\n")
    error = fails(EngineCode.ALARM_STANDS, lambda: backup.of_closed(home, tmp_path / "copy"))
    assert "row x" in str(error.detail)
    fails(BackupCode.BACKUP_INCOMPLETE, lambda: backup.restore(
        tmp_path / "copy", tmp_path / "host", MODULE_SET, verify=False))


def test_a_home_is_not_restored_over_another_and_a_cut_off_restore_is_begun_anew(home: Path, tmp_path: Path) -> None:
    backup.of_closed(home, tmp_path / "copy")
    fails(EngineCode.HOME_NOT_EMPTY, lambda: backup.restore(tmp_path / "copy", home, MODULE_SET, verify=False))
    (tmp_path / ".host.restore").mkdir()
    (tmp_path / ".host.restore" / "half").touch()
    (tmp_path / "host").mkdir()
    backup.restore(tmp_path / "copy", tmp_path / "host", MODULE_SET, verify=False)
    assert not (tmp_path / ".host.restore").exists() and (tmp_path / "host" / "ledger").is_dir()


def test_a_disk_that_is_full_is_said_and_leaves_no_home(home: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "3m") as disk:
        fails(BackupCode.BACKUP_NOT_WRITTEN, lambda: backup.of_closed(home, disk / "copy"))
        shutil.rmtree(disk / "copy")
        backup.of_closed(home, tmp_path / "copy")
        fails(BackupCode.BACKUP_NOT_WRITTEN, lambda: backup.restore(
            tmp_path / "copy", disk / "host", MODULE_SET, verify=False))
        assert not list(disk.iterdir())
