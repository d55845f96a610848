"""What the service finds is judged like any finding, and a service that fails refuses the call."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from acme_names import Settings, plugin

from aigov.errors import GuardFault, Location, PolicyError
from aigov.hookspecs import Context
from aigov.plugins import Guards, assemble
from aigov.plugins.assembly import Declared
from aigov.privacy.guard import plugin as privacy
from aigov.types import Finding, Part, Section

PATIENT_S = 60.0
Answer = Callable[[str], tuple[int, bytes]]


def rose(text: str) -> tuple[int, bytes]:
    """A service that knows one name, and is not very sure of it."""
    at = text.find("Rose")
    found = [{"type": "PERSON", "start": at, "end": at + 4, "score": 0.3}] if at >= 0 else []
    return 200, json.dumps(found).encode()


class Service:
    """An HTTP service on this machine: `answer` says what it answers to a text, `asked` what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = rose
        self.asked: list[str] = []
        self.free = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
                service.asked.append(text)
                status, body = service.answer(text)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: Any) -> None:
                pass  # who asked has given up

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/names"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self.free.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.stop()


def loaded(settings: Settings, policy: dict[str, Any] | None = None) -> Guards:
    """The plugin and the privacy guard under this policy, as a policy loads them."""
    values = {"acme-names": settings, "privacy": msgspec.convert(policy or {}, privacy.aigov_settings())}
    declared = [Declared()]

    def start(name: str, factory: Any) -> object:
        section = Section(values[name], "organisation", lambda *path: Location("organisation.yaml", 1, 1))
        recognizers = declared[-1].recognizers if name == "privacy" else ()
        key = lambda label: label.encode().ljust(32)[:32]  # noqa: E731
        context = Context(folder=Path(), key=key, entities=declared[-1].entities, recognizers=recognizers)
        return factory.aigov_start(section, context)

    return assemble(
        {"privacy": privacy}, {"acme-names": plugin}, start, declared=declared.append, limit_s=PATIENT_S
    )  # fmt: skip


def named(service: Service, **more: Any) -> Settings:
    return Settings(url=service.url, **more)


def found(guards: Guards, text: str) -> list[Finding]:
    """What counts of it: past the threshold, and not on the allow list."""
    part = Part(path="/0", text=text)
    guard: Any = guards.started["privacy"]
    return [one for ask in guards.detect for one in ask(part, "input") if guard.admit(one, text)]


def test_what_it_finds_has_its_score_and_place(service: Service) -> None:
    guards = loaded(named(service), {"min_score": 0.1})
    assert [(one.kind, one.type, one.start, one.end, one.score) for one in found(guards, "☕ ask Rose")] == [
        ("pii", "PERSON", 6, 10, 0.3)
    ]
    assert service.asked == ["☕ ask Rose"]


@pytest.mark.parametrize(
    ("text", "policy", "more", "counts"),
    [
        ("ask Rose", {"min_score": 0.3}, {}, True),
        ("ask Rose", {"min_score": 0.31}, {}, False),
        ("customer Rose", {"min_score": 0.6}, {"context": ("customer",)}, True),
        ("ask Rose", {"min_score": 0.6}, {"context": ("customer",)}, False),
        ("ask Rose", {"min_score": 0.3, "allow": ["rose"]}, {}, False),
    ],
)
def test_thresholds_context_words_and_the_allow_list_apply(
    service: Service, text: str, policy: dict[str, Any], more: dict[str, Any], counts: bool
) -> None:
    assert [one.type for one in found(loaded(named(service, **more), policy), text)] == ["PERSON"] * counts


def stalled(service: Service) -> Answer:
    def answer(text: str) -> tuple[int, bytes]:
        service.free.wait(PATIENT_S)
        return 200, b"[]"

    return answer


def says(status: int, body: bytes) -> Callable[[Service], Answer]:
    return lambda service: lambda text: (status, body)


@pytest.mark.parametrize(
    "broken",
    [
        says(500, b"canary"),
        says(200, b"canary"),
        says(200, b""),
        says(200, b'{"canary": 1}'),
        says(200, b'[{"type": "CANARY", "start": 0, "end": 1, "score": 1}]'),
        says(200, b'[{"type": "PERSON", "start": 0, "end": 999, "score": 1}]'),
        says(200, b'[{"type": "PERSON", "start": 2, "end": 1, "score": 1}]'),
        says(200, b'[{"type": "PERSON", "start": 0, "end": 1, "score": 7}]'),
        says(200, b" " * 1_000_001),
        stalled,
    ],
)
def test_a_service_that_does_not_answer_as_it_should_refuses_the_call(
    service: Service, broken: Callable[[Service], Answer]
) -> None:
    guards = loaded(named(service, timeout_ms=50 if broken is stalled else 200))
    service.answer = broken(service)
    with pytest.raises(GuardFault) as caught:
        found(guards, "canary Rose")
    assert (caught.value.guard, caught.value.code) == ("acme-names", "plugin.fault")
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
    assert "canary" not in repr(caught.value).lower()


def test_a_service_that_comes_back_is_asked_again(service: Service) -> None:
    guards = loaded(named(service), {"min_score": 0.1})
    service.answer = says(503, b"")(service)
    with pytest.raises(GuardFault, match=r"plugin\.fault"):
        found(guards, "ask Rose")
    service.answer = rose
    assert len(found(guards, "ask Rose")) == 1


def test_a_service_that_is_down_refuses_calls_and_the_policy_loads_all_the_same() -> None:
    gone = Service()
    gone.stop()
    guards = loaded(named(gone))
    with pytest.raises(GuardFault, match=r"plugin\.fault: acme-names"):
        found(guards, "ask Rose")


def test_without_a_service_nothing_is_asked() -> None:
    assert found(loaded(Settings()), "ask Rose") == []


@pytest.mark.parametrize("settings", [Settings(url="names"), Settings(url="ftp://a/b"), Settings(entities=())])
def test_refuses_settings_that_make_no_sense(settings: Settings) -> None:
    with pytest.raises(PolicyError):
        loaded(settings)
