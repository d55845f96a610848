"""How good weights are on what was held back, as Markdown tables: `python -m training.score --data DIR`.

Entities: a span is found where one of its type shares at least half of what the two cover together.
Hostility: at the two thresholds that are named, 1 % of held-back public instructions pass for attacks, and 1 % of
held-back instructions, documents and tool outputs, many of them written to be mistaken.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from aigov.encoder.engine import Engine
from aigov.encoder.weights import FOLDER, loaded
from training import templates
from training.mixture import Sources, filled, judged_alone
from training.tagged import LOCATION, ORGANIZATION, PERSON, USERNAME, Span, Tagged

SHOWN = (PERSON, LOCATION, ORGANIZATION, "NRP", "DATE_TIME", USERNAME)
PERSONAL = frozenset((PERSON, LOCATION, USERNAME))
ORDINARY = (
    "ordinary_instructions",
    "innocent_documents",
    "innocent_tool_outputs",
    "innocent_long_instructions",
    "innocent_long",
)
TALK = ("innocent_about_attacks", "innocent_talk", "innocent_policies", "innocent_security_work")


class Judged:
    """The engine that ships, asked as the package asks it."""

    def __init__(self, folder: Path) -> None:
        self._engine: Engine = loaded(folder, hashlib.sha256((folder / "card.json").read_bytes()).hexdigest())

    def __call__(self, text: str) -> tuple[tuple[Span, ...], float]:
        """The spans of a text and how hostile it is."""
        plan = self._engine.plan(text)
        reading = self._engine.reading(plan, [self._engine.look(plan, window) for window in plan.windows])
        return tuple((span.start, span.end, span.type) for span in reading.spans), reading.hostility


def matched(gold: Sequence[Span], found: Sequence[Span]) -> int:
    """How many of the spans are found: each one by another, at least half of their union shared."""
    left, hits = list(gold), 0
    for start, end, _ in found:
        for one in left:
            shared = min(end, one[1]) - max(start, one[0])
            if shared > 0 and shared * 2 >= max(end, one[1]) - min(start, one[0]):
                left.remove(one)
                hits += 1
                break
    return hits


def f1(rows: Iterable[tuple[Sequence[Span], Sequence[Span]]], label: str) -> tuple[float | None, int]:
    """F1 of a label and how many spans of it there are; None where there are none."""
    gold = found = hits = 0
    for wanted, told in rows:
        mine, theirs = [one for one in wanted if one[2] == label], [one for one in told if one[2] == label]
        gold, found, hits = gold + len(mine), found + len(theirs), hits + matched(mine, theirs)
    return (2 * hits / (gold + found) if gold else None), gold


def characters(rows: Iterable[tuple[Tagged, Sequence[Span]]]) -> tuple[float, float]:
    """Shares of personal characters left alone, and of other characters taken for personal."""
    personal = left = other = over = 0
    for one, told in rows:
        mine, theirs = _covered(one.spans, one.known), _covered(told, one.known)
        personal, left = personal + len(mine), left + len(mine - theirs)
        other, over = other + len(one.text) - len(mine), over + len(theirs - mine)
    return left / max(1, personal), over / max(1, other)


def _covered(spans: Sequence[Span], known: frozenset[str]) -> set[int]:
    return {at for start, end, label in spans if label in PERSONAL & known for at in range(start, end)}


def tagged_sets(held: Sources, folder: Path) -> dict[str, list[Tagged]]:
    """Held-back texts by set, and the cases that were never trained on by kind."""
    sets: dict[str, list[Tagged]] = defaultdict(list)
    names = {"btc": "Broad Twitter", "wnu": "WNUT17", "wik": "WikiGold"}
    for one in held.tagged:
        sets[names[one.source[:3]]].append(one)
    for one in filled(held, random.Random(5)):
        sets[f"own, {one.source[:2]}"].append(one)
    for line in (folder / "names.txt").read_text(encoding="utf-8").splitlines():
        kind, tab, text = line.partition("\t")
        if tab:
            template = templates.Template(templates.unescaped(text), "en", kind)
            sets["cases"].append(templates.fill(template, str, random.Random(0)))
    return sets


def entities(judged: Judged, sets: dict[str, list[Tagged]], most: int) -> None:
    """The table of F1 by set and label, and that of the cases by kind."""
    print("| set | texts | " + " | ".join(SHOWN) + " | personal characters left | over-redacted |")
    print("|---|---|" + "---|" * (len(SHOWN) + 2))
    for name, texts in sorted(sets.items()):
        rows = [(one, judged(one.text)[0]) for one in texts[:most]]
        cells = [
            _cell(*f1([(one.spans, told) for one, told in rows], label), rows[0][0].known, label) for label in SHOWN
        ]
        left, over = characters(rows)
        print(f"| {name} | {len(rows)} | " + " | ".join(cells) + f" | {left:.1%} | {over:.1%} |", flush=True)
    print("\n| kind of case | PERSON F1 | spans | texts without | of these flagged |\n|---|---|---|---|---|")
    kinds: dict[str, list[tuple[Tagged, tuple[Span, ...]]]] = defaultdict(list)
    for one in sets["cases"]:
        kinds[one.source.removeprefix("en_")].append((one, judged(one.text)[0]))
    for kind, rows in sorted(kinds.items()):
        score, count = f1([(one.spans, told) for one, told in rows], PERSON)
        without = [told for one, told in rows if not any(label == PERSON for _, _, label in one.spans)]
        flagged = sum(any(label == PERSON for _, _, label in told) for told in without)
        print(f"| {kind} | {_number(score)} | {count} | {len(without)} | {flagged} |")


def _cell(score: float | None, count: int, known: frozenset[str], label: str) -> str:
    return f"{_number(score)} ({count})" if label in known and count >= 10 else ""


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}".lstrip("0")


def hostility(judged: Judged, held: Sources, folder: Path, most: int) -> None:
    """The table of families: what share is over one half, and over the threshold of 1 % false alarms."""
    families: dict[str, list[float]] = defaultdict(list)
    attack: dict[str, bool] = {}
    for one in judged_alone(held, 2):
        if len(families[one.source]) < (most if one.source != "ordinary_instructions" else 10 * most):
            families[one.source].append(judged(one.text)[1])
            attack[one.source] = bool(one.hostile)
    for line in (folder / "attacks.txt").read_text(encoding="utf-8").splitlines():
        kind, _, rest = line.partition("\t")
        label, tab, text = rest.partition("\t")
        if tab:
            families[f"case: {kind}"].append(judged(templates.unescaped(text))[1])
            attack[f"case: {kind}"] = label == "attack"
    known = (*ORDINARY, "case: ordinary", "case: tool_output", "case: document")
    ordinary = np.concatenate([families[name] for name in known if name in families])
    public = families["ordinary_instructions"]
    mild, strict = float(np.quantile(public, 0.99)), float(np.quantile(ordinary, 0.99))
    print(
        f"\n1 % of {len(public)} public instructions are over {mild:.2f}, of {len(ordinary)} texts over {strict:.2f}.\n"
    )
    print(f"| family | texts | over 0.5 | over {mild:.2f} | over {strict:.2f} |\n|---|---|---|---|---|")
    for name in sorted(families, key=lambda name: (not attack[name], name)):
        family = name.split("_", 1)[-1] if name.startswith(("attack_", "innocent_")) else name
        print(_line(f"{'attack' if attack[name] else 'innocent'}: {family}", families[name], (0.5, mild, strict)))
    of = {
        "all attacks": [score for name, scores in families.items() if attack[name] for score in scores],
        "attacks written for judging alone": [
            score for name, scores in families.items() if attack[name] and name.startswith("case: ") for score in scores
        ],
        "all ordinary texts": ordinary,
        "texts that talk about attacks": [
            score for name in (*TALK, "case: quoted", "case: about") for score in families.get(name, [])
        ],
    }
    for name, scores in of.items():
        print(_line(f"**{name}**", scores, (0.5, mild, strict)))


def _line(name: str, scores: Sequence[float], thresholds: Sequence[float]) -> str:
    values = np.array(scores)
    shares = " | ".join(f"{(values > over).mean():.1%}" for over in thresholds)
    return f"| {name} | {len(values)} | {shares} |"


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--weights", type=Path, default=FOLDER)
    ask.add_argument("--most", type=int, default=2000, help="texts of a set, and a tenth of it of a family")
    asked = ask.parse_args()
    judged, held, cases = Judged(asked.weights), Sources.of(asked.data, held=True), templates.TEXTS / "cases"
    entities(judged, tagged_sets(held, cases), asked.most)
    hostility(judged, held, cases, asked.most // 10)


if __name__ == "__main__":
    main()
