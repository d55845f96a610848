"""What every room's tests share: a governor on the starter policy, and a network that is not there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from aigov.types import Principal

if TYPE_CHECKING:
    from aigov.testing import Trial

settings.register_profile("ci", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")

DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")
LEO = Principal(id="leo", roles=("support-lead",), tenant="retail")
CHAT = {"action": "chat", "resource": "model:gpt-4o-mini"}
REFUND = {"action": "tool:refund", "resource": "order:1"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing opens a socket to anywhere: not at import, at load, or in a call."""

    def refuse(self: socket.socket, address: object, *rest: object) -> None:
        if self.family != socket.AF_UNIX:
            raise AssertionError(f"a socket was opened to {address!r}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))


@pytest.fixture
def trial() -> Iterator[Trial]:
    """A governor on the starter policy, in a folder of its own."""
    from aigov.testing import governor

    with governor() as made:
        yield made


@pytest.fixture(scope="module")
def shared() -> Iterator[Trial]:
    """The same for tests that neither change the policy nor count records."""
    from aigov.testing import governor

    with governor() as made:
        yield made
