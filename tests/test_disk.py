"""How small files reach the disk: whole as before or whole as now, for one user, from one place."""

import ast
import resource
from pathlib import Path

import pytest

from tidy.tree import sources
from xinglin import disk


def test_a_piece_that_a_crash_left_behind_is_written_over_by_a_sole_writer(tmp_path: Path) -> None:
    file = tmp_path / "tree.snapshot"
    (tmp_path / ".tree.snapshot.part").write_bytes(b"half of an older one, and longer")
    for content in (b"first", b"second"):
        with disk.replacing(file, sole_writer=True) as out:
            out.write(content)
        assert file.read_bytes() == content and list(tmp_path.iterdir()) == [file]
        assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("sole_writer", [True, False])
def test_what_fails_while_it_is_written_leaves_the_file_as_it_was_and_nothing_beside_it(
        tmp_path: Path, sole_writer: bool) -> None:
    file = tmp_path / "file"
    disk.replace_file(file, b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(OSError), disk.replacing(file, sole_writer=sole_writer) as out:
            out.write(bytes(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == b"before" and list(tmp_path.iterdir()) == [file]


def test_files_are_renamed_into_place_by_disk_alone() -> None:
    found = {file for file, tree in sources() for node in ast.walk(tree)
             if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
             and node.attr in ("replace", "rename", "link", "fsync")}
    assert found == {"disk.py"}
