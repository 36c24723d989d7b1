"""`xinglin net`: found a network in this home, and say which networks you trust."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from xinglin.base.ids import NetworkId
from xinglin.base.limits import POLICY_BYTES_MAX
from xinglin.base.note import open_checkpoint
from xinglin.base.policy import Policy, read_policy
from xinglin.cli import choices, cosigning, files, names, show
from xinglin.cli.call import Call
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.options import PolicyFile
from xinglin.cli.show import Column, Time
from xinglin.client import pins
from xinglin.home import Home, NewOrganisation
from xinglin.kernel.receipt import origin

app = typer.Typer(no_args_is_help=True)

LOG = (Column("key", "验证密钥", "verifier key"), Column("origin", "日志", "log"), Column("in_use", "使用中", "in use"))
PUBLISHED = (Column("size", "叶数", "leaves"), Column("height", "高度", "height"), Column("at", "时间", "at"),
             Column("cosigned", "见证", "cosigned"), Column("cosigned_by", "见证者", "by"),
             Column("enough", "达到法定数", "enough"))
PINS = (Column("chain", "网络", "network"), Column("id", "标识", "id"))
PINNED = (*PINS, Column("witnesses", "策略中的见证者", "policy: witnesses"), Column("quorum", "法定数", "quorum"))


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
          name: Annotated[str, Option("--name", metavar="CHAIN")], policy: PolicyFile = None,
          no_policy: Annotated[bool, Option("--no-policy")] = False) -> None:
    call, folder, pinned = Call.of(ctx), pins.config_folder(), names.network(network)
    if policy is not None and no_policy:
        raise Usage(CliCode.SAY_WHICH, "--policy FILE | --no-policy")
    said = None if policy is None else files.read(policy, POLICY_BYTES_MAX)
    if said is not None:
        read_policy(said)
    pins.write(folder, name, pinned)
    call.say(f"从现在起信任 {name}。", f"{name} is trusted from now on.")
    if said is not None:
        pins.write_policy(folder, pinned, said)
    if no_policy:
        removed = pins.remove_policy(folder, pinned)
        call.say("其策略已移除：此后凭清单中的密钥验证，不要求见证者。" if removed else "它没有策略。",
                 "Its policy is removed: files verify by the manifest's keys, and no witness is asked for." if removed
                 else "It had no policy.")
    else:
        _told_policy(call, pins.policy_of(folder, pinned))


def _told_policy(call: Call, policy: Policy | None) -> None:
    if policy is not None:
        keys, count, quorum = len(policy.logs), len(policy.witnesses), policy.quorum_text()
        call.say(f"其文件须符合所保存的策略：日志密钥 {keys} 把，见证者 {count} 个，法定数 {quorum}。移除：--no-policy",
                 f"Its files have to satisfy the policy that is kept: log keys {keys}, witnesses {count}, quorum "
                 f"{quorum}. To remove it: --no-policy")


@app.command("list")
def list_(ctx: typer.Context) -> None:
    trusted = pins.read(pins.config_folder())
    show.rows(Call.of(ctx), PINNED, [_pinned(chain, network) for chain, network in sorted(trusted.items())])


def _pinned(chain: str, network: NetworkId) -> dict[str, Any]:
    policy = pins.policy_of(pins.config_folder(), network)
    return {"chain": chain, "id": network.hex(), "witnesses": None if policy is None else len(policy.witnesses),
            "quorum": None if policy is None else policy.quorum_text(),
            "log_keys": None if policy is None else [key.text() for key in policy.logs]}


@app.command("log")
def log(ctx: typer.Context) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        _told_log(call, home)


@app.command("change-key")
def change_key(ctx: typer.Context) -> None:
    call = Call.of(ctx)
    call.confirm("检查点将改用新密钥；见证者和验证者都须获知。继续？",
                 "Checkpoints will be signed with a new key, of which witnesses and verifiers must be told. Go on?")
    with call.opened() as home:
        home.change_checkpoint_key()
        _told_log(call, home)


def _told_log(call: Call, home: Home) -> None:
    """What witnesses and policies need: the origin, and each key as C2SP writes it, the one in use last."""
    node = home.node
    show.rows(call, LOG, [{"key": key.text(), "origin": origin(node.chain), "in_use": key == node.checkpoint_key}
                          for key in node.log_keys])


@app.command("publish")
def publish(ctx: typer.Context, policy: Annotated[Path, Option("--policy", metavar="FILE")]) -> None:
    call = Call.of(ctx)
    said = read_policy(files.read(policy, POLICY_BYTES_MAX))
    with call.opened() as home:
        row = cosigning.published(call, home, said)
        opened = open_checkpoint(row.note, said.witness_keys)
        enough = said.is_met_by([one.key for one in opened.cosigned_by])
        show.one(call, PUBLISHED, {
            "size": opened.checkpoint.size, "height": row.height, "at": Time(row.at_ms),
            "cosigned": f"{len(opened.cosigned_by)}/{len(said.witnesses)}",
            "cosigned_by": [one.name for one in opened.cosigned_by], "enough": enough})
    if not enough:
        raise typer.Exit(1)
