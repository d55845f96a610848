"""What the policy may say under `privacy:`, and what of it cannot be meant.

Invariants:
* An action is a word, or one word with its parameters; nothing else decodes.
* A pattern of the policy runs in linear time, on every text, or is refused with the construct named.
* A name that no recogniser, custom entity or plugin stands behind is an error: it would protect nothing.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from aigov.errors import AigovError, PolicyError, Problem
from aigov.privacy.patterns import compile_linear
from aigov.privacy.tokens import ENTITY, LITERAL
from aigov.types import Section, Step

Word = Literal["tokenise", "mask", "hash", "replace", "redact", "encrypt", "allow", "review", "deny"]
Named = Literal["tokenise", "mask", "hash", "replace", "redact", "encrypt", "operator", "allow", "review", "deny"]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
Term = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
POINTER = r"^(/[^/]*)+$"  # a JSON pointer in which a step may be `*` or `**`
Pointer = Annotated[str, msgspec.Meta(pattern=POINTER, max_length=1000)]
Entity = Annotated[str, msgspec.Meta(pattern=ENTITY, description="upper case, as findings and tokens show it")]

# Entity types that Presidio finds with a language model alone, which this engine does not run.
BY_MODEL = frozenset({"PERSON", "LOCATION", "ORGANIZATION", "NRP", "AGE", "ID"})
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
SHORTEST_S = 60
LONGEST_S = 400 * 86_400
VAULT = "../vault/values.db"  # beside the policy folder, never in it: a value kept is no change of policy
CONTEXT_GAIN = 0.35
CONTEXT_FLOOR = 0.4


class Mask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `mask`: how many characters stay readable at either end, and what covers the rest."""

    keep_first: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    keep_last: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    char: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = "*"

    def __post_init__(self) -> None:
        if not self.char.isprintable() or self.char.isspace():
            raise ValueError("`char` is one printable character")


class Replace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `replace`: the text that stands in for every value of the type."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = msgspec.field(name="with")


class Hash(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `hash`: how many hexadecimal digits of the keyed digest are shown."""

    length: Annotated[int, msgspec.Meta(ge=8, le=64)] = 16


class Operator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `operator`: a Presidio operator by its name, and what it is given.

    One of Presidio's own, or one that a plugin registers. What it makes of a value does not come back.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    params: dict[str, str | int | float | bool] = {}


class Operation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action with its parameters: a map of one entry."""

    mask: Mask | None = None
    replace: Replace | None = None
    hash: Hash | None = None
    operator: Operator | None = None

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.mask, self.replace, self.hash, self.operator)) != 1:
            raise ValueError("an action with parameters is a map of one entry: `mask`, `replace`, `hash` or `operator`")

    @property
    def word(self) -> Named:
        """The action's word."""
        return "mask" if self.mask else "replace" if self.replace else "hash" if self.hash else "operator"


Action = Word | Operation


class Custom(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entity type of the organisation's own: patterns, or a list of exact words, and words nearby.

    Patterns and words ignore case; `\\d`, `\\w` and `\\b` are those of ASCII. `score` is how sure a match
    is, 0 to 1; a context word within the five words before it adds 0.35.
    """

    entity: Entity
    pattern: Pattern | None = None
    patterns: tuple[Pattern, ...] = ()
    deny_list: tuple[Term, ...] = ()
    context: tuple[Term, ...] = ()
    score: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.8

    @property
    def expressions(self) -> tuple[tuple[tuple[Step, ...], str], ...]:
        """Every pattern with its place inside this entry."""
        first: tuple[tuple[tuple[Step, ...], str], ...] = (
            () if self.pattern is None else ((("pattern",), self.pattern),)
        )
        return first + tuple((("patterns", index), pattern) for index, pattern in enumerate(self.patterns))

    @property
    def reach(self) -> float:
        """The highest score that a match can get."""
        return max(min(1.0, self.score + CONTEXT_GAIN), CONTEXT_FLOOR) if self.context else self.score


class VaultSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where values of named sessions are kept, sealed, and for how long: `90s`, `30m`, `72h` or `7d`, 1m to 400d.

    `path` is relative to the policy folder.
    """

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)] = VAULT
    expires: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}[smhd]$")] = "30d"

    @property
    def expires_s(self) -> int:
        """The time in seconds for which a value is kept."""
        return int(self.expires[:-1]) * UNITS[self.expires[-1]]

    def file(self, policy_folder: Path) -> Path:
        """Where the vault lies, for a policy read from this folder."""
        return Path(os.path.normpath(policy_folder.absolute() / self.path))


