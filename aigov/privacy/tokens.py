"""What a token looks like: `[EMAIL_ADDRESS_KQWMTRZX]`.

Why this form:
* Square brackets mark both ends, so a token can stand right beside any character and still be told from
  it. HTML, XML, JSON and shells leave them alone, where angle brackets become tags or `\\u003c`.
* Inside is one word: the entity type, which tells the model what it is talking about, `_`, and a code.
* The code has letters only, so that no recogniser of numbers, licences, cards or phones finds anything in
  it; consonants only, so that it spells nothing; without L and Y, and no vowel, so that none is mistaken
  for a digit or another letter. One case, so that a change of case loses nothing.
* Nineteen letters is a prime: the last letter makes the weighted sum of all eight 0 modulo 19, which any
  one letter changed and any two neighbours swapped would break.

Invariants:
* Two look-alikes never overlap, and none reaches across a bracket: what stands beside a token cannot
  become part of one.
* Finding look-alikes takes time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

ALPHABET = "BCDFGHJKMNPQRSTVWXZ"
DRAWN = 7  # letters that are drawn; the eighth checks them
SPACE = len(ALPHABET) ** DRAWN
ENTITY = r"^[A-Z][A-Z0-9_]{0,63}$"
LITERAL = "TOKEN"  # the type of a token that stands in a text as plain characters
BLANK = "■"  # no letter, digit, space or punctuation of any pattern

_VALUE = {letter: index for index, letter in enumerate(ALPHABET)}
# ASCII matters: with Unicode folding K would match the Kelvin sign and S the long s.
_LOOK_ALIKE = re.compile(rf"\[([A-Z][A-Z0-9_]{{0,63}})_([{ALPHABET}]{{8}})\]", re.IGNORECASE | re.ASCII)


class LookAlike(NamedTuple):
    """A place that has the form of a token, whoever wrote it; entity and code are in upper case."""

    start: int
    end: int
    entity: str
    code: str


def code(number: int) -> str:
    """The code for a number from 0 to SPACE - 1: seven letters and the one that checks them."""
    values = []
    for _ in range(DRAWN):
        number, value = divmod(number, len(ALPHABET))
        values.append(value)
    total = sum(weight * value for weight, value in enumerate(values, 1))
    check = -total * pow(DRAWN + 1, -1, len(ALPHABET)) % len(ALPHABET)
    return "".join(ALPHABET[value] for value in (*values, check))


def checks(candidate: str) -> bool:
    """Whether eight letters, in upper case, are a code: their check letter is right."""
    values = [_VALUE.get(letter, -1) for letter in candidate]
    if len(values) != DRAWN + 1 or min(values) < 0:
        return False
    return sum(weight * value for weight, value in enumerate(values, 1)) % len(ALPHABET) == 0


def spell(entity: str, code: str) -> str:
    """The token itself."""
    return f"[{entity}_{code}]"


def label(entity: str) -> str:
    """What stands for a value that does not come back: its type alone."""
    return f"[{entity}]"


def look_alikes(text: str) -> Iterator[LookAlike]:
    """Every place that has the form of a token with a right check letter, in order, in any case."""
    for match in _LOOK_ALIKE.finditer(text):
        found = LookAlike(match.start(), match.end(), match[1].upper(), match[2].upper())
        if checks(found.code):
            yield found


def blank(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with these disjoint, sorted spans covered, every other character at its place."""
    pieces, at = [], 0
    for start, end in spans:
        pieces += [text[at:start], BLANK * (end - start)]
        at = end
    return "".join(pieces) + text[at:]
