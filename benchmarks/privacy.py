"""Detection by the privacy guard beside the bare Presidio analyzer, on the same texts in the same run.

    python -m benchmarks.privacy [--rounds N] [--best N] [--profile] [--messages MB]

All run Presidio's default English recognisers that need no language model; `every country` is the guard with
`countries` all on; `presidio` is Presidio's own AnalyzerEngine with its own context enhancer on the same words; `no
words` is the same with its no-op NLP engine, which finds no context words. Texts do not repeat. The e-mail
recogniser of all judges domains offline. Medians in milliseconds of this process's own time, which other processes
disturb least; `presidio/guard` says how many times as long Presidio takes. Where much else runs, `--best` lets each
contender look at each text so often and takes the best time of each: nothing is remembered of a text. Then redacting
10 KB with ten values is measured beside LangChain's PII middleware with all five of its detectors, where `langchain` is
installed, and it is said where it is not. `--profile` prints instead what the guard's time for 10 KB with 80 values is
made of; `--messages` lets two processes look at so many megabytes of support messages of 300 B, one in three with a
value.
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import multiprocessing
import pstats
import random
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpArtifacts, NoOpNlpEngine
from presidio_analyzer.predefined_recognizers import EmailRecognizer, SpacyRecognizer

from aigov.errors import Location
from aigov.hookspecs import Context
from aigov.privacy.engine import offline_domain_check
from aigov.privacy.guard import PrivacyGuard, plugin
from aigov.privacy.settings import Country, Settings
from aigov.privacy.words import LANGUAGE, Words
from aigov.text.spans import resolve, splice
from aigov.types import Facts, Part, Principal, Section

SHAPES = ((300, 10), (1_000, 10), (10_000, 80), (10_000, 0))  # characters, values
BLOCK = 10  # texts that one contender does in a row
PROSE = re.findall(
    r"\w+",
    "the customer writes that the parcel came late and the box was open so we look into it and answer soon "
    "please tell us which colour was wanted and whether the old one goes back or stays where it is today",
)
VALUES: tuple[Callable[[random.Random], str], ...] = (
    lambda draw: f"user{draw.randrange(10**6)}@example.com",
    lambda draw: f"212-555-{draw.randrange(100, 200):04}",
    lambda draw: f"+44 20 7946 0{draw.randrange(100, 1000)}",
    lambda draw: f"{draw.randrange(1, 255)}.{draw.randrange(255)}.0.{draw.randrange(255)}",
    lambda draw: f"account number {draw.randrange(10**9, 10**10)}",
    lambda draw: f"0{draw.randrange(1, 10)}/1{draw.randrange(0, 3)}/2024",
    lambda draw: f"https://www.example.com/{draw.randrange(10**6)}",
    lambda draw: "4111 1111 1111 1111",
)


class PlainWords(Words):
    """The guard's words in Presidio's own artifacts, for its own enhancer to walk."""

    def process_text(self, text: str, language: str) -> Any:
        """The words of one text."""
        ours = super().process_text(text, language)
        return NlpArtifacts([], ours.tokens, ours.tokens_indices, ours.lemmas, self, language)


def text_of(size: int, values: int, draw: random.Random) -> str:
    """About `size` characters of prose with so many values spread over it; more where the values alone are longer."""
    return spread(size, values_of(values, draw), draw)


def values_of(count: int, draw: random.Random) -> list[str]:
    """So many values of all kinds."""
    return [draw.choice(VALUES)(draw) for _ in range(count)]


def spread(size: int, made: list[str], draw: random.Random) -> str:
    """About `size` characters of prose with these spread over it."""
    words: list[str] = []
    length = sum(map(len, made)) + len(made)
    while length < size:
        words.append(draw.choice(PROSE))
        length += len(words[-1]) + 1
    for value in made:
        words.insert(draw.randrange(len(words) + 1), value)
    return " ".join(words)


def guard(countries: tuple[Any, ...] = ()) -> PrivacyGuard:
    """The guard as a policy without settings starts it, but for countries."""
    section = Section(Settings(countries=countries), "organisation", lambda *path: Location("benchmark"))
    return plugin.aigov_start(
        section, Context(folder=Path(), key=lambda label: hashlib.sha256(label.encode()).digest())
    )


def presidio(words: Any) -> AnalyzerEngine:
    """Presidio's engine with its own recognisers, as it comes, over this NLP engine."""
    registry = RecognizerRegistry(supported_languages=[LANGUAGE])
    registry.load_predefined_recognizers(languages=[LANGUAGE])
    registry.recognizers = [one for one in registry.recognizers if not isinstance(one, SpacyRecognizer)]
    for one in registry.recognizers:
        if isinstance(one, EmailRecognizer):
            one.validate_result = offline_domain_check()
    return AnalyzerEngine(registry, words, supported_languages=[LANGUAGE])


