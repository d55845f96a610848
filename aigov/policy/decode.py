"""Nodes into frozen structs, strictly, with every problem at its file, line and column.

Invariants:
* Nothing is guessed: `NO`, `on`, `0755`, `72:00` and a bare date are problems that say how to write what was meant.
* A misspelt key or choice names the nearest right one; a wrong type names what was expected in a user's words.
* An empty list or map is a problem where its entries are the point: it reads as "nothing applies" to one
  person and as "no limit" to another.
* All problems of a section are collected before any is raised.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import inspect as kinds

from aigov.errors import Location, Problem
from aigov.policy.nodes import Entries, Items, Node, Scalar, shown
from aigov.policy.wording import expected
from aigov.types import Step

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)?(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?<=[0-9])")
_NUMBER_LIKE = re.compile(
    r"[-+]?(?:\.?[0-9][0-9_,]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|0[xob][0-9a-fA-F_]+|\.inf|\.nan|[0-9]+(?::[0-9]+)+(?:\.[0-9]*)?)",
    re.IGNORECASE,
)
_DATE_LIKE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?", re.DOTALL)
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "~"})
MAX_INTEGER = 2**53 - 1  # the largest that JSON carries exactly, so that a record can repeat it

# Stands for "there was a problem": never in a value that is handed out.
_BAD: Any = object()


class Decoder:
    """Decodes nodes and collects what is wrong with them in `problems`."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._phrases: dict[tuple[Step, ...], str] = {}

    def decode(self, node: Node, kind: kinds.Type, path: tuple[Step, ...]) -> Any:
        """The value of `node` as `kind`. Anything returned while `problems` is not empty is not to be used."""
        instead = _instead(node, kind)
        if isinstance(kind, kinds.Metadata) and kind.extra and "expected" in kind.extra:
            self._phrases[path] = kind.extra["expected"]
        kind = bare(kind)
        if instead:
            return self._mismatch(node, kind, path, instead)
        if isinstance(kind, kinds.UnionType):
            return self._union(node, kind, path)
        if isinstance(kind, kinds.AnyType):
            return self._anything(node, path)
        if isinstance(node, Scalar):
            return self._scalar(node, kind, path)
        if isinstance(node, Items) and isinstance(kind, tuple(_LISTS)):
            return self._items(node, kind, path)
        if isinstance(node, Entries) and isinstance(kind, kinds.StructType):
            return self._struct(node, kind, path)
        if isinstance(node, Entries) and isinstance(kind, kinds.DictType):
            return self._dict(node, kind, path)
        return self._mismatch(node, kind, path)

    # -- maps ------------------------------------------------------------------------------------------

    def _struct(self, node: Entries, kind: kinds.StructType, path: tuple[Step, ...]) -> Any:
        fields = {field.encode_name: field for field in kind.fields}
        values: dict[str, Any] = {}
        unknown = False
        for key, child in node.pairs:
            field = fields.get(key.text)
            if field is None:
                unknown = True
                fix = nearest(key.text, fields)
                if is_nothing(child) and not key.style and " " in key.text:
                    fix = "quote the text before it: without quotes a comma ends it"
                self._report(key.where, f"`{dotted(path)}` has no key {shown(key.text)}", fix)
            else:
                values[field.name] = self.decode(child, field.type, (*path, key.text))
        missing = [field for field in kind.fields if field.required and field.encode_name not in dict_of(node)]
        for field in missing:
            what = f"`{dotted((*path, field.encode_name))}` is missing"
            self._report(node.where, what, f"give it {expected(field.type)}")
        if unknown or missing or any(value is _BAD for value in values.values()):
            return _BAD
        return self._build(node, kind.cls, values, path)

    def _build(self, node: Node, cls: type, values: dict[str, Any], path: tuple[Step, ...]) -> Any:
        """The struct itself; a check of its own that fails (`__post_init__`) is a problem of its map."""
        try:
            return cls(**values)
        except (ValueError, TypeError) as error:
            why = str(error)
        return self._report(node.where, f"`{dotted(path)}`: {why}", "")

    def _dict(self, node: Entries, kind: kinds.DictType, path: tuple[Step, ...]) -> Any:
        if not self._sized(node, len(node.pairs), kind, path):
            return _BAD
        pairs = [
            (self.decode(key, kind.key_type, (*path, key.text)), self.decode(value, kind.value_type, (*path, key.text)))
            for key, value in node.pairs
        ]
        return _BAD if any(_BAD is item for pair in pairs for item in pair) else dict(pairs)

    # -- lists -----------------------------------------------------------------------------------------

    def _items(self, node: Items, kind: Any, path: tuple[Step, ...]) -> Any:
        if isinstance(kind, kinds.TupleType):
            if len(node.items) != len(kind.item_types):
                return self._mismatch(node, kind, path)
            each: Sequence[kinds.Type] = kind.item_types
        else:
            if not self._sized(node, len(node.items), kind, path):
                return _BAD
            each = [kind.item_type] * len(node.items)
        values = [
            self.decode(item, item_kind, (*path, index))
            for index, (item, item_kind) in enumerate(zip(node.items, each, strict=True))
        ]
        if isinstance(kind, (kinds.SetType, kinds.FrozenSetType)):
            self._no_repeats(node, values, path)
        return _BAD if any(value is _BAD for value in values) else _LISTS[type(kind)](values)

    def _no_repeats(self, node: Items, values: list[Any], path: tuple[Step, ...]) -> None:
        seen: list[Any] = []
        for item, value in zip(node.items, values, strict=True):
            if value is not _BAD and value in seen:
                self._report(item.where, f"`{dotted(path)}` lists this twice", "remove one")
            seen.append(value)

    def _sized(self, node: Node, size: int, kind: Any, path: tuple[Step, ...]) -> bool:
        if not size:
            self._report(node.where, f"`{dotted(path)}` is empty", "leave the key out instead")
        elif (kind.min_length and size < kind.min_length) or (kind.max_length is not None and size > kind.max_length):
            self._report(node.where, f"`{dotted(path)}` has {size} entries; expected {expected(kind)}", "")
        else:
            return True
        return False

    # -- one of several --------------------------------------------------------------------------------

    def _union(self, node: Node, kind: kinds.UnionType, path: tuple[Step, ...]) -> Any:
        """The first member, from the narrowest, that fits; else the problems of the one that was meant."""
        if is_null(node) and any(isinstance(member, kinds.NoneType) for member in kind.types):
            return None
        members = sorted(filter(_suits(node), map(bare, kind.types)), key=_narrowness)
        attempts = []
        for member in members:
            attempt = Decoder()
            value = attempt.decode(node, member, path)
            if not attempt.problems:
                return value
            attempts.append((member, attempt.problems))
        if attempts and not isinstance(node, Scalar):  # msgspec allows one type of map and one of list in a union
            self.problems += attempts[0][1]
            return _BAD
        return self._no_member(node, kind, attempts, path)

    def _no_member(self, node: Node, kind: kinds.UnionType, attempts: list[Any], path: tuple[Step, ...]) -> Any:
        real = [member for member in map(bare, kind.types) if not isinstance(member, kinds.NoneType)]
        if len(real) == 1 and attempts:
            self.problems += attempts[0][1]
            return _BAD
        choices = [choice for member in real for choice in choices_of(member)]
        text = node.text if isinstance(node, Scalar) else ""
        close = close_to(text, choices)
        return self._mismatch(node, kind, path, f"did you mean `{close}`?" if close else "")

    # -- texts, numbers, choices -----------------------------------------------------------------------

    def _scalar(self, node: Scalar, kind: kinds.Type, path: tuple[Step, ...]) -> Any:
        if is_nothing(node):
            fix = f"give it {self._expected(kind, path)}, or leave the key out"
            return self._report(node.where, f"`{dotted(path)}` has no value", fix)
        if isinstance(kind, kinds.StrType):
            return self._text(node, kind, path)
        if isinstance(kind, (kinds.LiteralType, kinds.EnumType)):
            return self._choice(node, kind, path)
        if isinstance(kind, kinds.BoolType):
            return self._truth(node, kind, path)
        if isinstance(kind, (kinds.IntType, kinds.FloatType)):
            return self._number(node, kind, path)
        if isinstance(kind, kinds.NoneType) and is_null(node):
            return None
        return self._mismatch(node, kind, path)

    def _text(self, node: Scalar, kind: kinds.StrType, path: tuple[Step, ...]) -> Any:
        surprise = surprise_in(node)
        if surprise:
            what = (
                f"{shown(node.text)} is {surprise} to YAML, and `{dotted(path)}` must be {self._expected(kind, path)}"
            )
            return self._report(node.where, what, f'quote it: "{node.text}"')
        size = len(node.text)
        fits = (kind.min_length or 0) <= size and (kind.max_length is None or size <= kind.max_length)
        if not fits or (kind.pattern is not None and not _matches(kind.pattern, node.text)):
            return self._mismatch(node, kind, path)
        return node.text

    def _choice(self, node: Scalar, kind: kinds.LiteralType | kinds.EnumType, path: tuple[Step, ...]) -> Any:
        for choice in choices_of(kind):
            plain_number = not isinstance(choice, str) and not node.style
            if str(choice) == node.text and (isinstance(choice, str) or plain_number):
                break
        else:
            close = close_to(node.text, choices_of(kind))
            fix = f"did you mean `{close}`?" if close else ""
            return self._mismatch(node, kind, path, "remove the quotes" if close == node.text else fix)
        surprise = surprise_in(node) if isinstance(choice, str) else ""
        if surprise:
            what = (
                f"{shown(node.text)} is {surprise} to YAML, and `{dotted(path)}` must be {self._expected(kind, path)}"
            )
            return self._report(node.where, what, f'quote it: "{node.text}"')
        return kind.cls(choice) if isinstance(kind, kinds.EnumType) else choice

    def _truth(self, node: Scalar, kind: kinds.Type, path: tuple[Step, ...]) -> Any:
        if not node.style and node.text in ("true", "false"):
            return node.text == "true"
        meant = {"yes": "true", "on": "true", "y": "true", "true": "true"} | dict.fromkeys(
            ("no", "off", "n", "false"), "false"
        )
        word = meant.get(node.text.lower())
        return self._mismatch(node, kind, path, f"write `{word}`" if word else "")

    def _number(self, node: Scalar, kind: kinds.IntType | kinds.FloatType, path: tuple[Step, ...]) -> Any:
        whole = isinstance(kind, kinds.IntType)
        pattern = _INTEGER if whole else _NUMBER
        if node.style or len(node.text) > 40 or not pattern.fullmatch(node.text):
            return self._mismatch(node, kind, path, _number_fix(node))
        value = int(node.text) if whole else float(node.text)
        if not math.isfinite(value) or (whole and abs(value) > MAX_INTEGER) or not _within(value, kind):
            return self._mismatch(node, kind, path)
        return value

    def _anything(self, node: Node, path: tuple[Step, ...]) -> Any:
        """Plain data: text, whole numbers, numbers, true, false, null, lists and maps."""
        if isinstance(node, Items):
            return [self._anything(item, (*path, index)) for index, item in enumerate(node.items)]
        if isinstance(node, Entries):
            return {key.text: self._anything(value, (*path, key.text)) for key, value in node.pairs}
        if not node.style and node.text in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[node.text]
        if not node.style and _INTEGER.fullmatch(node.text) and len(node.text) < 16:
            return int(node.text)
        if not node.style and _NUMBER.fullmatch(node.text) and math.isfinite(float(node.text)):
            return float(node.text)
        return self._scalar(node, kinds.StrType(), path)

    # -- problems --------------------------------------------------------------------------------------

    def _mismatch(self, node: Node, kind: kinds.Type, path: tuple[Step, ...], fix: str = "") -> Any:
        what = f"`{dotted(path)}` must be {self._expected(kind, path)}, not {_given(node)}"
        return self._report(node.where, what, fix)

    def _expected(self, kind: kinds.Type, path: tuple[Step, ...]) -> str:
        """What may stand there, in the words of the struct's author where they gave some."""
        return self._phrases.get(path) or expected(kind)

    def _report(self, where: Location, what: str, fix: str) -> Any:
        self.problems.append(Problem(where, what, fix))
        return _BAD


