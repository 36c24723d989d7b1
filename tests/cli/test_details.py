"""Details of errors in Chinese: every detail that an import can report has its words, and names stay as they are."""

import ast
import errno
import os
import re
from collections.abc import Iterator

import pytest

from tidy.tree import sources
from xinglin.cli import details

HAN = re.compile(r"[\u4e00-\u9fff]")
NARROW = re.compile(r"[\u4e00-\u9fff][,;:!?()]|[,;:!?()][\u4e00-\u9fff]")
REPORTERS = {"Problem": (5, "detail"), "NotUnderstood": (1, ""), "_error": (2, ""), "say": (2, "")}


def shown(node: ast.expr) -> str | None:
    """What an argument would say, 7 for each number in it; None of what is not written there."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)
    return None


def import_details() -> Iterator[str]:
    """Each detail that the FHIR room words itself."""
    for file, tree in sources():
        if not file.startswith("holder/fhir/"):
            continue
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call):
                continue
            name = getattr(call.func, "id", getattr(call.func, "attr", ""))
            at, keyword = REPORTERS.get(name, (99, ""))
            given = [*call.args[at:at + 1], *(one.value for one in call.keywords if one.arg == keyword)]
            yield from (text for one in given if (text := shown(one)))


UPKEEP = {"Lie": 1, "same": 3, "_alarm": 0, "NotVerified": 1, "NotUnderstood": 1, "require": 2}


def upkeep_details() -> Iterator[str]:
    """Each detail of a check, a scrub or a backup."""
    for file, tree in sources():
        if file.startswith(("fsck/", "backup/")) or file in ("engine/scrub.py", "engine/pruning.py"):
            for call in ast.walk(tree):
                if isinstance(call, ast.Call):
                    name = getattr(call.func, "id", "")
                    if name in UPKEEP:
                        yield from (text for one in call.args[UPKEEP[name]:UPKEEP[name] + 1] if (text := shown(one)))


def test_every_detail_of_a_check_a_scrub_or_a_backup_has_chinese_words() -> None:
    found = {text for text in upkeep_details() if not re.fullmatch("[7:]+|7: 7", text)}
    assert len(found) > 60
    assert not [text for text in found if not HAN.search(details.said(text, "zh"))]


def test_every_detail_of_an_import_has_chinese_words() -> None:
    found = {text for text in import_details() if len(text) > 3 and not re.fullmatch(r"[a-z]+-[0-9]+|[0-9]+", text)}
    assert len(found) > 30
    assert not [text for text in found if not HAN.search(details.said(text, "zh"))]


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENOSPC,
                                    errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP])
def test_what_the_system_says_of_a_file_is_chinese_behind_its_name(number: int) -> None:
    said = details.said(f"a b: c/report.json: {os.strerror(number)}", "zh")
    assert said.startswith("a b: c/report.json：") and HAN.search(said)


@pytest.mark.parametrize(("english", "chinese"), [
    ("more than 1000 levels", "超过 1000 层"), ("line 3 entry 12", "第 3 行，entry 12"),
    ("Input should be less than or equal to 3660", "不能大于 3660"), ("12 h", "12 小时"),
    ("{0}: a-z 0-9 -, at most 40", "{0}：只用 a-z、0-9 和 -，最多 40 个字符")])
def test_a_detail_keeps_its_names_and_numbers(english: str, chinese: str) -> None:
    assert details.said(english, "zh") == chinese
    assert details.said(english, "en") == english


@pytest.mark.parametrize("name", ["Ward h", "north", "", "XL-0204", "Dr Chen: Ward 3", "五 ms", "line manager"])
def test_what_a_person_named_is_never_translated(name: str) -> None:
    assert details.said(name, "zh") == name


def test_chinese_details_have_full_width_marks() -> None:
    assert not [zh for _, zh in details._known() if NARROW.search(zh)]
