"""What `xinglin doctor` sees of a home's files before anything opens it: opening mends some of it, and hides some."""

import json
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from xinglin.backup import contents
from xinglin.backup.contents import NOTE_NAME
from xinglin.base import codec
from xinglin.base.check import Failed
from xinglin.base.units import MS_PER_DAY
from xinglin.cli import details
from xinglin.cli.call import Call
from xinglin.cli.show import Time
from xinglin.cli.words import words_of
from xinglin.client.key_file import KeyFile
from xinglin.engine import acknowledged
from xinglin.engine.alarm import ALARM_NAME
from xinglin.engine.clock import SystemClock
from xinglin.engine.codes import EngineCode
from xinglin.engine.ledger import META_MANIFEST, META_TIP, TipRow
from xinglin.engine.store import Store
from xinglin.engine.tree import StateTree
from xinglin.home import ORGANISATION_CARD, STAFF_CARD, read_card
from xinglin.kernel.genesis import Manifest, hash_suite

READ_BYTES_MAX = 256 * 1024 * 1024     # of a store that is read through here; a larger one is for fsck
BACKUP_DAYS_MAX = 7
NAMED_MAX = 3                          # of a kind; the rest are counted

OK, WARN, FAIL = "OK", "WARN", "FAIL"

SECRET = (*contents.KEYS, contents.CABINETS + "*", contents.KEYSTORES + "/*")
FOLDERS = ("ledger/store", contents.KEYSTORES, "organisations/*/vault")
LEFT_OVER = ("**/.*.part", "ledger/.backup-*", "**/*.restore")


class Finding(NamedTuple):
    state: str
    check: str
    found: str
    repair: str = ""


def failed(call: Call, check: str, error: Failed, state: str) -> Finding:
    words = words_of(error.code.value, call.lang)
    what = words.what if words else str(error)
    detail = details.said(error.detail, call.lang)
    if detail:
        what += call.words(f"（{detail}）", f" ({detail})")
    return Finding(state, check, f"{error.code.shown} {what}", words.fix if words else "")


def findings(call: Call) -> Iterator[Finding]:
    """Nothing of a folder that is no home, which is said elsewhere."""
    if not (call.home / "ledger" / "store").is_dir():
        return
    yield _alarm(call)
    yield _acknowledged(call)
    yield _permissions(call)
    yield from _keys(call)
    yield _rotations(call)
    yield _left_over(call)
    yield from _store(call)


def _alarm(call: Call) -> Finding:
    file = call.home / "ledger" / ALARM_NAME
    if not file.exists():
        return Finding(OK, "alarm", call.words("没有", "none"))
    return Finding(FAIL, "alarm", file.read_text("utf-8", "replace").strip(), call.words(
        "xinglin fsck；若有误：xinglin restore；若完好，删除 ledger/alarm",
        "xinglin fsck; if it finds a lie: xinglin restore; if it is clean, delete ledger/alarm"))


def _acknowledged(call: Call) -> Finding:
    """A torn or missing note does not keep a node from starting: it then no longer sees that blocks are lost."""
    file = call.home / "ledger" / acknowledged.NAME
    try:
        height = acknowledged.read(file)
        size = file.stat().st_size if file.exists() else 0
        found = call.words(f"{size} 字节，应为 8 字节：丢失的区块不会被发现",
                           f"{size} bytes, 8 are due: lost blocks would not be noticed")
    except Failed as error:
        height, found = None, error.detail
    if height is not None:
        return Finding(OK, "acknowledged", str(height))
    return Finding(FAIL, "acknowledged", found, call.words(
        "运行 xinglin fsck，与最新的回执核对高度；下一个区块会重新写入",
        "run xinglin fsck and compare the height with the newest receipts; the next block writes it anew"))


def _permissions(call: Call) -> Finding:
    files = [file for pattern in SECRET for file in sorted(call.home.glob(pattern)) if file.is_file()]
    folders = [folder for pattern in FOLDERS for folder in sorted(call.home.glob(pattern)) if folder.is_dir()]
    for mode, found in (("600", files), ("700", folders)):
        for path in found:
            name = path.relative_to(call.home)
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                return Finding(FAIL, "permissions", call.words(
                    f"他人可以打开 {name}", f"others may open {name}"), f"chmod {mode} {shlex.quote(str(path))}")
            if not os.access(path, os.R_OK | os.W_OK):
                return Finding(FAIL, "permissions", call.words(
                    f"本用户不能读写 {name}", f"this user may not read and write {name}"),
                    f"chown {os.getuid()} {shlex.quote(str(path))}")
    return Finding(OK, "permissions", call.words("只有本用户可打开", "for this user alone"))


def _keys(call: Call) -> Iterator[Finding]:
    """Of everyone who signs in this home: cards that can be read, and keys that are there, and whole."""
    wanted, unread = [], []
    for file in sorted(call.home.glob("organisations/*/card.json")):
        try:
            card = read_card(file, *ORGANISATION_CARD)
        except Failed as error:
            unread.append(error)
            card = {}
        wanted += [file.with_name("member.key"), *([file.with_name("service.key")] if "service" in card else [])]
    for file in sorted(call.home.glob("organisations/*/staff/*.json")):
        try:
            read_card(file, *STAFF_CARD)
        except Failed as error:
            unread.append(error)
        wanted.append(file.with_suffix(".key"))
    if unread:
        yield failed(call, "cards", unread[0], FAIL)
    yield _key_files(call, wanted)


