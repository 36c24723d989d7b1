"""`xinglin access`: a reader asks; a patient sees who asked, and proves that the list is complete."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from xinglin.base import codec
from xinglin.base.check import NotAuthorised, NotFound, NotVerified
from xinglin.base.ids import NO_ID, SubjectId
from xinglin.base.limits import WORDS_CHARS_MAX
from xinglin.base.policy import Policy
from xinglin.cli import choices, cosigning, files, names, show
from xinglin.cli.call import Call, Output
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.options import (
    As,
    OutNeeded,
    OwnSubject,
    PolicyFile,
    Purpose,
    Scope,
    Subject,
    WalletFile,
)
from xinglin.cli.show import Column, Time
from xinglin.cli.words import words_of
from xinglin.client import wording
from xinglin.client.codes import ClientCode
from xinglin.client.door import Words
from xinglin.client.judging import Finding, Judged, opened
from xinglin.client.patient import History
from xinglin.client.verify import Completeness, verify_file
from xinglin.client.wording import Said
from xinglin.holder import asking, read_log
from xinglin.holder.asking import Asked, Received
from xinglin.holder.codes import HolderCode
from xinglin.holder.holder import Holder
from xinglin.home import Home
from xinglin.kernel.module import Event
from xinglin.kernel.receipt import Signed
from xinglin.modules import access
from xinglin.modules.decision import Cause, Inputs, Opening, RequestBody

app = typer.Typer(no_args_is_help=True)

ANSWERED = (Column("number", "编号", "number"), Column("outcome", "结果", "outcome"),
            Column("records", "病历记录数", "records"), Column("files", "文件", "files"),
            Column("request_tx", "请求交易", "request"), Column("answer_tx", "答复交易", "answer"))
LISTED = (Column("number", "编号", "no."), Column("at", "时间", "at"), Column("person", "请求者", "person"),
          Column("organisation", "机构", "organisation"), Column("what", "内容", "what"),
          Column("why", "目的", "purpose"), Column("reason", "理由", "reason"), Column("outcome", "结果", "outcome"),
          Column("because", "原因", "because"), Column("records", "病历记录数", "records"))

JUDGED = (Column("number", "编号", "no."), Column("outcome", "结果", "outcome"), Column("verdict", "判断", "verdict"),
          Column("because", "说明", "finding"), Column("stated", "持有方称", "the holder says"),
          Column("found", "规则得出", "the rule says"), Column("released", "已提供", "released"),
          Column("due", "应提供", "selected"))

OUTCOMES = {"permitted": Said("已允许", "permitted"), "denied": Said("已拒绝", "denied"),
            "unanswered": Said("持有方未答复", "the holder did not answer"), "open": Said("待答复", "not answered yet")}
CAUSES: dict[Cause, Said] = {
    Cause.PERMITTED: Said("授权涵盖", "your consent covers it"),
    Cause.NO_LONGER_LIVE: Said("授权在判定与上链之间失效", "the consent ended between decision and ledger"),
    Cause.NO_BODY: Said("没有说明或没有授权内容", "nothing was stated, or no consent's terms are known"),
    Cause.BODY_DOES_NOT_MATCH: Said("授权内容与账本不符", "the consent's terms do not match the ledger"),
    Cause.OTHER_PERSON: Said("授权给了另一人", "your consent is for another person"),
    Cause.OTHER_ROLE: Said("授权给了其他角色", "your consent is for another role"),
    Cause.OTHER_PURPOSE: Said("授权用于其他目的", "your consent is for another purpose"),
    Cause.NOTHING_IN_SCOPE: Said("授权范围内没有病历记录", "nothing of it is in your consent's scope"),
    Cause.ONLY_WITHHELD: Said("只有未授权的敏感病历记录", "only sensitive records that your consent leaves out"),
}
VERDICTS = {True: Said("符合规则", "follows"), False: Said("不符合规则", "does not follow"),
            None: Said("无法判断", "cannot be told")}
FINDINGS: dict[Finding, Said] = {
    Finding.FOLLOWS: Said("重新判定的结果与所提供的病历记录都一致", "judged again: the same answer, the same records"),
    Finding.OTHER_REQUEST: Said("判定的不是账本上的请求", "another request was judged than the one on the ledger"),
    Finding.OTHER_ROLE: Said("请求者的角色与账本不符", "the reader was given a role that is not hers"),
    Finding.OTHER_CONSENT: Said("判定所依据的不是您给该机构的授权", "judged by what is no consent of yours to them"),
    Finding.OTHER_RECORDS: Said("判定时的病历记录与账本不符：有遗漏或改动",
                                "the records that were judged are not the ledger's: left out or altered"),
    Finding.OTHER_CAUSE: Said("按规则应是另一种结果", "the rule says something else"),
    Finding.OTHER_PARTS: Said("提供的病历记录与规则所选的不同", "other records were released than the rule selects"),
    Finding.COVERED: Said("被拒绝，但当时有效的授权涵盖该请求", "denied, though a consent in force covered it"),
    Finding.NOT_OPENED: Said("持有方没有公开请求或判定的内容", "the holder did not open what was asked or judged"),
    Finding.OTHER_KEY: Said("请求文本附带的密钥与账本上的请求不符，持有方可能无从采用",
                            "the words came with another key than the request's, so the holder may not have taken "
                            "them"),
    Finding.OTHER_RULE: Said("所用规则的版本在此未知", "judged by a version of the rule that is not known here"),
    Finding.CONSENT_NOT_KNOWN: Said("某项授权的内容在此未知", "the terms of a consent are not known here"),
    Finding.PERHAPS_COVERED: Said("有授权涵盖该请求，但账本未记录当时它是否有效",
                                  "a consent covers it; whether it was in force just then, the ledger does not tell"),
}


@app.command("request")
def request(ctx: typer.Context, as_: Annotated[str, Option("--as", metavar="PERSON")], subject: Subject, scope: Scope,
            purpose: Purpose, reason: Annotated[str, Option("--reason", metavar="TEXT")],
            grant: Annotated[str | None, Option("--grant", metavar="ID")] = None,
            out: Annotated[Path | None, Option("-o", "--out", metavar="DIR")] = None) -> None:
    call = Call.of(ctx)
    scope_, purpose_ = choices.scope(scope), choices.purpose(purpose)
    if not reason.strip() or len(reason) > WORDS_CHARS_MAX:
        raise Usage(CliCode.REASON_NOT_VALID, f"{len(reason)} characters, at most {WORDS_CHARS_MAX}")
    if out is not None:            # before anything is ordered: what is released must have somewhere to go
        files.require_room(out, over=call.yes)
    grant_id = NO_ID if grant is None else _whole(grant)
    with call.opened() as home:
        person = home.person(as_)
        found = names.subject(home, subject)
        room = home.holder(person.organisation)
        scope_ = choices.whole_records(room, found, scope_)  # from her own room: another's says what it has to nobody
        account, key = call.key(person.key_file)
        peer = home.peer(found)
        asked = asking.ask(room, peer, found, account, key, purpose=purpose_, scope=scope_, reason=reason,
                           grant_id=grant_id)
        if not asked.permitted:
            raise NotAuthorised(HolderCode.NOT_AVAILABLE, call.words(
                f"请求编号 {asked.number}，已记入患者的访问记录",
                f"request number {asked.number}, in the patient's access log"))
        _take(call, home, room, asked, out)


@app.command("receive")
def receive(ctx: typer.Context, as_: Annotated[str, Option("--as", metavar="PERSON")],
            number: Annotated[int | None, Argument(metavar="NUMBER", min=1)] = None,
            subject: Annotated[str | None, Option("--subject", metavar="ID")] = None,
            out: Annotated[Path | None, Option("-o", "--out", metavar="DIR")] = None) -> None:
    call = Call.of(ctx)
    if out is not None:
        files.require_room(out, over=call.yes)
    with call.opened() as home:
        person = home.person(as_)
        about = None if subject is None else names.subject(home, subject)
        account, key = call.key(person.key_file)
        room = home.holder(person.organisation)
        found = [one for one in asking.waiting(room, account, key)
                 if number in (None, one.number) and about in (None, one.subject)]
        if not found:
            raise NotAuthorised(HolderCode.NOT_AVAILABLE, call.words(
                "没有尚未取走的获准答复", "no permitted answer waits to be taken"))
        if len(found) > 1:
            raise Usage(CliCode.SAY_WHICH, " | ".join(
                f"{one.number} --subject {one.subject.hex()[:8]}" for one in found))
        _take(call, home, room, found[0], out)


def _take(call: Call, home: Home, room: Holder, asked: Asked, out: Path | None) -> None:
    """Fetch what an answer permits, hand it over, and only then forget the key that opens it."""
    records = asking.fetch_all(home.node, home.peer(asked.subject), asked)
    call.say(f"已允许：{len(records)} 份病历记录，每一部分都与账本一致。",
             f"Permitted: {len(records)} records, each part true to the ledger.")
    _hand_over(call, home, asked, records, out)
    asking.taken(room, asked)


def _whole(text: str) -> bytes:
    found = names.whole_id(text.lower())
    return found if found is not None else names.the_one(text, (), CliCode.NOT_AN_ID)


def _hand_over(call: Call, home: Home, asked: Asked, records: Sequence[Received], out: Path | None) -> None:
    """NDJSON on stdout, or a file for each type and the two receipts in a folder. As one JSON object, both say the
    same of the answer."""
    answer = {"number": asked.number, "decision": "permit",
              "outcome": OUTCOMES["permitted"].in_(call.lang), "records": len(records), "request_tx": asked.tx,
              "answer_tx": asked.answer_tx}
    if out is None:
        if call.output is Output.JSON:
            lines = ",\n".join(show.verbatim(record.resource) for record in records)
            show.as_json_with(answer, "resources", f"[\n{lines}\n ]")
            return
        for record in records:
            show.json_line(show.verbatim(record.resource))
        return
    by_type: dict[str, list[str]] = {}
    for record in records:
        by_type.setdefault(record.head.resource_type, []).append(show.verbatim(record.resource))
    contents = {f"{kind}.ndjson": ("\n".join(lines) + "\n").encode() for kind, lines in sorted(by_type.items())}
    contents["request.receipt"] = home.node.receipt(asked.tx)
    if asked.answer_tx is not None:
        contents["answer.receipt"] = home.node.receipt(asked.answer_tx)
    for name, data in contents.items():
        files.write(out / name, data, over=call.yes)
    show.one(call, ANSWERED, answer | {"files": [str(out / name) for name in contents]})


@app.command("list")
def list_(ctx: typer.Context, wallet: WalletFile, subject: OwnSubject = None) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        found, history = _history(call, home, wallet, subject)
        show.rows(call, LISTED, _listed(call, home, found, history))
        if call.output is Output.TABLE:
            at, height = Time(history.as_of_ms).local(), history.height
            call.say(f"共 {len(history.entries)} 条，截至 {at}（账本高度 {height}），一条不少；"
                     "答复自成一条，与其请求同列一行。在系统之外抄录的副本不会出现在这里。证明：xinglin access prove",
                     f"{len(history.entries)} entries, complete as of {at} (height {height} of the ledger); an answer "
                     "is an entry of its own and stands in the row of its request. Copies made outside the system do "
                     "not show here. For a proof: xinglin access prove")


def _history(call: Call, home: Home, wallet: str, subject: str | None) -> tuple[SubjectId, History]:
    patient = call.patient(home, wallet)
    found = names.own_subject(home, patient.wallet, subject)
    return found, patient.history(home.door(found), found)


def _listed(call: Call, home: Home, subject: SubjectId, history: History) -> list[dict[str, Any]]:
    """One row a request, with its answer."""
    directory, times = names.Directory(home, call.lang), _times(home, subject)
    words = {one.number: one for one in history.words}
    answers = {entry.request: entry for entry in history.entries
               if isinstance(entry, access.Answered | access.Breached)}
    found = []
    for entry in history.entries:
        if isinstance(entry, access.Requested):
            found.append({
                "number": entry.number, "at": times.get(entry.number), "person": directory.person(entry.reader),
                "account": entry.reader, "organisation": directory.member(entry.grantee), "grantee": entry.grantee,
                **_asked(call, entry, words[entry.number]), **_outcome(call, entry, answers.get(entry.number), words)})
    return found


def _times(home: Home, subject: SubjectId) -> dict[int, Time]:
    """When each entry was ordered; the caller has just met the subject's challenge."""
    found: dict[int, Time] = {}
    after = (0, 0)
    while outcomes := home.node.outcomes_about(subject, after):
        for outcome in outcomes:
            found |= {event.number: Time(outcome.time_ms) for event in outcome.events
                      if isinstance(event, access.Requested | access.Answered | access.Breached)
                      and event.subject == subject}
        after = (outcomes[-1].height, outcomes[-1].index)
    return found


