"""What a read puts on stdout: a table for people, JSON for programs, CSV for spreadsheets. One shape for all.

Values are plain, or bytes (an id: its beginning in a table, else whole hex), Time, or an enum (its name).
Lists of them are joined in a table. A table that is wider than the terminal becomes a block for each item.
"""

import csv
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple

from rich.cells import cell_len

from xinglin.cli import terminal
from xinglin.cli.call import Call, Output
from xinglin.cli.help import wrapped
from xinglin.cli.printable import printable, spreadsheet

BETWEEN_TOKENS = str.maketrans("\r\n\t", "   ")
SHORT_ID = 8                       # hex digits of an id in a table: enough to type, rarely ambiguous

# Names of kinds, states and roles in a Chinese table; JSON and CSV keep the code.
NAMES_ZH = {
    "HOSPITAL": "医院", "PRACTICE": "诊所", "PHARMACY": "药房", "INSURER": "保险", "REGULATOR": "监管", "MAKER": "药企",
    "RESEARCHER": "研究", "SPONSOR": "申办方", "DEVICE_MAKER": "器械", "OTHER": "其他",
    "INVITED": "待接纳", "ACTIVE": "有效", "SUSPENDED": "已暂停",
    "ADMIT": "接纳", "SUSPEND": "暂停", "REINSTATE": "恢复", "REPLACE": "换上新密钥", "RETIRE": "停用密钥",
    "PHYSICIAN": "医生", "NURSE": "护士", "PHARMACIST": "药师", "PSYCHIATRIST": "精神科医生",
    "CLAIMS_OFFICER": "理赔员", "AUDITOR": "审计员", "SERVICE": "服务",
    "OWN": "本人保管", "SERVER": "机构代管", "PERMIT": "允许", "DENIED": "拒绝", "ERROR": "错误", "WARNING": "警告",
}


LAST_S = 253_402_214_400           # a day before the year 10000: what a stranger's file says may be any number


class Time(int):
    """Milliseconds since 1970, UTC."""

    def iso(self) -> str:
        return datetime.fromtimestamp(min(self // 1000, LAST_S), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def local(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(min(self // 1000, LAST_S)))


class Column(NamedTuple):
    """A key of the items, and its heading."""

    key: str
    zh: str
    en: str


Item = Mapping[str, Any]


def rows(call: Call, columns: Sequence[Column], items: Sequence[Item]) -> None:
    """A list. An empty one is [] in JSON, the headings in CSV, and a word on stderr else."""
    if call.output is Output.JSON:
        _json([_plain(item) for item in items])
    elif call.output is Output.CSV:
        _csv([column.key for column in columns], [[item.get(column.key) for column in columns] for item in items])
    elif not items:
        call.say("（没有）", "(none)")
    else:
        _table(call, columns, items)


def one(call: Call, columns: Sequence[Column], item: Item) -> None:
    """One thing: a line for each of its columns."""
    if call.output is Output.JSON:
        _json(_plain(item))
    elif call.output is Output.CSV:
        _csv([column.key for column in columns], [[item.get(column.key) for column in columns]])
    else:
        _block(call, columns, item)


def pages(call: Call, columns: Sequence[Column], item: Item, key: str, inner: Sequence[Column],
          items: Sequence[Item]) -> None:
    """One thing and a list that belongs to it: in JSON under `key`, in CSV the list alone."""
    if call.output is Output.JSON:
        as_json({**item, key: items})
    elif call.output is Output.CSV:
        rows(call, inner, items)
    else:
        one(call, columns, item)
        if items:
            _out("")
            rows(call, inner, items)


def text(data: str) -> None:
    """Our own words, as they are."""
    _out(data)


def json_line(data: str) -> None:
    """One JSON text on one line, as it is but for what would steer a terminal."""
    _out(printable(data))


def lines(call: Call, zh: Sequence[str], en: Sequence[str]) -> None:
    """A verdict in words."""
    for line in zh if call.lang == "zh" else en:
        _out(printable(line))


def as_json(item: Item) -> None:
    _json(_plain(item))


def as_json_with(item: Item, key: str, inner: str) -> None:
    """An object, and under `key` what is JSON already: its bytes as they came, 13.50 and not 13.5."""
    head = json.dumps(_plain(item), ensure_ascii=False, indent=1).removesuffix("\n}")
    _out(f"{printable(head, lines=True)},\n {json.dumps(key)}: {printable(inner, lines=True)}\n}}")


def verbatim(resource: bytes) -> str:
    """What was verified on one line, each number as it was written. NDJSON takes no line breaks; in strict JSON they,
    and tabs, stand between tokens alone, where a space says the same."""
    return resource.decode().translate(BETWEEN_TOKENS)


# -- forms

def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, Time):
        return value.iso()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _cell(value: Any, call: Call) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return call.words("是", "yes") if value else call.words("否", "no")
    if isinstance(value, Time):
        return value.local()
    if isinstance(value, bytes):
        return value.hex()[:SHORT_ID]
    if isinstance(value, Enum) and call.lang == "zh":
        return NAMES_ZH.get(value.name, value.name.lower())
    if isinstance(value, list | tuple):
        return call.words("、", ", ").join(_cell(inner, call) for inner in value)
    return printable(str(_plain(value)))


def _table(call: Call, columns: Sequence[Column], items: Sequence[Item]) -> None:
    heads = [call.words(column.zh, column.en) for column in columns]
    body = [[_cell(item.get(column.key), call) for column in columns] for item in items]
    widths = [max(map(cell_len, cells)) for cells in zip(heads, *body, strict=True)]
    head, *lines = ("  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True))
                    for cells in (heads, *body))
    fits = terminal.columns(sys.stdout)
    if fits is not None and any(cell_len(line.rstrip()) > fits for line in (head, *lines)):
        for at, item in enumerate(items):
            if at:
                _out("")
            _block(call, columns, item)
        return
    _out(terminal.bold(head.rstrip()))
    for line in lines:
        _out(line.rstrip())
    if fits is not None and any(isinstance(item.get(column.key), bytes) for item in items for column in columns):
        call.say("（标识只显示开头；完整的标识：加 --json）", "(Ids are shown by their beginning; whole ones: --json)")


def _block(call: Call, columns: Sequence[Column], item: Item) -> None:
    """A line for each column that has something to say: its heading, and the value with whole ids."""
    heads = [call.words(column.zh, column.en) for column in columns]
    width = max(map(cell_len, heads)) + 2
    fits = terminal.columns(sys.stdout)
    for head, column in zip(heads, columns, strict=True):
        value = item.get(column.key)
        shown = value.hex() if isinstance(value, bytes) else _cell(value, call)
        if shown:
            first, *rest = [shown] if fits is None else wrapped(shown, max(fits - width, width))
            _out(terminal.bold(head) + " " * (width - cell_len(head)) + first)
            for line in rest:
                _out(" " * width + line)


def _csv(heads: Sequence[str], body: Sequence[Sequence[Any]]) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(heads)
    out.writerows([_csv_cell(value) for value in cells] for cells in body)


def _csv_cell(value: Any) -> str:
    plain = _plain(value)
    if plain is None:
        return ""
    if isinstance(plain, list):
        return spreadsheet(";".join(map(str, plain)))
    if isinstance(plain, str):
        return spreadsheet(plain)
    return json.dumps(plain)


def _json(plain: Any) -> None:
    _out(printable(json.dumps(plain, ensure_ascii=False, indent=1), lines=True))


def _out(line: str) -> None:
    print(line)
