"""Labels to spans: the likeliest sequence that makes sense, whole words, a probability for each."""

from __future__ import annotations

import itertools
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aigov.encoder.labels import Labels

NAMES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
MADE = Labels(NAMES)
logits = st.integers(1, 5).flatmap(
    lambda count: arrays(numpy.float32, (count, len(NAMES)), elements=st.floats(-9, 9, width=32))
)


def rows(*chosen: str, names: tuple[str, ...] = NAMES, sure: float = 5.0) -> Any:
    made = numpy.zeros((len(chosen), len(names)), numpy.float32)
    for at, name in enumerate(chosen):
        made[at, names.index(name)] = sure
    return made


def spans(labels: Labels, table: Any, words: list[int] | None = None) -> list[tuple[str, int, int]]:
    return [one[:3] for one in labels.spans(table, list(range(len(table))) if words is None else words)]


def allowed(path: tuple[int, ...]) -> bool:
    for before, after in itertools.pairwise((0, *path)):
        name = NAMES[after]
        if name.startswith("I-") and NAMES[before][2:] != name[2:]:
            return False
    return True


@given(logits)
def test_it_is_the_likeliest_sequence_of_all_that_make_sense(table: Any) -> None:
    paths = itertools.product(range(len(NAMES)), repeat=len(table))
    best = max(sum(table[at, label] for at, label in enumerate(path)) for path in paths if allowed(path))
    chosen = MADE.spans(table, list(range(len(table))))
    labels = [0] * len(table)
    for kind, first, last, _ in chosen:
        labels[first:last] = [NAMES.index(f"B-{kind}"), *[NAMES.index(f"I-{kind}")] * (last - first - 1)]
    assert allowed(tuple(labels))
    assert float(sum(table[at, label] for at, label in enumerate(labels))) == pytest.approx(float(best), abs=1e-2)


@given(logits)
def test_scores_are_probabilities(table: Any) -> None:
    assert all(0 <= one.score <= 1 + 1e-6 for one in MADE.spans(table, list(range(len(table)))))


def test_the_score_of_a_span_is_the_mean_probability_of_its_type() -> None:
    """Whether as its beginning or its inside; over its words."""
    shares = [[0.1, 0.6, 0.2, 0.1, 1e-9], [0.3, 0.2, 0.4, 0.1, 1e-9], [1.0, 1e-9, 1e-9, 1e-9, 1e-9]]
    [one] = MADE.spans(numpy.log(numpy.array(shares)), [0, 1, 2])
    assert one[:3] == ("PER", 0, 2)
    assert one.score == pytest.approx((0.8 + 0.6) / 2)


def test_spans_begin_at_b_and_go_on_at_i() -> None:
    table = rows("B-PER", "I-PER", "O", "B-LOC", "B-LOC", "I-LOC", "B-PER")
    assert spans(MADE, table) == [("PER", 0, 2), ("LOC", 3, 4), ("LOC", 4, 6), ("PER", 6, 7)]


def test_the_pieces_of_a_word_vote() -> None:
    """Two of three pieces say that it is a name."""
    table = rows("O", "I-PER", "I-PER", "O", sure=3)
    assert spans(MADE, table, [0, 3]) == [("PER", 0, 1)]
    assert spans(Labels(NAMES, firsts=True), table, [0, 3]) == []


def test_other_ways_of_writing_labels_are_read() -> None:
    scheme = ("O", "B-PER", "I-PER", "E-PER", "S-PER")
    assert spans(Labels(scheme), rows("S-PER", "B-PER", "I-PER", "E-PER", names=scheme)) == [
        ("PER", 0, 1),
        ("PER", 1, 4),
    ]
    bare = ("O", "PER", "LOC")
    assert spans(Labels(bare), rows("PER", "PER", "LOC", "O", "PER", names=bare)) == [
        ("PER", 0, 2),
        ("LOC", 2, 3),
        ("PER", 4, 5),
    ]
    inside = ("O", "I-PER", "I-LOC")
    assert spans(Labels(inside), rows("I-PER", "I-PER", "I-LOC", names=inside)) == [("PER", 0, 2), ("LOC", 2, 3)]
    assert Labels(inside).types == ("PER", "LOC")


def test_nothing_in_nothing_out() -> None:
    assert MADE.spans(rows("O", "O"), [0, 1]) == []
    assert MADE.spans(numpy.zeros((0, len(NAMES)), numpy.float32), []) == []


@pytest.mark.parametrize("names", [(), ("O",), ("B-PER", "I-PER"), ("O", "B-PER", "B-PER")])
def test_labels_that_say_nothing_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="labels"):
        Labels(names)
