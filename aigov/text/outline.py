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
from aigov.text.tree import (
    ANY,
    Chars,
    Choice,
    Edge,
    Look,
    Node,
    Repeat,
    Row,
    ahead,
    alphabet,
    needs,
    reads,
    shorter,
    total,
    wanted,
    ways,
    width,
)  # fmt: skip

LONGEST_COUNT = 40  # a repetition with a higher limit is written without one: a smaller automaton, coarser
_FEW = 16  # ways
_BEYOND = 2  # characters past a run that edges and line ends look at
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
    expression looks. `alphabet`: the bytes of which every match is made. Where the expression looks ahead without
    limit, `longest` has none either, and the alphabet holds what it looks at: it looks as far as a run of these
    goes, and `ahead` beyond that. `stem`: the bytes from the start of a match to where the gate ends. `also`: gates of
    which each must end a match somewhere in the text; `near`: those that must do so between the start of a match and
    as far as the expression sees, the rarest first, and of these only what any matcher is through with at once.
    `digit`: nothing matches in a text without one. `ways`: in how many a match may be tried from one start.
    """

    gate: str
    least: int
    reach: int | None
    longest: int | None
    ahead: int
    alphabet: frozenset[int]
    stem: frozenset[int]
    also: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    digit: bool = False
    ways: int | None = None


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
            tree = parser.parse(_plain(expression, flags), int(flags) & known)
        if tree.state.flags & int(re.X | re.A | re.L):
            return None
        return _outline(_Reading(linear).row(tree, tree.state.flags))
    except (NotUnderstood, re.error, Warning, RecursionError, OverflowError):
        return None


def _plain(expression: str, flags: int) -> str:
    """The expression without a `(?i)` that says nothing new; `re` reads none but at the very beginning."""
    before, found, after = expression.partition("(?i)")
    first = not before.strip(r"\b(^") and not before.endswith("\\")
    return before + after if found and first and flags & int(re.I) else expression


def _outline(whole: Node) -> Outline:
    if width(whole)[0] == 0:
        raise NotUnderstood  # every offset is a match: there is nothing to look for
    kept = shorter(whole, last=True)
    least, reach = width(kept)
    gate = _gate(shorter(kept, last=False))
    stem = written(alphabet(kept))
    ahead_of, behind = _wants(whole, behind=False), _wants(whole, behind=True)
    near = tuple(gate for gate, brief in ahead_of if brief)
    also = tuple(gate for gate, _ in (*behind, *ahead_of))
    digit = needs(whole, _DIGITS | {DIGIT})
    far = ahead(whole)
    if far is None:
        seen = written(alphabet(whole) | reads(whole))
        return Outline(gate, least, reach, None, _BEYOND, seen, stem, also, near, digit, ways(whole))
    return Outline(
        gate, least, reach, width(whole)[1], far, written(alphabet(whole)), stem, also, near, digit, ways(whole)
    )


def _wants(whole: Node, behind: bool) -> tuple[tuple[str, bool], ...]:
    """Gates for what assertions want, behind or ahead, those of the fewest characters first; whether each is brief."""
    nodes = [one.wants for one in wanted(whole) if one.behind == behind and one.wants and width(one.wants)[0]]
    kept = sorted((shorter(shorter(one, last=True), last=False) for one in nodes), key=lambda one: len(alphabet(one)))
    return tuple(dict.fromkeys((_gate(one), _brief(one)) for one in kept))


def _brief(node: Node) -> bool:
    """Whether a matcher that tries every way is through with the node's gate at once, wherever it begins."""
    tried, longest = ways(node), width(node)[1]
    return tried is not None and tried <= _FEW and longest is not None and longest <= LONGEST_COUNT


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
        return ANY if flags & int(re.S) else _negated(Chars(frozenset({10}), frozenset({10})))

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
            self._widths[group] = width(node)
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
        return Repeat(ANY, *self._widths[group])

    def _groupref_exists(self, given: tuple[int, Any, Any], flags: int) -> Node:
        return Choice((self.row(given[1], flags), self.row(given[2] or (), flags)))

    def _at(self, place: Any, flags: int) -> Node:
        name = str(place)
        if name in ("AT_BOUNDARY", "AT_NON_BOUNDARY") and not self._linear:
            return Edge(r"\b" if name == "AT_BOUNDARY" else r"\B")
        return Look(2)  # `$` also stands before a line break at the very end: it looks beyond that

    def _assert(self, given: tuple[int, Any], flags: int) -> Look:
        look = self._assert_not(given, flags)
        return look._replace(wants=self.row(given[1], flags), behind=given[0] < 0)

    def _assert_not(self, given: tuple[int, Any], flags: int) -> Look:
        direction, inner = given
        node = self.row(inner, flags)
        far = total(width(node)[1] if direction > 0 else 0, ahead(node))
        return Look(far, alphabet(node) | reads(node), ways=ways(node))


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
