"""What one epoch is made of: fresh fillings of the templates, public sets with names changed, attacks and innocents.

Of the project's own lines a third is held back, of the public sets a fifth; which, is settled by each text's own
digest, so that no epoch, seed or order of files lets one slip in.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training import hostile, public, templates
from training.fillers import LANGUAGES, Filler
from training.noise import noisy, swapped, unread, without_words
from training.tagged import LOCATION, ORGANIZATION, PERSON, Tagged, held_back, shifted

OWN_SHARE, PUBLIC_SHARE = 1 / 3, 1 / 5
CARRIERS = (
    "documents",
    "documents_more",
    "indirect_wide",
    "tool_outputs",
    "tools_more",
    "emails",
    "support",
    "long",
    "long_instructions",
    "requests_more",
    "workflow",
    "data_rows",
    "code",
    "chatter",
)


@dataclass(frozen=True)
class Sources:
    """Everything that may be learnt from, or everything that is held back."""

    templates: tuple[templates.Template, ...]
    tagged: tuple[Tagged, ...]
    patterns: tuple[hostile.Pattern, ...]
    prompts: tuple[Tagged, ...]

    @classmethod
    def of(cls, folder: Path, held: bool, without: frozenset[str] = frozenset()) -> Sources:
        """Those held back or the others; families in `without` are held back whole."""
        return cls(
            tuple(one for one in templates.read() if held_back(one.line, OWN_SHARE) is held),
            tuple(public.entities(folder, held, PUBLIC_SHARE)),
            tuple(one for one in hostile.read() if (held_back(one.key, OWN_SHARE) or one.family in without) is held),
            tuple(public.hostility(folder, held, PUBLIC_SHARE)),
        )


@dataclass(frozen=True)
class Amounts:
    """How many texts of each kind an epoch has; `fills` and `readings` are a template's and a pattern's."""

    fills: int = 3
    tagged: int = 2
    readings: int = 2
    planted: int = 1400
    intents: int = 2500
    unread: int = 150


def settling(amounts: Amounts) -> Amounts:
    """The last epochs': names are known by then, attacks are rarer and need more readings."""
    return replace(
        amounts, fills=amounts.fills // 2, tagged=1, readings=amounts.readings * 2, planted=amounts.planted * 2
    )


def epoch(sources: Sources, rng: random.Random, amounts: Amounts) -> list[Tagged]:
    """One epoch's texts, in no order."""
    made = [*_filled(sources, rng, amounts), *_real(sources, rng, amounts), *_judged(sources, rng, amounts)]
    rng.shuffle(made)
    return made


def filled(sources: Sources, rng: random.Random, times: int = 1) -> list[Tagged]:
    """Every template filled so many times."""
    fillers = {language: Filler(language, rng).fill for language in LANGUAGES}
    return [templates.fill(one, fillers[one.language], rng) for one in sources.templates for _ in range(times)]


def _filled(sources: Sources, rng: random.Random, amounts: Amounts) -> list[Tagged]:
    made = filled(sources, rng, amounts.fills)
    rng.shuffle(made)
    return [noisy(one, rng) for one in _in_company(made, rng)]


def _real(sources: Sources, rng: random.Random, amounts: Amounts) -> list[Tagged]:
    filler = Filler("en", rng)
    made = []
    for turn in range(amounts.tagged):
        once = [
            swapped(one, rng, _another(filler, rng)) if turn and rng.random() < 0.6 else one for one in sources.tagged
        ]
        rng.shuffle(once)
        made += [noisy(one, rng, 0.7) for one in _in_company(once, rng)]
    return made


def _another(filler: Filler, rng: random.Random) -> Callable[[str, str], str]:
    """Another name of the same kind and about the same length, written as the first was."""

    def name(label: str, value: str) -> str:
        slots = {
            PERSON: ("first", "last") if " " not in value else ("person",),
            LOCATION: ("city", "country", "place"),
            ORGANIZATION: ("org",),
        }
        if label not in slots or rng.random() < 0.35 or not value[:1].isalpha():
            return value
        new = filler.fill(rng.choice(slots[label]))
        return new.lower() if value.islower() else new.upper() if value.isupper() and len(value) > 3 else new

    return name


def _in_company(made: Sequence[Tagged], rng: random.Random) -> list[Tagged]:
    """Some of the texts joined by twos and threes, since a text seldom comes alone."""
    joined, at = [], 0
    while at < len(made):
        count = rng.choices((1, 2, 3), (0.78, 0.15, 0.07))[0]
        joined.append(_together(made[at : at + count], rng))
        at += count
    return joined


def _together(some: Sequence[Tagged], rng: random.Random) -> Tagged:
    whole = some[0]
    for one in some[1:]:
        if one.known != whole.known or len(whole.text) + len(one.text) > 700:
            continue
        between = rng.choice((" ", "\n", " ", "\n\n"))
        by = len(whole.text) + len(between)
        whole = replace(whole, text=whole.text + between + one.text, spans=whole.spans + shifted(one.spans, by))
    return whole


def _judged(sources: Sources, rng: random.Random, amounts: Amounts) -> list[Tagged]:
    own = [one for pattern in sources.patterns for one in hostile.variants(pattern, rng, amounts.readings)]
    attacks = [one for one in own if one.hostile] + [one for one in sources.prompts if one.hostile]
    carriers = [one.text for one in own if not one.hostile and one.source.removeprefix("innocent_") in CARRIERS]
    carriers += [
        one.text for one in sources.prompts if one.source == "ordinary_instructions" and 200 < len(one.text) < 900
    ]
    planted = []
    for _ in range(amounts.planted if carriers and attacks else 0):
        attack, carrier = rng.choice(attacks), rng.choice(carriers)
        if len(attack.text) < 400:
            planted.append(replace(attack, text=hostile.planted(attack.text, carrier[:700], rng), source="planted"))
    intents = [one for one in sources.prompts if one.source in ("clinc150", "banking77", "bitext")]
    prompts = [one for one in sources.prompts if one.source not in ("clinc150", "banking77", "bitext")]
    some = rng.sample(intents, min(amounts.intents, len(intents)))
    blank = [Tagged(unread(rng, 40), known=frozenset(), hostile=0.0, source="unread") for _ in range(amounts.unread)]
    return [_worn(one, rng) for one in (*own, *planted, *prompts, *some, *blank)]


def _worn(one: Tagged, rng: random.Random) -> Tagged:
    one = noisy(replace(one, text=_window(one, rng)), rng, 0.5)
    return replace(one, text=without_words(one.text, rng)) if rng.random() < 0.15 else one


def judged_alone(sources: Sources, readings: int = 3, seed: int = 11) -> list[Tagged]:
    """The texts of these sources that are attacks or innocents, as they were written."""
    rng = random.Random(seed)
    return [
        *(one for pattern in sources.patterns for one in hostile.variants(pattern, rng, readings)),
        *sources.prompts,
    ]


def _window(one: Tagged, rng: random.Random, most: int = 600) -> str:
    """What one window sees of a long innocent text; an attack is kept whole, since it may stand anywhere."""
    if one.hostile or len(one.text) <= most or rng.random() < 0.2:
        return one.text
    begin = rng.randrange(len(one.text) - most)
    return one.text[one.text.find(" ", begin) + 1 :][: rng.randint(most // 2, most)]
