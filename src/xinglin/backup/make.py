"""Making a backup: the ledger and the cabinets at one moment, then the ciphertext, which is only ever added to."""

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from xinglin import disk
from xinglin.backup import contents
from xinglin.backup.codes import BackupCode
from xinglin.backup.contents import Contents, Filed
from xinglin.base import codec
from xinglin.base.check import Failed, require
from xinglin.engine import acknowledged
from xinglin.engine.alarm import require_no_alarm
from xinglin.engine.clock import SystemClock
from xinglin.engine.codes import EngineCode
from xinglin.engine.ledger import META_MANIFEST, META_TIP, TipRow
from xinglin.engine.store import Store
from xinglin.engine.told import Told, untold
from xinglin.kernel.genesis import Manifest, chain_id, network_id
from xinglin.vault import cabinet

PIECE_BYTES = 1024 * 1024
FROZEN = ".backup-{}"              # in the ledger's folder while it is copied


def of_closed(home: Path, to: Path, told: Told = untold) -> Contents:
    """Back up a home that no process has open.

    Errors  Failed NO_LEDGER_HERE, STORE_IN_USE, TIP_BEHIND_ACKNOWLEDGED, ALARM_STANDS, BACKUP_NOT_WRITTEN.
    """
    if not (home / "ledger" / "store" / "CURRENT").exists():
        raise Failed(EngineCode.NO_LEDGER_HERE, str(home))
    store = Store.open(home / "ledger" / "store")
    try:
        return _made(home, to, told, lambda freeze: freeze(store))
    finally:
        store.close()


class Moment(NamedTuple):
    """Where the ledger stood when it was copied."""

    manifest: Manifest
    tip: TipRow


def _made(home: Path, to: Path, told: Told, at_one_moment: Callable[[Callable[[Store], Moment]], Moment]) -> Contents:
    """`at_one_moment` calls what it is given while nobody writes: with the store to itself, or between two blocks."""
    frozen = home / "ledger" / FROZEN.format(secrets.token_hex(4))
    try:
        disk.make_folder(to)
        require(not any(to.iterdir()), BackupCode.BACKUP_NOT_WRITTEN, f"{to}: is not empty")
        disk.replace_file(to / contents.INCOMPLETE_NAME, b"This backup is being made, or was interrupted.\n")
        copies = to / contents.HOME_NAME
        try:
            manifest, tip = at_one_moment(lambda store: _freeze(store, home, frozen, copies))
            files = _copied(home, frozen, copies, told)
        finally:
            shutil.rmtree(frozen, ignore_errors=True)
        found = Contents(
            network=network_id(manifest).hex(), chain=chain_id(manifest), made_ms=SystemClock().now_ms(),
            height=tip.height, time_ms=tip.time_ms, app_hash=tip.app_hash.hex(), files=files, apart=_apart(home))
        disk.replace_file(to / contents.LIST_NAME, found.encoded())
        (to / contents.INCOMPLETE_NAME).unlink()
        disk.sync_folder(to)
        disk.replace_file(home / contents.NOTE_NAME, _note(found, to))
    except OSError as error:
        raise contents.disk_failed(error, to) from error
    return found


def _freeze(store: Store, home: Path, frozen: Path, copies: Path) -> Moment:
    """The ledger first: what a cabinet tells of it must not be older than it is.

    A store that has lost what somebody was told of, or was found at odds with itself, is not worth a copy.
    """
    require_no_alarm(home / "ledger")
    tip: TipRow = codec.decode(store.need(META_TIP), TipRow)
    height = acknowledged.read(home / "ledger" / acknowledged.NAME)
    if height is not None and tip.height < height:
        raise Failed(EngineCode.TIP_BEHIND_ACKNOWLEDGED, f"the store ends at {tip.height}, {height} was acknowledged")
    store.checkpoint(frozen)
    for file in sorted(home.glob(contents.CABINETS)):
        copy = copies / file.relative_to(home)
        disk.make_folder(copy.parent)
        cabinet.copy(file, copy)
    disk.make_folder(copies / "ledger")
    disk.replace_file(copies / "ledger" / acknowledged.NAME, tip.height.to_bytes(8, "big"))
    return Moment(codec.decode(store.need(META_MANIFEST), Manifest), tip)


def _copied(home: Path, frozen: Path, copies: Path, told: Told) -> dict[str, Filed]:
    """Copy what is not yet, and hash everything that is in the backup then."""
    sources = {f"ledger/store/{file.name}": file for file in frozen.iterdir() if file.name != "LOCK"}
    for pattern in contents.PLAIN:
        sources |= {file.relative_to(home).as_posix(): file for file in home.glob(pattern)
                    if file.is_file() and not file.name.startswith(".")}
    total, done = sum([file.stat().st_size for file in sources.values()]), 0
    found: dict[str, Filed] = {}
    for name, source in sorted(sources.items()):
        disk.make_folder((copies / name).parent)
        found[name] = copy_file(source, copies / name)
        done += found[name].bytes
        told("files", done, total)
    for name in contents.files_of(copies.parent):
        if name not in found:
            found[name] = hashed(copies / name)
    for folder in (copies, *[path for path in copies.rglob("*") if path.is_dir()]):
        disk.sync_folder(folder)
    return dict(sorted(found.items()))


def copy_file(source: Path, to: Path) -> Filed:
    """A durable copy for this user alone, and what it holds. Errors  OSError."""
    digest, size = hashlib.sha256(), 0
    with open(source, "rb") as data, disk.new_file(to) as out:
        while piece := data.read(PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
            out.write(piece)
    return Filed(size, digest.hexdigest())


def hashed(file: Path) -> Filed:
    """Errors  OSError."""
    with open(file, "rb") as data:
        digest = hashlib.file_digest(data, "sha256")
        return Filed(data.tell(), digest.hexdigest())


def _apart(home: Path) -> tuple[str, ...]:
    return tuple(sorted(file.relative_to(home).as_posix() for pattern in contents.APART for file in home.glob(pattern)))


def _note(found: Contents, to: Path) -> bytes:
    """What the home remembers of its last backup."""
    return json.dumps({"folder": str(to), "made_ms": found.made_ms, "height": found.height}).encode() + b"\n"
