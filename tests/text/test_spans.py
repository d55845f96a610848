"""Overlapping edits, and putting replacements in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.text.spans import resolve, splice
from aigov.types import Edit


def edit(start: int, end: int, score: float = 1.0, type: str = "A", part: int = 0, guard: str = "g") -> Edit:
    return Edit(part=part, start=start, end=end, type=type, action="redact", guard=guard, score=score)


EDITS = st.lists(
    st.builds(
        lambda start, length, score, type, part: edit(start, start + length, score, type, part),
        st.integers(0, 30),
        st.integers(0, 12),
        st.sampled_from([0.0, 0.4, 0.9, 1.0]),
        st.sampled_from(["A", "B", "C"]),
        st.integers(0, 2),
    ),
    max_size=12,
)


def covered(edits: object) -> set[tuple[int, int]]:
    return {(e.part, place) for e in edits for place in range(e.start, e.end)}  # type: ignore[attr-defined]


@given(EDITS)
def test_every_covered_character_stays_covered_and_no_other(edits: list[Edit]) -> None:
    assert covered(resolve(edits)) == covered(edits)


@given(EDITS)
def test_the_result_is_disjoint_and_sorted(edits: list[Edit]) -> None:
    result = resolve(edits)
    assert len(covered(result)) == sum(e.end - e.start for e in result)
    assert [(e.part, e.start) for e in result] == sorted((e.part, e.start) for e in result)


@given(EDITS, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(edits: list[Edit], chance: object) -> None:
    shuffled = list(edits)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert resolve(shuffled) == resolve(edits)


@given(EDITS)
def test_resolving_again_changes_nothing(edits: list[Edit]) -> None:
    assert resolve(resolve(edits)) == resolve(edits)


@given(EDITS)
def test_each_character_belongs_to_the_best_edit_over_it(edits: list[Edit]) -> None:
    for piece in resolve(edits):
        for place in range(piece.start, piece.end):
            over = [e for e in edits if e.part == piece.part and e.start <= place < e.end]
            best = min(over, key=lambda e: (-e.score, e.start - e.end, e.start, e.type))
            assert (piece.score, piece.type) == (best.score, best.type)


@pytest.mark.parametrize(
    ("edits", "wanted"),
    [
        ([edit(0, 9, 0.4), edit(2, 5, 0.9, "B")], [(0, 2, "A"), (2, 5, "B"), (5, 9, "A")]),
        ([edit(0, 9, 0.9), edit(2, 5, 0.4, "B")], [(0, 9, "A")]),
        ([edit(0, 4), edit(2, 9, type="B")], [(0, 2, "A"), (2, 9, "B")]),
        ([edit(0, 4), edit(2, 6, type="B")], [(0, 4, "A"), (4, 6, "B")]),
        ([edit(0, 4, type="B"), edit(0, 4)], [(0, 4, "A")]),
        ([edit(0, 4), edit(4, 8)], [(0, 4, "A"), (4, 8, "A")]),
        ([edit(3, 3)], []),
    ],
)
def test_examples(edits: list[Edit], wanted: list[tuple[int, int, str]]) -> None:
    assert [(e.start, e.end, e.type) for e in resolve(edits)] == wanted


@pytest.mark.parametrize("wrong", [edit(5, 4), edit(-1, 2), edit(0, 2, float("nan"))])
def test_a_nonsense_edit_is_refused(wrong: Edit) -> None:
    with pytest.raises(ValueError, match="span"):
        resolve([wrong])


def test_splice_puts_replacements_in() -> None:
    assert splice("one two three", [(4, 7, "2"), (0, 3, ""), (13, 13, "!")]) == " 2 three!"


@given(st.text(), st.data())
def test_splicing_the_same_text_changes_nothing(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    assert splice(text, [(start, end, text[start:end]) for start, end in spans]) == text


@pytest.mark.parametrize("wrong", [[(0, 3, ""), (2, 4, "")], [(0, 6, "")], [(-1, 2, "")], [(3, 2, "")]])
def test_splice_refuses_overlaps_and_places_outside(wrong: list[tuple[int, int, str]]) -> None:
    with pytest.raises(ValueError, match="overlap"):
        splice("abcde", wrong)
