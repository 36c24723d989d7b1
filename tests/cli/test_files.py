"""Files that a command writes: for who ran it alone, and where she said."""

from pathlib import Path

import pytest

from xinglin.base.check import Failed
from xinglin.cli import files
from xinglin.cli.codes import CliCode, Usage


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_folders_and_files_are_for_this_user_alone(tmp_path: Path) -> None:
    out = tmp_path / "outer" / "inner"
    files.require_room(out, over=False)
    files.write(out / "a.ndjson", b"{}\n", over=False)
    assert [mode(one) for one in (out.parent, out)] == [0o700] * 2
    assert mode(out / "a.ndjson") == 0o600


def test_what_is_written_over_is_no_longer_for_others_to_read(tmp_path: Path) -> None:
    old = tmp_path / "a.ndjson"
    old.write_text("an old one that is longer")
    old.chmod(0o644)
    with pytest.raises(Usage) as caught:
        files.write(old, b"{}\n", over=False)
    assert caught.value.code is CliCode.FILE_EXISTS and mode(old) == 0o644
    files.write(old, b"{}\n", over=True)
    assert old.read_bytes() == b"{}\n" and mode(old) == 0o600


@pytest.mark.parametrize("over", [False, True])
def test_nothing_is_written_through_a_link(tmp_path: Path, over: bool) -> None:
    target, link = tmp_path / "elsewhere", tmp_path / "a.ndjson"
    target.write_text("precious")
    link.symlink_to(target)
    with pytest.raises(Failed) as caught:
        files.write(link, b"{}\n", over=over)
    assert caught.value.code is (CliCode.FILE_NOT_WRITTEN if over else CliCode.FILE_EXISTS)
    assert target.read_text() == "precious"


def test_what_is_no_file_may_be_written_to(tmp_path: Path) -> None:
    files.write(Path("/dev/null"), b"{}\n", over=True)
    assert Path("/dev/null").is_char_device()


def test_no_folder_is_made_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(Failed) as caught:
        files.write(tmp_path / "mistyped" / "file", b"", over=False)
    assert caught.value.code is CliCode.FILE_NOT_WRITTEN and not list(tmp_path.iterdir())
