"""`xinglin consent`: the patient permits, looks, takes back, and proves that there is nothing."""

from typing import Annotated, Any

import typer
from typer import Argument, Option

from xinglin.base import codec
from xinglin.base.check import Failed, NotUnderstood
from xinglin.base.ids import NO_ID, GrantId, SubjectId
from xinglin.base.units import MS_PER_DAY, MS_PER_HOUR
from xinglin.cli import choices, cosigning, files, names, show
from xinglin.cli.call import Call
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.options import (
    OutNeeded,
    OwnSubject,
    PolicyFile,
    Purpose,
    Scope,
    Subject,
    To,
    WalletFile,
)
from xinglin.cli.show import Column, Time
from xinglin.client import wording
from xinglin.client.client import Sent
from xinglin.client.patient import Patient
from xinglin.client.verify import verify_file
from xinglin.client.wallet import GrantMade
from xinglin.client.wording import Terms
from xinglin.home import Home
from xinglin.kernel.receipt import StateProof
from xinglin.modules import consent, subjects
from xinglin.modules.decision import ConsentBody

app = typer.Typer(no_args_is_help=True)

WORDING = (Column("wording", "待签署原文", "wording"),)
GIVEN = (Column("grant", "授权", "consent"), Column("tx", "交易", "transaction"), Column("height", "高度", "height"))
LISTED = (Column("grant", "授权", "consent"), Column("to", "授权给", "to"), Column("what", "内容", "what"),
          Column("why", "目的", "purpose"), Column("until", "有效期至", "until"), Column("state", "状态", "state"),
          Column("left", "剩余", "left"), Column("subject", "主体", "subject"))
SHOWN = (*LISTED, Column("at", "持有方", "held at"), Column("person", "工作人员", "person"),
         Column("roles", "角色", "roles"), Column("labels", "敏感标签", "labels"),
         Column("wording", "签署的原文", "wording signed"))

STATES = {"live": wording.Said("有效", "live"), "revoked": wording.Said("已撤回", "taken back"),
          "expired": wording.Said("已到期", "run out"), "suspended": wording.Said("对方已暂停", "grantee suspended"),
          "unknown": wording.Said("不在账本上", "not on the ledger")}
ENDED = {consent.Refusal.GRANT_NOT_ACTIVE: "revoked", consent.Refusal.GRANT_EXPIRED: "expired",
         consent.Refusal.GRANTEE_NOT_ACTIVE: "suspended", consent.Refusal.GRANT_NOT_FOUND: "unknown"}


@app.command("grant")
def grant(ctx: typer.Context, wallet: WalletFile, to: To, scope: Scope, purpose: Purpose, subject: OwnSubject = None,
          days: Annotated[int, Option("--days", metavar="N", min=0, max=3660)] = 0,
          hours: Annotated[int, Option("--hours", metavar="N", min=0, max=24 * 3660)] = 0,
          label: Annotated[list[str] | None, Option("--label", metavar="LABEL")] = None,
          person: Annotated[str | None, Option("--person", metavar="PERSON")] = None,
          role: Annotated[list[str] | None, Option("--role", metavar="ROLE")] = None,
          dry_run: Annotated[bool, Option("--dry-run")] = False) -> None:
    call = Call.of(ctx)
    if not days and not hours:
        raise Usage(CliCode.SAY_WHICH, "--days N | --hours N")
    scope_, purpose_, labels = choices.scope(scope), choices.purpose(purpose), choices.labels(label or ())
    roles = tuple(map(choices.role, role or ()))
    with call.opened() as home:
        patient = call.patient(home, wallet)
        mine = names.own_subject(home, patient.wallet, subject)
        grantee, holder = home.organisation(to), home.organisation(_holder(home, mine).hex())
        staff = home.person(person) if person else None
        until_h = home.node.now_ms() // MS_PER_HOUR + 24 * days + hours
        scope_ = choices.whole_records(next((one for one in home.holders() if one.holds(mine)), None), mine, scope_)
        words = wording.sentence(Terms(
            grantee=grantee.name(call.lang), holder=holder.name(call.lang), person=staff.name if staff else "",
            roles=roles, scope=scope_, purposes=(purpose_,), labels=labels, until_ms=until_h * MS_PER_HOUR), call.lang)
        if dry_run:
            show.one(call, WORDING, {"wording": words})
            return
        call.say(words, words)
        call.confirm("同意并签署？", "Agree and sign?")
        grant_id, sent = patient.grant(
            home.door(mine), mine, grantee.member, scope=scope_, purposes=(purpose_,), labels=labels, wording=words,
            language=call.lang, hours=until_h - home.node.now_ms() // MS_PER_HOUR,
            person=staff.account if staff else NO_ID, roles=roles)
        show.one(call, GIVEN, {"grant": grant_id, "wording": words, "tx": sent.tx_id, "height": sent.height})


def _holder(home: Home, subject: SubjectId) -> bytes:
    (_, row), = home.node.rows(subjects.SUBJECTS, subject)
    member: bytes = row.holder
    return member


@app.command("list")
def list_(ctx: typer.Context, wallet: WalletFile, subject: OwnSubject = None) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        own = call.wallet(wallet)
        only = None if subject is None else names.own_subject(home, own, subject)
        directory = names.Directory(home, call.lang)
        show.rows(call, LISTED, [_listed(call, home, directory, one) for one in names.own_grants(home, own)
                                 if only in (None, one.subject)])


