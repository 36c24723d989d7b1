"""The repository's files, for tests that read them."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "src" / "xinglin"


def sources(*rooms: str) -> Iterator[tuple[str, ast.Module]]:
    """(path below src/xinglin, syntax tree) of every file, or of these rooms' alone."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not rooms or name.split("/")[0] in rooms:
            yield name, ast.parse(path.read_text("utf-8"))


def committed() -> list[Path]:
    """What git tracks or would: not what .gitignore names."""
    done = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
                          cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    """Its text, or "" of a binary file."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""
