"""The state of an object, read and written without running a line of its own code.

Invariants:
* No `__init__`, `__new__`, `__post_init__`, property or `__setattr__` of the object's class is called:
  a class cannot answer one thing to the check and another to the call.
* Everything that an instance holds is seen: its slots, its fields, and what was set on it besides.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any

BUILT_IN: tuple[Any, ...] = (OrderedDict, defaultdict, dict, list, tuple, set, frozenset, str)


def base_of(cls: type) -> Any:
    """The nearest built-in container or text type that `cls` is made from; `object` where there is none."""
    return next((base for base in BUILT_IN if issubclass(cls, base)), object)


def slots_of(cls: type) -> dict[str, MemberDescriptorType]:
    """The slots of `cls` by name. Of two with one name the outer one counts, as in attribute access."""
    found: dict[str, MemberDescriptorType] = {}
    for base in reversed(cls.__mro__):
        if base is defaultdict:  # its factory is code, not content
            continue
        for name, entry in vars(base).items():
            if isinstance(entry, MemberDescriptorType):
                found[name] = entry
    return found


def read_slots(value: object, slots: dict[str, MemberDescriptorType]) -> dict[str, Any]:
    """What the slots hold; a slot that was never set is left out."""
    found = {}
    for name, slot in slots.items():
        try:
            found[name] = slot.__get__(value, type(value))
        except AttributeError:
            continue
    return found


def attributes_of(value: object) -> dict[Any, Any]:
    """A copy of the instance's `__dict__`, without cached properties: those are computed anew from the copy."""
    cls = type(value)
    held = _dict_of(value)
    if not held:
        return {}
    copied = dict(held)
    return {name: entry for name, entry in copied.items() if not _is_cached(cls, name)}


def set_attributes(value: object, attributes: dict[Any, Any]) -> None:
    """Put `attributes` into the instance's `__dict__`, past any `__setattr__` that refuses (frozen classes)."""
    if attributes:
        held = _dict_of(value)
        if held is None:
            raise TypeError("an object without a `__dict__` has no attributes to set")
        held.update(attributes)


def inherited(cls: type, name: str) -> tuple[Any, ...]:
    """The plain class attribute `name` as a tuple of one, or an empty tuple for none or a descriptor."""
    for base in cls.__mro__:
        if name in vars(base):
            entry = vars(base)[name]
            return () if hasattr(type(entry), "__get__") else (entry,)
    return ()


def _dict_of(value: object) -> dict[Any, Any] | None:
    for base in type(value).__mro__:
        entry = vars(base).get("__dict__")
        if isinstance(entry, GetSetDescriptorType):
            held: dict[Any, Any] = entry.__get__(value, type(value))
            return held
    return None


def _is_cached(cls: type, name: object) -> bool:
    return any(isinstance(vars(base).get(name), functools.cached_property) for base in cls.__mro__)  # type: ignore[call-overload]
