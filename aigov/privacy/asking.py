"""How each recogniser is asked about a text: as Presidio's own code asks, without what that does twice.

Invariants:
* The hits are those of the recogniser's `analyze`, in its order where that matters.
* A recogniser with code of its own that is not known here runs that code, on the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from aigov.privacy.candidates import Candidates
from aigov.privacy.hits import CEILING, Hit, Nonsense, apart, outermost, sound
from aigov.privacy.patterns import Linear, Stopwatch, Timed, stopwatch
from aigov.privacy.phones import Phones, TooMany
from aigov.privacy.surroundings import Support
from aigov.privacy.words import Artifacts
from aigov.text.scan import Expression, Places, matches

_FLAGS = int(re.I | re.M | re.S)


class Reading:
    """One text while it is analysed: its windows, its words, and the matches that are known already."""

    __slots__ = ("_candidates", "_finders", "_known", "_numbers", "artifacts", "places", "text", "watch")

    def __init__(self, text: str, places: Places, finders: Sequence[Finder], artifacts: Artifacts) -> None:
        self.text, self.places, self.artifacts = text, places, artifacts
        self.watch = stopwatch()
        self._finders = finders
        self._known: dict[int, list[tuple[int, int]]] = {}
        self._numbers: dict[Phones, list[tuple[int, int]]] = {}
        self._candidates: Candidates | None = None

    def numbers(self, phones: Phones) -> list[tuple[int, int]]:
        """Start and end of every telephone number of some regions. Raises TooMany."""
        if self._candidates is None:
            self._candidates = phones.candidates(self.text)
        if phones not in self._numbers:
            self._numbers[phones] = phones.spans(self.text, self.watch.left, self._candidates)
        return self._numbers[phones]

    def spans(self, index: int) -> list[tuple[int, int]]:
        """Start and end of every match of an expression."""
        known = self._known.get(index)
        if known is None:
            known = self._known[index] = [match.span() for match in self.matches(index)]
        return known

    def matches(self, index: int) -> list[Any]:
        """Every match of an expression, as on the whole text."""
        return self._finders[index](self.text, self.places.get(index, ()), self.watch)


Finder = Callable[[str, Any, Stopwatch], list[Any]]
Ask = Callable[[Reading], Sequence[Hit]]


class Asked(NamedTuple):
    """A recogniser as it is asked: only where one of `needs` could match, or always if there are none.

    `words`: the number of the expression without which none of its context words stands in a text.
    """

    ask: Ask
    needs: frozenset[int]
    support: Support
    words: int | None


class Expressions:
    """The different expressions of all recognisers, each once, with what runs it."""

    def __init__(self) -> None:
        self._index: dict[Expression, int] = {}
        self._phones: dict[tuple[tuple[str, ...], int], Phones] = {}
        self._compiled: list[Any] = []

    def add(self, source: str, flags: int, compiled: Any, once: bool = False) -> int:
        """The number of an expression. `once`: only whether it could match is asked."""
        linear = isinstance(compiled, Linear)
        one = Expression(source, _FLAGS if linear else int(flags), linear, once or linear)
        if one not in self._index:
            self._index[one] = len(self._compiled)
            self._compiled.append(compiled)
        return self._index[one]

    def phones(self, regions: Sequence[str], leniency: int) -> Phones:
        """What finds numbers of these regions, the same for all that ask for them. Raises KeyError."""
        key = tuple(regions), leniency
        if key not in self._phones:
            self._phones[key] = Phones(*key)
        return self._phones[key]

    def finders(self, rooms: Sequence[int]) -> tuple[Finder, ...]:
        """What runs each of them, by number; `rooms`: as the scanner has them."""
        return tuple(
            _whole(compiled) if isinstance(compiled, Linear) else _narrow(compiled, room)
            for compiled, room in zip(self._compiled, rooms, strict=True)
        )

    @property
    def every(self) -> tuple[Expression, ...]:
        """All of them, by number."""
        return tuple(self._index)


def _whole(compiled: Linear) -> Finder:
    """What finds an expression in the whole text. One match takes linear time, a text full of them may take more."""

    def find(text: str, windows: Any, watch: Stopwatch) -> list[Any]:
        watch.left()
        found = []
        for match in compiled.finditer(text) if windows else ():
            found.append(match)
            watch.left()
        return found

    return find


def _narrow(compiled: Any, room: int) -> Finder:
    """What finds an expression in its windows; in one of at most `room` characters it ends by itself soon enough."""
    search, match = compiled.search, compiled.match

    def find(text: str, windows: Any, watch: Stopwatch) -> list[Any]:
        left = watch.left
        if windows and windows[0].last == len(text):  # without a gate, it may match the empty string
            return list(compiled.finditer(text, timeout=left()))

        def seek(text: str, first: int, stop: int) -> Any:
            if stop - first > room:
                return search(text, first, stop, timeout=left())
            left()
            return search(text, first, stop)  # a time limit would take three times as long as the search

        return matches(seek, text, windows, lambda text, first, stop: match(text, first, stop, timeout=left()))

    return find


def asked(recognizer: Any, index: int, expressions: Expressions, entities: list[str], ids: dict[str, int]) -> Asked:
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
    words = _number(expressions, support.expression) if support.expression else None
    analyze = type(recognizer).analyze if "analyze" not in vars(recognizer) else None
    if analyze in (PatternRecognizer.analyze, IbanRecognizer.analyze):
        flags = recognizer.global_regex_flags
        numbered = [
            (expressions.add(one.regex, flags, _expression(one, flags)), one.score) for one in recognizer.patterns
        ]
        read = _patterned if analyze is PatternRecognizer.analyze else _grouped
        if numbered:
            return Asked(read(recognizer, index, numbered), frozenset(number for number, _ in numbered), support, words)
    own = _own(recognizer, index, entities, ids)
    plain = getattr(type(recognizer), "_get_recognizer_result", None) is PhoneRecognizer._get_recognizer_result
    if plain and analyze in (PhoneRecognizer.analyze, ZaPhoneNumberRecognizer.analyze):
        way = _phones if analyze is PhoneRecognizer.analyze else _south_african
        ask = way(recognizer, index, own, expressions)
        return Asked(ask, frozenset((_number(expressions, r"\d"),)), support, words)
    needs = getattr(recognizer, "aigov_needs", ())
    return Asked(own, frozenset(_number(expressions, source) for source in needs), support, words)


def by_patterns(recognizer: Any) -> bool:
    """Whether it is of a kind of Presidio's that works on the text alone: no model, and nobody else, is asked."""
    from presidio_analyzer import PatternRecognizer
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    return isinstance(recognizer, (PatternRecognizer, PhoneRecognizer))


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
        several = 0
        for number, base in numbered:
            if number not in places:
                continue
            before = len(hits)
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
            several += len(hits) > before
        return outermost(hits) if several > 1 else hits  # what one expression matches never overlaps

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