def _asked(call: Call, entry: access.Requested, words: Words) -> dict[str, Any]:
    """In the words of who asked. Anyone can repeat another's commitment: it opens to words, but not to hers."""
    body = opened(RequestBody, words.request)
    if body is None or body.reader != entry.reader:
        said = _not_readable(call) if words.request and body is None else call.words("未说明", "not stated")
        return {"what": said, "scope": [], "why": said, "purpose": None, "reason": said}
    return {"what": wording.scope_words(body.scope, call.lang), "scope": [one.data_class for one in body.scope],
            "why": wording.purpose_words((body.purpose,), call.lang), "purpose": body.purpose, "reason": body.reason}


def _outcome(call: Call, asked: access.Requested, answer: Event | None, words: dict[int, Words]) -> dict[str, Any]:
    because, records, cause = "", 0, None
    if asked.denied:
        name = "denied"
        refusal = words_of(asked.denied, call.lang)
        because = refusal.what.rstrip(".。") if refusal else ""
    elif isinstance(answer, access.Answered):
        name = "permitted" if answer.decision is access.Decision.PERMIT else "denied"
        inputs = opened(Inputs, words[answer.number].inputs)
        cause = inputs.cause if inputs else None
        because = CAUSES[cause].in_(call.lang) if cause is not None else (
            _not_readable(call) if words[answer.number].inputs else "")
        opening = opened(Opening, words[answer.number].opening)
        records = opening.parts // 2 if opening and name == "permitted" else 0
    else:
        name = "unanswered" if answer is not None else "open"
    return {"outcome": OUTCOMES[name].in_(call.lang), "status": name, "because": because, "cause": cause,
            "records": records}


