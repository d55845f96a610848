"""The public sets that the weights are trained on; NOTICE names their licences.

They are no part of the project: `folder` holds them as JSON lines, one object a text, with `text` and `spans`
(`[start, end, label]` in code points) or `label`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.tagged import LOCATION, ORGANIZATION, PERSON, USERNAME, Span, Tagged, held_back

#: What each set tags throughout.
ENTITIES: dict[str, frozenset[str]] = {
    "ner/broad_twitter.jsonl": frozenset((PERSON, LOCATION, ORGANIZATION, USERNAME)),
    "ner/wnut17_train.jsonl": frozenset((PERSON, LOCATION)),
    "ner/wnut17_dev.jsonl": frozenset((PERSON, LOCATION)),
    "ner/wikigold.jsonl": frozenset((PERSON, LOCATION, ORGANIZATION)),
}
#: How far each source's word on hostility is trusted; 0 leaves it out. One labels recipes as attacks; of a password
#: game's attempts many are ordinary questions that are attempts only there.
TRUST = {
    "mosscap": 0.35,
    "gandalf": 1.0,
    "deepset_train": 0.7,
    "pyrit_templates": 1.0,
    "promptmap": 0.7,
    "giskard": 1.0,
    "piguard_valid": 0.0,
}
SECRETIVE = (
    "password",
    "secret",
    "ignore",
    "instruction",
    "prompt",
    "rule",
    "reveal",
    "letter",
    "word",
    "told",
    "pretend",
    "forget",
    "previous",
    "hidden",
)
INTENTS = ("intents/clinc150_train_val.jsonl", "intents/banking77_train.jsonl", "intents/bitext_support.jsonl")


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def entities(folder: Path, held: bool, share: float = 0.2) -> list[Tagged]:
    """Tagged texts of the public sets: those held back, or the others."""
    return [
        Tagged(row["text"], _spans(row), known, hostile=0.0, weight=0.3, source=row["source"])
        for name, known in ENTITIES.items()
        for row in rows(folder / name)
        if held_back(row["text"], share) is held
    ]


def _spans(row: dict[str, Any]) -> tuple[Span, ...]:
    """A handle's sign and its name are one; what only stands beside a handle is none."""
    merged: list[Span] = []
    for start, end, label in sorted(map(tuple, row["spans"])):
        label = USERNAME if label == "HANDLE" else label
        if merged and label == USERNAME and row["text"][slice(*merged[-1][:2])] == "@" and start - merged[-1][1] <= 1:
            merged[-1] = (merged[-1][0], end, label)
        elif not merged or start >= merged[-1][1]:
            merged.append((start, end, label))
    return tuple(span for span in merged if row["text"][span[0] : span[1]].strip("@ "))


def hostility(folder: Path, held: bool, share: float = 0.2) -> list[Tagged]:
    """Prompts that are attacks or not, ordinary instructions, and what people ask banks, shops and assistants."""
    found = []
    for row in rows(folder / "injection/attacks_and_benign.jsonl"):
        weight = TRUST[row["source"]]
        if row["source"] == "mosscap" and not any(word in row["text"].lower() for word in SECRETIVE):
            weight = 0.0
        found.append((row["text"], float(row["label"]), weight, row["source"]))
    for row in rows(folder / "injection/ordinary_instructions.jsonl"):
        found.append((row["text"], 0.0, 1.0, "ordinary_instructions"))
    for name in INTENTS:
        for row in rows(folder / name):
            found.append((row["text"], 0.0, 0.5, name.split("/")[1].split("_")[0]))
    return [
        Tagged(text, known=frozenset(), hostile=label, weight=weight, source=source)
        for text, label, weight, source in found
        if weight and held_back(text, share) is held
    ]
