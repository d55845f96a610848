"""What the tests of this room share: sections as a layer would have them, and a way to write and read one."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from aigov.errors import PolicyError
from aigov.hookspecs import Context
from aigov.policy.draft import Draft
from aigov.policy.guard import plugin
from aigov.policy.source import read

HEADER = "aigov: 1\nlayer: organisation\nname: acme\n"


class Access(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may do what."""

    model: str
    policy: str
    trust_roles: bool = False


class Keep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keep_last: Annotated[int, msgspec.Meta(ge=0, le=8)] = 4


class Operation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mask: Keep | None = None
    replace: str | None = None

    def __post_init__(self) -> None:
        if (self.mask is None) == (self.replace is None):
            raise ValueError("give either `mask` or `replace`")


Action = Literal["tokenise", "mask", "hash", "redact", "allow", "review", "deny"] | Operation


class Custom(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    entity: Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z0-9_]*$")]
    pattern: str = ""
    score: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    context: tuple[str, ...] = ()


class Privacy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    min_score: Annotated[float, msgspec.Meta(ge=0, le=1, description="findings below this are dropped")] = 0.5
    default: Action = "tokenise"
    entities: dict[str, Action] = {}
    allow: frozenset[str] = frozenset()
    custom: tuple[Custom, ...] = ()


class Sanitise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    invisible: Literal["strip", "deny"] = "strip"
    max_chars: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 200_000


class Review(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    min_confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    expires: Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]*[smhd]$")] = "72h"


class Hours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    open: Annotated[str, msgspec.Meta(pattern=r"^[0-2][0-9]:[0-5][0-9]$")] = "08:00"
    timezone: str = "UTC"


SECTIONS: dict[str, Any] = {
    "access": Access,
    "privacy": Privacy,
    "sanitise": Sanitise,
    "review": Review,
    "rules": plugin.aigov_settings(),
}
PLUGINS: dict[str, Any] = {"acme-hours": Hours}
ENTITIES = frozenset({"CREDIT_CARD", "EMAIL_ADDRESS", "US_SSN", "IP_ADDRESS"})


@pytest.fixture
def sections() -> dict[str, Any]:
    """The sections that these tests know, `access` apart, which has no defaults."""
    return dict(SECTIONS)


@pytest.fixture
def plugins() -> dict[str, Any]:
    return dict(PLUGINS)


@pytest.fixture
def policy(tmp_path: Path) -> Callable[..., Path]:
    """Writes `text` under the header as the one layer of a new folder; `header=""` writes it alone."""

    def write(text: str | bytes, header: str = HEADER) -> Path:
        folder = tmp_path / "policy"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        content = text if isinstance(text, bytes) else (header + text).encode()
        (folder / "organisation.yaml").write_bytes(content)
        return folder

    return write


@pytest.fixture
def draft(policy: Callable[..., Path]) -> Callable[..., Draft]:
    """Reads what `policy` writes."""

    def make(text: str | bytes, header: str = HEADER) -> Draft:
        return read(policy(text, header))

    return make


@pytest.fixture
def problems_of() -> Callable[[Callable[[], object]], list[str]]:
    """The problems that a call raises, as `line:column text`."""

    def problems(work: Callable[[], object]) -> list[str]:
        with pytest.raises(PolicyError) as caught:
            work()
        assert caught.value.__context__ is None
        return [f"{p.where.line}:{p.where.column} {p.what}; {p.fix}" for p in caught.value.problems]

    return problems


@pytest.fixture
def load() -> Callable[[Path], Draft]:
    """Reads a folder as a governor would: every section, the rules compiled, unknown keys refused."""

    def whole(folder: Path) -> Draft:
        draft = read(folder)
        found = []

        def attempt(work: Callable[[], object]) -> None:
            try:
                work()
            except PolicyError as error:
                found.extend(error.problems)

        for key, kind in SECTIONS.items():
            if draft.has(key) and key != "rules":
                attempt(lambda key=key, kind=kind: draft.section(key, kind))
        attempt(lambda: plugin.aigov_start(draft.section("rules", SECTIONS["rules"]), context(folder)))
        for name, kind in PLUGINS.items():
            attempt(lambda name=name, kind=kind: draft.settings(name, kind))
        attempt(lambda: draft.finish(SECTIONS, PLUGINS))
        if found:
            raise PolicyError(found)
        return draft

    return whole


def context(folder: Path) -> Context:
    return Context(folder=folder, key=lambda label: bytes(32), entities=ENTITIES)
