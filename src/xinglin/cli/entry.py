"""From argv to an exit status."""

import os
import sys
from collections.abc import Sequence

from typer import Abort, TyperException

from xinglin.base.check import Failed, InvariantBroken
from xinglin.cli import errors, help, parser
from xinglin.cli.call import Call, Output, language
from xinglin.cli.codes import CliCode, Usage

DEBUG = "XINGLIN_DEBUG"            # set: an error that nobody expected shows its traceback


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. Never a traceback, unless XINGLIN_DEBUG asks for it."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    call = Call.new(language(_value(words, "--lang")))
    if "--json" in words or _value(words, "--output") == "json":
        call.output = Output.JSON      # for errors met while the line is read
    try:
        return _run(words, call)
    except KeyboardInterrupt:
        return errors.INTERRUPTED
    except BrokenPipeError:            # whoever read our output has seen enough
        _drop_output()
        return errors.ERROR
    except Exception as error:
        if isinstance(error, OSError) and (known := errors.of_system(error)) is not None:
            if not error.filename:
                _drop_output()         # what is still waiting to be printed would fail again
            print(errors.rendered(known, call.lang, call.output is Output.JSON), file=sys.stderr)
            return errors.exit_code(known)
        if os.environ.get(DEBUG):
            raise
        print(errors.rendered(error, call.lang, call.output is Output.JSON), file=sys.stderr)
        raise SystemExit(errors.ERROR) from error


def _run(words: list[str], call: Call) -> int:
    command = parser.build(call.lang)
    try:
        _check_text(words, call)
        status = command.main(words, prog_name="xinglin", standalone_mode=False, obj=call)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except (Failed, InvariantBroken, TyperException) as error:
        if help.wanted(error):
            print(help.of(error, call.lang), file=sys.stderr)
        else:
            print(errors.rendered(error, call.lang, call.output is Output.JSON), file=sys.stderr)
        return errors.exit_code(error)
    except Abort:
        return errors.INTERRUPTED


def _check_text(words: Sequence[str], call: Call) -> None:
    """Bytes that are no text may name a file that is there; nothing else takes them.

    Errors  Usage USAGE.
    """
    for word in words:
        if any("\ud800" <= char <= "\udfff" for char in word) and not any(
                os.path.lexists(name) for name in (word, word.partition("=")[2])):
            raise Usage(CliCode.USAGE, call.words("所给内容不是 UTF-8 文本", "what was given is not UTF-8 text"))


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _value(words: Sequence[str], option: str) -> str | None:
    """What `option` is given, before the line is parsed: its language is needed for the parser's own words."""
    for at, word in enumerate(words):
        if word.startswith(option + "="):
            return word.partition("=")[2]
        if word == option and at + 1 < len(words):
            return words[at + 1]
    return None
