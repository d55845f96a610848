"""A matcher's expression as small predicates, for the part of Casbin's language that is certain.

Invariants:
* What is compiled cannot raise for a request whose values have the types in `needs`, so the order in
  which rules are tried is no part of the answer; whatever else Casbin's language can say is Unsupported.
* A predicate answers what Casbin's evaluator answers for the same request, rule and role graphs.
* `eval(p.rule)` is compiled once for each text, never executed as code.
"""

from __future__ import annotations

import ast
import ipaddress
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from aigov.access import matcher, patterns
from aigov.access.roles import Graph

Graphs = Mapping[str, Graph]
Fields = Sequence[str]
Test = Callable[[Sequence[Any], Fields, Graphs], bool]
Value = Callable[[Sequence[Any], Fields], Any]
TEXT, NUMBER, LIST, ANY = "text", "number", "list", "any"
_ORDERED: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip


class Unsupported(Exception):
    """An expression that only Casbin itself is sure to understand. The message says what it is."""


class Scope(msgspec.Struct, frozen=True):
    """What the names of one matcher stand for.

    `request`, `policy`: each name's place. `texts`, `lists`: the places of the request that always hold text,
    or a tuple of texts. `graphs`: the names of the role definitions.
    """

    request: Mapping[str, int]
    policy: Mapping[str, int]
    texts: frozenset[int]
    graphs: frozenset[str]
    lists: frozenset[int] = frozenset()


class Operand(msgspec.Struct, frozen=True):
    """A value in an expression: a request field, a rule field or a constant."""

    kind: str
    place: int = -1
    value: Any = None

    def read(self) -> Value:
        """The function that takes it from a request and a rule."""
        place, value = self.place, self.value
        if self.kind == "r":
            return lambda request, rule: request[place]
        if self.kind == "p":
            return lambda request, rule: rule[place]
        return lambda request, rule: value


