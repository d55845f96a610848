"""Why a finding is one: which recogniser and pattern, what its check said, which word nearby, how the score came.

The recognisers are asked again, one by one, as Presidio asks them; nothing of the text is in the answer, which
names patterns and words of the recognisers alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from aigov.errors import GuardFault
from aigov.privacy.patterns import analysing
from aigov.privacy.words import LANGUAGE, Words
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


def explain(text: str, findings: Sequence[Finding], recognizers: Iterable[Any]) -> list[Explained]:
    """The findings that these recognisers explain, in their order. Raises GuardFault."""
    from spacy.lang.en.stop_words import STOP_WORDS

    fault = False
    steps: dict[tuple[str, int, int, str], tuple[Any, Any]] = {}
    artifacts = Words(STOP_WORDS).process_text(text, LANGUAGE)
    with analysing(text):
        try:
            for one in recognizers:
                for result in one.analyze(text=text, entities=one.supported_entities, nlp_artifacts=artifacts) or ():
                    key = result.entity_type, result.start, result.end, one.name
                    if key not in steps or result.score > steps[key][0].score:
                        steps[key] = result, one
        except Exception:  # noqa: BLE001 - a recogniser's error may hold the text; it becomes a refusal without it
            fault = True
    if fault:
        raise GuardFault("privacy")
    return [
        _explained(finding, *steps[key], artifacts)
        for finding in findings
        if (key := (finding.type, finding.start, finding.end, finding.detector)) in steps
    ]


def _explained(finding: Finding, result: Any, recognizer: Any, artifacts: Any) -> Explained:
    why = result.analysis_explanation
    raised = finding.score > result.score
    return Explained(
        finding=finding,
        pattern=str(getattr(why, "pattern_name", "") or ""),
        expression=str(getattr(why, "pattern", "") or ""),
        base=float(getattr(why, "original_score", None) or result.score),
        validated=getattr(why, "validation_result", None),
        context=next(_near(recognizer, artifacts, finding.start), "") if raised else "",
    )


def _near(recognizer: Any, artifacts: Any, start: int) -> Iterator[str]:
    """The recogniser's context words that stand before a place."""
    near = artifacts.words_before(start)
    return (word for word in recognizer.context or () if any(word.lower() in candidate for candidate in near))
