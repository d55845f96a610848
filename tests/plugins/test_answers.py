"""Checked answers, for any answer: only plain values inside the part and the declarations come out."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from aigov.plugins.answers import KIND, Nonsense, Says, findings, frozen, rulings
from aigov.types import Edit, Finding, Part, Reason, Ruling, Verdict

PART = Part(path="/a", text="0123456789")
THIRD = Says("acme", False, frozenset({"WORD"}), frozenset({"acme.no"}), frozenset({"acme"}))
BUILT_IN = Says("house", True, frozenset({"WORD"}), frozenset({"acme.no"}), frozenset({"acme", "house"}))

anything = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 12), st.floats(allow_nan=True), st.text(max_size=5),
    st.sampled_from(["WORD", "pii", "acme", "acme.no", "mask", "", "/a"]),
)  # fmt: skip
any_finding = st.builds(
    Finding,
    kind=anything,
    type=anything,
    start=anything,
    end=anything,
    score=anything,
    detector=anything,
    path=anything,
)
likely_finding = st.builds(
    Finding,
    kind=st.sampled_from(["pii", "secret", "PII", ""]),
    type=st.sampled_from(["WORD", "OTHER"]),
    start=st.integers(-1, 11),
    end=st.integers(-1, 11),
    score=st.floats(-0.5, 1.5),
    detector=st.sampled_from(["", "other"]),
    path=st.sampled_from(["", "/b"]),
)
any_edit = st.builds(
    Edit,
    part=st.sampled_from([0, 1, True, "0"]),
    start=st.integers(-1, 5),
    end=st.integers(-1, 5),
    type=st.sampled_from(["WORD", "OTHER"]),
    action=st.sampled_from(["mask", "free text", ""]),
    guard=st.sampled_from(["acme", "house", "other"]),
    score=st.floats(-0.5, 1.5) | st.just(math.nan),
)
any_ruling = st.builds(
    Ruling,
    verdict=st.sampled_from([*Verdict, 3, "deny", None]),
    reason=st.builds(Reason, code=st.sampled_from(["acme.no", "other"]), rule=anything, layer=anything) | anything,
    edits=st.lists(any_edit, max_size=2).map(tuple) | anything,
    shadow=st.booleans() | anything,
)


def checked(check: Any, *arguments: Any) -> tuple[Any, ...]:
    try:
        return tuple(check(*arguments))
    except Nonsense:
        return ()


@given(st.lists(any_finding | likely_finding, max_size=3), st.sampled_from([THIRD, BUILT_IN]))
def test_every_finding_that_comes_out_lies_in_the_part_and_is_declared(answer: list[Any], says: Says) -> None:
    for finding in checked(findings, says, answer, PART):
        assert type(finding) is Finding
        assert 0 <= finding.start < finding.end <= len(PART.text)
        assert (type(finding.start), type(finding.end), type(finding.score)) == (int, int, float)
        assert 0.0 <= finding.score <= 1.0
        assert finding.type in says.entities
        assert KIND.fullmatch(finding.kind)
        assert says.trusted or (finding.detector, finding.path) == ("acme", "/a")


@given(st.lists(likely_finding, max_size=3))
def test_one_finding_of_nonsense_spoils_the_answer(answer: list[Any]) -> None:
    assert len(checked(findings, THIRD, answer, PART)) in (0, len(answer))


@given(st.lists(any_ruling, max_size=3), st.sampled_from([THIRD, BUILT_IN]))
def test_every_ruling_that_comes_out_is_declared_and_plain(answer: list[Any], says: Says) -> None:
    for ruling in checked(rulings, says, answer, {"/a": 0}):
        assert type(ruling) is Ruling
        assert type(ruling.verdict) is Verdict
        assert ruling.reason.code in says.reasons
        assert says.trusted or (ruling.reason.rule, ruling.reason.layer) == ("acme", "")
        assert all(edit.guard in says.guards and edit.part == 0 and 0 <= edit.start < edit.end for edit in ruling.edits)
        assert says.trusted or all(edit.guard == "acme" for edit in ruling.edits)


@given(st.lists(any_ruling, max_size=3))
def test_a_check_never_loosens(answer: list[Any]) -> None:
    given = checked(rulings, THIRD, answer, {"/a": 0})
    assert [ruling.verdict for ruling in given] in ([], [ruling.verdict for ruling in answer])


@given(st.recursive(st.none() | st.text(max_size=3), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_a_frozen_copy_says_the_same(value: Any) -> None:
    assert msgspec.json.encode(thawed(frozen(value))) == msgspec.json.encode(value)


def thawed(value: Any) -> Any:
    if hasattr(value, "items"):
        return {key: thawed(item) for key, item in value.items()}
    return [thawed(item) for item in value] if isinstance(value, tuple) else value
