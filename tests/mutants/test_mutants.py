"""MUT: the tool makes the changes it says it makes; before a release, the tests notice 85 in a hundred of them."""

import ast

import pytest

from mutants.change import mutants
from mutants.run import TARGETS, WORK, figures, known, run

SHARE = 0.85

SOURCE = '''
"""Words 1 < 2."""
LIMIT: Annotated[int, Meta(le=5)] = 7

@decorated(1)
def rule(ctx, at=1):
    """Words."""
    if ctx.a < LIMIT and not ctx.b:
        refuse(Code.NO, have=f"{at + 1}")
    total = sum([one for one in ctx.some if one])
    total += 1
    return total == 3 or b"x"
'''


def test_each_change_is_small_and_of_code_alone() -> None:
    assert [mutant.what for mutant in mutants(SOURCE)] == [
        "`7` -> `8`", "`if ctx.a < LIMIT and (not ctx.b):` -> `if not (ctx.a < LIMIT and (not ctx.b)):`",
        "`if ctx.a < LIMIT and (not ctx.b):` -> `if False:`",
        "`ctx.a < LIMIT and (not ctx.b)` -> `ctx.a < LIMIT or not ctx.b`", "`ctx.a < LIMIT` -> `ctx.a <= LIMIT`",
        "`not ctx.b` -> `ctx.b`", "`refuse(Code.NO, have=f'{at + 1}')` -> `pass`",
        "`for ... if one` -> `for ...`", "`total += 1` -> `total -= 1`", "`total += 1` -> `pass`", "`1` -> `2`",
        "`return total == 3 or b'x'` -> `return None`", "`total == 3 or b'x'` -> `total == 3 and b'x'`",
        "`total == 3` -> `total != 3`", "`3` -> `4`",
        "`b'x'` -> `b'x?'`"]


@pytest.mark.parametrize("name", ["codec", "consent"])
def test_every_mutant_of_a_target_is_another_module_that_compiles(name: str) -> None:
    source = (WORK / TARGETS[name].file).read_text("utf-8")
    found = mutants(source)
    assert len(found) > 40
    texts = {mutant.source for mutant in found}
    assert ast.unparse(ast.parse(source)) not in texts
    for text in texts:
        compile(text, name, "exec")


@pytest.mark.release
@pytest.mark.parametrize("name", TARGETS)
def test_the_tests_notice_85_of_a_hundred_changes(name: str) -> None:
    """Goes on where an earlier run stopped: docs/evidence/MUT.jsonl. Survivors stand in docs/evidence/mutation.md."""
    run(name)
    total, tried, killed = figures(name, known(name))
    assert tried == total and killed >= SHARE * total
