"""How to find the rules that a request can match without trying each: a matcher as an index plan.

A matcher is read as branches (`a || b`) of conditions that must all hold (`c && d`). A condition that
ties one rule field to the request is a way to look rules up; the rest is tested on what was found.

Invariants:
* A look-up never misses a rule that the matcher would match; what it finds too much is tested away.
* Every condition of a branch is tested, or is exactly what the look-up asked.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from aigov.access import patterns
from aigov.access.terms import Graphs, Operand, Terms, Test, Unsupported

Key = str | tuple[str]
Lengths = tuple[int, ...]


class Lookup(msgspec.Struct, frozen=True):
    """A condition that several keys of a request can answer: a role, a pattern, one of both.

    `place`: the rule field it ties. `keys`: under what a rule with that value is found. `probes`: what
    to look under for a request, given the lengths that beginnings have.
    """

    place: int
    keys: Callable[[str], tuple[Key, ...]]
    probes: Callable[[Sequence[Any], Graphs, Lengths], Iterable[Key]]


class Branch(msgspec.Struct, frozen=True):
    """One alternative of a matcher.

    `always`: conditions on the rule alone, decided when it is indexed. `first`: conditions on the
    request alone. `exact`: pairs of a rule field and the request value that it must equal. `lookups`,
    best first. `tests`: what is tried on each rule found.
    """

    always: tuple[Test, ...]
    first: tuple[Test, ...]
    exact: tuple[tuple[int, int], ...]
    lookups: tuple[Lookup, ...]
    tests: tuple[Test, ...]


def branches(tree: ast.expr, terms: Terms) -> tuple[Branch, ...]:
    """The alternatives of a matcher. Raises Unsupported."""
    found = parts(tree, ast.Or)
    if len(found) > 1 and any(_is_call(node, "ipMatch") for node in ast.walk(tree)):
        # pycasbin raises where a request holds no address; which rule it reaches first decides.
        raise Unsupported("ipMatch beside `||`")
    return tuple(_branch(parts(each, ast.And), terms) for each in found)


def lengths(lookup: Lookup, values: Iterable[str]) -> Lengths:
    """The lengths of the beginnings under which these values are found."""
    return tuple(sorted({len(key[0]) for value in values for key in lookup.keys(value) if isinstance(key, tuple)}))


def _branch(conditions: Sequence[ast.expr], terms: Terms) -> Branch:
    always: list[Test] = []
    first: list[Test] = []
    exact: list[tuple[int, int]] = []
    lookups: list[Lookup] = []
    tests: list[Test] = []
    same = _ties(conditions, terms)
    for node in conditions:
        used = _used(node, terms)
        test = test_of(node, terms)
        tie = _tie(node, terms)
        if "r" not in used and "g" not in used:
            always.append(test)
        elif "p" not in used:
            first.append(test)
        elif tie:
            exact.append(tie)
        else:
            tests.append(test)
            lookup = _lookup(node, terms, same)
            if lookup:
                lookups.append(lookup)
    return Branch(tuple(always), tuple(first), tuple(exact), tuple(lookups), tuple(tests))


def parts(node: ast.expr, kind: type[ast.boolop]) -> list[ast.expr]:
    """The operands of nested `&&` or `||`, flat."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, kind):
        return [part for each in node.values for part in parts(each, kind)]
    return [node]


def test_of(node: ast.expr, terms: Terms) -> Test:
    """The predicate of one condition of a conjunction."""
    if _is_call(node, "ipMatch"):
        args = node.args  # type: ignore[attr-defined]
        return terms.in_network(terms.operand(args[0]), terms.operand(args[1]))
    return terms.test(node)


def _used(node: ast.expr, terms: Terms) -> set[str]:
    """What a condition looks at: the request (`r`), the rule (`p`), a role graph (`g`)."""
    found = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            found |= {"r"} if each.id in terms.scope.request else set()
            found |= {"p"} if each.id in terms.scope.policy else set()
            found |= {"g"} if each.id in terms.scope.graphs else set()
        if _is_call(each, "eval"):
            found |= {"r", "p"}
    return found


