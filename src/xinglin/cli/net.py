"""`xinglin net`: found a network in this home, and say which networks you trust."""

import time
from typing import Annotated

import typer
from typer import Argument, Option

from xinglin.cli import choices, names, show
from xinglin.cli.call import Call
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.show import Column
from xinglin.client import pins
from xinglin.home import Home, NewOrganisation

app = typer.Typer(no_args_is_help=True)

PINS = (Column("chain", "网络", "network"), Column("id", "标识", "id"))


@app.command("init")
def init(ctx: typer.Context, name: Annotated[str, Argument(metavar="NAME")],
         member: Annotated[list[str], Option("--member", metavar="SLUG:KIND:ZH:EN")],
         simulated: Annotated[bool, Option("--simulated")] = False,
         hash_suite: Annotated[str, Option("--hash", metavar="SUITE")] = "sha-256") -> None:
    call = Call.of(ctx)
    founders = [_founder(one) for one in member]
    suite = choices.hash_suite(hash_suite)
    with Home.create(call.home, choices.network_name(name), founders, simulated=simulated, hash_suite=suite,
                     started_ms=time.time_ns() // 1_000_000) as home:
        chain, network = home.node.chain, home.network
    pins.write(pins.config_folder(), chain, network)
    call.say(f"网络已建立于 {call.home}，本用户已信任它。请把标识告知要验证其文件的人：",
             f"The network is in {call.home}, and you trust it. Tell its id to whoever verifies its files:")
    show.one(call, PINS, {"chain": chain, "id": network})


def _founder(text: str) -> NewOrganisation:
    parts = text.split(":")
    if len(parts) != 4:
        raise Usage(CliCode.USAGE, f"--member {text}: SLUG:KIND:ZH:EN")
    slug, kind, zh, en = parts
    return NewOrganisation(slug, zh, en, choices.kind(kind))


@app.command("trust")
def trust(ctx: typer.Context, network: Annotated[str, Argument(metavar="ID")],
          name: Annotated[str, Option("--name", metavar="CHAIN")]) -> None:
    call = Call.of(ctx)
    pins.write(pins.config_folder(), name, names.network(network))
    call.say(f"从现在起信任 {name}。", f"{name} is trusted from now on.")


@app.command("list")
def list_(ctx: typer.Context) -> None:
    trusted = pins.read(pins.config_folder())
    show.rows(Call.of(ctx), PINS, [{"chain": chain, "id": network.hex()} for chain, network in sorted(trusted.items())])
