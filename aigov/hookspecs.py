"""Every hook, on one page. What is built in registers through these same hooks.

Three kinds, named first in each docstring:

* **register**: asked once, when a policy is loaded. A fault is a `PolicyError`.
* **contribute**: asked during a call; returns findings or rulings, which can only make the outcome
  stricter. A fault, nonsense or running past the limit is DENY for that call.
* **observe**: told afterwards. A fault is isolated, counted and recorded as `plugin.fault`.

A plugin is an object, named by an entry point in the group `aigov.plugins`, that answers
`aigov_settings` and `aigov_start`; what `aigov_start` returns answers the other hooks. Hook wrappers,
`firstresult`, `tryfirst` and `trylast` are refused: every contribution counts, and order never matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pluggy

from aigov.types import Direction, Edit, Facts, Finding, Part, Principal, Reader, Ruling, Section

PROJECT = "aigov"
ENTRY_POINTS = "aigov.plugins"
REGISTER = frozenset(
    {
        "aigov_settings",
        "aigov_start",
        "aigov_reasons",
        "aigov_entities",
        "aigov_recognizers",
        "aigov_operators",
        "aigov_renderer",
    }
)
CONTRIBUTE = frozenset({"aigov_permit", "aigov_screen", "aigov_detect", "aigov_judge"})
OBSERVE = frozenset({"aigov_observe"})

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a guard may use while it is built.

    `folder`: the policy folder, for files that the settings name. `key(label)`: 32 bytes that belong
    to this guard and label alone (HKDF of the policy's root key), the same in every process.
    `entities`: every declared entity type, built in, custom and of plugins. `recognizers`: those that
    plugins registered, `operators` their anonymizer operators; only the privacy guard reads them.
    `resource_attributes`: the name of every attribute that the policy gives to a resource.
    `access_rules`: Casbin rules in the place of the file's, where the governor follows an adapter. `readers`: the
    encoder's models, for the guards that make findings of what they read.
    """

    folder: Path
    key: Callable[[str], bytes]
    entities: frozenset[str] = frozenset()
    recognizers: tuple[Any, ...] = ()
    operators: tuple[Any, ...] = ()
    resource_attributes: frozenset[str] = frozenset()
    access_rules: tuple[tuple[str, ...], ...] | None = None
    readers: tuple[Reader, ...] = ()

    def __repr__(self) -> str:
        return "Context()"


class Renderer(Protocol):
    """Makes the text that replaces an edited span. `scope` is the privacy session of the call."""

    def __call__(self, edit: Edit, value: str, scope: Any, direction: Direction) -> str: ...


@hookspec
def aigov_settings() -> type[msgspec.Struct]:  # type: ignore[empty-body]
    """register: the struct that the plugin's settings in the policy are decoded into.

    A frozen msgspec struct with `forbid_unknown_fields`; every field has a default, so that a plugin
    without an entry in the policy still starts.
    """


@hookspec
def aigov_start(settings: Section, context: Context) -> object:
    """register: build the plugin for one loaded policy and return the object that answers its hooks.

    `settings.value` is the decoded struct; `settings.error("open", what=..., fix=...)` makes a
    `PolicyError` that names file, line and column of an entry.
    """


@hookspec
def aigov_reasons() -> Iterable[str]:  # type: ignore[empty-body]
    """register: the reason codes that this plugin may use, each matching `[a-z0-9_.]{1,64}`."""


@hookspec
def aigov_entities() -> Iterable[str]:  # type: ignore[empty-body]
    """register: the entity types (`[A-Z][A-Z0-9_]*`) that this plugin's findings may carry."""


@hookspec
def aigov_recognizers() -> Iterable[Any]:  # type: ignore[empty-body]
    """register: presidio `EntityRecognizer`s to run beside the built-in ones, unchanged."""


@hookspec
def aigov_operators() -> Iterable[Any]:  # type: ignore[empty-body]
    """register: presidio anonymizer `Operator`s that the policy may name: `{operator: {name: ...}}`."""


@hookspec
def aigov_renderer() -> Renderer:  # type: ignore[empty-body]
    """register: the callable that renders the edits which this guard's own rulings carry."""


@hookspec
def aigov_permit(principal: Principal, action: str, resource: str) -> Iterable[Ruling]:  # type: ignore[empty-body]
    """contribute: rulings on who may do what, asked before any content is looked at (step 2)."""


@hookspec
def aigov_screen(part: Part, direction: Direction) -> Iterable[Finding]:  # type: ignore[empty-body]
    """contribute: findings in a part's text exactly as it was given, before it is normalised."""


@hookspec
def aigov_detect(part: Part, direction: Direction) -> Iterable[Finding]:  # type: ignore[empty-body]
    """contribute: findings in a part's normal form; offsets are mapped back to the given text for you."""


@hookspec
def aigov_judge(facts: Facts) -> Iterable[Ruling]:  # type: ignore[empty-body]
    """contribute: rulings on the whole call, or on its answer when `facts.direction` is `output`.

    Asked again on the answer; keep it a function of `facts` alone, so that a decision can be replayed.
    """


@hookspec
def aigov_observe(record: Mapping[str, Any]) -> None:
    """observe: a copy of a record that is already durable. It holds counts and codes, no content."""
