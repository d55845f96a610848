"""Why a finding is one: which recogniser and pattern, what its check said, which word nearby, how the score came.

The recognisers are asked again, one by one, as Presidio asks them; nothing of the text is in the answer, which
names patterns and words of the recognisers alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from aigov.errors import GuardFault
from aigov.privacy.patterns import analysing
from aigov.privacy.sight import View
from aigov.privacy.surroundings import Support
from aigov.privacy.words import LANGUAGE, Artifacts, Words
from aigov.types import Finding


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One finding and its steps.

    `pattern`: the name of the pattern, "" where the recogniser works otherwise; `expression`: what it says. `base`: the
    score of the pattern alone. `validated`: whether a check (digits, domain) passed, None where there is none.
    `context`: the recogniser's word that stands nearby, "" where none does. The finding has the score in the end.
    """

    finding: Finding
    pattern: str
    expression: str
    base: float
    validated: bool | None
    context: str

    def steps(self) -> dict[str, object]:
        """All but the finding itself."""
        return {name: getattr(self, name) for name in ("pattern", "expression", "base", "validated", "context")}


class _Step(NamedTuple):
    """What a recogniser says of a place in a view, and the words there."""

    result: Any
    recognizer: Any
    artifacts: Artifacts

    @property
    def context(self) -> str:
        """The recogniser's word that stands before the place, "" where none does."""
        return next(_near(self.recognizer, self.artifacts, self.result.start), "")

    def leads_to(self, score: float) -> bool:
        """Whether this is the score in the end."""
        own = self.result.score
        return math.isclose(score, own) or (self.context != "" and math.isclose(score, Support.raised(own)))

    def __repr__(self) -> str:
        return "_Step()"


def explain(views: Iterable[View], findings: Sequence[Finding], recognizers: Sequence[Any]) -> list[Explained]:
    """The findings that these recognisers explain, in their order. `views`: all in which they look.

    Raises GuardFault.
    """
    from spacy.lang.en.stop_words import STOP_WORDS

    fault = False
    words = Words(STOP_WORDS)
    steps: dict[tuple[str, int, int, str], list[_Step]] = {}
    try:
        for view in views:
            for key, step in _steps(view, words.process_text(view.text, LANGUAGE), recognizers):
                steps.setdefault(key, []).append(step)
    except Exception:  # noqa: BLE001 - a recogniser's error may hold the text; it becomes a refusal without it
        fault = True
    if fault:
        raise GuardFault("privacy")
    return [
        _explained(finding, steps[key])
        for finding in findings
        if (key := (finding.type, finding.start, finding.end, finding.detector)) in steps
    ]


def _steps(
    view: View, artifacts: Artifacts, recognizers: Sequence[Any]
) -> Iterator[tuple[tuple[str, int, int, str], _Step]]:
    with analysing(view.text):
        for one in recognizers:
            if view.part and getattr(one, "aigov_model", False):
                continue
            for result in one.analyze(view.text, one.supported_entities, artifacts) or ():
                span = view.place(result.start, result.end)
                if span is not None:
                    yield (result.entity_type, *span, one.name), _Step(result, one, artifacts)


def _explained(finding: Finding, steps: list[_Step]) -> Explained:
    step = next((one for one in steps if one.leads_to(finding.score)), max(steps, key=lambda one: one.result.score))
    why = step.result.analysis_explanation
    raised = finding.score > step.result.score
    return Explained(
        finding=finding,
        pattern=str(getattr(why, "pattern_name", "") or ""),
        expression=str(getattr(why, "pattern", "") or ""),
        base=float(getattr(why, "original_score", None) or step.result.score),
        validated=getattr(why, "validation_result", None),
        context=step.context if raised else "",
    )


def _near(recognizer: Any, artifacts: Artifacts, start: int) -> Iterator[str]:
    """The recogniser's context words that stand before a place."""
    near = artifacts.words_before(start)
    return (word for word in recognizer.context or () if any(word.lower() in candidate for candidate in near))
