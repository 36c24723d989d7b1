import re
from pathlib import Path

import pytest

from tidy.tree import ROOT, committed, text_of

MACHINE_PATH = re.compile(r"(?<![\w.])/(?:root|work|home|Users)/[a-z]")
REGISTRY = re.compile(r"pypi[.]org|pythonhosted[.]|npmjs[.]|crates[.]io|proxy[.]golang|maven[.]org|deb[.]debian", re.I)
URL = re.compile(r"https?://")
LOCKS = ("requirements.lock", "requirements-dev.lock")


def heading_levels(text: str) -> list[int]:
    """Depth of each heading in order; fenced code is not a heading."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [len(marks) for marks in re.findall(r"^(#{1,6}) ", prose, flags=re.M)]


def mirrors() -> list[tuple[Path, Path]]:
    """(page, its Chinese twin): README.zh-CN.md beside README.md, page.zh.md beside page.md."""
    twins = [path for path in committed() if path.name.endswith((".zh.md", ".zh-CN.md"))]
    return [(path.with_name(re.sub(r"\.zh(-CN)?\.md$", ".md", path.name)), path) for path in twins]


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links to files that are not there; anchors are not looked at."""
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    return [target for target in targets if not (page.parent / target).exists()]


def pins(text: str) -> dict[str, str]:
    return dict(line.split(" ")[0].split("==") for line in text.splitlines() if "==" in line[:60] and line[0] != " ")


def test_a_committed_file_names_no_path_of_a_machine_and_no_registry() -> None:
    found = [f"{path.relative_to(ROOT)}: {hit.group()}" for path in committed()
             for pattern in (MACHINE_PATH, REGISTRY) if (hit := pattern.search(text_of(path)))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("planted", ["see /ro" + "ot/x", "/ho" + "me/someone", "(/wo" + "rk/main)"])
def test_a_planted_path_of_a_machine_is_caught(planted: str) -> None:
    assert MACHINE_PATH.search(planted)


@pytest.mark.parametrize("planted", ["https://py" + "pi.org/simple", "files.python" + "hosted.org"])
def test_a_planted_registry_is_caught(planted: str) -> None:
    assert REGISTRY.search(planted)


def test_a_web_address_below_home_is_no_path_of_a_machine() -> None:
    assert not MACHINE_PATH.search("https://example.org/home/page")


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_has_a_version_and_a_hash_for_everything_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not URL.search(text)
    blocks = [block for block in re.split(r"\n(?=\S)", text) if block.strip()]
    assert blocks
    for block in blocks:
        assert re.match(r"[a-z0-9-]+==[\w.]+", block), block
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


def test_tests_run_with_the_very_versions_that_users_get() -> None:
    run, dev = (pins((ROOT / name).read_text()) for name in LOCKS)
    assert run.items() <= dev.items()


def test_a_planted_address_in_a_lock_is_caught() -> None:
    assert URL.search("--index-url https" + "://example.org/simple")


def test_both_readmes_exist() -> None:
    assert (ROOT / "README.md").exists() and (ROOT / "README.zh-CN.md").exists()


def test_a_page_and_its_chinese_twin_have_the_same_headings() -> None:
    pages = mirrors()
    assert pages
    for page, twin in pages:
        assert heading_levels(page.read_text()) == heading_levels(twin.read_text()), page.name


def test_a_planted_missing_heading_is_caught() -> None:
    assert heading_levels("# A\n\n## B\n") != heading_levels("# 甲\n\n### 乙\n")
    assert heading_levels("# A\n```\n# not one\n```\n## B\n") == [1, 2]


def test_a_link_from_a_page_leads_somewhere() -> None:
    found = [f"{path.relative_to(ROOT)}: {target}" for path in committed() if path.suffix == ".md"
             for target in broken_links(path, text_of(path))]
    assert not found, "\n".join(found)


def test_a_planted_dead_link_is_caught() -> None:
    page = ROOT / "README.md"
    assert broken_links(page, "see [it](docs/nowhere.md#a)") == ["docs/nowhere.md"]
    assert not broken_links(page, "see [it](LICENSE), [web](https://example.org/x) and [here](#a)")
