"""Reading tokens back as a model rewrote them: another case, no brackets, escaped, split, spaced, wrapped.

A place with the code of a live token is the token itself: that eight letters by chance are the code of one
of n values has odds of n to 17 thousand million. What stands around it says how much of the text is the token, and
whether there is doubt. There is, and nothing is restored, where

* the letters are part of a longer word or name;
* a label stands in front that is not the token's own: another type, a word in capitals, a word joined by `_` or `-`;
* two live tokens claim the same letters.

Invariants:
* A token as it was written, brackets and all, is read whole whatever stands beside it, and nothing else is
  read out of it.
* Readings never overlap. What is read lies close to the letters: a few hundred characters.
* Time is linear in the text: what surrounds letters is looked at only for codes that are live.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from aigov.privacy.places import GAP, WIDE, Place, places
from aigov.privacy.tokens import look_alikes
from aigov.text.characters import CONTROL, INVISIBLE

REACH = 60  # characters before the letters, and three for each of the label: they may be escaped or held apart
TAIL = 40
_PAIRS = "[]{}<>【】〔〕⟦⟧⟨⟩〈〉《》「」『』‹›"
_OPENERS = dict(zip(_PAIRS[::2], _PAIRS[1::2], strict=True))
_UNIT = re.compile(
    r"\\u([0-9A-Fa-f]{4})|%(?:25)*([0-9A-Fa-f]{2})|&(?:amp;)?(#?[0-9A-Za-z]{1,12};)|\\(.)"
    r"|<[a-z]{1,6} ?/?>|</[a-z]{1,6}>|(.)",
    re.DOTALL,
)
_UNSEEN = re.compile(f"[{CONTROL}{INVISIBLE}]")
_LINE_ENDS = {"n": "\n", "r": "\r", "t": "\t"}
_DASH = re.compile("[\u2010-\u2015\u2212]")
_ATTACHING = "_-:.="
_JOINT = " \n\t\r*`~#\"'" + _ATTACHING
_LONGEST_JOINT = 12


class Reading(NamedTuple):
    """A live token in a text, as it stands there."""

    start: int
    end: int
    code: str


class _Unit(NamedTuple):
    """One character as it is meant, upper case, "" for what nobody sees; and where it stands in the text."""

    char: str
    start: int
    end: int
    given: str


def readings(text: str, live: Mapping[str, str]) -> list[Reading]:
    """The tokens in `text` that are certain, by start. `live`: the entity type of every live code."""
    standing = [place for place in places(text) if place.code in live] if live else []
    return sorted(_read(text, standing, live)) if standing else []


def _read(text: str, standing: list[Place], live: Mapping[str, str]) -> Iterator[Reading]:
    exact = [one for one in look_alikes(text) if live.get(one.code) == one.entity]
    yield from (Reading(one.start, one.end, one.code) for one in exact)
    walls = [(one.start, one.end) for one in exact]
    rewritten = _outside(standing, walls)
    found = [
        reading
        for place, left, right in _alone(rewritten)
        if (reading := _reading(text, place, left, right, live)) is not None
    ]
    yield from _disjoint(found)


def _outside(found: Iterable[Place], walls: list[tuple[int, int]]) -> Iterator[tuple[Place, int, int]]:
    """Places that touch no exact token, each with the stretch that it may reach into: back to the place before."""
    at, left = 0, 0
    for place in found:
        while at < len(walls) and walls[at][1] <= place.start:
            left = walls[at][1]
            at += 1
        right = walls[at][0] if at < len(walls) else None
        if right is None or place.end <= right:
            yield place, left, -1 if right is None else right
            left = max(left, place.start)


def _alone(found: Iterable[tuple[Place, int, int]]) -> list[tuple[Place, int, int]]:
    """Without places that share letters with another: there is no telling which was meant."""
    every = list(found)
    kept = []
    reach = 0
    for index, one in enumerate(every):
        follows = every[index + 1][0].start if index + 1 < len(every) else one[0].end
        if one[0].start >= reach and follows >= one[0].end:
            kept.append(one)
        reach = max(reach, one[0].end)
    return kept


def _disjoint(found: list[Reading]) -> Iterator[Reading]:
    reach = 0
    for one in found:
        if one.start >= reach:
            reach = one.end
            yield one


def _reading(text: str, place: Place, left: int, right: int, live: Mapping[str, str]) -> Reading | None:
    """How much of the text is this token, or None where there is doubt."""
    entity = live[place.code]
    before = _units(text, max(left, place.start - REACH - 3 * len(entity)), place.start)
    after = _units(text, place.end, min(len(text) if right < 0 else right, place.end + TAIL))
    joint = _joint(before)
    label = _label(before, len(before) - joint, entity)
    label = label if label is None or _belongs(before, label, joint) else len(before)
    if label is None and _doubtful(before, joint, entity, live):
        return None
    if not _ends(after, labelled=label is not None):
        return None
    at = len(before) if label is None else label
    start, end = _bracketed(before[:at], after, before[at].start if at < len(before) else place.start, place.end)
    return Reading(start, end, place.code)


def _units(text: str, start: int, end: int) -> list[_Unit]:
    """A stretch of the text, its escapes and tags undone."""
    return [_Unit(_meant(one), one.start(), one.end(), one.group()) for one in _UNIT.finditer(text, start, end)]


def _meant(one: re.Match[str]) -> str:
    point, octet, named, escaped, plain = one.groups()
    if plain is not None:
        char = plain
    elif escaped is not None:
        char = _LINE_ENDS.get(escaped, escaped)
    elif named is not None:
        char = html.unescape("&" + named)
        char = char if len(char) == 1 else ""
    elif point is not None or octet is not None:
        code = int(point or octet, 16)
        char = chr(code) if point is not None or code < 0x80 else ""  # bytes above: part of what is unseen
    else:
        return ""  # a tag
    if "\uff01" <= char <= "\uff5e":
        char = chr(ord(char) - WIDE)
    if char.isspace():
        return " "
    return "" if _UNSEEN.match(char) else "-" if _DASH.match(char) else char


def _joint(before: list[_Unit]) -> int:
    """How many units between the label and the letters are neither."""
    count = 0
    for unit in reversed(before[-_LONGEST_JOINT - GAP :]):
        if unit.char and unit.char not in _JOINT:
            break
        count += 1
    return count


def _label(before: list[_Unit], end: int, entity: str) -> int | None:
    """The index of the unit where the entity's words begin that end at `end`: all of them, or some in a row."""
    words = entity.split("_")
    for length in range(len(words), 0, -1):
        for first in range(len(words) - length + 1):
            wanted = "".join(words[first : first + length])
            start = _spelt(before, end, wanted)
            if start is not None and (length == len(words) or not _glued(before, start)):
                return start
    return None


