"""What a policy entry may be, in the words of the person who writes it.

A struct's author may give better words than its type: `msgspec.Meta(pattern=..., extra={"expected": "a time such
as `08:00`"})`; and advice for a value that people may try: `extra={"instead": {"allow": "leave it out"}}`.
"""

from __future__ import annotations

from msgspec import inspect as kinds

MAX_CHOICES = 20


def expected(kind: kinds.Type) -> str:
    """A phrase such as "a number between 0 and 1", "a list of text" or "one of `deny`, `review`"."""
    while isinstance(kind, kinds.Metadata):
        if kind.extra and "expected" in kind.extra:
            return str(kind.extra["expected"])
        kind = kind.type
    if isinstance(kind, kinds.UnionType):
        return _union(kind)
    if isinstance(kind, (kinds.LiteralType, kinds.EnumType)):
        return _choices(_values(kind))
    if isinstance(kind, (kinds.IntType, kinds.FloatType)):
        return _number(kind)
    if isinstance(kind, kinds.StrType):
        return _text(kind)
    if isinstance(kind, (kinds.ListType, kinds.VarTupleType, kinds.SetType, kinds.FrozenSetType)):
        return f"a list of {_plural(kind.item_type)}{_size(kind.min_length, kind.max_length, 'entries')}"
    if isinstance(kind, kinds.TupleType):
        return "a list of " + ", ".join(expected(item) for item in kind.item_types)
    if isinstance(kind, kinds.DictType):
        return f"a map from text to {_plural(kind.value_type)}"
    if isinstance(kind, kinds.StructType):
        return _struct(kind)
    simple = {kinds.BoolType: "true or false", kinds.NoneType: "null", kinds.AnyType: "any value"}
    return simple.get(type(kind), "another kind of value")


def _union(kind: kinds.UnionType) -> str:
    values = [value for member in kind.types for value in _values(member)]
    others = [
        expected(member) for member in kind.types if not _values(member) and not isinstance(member, kinds.NoneType)
    ]
    return " or ".join(([_choices(values)] if values else []) + others)


def _values(kind: kinds.Type) -> list[object]:
    while isinstance(kind, kinds.Metadata):
        kind = kind.type
    if isinstance(kind, kinds.LiteralType):
        return list(kind.values)
    return [member.value for member in kind.cls] if isinstance(kind, kinds.EnumType) else []


def _choices(values: list[object]) -> str:
    names = [f"`{value}`" for value in values[:MAX_CHOICES]] + (["…"] if len(values) > MAX_CHOICES else [])
    return names[0] if len(names) == 1 else "one of " + ", ".join(names)


def _number(kind: kinds.IntType | kinds.FloatType) -> str:
    noun = "a whole number" if isinstance(kind, kinds.IntType) else "a number"
    if kind.ge is not None and kind.le is not None:
        return f"{noun} between {_figure(kind.ge)} and {_figure(kind.le)}"
    bounds = [
        f"above {_figure(kind.gt)}" if kind.gt is not None else "",
        f"of at least {_figure(kind.ge)}" if kind.ge is not None else "",
        f"below {_figure(kind.lt)}" if kind.lt is not None else "",
        f"of at most {_figure(kind.le)}" if kind.le is not None else "",
        f"divisible by {_figure(kind.multiple_of)}" if kind.multiple_of is not None else "",
    ]
    given = [bound for bound in bounds if bound]
    return f"{noun} {' and '.join(given)}" if given else noun


def _figure(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _text(kind: kinds.StrType) -> str:
    phrase = "text" + _size(kind.min_length, kind.max_length, "characters")
    return f"{phrase} that matches `{kind.pattern}`" if kind.pattern else phrase


def _size(least: int | None, most: int | None, unit: str) -> str:
    if least and most is not None:
        return f" of {least} to {most} {unit}"
    if least:
        return f" of at least {least} {unit}"
    return f" of at most {most} {unit}" if most is not None else ""


def _plural(kind: kinds.Type) -> str:
    phrase = expected(kind)
    for singular, plural in (("a whole number", "whole numbers"), ("a number", "numbers"), ("a map", "maps")):
        if phrase.startswith(singular):
            return plural + phrase.removeprefix(singular)
    return phrase.removeprefix("one of ") if phrase.startswith("one of ") else phrase


def _struct(kind: kinds.StructType) -> str:
    keys = [field.encode_name for field in kind.fields if field.required] or [f.encode_name for f in kind.fields]
    shown = ", ".join(f"`{key}`" for key in keys[:8]) + (", …" if len(keys) > 8 else "")
    return f"a map with {shown}" if keys else "a map"
