"""What a governed call adds: beside the bare Presidio analysis of the same texts, in the same run.

    python -m benchmarks.calls [--rounds N] [--json]

`bare`: Presidio's `AnalyzerEngine.analyze` on the question and on the answer. `governed`: the whole call through
the starter policy, two durable records included, with a provider that answers at once. `log`: one durable append,
twice. `added`: what the governed call takes on top of the analysis. All of these without the encoder, as Presidio's
analysis here has no model; `encoder`: the whole call with it, its word on hostility unheard, since the texts make no
sense. Texts do not repeat. Medians in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.table import Table
from spacy.lang.en.stop_words import STOP_WORDS

from aigov.audit.records import PluginLoaded
from aigov.testing import Trial, governor
from aigov.types import Principal
from benchmarks.privacy import PlainWords, presidio

SIZES = (100, 1_000, 10_000)
CHAT = {"action": "chat", "resource": "model:gpt-4o-mini"}
PATTERNS = {"enabled: true ": "enabled: false "}
READING = {"bidi: deny": "hostility: allow\n  bidi: deny"}
DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")
PROSE = """the parcel arrived late and one box was open so please look into it and tell me what happens next
because my order was a present and the colour is not the one that I wanted thank you for your help"""
WORDS = tuple(PROSE.split())


def text(draw: random.Random, size: int) -> str:
    """Ordinary prose with an e-mail address and a card number in each kilobyte; never the same twice."""
    pieces, length = [f"ticket {draw.randrange(10**9)}"], 20
    while length < size:
        if length % 1000 < 12:
            pieces.append(f"user{draw.randrange(10**6)}@example.com 4111 1111 1111 1111")
        pieces.append(draw.choice(WORDS))
        length = sum(map(len, pieces)) + len(pieces)
    return " ".join(pieces)[:size]


def median_ms(work: Callable[[str], Any], texts: list[str]) -> float:
    """The median time of `work` over the texts, in milliseconds."""
    spent = []
    for one in texts:
        start = time.perf_counter()
        work(one)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1000


def bare_analyzer() -> Callable[[str], Any]:
    """Presidio's own engine on question and answer, with its English recognisers that need no language model."""
    engine = presidio(PlainWords(STOP_WORDS))

    def analyse(one: str) -> None:
        engine.analyze(one, language="en")
        engine.analyze("fine " + one, language="en")

    return analyse


def sizes(trial: Trial, rounds: int) -> list[dict[str, float]]:
    """One row a size."""
    draw, rows = random.Random(7), []
    ask: Any = trial.gov.guard(**CHAT)(lambda question: "fine " + question)
    bare = bare_analyzer()
    for size in SIZES:
        texts = [text(draw, size) for _ in range(rounds)]
        with trial.gov.acting_as(DANA):
            ask(texts[0])
            governed = median_ms(ask, texts)
        alone = median_ms(bare, texts)
        log = 2 * median_ms(lambda one: trial.gov._recorder.record(PluginLoaded(plugin="bench")), texts)
        rest = governed - alone
        rows.append(
            {"chars": size, "bare": alone, "governed": governed, "ratio": governed / alone, "added": rest, "log": log}
        )
    return rows


def with_encoder(trial: Trial, rows: list[dict[str, float]], rounds: int) -> list[dict[str, float]]:
    """The rows with what the whole call takes where the encoder reads it."""
    draw = random.Random(8)
    ask: Any = trial.gov.guard(**CHAT)(lambda question: "fine " + question)
    with trial.gov.acting_as(DANA):
        return [
            row | {"encoder": median_ms(ask, [text(draw, int(row["chars"])) for _ in range(rounds)])} for row in rows
        ]


def throughput(trial: Trial, seconds: float) -> list[dict[str, Any]]:
    """Calls a second of a 100-character question, by how many ask at once."""
    question = text(random.Random(9), 100)
    plain: Any = trial.gov.guard(**CHAT)(lambda question: "fine")

    async def fine(question: str) -> str:
        return "fine"

    rows = []
    for threads in (1, 8, 32):
        with trial.gov.acting_as(DANA), ThreadPoolExecutor(threads) as pool:
            until, bound = time.perf_counter() + seconds, trial.gov.bind(_until)
            done = sum(pool.map(lambda _, until=until, bound=bound: bound(until, plain, question), range(threads)))
        rows.append({"with": f"{threads} threads", "calls_per_s": done / seconds})

    async def tasks() -> int:
        ask: Any = trial.gov.guard(**CHAT)(fine)
        until = time.perf_counter() + seconds

        async def one() -> int:
            done = 0
            while time.perf_counter() < until:
                await ask(question)
                done += 1
            return done

        return sum(await asyncio.gather(*(one() for _ in range(100))))

    with trial.gov.acting_as(DANA):
        rows.append({"with": "100 tasks", "calls_per_s": asyncio.run(tasks()) / seconds})
    return rows


def _until(until: float, ask: Any, question: str) -> int:
    done = 0
    while time.perf_counter() < until:
        ask(question)
        done += 1
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with governor(change=PATTERNS) as trial:
        rows, rates = sizes(trial, options.rounds), throughput(trial, options.seconds)
    with governor(change=READING) as trial:
        rows = with_encoder(trial, rows, options.rounds)
    if options.json:
        for row in [*rows, *rates]:
            print(json.dumps(row))
        return
    console = Console()
    for title, table_rows in (("a governed call, medians in ms", rows), ("calls a second", rates)):
        table = Table(*table_rows[0], title=title)
        for row in table_rows:
            table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()))
        console.print(table)


if __name__ == "__main__":
    main()
