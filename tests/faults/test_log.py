"""No record, no call; no record, no release: with a log that fails at any moment, in any shape of call."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aigov import Denied
from aigov.errors import AuditUnavailable
from aigov.testing import Trial
from tests.conftest import CHAT, DANA


class Model:
    """Every shape of call, counted."""

    def __init__(self) -> None:
        self.called = 0

    def plain(self, question: str) -> str:
        self.called += 1
        return "answer"

    async def coroutine(self, question: str) -> str:
        self.called += 1
        return "answer"

    def generator(self, question: str) -> Iterator[str]:
        self.called += 1
        yield from ("ans", "wer")

    async def async_generator(self, question: str) -> AsyncIterator[str]:
        self.called += 1
        for piece in ("ans", "wer"):
            yield piece


def released(trial: Trial, model: Model, shape: str) -> tuple[str, str]:
    """What the caller gets, and the reason why no more."""
    guarded: Any = trial.gov.guard(**CHAT)(getattr(model, shape))
    got: list[str] = []

    async def asynchronous() -> None:
        if shape == "coroutine":
            got.append(await guarded("hello"))
        else:
            async for piece in guarded("hello"):
                got.append(piece)

    try:
        with trial.gov.acting_as(DANA):
            if shape == "plain":
                got.append(guarded("hello"))
            elif shape == "generator":
                got.extend(guarded("hello"))
            else:
                asyncio.run(asynchronous())
    except Denied as denied:
        return "".join(got), denied.reason
    return "".join(got), ""


class Faulty:
    """The log of a governor, with a fault at the n-th record."""

    def __init__(self, stores: Any, fails: set[int]) -> None:
        self._append, self._fails, self.kinds = stores.append, fails, []
        stores.append, stores.aappend = self.append, self.aappend

    def append(self, record: Any, settings: Any) -> Any:
        self.kinds.append(record.kind())
        if len(self.kinds) - 1 in self._fails:
            self.kinds[-1] += "!"
            raise AuditUnavailable("a fault")
        return self._append(record, settings)

    async def aappend(self, record: Any, settings: Any) -> Any:
        return self.append(record, settings)


@given(shape=st.sampled_from(["plain", "coroutine", "generator", "async_generator"]), fails=st.sets(st.integers(0, 3)))
def test_no_call_without_an_intent_and_no_release_without_an_outcome(
    shared: Trial, shape: str, fails: set[int]
) -> None:
    stores, model = shared.gov._stores, Model()
    append, aappend = stores.append, stores.aappend
    try:
        log = Faulty(stores, fails)
        text, why = released(shared, model, shape)
    finally:
        stores.append, stores.aappend = append, aappend  # type: ignore[method-assign]
    assert model.called == ("call.intent" in log.kinds)
    before_release = "stream.opened" if "generator" in shape else "call.outcome"
    asked = next((kind for kind in log.kinds if kind.startswith(before_release)), "!")
    assert bool(text) == (not asked.endswith("!"))
    assert (why == "audit.unavailable") == any(kind.endswith("!") for kind in log.kinds)


def test_a_folder_that_vanished_refuses_every_call(trial: Trial) -> None:
    model = Model()
    assert released(trial, model, "plain") == ("answer", "")
    shutil.rmtree(trial.audit)
    trial.audit.write_text("a file now")
    for shape in ("plain", "coroutine", "generator", "async_generator"):
        assert released(trial, model, shape) == ("", "audit.unavailable")
    assert model.called == 1


def test_a_log_that_was_never_there_refuses_and_serves_when_it_comes(trial: Trial) -> None:
    place = trial.folder / "later"
    place.write_text("in the way")
    with type(trial.gov).from_policies(trial.policies, audit=place) as gov:
        late = Trial(trial.folder, gov)
        model = Model()
        assert released(late, model, "plain") == ("", "audit.unavailable")
        os.remove(place)
        assert released(late, model, "plain") == ("answer", "")
    assert model.called == 1


def test_a_closed_governor_refuses(trial: Trial) -> None:
    trial.gov.close()
    model = Model()
    assert released(trial, model, "plain") == ("", "audit.unavailable")
    assert model.called == 0
