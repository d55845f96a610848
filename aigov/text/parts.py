"""Any value laid out as its parts, and built again with some of their texts replaced.

Invariants:
* Every string in the value is a Part, dict keys (`/a/b#`) and undeclared attributes included, and so is, where
  the limits say so, every whole number of seven digits or more, also as a float or Decimal; or the value is refused:
  nothing passes unseen.
* The value is copied when it is laid out: what was checked is what is sent, whatever another thread
  does to the original meanwhile.
* Paths are unique. In a step `~0` is `~`, `~1` is `/` and `~2` is `#`; `~3N` is the member at position N
  whose key is no text or too long for a path, `~4` holds the attributes of a container, and `~5N` is the
  item of a streamed list that says of itself `index: N`.
* Depth, characters and nodes are bounded, so that no input costs more than its limits.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import sys
from collections import UserDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType, ModuleType
from typing import Any
from uuid import UUID

import msgspec

from aigov.errors import Malformed
from aigov.text.nodes import HIDDEN, MERGED, Leaf, Marked, Node, Number, Opaque, Record, Row, State, Table, Text
from aigov.text.state import BUILT_IN, attributes_of, base_of, inherited, read_slots, slots_of
from aigov.types import Part

MAX_NODES = 100_000
LEAST_NUMBER, LEAST_PLACES = 10**6, 6  # a smaller one is no account, card or phone number
LONGEST_NUMBER, MOST_PLACES = 10**40, 40
STEP_CHARS = 64
PATH_CHARS = 256
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function", "model", "human", "ai"})
EXACT: frozenset[type] = frozenset({
    type(None), bool, int, float, Decimal, UUID, type(msgspec.UNSET),
    datetime.date, datetime.datetime, datetime.time, datetime.timedelta,
})  # fmt: skip
#: Kinds of number, each with what makes one of a subclass's instance past its own code.
NUMBERS: Mapping[type, Callable[[Any], Any]] = MappingProxyType({
    int: int.__int__, float: float.__float__, Decimal: Decimal,
})  # fmt: skip
VALUES = (bool, int, float, Decimal, UUID, datetime.date, datetime.time, datetime.timedelta)
NEVER_OPAQUE = frozenset(f"builtins.{name}" for name in ("object", "str", "dict", "list", "tuple", "set", "frozenset"))


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is accepted: characters in all, levels of nesting, nodes; and types that pass unseen.

    `opaque` holds "module.QualName" of types, or of their bases; text and plain containers are never opaque.
    `numbers`: whether whole numbers of seven digits or more are parts too.
    """

    max_chars: int = 200_000
    max_depth: int = 64
    max_nodes: int = MAX_NODES
    opaque: frozenset[str] = frozenset()
    numbers: bool = False


class Layout:
    """A value taken apart. `parts` are its texts; `plain` is what conditions see."""

    __slots__ = ("_root", "parts")

    def __init__(self, parts: tuple[Part, ...], root: Node) -> None:
        self.parts = parts
        self._root = root

    def rebuild(self, texts: Sequence[str]) -> Any:
        """A fresh copy of the value with part i's text replaced by `texts[i]`.

        Raises Malformed `input.key_clash` where two keys came out equal; ValueError for a wrong number of texts.
        Members of a set that came out equal are one member.
        """
        if len(texts) != len(self.parts) or not all(isinstance(text, str) for text in texts):
            raise ValueError("rebuild needs one text for each part")
        return guarded(lambda: self._root.build(texts))

    @property
    def plain(self) -> Any:
        """The value as dict, list, str, int, float, bool and None, made anew; opaque values are None."""
        return guarded(self._root.plain)

    def __repr__(self) -> str:
        return f"Layout(parts={len(self.parts)}, chars={sum(len(part.text) for part in self.parts)})"


def lay_out(value: Any, limits: Limits) -> Layout:
    """Copy `value` and list its parts.

    Raises Malformed with `input.too_large`, `too_deep`, `cyclic`, `unknown_type`, `not_utf8` or `key_clash`.
    """
    walk = Walk(limits)
    root = walk.start(value)
    return Layout(tuple(walk.parts), root)


def guarded(work: Callable[[], Any]) -> Any:
    """What `work` returns. What goes wrong in a value's own code (`__iter__`, `__hash__`, a time zone) is Malformed."""
    kind = ""
    try:
        return work()
    except Malformed as refused:
        code, kind = refused.code, refused.kind
    except RecursionError:  # the caller's own stack was nearly full
        code = "input.too_deep"
    except Exception:  # noqa: BLE001 - it cannot be laid out, so it is refused; its message may hold content
        code = "input.unknown_type"
    raise Malformed(code, kind)


