import re

import pytest

from engine.test_kill import PLACES as ENGINE_PLACES
from tidy.tree import SOURCE
from vault.test_kill import PLACES as VAULT_PLACES
from xinglin import failpoint


def test_nothing_happens_at_a_place_that_is_not_armed() -> None:
    passed = []
    failpoint.arm("sync", lambda: passed.append("sync"))
    try:
        failpoint.hit("sync")
        failpoint.hit("synced")
        failpoint.disarm()
        failpoint.hit("sync")
    finally:
        failpoint.disarm()
    assert passed == ["sync"]


def test_a_place_that_is_none_is_not_armed() -> None:
    with pytest.raises(ValueError, match="sink"):
        failpoint.arm("sink", list)


def test_every_failpoint_stands_once_in_the_source_and_a_process_is_killed_at_each() -> None:
    hits = [name for file in SOURCE.rglob("*.py") if file.name != "failpoint.py"
            for name in re.findall(r'failpoint[.]hit\("(.+?)"\)', file.read_text())]
    assert sorted(hits) == sorted(failpoint.NAMES)
    assert {*ENGINE_PLACES, *VAULT_PLACES} == {*failpoint.NAMES}


def test_no_source_arms_one() -> None:
    assert not [file for file in SOURCE.rglob("*.py") if re.search(r"failpoint[.](arm|disarm)", file.read_text())]
