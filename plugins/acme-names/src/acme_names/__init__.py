"""Asks a service of the organisation which names a text holds: a remote recogniser of Presidio's kind.

Settings, under `plugins:` in the policy:

    plugins: {acme-names: {url: "http://127.0.0.1:8800/names", entities: [PERSON], context: [customer]}}

The service is sent `{"text": ...}` and answers a list of `{"type", "start", "end", "score"}`, places in code points.
What it finds is a finding like any other: scores, thresholds, allow list and context words of the policy apply.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from aigov.hookspecs import Context, hookimpl
from aigov.types import Section


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url`: where the service is asked, "" for nowhere. `timeout_ms`: how long it may take to say something."""

    url: str = ""
    entities: tuple[str, ...] = ("PERSON",)
    context: tuple[str, ...] = ()
    timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=200)] = 150


class Names:
    """The plugin, built for one loaded policy."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @hookimpl
    def aigov_entities(self) -> Iterable[str]:
        """The types that the service may answer with."""
        return self._settings.entities

    @hookimpl
    def aigov_recognizers(self) -> Iterable[Any]:
        """The one recogniser; none without a service."""
        from acme_names.remote import Remote  # imports Presidio, which takes a while

        own = self._settings
        return [Remote(own.url, own.entities, own.context, own.timeout_ms / 1000)] if own.url else []


class _Factory:
    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        return Settings

    @hookimpl
    def aigov_start(self, settings: Section, context: Context) -> object:
        url = settings.value.url
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise settings.error("url", what="not the address of a service", fix="write `http://HOST:PORT/PATH`")
        if not settings.value.entities:
            raise settings.error("entities", what="it could answer with nothing", fix="name a type, such as `PERSON`")
        return Names(settings.value)


plugin = _Factory()
