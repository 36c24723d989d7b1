"""`xinglin doctor`: OK, WARN or FAIL for what commands need, each with its repair."""

import locale
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from xinglin.base.check import Failed
from xinglin.base.units import MS_PER_SECOND
from xinglin.cli import doctor_files, show
from xinglin.cli.call import Call
from xinglin.cli.doctor_files import FAIL, OK, WARN, Finding, failed
from xinglin.cli.show import Column, Time
from xinglin.client import pins
from xinglin.engine.codes import EngineCode
from xinglin.holder import read_log, shelf
from xinglin.holder.holder import Holder
from xinglin.home import Home, HomeCode, Organisation
from xinglin.vault import VaultCode

PYTHON = (3, 11)
DISK_WARN_BYTES, DISK_FAIL_BYTES = 2**30, 2**27     # one import of a large set; the next few blocks
CLOCK_AHEAD_MS = 10 * MS_PER_SECOND
DAMAGED_SHOWN = 5                  # ids of records; more of them say no more

FOUND = (Column("state", "状态", "state"), Column("title", "检查", "check"), Column("found", "发现", "found"),
         Column("repair", "修复", "repair"))


# What is looked at, for Chinese readers; programs go by `check`.
CHECKS_ZH = {"python": "Python", "locale": "字符编码", "disk": "磁盘", "trust": "信任的网络", "ledger": "账本",
             "clock": "时钟", "pin": "本网络", "cards": "机构资料", "vault": "保险库", "alarm": "警报",
             "acknowledged": "已确认高度", "rotations": "更换中的密钥",
             "permissions": "文件权限", "keys": "密钥文件", "leftovers": "残留文件", "store": "存储",
             "snapshot": "树快照", "backup": "备份", "mirror": "密钥库镜像", "reads": "读取锚定", "records": "病历"}


def doctor(ctx: typer.Context, records: Annotated[bool, Option("--records")] = False) -> None:
    call = Call.of(ctx)
    findings = [*_machine(call), *_trust(call), *doctor_files.findings(call)]
    ill = [one.check for one in findings if one.state == FAIL]
    findings += [one for one in _home(call, records) if one.check not in ill]       # it reads the cards once more
    show.rows(call, FOUND, [one._asdict() | {"title": _title(call, one.check)} for one in findings])
    raise typer.Exit(1 if any(one.state == FAIL for one in findings) else 0)


def _title(call: Call, check: str) -> str:
    kind, _, whose = check.partition(" ")
    return call.words(f"{CHECKS_ZH[kind]} {whose}".strip(), check)


def _machine(call: Call) -> Iterator[Finding]:
    yield Finding(OK if sys.version_info >= PYTHON else FAIL, "python", platform.python_version(),
                  "" if sys.version_info >= PYTHON else "Python 3.11+")
    encoding = (sys.stdout.encoding or locale.getpreferredencoding(False)).lower()
    utf8 = encoding.replace("-", "") == "utf8"
    yield Finding(OK if utf8 else WARN, "locale", encoding, "" if utf8 else "PYTHONUTF8=1")
    free = shutil.disk_usage(_nearest(call.home)).free
    state = FAIL if free < DISK_FAIL_BYTES else WARN if free < DISK_WARN_BYTES else OK
    yield Finding(state, "disk", f"{free // 2**20} MB", "" if state == OK else call.words(
        "请释放空间，或用 --home 指向更大的磁盘", "free some space, or name a larger disk with --home"))


