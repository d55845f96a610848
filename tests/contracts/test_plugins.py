"""Plugins in a governor: what is loaded is recorded, and so is an observer that breaks."""

from __future__ import annotations

import pytest

from aigov.audit import records
from aigov.governor import BrokenObservers
from aigov.testing import ScriptedProvider, Trial
from tests.conftest import CHAT, DANA

pytestmark = pytest.mark.contract


def test_an_observer_that_broke_is_recorded(trial: Trial) -> None:
    report = trial.gov._force._report
    assert isinstance(report, BrokenObservers)
    report("acme-counts", "plugin.fault", 1)
    (fault,) = trial.records("plugin.fault")
    assert (fault["plugin"], fault["hook"], fault["error"]) == ("acme-counts", "aigov_observe", "plugin.fault")


def test_before_there_is_a_governor_there_is_nobody_to_tell() -> None:
    assert BrokenObservers()("acme-counts", "plugin.fault", 1) is None


def test_observers_are_told_of_durable_records_alone(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(type(trial.gov._force.loaded), "observe", lambda self, record, receipt: told.append(record))
    trial.gov.call(ScriptedProvider("fine").ask, "hello", **CHAT, principal=DANA)
    assert [type(record) for record in told] == [records.CallIntent, records.CallOutcome]


def test_redact_tells_what_it_replaced(trial: Trial) -> None:
    redacted = trial.gov.redact("mail jane@example.com")
    assert [(f.type, f.start, f.end) for f in redacted.findings if f.type == "EMAIL_ADDRESS"] == [
        ("EMAIL_ADDRESS", 5, 21)
    ]
