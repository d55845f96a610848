"""Finds an organisation's project code names, so that they leave the house as placeholders.

Settings, under `plugins:` in the policy:

    plugins: {acme-codenames: {names: [Blue Heron, Nightjar], score: 0.95}}

A name is found as whole words, whatever its case, with any white space between its words. Findings have
the kind `pii` and the type `PROJECT_CODENAME`, so `privacy: {entities: {PROJECT_CODENAME: ...}}` says what
becomes of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import msgspec

from aigov.hookspecs import Context, hookimpl
from aigov.types import Direction, Finding, Part, Section

ENTITY = "PROJECT_CODENAME"
MAX_NAMES = 1_000
MIN_CHARS, MAX_CHARS = 3, 64


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`names`: the code names, 3 to 64 characters each. `score`: how sure a finding is, 0 to 1."""

    names: tuple[str, ...] = ()
    score: float = 0.95


class Codenames:
    """The detector, built for one loaded policy."""

    def __init__(self, settings: Settings) -> None:
        self._pattern = _pattern(settings.names)
        self._score = settings.score

    @hookimpl
    def aigov_entities(self) -> Iterable[str]:
        """The one type that its findings carry."""
        return (ENTITY,)

    @hookimpl
    def aigov_detect(self, part: Part, direction: Direction) -> Iterable[Finding]:
        """Every code name in the part's text."""
        if self._pattern is None:
            return
        for match in self._pattern.finditer(part.text):
            yield Finding(kind="pii", type=ENTITY, start=match.start(), end=match.end(), score=self._score, detector="")


class _Factory:
    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        return Settings

    @hookimpl
    def aigov_start(self, settings: Section, context: Context) -> object:
        value: Settings = settings.value
        if len(value.names) > MAX_NAMES:
            raise settings.error("names", what=f"over {MAX_NAMES} names", fix="name fewer projects")
        for index, name in enumerate(value.names):
            if not MIN_CHARS <= len(_words(name)) <= MAX_CHARS:
                fix = f"a code name has {MIN_CHARS} to {MAX_CHARS} characters"
                raise settings.error("names", index, what="a code name is too short or too long", fix=fix)
        if not 0 < value.score <= 1:
            raise settings.error("score", what="the score is out of range", fix="a score is over 0 and at most 1")
        return Codenames(value)


def _words(name: str) -> str:
    """A name in the normal form in which texts are searched, its white space single."""
    return " ".join(unicodedata.normalize("NFKC", name).split())


def _pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    """All names as one pattern, the longest first; words and white space only, so it never backtracks far."""
    spaced = [r"\s+".join(re.escape(word) for word in _words(name).split()) for name in names]
    if not spaced:
        return None
    return re.compile(r"(?<!\w)(?:" + "|".join(sorted(spaced, key=len, reverse=True)) + r")(?!\w)", re.IGNORECASE)


plugin = _Factory()