_LISTS: dict[type, Callable[[Iterable[Any]], Any]] = {
    kinds.ListType: list,
    kinds.VarTupleType: tuple,
    kinds.TupleType: tuple,
    kinds.SetType: set,
    kinds.FrozenSetType: frozenset,
}


def bare(kind: kinds.Type) -> kinds.Type:
    """The type without the descriptions that `msgspec.Meta` wraps around it."""
    while isinstance(kind, kinds.Metadata):
        kind = kind.type
    return kind


def is_null(node: Node) -> bool:
    """Whether an entry says `null` outright; one that says nothing is a half-written one."""
    return isinstance(node, Scalar) and not node.style and node.text in ("null", "~")


def is_nothing(node: Node) -> bool:
    """Whether nothing stands where a value should."""
    return isinstance(node, Scalar) and not node.style and not node.text


def dict_of(node: Entries) -> dict[str, Node]:
    """The entries by key."""
    return {key.text: value for key, value in node.pairs}


def dotted(path: Iterable[Step]) -> str:
    """A path as people write it: `rules[0].when`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{shown(step)[1:-1]}" for step in path)
    return text.removeprefix(".")


def close_to(text: str, choices: Iterable[object]) -> str:
    """The choice nearest to `text`, or ""."""
    close = difflib.get_close_matches(text[:100].lower(), [str(choice) for choice in choices], n=1)
    return close[0] if close else ""


def nearest(text: str, choices: Iterable[str]) -> str:
    """What to do about a key that is not there: the nearest one, or the list of those that are."""
    known = list(choices)
    close = close_to(text, known)
    if close:
        return f"did you mean `{close}`?"
    return "its keys are " + ", ".join(f"`{name}`" for name in sorted(known)[:20]) if known else "it takes no keys"


def choices_of(kind: kinds.Type) -> Sequence[Any]:
    """The values of a closed choice, or nothing for any other type."""
    if isinstance(kind, kinds.LiteralType):
        return kind.values
    if isinstance(kind, kinds.EnumType):
        return [member.value for member in kind.cls]
    return ()


def surprise_in(node: Scalar) -> str:
    """What a plain scalar that looks like text would be to some YAML reader, or "" where all agree on text."""
    if node.style:
        return ""
    if node.text.lower() in _WORDS:
        return "true, false or nothing"
    if _NUMBER_LIKE.fullmatch(node.text):
        return "a number"
    return "a date" if _DATE_LIKE.fullmatch(node.text) else ""


def _instead(node: Node, kind: kinds.Type) -> str:
    """What a struct's author says about a value that people may try: `Meta(extra={"instead": {value: advice}})`."""
    advice: dict[str, str] = (kind.extra or {}).get("instead", {}) if isinstance(kind, kinds.Metadata) else {}
    return advice.get(node.text, "") if isinstance(node, Scalar) else ""


