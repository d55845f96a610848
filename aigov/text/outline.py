"""What can be known of a regular expression without running it: where it could match, and how far it looks.

An expression becomes an `Outline`: a coarser expression over bytes for the one-pass scanner, and the widths
that say in which part of a text the exact expression finds the same matches as in the whole.

Invariants:
* An outline may say that an expression could match where it cannot; never the other way round.
* What is not understood with certainty has no outline: the exact expression then runs on every text, whole.
* Offsets are code points: the scanner reads one byte for each, written by `signs.Signs`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from aigov.text.signs import ALL, ASCII, DIGIT, FOLDS, LETTER, SPACE, written

LONGEST_COUNT = 40  # a repetition with a higher limit is written without one: a smaller automaton, coarser
_KINDS = ALL - ASCII
_FOLDED = tuple((ord(letter), kind) for letter, kind in FOLDS.items())
_LETTERS = frozenset(map(ord, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
_DIGITS = frozenset(map(ord, "0123456789"))
_WORDS = _LETTERS | _DIGITS | {ord("_")}
# What `re` reads otherwise than `regex` or RE2, or not at all: named classes, properties, fuzzy counts, `{,n}`.
_COUNT = re.compile(r"\{\d+(?:,\d*)?\}")
_STRANGE = re.compile(r"\[[:.=][^\]]*[:.=]\]|\[\[|\\[pPXRKGhHmMNLQEzCg]|\{\s*[\deisdEISD<,]|\(\?[a-zA-Z]*[xaL]")


class Outline(NamedTuple):
    """What the scanner needs of one expression. Widths are in characters, None where there is no limit.

    Wherever the exact expression matches, from `start` on, `gate` ends a match at an offset of
    start + least to start + reach. `longest`: of a whole match. `ahead`: how far beyond its end the
    expression looks. `alphabet`: the bytes of which every match is made.
    """

    gate: str
    least: int
    reach: int | None
    longest: int | None
    ahead: int | None
    alphabet: frozenset[int]


class Chars(NamedTuple):
    """One character, of those that it `surely` accepts or of those that it `possibly` does."""

    surely: frozenset[int]
    possibly: frozenset[int]


class Repeat(NamedTuple):
    """A node from `least` to `most` times, None for no limit."""

    node: Node
    least: int
    most: int | None


class Row(NamedTuple):
    """Nodes one after the other."""

    nodes: tuple[Node, ...]


class Choice(NamedTuple):
    """One of several."""

    nodes: tuple[Node, ...]


class Edge(NamedTuple):
    """A place between characters that the gate keeps: `\\b` or `\\B`."""

    sign: str


class Look(NamedTuple):
    """An assertion that the gate leaves out, and how far it looks ahead."""

    ahead: int | None


Node = Chars | Repeat | Row | Choice | Edge | Look
_EMPTY = Row(())
_ANY = Chars(ALL, ALL)


class NotUnderstood(Exception):
    """The expression holds something that is not read here with certainty."""


def outline(expression: str, flags: int, linear: bool = False) -> Outline | None:
    """The outline of an expression for the `regex` module, or for RE2 if `linear`; None without certainty.

    `flags` are those of `regex`; any but IGNORECASE, MULTILINE, DOTALL and UNICODE is beyond certainty.
    """
    known = int(re.I | re.M | re.S)
    if int(flags) & ~(known | int(re.U)) or _STRANGE.search(_COUNT.sub("", expression)):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as "possible nested set": another engine may mean one
            tree = parser.parse(expression, int(flags) & known)
        if tree.state.flags & int(re.X | re.A | re.L):
            return None
        return _outline(_Reading(linear).row(tree, tree.state.flags))
    except (NotUnderstood, re.error, Warning, RecursionError, OverflowError):
        return None


def _outline(whole: Node) -> Outline:
    if _width(whole)[0] == 0:
        raise NotUnderstood  # every offset is a match: there is nothing to look for
    kept = _shorter(whole, last=True)
    least, reach = _width(kept)
    gate = _gate(_shorter(kept, last=False))
    return Outline(gate, least, reach, _width(whole)[1], _ahead(whole), written(_alphabet(whole)))


class _Reading:
    """From the tree of `re`'s parser to nodes, under the meaning of `regex`, or of RE2 if `linear`."""

    def __init__(self, linear: bool) -> None:
        self._linear = linear
        self._widths: dict[int, tuple[int, int | None]] = {}

    def row(self, items: Iterable[Any], flags: int) -> Node:
        """The items one after the other."""
        return Row(tuple(self._node(operation, given, flags) for operation, given in items))

    def _node(self, operation: Any, given: Any, flags: int) -> Node:
        read = getattr(self, f"_{str(operation).lower()}", None)
        if read is None:
            raise NotUnderstood
        node: Node = read(given, flags)
        return node

    def _literal(self, code: int, flags: int) -> Chars:
        return _span(code, code, flags)

    def _not_literal(self, code: int, flags: int) -> Chars:
        return _negated(_span(code, code, flags))

    def _any(self, given: None, flags: int) -> Chars:
        return _ANY if flags & int(re.S) else _negated(Chars(frozenset({10}), frozenset({10})))

    def _in(self, given: Sequence[tuple[Any, Any]], flags: int) -> Chars:
        negated = str(given[0][0]) == "NEGATE"
        parts = [self._member(str(operation), value, flags) for operation, value in given[negated:]]
        union = Chars(frozenset().union(*(p.surely for p in parts)), frozenset().union(*(p.possibly for p in parts)))
        return _negated(union) if negated else union

    def _member(self, operation: str, value: Any, flags: int) -> Chars:
        if operation == "LITERAL":
            return _span(value, value, flags)
        if operation == "RANGE":
            first, last = value
            return _span(first, last, flags)
        if operation == "CATEGORY":
            return self._kind(str(value))
        raise NotUnderstood

    def _kind(self, name: str) -> Chars:
        kinds = {
            "DIGIT": _DIGITS | {DIGIT},
            "WORD": _WORDS | {LETTER, DIGIT, *FOLDS.values()},
            "SPACE": frozenset(b"\t\n\f\r ") | ({11, SPACE} if not self._linear else set()),
        }
        kind = kinds.get(name.rpartition("_")[2])
        if kind is None:
            raise NotUnderstood
        members = frozenset(kind & ASCII if self._linear else kind)
        return _negated(Chars(members, members)) if "_NOT_" in name else Chars(members, members)

    def _branch(self, given: tuple[None, Sequence[Any]], flags: int) -> Node:
        return Choice(tuple(self.row(branch, flags) for branch in given[1]))

    def _subpattern(self, given: tuple[int | None, int, int, Any], flags: int) -> Node:
        group, added, removed, inner = given
        if (added | removed) & ~int(re.I | re.M | re.S):
            raise NotUnderstood
        node = self.row(inner, (flags | added) & ~removed)
        if group is not None:
            self._widths[group] = _width(node)
        return node

    def _max_repeat(self, given: tuple[int, int, Any], flags: int) -> Node:
        least, most, inner = given
        return Repeat(self.row(inner, flags), int(least), None if most is parser.MAXREPEAT else int(most))

    _min_repeat = _possessive_repeat = _max_repeat

    def _atomic_group(self, inner: Any, flags: int) -> Node:
        return self.row(inner, flags)

    def _groupref(self, group: int, flags: int) -> Node:
        if group not in self._widths:
            raise NotUnderstood
        return Repeat(_ANY, *self._widths[group])

    def _groupref_exists(self, given: tuple[int, Any, Any], flags: int) -> Node:
        return Choice((self.row(given[1], flags), self.row(given[2] or (), flags)))

    def _at(self, place: Any, flags: int) -> Node:
        name = str(place)
        if name in ("AT_BOUNDARY", "AT_NON_BOUNDARY") and not self._linear:
            return Edge(r"\b" if name == "AT_BOUNDARY" else r"\B")
        return Look(2)  # `$` also stands before a line break at the very end: it looks beyond that

    def _assert(self, given: tuple[int, Any], flags: int) -> Node:
        direction, inner = given
        node = self.row(inner, flags)
        return Look(_sum(_width(node)[1] if direction > 0 else 0, _ahead(node)))

    _assert_not = _assert


