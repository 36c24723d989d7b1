"""Restoring: every file is hashed on its way, the ledger checked if asked for, and only then is there a home."""

import shutil
from pathlib import Path
from typing import NamedTuple

from xinglin import disk, fsck
from xinglin.backup import contents
from xinglin.backup.codes import BackupCode
from xinglin.backup.contents import Contents
from xinglin.backup.make import copy_file
from xinglin.base.check import Failed, NotVerified
from xinglin.engine.codes import EngineCode
from xinglin.engine.told import Told, untold
from xinglin.kernel.module import ModuleSet


class Restored(NamedTuple):
    """What there is now, and what has to be brought from elsewhere before it can run."""

    contents: Contents
    report: fsck.Report | None     # of the check, if asked for
    apart: tuple[str, ...]


def restore(folder: Path, home: Path, modules: ModuleSet, *, verify: bool, told: Told = untold) -> Restored:
    """Make a new home from a backup. With `verify` its ledger is read whole, and is the one that the list names.

    Errors  NotUnderstood BACKUP_INCOMPLETE, BACKUP_NOT_UNDERSTOOD; NotVerified BACKUP_ALTERED; Failed HOME_NOT_EMPTY,
            BACKUP_NOT_WRITTEN; fsck's own. There is no home then.
    """
    found = contents.read(folder)
    part = home.with_name(f".{home.name}.restore")
    try:
        if home.exists() and (not home.is_dir() or any(home.iterdir())):
            raise Failed(EngineCode.HOME_NOT_EMPTY, str(home))
        if part.exists():
            shutil.rmtree(part)        # of a restore that was cut off
        disk.make_folder(part)
        try:
            _copy_all(folder, found, part, told)
            report = _checked(found, part, modules, told) if verify else None
        except BaseException:
            shutil.rmtree(part)
            raise
        disk.move(part, home)
    except OSError as error:
        raise contents.disk_failed(error, home) from error
    return Restored(found, report, found.apart)


def _copy_all(folder: Path, found: Contents, part: Path, told: Told) -> None:
    here = contents.files_of(folder)
    for name in sorted({*found.files} ^ {*here}):
        said = "is missing" if name in found.files else "is one too many"
        raise NotVerified(BackupCode.BACKUP_ALTERED, f"{name}: {said}")
    total, done = sum([one.bytes for one in found.files.values()]), 0
    for name in here:
        disk.make_folder((part / name).parent)
        copied = copy_file(folder / contents.HOME_NAME / name, part / name)
        if copied != found.files[name]:
            raise NotVerified(BackupCode.BACKUP_ALTERED, f"{name}: has other bytes")
        done += copied.bytes
        told("files", done, total)
    for path in [part, *[path for path in part.rglob("*") if path.is_dir()]]:
        disk.sync_folder(path)


def _checked(found: Contents, part: Path, modules: ModuleSet, told: Told) -> fsck.Report:
    report = fsck.check(part / "ledger", modules, bytes.fromhex(found.network), told)
    if (report.height, report.time_ms) != (found.height, found.time_ms):
        raise NotVerified(BackupCode.BACKUP_ALTERED,
                          f"the ledger is at height {report.height}, the list says {found.height}")
    return report
