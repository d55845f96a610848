"""What a provider may do: raise, stop half way, be cancelled, be abandoned. It is recorded; held text is dropped."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from aigov.testing import Trial
from tests.conftest import CHAT, DANA


class Broken(Exception):
    """A provider's own exception."""


def last(trial: Trial) -> dict[str, object]:
    return trial.calls()[-1]


def test_its_own_exception_passes_untouched(trial: Trial) -> None:
    error = Broken("the provider's own words")

    def provider(question: str) -> str:
        raise error

    with pytest.raises(Broken) as caught:
        trial.gov.call(provider, "hello", **CHAT, principal=DANA)
    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert last(trial)["outcome"] == "provider.error"
    assert str(last(trial)["error"]).endswith(":Broken")
    assert "own words" not in repr(trial.records())


def test_a_cause_of_the_providers_own_is_kept(trial: Trial) -> None:
    def provider(question: str) -> str:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise Broken("outer") from inner

    with pytest.raises(Broken) as caught:
        trial.gov.call(provider, "hello", **CHAT, principal=DANA)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_stream_that_breaks_half_way_releases_nothing(trial: Trial) -> None:
    def provider(question: str) -> Iterator[str]:
        yield "half of "
        raise Broken

    got: list[str] = []
    with trial.gov.acting_as(DANA), pytest.raises(Broken):
        got.extend(trial.gov.guard(**CHAT)(provider)("hello"))
    assert got == []
    assert last(trial)["outcome"] == "provider.error"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_even_what_ends_a_program_is_recorded_first(trial: Trial, error: type[BaseException]) -> None:
    def provider(question: str) -> str:
        raise error

    with pytest.raises(error):
        trial.gov.call(provider, "hello", **CHAT, principal=DANA)
    assert last(trial)["error"] == f"builtins:{error.__name__}"


def test_a_cancelled_task_is_cancelled_and_recorded(trial: Trial) -> None:
    async def provider(question: str) -> str:
        await asyncio.sleep(60)
        return question

    async def run() -> None:
        with trial.gov.acting_as(DANA):
            task = asyncio.create_task(trial.gov.guard(**CHAT)(provider)("hello"))
            while not trial.calls():
                await asyncio.sleep(0.01)
            task.cancel()
            await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert last(trial)["outcome"] == "cancelled"


@pytest.mark.parametrize("after", range(0, 12, 2))
def test_wherever_it_is_cancelled_every_intent_has_an_outcome(trial: Trial, after: int) -> None:
    async def provider(question: str) -> str:
        await asyncio.sleep(0)
        return question

    async def run() -> None:
        with trial.gov.acting_as(DANA):
            task = asyncio.create_task(trial.gov.guard(**CHAT)(provider)("hello"))
            for _ in range(after):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(run())
    kinds = [record["kind"] for record in trial.calls()]
    assert kinds.count("call.intent") == kinds.count("call.outcome")


def test_a_stream_that_is_abandoned_says_how_much_was_taken(trial: Trial) -> None:
    def provider(question: str) -> Iterator[str]:
        yield from ("one ", "two ", "three")

    with trial.gov.acting_as(DANA):
        stream = trial.gov.guard(**CHAT)(provider)("hello")
        assert next(stream) == "one "
        stream.close()
    assert [record["kind"] for record in trial.calls()] == ["call.intent", "stream.opened", "call.outcome"]
    assert (last(trial)["outcome"], last(trial)["released_chunks"], last(trial)["released_chars"]) == (
        "abandoned",
        1,
        4,
    )


def test_an_abandoned_asynchronous_stream_does_so_too(trial: Trial) -> None:
    async def provider(question: str) -> AsyncIterator[str]:
        for piece in ("one ", "two"):
            yield piece

    async def run() -> None:
        with trial.gov.acting_as(DANA):
            stream = trial.gov.guard(**CHAT)(provider)("hello")
            await anext(stream)
            await stream.aclose()

    asyncio.run(run())
    assert (last(trial)["outcome"], last(trial)["released_chunks"]) == ("abandoned", 1)


