"""`xinglin tiles`: the history as files that any static server can serve, for verifiers that nobody here wrote."""

import os
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from xinglin import disk
from xinglin.base.check import Failed, ProofInvalid
from xinglin.base.note import read_checkpoint
from xinglin.cli import show
from xinglin.cli.call import Call
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.show import Column
from xinglin.kernel.receipt import origin

FOR_ALL = 0o644                    # hashes and a signed note: public

WRITTEN = (Column("size", "叶数", "leaves"), Column("files", "文件数", "files"), Column("folder", "目录", "folder"),
           Column("origin", "日志", "log"))


def tiles(ctx: typer.Context, out: Annotated[Path, Option("-o", "--out", metavar="DIR")]) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        since = _size_there(out, origin(home.node.chain))
        count = 0
        for path, data in home.node.tiles(since):
            _write(out / path, data)
            count += 1
        size = _size_there(out, origin(home.node.chain))
        show.one(call, WRITTEN, {"size": size, "files": count, "folder": str(out), "origin": origin(home.node.chain)})


def _size_there(folder: Path, ours: str) -> int:
    """Of the tree whose tiles are all there: its checkpoint is written last.

    Errors  Usage FILE_EXISTS when it is of another log.
    """
    try:
        found = read_checkpoint((folder / "checkpoint").read_bytes())
    except FileNotFoundError:
        return 0
    except (ProofInvalid, OSError):
        raise Usage(CliCode.FILE_EXISTS, str(folder / "checkpoint")) from None
    if found.origin != ours:
        raise Usage(CliCode.FILE_EXISTS, f"{folder / 'checkpoint'}: {found.origin}")
    return found.size


def _write(file: Path, data: bytes) -> None:
    """Whole or not at all: a server may be reading. Errors  Failed FILE_NOT_WRITTEN."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        disk.replace_file(file, data)
        os.chmod(file, FOR_ALL)
    except OSError as error:
        raise Failed(CliCode.FILE_NOT_WRITTEN, f"{file}: {error.strerror}") from None