def _matches(pattern: str, text: str) -> bool:
    r"""Whether the pattern is found; its final `$` is the very end, not "before a last line feed"."""
    if pattern.endswith("$") and not pattern.endswith(r"\$"):
        pattern = pattern[:-1] + r"\Z"
    return re.search(pattern, text) is not None


def _suits(node: Node) -> Callable[[kinds.Type], bool]:
    if isinstance(node, Entries):
        return lambda kind: isinstance(kind, (kinds.StructType, kinds.DictType))
    if isinstance(node, Items):
        return lambda kind: isinstance(kind, tuple(_LISTS))
    return lambda kind: not isinstance(kind, (kinds.StructType, kinds.DictType, *_LISTS))


def _narrowness(kind: kinds.Type) -> int:
    order = (kinds.NoneType, kinds.LiteralType, kinds.EnumType, kinds.BoolType, kinds.IntType, kinds.FloatType)
    return next((place for place, member in enumerate(order) if isinstance(kind, member)), len(order))


def _within(value: float, kind: kinds.IntType | kinds.FloatType) -> bool:
    checks = (
        kind.gt is None or value > kind.gt,
        kind.ge is None or value >= kind.ge,
        kind.lt is None or value < kind.lt,
        kind.le is None or value <= kind.le,
        kind.multiple_of is None or value % kind.multiple_of == 0,
    )
    return all(checks)


def _number_fix(node: Scalar) -> str:
    if node.style and _NUMBER.fullmatch(node.text):
        return "remove the quotes"
    if re.fullmatch(r"[-+]?0[0-9_]+", node.text):
        return "remove the leading zero"
    if re.fullmatch(r"[-+]?\.(?:inf|nan)", node.text, re.IGNORECASE):
        return "only finite numbers can be compared"
    return "write it in digits" if _NUMBER_LIKE.fullmatch(node.text) else ""


def _given(node: Node) -> str:
    if isinstance(node, Entries):
        return "a map"
    if isinstance(node, Items):
        return f"a list of {len(node.items)}"
    return f"the text {shown(node.text)}" if node.style else shown(node.text)
