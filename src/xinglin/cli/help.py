"""Help: examples first, then the rest, in one language. All of its words stand in help.toml."""

import functools
import re
import shutil
import tomllib
from importlib import resources
from typing import Any

from rich.cells import cell_len
from typer.core import TyperGroup

from xinglin.cli.words import Lang

SHARED = ("home", "lang", "json", "csv", "output", "quiet", "yes", "passphrase_file", "help")
COLUMNS_MAX = 100
LABEL_COLUMNS_MAX = 30
CLOSING = frozenset("，。；：、）」”？！")    # no line begins with one of these
OPENING = "（「“"                        # and none ends with one of these

WIDE = r"\u2e80-\u9fff\uff00-\uffef"
TOKEN = re.compile(rf"[{OPENING}]*(?:[{WIDE}]|[^\s{WIDE}]+)|\s+")    # what is not broken

HEADS = {"examples": ("示例", "Examples"), "usage": ("用法", "Usage"), "commands": ("命令", "Commands"),
         "arguments": ("参数", "Arguments"), "options": ("选项", "Options")}


@functools.cache
def texts() -> dict[str, Any]:
    text = resources.files("xinglin.cli").joinpath("help.toml").read_text("utf-8")
    return tomllib.loads(text)


def about(path: str, lang: Lang) -> str:
    """What a command does. `path` is "record import"; "" is xinglin itself."""
    words: str = texts()["commands"][path or "xinglin"][lang]
    return words


def examples(path: str) -> list[str]:
    found: list[str] = texts()["commands"][path or "xinglin"].get("examples", [])
    return found


def of_parameter(path: str, parameter: Any, lang: Lang) -> str:
    """An option's words for this command, else those it has everywhere."""
    own = texts()["commands"][path or "xinglin"].get(parameter.name)
    words: str = (own or texts()["options"][parameter.name])[lang]
    return words


def wanted(error: Exception) -> bool:
    """A noun without a verb: its help says more than an error."""
    return type(error).__name__ == "NoArgsIsHelpError"


def of(error: Any, lang: Lang) -> str:
    return rendered(error.ctx, lang)


def rendered(ctx: Any, lang: Lang) -> str:
    command, path = ctx.command, ctx.command_path.partition(" ")[2]
    width = min(shutil.get_terminal_size((COLUMNS_MAX, 24)).columns, COLUMNS_MAX)
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    usage = [ctx.command_path, *(_usage(one) for one in arguments)]
    usage += ["COMMAND ..."] if isinstance(command, TyperGroup) else []
    parts = [
        _section("examples", [f"  {line}" for line in examples(path)], lang),
        _section("usage", [f"  {' '.join(usage)} [OPTIONS]"], lang),
        "\n".join(wrapped(about(path, lang), width)),
        _section("commands", _pairs([(name, about(f"{path} {name}".strip(), lang).partition("\n")[0])
                                     for name in getattr(command, "commands", {})], width), lang),
        _section("arguments", _pairs([(_usage(one), one.help) for one in arguments], width), lang),
        _section("options", _pairs([(_written(one), _described(one, lang)) for one in options], width), lang),
    ]
    if path:
        parts.append("所有命令的选项：xinglin --help" if lang == "zh" else "Options of all commands: xinglin --help")
    return "\n\n".join(part for part in parts if part)


def _section(name: str, lines: list[str], lang: Lang) -> str:
    return "\n".join([f"{HEADS[name][0]}：" if lang == "zh" else f"{HEADS[name][1]}:", *lines]) if lines else ""


def _usage(argument: Any) -> str:
    name: str = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _written(option: Any) -> str:
    names = ", ".join(sorted((*option.opts, *option.secondary_opts), key=len))
    return names if option.is_flag else f"{names} {option.metavar or 'N'}"


def _described(option: Any, lang: Lang) -> str:
    notes = []
    if option.required:
        notes.append("必填" if lang == "zh" else "required")
    if option.multiple:
        notes.append("可重复" if lang == "zh" else "may be repeated")
    if type(option.default) is int and option.default and not option.is_flag:
        notes.append(f"默认 {option.default}" if lang == "zh" else f"default {option.default}")
    if not notes:
        return str(option.help)
    return f"{option.help}（{'；'.join(notes)}）" if lang == "zh" else f"{option.help} ({'; '.join(notes)})"


def _pairs(pairs: list[tuple[str, str]], width: int) -> list[str]:
    """Labels in one column, their words wrapped in the next."""
    if not pairs:
        return []
    column = min(max(cell_len(label) for label, _ in pairs), LABEL_COLUMNS_MAX) + 4
    lines = []
    for label, words in pairs:
        first, *rest = wrapped(words, width - column)
        head = "  " + label
        if cell_len(head) + 2 > column:
            lines.append(head)
            head = ""
        lines.append((head + " " * (column - cell_len(head)) + first).rstrip())
        lines += [" " * column + line for line in rest]
    return lines


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns; Chinese breaks anywhere but before a closing mark or behind an opening one."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for token in TOKEN.findall(paragraph):
            if cell_len(line + token) > width and line and token not in CLOSING:
                lines.append(line.rstrip())
                line = ""
            line += token if line or token.strip() else ""
        lines.append(line.rstrip())
    return lines
