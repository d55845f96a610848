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

import copy
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from aigov.privacy.surroundings import CEILING, FLOOR, GAIN, WORD, Surroundings, lemma, punctuation

LANGUAGE = "en"
_WORD = re.compile(WORD)
_ENHANCED = "is_score_enhanced_by_context"
_RECOGNIZER = "recognizer_identifier"


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
        return self._surroundings.words((start,))[start]

    def lines_before(self, starts: Iterable[int]) -> dict[int, str]:
        """The same words of each place, a line each: no keyword holds a line break."""
        return {start: "\n".join(words) for start, words in self._surroundings.words(starts).items()}

    @cached_property
    def _surroundings(self) -> Surroundings:
        return Surroundings(self._text, self.nlp_engine.counts, self.nlp_engine.skipped)

    def __repr__(self) -> str:
        return f"Artifacts(chars={len(self._text)})"


class Words:
    """An NLP engine for Presidio that knows words and nothing else: no model, no download."""

    def __init__(self, stop_words: Iterable[str]) -> None:
        self._stop = frozenset(stop_words) | {"be"}
        self.skipped = self._stop | {sign for sign in string.punctuation if punctuation(sign)}

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


def _lowered(words: Sequence[str] | None) -> list[str]:
    return [word.lower() for word in words or ()]
