"""Compare the findings with Presidio's on many generated texts. Prints the first difference and exits with 1.

    python -m tests.privacy.long_differential [--texts N] [--chars N] [--seed N] [--countries]

A million texts of up to 1 MB take days; the default, 20,000 of up to 2,000 characters, minutes.
"""

from __future__ import annotations

import argparse
import random
import sys

from aigov.privacy.engine import Engine, load
from tests.privacy import oracle


def main() -> int:
    """0 where every text had the same findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--chars", type=int, default=2_000, help="the most characters of a text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--countries", action="store_true", help="with the recognisers of every country")
    given = parser.parse_args()
    countries = oracle.EVERY_COUNTRY if given.countries else ()
    engine = Engine.build(load(oracle.own(), countries))
    presidio = oracle.presidio([*oracle.untouched(countries), *oracle.own()])
    draw, found = random.Random(given.seed), 0
    for number in range(given.texts):
        text = oracle.generated(draw, given.chars)
        right, ours = oracle.expected(presidio, text), oracle.ours(engine, text)
        if right != ours:
            sys.stdout.write(f"text {number} of seed {given.seed}: {text!r}\npresidio: {right}\nours:     {ours}\n")
            return 1
        found += len(right)
        if number % 1000 == 999:
            sys.stdout.write(f"{number + 1} texts, {found} findings, no difference\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
