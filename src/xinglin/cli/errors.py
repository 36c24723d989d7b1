"""An error as its reader sees it: the code's words in her language, and an exit status. Never a traceback."""

import errno
import json
import os
import re
from typing import Any

from typer import TyperException

from xinglin.base.check import Failed, InvariantBroken, NotAuthorised, NotFound, NotVerified
from xinglin.cli import details
from xinglin.cli.codes import CliCode, Interrupted, Partly, Usage
from xinglin.cli.printable import printable
from xinglin.cli.words import Lang, words_of

ERROR, USAGE, NOT_FOUND, DENIED, NOT_VERIFIED, PARTLY, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130


FORBIDDEN = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO), CliCode.FILE_NOT_WRITTEN),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG), CliCode.FILE_NOT_WRITTEN),
    **dict.fromkeys((errno.EACCES, errno.EPERM), CliCode.FILE_NOT_PERMITTED)}


def exit_code(error: Exception) -> int:
    if isinstance(error, Usage | TyperException):
        return USAGE
    for kind, code in ((NotFound, NOT_FOUND), (NotAuthorised, DENIED), (NotVerified, NOT_VERIFIED), (Partly, PARTLY),
                       (Interrupted, INTERRUPTED)):
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


def of_system(error: OSError) -> Failed | None:
    """What the system would not do, where that is no fault of ours: a full or read-only disk, missing rights."""
    code = FORBIDDEN.get(error.errno or 0)
    return None if code is None else Failed(code, f"{error.filename or 'stdout'}: {os.strerror(error.errno or 0)}")


def _told(error: Exception, lang: Lang) -> tuple[int, str]:
    if isinstance(error, Failed):
        return error.code.value, details.said(error.detail, lang)
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
             "BadOptionUsage": f"选项 {about} 需要一个值", "BadArgumentUsage": "参数数量不对",
             "BadParameter": f"{about} 的值不能使用：{details.said(str(getattr(error, 'message', '')), lang)}"}
    message = re.sub(r"Got unexpected extra argument\S* \((.*)\)", r"多余的参数：\1", message)
    return kinds.get(type(error).__name__, message.replace("No such command", "没有命令").replace(
        "Missing command.", "缺少命令").replace(". Did you mean", "，是否指").rstrip(".?"))
