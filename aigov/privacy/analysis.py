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

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from aigov.privacy.patterns import Linear, Stopwatch, Timed
from aigov.privacy.phones import Phones, TooMany
from aigov.privacy.words import LANGUAGE, Artifacts, Support, Words
from aigov.text.scan import Expression, Places, Scanner, matches

CEILING = 1.0
_FLAGS = int(re.I | re.M | re.S)


class Hit(NamedTuple):
    """One result: what, from where to where, how sure, and by which of the recognisers (its index)."""

    type: str
    start: int
    end: int
    score: float
    by: int
    named: str = ""
    settled: bool = False


class Nonsense(Exception):
    """A recogniser's answer that is no result. Holds nothing of it."""


class Reading:
    """One text while it is analysed: its windows, its words, and the matches that are known already."""

    __slots__ = ("_finders", "_known", "artifacts", "places", "text", "watch")

    def __init__(self, text: str, places: Places, finders: Sequence[Finder], artifacts: Artifacts) -> None:
        self.text, self.places, self.artifacts = text, places, artifacts
        self.watch = Stopwatch()
        self._finders = finders
        self._known: dict[int, list[tuple[int, int]]] = {}

    def spans(self, index: int) -> list[tuple[int, int]]:
        """Start and end of every match of an expression."""
        known = self._known.get(index)
        if known is None:
            known = self._known[index] = [match.span() for match in self.matches(index)]
        return known

    def matches(self, index: int) -> Iterator[Any]:
        """Every match of an expression, as on the whole text."""
        return self._finders[index](self.text, self.places.get(index, ()), self.watch)


Finder = Callable[[str, Any, Stopwatch], Iterator[Any]]
Ask = Callable[[Reading], Sequence[Hit]]


class Asked(NamedTuple):
    """A recogniser as it is asked: only where one of `needs` could match, or always if there are none."""

    ask: Ask
    needs: frozenset[int]
    support: Support


class Expressions:
    """The different expressions of all recognisers, each once, with what runs it."""

    def __init__(self) -> None:
        self._index: dict[Expression, int] = {}
        self.finders: list[Finder] = []

    def add(self, source: str, flags: int, compiled: Any, once: bool = False) -> int:
        """The number of an expression. `once`: only whether it could match is asked."""
        linear = isinstance(compiled, Linear)
        one = Expression(source, _FLAGS if linear else int(flags), linear, once or linear)
        if one not in self._index:
            self._index[one] = len(self.finders)
            self.finders.append(_whole(compiled) if linear else _narrow(compiled))
        return self._index[one]

    @property
    def every(self) -> tuple[Expression, ...]:
        """All of them, by number."""
        return tuple(self._index)


def _whole(compiled: Linear) -> Finder:
    def find(text: str, windows: Any, watch: Stopwatch) -> Iterator[Any]:
        watch.left()
        return compiled.finditer(text) if windows else iter(())

    return find


def _narrow(compiled: Any) -> Finder:
    finditer = compiled.finditer

    def find(text: str, windows: Any, watch: Stopwatch) -> Iterator[Any]:
        return matches(lambda text, first, stop: finditer(text, first, stop, timeout=watch.left()), text, windows)

    return find


class Analysis:
    """One set of recognisers, compiled. `scanner` tells how. Safe to share between threads."""

    __slots__ = ("_asked", "_finders", "_ids", "_models", "_words", "names", "scanner")

    def __init__(self, recognizers: Sequence[Any], words: Words, folder: Any = None) -> None:
        """`recognizers`: Presidio's kind, their patterns compiled. `folder`: where the scanner's database is kept."""
        expressions = Expressions()
        entities = sorted({name for one in recognizers for name in one.supported_entities})
        self._words = words
        self._ids = {one.id: index for index, one in reversed([*enumerate(recognizers)])}
        self.names = tuple(one.name for one in recognizers)
        self._models = frozenset(at for at, one in enumerate(recognizers) if getattr(one, "aigov_model", False))
        self._asked = tuple(
            _asked(one, index, expressions, entities, self._ids) for index, one in enumerate(recognizers)
        )
        self._finders = tuple(expressions.finders)
        self.scanner = Scanner(expressions.every, folder)

    def results(self, text: str, models: bool = True) -> list[Hit]:
        """Every result, surest first; without `models`, of patterns alone.

        Raises GuardFault past the deadline, Nonsense, and what a recogniser raises.
        """
        places = self.scanner.scan(text)
        reading = Reading(text, places, self._finders, self._words.process_text(text, LANGUAGE))
        raw: list[Hit] = []
        for at, one in enumerate(self._asked):
            if (one.needs and one.needs.isdisjoint(places)) or not (models or at not in self._models):
                continue
            raw += one.ask(reading)
        reading.watch.left()
        return outermost([self._scored(hit, reading) for hit in raw])

    def _scored(self, hit: Hit, reading: Reading) -> Hit:
        support = self._asked[hit.by].support
        if hit.settled or not support or not support.near(reading.artifacts, hit.start):
            return hit
        return hit._replace(score=support.raised(hit.score))


