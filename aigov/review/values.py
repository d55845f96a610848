"""Call arguments and answers, as bytes that a ticket can hold, and back: exactly, and without running code.

What can be kept: None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, Decimal, UUID,
date, datetime, time, timedelta, members of an Enum, dataclasses, msgspec structs and pydantic models.
Anything else, a subclass of one of these types included, is refused: `review.not_resumable`.

The form is JSON: null, true, false, text and integers below 2^53 stand for themselves, everything else
is a list whose first item names its kind (`["t", 1, 2]` is the tuple `(1, 2)`).

Invariants:
* `unpack(pack(value))` equals `value`, type by type; `pack` proves it before it answers.
* Never pickle, never an import: see `classes.py`. Bytes that nobody packed raise `ReviewError`, no more.
* Depth, count and size are bounded on both ways.
* A value reached twice comes back as two equal values; a value that holds itself is refused.
"""

from __future__ import annotations

import base64
import datetime as dt
import struct
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from aigov.errors import ReviewError
from aigov.review.classes import Unfit, build, find, is_model, is_struct, path_of, shape, take
from aigov.review.codes import NOT_RESUMABLE

MAX_BYTES: Final = 8 * 1024 * 1024  # of the packed form
MAX_NODES: Final = 500_000
MAX_DEPTH: Final = 100  # a governed value is at most 64 deep; the call around it takes a few more
SAFE: Final = 2**53  # integers below it are the same number in every JSON reader


def pack(value: object) -> bytes:
    """The value as at most MAX_BYTES bytes of JSON. Raises ReviewError `review.not_resumable`."""
    why = ""
    try:
        packed = msgspec.json.encode(_Writer().tree(value, 0))
        if len(packed) > MAX_BYTES:
            raise Unfit("the value is too large to be kept for review")
        again = msgspec.json.encode(_Writer().tree(_Reader().value(msgspec.json.decode(packed), 0), 0))
        if again == packed:
            return packed
        why = "a value does not come back as it was"
    except Unfit as fault:
        why = fault.what
    except Exception:  # noqa: BLE001 - a class's own code may raise anything, with content in it: refused, unsaid
        why = "the value cannot be kept for review"
    raise ReviewError(NOT_RESUMABLE, why)


def unpack(packed: bytes) -> Any:
    """The value that `pack` was given. Raises ReviewError `review.not_resumable` for anything else."""
    why = ""
    try:
        if len(packed) > MAX_BYTES:
            raise Unfit("the kept value is too large")
        return _Reader().value(msgspec.json.decode(packed), 0)
    except Unfit as fault:
        why = fault.what
    except Exception:  # noqa: BLE001 - hostile bytes, or a class that has changed: refused, whatever it raised
        why = "the kept value cannot be read"
    raise ReviewError(NOT_RESUMABLE, why)


def kind(packed: bytes) -> str:
    """What a packed value is, in a process that need not know its classes: `str`, `d`, `o module:Class` …

    Raises ReviewError `review.not_resumable` for bytes that nobody packed.
    """
    try:
        tree = msgspec.json.decode(packed) if len(packed) <= MAX_BYTES else ()
        _Outline().value(tree, 0)
        if not isinstance(tree, list):
            return type(tree).__name__
        return " ".join(tree[:2]) if tree[0] in ("o", "e") else str(tree[0])
    except Exception:  # noqa: BLE001 - hostile bytes: refused, whatever they made raise
        pass
    raise ReviewError(NOT_RESUMABLE, "the kept value cannot be read")


