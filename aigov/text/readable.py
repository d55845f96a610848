"""What guards and models read of a part: the text without the escapes of its JSON, and what is encoded in it."""

from __future__ import annotations

from collections.abc import Iterator

from aigov.text.encoded import readings
from aigov.text.normal import Traced, normalise
from aigov.text.shapes import Shape, shape


def plain(text: str, built: Shape | None = None) -> Traced:
    """The text with the escapes of its JSON strings undone, in normal form, mapped back. `built`: its shape, if known.

    Text without backslashes is as it is. What an escape stood for may be what nobody sees, or a digit of another width.
    """
    built = built or (shape(text) if "\\" in text else Shape(text, ()))
    form = built.read()
    return Traced(form) if form.same else Traced(normalise(form.text), form)


def readable(text: str) -> Iterator[str]:
    """Every text that a guard may ask about: `plain`, and the readings of what it holds encoded."""
    form = plain(text).text
    yield form
    for reading in readings(form):
        yield reading.text
