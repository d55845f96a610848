"""The same findings as Presidio: type, start, end and score, for every recogniser, on any text.

The oracle is Presidio's own `AnalyzerEngine` on the same words. Longer: `python -m tests.privacy.long_differential`.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from presidio_analyzer import AnalyzerEngine, Pattern, PatternRecognizer

from aigov.privacy.analysis import Analysis
from aigov.privacy.engine import Engine, load
from aigov.privacy.words import Words
from tests.privacy import long_differential, oracle
from tests.privacy.samples import drawn_from, patterns

Both = tuple[Engine, AnalyzerEngine]


def both(countries: tuple[str, ...]) -> Both:
    engine = Engine.build(load(oracle.own(), countries))
    return engine, oracle.presidio([*oracle.untouched(countries), *oracle.own()])


@pytest.fixture(scope="module")
def default() -> Both:
    """The recognisers that are on by default, and an organisation's own."""
    return both(())


@pytest.fixture(scope="module")
def everywhere() -> Both:
    """Those of every country as well."""
    return both(oracle.EVERY_COUNTRY)


def test_every_line_of_the_corpus(default: Both, everywhere: Both) -> None:
    assert len(oracle.CORPUS) > 300
    for engine, presidio in (default, everywhere):
        wrong = [line for line in oracle.CORPUS if oracle.ours(engine, line) != oracle.expected(presidio, line)]
        assert wrong == []


def test_the_corpus_as_one_text(default: Both) -> None:
    engine, presidio = default
    text = "\n".join(oracle.CORPUS)
    assert oracle.ours(engine, text) == oracle.expected(presidio, text)


@pytest.mark.timeout(1800)
def test_twenty_thousand_generated_texts() -> None:
    """In processes of their own, one text in five with the recognisers of every country."""
    command = [sys.executable, "-m", "tests.privacy.long_differential", "--texts", "20000", "--chars", "2000"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("20000 texts, ")


def test_texts_without_digits(everywhere: Both) -> None:
    """They are read by a smaller database."""
    engine, presidio = everywhere
    draw = random.Random(77)
    texts = ("".join(char for char in oracle.generated(draw, 400) if not char.isdigit()) for _ in range(300))
    wrong = [text for text in texts if oracle.ours(engine, text) != oracle.expected(presidio, text)]
    assert wrong == []


def test_a_difference_is_made_small_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "ours", lambda engine, text: "none" if "@" in text else oracle.expected(engine, text))
    monkeypatch.setattr(oracle, "expected", lambda engine, text: "some" if "@" in text else [])
    monkeypatch.setattr(long_differential, "both", lambda countries: (None, None))
    told = [said for _, _, said in long_differential.batches(0, 300, 500, processes=1) if said]
    assert told
    assert all(": '@'\n" in said for said in told)


pieces = (
    st.sampled_from(oracle.VALUES) | st.sampled_from(oracle.WORDS) | st.sampled_from(oracle.SIGNS) | st.text(max_size=8)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join))
def test_a_difference_shrinks(everywhere: Both, text: str) -> None:
    engine, presidio = everywhere
    assert oracle.ours(engine, text) == oracle.expected(presidio, text)


@pytest.mark.parametrize("size", [1, 100_000])
def test_texts_of_other_sizes(default: Both, size: int) -> None:
    engine, presidio = default
    draw = random.Random(size)
    text = "".join(oracle.generated(draw, 2000) for _ in range(size // 400 + 1))[:size]
    assert oracle.ours(engine, text) == oracle.expected(presidio, text)


def test_without_hyperscan_the_same_findings(default: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hyperscan", None)
    plain = Engine.build(load(oracle.own()))
    assert plain.scanner is not None
    assert plain.scanner.made == "absent"
    draw = random.Random(9)
    for text in (*oracle.CORPUS[:100], *(oracle.generated(draw, 500) for _ in range(60))):
        assert oracle.ours(plain, text) == oracle.ours(default[0], text)


def without(recognizer: Any, index: int, matched: str) -> Pattern:
    del recognizer, index, matched
    return Pattern("nothing", "(?!)x", 0.5)


def narrowed(recognizer: Any, index: int, matched: str) -> Pattern:
    """It no longer takes what ends as one of its matches ends."""
    given_one = recognizer.patterns[index]
    return Pattern(given_one.name, f"(?:{given_one.regex})(?<!{regex.escape(matched[-1])})", given_one.score)


def rescored(recognizer: Any, index: int, matched: str) -> Pattern:
    """Another score; where a check decides, one that never holds."""
    del matched
    given_one = recognizer.patterns[index]
    return Pattern(given_one.name, given_one.regex, (given_one.score + 0.17) % 1)


Change = Callable[[Any, int, str], Pattern]


def found_out(number: int, change: Change, alone: bool) -> bool:
    """Whether a text is found on which the recogniser with a changed pattern differs from Presidio's own."""
    recognizer, index = patterns()[number]
    changed = copy.copy(recognizer)
    changed.patterns = [
        change(recognizer, at, a_match(number)) if at == index or not alone else one
        for at, one in enumerate(recognizer.patterns)
    ]  # fmt: skip
    analysis = Analysis([changed], Words(()))
    for text in texts_for(number):
        with contextlib.suppress(KeyError, ValueError):
            right = {(one.start, one.end, one.score) for one in recognizer.analyze(text, [])}
            if right != {(hit.start, hit.end, hit.score) for hit in analysis.results(text)}:
                return True
    return change is rescored and checked(recognizer)


@functools.cache
def a_match(number: int) -> str:
    """Something that the pattern matches and that counts, in one of the texts in which a change is looked for."""
    recognizer, index = patterns()[number]
    compiled = regex.compile(recognizer.patterns[index].regex, recognizer.global_regex_flags)
    for text in texts_for(number):
        spans = {match.span() for match in compiled.finditer(text)}
        with contextlib.suppress(KeyError, ValueError):
            for one in recognizer.analyze(text, []) if spans else ():
                if (one.start, one.end) in spans:
                    return text[one.start : one.end]
    return "0"


def texts_for(number: int) -> Iterator[str]:
    """Texts in which a pattern may match: the values, then 3,000 that are drawn from it."""
    draw, drawn = random.Random(number), drawn_from(number)
    yield from oracle.VALUES
    yield from (drawn(draw) for _ in range(3000))


def checked(recognizer: Any) -> bool:
    """Whether a check of its own, and not the pattern's score, says how sure a match is."""
    return getattr(recognizer.validate_result, "__func__", None) is not PatternRecognizer.validate_result


@pytest.mark.parametrize("change", [without, narrowed, rescored])
def test_a_pattern_that_is_changed_is_found_out(change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pattern of every recogniser in turn: some text of those drawn from it shows the difference.

    A pattern that finds nothing beyond another of its recogniser, as surely, is changed together with that one.
    """
    monkeypatch.setitem(sys.modules, "hyperscan", None)  # no database for each of them
    unseen = [
        (type(recognizer).__name__, index)
        for number, (recognizer, index) in enumerate(patterns())
        if not any(found_out(number, change, alone) for alone in (True, False))
    ]
    assert unseen == []