class _Bounded:
    """A count of what may still come, and a limit on how deep."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_NODES

    def spend(self, depth: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise Unfit("the value is too large to be kept for review")
        if depth > MAX_DEPTH:
            raise Unfit(f"the value is nested over {MAX_DEPTH} levels")


class _Writer(_Bounded):
    """A value into its tree."""

    __slots__ = ("room",)

    def __init__(self) -> None:
        super().__init__()
        self.room = MAX_BYTES  # text and bytes, so that a text held a million times is refused early

    def tree(self, value: Any, depth: int) -> Any:
        self.spend(depth)
        cls = type(value)
        if value is None or cls is bool:
            return value
        if cls in (str, bytes):
            self.room -= len(value)
            if self.room < 0:
                raise Unfit("the value is too large to be kept for review")
        if cls is str or (cls is int and -SAFE < value < SAFE):
            return value
        if cls in _SCALARS:
            tag, write = _SCALARS[cls]
            return [tag, *write(value)]
        if cls in _SERIES:
            return self._series(_SERIES[cls], value, depth)
        if cls is dict:
            return ["d", *(self.tree(item, depth + 1) for pair in value.items() for item in pair)]
        return self._object(value, cls, depth)

    def _series(self, tag: str, items: Iterable[Any], depth: int) -> list[Any]:
        trees = [self.tree(item, depth + 1) for item in items]
        if tag in ("s", "z"):  # sets have no order: give them one, so that equal sets pack alike
            trees.sort(key=msgspec.json.encode)
        return [tag, *trees]

    def _object(self, value: Any, cls: type, depth: int) -> list[Any]:
        if value is msgspec.UNSET:
            return ["unset"]
        if issubclass(cls, Enum):  # not isinstance: that asks the object for its class
            return ["e", path_of(cls), _member(value, cls)]
        if not (is_struct(cls) or is_model(cls)):
            raise Unfit(
                f"a value of type `{_public(cls)}` cannot be kept for review; pass text, numbers or a dataclass"
            )
        slots, attributes = take(value)
        return ["o", path_of(cls), shape(cls), self.tree(slots, depth + 1), self.tree(attributes, depth + 1)]


class _Reader(_Bounded):
    """A tree back into its value. Every operand is checked: the bytes may be anybody's."""

    __slots__ = ()

    def value(self, tree: Any, depth: int) -> Any:
        self.spend(depth)
        if type(tree) is int and not -SAFE < tree < SAFE:
            raise Unfit("the kept value cannot be read")
        if tree is None or type(tree) in (bool, str, int):
            return tree
        if type(tree) is not list or not tree or type(tree[0]) is not str:
            raise Unfit("the kept value cannot be read")
        tag, rest = tree[0], tree[1:]
        if tag in _READ:
            return _READ[tag](*rest)
        if tag == "o":
            return self._object(*rest, depth=depth)
        items = [self.value(item, depth + 1) for item in rest]
        if tag == "d":
            return self._dict(items)
        made = _MAKE[tag](items)
        if len(made) != len(items):
            raise Unfit("the kept value cannot be read")
        return made

    def _dict(self, items: list[Any]) -> dict[Any, Any]:
        made = dict(zip(items[::2], items[1::2], strict=True))
        if len(made) * 2 != len(items):
            raise Unfit("the kept value cannot be read")
        return made

    def _object(self, path: str, fields: list[str], slots: Any, attributes: Any, *, depth: int) -> object:
        cls = find(path)
        if cls is None:
            raise Unfit(f"`{path}` is not loaded in this process; import its module before resuming")
        if not (is_struct(cls) or is_model(cls)) or shape(cls) != fields:
            raise Unfit(f"`{path}` has changed since the ticket was opened")
        held, kept = self.value(slots, depth + 1), self.value(attributes, depth + 1)
        if type(held) is not dict or type(kept) is not dict:
            raise Unfit("the kept value cannot be read")
        return build(cls, held, kept)


class _Outline(_Reader):
    """Reads a tree without its classes: an object of the program is just some object."""

    __slots__ = ()

    def value(self, tree: Any, depth: int) -> Any:
        if type(tree) is list and tree and tree[0] == "e":
            self.spend(depth)
            _, path, name = tree
            return (path + ":" + name) and object()
        return super().value(tree, depth)

    def _object(self, path: str, fields: list[str], slots: Any, attributes: Any, *, depth: int) -> object:
        held, kept = self.value(slots, depth + 1), self.value(attributes, depth + 1)
        if not (type(path) is str and type(fields) is list and type(held) is dict and type(kept) is dict):
            raise Unfit("the kept value cannot be read")
        return object()


