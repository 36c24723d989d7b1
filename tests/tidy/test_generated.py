import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from tidy.tree import ROOT


def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def stale(made: dict[Path, str]) -> list[str]:
    return [path.name for path, text in made.items() if not path.exists() or path.read_text("utf-8") != text]


def test_the_generated_pages_are_those_that_the_code_makes() -> None:
    assert not stale(generate().pages()), "run ./dev.py docs and commit what it writes"


def test_no_page_is_left_of_a_module_that_is_gone() -> None:
    made = generate().pages()
    assert set((ROOT / "docs" / "modules").glob("*.md")) == {p for p in made if p.parent.name == "modules"}


def test_a_planted_stale_or_missing_page_is_caught(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    assert stale({page: "new"}) == ["page.md"]
    page.write_text("old")
    assert stale({page: "new"}) == ["page.md"]
    page.write_text("new")
    assert not stale({page: "new"})