def _not_readable(call: Call) -> str:
    return call.words("无法读取", "not readable")


@app.command("check")
def check(ctx: typer.Context, wallet: WalletFile,
          number: Annotated[int | None, Argument(metavar="NUMBER", min=1)] = None, subject: OwnSubject = None) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        patient = call.patient(home, wallet)
        found = names.own_subject(home, patient.wallet, subject)
        judged = [one for one in patient.judge(home.door(found), found) if number in (None, one.request)]
        if number is not None and not judged:
            raise NotFound(HolderCode.REQUEST_NOT_KNOWN, str(number))
        show.rows(call, JUDGED, [_judged(call, one) for one in judged])
    for follows, code in ((False, ClientCode.ANSWER_DOES_NOT_FOLLOW), (None, ClientCode.ANSWER_NOT_JUDGED)):
        those = [str(one.request) for one in judged if one.finding.follows is follows]
        if those:
            raise NotVerified(code, ", ".join(those))


def _judged(call: Call, one: Judged) -> dict[str, Any]:
    said = {cause: CAUSES[cause].in_(call.lang) if cause is not None else "" for cause in (one.stated, one.found)}
    status = "permitted" if one.permitted else "denied"
    return {"number": one.request, "outcome": OUTCOMES[status].in_(call.lang), "status": status,
            "verdict": VERDICTS[one.finding.follows].in_(call.lang), "follows": one.finding.follows,
            "finding": one.finding, "because": FINDINGS[one.finding].in_(call.lang),
            "stated": said[one.stated], "stated_cause": one.stated, "found": said[one.found], "found_cause": one.found,
            "released": one.released, "due": one.due}