def _phones(recognizer: Any, index: int, own: Ask, expressions: Expressions) -> Ask:
    """As `PhoneRecognizer.analyze`: every number of any of its regions."""
    try:
        phones = expressions.phones(recognizer.supported_regions, recognizer.leniency)
    except KeyError:
        return own
    entity, score = recognizer.supported_entities[0], recognizer.SCORE

    def ask(reading: Reading) -> Sequence[Hit]:
        try:
            spans = reading.numbers(phones)
        except TooMany:
            return own(reading)
        hits = [Hit(entity, start, end, score, index) for start, end in spans]
        return hits if apart(spans) else outermost(hits)

    return ask


def _south_african(recognizer: Any, index: int, own: Ask, expressions: Expressions) -> Ask:
    """As `ZaPhoneNumberRecognizer.analyze`: of the numbers of its region those of the country and of its kind."""
    import phonenumbers

    region = recognizer.REGION
    try:
        phones = expressions.phones((region,), recognizer.leniency)
    except KeyError:
        return own
    entity, score = recognizer.supported_entities[0], recognizer.SCORE
    code = phonenumbers.country_code_for_region(region)

    def counts(value: str) -> bool:
        if value[0] == "+" and value[1].isdigit() and not value.startswith((f"+{code}", "+0")):
            return False  # of another country
        number = phonenumbers.parse(value, region)
        kind = recognizer.target_classification
        return phonenumbers.region_code_for_number(number) == region and bool(recognizer._classify(number) == kind)

    def ask(reading: Reading) -> Sequence[Hit]:
        try:
            spans = reading.numbers(phones)
        except TooMany:
            return own(reading)
        text = reading.text
        return outermost([Hit(entity, *span, score, index) for span in spans if counts(text[slice(*span)])])

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
