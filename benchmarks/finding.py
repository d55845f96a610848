"""How fast records are found: an index over a long log, beside reading the log through.

    python -m benchmarks.finding [--records 1000000] [--folder DIR]

Prints how long the index takes to make and to bring up to date, how large it is, and the median time of
questions in a fresh process each (the file cache warm), with reading the whole log beside them.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aigov.audit import reader
from aigov.audit.index import Index, beside
from aigov.audit.log import Log
from aigov.audit.records import Actor, CallIntent, CallOutcome, Counted, ReasonRecord, Size, new_id
from aigov.audit.search import Query, scanned, search, stats
from aigov.audit.settings import AuditSettings

TIMES = 9


def write(folder: Path, records: int) -> None:
    """A log of many people's calls, as a flow would write them."""
    rng = random.Random(7)
    people = [f"{rng.getrandbits(128):032x}" for _ in range(2_000)]
    policies = [f"{rng.getrandbits(256):064x}" for _ in range(5)]
    patient = AuditSettings(patience_ms=60_000)  # a million records are signed before the log closes
    with Log.open(folder, key=b"k" * 32, settings=patient) as log:
        waiting = []
        for number in range(records // 2):
            call = new_id()
            waiting += [log.submit(_intent(rng, call, people, policies, number)), log.submit(_outcome(rng, call))]
            if len(waiting) >= 2_000:
                for future in waiting:
                    future.result(60)
                waiting = []
        for future in waiting:
            future.result(60)


def _intent(rng: random.Random, call: str, people: list[str], policies: list[str], number: int) -> CallIntent:
    reasons = (ReasonRecord(code="privacy.tokenise", rule="EMAIL_ADDRESS", layer="organisation"),)
    return CallIntent(
        call=call,
        action=rng.choice(("chat", "tool:refund", "embed")),
        resource=f"order:{number}" if rng.random() < 0.1 else "model:small",
        actor=Actor(ref=rng.choice(people), roles=("support-agent",), tenant=rng.choice(("retail", "bank"))),
        policy=policies[number * 5 // 10_000_000 % 5],
        verdict="transform",
        reasons=reasons,
        findings=(Counted(type=rng.choice(("EMAIL_ADDRESS", "US_SSN", "IBAN_CODE")), kind="pii", count=1),),
        size=Size(parts=1, chars=80),
        timing_us={"detect": 900, "decide": 40},
    )


def _outcome(rng: random.Random, call: str) -> CallOutcome:
    return CallOutcome(call=call, outcome="withheld" if rng.random() < 0.001 else "released", released_chars=80)


def median_ms(ask: Callable[[], object], times: int = TIMES) -> float:
    """The median of `times` askings, in milliseconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--records", type=int, default=1_000_000)
    options.add_argument("--folder", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary) / "audit"
        if not folder.exists():
            write(folder, given.records)
        measure(folder)


def measure(folder: Path) -> None:
    beside(folder).unlink(missing_ok=True)
    began = time.perf_counter()
    with Index(folder) as index:
        made = index.refresh()
    size = beside(folder).stat().st_size / 2**20
    print(f"{made.records:,} records; index made in {time.perf_counter() - began:.1f} s, {size:.0f} MiB")
    someone = next(iter(record for record in reader.records(folder) if record["kind"] == "call.intent"))
    person, call, policy = someone["actor"]["ref"], someone["call"], someone["policy"]
    questions = {
        "one call": Query(about=call),
        "one person": Query(where=(("person", (person,)),)),
        "one policy version": Query(where=(("policy", (policy,)),)),
        "withheld answers": Query(where=(("outcome", ("withheld",)),)),
        "tenant, entity, reason": Query(
            where=(("tenant", ("bank",)), ("entity", ("US_SSN",)), ("reason", ("privacy.*",)))
        ),
        "resources by prefix": Query(where=(("resource", ("order:1234*",)),)),
        "the last hour": Query(since=time.time_ns() // 1000 - 3_600_000_000),
        "nothing": Query(where=(("verdict", ("deny",)),)),
    }
    for name, query in questions.items():
        total = search(folder, query).total
        print(f"  {name:24} {median_ms(lambda query=query: search(folder, query)):8.1f} ms   {total:>9,} found")
    print(f"  {'stats':24} {median_ms(lambda: stats(folder), 3):8.1f} ms")
    began = time.perf_counter()
    sum(1 for _ in scanned(folder, questions["withheld answers"]))
    print(f"  {'the same without index':24} {(time.perf_counter() - began) * 1000:8.0f} ms")


if __name__ == "__main__":
    main()
