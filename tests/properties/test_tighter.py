"""Only tighter: whatever a plugin finds, asks for or renders, nothing passes that would not pass without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov import Denied
from aigov.edits import settled
from aigov.hookspecs import hookimpl
from aigov.testing import Trial, governor
from aigov.text.spans import resolve
from aigov.types import Edit, Facts, Finding, Part, Principal, Reason, Ruling, Verdict
from tests.conftest import CHAT, DANA

MAIL = "jane@example.com"
ORDER = "ORD-12345678"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No settings."""


class Hostile:
    """A plugin that answers the given hooks."""

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        hooks.setdefault("aigov_reasons", lambda self: ["sly.reason"])
        self.started = type("Started", (), {name: hookimpl(hook) for name, hook in hooks.items()})()

    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        return Settings

    @hookimpl
    def aigov_start(self, settings: object, context: object) -> object:
        return self.started


@contextmanager
def governed(monkeypatch: pytest.MonkeyPatch, plugin: Hostile, change: dict[str, str] | None = None) -> Iterator[Trial]:
    class Found:
        pins: Any = MappingProxyType({})

        def factories(self) -> dict[str, Hostile]:
            return {"sly": plugin}

    monkeypatch.setattr("aigov.snapshot.discover", lambda lock: Found())
    with governor(change=change) as trial:
        yield trial


def everything(facts: Facts) -> tuple[Edit, ...]:
    """Edits over every finding and far around it, with the best score that there is."""
    return tuple(
        Edit(part=facts.parts[f.path], start=start, end=end, type=f.type, action="keep", guard="sly", score=1.0)
        for f in facts.findings
        for start, end in ((f.start, f.end), (max(0, f.start - 3), f.end), (0, f.end))
    )


def test_a_renderer_that_gives_values_back_unhides_none(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = Hostile(
        aigov_judge=lambda self, facts: [
            Ruling(verdict=Verdict.TRANSFORM, reason=Reason(code="sly.reason"), edits=everything(facts))
        ],
        aigov_renderer=lambda self: lambda edit, value, scope, direction: value,
    )
    seen: list[str] = []

    def ask(question: str) -> str:
        seen.append(question)
        return f"{question} and bob@other.org"

    with governed(monkeypatch, plugin) as trial:
        answer = trial.gov.call(ask, f"mail {MAIL} about {ORDER}", **CHAT, principal=DANA)
        assert trial.gov.redact(MAIL).text != MAIL
    assert MAIL not in seen[0]
    assert ORDER not in seen[0]
    assert "bob" not in answer


def test_a_finding_of_a_weaker_kind_unhides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def detect(self: object, part: Part, direction: str) -> list[Finding]:
        return [Finding(kind="pii", type="URL", start=0, end=len(part.text), score=1.0, detector="")]

    weak = "default: redact\n  entities: {URL: {mask: {keep_last: 40}}}"
    seen: list[str] = []
    with governed(monkeypatch, Hostile(aigov_detect=detect), {"default: tokenise": weak}) as trial:
        trial.gov.call(seen.append, f"please write to me at {MAIL} about the order", **CHAT, principal=DANA)
        assert MAIL not in trial.gov.redact(f"please write to me at {MAIL} about the order").text
    assert MAIL not in seen[0]


def test_an_edit_of_half_a_token_breaks_no_call_and_shows_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(self: object, facts: Facts) -> list[Ruling]:
        if facts.direction == "input":
            return []
        edit = Edit(part=0, start=3, end=9, type="URL", action="cut", guard="sly", score=1.0)
        return [Ruling(verdict=Verdict.TRANSFORM, reason=Reason(code="sly.reason"), edits=(edit,))]

    plugin = Hostile(aigov_judge=judge, aigov_renderer=lambda self: lambda edit, value, scope, direction: "X")
    with governed(monkeypatch, plugin) as trial:
        answer = trial.gov.call(lambda question: question, f"{MAIL}, {ORDER}", **CHAT, principal=DANA)
    assert MAIL not in answer
    assert answer.endswith(ORDER)


@pytest.mark.parametrize("shadow", [False, True])
def test_a_plugin_that_permits_gives_nobody_a_right(monkeypatch: pytest.MonkeyPatch, shadow: bool) -> None:
    ruling = Ruling(verdict=Verdict.ALLOW, reason=Reason(code="sly.reason"), shadow=shadow)
    called: list[str] = []
    with governed(monkeypatch, Hostile(aigov_permit=lambda self, *question: [ruling])) as trial:
        with pytest.raises(Denied) as refused:
            trial.gov.call(called.append, "hello", **CHAT, principal=Principal(id="eve", tenant="retail"))
        assert refused.value.reason == "access.denied"
    assert called == []


def test_where_access_says_nothing_nobody_else_permits(monkeypatch: pytest.MonkeyPatch) -> None:
    from aigov.access.guard import Access

    silent = hookimpl(lambda self, principal, action, resource: [])
    monkeypatch.setattr(Access, "aigov_permit", silent)
    ruling = Ruling(verdict=Verdict.ALLOW, reason=Reason(code="sly.reason"))
    called: list[str] = []
    with (
        governed(monkeypatch, Hostile(aigov_permit=lambda self, *question: [ruling])) as trial,
        pytest.raises(Denied) as refused,
    ):
        trial.gov.call(called.append, "hello", **CHAT, principal=DANA)
    assert (refused.value.reason, called) == ("access.denied", [])


SPANS = st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(1, 12), st.floats(0, 1), st.sampled_from("abc"))


def edits(guard: str) -> st.SearchStrategy[list[Edit]]:
    return st.lists(
        SPANS.map(
            lambda span: Edit(
                part=span[0], start=span[1], end=span[1] + span[2], score=span[3], type=span[4], action="x", guard=guard
            )
        ),
        max_size=8,
    )


@given(edits("privacy"), edits("sly"))
def test_whatever_third_parties_ask_for_built_in_edits_stand_as_without_them(own: list[Edit], more: list[Edit]) -> None:
    made = settled([*more, *own], lambda edit: edit.guard == "sly")
    assert [edit for edit in made if edit.guard == "privacy"] == list(resolve(own))
    covered = {(edit.part, at) for edit in made for at in range(edit.start, edit.end)}
    assert covered == {(edit.part, at) for edit in (*own, *more) for at in range(edit.start, edit.end)}
    assert sum(edit.end - edit.start for edit in made) == len(covered)
    assert made == sorted(made, key=lambda edit: (edit.part, edit.start))
