"""`xinglin subject`: patients as their holder knows them, and taking a subject into one's own hands."""

from typing import Annotated, Any

import typer
from typer import Option

from xinglin.base.check import Failed
from xinglin.base.ids import SubjectId
from xinglin.base.limits import CLAIM_CODE_MS
from xinglin.base.units import MS_PER_MINUTE
from xinglin.cli import names, show
from xinglin.cli.call import Call
from xinglin.cli.options import As, SubjectArgument, WalletFile
from xinglin.cli.show import Column, Time
from xinglin.holder import claim_codes
from xinglin.holder.holder import Holder
from xinglin.holder.imports import PatientCard
from xinglin.home import Home
from xinglin.modules import records, subjects

app = typer.Typer(no_args_is_help=True)

LISTED = (Column("subject", "主体", "subject"), Column("name", "姓名", "name"),
          Column("birth_date", "出生日期", "born"), Column("claimed", "已认领", "claimed"),
          Column("records", "病历记录数", "records"))
PUBLIC = (Column("subject", "主体", "subject"), Column("holder", "持有方", "holder"),
          Column("registered", "登记于", "registered"), Column("claimed", "已认领", "claimed"),
          Column("claimed_at", "认领于", "claimed at"), Column("batches", "批次数", "batches"),
          Column("records", "病历记录数", "records"))
CODE = (Column("code", "认领码", "one-time code"), Column("subject", "主体", "subject"),
        Column("until", "有效期至", "valid until"))
CLAIMED = (Column("subject", "主体", "subject"), Column("holder", "持有方", "holder"), Column("label", "标签", "label"))


@app.command("list")
def list_(ctx: typer.Context, as_: As) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        organisation = home.organisation(as_)
        holder = home.holder(organisation)
        held = [(key[0], row) for key, row in home.node.rows(subjects.SUBJECTS)
                if row.holder == organisation.member and holder.holds(key[0])]
        show.rows(call, LISTED, [_listed(home, holder, subject, row) for subject, row in held])


@app.command("find")
def find(ctx: typer.Context, as_: As, system: Annotated[str, Option("--system", metavar="URI")],
         value: Annotated[str, Option("--value", metavar="TEXT")]) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        holder = home.holder(home.organisation(as_))
        subject = holder.keystore.find(system, value)
        rows = home.node.rows(subjects.SUBJECTS, subject) if subject else []
        show.rows(call, LISTED, [_listed(home, holder, key[0], row) for key, row in rows])


def _listed(home: Home, holder: Holder, subject: SubjectId, row: subjects.SubjectRow) -> dict[str, Any]:
    card = holder.get("patient", subject, b"card", PatientCard)
    known = card if isinstance(card, PatientCard) else None
    return {"subject": subject, "name": known.name if known else "", "birth_date": known.birth_date if known else "",
            "claimed": row.claimed_ms != subjects.NOT_CLAIMED,
            "records": sum(batch.count for _, batch in home.node.rows(records.BATCHES, subject))}


@app.command("show")
def show_(ctx: typer.Context, subject: SubjectArgument) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        found = names.subject(home, subject)
        (_, row), = home.node.rows(subjects.SUBJECTS, found)
        batches = home.node.rows(records.BATCHES, found)
        claimed = row.claimed_ms != subjects.NOT_CLAIMED
        show.one(call, PUBLIC, {
            "subject": found, "holder": names.Directory(home, call.lang).member(row.holder),
            "holder_id": row.holder, "registered": Time(row.registered_ms), "claimed": claimed,
            "claimed_at": Time(row.claimed_ms) if claimed else None, "batches": len(batches),
            "records": sum(batch.count for _, batch in batches)})


@app.command("code")
def code(ctx: typer.Context, subject: SubjectArgument) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        found = names.subject(home, subject)
        holder = home.holder_of(found)
        (_, row), = home.node.rows(subjects.SUBJECTS, found)
        if row.claimed_ms != subjects.NOT_CLAIMED:
            raise Failed(subjects.Refusal.SUBJECT_ALREADY_CLAIMED, found.hex())
        if claim_codes.tried_out(holder, found):
            call.warn("上一个认领码因多次输错而作废：若不是本人所为，说明有人知道这个主体标识。",
                      "the last code was voided by wrong tries: if they were not the patient's, somebody else knows "
                      "this subject's id.")
        issued = claim_codes.issue(holder, found)
        until = Time(home.node.now_ms() + CLAIM_CODE_MS)
        minutes = CLAIM_CODE_MS // MS_PER_MINUTE
        call.say(f"请当面交给本人。{minutes} 分钟内有效，只能用一次。",
                 f"Hand it over in person. It is good for {minutes} minutes, once.")
        show.one(call, CODE, {"code": issued, "subject": found, "until": until})


@app.command("claim")
def claim(ctx: typer.Context, subject: SubjectArgument, wallet: WalletFile,
          code: Annotated[str, Option("--code", metavar="CODE")] = "",
          label: Annotated[str | None, Option("--label", metavar="TEXT")] = None) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        found = names.subject(home, subject)
        patient = call.patient(home, wallet)
        (_, row), = home.node.rows(subjects.SUBJECTS, found)
        holder = names.Directory(home, call.lang).member(row.holder)
        label = holder[:80] if label is None else label
        if patient.recognise(row.holder, found, label):
            call.say("这个主体已在您名下，钱包已记住它。", "This subject is yours already; the wallet knows it again.")
            show.one(call, CLAIMED, {"subject": found, "holder": holder, "label": label})
            return
        patient.claim(home.door(found), row.holder, found, code, label=label)
        call.say("现在只有您的钱包能授权查看这些病历记录。",
                 "From now on only your wallet can permit anyone to see these records.")
        show.one(call, CLAIMED, {"subject": found, "holder": holder, "label": label})