def _spelt(before: list[_Unit], end: int, wanted: str) -> int | None:
    """Where letters begin that end at `end` and spell `wanted`, whatever separates them; no word may go on before."""
    left, at, pause = len(wanted), end, 0
    while left and at:
        char = before[at - 1].char.upper()
        if char == wanted[left - 1]:
            left, pause = left - 1, 0
        elif not char or char in " _-.*":
            pause += 1
            if pause > GAP:
                return None
        else:
            return None
        at -= 1
    if left or (at and _word(before[at - 1].char) and not _new_word(before, at)):
        return None
    return at


def _new_word(before: list[_Unit], at: int) -> bool:
    """Whether a word begins at `at` as in `homeEmail`: a capital after a small letter."""
    return before[at].given.isupper() and before[at - 1].given.islower()


def _glued(before: list[_Unit], start: int) -> bool:
    """Whether a name goes on before `start`, as in `MY_EMAIL`."""
    return start > 1 and before[start - 1].char in ("_", "-") and _word(before[start - 2].char)


def _belongs(before: list[_Unit], label: int, joint: int) -> bool:
    """Whether a label is part of the token, and no word of the sentence: `your email KQWMTRZX`."""
    between = "".join(unit.char for unit in before[len(before) - joint :])
    if not between or any(char in between for char in _ATTACHING):
        return True
    bracketed = label > 0 and before[label - 1].char in _OPENERS
    return bracketed or "".join(unit.given for unit in before[label : len(before) - joint]).isupper()


def _doubtful(before: list[_Unit], joint: int, entity: str, live: Mapping[str, str]) -> bool:
    """Whether what stands in front, which is not the token's own label, makes the letters part of something else."""
    end = len(before) - joint
    if not end or not _word(before[end - 1].char):
        return False
    between = "".join(unit.char for unit in before[end:])
    if " " not in between and (not between or any(char in between for char in "_-")):
        return True
    if _shouted(before, end, live):
        return True
    return any(_spelt(before, end, other.replace("_", "")) is not None for other in {*live.values()} - {entity})


def _shouted(before: list[_Unit], end: int, live: Mapping[str, str]) -> bool:
    """Whether the word that ends at `end` is in capitals, as a label is, and no token itself."""
    word: list[_Unit] = []
    for unit in reversed(before[:end]):
        if not _word(unit.char):
            break
        word.append(unit)
    meant = "".join(unit.char for unit in reversed(word))
    return len(word) > 1 and "".join(unit.given for unit in word).isupper() and meant not in live


def _ends(after: list[_Unit], *, labelled: bool) -> bool:
    """Whether the letters end where the code ends. A plural `s` may follow a label's code."""
    seen = [unit.char for unit in after if unit.char][:2]
    if not seen or not _word(seen[0]) or after[0].char == "":
        return True
    return labelled and seen[0] == "s" and not (len(seen) > 1 and _word(seen[1]))


def _word(char: str) -> bool:
    """Whether a word may hold this: a letter, a digit, or a mark upon one."""
    return char.isalnum() or (not char.isascii() and unicodedata.category(char)[0] == "M")


def _bracketed(before: list[_Unit], after: list[_Unit], start: int, end: int) -> tuple[int, int]:
    """The span with the brackets around it: one pair, or two curly ones. Round ones are the sentence's own."""
    left, right = len(before), 0
    for _ in range(2):
        one, other = _next_seen(before, left - 1, -1), _next_seen(after, right, 1)
        if one is None or other is None or _OPENERS.get(before[one].char) != after[other].char:
            break
        left, right, start, end = one, other + 1, before[one].start, after[other].end
        if before[one].char != "{":
            break
    return start, end


def _next_seen(units: list[_Unit], at: int, step: int) -> int | None:
    """The next unit that can be seen, spaces apart (and `/` before a closing `>`)."""
    while 0 <= at < len(units):
        closing = units[at].char == "/" and at + 1 < len(units) and units[at + 1].char == ">"
        if units[at].char not in ("", " ") and not (step > 0 and closing):
            return at
        at += step
    return None
