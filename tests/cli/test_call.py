"""One call of the command line: what was read is anchored when it ends, and what one organisation's data room
cannot do stops nobody else's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.command import Shell
from xinglin.base.check import NotFound
from xinglin.cli.call import Call
from xinglin.cli.codes import CliCode
from xinglin.holder import read_log
from xinglin.home import Home


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = Shell(tmp_path_factory.mktemp("call"))
    shell.ok("net", "init", "city", "--simulated", "--member", "east:HOSPITAL:东院:East Hospital",
             "--member", "west:HOSPITAL:西院:West Hospital")
    for slug in ("east", "west"):
        shell.ok("record", "list", "--as", slug)           # opens its data room
    return shell


def garbled(vault: Path) -> None:
    (vault / "cabinet.db").write_bytes(b"no database at all, whatever it says" * 100)


def in_the_way(vault: Path) -> None:
    (vault / "segments").rename(vault / "elsewhere")
    (vault / "segments").write_bytes(b"")


def key_gone(vault: Path) -> None:
    (vault.parent / "service.key").rename(vault / "service.key")


@pytest.mark.parametrize("harm", [garbled, in_the_way, key_gone])
def test_a_damaged_data_room_stops_no_other_organisations_command(
        founded: Shell, harm: Callable[[Path], None], tmp_path: Path) -> None:
    vault = founded.home / "organisations" / "east" / "vault"
    kept = {file: file.read_bytes() for file in vault.parent.rglob("*") if file.is_file()}
    harm(vault)
    try:
        done = founded.run("record", "list", "--as", "west")
        assert done.code == 0 and "a holder could not do its work" in done.err
        assert founded.run("member", "list").code == 0
        assert founded.run("record", "list", "--as", "east").code != 0
    finally:
        if (vault / "segments").is_file():
            (vault / "segments").unlink()
            (vault / "elsewhere").rename(vault / "segments")
        for file, data in kept.items():
            file.write_bytes(data)


def test_what_was_read_is_anchored_when_the_command_ends_however_it_ends(founded: Shell) -> None:
    call = Call("en", founded.home)
    for count in (1, 2):                       # the second read comes within the minute of the first one's anchor
        with pytest.raises(NotFound), call.opened() as home:
            west = home.holder(home.organisation("west"))
            read_log.log(west, read_log.Read(at_ms=1, subject=bytes(16), request=1, page=0, parts=()))
            raise NotFound(CliCode.RECORD_NOT_FOUND)
        with Home.open(founded.home) as home:
            running = read_log.running(home.holder(home.organisation("west")))
            assert (running.count, running.anchored) == (count, count)
