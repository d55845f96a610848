"""The order of the steps is a type: every step out of order is refused, for every pair of steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.audit.log import Receipt
from aigov.errors import OutOfOrder
from aigov.passage import CALL, INTENT, ORDER, OUTCOME, RELEASE, Passage, Released, Sealed, Streaming


def receipt(kind: str, call: str = "c") -> Receipt:
    return Receipt(id="i", kind=kind, call=call, seq=1, digest="d")


def advanced(to: int) -> Passage:
    """A passage that has taken every step up to and with `to`; -1 for none."""
    passage = Passage("c")
    for step in ORDER:
        if to < 0:
            break
        if step == CALL:
            passage.seal(receipt("call.intent"), {})
        elif step == RELEASE:
            passage.release(receipt("call.outcome"), None)
        else:
            passage.take(step)
        if step == to:
            break
    return passage


@pytest.mark.parametrize("at", [-1, *ORDER])
@pytest.mark.parametrize("step", ORDER)
def test_only_the_very_next_step_may_be_taken(at: int, step: int) -> None:
    passage = advanced(at)
    following = dict(zip([-1, *ORDER], ORDER, strict=False)).get(at)
    if step == following and step not in (CALL, RELEASE):
        passage.take(step)
        assert passage.step == step
    else:
        with pytest.raises(OutOfOrder):
            passage.take(step)
        assert passage.step == at


@pytest.mark.parametrize(
    "bad", [receipt("call.outcome"), receipt("call.intent", "other"), receipt("call.denied"), None]
)
def test_a_call_is_sealed_by_the_receipt_of_its_own_intent_alone(bad: Receipt) -> None:
    with pytest.raises(OutOfOrder):
        advanced(INTENT).seal(bad, {})


@pytest.mark.parametrize(
    "bad", [receipt("call.intent"), receipt("call.outcome", "other"), receipt("stream.opened"), None]
)
def test_an_answer_is_released_by_the_receipt_of_its_own_outcome_alone(bad: Receipt) -> None:
    with pytest.raises(OutOfOrder):
        advanced(OUTCOME).release(bad, "answer")


@pytest.mark.parametrize(
    "bad", [receipt("call.intent"), receipt("stream.opened", "other"), receipt("call.outcome"), None]
)
def test_a_stream_is_released_by_the_receipt_of_its_own_opening_alone(bad: Receipt) -> None:
    with pytest.raises(OutOfOrder):
        advanced(OUTCOME).open_stream(bad, ["answer"], lambda taken: iter(()))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("at", [step for step in (-1, *ORDER) if step != INTENT])
def test_a_call_cannot_be_sealed_before_or_after_its_intent(at: int) -> None:
    with pytest.raises(OutOfOrder):
        advanced(at).seal(receipt("call.intent"), {})


def test_nobody_else_makes_a_sealed_call_or_an_answer_that_may_leave() -> None:
    for make in (Sealed, Released, lambda wax, given: Streaming(wax, given, lambda taken: None)):  # type: ignore[arg-type,return-value]
        with pytest.raises(OutOfOrder):
            make(object(), {})


@given(st.lists(st.sampled_from(ORDER), max_size=20))
def test_no_sequence_of_steps_gets_past_one_that_was_left_out(steps: list[int]) -> None:
    passage, taken = Passage("c"), []
    for step in steps:
        try:
            passage.take(step)
        except OutOfOrder:
            continue
        taken.append(step)
    assert taken == list(ORDER[: len(taken)])
    assert taken == [step for step in taken if step < CALL]
