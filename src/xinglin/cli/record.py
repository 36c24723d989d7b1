"""`xinglin record`: take in FHIR, and look at one's own records and what the ledger says of them."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from xinglin.base import codec
from xinglin.base.check import Failed, NotFound, NotVerified
from xinglin.base.ids import Id
from xinglin.cli import names, show
from xinglin.cli.call import Call
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.options import After, As, Limit
from xinglin.cli.show import Column, Time
from xinglin.cli.words import words_of
from xinglin.holder import imports, shelf
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir import Head, Problem, read_folder, read_sample
from xinglin.holder.holder import Holder
from xinglin.home import Home, Organisation
from xinglin.modules import records, subjects
from xinglin.modules.decision import commit

app = typer.Typer(no_args_is_help=True)

REPORT = (Column("records", "导入的病历记录", "records taken in"), Column("patients", "患者", "patients"),
          Column("new_patients", "其中新患者", "of them new"), Column("unchanged", "未变化", "unchanged"),
          Column("errors", "错误", "errors"), Column("warnings", "提示", "warnings"))
PROBLEMS = (Column("severity", "级别", "level"), Column("code", "代码", "code"), Column("file", "文件", "file"),
            Column("where", "位置", "where"), Column("resource", "资源", "resource"),
            Column("element", "元素", "element"), Column("reason", "原因", "reason"))
LISTED = (Column("id", "病历记录", "record"), Column("type", "类型", "type"), Column("version", "版本", "version"),
          Column("dates", "日期", "dates"), Column("codes", "编码", "codes"), Column("labels", "标签", "labels"),
          Column("subject", "主体", "subject"))
BATCHES = (Column("number", "批次", "batch"), Column("count", "病历记录数", "records"), Column("at", "时间", "at"),
           Column("root", "根哈希", "root"))


@app.command("import")
def import_(ctx: typer.Context, as_: As, folder: Annotated[Path | None, Argument(metavar="DIR")] = None,
            sample: Annotated[bool, Option("--sample")] = False,
            keep_going: Annotated[bool, Option("--continue")] = False,
            source: Annotated[str, Option("--source", metavar="NAME")] = "",
            same_person: Annotated[list[str] | None, Option("--same-person", metavar="PATIENT")] = None) -> None:
    call = Call.of(ctx)
    if (folder is None) == (not sample):
        raise Usage(CliCode.SAY_WHICH, "DIR | --sample")
    if folder is not None and not folder.is_dir():
        raise Usage(CliCode.FILE_NOT_READ, str(folder))
    items = read_sample() if folder is None else read_folder(folder)
    with call.opened() as home:
        holder = home.holder(home.organisation(as_))
        with show.progress(call) as bar:
            task = bar.add_task(call.words("导入", "importing"), total=None)
            report = imports.take_in(holder, items, source=source, keep_going=keep_going, same_person=same_person or (),
                                     progress=lambda done, total: bar.update(task, completed=done, total=total))
    _report(call, report)
    if report.refused:
        raise Failed(CliCode.NOTHING_IMPORTED, str(len(report.errors)))


def _report(call: Call, report: imports.Report) -> None:
    found = {
        "records": report.records, "patients": len({one.owner for one in report.subjects}),
        "new_patients": sum(one.new for one in report.subjects), "unchanged": report.unchanged,
        "errors": len(report.errors), "warnings": len(report.warnings), "refused": report.refused,
        "batches": [{"owner": one.owner, "records": one.records, "new": one.new, "tx": one.committed.tx_id,
                     "height": one.committed.height} for one in report.taken]}
    show.pages(call, REPORT, found, "problems", PROBLEMS,
               [_problem(call, one) for one in (*report.errors, *report.warnings)])


def _problem(call: Call, problem: Problem) -> dict[str, Any]:
    words = words_of(problem.code.value, call.lang)
    reason = (words.what if words else problem.code.name) + (f" {problem.detail}" if problem.detail else "")
    return {"severity": problem.severity, "code": problem.code.shown, "file": problem.file, "where": problem.where,
            "resource": problem.resource, "element": problem.element, "reason": reason}


@app.command("list")
def list_(ctx: typer.Context, as_: As, subject: Annotated[str | None, Option("--subject", metavar="ID")] = None,
          class_: Annotated[str | None, Option("--class", metavar="CLASS")] = None, limit: Limit = 50,
          after: After = None) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        organisation = home.organisation(as_)
        holder = home.holder(organisation)
        owners = [names.subject(home, subject)] if subject else _owners(home, organisation)
        found: Iterator[tuple[Id, shelf.Record]] = ((owner, record) for owner, record in _records(holder, owners)
                 if class_ is None or class_ in record.shelved.facts.classes)
        if after is not None:
            found = itertools.islice(
                itertools.dropwhile(lambda pair: not pair[1].shelved.id.startswith(after), found), 1, None)
        page = list(itertools.islice(found, limit + 1))
        show.rows(call, LISTED, [_listed(holder, owner, record) for owner, record in page[:limit]])
        if len(page) > limit:
            last = page[limit - 1][1].shelved.id
            call.say(f"还有更多：--after {last}", f"There are more: --after {last}")


def _owners(home: Home, organisation: Organisation) -> list[Id]:
    """The holder's subjects in the order of their ids, then its directory."""
    holder = home.holder(organisation)
    return [*(key[0] for key, row in home.node.rows(subjects.SUBJECTS)
              if row.holder == organisation.member and holder.holds(key[0])), organisation.member]


