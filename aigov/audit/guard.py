"""The policy's `audit:` section as a plugin: its settings, its one reason code and the log for people."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from aigov.audit import people
from aigov.audit.settings import LONGEST_EPOCH_S, SHORTEST_EPOCH_S, AuditSettings
from aigov.hookspecs import Context, hookimpl
from aigov.types import Section

UNAVAILABLE = "audit.unavailable"
LOG_SUFFIX = ".log"
ORGANISATION = "organisation"


class Silent:
    """The started guard where the policy turns the people's log off: it observes nothing."""

    def unrecorded(self, why: str) -> None:
        """Nobody wants to be told."""


class Telling:
    """The started guard: tells people what is already durable."""

    def __init__(self, make: Callable[[], Callable[[Mapping[str, Any]], None]]) -> None:
        self._make = make
        self._tell: Callable[[Mapping[str, Any]], None] | None = None

    @hookimpl
    def aigov_observe(self, record: Mapping[str, Any]) -> None:
        """Render a record; the renderer is made when there is something to tell."""
        if self._tell is None:
            self._tell = self._make()
        self._tell(record)

    def unrecorded(self, why: str) -> None:
        """Say why nothing can be recorded, which no record can say. A fault of the telling changes nothing."""
        with contextlib.suppress(OSError, ValueError):  # a full disk, a closed stderr
            self.aigov_observe({"kind": UNAVAILABLE, "error": why})


class AuditPlugin:
    """The factory that the governor registers."""

    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        """The struct of the section `audit:`."""
        return AuditSettings

    @hookimpl
    def aigov_start(self, settings: Section, context: Context) -> object:
        """The people's log as the policy wants it. Raises PolicyError for a path that cannot be one, or a time."""
        if settings.value.on_failure != "deny" and settings.layer != ORGANISATION:
            fix = "`deny`; only the layer `organisation` may open this fault"
            raise settings.error("on_failure", what=f"the layer `{settings.layer}` may not say so", fix=fix)
        if not SHORTEST_EPOCH_S <= settings.value.key_seconds <= LONGEST_EPOCH_S:
            raise settings.error("key_epoch", what=f"`{settings.value.key_epoch}` is no time from 1m to 24h", fix="15m")
        fault = settings.value.keep.fault()
        if fault is not None:
            entry, what, fix = fault
            raise settings.error("keep", *entry, what=what, fix=fix)
        to = settings.value.people.to
        if to == "off":
            return Silent()
        level = logging.getLevelNamesMapping()[settings.value.people.level.upper()]
        if to == "stderr":
            return Telling(lambda: people.renderer(people.to_stderr, level=level, colors=sys.stderr.isatty()))
        path = _checked(settings, context.folder, to)
        return Telling(lambda: people.renderer(people.to_file(path), level=level))

    @hookimpl
    def aigov_reasons(self) -> tuple[str, ...]:
        """The reason of a call that could not be recorded."""
        return (UNAVAILABLE,)


plugin = AuditPlugin()


def _checked(settings: Section, folder: Path, to: str) -> Path:
    """The absolute path of the people's log; it must not pass for a record or a part of the policy."""
    policy = folder.absolute()
    path = policy.parent / to
    where = ("people", "to")
    if path.suffix != LOG_SUFFIX or "\0" in to:
        raise settings.error(
            *where, what=f"`{to}` is no place for a log", fix="`stderr`, `off` or a path ending in `.log`"
        )
    if path.resolve().is_relative_to(policy.resolve()):
        raise settings.error(*where, what=f"`{to}` lies in the policy folder", fix="name a path outside of it")
    if not path.parent.is_dir():
        raise settings.error(*where, what=f"there is no folder for `{to}`", fix="make the folder first")
    return path
