"""The words that stand before a place in a text, and whether one of a recogniser's context words is among them.

Presidio walks every token and every keyword of a text for each finding. Here words are looked at near findings alone,
once for findings that stand near one another.

Invariants:
* The words of a place are those that Presidio's `LemmaContextAwareEnhancer` takes, with its own defaults.
* A stretch is cut at spaces, which are part of no word, so that its words are those of the whole text. Where it holds
  too few of them the whole text is read, once: time is linear in the text and the places.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate

# Presidio's defaults: five words before, none after, 0.35 more, 0.4 at least, 1 at most.
WORDS_BEFORE = 5
GAIN = 0.35
FLOOR = 0.4
CEILING = 1.0

WORD = r"\w{1,100}|[^\w\s]"
_PIECE = re.compile(rf"\s*(?:{WORD})")
_ALONE = re.compile(WORD)
_SHORT = 800  # characters; a text of no more is one stretch
_BACK, _FORWARD, _SPAN = 160, 48, 100

# Context words are looked for inside words, so a plural in -s needs no entry; these forms hide theirs.
_LEMMAS = {
    "addresses": "address", "agencies": "agency", "bodies": "body", "children": "child", "cities": "city",
    "companies": "company", "copies": "copy", "countries": "country", "counties": "county",
    "currencies": "currency", "deliveries": "delivery", "duties": "duty",
    "entries": "entry", "facilities": "facility", "families": "family", "histories": "history",
    "identities": "identity", "inquiries": "inquiry", "enquiries": "enquiry", "keys": "key", "men": "man",
    "parties": "party", "people": "person", "pharmacies": "pharmacy", "policies": "policy",
    "proxies": "proxy", "queries": "query", "registries": "registry", "replies": "reply",
    "salaries": "salary", "securities": "security", "subsidiaries": "subsidiary", "taxes": "tax",
    "treaties": "treaty", "wives": "wife", "women": "woman",
}  # fmt: skip


class _Stretch:
    """The words of a part of a text, and which of them are keywords."""

    __slots__ = ("_bases", "_ends", "_first", "_keys", "_last")

    def __init__(
        self, text: str, start: int, stop: int, counts: Callable[[str], bool], skipped: frozenset[str]
    ) -> None:
        self._first, self._last = start == 0, stop == len(text)
        part = text[start:stop]
        plain = part.isascii()
        pieces = _PIECE.findall(part.lower() if plain else part)
        self._ends = [*accumulate(map(len, pieces), initial=start)][1:]
        words = map(str.lstrip, pieces)
        bases = [_LEMMAS.get(one, one) for one in (words if plain else map(str.lower, words))]
        self._bases = bases
        self._keys = [
            index for index, base in enumerate(bases) if base not in skipped and (base.isalnum() or counts(base))
        ]

    def words(self, start: int) -> list[str] | None:
        """The keywords of a place; None where some of them may stand outside of the stretch."""
        keys, bases = self._keys, self._bases
        at = bisect_right(self._ends, start)
        if at == len(bases):
            if not self._last:
                return None
            at -= 1
        nearest = bisect_left(keys, at)
        after = keys[nearest : nearest + 1]
        stop = nearest + 1 if after == [at] else nearest
        before = keys[max(0, stop - WORDS_BEFORE - 1) : stop]
        if (not after and not self._last) or (len(before) <= WORDS_BEFORE and not self._first):
            return None
        return [bases[index] for index in (*after, *reversed(before))]


class Surroundings:
    """One text, whose words are looked at where they are asked for. `skipped`: words of which `counts` says no."""

    def __init__(self, text: str, counts: Callable[[str], bool], skipped: frozenset[str]) -> None:
        self._text, self._counts, self._skipped = text, counts, skipped

    def words(self, starts: Iterable[int]) -> dict[int, list[str]]:
        """The keywords at and before the word that covers each place, six at most, after the first from there on."""
        found: dict[int, list[str]] = {}
        for stretch, places in self._stretches(sorted(starts)):
            for start in places:
                near = stretch.words(start)
                found[start] = near if near is not None else self._whole.words(start) or []
        return found

    def _stretches(self, starts: list[int]) -> Iterator[tuple[_Stretch, list[int]]]:
        """Parts of the text, with the places that each has words for."""
        if len(self._text) <= _SHORT:
            yield self._whole, starts
            return
        group: list[int] = []
        for start in starts:
            if group and start - _BACK > group[-1] + _FORWARD:
                yield self._around(group), group
                group = []
            group.append(start)
        if group:
            yield self._around(group), group

    def _around(self, starts: Sequence[int]) -> _Stretch:
        text, first, stop = self._text, starts[0] - _BACK, starts[-1] + _FORWARD
        first = text.rfind(" ", max(0, first - _SPAN), first) if first > 0 else 0
        stop = text.find(" ", stop, stop + _SPAN) if stop < len(text) else len(text)
        if first < 0 or stop < 0:
            return self._whole
        return _Stretch(text, first, stop, self._counts, self._skipped)

    @cached_property
    def _whole(self) -> _Stretch:
        return _Stretch(self._text, 0, len(self._text), self._counts, self._skipped)

    def __repr__(self) -> str:
        return f"Surroundings(chars={len(self._text)})"


class Support:
    """The context words of one recogniser: whether one stands before a finding, and what that is worth.

    `expression`: matches in every text in which one of them could count; "" where there is no telling.
    """

    __slots__ = ("_words", "expression")

    def __init__(self, context: Sequence[str]) -> None:
        lower = sorted(
            {word.lower() for word in context if _possible(word.lower())}, key=lambda word: (len(word), word)
        )
        words = [word for index, word in enumerate(lower) if not any(one in word for one in lower[:index])]
        self._words = tuple(words)
        forms = [form for form, base in _LEMMAS.items() if any(word in base and word not in form for word in words)]
        told = all(word and word.isascii() for word in words)
        self.expression = "|".join(map(re.escape, [*words, *forms])) if told else ""

    def __bool__(self) -> bool:
        return bool(self._words)

    def within(self, line: str) -> bool:
        """Whether a context word is part of one of these words, a line each."""
        for word in self._words:
            if word in line:
                return line != ""
        return False

    @staticmethod
    def raised(score: float) -> float:
        """The score with a context word near."""
        return min(max(score + GAIN, FLOOR), CEILING)


def _possible(word: str) -> bool:
    """Whether this could be part of one word of a text: `e-mail` is three, and nothing is part of every word."""
    return not word or not word.isascii() or _ALONE.fullmatch(word) is not None


def lemma(word: str) -> str:
    """The base form of a word, in lower case."""
    lower = word.lower()
    return _LEMMAS.get(lower, lower)


def punctuation(word: str) -> bool:
    """Whether every character is punctuation, as Unicode has it; signs such as `$` are not."""
    return not word[:1].isalnum() and all(unicodedata.category(char)[0] == "P" for char in word)