def _public(cls: type) -> str:
    """The class's name where a loaded module holds it; a class made from data could be named after it."""
    path = f"{cls.__module__}:{cls.__qualname__}"
    return path if find(path) is cls else "one made at run time"


def _member(value: Enum, cls: type[Enum]) -> str:
    if cls._member_map_.get(str(value._name_)) is not value:
        raise Unfit(f"a combination of flags of `{_public(cls)}` cannot be kept for review; pass single members")
    return str(value._name_)


def _read_member(path: str, name: str) -> Enum:
    cls = find(path)
    if cls is None:
        raise Unfit(f"`{path}` is not loaded in this process; import its module before resuming")
    if not issubclass(cls, Enum) or name not in cls._member_map_:
        raise Unfit(f"`{path}` has changed since the ticket was opened")
    return cls._member_map_[name]


def _zone(zone: dt.tzinfo | None) -> Any:
    """A time zone: None, an offset in microseconds with or without a name, or a key of the zone database."""
    if zone is None:
        return None
    if type(zone) is dt.timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return [offset // dt.timedelta(microseconds=1), *name]
    if type(zone) is ZoneInfo and zone.key:
        return zone.key
    raise Unfit("a time zone that is neither an offset nor of `zoneinfo` cannot be kept for review")


def _read_zone(tree: Any) -> dt.tzinfo | None:
    if tree is None:
        return None
    if type(tree) is str:
        return ZoneInfo(tree)
    offset, *name = tree
    return dt.timezone(dt.timedelta(microseconds=offset), *name)


def _moment(value: dt.datetime | dt.time) -> tuple[Any, ...]:
    return value.replace(tzinfo=None).isoformat(), value.fold, _zone(value.tzinfo)


def _read_datetime(text: str, fold: int, zone: Any) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(fold=fold, tzinfo=_read_zone(zone))


def _read_time(text: str, fold: int, zone: Any) -> dt.time:
    return dt.time.fromisoformat(text).replace(fold=fold, tzinfo=_read_zone(zone))


def _read_float(bits: str) -> float:
    return float(struct.unpack(">d", bytes.fromhex(bits))[0])  # the bits, so that NaN and -0.0 are kept too


_Scalar = tuple[str, Callable[[Any], tuple[Any, ...]]]
_SCALARS: Final[Mapping[type, _Scalar]] = MappingProxyType(
    {
        int: ("i", lambda value: (hex(value),)),  # hex: no limit on digits and linear in size, unlike decimal
        float: ("f", lambda value: (struct.pack(">d", value).hex(),)),
        bytes: ("b", lambda value: (base64.b64encode(value).decode("ascii"),)),
        Decimal: ("dec", lambda value: (str(value),)),
        UUID: ("uuid", lambda value: (value.hex,)),
        dt.date: ("date", lambda value: (value.isoformat(),)),
        dt.datetime: ("dt", _moment),
        dt.time: ("time", _moment),
        dt.timedelta: ("td", lambda value: (value.days, value.seconds, value.microseconds)),
    }
)
_READ: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        "i": lambda text: int(text, 16),
        "f": _read_float,
        "b": lambda text: base64.b64decode(text, validate=True),
        "dec": Decimal,
        "uuid": lambda text: UUID(hex=text),
        "date": dt.date.fromisoformat,
        "dt": _read_datetime,
        "time": _read_time,
        "td": lambda days, seconds, micro: dt.timedelta(days=days, seconds=seconds, microseconds=micro),
        "unset": lambda: msgspec.UNSET,
        "e": _read_member,
    }
)
_SERIES: Final[Mapping[type, str]] = MappingProxyType({list: "l", tuple: "t", set: "s", frozenset: "z"})
_MAKE: Final[Mapping[str, Callable[[list[Any]], Any]]] = MappingProxyType(
    {"l": list, "t": tuple, "s": set, "z": frozenset}
)
