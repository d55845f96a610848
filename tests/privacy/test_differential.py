"""The same findings as Presidio: type, start, end and score, for every recogniser, on any text.

The oracle is Presidio's own `AnalyzerEngine` on the same words. Longer: `python -m tests.privacy.long_differential`.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from presidio_analyzer import AnalyzerEngine, Pattern

from aigov.privacy.analysis import Analysis
from aigov.privacy.engine import Engine, load
from aigov.privacy.words import Words
from tests.privacy import oracle
from tests.privacy.samples import sampler

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


@pytest.mark.parametrize("seed", range(4))
def test_generated_texts(default: Both, seed: int) -> None:
    engine, presidio = default
    draw = random.Random(seed)
    for _ in range(400):
        text = oracle.generated(draw, 2000)
        assert oracle.ours(engine, text) == oracle.expected(presidio, text)


@pytest.mark.parametrize("seed", range(2))
def test_generated_texts_with_every_country(everywhere: Both, seed: int) -> None:
    engine, presidio = everywhere
    draw = random.Random(seed)
    for _ in range(150):
        text = oracle.generated(draw, 2000)
        assert oracle.ours(engine, text) == oracle.expected(presidio, text)


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


BEFORE = (
    "", "", "x ", "(", "claim # ", "rx ", "prescription no ", "prior auth ", "provider tax id ", "referral: ",
)  # fmt: skip


def test_a_pattern_that_is_changed_is_found_out() -> None:
    """Any one pattern out of its recogniser: some text shows the difference.

    A pattern that finds nothing beyond another of its recogniser, as surely, goes out together with that one.
    """
    unseen = [
        (type(recognizer).__name__, index)
        for recognizer in load((), oracle.EVERY_COUNTRY)
        for index in range(len(getattr(recognizer, "patterns", None) or ()))
        if not found_out(recognizer, index, alone=True) and not found_out(recognizer, index, alone=False)
    ]
    assert unseen == []


def found_out(recognizer: Any, index: int, alone: bool) -> bool:
    """Whether a text is found on which the recogniser without a pattern differs from Presidio's whole one."""
    changed = copy.copy(recognizer)
    kept = [one for at, one in enumerate(recognizer.patterns) if alone and at != index]
    changed.patterns = kept or [Pattern("nothing", "(?!)x", 0.5)]
    analysis = Analysis([changed], Words(()))
    draw = random.Random(index)
    draws = sampler(recognizer.patterns[index].regex.replace("(?i)", ""), int(recognizer.global_regex_flags))
    drawn = (draw.choice(BEFORE) + draws(draw) + draw.choice(("", " y", ")")) for _ in range(3000))
    for text in itertools.chain(oracle.VALUES, drawn):
        with contextlib.suppress(KeyError, ValueError):
            right = {(one.start, one.end, one.score) for one in recognizer.analyze(text, [])}
            if right != {(hit.start, hit.end, hit.score) for hit in analysis.results(text)}:
                return True
    return False