@app.command("show")
def show_(ctx: typer.Context, grant_: Annotated[str, Argument(metavar="GRANT")], wallet: WalletFile) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        made = names.own_grant(home, call.wallet(wallet), grant_)
        body = _terms(made)
        directory = names.Directory(home, call.lang)
        show.one(call, SHOWN, {
            **_listed(call, home, directory, made), "at": directory.member(_holder(home, made.subject)),
            "person": directory.person(body.person) if body.person != NO_ID else None,
            "roles": list(body.roles), "labels": list(body.labels), "wording": body.wording})


NOT_HERE = wording.Said("内容不在此钱包中", "its terms are not in this wallet")
UNREADABLE = ConsentBody(person=NO_ID, roles=(), scope=(), labels=(), purposes=(), wording="", language="")


def _terms(made: GrantMade) -> ConsentBody:
    """Empty when they are not in this wallet or cannot be read: that hides no other, and it can be taken back."""
    try:
        return codec.decode(made.body, ConsentBody)
    except NotUnderstood:
        return UNREADABLE


def _listed(call: Call, home: Home, directory: names.Directory, made: GrantMade) -> dict[str, Any]:
    body = _terms(made)
    state, given = _state(home, made)
    until_ms = given.until_h * MS_PER_HOUR if given else 0
    left_ms = max(0, until_ms - home.node.now_ms()) if state == "live" else 0
    return {
        "grant": made.grant_id, "subject": made.subject, "to": directory.member(made.grantee), "grantee": made.grantee,
        "what": NOT_HERE.in_(call.lang) if body is UNREADABLE else wording.scope_words(body.scope, call.lang),
        "scope": [one.data_class + (f"={one.id}" if one.id else "") for one in body.scope],
        "why": wording.purpose_words(body.purposes, call.lang), "purposes": list(body.purposes),
        "until": Time(until_ms) if given else None, "state": STATES[state].in_(call.lang), "status": state,
        "left": _left(call, left_ms), "days_left": left_ms // MS_PER_DAY}


def _state(home: Home, made: GrantMade) -> tuple[str, consent.Given | None]:
    """By the rule that requests meet, and the row itself for its end."""
    live = home.node.read(lambda ctx: consent.live(ctx, made.subject, made.grantee, made.grant_id))
    rows = home.node.rows(consent.GRANTS, made.subject + made.grantee)
    given = consent.find(rows[0][1], made.grant_id) if rows else None
    return (ENDED[live] if isinstance(live, consent.Refusal) else "live"), given


def _left(call: Call, left_ms: int) -> str:
    if not left_ms:
        return ""
    days, hours = left_ms // MS_PER_DAY, left_ms % MS_PER_DAY // MS_PER_HOUR
    if days:
        return call.words(f"{days} 天 {hours} 小时", f"{days} d {hours} h")
    return call.words(f"{hours} 小时，即将到期", f"{hours} h, ends soon")


@app.command("revoke")
def revoke(ctx: typer.Context, grant_: Annotated[str, Argument(metavar="GRANT")], wallet: WalletFile) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        patient = call.patient(home, wallet)
        made = names.own_grant(home, patient.wallet, grant_)
        sent = _revoked(call, patient, made)
        name = names.Directory(home, call.lang).member(made.grantee)
        call.say(f"已撤回。{name}的下一次请求和进行中的下一页都会被拒绝；已经取走的副本不在此列。",
                 f"Taken back. The next request of {name}, and the next page of one under way, are denied; "
                 "copies already made are beyond it.")
        show.one(call, GIVEN, {"grant": made.grant_id, "tx": sent.tx_id, "height": sent.height})


def _revoked(call: Call, patient: Patient, made: GrantMade) -> Sent:
    """Errors  Failed NOTHING_TO_TAKE_BACK: the ledger's words for it are for who would read, not for the patient."""
    try:
        return patient.revoke(made.subject, made.grant_id, made.grantee)
    except Failed as error:
        ended = {consent.Refusal.GRANT_EXPIRED: "expired", consent.Refusal.GRANT_NOT_FOUND: "unknown"}
        state = next((state for code, state in ended.items() if error.code is code), None)
        if state is None:
            raise
        raise Failed(CliCode.NOTHING_TO_TAKE_BACK, STATES[state].in_(call.lang)) from None


@app.command("absent")
def absent(ctx: typer.Context, subject: Subject, to: To, out: OutNeeded, policy: PolicyFile = None) -> None:
    call, said = Call.of(ctx), cosigning.policy_in(policy)
    with call.opened() as home:
        found, organisation = names.subject(home, subject), home.organisation(to)
        verified, file = home.client.prove(consent.GRANTS, (found, organisation.member))
        live = _live(verified.row, home.node.now_ms())
        if live:
            raise Failed(CliCode.GRANT_IS_LIVE, ", ".join(one.hex() for one in live))
        file = codec.encode(cosigning.cosigned(call, home, codec.decode(file, StateProof), said))
        verdict = verify_file(file, home.network, home.node.modules, said or home.policy)
        files.write(out, file, over=call.yes)
        name = organisation.name(call.lang)
        call.say(f"没有给{name}的有效授权。", f"There is no live consent to {name}.")
        call.hand_on(home, out, verdict.signed, policy)
        show.one(call, (Column("file", "文件", "file"),), {"file": str(out), "subject": found,
                                                        "grantee": organisation.member, "live": False})


def _live(row: Any, now_ms: int) -> list[GrantId]:
    if not isinstance(row, consent.GrantsRow):
        return []
    return [given.grant_id for given in row.grants if consent.why_not_live(given, now_ms // MS_PER_HOUR) is None]