def _nearest(path: Path) -> Path:
    """The folder, or the closest one above it that exists."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


def _trust(call: Call) -> Iterator[Finding]:
    try:
        trusted = pins.read(pins.config_folder())
    except Failed as error:
        yield failed(call, "trust", error, FAIL)
        return
    yield Finding(OK, "trust", ", ".join(sorted(trusted)) or call.words(
        "尚未信任任何网络", "no network is trusted yet"))


def _home(call: Call, records: bool) -> Iterator[Finding]:
    try:
        home = Home.open(call.home)
    except Failed as error:
        harmless = error.code in (HomeCode.NO_HOME_HERE, EngineCode.STORE_IN_USE)
        yield failed(call, "ledger", error, WARN if harmless else FAIL)
        return
    with home:
        height, time_ms = home.node.ask(lambda ledger: (ledger.height, ledger.time_ms))
        yield Finding(OK, "ledger", home.node.chain + call.words(f"，高度 {height}", f", height {height}"))
        yield _clock(call, home, time_ms)
        yield from _pinned(call, home)
        try:
            organisations = home.organisations()
            for organisation in organisations:
                home.staff(organisation)
        except Failed as error:
            yield failed(call, "cards", error, FAIL)
            return
        for organisation in organisations:
            if (organisation.folder / "vault").is_dir():
                yield from _vault(call, home, organisation, records)


def _clock(call: Call, home: Home, tip_ms: int) -> Finding:
    ahead_ms = tip_ms - home.node.now_ms()
    simulated = call.words("，模拟", ", simulated") if home.node.manifest.simulated else ""
    found = Time(home.node.now_ms()).iso() + simulated
    if ahead_ms > CLOCK_AHEAD_MS:
        return Finding(WARN, "clock", found, call.words("请校准本机时钟", "set this machine's clock"))
    return Finding(OK, "clock", found)


def _pinned(call: Call, home: Home) -> Iterator[Finding]:
    try:
        trusted = home.network in pins.read(pins.config_folder()).values()
    except Failed:
        return                     # said above
    if trusted:
        yield Finding(OK, "pin", home.node.chain)
    else:
        yield Finding(WARN, "pin", call.words("此网络未被信任，verify 无法判断", "not pinned: verify cannot tell"),
                      f"xinglin net trust {home.network.hex()} --name {home.node.chain}")


def _vault(call: Call, home: Home, organisation: Organisation, records: bool) -> Iterator[Finding]:
    slug = organisation.slug
    try:
        holder, mirrors = home.holder(organisation), home.mirrors(organisation)
        yield _room(call, holder, slug)
        if records:
            yield _records(call, holder, slug)
    except Failed as error:
        yield failed(call, f"vault {slug}", error, FAIL)
        return
    yield Finding(OK, f"mirror {slug}", ", ".join(map(str, mirrors))) if mirrors else Finding(
        WARN, f"mirror {slug}", call.words("没有：这块磁盘一坏，病历就再也打不开",
                                           "none: should this disk fail, no record opens again"),
        call.words(f"在另一块磁盘上建立空文件夹，把路径写入 {organisation.folder / 'mirrors'}",
                   f"make an empty folder on another disk and write its path into {organisation.folder / 'mirrors'}"))
    running = read_log.running(holder)
    ahead = running.count - running.anchored
    yield Finding(WARN, f"reads {slug}", call.words(f"{ahead} 次读取尚未锚定", f"{ahead} reads are not anchored"),
                  f"xinglin access anchor --as {slug}") if ahead else \
        Finding(OK, f"reads {slug}", call.words(f"{running.count} 次，均已锚定", f"{running.count}, all anchored"))


def _room(call: Call, holder: Holder, slug: str) -> Finding:
    """Errors  Failed for what cannot be read at all."""
    check = f"vault {slug}"
    damaged, incomplete = holder.keystore.damaged, shelf.incomplete(holder)
    if damaged:
        return Finding(WARN, check, ", ".join(damaged), call.words(
            "请从镜像恢复所列密钥", "bring the keys named back from a mirror"))
    if incomplete:
        return failed(call, check, Failed(VaultCode.CABINET_DAMAGED, ", ".join(one.hex() for one in incomplete)), FAIL)
    return Finding(OK, check, call.words("密钥与索引完好", "keys and indexes are sound"))


def _records(call: Call, holder: Holder, slug: str) -> Finding:
    """Each record is read and opened: the one way to know that its ciphertext is still what was written."""
    total, damaged = 0, []
    for record, sound in shelf.opened(holder):
        total += 1
        if not sound:
            damaged.append(record.shelved.id)
    if not damaged:
        return Finding(OK, f"records {slug}", call.words(f"{total} 份都能打开", f"{total}, all of them open"))
    return Finding(FAIL, f"records {slug}", call.words(
        f"{total} 份中有 {len(damaged)} 份打不开：", f"{len(damaged)} of {total} do not open: ") + ", ".join(
            damaged[:DAMAGED_SHOWN]), call.words(
                "请从较早的备份取回 vault/segments", "bring vault/segments back from a backup of before"))
