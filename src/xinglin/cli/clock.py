"""`xinglin clock`: what time it is on the ledger, and letting time pass where it is simulated."""

from typing import Annotated

import typer
from typer import Option

from xinglin.base.units import MS_PER_DAY, MS_PER_HOUR
from xinglin.cli import show
from xinglin.cli.call import Call
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.show import Column, Time
from xinglin.home import Home

app = typer.Typer(no_args_is_help=True)

CLOCK = (Column("now", "现在", "now"), Column("simulated", "模拟时间", "simulated"), Column("height", "高度", "height"),
         Column("last_block", "最近区块", "last block"), Column("network", "网络", "network"),
         Column("network_id", "网络标识", "network id"))


@app.command("show")
def show_(ctx: typer.Context) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        _told(call, home)


@app.command("advance")
def advance(ctx: typer.Context, days: Annotated[int, Option("--days", metavar="N", min=0)] = 0,
            hours: Annotated[int, Option("--hours", metavar="N", min=0)] = 0,
            ms: Annotated[int, Option("--ms", metavar="N", min=0)] = 0) -> None:
    call = Call.of(ctx)
    by_ms = days * MS_PER_DAY + hours * MS_PER_HOUR + ms
    if not by_ms:
        raise Usage(CliCode.SAY_WHICH, "--days N | --hours N | --ms N")
    with call.opened() as home:
        before = home.node.read(lambda ctx: ctx.height)
        home.node.advance(by_ms)
        ran = sum(outcomes for _, _, outcomes in home.node.blocks(before + 1))
        call.say(f"时间已推进，{ran} 项到期事项已执行。", f"Time has passed; timers that ran: {ran}.")
        _told(call, home)


def _told(call: Call, home: Home) -> None:
    height, time_ms = home.node.ask(lambda ledger: (ledger.height, ledger.time_ms))
    show.one(call, CLOCK, {"now": Time(home.node.now_ms()), "simulated": home.node.manifest.simulated,
                           "height": height, "last_block": Time(time_ms), "network": home.node.chain,
                           "network_id": home.network})
