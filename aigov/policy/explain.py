"""What a policy comes to: every entry in force, its value, whether it was set or is a default, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from aigov.errors import Location
from aigov.policy import nodes
from aigov.policy.decode import dotted
from aigov.policy.draft import HEADER_KEYS, Draft
from aigov.types import Step


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry in force. `path` as people write it; `value` is JSON-like; `where` is None for a default."""

    path: str
    value: Any
    where: Location | None = None

    @property
    def origin(self) -> str:
        """`set` or `default`."""
        return "default" if self.where is None else "set"


def effective(draft: Draft, sections: Mapping[str, Any], plugins: Mapping[str, Any] | None = None) -> tuple[Entry, ...]:
    """Every entry of a layer: header, `sections` (key to type), `plugins` (name to type), in that order.

    A section that has no defaults and is not set has no entries. Raises PolicyError like `Draft.section`.
    """
    found = [_leaf(draft, (key,), getattr(draft, key, None)) for key in HEADER_KEYS if key != "aigov"]
    for key, kind in sections.items():
        if draft.has(key) or _has_defaults(kind):
            found += _entries(draft, (key,), draft.section(key, kind).value)
    for name, kind in (plugins or {}).items():
        found += _entries(draft, ("plugins", name), draft.settings(name, kind).value)
    return tuple(found)


def _entries(draft: Draft, path: tuple[Step, ...], value: Any) -> Iterator[Entry]:
    """A text, a number or a list of them is one entry; structs, maps and lists of structs are taken apart."""
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            yield from _entries(draft, (*path, field.encode_name), getattr(value, field.name))
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _entries(draft, (*path, str(key)), item)
    elif isinstance(value, (list, tuple)) and any(isinstance(item, msgspec.Struct) for item in value):
        for index, item in enumerate(value):
            yield from _entries(draft, (*path, index), item)
    else:
        yield _leaf(draft, path, value)


def _leaf(draft: Draft, path: tuple[Step, ...], value: Any) -> Entry:
    node = nodes.at(draft.root, path)
    plain = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
    where = None if node is None else draft.locate(*path)
    return Entry(path=dotted(path), value=msgspec.to_builtins(plain), where=where)


def _has_defaults(kind: Any) -> bool:
    described = msgspec.inspect.type_info(kind)
    return not isinstance(described, msgspec.inspect.StructType) or not any(f.required for f in described.fields)
