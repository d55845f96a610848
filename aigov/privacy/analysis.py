"""What Presidio's engine finds in a text, found in one pass.

`AnalyzerEngine.analyze` hands the whole text to each recogniser in turn. Here one scan says which of their
patterns could match and where; only there is the exact expression run, once for all recognisers that share it,
then the recogniser's own validation, its score, the context words, and Presidio's rule for results within
results.

Invariants:
* The results are those of `AnalyzerEngine.analyze` over the same recognisers and words, before any threshold.
* A recogniser that has code of its own runs that code, on the whole text; where it says in `aigov_needs` (a
  sequence of expressions) what its values look like, only if one of them could match.
* Time is linear in the text; whatever is slower ends at the deadline of the text, as a fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aigov.privacy.asking import Expressions, Reading, asked, by_patterns
from aigov.privacy.hits import Hit, outermost
from aigov.privacy.words import LANGUAGE, Words
from aigov.text.scan import Scanner


class Analysis:
    """One set of recognisers, compiled. `scanner` tells how. Safe to share between threads."""

    __slots__ = (
        "_always",
        "_asked",
        "_finders",
        "_ids",
        "_models",
        "_needing",
        "_others",
        "_words",
        "names",
        "scanner",
    )

    def __init__(self, recognizers: Sequence[Any], words: Words, folder: Any = None) -> None:
        """`recognizers`: Presidio's kind, their patterns compiled. `folder`: where the scanner's database is kept."""
        expressions = Expressions()
        entities = sorted({name for one in recognizers for name in one.supported_entities})
        self._words = words
        self._ids = {one.id: index for index, one in reversed([*enumerate(recognizers)])}
        self.names = tuple(one.name for one in recognizers)
        self._models = frozenset(at for at, one in enumerate(recognizers) if getattr(one, "aigov_model", False))
        self._others = frozenset(at for at, one in enumerate(recognizers) if not by_patterns(one))
        self._asked = tuple(
            asked(one, index, expressions, entities, self._ids) for index, one in enumerate(recognizers)
        )
        self._always = frozenset(index for index, one in enumerate(self._asked) if not one.needs)
        self._needing: dict[int, list[int]] = {}
        for index, one in enumerate(self._asked):
            for number in one.needs:
                self._needing.setdefault(number, []).append(index)
        self.scanner = Scanner(expressions.every, folder)
        self._finders = expressions.finders(self.scanner.rooms)

    def results(self, text: str, models: bool = True, others: bool = True) -> list[Hit]:
        """Every result, surest first; without `models`, of patterns alone; without `others`, of no code of others.

        Raises GuardFault past the deadline, Nonsense, and what a recogniser raises.
        """
        places = self.scanner.scan(text)
        reading = Reading(text, places, self._finders, self._words.process_text(text, LANGUAGE))
        wanted = set(self._always)
        for number in places:
            wanted.update(self._needing.get(number, ()))
        if not models:
            wanted -= self._models
        if not others:
            wanted -= self._others
        raw: list[Hit] = []
        for index in sorted(wanted):
            raw += self._asked[index].ask(reading)
        reading.watch.left()
        return outermost(self._scored(raw, reading))

    def _scored(self, raw: list[Hit], reading: Reading) -> list[Hit]:
        """The hits with the scores that context words give them."""
        asked, places = self._asked, reading.places
        able = frozenset(
            by for by in {hit.by for hit in raw}
            if asked[by].support and (asked[by].words is None or asked[by].words in places)
        )  # fmt: skip
        supported = [index for index, hit in enumerate(raw) if hit.by in able and not hit.settled]
        if not supported:
            return raw
        lines = reading.artifacts.lines_before({raw[index].start for index in supported})
        for index in supported:
            hit = raw[index]
            support = asked[hit.by].support
            if support.within(lines[hit.start]):
                raw[index] = hit._replace(score=support.raised(hit.score))
        return raw
