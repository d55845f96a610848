"""Plugins made on the spot, and the guards that they become."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from aigov.hookspecs import hookimpl
from aigov.plugins import Guards, assemble
from aigov.types import Facts, Finding, Part, Principal, Reason, Ruling, Verdict

PATIENT_S = 60.0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No settings."""


class Factory:
    """A plugin whose started object answers the given functions, each `(self, ...)` with the hook's arguments."""

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        marked = {name: hookimpl(function) for name, function in hooks.items()}
        self.started = type("Started", (), marked)()

    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        return Settings

    @hookimpl
    def aigov_start(self, settings: object, context: object) -> object:
        return self.started


class Kit:
    """What the tests build with. Guards that it made are closed when the test is over."""

    part = Part(path="/a", text="hello world")
    facts = Facts(
        direction="input", action="chat", resource="model:any", principal=Principal(id="dana"), parts={"/a": 0}
    )
    question = (Principal(id="dana"), "chat", "model:any")

    def __init__(self) -> None:
        self._made: list[Guards] = []

    def plugin(self, **hooks: Callable[..., Any]) -> Factory:
        """A plugin that declares the entity `WORD` and the reason `acme.no`, unless `hooks` says otherwise."""
        declared = {
            "aigov_entities": lambda self: ["WORD"],
            "aigov_reasons": lambda self: ["acme.no"],
        }
        return Factory(**{**declared, **hooks})

    def guards(self, thirdparty: dict[str, Any], builtin: dict[str, Any] | None = None, **options: Any) -> Guards:
        options.setdefault("limit_s", PATIENT_S)
        guards = assemble(builtin or {}, thirdparty, lambda name, factory: factory.aigov_start(None, None), **options)
        self._made.append(guards)
        return guards

    def detector(self, detect: Callable[..., Any], **options: Any) -> Any:
        """The contribution of a third party `acme` that detects with `detect(self, part, direction)`."""
        return self.guards({"acme": self.plugin(aigov_detect=detect)}, **options).detect[0]

    def judge(self, judge: Callable[..., Any], **hooks: Any) -> Any:
        """The contribution of a third party `acme` that judges with `judge(self, facts)`."""
        return self.guards({"acme": self.plugin(aigov_judge=judge, **hooks)}).judge[0]

    @staticmethod
    def finding(**changes: Any) -> Finding:
        plain = {"kind": "pii", "type": "WORD", "start": 0, "end": 5, "score": 0.5, "detector": ""}
        return Finding(**{**plain, **changes})

    @staticmethod
    def ruling(**changes: Any) -> Ruling:
        return Ruling(**{"verdict": Verdict.DENY, "reason": Reason(code="acme.no"), **changes})

    def close(self) -> None:
        for guards in self._made:
            guards.close(timeout_s=0)


@pytest.fixture
def kit() -> Iterator[Kit]:
    kit = Kit()
    yield kit
    kit.close()


@pytest.fixture
def threads() -> Callable[[str], int]:
    """How many threads of that name are alive."""

    def count(name: str) -> int:
        gc.collect()
        return sum(thread.name == name for thread in threading.enumerate())

    return count
