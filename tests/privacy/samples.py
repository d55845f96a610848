"""Strings that an expression may match, drawn from what the outline reads of it."""

from __future__ import annotations

import functools
import random
import warnings
from collections.abc import Callable
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, get_args

from aigov.privacy.engine import load
from aigov.privacy.settings import Country
from aigov.text.outline import Chars, Choice, Repeat, Row, _Reading
from aigov.text.signs import ALL, DIGIT, LETTER, OTHER, SPACE

BEFORE = (
    "", "", "x ", "(", "claim # ", "rx ", "prescription no ", "prior auth ", "provider tax id ", "referral: ",
)  # fmt: skip
_BEYOND = {
    LETTER: "éжü",
    DIGIT: "٣３",
    SPACE: "\u00a0\u2003",
    OTHER: "–😀\u200d",
    **dict.fromkeys(range(260, 263), "ſ"),
}


@functools.cache
def patterns() -> tuple[tuple[Any, int], ...]:
    """Every pattern of every recogniser, of all countries: the recogniser and which of its patterns."""
    return tuple(
        (recognizer, index)
        for recognizer in load((), get_args(Country))
        for index in range(len(getattr(recognizer, "patterns", None) or ()))
    )


@functools.cache
def drawn_from(number: int) -> Callable[[random.Random], str]:
    """What draws texts that one of the patterns may match, with what lookbehinds want before them."""
    recognizer, index = patterns()[number]
    draws = sampler(recognizer.patterns[index].regex.replace("(?i)", ""), int(recognizer.global_regex_flags))
    return lambda draw: draw.choice(BEFORE) + draws(draw) + draw.choice(("", " y", ")"))


def any_pattern(draw: random.Random) -> str:
    """A text that some pattern may match."""
    return drawn_from(draw.randrange(len(patterns())))(draw)


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
