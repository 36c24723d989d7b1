"""The tree of commands. Options that all commands share may stand anywhere in the line."""

import copy
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option
from typer.core import TyperGroup
from typer.main import get_command

from xinglin import __version__
from xinglin.cli import (
    access,
    bench,
    clock,
    consent,
    demo,
    doctor,
    explain,
    help,
    key,
    member,
    net,
    proofs,
    record,
    show,
    sim,
    subject,
    tiles,
    upkeep,
    witness,
)
from xinglin.cli.call import Call, Output, language
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.show import Column
from xinglin.cli.words import Lang

SEEN, FORM = "xinglin.seen", "xinglin.form"     # in a line's `meta`: options given, the form of output
VERSION = (Column("version", "版本", "version"),)


def build(lang: Lang) -> TyperGroup:
    """All commands, each with the shared options, its help in `lang`."""
    app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(shared)
    app.command("demo")(demo.demo)
    for name, noun in (("net", net), ("member", member), ("subject", subject), ("key", key), ("record", record),
                       ("consent", consent), ("access", access)):
        app.add_typer(noun.app, name=name)
    for name, verb in (("trace", proofs.trace), ("receipt", proofs.receipt), ("verify", proofs.verify),
                       ("tiles", tiles.tiles), ("witness", witness.witness), ("explain", explain.explain),
                       ("doctor", doctor.doctor)):
        app.command(name)(verb)
    for care in (upkeep.fsck, upkeep.scrub, upkeep.prune, upkeep.backup, upkeep.restore):
        app.command(care.__name__)(care)
    app.add_typer(clock.app, name="clock")
    app.add_typer(bench.app, name="bench")
    app.command("sim")(sim.sim)
    app.command("version")(version)
    top = get_command(app)
    if not isinstance(top, TyperGroup):
        raise TypeError(top)
    _dress(top, lang)
    return top


def _dress(top: TyperGroup, lang: Lang) -> None:
    """Give every command its words, the shared options, and a --help that prints examples first."""
    common = [found for found in top.params if found.name in help.SHARED]
    for path, command in commands(top):
        command.add_help_option = False
        if command is not top:
            command.params = [*command.params, *map(copy.copy, common)]
        command.help = help.about(path, lang)
        command.make_parser = functools.partial(_once, command.make_parser)
        for found in command.params:
            parameter: Any = found
            parameter.help = help.of_parameter(path, parameter, lang)
            parameter.hidden = command is not top and parameter.name in help.SHARED and parameter.name != "json"


def _once(make_parser: Callable[[Any], Any], ctx: typer.Context) -> Any:
    """A parser that takes a single value once, and none that is empty: of two, which one is signed is not guessed.

    Errors  Usage USAGE.
    """
    parser = make_parser(ctx)
    parse = parser.parse_args

    def parse_args(args: list[str]) -> Any:
        values, rest, order = parse(args)
        seen: set[str] = ctx.meta.setdefault(SEEN, set())      # of the whole line: shared options may stand anywhere
        for found in order:
            if found.param_type_name == "argument" or not (found.multiple or found.is_flag):
                name = found.metavar or found.name if found.param_type_name == "argument" else found.opts[-1]
                if name in seen:
                    raise Usage(CliCode.USAGE, f"{name}: given twice")
                seen.add(name)
                if values.get(found.name) == "" and found.metavar != "TEXT":
                    raise Usage(CliCode.USAGE, f"{name}: empty")
        return values, rest, order

    parser.parse_args = parse_args
    return parser


def commands(top: TyperGroup) -> Iterator[tuple[str, Any]]:
    """("record import", command) of each, nouns before their verbs; "" is the top."""
    todo: list[tuple[str, Any]] = [("", top)]
    while todo:
        path, command = todo.pop(0)
        yield path, command
        if isinstance(command, TyperGroup):
            todo[:0] = [(f"{path} {verb}".strip(), below) for verb, below in command.commands.items()]


# -- shared options: each writes into the Call when it is met, so that a default lower down undoes nothing

def _home(ctx: typer.Context, value: Path | None) -> None:
    if value is not None:
        Call.of(ctx).home, Call.of(ctx).home_named, Call.of(ctx).home_given = value, True, True


def _lang(ctx: typer.Context, value: str | None) -> None:
    if value is not None:
        if value not in ("zh", "en"):
            raise Usage(CliCode.CHOICE_NOT_KNOWN, f"{value}: zh, en")
        Call.of(ctx).lang = language(value)


def _output(ctx: typer.Context, value: str | None) -> None:
    if value is not None:
        if value not in list(Output):
            raise Usage(CliCode.CHOICE_NOT_KNOWN, f"{value}: {', '.join(Output)}")
        _form(ctx, Output(value))


def _json(ctx: typer.Context, value: bool) -> None:
    if value:
        _form(ctx, Output.JSON)


def _csv(ctx: typer.Context, value: bool) -> None:
    if value:
        _form(ctx, Output.CSV)


def _form(ctx: typer.Context, form: Output) -> None:
    if ctx.meta.setdefault(FORM, form) is not form:
        raise Usage(CliCode.USAGE, f"--{ctx.meta[FORM]} --{form}")
    Call.of(ctx).output = form


def _quiet(ctx: typer.Context, value: bool) -> None:
    Call.of(ctx).quiet |= value


def _yes(ctx: typer.Context, value: bool) -> None:
    Call.of(ctx).yes |= value


def _passphrase_file(ctx: typer.Context, value: Path | None) -> None:
    if value is not None:
        Call.of(ctx).passphrase_file = value


def _help(ctx: typer.Context, value: bool) -> None:
    if value:
        show.text(help.rendered(ctx, Call.of(ctx).lang))
        raise typer.Exit


def _version(ctx: typer.Context, value: bool) -> None:
    if value:
        show.text(f"xinglin {__version__}")
        raise typer.Exit


def shared(
    home: Annotated[Path | None, Option("--home", metavar="DIR", callback=_home, expose_value=False)] = None,
    lang: Annotated[str | None, Option("--lang", metavar="zh|en", callback=_lang, expose_value=False)] = None,
    json: Annotated[bool, Option("--json", callback=_json, expose_value=False)] = False,
    csv: Annotated[bool, Option("--csv", callback=_csv, expose_value=False)] = False,
    output: Annotated[str | None, Option("--output", metavar="table|json|csv", callback=_output,
                                         expose_value=False)] = None,
    quiet: Annotated[bool, Option("--quiet", "-q", callback=_quiet, expose_value=False)] = False,
    yes: Annotated[bool, Option("--yes", "-y", callback=_yes, expose_value=False)] = False,
    passphrase_file: Annotated[Path | None, Option("--passphrase-file", metavar="FILE", callback=_passphrase_file,
                                                   expose_value=False)] = None,
    version: Annotated[bool, Option("--version", callback=_version, is_eager=True, expose_value=False)] = False,
    help: Annotated[bool, Option("--help", "-h", callback=_help, is_eager=True, expose_value=False)] = False,
) -> None:
    """Their callbacks have done the work."""


def version(ctx: typer.Context) -> None:
    show.one(Call.of(ctx), VERSION, {"version": __version__})
