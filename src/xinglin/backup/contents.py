"""What a backup is: a copy of what neither signs nor opens anything, and a list of its files with their hashes.

    backup.json     the list; written last
    INCOMPLETE      there until the list is
    home/           as the home: ledger/, organisations/

What is not named here is left out, so nothing that signs or opens (keys, keystores, wallets) can slip in: a key that is
destroyed in the keystore must not come back with a backup (safety.md I12).
"""

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from xinglin.backup.codes import BackupCode
from xinglin.base.check import Failed, NotUnderstood, NotVerified

LIST_NAME, INCOMPLETE_NAME, HOME_NAME = "backup.json", "INCOMPLETE", "home"
NOTE_NAME = "last-backup.json"     # in the home that was backed up
FORMAT = "xinglin backup 1"
LIST_BYTES_MAX = 256 * 1024 * 1024

# Copied as they stand. The ledger's store and the cabinets are copied through whoever knows how.
PLAIN = ("ledger/clock", "ledger/successors", "organisations/*/card.json", "organisations/*/mirrors",
         "organisations/*/service.pending", "organisations/*/staff/*.json", "organisations/*/staff/*.pending",
         "organisations/*/vault/segments/*")
CABINETS = "organisations/*/vault/cabinet.db"

# A home's secrets, of all that asks for them. A key that is to take another's place is drawn before the ledger hears of
# it (home_keys.py): .rotation by who has the old one, .replacement by votes; .next was either.
SIGN = ("organisations/*/member", "organisations/*/service", "organisations/*/staff/*")
CUT_OFF = tuple([f"{one}.{ending}" for one in SIGN for ending in ("rotation", "next")])
VOTED_ON = tuple([f"{one}.replacement" for one in SIGN])
KEYS = ("ledger/checkpoint.key", *[f"{one}.key" for one in SIGN], *CUT_OFF, *VOTED_ON, "wallets/*.wallet")
KEYSTORES = "organisations/*/vault/keystore"

# To be brought by other hands, and by other ways.
APART = (*KEYS, KEYSTORES)

HASH = re.compile(r"[0-9a-f]{64}")


class Filed(NamedTuple):
    bytes: int
    sha256: str


class Contents(NamedTuple):
    """The list. Paths are those of a home."""

    network: str
    chain: str
    made_ms: int                   # by this machine's clock
    height: int
    time_ms: int
    app_hash: str
    files: dict[str, Filed]
    apart: tuple[str, ...]         # what the home had, and the backup has not

    def encoded(self) -> bytes:
        plain = self._asdict() | {"format": FORMAT, "files": {path: list(one) for path, one in self.files.items()},
                                  "apart": list(self.apart)}
        return (json.dumps(plain, ensure_ascii=False, indent=1) + "\n").encode()


def read(folder: Path) -> Contents:
    """The list of a finished backup.

    Errors  NotUnderstood BACKUP_INCOMPLETE, BACKUP_NOT_UNDERSTOOD.
    """
    if (folder / INCOMPLETE_NAME).exists() or not (folder / LIST_NAME).exists():
        raise NotUnderstood(BackupCode.BACKUP_INCOMPLETE, str(folder))
    try:
        with open(folder / LIST_NAME, "rb") as file:
            said = json.loads(file.read(LIST_BYTES_MAX))
        return _checked(said)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:    # the last: [[[[..
        raise NotUnderstood(BackupCode.BACKUP_NOT_UNDERSTOOD, f"{folder / LIST_NAME}: {type(error).__name__}") from None


def _checked(said: Any) -> Contents:
    """Errors  ValueError, TypeError, KeyError, AttributeError."""
    if said["format"] != FORMAT:
        raise ValueError
    files = {path: Filed(*one) for path, one in said["files"].items()}
    found = Contents(files=files, apart=tuple(said["apart"]), **{
        name: said[name] for name in ("network", "chain", "made_ms", "height", "time_ms", "app_hash")})
    numbers = (found.made_ms, found.height, found.time_ms, *[one.bytes for one in files.values()])
    if any([type(number) is not int or number < 0 for number in numbers]):
        raise ValueError
    if not all([HASH.fullmatch(one) for one in (found.network, found.app_hash, *[f.sha256 for f in files.values()])]):
        raise ValueError
    if not all([isinstance(text, str) for text in (found.chain, *found.apart)]):
        raise TypeError
    return found


def files_of(folder: Path) -> list[str]:
    """Every file that lies in a backup's home, by its path in it.

    Errors  NotVerified BACKUP_ALTERED for what is neither file nor folder, or is of no home.
    """
    found = []
    for path in sorted((folder / HOME_NAME).rglob("*")):
        name = path.relative_to(folder / HOME_NAME).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise NotVerified(BackupCode.BACKUP_ALTERED, f"{name}: is no plain file")
        if path.is_file():
            if not _belongs(name):
                raise NotVerified(BackupCode.BACKUP_ALTERED, f"{name}: is of no backup")
            found.append(name)
    return found


def _belongs(name: str) -> bool:
    path = PurePosixPath(name)
    return any(path.match(pattern) and len(path.parts) == len(PurePosixPath(pattern).parts)
               for pattern in (*PLAIN, CABINETS, "ledger/acknowledged", "ledger/store/*"))


def disk_failed(error: OSError, what: Path) -> Failed:
    return Failed(BackupCode.BACKUP_NOT_WRITTEN, f"{what}: {error.strerror}")
