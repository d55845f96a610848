"""What a provider may do: raise, stop half way, be cancelled, be abandoned. It is recorded; held text is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

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
