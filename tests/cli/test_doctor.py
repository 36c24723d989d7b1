"""Doctor finds each planted illness, and names the repair, which is then tried where a command does it."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

import homes
from cli.command import Shell
from small_disk import small_disk
from xinglin.base.units import MS_PER_DAY
from xinglin.client import pins
from xinglin.engine.clock import SystemClock
from xinglin.engine.store import Store
from xinglin.holder import read_log
from xinglin.holder.read_log import Read
from xinglin.home import Home, NewOrganisation
from xinglin.kernel.genesis import MemberKind
from xinglin.modules import MODULES

NEW = (NewOrganisation("east", "东院", "East", MemberKind.HOSPITAL),
       NewOrganisation("west", "西诊所", "West", MemberKind.PRACTICE))


def founded(path: Path, *, simulated: bool = True, started_ms: int = 0) -> None:
    """A home with a data room that has a mirror, in a network that its user trusts."""
    with Home.create(path, "city", NEW, simulated=simulated, started_ms=started_ms) as home:
        mirror = path.parent / "mirror"
        mirror.mkdir()
        east = home.organisation("east")
        (east.folder / "mirrors").write_text(f"{mirror}\n")
        read_log.anchor(home.holder(east), even_unchanged=True)
        pins.write(path.parent / "config", home.node.chain, home.network)
    with Home.open(path):
        pass                           # what was in the log is in a table now


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    founded(folder / "home")
    return folder


@pytest.fixture
def shell(sound: Path, tmp_path: Path) -> Iterator[Shell]:
    folder = shutil.copytree(sound, tmp_path / "well")
    mirrors = folder / "home" / "organisations" / "east" / "mirrors"
    mirrors.write_text(f"{folder / 'mirror'}\n")
    yield Shell(folder)


def looked(shell: Shell) -> dict[str, Any]:
    done = shell.run("doctor", "--json")
    found = {one["check"]: one for one in done.json}
    assert done.code == (1 if any(one["state"] == "FAIL" for one in found.values()) else 0)
    assert all(one["repair"] for one in found.values() if one["state"] != "OK"), found
    return found


def test_a_home_without_an_illness_is_told_so(shell: Shell) -> None:
    found = looked(shell)
    assert {one["state"] for one in found.values()} == {"OK"}, found
    assert {"alarm", "acknowledged", "permissions", "keys", "leftovers", "store", "snapshot", "backup", "ledger",
            "clock", "pin", "vault east", "mirror east", "reads east"} <= {*found}
    zh = shell.run("doctor", "--lang", "zh")
    assert zh.code == 0 and "密钥库镜像 east" in zh.out


# -- planted

Plant = Callable[[Path], AbstractContextManager[object] | None]


def clock_back(home: Path) -> None:
    with Home.open(home) as one:
        one.node.advance(MS_PER_DAY)
        read_log.anchor(one.holder(one.organisation("east")), even_unchanged=True)
    (home / "ledger" / "clock").unlink()


def snapshot_from_before(home: Path) -> None:
    """As it was before the journal's rows up to the next one were dropped."""
    snapshot = home / "ledger" / "store" / "tree.snapshot"
    old = snapshot.read_bytes()
    for _ in range(2):
        with Home.open(home) as one:
            read_log.anchor(one.holder(one.organisation("east")), even_unchanged=True)
    snapshot.write_bytes(old)


def table_damaged(home: Path) -> None:
    table = max((home / "ledger" / "store").glob("*.sst"), key=lambda file: file.stat().st_size)
    data = bytearray(table.read_bytes())
    data[len(data) // 3] ^= 1
    table.write_bytes(data)


def in_use(home: Path) -> AbstractContextManager[object]:
    class Held:
        def __enter__(self) -> None:
            self.store = Store.open(home / "ledger" / "store")

        def __exit__(self, *_: object) -> None:
            self.store.close()
    return Held()


def card_and_in_use(home: Path) -> AbstractContextManager[object]:
    (home / "organisations" / "east" / "card.json").write_text("[1]")
    return in_use(home)


def other_modules(home: Path) -> None:
    shutil.rmtree(home / "ledger")
    homes.Home(home / "ledger", modules=MODULES[:-1]).node.close()


def read_without_anchor(home: Path) -> None:
    with Home.open(home) as one:
        holder = one.holder(one.organisation("east"))
        read_log.log(holder, Read(at_ms=0, subject=bytes(16), request=1, page=0, parts=()))


def long_ago(home: Path) -> None:
    made_ms = SystemClock().now_ms() - 30 * MS_PER_DAY
    (home / "last-backup.json").write_text(json.dumps({"folder": "x", "made_ms": made_ms, "height": 1}))


def coming(name: str, mode: int = 0o600) -> Plant:
    """The file of a key that is to take another's place."""
    def plant(home: Path) -> None:
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).touch(mode)
        (home / name).chmod(mode)
    return plant


