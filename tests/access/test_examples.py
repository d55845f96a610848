"""The example policies: every case comes out as it says, every rule decides one, and emergency rights hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from aigov.access.cases import decode, run_cases
from aigov.access.check import check
from aigov.access.guard import Access
from aigov.access.load import load
from aigov.access.settings import AccessSettings
from aigov.types import Principal, Verdict

EXAMPLES = Path(__file__).parents[2] / "policies" / "examples"
NAMES = ("agents", "bank", "business-units", "hospital", "support-desk")
NOW = 1_750_000_000.0
# Only emergency rights reach these, and those need a clock: the tests below ask with one.
BY_CLOCK = {"hospital": {"p, emergency, *, record:*, summarise"}}


def settings(name: str) -> AccessSettings:
    layer = yaml.safe_load((EXAMPLES / name / "organisation.yaml").read_text(encoding="utf-8"))
    return msgspec.convert(layer["access"], AccessSettings)


def opened(name: str) -> Access:
    return Access(load(EXAMPLES / name, settings(name)), settings(name), now=lambda: NOW)


def test_every_example_is_tested() -> None:
    assert sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_case_of_an_example_comes_out_and_every_rule_decides_one(name: str) -> None:
    cases = decode(yaml.safe_load((EXAMPLES / name / "cases" / "access.yaml").read_text(encoding="utf-8")))
    report = run_cases(opened(name), cases)
    assert [(result.case.name, result.wrong) for result in report.results if result.wrong] == []
    assert {rule for rule, _ in report.untouched} == BY_CLOCK.get(name, set())


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_compiled_and_gives_no_warning(name: str) -> None:
    report = check(EXAMPLES / name, settings(name))
    assert (report.engine, report.warnings) == ("compiled", ())


def pia(**attributes: Any) -> Principal:
    return Principal(id="pia", roles=("physician",), tenant="oncology", attributes={"on_duty": "yes", **attributes})


def asked(principal: Principal, resource: str = "record:cardiology/17") -> tuple[str, str, int]:
    first, *shadow = opened("hospital").aigov_permit(principal, "summarise", resource)
    assert all(ruling.shadow and ruling.verdict is Verdict.REVIEW for ruling in shadow)
    return first.verdict.name, first.reason.code, len(shadow)


def test_emergency_rights_allow_and_are_told_in_a_ruling_of_their_own() -> None:
    principal = pia(break_glass="life_at_risk", break_glass_at=NOW - 60)
    first, loud = opened("hospital").aigov_permit(principal, "summarise", "record:cardiology/17")
    assert (first.verdict, first.reason.code) == (Verdict.ALLOW, "access.break_glass")
    assert (loud.shadow, loud.reason.rule) == (True, "life_at_risk access/policy.csv:18")


def test_what_needs_no_emergency_is_no_emergency() -> None:
    principal = pia(break_glass="life_at_risk", break_glass_at=NOW)
    assert asked(principal, "record:oncology/3") == ("ALLOW", "access.allowed", 0)


@pytest.mark.parametrize("at", [NOW - 1800, NOW + 61, "now", True, None])
def test_a_statement_holds_for_its_time_only(at: Any) -> None:
    stated = {"break_glass": "life_at_risk"} | ({} if at is None else {"break_glass_at": at})
    assert asked(pia(**stated)) == ("DENY", "access.break_glass_invalid", 0)


def test_who_may_not_break_the_glass_gets_nothing_by_stating_a_reason() -> None:
    nurse = Principal(
        id="nils", roles=("nurse",), tenant="oncology",
        attributes={"on_duty": "yes", "break_glass": "life_at_risk", "break_glass_at": NOW},
    )  # fmt: skip
    assert asked(nurse) == ("DENY", "access.denied", 0)


def test_emergency_rights_are_those_of_the_role_and_no_more() -> None:
    assert asked(pia(break_glass="life_at_risk", break_glass_at=NOW), "letter:x") == ("DENY", "access.denied", 0)


def test_emergency_rights_cannot_be_asserted_like_a_role() -> None:
    claimed = Principal(id="pia", roles=("emergency",), tenant="oncology", attributes={"on_duty": "yes"})
    assert asked(claimed) == ("DENY", "access.break_glass_invalid", 0)
