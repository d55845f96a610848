"""Detection by the privacy guard beside the bare Presidio analyzer, on the same texts in the same run.

    python -m benchmarks.privacy [--rounds N]

Both run Presidio's default English recognisers that need no language model. `presidio` is its own
AnalyzerEngine with its own context enhancer on the same words; `no words` is the same with its no-op NLP
engine, which finds no context words. Texts do not repeat. The e-mail recogniser of all three judges
domains offline. Medians in milliseconds; a ratio under 1 means that the guard is faster.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpArtifacts, NoOpNlpEngine
from presidio_analyzer.predefined_recognizers import EmailRecognizer, SpacyRecognizer

from aigov.errors import Location
from aigov.hookspecs import Context
from aigov.privacy.engine import offline_domain_check
from aigov.privacy.guard import PrivacyGuard, plugin
from aigov.privacy.settings import Settings
from aigov.privacy.words import LANGUAGE, Words
from aigov.types import Part, Section

SIZES = (100, 1_000, 10_000)
PROSE = re.findall(
    r"\w+",
    "the customer writes that the parcel came late and the box was open so we look into it and answer soon "
    "please tell us which colour was wanted and whether the old one goes back or stays where it is today",
)
VALUES: tuple[Callable[[random.Random], str], ...] = (
    lambda draw: f"user{draw.randrange(10**6)}@example.com",
    lambda draw: f"212-555-{draw.randrange(100, 200):04}",
    lambda draw: f"+44 20 7946 0{draw.randrange(100, 1000)}",
    lambda draw: f"{draw.randrange(1, 255)}.{draw.randrange(255)}.0.{draw.randrange(255)}",
    lambda draw: f"account number {draw.randrange(10**9, 10**10)}",
    lambda draw: f"0{draw.randrange(1, 10)}/1{draw.randrange(0, 3)}/2024",
    lambda draw: f"https://www.example.com/{draw.randrange(10**6)}",
    lambda draw: "4111 1111 1111 1111",
)


class PlainWords(Words):
    """The guard's words in Presidio's own artifacts, for its own enhancer to walk."""

    def process_text(self, text: str, language: str) -> Any:
        """The words of one text."""
        ours = super().process_text(text, language)
        return NlpArtifacts([], ours.tokens, ours.tokens_indices, ours.lemmas, self, language)


def text_of(size: int, findings: bool, draw: random.Random) -> str:
    """About `size` characters of prose, with a value every 120 characters or none."""
    words: list[str] = []
    length = since = 0
    while length < size:
        value = findings and since >= 90
        word = draw.choice(VALUES)(draw) if value else draw.choice(PROSE)
        since = 0 if value else since + len(word) + 1
        words.append(word)
        length += len(word) + 1
    return " ".join(words)[:size]


def guard() -> PrivacyGuard:
    """The guard as a policy without settings starts it."""
    section = Section(Settings(), "organisation", lambda *path: Location("benchmark"))
    return plugin.aigov_start(
        section, Context(folder=Path(), key=lambda label: hashlib.sha256(label.encode()).digest())
    )


def presidio(words: Any) -> AnalyzerEngine:
    """Presidio's engine with its own recognisers, as it comes, over this NLP engine."""
    registry = RecognizerRegistry(supported_languages=[LANGUAGE])
    registry.load_predefined_recognizers(languages=[LANGUAGE])
    registry.recognizers = [one for one in registry.recognizers if not isinstance(one, SpacyRecognizer)]
    for one in registry.recognizers:
        if isinstance(one, EmailRecognizer):
            one.validate_result = offline_domain_check()
    return AnalyzerEngine(registry, words, supported_languages=[LANGUAGE])


def medians_ms(contenders: dict[str, Callable[[str], Any]], texts: list[str]) -> dict[str, float]:
    """The median time of one call of each, in milliseconds; they take turns, so that load falls on all alike."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for text in texts:
        for name, function in contenders.items():
            start = time.perf_counter()
            function(text)
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    """Print a line for each size, with and without findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="texts of each kind")
    rounds = parser.parse_args().rounds
    start = time.perf_counter()
    ours = guard()
    print(f"first start in this process, Presidio already imported: {time.perf_counter() - start:.2f} s")
    from spacy.lang.en.stop_words import STOP_WORDS

    bare, wordless = presidio(PlainWords(STOP_WORDS)), presidio(NoOpNlpEngine([{"lang_code": "en", "model_name": ""}]))
    contenders: dict[str, Callable[[str], Any]] = {
        "guard": lambda text: ours.aigov_detect(Part(path="", text=text), "input"),
        "presidio": lambda text: bare.analyze(text, LANGUAGE),
        "no words": lambda text: wordless.analyze(text, LANGUAGE),
    }
    print(f"{'text':>22}  " + "  ".join(f"{name:>9}" for name in contenders) + "   guard/presidio  guard/no words")
    draw = random.Random(1)
    for findings in (False, True):
        for size in SIZES:
            medians = medians_ms(contenders, [text_of(size, findings, draw) for _ in range(rounds)])
            kind = f"{size} chars, {'findings' if findings else 'clean'}"
            row = "  ".join(f"{medians[name]:>6.2f} ms" for name in contenders)
            against = [medians["guard"] / medians[name] for name in ("presidio", "no words")]
            print(f"{kind:>22}  {row}   {against[0]:>14.2f}  {against[1]:>14.2f}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