class Walk:
    """One pass over one or more values that share their limits. `indexed`: see `streams.gather`."""

    def __init__(self, limits: Limits, *, indexed: bool = False) -> None:
        self.limits = limits
        self.indexed = indexed
        self.parts: list[Part] = []
        self._paths: set[str] = set()
        self._chars = 0
        self._nodes = 0
        self._active: set[int] = set()

    def start(self, value: Any, path: str = "") -> Node:
        """Lay out one value as `parts` of its own, below `path`; characters and nodes go on counting."""
        self.parts = []
        self._paths.clear()
        self._active.clear()
        root: Node = guarded(lambda: self._node(value, path, "", 1))
        return root

    def _node(self, value: Any, path: str, role: str, depth: int) -> Node:
        cls = type(value)
        self._count(1)
        if cls is str:
            return Text(self._part(value, path, role), value)
        if cls in NUMBERS and self.limits.numbers and (digits := _digits(value)):
            return Number(self._part(digits, path, role, number=True), digits, value)
        if cls in EXACT or issubclass(cls, enum.Enum):
            return Leaf(value)
        if self.limits.opaque and self._is_opaque(cls):
            return Opaque(value)
        if issubclass(cls, VALUES):
            return self._bare(value, cls, path, role)
        if depth > self.limits.max_depth:
            raise Malformed("input.too_deep")
        if id(value) in self._active:
            raise Malformed("input.cyclic")
        self._active.add(id(value))
        node = self._holder(value, cls, path, role, depth)
        self._active.discard(id(value))
        return node

    def _holder(self, value: Any, cls: type, path: str, role: str, depth: int) -> Node:
        """A value that holds others, by the first of its kinds that fits."""
        base = cls if cls in BUILT_IN else base_of(cls)
        if base is str:
            text = str.__str__(value)
            index = self._part(text, path, role)
            return Marked(index, text, cls, self._state(value, cls, path + "/", role, depth))
        if issubclass(base, dict):
            return self._dict(value, cls, base, path, role, depth)
        if base is not object:
            return self._row(value, cls, base, path, role, depth)
        if issubclass(cls, msgspec.Struct):
            return self._struct(value, cls, path, role, depth)
        if _is_pydantic(cls):
            return self._pydantic(value, cls, path, role, depth)
        if hasattr(cls, "__dataclass_fields__"):
            return self._dataclass(value, cls, path, role, depth)
        if issubclass(cls, Mapping):
            return self._mapping(value, cls, path, role, depth)
        raise Malformed("input.unknown_type", public_name(cls))

    def _dict(self, value: Any, cls: type, base: Any, path: str, role: str, depth: int) -> Node:
        pairs = self._pairs(list(base.items(value)), path, role, depth)
        if cls is dict:
            return Table(pairs, _same)
        factory = value.default_factory if base is defaultdict else None

        def make(members: dict[Any, Any]) -> Any:
            made = base.__new__(cls)
            for key, member in members.items():
                base.__setitem__(made, key, member)
            if factory is not None:
                made.default_factory = factory
            return made

        state = None if cls is base else self._state(value, cls, path + "/~4/", role, depth)
        return Table(pairs, make, state)

    def _mapping(self, value: Any, cls: type, path: str, role: str, depth: int) -> Node:
        """Any other mapping: read once, and built again as a dict unless its kind is known here."""
        members = [(key, value[key]) for key in self._bounded(value)]
        make: Callable[[dict[Any, Any]], Any] = cls if cls in (MappingProxyType, UserDict) else _same
        return Table(self._pairs(members, path, role, depth), make)

    def _pairs(
        self, members: list[tuple[Any, Any]], path: str, role: str, depth: int, declared: Any = ()
    ) -> list[tuple[Node, Node]]:
        role = _role(next((member for key, member in members if type(key) is str and key == "role"), None), role)
        pairs: list[tuple[Node, Node]] = []
        for position, (key, member) in enumerate(members):
            text = type(key) is str
            inner = f"{path}/{_step(key, path, position)}"
            if text and key in declared:
                name: Node = Leaf(key)
            elif text:
                self._count(1)
                name = Text(self._part(key, inner + "#", role), key)
            else:
                name = self._node(key, inner + "#", role, depth + 1)
            pairs.append((name, self._node(member, inner, role, depth + 1)))
        return pairs

    def _row(self, value: Any, cls: type, base: Any, path: str, role: str, depth: int) -> Node:
        items = _ordered(value, base)
        names: tuple[str, ...] = ()
        if base is tuple:
            fields = getattr(cls, "_fields", ())
            named = isinstance(fields, tuple) and len(fields) == len(items) and all(type(f) is str for f in fields)
            names = fields if named else ()
            role = _role(dict(zip(names, items, strict=False)).get("role"), role)
        nodes = self._items(items, names, path, role, depth)
        if cls is base:
            return Row(nodes, base)
        _blank(cls, base)
        state = self._state(value, cls, path + "/~4/", role, depth)
        return Row(nodes, lambda built: _filled(cls, base, built), names, state)

    def _items(self, items: list[Any], names: Sequence[str], path: str, role: str, depth: int) -> list[Node]:
        steps = names or (_positions(items) if self.indexed else None)
        nodes: list[Node] = []
        numbers = self.limits.numbers
        for position, item in enumerate(items):
            cls = type(item)
            if cls in EXACT and (not numbers or cls not in NUMBERS or not _digits(item)):
                # long lists of numbers need no path
                self._count(1)
                nodes.append(Leaf(item))
            else:
                step = steps[position] if steps else position
                nodes.append(self._node(item, f"{path}/{step}", role, depth + 1))
        return nodes

    def _struct(self, value: msgspec.Struct, cls: type, path: str, role: str, depth: int) -> Node:
        template = msgspec.Struct.__copy__(value)  # type: ignore[attr-defined]  # no __post_init__, no cached hash
        state = self._state(template, cls, path + "/", role, depth, attributes_of(value))
        return Record(lambda: msgspec.Struct.__copy__(template), state)  # type: ignore[attr-defined]

    def _dataclass(self, value: Any, cls: Any, path: str, role: str, depth: int) -> Node:
        fields = [field.name for field in dataclasses.fields(cls)]
        attributes = attributes_of(value)
        slots = slots_of(cls)
        for name in fields:  # a field that lives on the class only is content of the instance too
            if name not in attributes and name not in slots:
                attributes.update((name, entry) for entry in inherited(cls, name))
        _blank(cls, object)
        state = self._state(value, cls, path + "/", role, depth, attributes, frozenset(fields))
        return Record(lambda: object.__new__(cls), state)

    def _pydantic(self, value: Any, cls: Any, path: str, role: str, depth: int) -> Node:
        declared = frozenset(getattr(cls, "__pydantic_fields__", None) or cls.model_fields)
        _blank(cls, object)
        state = self._state(value, cls, path + "/", role, depth, None, declared)
        given = frozenset(name for name in value.__pydantic_fields_set__ if name in declared)

        def finish(made: Any) -> None:
            extra = getattr(made, "__pydantic_extra__", None) or {}
            object.__setattr__(made, "__pydantic_fields_set__", {*given, *extra})

        return Record(lambda: object.__new__(cls), state, finish)

    def _state(
        self,
        value: Any,
        cls: type,
        prefix: str,
        role: str,
        depth: int,
        attributes: dict[Any, Any] | None = None,
        declared: frozenset[str] = frozenset(),
    ) -> State:
        """Slots and attributes. `prefix` ends in `/`, or in `/~4/` for what a container holds beside its contents."""
        slots = slots_of(cls)
        held = read_slots(value, slots)
        attributes = attributes_of(value) if attributes is None else attributes
        role = _role(held.get("role", attributes.get("role")), role)
        entries = []
        for name, entry in held.items():
            if name in HIDDEN:  # set again from the fields by `finish`
                continue
            merged = name in MERGED
            inner = prefix[:-1] if merged else prefix + escape(name)
            entries.append((name, slots[name], self._node(entry, inner, role, depth if merged else depth + 1)))
        return State(entries, self._pairs(list(attributes.items()), prefix[:-1], role, depth, declared))

    def _bare(self, value: Any, cls: type, path: str, role: str) -> Node:
        """A subclass of a number or date is one unless it carries anything besides."""
        if attributes_of(value) or any(slot.__objclass__ not in VALUES for slot in slots_of(cls).values()):
            raise Malformed("input.unknown_type", public_name(cls))
        kind = next((one for one in NUMBERS if issubclass(cls, one)), None)
        if kind is not None and self.limits.numbers and (digits := _digits(NUMBERS[kind](value))):
            return Number(self._part(digits, path, role, number=True), digits, value)
        return Leaf(value)

    def _bounded(self, keys: Any) -> list[Any]:
        """The keys of a foreign mapping, which may be endless."""
        found = []
        for key in keys:
            found.append(key)
            if self._nodes + len(found) > self.limits.max_nodes:
                raise Malformed("input.too_large")
        return found

    def _part(self, text: str, path: str, role: str, number: bool = False) -> int:
        self._chars += len(text)
        if self._chars > self.limits.max_chars:
            raise Malformed("input.too_large")
        if not text.isascii() and not _is_utf8(text):
            raise Malformed("input.not_utf8")
        if path in self._paths:
            raise Malformed("input.key_clash")
        self._paths.add(path)
        self.parts.append(Part(path=path, text=text, role=role, number=number))
        return len(self.parts) - 1

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > self.limits.max_nodes:
            raise Malformed("input.too_large")

    def _is_opaque(self, cls: type) -> bool:
        names = {f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__}
        return not issubclass(cls, str) and not names.isdisjoint(self.limits.opaque - NEVER_OPAQUE)


