"""Objects taken apart into plain state and put together again, without their own code where that can be.

Invariants:
* A class is found by name in modules that are already loaded. Nothing is imported, and a module's or a
  class's `__getattr__` is never asked: a name in a ticket cannot make code load.
* Only dataclasses, msgspec structs and pydantic models are rebuilt. No `__reduce__`, no `__setstate__`,
  no `__init__`, no validator, no property runs. (A msgspec struct cannot be made without its
  `__post_init__`; its fields are set to the kept values afterwards.)
* An object is rebuilt only while its class still has the fields it had when the object was kept.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from typing import Any, Final

import msgspec

from aigov.text.state import attributes_of, read_slots, set_attributes, slots_of

Named = dict[str, Any]
LIMIT: Final = 512  # characters in a class's path: longer is no name that a person wrote


class Unfit(Exception):
    """A value or class that cannot be kept. `what` holds names from the program, never content."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)


def path_of(cls: type) -> str:
    """`module:qualname` of a class that can be found again under that name. Raises Unfit otherwise."""
    path = f"{cls.__module__}:{cls.__qualname__}"
    if find(path) is not cls:
        raise Unfit("a value's class cannot be found again by its name; define it at the top level of a module")
    return path


def find(path: str) -> type | None:
    """The class that a loaded module holds under `module:qualname`, or None."""
    module_name, _, qualname = path.partition(":")
    if not qualname or len(path) > LIMIT:
        return None
    here: Any = sys.modules.get(module_name)
    for name in qualname.split("."):
        # vars(), not getattr(): a lazy module would import whatever is named here
        here = getattr(here, "__dict__", {}).get(name) if here is not None else None
    return here if isinstance(here, type) else None


def is_struct(cls: type) -> bool:
    """Whether it is a msgspec struct."""
    return issubclass(cls, msgspec.Struct)


def is_model(cls: type) -> bool:
    """Whether it is a dataclass or a pydantic model made of Python classes alone."""
    pydantic = sys.modules.get("pydantic")
    kept = dataclasses.is_dataclass(cls) or (pydantic is not None and issubclass(cls, pydantic.BaseModel))
    # a base class written in C (dict, Exception ...) holds state that is in no slot and no __dict__
    return kept and not issubclass(cls, (BaseException, type, enum.Enum)) and cls.__new__ is object.__new__


def shape(cls: type) -> list[str]:
    """The names of the fields that the class declares, in order."""
    if is_struct(cls):
        return list(cls.__struct_fields__)  # type: ignore[attr-defined]
    if dataclasses.is_dataclass(cls):
        return [field.name for field in dataclasses.fields(cls)]
    return list(cls.model_fields)  # type: ignore[attr-defined]


def take(value: object) -> tuple[Named, Named]:
    """An object's state as it lies in memory: what its slots hold, and its `__dict__`."""
    return read_slots(value, slots_of(type(value))), attributes_of(value)


def build(cls: type, slots: Named, attributes: Named) -> object:
    """The object that `take` took apart. Raises Unfit where the state does not fit the class."""
    if is_struct(cls):
        value = _struct(cls, slots)
    else:
        value, known = object.__new__(cls), slots_of(cls)
        for name, held in slots.items():
            known[name].__set__(value, held)
    set_attributes(value, attributes)
    return value


def _struct(cls: type, fields: Named) -> object:
    """A struct with exactly these fields, whatever its `__post_init__` made of them."""
    if fields.keys() != set(shape(cls)):
        raise Unfit(f"`{cls.__module__}:{cls.__qualname__}` cannot be rebuilt from its fields")
    value = cls(**fields)
    for name, held in fields.items():
        msgspec.structs.force_setattr(value, name, held)
    return value
