"""The log for people: what is told, how loud, to whom; and that it is only a copy."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from aigov.audit import people
from aigov.audit.guard import plugin
from aigov.audit.records import (
    CallDenied,
    CallOutcome,
    PluginFault,
    PolicyActivated,
    PolicyRejected,
    ReasonRecord,
    Record,
    ReviewOpened,
)
from aigov.audit.settings import AuditSettings, People
from aigov.errors import Location, PolicyError
from aigov.hookspecs import Context
from aigov.types import Section


def shown(record: Record) -> Mapping[str, Any]:
    return {"id": "0000", **msgspec.to_builtins(record)}


DENIED = shown(CallDenied(call="c", action="chat", resource="m", step=2, reasons=(ReasonRecord(code="a.b", rule="r"),)))
RELEASED = shown(CallOutcome(call="c", outcome="released"))


@pytest.mark.parametrize(
    ("record", "level"),
    [
        (DENIED, logging.WARNING),
        (RELEASED, logging.INFO),
        (shown(CallOutcome(call="c", outcome="withheld")), logging.WARNING),
        (shown(CallOutcome(call="c", outcome="provider.error")), logging.WARNING),
        (shown(ReviewOpened(call="c", ticket="t", direction="input")), logging.WARNING),
        (shown(PolicyActivated(policy="p")), logging.INFO),
        (shown(PolicyRejected()), logging.ERROR),
        (shown(PluginFault(plugin="p")), logging.ERROR),
        ({}, logging.INFO),
    ],
)
def test_refusals_reviews_and_faults_are_loud(record: Mapping[str, Any], level: int) -> None:
    assert people.level_of(record) == level


def test_a_warning_level_shows_warnings_alone_and_info_shows_all() -> None:
    for level, count in ((logging.WARNING, 1), (logging.INFO, 2)):
        told: list[str] = []
        tell = people.renderer(told.append, level=level)
        tell(DENIED)
        tell(RELEASED)
        assert len(told) == count


def test_a_line_says_what_happened_and_where_to_look_it_up() -> None:
    told: list[str] = []
    people.renderer(told.append)(DENIED)
    assert all(word in told[0] for word in ("call.denied", "chat", "a.b [r]", "record=0000", "warning"))


@given(st.text(), st.text())
def test_a_record_is_one_line_whatever_a_name_holds(action: str, role: str) -> None:
    told: list[str] = []
    tell = people.renderer(told.append)
    tell(shown(CallDenied(call="c", action=action, resource=role, step=2)))
    assert len(told[0].splitlines()) == 1
    assert "\x1b" not in told[0]


def test_an_applications_structlog_is_left_alone() -> None:
    before = structlog.get_config()
    structlog.configure(processors=[lambda *_: pytest.fail("the application's processors were used")])
    try:
        people.renderer(lambda _: None)(DENIED)
    finally:
        structlog.reset_defaults()
    assert structlog.get_config()["processors"] == before["processors"]


def test_a_file_is_appended_to_and_may_be_rotated(tmp_path: Path) -> None:
    write = people.to_file(tmp_path / "people.log")
    write("one")
    (tmp_path / "people.log").rename(tmp_path / "people.log.1")
    write("two")
    write("dr\udceei")
    assert (tmp_path / "people.log.1").read_text() == "one\n"
    assert (tmp_path / "people.log").read_text() == "two\ndr?i\n"
    assert (tmp_path / "people.log").stat().st_mode & 0o777 == 0o600


# -- as a guard of the policy --------------------------------------------------------------------


def start(folder: Path, to: str, level: str = "warning") -> Any:
    value = AuditSettings(people=People(to=to, level=level))  # type: ignore[arg-type]
    section = Section(value, "organisation", lambda *path: Location("acme.yaml", 3, 7))
    return plugin.aigov_start(settings=section, context=Context(folder=folder, key=lambda label: b""))


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    return tmp_path / "policies"


def test_stderr_is_whatever_it_is_at_that_moment(policies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    telling = start(policies, "stderr")
    for _ in range(2):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        telling.aigov_observe(record=DENIED)
        assert "call.denied" in sys.stderr.getvalue()


def test_a_line_reaches_stderr_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program writes to the terminal at the same time."""
    pieces: list[str] = []

    class Terminal(io.StringIO):
        def write(self, text: str) -> int:
            pieces.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stderr", Terminal())
    people.to_stderr("call.denied")
    assert pieces == ["call.denied\n"]


def test_off_observes_nothing(policies: Path) -> None:
    assert not hasattr(start(policies, "off"), "aigov_observe")


def test_a_path_is_taken_from_beside_the_policy_folder(policies: Path) -> None:
    start(policies, "people.log", "info").aigov_observe(record=RELEASED)
    assert "call.outcome" in (policies.parent / "people.log").read_text()


def test_an_absolute_path_is_taken_as_it_is(policies: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    start(policies, str(tmp_path / "elsewhere/x.log")).aigov_observe(record=DENIED)
    assert (tmp_path / "elsewhere/x.log").exists()


@pytest.mark.parametrize(
    "to",
    [
        "",
        "x.jsonl",
        "audit/people.jsonl",
        "x.yaml",
        "policies/x.log",
        "policies/../policies/x.log",
        "no/x.log",
        "a\0.log",
    ],
)
def test_a_path_that_could_pass_for_a_record_or_a_policy_is_refused_at_load(policies: Path, to: str) -> None:
    with pytest.raises(PolicyError, match=r"acme\.yaml:3:7") as caught:
        start(policies, to)
    assert caught.value.problems[0].fix


def test_a_link_into_the_policy_folder_is_refused_too(policies: Path) -> None:
    (policies.parent / "link").symlink_to(policies)
    with pytest.raises(PolicyError):
        start(policies, "link/x.log")


@pytest.mark.parametrize(
    "section",
    [{"on_failure": "open"}, {"people": {"to": 3}}, {"people": {"level": "debug"}}, {"patience_ms": 5}, {"unknown": 1}],
)
def test_what_the_section_does_not_know_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(section, plugin.aigov_settings())


def test_the_defaults_hold_without_a_section() -> None:
    settings = msgspec.convert({}, plugin.aigov_settings())
    assert settings == AuditSettings(on_failure="deny", patience_ms=250, people=People(to="stderr", level="warning"))


def test_the_one_reason_is_declared() -> None:
    assert list(plugin.aigov_reasons()) == ["audit.unavailable"]
