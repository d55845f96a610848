"""The one door to presidio-analyzer: a text in, every finding of every recogniser out.

Presidio, and spaCy that it imports, take 1.5 s to import; nothing of them is imported before `load`.

Invariants:
* All of Presidio's English recognisers that need no language model run, and the policy's and plugins'.
* A fault of a recogniser, or a result that is nonsense, is a refusal without a word of the text.
* No socket: e-mail domains are judged by the public suffix list that tldextract ships.
* Safe to share between threads; what a recogniser holds is compiled before the first text.
"""

from __future__ import annotations

import copy
import logging
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from aigov.errors import AigovError, GuardFault
from aigov.privacy.patterns import TIMEOUT, Linear, Silence, Timed, analysing, compile_linear, seconds_left
from aigov.privacy.settings import Custom
from aigov.privacy.tokens import ENTITY
from aigov.privacy.words import LANGUAGE, ContextScores, Words
from aigov.types import Finding

KIND = "pii"
_SILENCE = Silence()
_LOGGERS = ("presidio-analyzer", "presidio-anonymizer", "decision_process", "tldextract")
_ENTITY = re.compile(ENTITY)
_WARM = "Call +1 212 555 0199 or write to nobody@example.com, account number 8471625536, https://example.com/a"


class Unfit(AigovError):
    """A recogniser that cannot be run, and why. Holds names and types, no content."""

    code = "privacy.unfit"


class Engine:
    """Presidio's analyzer with one policy's recognisers. `entities`: every type that it can find."""

    __slots__ = ("_analyzer", "entities")

    def __init__(self, analyzer: Any, entities: frozenset[str]) -> None:
        self._analyzer = analyzer
        self.entities = entities

    @classmethod
    def build(cls, loaded: Sequence[Any], custom: Iterable[Custom] = ()) -> Engine:
        """An engine over what `load` returned and the policy's own entities, warm: the first call is fast.

        Raises Unfit for a pattern that `settings.check` would have refused.
        """
        every = [*loaded, *map(_recognizer, custom)]
        engine = cls(_analyzer(every), entities(every))
        engine.findings(_WARM)
        return engine

    def findings(self, text: str, path: str = "") -> tuple[Finding, ...]:
        """Every finding in `text`, surest first, in code points of `text`, before any threshold.

        Raises GuardFault: `pii.timeout` past the time that a text of this length may take, else `guard.fault`.
        """
        if not text:
            return ()
        results: list[Any] = []
        fault = ""
        with analysing(text):
            try:
                results = self._analyzer.analyze(text, LANGUAGE, score_threshold=0.0)
            except GuardFault as error:
                fault = error.code
            except Exception:  # noqa: BLE001 - a recogniser's error may hold the text; it becomes a refusal without it
                fault = "guard.fault"
            if not fault and seconds_left(0.0) <= 0:  # a recogniser's own time limit may have ended in silence
                fault = TIMEOUT
        if fault or not all(self._sound(result, len(text)) for result in results):
            raise GuardFault("privacy", fault or "guard.fault")
        return tuple(_finding(result, path) for result in results)

    def _sound(self, result: Any, length: int) -> bool:
        """Whether a result names a declared type, a span of the text and a score: a type could hold content."""
        start, end, score = result.start, result.end, result.score
        return (
            result.entity_type in self.entities
            and type(start) is int
            and type(end) is int
            and 0 <= start < end <= length
            and isinstance(score, (int, float))
            and math.isfinite(score)
            and 0 <= score <= 1
        )

    def __repr__(self) -> str:
        return f"Engine(entities={len(self.entities)})"


def load(recognizers: Iterable[Any] = ()) -> list[Any]:
    """Presidio's English recognisers that are on by default and need no language model, then these.

    `recognizers`: Presidio's own kind, from plugins, run as they are. Their patterns are compiled, and
    e-mail domains judged without the net. Raises Unfit.
    """
    from presidio_analyzer import RecognizerRegistry
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    registry = RecognizerRegistry(supported_languages=[LANGUAGE])
    registry.load_predefined_recognizers(languages=[LANGUAGE])
    own = [one for one in registry.recognizers if not isinstance(one, SpacyRecognizer)]
    return [_prepared(one) for one in (*own, *map(_fit, recognizers))]