ILLNESSES: dict[str, tuple[Plant, str, str, str]] = {
    "clock behind the tip": (clock_back, "ledger", "FAIL", "clock"),
    "file for everyone": (lambda home: (home / "ledger" / "checkpoint.key").chmod(0o644), "permissions", "FAIL",
                          "chmod 600"),
    "folder for everyone": (lambda home: (home / "ledger" / "store").chmod(0o755), "permissions", "FAIL", "chmod 700"),
    "checkpoint key gone": (lambda home: (home / "ledger" / "checkpoint.key").unlink(), "keys", "FAIL",
                            "bring it back"),
    "member's key gone": (lambda home: (home / "organisations" / "west" / "member.key").unlink(), "keys", "FAIL",
                          "bring it back"),
    "card cut": (lambda home: (home / "organisations" / "east" / "card.json").write_text("{") and None, "cards", "FAIL",
                 "Restore the file"),
    "card a number": (lambda home: (home / "organisations" / "west" / "card.json").write_text("7") and None, "cards",
                      "FAIL", "Restore the file"),
    "card a list, ledger in use": (card_and_in_use, "cards", "FAIL", "Restore the file"),
    "service's key damaged": (lambda home: os.truncate(home / "organisations" / "east" / "service.key", 60), "keys",
                              "FAIL", "bring it back"),
    "acknowledged torn": (lambda home: os.truncate(home / "ledger" / "acknowledged", 3), "acknowledged", "FAIL",
                          "xinglin fsck"),
    "acknowledged a folder": (lambda home: [(home / "ledger" / "acknowledged").unlink(),
                                            (home / "ledger" / "acknowledged").mkdir()] and None,
                              "acknowledged", "FAIL", "xinglin fsck"),
    "acknowledged gone": (lambda home: (home / "ledger" / "acknowledged").unlink(), "acknowledged", "FAIL",
                          "xinglin fsck"),
    "snapshot stale": (snapshot_from_before, "snapshot", "WARN", "xinglin clock show"),
    "snapshot gone": (lambda home: (home / "ledger" / "store" / "tree.snapshot").unlink(), "snapshot", "WARN",
                      "xinglin clock show"),
    "snapshot torn": (lambda home: os.truncate(home / "ledger" / "store" / "tree.snapshot", 90), "snapshot", "WARN",
                      "xinglin clock show"),
    "table corrupt": (table_damaged, "store", "FAIL", "xinglin restore"),
    "tip behind acknowledged": (lambda home: (home / "ledger" / "acknowledged").write_bytes(
        (10_000).to_bytes(8, "big")) and None, "ledger", "FAIL", "restore"),
    "store in use": (in_use, "ledger", "WARN", ""),
    "other modules": (other_modules, "ledger", "FAIL", ""),
    "no mirror": (lambda home: (home / "organisations" / "east" / "mirrors").unlink(), "mirror east", "WARN",
                  "mirrors"),
    "mirror not mounted": (lambda home: shutil.rmtree(home.parent / "mirror"), "vault east", "FAIL", "Mount the disk"),
    "keystore gone": (lambda home: [shutil.rmtree(home / "organisations" / "east" / "vault" / "keystore"),
                                    (home / "organisations" / "east" / "mirrors").unlink()] and None,
                      "vault east", "FAIL", "mirror"),
    "reads not anchored": (read_without_anchor, "reads east", "WARN", "xinglin access anchor --as east"),
    "a new service key for everyone": (coming("organisations/east/service.rotation", 0o644), "permissions", "FAIL",
                                       "chmod 600"),
    "a new member key for everyone": (coming("organisations/east/member.replacement", 0o640), "permissions", "FAIL",
                                      "chmod 600"),
    "a new staff key for everyone": (coming("organisations/east/staff/chen.next", 0o604), "permissions", "FAIL",
                                     "chmod 600"),
    "rotation cut off": (coming("organisations/east/member.rotation"), "rotations", "WARN",
                         "xinglin key rotate --member east"),
    "service's rotation cut off": (coming("organisations/east/service.next"), "rotations", "WARN",
                                   "xinglin key rotate --service east"),
    "person's rotation cut off": (coming("organisations/west/staff/liu.rotation"), "rotations", "WARN",
                                  "xinglin key rotate --person west/liu"),
    "left over": (lambda home: (home / "organisations" / "east" / ".card.json.12ab.part").touch(), "leftovers", "WARN",
                  "rm -r"),
    "backup cut off": (lambda home: (home / "ledger" / ".backup-12ab").mkdir(), "leftovers", "WARN", "rm -r"),
    "restore cut off": (lambda home: (home.parent / ".home.restore").mkdir(), "leftovers", "WARN", "rm -r"),
    "backup old": (long_ago, "backup", "WARN", "xinglin backup -o"),
    "note of a backup not understood": (lambda home: (home / "last-backup.json").write_text("{") and None, "backup",
                                        "WARN", "xinglin backup -o"),
    "alarm": (lambda home: (home / "ledger" / "alarm").write_text("XL-8063 SCRUB_ALARM: row x\n") and None, "alarm",
              "FAIL", "xinglin fsck"),
}


