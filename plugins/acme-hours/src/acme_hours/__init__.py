"""Refuses calls outside business hours.

Settings, under `plugins:` in the policy:

    plugins: {acme-hours: {open: "08:00", close: "18:00", timezone: Europe/Berlin, days: [mon, tue, wed, thu, fri]}}

From `open`, included, to `close`, not included, on each of `days` by the clock of `timezone`. Hours that run
over midnight (`open: "22:00"`, `close: "06:00"`) belong to the day on which they open. Reason code:
`acme_hours.closed`.
"""

from __future__ import annotations

import datetime
import re
import time
import zoneinfo
from collections.abc import Callable, Iterable

import msgspec

from aigov.hookspecs import Context, hookimpl
from aigov.types import Reason, Ruling, Section, Verdict

CLOSED = "acme_hours.closed"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")

Clock = Callable[[], float]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`open`, `close`: `HH:MM`. `timezone`: a name of the tz database. `days`: every day unless named."""

    open: str = "08:00"
    close: str = "18:00"
    timezone: str = "UTC"
    days: tuple[str, ...] = DAYS


class Hours:
    """The rule, built for one loaded policy. `clock` gives seconds since 1970, UTC."""

    def __init__(self, settings: Settings, zone: datetime.tzinfo, clock: Clock) -> None:
        self._open, self._close = _minutes(settings.open), _minutes(settings.close)
        self._days = frozenset(DAYS.index(day) for day in settings.days)
        self._zone = zone
        self._clock = clock

    @hookimpl
    def aigov_reasons(self) -> Iterable[str]:
        """The one code that its rulings carry."""
        return (CLOSED,)

    @hookimpl
    def aigov_permit(self) -> Iterable[Ruling]:
        """DENY outside the hours, whoever asks for whatever."""
        if not self._is_open(datetime.datetime.fromtimestamp(self._clock(), self._zone)):
            yield Ruling(verdict=Verdict.DENY, reason=Reason(code=CLOSED))

    def _is_open(self, now: datetime.datetime) -> bool:
        minute, day = now.hour * 60 + now.minute, now.weekday()
        if self._open < self._close:
            return self._open <= minute < self._close and day in self._days
        evening = minute >= self._open and day in self._days
        morning = minute < self._close and (day - 1) % 7 in self._days
        return evening or morning


class Factory:
    """The plugin. Tests give it a clock of their own."""

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock

    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        """The struct of the settings above."""
        return Settings

    @hookimpl
    def aigov_start(self, settings: Section, context: Context) -> object:
        """Check the settings and build the rule."""
        value: Settings = settings.value
        for field in ("open", "close"):
            if not TIME.fullmatch(getattr(value, field)):
                raise settings.error(field, what=f"`{getattr(value, field)}` is no time of day", fix='write "HH:MM"')
        if value.open == value.close:
            raise settings.error("close", what="it closes when it opens", fix="take the plugin out to be open always")
        if not value.days:
            raise settings.error("days", what="it opens on no day", fix=f"name some of {', '.join(DAYS)}")
        for index, day in enumerate(value.days):
            if day not in DAYS:
                raise settings.error("days", index, what=f"`{day}` is no day", fix=f"write one of {', '.join(DAYS)}")
        zone = _zone(value.timezone)
        if zone is None:
            fix = "use a name of the tz database, such as Europe/Berlin, and install `tzdata` where the system has none"
            raise settings.error("timezone", what=f"the time zone `{value.timezone}` is not known", fix=fix)
        return Hours(value, zone, self._clock)


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def _zone(name: str) -> datetime.tzinfo | None:
    """The time zone of that name. UTC needs no database."""
    if name == "UTC":
        return datetime.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


plugin = Factory()
