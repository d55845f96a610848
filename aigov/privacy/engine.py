"""Presidio's recognisers, loaded and prepared: a text in, every finding of every recogniser out.

Presidio, and spaCy that it imports, take 1.5 s to import; nothing of them is imported before `load`.

Invariants:
* All of Presidio's English recognisers that need no language model run, and the policy's and plugins'.
* A fault of a recogniser, or a result that is nonsense, is a refusal without a word of the text.
* No socket: e-mail domains are judged by the public suffix list that tldextract ships.
* Safe to share between threads; what a recogniser holds is compiled before the first text.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from aigov.errors import GuardFault
from aigov.privacy.analysis import Analysis
from aigov.privacy.hits import Nonsense, sound
from aigov.privacy.inside import without_parts
from aigov.privacy.patterns import TIMEOUT, Linear, Silence, Timed, analysing, compile_linear, loading, stopwatch
from aigov.privacy.settings import Custom, Extra, Unfit
from aigov.privacy.tokens import ENTITY
from aigov.privacy.words import LANGUAGE, ContextScores, Words
from aigov.text.cache import user_folder
from aigov.text.scan import Scanner
from aigov.types import Finding, Reader

KIND = "pii"
_SILENCE = Silence()
_LOGGERS = ("presidio-analyzer", "presidio-anonymizer", "decision_process", "tldextract")
_ENTITY = re.compile(ENTITY)
WARM_ROUNDS = 5
_WARM = "Call +1 212 555 0199 or write to nobody@example.com, account number 8471625536, https://example.com/a"


Results = Callable[[str, str, bool], tuple[Finding, ...]]


class Engine:
    """Presidio's recognisers of one policy. `entities`: every type that they find; `scanner`: how it was made."""

    __slots__ = ("_models", "_results", "entities", "scanner")

    def __init__(
        self,
        results: Results,
        entities: frozenset[str],
        scanner: Scanner | None,
        models: frozenset[str] = frozenset(),
    ) -> None:
        self._results = results
        self._models = models
        self.entities = entities
        self.scanner = scanner

    @classmethod
    def build(cls, loaded: Sequence[Any], custom: Iterable[Custom] = ()) -> Engine:
        """An engine over what `load` returned and the policy's own entities, warm: the first call is fast.

        Raises Unfit for a pattern that `settings.check` would have refused.
        """
        with _quiet():
            engine, warm = cls._built(loaded, custom)
        for _ in range(WARM_ROUNDS):  # on a machine that others use, compiling may pass a text's time
            if _warmed(warm):
                break
        return engine

    @classmethod
    def _built(cls, loaded: Sequence[Any], custom: Iterable[Custom]) -> tuple[Engine, Callable[[], object]]:
        """The engine, and what has all that is compiled at first use compiled, without a question to code of others."""
        every = [*loaded, *map(_recognizer, custom)]
        models = frozenset(one.name for one in every if getattr(one, "aigov_model", False))
        if any(_rescores(one) for one in every):
            return cls(_presidio(every), entities(every), None, models), lambda: None
        analysis = Analysis(every, _words(), user_folder())
        engine = cls(_analysed(analysis), entities(every), analysis.scanner, models)
        return engine, lambda: analysis.results(_WARM, others=False)

    def patterns(self, text: str, path: str = "") -> tuple[Finding, ...]:
        """The same without models: of a text that they were asked about as it stands. Raises GuardFault."""
        return self.findings(text, path, models=False)

    def findings(self, text: str, path: str = "", models: bool = True) -> tuple[Finding, ...]:
        """Every finding in `text`, surest first, in code points of `text`, before any threshold.

        Raises GuardFault: `pii.timeout` past the time that a text of this length may take, else `guard.fault`; and that
        of a plugin whose recogniser was asked, in the plugin's name.
        """
        if not text:
            return ()
        guard, fault = "privacy", "guard.fault"
        with analysing(text):
            try:
                return without_parts(self._results(text, path, models), self._models)
            except GuardFault as error:
                guard, fault = error.guard, error.code
            except TimeoutError:
                fault = TIMEOUT
            except Exception:  # noqa: BLE001 - a recogniser's error may hold the text; it becomes a refusal without it
                fault = "guard.fault"
        raise GuardFault(guard, fault)

    def __repr__(self) -> str:
        return f"Engine(entities={len(self.entities)})"


