"""An error as its reader sees it: the code's words in her language, and an exit status. Never a traceback."""

import json
from typing import Any

from typer import TyperException

from xinglin.base.check import Failed, InvariantBroken, NotAuthorised, NotFound, NotVerified
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.printable import printable
from xinglin.cli.words import Lang, words_of

ERROR, USAGE, NOT_FOUND, DENIED, NOT_VERIFIED, INTERRUPTED = 1, 2, 3, 4, 5, 130


def exit_code(error: Exception) -> int:
    if isinstance(error, Usage | TyperException):
        return USAGE
    for kind, code in ((NotFound, NOT_FOUND), (NotAuthorised, DENIED), (NotVerified, NOT_VERIFIED)):
        if isinstance(error, kind):
            return code
    return ERROR


def rendered(error: Exception, lang: Lang, as_json: bool) -> str:
    """For stderr: "XL-0203 GRANT_NOT_FOUND: what (detail). why. what next", or the same as an object."""
    number, detail = _told(error, lang)
    words = words_of(number, lang)
    if words is None:
        raise KeyError(number)
    if as_json:
        return printable(json.dumps({"code": words.shown, "name": words.name, "what": words.what, "cause": words.cause,
                                     "fix": words.fix, "detail": detail}, ensure_ascii=False))
    said = printable(detail)
    if lang == "zh":
        head = f"{words.shown} {words.name}：{words.what}" + (f"（{said}）" if said else "")
    else:
        head = f"{words.shown} {words.name}: {words.what}" + (f" ({said})" if said else "")
    return f"{head}\n  {words.cause}\n  → {words.fix}"


def _told(error: Exception, lang: Lang) -> tuple[int, str]:
    if isinstance(error, Failed):
        return error.code.value, error.detail
    if isinstance(error, TyperException):
        return CliCode.USAGE.value, _usage(error, lang)
    if isinstance(error, InvariantBroken):
        return CliCode.NOT_EXPECTED.value, str(error)
    return CliCode.NOT_EXPECTED.value, f"{type(error).__name__}: {error}"


def _usage(error: Any, lang: Lang) -> str:
    """The parser's own words are English; in Chinese the kind of error and what it is about suffice."""
    message: str = error.format_message()
    if lang == "en":
        return message
    parameter = getattr(error, "param", None)
    about = parameter.get_error_hint() if parameter is not None else getattr(error, "option_name", "")
    kinds = {"MissingParameter": f"缺少 {about}", "NoSuchOption": f"没有选项 {about}",
             "BadOptionUsage": f"选项 {about} 需要一个值", "BadParameter": f"{about} 的值不能使用：{error.message}",
             "BadArgumentUsage": "参数数量不对"}
    return kinds.get(type(error).__name__, message.replace("No such command", "没有命令").replace(
        "Missing command.", "缺少命令").replace("Did you mean", "是否指").replace(
        "Got unexpected extra argument", "多余的参数"))
