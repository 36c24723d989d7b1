"""`xinglin bench`: figures of this machine, beside its own baseline."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from xinglin.cli import show
from xinglin.cli.call import Call, Output
from xinglin.cli.show import Column

app = typer.Typer()

FIGURES = (
    Column("clients", "客户端数", "clients"),
    Column("tx_per_s", "每秒交易数", "transactions a second"), Column("p50_ms", "延迟中位数（毫秒）", "p50, ms"),
    Column("p99_ms", "延迟 p99（毫秒）", "p99, ms"), Column("cpu_ms_per_tx", "每笔处理器时间（毫秒）", "CPU ms each"),
    Column("signature_checks_per_s_one_core", "单核每秒验证签名数", "signature checks a second on one core"),
    Column("ratio", "两者之比", "ratio of the two"), Column("rss_mb", "内存（MB）", "memory, MB"),
    Column("bytes_per_tx", "每笔磁盘字节", "bytes on disk each"), Column("state_keys", "状态键数", "state keys"),
)


RELEASE = (
    Column("release_p50_ms", "查阅延迟中位数（毫秒）", "release p50, ms"),
    Column("release_p95_ms", "查阅延迟 p95（毫秒）", "release p95, ms"),
    Column("sync_4_kb_p95_ms", "同步 4 KB 的 p95（毫秒）", "sync of 4 KB, p95, ms"),
    Column("cpu_ms", "每次处理器时间（毫秒）", "CPU ms each"),
)
IMPORT = (
    Column("import_per_s", "每秒导入资源数", "resources imported a second"),
    Column("unchanged_per_s", "每秒核对未变资源数", "unchanged resources a second"),
)
SIZES = (
    Column("consent_change_body_bytes", "授权变更字节数", "bytes of a consent change"),
    Column("access_body_bytes", "请求加答复字节数", "bytes of an access"),
    Column("consent_change_signed_bytes", "授权变更含签名", "consent change, signed"),
    Column("access_signed_bytes", "请求加答复含签名", "access, signed"),
)
CHECKING = (
    Column("transactions", "交易数", "transactions"), Column("fsck_s", "通读核对（秒）", "fsck, s"),
    Column("replay_s", "重新执行（秒）", "fsck --replay, s"), Column("receipts", "回执数", "receipts"),
    Column("receipts_made_s", "生成回执（秒）", "receipts made, s"),
    Column("receipts_verified_s", "离线验证回执（秒）", "receipts verified offline, s"),
    Column("signature_checks_per_s_one_core", "单核每秒验证签名数", "signature checks a second on one core"),
)
CHECKED = 20_000                   # transactions, when everything is measured
CLIENTS = (64, 512, 1)             # of the embedded engine, when everything is measured


@app.callback(invoke_without_command=True)
def everything(ctx: typer.Context) -> None:
    """All of it, one after the other, when no part is named."""
    if ctx.invoked_subcommand is not None:
        return
    from xinglin.bench import checking, imports, release, sizes
    from xinglin.bench import embedded as engine  # a heavy room that no other command needs
    call = Call.of(ctx)
    figures: dict[str, Any] = {}
    for clients in CLIENTS:
        with tempfile.TemporaryDirectory(prefix="xinglin-bench-") as own:
            found = figures[f"embedded_{clients}"] = engine.run(clients, 8.0, 20_000, Path(own) / "bench")
        _told(call, FIGURES, {"clients": clients} | found)
    for name, columns, measured in (("release", RELEASE, release.run(200)), ("import", IMPORT, imports.run()),
                                    ("sizes", SIZES, sizes.run()), ("checking", CHECKING, checking.run(CHECKED))):
        figures[name] = measured
        _told(call, columns, measured)
    if call.output is Output.JSON:
        show.as_json(figures)


def _told(call: Call, columns: tuple[Column, ...], figures: dict[str, Any]) -> None:
    if call.output is not Output.JSON:
        show.one(call, columns, figures)


@app.command("release")
def release(ctx: typer.Context, releases: Annotated[int, Option("--releases", min=1, max=200)] = 200) -> None:
    from xinglin.bench import release as bench
    show.one(Call.of(ctx), RELEASE, bench.run(releases))


@app.command("import")
def import_(ctx: typer.Context) -> None:
    from xinglin.bench import imports
    show.one(Call.of(ctx), IMPORT, imports.run())


@app.command("sizes")
def sizes(ctx: typer.Context) -> None:
    from xinglin.bench import sizes as bench
    show.one(Call.of(ctx), SIZES, bench.run())


@app.command("checking")
def checking(ctx: typer.Context,
             transactions: Annotated[int, Option("--transactions", min=1, max=10_000_000)] = CHECKED) -> None:
    from xinglin.bench import checking as bench
    show.one(Call.of(ctx), CHECKING, bench.run(transactions))


@app.command("embedded")
def embedded(ctx: typer.Context, clients: Annotated[int, Option("--clients", min=1, max=4096)] = 64,
             seconds: Annotated[float, Option("--seconds", min=0.1, max=3600)] = 20,
             keys: Annotated[int, Option("--keys", min=0, max=100_000_000)] = 20_000) -> None:
    from xinglin.bench import embedded as bench  # a heavy room that no other command needs
    call = Call.of(ctx)
    with tempfile.TemporaryDirectory(prefix="xinglin-bench-") as own:
        home = call.home if call.home_named else Path(own) / "bench"
        figures = bench.run(clients, seconds, keys, home)
    if call.output is Output.JSON:
        show.as_json(figures)
    else:
        show.one(call, FIGURES, figures)
