"""What a mutant changes: one operator, number, keyword, call or statement of a source file.

Mutants are edits of the text, found in the syntax tree, so that the rest of a file stays as it is.
Annotations, docstrings, strings, messages of errors and what stands under ``TYPE_CHECKING`` are
left alone: a test that pins them would be in the way.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

COMPARED = {
    ast.Lt: ("<", ["<=", ">="]),
    ast.LtE: ("<=", ["<", ">"]),
    ast.Gt: (">", [">=", "<="]),
    ast.GtE: (">=", [">", "<"]),
    ast.Eq: ("==", ["!="]),
    ast.NotEq: ("!=", ["=="]),
    ast.Is: ("is", ["is not"]),
    ast.IsNot: ("is not", ["is"]),
    ast.In: ("in", ["not in"]),
    ast.NotIn: ("not in", ["in"]),
}
ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.MatMult: ("@", "*"),
}
_SWAPS = (
    *(("min", "max"), ("any", "all"), ("minimum", "maximum"), ("amin", "amax")),
    *(("argmin", "argmax"), ("mean", "sum"), ("zeros", "ones"), ("zeros_like", "ones_like")),
    *(("floor", "ceil"), ("clamp_min", "clamp_max"), ("bisect_left", "bisect_right")),
)
SWAPPED = dict(_SWAPS) | {b: a for a, b in _SWAPS}
# calls that give back something like what they are given
DROPPED = {"abs", "clamp", "clone", "deepcopy", "detach", "exp", "flip", "log", "neg", "permute"}
DROPPED |= {"reversed", "sigmoid", "sorted", "sqrt", "square", "tanh"}


@dataclass(frozen=True)
class Mutant:
    """One change of one file; ``before`` and ``after`` are the lines that it touches."""

    file: str
    line: int
    where: str  # the function, as Class.method
    before: str
    after: str
    start: int  # bytes that are replaced
    end: int
    text: str
    lines: tuple[int, int]  # of the statement: what a test must run to notice

    def apply(self, source: bytes) -> bytes:
        """The source with the change."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants_of(source: bytes, file: str) -> list[Mutant]:
    """All mutants of a file, in the order of its text."""
    found = list(_Finder(source, file).module())
    return sorted(set(found), key=lambda m: (m.start, m.end, m.text))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
    )


