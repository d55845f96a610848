"""Strings that an expression may match, drawn from what the outline reads of it."""

from __future__ import annotations

import random
import warnings
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from aigov.text.outline import Chars, Choice, Repeat, Row, _Reading
from aigov.text.signs import ALL, DIGIT, LETTER, OTHER, SPACE

_BEYOND = {
    LETTER: "éжü",
    DIGIT: "٣３",
    SPACE: "\u00a0\u2003",
    OTHER: "–😀\u200d",
    **dict.fromkeys(range(260, 263), "ſ"),
}


def sampler(expression: str, flags: int) -> Any:
    """A function of a `random.Random` that draws strings; most of them match, lookarounds and the like apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = parser.parse(expression, flags & 26)
    node = _Reading(linear=False).row(tree, tree.state.flags)
    return lambda draw: _drawn(node, draw)


def _drawn(node: Any, draw: random.Random) -> str:
    match node:
        case Chars(_, possibly):
            return _char(possibly, draw)
        case Repeat(inner, least, most):
            top = least + 3 if most is None else min(most, least + 12)
            return "".join(_drawn(inner, draw) for _ in range(draw.randint(least, top)))
        case Row(nodes):
            return "".join(_drawn(one, draw) for one in nodes)
        case Choice(nodes):
            return _drawn(draw.choice(nodes), draw)
    return ""


def _char(possibly: frozenset[int], draw: random.Random) -> str:
    plain = [code for code in possibly if 32 <= code < 127] or [code for code in possibly if code < 128]
    if plain and (draw.random() < 0.97 or possibly == ALL):
        return chr(draw.choice(sorted(plain)))
    return draw.choice(_BEYOND[draw.choice(sorted(possibly - frozenset(range(128)) or {OTHER}))])
