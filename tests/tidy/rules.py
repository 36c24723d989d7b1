"""What must not stand in the source, as functions of its syntax tree. Each yields "line: what"."""

import ast
from collections.abc import Iterator

# Their answer depends on the interpreter, the machine, a file or a Unicode table.
BANNED_CALLS = {
    "breakpoint", "compile", "eval", "exec", "float", "globals", "hash", "id", "input", "locals",
    "open", "print", "round", "vars", "__import__",
}
BANNED_METHODS = {
    "casefold", "isalnum", "isalpha", "isdecimal", "isdigit", "isidentifier", "isnumeric",
    "isprintable", "isspace", "lower", "swapcase", "title", "upper",
}
ORDERED = {"sorted", "len", "min", "max", "any", "all", "sum", "set", "frozenset", "bool"}
CATCH_ALL = {"Exception", "BaseException"}


def onchain(tree: ast.Module) -> Iterator[str]:
    """On-chain code is integer, ordered and clockless."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float() | complex()):
                yield f"{node.lineno}: a float"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield f"{node.lineno}: / makes a float"
            case ast.Name(id="float", ctx=ast.Load()):
                yield f"{node.lineno}: float"
            case ast.Call(func=ast.Name(id=name)) if name in BANNED_CALLS:
                yield f"{node.lineno}: {name}()"
            case ast.Call(func=ast.Attribute(attr=name)) if name in BANNED_METHODS:
                yield f"{node.lineno}: .{name}() reads a Unicode table"
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield f"{node.lineno}: async"
            case ast.Global():
                yield f"{node.lineno}: global state"
            case ast.ExceptHandler() if _catches_all(node):
                yield f"{node.lineno}: catches everything"
    yield from set_iteration(tree)


def reaches_inside(tree: ast.Module) -> Iterator[str]:
    """A module writes the kernel's tables through the kernel's functions alone, and looks inside nothing of others'."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="kernel"):
                yield f"{node.lineno}: .kernel"
            case ast.Attribute(attr=name) if name.startswith("_"):
                yield f"{node.lineno}: .{name}"
            case ast.Call(func=ast.Name(id="getattr" | "setattr" as name)) if not (
                    len(node.args) > 1 and isinstance(node.args[1], ast.Constant)):
                yield f"{node.lineno}: {name}() of what is not written down"
            case ast.ImportFrom(module=str(module), names=names) if module.startswith("xinglin.kernel.") and (
                    set(one.name for one in names) & {"Handle", "Overlay"}):
                yield f"{node.lineno}: makes handles of its own"


def set_iteration(tree: ast.Module) -> Iterator[str]:
    """A set may be asked whether it holds something, never walked through unsorted."""
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.FunctionDef | ast.Module):
            continue
        sets = _names_of_sets(scope)
        for node in _own_nodes(scope):
            for walked in _walked(node):
                if _is_set(walked, sets):
                    yield f"{walked.lineno}: walks through a set"


def _walked(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.For(iter=walked) | ast.comprehension(iter=walked) | ast.Starred(value=walked):
            return [walked]
        case ast.YieldFrom(value=walked):
            return [walked]
        case ast.Call(func=ast.Name(id=name), args=args) if name not in ORDERED:
            return args if name in ("tuple", "list", "iter", "enumerate", "zip", "map", "filter",
                                    "next", "reversed", "dict") else []
        case ast.Call(func=ast.Attribute(attr="join" | "extend" | "fromkeys"), args=args):
            return args
        case ast.Call(func=ast.Attribute(attr="pop", value=value), args=[]):
            return [value]
    return []


def _is_set(node: ast.expr, names: set[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Name(id=name):
            return name in names
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
            return _is_set(left, names) or _is_set(right, names)
    return False


def _names_of_sets(scope: ast.FunctionDef | ast.Module) -> set[str]:
    names: set[str] = set()
    if isinstance(scope, ast.FunctionDef):
        arguments = (*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs)
        names |= {a.arg for a in arguments if a.annotation and _says_set(a.annotation)}
    for node in _own_nodes(scope):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_set(value, names):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind) if _says_set(kind):
                names.add(name)
    return names


def _says_set(annotation: ast.expr) -> bool:
    return ast.unparse(annotation).partition("[")[0] in ("set", "frozenset", "Set", "AbstractSet")


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """All below `scope` but the insides of functions in it."""
    todo = list(ast.iter_child_nodes(scope))
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo.extend(ast.iter_child_nodes(node))


def recursion(tree: ast.Module) -> Iterator[str]:
    """Functions of one file that reach themselves: input would choose the depth."""
    calls = {name: _called(function, owner) for name, (function, owner) in _functions(tree).items()}
    for name in calls:
        seen: set[str] = set()
        todo = list(calls[name])
        while todo:
            called = todo.pop()
            if called == name:
                yield f"{name}: calls itself"
                break
            if called in calls and called not in seen:
                seen.add(called)
                todo.extend(calls[called])


def _functions(tree: ast.Module) -> dict[str, tuple[ast.FunctionDef, str]]:
    found: dict[str, tuple[ast.FunctionDef, str]] = {}
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name):
                found[name] = (node, "")
            case ast.ClassDef(name=owner, body=body):
                found |= {f"{owner}.{f.name}": (f, owner) for f in body if isinstance(f, ast.FunctionDef)}
    return found


def _called(function: ast.FunctionDef, owner: str) -> set[str]:
    called: set[str] = set()
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Name(id=name)):
                called.add(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name)):
                called.add(f"{owner}.{name}")
    return called


def anywhere(tree: ast.Module) -> Iterator[str]:
    """In no source file, on chain or off: `-O` strips assert, and a swallowed error hides a bug.

    A handler that ends by raising swallows nothing: it cleans up, or gives a foreign error a name.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Assert():
                yield f"{node.lineno}: assert; use invariant() or require()"
            case ast.ExceptHandler() if _catches_all(node) and not isinstance(node.body[-1], ast.Raise):
                yield f"{node.lineno}: catches everything and goes on"


def _catches_all(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return bool(CATCH_ALL & {name.id for name in ast.walk(handler.type) if isinstance(name, ast.Name)})


def codes(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """(name, number) of every code: the members of a class whose base is Code."""
    for class_ in classes_of_codes(tree):
        for line in class_.body:
            match line:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(number))):
                    yield name, number


def classes_of_codes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and "Code" in (ast.unparse(base).rpartition(".")[2] for base in node.bases):
            yield node


def assigned(body: list[ast.stmt]) -> list[str]:
    return [target.id for line in body if isinstance(line, ast.Assign)
            for target in line.targets if isinstance(target, ast.Name)]


def used(tree: ast.Module) -> Iterator[str]:
    """What is read: a name, and a member with its class: "FOUNDERS_MAX", "KernelCode.TX_EXPIRED"."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                yield name
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name):
                yield f"{owner}.{name}"