def outermost(hits: list[Hit]) -> list[Hit]:
    """Presidio's rule: of equal hits one, none of score 0, none within another of its type that is as sure.

    Surest first, then in order of place, the longer first.
    """
    if len(hits) < 2:
        return [hit for hit in hits if hit.score]
    kept: list[Hit] = []
    active: list[Hit] = []
    kind = None
    for hit in sorted(hits, key=lambda hit: (hit.type, hit.start, -hit.end, -hit.score)):
        if hit.type != kind:
            kind, active = hit.type, []
        if hit.score == 0:
            continue
        active = [one for one in active if one.end >= hit.start]
        if not any(one.end >= hit.end and one.score >= hit.score for one in active):
            kept.append(hit)
            active.append(hit)
    return sorted(kept, key=lambda hit: (-hit.score, hit.start, hit.start - hit.end))


def _asked(recognizer: Any, index: int, expressions: Expressions, entities: list[str], ids: dict[str, int]) -> Asked:
    """How this recogniser is asked: in a way that is known to be the same, or by its own code."""
    from presidio_analyzer import PatternRecognizer
    from presidio_analyzer.predefined_recognizers import IbanRecognizer, PhoneRecognizer
    from presidio_analyzer.predefined_recognizers.country_specific.south_africa.za_phone_number_recognizer import (
        ZaPhoneNumberRecognizer,
    )

    if not recognizer.is_loaded:
        recognizer.load()
        recognizer.is_loaded = True
    support = Support(recognizer.context or ())
    analyze = type(recognizer).analyze if "analyze" not in vars(recognizer) else None
    if analyze in (PatternRecognizer.analyze, IbanRecognizer.analyze):
        flags = recognizer.global_regex_flags
        numbered = [
            (expressions.add(one.regex, flags, _expression(one, flags)), one.score) for one in recognizer.patterns
        ]
        read = _patterned if analyze is PatternRecognizer.analyze else _grouped
        if numbered:
            return Asked(read(recognizer, index, numbered), frozenset(number for number, _ in numbered), support)
    own = _own(recognizer, index, entities, ids)
    if analyze in (PhoneRecognizer.analyze, ZaPhoneNumberRecognizer.analyze):
        ask = _phones(recognizer, index, own, as_it_is=analyze is not PhoneRecognizer.analyze)
        return Asked(ask, frozenset((_number(expressions, r"\d"),)), support)
    needs = getattr(recognizer, "aigov_needs", ())
    return Asked(own, frozenset(_number(expressions, source) for source in needs), support)


def _expression(pattern: Any, flags: int) -> Any:
    """What runs a pattern, without the deadline that it brings when Presidio runs it."""
    import regex

    compiled = pattern.compiled_regex
    if compiled is None or isinstance(compiled, Linear):
        return compiled or regex.compile(pattern.regex, flags)
    return compiled.bare if isinstance(compiled, Timed) else regex.compile(pattern.regex, flags)


def _number(expressions: Expressions, source: str) -> int:
    import regex

    return expressions.add(source, _FLAGS, regex.compile(source, _FLAGS), once=True)


