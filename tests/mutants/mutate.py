"""Small wrongs done to a module's source, one at a time: what a slip of the hand would write."""

import ast
import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

FLIPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
OTHERS = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """A wrong module: where it is wrong, what was written there and what is now, all its text."""

    path: str
    line: int
    before: str
    after: str
    text: str


def mutants(path: str, source: str) -> list[Mutant]:
    """Return every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    found = list[Mutant]()
    declared = _declared(tree)
    for place, node in enumerate(ast.walk(tree)):
        if node in declared:
            continue
        for nth, _ in enumerate(_wrongs(node)):
            other = copy.deepcopy(tree)
            target = next(n for i, n in enumerate(ast.walk(other)) if i == place)
            before = ast.unparse(target)
            _put(other, target, list(_wrongs(target))[nth])
            text = ast.unparse(ast.fix_missing_locations(other))
            changed = next(n for i, n in enumerate(ast.walk(other)) if i == place)
            line = getattr(node, "lineno", 0)
            found.append(Mutant(path, line, before, ast.unparse(changed), text))
    return sorted((m for m in found if m.before != m.after), key=lambda m: m.line)


def _declared(tree: ast.AST) -> set[ast.AST]:
    """Return what only declares how a class is made (frozen, by name): no rule lies in it."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {node for one in classes for word in one.keywords for node in ast.walk(word)}


def _put(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    """Put a node where another stands."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list):
                value[:] = [new if one is old else one for one in value]


def _changed(node: Any, **fields: Any) -> Any:
    made = copy.copy(node)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def _wrongs(node: ast.AST) -> Iterator[ast.AST]:
    """Give what could wrongly stand in a node's place."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in FLIPPED:
            yield _changed(node, ops=[FLIPPED[type(op)]()])
        case ast.Compare(ops=[_, *_]):
            for nth, op in enumerate(node.ops):
                ops: list[Any] = list(node.ops)
                ops[nth] = FLIPPED[type(op)]()
                yield _changed(node, ops=ops)
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op):
            if type(op) in FLIPPED:
                yield _changed(node, op=FLIPPED[type(op)]())
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield ast.Constant(int(str(node.value)) + 1)
        case _:
            yield from _wrong_parts(node)


def _wrong_parts(node: ast.AST) -> Iterator[ast.AST]:
    """Give what could wrongly stand in place of a list, a call or a branch."""
    match node:
        case ast.Set(elts=[_, _, *_]) | ast.List(elts=[_, _, *_]):
            for nth in range(len(node.elts)):
                yield _changed(node, elts=[one for n, one in enumerate(node.elts) if n != nth])
        case ast.Call(func=ast.Name(id=name), args=args):
            if name in OTHERS:
                yield _changed(node, func=ast.Name(OTHERS[name]))
            elif len(args) > 1:
                yield _changed(node, args=[args[1], args[0], *args[2:]])
        case ast.If() | ast.IfExp() | ast.While():
            for value in (True, False):
                yield _changed(node, test=ast.Constant(value))
        case ast.comprehension(ifs=[_, *_]):
            yield _changed(node, ifs=[])
        case _:
            yield from _wrong_steps(node)


def _wrong_steps(node: ast.AST) -> Iterator[ast.AST]:
    """Give what could wrongly stand in place of a statement."""
    match node:
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Assert() | ast.Raise() | ast.AugAssign():
            yield ast.Pass()
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case _:
            return