def _span(first: int, last: int, flags: int) -> Chars:
    """The characters from one to another, with what equals them where case is ignored."""
    surely = frozenset(range(first, min(last, 127) + 1))
    possibly = surely if last < 128 else surely | _KINDS
    if flags & int(re.I):
        letters = frozenset(ord(chr(code).swapcase()) for code in surely & _LETTERS)
        surely, possibly = surely | letters, possibly | letters
        if last > 127:
            possibly |= _LETTERS
        possibly |= {kind for letter, kind in _FOLDED if letter in possibly}
    return Chars(surely, possibly)


def _negated(chars: Chars) -> Chars:
    return Chars(ALL - chars.possibly, ALL - chars.surely)


def _sum(*widths: int | None) -> int | None:
    total = 0
    for width in widths:
        if width is None:
            return None
        total += width
    return total


def _most(widths: Iterable[int | None]) -> int | None:
    known = [0]
    for width in widths:
        if width is None:
            return None
        known.append(width)
    return max(known)


def _width(node: Node) -> tuple[int, int | None]:
    """How many characters a match of the node has, at least and at most."""
    match node:
        case Chars():
            return 1, 1
        case Repeat(inner, least, most):
            shortest, longest = _width(inner)
            # regex gives an empty round up, so a repetition of what may be empty has no least width to count on
            return shortest * least, 0 if longest == 0 else None if most is None or longest is None else longest * most
        case Row(nodes):
            widths = [_width(one) for one in nodes]
            return sum(one[0] for one in widths), _sum(*(one[1] for one in widths))
        case Choice(nodes):
            widths = [_width(one) for one in nodes]
            return min(one[0] for one in widths), _most(one[1] for one in widths)
    return 0, 0


