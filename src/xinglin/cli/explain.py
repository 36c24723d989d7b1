"""`xinglin explain`: a code in words; each of them, where a name is that of more than one."""

from typing import Annotated

import typer
from typer import Argument

from xinglin.base.check import NotFound
from xinglin.cli import show
from xinglin.cli.call import Call
from xinglin.cli.codes import CliCode
from xinglin.cli.show import Column
from xinglin.cli.words import numbers_of, words_of

WORDS = (Column("code", "代码", "code"), Column("name", "名称", "name"), Column("what", "发生了什么", "what happened"),
         Column("cause", "为什么", "why"), Column("fix", "怎么办", "what next"))


def explain(ctx: typer.Context, code: Annotated[str, Argument(metavar="CODE")]) -> None:
    call = Call.of(ctx)
    found = [words for number in numbers_of(code) if (words := words_of(number, call.lang))]
    if not found:
        raise NotFound(CliCode.CODE_NOT_KNOWN, code)
    items = [{"code": words.shown, "name": words.name, "what": words.what, "cause": words.cause, "fix": words.fix}
             for words in found]
    if len(items) == 1:
        show.one(call, WORDS, items[0])
    else:
        show.rows(call, WORDS, items)