def entities(recognizers: Iterable[Any]) -> frozenset[str]:
    """Every type that these recognisers find."""
    return frozenset(name for one in recognizers for name in one.supported_entities)


def _fit(recognizer: Any) -> Any:
    """The recogniser, if it can be run here: Presidio's kind, English, with types that a finding may carry."""
    from presidio_analyzer import EntityRecognizer

    name = type(recognizer).__name__
    if not isinstance(recognizer, EntityRecognizer):
        raise Unfit(f"`{name}` is not a presidio recognizer")
    if recognizer.supported_language != LANGUAGE:
        raise Unfit(f"the recognizer `{name}` is for another language than `{LANGUAGE}`, so it would never run")
    if not all(isinstance(entity, str) and _ENTITY.match(entity) for entity in recognizer.supported_entities):
        raise Unfit(f"the recognizer `{name}` has an entity type that is not upper case letters, digits and `_`")
    return recognizer


def _analyzer(recognizers: list[Any]) -> Any:
    """Presidio's engine over exactly these recognisers, on our own words."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpEngine
    from spacy.lang.en.stop_words import STOP_WORDS

    NlpEngine.register(Words)  # for a recogniser that asks for the kind of its engine
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_SILENCE)
    words: Any = Words(STOP_WORDS)
    scores: Any = ContextScores()
    registry = RecognizerRegistry(recognizers, supported_languages=[LANGUAGE])
    return AnalyzerEngine(registry, words, supported_languages=[LANGUAGE], context_aware_enhancer=scores)


def _prepared(recognizer: Any) -> Any:
    """The recogniser with its patterns compiled and timed, and e-mail domains judged without the net.

    It is a copy that shares everything but its list of patterns: Presidio keeps pattern objects on the
    class, and an application may use the same ones. One without patterns is left as it is.
    """
    from presidio_analyzer import PatternRecognizer
    from presidio_analyzer.predefined_recognizers import EmailRecognizer

    if not isinstance(recognizer, PatternRecognizer):
        return recognizer
    prepared: Any = copy.copy(recognizer)
    prepared.patterns = [_timed(pattern, prepared.global_regex_flags) for pattern in prepared.patterns or ()]
    if type(recognizer) is EmailRecognizer:
        prepared.validate_result = offline_domain_check()
    return prepared


def _timed(pattern: Any, flags: int) -> Any:
    import regex

    own = copy.copy(pattern)
    own.compiled_with_flags = flags
    own.compiled_regex = Timed(regex.compile(pattern.regex, flags=flags))
    return own


def offline_domain_check() -> Any:
    """What `EmailRecognizer.validate_result` asks, with the suffix list that is in the package."""
    import tldextract

    extract = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True)
    return lambda text: extract(text).fqdn != ""


def _recognizer(entry: Custom) -> Any:
    """A policy's own entity as a Presidio recogniser whose patterns run in linear time."""
    from presidio_analyzer import Pattern, PatternRecognizer

    patterns = []
    for _, expression in entry.expressions:
        compiled = compile_linear(expression)
        if not isinstance(compiled, Linear):
            raise Unfit(f"a pattern of `{entry.entity}` cannot be used: {compiled}")
        patterns.append((Pattern(entry.entity, expression, entry.score), compiled))
    recognizer = PatternRecognizer(
        entry.entity,
        name=f"policy.{entry.entity}",
        patterns=[pattern for pattern, _ in patterns],
        deny_list=list(entry.deny_list),
        deny_list_score=entry.score,
        context=list(entry.context),
    )
    prepared = _prepared(recognizer)
    for pattern, (_, compiled) in zip(prepared.patterns, patterns, strict=False):  # the deny list comes last
        pattern.compiled_regex = compiled
    return prepared


def _finding(result: Any, path: str) -> Finding:
    detector = str((result.recognition_metadata or {}).get("recognizer_name", ""))
    return Finding(
        kind=KIND, type=result.entity_type, start=result.start, end=result.end,
        score=float(result.score), detector=detector, path=path,
    )  # fmt: skip
