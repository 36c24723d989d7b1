"""One small change at a time to a module's source: what a slip of the hand would be. All of them, in order.

Left alone: words (docstrings, messages), annotations, decorators, `__all__`. A change that gives the same code is none.
"""

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

COMPARE = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
           ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
              ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
              ast.BitXor: ast.BitAnd}
BOOLEAN = {ast.And: ast.Or, ast.Or: ast.And}


class Mutant(NamedTuple):
    number: int
    line: int
    what: str                      # "`a < b` -> `a <= b`"
    source: str


def mutants(source: str) -> list[Mutant]:
    tree = ast.parse(source)
    before = ast.unparse(tree)
    found: list[Mutant] = []
    for path in _places(tree):
        node = _at(tree, path)
        for changed in _changes(node):
            copied = copy.deepcopy(tree)
            if path:
                _put(copied, path, changed)
            text = ast.unparse(ast.fix_missing_locations(copied))
            if text != before:
                what = f"`{_short(node)}` -> `{_short(changed)}`"
                found.append(Mutant(len(found), getattr(node, "lineno", 0), what, text))
    return found


Path = tuple[tuple[str, int], ...]


def _places(tree: ast.AST) -> Iterator[Path]:
    """Every node that is code, by its way from the root."""
    todo: list[tuple[Path, ast.AST]] = [((), tree)]
    while todo:
        path, node = todo.pop()
        yield path
        below: list[tuple[Path, ast.AST]] = []
        for name, value in ast.iter_fields(node):
            if _is_words(node, name):
                continue
            if isinstance(value, ast.AST):
                below.append(((*path, (name, -1)), value))
            elif isinstance(value, list):
                below += [((*path, (name, at)), one) for at, one in enumerate(value) if isinstance(one, ast.AST)
                          and not _is_aside(one)]
        todo += reversed(below)


def _is_words(node: ast.AST, field: str) -> bool:
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and field in ("decorator_list", "returns", "args", "bases",
                                                                      "keywords"):
        return True
    return field == "annotation" or isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Subscript)
                                                                       and isinstance(node.value, ast.Name)
                                                                       and node.value.id == "Annotated")


def _is_aside(node: ast.AST) -> bool:
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    listed = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in (
        "__all__", "T", "M", "R")
    typing = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    alias = isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp) and isinstance(
        node.targets[0], ast.Name) and node.targets[0].id[:1].isupper() and not node.targets[0].id.isupper()
    return docstring or listed or typing or alias or isinstance(node, ast.Import | ast.ImportFrom)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=right):
            for at, op in enumerate(ops):
                if type(op) in COMPARE:
                    yield ast.Compare(left, [*ops[:at], COMPARE[type(op)](), *ops[at + 1:]], right)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            yield ast.BinOp(left, ARITHMETIC[type(op)](), right)
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in ARITHMETIC:
            yield ast.AugAssign(target, ARITHMETIC[type(op)](), value)
            yield ast.Pass()
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(BOOLEAN[type(op)](), values)
            if len(values) > 2:
                yield from (ast.BoolOp(op, [*values[:at], *values[at + 1:]]) for at in range(len(values)))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(value=bytes() as value):
            yield ast.Constant(value + b"?")
        case ast.If(test=test, body=body, orelse=orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
            yield ast.If(ast.Constant(False), body, orelse)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield ast.IfExp(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Return(value=ast.AST() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise():
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.comprehension(target=target, iter=source, ifs=ifs) if ifs:
            yield ast.comprehension(target, source, [], node.is_async)


def _at(tree: ast.AST, path: Path) -> ast.AST:
    node = tree
    for name, at in path:
        value = getattr(node, name)
        node = value if at < 0 else value[at]
    return node


def _put(tree: ast.AST, path: Path, changed: ast.AST) -> None:
    *way, (name, at) = path
    node = _at(tree, tuple(way))
    if at < 0:
        setattr(node, name, changed)
    else:
        getattr(node, name)[at] = changed


def _short(node: ast.AST) -> str:
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))) if not isinstance(node, ast.comprehension) else (
        "for ... " + " ".join(f"if {ast.unparse(one)}" for one in node.ifs))
    return " ".join(text.splitlines()[0].split())[:90]