def _warmed(warm: Callable[[], object]) -> bool:
    """Warm an engine; False where it took too long. Raises what a recogniser raises."""
    with analysing(_WARM):
        try:
            warm()
        except TimeoutError:
            return False
        except GuardFault as fault:
            if fault.code != TIMEOUT:
                raise
            return False
    return True


def load(recognizers: Iterable[Any] = (), countries: Iterable[str] = ()) -> list[Any]:
    """Presidio's English recognisers that are on by default and need no language model, those of countries, these.

    `countries`: as `COUNTRIES` names them; all that Presidio has for them, in any language. `recognizers`:
    Presidio's own kind, from plugins, run as they are. Their patterns are compiled, and e-mail domains judged
    without the net. Raises Unfit.
    """
    with _quiet():
        return _loaded(recognizers, countries)


def _quiet() -> contextlib.AbstractContextManager[None]:
    """What Presidio logs of what we load and look at is kept from the application's log."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_SILENCE)
    return loading()


def _loaded(recognizers: Iterable[Any], countries: Iterable[str]) -> list[Any]:
    from presidio_analyzer import RecognizerRegistry
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    registry = RecognizerRegistry(supported_languages=[LANGUAGE])
    registry.load_predefined_recognizers(languages=[LANGUAGE])
    own = [one for one in registry.recognizers if not isinstance(one, SpacyRecognizer)]
    on = {type(one) for one in own}
    own += [one(supported_language=LANGUAGE) for one in _of_countries(countries) if one not in on]
    return [_prepared(one) for one in (*own, *map(_fit, recognizers))]


def _of_countries(countries: Iterable[str]) -> list[Any]:
    """Presidio's kinds of recogniser for these countries; their patterns know no language."""
    import presidio_analyzer.predefined_recognizers as predefined

    wanted = frozenset(countries)
    found = [vars(predefined)[name] for name in sorted(vars(predefined)) if name.endswith("Recognizer")]
    return [one for one in found if one.COUNTRY_CODE in wanted]


def models(readers: Iterable[Reader], extra: Iterable[Extra], folder: Path) -> Iterator[Any]:
    """The recognisers over the encoder's models, and those that the policy names. Raises Unfit."""
    from aigov.privacy.models import ModelRecognizer, spacy_pipeline
    from aigov.privacy.named import presidio_recognizer

    yield from (ModelRecognizer(one) for one in readers if one.entities)
    for one in extra:
        made = spacy_pipeline(one, folder) if one.spacy else presidio_recognizer(one, folder)
        yield _prepared(_fit(made))


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


def _words() -> Any:
    from presidio_analyzer.nlp_engine import NlpEngine
    from spacy.lang.en.stop_words import STOP_WORDS

    NlpEngine.register(Words)  # for a recogniser that asks for the kind of its engine
    return Words(STOP_WORDS)


def _rescores(recognizer: Any) -> bool:
    """Whether a recogniser changes scores by all results, its own and the others': Presidio's engine asks it."""
    from presidio_analyzer import EntityRecognizer

    own = "enhance_using_context" in vars(recognizer)
    return own or type(recognizer).enhance_using_context is not EntityRecognizer.enhance_using_context


def _analysed(analysis: Analysis) -> Results:
    """What the one pass finds, as findings."""
    names = analysis.names

    def results(text: str, path: str, models: bool) -> tuple[Finding, ...]:
        return tuple(
            Finding(kind=KIND, type=hit.type, start=hit.start, end=hit.end, score=float(hit.score),
                    detector=hit.named or names[hit.by], path=path)
            for hit in analysis.results(text, models)
        )  # fmt: skip

    return results


def _presidio(recognizers: list[Any]) -> Results:
    """What Presidio's own engine finds with exactly these recognisers on our words, as findings."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

    scores: Any = ContextScores()
    known = entities(recognizers)

    def analyzing(asked: list[Any]) -> Any:
        registry = RecognizerRegistry(asked, supported_languages=[LANGUAGE])
        return AnalyzerEngine(registry, _words(), supported_languages=[LANGUAGE], context_aware_enhancer=scores)

    every = analyzing(recognizers)
    patterns = analyzing([one for one in recognizers if not getattr(one, "aigov_model", False)])

    def results(text: str, path: str, models: bool) -> tuple[Finding, ...]:
        found = (every if models else patterns).analyze(text, LANGUAGE, score_threshold=0.0)
        stopwatch().left()  # a recogniser's own time limit may have ended in silence
        if not all(sound(result, known, len(text)) for result in found):
            raise Nonsense
        return tuple(_finding(result, path) for result in found)

    return results


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