def test_a_stream_without_an_end_is_withheld(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    from aigov import Denied, calls

    monkeypatch.setattr(calls, "MAX_CHUNKS", 50)

    def provider(question: str) -> Iterator[str]:
        while True:
            yield "again "

    with trial.gov.acting_as(DANA), pytest.raises(Denied) as refused:
        next(trial.gov.guard(**CHAT)(provider)("hello"))
    assert refused.value.reason == "output.too_large"


def test_what_a_consumer_does_to_a_chunk_changes_nothing_in_the_record(trial: Trial) -> None:
    def provider(question: str) -> Iterator[dict[str, Any]]:
        yield {"text": "one "}
        yield {"text": "two"}

    with trial.gov.acting_as(DANA):
        for chunk in trial.gov.guard(**CHAT)(provider)("hello"):
            chunk.clear()
            chunk["bytes"] = b"of my own"
    assert (last(trial)["outcome"], last(trial)["released_chunks"]) == ("released", 2)
    assert last(trial)["released_chars"] == last(trial)["size"]["chars"] == len("textone two")


def test_a_stream_that_was_forgotten_is_closed_wherever_it_is_collected(trial: Trial) -> None:
    def provider(question: str) -> Iterator[str]:
        yield from ("one ", "two")

    def forget() -> None:
        stream = trial.gov.guard(**CHAT)(provider)("hello")
        next(stream)
        box: list[Any] = [stream]
        box.append(box)  # only the collector finds it, and it may end the parts in any order

    gc.disable()
    try:
        with trial.gov.acting_as(DANA):
            for _ in range(5):
                forget()
        thread = threading.Thread(target=gc.collect)
        thread.start()
        thread.join()
    finally:
        gc.enable()
    for thread in threading.enumerate():
        if thread.name == "aigov-close":
            thread.join()
    outcomes = [record["outcome"] for record in trial.records("call.outcome")]
    assert outcomes == ["abandoned"] * 5


class SlowLog:
    """A log that tells of each record a while after it took it."""

    def __init__(self, trial: Trial, held: str) -> None:
        self.held, self.reached, self.go = held, asyncio.Event(), asyncio.Event()
        self._append = trial.gov._stores.aappend
        trial.gov._stores.aappend = self  # type: ignore[method-assign]

    async def __call__(self, record: Any, settings: Any, *content: Any) -> Any:
        receipt = await self._append(record, settings, *content)
        if record.kind() == self.held and not self.reached.is_set():
            self.reached.set()
            await self.go.wait()
        return receipt


def test_a_stream_that_was_cancelled_before_its_release_releases_nothing(trial: Trial) -> None:
    got: list[str] = []

    async def provider(question: str) -> AsyncIterator[str]:
        for piece in ("one ", "two"):
            yield piece

    async def run() -> None:
        log = SlowLog(trial, "stream.opened")
        with trial.gov.acting_as(DANA):
            stream = trial.gov.guard(**CHAT)(provider)("hello")

        async def consume() -> None:
            async for piece in stream:
                got.append(piece)

        task = asyncio.create_task(consume())
        await log.reached.wait()
        for _ in range(2):  # twice, as an impatient caller does
            task.cancel()
            await asyncio.sleep(0)
        log.go.set()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(run())
    assert got == []
    assert (last(trial)["outcome"], last(trial)["released_chunks"]) == ("abandoned", 0)


@pytest.mark.parametrize("held", ["call.intent", "call.outcome"])
def test_the_end_of_a_loop_in_the_middle_of_a_record_calls_and_releases_nothing(trial: Trial, held: str) -> None:
    called: list[str] = []
    tasks: list[asyncio.Task[str]] = []

    async def provider(question: str) -> str:
        called.append(question)
        return question

    async def run() -> None:
        log = SlowLog(trial, held)
        with trial.gov.acting_as(DANA):
            tasks.append(asyncio.create_task(trial.gov.guard(**CHAT)(provider)("hello")))
        await log.reached.wait()

    asyncio.run(run())  # which cancels every task at its end, also those that write
    assert tasks[0].cancelled()
    assert called == ([] if held == "call.intent" else ["hello"])
    assert last(trial).get("outcome", "denied") == ("denied" if held == "call.intent" else "withheld")
