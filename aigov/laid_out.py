"""A call's arguments as parts: named as the function names them.

Names of parameters are the program's own words and no parts; names that a caller makes up, the keys of
`**kwargs` among them, are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from aigov.passage import Request
from aigov.text.parts import Limits, escape, lay_out
from aigov.types import Part


class LaidOutCall:
    """The parts of a call, and the arguments with those parts' texts replaced. Raises Malformed."""

    __slots__ = ("_layout", "_names", "parts", "plain")

    def __init__(self, request: Request, limits: Limits) -> None:
        self._names = tuple(request.arguments)
        self._layout = lay_out(tuple(request.arguments.values()), limits)
        self.parts = tuple(self._named(part) for part in self._layout.parts)
        self.plain = _flat(dict(zip(self._names, self._layout.plain, strict=True)), request.keywords)

    def rebuild(self, texts: Sequence[str]) -> dict[str, Any]:
        """A copy of the arguments by name, part i's text replaced by `texts[i]`."""
        return dict(zip(self._names, self._layout.rebuild(texts), strict=True))

    def _named(self, part: Part) -> Part:
        """`/0/content` as `/messages/content`."""
        number, slash, rest = part.path[1:].partition("/")
        return msgspec.structs.replace(part, path=f"/{escape(self._names[int(number)])}{slash}{rest}")


def _flat(plain: dict[str, Any], keywords: str) -> Mapping[str, Any]:
    """What conditions see as `args`: what went into `**kwargs` stands beside the named arguments."""
    extra = plain.get(keywords)
    if isinstance(extra, dict) and not plain.keys() & extra.keys():
        plain = {name: value for name, value in plain.items() if name != keywords} | extra
    return MappingProxyType(plain)
