"""The verdict algebra: nothing that is added loosens, order never matters, shadow never counts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.errors import GuardFault
from aigov.policy.decide import MAX_RULINGS, Decider, combine
from aigov.types import Decision, Edit, Facts, Judge, Principal, Reason, Ruling, Verdict

CODES = st.sampled_from(["a.one", "b.two", "c.three"])
REASONS = st.builds(Reason, code=CODES, rule=st.sampled_from(["", "r1", "r2"]), layer=st.just("organisation"))
EDITS = st.builds(
    Edit,
    part=st.integers(0, 2),
    start=st.integers(0, 9),
    end=st.integers(9, 12),
    type=st.just("US_SSN"),
    action=st.just("mask"),
    guard=st.just("privacy"),
)
VERDICTS = st.sampled_from(Verdict)


@st.composite
def a_ruling(draw: st.DrawFn) -> Ruling:
    verdict = draw(VERDICTS)
    edits = () if verdict is Verdict.ALLOW else tuple(draw(st.lists(EDITS, max_size=2)))
    return Ruling(verdict=verdict, reason=draw(REASONS), edits=edits, shadow=draw(st.booleans()))


RULINGS = st.lists(a_ruling(), max_size=6).map(tuple)
FACTS = Facts(direction="input", action="chat", resource="model:m", principal=Principal(id="dana"))


def judge(rulings: Iterable[Ruling]) -> Judge:
    kept = tuple(rulings)
    return lambda facts: kept


def decide(*groups: tuple[Ruling, ...], given: tuple[Ruling, ...] = ()) -> Decision:
    judges = tuple((f"guard{index}", judge(group)) for index, group in enumerate(groups))
    return Decider(judges, "digest").decide(msgspec.structs.replace(FACTS, rulings=given))


def ruling(verdict: Verdict, code: str = "a.one", **more: Any) -> Ruling:
    return Ruling(verdict=verdict, reason=Reason(code=code), **more)


EDIT = Edit(part=0, start=0, end=1, type="T", action="mask", guard="privacy")


def test_max_is_a_semilattice_in_which_deny_absorbs() -> None:
    for one, two, three in itertools.product(Verdict, repeat=3):
        assert max(one, two) is max(two, one)
        assert max(one, max(two, three)) is max(max(one, two), three)
        assert max(one, one) is one
        assert max(one, Verdict.DENY) is Verdict.DENY


@given(RULINGS)
def test_the_verdict_is_the_strictest_of_all_that_count(rulings: tuple[Ruling, ...]) -> None:
    firm = [item.verdict for item in rulings if not item.shadow]
    assert decide(rulings).verdict is max(firm, default=Verdict.ALLOW)


@given(RULINGS, RULINGS, RULINGS)
def test_another_judge_never_loosens(
    given: tuple[Ruling, ...], one: tuple[Ruling, ...], two: tuple[Ruling, ...]
) -> None:
    assert decide(one, two, given=given).verdict >= decide(one, given=given).verdict


@given(RULINGS, a_ruling())
def test_another_ruling_never_loosens(rulings: tuple[Ruling, ...], more: Ruling) -> None:
    assert decide((*rulings, more)).verdict >= decide(rulings).verdict


@given(RULINGS, RULINGS)
def test_what_is_in_shadow_changes_nothing_in_force(rulings: tuple[Ruling, ...], others: tuple[Ruling, ...]) -> None:
    shadow = tuple(msgspec.structs.replace(item, shadow=True) for item in others)
    with_it, without = decide(rulings, shadow), decide(rulings)
    assert (with_it.verdict, with_it.reasons, with_it.edits) == (without.verdict, without.reasons, without.edits)


@given(st.lists(RULINGS, min_size=2, max_size=4), st.randoms())
def test_the_order_of_judges_never_matters_to_what_is_in_force(groups: list[Any], random: Any) -> None:
    shuffled = list(groups)
    random.shuffle(shuffled)
    one, two = decide(*groups), decide(*shuffled)
    assert one.verdict is two.verdict
    assert set(one.reasons) == set(two.reasons)
    assert set(one.edits) == set(two.edits)
    assert set(one.shadow) == set(two.shadow)


@given(RULINGS)
def test_the_same_facts_give_the_same_decision(rulings: tuple[Ruling, ...]) -> None:
    assert decide(rulings) == decide(rulings)


@given(RULINGS)
def test_reasons_are_those_at_the_verdict_each_once_in_order(rulings: tuple[Ruling, ...]) -> None:
    decision = decide(rulings)
    wanted = [item.reason for item in rulings if not item.shadow and item.verdict is decision.verdict]
    assert decision.reasons == tuple(dict.fromkeys(wanted))


@given(RULINGS)
def test_a_refusal_and_a_pass_carry_no_edits(rulings: tuple[Ruling, ...]) -> None:
    decision = decide(rulings)
    if decision.verdict in (Verdict.ALLOW, Verdict.DENY):
        assert decision.edits == ()


@given(RULINGS)
def test_a_review_keeps_the_edits_that_the_call_needs_when_it_goes_on(rulings: tuple[Ruling, ...]) -> None:
    edited = ruling(Verdict.TRANSFORM, edits=(EDIT,))
    decision = decide((*rulings, edited))
    assert EDIT in decision.edits or decision.verdict is Verdict.DENY


@given(RULINGS)
def test_shadow_tells_what_would_have_been_stricter_than_a_pass(rulings: tuple[Ruling, ...]) -> None:
    wanted = tuple(item for item in rulings if item.shadow and item.verdict > Verdict.ALLOW)
    assert decide(rulings).shadow == wanted


def test_nothing_said_is_a_pass() -> None:
    assert decide() == Decision(verdict=Verdict.ALLOW, policy_digest="digest")
    assert combine(()).allowed


def raises(facts: Facts) -> Iterable[Ruling]:
    raise RuntimeError("canary")


def breaks_half_way(facts: Facts) -> Iterable[Ruling]:
    yield ruling(Verdict.ALLOW)
    raise RuntimeError("canary")


def never_ends(facts: Facts) -> Iterable[Ruling]:
    while True:
        yield ruling(Verdict.ALLOW)


class Turncoat(Ruling, frozen=True):
    pass


BAD_RULINGS = [
    None,
    True,
    "deny",
    Verdict.DENY,
    Turncoat(verdict=Verdict.DENY, reason=Reason(code="a")),
    Ruling(verdict=3, reason=Reason(code="a")),  # type: ignore[arg-type]
    Ruling(verdict=True, reason=Reason(code="a")),  # type: ignore[arg-type]
    Ruling(verdict=Verdict.DENY, reason="a"),  # type: ignore[arg-type]
    Ruling(verdict=Verdict.DENY, reason=Reason(code="a canary")),
    Ruling(verdict=Verdict.DENY, reason=Reason(code="")),
    Ruling(verdict=Verdict.DENY, reason=Reason(code="a" * 65)),
    Ruling(verdict=Verdict.DENY, reason=Reason(code="a\n")),
    Ruling(verdict=Verdict.DENY, reason=Reason(code=b"a")),  # type: ignore[arg-type]
    Ruling(verdict=Verdict.DENY, reason=Reason(code="a", rule="x" * 257)),
    Ruling(verdict=Verdict.DENY, reason=Reason(code="a", layer=None)),  # type: ignore[arg-type]
    Ruling(verdict=Verdict.DENY, reason=Reason(code="a"), shadow=1),  # type: ignore[arg-type]
    Ruling(verdict=Verdict.DENY, reason=Reason(code="a"), edits=[EDIT]),  # type: ignore[arg-type]
    Ruling(verdict=Verdict.DENY, reason=Reason(code="a"), edits=("x",)),  # type: ignore[arg-type]
    Ruling(verdict=Verdict.ALLOW, reason=Reason(code="a"), edits=(EDIT,)),
]
FAULT = (Reason(code="guard.fault", rule="odd"),)


@pytest.mark.parametrize("answer", BAD_RULINGS, ids=range(len(BAD_RULINGS)))
def test_nonsense_is_a_refusal(answer: Any) -> None:
    decision = Decider((("odd", lambda facts: [ruling(Verdict.ALLOW), answer]),), "").decide(FACTS)
    assert (decision.verdict, decision.reasons) == (Verdict.DENY, FAULT)


@pytest.mark.parametrize("answer", [None, 3, ruling(Verdict.ALLOW), object()])
def test_an_answer_that_is_no_list_is_a_refusal(answer: Any) -> None:
    decision = Decider((("odd", lambda facts: answer),), "").decide(FACTS)
    assert (decision.verdict, decision.reasons) == (Verdict.DENY, FAULT)


@pytest.mark.parametrize("broken", [raises, breaks_half_way, never_ends, "no function"])
def test_a_judge_that_breaks_is_a_refusal_that_repeats_none_of_its_words(broken: Any) -> None:
    decision = Decider((("odd", broken),), "").decide(FACTS)
    assert (decision.verdict, decision.reasons) == (Verdict.DENY, FAULT)
    assert "canary" not in repr(decision)


def test_a_broken_judge_does_not_silence_the_others() -> None:
    others = judge([ruling(Verdict.DENY, "a.one")])
    decision = Decider((("odd", raises), ("well", others)), "").decide(FACTS)
    assert decision.reasons == (*FAULT, Reason(code="a.one"))


@pytest.mark.parametrize(("code", "told"), [("plugin.timeout", "plugin.timeout"), ("Not a Code", "guard.fault")])
def test_a_guard_fault_gives_its_own_code_if_it_is_one(code: str, told: str) -> None:
    def broken(facts: Facts) -> Iterable[Ruling]:
        raise GuardFault("odd", code)

    assert Decider((("odd", broken),), "").decide(FACTS).reasons == (Reason(code=told, rule="odd"),)


def test_too_many_rulings_are_a_refusal() -> None:
    many = judge([ruling(Verdict.ALLOW)] * (MAX_RULINGS + 1))
    assert Decider((("odd", many),), "").decide(FACTS).reasons == FAULT


def test_rulings_made_before_are_checked_too() -> None:
    decision = decide(given=("allow",))  # type: ignore[arg-type]
    assert decision.reasons == (Reason(code="guard.fault", rule="facts"),)


def test_a_keyboard_interrupt_is_nobodys_fault() -> None:
    def stopped(facts: Facts) -> Iterable[Ruling]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Decider((("odd", stopped),), "").decide(FACTS)


def test_a_decider_is_frozen_and_names_its_policy() -> None:
    decider = Decider((), "abc")
    with pytest.raises(AttributeError):
        decider.digest = "other"  # type: ignore[misc]
    assert decider.decide(FACTS).policy_digest == "abc"
    assert repr(decider) == "Decider(judges=0, digest='abc')"
