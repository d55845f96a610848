"""A policy that has been read and is being decoded, section by section, by the guards that know its types.

Invariants:
* A draft answers for what it read: every value, default and problem has a file and, where set, a line.
* Every key has to be claimed: `finish` refuses what no guard and no plugin knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import inspect as kinds

from aigov.errors import Location, PolicyError, Problem
from aigov.policy import nodes
from aigov.policy.decode import Decoder, dict_of, dotted, nearest
from aigov.policy.nodes import Entries, Node, Scalar, shown
from aigov.policy.wording import expected
from aigov.types import Section, Step

FORMAT = 1
LAYER_NAME = "^[a-z][a-z0-9-]{0,63}$"


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every layer begins with: the format's version, which layer it is, and the policy's name."""

    aigov: Annotated[Literal[1], msgspec.Meta(description="version of the policy format")]
    layer: Annotated[
        str,
        msgspec.Meta(
            pattern=LAYER_NAME,
            description="which layer this is",
            extra={"expected": "a name in small letters, such as `organisation`"},
        ),
    ]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128, description="name of the policy")]


HEADER_KEYS = tuple(field.encode_name for field in msgspec.structs.fields(Header))


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """One layer as read. `digest` is that of the whole folder; `file` is its name as the user gave it."""

    file: str
    root: Entries
    layer: str
    name: str
    digest: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The top-level keys that are set, header and `plugins` apart, in file order."""
        return tuple(key.text for key, _ in self.root.pairs if key.text not in (*HEADER_KEYS, "plugins"))

    @property
    def plugins(self) -> tuple[str, ...]:
        """The plugins that have settings, in file order."""
        node = self.root.get("plugins")
        return tuple(key.text for key, _ in node.pairs) if isinstance(node, Entries) else ()

    def has(self, key: str) -> bool:
        """Whether a top-level key is set."""
        return self.root.get(key) is not None

    def section(self, key: str, type: Any, required: bool = False) -> Section:
        """The section under `key`, decoded as `type`: a frozen struct, or a list or map of them.

        A section that is not set has its type's defaults. Raises PolicyError with all of its problems,
        also where it is required, or has no defaults, and is not set.
        """
        return self._section((key,), type, required)

    def settings(self, plugin: str, type: Any) -> Section:
        """The settings of one plugin, under `plugins:`, decoded as `type`. Raises PolicyError."""
        return self._section(("plugins", plugin), type, False)

    def finish(self, known_keys: Iterable[str], known_plugins: Iterable[str]) -> None:
        """Raise PolicyError for every top-level key and every plugin entry that nobody knows."""
        keys = (*HEADER_KEYS, "plugins", *known_keys)
        plugins = tuple(known_plugins)
        problems = []
        for key, _ in self.root.pairs:
            if key.text not in keys:
                fix = nearest(key.text, keys).replace("its keys are", "the keys of a policy are")
                problems.append(Problem(key.where, f"a policy has no key {shown(key.text)}", fix))
        for name in self.plugins:
            if name not in plugins:
                problems.append(Problem(self.locate("plugins", f"{name}#"), *_unknown_plugin(name, plugins)))
        if problems:
            raise PolicyError(problems)

    def locate(self, *path: Step, inside: tuple[int, int] | None = None) -> Location:
        """Where an entry stands: texts at themselves, maps and lists at their key, `key#` at the key.

        A path that leads nowhere gives the nearest enclosing entry. `inside` is a line and column (from 1)
        within a text: its place in the file where that can be told, else where the text begins.
        """
        node = nodes.at(self.root, path)
        if inside is not None and isinstance(node, Scalar):
            return node.inside(*inside)
        return nodes.locate(self.root, path)

    def __repr__(self) -> str:
        return f"Draft({self.file!r}, layer={self.layer!r}, digest={self.digest[:12]!r})"

    def _section(self, path: tuple[Step, ...], type: Any, required: bool) -> Section:
        node = nodes.at(self.root, path)
        kind = kinds.type_info(type)
        if node is None:
            value = self._default(path, kind, required)
        else:
            decoder = Decoder()
            value = decoder.decode(node, kind, path)
            if decoder.problems:
                raise PolicyError(decoder.problems[: nodes.MAX_PROBLEMS])
        return Section(value, self.layer, self._locator(path))

    def _default(self, path: tuple[Step, ...], kind: kinds.Type, required: bool) -> Any:
        """The value of a section that is not set."""
        if isinstance(kind, kinds.StructType):
            required = required or any(field.required for field in kind.fields)
            if not required:
                return kind.cls()
        elif not required:
            return () if isinstance(kind, kinds.VarTupleType) else _empty(kind)
        raise PolicyError(Problem(self.root.where, f"`{dotted(path)}` is missing", f"give it {expected(kind)}"))

    def _locator(self, base: tuple[Step, ...]) -> Callable[..., Location]:
        def locate(*path: Step, inside: tuple[int, int] | None = None) -> Location:
            return self.locate(*base, *path, inside=inside)

        return locate


def headed(root: Node) -> tuple[Entries, Header]:
    """The map that a layer is, and its header. Raises PolicyError, also for the form of `plugins`."""
    if not isinstance(root, Entries):
        raise PolicyError(Problem(root.where, "the file is not a map of keys", "begin it with `aigov: 1`"))
    own = Entries(root.where, tuple(pair for pair in root.pairs if pair[0].text in HEADER_KEYS))
    decoder = Decoder()
    version = dict_of(own).get("aigov")
    if isinstance(version, Scalar) and version.text.isdigit() and version.text != str(FORMAT):
        what = f"format {shown(version.text)} is not supported; this version reads format {FORMAT}"
        raise PolicyError(Problem(version.where, what, f"write `aigov: {FORMAT}`, or install a newer version"))
    value = decoder.decode(own, kinds.type_info(Header), ())
    problems = [*decoder.problems, *_plugins_problems(root)]
    if problems:
        raise PolicyError(problems)
    return root, value


def _plugins_problems(root: Entries) -> list[Problem]:
    node = root.get("plugins")
    where = nodes.locate(root, ("plugins",))
    if node is None or (isinstance(node, Entries) and node.pairs):
        return []
    if isinstance(node, Entries):
        return [Problem(where, "`plugins` is empty", "leave the key out instead")]
    return [Problem(where, "`plugins` must be a map from each plugin's name to its settings")]


def _unknown_plugin(name: str, plugins: tuple[str, ...]) -> tuple[str, str]:
    fix = nearest(name, plugins).replace("its keys are", "the plugins are")
    if not plugins:
        fix = "no plugin is locked: add it to `plugins.lock` with `aigov plugins lock`, or remove the entry"
    return f"settings for {shown(name)}, a plugin that is not loaded", fix


def _empty(kind: kinds.Type) -> Any:
    if isinstance(kind, kinds.ListType):
        return []
    return {} if isinstance(kind, kinds.DictType) else frozenset()
