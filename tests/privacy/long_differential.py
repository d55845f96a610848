"""Compare the findings with Presidio's on many generated texts. Prints the first difference, made small; exits with 1.

    python -m tests.privacy.long_differential [--texts N] [--chars N] [--seed N] [--processes N] [--long]

One text in five is looked at with the recognisers of every country. The default is what the tests run: 20,000 texts
of up to 2,000 characters, in two processes. `--long` is a million of up to 1 MB, which takes days. Texts depend on
the seed and their number alone, so that a difference is found again by its seed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import multiprocessing
import random
import sys
from collections.abc import Callable, Iterator

from presidio_analyzer import AnalyzerEngine

from aigov.privacy.engine import Engine, load
from tests.privacy import oracle

BATCH = 100
EVERY = 5  # of so many batches one is looked at with every country on


def main() -> int:
    """0 where every text had the same findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--chars", type=int, default=2_000, help="the most characters of a text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--long", action="store_true", help="a million texts of up to 1,000,000 characters")
    given = parser.parse_args()
    texts, chars = (1_000_000, 1_000_000) if given.long else (given.texts, given.chars)
    done = found = 0
    for count, findings, difference in batches(given.seed, texts, chars, given.processes):
        if difference:
            sys.stdout.write(difference)
            return 1
        done, found = done + count, found + findings
        if done % 2000 < count or done == texts:
            sys.stdout.write(f"{done} texts, {found} findings, no difference\n")
            sys.stdout.flush()
    return 0


def batches(seed: int, texts: int, chars: int, processes: int) -> Iterator[tuple[int, int, str]]:
    """Of each batch how many texts it had, how many findings, and the first difference, "" where there is none."""
    sizes = [min(BATCH, texts - first) for first in range(0, texts, BATCH)]
    work = functools.partial(batch, seed, chars)
    if processes < 2:
        yield from map(work, range(len(sizes)), sizes)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        try:
            yield from pool.map(work, range(len(sizes)), sizes)
        finally:
            pool.shutdown(cancel_futures=True)


def batch(seed: int, chars: int, number: int, texts: int) -> tuple[int, int, str]:
    """One batch, in the process that asks."""
    engine, presidio = both(number % EVERY == EVERY - 1)
    draw, found = random.Random(f"{seed}/{number}"), 0
    for at in range(texts):
        text = oracle.generated(draw, chars)
        right, ours = oracle.expected(presidio, text), oracle.ours(engine, text)
        if right != ours:
            small = shrunk(text, lambda one: oracle.expected(presidio, one) != oracle.ours(engine, one))
            right, ours = oracle.expected(presidio, small), oracle.ours(engine, small)
            said = f"text {at} of batch {number} of seed {seed}: {small!r}\npresidio: {right}\nours:     {ours}\n"
            return texts, found, said
        found += len(right)
    return texts, found, ""


@functools.cache
def both(countries: bool) -> tuple[Engine, AnalyzerEngine]:
    """The engine and Presidio's, made once a process."""
    _remember()
    on = oracle.EVERY_COUNTRY if countries else ()
    return Engine.build(load(oracle.own(), on)), oracle.presidio([*oracle.untouched(on), *oracle.own()])


@functools.cache
def _remember() -> None:
    oracle.remember_numbers()


def shrunk(text: str, differs: Callable[[str], bool]) -> str:
    """A smaller text that differs too: without any stretch that it can do without."""
    size = len(text) // 2
    while size:
        at = 0
        while at < len(text):
            without = text[:at] + text[at + size :]
            if without and differs(without):
                text = without
            else:
                at += size
        size //= 2
    return text


if __name__ == "__main__":
    sys.exit(main())
