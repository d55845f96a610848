"""When the doors are open, by whose clock, and which settings make no sense."""

from __future__ import annotations

import datetime
import zoneinfo
from pathlib import Path

import pytest
from acme_hours import CLOSED, Factory, Settings

from aigov.errors import Location, PolicyError
from aigov.hookspecs import Context
from aigov.plugins import Guards, assemble
from aigov.types import Principal, Section, Verdict

DANA = Principal(id="dana")
MONDAY, SATURDAY = "2026-03-02", "2026-03-07"


def loaded(settings: Settings, now: str = f"{MONDAY}T12:00+00:00") -> Guards:
    section = Section(settings, "organisation", lambda *path: Location("organisation.yaml", 1, 1))
    context = Context(folder=Path(), key=lambda label: bytes(32))
    factory = Factory(lambda: datetime.datetime.fromisoformat(now).timestamp())
    return assemble({}, {"acme-hours": factory}, lambda name, factory: factory.aigov_start(section, context))


def is_open(now: str, **settings: object) -> bool:
    (ask,) = loaded(Settings(**settings), now).permit
    rulings = ask(DANA, "chat", "model:any")
    assert all((ruling.verdict, ruling.reason.code) == (Verdict.DENY, CLOSED) for ruling in rulings)
    return not rulings


@pytest.mark.parametrize(("time", "wanted"), [("07:59", False), ("08:00", True), ("17:59", True), ("18:00", False)])
def test_opens_at_the_first_minute_and_closes_at_the_last(time: str, wanted: bool) -> None:
    assert is_open(f"{MONDAY}T{time}:30+00:00") is wanted


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        (f"{MONDAY}T23:00+00:00", True),
        ("2026-03-03T05:59+00:00", True),  # the night that Monday opened
        ("2026-03-03T06:00+00:00", False),
        ("2026-03-03T23:00+00:00", False),
        (f"{MONDAY}T05:00+00:00", False),  # the night of Sunday
    ],
)
def test_hours_over_midnight_belong_to_the_day_that_they_open(now: str, wanted: bool) -> None:
    assert is_open(now, open="22:00", close="06:00", days=("mon",)) is wanted


def test_a_day_that_is_not_named_is_closed() -> None:
    assert is_open(f"{SATURDAY}T12:00+00:00")
    assert not is_open(f"{SATURDAY}T12:00+00:00", days=("mon", "tue"))


@pytest.mark.skipif(not zoneinfo.available_timezones(), reason="no time zone database: install tzdata")
@pytest.mark.parametrize(("day", "utc_hour"), [("2026-01-15", "07"), ("2026-07-15", "06")])
def test_follows_the_clock_of_the_zone_through_summer_time(day: str, utc_hour: str) -> None:
    assert is_open(f"{day}T{utc_hour}:00+00:00", timezone="Europe/Berlin")
    assert not is_open(f"{day}T{int(utc_hour) - 1:02}:59+00:00", timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (Settings(open="8:00"), "no time of day"),
        (Settings(close="24:00"), "no time of day"),
        (Settings(open="18:00"), "closes when it opens"),
        (Settings(timezone="Mars/Olympus"), "Mars/Olympus"),
        (Settings(timezone="../../etc/passwd"), "time zone"),
        (Settings(days=()), "no day"),
        (Settings(days=("monday",)), "monday"),
    ],
)
def test_refuses_settings_that_make_no_sense(settings: Settings, names: str) -> None:
    with pytest.raises(PolicyError, match=names):
        loaded(settings)