class Terms:
    """Compiles the expressions of one matcher. `needs`: the type that each request place must have."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.needs: dict[int, str] = {**dict.fromkeys(scope.texts, TEXT), **dict.fromkeys(scope.lists, LIST)}
        self._patterns: dict[tuple[str, str], patterns.Match] = {}
        self._conditions: dict[str, Test] = {}

    def test(self, node: ast.expr) -> Test:
        """The predicate of a boolean expression. Raises Unsupported."""
        if isinstance(node, ast.BoolOp):
            return self._bool(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.test(node.operand)
            return lambda request, rule, graphs: not inner(request, rule, graphs)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self._call(node.func.id, node.args)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            answer = node.value
            return lambda request, rule, graphs: answer
        raise Unsupported(f"{_shown(node)} is no comparison that is compiled")

    def operand(self, node: ast.expr) -> Operand:
        """What a name or constant stands for. Raises Unsupported for anything else."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
            return Operand("c", value=node.value)
        if isinstance(node, ast.Name) and node.id in self.scope.request:
            return Operand("r", self.scope.request[node.id])
        if isinstance(node, ast.Name) and node.id in self.scope.policy:
            return Operand("p", self.scope.policy[node.id])
        raise Unsupported(f"{_shown(node)} is no field or constant")

    def prepare(self, tree: ast.expr, rules: Sequence[Fields]) -> None:
        """Compile the patterns and conditions that rules bring. Raises Unsupported at the first that is bad."""
        for node in ast.walk(tree):
            name = _name(node.func) if isinstance(node, ast.Call) else ""
            if name in matcher.PATTERN_FUNCTIONS - {"ipMatch"} and len(node.args) == 2:  # type: ignore[attr-defined]
                held = self.operand(node.args[1])  # type: ignore[attr-defined]
                for text in {rule[held.place] for rule in rules} if held.kind == "p" else {held.value}:
                    self.pattern(name, text)
            elif name == "eval" and len(node.args) == 1:  # type: ignore[attr-defined]
                self._prepare_conditions(self.operand(node.args[0]), rules)  # type: ignore[attr-defined]

    def _prepare_conditions(self, held: Operand, rules: Sequence[Fields]) -> None:
        """Compile each condition once, and for every rule the patterns that its condition asks for."""
        groups: dict[str, list[Fields]] = {}
        for rule in rules if held.kind == "p" else ():
            groups.setdefault(rule[held.place], []).append(rule)
        for text, those in groups.items():
            tree = _alone(text)
            self.prepare(tree, those)
            if text not in self._conditions:
                self._conditions[text] = self.test(tree)

    def pattern(self, function: str, text: str) -> patterns.Match:
        """A pattern's predicate, compiled once. Raises Unsupported."""
        found = self._patterns.get((function, text))
        if found is None:
            problem = ""
            try:
                found = self._patterns[function, text] = patterns.compiled(function, text)
            except patterns.BadPattern as error:
                problem = str(error)
            if found is None:
                raise Unsupported(f"a pattern of {function} is {problem}")
        return found

    def _bool(self, node: ast.BoolOp) -> Test:
        tests = [self.test(each) for each in node.values]
        if isinstance(node.op, ast.And):
            return lambda request, rule, graphs: all(test(request, rule, graphs) for test in tests)
        return lambda request, rule, graphs: any(test(request, rule, graphs) for test in tests)

    def _compare(self, node: ast.Compare) -> Test:
        """One comparison, or a chain of them, each side a field or a constant."""
        sides = [node.left, *node.comparators]
        tests = [self._pair(op, sides[at], sides[at + 1]) for at, op in enumerate(node.ops)]
        if len(tests) == 1:
            return tests[0]
        return lambda request, rule, graphs: all(test(request, rule, graphs) for test in tests)

    def _pair(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Test:
        if isinstance(op, ast.In | ast.NotIn):
            return self._member(left, right, isinstance(op, ast.In))
        one, other = self.operand(left), self.operand(right)
        first, second = one.read(), other.read()
        if isinstance(op, ast.Eq):
            return lambda request, rule, graphs: first(request, rule) == second(request, rule)
        if isinstance(op, ast.NotEq):
            return lambda request, rule, graphs: first(request, rule) != second(request, rule)
        compare = _ORDERED.get(type(op))
        if compare is None:
            raise Unsupported(f"the comparison {type(op).__name__}")
        self._same_kind(one, other)
        return lambda request, rule, graphs: compare(first(request, rule), second(request, rule))

    def _member(self, left: ast.expr, right: ast.expr, wanted: bool) -> Test:
        """`x in ("a", p.b)`, `x in y` with two texts, or with a request field that holds a list."""
        one = self.operand(left).read()
        if isinstance(right, ast.Tuple | ast.List):
            values = [self.operand(each).read() for each in right.elts]
            return lambda request, rule, graphs: (
                (one(request, rule) in [value(request, rule) for value in values]) is wanted
            )
        held = self.operand(right)
        if held.kind != "r" or self._kind(held) != LIST:
            for side in (left, right):
                self._text(self.operand(side))
        other = held.read()
        return lambda request, rule, graphs: (one(request, rule) in other(request, rule)) is wanted

    def _same_kind(self, one: Operand, other: Operand) -> None:
        """`<` compares two numbers or two texts; a request field is what the other side is."""
        for given, beside in ((one, other), (other, one)):
            if given.kind == "r" and self._kind(beside) != ANY:
                self._need(given.place, self._kind(beside))
        if self._kind(one) != self._kind(other) or self._kind(one) == ANY:
            raise Unsupported("an order between a number and a text, or between who knows what")

    def _kind(self, given: Operand) -> str:
        if given.kind == "r":
            return self.needs.get(given.place, ANY)
        return NUMBER if given.kind == "c" and not isinstance(given.value, str) else TEXT

    def _text(self, given: Operand) -> None:
        if given.kind == "r":
            self._need(given.place, TEXT)
        elif given.kind == "c" and not isinstance(given.value, str):
            raise Unsupported("a function of text that is given a number")

    def _need(self, place: int, kind: str) -> None:
        if self.needs.setdefault(place, kind) != kind:
            raise Unsupported("a request field that has to be a text and a number")

    def _call(self, name: str, args: Sequence[ast.expr]) -> Test:
        if name == "eval" and len(args) == 1:
            return self._evaluated(self.operand(args[0]))  # its text was compiled by `prepare`
        if name in self.scope.graphs:
            return self._has_role(name, [self.operand(each) for each in args])
        if name == "ipMatch" or name not in matcher.PATTERN_FUNCTIONS or len(args) != 2:
            raise Unsupported(f"`{name[:40]}` in this place")
        return self._matches(name, self.operand(args[0]), self.operand(args[1]))

    def _evaluated(self, held: Operand) -> Test:
        if held.kind != "p":
            raise Unsupported("an eval() of something else than a rule's field")
        place, conditions = held.place, self._conditions
        return lambda request, rule, graphs: conditions[rule[place]](request, rule, graphs)

    def in_network(self, given: Operand, network: Operand) -> Test:
        """ipMatch, where a request that holds no address can only be refused: pycasbin raises there."""
        self._text(given)
        self._text(network)
        if network.kind == "r":
            raise Unsupported("a network that the request brings")
        text, held = given.read(), network.read()
        return lambda request, rule, graphs: _in_network(text(request, rule), held(request, rule))

    def _has_role(self, name: str, args: Sequence[Operand]) -> Test:
        if len(args) not in (2, 3):
            raise Unsupported(f"`{name}` with {len(args)} arguments")
        for each in args:
            self._text(each)
        one, role = args[0].read(), args[1].read()
        tenant = args[2].read() if len(args) == 3 else Operand("c", value="").read()
        return lambda request, rule, graphs: (
            role(request, rule) in graphs[name].reach(one(request, rule), tenant(request, rule))
        )

    def _matches(self, name: str, given: Operand, pattern: Operand) -> Test:
        self._text(given)
        self._text(pattern)
        if pattern.kind == "r":
            raise Unsupported("a pattern that the request brings")
        text, known, held = given.read(), self._patterns, pattern.read()
        return lambda request, rule, graphs: known[name, held(request, rule)](text(request, rule))


def _in_network(text: str, network: str) -> bool:
    """Whether an address lies in a network; no where either is none."""
    try:
        return ipaddress.ip_address(text) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _alone(text: str) -> ast.expr:
    """A condition's tree, sure to be the same in brackets inside of a matcher. Raises Unsupported."""
    found = None
    if "#" not in text:
        try:
            found = matcher.tree(text)
        except matcher.Unreadable:
            found = None
    if found is None:
        raise Unsupported("a condition that is no expression by itself")
    if any(isinstance(each, ast.Call) and _name(each.func) == "eval" for each in ast.walk(found)):
        raise Unsupported("a condition that asks for another condition")
    return found


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _shown(node: ast.expr) -> str:
    """What an expression is, for a reason that people read; never its text."""
    if isinstance(node, ast.Attribute):
        return "an attribute of a field"
    if isinstance(node, ast.Call):
        return f"a call of `{_name(node.func)[:40]}`" if _name(node.func) else "a call"
    return f"a {type(node).__name__}"
