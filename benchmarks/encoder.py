"""Reading texts with the encoder: time by length, what a second guard adds, loading, memory, many parts at once.

    python -m benchmarks.encoder [--rounds N] [--spacy PIPELINE]

Each figure is a median of this process's own time in milliseconds, on one thread, over texts that do not repeat; by the
clock where more threads than one are at work. The best of a row's rounds stands beside the median: on a machine that
others use too it is nearer to what the work takes. spaCy's tokeniser alone (a blank pipeline) and, where one is
installed, a pipeline up to its names are measured in the same rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

LOADED = """
import resource, time
def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6
import msgspec, re, concurrent.futures, hashlib
before, start, own = rss(), time.perf_counter(), time.process_time()
from aigov.encoder import weights
from aigov.encoder.readers import Readers
readers = Readers([weights.shipped()], 1)
took, cpu = time.perf_counter() - start, time.process_time() - own
readers.run(["Jane Doe is late. " * 400])
print(f"{took * 1e3:.0f} {cpu * 1e3:.0f} {rss() - before:.0f}")
"""
WORDS = re.findall(
    r"\w+",
    "the customer writes that parcel came late and box was open so we look into it answer soon please tell us which "
    "colour wanted whether old one goes back or stays where Jane Doe of Springfield met Rose in Lyon on Friday",
)


def sentences(words: int, draw: random.Random) -> str:
    """Made-up sentences of so many words in all."""
    made: list[str] = []
    while len(made) < words:
        made += [draw.choice(WORDS) for _ in range(draw.randrange(6, 18))]
        made[-1] += "."
    return " ".join(made[:words])


def of_pieces(count: int, draw: random.Random, cut: Callable[[str], Any]) -> str:
    """A text of so many word pieces."""
    text = sentences(count * 2, draw)
    pieces = cut(text)
    return text[: pieces.offsets[count - 1][1]]


def medians(contenders: dict[str, Callable[[Any], Any]], given: Sequence[Any], clock: Callable[[], float]) -> Any:
    """Median and best time of each in milliseconds; they take turns, so that load falls on all alike."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for one in given:
        for name, function in contenders.items():
            start = clock()
            function(one)
            times[name].append((clock() - start) * 1e3)
    return {name: (statistics.median(taken), min(taken)) for name, taken in times.items()}


def main() -> None:
    """Print every figure with its aim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="texts of each kind")
    parser.add_argument("--spacy", default="en_core_web_sm", help="a pipeline to measure beside it, where installed")
    given = parser.parse_args()
    draw = random.Random(1)
    loading(min(5, given.rounds))
    readers, two, cut = _readers()
    lengths(readers, cut, given.rounds, draw, given.spacy)
    again(readers, cut, given.rounds, draw)
    batches(readers, two, cut, given.rounds, draw)


def _readers() -> tuple[Any, Any, Callable[[str], Any]]:
    from aigov.encoder import weights
    from aigov.encoder.readers import Readers

    engine = weights.shipped()
    return Readers([engine], 1), Readers([engine], 2), lambda text: engine.plan(text).pieces


def loading(rounds: int) -> None:
    """In processes of their own: from nothing to the first text, and what it holds on to afterwards."""
    rows = [_loaded() for _ in range(rounds)]
    wall, cpu, memory = ([row[at] for row in rows] for at in range(3))
    own = f"own time {statistics.median(cpu):.0f} ms (best {min(cpu):.0f})"
    print(f"loading: {own}, clock {statistics.median(wall):.0f} ms (best {min(wall):.0f}); aim 300 ms")
    print(f"memory after a long text: {statistics.median(memory):.0f} MB; aim 120 MB")


def _loaded() -> list[float]:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    return [float(one) for one in done.stdout.split()]


def lengths(readers: Any, cut: Callable[[str], Any], rounds: int, draw: random.Random, pipeline: str) -> None:
    """Time by length on one thread."""
    contenders: dict[str, Callable[[str], Any]] = {"encoder": lambda text: readers.run([text]), **_spacy(pipeline)}
    for count, aim in ((32, 2.5), (128, 9.0), (512, 40.0)):
        texts = [of_pieces(count, draw, cut) for _ in range(rounds)]
        told = medians(contenders, texts, time.process_time)
        row = "; ".join(f"{name} {median:.2f} ms (best {best:.2f})" for name, (median, best) in told.items())
        print(f"{count:>4} pieces: {row}; aim {aim} ms")


def again(readers: Any, cut: Callable[[str], Any], rounds: int, draw: random.Random) -> None:
    """What the second guard's question about the same text adds."""
    texts = [of_pieces(128, draw, cut) for _ in range(rounds)]
    name = readers.each[0].name

    def asked(times: int) -> Callable[[str], Any]:
        def ask(text: str) -> None:
            with readers.shown(readers.run([text])):
                for _ in range(times):
                    readers.read(name, text)

        return ask

    told = medians({"one": asked(1), "two": asked(2)}, texts, time.process_time)
    print(f"128 pieces, one guard {told['one'][0]:.2f} ms, two {told['two'][0]:.2f} ms; aim: the same")


def batches(readers: Any, two: Any, cut: Callable[[str], Any], rounds: int, draw: random.Random) -> None:
    """Sixteen parts in one question beside sixteen questions."""
    for count in (8, 32):
        given = [[of_pieces(count, draw, cut) for _ in range(16)] for _ in range(rounds)]
        contenders: dict[str, Callable[[list[str]], Any]] = {
            "sixteen questions": lambda texts: [readers.run([text]) for text in texts],
            "one question": readers.run,
            "one question, two threads": two.run,
        }
        told = medians(contenders, given, time.perf_counter)
        alone = told["sixteen questions"][1]
        row = "; ".join(f"{name} {mid:.1f} ms ({best / alone:.0%} at best)" for name, (mid, best) in told.items())
        print(f"16 parts of {count} pieces, by the clock: {row}; aim 60 % with two threads")


def _spacy(name: str) -> dict[str, Callable[[str], Any]]:
    import spacy

    found: dict[str, Callable[[str], Any]] = {"spaCy's tokeniser": spacy.blank("en")}
    if importlib.util.find_spec(name):
        found[name] = spacy.load(name)
    return found


if __name__ == "__main__":
    main()
