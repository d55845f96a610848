"""Presidio operators of third parties: named by the policy, run within their plugin's limit."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import msgspec
import pytest

from aigov.errors import GuardFault, PolicyError
from aigov.plugins.assembly import Declared
from aigov.privacy.operators import Operators
from aigov.privacy.settings import Settings
from aigov.types import Edit


def operator(
    operate: Any = lambda text, params: params["sign"] * len(text), validate: Any = lambda params: None
) -> Any:
    from presidio_anonymizer.operators import Operator, OperatorType

    class Stars(Operator):
        def operate(self, text: str, params: Any = None) -> Any:
            return operate(text, params)

        def validate(self, params: Any = None) -> None:
            validate(params)

        def operator_name(self) -> str:
            return "stars"

        def operator_type(self) -> OperatorType:
            return OperatorType.Anonymize

    return Stars()


def loaded(kit: Any, one: Any, **options: Any) -> Any:
    """A plugin's operator as the privacy guard gets it: what was declared when a built-in guard starts."""
    seen: list[Declared] = []
    plugin = kit.plugin(aigov_operators=lambda self: [one])
    kit.guards({"acme": plugin}, builtin={"privacy": kit.plugin()}, declared=seen.append, **options)
    return seen[-1].operators[0]


def rendered(named: Any) -> str:
    given = {"default": {"operator": {"name": "stars", "params": {"sign": "*"}}}}
    render = Operators(
        msgspec.convert(given, Settings), lambda label: hashlib.sha256(label.encode()).digest(), {"stars": named}
    )
    edit = Edit(part=0, start=0, end=4, type="URL", action="operator", guard="privacy")
    return render(edit, "a.io", None, "input")


def test_the_policy_names_it_and_gives_it_parameters(kit: Any) -> None:
    assert rendered(operator()) == "****"
    assert rendered(loaded(kit, operator())) == "****"


def test_a_plugins_operator_runs_in_the_plugins_thread(kit: Any) -> None:
    threads: list[str] = []
    one = operator(lambda text, params: threads.append(threading.current_thread().name) or "x")
    assert loaded(kit, one).operate("a.io", {}) == "x"
    assert threads != [threading.current_thread().name]


@pytest.mark.parametrize("answer", [None, 7, "x" * 20_000])
def test_one_that_answers_nonsense_is_a_plugin_fault(kit: Any, answer: Any) -> None:
    with pytest.raises(GuardFault, match=r"plugin\.fault: acme"):
        loaded(kit, operator(lambda text, params: answer)).operate("a.io", {})


def test_one_that_blocks_is_timed_out(kit: Any) -> None:
    free = threading.Event()
    with pytest.raises(GuardFault, match=r"plugin\.timeout: acme"):
        loaded(kit, operator(lambda text, params: free.wait(60)), limit_s=0.05).operate("a.io", {})
    free.set()


def test_something_else_is_refused(kit: Any) -> None:
    with pytest.raises(PolicyError, match="operator that is none"):
        loaded(kit, object())