def _key_files(call: Call, wanted: list[Path]) -> Finding:
    missing = [file for file in (call.home / "ledger" / "checkpoint.key", *wanted) if not file.exists()]
    repair = call.words("从另行保管之处放回；备份中没有密钥",
                        "bring it back from where keys are kept; backups have none")
    if missing:
        names = ", ".join([str(file.relative_to(call.home)) for file in missing[:NAMED_MAX]])
        more = len(missing) - NAMED_MAX
        if more > 0:
            names += call.words(f" 等 {len(missing)} 个", f" and {more} more")
        return Finding(FAIL, "keys", call.words(f"缺少 {names}", f"missing: {names}"), repair)
    for file in wanted:
        try:
            KeyFile.is_sealed(file)
        except Failed as error:
            return Finding(FAIL, "keys", f"{file.relative_to(call.home)}: {error}", repair)
    return Finding(OK, "keys", str(1 + len(wanted)))


def _rotations(call: Call) -> Finding:
    """Keys that are to take others' place. The ledger may have them already, and so none is deleted."""
    cut_off, voted_on = [
        sorted({file.relative_to(call.home) for pattern in patterns for file in call.home.glob(pattern)})
        for patterns in (contents.CUT_OFF, contents.VOTED_ON)]
    if not cut_off:
        names = ", ".join(map(str, voted_on[:NAMED_MAX]))
        return Finding(OK, "rotations", call.words(f"待表决：{names}", f"voted on: {names}") if voted_on
                       else call.words("没有", "none"))
    first, count = cut_off[0], len(cut_off)
    of_staff = first.parent.name == "staff" and len(first.parts) == 4
    option, whose = ("person", f"{first.parts[1]}/{first.stem}") if of_staff else (first.stem, first.parts[1])
    return Finding(WARN, "rotations", call.words(
        f"{first} 等 {count} 个：更换中断，请勿删除", f"{first}, {count} in all, were cut off: delete none"),
        f"xinglin key rotate --{option} {shlex.quote(whose)}")


def _left_over(call: Call) -> Finding:
    found = sorted({path for pattern in LEFT_OVER for path in call.home.glob(pattern)} |
                   {*call.home.parent.glob(f".{call.home.name}.restore")})
    if not found:
        return Finding(OK, "leftovers", call.words("没有", "none"))
    return Finding(WARN, "leftovers", call.words(
        f"{len(found)} 个，中断的写入所留", f"{len(found)}, of writes that were cut off"),
        "rm -r " + shlex.join(map(str, found[:NAMED_MAX])) + (" ..." if len(found) > NAMED_MAX else ""))


def _store(call: Call) -> Iterator[Finding]:
    folder = call.home / "ledger" / "store"
    if not (folder / "CURRENT").exists():
        return                         # it has no ledger, as the look at the ledger says
    try:
        store = Store.open(folder)
    except Failed as error:
        if error.code is EngineCode.STORE_CORRUPT:
            yield _corrupt(call, error)
        return
    try:
        yield from _read(call, store, folder)
    except Failed as error:
        yield _corrupt(call, error)
    finally:
        store.close()


def _corrupt(call: Call, error: Failed) -> Finding:
    return Finding(FAIL, "store", f"{error.code.shown} {error.code.name}: {error.detail}", call.words(
        "检查磁盘；xinglin fsck 说明位置；从备份恢复：xinglin restore",
        "check the disk; xinglin fsck says where; restore from a backup: xinglin restore"))


def _read(call: Call, store: Store, folder: Path) -> Iterator[Finding]:
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    if size <= READ_BYTES_MAX:
        count = sum(1 for _ in store.scan(b""))
        yield Finding(OK, "store", call.words(f"{count:,} 个键可读", f"{count:,} keys can be read"))
    else:
        yield Finding(OK, "store", call.words(f"{size // 2**20} MB，未通读：xinglin fsck",
                                              f"{size // 2**20} MB, not read through: xinglin fsck"))
    manifest_bytes, tip_bytes = store.get(META_MANIFEST), store.get(META_TIP)
    if manifest_bytes is None or tip_bytes is None:
        return
    manifest, tip = codec.decode(manifest_bytes, Manifest), codec.decode(tip_bytes, TipRow)
    if StateTree.starts_fast(store, hash_suite(manifest), folder):
        yield Finding(OK, "snapshot", call.words("可用", "leads to the tip"))
    else:
        yield Finding(WARN, "snapshot", call.words(
            "缺失、损坏或过旧：启动时须读取每一个桶", "missing, damaged or stale: a start has to read every bucket"),
            call.words("xinglin clock show（退出时重新写入）", "xinglin clock show (writes it anew when it ends)"))
    yield _backup(call, manifest, tip.height)


def _backup(call: Call, manifest: Manifest, height: int) -> Finding:
    note = call.home / NOTE_NAME
    now_ms, repair = SystemClock().now_ms(), "xinglin backup -o FOLDER"
    if not note.exists():
        young = manifest.simulated or now_ms - manifest.started_ms < BACKUP_DAYS_MAX * MS_PER_DAY
        return Finding(OK if young else WARN, "backup", call.words("还没有", "none yet"), "" if young else repair)
    try:
        said = json.loads(note.read_text("utf-8"))
        made_ms, at = int(said["made_ms"]), int(said["height"])
    except (ValueError, KeyError, TypeError):
        return Finding(WARN, "backup", call.words(f"{NOTE_NAME} 无法理解", f"{NOTE_NAME} is not understood"), repair)
    found = Time(made_ms).iso() + call.words(f"，落后 {height - at} 个区块", f", {height - at} blocks behind")
    old = now_ms - made_ms > BACKUP_DAYS_MAX * MS_PER_DAY
    return Finding(WARN if old else OK, "backup", found, repair if old else "")