def medians_ms(contenders: dict[str, Callable[[str], Any]], texts: list[str], best: int) -> dict[str, float]:
    """The median time of one call of each, in milliseconds; they take turns, so that load falls on all alike.

    `best`: of so many calls for a text the fastest counts.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for function in contenders.values():  # what is read or compiled when it is first needed is no cost of a text
        for text in texts[:BLOCK]:
            function(text)
    for first in range(BLOCK, len(texts), BLOCK):
        for name, function in contenders.items():
            for text in texts[first : first + BLOCK]:
                times[name].append(min(taken_ms(function, text) for _ in range(best)))
    return {name: statistics.median(taken) for name, taken in times.items()}


def taken_ms(function: Callable[[str], Any], text: str) -> float:
    """What one call takes of this process's own time, in milliseconds."""
    start = time.process_time()
    function(text)
    return (time.process_time() - start) * 1e3


def main() -> None:
    """Print a line for each size, with and without findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="texts of each kind")
    parser.add_argument(
        "--best", type=int, default=1, metavar="N", help="calls for each text, the best of which counts"
    )
    parser.add_argument("--messages", type=int, metavar="MB", help="megabytes of support messages, instead")
    parser.add_argument("--profile", action="store_true", help="what the guard's time is made of, instead")
    given = parser.parse_args()
    if given.messages:
        messages(given.messages)
        return
    start = time.perf_counter()
    ours = guard()
    print(f"first start in this process, Presidio already imported: {time.perf_counter() - start:.2f} s")
    if given.profile:
        profile(ours)
        return
    from spacy.lang.en.stop_words import STOP_WORDS

    everywhere = guard(get_args(Country))
    bare, wordless = presidio(PlainWords(STOP_WORDS)), presidio(NoOpNlpEngine([{"lang_code": "en", "model_name": ""}]))
    contenders: dict[str, Callable[[str], Any]] = {
        "guard": lambda text: detect(ours, text),
        "every country": lambda text: detect(everywhere, text),
        "presidio": lambda text: bare.analyze(text, LANGUAGE),
        "no words": lambda text: wordless.analyze(text, LANGUAGE),
    }
    print(f"{'text':>24}  " + "  ".join(f"{name:>13}" for name in contenders) + "   presidio/guard  countries/guard")
    draw = random.Random(1)
    for size, values in SHAPES:
        medians = medians_ms(contenders, [text_of(size, values, draw) for _ in range(given.rounds + BLOCK)], given.best)
        row = "  ".join(f"{medians[name]:>10.3f} ms" for name in contenders)
        against = medians["presidio"] / medians["guard"], medians["every country"] / medians["guard"]
        print(f"{size:>7} chars, {values:>2} values  {row}   {against[0]:>14.1f}  {against[1]:>15.1f}", flush=True)
    langchain(ours, given.rounds, given.best)
    sys.stdout.flush()


def langchain(ours: PrivacyGuard, rounds: int, best: int) -> None:
    """Print what redacting 10 KB with ten values takes, here and with LangChain's middleware, and what each leaves."""
    try:
        from langchain.agents.middleware import PIIMiddleware
        from langchain_core.messages import HumanMessage
    except ImportError:
        print("langchain is not installed: redacting is not measured beside its PII middleware")
        return
    kinds = ("email", "credit_card", "ip", "mac_address", "url")
    layers = [PIIMiddleware(kind, strategy="redact", apply_to_input=True) for kind in kinds]

    def theirs(text: str) -> str:
        state: Any = {"messages": [HumanMessage(text)]}
        for one in layers:
            state |= one.before_model(state, None) or {}
        return str(state["messages"][0].content)

    draw = random.Random(2)
    made = [values_of(10, draw) for _ in range(rounds + BLOCK)]
    texts = [spread(10_000, values, draw) for values in made]
    contenders: dict[str, Callable[[str], Any]] = {"guard": lambda text: redacted(ours, text), "langchain": theirs}
    medians = medians_ms(contenders, texts, best)
    left = {
        name: sum(value in function(text) for text, values in zip(texts, made, strict=True) for value in values)
        for name, function in contenders.items()
    }
    print(f"redacting 10 KB with 10 values, of {10 * len(texts)} values in all:")
    for name, median in medians.items():
        print(f"{name:>24}  {median:>10.3f} ms  {left[name]} values left")


