"""The tables beside this file, and that together they show every refusal there is."""

import pytest

from tables import runner
from tables.probe import WITH_PROBE
from xinglin.kernel.codes import KernelCode
from xinglin.modules import MODULES

TABLES = {"members": MODULES, "subjects": MODULES, "consent": MODULES, "records": MODULES, "access": MODULES,
          "kernel": WITH_PROBE}


@pytest.mark.parametrize("section", list(runner.sections(TABLES)), ids=lambda one: f"{one.file}: {one.title}")
def test_what_the_table_says_comes_to_pass(section: runner.Section) -> None:
    runner.run(section, TABLES[section.file])


def test_every_refusal_of_a_module_and_of_the_kernel_stands_in_a_table() -> None:
    shown = {(int(number), name) for section in runner.sections(TABLES) for _, line in section.lines
             for number, name in runner.CODE.findall(line)}
    kernel = [code for code in KernelCode if 1 <= code < 50]
    needed = {(code.value, code.name) for code in (*kernel, *(code for module in MODULES for code in module.codes))}
    assert shown == needed


@pytest.mark.parametrize("wrong", [
    "A.doctor access.request mei -> ok Requested number=2",
    "A.doctor access.request mei -> XL-0301 SUBJECT_NOT_FOUND",
    "A.doctor access.request mei -> never XL-0007 SIGNER_UNKNOWN",
    "A.doctor access.request mei -> ok Answered",
    "A.doctor access.request nobody -> ok Requested",
    "clock +1d -> ok Breached",
    "? live mei B g1 -> yes epoch=1",
])
def test_a_table_that_is_wrong_fails(wrong: str) -> None:
    section = runner.Section("a planted mistake", "none", [(1, "world furnished"), (2, wrong)])
    with pytest.raises((AssertionError, ValueError)):
        runner.run(section, MODULES)
