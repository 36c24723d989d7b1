#!/usr/bin/env python3
"""The generated pages: docs/modules/*.md, docs/errors.md, docs/cli.md, docs/cli.zh.md; crosscheck/schema.json.

`./dev.py docs` writes them. They say what the code says, with its own words and lines, so a page cannot be
wrong for long: a test compares each with the committed one.
"""

import inspect
import json
import re
import sys
import tomllib
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin

from msgspec import inspect as types

from xinglin import modules
from xinglin.base import codec
from xinglin.cli import help, parser
from xinglin.cli.words import Lang
from xinglin.client.verify import KINDS
from xinglin.kernel.genesis import Manifest
from xinglin.kernel.module import Code, Inner, Module
from xinglin.kernel.outcome import Closing, Leaf

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
MADE_BY = "<!-- Made by ./dev.py docs from {}. Change it there. -->\n"


def pages() -> dict[Path, str]:
    """Every generated page, by path."""
    made = {DOCS / "modules" / f"{module.name}.md": module_page(module) for module in modules.MODULES}
    made[DOCS / "modules" / "README.md"] = module_index()
    made[DOCS / "errors.md"] = errors_page()
    made[DOCS / "cli.md"] = cli_page("en")
    made[DOCS / "cli.zh.md"] = cli_page("zh")
    made[ROOT / "crosscheck" / "schema.json"] = schema()
    return made


# -- modules


def module_page(module: Module) -> str:
    source = source_of(module)
    purpose, sections = said(source)
    parts = [
        MADE_BY.format(f"src/xinglin/modules/{module.name}.py"),
        f"# {module.name}\n\n{purpose}\n",
        "## Tables\n", as_list(sections.get("Tables", "")), *(code_of(t.value) for t in module.tables),
        *(code_of(value) for value in values_of(source)),
        "## Messages\n", *(message(module, kind) for kind in module.rules),
        "## Refusals\n", "In order of precedence; each links to what to do about it.\n",
        refusals(module),
        "## Events\n", *(code_of(event) for event in module.events),
    ]
    for title in ("Timers", "Invariants", "Reads"):
        if title in sections:
            parts += [f"## {title}\n", as_list(sections[title])]
    parts += ["## Standards\n", as_list(sections.get("Source", "").replace("; ", "\n"))]
    return "\n".join(parts).rstrip() + "\n"


def module_index() -> str:
    lines = [f"- [{module.name}]({module.name}.md): {said(source_of(module))[0]}" for module in modules.MODULES]
    return "\n".join([
        MADE_BY.format("src/xinglin/modules/__init__.py"),
        "# Modules\n",
        "Low to high: a module calls only those above it in this list.\n",
        *lines,
    ]) + "\n"


def source_of(module: Module) -> ModuleType:
    return sys.modules[next(iter(module.rules)).__module__]


def said(source: ModuleType) -> tuple[str, dict[str, str]]:
    """The purpose and the named sections of a module's docstring."""
    first, _, rest = inspect.cleandoc(source.__doc__ or "").partition("\n")
    sections: dict[str, str] = {}
    title = ""
    for line in rest.splitlines():
        named = re.match(r"(\w+)  +(\S.*)", line)
        if named:
            title = named[1]
            sections[title] = named[2]
        elif title and line.strip():
            sections[title] += "\n" + line.strip()
    purpose = re.sub(r"^\w+: ", "", first)
    return purpose[:1].upper() + purpose[1:], sections


def values_of(source: ModuleType) -> list[type]:
    """What rows and messages are made of: inner values and enumerations, but not the codes."""
    return [found for found in vars(source).values()
            if inspect.isclass(found) and found.__module__ == source.__name__
            and issubclass(found, Inner | IntEnum) and not issubclass(found, Code)]


def as_list(lines: str) -> str:
    return "".join(f"- {line}\n" for line in lines.splitlines())


def code_of(class_: type) -> str:
    """The class as written, comments and all, without the methods that a reader of docs can skip."""
    return "```python\n" + inspect.getsource(class_).rstrip() + "\n```\n"


def message(module: Module, kind: type) -> str:
    signed_by = module.signed_by[kind]
    signers = (signed_by,) if isinstance(signed_by, str) else signed_by
    facts = ["signed by " + " and ".join(f"`{field}`" for field in signers)]
    if kind in module.introduces:
        facts.append("whose key it may bring")
    if kind in module.unsponsored:
        facts.append("needs no sponsor")
    if kind in module.units:
        facts.append(f"costs {module.units[kind]} units")
    if kind in module.long_window:
        facts.append("may be signed up to 24 hours ahead")
    purpose = (inspect.getdoc(module.rules[kind]) or "").partition("\n")[0]
    return f"### {codec.tag_of(kind)}\n\n{purpose} ({', '.join(facts)})\n\n{code_of(kind)}"


def refusals(module: Module) -> str:
    entries = words()
    lines = ["| code | name | what happened |", "|---|---|---|"]
    for code in module.codes:
        what = entries[code.shown]["en"] if code.shown in entries else ""
        lines.append(f"| [{code.shown}](../errors.md#{code.shown.lower()}) | {code.name} | {what} |")
    return "\n".join(lines) + "\n"