@app.command("prove")
def prove(ctx: typer.Context, wallet: WalletFile, out: OutNeeded, subject: OwnSubject = None,
          policy: PolicyFile = None) -> None:
    call, said = Call.of(ctx), cosigning.policy_in(policy)
    with call.opened() as home:
        found, history = _history(call, home, wallet, subject)
        file, signed = (history.file, history.signed) if said is None else _cosigned(call, home, history.file, said)
        files.write(out, file, over=call.yes)
        call.hand_on(home, out, signed, policy)
        show.one(call, (Column("file", "文件", "file"), Column("entries", "条数", "entries")),
                 {"file": str(out), "entries": len(history.entries), "subject": found})


def _cosigned(call: Call, home: Home, file: bytes, policy: Policy) -> tuple[bytes, Signed]:
    """The list under a policy's cosignatures, verified as it is now. Errors  NotFound NOT_COSIGNED_YET."""
    complete: Completeness = codec.decode(file, Completeness)
    made = codec.encode(Completeness(entries=complete.entries,
                                     log=cosigning.cosigned(call, home, complete.log, policy)))
    return made, verify_file(made, home.network, home.node.modules, policy).signed


@app.command("anchor")
def anchor(ctx: typer.Context, as_: As) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        holder = home.holder(home.organisation(as_))
        committed = read_log.anchor(holder)
        if committed is None:
            call.say("没有新的读取需要锚定。", "There is nothing new to anchor.")
        show.one(call, (Column("reads", "读取次数", "reads"), Column("tx", "交易", "transaction")),
                 {"reads": read_log.running(holder).count, "tx": committed.tx_id if committed else None})