class Unfit(AigovError):
    """A recogniser that cannot be run, and why. Holds names and types, no content."""

    code = "privacy.unfit"


class Extra(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further recogniser: a spaCy pipeline by name or folder, or one of Presidio's by its class name.

    `entities` and `score` (0 to 1) are for a pipeline: which of its labels become which entity, how sure they count.
    `params` are what Presidio's class is made with; a model that it names is a folder, relative to the policy folder.
    `timeout_s`: the seconds that a model or a service may take over one text.
    """

    spacy: Term | None = None
    presidio: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]{1,100}$")] | None = None
    entities: dict[Term, Entity] = {}
    score: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.85
    params: dict[str, str | int | float | bool | tuple[str, ...] | dict[str, str]] = {}
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0


# Countries that Presidio has recognisers for, as it names them; those that are on anyway are not in need of this.
Country = Literal[
    "au", "ca", "de", "es", "fi", "in", "it", "kr", "ng", "ph", "pl", "se", "sg", "th", "tr", "uk", "us", "za"
]  # fmt: skip


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The policy key `privacy`."""

    min_score: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.4
    default: Action = "tokenise"
    entities: dict[Entity, Action] = {}
    allow: tuple[Term, ...] = ()
    custom: tuple[Custom, ...] = ()
    countries: tuple[Country, ...] = ()
    reveal: dict[Entity, tuple[Term, ...] | Literal["nobody"]] = {}
    stable: Literal["session", "tenant"] = "session"
    vault: VaultSettings | None = None
    exempt: tuple[Pointer, ...] = ()
    recognizers: tuple[Extra, ...] = ()

    def action(self, entity: str) -> Action:
        """What is done with a value of this type."""
        return self.entities.get(entity, self.default)


def word(action: Action) -> Named:
    """The word of an action, with or without parameters."""
    return action.word if isinstance(action, Operation) else action


def check(section: Section, supported: frozenset[str], declared: frozenset[str]) -> None:
    """Raise PolicyError with everything that decodes but cannot be meant.

    `supported`: the types that recognisers find; `declared`: further ones that plugins' findings carry.
    """
    settings: Settings = section.value
    problems = [*_custom_problems(section, settings)]
    known = supported | declared | {custom.entity for custom in settings.custom}
    problems += _name_problems(section, settings.entities, "entities", known - {LITERAL})
    problems += _name_problems(section, settings.reveal, "reveal", known - {LITERAL})
    problems += _role_problems(section, settings)
    problems += _vault_problems(section, settings)
    problems += _pointer_problems(section, settings)
    if problems:
        raise PolicyError(problems)


def _name_problems(section: Section, named: Iterable[str], key: str, known: frozenset[str]) -> Iterator[Problem]:
    for name in named:
        if name not in known:
            yield section.problem(key, name, what=f"no detector finds the entity `{name}`", fix=_fix(name, known))


def _role_problems(section: Section, settings: Settings) -> Iterator[Problem]:
    for name, roles in settings.reveal.items():
        for index, role in enumerate(() if roles == "nobody" else roles):
            if not role.strip():
                yield section.problem("reveal", name, index, what="a blank role", fix="remove it")
        if settings.action(name) != "tokenise":
            what = f"values of `{name}` are not tokenised, so there is nothing to reveal"
            yield section.problem("reveal", name, what=what, fix="remove it, or let the action be `tokenise`")


def _pointer_problems(section: Section, settings: Settings) -> Iterator[Problem]:
    for index, pointer in enumerate(settings.exempt):
        steps = pointer.split("/")[1:]
        if all(step in ("*", "**") for step in steps):
            what = f"`{pointer}` would exempt whole calls"
            yield section.problem("exempt", index, what=what, fix="name at least one step")
        if steps.count("**") > 1:
            yield section.problem("exempt", index, what=f"`{pointer}` has `**` twice", fix="use `**` once")


def _vault_problems(section: Section, settings: Settings) -> Iterator[Problem]:
    vault = settings.vault
    if vault is None:
        return
    if not SHORTEST_S <= vault.expires_s <= LONGEST_S:
        fix = "write a number and s, m, h or d, such as `30d`"
        yield section.problem("vault", "expires", what="not a time from 1m to 400d", fix=fix)
    if not vault.path.strip() or "\0" in vault.path:
        yield section.problem("vault", "path", what="not the path of a file", fix="leave it out, or name a file")


def _fix(name: str, known: frozenset[str]) -> str:
    if name in BY_MODEL:
        return "it takes a model: turn on `encoder`, name one under `recognizers`, or add a plugin that finds it"
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else "the entities are " + ", ".join(sorted(known))


def _custom_problems(section: Section, settings: Settings) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, custom in enumerate(settings.custom):
        here = ("custom", index)
        if custom.entity in seen:
            fix = "put all of its patterns in one entry, under `patterns`"
            yield section.problem(*here, "entity", what=f"`{custom.entity}` is defined twice", fix=fix)
        seen.add(custom.entity)
        yield from _entry_problems(section, here, custom, settings.min_score)


def _entry_problems(section: Section, here: tuple[Step, ...], custom: Custom, floor: float) -> Iterator[Problem]:
    name = custom.entity
    if name == LITERAL:
        yield section.problem(
            *here, "entity", what=f"`{name}` is the type of tokens themselves", fix="choose another name"
        )
    if not custom.expressions and not custom.deny_list:
        fix = "give it `pattern`, `patterns` or `deny_list`"
        yield section.problem(*here, what=f"`{name}` has nothing to find it by", fix=fix)
    if custom.reach < floor:
        what = f"`{name}` can score {custom.reach:g} at most, under `min_score` {floor:g}, so it would never count"
        yield section.problem(*here, "score", what=what, fix="raise `score`, or add `context` words")
    for path, expression in custom.expressions:
        yield from _pattern_problems(section, (*here, *path), expression)
    yield from _blank_problems(section, here, "deny_list", custom.deny_list)
    yield from _blank_problems(section, here, "context", custom.context)


def _pattern_problems(section: Section, path: tuple[Step, ...], expression: str) -> Iterator[Problem]:
    compiled = compile_linear(expression)
    if isinstance(compiled, str):
        yield section.problem(*path, what=f"the pattern cannot be used: {compiled}", fix="write it without")
    elif compiled.matches_nothing:
        fix = "make at least one character of it required"
        yield section.problem(*path, what="the pattern matches the empty string", fix=fix)
    elif not _readable(expression):
        yield section.problem(*path, what="the pattern is not understood by Presidio", fix="use plainer syntax")


def _readable(expression: str) -> bool:
    """Whether Presidio's own check of a pattern would accept it too."""
    import regex

    try:
        regex.compile(expression)
    except regex.error:
        return False
    return True


def _blank_problems(section: Section, here: tuple[Step, ...], key: str, terms: tuple[str, ...]) -> Iterator[Problem]:
    for index, term in enumerate(terms):
        if not re.search(r"\S", term):
            yield section.problem(*here, key, index, what=f"a blank entry in `{key}`", fix="remove it")