def _patterned(recognizer: Any, index: int, numbered: list[tuple[int, float]]) -> Ask:
    """As `PatternRecognizer.analyze`: each match validated, then invalidated, then kept if it scores."""
    entity = recognizer.supported_entities[0]
    validate, invalidate = _overridden(recognizer, "validate_result"), _overridden(recognizer, "invalidate_result")

    def ask(reading: Reading) -> Sequence[Hit]:
        hits: list[Hit] = []
        places, text = reading.places, reading.text
        for number, base in numbered:
            if number not in places:
                continue
            for start, end in reading.spans(number):
                if start == end:
                    continue
                score = base
                if validate is not None:
                    valid = validate(text[start:end])
                    score = score if valid is None else CEILING if valid else 0.0
                if invalidate is not None and invalidate(text[start:end]):
                    score = 0.0
                if score > 0:
                    hits.append(Hit(entity, start, end, score, index))
        return outermost(hits)

    return ask


def _grouped(recognizer: Any, index: int, numbered: list[tuple[int, float]]) -> Ask:
    """As `IbanRecognizer.analyze`: of each match the longest beginning, by its groups, that is valid."""
    entity = recognizer.supported_entities[0]

    def scored(value: str, base: float) -> float:
        valid = recognizer.validate_result(value)
        return base if valid is None else CEILING if valid else 0.0

    def ask(reading: Reading) -> Sequence[Hit]:
        hits: list[Hit] = []
        for number, base in numbered:
            for match in reading.matches(number):
                for group in range(len(match.groups()), 0, -1):
                    start, end = match.start(), match.end(group) if match.end(group) > 0 else match.end()
                    score = scored(reading.text[start:end], base) if start < end else 0.0
                    if score > 0:
                        hits.append(Hit(entity, start, end, score, index))
                        break
        return hits

    return ask


def _overridden(recognizer: Any, name: str) -> Any:
    """The recogniser's own check, or None where it is Presidio's that checks nothing."""
    from presidio_analyzer import PatternRecognizer

    method = getattr(recognizer, name)
    return None if getattr(method, "__func__", None) is getattr(PatternRecognizer, name) else method


def _phones(recognizer: Any, index: int, own: Ask, as_it_is: bool) -> Ask:
    """As `PhoneRecognizer.analyze`: every number of any of its regions. `as_it_is`: its own code, if there is any."""
    try:
        phones = Phones(recognizer.supported_regions, recognizer.leniency)
    except KeyError:
        return own
    entity, score = recognizer.supported_entities[0], recognizer.SCORE

    def ask(reading: Reading) -> Sequence[Hit]:
        try:
            spans = phones.spans(reading.text, reading.watch.left)
        except TooMany:
            return own(reading)
        if as_it_is:
            return own(reading) if spans else ()
        return outermost([Hit(entity, start, end, score, index) for start, end in spans])

    return ask


def _own(recognizer: Any, index: int, entities: list[str], ids: dict[str, int]) -> Ask:
    """What the recogniser's own code says, of results as Presidio takes them."""
    known = frozenset(entities)

    def ask(reading: Reading) -> Sequence[Hit]:
        answer = recognizer.analyze(text=reading.text, entities=list(entities), nlp_artifacts=reading.artifacts)
        hits = [_hit(one, index, ids, known, len(reading.text)) for one in answer or ()]
        return [hit for hit in hits if hit is not None]

    return ask


def _hit(result: Any, index: int, ids: dict[str, int], known: frozenset[str], length: int) -> Hit | None:
    """A recogniser's result; None for one that names a recogniser which is not asked, as Presidio drops it.

    Raises Nonsense for one that names no declared type, no span of the text, or no score.
    """
    if not sound(result, known, length):
        raise Nonsense
    metadata = result.recognition_metadata or {}
    by = ids.get(metadata["recognizer_identifier"]) if "recognizer_identifier" in metadata else index
    if by is None:
        return None
    named = str(metadata.get("recognizer_name", ""))
    settled = bool(metadata.get("is_score_enhanced_by_context"))
    return Hit(result.entity_type, result.start, result.end, result.score, by, named, settled)


def sound(result: Any, known: frozenset[str], length: int) -> bool:
    """Whether a result names a declared type, a span of the text and a score: a type could hold content."""
    start, end, score = result.start, result.end, result.score
    span = type(start) is int and type(end) is int and 0 <= start < end <= length
    return result.entity_type in known and span and isinstance(score, (int, float)) and 0 <= score <= CEILING
