"""`xinglin key`: a person's wallet, and a new key in the place of any."""

import getpass
import sys
from typing import Annotated

import typer
from typer import Option

from xinglin import home_keys
from xinglin.base.units import MS_PER_HOUR
from xinglin.cli import names, show
from xinglin.cli.call import Call
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.options import OwnSubject, WalletFile
from xinglin.cli.show import Column
from xinglin.client import paper
from xinglin.client.client import Sent
from xinglin.client.key_file import KeyFile
from xinglin.client.wallet import Wallet

app = typer.Typer(no_args_is_help=True)

MADE = (Column("wallet", "钱包", "wallet"),)
ROTATED = (Column("tx", "交易", "transaction"),)
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


@app.command("rotate")
def rotate(ctx: typer.Context,
           wallet: Annotated[str | None, Option("--wallet", metavar="FILE")] = None,
           to: Annotated[str | None, Option("--to", metavar="FILE")] = None,
           subject: OwnSubject = None,
           person: Annotated[str | None, Option("--person", metavar="PERSON")] = None,
           member: Annotated[str | None, Option("--member", metavar="ORG")] = None,
           service: Annotated[str | None, Option("--service", metavar="ORG")] = None,
           keep_old: Annotated[int, Option("--keep-old", metavar="HOURS", min=0, max=31 * 24)] = 0) -> None:
    """Of a patient, a person of an organisation, an organisation or its system; exactly one of them."""
    call = Call.of(ctx)
    if [wallet is not None, person is not None, member is not None, service is not None].count(True) != 1 \
            or (wallet is None) is not (to is None):
        raise Usage(CliCode.WHOSE_KEY)
    with call.opened() as home:
        sent: Sent | None
        until_ms = home.node.now_ms() + keep_old * MS_PER_HOUR if keep_old else 0
        if wallet is not None and to is not None:
            patient = call.patient(home, wallet)
            sent = patient.rotate(names.own_subject(home, patient.wallet, subject), call.wallet(to), until_ms)
        elif person is not None:
            staff = home.person(person)
            sealed = KeyFile.is_sealed(staff.key_file)
            sent = home_keys.rotate_staff(home, staff, call.passphrase(staff.key_file) if sealed else None, until_ms)
        elif member is not None:
            sent = home_keys.rotate_member(home, home.organisation(member), until_ms)
        else:
            sent = home_keys.rotate_service(home, home.organisation(service or ""), until_ms)
    if sent is None:
        call.say("账本上已是新密钥，文件已就位。", "The ledger has the new key already; its file is in place.")
    else:
        show.one(call, ROTATED, {"tx": sent.tx_id})


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
