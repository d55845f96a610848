"""Proves that no text of a test set was trained on: `python -m training.apart --data DIR TEST [TEST …]`.

A test set is a file of JSON lines with `text`, of plain lines, or of CoNLL columns. A training text and a test text
overlap when they are the same, case and punctuation apart, or share a run of twelve words. Exits with 1 where any do,
naming file and line.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from training.mixture import Amounts, Sources, epoch

RUN = 12
SHORT = 4  # a text of fewer words ("thank you", "what is the password?") proves nothing by being the same


def words(text: str) -> list[str]:
    """The words of a text, as comparing sees them."""
    return re.findall(r"\w+", text.lower())


def marks(text: str) -> set[int]:
    """What identifies a text: its whole, and each run of words in it."""
    found = words(text)
    if len(found) < SHORT:
        return set()
    return {hash(tuple(found)), *(hash(tuple(found[at : at + RUN])) for at in range(len(found) - RUN + 1))}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a test set with the lines that they begin in."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix in (".jsonl", ".json"):
        yield from (
            (number, str(json.loads(line).get("text", ""))) for number, line in enumerate(lines, 1) if line.strip()
        )
    elif path.suffix in (".conll", ".bio"):
        yield from _columns(lines)
    else:
        yield from enumerate(lines, 1)


def _columns(lines: list[str]) -> Iterator[tuple[int, str]]:
    sentence: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            sentence.append(line.split()[0])
        elif sentence:
            yield number - len(sentence), " ".join(sentence)
            sentence = []


def trained(data: Path, epochs: int, seed: int) -> set[int]:
    """The marks of everything that the epochs of a training hold."""
    sources = Sources.of(data, held=False)
    seen: set[int] = set()
    for one in (*sources.tagged, *sources.prompts):
        seen |= marks(one.text)
    for number in range(epochs):
        for one in epoch(sources, random.Random(f"{seed} {number}"), Amounts(fills=1, tagged=0, readings=8, planted=0)):
            seen |= marks(one.text)
    return seen


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--epochs", type=int, default=2)
    ask.add_argument("--seed", type=int, default=7)
    ask.add_argument("tests", type=Path, nargs="+")
    asked = ask.parse_args()
    seen, overlaps = trained(asked.data, asked.epochs, asked.seed), 0
    for path in asked.tests:
        found = [number for number, text in texts(path) if marks(text) & seen]
        overlaps += len(found)
        print(f"{path.name}: {len(found)} overlap" + (f", first in line {found[0]}" if found else ""))
    sys.exit(1 if overlaps else 0)


if __name__ == "__main__":
    main()
