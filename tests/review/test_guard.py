"""The guard that sends an answer to a person, and the settings that it is started with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.errors import Location, PolicyError
from aigov.hookspecs import Context
from aigov.review.codes import CODES as CODES_AND_MEANINGS
from aigov.review.guard import Guard, plugin
from aigov.review.settings import Settings, seconds
from aigov.types import Facts, Principal, Section, Verdict

CODES = [
    "low_confidence", "pending", "rejected", "expired", "unknown", "already_decided", "already_resumed", "not_claimed",
    "not_permitted", "own_ticket", "not_requester", "not_resumable", "not_editable", "bad_note",
    "tampered", "unavailable",
]  # fmt: skip


def started(**settings: Any) -> Guard:
    section = Section(Settings(**settings), "organisation", lambda *path: Location("org.yaml", 3, len(path)))
    return plugin.aigov_start(section, Context(folder=Path(), key=lambda label: b"k" * 32))


def verdicts(guard: Guard, confidence: Any, direction: Any = "output") -> list[Verdict]:
    facts = Facts(direction=direction, action="a", resource="r", principal=Principal(id="dana"), confidence=confidence)
    return [ruling.verdict for ruling in guard.aigov_judge(facts)]


@given(st.floats(0.01, 1), st.floats(0, 1))
def test_an_answer_under_the_least_confidence_goes_to_a_person(least: float, stated: float) -> None:
    assert verdicts(started(min_confidence=least), stated) == ([Verdict.REVIEW] if stated < least else [])


@pytest.mark.parametrize(
    "stated",
    [float("nan"), float("inf"), -float("inf"), -0.1, 1.0001, 85, 10**400, True, False, "0.9", b"1", [], {}],
    ids=repr,
)
def test_what_is_no_number_from_0_to_1_vouches_for_nothing(stated: Any) -> None:
    assert verdicts(started(min_confidence=0.5), stated) == [Verdict.REVIEW]


def test_an_answer_that_states_no_confidence_is_left_alone() -> None:
    assert verdicts(started(min_confidence=0.5), None) == []


def test_a_call_on_its_way_in_is_left_alone() -> None:
    assert verdicts(started(min_confidence=0.5), 0.1, "input") == []


@pytest.mark.parametrize("stated", [0.0, float("nan"), None, "low"])
def test_without_a_least_confidence_nothing_is_asked(stated: Any) -> None:
    assert verdicts(started(), stated) == []


def test_the_ruling_names_its_code_and_layer() -> None:
    facts = Facts(direction="output", action="a", resource="r", principal=Principal(id="dana"), confidence=0.1)
    (ruling,) = started(min_confidence=0.5).aigov_judge(facts)
    assert (ruling.reason.code, ruling.reason.layer) == ("review.low_confidence", "organisation")


def test_a_certain_answer_passes_at_the_very_limit() -> None:
    assert verdicts(started(min_confidence=1.0), 1) == []
    assert verdicts(started(min_confidence=0.85), 0.85) == []


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expires", "wanted"),
    [("60s", 60), ("1m", 60), ("72h", 259_200), ("30d", 2_592_000), ("7d", 604_800), ("090s", 90)],
)
def test_an_expiry_is_read_in_seconds(expires: str, wanted: int) -> None:
    assert Settings(expires=expires).expires_s == wanted
    assert started(expires=expires)


@pytest.mark.parametrize(
    "expires",
    ["59s", "0m", "31d", "721h", "999999999d", "", "72", "h", "72 h", "-1h", "1.5h", "72H", "١h", "1h\n", "1h30m"],
)
def test_an_expiry_that_is_none_is_a_policy_error_at_its_entry(expires: str) -> None:
    with pytest.raises(PolicyError, match=r"org.yaml:3:1: not a time from 1m to 30d; write a number and s, m, h or d"):
        started(expires=expires)


@given(st.text(max_size=12))
def test_any_text_is_a_time_or_none(text: str) -> None:
    assert seconds(text) >= -1


@pytest.mark.parametrize("least", [float("nan"), -0.1, 1.1])
def test_a_least_confidence_out_of_range_is_a_policy_error(least: float) -> None:
    with pytest.raises(PolicyError, match="not a number from 0 to 1"):
        started(min_confidence=least)


@pytest.mark.parametrize("store", ["", "  ", "a\0b"])
def test_a_store_that_is_no_path_is_a_policy_error(store: str) -> None:
    with pytest.raises(PolicyError, match="not the path of a file"):
        started(store=store)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(PolicyError) as caught:
        started(expires="1y", min_confidence=2.0)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    "given",
    [{"min_confidence": "high"}, {"min_confidence": 2}, {"expires": 72}, {"expires": "1 day"}, {"expire": "72h"}],
)
def test_settings_are_decoded_strictly(given: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, Settings)


def test_settings_have_the_documented_defaults() -> None:
    assert (Settings().min_confidence, Settings().expires_s, Settings().store) == (0.0, 259_200, None)


def test_tickets_lie_beside_the_policy_unless_it_says_otherwise(tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    assert Settings().store_path(policies) == tmp_path / "review" / "tickets.db"
    assert Settings(store="../var/t.db").store_path(policies) == tmp_path / "var" / "t.db"
    assert Settings(store="/srv/t.db").store_path(policies) == Path("/srv/t.db")


def test_the_plugin_answers_what_it_is_asked_at_load() -> None:
    assert plugin.aigov_settings() is Settings
    assert sorted(plugin.aigov_reasons()) == sorted(f"review.{name}" for name in CODES)


def test_every_code_and_key_is_on_the_page_of_this_room() -> None:
    page = (Path(__file__).parents[2] / "docs" / "review.md").read_text(encoding="utf-8")
    names = [f"| `{code}` | {meaning} |" for code, meaning in CODES_AND_MEANINGS.items()]
    names += [f"`{field.name}`" for field in msgspec.structs.fields(Settings)]
    assert [name for name in names if name not in page] == []