# -- errors


def words() -> dict[str, dict[str, str]]:
    return tomllib.loads((ROOT / "src" / "xinglin" / "errors.toml").read_text("utf-8"))


def errors_page() -> str:
    parts = [
        MADE_BY.format("src/xinglin/errors.toml"),
        "# Errors 错误\n",
        "Every code, in order of precedence within its room: what happened, why, what next. "
        "In a terminal: `xinglin explain XL-0204`.\n",
        "每个代码按所在部分的优先次序列出：发生了什么、为什么、怎么办。终端中可用 `xinglin explain XL-0204`。\n",
    ]
    for shown, entry in words().items():
        parts.append(f'## <a id="{shown.lower()}"></a>{shown} {entry["name"]}\n')
        for lang, space in (("en", " "), ("zh", "")):
            parts.append(f'{entry[lang]}{space}{entry[f"cause_{lang}"]}  \n→ {entry[f"fix_{lang}"]}\n')
    return "\n".join(parts).rstrip() + "\n"


# -- the command line


def cli_page(lang: Lang) -> str:
    head = {
        "en": "# Command line\n\nData goes to stdout, all else to stderr. The options of `xinglin` itself may stand "
              "anywhere in the line.\n",
        "zh": "# 命令行\n\n数据输出到标准输出，其余输出到标准错误。`xinglin` 自身的选项可以写在命令行的任何位置。\n",
    }
    parts = [MADE_BY.format("src/xinglin/cli"), head[lang]]
    for path, command in parser.commands(parser.build(lang)):
        name = f"xinglin {path}".strip()
        examples = "\n".join(help.examples(path))
        parts.append(f"## {name}\n\n```\n{examples}\n```\n\n{command.help}\n")
        parts.append("".join(parameter(found, lang) for found in command.params if not path or found.name != "json"))
    return "\n".join(parts).rstrip() + "\n"


def parameter(found: Any, lang: Lang) -> str:
    if found.hidden or found.name in ("install_completion", "show_completion"):
        return ""
    argument = found.param_type_name == "argument"
    name = found.metavar or found.name.upper() if argument else " / ".join((*found.opts, *found.secondary_opts))
    needed = {"en": " (required)", "zh": "（必填）"}[lang] if found.required else ""
    return f"- `{name}`{needed} {found.help}".rstrip() + "\n"


# -- crosscheck/schema.json


def schema() -> str:
    """What the second-language verifiers need to know of our types, so that they are strict where ours are.

    A number is written as text, since JSON readers lose those over 2**53.
    """
    structs: dict[str, Any] = {}
    module_set = modules.module_set()
    found = {
        "files": {tag: form_of(kind, structs) for tag, kind in KINDS.items()},
        "manifest": form_of(Manifest, structs), "leaf": form_of(Leaf, structs), "closing": form_of(Closing, structs),
        "events": form_of(module_set.events_type, structs), "entry": form_of(modules.access.Entry, structs),
        "tables": {name: {"width": table.width, "row": form_of(table.value, structs)}
                   for name, table in sorted(module_set.tables.items())},
    }
    return schema_text(found | {"structs": structs})


def schema_text(found: dict[str, Any]) -> str:
    """A line for each named thing."""
    lines = []
    for key, value in found.items():
        if isinstance(value, dict):
            inner = ",\n".join(f"  {json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(value.items()))
            lines.append(f" {json.dumps(key)}: {{\n{inner}}}")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "}\n"


def form_of(type_: Any, structs: dict[str, Any]) -> list[Any]:
    return form_said(types.type_info(type_), structs)


def form_said(info: types.Type, structs: dict[str, Any]) -> list[Any]:
    match info:
        case types.IntType(ge=low, le=high):
            return ["int", str(low), str(high)]
        case types.BytesType(min_length=low, max_length=high):
            return ["bytes", low or 0, high]
        case types.StrType(min_length=low, max_length=high, pattern=pattern):
            return ["text", low or 0, high, pattern or ""]
        case types.BoolType():
            return ["bool"]
        case types.NoneType():
            return ["nil"]
        case types.EnumType(cls=cls):
            return ["enum", [str(one.value) for one in cls]]
        case types.TupleType(item_types=parts):
            return ["tuple", [form_said(part, structs) for part in parts]]
        case types.VarTupleType(item_type=item, min_length=low, max_length=high):
            return ["list", low or 0, high, form_said(item, structs)]
        case types.UnionType(types=parts):
            return ["union", [form_said(part, structs) for part in parts]]
        case types.StructType(cls=cls, fields=fields):
            struct = get_origin(cls) or cls
            name = f"{struct.__module__.removeprefix('xinglin.')}.{struct.__name__}"
            if name not in structs:
                tag = struct.__struct_config__.tag
                structs[name] = {}                # its place, while its fields are looked at
                structs[name] = {"tag": None if tag is None else codec.tag_of(struct),
                                 "fields": [[field.name, form_said(field.type, structs)] for field in fields]}
            return ["struct", name]
    raise TypeError(f"not in a file: {info}")


def main() -> None:
    made = pages()
    for old in (DOCS / "modules").glob("*.md"):
        if old not in made:
            old.unlink()
    for path, text in made.items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