def _tie(node: ast.expr, terms: Terms) -> tuple[int, int] | None:
    """`r.x == p.y`, either way round, as the places of y and x."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
        sides = {side.kind: side.place for side in (terms.operand(node.left), terms.operand(node.comparators[0]))}
        if set(sides) == {"r", "p"}:
            return sides["p"], sides["r"]
    return None


def _ties(conditions: Sequence[ast.expr], terms: Terms) -> Mapping[int, int]:
    """Rule fields that must equal a request field, so that one may stand for the other."""
    return dict(tie for node in conditions if (tie := _tie(node, terms)))


def _lookup(node: ast.expr, terms: Terms, same: Mapping[int, int]) -> Lookup | None:
    """A way to find the rules for which a condition can hold, or None."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        found = [_lookup(each, terms, same) for each in parts(node, ast.Or)]
        places = {each.place if each else None for each in found}
        return _either([each for each in found if each]) if len(places) == 1 and None not in places else None
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
        return _equal(terms.operand(node.left), terms.operand(node.comparators[0]))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) in (2, 3):
        if node.func.id in terms.scope.graphs:
            return _role(node.func.id, [terms.operand(each) for each in node.args], same)
        if len(node.args) == 2 and node.func.id not in ("ipMatch", "eval"):
            return _pattern(node.func.id, terms.operand(node.args[0]), terms.operand(node.args[1]))
    return None


def _equal(one: Operand, other: Operand) -> Lookup | None:
    """`p.y == r.x` or `p.y == "constant"`."""
    sides = {one.kind: one, other.kind: other}
    if len(sides) < 2 or "p" not in sides:
        return None
    value = next(side for kind, side in sides.items() if kind != "p").read()
    return Lookup(sides["p"].place, _itself, lambda request, graphs, lengths: (value(request, ()),))


def _role(name: str, args: Sequence[Operand], same: Mapping[int, int]) -> Lookup | None:
    """`g(r.x, p.y)` or `g(r.x, p.y, tenant)` where the request says which tenant."""
    who, role = args[0], args[1]
    tenant = args[2] if len(args) == 3 else Operand("c", value="")
    if tenant.kind == "p" and tenant.place in same:
        tenant = Operand("r", same[tenant.place])
    if who.kind == "p" or role.kind != "p" or tenant.kind == "p":
        return None
    one, where = who.read(), tenant.read()
    return Lookup(
        role.place, _itself, lambda request, graphs, lengths: graphs[name].reach(one(request, ()), where(request, ()))
    )


def _pattern(function: str, given: Operand, pattern: Operand) -> Lookup | None:
    """`keyMatch(r.x, p.y)` and the like, by what the pattern begins with."""
    if given.kind == "p" or pattern.kind != "p":
        return None
    value = given.read()

    def probes(request: Sequence[Any], graphs: Graphs, lengths: Lengths) -> Iterable[Key]:
        text = patterns.folded(function, value(request, ()))
        found: list[Key] = [(text[:length],) for length in lengths if length <= len(text)]
        if function == "keyMatch":
            found.append(text)
        return found

    return Lookup(pattern.place, _key_match_keys if function == "keyMatch" else _beginning_keys(function), probes)


def _either(found: Sequence[Lookup]) -> Lookup:
    """What any of several look-ups on one field finds."""

    def keys(value: str) -> tuple[Key, ...]:
        return tuple(dict.fromkeys(key for each in found for key in each.keys(value)))

    def probes(request: Sequence[Any], graphs: Graphs, lengths: Lengths) -> Iterable[Key]:
        return dict.fromkeys(key for each in found for key in each.probes(request, graphs, lengths))

    return Lookup(found[0].place, keys, probes)


def _itself(value: str) -> tuple[Key, ...]:
    return (value,)


def _key_match_keys(value: str) -> tuple[Key, ...]:
    star = value.find("*")
    return (value,) if star < 0 else ((value[:star],),)


def _beginning_keys(function: str) -> Callable[[str], tuple[Key, ...]]:
    return lambda value: ((patterns.beginning(function, value),),)


def _is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
