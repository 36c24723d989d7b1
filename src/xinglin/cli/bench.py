"""`xinglin bench`: figures of this machine, beside its own baseline."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from xinglin.cli import show
from xinglin.cli.call import Call, Output
from xinglin.cli.show import Column

app = typer.Typer(no_args_is_help=True)

FIGURES = (
    Column("tx_per_s", "每秒交易数", "transactions a second"), Column("p50_ms", "延迟中位数（毫秒）", "p50, ms"),
    Column("p99_ms", "延迟 p99（毫秒）", "p99, ms"), Column("cpu_ms_per_tx", "每笔处理器时间（毫秒）", "CPU ms each"),
    Column("signature_checks_per_s_one_core", "单核每秒验证签名数", "signature checks a second on one core"),
    Column("ratio", "两者之比", "ratio of the two"), Column("rss_mb", "内存（MB）", "memory, MB"),
    Column("bytes_per_tx", "每笔磁盘字节", "bytes on disk each"), Column("state_keys", "状态键数", "state keys"),
)


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
