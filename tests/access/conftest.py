"""A policy folder to write Casbin files into, and the guard over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aigov.access.guard import Access, read
from aigov.access.settings import AccessSettings

TENANTS = """\
[request_definition]
r = sub, dom, obj, act

[policy_definition]
p = sub, dom, obj, act, eft

[role_definition]
g = _, _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = g(r.sub, p.sub, r.dom) && r.dom == p.dom && keyMatch(r.obj, p.obj) && r.act == p.act
"""

Build = Callable[..., Access]


@pytest.fixture
def tenants() -> str:
    """A model with tenants, a hierarchy, key patterns and denies."""
    return TENANTS


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a model and a policy; returns the policy folder."""

    def write(policy: str, model: str = TENANTS) -> Path:
        (tmp_path / "access").mkdir(exist_ok=True)
        (tmp_path / "access" / "model.conf").write_text(model, encoding="utf-8")
        (tmp_path / "access" / "policy.csv").write_text(policy, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def build(write: Callable[[str, str], Path]) -> Build:
    """The guard over a policy and a model."""

    def build(policy: str, model: str = TENANTS, **settings: Any) -> Access:
        return read(write(policy, model), AccessSettings(**settings))

    return build


@pytest.fixture(scope="module")
def build_from(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Access]:
    """The guard over a policy, for properties that build many in one test."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "access").mkdir()
    (folder / "access" / "model.conf").write_text(TENANTS, encoding="utf-8")

    def build(policy: str) -> Access:
        (folder / "access" / "policy.csv").write_text(policy, encoding="utf-8")
        return read(folder, AccessSettings())

    return build


@pytest.fixture(scope="module")
def build_once(build_from: Callable[[str], Access]) -> Access:
    """One guard for a whole module."""
    return build_from(
        "g, dana, agent, retail\ng, agent, employee, retail\n"
        "p, agent, retail, model:small, chat, allow\np, employee, retail, kb:*, read, allow\n"
        "p, employee, retail, kb:secret, read, deny\n"
    )
