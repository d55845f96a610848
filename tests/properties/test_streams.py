"""However an answer is cut into chunks, what is released is the whole answer governed at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from aigov.testing import Trial
from tests.conftest import CHAT, DANA

ANSWER = "Dear {0}, we wrote to bob@other.org and to 4111 1111 1111 1111.\nYours, the 192.168.0.1 team \U0001f44d"
CUTS = st.lists(st.integers(0, 140), max_size=12)


def cut(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, *(place for place in cuts if place < len(text)), len(text)})
    return [text[start:end] for start, end in pairwise(places)]


def whole(trial: Trial) -> str:
    return trial.gov.call(lambda question: ANSWER.replace("{0}", question), "jane@example.com", **CHAT, principal=DANA)


@given(CUTS)
def test_a_stream_of_text_is_governed_whole(shared: Trial, cuts: list[int]) -> None:
    def stream(question: str) -> Iterator[str]:
        yield from cut(ANSWER.replace("{0}", question), cuts)

    with shared.gov.acting_as(DANA):
        assert "".join(shared.gov.guard(**CHAT)(stream)("jane@example.com")) == whole(shared)


@given(CUTS)
def test_so_is_an_asynchronous_stream_of_objects(shared: Trial, cuts: list[int]) -> None:
    async def stream(question: str) -> AsyncIterator[dict[str, object]]:
        for index, piece in enumerate(cut(ANSWER.replace("{0}", question), cuts)):
            yield {"index": index, "delta": {"content": piece}}

    async def collect() -> str:
        with shared.gov.acting_as(DANA):
            chunks = shared.gov.guard(**CHAT)(stream)("jane@example.com")
        return "".join([chunk["delta"]["content"] async for chunk in chunks])

    assert asyncio.run(collect()) == whole(shared)
