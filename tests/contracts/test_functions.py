"""The public surface: functions of every kind, and how nothing that they are given goes past the guards."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import pickle
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from aigov import Denied
from aigov.testing import Trial
from tests.conftest import CHAT, DANA

pytestmark = pytest.mark.contract

MAIL = "jane@example.com"


def plain(question: str, *, note: str = "") -> str:
    return question


async def coroutine(question: str) -> str:
    return question


def generator(question: str) -> Iterator[str]:
    yield question


async def async_generator(question: str) -> AsyncIterator[str]:
    yield question


class Seen:
    """A provider that remembers what it was given."""

    def __init__(self) -> None:
        self.args: list[Any] = []

    def ask(self, question: Any, history: Any = ("mail " + MAIL,), note: str = "", *, extra: Any = None) -> str:
        self.args += [question, history, note, extra]
        return "fine"

    @staticmethod
    def static(cls: str, question: str) -> str:
        return cls + question


def test_what_a_partial_holds_is_looked_at(shared: Trial) -> None:
    seen = Seen()
    held = functools.partial(functools.partial(seen.ask, "mail " + MAIL), [MAIL], extra={"to": MAIL})
    with shared.gov.acting_as(DANA):
        assert shared.gov.guard(**CHAT)(held)(note=MAIL) == "fine"
    assert seen.args[2] != ""
    assert MAIL not in repr(seen.args)


def test_a_partial_keeps_its_signature_and_its_kind(shared: Trial) -> None:
    for fn in (plain, coroutine, generator, async_generator):
        held = functools.partial(fn, "hello")
        guarded = shared.gov.guard(**CHAT)(held)
        assert inspect.signature(guarded) == inspect.signature(held)
        for ask in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            assert ask(guarded) == ask(fn)


@pytest.mark.parametrize("default", [["mail " + MAIL], {"to": MAIL}, (MAIL,), MAIL, {MAIL}, frozenset({MAIL})])
def test_what_a_default_brings_is_looked_at(shared: Trial, default: Any) -> None:
    seen: list[Any] = []

    def ask(question: str, more: Any = default) -> str:
        seen.append(more)
        return "fine"

    with shared.gov.acting_as(DANA):
        assert shared.gov.guard(**CHAT)(ask)("hello") == "fine"
    assert type(seen[0]) is type(default)
    assert MAIL not in repr(seen)


def test_a_default_that_is_the_programs_own_object_stays_what_it_is(shared: Trial) -> None:
    missing, got = object(), []

    def ask(first: str, second: Any = missing, third: str = "c", /, *, fourth: Any = missing) -> str:
        got.append((second, fourth))
        return first + third

    with shared.gov.acting_as(DANA):
        assert shared.gov.guard(**CHAT)(ask)("a") == "ac"
    assert got == [(missing, missing)]


def test_text_is_looked_at_though_its_parameter_is_called_self_or_cls(shared: Trial) -> None:
    seen: list[str] = []

    class Desk:
        def ask(self, question: str) -> str:
            seen.append(self)  # type: ignore[arg-type]
            return question

    ask: Callable[..., str] = shared.gov.guard(**CHAT)(Desk.ask)
    static: Callable[..., str] = shared.gov.guard(**CHAT)(Seen.static)
    with shared.gov.acting_as(DANA):
        assert ask("mail " + MAIL, "hello") == "hello"
        assert static(MAIL, "!") == MAIL + "!"
        assert static.__wrapped__ is Seen.static  # type: ignore[attr-defined]
    assert MAIL not in repr(seen)


@pytest.mark.parametrize("wrong", [Seen, int, functools.partial(Seen)])
def test_a_class_is_not_guarded_which_would_leave_its_methods_ungoverned(shared: Trial, wrong: Any) -> None:
    with pytest.raises(TypeError, match="not a class"):
        shared.gov.guard(**CHAT)(wrong)


@pytest.mark.parametrize("wrong", [5, None, "text", property(lambda self: 1)])
def test_what_cannot_be_called_is_an_error_where_it_is_guarded(shared: Trial, wrong: Any) -> None:
    for act in (lambda: shared.gov.guard(**CHAT)(wrong), lambda: shared.gov.call(wrong, **CHAT, principal=DANA)):
        with pytest.raises(TypeError, match="can be called"):
            act()


@pytest.mark.parametrize("wrong", ["dana", 5, {"id": "dana"}])
def test_a_principal_that_is_none_is_an_error_of_the_programmer(shared: Trial, wrong: Any) -> None:
    for act in (
        lambda: shared.gov.call(plain, "hello", **CHAT, principal=wrong),
        lambda: shared.gov.permits(wrong, **CHAT),
        lambda: shared.gov.evaluate(**CHAT, principal=wrong, content="hello"),
        lambda: shared.gov.acting_as(wrong).__enter__(),
    ):
        with pytest.raises(TypeError, match="Principal"):
            act()


def test_an_empty_principal_is_not_whoever_is_in_force(shared: Trial) -> None:
    with shared.gov.acting_as(DANA), pytest.raises(TypeError):
        shared.gov.call(plain, "hello", **CHAT, principal="")  # type: ignore[arg-type]


def test_functions_guarded_twice_stay_what_they_are(shared: Trial) -> None:
    guard = shared.gov.guard(**CHAT)
    with shared.gov.acting_as(DANA):
        assert guard(guard(plain))(MAIL) == MAIL
        assert asyncio.run(guard(guard(coroutine))(MAIL)) == MAIL
        assert list(guard(guard(generator))(MAIL)) == [MAIL]


def test_callable_objects_are_what_their_call_is(shared: Trial) -> None:
    class Later:
        async def __call__(self, question: str) -> str:
            return question

    class Now:
        def __call__(self, question: str) -> str:
            return question

    with shared.gov.acting_as(DANA):
        assert asyncio.run(shared.gov.guard(**CHAT)(Later())(MAIL)) == MAIL
        assert shared.gov.guard(**CHAT)(Now())(MAIL) == MAIL
        assert asyncio.run(shared.gov.guard(**CHAT)(mock.AsyncMock(return_value="fine"))("hello")) == "fine"
        assert shared.gov.guard(**CHAT)(mock.MagicMock(return_value="fine"))("hello") == "fine"


@pytest.mark.parametrize("fn", [coroutine, generator])
def test_a_plain_function_that_answers_with_work_undone_is_withheld_and_the_work_ended(
    shared: Trial, fn: Callable[..., Any]
) -> None:
    begun: list[Any] = []

    def indirect(question: str) -> Any:
        begun.append(fn(question))
        return begun[0]

    with shared.gov.acting_as(DANA), pytest.raises(Denied) as refused:
        shared.gov.guard(**CHAT)(indirect)("hello")
    assert refused.value.reason == "output.unknown_type"
    state = inspect.getcoroutinestate if fn is coroutine else inspect.getgeneratorstate
    assert state(begun[0]).endswith("CLOSED")


def test_a_stream_that_is_cut_off_is_closed_at_once(shared: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aigov.calls.MAX_CHUNKS", 5)
    ended: list[str] = []

    def endless(question: str) -> Iterator[str]:
        try:
            while True:
                yield question
        finally:
            ended.append("plain")

    async def aendless(question: str) -> AsyncIterator[str]:
        try:
            while True:
                yield question
        finally:
            ended.append("async")

    async def consume() -> None:
        with shared.gov.acting_as(DANA):
            stream = shared.gov.guard(**CHAT)(aendless)("hello")
        with pytest.raises(Denied, match="too_large"):
            await anext(stream)
        assert ended == ["plain", "async"]

    with shared.gov.acting_as(DANA), pytest.raises(Denied, match="too_large"):
        next(shared.gov.guard(**CHAT)(endless)("hello"))
    assert ended == ["plain"]
    asyncio.run(consume())


def test_a_guarded_function_is_pickled_and_copied_by_its_name(shared: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = shared.gov.guard(**CHAT)(plain)
    assert copy.deepcopy(guarded) is guarded
    with pytest.raises(pickle.PicklingError):  # the module's name leads to the bare function
        pickle.dumps(guarded)
    monkeypatch.setitem(globals(), "plain", guarded)
    assert pickle.loads(pickle.dumps(guarded)) is guarded  # noqa: S301 - our own bytes


def test_types_and_sources_are_those_of_the_function(shared: Trial) -> None:
    guarded = shared.gov.guard(**CHAT)(plain)
    assert typing.get_type_hints(guarded) == {"question": str, "note": str, "return": str}
    assert inspect.getsource(guarded).startswith("def plain")
    assert inspect.signature(guarded).parameters["note"].default == ""
    assert (guarded.__module__, guarded.__qualname__) == (__name__, "plain")


def test_an_abstract_method_that_is_guarded_stays_abstract(shared: Trial) -> None:
    import abc

    class Base(abc.ABC):
        @shared.gov.guard(**CHAT)
        @abc.abstractmethod
        def ask(self, question: str) -> str: ...

        @property
        @shared.gov.guard(**CHAT)
        def name(self) -> str:
            return MAIL

    class Made(Base):
        def ask(self, question: str) -> str:
            return question

    with pytest.raises(TypeError, match="abstract"):
        Base()  # type: ignore[abstract]
    with shared.gov.acting_as(DANA):
        assert Made().name == "[EMAIL_ADDRESS]"
