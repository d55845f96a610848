"""A laid-out value as a tree of copies, which builds the value again and shows it to conditions.

Invariants:
* `build` makes every container anew; only values without text, and opaque ones, are passed by reference.
* `plain` holds nothing but dict, list, str, int, float, bool and None.
* Two keys that an edit made equal are refused: one of the two members would vanish.
"""

from __future__ import annotations

import datetime
import enum
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from types import MemberDescriptorType
from typing import Any, Protocol
from uuid import UUID

from aigov.errors import Malformed
from aigov.text.state import set_attributes

INT64 = 2**63
MERGED = frozenset({"__pydantic_extra__", "__pydantic_private__"})
HIDDEN = frozenset({"__pydantic_fields_set__"})


class Node(Protocol):
    """One place of a laid-out value."""

    def build(self, texts: Sequence[str]) -> Any: ...

    def plain(self) -> Any: ...


class Leaf:
    """A value that bears no text: a number, a date, an enum's member, None."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def build(self, texts: Sequence[str]) -> Any:
        return self.value

    def plain(self) -> Any:
        return plain_value(self.value)


class Opaque(Leaf):
    """A value that the policy lets through as it is. Conditions see None."""

    __slots__ = ()

    def plain(self) -> None:
        return None


class Text:
    """The text of one part."""

    __slots__ = ("index", "text")

    def __init__(self, index: int, text: str) -> None:
        self.index = index
        self.text = text

    def build(self, texts: Sequence[str]) -> Any:
        return texts[self.index]

    def plain(self) -> str:
        return self.text


class Number(Text):
    """A whole number whose digits are a part. Where these are replaced, text stands in its place."""

    __slots__ = ("value",)

    def __init__(self, index: int, text: str, value: int | float | Decimal) -> None:
        super().__init__(index, text)
        self.value = value

    def build(self, texts: Sequence[str]) -> Any:
        return self.value if texts[self.index] == self.text else texts[self.index]

    def plain(self) -> Any:
        return plain_value(self.value)


class State:
    """What an instance holds beside its contents: slots, and its `__dict__` as pairs of nodes."""

    __slots__ = ("attributes", "slots")

    def __init__(
        self, slots: Sequence[tuple[str, MemberDescriptorType, Node]], attributes: Sequence[tuple[Node, Node]]
    ) -> None:
        self.slots = slots
        self.attributes = attributes

    def put(self, instance: Any, texts: Sequence[str]) -> Any:
        """Set the built state on `instance` and return it."""
        for _, slot, node in self.slots:
            slot.__set__(instance, node.build(texts))
        set_attributes(instance, keyed(self.attributes, texts))
        return instance

    def plain(self) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for name, _, node in self.slots:
            if name in MERGED:
                shown.update(node.plain() or {})
            elif name not in HIDDEN:
                shown[name] = node.plain()
        return shown | plain_pairs(self.attributes)


class Marked(Text):
    """Text of a subclass of `str`, with what the instance holds besides."""

    __slots__ = ("cls", "state")

    def __init__(self, index: int, text: str, cls: type[str], state: State) -> None:
        super().__init__(index, text)
        self.cls = cls
        self.state = state

    def build(self, texts: Sequence[str]) -> Any:
        return self.state.put(str.__new__(self.cls, texts[self.index]), texts)


class Row:
    """Items in order: a list, tuple, named tuple, set or frozenset, made again by `make`."""

    __slots__ = ("items", "make", "names", "state")

    def __init__(
        self,
        items: Sequence[Node],
        make: Callable[[list[Any]], Any],
        names: Sequence[str] = (),
        state: State | None = None,
    ) -> None:
        self.items = items
        self.make = make
        self.names = names
        self.state = state

    def build(self, texts: Sequence[str]) -> Any:
        made = self.make([item.build(texts) for item in self.items])
        return self.state.put(made, texts) if self.state else made

    def plain(self) -> Any:
        shown = [item.plain() for item in self.items]
        return dict(zip(self.names, shown, strict=True)) if self.names else shown


class Table:
    """Members of a mapping, in order, made again by `make`."""

    __slots__ = ("make", "pairs", "state")

    def __init__(
        self, pairs: Sequence[tuple[Node, Node]], make: Callable[[dict[Any, Any]], Any], state: State | None = None
    ) -> None:
        self.pairs = pairs
        self.make = make
        self.state = state

    def build(self, texts: Sequence[str]) -> Any:
        made = self.make(keyed(self.pairs, texts))
        return self.state.put(made, texts) if self.state else made

    def plain(self) -> dict[str, Any]:
        return plain_pairs(self.pairs)


class Record:
    """An object with fields. `blank` makes an empty instance; `finish` sets what depends on the fields."""

    __slots__ = ("blank", "finish", "state")

    def __init__(self, blank: Callable[[], Any], state: State, finish: Callable[[Any], None] | None = None) -> None:
        self.blank = blank
        self.state = state
        self.finish = finish

    def build(self, texts: Sequence[str]) -> Any:
        made = self.state.put(self.blank(), texts)
        if self.finish:
            self.finish(made)
        return made

    def plain(self) -> dict[str, Any]:
        return self.state.plain()


def keyed(pairs: Sequence[tuple[Node, Node]], texts: Sequence[str]) -> dict[Any, Any]:
    """The built pairs as a dict. Raises Malformed `input.key_clash` where two keys came out equal."""
    built = {key.build(texts): node.build(texts) for key, node in pairs}
    if len(built) != len(pairs):
        raise Malformed("input.key_clash")
    return built


def plain_pairs(pairs: Sequence[tuple[Node, Node]]) -> dict[str, Any]:
    """The pairs for conditions. A text key wins over another key that reads the same, as 1 does like "1"."""
    texts = {key.text: node.plain() for key, node in pairs if isinstance(key, Text)}
    others = {_name(key): node.plain() for key, node in pairs if not isinstance(key, Text)}
    return others | texts


def plain_value(value: Any) -> Any:
    """A value as conditions see it. Integers beyond 64 bits become floats, which is what CEL can hold."""
    match value:
        case None | bool():
            return value
        case enum.Enum():
            return plain_value(value.value) if isinstance(value.value, (str, int, float)) else value.name
        case str():
            return str.__str__(value)
        case int():
            return int.__int__(value) if -INT64 <= value < INT64 else _huge(value)
        case float():
            return float.__float__(value)
        case Decimal():
            return math.nan if value.is_nan() else float(value)
        case datetime.timedelta():
            return value.total_seconds()
        case datetime.date() | datetime.time():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            return None


def _huge(value: int) -> float:
    if value.bit_length() < 1000:
        return float(value)
    return math.inf if value > 0 else -math.inf


def _name(key: Node) -> str:
    shown = key.plain()
    return shown if isinstance(shown, str) else repr(shown)