def redacted(ours: PrivacyGuard, text: str) -> str:
    """The text with what was found in tokens of a session of its own, as a call does it."""
    session, part = ours.session(), Part(path="/0", text=text)
    found = tuple(one for one in ours.aigov_detect(part, "input") if ours.admit(one, text))
    who = Principal(id="bench")
    facts = Facts(direction="input", action="chat", resource="model:m", principal=who, findings=found, parts={"/0": 0})
    edits = [edit for ruling in ours.aigov_judge(facts) for edit in ruling.edits]
    edits += session.literals([text])
    render = ours.aigov_renderer()
    return splice(text, [(one.start, one.end, render(one, text[one.start : one.end], session, "input"))
                         for one in resolve(edits)])  # fmt: skip


def messages(megabytes: int) -> None:
    """Print what two processes do together, by the time that each was given, and how their memory grew."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        shares = pool.starmap(share, [(number, megabytes * 500_000) for number in range(2)])
    together = sum(done / seconds for done, seconds, *_ in shares) / 1e6
    print(f"{megabytes} MB of support messages in two processes: {together:.1f} MB/s together, of processor time")
    for done, seconds, found, early, late in shares:
        memory_held = f"{early} MB of memory at a tenth, {late} at the end"
        print(f"  {done / 1e6:.1f} MB in {seconds:.1f} s, {found} findings; {memory_held}")


def share(number: int, size: int) -> tuple[int, float, int, int, int]:
    """What one process did: bytes, seconds of its own, findings, megabytes of memory at a tenth and at the end."""
    ours, draw = guard(), random.Random(number)
    done, seconds, found, early = 0, 0.0, 0, 0
    while done < size:
        texts = [text_of(300, int(at % 3 == 0), draw) for at in range(1_000)]
        start = time.process_time()
        found += sum(len(detect(ours, text)) for text in texts)
        seconds += time.process_time() - start
        done += sum(map(len, texts))
        early = early or (memory() if done > size / 10 else 0)
    return done, seconds, found, early, memory()


def memory() -> int:
    """The most memory that this process has held, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def detect(ours: PrivacyGuard, text: str) -> Any:
    """What the guard finds in a text of its own."""
    return ours.aigov_detect(Part(path="", text=text), "input")


def profile(ours: PrivacyGuard) -> None:
    """Print where the time of 10 KB with 80 values goes."""
    draw = random.Random(1)
    texts = [text_of(10_000, 80, draw) for _ in range(30)]
    watch = cProfile.Profile()
    watch.enable()
    for text in texts:
        detect(ours, text)
    watch.disable()
    pstats.Stats(watch).sort_stats("cumulative").print_stats(30)


if __name__ == "__main__":
    main()
