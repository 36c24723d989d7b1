"""A home as the demo leaves it after four of its steps, for pages that start from one."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from xinglin.demo import story
from xinglin.demo.story import Story


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Open: records imported, subjects claimed, a request denied, a grant made and used."""
    home: Path = tmp_path_factory.mktemp("told") / "demo-data"
    one = story.found(home, None, time.time_ns() // 1_000_000)
    try:
        for act in (story.import_records, story.claim, story.ask_and_be_denied, story.grant_and_read):
            act(one)
        yield one
    finally:
        one.home.close()
