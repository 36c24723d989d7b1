import ast
import re
import tomllib

import pytest

from tidy import rules
from tidy.tree import SOURCE, sources
from xinglin.cli.words import numbers_of, words_of

FIELDS = ("zh", "en", "cause_zh", "cause_en", "fix_zh", "fix_en")
HAN = re.compile(r"[\u4e00-\u9fff]")

# Where a room's numbers lie; design 4 keeps 600 to 1399 for domains to come.
RANGES = {
    "kernel": range(0, 70), "base": range(70, 100), "modules/members.py": range(100, 200),
    "modules/consent.py": range(200, 300), "modules/subjects.py": range(300, 400),
    "modules/records.py": range(400, 500), "modules/access.py": range(500, 600),
    "engine": range(8000, 8100), "vault": range(8100, 8200), "node": range(8200, 8300),
    "client": range(8300, 8400), "holder": range(8400, 8500), "fsck": range(8530, 8560),
    "backup": range(8560, 8590), "home": range(8600, 8700), "demo": range(8700, 8800), "sim": range(8800, 8900),
    "witness": range(8900, 9000), "cli": range(9000, 9500), "bench": range(9500, 9600),
}

Codes = list[tuple[str, str, int]]


def all_codes() -> Codes:
    """(file, name, number) of every code in the source."""
    return [(file, name, number) for file, tree in sources() for name, number in rules.codes(tree)]


def complaints(codes: Codes, entries: dict[str, dict[str, str]]) -> list[str]:
    found: list[str] = []
    by_number: dict[int, str] = {}
    for file, name, number in codes:
        shown = f"XL-{number:04d}"
        if number in by_number:
            found.append(f"{shown} is both {by_number[number]} and {name}")
        by_number[number] = name
        room = RANGES.get(file) or RANGES.get(file.split("/")[0].removesuffix(".py"), range(0))
        if number not in room:
            found.append(f"{shown} {name} is outside the numbers of {file}")
        entry = entries.get(shown, {})
        if entry.get("name") != name:
            found.append(f"errors.toml has no {shown} {name}")
    for shown, entry in entries.items():
        if int(shown.removeprefix("XL-")) not in by_number:
            found.append(f"no code is {shown}")
        if set(entry) != {"name", *FIELDS}:
            found.append(f"{shown} needs exactly name, {', '.join(FIELDS)}")
        for field in FIELDS:
            text = entry.get(field, "")
            chinese = field.endswith("zh")
            if not text or bool(HAN.search(text)) != chinese or text[-1] not in ".。?" and "xinglin" not in text:
                found.append(f"{shown} {field} is not a sentence of its language")
    return found


def test_every_code_has_one_number_and_words_in_both_languages() -> None:
    entries = tomllib.loads((SOURCE / "errors.toml").read_text("utf-8"))
    found = complaints(all_codes(), entries)
    assert not found, "\n".join(found)


GOOD = {"name": "GRANT_EXPIRED", "zh": "授权已过期。", "en": "It expired.", "cause_zh": "到期。",
        "cause_en": "It ended.", "fix_zh": "重新申请。", "fix_en": "Ask again."}
EXPIRED = ("modules/consent.py", "GRANT_EXPIRED", 205)


def test_a_code_with_its_words_passes() -> None:
    assert not complaints([EXPIRED], {"XL-0205": GOOD})


@pytest.mark.parametrize(("codes", "entries"), [
    ([EXPIRED], {}),
    ([EXPIRED], {"XL-0205": GOOD | {"name": "OTHER"}}),
    ([EXPIRED], {"XL-0205": GOOD, "XL-0206": GOOD}),
    ([EXPIRED], {"XL-0205": GOOD | {"fix_zh": ""}}),
    ([EXPIRED], {"XL-0205": GOOD | {"zh": "It expired."}}),
    ([EXPIRED], {"XL-0205": GOOD | {"en": "授权已过期。"}}),
    ([EXPIRED], {"XL-0205": GOOD | {"extra": "x."}}),
    ([EXPIRED, ("modules/consent.py", "ALSO", 205)], {"XL-0205": GOOD}),
    ([("modules/members.py", "GRANT_EXPIRED", 205)], {"XL-0205": GOOD}),
    ([("somewhere/new.py", "GRANT_EXPIRED", 205)], {"XL-0205": GOOD}),
])
def test_a_planted_fault_in_codes_or_words_is_caught(codes: Codes, entries: dict[str, dict[str, str]]) -> None:
    assert complaints(codes, entries)


def test_codes_are_found_in_a_class_of_codes_alone() -> None:
    tree = ast.parse("class Refusal(Code):\n    A = 1\n    B = 2\nclass Status(IntEnum):\n    C = 3\n")
    assert list(rules.codes(tree)) == [("A", 1), ("B", 2)]


@pytest.mark.parametrize("text", ["XL-0204", "xl-204", "0204", "204", "GRANT_NOT_ACTIVE", " grant_not_active "])
def test_a_code_is_found_by_any_way_of_writing_it(text: str) -> None:
    assert numbers_of(text) == [204]


@pytest.mark.parametrize("text", ["", "XL-", "XL-²", "XL-0204x", "NO_SUCH_NAME", "-1", "1" * 4301])
def test_what_is_no_code_has_no_number(text: str) -> None:
    assert numbers_of(text) == []


def test_a_name_that_two_rooms_use_has_both_numbers() -> None:
    assert numbers_of("expiry_too_far_ahead") == [5, 207]


def test_words_come_in_the_language_asked_for() -> None:
    zh, en = words_of(205, "zh"), words_of(205, "en")
    assert zh and en
    assert HAN.search(zh.what) and not HAN.search(en.what + en.cause + en.fix)
    assert zh.shown == en.shown == "XL-0205"
    assert words_of(99_999, "en") is None
