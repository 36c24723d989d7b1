"""`xinglin record`: take in FHIR, and look at one's own records and what the ledger says of them."""

import errno
import itertools
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from xinglin.base import codec
from xinglin.base.check import Failed, NotFound, NotVerified
from xinglin.base.ids import Id
from xinglin.cli import choices, details, names, show
from xinglin.cli.call import Call, Output
from xinglin.cli.codes import CliCode, Interrupted, Partly, Usage
from xinglin.cli.options import After, As, Limit
from xinglin.cli.show import Column, Time
from xinglin.cli.terminal import Progress
from xinglin.cli.words import words_of
from xinglin.holder import imports, shelf
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir import Head, Problem, Source, read_folder, read_sample
from xinglin.holder.fhir.read import LINES, WHOLE
from xinglin.holder.holder import Holder
from xinglin.home import Home, Organisation
from xinglin.modules import records, subjects
from xinglin.modules.decision import commit

app = typer.Typer(no_args_is_help=True)

PASSED_OVER_NAMED = 5              # files; the rest is counted

REPORT = (Column("records", "导入的病历记录", "records taken in"), Column("patients", "患者", "patients"),
          Column("new_patients", "其中新患者", "of them new"), Column("unchanged", "未变化", "unchanged"),
          Column("errors", "错误", "errors"), Column("warnings", "警告", "warnings"))
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
        reason = os.strerror(errno.ENOTDIR if folder.exists() else errno.ENOENT)
        raise Usage(CliCode.FILE_NOT_READ, f"{folder}: {reason}")
    passed_over = [] if folder is None else _not_fhir_files(folder)
    if passed_over:
        named = call.words("、", ", ").join(passed_over[:PASSED_OVER_NAMED])
        more = "…" if len(passed_over) > PASSED_OVER_NAMED else ""
        call.warn(f"{len(passed_over)} 个文件不是 .json 或 .ndjson，已略过：{named}{more}",
                  f"passed over, as neither .json nor .ndjson: {len(passed_over)} ({named}{more})")
    before: tuple[int, int] | None = None
    try:
        with call.opened() as home:
            holder = home.holder(home.organisation(as_))
            before = _on_ledger(home)
            report = _take_in(call, holder, read_sample() if folder is None else read_folder(folder),
                              source, keep_going, same_person or ())
    except KeyboardInterrupt:      # the home is closed: what was ordered was executed, or never will be
        if before is None:
            raise
        raise _interrupted(call, before) from None
    _report(call, report, passed_over)
    if report.refused:
        raise Failed(CliCode.NOTHING_IMPORTED, call.words(f"{report.error_count} 处错误",
                                                          f"errors: {report.error_count}"))
    if report.error_count:
        raise Partly(CliCode.SOME_NOT_IMPORTED, call.words(
            f"{report.error_count} 处错误；导入 {report.records} 份病历记录",
            f"errors: {report.error_count}; records taken in: {report.records}"))


def _not_fhir_files(folder: Path) -> list[str]:
    """Names of the files that an import does not look at. What cannot be listed is the reader's to report."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")
                  if path.is_file() and not path.is_symlink() and not path.name.lower().endswith(WHOLE + LINES))


def _take_in(call: Call, holder: Holder, items: Iterable[Source | Problem], source: str, keep_going: bool,
             same_person: Collection[str]) -> imports.Report:
    with Progress(not call.quiet and call.output is not Output.JSON) as line:
        def counted() -> Iterator[Source | Problem]:
            read = 0
            for item in items:
                read += isinstance(item, Source)
                line.tell(call.words(f"已读取 {read:,} 份资源", f"{read:,} resources read"))
                yield item

        return imports.take_in(
            holder, counted(), source=source, keep_going=keep_going, same_person=same_person,
            progress=lambda done, total: line.tell(call.words(f"已导入 {done:,} / {total:,}",
                                                              f"{done:,} of {total:,} taken in")))


def _on_ledger(home: Home) -> tuple[int, int]:
    """(records, batches) of everyone. Nobody else writes while this command has the home."""
    counts = [row.count for _, row in home.node.rows(records.BATCHES)]
    return sum(counts), len(counts)


def _interrupted(call: Call, before: tuple[int, int]) -> Interrupted:
    with Home.open(call.home) as home:
        count, batches = (now - then for now, then in zip(_on_ledger(home), before, strict=True))
    return Interrupted(CliCode.IMPORT_INTERRUPTED, call.words(
        f"已提交 {count} 份病历记录，{batches} 批；其余未导入",
        f"committed: {count} records in {batches} batches; of the rest nothing"))


def _report(call: Call, report: imports.Report, passed_over: list[str]) -> None:
    found = {
        "records": report.records, "patients": len({one.owner for one in report.subjects}),
        "new_patients": sum(one.new for one in report.subjects), "unchanged": report.unchanged,
        "errors": report.error_count, "warnings": report.warning_count, "refused": report.refused,
        "passed_over": len(passed_over), "passed_over_names": passed_over[:PASSED_OVER_NAMED],
        "batches": [{"owner": one.owner, "records": one.records, "new": one.new, "tx": one.committed.tx_id,
                     "height": one.committed.height} for one in report.taken]}
    show.pages(call, REPORT, found, "problems", PROBLEMS,
               [_problem(call, one) for one in (*report.errors, *report.warnings)])
    errors, warnings = report.error_count - len(report.errors), report.warning_count - len(report.warnings)
    if errors or warnings:
        call.warn(f"未逐一列出的还有：错误 {errors:,} 处，警告 {warnings:,} 处",
                  f"there are more, not listed: {errors:,} errors, {warnings:,} warnings")


def _problem(call: Call, problem: Problem) -> dict[str, Any]:
    words = words_of(problem.code.value, call.lang)
    detail = details.said(problem.detail, call.lang)
    reason = words.what if words else problem.code.name
    if detail:
        reason += call.words(f"（{detail}）", f" ({detail})")
    return {"severity": problem.severity, "code": problem.code.shown, "file": problem.file,
            "where": details.said(problem.where, call.lang),
            "resource": problem.resource, "element": problem.element, "reason": reason}


@app.command("list")
def list_(ctx: typer.Context, as_: As, subject: Annotated[str | None, Option("--subject", metavar="ID")] = None,
          class_: Annotated[str | None, Option("--class", metavar="CLASS")] = None, limit: Limit = 50,
          after: After = None) -> None:
    call = Call.of(ctx)
    if class_ is not None:
        choices.data_class(class_)
    if after is not None and not names.HEX.issuperset(after):
        raise Usage(CliCode.NOT_AN_ID, after)
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
        show.as_json_with(_listed(holder, owner, one), "resource", show.verbatim(resource))


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