class _Finder:
    def __init__(self, source: bytes, file: str) -> None:
        self.source, self.file = source, file
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.names: list[str] = []
        self.statement: tuple[int, int] = (1, 1)

    def module(self) -> Iterator[Mutant]:
        """What there is to change, statement by statement."""
        yield from self._body(ast.parse(self.source).body)

    # --- places in the text

    def _begin(self, node: ast.AST) -> int:
        return self.starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.AST) -> int:
        return self.starts[node.end_lineno - 1] + node.end_col_offset

    def _mutant(self, start: int, end: int, text: str) -> Iterator[Mutant]:
        first = self.source.rfind(b"\n", 0, start) + 1
        last = self.source.find(b"\n", end)
        last = len(self.source) if last < 0 else last
        before = self.source[first:last].decode()
        after = (self.source[first:start] + text.encode() + self.source[end:last]).decode()
        if before != after:
            line = self.source.count(b"\n", 0, start) + 1
            shown = (" ".join(x.split()) for x in (before, after))
            names = ".".join(self.names)
            yield Mutant(self.file, line, names, *shown, start, end, text, self.statement)

    def _token(self, start: int, end: int, old: str, new: str) -> Iterator[Mutant]:
        """Exchanges the operator that stands between two operands."""
        pattern = r"\s+".join(map(re.escape, old.split())).encode()
        match = re.search(pattern, self.source[start:end])
        if match:
            yield from self._mutant(start + match.start(), start + match.end(), new)

    # --- statements

    def _body(self, statements: list[ast.stmt]) -> Iterator[Mutant]:
        for statement in statements:
            yield from self._statement(statement)

    def _statement(self, node: ast.stmt) -> Iterator[Mutant]:
        body = getattr(node, "body", None)
        last = node.end_lineno if not body else max(node.lineno, body[0].lineno - 1)
        self.statement = (node.lineno, last)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from self._definition(node)
            return
        if isinstance(node, (ast.Import, ast.ImportFrom)) or _is_type_checking(node):
            return
        yield from self._removed(node)
        if isinstance(node, ast.Raise):
            return
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and _target(node) == "__all__":
            return
        if isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
            old, new = ARITHMETIC[type(node.op)]
            yield from self._token(
                self._end(node.target), self._begin(node.value), old + "=", new + "="
            )
        if isinstance(node, ast.With) and all(i.optional_vars is None for i in node.items):
            end = self._end(node.items[-1].context_expr)
            colon = self.source.index(b":", end)
            yield from self._mutant(self._begin(node), colon, "if True")
        if isinstance(node, (ast.If, ast.While)):
            yield from self._negated(node.test)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "targets") or (name == "target" and body is None):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.stmt):
                    yield from self._statement(child)
                elif isinstance(child, (ast.ExceptHandler, ast.match_case)):
                    yield from self._body(child.body)
                elif isinstance(child, ast.withitem):
                    yield from self._expression(child.context_expr)
                elif isinstance(child, ast.expr):
                    yield from self._expression(child)

    def _definition(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ) -> Iterator[Mutant]:
        self.names.append(node.name)
        if not isinstance(node, ast.ClassDef):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                if default is not None:
                    yield from self._expression(default)
        yield from self._body(node.body)
        self.names.pop()

    def _removed(self, node: ast.stmt) -> Iterator[Mutant]:
        """Leaves a statement out, where names stay defined without it."""
        call = node.value if isinstance(node, ast.Expr) else None
        stored = isinstance(node, ast.AugAssign) or (
            isinstance(node, ast.Assign) and not isinstance(node.targets[0], (ast.Name, ast.Tuple))
        )
        simple = isinstance(node, (ast.Raise, ast.Break, ast.Continue, ast.Delete))
        first = isinstance(call, ast.Call) and "super().__init__" not in ast.unparse(call.func)
        if stored or simple or first:
            lines = node.end_lineno - node.lineno
            yield from self._mutant(self._begin(node), self._end(node), "pass" + "\n" * lines)

    # --- expressions

    def _negated(self, test: ast.expr) -> Iterator[Mutant]:
        if isinstance(test, ast.Compare) or (
            isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        ):
            return  # which has mutants of its own
        start, end = self._begin(test), self._end(test)
        yield from self._mutant(start, end, f"not ({self.source[start:end].decode()})")

    def _expression(self, node: ast.AST) -> Iterator[Mutant]:
        if isinstance(node, ast.JoinedStr):  # its parts have no places before Python 3.12
            return
        kind = getattr(self, f"_{type(node).__name__.lower()}", None)
        if kind is not None:
            yield from kind(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(node, ast.UnaryOp) and isinstance(child, ast.Constant):
                continue
            if isinstance(child, ast.comprehension):
                for test in child.ifs:
                    yield from self._negated(test)
            if not (isinstance(child, ast.keyword) and child.arg == "strict"):
                yield from self._expression(child)

    def _compare(self, node: ast.Compare) -> Iterator[Mutant]:
        operands = [node.left, *node.comparators]
        for i, op in enumerate(node.ops):
            old, news = COMPARED[type(op)]
            for new in news if len(node.ops) == 1 else news[:1]:
                between = self._end(operands[i]), self._begin(operands[i + 1])
                yield from self._token(*between, old, new)

    def _binop(self, node: ast.BinOp) -> Iterator[Mutant]:
        if type(node.op) in ARITHMETIC and not (_is_text(node.left) or _is_text(node.right)):
            old, new = ARITHMETIC[type(node.op)]
            yield from self._token(self._end(node.left), self._begin(node.right), old, new)

    def _boolop(self, node: ast.BoolOp) -> Iterator[Mutant]:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from self._token(self._end(left), self._begin(right), old, new)

    def _unaryop(self, node: ast.UnaryOp) -> Iterator[Mutant]:
        token = {ast.USub: "-", ast.Not: "not ", ast.Invert: "~"}.get(type(node.op))
        if token:
            start = self._begin(node)
            yield from self._mutant(start, start + len(token), "")

    def _ifexp(self, node: ast.IfExp) -> Iterator[Mutant]:
        yield from self._negated(node.test)

    def _constant(self, node: ast.Constant) -> Iterator[Mutant]:
        value = node.value
        if isinstance(value, bool):
            new = str(not value)
        elif isinstance(value, int):
            new = str(value + 1)
        elif isinstance(value, float):
            new = repr(value * 2 if value else 1.0)
        else:
            return
        yield from self._mutant(self._begin(node), self._end(node), new)

    def _call(self, node: ast.Call) -> Iterator[Mutant]:
        for keyword in node.keywords:
            if keyword.arg not in (None, "strict"):  # strict=True only finds errors of ours
                end = self._end(keyword)
                comma = re.match(rb"\s*,\s*", self.source[end:])
                end += comma.end() if comma else 0
                yield from self._mutant(self._begin(keyword), end, "")
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
        if name in SWAPPED:
            end = self._end(node.func)
            yield from self._mutant(end - len(name), end, SWAPPED[name])
        if name not in DROPPED:
            return
        modules = ("torch", "math", "copy", "np", "F")
        plain = not isinstance(node.func, ast.Attribute) or (
            isinstance(node.func.value, ast.Name) and node.func.value.id in modules
        )
        kept = (node.args[0] if node.args else None) if plain else node.func.value
        if kept is not None:
            text = self.source[self._begin(kept) : self._end(kept)].decode()
            yield from self._mutant(self._begin(node), self._end(node), f"({text})")


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return getattr(target, "id", "")


def _is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
