"""Access decisions beside pycasbin in one run: `python -m benchmarks.access [--quick]`.

Prints medians in microseconds and ratios. The policies are made up: tenants of a hundred grants each, a
hierarchy of five roles, some users; requests are drawn from what the policy names, one in ten refused.
"""

from __future__ import annotations

import gc
import itertools
import random
import statistics
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aigov.access import model as models
from aigov.access import rules as lines
from aigov.access.compiled import Compiled
from aigov.access.compiling import compiled
from aigov.access.engine import Pycasbin
from aigov.access.guard import Access
from aigov.access.live import Live
from aigov.access.load import Policy
from aigov.access.rules import Rule
from aigov.access.settings import AccessSettings
from aigov.access.sources import Text
from aigov.types import Principal

MODEL = """[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub, r.dom) && r.dom == p.dom && {object} && r.act == p.act"""
PATTERNS = {
    "keyMatch": "/t{0}/o{1}/*", "keyMatch2": "/t{0}/o{1}/:id", "globMatch": "/t{0}/o{1}/*",
    "regexMatch": "^/t{0}/o{1}/[0-9]+$",
}  # fmt: skip
PER_TENANT = 100
Request = tuple[str, str, str, str]


def policy(size: int, function: str = "") -> Policy:
    """A policy of `size` grants; `function` matches their objects, equality where it is empty."""
    tenants = max(1, size // PER_TENANT)
    rows = []
    for at in range(size):
        tenant, number = at % tenants, at // tenants
        thing = PATTERNS[function].format(tenant, number) if function else f"/t{tenant}/o{number}/1"
        rows.append(f"p, role{number % 5}, tenant{tenant}, {thing}, read")
    for tenant in range(tenants):
        rows += [f"g, role{role}, role{role + 1}, tenant{tenant}" for role in range(4)]
        rows += [f"g, user{user}, role0, tenant{tenant}" for user in range(3)]
    condition = f"{function}(r.obj, p.obj)" if function else "r.obj == p.obj"
    model = models.parse(Text("model", "model", tuple(MODEL.format(object=condition).split("\n"))))
    rules = lines.parse(Text("policy", "policy", tuple(rows)), model)
    return Policy(model, rules, "policy", "policy", ("sub", "dom", "obj", "act"))


def requests(size: int, count: int) -> list[Request]:
    """Different requests to such a policy; one in ten asks for what nobody may."""
    draw = random.Random(7)
    tenants = max(1, size // PER_TENANT)
    things = max(1, size // tenants)
    space = itertools.product(range(3), range(tenants), range(things))
    chosen = draw.sample(list(space), min(count, 3 * tenants * things))
    return [
        (f"user{user}", f"tenant{tenant}", f"/t{tenant}/o{thing}/1", "write" if draw.random() < 0.1 else "read")
        for user, tenant, thing in chosen
    ]


def median(decide: Callable[[Any], object], asked: Sequence[Request]) -> float:
    """The median time of one decision in microseconds, the clock's own cost included."""
    spent = []
    gc.collect()
    for request in asked:
        start = time.perf_counter()
        decide(request)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1e6


def sizes(quick: bool) -> None:
    print("RBAC, tenants, five roles deep: median per decision")
    print(f"{'rules':>8} {'compile':>9} {'memory':>8} {'never seen':>11} {'seen':>8} {'pycasbin':>12} {'ratio':>9}")
    for size in (10, 1_000, 10_000) if quick else (10, 1_000, 10_000, 100_000):
        made = policy(size)
        start = time.perf_counter()
        engine = compiled(made)
        spent = time.perf_counter() - start
        memory = footprint(made) if not quick else 0.0
        asked = requests(size, 2_000)
        fresh, seen = median(engine.decide, asked), median(engine.decide, asked)
        if size <= 10_000:
            slow = Pycasbin(made.model, made.rules)
            few = asked[: 20 if size > 1_000 else 200]
            assert [slow.decide(each) for each in few] == [engine.decide(each) for each in few]
            theirs = median(slow.decide, few)
            beside = f"{theirs:>10.0f}us {theirs / fresh:>8.0f}x"
        else:
            beside = f"{'-':>12} {'-':>9}"
        print(f"{size:>8} {spent:>8.2f}s {memory:>6.0f}MB {fresh:>9.1f}us {seen:>6.2f}us {beside}")


def footprint(made: Policy) -> float:
    """What the compiled policy holds beside its rules, in MB."""
    gc.collect()
    tracemalloc.start()
    engine = compiled(made)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del engine
    return held / 1e6


def refused_and_allowed(quick: bool) -> None:
    size = 1_000 if quick else 10_000
    made = policy(size)
    engine, slow = compiled(made), Pycasbin(made.model, made.rules)
    asked = requests(size, 2_000)
    print(f"\n{size} rules, by answer")
    for name, wanted in (("allowed", True), ("refused", False)):
        mine = [each for each in asked if engine.decide(each).allowed is wanted]
        fresh, theirs = median(compiled(made).decide, mine), median(slow.decide, mine[:20])
        print(f"{name:>8} {fresh:>9.1f}us {theirs:>10.0f}us {theirs / fresh:>8.0f}x")


def patterned(quick: bool) -> None:
    size = 1_000 if quick else 10_000
    print(f"\nobjects by pattern, {size} rules")
    for function in PATTERNS:
        made = policy(size, function)
        engine, slow = compiled(made), Pycasbin(made.model, made.rules)
        asked = requests(size, 1_000)
        fresh, theirs = median(engine.decide, asked), median(slow.decide, asked[:10])
        print(f"{function:>12} {fresh:>9.1f}us {theirs:>10.0f}us {theirs / fresh:>8.0f}x")


def changing(quick: bool) -> None:
    size = 10_000 if quick else 100_000
    live = Live(Access(policy(size), AccessSettings()))
    user = Principal(id="user0", tenant="tenant0")
    print(f"\none rule more or less at {size}, until the next decision has it (checks included)")
    for rule in (("p", "role4", "tenant0", "/new", "read"), ("g", "newcomer", "role0", "tenant0")):
        for name, change in (("add", live.add), ("remove", live.remove)):
            start = time.perf_counter()
            change(*rule)
            live.answer(user, "read", "/new")
            print(f"{name:>7} {rule[0]} {(time.perf_counter() - start) * 1e3:>7.1f}ms")


def guarded(quick: bool) -> None:
    size = 1_000 if quick else 10_000
    access = Access(policy(size), AccessSettings())
    asked = requests(size, 1_000)
    people = {name: {tenant: Principal(id=name, tenant=tenant) for _, tenant, _, _ in asked} for name in _USERS}
    print(f"\nthe whole guard, {size} rules: checks of the names, the decision, the ruling")

    def permit(request: Request) -> object:
        return access.aigov_permit(people[request[0]][request[1]], request[3], request[2])

    print(f"{'new':>7} {median(permit, asked):>7.1f}us\n{'seen':>7} {median(permit, asked):>7.1f}us")


_USERS = ("user0", "user1", "user2")


def threads(quick: bool) -> None:
    size = 1_000 if quick else 10_000
    held = [compiled(policy(size))]
    asked = requests(size, 1_000)
    print(f"\ndecisions a second while rules change, {size} rules, answers not kept")
    base = 0.0
    for count in (1, 32):
        stop = threading.Event()
        changer = threading.Thread(target=_change, args=(held, stop))
        changer.start()
        done = _throughput(held, asked, count)
        stop.set()
        changer.join()
        base = base or done
        print(f"{count:>3} threads {done:>10.0f}/s  {done / base:.2f} of one thread's")


def _change(held: list[Compiled], stop: threading.Event) -> None:
    for turn in itertools.count():
        if stop.wait(0.02):
            return
        held[0] = held[0].with_rule(Rule("p", ("role4", "tenant0", f"/new{turn}", "read"), 0))


def _throughput(held: list[Compiled], asked: Sequence[Request], count: int, seconds: float = 2.0) -> float:
    counts = [0] * count
    until = time.perf_counter() + seconds

    def work(me: int) -> None:
        mine = itertools.cycle(asked)
        while time.perf_counter() < until:
            for request in _some(mine):
                sum(1 for _ in held[0].matching(request))
            counts[me] += 50

    workers = [threading.Thread(target=work, args=(me,)) for me in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / seconds


def _some(requests: Iterator[Request]) -> Iterator[Request]:
    return itertools.islice(requests, 50)


def main() -> None:
    quick = "--quick" in sys.argv
    for part in (sizes, refused_and_allowed, patterned, changing, guarded, threads):
        part(quick)


if __name__ == "__main__":
    main()
