"""A function that runs as whoever acted when it was bound, wherever and in however many pieces it runs.

Invariants:
* Each call runs in a copy of the context that was bound: calls at once disturb neither one another nor it.
* The body of a coroutine or generator runs there too, however late; its consumer sees nothing of it.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from aigov.signatures import shape_of


def bind(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, of any shape and still of that shape, to be run in the context of this moment."""
    context = contextvars.copy_context()

    def plain(*args: Any, **kwargs: Any) -> Any:
        return context.copy().run(fn, *args, **kwargs)

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        here = context.copy()
        return await asyncio.get_running_loop().create_task(here.run(fn, *args, **kwargs), context=here)

    def generator(*args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        here = context.copy()
        yield from _chunks(here, here.run(fn, *args, **kwargs))

    async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        here = context.copy()
        source = here.run(fn, *args, **kwargs)
        loop = asyncio.get_running_loop()
        try:
            while (found := await loop.create_task(_next(source), context=here)) is not None:
                yield found[0]
        finally:
            await loop.create_task(source.aclose(), context=here)

    shapes = {"plain": plain, "coroutine": coroutine, "generator": generator, "async_generator": async_generator}
    return functools.wraps(fn)(shapes[shape_of(fn)])


def _chunks(here: contextvars.Context, source: Generator[Any, None, None]) -> Generator[Any, None, None]:
    end = object()
    try:
        while (chunk := here.run(next, source, end)) is not end:
            yield chunk
    finally:
        here.run(source.close)


async def _next(source: AsyncGenerator[Any, None]) -> tuple[Any] | None:
    """The next chunk as a tuple of one; None at the end."""
    try:
        return (await anext(source),)
    except StopAsyncIteration:
        return None
