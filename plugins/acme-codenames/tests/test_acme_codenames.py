"""What counts as a code name, and what the policy may say of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from acme_codenames import ENTITY, Settings, plugin

from aigov.errors import Location, PolicyError
from aigov.hookspecs import Context
from aigov.plugins import Guards, assemble
from aigov.types import Part, Section


def loaded(settings: Settings) -> Guards:
    section = Section(settings, "organisation", lambda *path: Location("organisation.yaml", 1, 1))
    context = Context(folder=Path(), key=lambda label: bytes(32))
    return assemble({}, {"acme-codenames": plugin}, lambda name, factory: plugin.aigov_start(section, context))


def found(text: str, *names: str) -> list[str]:
    (ask,) = loaded(Settings(names=names)).detect
    return [text[finding.start : finding.end] for finding in ask(Part(path="", text=text), "input")]


@pytest.mark.parametrize(
    "text", ["about Blue Heron.", "BLUE HERON", "blue\n  heron", "«Blue Heron»", "Blue\u00a0Heron"]
)
def test_finds_a_name_as_whole_words_in_any_case_and_spacing(text: str) -> None:
    (name,) = found(text, "Blue Heron")
    assert name.casefold().split() == ["blue", "heron"]


@pytest.mark.parametrize("text", ["Blue Herons", "sky blue, heron grey", "blueheron", "xBlue Heron", ""])
def test_leaves_near_misses(text: str) -> None:
    assert found(text, "Blue Heron") == []


def test_finds_the_longest_of_two_names_that_begin_alike() -> None:
    assert found("Nightjar Two", "Nightjar", "Nightjar Two") == ["Nightjar Two"]


def test_takes_a_name_literally() -> None:
    assert found("Project A.B and AxB", "A.B") == ["A.B"]


def test_says_type_kind_and_score() -> None:
    (ask,) = loaded(Settings(names=("Nightjar",), score=0.5)).detect
    (finding,) = ask(Part(path="/0", text="Nightjar"), "input")
    assert (finding.kind, finding.type, finding.score, finding.path) == ("pii", ENTITY, 0.5, "/0")


def test_without_names_finds_nothing() -> None:
    assert found("Nightjar") == []


@pytest.mark.parametrize(
    "settings", [Settings(names=("ab",)), Settings(names=("x" * 65,)), Settings(names=("",)), Settings(score=0.0)]
)
def test_refuses_settings_that_make_no_sense(settings: Settings) -> None:
    with pytest.raises(PolicyError):
        loaded(settings)
