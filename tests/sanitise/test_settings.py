"""The policy key `sanitise`, as a policy file writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aigov.errors import PolicyError
from aigov.hookspecs import Context
from aigov.policy.source import read
from aigov.sanitise.guard import plugin
from aigov.sanitise.settings import Output, Settings
from aigov.types import Section

HEADER = "aigov: 1\nlayer: organisation\nname: acme\n"


def decoded(folder: Path, text: str) -> Section:
    (folder / "organisation.yaml").write_text(HEADER + text, encoding="utf-8")
    section = read(folder).section("sanitise", plugin.aigov_settings())
    plugin.aigov_start(settings=section, context=Context(folder=folder, key=lambda label: b"k" * 32))
    return section


def test_left_out_it_is_strict(tmp_path: Path) -> None:
    value = decoded(tmp_path, "").value
    assert value == Settings(
        invisible="strip",
        bidi="deny",
        control="strip",
        injection="review",
        injection_score=0.5,
        trusted_roles=(),
        output=Output(),
        max_chars=200_000,
        max_depth=64,
        opaque=(),
        on_fault="deny",
    )


def test_a_policy_writes_it_in_one_line(tmp_path: Path) -> None:
    line = "sanitise: {invisible: deny, max_chars: 500, opaque: [builtins.bytes], output: {injection: allow}}\n"
    value = decoded(tmp_path, line).value
    assert (value.invisible, value.max_chars, value.opaque) == ("deny", 500, ("builtins.bytes",))
    assert (value.action("injection", "output"), value.action("injection", "input")) == ("allow", "review")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sanitise: {invisibel: deny}", "invisible"),
        ("sanitise: {bidi: neutralise}", "strip"),
        ("sanitise: {injection: strip}", "neutralise"),
        ("sanitise: {injection_score: 2}", "injection_score"),
        ("sanitise: {max_chars: 0}", "max_chars"),
        ("sanitise: {max_depth: 5000}", "max_depth"),
        ("sanitise: {on_fault: ignore}", "deny"),
        ("sanitise: {trusted_roles: [user]}", "system"),
        ("sanitise: {output: {max_chars: 5}}", "max_chars"),
        ("sanitise: {opaque: [builtins.object]}", "pass unseen"),
        ("sanitise: {opaque: [builtins.str]}", "pass unseen"),
        ("sanitise: {opaque: [bytes]}", "names no type"),
        ("sanitise: {opaque: ['my module.Type']}", "names no type"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(PolicyError) as caught:
        decoded(tmp_path, line + "\n")
    assert says in str(caught.value)
    assert all(problem.where.line == 4 for problem in caught.value.problems)