def _ahead(node: Node) -> int | None:
    match node:
        case Edge():
            return 1
        case Look(ahead):
            return ahead
        case Repeat(inner, _, _):
            return _ahead(inner)
        case Row(nodes) | Choice(nodes):
            return _most(map(_ahead, nodes))
    return 0


def _alphabet(node: Node) -> frozenset[int]:
    match node:
        case Chars(_, possibly):
            return possibly
        case Repeat(inner, _, _):
            return _alphabet(inner)
        case Row(nodes) | Choice(nodes):
            return frozenset().union(*map(_alphabet, nodes))
    return frozenset()


def _shorter(node: Node, last: bool) -> Node:
    """The node without what its end (its beginning, unless `last`) may do without.

    Every match of the node has a match of the shorter one as its beginning (as its end).
    """
    match node:
        case Look():
            return _EMPTY
        case Repeat(inner, least, most):
            if most == 1 and least == 1:
                return _shorter(inner, last)
            if least == 0:
                return _EMPTY
            if least == 1:
                return _shorter(inner, last)
            return Repeat(inner, least, least)
        case Choice(nodes):
            return Choice(tuple(_shorter(one, last) for one in nodes))
        case Row(nodes):
            kept = list(nodes)
            at = -1 if last else 0
            while kept:
                end = _shorter(kept[at], last)
                del kept[at]
                if end != _EMPTY:
                    kept.insert(len(kept) if last else 0, end)
                    break
            return Row(tuple(kept)) if kept else _EMPTY
    return node


def _gate(node: Node) -> str:
    """The node as an expression over bytes; without regard to case where it has none, which is shorter."""
    sets = [*_sets(node)]
    if all(_swapped(members) == members for members in sets):
        return "(?i)" + _written(node, frozenset(range(65, 91)))
    return _written(node, frozenset())


def _sets(node: Node) -> Iterator[frozenset[int]]:
    match node:
        case Chars(_, possibly):
            yield written(possibly)
        case Repeat(inner, _, _):
            yield from _sets(inner)
        case Row(nodes) | Choice(nodes):
            for one in nodes:
                yield from _sets(one)


def _swapped(members: frozenset[int]) -> frozenset[int]:
    return frozenset(ord(chr(code).swapcase()) if code in _LETTERS else code for code in members)


def _written(node: Node, without: frozenset[int]) -> str:
    """The node as an expression over bytes, these bytes left out of its classes."""
    match node:
        case Chars(_, possibly):
            return _class(written(possibly) - without)
        case Edge(sign):
            return sign
        case Repeat(inner, least, most):
            one = _written(inner, without)
            one = (
                one
                if isinstance(inner, Row) and len(inner.nodes) == 1 and isinstance(inner.nodes[0], Chars)
                else f"(?:{one})"
            )
            return one + _count(least, most)
        case Row(nodes):
            return "".join(_written(one, without) for one in nodes)
        case Choice(nodes):
            return "(?:" + "|".join(_written(one, without) for one in nodes) + ")"
    return ""


def _count(least: int, most: int | None) -> str:
    if most is None or most > LONGEST_COUNT:
        return {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    return {(0, 1): "?", (1, 1): "", (least, least): f"{{{least}}}"}.get((least, most), f"{{{least},{most}}}")


def _class(codes: frozenset[int]) -> str:
    """A set of bytes as a class, in ranges."""
    if not codes:
        raise NotUnderstood
    runs: list[list[int]] = []
    for code in sorted(codes):
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    if len(codes) == 1:
        return _byte(runs[0][0])
    return "[" + "".join(_byte(a) if a == b else f"{_byte(a)}-{_byte(b)}" for a, b in runs) + "]"


def _byte(code: int) -> str:
    return chr(code) if code < 128 and chr(code).isalnum() else f"\\x{code:02x}"
