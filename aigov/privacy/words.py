"""Words around a finding, so that Presidio's context words count without a language model.

Presidio takes its words from an NLP engine and scores them with an enhancer; both are given here, in a
few lines, for English: words as runs of letters and digits, lower case, a small table of base forms.

Invariants:
* The scores are those of Presidio's `LemmaContextAwareEnhancer` with its own defaults, on these words.
* Words are looked at only where a recogniser found something, and in time that does not grow with the
  text: Presidio's own walks every token, and every keyword, for each finding.
* A result that a recogniser handed out is never changed; what is scored is a copy.
"""

from __future__ import annotations

import bisect
import copy
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

LANGUAGE = "en"
# Presidio's defaults: five words before, none after, 0.35 more, 0.4 at least, 1 at most.
WORDS_BEFORE = 5
GAIN = 0.35
FLOOR = 0.4
CEILING = 1.0

_WORD = re.compile(r"\w{1,100}|[^\w\s]")
_ENHANCED = "is_score_enhanced_by_context"
_RECOGNIZER = "recognizer_identifier"

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


class Token(str):
    """A word or a sign at its place, with the attributes of a spaCy token that recognisers read."""

    idx: int

    @property
    def text(self) -> str:
        """The characters themselves."""
        return str(self)

    @property
    def lower_(self) -> str:
        """In lower case."""
        return self.lower()

    @property
    def lemma_(self) -> str:
        """The base form where the table knows one, else the lower case."""
        return lemma(self)

    @property
    def is_digit(self) -> bool:
        """Whether all of it is digits."""
        return self.isdigit()

    @property
    def is_alpha(self) -> bool:
        """Whether all of it is letters."""
        return self.isalpha()

    @property
    def is_punct(self) -> bool:
        """Whether all of it is punctuation."""
        return punctuation(self)

    @property
    def like_num(self) -> bool:
        """Whether it is written as a number, in digits."""
        return self.isdigit()


class Artifacts:
    """What Presidio's `NlpArtifacts` holds, for one text, worked out when first asked for."""

    def __init__(self, text: str, engine: Words) -> None:
        self._text = text
        self.nlp_engine = engine
        self.entities: list[Any] = []
        self.scores: list[float] = []
        self._before: dict[int, int] = {}
        self._after: dict[int, int] = {}
        self._lines: dict[int, str] = {}

    @cached_property
    def tokens(self) -> list[Token]:
        """Words and signs in order; space at the very end is one too, so that every place has a token."""
        tokens, end = [], 0
        for match in _WORD.finditer(self._text):
            token = Token(match.group())
            token.idx, end = match.start(), match.end()
            tokens.append(token)
        if end < len(self._text):
            tail = Token(self._text[end:])
            tail.idx = end
            tokens.append(tail)
        return tokens

    @cached_property
    def tokens_indices(self) -> list[int]:
        """Where each token starts."""
        return [token.idx for token in self.tokens]

    @cached_property
    def lemmas(self) -> list[str]:
        """The base form of each token."""
        return [lemma(token) for token in self.tokens]

    @cached_property
    def keywords(self) -> list[str]:
        """The base forms that carry meaning: no stop words, no punctuation, no space."""
        return [word for word in self.lemmas if self.nlp_engine.counts(word)]

    def words_before(self, start: int) -> list[str]:
        """The keywords at and before the token that covers `start`, six at most, and the first at or after it.

        Presidio's own enhancer takes the last of these although it is asked for no words after: where what
        was found begins with a sign or a stop word, the word behind it counts.
        """
        at = min(bisect.bisect_right(self._ends, start), len(self._ends) - 1)
        after = self._keyword(at, 1, self._after)
        found = [lemma(self._words[after])] if 0 <= after < len(self._words) else []
        for _ in range(WORDS_BEFORE + 1):
            at = self._keyword(at, -1, self._before)
            if at < 0:
                break
            found.append(lemma(self._words[at]))
            at -= 1
        return found

    def line_before(self, start: int) -> str:
        """The same words, a line each: no keyword holds a line break."""
        at = bisect.bisect_right(self._ends, start)
        if at not in self._lines:
            self._lines[at] = "\n".join(self.words_before(start))
        return self._lines[at]

    def _keyword(self, at: int, step: int, known: dict[int, int]) -> int:
        """The first keyword from a token on, in steps of 1 or -1; no token is looked at twice."""
        passed = []
        while 0 <= at < len(self._words) and at not in known:
            passed.append(at)
            if self.nlp_engine.counts(lemma(self._words[at])):
                break
            at += step
        found = known.get(at, at)
        known.update(dict.fromkeys(passed, found))
        return found

    @cached_property
    def _words(self) -> list[str]:
        words: list[str] = _WORD.findall(self._text)
        return words

    @cached_property
    def _ends(self) -> list[int]:
        return [match.end() for match in _WORD.finditer(self._text)]

    def __repr__(self) -> str:
        return f"Artifacts(chars={len(self._text)})"


