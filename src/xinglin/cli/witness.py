"""`xinglin witness`: watch that logs only grow, and cosign what they show."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from xinglin.base.crypto import HASH_SUITES, SHA256, HashSuite
from xinglin.base.note import NoteKey, read_key
from xinglin.cli import show
from xinglin.cli.call import Call
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.show import Column
from xinglin.witness.kept import Witness
from xinglin.witness.server import WitnessServer

WITNESS = (Column("key", "验证密钥", "verifier key"), Column("url", "地址", "address"), Column("logs", "日志", "logs"),
           Column("evidence", "分叉证据", "evidence"))


def witness(ctx: typer.Context, folder: Annotated[Path, Option("--dir", metavar="DIR")],
            listen: Annotated[str | None, Option("--listen", metavar="HOST:PORT")] = None,
            name: Annotated[str | None, Option("--name", metavar="NAME")] = None,
            log: Annotated[list[str] | None, Option("--log", metavar="'KEY ORIGIN [sm3]'")] = None) -> None:
    call = Call.of(ctx)
    host, port = ("", 0) if listen is None else _address(listen)
    kept = Witness.open(folder, lambda: int(time.time()), name)
    try:
        for one in log or []:
            kept.follow(*_log(one))
        if listen is None:
            _told(call, kept, "")
            return
        server = WitnessServer(kept, host, port)
        try:
            _told(call, kept, f"http://{host}:{server.port}")
            sys.stdout.flush()         # whoever started it waits for the address
            server.serve_forever()
        finally:
            server.server_close()
    finally:
        kept.close()


def _told(call: Call, kept: Witness, url: str) -> None:
    show.one(call, WITNESS, {
        "key": kept.verifier_key.text(), "url": url, "logs": sorted(kept.logs()),
        "evidence": len(kept.splits())})


def _log(text: str) -> tuple[NoteKey, str, HashSuite]:
    """As a line of the file `logs`. Errors  Usage CHOICE_NOT_KNOWN; those of `read_key`."""
    words = text.split()
    suite = words[2] if len(words) == 3 else SHA256.name
    if len(words) not in (2, 3) or suite not in HASH_SUITES:
        raise Usage(CliCode.CHOICE_NOT_KNOWN, f"{text[:200]}: KEY ORIGIN [sm3]")
    return read_key(words[0]), words[1], HASH_SUITES[suite]


def _address(text: str) -> tuple[str, int]:
    """Errors  Usage CHOICE_NOT_KNOWN."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise Usage(CliCode.CHOICE_NOT_KNOWN, f"{text}: HOST:PORT")
    return host, int(port)
