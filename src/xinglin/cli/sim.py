"""`xinglin sim`: a whole network from a seed, with faults, and what it must keep."""

from dataclasses import asdict
from typing import Annotated

import typer
from typer import Option

from xinglin.cli import show
from xinglin.cli.call import Call
from xinglin.cli.show import Column

FIGURES = (
    Column("seed", "种子", "seed"), Column("steps", "步数", "steps"), Column("blocks", "区块数", "blocks"),
    Column("transactions", "交易数", "transactions"), Column("accepted", "获准的交易", "accepted"),
    Column("permits", "准许的答复", "answers that permit"), Column("denials", "拒绝的答复", "answers that deny"),
    Column("breaches", "逾期未答", "answers that never came"), Column("pages", "交出的页", "pages released"),
    Column("crashes", "崩溃", "crashes"), Column("restarts", "重启", "restarts"),
    Column("rounds", "收尾轮数", "rounds to the end of everything pending"),
    Column("app_hash", "应用哈希", "app hash"),
)


def sim(ctx: typer.Context, seed: Annotated[int, Option("--seed", min=0, max=2**32 - 1)],
        steps: Annotated[int, Option("--steps", min=1, max=1_000_000)] = 500) -> None:
    from xinglin.sim import run  # a room that no other command needs
    call = Call.of(ctx)
    show.one(call, FIGURES, asdict(run.run(seed, steps)))
    call.say("✓ 每一步之后，各项承诺都成立。", "✓ Every promise held, after each step.")
