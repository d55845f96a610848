"""What models are given of a part to read: the text without the escapes of its JSON, and what is encoded in it."""

from __future__ import annotations

from collections.abc import Iterator

from aigov.text.encoded import readings
from aigov.text.normal import Normal
from aigov.text.shapes import Shape, shape


def plain(text: str) -> Normal:
    """The text with the escapes of its JSON strings undone, mapped back. Text without backslashes is as it is."""
    return (shape(text) if "\\" in text else Shape(text, ())).read()


def readable(text: str) -> Iterator[str]:
    """Every text that a guard may ask about: `plain`, and the readings of what it holds encoded."""
    form = plain(text).text
    yield form
    for reading in readings(form):
        yield reading.text
