"""Texts that are attacks and texts that are not, written for this project, with their alternatives chosen by chance."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path

from training.tagged import Tagged
from training.templates import TEXTS, unescaped

INNERMOST = re.compile(r"<<((?:(?!<<|>>).)*)>>", re.DOTALL)

ORPHAN = re.compile(r"([.!?])\s*[.!?](?=\s|$)")  # the end of a sentence that was taken out

#: Families in which the attack is the whole of a line's choices.
CARRIED = frozenset(("embedded_long", "planted_languages", "planted_more"))


@dataclass(frozen=True)
class Pattern:
    """One hand-written line; `<<a|b>>` in it leaves a choice."""

    line: str
    family: str
    hostile: bool
    key: str  # of lines that are held back or trained on together


def read(folder: Path = TEXTS / "hostility") -> list[Pattern]:
    """Every line, in a fixed order. Raises ValueError where a choice is not closed."""
    found: dict[str, Pattern] = {}
    for path in sorted(folder.glob("*.txt")):
        kind, _, family = path.stem.partition("_")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip() or line.startswith("# "):
                continue
            if line.count("<<") != line.count(">>") and "|" in line:
                raise ValueError(f"{path.name}:{number}: a choice is not closed")
            text = unescaped(line)
            found.setdefault(line, Pattern(text, f"{kind}_{family}", kind == "attack", line))
            if family in CARRIED:
                found.setdefault(f"without: {line}", Pattern(_without(text), f"innocent_{family}", False, line))
    return list(found.values())


def _without(text: str) -> str:
    """What carries an attack, innocent without it."""
    while INNERMOST.search(text):
        text = INNERMOST.sub("", text)
    return re.sub(r" {2,}", " ", ORPHAN.sub(r"\1", text))


def choose(pattern: Pattern, rng: random.Random) -> str:
    """One reading of a line."""
    text = pattern.line
    while INNERMOST.search(text):
        text = INNERMOST.sub(lambda found: rng.choice(found[1].split("|")), text, count=1)
    return text


def variants(pattern: Pattern, rng: random.Random, most: int) -> list[Tagged]:
    """Up to `most` different readings of a line."""
    texts = {choose(pattern, rng) for _ in range(most * 2)}
    return [
        Tagged(text, known=frozenset(), hostile=float(pattern.hostile), source=pattern.family)
        for text in sorted(texts)[:most]
    ]


def planted(attack: str, carrier: str, rng: random.Random) -> str:
    """An attack somewhere within an innocent text: between two of its sentences, or at its end."""
    ends = [found.end() for found in re.finditer(r"[.!?]\s|\n", carrier)] + [len(carrier)]
    at = rng.choice(ends)
    before, after = rng.choice((" ", "\n", " ", "\n\n")), rng.choice((" ", "\n"))
    return f"{carrier[:at].rstrip()}{before}{attack}{after}{carrier[at:].lstrip()}".strip()
