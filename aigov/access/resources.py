"""What a policy says of resources: who owns them, where they are, how they are labelled.

Invariants:
* A description is for one name, or with a `*` at its end for all names that begin so. The most specific
  one holds, whole: nothing is gathered from several.
* An attribute has one kind wherever it stands: text, number, truth or list.
* What is not described has no attributes; asking for one is the asker's refusal, never an empty value.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from aigov.types import Attribute

Value = Attribute | tuple[str, ...]
Described = Mapping[str, Value]
MAX_CHARS = 1024
NOTHING: Described = MappingProxyType({})
TEXT, NUMBER, TRUTH, LIST = "a text", "a number", "true or false", "a list"


class Wrong(NamedTuple):
    """A description that cannot stand: the resource's key, the attribute or "", what is wrong and what to do."""

    key: str
    attribute: str
    what: str
    fix: str


class Resources:
    """The descriptions of one policy, which `problems` has nothing against."""

    __slots__ = ("_beginnings", "_lengths", "_names", "kinds")

    def __init__(self, described: Mapping[str, Described]) -> None:
        held = {key: MappingProxyType(dict(found)) for key, found in described.items()}
        self._names = {key: found for key, found in held.items() if not key.endswith("*")}
        self._beginnings = {key[:-1]: found for key, found in held.items() if key.endswith("*")}
        self._lengths = tuple(sorted({len(key) for key in self._beginnings}, reverse=True))
        self.kinds: Mapping[str, str] = kinds(described)

    def of(self, name: str) -> Described:
        """The attributes of a resource: its own description, else that of the longest beginning; else none."""
        found = self._names.get(name)
        if found is not None:
            return found
        for length in self._lengths:
            found = self._beginnings.get(name[:length])
            if found is not None and length <= len(name):
                return found
        return NOTHING


def kinds(described: Mapping[str, Described]) -> Mapping[str, str]:
    """The kind of every attribute that any resource has, by name."""
    return MappingProxyType({name: _kind(value) for found in described.values() for name, value in found.items()})


def problems(described: Mapping[str, Described]) -> Iterator[Wrong]:
    """Everything wrong with descriptions, in file order."""
    alike: dict[str, str] = {}
    first: dict[str, tuple[str, str]] = {}
    for key, found in described.items():
        if not 0 < len(key) <= MAX_CHARS or not key.isprintable() or "*" in key[:-1]:
            yield Wrong(key, "", "no resource's name", "write it as calls name it; a `*` may end it")
        # Two spellings that look the same to whoever reads the file: only one of them would ever hold.
        other = alike.setdefault(unicodedata.normalize("NFC", key), key)
        if other != key:
            yield Wrong(key, "", "reads as another resource does, and is written with other characters", "keep one")
        for name, value in found.items():
            yield from _attribute_problems(key, name, value, first.setdefault(name, (_kind(value), key))[0])


def _attribute_problems(key: str, name: str, value: Value, kind: str) -> Iterator[Wrong]:
    if not name.isidentifier() or not name.isascii():
        yield Wrong(key, name, "no attribute's name", "use letters, digits and `_`")
    if _kind(value) != kind:
        yield Wrong(key, name, f"is {_kind(value)} here and {kind} elsewhere", "give it one kind")
    texts = value if isinstance(value, tuple) else (value,)
    if not all(text.isprintable() and 0 < len(text) <= MAX_CHARS for text in texts if isinstance(text, str)):
        yield Wrong(key, name, "holds a character that does not print, nothing, or too much", "write plain text")


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return TRUTH
    if isinstance(value, tuple):
        return LIST
    return TEXT if isinstance(value, str) else NUMBER