@pytest.mark.parametrize("name", ILLNESSES)
def test_a_planted_illness_is_found_with_its_repair(shell: Shell, name: str) -> None:
    plant, check, state, repair = ILLNESSES[name]
    with plant(shell.home) or nullcontext():
        found = looked(shell)
    assert found[check]["state"] == state, found
    assert repair in found[check]["repair"]


def test_a_key_that_members_vote_on_is_told_and_no_illness(shell: Shell) -> None:
    coming("organisations/east/member.replacement")(shell.home)
    found = looked(shell)["rotations"]
    assert found["state"] == "OK" and "organisations/east/member.replacement" in found["found"]


def test_a_network_that_was_never_backed_up_is_told_so_after_a_week(tmp_path: Path) -> None:
    for days, state in ((1, "OK"), (8, "WARN")):
        folder = tmp_path / str(days)
        folder.mkdir()
        founded(folder / "home", simulated=False, started_ms=SystemClock().now_ms() - days * MS_PER_DAY)
        assert looked(Shell(folder))["backup"]["state"] == state


def test_a_disk_that_is_nearly_full_is_found(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64m") as disk:
        founded(disk / "home")
        found = looked(Shell(disk))
        assert found["disk"]["state"] == "FAIL" and "free" in found["disk"]["repair"]


# -- repaired as told

def test_the_repairs_that_are_commands_repair(shell: Shell) -> None:
    (shell.home / "ledger" / "checkpoint.key").chmod(0o644)
    (shell.home / ".x.12ab.part").touch()
    (shell.home / "ledger" / "store" / "tree.snapshot").unlink()
    read_without_anchor(shell.home)
    long_ago(shell.home)
    (shell.home / "organisations" / "east" / "mirrors").write_text("")
    found = looked(shell)
    for check in ("permissions", "leftovers", "reads east", "backup"):
        words = found[check]["repair"].replace("FOLDER", str(shell.folder / "copy")).split()
        if words[0] == "xinglin":
            shell.ok(*words[1:])
        else:
            subprocess.run(words, check=True)
    (shell.folder / "second").mkdir()
    (shell.home / "organisations" / "east" / "mirrors").write_text(str(shell.folder / "second"))
    assert {one["state"] for one in looked(shell).values()} == {"OK"}
    assert (shell.folder / "second" / "keys").exists()


def test_a_byte_of_a_record_that_has_changed_is_found_when_records_are_opened(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.ok("net", "init", "city", "--simulated", "--member", "east:HOSPITAL:东院:East")
    shell.ok("record", "import", "--sample", "--as", "east")
    done = shell.run("doctor", "--records", "--json")
    sound = {one["check"]: one for one in done.json}["records east"]
    assert sound["state"] == "OK" and sound["found"] == "1614, all of them open"
    segments = shell.home / "organisations" / "east" / "vault" / "segments"
    largest = max((file for file in segments.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    done = shell.run("doctor", "--records", "--json")
    found = {one["check"]: one for one in done.json}["records east"]
    assert done.code == 1 and found["state"] == "FAIL" and found["found"].startswith("1 of 1614 do not open: ")
    assert "backup" in found["repair"]
    assert "打不开" in shell.run("doctor", "--records", "--lang", "zh").out
