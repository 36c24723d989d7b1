"""The pages do what they say: examples run, links lead somewhere, the walk through the code names what is there."""

import ast
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from docs.examples import Example, environment, examples, missing, run
from tidy.tree import ROOT, SOURCE, committed, text_of
from xinglin.demo.cast import STEPS

TWINS = {"README.md": "README.zh-CN.md", "docs/tutorial/patient.zh.md": "docs/tutorial/patient.md",
         "docs/tutorial/hospital.md": "docs/tutorial/hospital.zh.md"}
# One language of each runs every time, the other before a release; between them their commands are compared.
PAGES = [*TWINS, *(pytest.param(twin, marks=pytest.mark.release) for twin in TWINS.values())]
COMMAND = re.compile(r"\bxinglin ([a-z-]+(?: [a-z-]+)?)(.*)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"(?<![\w/.])((?:tests|examples|src|docs)/[\w/*.-]*[\w*])")
STEP = re.compile(r"`([\w/]+\.py):(\w+)`")


@pytest.fixture(scope="module")
def after_the_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of someone who ran the demo once."""
    home = tmp_path_factory.mktemp("reader")
    run([Example("empty", "sh", "xinglin demo\n", ())], home)
    return home


@pytest.mark.parametrize("page", PAGES)
def test_every_example_of_a_page_runs_and_prints_what_the_page_shows(
        page: str, after_the_demo: Path, tmp_path: Path) -> None:
    found = examples(ROOT / page)
    assert found
    home = tmp_path / "reader"
    if found[0].starts_from == "demo":
        shutil.copytree(after_the_demo, home)
    else:
        home.mkdir()
    for example, output in zip(found, run(found, home), strict=True):
        line = missing(example.shown, output)
        assert line is None, f"{page} shows {line!r}, but this came:\n{output}"


def test_every_page_with_commands_is_among_those_that_run() -> None:
    marked = {path.relative_to(ROOT).as_posix() for path in committed()
              if path.suffix == ".md" and "<!-- runs:" in text_of(path)}
    assert marked == {*TWINS, *TWINS.values()}


def test_whoever_installs_the_package_as_the_readme_says_gets_every_file_of_it() -> None:
    packed = tomllib.loads(text_of(ROOT / "pyproject.toml"))["tool"]["setuptools"]["package-data"]["xinglin"]
    given = {file for pattern in packed for file in SOURCE.glob(pattern.replace("**", "**/*"))}
    needed = {path for path in committed() if path.is_relative_to(SOURCE) and path.suffix != ".py"}
    assert len(needed) > 5 and needed <= given


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """The commands of a page's examples, in order, each with its options."""
    code = "\n".join(example.code for example in examples(page)).replace("\\\n", "")
    return [(name, re.findall(r" (-[-a-z]+)", rest)) for name, rest in COMMAND.findall(code)]


@pytest.mark.parametrize("page", TWINS)
def test_a_page_and_its_twin_run_the_same_commands(page: str) -> None:
    assert commands(ROOT / page)
    assert commands(ROOT / page) == commands(ROOT / TWINS[page])


def test_an_example_that_fails_or_shows_something_else_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        run([Example("empty", "sh", "false\n", ())], tmp_path)
    assert missing(("one", "t…o"), "one\nand\ntwo\n") is None
    assert missing(("two", "one"), "one\ntwo\n") == "one"
    assert missing(("on",), "one\n") == "on"


def test_a_reader_has_nothing_of_ours_in_the_terminal(tmp_path: Path) -> None:
    assert not [name for name in environment(tmp_path) if name.startswith("XINGLIN")]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them from headings, and those that a page sets itself."""
    prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S)
    headings = re.findall(r"^#{1,6} (.+)$", prose, flags=re.M)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)">', prose))


def lost(page: Path, text: str) -> list[str]:
    """Links to a file or heading that is not there."""
    found = []
    for target in LINK.findall(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            found.append(target)
    return found


def test_every_link_between_pages_leads_to_a_file_and_a_heading() -> None:
    found = [f"{page.relative_to(ROOT)}: {target}" for page in committed() if page.suffix == ".md"
             for target in lost(page, text_of(page))]
    assert not found, "\n".join(found)


def test_a_planted_lost_heading_is_caught() -> None:
    assert lost(ROOT / "README.md", "[a](#limits) [b](#nowhere) [c](docs/concepts.md#gone)") == [
        "#nowhere", "docs/concepts.md#gone"]


@pytest.mark.parametrize("step", STEP.findall(text_of(ROOT / "ARCHITECTURE.md")), ids=":".join)
def test_each_step_of_the_walk_names_a_function_that_is_there(step: tuple[str, str]) -> None:
    file, function = step
    tree = ast.parse((SOURCE / file).read_text("utf-8"))
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("lang,name", [("en", "demo.svg"), ("zh", "demo.zh-CN.svg")])
def test_the_picture_tells_every_step_as_the_demo_tells_it_today(lang: str, name: str) -> None:
    drawn = re.sub(r"<[^>]+>", "", text_of(ROOT / "docs" / "pictures" / name))
    for told in STEPS.values():
        for words in ((told.zh, told.proves_zh) if lang == "zh" else (told.en, told.proves_en)):
            assert words.replace("'", "&#x27;") in drawn, f"{words}: run python docs/picture.py"
    assert "✕" not in drawn and "http" not in drawn


def not_there(text: str) -> list[str]:
    """Files and folders of ours that a text names and that do not exist; * stands for some."""
    return [name for name in FILE.findall(text) if not any(ROOT.glob(name))]


def test_every_file_of_ours_that_a_page_or_a_docstring_names_exists() -> None:
    found = [f"{path.relative_to(ROOT)}: {name}" for path in committed()
             if path.suffix == ".md" or (path.suffix == ".py" and path.is_relative_to(SOURCE))
             for name in not_there(text_of(path))]
    assert not found, "\n".join(found)


def test_a_planted_name_of_no_file_is_caught() -> None:
    assert not_there("`tests/base/test_nothing.py`, `tests/*/nothing.py`") == [
        "tests/base/test_nothing.py", "tests/*/nothing.py"]
    assert not not_there("`tests/tidy/*.py`, docs/spec/vault.md; `docs/adr/`, http://example.org/docs/x.md")
