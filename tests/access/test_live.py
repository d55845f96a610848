"""A policy that changes while it is asked: whole snapshots, the last good one kept."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigov.access.engine import Pycasbin
from aigov.access.live import Live
from aigov.errors import PolicyError
from aigov.types import Principal

BASE = "p, root, retail, x, y, allow\n"
NAMES = ("dana", "kim", "agent", "lead", "staff")
OBJECTS = ("model:small", "kb:*", "kb:faq", "*")


def allowed(live: Live, name: str, action: str = "chat", resource: str = "model:small") -> bool:
    return live.answer(Principal(id=name, tenant="retail"), action, resource).allowed


def test_a_rule_added_or_removed_counts_from_the_next_decision(build) -> None:
    live = Live(build(BASE))
    live.add("p", "agent", "retail", "model:small", "chat", "allow")
    assert not allowed(live, "dana")
    live.add("g", "dana", "agent", "retail")
    assert allowed(live, "dana")
    live.remove("g", "dana", "agent", "retail")
    assert not allowed(live, "dana")


def test_a_role_added_is_no_name_for_a_person_from_then_on(build) -> None:
    live = Live(build(BASE + "p, agent, retail, model:small, chat, allow\n"))
    assert allowed(live, "agent")
    live.add("g", "dana", "agent", "retail")
    assert not allowed(live, "agent")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (("p", "a", "b"), "a `p` line has 5 fields, this one 2"),
        (("q", "a", "b"), "unknown kind of line `q`"),
        (("p", "a", "b", "c", "d", "maybe"), "the effect `maybe` means nothing"),
        (("p", "a", "b", "c\np, x", "d", "allow"), "a field holds what no line of a file can hold"),
        (("p", "a", "b", " c", "d", "allow"), "a field holds what no line of a file can hold"),
        (("g", "root", "root", "retail"), "the role `root` is its own ancestor"),
        (("g", "lead", "dana", "retail"), "is its own ancestor"),
    ],
)
def test_a_rule_that_the_loader_would_refuse_changes_nothing(build, rule: tuple[str, ...], message: str) -> None:
    live = Live(build(BASE + "g, dana, agent, retail\ng, agent, lead, retail\n"))
    before = live.current
    with pytest.raises(PolicyError, match=message):
        live.add(*rule)
    assert live.current is before


def test_a_role_path_that_grows_too_long_changes_nothing(build) -> None:
    live = Live(build(BASE + "".join(f"g, n{at}, n{at + 1}, retail\n" for at in range(9))))
    with pytest.raises(PolicyError, match="longer than the 9 steps"):
        live.add("g", "first", "n0", "retail")


def test_what_is_not_there_cannot_be_removed_nor_the_last_grant(build) -> None:
    live = Live(build(BASE))
    with pytest.raises(PolicyError, match="no such rule is there"):
        live.remove("p", "x", "y", "z", "a", "allow")
    with pytest.raises(PolicyError, match="no grant would be left"):
        live.remove("p", "root", "retail", "x", "y", "allow")


change = st.one_of(
    st.tuples(st.just("p"), st.sampled_from(NAMES), st.just("retail"), st.sampled_from(OBJECTS), st.just("chat"),
              st.sampled_from(["allow", "allow", "deny"])),
    st.tuples(st.just("g"), st.sampled_from(NAMES), st.sampled_from(NAMES), st.just("retail")),
)  # fmt: skip


@given(st.lists(st.tuples(st.booleans(), change), max_size=25))
@settings(max_examples=60)
def test_any_run_of_changes_decides_as_casbin_does_on_the_rules_that_are_left(build_from, steps: list[Any]) -> None:
    live = Live(build_from(BASE))
    for more, rule in steps:
        try:
            (live.add if more else live.remove)(*rule)
        except PolicyError:
            continue
    held = live.current
    casbin = Pycasbin(held.policy.model, held.policy.rules)
    for name in NAMES:
        for resource in ("model:small", "kb:faq", "other"):
            request = (name, "retail", resource, "chat")
            assert held.choice.engine.decide(request) == casbin.decide(request)


class Rows:
    """A Casbin adapter over rows in memory."""

    def __init__(self, *rows: tuple[str, ...]) -> None:
        self.rows = rows

    def load_policy(self, model: Any) -> None:
        for key, *fields in self.rows:
            model.model[key[0]][key].policy.append(fields)


def test_the_rules_of_an_adapter_are_put_in_force_whole(build) -> None:
    live = Live(build(BASE))
    live.follow(Rows(("p", "agent", "retail", 'a "b", c', "chat", "allow"), ("g", "dana", "agent", "retail")))
    assert allowed(live, "dana", resource='a "b", c')
    assert not allowed(live, "root", "y", "x")


def test_an_adapter_that_fails_or_brings_nonsense_leaves_the_last_good_policy(build) -> None:
    live = Live(build(BASE))
    before = live.current
    with pytest.raises(PolicyError, match="the adapter failed with KeyError") as caught:
        live.follow(Rows(("x", "canary")))
    assert caught.value.__context__ is None
    for rows in [Rows(), Rows(("p", "a")), Rows(("p", "a", "b", "c", "d", "allow"), ("g", "a", "a", "t"))]:
        with pytest.raises(PolicyError):
            live.follow(rows)
    assert live.current is before


def test_no_decision_is_taken_on_a_mixture_of_two_policies(build) -> None:
    """100,000 decisions over 200 reloads: each is that of one policy or the other, whole."""
    one, other = (
        Rows(("p", "dana", "retail", "model:small", "chat", dana), ("p", "kim", "retail", "kb:faq", "read", kim))
        for dana, kim in (("allow", "deny"), ("deny", "allow"))
    )
    live, wrong, stop = Live(build(BASE)), [0], threading.Event()
    live.follow(one)

    def swap() -> None:
        for turn in range(200):
            live.follow(one if turn % 2 else other)
            stop.wait(0.001)
        stop.set()

    swapper = threading.Thread(target=swap)
    swapper.start()
    for _ in range(50_000):
        held = live.current
        dana = held.choice.engine.decide(("dana", "retail", "model:small", "chat"))
        kim = held.choice.engine.decide(("kim", "retail", "kb:faq", "read"))
        wrong[0] += dana.allowed == kim.allowed
    swapper.join()
    assert wrong == [0]


def test_many_threads_decide_while_rules_come_and_go(build) -> None:
    live = Live(build(BASE + "p, dana, retail, model:small, chat, allow\n"))
    stop, faults = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            answers = allowed(live, "dana"), allowed(live, "kim")
            if answers != (True, False):
                faults.append(answers)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for turn in range(100):
        live.add("p", f"n{turn}", "retail", "kb:*", "read", "allow")
        live.remove("p", f"n{turn}", "retail", "kb:*", "read", "allow")
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
