"""A regular expression as a tree of what it accepts, and what can be measured of it.

Invariants:
* A width, a set or a reach may be larger than what the expression does, never smaller; a least width never larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aigov.text.signs import ALL


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
    """An assertion that the gate leaves out: how far it looks ahead, at what, and what it wants, behind or ahead.

    `ways`: in how many ways it may be tried, None for no limit.
    """

    ahead: int | None
    reads: frozenset[int] = frozenset()
    wants: Node | None = None
    behind: bool = False
    ways: int | None = 1


Node = Chars | Repeat | Row | Choice | Edge | Look
EMPTY = Row(())
ANY = Chars(ALL, ALL)
_MOST_TIMES = 64  # a repetition of what can go in several ways: beyond, the number of ways says nothing


def total(*widths: int | None) -> int | None:
    """The sum, None where one of them has no limit."""
    known = [one for one in widths if one is not None]
    return sum(known) if len(known) == len(widths) else None


def product(counts: Iterable[int | None]) -> int | None:
    """All of them multiplied, None where one of them has no limit."""
    made = 1
    for count in counts:
        if count is None:
            return None
        made *= count
    return made


def widest(widths: Iterable[int | None]) -> int | None:
    """The largest, None where one of them has no limit."""
    known = [0]
    for width in widths:
        if width is None:
            return None
        known.append(width)
    return max(known)


def width(node: Node) -> tuple[int, int | None]:
    """How many characters a match of the node has, at least and at most."""
    match node:
        case Chars():
            return 1, 1
        case Repeat(inner, least, most):
            shortest, longest = width(inner)
            # regex gives an empty round up, so a repetition of what may be empty has no least width to count on
            return shortest * least, 0 if longest == 0 else None if most is None or longest is None else longest * most
        case Row(nodes):
            widths = [width(one) for one in nodes]
            return sum(one[0] for one in widths), total(*(one[1] for one in widths))
        case Choice(nodes):
            widths = [width(one) for one in nodes]
            return min(one[0] for one in widths), widest(one[1] for one in widths)
    return 0, 0


def ways(node: Node) -> int | None:
    """In how many ways a matcher may go through the node from one place, None for no limit that is known.

    It goes through each once: so often, times the length of the node, bounds the steps that it takes.
    """
    match node:
        case Look():
            return node.ways
        case Repeat(inner, least, most):
            once = ways(inner)
            if once is None or most is None or (once > 1 and most > _MOST_TIMES):
                return None
            return int(sum(once**times for times in range(least, most + 1)))
        case Row(nodes):
            return product(map(ways, nodes))
        case Choice(nodes):
            return total(*map(ways, nodes))
    return 1


def ahead(node: Node) -> int | None:
    """How far beyond the end of a match the node looks, None where there is no limit."""
    match node:
        case Edge():
            return 1
        case Look(far):
            return far
        case Repeat(inner, _, _):
            return ahead(inner)
        case Row(nodes) | Choice(nodes):
            return widest(map(ahead, nodes))
    return 0


def alphabet(node: Node) -> frozenset[int]:
    """The characters of which its matches are made."""
    match node:
        case Chars(_, possibly):
            return possibly
        case Repeat(inner, _, _):
            return alphabet(inner)
        case Row(nodes) | Choice(nodes):
            return frozenset().union(*map(alphabet, nodes))
    return frozenset()


def shorter(node: Node, last: bool) -> Node:
    """The node without what its end (its beginning, unless `last`) may do without.

    Every match of the node has a match of the shorter one as its beginning (as its end).
    """
    match node:
        case Look():
            return EMPTY
        case Repeat(inner, least, most):
            if most == 1 and least == 1:
                return shorter(inner, last)
            if least == 0:
                return EMPTY
            if least == 1:
                return shorter(inner, last)
            return Repeat(inner, least, least)
        case Choice(nodes):
            return Choice(tuple(shorter(one, last) for one in nodes))
        case Row(nodes):
            kept = list(nodes)
            at = -1 if last else 0
            while kept:
                end = shorter(kept[at], last)
                del kept[at]
                if end != EMPTY:
                    kept.insert(len(kept) if last else 0, end)
                    break
            return Row(tuple(kept)) if kept else EMPTY
    return node


def reads(node: Node) -> frozenset[int]:
    """The characters that its assertions may accept."""
    match node:
        case Look(_, seen):
            return seen
        case Repeat(inner, _, _):
            return reads(inner)
        case Row(nodes) | Choice(nodes):
            return frozenset().union(*map(reads, nodes))
    return frozenset()


def needs(node: Node, among: frozenset[int]) -> bool:
    """Whether a text without any of these characters surely holds no match of the node."""
    match node:
        case Chars(_, possibly):
            return possibly <= among
        case Repeat(inner, least, _):
            return least > 0 and needs(inner, among)
        case Row(nodes):
            return any(needs(one, among) for one in nodes)
        case Choice(nodes):
            return all(needs(one, among) for one in nodes)
        case Look():
            return node.wants is not None and needs(node.wants, among)
    return False


def wanted(node: Node) -> Iterator[Look]:
    """The assertions that every match of the node needs."""
    match node:
        case Look() if node.wants is not None:
            yield node
        case Repeat(inner, least, _) if least and width(inner)[0]:
            yield from wanted(inner)
        case Row(nodes):
            for one in nodes:
                yield from wanted(one)