def _digits(value: Any) -> str:
    """The digits of a whole number that is long enough to say something of somebody, "" of any other number."""
    if isinstance(value, Decimal):  # which raises where NaN is compared, and where it is too large for its context
        within = value.is_finite() and LEAST_PLACES <= value.adjusted() < MOST_PLACES
    else:
        within = LEAST_NUMBER <= abs(value) < LONGEST_NUMBER
    return str(int(value)) if within and value == int(value) else ""


def public_name(cls: type) -> str:
    """`module.QualName` where a loaded module holds the class under it, else "".

    A name that was made at run time may hold content.
    """
    module, name = cls.__module__, cls.__qualname__
    held: Any = sys.modules.get(module)
    for step in name.split("."):
        held = vars(held).get(step) if isinstance(held, (type, ModuleType)) else None
    return f"{module}.{name}" if held is cls else ""


def _same(members: dict[Any, Any]) -> dict[Any, Any]:
    return members


def _role(found: Any, outer: str) -> str:
    """The role that an object gives to its parts. An unknown one is "": a role is shown, so it holds no content."""
    if type(found) is not str:
        return outer
    return found if found in ROLES else ""


def escape(name: str) -> str:
    """A member's name as a JSON pointer step; `#`, which marks keys, is `~2`."""
    return name.replace("~", "~0").replace("/", "~1").replace("#", "~2")


