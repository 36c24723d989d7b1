"""Chinese, wherever it is read: full-width marks in prose, and the one word that docs/concepts.md has for an idea."""

import ast
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tidy.tree import ROOT, SOURCE, committed, sources, text_of

HAN = re.compile(r"[\u4e00-\u9fff]")
NOT_PROSE = re.compile(r"^```.*?^```|`[^`\n]*`|\]\([^)\s]*\)", re.M | re.S)    # code, and where a link leads
NARROW = re.compile(r"[\u4e00-\u9fff][,;:!?()]|[,;:!?()][\u4e00-\u9fff]")
SECOND_WORDS = {
    "保管库": "保险库", "数据持有方": "持有方", "保管方": "持有方", "撤销": "撤回", "核验": "验证", "封存": "加密存放",
    "接收方": "接收者", "一次性代码": "认领码", "柜台": "窗口", "会签": "共同签名",
}
BREAK_GLASS = "紧急调阅"            # the one 调阅 there is; what a reader does is 访问


def faults(text: str) -> list[str]:
    """Half-width marks beside Chinese, and second words, of one piece of prose."""
    prose = NOT_PROSE.sub("", text)
    found = [f"half-width {hit.group()}" for hit in NARROW.finditer(prose)]
    found += [f"{second}, not {first}" for second, first in SECOND_WORDS.items() if second in prose]
    return found + ["调阅, not 访问" for _ in range("调阅" in prose.replace(BREAK_GLASS, ""))]


def said_in_toml(table: dict[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from said_in_toml(value)
        elif isinstance(value, str) and key.endswith("zh"):
            yield value


def said_in_code(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and HAN.search(node.value):
            yield node.value


def chinese() -> Iterator[tuple[str, str]]:
    """(where, text) of all that is said in Chinese."""
    for name in ("errors.toml", "cli/help.toml"):
        for text in said_in_toml(tomllib.loads((SOURCE / name).read_text("utf-8"))):
            yield name, text
    for name, tree in sources():
        for text in said_in_code(tree):
            yield name, text
    for page in committed():
        if page.name.endswith((".zh.md", ".zh-CN.md")) or page == ROOT / "docs" / "concepts.md":
            yield page.name, text_of(page)


def test_chinese_has_full_width_marks_and_one_word_for_an_idea() -> None:
    found = [f"{where}: {fault}: {text[:60]}" for where, text in chinese() for fault in faults(text)]
    assert not found, "\n".join(found)


def test_what_is_read_in_chinese_is_looked_at_everywhere() -> None:
    assert {"errors.toml", "cli/help.toml", "client/wording.py", "demo/cast.py", "README.zh-CN.md", "patient.zh.md",
            "concepts.md"} <= {where for where, _ in chinese()}


@pytest.mark.parametrize("planted", [
    "已过期,请重新申请。", "已撤销。", "说明:如下", "用药(化验)", "3 天;然后", "保管库", "无法核验", "请重新调阅"])
def test_a_planted_half_width_mark_or_second_word_is_caught(planted: str) -> None:
    assert faults(planted)


@pytest.mark.parametrize("harmless", [
    "已过期，请重新申请。", "紧急调阅", "运行 `xinglin verify 文件, 标识`", "见[教程](a.md)。", "XL-0204、0204",
    "R4 (4.0.1), R5"])
def test_code_links_and_latin_keep_their_own_marks(harmless: str) -> None:
    assert not faults(harmless)
