"""CEL through its one door: checked at load, closed in every trouble at call time."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
import threading
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.conditions import MAX_CHARS, MAX_DEPTH, MAX_ENTRIES, Condition, Language, Miswritten, Term, Unfit, plain
from aigov.errors import GuardFault

LANGUAGE = Language(
    {"action": "string", "args": "map<string, dyn>", "items": "list<map<string, dyn>>", "now": "timestamp"}
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def condition(text: str) -> Condition:
    return LANGUAGE.compile(text, "rule-1")


def holds(text: str, **data: Any) -> bool:
    return condition(text).holds(LANGUAGE.bind({name: plain(value) for name, value in data.items()}))


def faults(text: str, **data: Any) -> None:
    with pytest.raises(GuardFault) as caught:
        holds(text, **data)
    assert (caught.value.guard, caught.value.code) == ("rule-1", "rule.fault")
    assert caught.value.__context__ is None
    assert "canary" not in str(caught.value)


def mistakes(text: str) -> list[str]:
    with pytest.raises(Miswritten) as caught:
        condition(text)
    assert caught.value.__context__ is None
    return [f"{m.line}:{m.column} {m.what}" for m in caught.value.mistakes]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("action == 3", ["1:8 `==` does not take (string, int)"]),
        ("action\n  && true", ["2:3 `&&` does not take (string, bool)"]),
        ("acton == 'x' && actio == 'y'", ["1:1 `acton` is not declared", "1:17 `actio` is not declared"]),
        ("x.y.z == 1", ["1:1 `x.y.z` is not declared"]),
        ("launch(action)", ["1:7 `launch` is not declared"]),
        ("action ==", ["1:10 it ends too early"]),
        ("", ["1:1 it ends too early"]),
        ("action == é", ["1:11 `é` is not expected here", "1:12 it ends too early"]),
        ("'é😀' == action && é", ["1:19 `é` is not expected here", "1:20 it ends too early"]),
        ("action) == 'x'", ["1:7 `)` is not expected here"]),
        ("args", ["1:1 it gives a map, not true or false"]),
        ("args.x", ["1:1 it gives any value, not true or false"]),
        ("size(action)", ["1:1 it gives a number, not true or false"]),
        ("action", ["1:1 it gives text, not true or false"]),
        ("now - now", ["1:1 it gives a duration, not true or false"]),
        ("(" * 300 + "true" + ")" * 300, ["1:1 nested too deeply"]),
        ("args" + ".b" * 300 + " == 1", ["1:1 nested too deeply"]),
        ("a" * (MAX_CHARS + 1), [f"1:1 over {MAX_CHARS} characters"]),
    ],
    ids=range(18),
)
def test_what_cannot_be_meant_is_refused_at_its_place(text: str, told: list[str]) -> None:
    assert mistakes(text) == told


@given(st.text(max_size=40))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    try:
        condition(text)
    except Miswritten as error:
        found = error.mistakes
    else:
        return
    assert found
    assert all(mistake.line >= 1 and mistake.column >= 1 for mistake in found)


HOSTILE = [
    "'!'*3990+'true'",
    "'-'*3990+'1==1'",
    "'['*2000+']'*2000",
    "'{1:'*1000",
    "'true||'*600+'true'",
    "'1+'*1990+'1'",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_does_not_bring_the_process_down(text: str) -> None:
    code = f"from aigov.conditions import *\ntry: Language({{}}).compile({text})\nexcept Miswritten: pass"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_mistake_survives_a_pickle() -> None:
    with pytest.raises(Miswritten) as caught:
        condition("action == 3")
    assert pickle.loads(pickle.dumps(caught.value)).mistakes == caught.value.mistakes  # noqa: S301


@pytest.mark.parametrize("text", ["action == 'x'", "args.a == 1 && items.exists(i, i.b == 'c')"])
def test_it_knows_the_variables_that_it_looks_at(text: str) -> None:
    assert condition(text).names == {name for name in LANGUAGE.declared if name in text}


def test_a_loop_variable_hides_what_is_declared() -> None:
    assert condition("args.x.exists(action, action == 'a')").names == {"args"}
    assert condition("[action].exists(items, items == 'a')").names == {"action"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("1 == 2", False),
        ("true || action == 'x'", True),
        ("action == 'x' && false", False),
        ("[1, 2].exists(x, x == 2)", True),
        ("action == 'x'", None),
        ("1 / 0 == 1", None),
        ("size(args) >= 0", None),
    ],
)
def test_a_constant_is_told(text: str, value: bool | None) -> None:
    assert condition(text).constant() is value


@pytest.mark.parametrize("other", ["action=='x'", '(action == "x")', "action  ==\n'x' // why", "action == r'x'"])
def test_expressions_that_differ_in_writing_only_mean_the_same(other: str) -> None:
    assert condition(other).term.meaning() == condition("action == 'x'").term.meaning()


@pytest.mark.parametrize(
    "other", ["action == 'y'", "action != 'x'", "'x' == action", "args.action == 'x'", "action == 'x' || true"]
)
def test_expressions_that_differ_otherwise_do_not(other: str) -> None:
    assert condition(other).term.meaning() != condition("action == 'x'").term.meaning()


def test_constants_of_different_types_differ() -> None:
    assert condition("args.x == 1").term.meaning() != condition("args.x == 1.0").term.meaning()
    assert condition("args.x == 1").term.meaning() != condition("args.x == true").term.meaning()


def test_every_kind_of_term_is_read_with_its_place() -> None:
    text = "has(args.x) && args.y[-1] == {'a': [1.5, null, b'c', 2u, true]}.a\n || action in ['é', 'f']"
    terms = list(condition(text).term.walk())
    lines = text.split("\n")
    assert {term.kind for term in terms} == {"call", "has", "select", "name", "map", "list", "constant"}
    constants = [term.value for term in terms if term.kind == "constant"]
    assert constants == [-1, "a", 1.5, None, b"c", 2, True, "é", "f"]
    for term in terms:
        if term.kind == "name":
            assert lines[term.line - 1][term.column - 1 :].startswith(term.name)


def test_a_loop_is_read_with_what_it_binds() -> None:
    (loop,) = [term for term in condition("items.exists(i, i.a == 1)").term.walk() if term.kind == "loop"]
    assert loop.bound[0] == "i"
    assert loop.parts[0] == Term("name", 1, 1, "items")
    assert len(loop.parts) == 5


class TestHolds:
    def test_true_holds_and_false_does_not(self) -> None:
        assert holds("action == 'x'", action="x") is True
        assert holds("action == 'x'", action="y") is False

    @pytest.mark.parametrize(
        "args",
        [
            {},
            {"a": "canary"},
            {"a": None},
            {"a": True},
            {"a": []},
            {"a": {"b": "canary"}},
            {"a": math.nan},
        ],
    )
    def test_an_error_is_a_fault_and_never_a_pass(self, args: dict[str, Any]) -> None:
        faults("args.a > 100.0", args=args)
        faults("!(args.a <= 100.0)", args=args)

    def test_a_surrogate_is_a_fault(self) -> None:
        faults("action == 'x'", action="canary\ud800")
        faults("args.a == 'x'", args={"a": "canary\ud800"})

    def test_what_is_left_out_is_a_fault_only_for_what_depends_on_it(self) -> None:
        faults("action == 'x' && args.a > 1", action="x")
        assert holds("action == 'x' && args.a > 1", action="y") is False
        assert holds("args.a > 1 || action == 'x'", action="x") is True

    @pytest.mark.parametrize("number", [101, 100.5, 2**63, 2**70, 10**400, math.inf])
    def test_a_number_over_the_limit_holds_however_large(self, number: float) -> None:
        assert holds("args.a > 100.0", args={"a": number}) is True
        assert holds("args.a > 100", args={"a": number}) is True

    @pytest.mark.parametrize("number", [99, -(2**70), -(10**400), -math.inf])
    def test_a_number_under_the_limit_does_not(self, number: float) -> None:
        assert holds("args.a > 100.0", args={"a": number}) is False

    def test_an_integer_of_any_size_elsewhere_harms_nothing(self) -> None:
        assert holds("args.a == 'x'", args={"a": "x", "b": 2**70, "c": math.nan}) is True

    def test_division_by_zero_is_a_fault(self) -> None:
        faults("args.a / args.b == 1", args={"a": 1, "b": 0})

    def test_more_steps_than_the_budget_are_a_fault(self) -> None:
        many = list(range(9_000))
        assert holds("args.a.exists(i, i == -1)", args={"a": many}) is False
        faults("args.a.exists(i, args.a.exists(j, i + j == -1))", args={"a": many})

    def test_a_pattern_that_would_backtrack_is_answered(self) -> None:
        assert holds("args.a.matches('(a+)+$')", args={"a": "a" * 100_000 + "b"}) is False

    def test_a_hostile_pattern_is_a_fault(self) -> None:
        faults("args.a.matches(args.b)", args={"a": "a", "b": "((a{1,999}){1,999}){1,999}"})

    @given(JSON)
    def test_whatever_the_arguments_it_says_yes_no_or_fault(self, value: Any) -> None:
        try:
            answer = holds("args.a > 100.0 || args.a.b == 'x'", args={"a": value})
        except GuardFault:
            return
        assert answer in (True, False)

    def test_it_may_be_asked_from_several_threads(self) -> None:
        asked = condition("args.a.exists(i, i == args.b) && action == 'x'")
        wrong: list[object] = []

        def ask(number: int) -> None:
            for step in range(300):
                hit = (step + number) % 2 == 0
                data = LANGUAGE.bind({"action": "x", "args": {"a": list(range(50)), "b": number if hit else -1}})
                if asked.holds(data) is not hit:
                    wrong.append(step)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


class TestPlain:
    @given(JSON)
    def test_a_copy_is_the_same_but_for_numbers_that_cel_has_not(self, value: Any) -> None:
        found = plain(value)
        if not any(isinstance(leaf, float) or (type(leaf) is int and abs(leaf) >= 2**63) for leaf in leaves(value)):
            assert found == value

    def test_it_is_a_copy(self) -> None:
        value = {"a": [1]}
        found = plain(value)
        value["a"].append(2)
        assert found == {"a": [1]}

    def test_a_number_that_is_none_is_nothing(self) -> None:
        assert plain([math.nan, 1.5]) == [None, 1.5]

    def test_mappings_and_tuples_are_maps_and_lists(self) -> None:
        assert plain(MappingProxyType({"a": (1, 2)})) == {"a": [1, 2]}

    def test_subclasses_of_text_and_numbers_become_plain(self) -> None:
        class Loud(str):
            def __str__(self) -> str:
                return "canary"

        found = plain(Loud("quiet"))
        assert (found, type(found)) == ("quiet", str)

    @pytest.mark.parametrize("value", [b"x", object(), {1: 2}, {None: 1}, {(1,): 1}, {"a"}, 1j])
    def test_other_kinds_are_unfit(self, value: Any) -> None:
        with pytest.raises(Unfit):
            plain(value)

    def test_too_many_entries_are_unfit(self) -> None:
        assert plain([0] * (MAX_ENTRIES - 1))
        with pytest.raises(Unfit):
            plain([0] * MAX_ENTRIES)

    def test_too_many_levels_are_unfit(self) -> None:
        def nested(levels: int) -> list[Any]:
            return [nested(levels - 1)] if levels else []

        assert plain(nested(MAX_DEPTH))
        with pytest.raises(Unfit):
            plain(nested(MAX_DEPTH + 1))

    def test_a_cycle_is_unfit(self) -> None:
        loop: list[Any] = []
        loop.append(loop)
        with pytest.raises(Unfit):
            plain(loop)

    def test_the_deepest_that_fits_is_safe_to_ask_about(self) -> None:
        value: Any = "end"
        for _ in range(MAX_DEPTH - 2):
            value = {"a": value}
        assert holds("args.a.a.a == 1 || args == args", args={"a": value}) is True


@pytest.mark.parametrize(
    ("text", "broken"),
    [('"".matches("(")', True), ('"".matches("a+")', False), ("duration('soon')", True), ("nonsense(", True)],
)
def test_constants_that_cannot_be_evaluated_are_told(text: str, broken: bool) -> None:
    assert LANGUAGE.faults(text) is broken


def test_nothing_is_shown_of_what_is_asked() -> None:
    assert "canary" not in repr(LANGUAGE.bind({"action": "canary"}))
    assert "canary" not in repr(condition("action == 'canary'"))


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]
