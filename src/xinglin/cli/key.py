"""`xinglin key`: a person's wallet."""

import getpass
import sys
from typing import Annotated

import typer
from typer import Option

from xinglin.cli import show
from xinglin.cli.call import Call
from xinglin.cli.options import WalletFile
from xinglin.cli.show import Column
from xinglin.client import paper
from xinglin.client.wallet import Wallet

app = typer.Typer(no_args_is_help=True)

MADE = (Column("wallet", "钱包", "wallet"),)
SEED = (Column("seed", "种子", "seed"),)
WALLET = (Column("wallet", "钱包", "wallet"), Column("grants", "授权数", "consents"))
SUBJECTS = (Column("subject", "主体", "subject"), Column("label", "标签", "label"),
            Column("network", "网络", "network"))


@app.command("new")
def new(ctx: typer.Context, wallet: WalletFile) -> None:
    _create(Call.of(ctx), wallet, None)


@app.command("restore")
def restore(ctx: typer.Context, wallet: WalletFile) -> None:
    call = Call.of(ctx)
    if sys.stdin.isatty():
        said = getpass.getpass(call.words("种子：", "Seed: "))
    else:
        said = sys.stdin.readline()
    _create(call, wallet, paper.read(said))
    call.say("种子不记得您的主体：对每个主体运行 xinglin subject claim，账本上有您的密钥，不需要认领码。",
             "A seed does not know your subjects: run xinglin subject claim for each; the ledger has your key, "
             "so no code is needed.")


def _create(call: Call, named: str, seed: bytes | None) -> None:
    path = call.wallet_path(named)
    Wallet.create(path, call.new_passphrase(path), seed=seed)
    call.say("请用 xinglin key show --seed 抄下种子，存放在安全的地方：文件丢失后只有它能恢复您的密钥。",
             "Write its seed down (xinglin key show --seed) and keep it safe: without the file nothing else "
             "brings your keys back.")
    show.one(call, MADE, {"wallet": str(path)})


@app.command("show")
def show_(ctx: typer.Context, wallet: WalletFile, seed: Annotated[bool, Option("--seed")] = False) -> None:
    call = Call.of(ctx)
    opened = call.wallet(wallet)
    if seed:
        call.confirm("谁看到种子，谁就是您。屏幕上只有您自己？",
                     "Whoever sees the seed is you. Are you alone with this screen?")
        show.one(call, SEED, {"seed": paper.written(opened.seed)})
        return
    show.pages(call, WALLET, {"wallet": str(call.wallet_path(wallet)), "grants": len(opened.grants)}, "subjects",
               SUBJECTS, [{"subject": one.subject, "label": one.label, "network": one.network, "holder": one.holder}
                          for one in opened.subjects])