def _records(holder: Holder, owners: list[Id]) -> Iterator[tuple[Id, shelf.Record]]:
    for owner in owners:
        if owner != holder.member:
            holder.require_held(owner)
        for record in shelf.newest(shelf.batches(holder, owner)):
            yield owner, record


def _listed(holder: Holder, owner: Id, record: shelf.Record) -> dict[str, Any]:
    head = codec.decode(shelf.open_part(holder, owner, record, shelf.HEAD), Head)
    return {"id": bytes.fromhex(record.shelved.id), "type": head.resource_type, "version": head.version,
            "dates": list(head.dates[:1]), "codes": list(head.codes[:1]), "classes": list(head.classes),
            "labels": [one.rpartition("|")[2] for one in head.labels],
            "subject": None if owner == holder.member else owner, "batch": record.batch.number}


@app.command("show")
def show_(ctx: typer.Context, record: Annotated[str, Argument(metavar="RECORD")], as_: As) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        organisation = home.organisation(as_)
        holder = home.holder(organisation)
        found = [(owner, one) for owner, one in _records(holder, _owners(home, organisation))
                 if one.shelved.id.startswith(record.lower())]
        if not found:
            raise NotFound(CliCode.RECORD_NOT_FOUND, record)
        if len(found) > 1:
            raise Usage(CliCode.ID_AMBIGUOUS, f"{record}: {len(found)}")
        owner, one = found[0]
        resource = _verified(holder, owner, one)
        call.say(f"与账本一致：批次 {one.batch.number}，版本 {one.shelved.version}。",
                 f"True to the ledger: batch {one.batch.number}, version {one.shelved.version}.")
        show.as_json({**_listed(holder, owner, one), "resource": json.loads(resource)})


def _verified(holder: Holder, owner: Id, record: shelf.Record) -> bytes:
    """The resource, if head and rest give the commitments whose batch is on the ledger.

    Errors  NotVerified PART_NOT_VERIFIED.
    """
    rest = b""
    for which in (shelf.HEAD, shelf.REST):
        part, rest = shelf.part_of(record.shelved, which), shelf.open_part(holder, owner, record, which)
        if commit(holder.node.hashes, "part", part.nonce, rest) != part.commitment:
            raise NotVerified(HolderCode.PART_NOT_VERIFIED, record.shelved.id)
    return rest


@app.command("batches")
def batches(ctx: typer.Context, owner: Annotated[str, Argument(metavar="OWNER")]) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        try:
            found = home.organisation(owner).member
        except NotFound:
            found = names.subject(home, owner)
        show.rows(call, BATCHES, [{"number": key[1], "count": row.count, "at": Time(row.at_ms), "root": row.root}
                                  for key, row in home.node.rows(records.BATCHES, found)])