class Words:
    """An NLP engine for Presidio that knows words and nothing else: no model, no download."""

    def __init__(self, stop_words: Iterable[str]) -> None:
        self._stop = frozenset(stop_words) | {"be"}

    def counts(self, word: str) -> bool:
        """Whether a base form, in lower case, is a keyword."""
        return word not in self._stop and not word.isspace() and not punctuation(word)

    def load(self) -> None:
        """Nothing to load."""

    def is_loaded(self) -> bool:
        """Always."""
        return True

    def process_text(self, text: str, language: str) -> Artifacts:
        """The words of one text."""
        del language
        return Artifacts(text, self)

    def process_batch(
        self, texts: Iterable[str], language: str, batch_size: int = 1, n_process: int = 1, **kwargs: Any
    ) -> Iterator[tuple[str, Artifacts]]:
        """The words of each text."""
        del batch_size, n_process, kwargs
        return ((text, self.process_text(text, language)) for text in texts)

    def is_stopword(self, word: str, language: str) -> bool:
        """Whether the word says nothing of what stands beside it."""
        del language
        return word.lower() in self._stop

    def is_punct(self, word: str, language: str) -> bool:
        """Whether the word is punctuation."""
        del language
        return punctuation(word)

    def get_supported_entities(self) -> list[str]:
        """None: words alone name nobody."""
        return []

    def get_supported_languages(self) -> list[str]:
        """English."""
        return [LANGUAGE]


class ContextScores:
    """Presidio's context enhancer on these words: a context word before a finding makes it surer."""

    def enhance_using_context(
        self,
        text: str,
        raw_results: Sequence[Any],
        nlp_artifacts: Any,
        recognizers: Sequence[Any],
        context: Sequence[str] | None = None,
    ) -> list[Any]:
        """A copy of each result, its score raised where a context word of its recogniser stands before it.

        Raises ValueError or TypeError for a score that is none.
        """
        del text
        wanted = {recognizer.id: _lowered(recognizer.context) for recognizer in recognizers}
        given = [word.lower() for word in context or ()]
        return [self._scored(result, wanted, nlp_artifacts, given) for result in raw_results]

    def _scored(self, result: Any, wanted: dict[str, list[str]], artifacts: Any, given: list[str]) -> Any:
        if not 0 <= result.score <= CEILING:  # Presidio would drop a NaN in silence: nonsense must not pass
            raise ValueError("a score outside of 0 to 1")
        result = copy.copy(result)
        metadata = result.recognition_metadata or {}
        words = wanted.get(metadata.get(_RECOGNIZER, ""), [])
        if not words or metadata.get(_ENHANCED):
            return result
        near = artifacts.words_before(result.start) + given
        support = next((word for word in words if any(word in candidate for candidate in near)), None)
        if support is not None:
            result.score = min(max(result.score + GAIN, FLOOR), CEILING)
        return result


class Support:
    """The context words of one recogniser: whether one stands before a finding, and what that is worth."""

    __slots__ = ("_search",)

    def __init__(self, context: Sequence[str]) -> None:
        # A word with a line break is part of no word; `(?!)` is an expression that nothing matches.
        words = ["(?!)" if "\n" in word else re.escape(word) for word in _lowered(context)]
        self._search = re.compile("|".join(words)).search if words else None

    def __bool__(self) -> bool:
        return self._search is not None

    def near(self, artifacts: Any, start: int) -> bool:
        """Whether a context word is part of a word before a finding that begins at `start`."""
        line = artifacts.line_before(start)
        return bool(line and self._search and self._search(line))

    @staticmethod
    def raised(score: float) -> float:
        """The score with a context word near."""
        return min(max(score + GAIN, FLOOR), CEILING)


def lemma(word: str) -> str:
    """The base form of a word, in lower case."""
    lower = word.lower()
    return _LEMMAS.get(lower, lower)


def punctuation(word: str) -> bool:
    """Whether every character is punctuation, as Unicode has it; signs such as `$` are not."""
    return not word[:1].isalnum() and all(unicodedata.category(char)[0] == "P" for char in word)


def _lowered(words: Sequence[str] | None) -> list[str]:
    return [word.lower() for word in words or ()]
