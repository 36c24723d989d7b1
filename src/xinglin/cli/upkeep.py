"""`xinglin fsck`, `scrub`, `prune`, `backup`, `restore`: what an operator does so that a ledger can be trusted."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from xinglin import backup as backups
from xinglin import fsck as checks
from xinglin.base.check import NotVerified
from xinglin.cli import show
from xinglin.cli.call import Call, Output
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.show import Column, Time
from xinglin.cli.terminal import Progress
from xinglin.client import pins
from xinglin.engine import pruning
from xinglin.engine.alarm import write_alarm
from xinglin.engine.ledger import Ledger
from xinglin.engine.scrub import Phase, Scrubber
from xinglin.engine.told import Told
from xinglin.kernel.module import ModuleSet
from xinglin.modules import module_set

CLEAN = (Column("chain", "网络", "network"), Column("network", "标识", "id"), Column("height", "高度", "height"),
         Column("time", "最近区块", "last block"), Column("transactions", "交易数", "transactions"),
         Column("timers", "定时事项", "timers"), Column("signatures", "已验证签名", "signatures verified"),
         Column("rows", "状态行", "rows"), Column("pruned_below", "已删字节（低于此高度）", "bytes pruned below"),
         Column("pruned", "已删字节的交易", "transactions pruned"),
         Column("unverified", "无法验证的签名", "signatures not verifiable"),
         Column("replayed", "重新执行的交易", "executed again"),
         Column("history_root", "历史根", "history root"), Column("state_root", "状态根", "state root"))
WALK = (Column("rows", "状态行", "rows"), Column("height", "高度", "height"))
PRUNED = (Column("below", "低于此高度", "below height"), Column("transactions", "交易数", "transactions"),
          Column("bytes", "字节数", "bytes"))
BACKUP = (Column("folder", "备份", "backup"), Column("chain", "网络", "network"), Column("network", "标识", "id"),
          Column("height", "高度", "height"), Column("files", "文件数", "files"), Column("bytes", "字节数", "bytes"))
DOING = {"blocks": "区块", "indexes": "索引", "rows": "状态行", "state tree": "状态树", "replay": "重新执行",
         "files": "文件"}


@contextmanager
def _told(call: Call) -> Iterator[Told]:
    """How far it is, on a line of a terminal."""
    with Progress(not call.quiet and call.output is not Output.JSON) as line:
        yield lambda what, done, total: line.tell(
            call.words(DOING[what], what) + (f" {done:,} / {total:,}" if done else ""))


def _ledger(call: Call) -> Path:
    """The ledger of a home; or the folder itself, of a node without one."""
    inside = call.home / "ledger"
    return inside if inside.is_dir() else call.home


def fsck(ctx: typer.Context, replay: Annotated[bool, Option("--replay")] = False,
         base: Annotated[Path | None, Option("--from", metavar="BACKUP")] = None) -> None:
    call, modules = Call.of(ctx), module_set()
    if base is not None and not replay:
        raise Usage(CliCode.SAY_WHICH, "--replay --from BACKUP")
    with _told(call) as told:
        report = checks.check(_ledger(call), modules, told=told)
        again = _replayed(_ledger(call), base, modules, told) if replay else None
    show.one(call, CLEAN, report._asdict() | {
        "time": Time(report.time_ms), "replayed": again.transactions if again else None, "clean": True})
    call.say("✓ 账本完好。", "✓ The ledger is clean.")
    if report.pruned_below:
        call.say(f"高度 {report.pruned_below} 之前 {report.pruned:,} 笔交易的字节已删去：其签名和有效期无从验证。",
                 f"{report.pruned:,} transactions below height {report.pruned_below} have no bytes any more: their "
                 "signatures and windows cannot be verified.")
    if report.unverified:
        call.say(f"此后有 {report.unverified:,} 个签名所用的密钥早已更换，且只在删去的字节中：同样无从验证。",
                 f"{report.unverified:,} later signatures are by keys that were replaced long ago and stood only in "
                 "the bytes that are gone: they cannot be verified either.")


def _replayed(ledger: Path, base: Path | None, modules: ModuleSet, told: Told) -> checks.Replayed:
    if base is None:
        return checks.replay(ledger, modules, None, told)
    with tempfile.TemporaryDirectory(prefix="xinglin-fsck-") as own:       # opening a store writes to it
        backups.restore(base, Path(own) / "home", modules, verify=False, told=told)
        return checks.replay(ledger, modules, Path(own) / "home" / "ledger", told)


def scrub(ctx: typer.Context) -> None:
    call = Call.of(ctx)
    ledger = Ledger.open(_ledger(call) / "store", module_set())
    try:
        with _told(call) as told:
            scrubber = Scrubber(ledger, afresh=True)
            while not scrubber.step():
                phase, done, total = scrubber.done()
                told("rows" if phase is Phase.ROWS else "blocks", done, total)
        found = {"rows": ledger.tree.count, "height": ledger.height, "clean": True}
    except NotVerified as alarm:
        ledger.store.close()
        write_alarm(_ledger(call), alarm)
        raise
    ledger.close()
    show.one(call, WALK, found)
    call.say("✓ 存储与其哈希相符。", "✓ What is stored is what it hashes to.")


def prune(ctx: typer.Context, before: Annotated[str, Option("--before", metavar="HEIGHT|DATE")]) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        below = _height(call, before, lambda ms: home.node.ask(lambda ledger: pruning.height_at(ledger, ms)))
        call.confirm(f"删去高度 {below} 之前所有交易的字节？此后无法再从头重新执行；回执不受影响。",
                     f"Delete the bytes of all transactions below height {below}? It cannot be executed again from the "
                     "start then; receipts stay as they are.")
        pruned = home.node.ask(lambda ledger: pruning.prune(ledger, below))
        show.one(call, PRUNED, pruned._asdict())


def _height(call: Call, before: str, at: Callable[[int], int]) -> int:
    """Errors  Usage CHOICE_NOT_KNOWN."""
    if re.fullmatch(r"[0-9]{1,18}", before):
        return int(before)
    try:
        date = datetime.strptime(before, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise Usage(CliCode.CHOICE_NOT_KNOWN, f"{before}: HEIGHT, YYYY-MM-DD") from None
    return at(int(date.timestamp()) * 1000)


def backup(ctx: typer.Context, out: Annotated[Path, Option("-o", "--out", metavar="FOLDER")]) -> None:
    call = Call.of(ctx)
    with _told(call) as told:
        made = backups.of_closed(call.home, out, told)
    show.one(call, BACKUP, _shown(made, out))
    call.say("备份中没有任何密钥。以下各项请另行保管，不要与备份放在一起：",
             "There is no key in it. Keep these by other ways, and not beside it:")
    for name in made.apart:
        call.say(f"  {name}", f"  {name}")


def restore(ctx: typer.Context, folder: Annotated[Path, Argument(metavar="FOLDER")],
            verify: Annotated[bool, Option("--verify")] = False) -> None:
    call = Call.of(ctx)
    with _told(call) as told:
        found = backups.restore(folder, call.home, module_set(), verify=verify, told=told)
    made = found.contents
    show.one(call, BACKUP, _shown(made, folder) | {"verified": found.report is not None})
    if bytes.fromhex(made.network) not in pins.read(pins.config_folder()).values():
        call.warn(f"本用户尚未信任网络 {made.network}：请向可信的人核对此标识。",
                  f"you have not trusted network {made.network}: compare this id with someone you trust.")
    call.warn(f"若有人持有高度 {made.height} 之后的回执，这份备份并不知道：请先从其他副本找回那些区块，再启动节点。"
              "原主机若还在，请取回 ledger/acknowledged。",
              f"if somebody holds a receipt from above height {made.height}, this backup does not know of it: look for "
              "those blocks elsewhere before the node starts. Bring ledger/acknowledged from the old host, if there is "
              "one.")
    call.say("启动前请放回：", "To bring before it can run:")
    for name in found.apart:
        note = call.words("（从密钥库镜像）", " (from a mirror of the keystore)") if name.endswith("/keystore") else ""
        call.say(f"  {name}{note}", f"  {name}{note}")


def _shown(made: backups.Contents, folder: Path) -> dict[str, Any]:
    return {"folder": str(folder), "chain": made.chain, "network": bytes.fromhex(made.network), "height": made.height,
            "files": len(made.files), "bytes": sum([one.bytes for one in made.files.values()]),
            "apart": list(made.apart)}
