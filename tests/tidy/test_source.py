import ast
import re

import pytest

from tidy import rules
from tidy.tree import SOURCE, committed, sources, text_of

ON_CHAIN = ("base", "kernel", "modules")

# function -> why its depth is not chosen by input
RECURSION_ALLOWED = {
    "base/codec.py _check": "runs when a module registers; as deep as our own types",
}
# file -> why it is longer than 600 lines
LONG_ALLOWED: dict[str, str] = {}
OPEN_ENDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def test_on_chain_code_is_integer_ordered_and_clockless() -> None:
    found = [f"{name}:{what}" for name, tree in sources(*ON_CHAIN) for what in rules.onchain(tree)]
    assert not found, "\n".join(found)


def test_no_module_writes_the_kernels_tables_but_through_its_functions() -> None:
    found = [f"{name}:{what}" for name, tree in sources("modules") for what in rules.reaches_inside(tree)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("planted", [
    "ctx.kernel(ACCOUNTS).put((who,), row)", "write = ctx.kernel", "ctx._overlay.put(ACCOUNTS, key, row)",
    "getattr(ctx, 'ker' + 'nel')(ACCOUNTS)", "from xinglin.kernel.state import Context, Handle"])
def test_a_planted_way_around_the_kernels_functions_is_caught(planted: str) -> None:
    assert list(rules.reaches_inside(ast.parse(planted)))


def test_on_chain_code_does_not_recurse() -> None:
    found = [f"{name} {what}" for name, tree in sources(*ON_CHAIN) for what in rules.recursion(tree)
             if f"{name} {what.partition(':')[0]}" not in RECURSION_ALLOWED]
    assert not found, "\n".join(found)


def test_no_source_asserts_or_swallows_an_error() -> None:
    found = [f"{name}:{what}" for name, tree in sources() for what in rules.anywhere(tree)]
    assert not found, "\n".join(found)


def test_no_source_has_an_open_end() -> None:
    found = [str(path) for path in committed() if path.suffix == ".py" and path.name != "test_source.py"
             and OPEN_ENDS.search(text_of(path))]
    assert not found, "an open end becomes an issue: " + ", ".join(found)


def unused(trees: list[tuple[str, ast.Module]]) -> list[str]:
    """Limits and codes that no source reads. Zero is no refusal: it is what is there when none is."""
    declared = [name for file, tree in trees if file == "base/limits.py" for name in rules.assigned(tree.body)]
    declared += [f"{class_.name}.{name}" for _, tree in trees for class_ in rules.classes_of_codes(tree)
                 for name in rules.assigned(class_.body)]
    read = {name for _, tree in trees for name in rules.used(tree)} | {"KernelCode.OK"}
    return [name for name in declared if name not in read]


def test_every_limit_and_every_code_is_used() -> None:
    found = unused(list(sources()))
    assert not found, "remove them; a code's number stays free: " + ", ".join(found)


def test_a_planted_limit_or_code_that_nothing_reads_is_caught() -> None:
    limits = ast.parse("ROWS_MAX = 3\nKEYS_MAX = 4\nALL_MAX = ROWS_MAX + 1")
    code = ast.parse("class Refusal(Code):\n    GONE = 1\n    LATE = 2\nrefuse(Refusal.LATE)\nx = KEYS_MAX")
    assert unused([("base/limits.py", limits), ("modules/x.py", code)]) == ["ALL_MAX", "Refusal.GONE"]


def test_a_file_of_more_than_600_lines_has_a_reason() -> None:
    lines = {name: text_of(SOURCE / name).count("\n") for name, _ in sources()}
    found = [f"{name}: {count}" for name, count in lines.items() if count > 600 and name not in LONG_ALLOWED]
    assert not found, "split it, or give its reason in LONG_ALLOWED: " + ", ".join(found)


@pytest.mark.parametrize("planted", [
    "x = 1.5",
    "x = 3 / 2",
    "x /= 2",
    "def f(x: float): ...",
    "x = hash(b'')",
    "x = id(x)",
    "x = open('f')",
    "print(1)",
    "eval('1')",
    "exec('1')",
    "x = round(5)",
    "x = 'İ'.lower()",
    "x = name.isidentifier()",
    "async def f(): ...",
    "def f():\n    global x\n    x = 1",
    "try: ...\nexcept Exception as e:\n    raise Broken from e",
    "for x in {1, 2}: ...",
    "for x in set(rows): ...",
    "x = [y for y in {z for z in rows}]",
    "x = tuple(frozenset(rows))",
    "x = b''.join({b'a', b'b'})",
    "x = (*{1, 2},)",
    "x = {1, 2}.pop()",
    "x = list(set(a) - set(b))",
    "def f(seen: set[int]):\n    for x in seen: ...",
    "def f():\n    seen = set()\n    return [x for x in seen]",
    "def f():\n    seen: set[int] = g()\n    yield from seen",
])
def test_a_planted_breach_of_determinism_is_caught(planted: str) -> None:
    assert list(rules.onchain(ast.parse(planted)))


@pytest.mark.parametrize("harmless", [
    "x = 7 // 2",
    "x = 5 in {1, 2}",
    "for x in sorted({1, 2}): ...",
    "x = len(set(rows)) == len(rows)",
    "def f(seen: set[int]):\n    seen.add(1)\n    return sorted(seen)",
    "for x in {1: 2}: ...",
    "x = rows.pop()",
])
def test_ordered_integer_code_passes(harmless: str) -> None:
    assert not list(rules.onchain(ast.parse(harmless)))


@pytest.mark.parametrize("planted", [
    "def f(n):\n    return f(n - 1)",
    "def f(n):\n    return g(n)\ndef g(n):\n    return f(n)",
    "class A:\n    def f(self):\n        return self.g()\n    def g(self):\n        return self.f()",
])
def test_planted_recursion_is_caught(planted: str) -> None:
    assert list(rules.recursion(ast.parse(planted)))


def test_a_call_of_another_function_is_not_recursion() -> None:
    assert not list(rules.recursion(ast.parse("def f(n):\n    return g(n)\ndef g(n):\n    return n.f()")))


@pytest.mark.parametrize("planted", [
    "assert x",
    "try: ...\nexcept: ...",
    "try: ...\nexcept Exception: ...",
    "try: ...\nexcept (ValueError, BaseException) as e: ...",
])
def test_a_planted_assert_or_catch_all_is_caught(planted: str) -> None:
    assert list(rules.anywhere(ast.parse(planted)))


@pytest.mark.parametrize("harmless", [
    "try: ...\nexcept (ValueError, OSError): ...",
    "try: ...\nexcept BaseException:\n    undo()\n    raise",
    "try: ...\nexcept Exception as e:\n    raise named(e) from e",
])
def test_catching_a_named_error_or_raising_on_passes(harmless: str) -> None:
    assert not list(rules.anywhere(ast.parse(harmless)))


def test_a_planted_open_end_is_caught() -> None:
    assert OPEN_ENDS.search("x = 1  # TODO: finish")
    assert not OPEN_ENDS.search("# Limit: R4 only, see #123.")
