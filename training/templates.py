"""Entity templates: lines of text with slots, filled anew each time they are asked for."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from training.tagged import DATE_TIME, LOCATION, NRP, ORGANIZATION, PERSON, TITLE, TYPES, USERNAME, Span, Tagged

TEXTS = Path(__file__).parent / "texts"
SLOT = re.compile(r"\{([a-z_]+)\}|\[\[([^|\]]+)\|([A-Z_]+)\]\]")
ESCAPES = re.compile(r"\\{1,2}n|\\t")
OF_SLOT = {
    **dict.fromkeys(("person", "first", "last", "initial"), PERSON),
    **dict.fromkeys(("address", "address_lines", "street", "city", "region", "country", "postcode", "place"), LOCATION),
    **dict.fromkeys(("date", "time", "period"), DATE_TIME),
    "title": TITLE,
    "org": ORGANIZATION,
    "nrp": NRP,
    "username": USERNAME,
}
ANOTHER = {PERSON: "person", LOCATION: "address", ORGANIZATION: "org"}
PLAIN = frozenset(
    ["email", "phone", "iban", "card", "ip", "url", "id", "amount", "number", "product", "month_word", "uuid"]
)


@dataclass(frozen=True)
class Template:
    """One hand-written line; `language` and `domain` come from its file's name."""

    line: str
    language: str
    domain: str


def unescaped(line: str) -> str:
    """The text that a line of a file stands for: `\\n` breaks it, `\\t` is a tab, a doubled sign is itself."""
    return ESCAPES.sub(lambda found: {"\\n": "\n", "\\t": "\t"}.get(found[0], "\\n"), line)


def read(folder: Path = TEXTS / "entities") -> list[Template]:
    """Every template, in a fixed order. Raises ValueError for a slot that does not exist, naming file and line."""
    found: dict[str, Template] = {}
    for path in sorted(folder.glob("*.txt")):
        language, _, domain = path.stem.partition("_")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip() or line.startswith("# "):
                continue
            for slot, _text, label in SLOT.findall(line):
                if (slot and slot not in OF_SLOT and slot not in PLAIN) or (label and label not in TYPES):
                    raise ValueError(f"{path.name}:{number}: no slot or label `{slot or label}`")
            found.setdefault(line, Template(unescaped(line), language, domain))
    return list(found.values())


def fill(template: Template, filled: Callable[[str], str], rng: random.Random) -> Tagged:
    """A text made of a template, with the spans of what its slots were filled with; `filled` gives a slot's value."""
    text, spans = "", []
    at, again = 0, template.domain == "world"  # whose names are written out: each time another stands in for some
    for found in SLOT.finditer(template.line):
        text += template.line[at : found.start()]
        slot, literal, label = found.groups()
        if again and label in ANOTHER and rng.random() < 0.5:
            literal = filled(ANOTHER[label] if " " in literal else "first" if label == PERSON else "city")
        value = literal or filled(slot)
        if slot in OF_SLOT or literal:
            spans.append((len(text), len(text) + len(value), label or OF_SLOT[slot], slot or ""))
        text, at = text + value, found.end()
    text += template.line[at:]
    return Tagged(
        text, tuple(_joined(text, spans)), hostile=0.0, weight=0.3, source=f"{template.language}_{template.domain}"
    )


def _joined(text: str, spans: list[tuple[int, int, str, str]]) -> Iterator[Span]:
    """Slots that make one name or one address joined into one span."""
    run: list[tuple[int, int, str, str]] = []
    for span in spans:
        if run and not _belongs(text, run[-1], span):
            yield from _closed(run)
            run = []
        run.append(span)
    yield from _closed(run)


def _belongs(text: str, before: tuple[int, int, str, str], after: tuple[int, int, str, str]) -> bool:
    between = text[before[1] : after[0]]
    if before[2] != after[2]:
        return False
    if after[2] == LOCATION:
        return bool(before[3] and after[3]) and between in (" ", ", ", "\n", ",\n", ". ", " - ")
    if after[2] == PERSON and {before[3], after[3]} <= {"first", "last", "initial"}:
        return between in (" ", "", "-") or (between == ", " and before[3] == "last" and after[3] != "last")
    return False


def _closed(run: list[tuple[int, int, str, str]]) -> list[Span]:
    if not run:
        return []
    whole = run[0][2] != LOCATION or any(slot in ("street", "postcode", "address") for _, _, _, slot in run)
    if whole:
        return [(run[0][0], run[-1][1], run[0][2])]
    return [(start, end, label) for start, end, label, _ in run]