def _step(key: Any, path: str, position: int) -> str:
    """The step of a member. Long ones go by position: a path repeated for each of 100,000 items stays small."""
    if type(key) is not str or len(key) > STEP_CHARS or len(path) > PATH_CHARS:
        return f"~3{position}"
    return escape(key) if "~" in key or "/" in key or "#" in key else key


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _is_pydantic(cls: type) -> bool:
    model = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return isinstance(model, type) and issubclass(cls, model)


def _ordered(value: Any, base: Any) -> list[Any]:
    """The items, copied at one stroke. Texts of a set come first and sorted, so that paths do not hang on hashing."""
    items = list(base.__iter__(value))
    if base is set or base is frozenset:
        items = sorted(item for item in items if type(item) is str) + [item for item in items if type(item) is not str]
    return items


def _blank(cls: type, base: Any) -> Any:
    """An empty instance, made past the class's own `__new__`. Raises TypeError where it cannot be made so."""
    return base.__new__(cls)


def _filled(cls: type, base: Any, items: list[Any]) -> Any:
    if base in (tuple, frozenset):
        return base.__new__(cls, items)
    made = base.__new__(cls)
    (base.extend if base is list else base.update)(made, items)
    return made


def own_index(item: Any) -> int | None:
    """What an item of a streamed list says of its own place, as the choices and tool calls of chat answers do."""
    if type(item) is dict:
        found = item.get("index")
    elif type(item) in EXACT or isinstance(item, (str, list, tuple, set, frozenset)):
        return None
    else:
        found = (attributes_of(item) | read_slots(item, slots_of(type(item)))).get("index")
    return found if type(found) is int and 0 <= found < 2**31 else None


def _positions(items: list[Any]) -> list[str]:
    """The steps of a streamed list's items: by their own index where each has another, else by position."""
    own = [own_index(item) for item in items]
    if None in own or len(set(own)) != len(own):
        return [str(position) for position in range(len(items))]
    return [f"~5{index}" for index in own]
