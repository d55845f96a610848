"""Many at once: threads and processes. Exactly one of them wins, and the others are told why not."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aigov.errors import ReviewError
from aigov.review.desk import Desk
from aigov.types import Principal

ROOT = Path(__file__).parents[2]
THREADS = 16


def at_once(*works: Callable[[], Any]) -> Counter[str]:
    """What came of doing all of this at the same moment, each in a thread: the codes, or `won`."""
    outcomes: list[str] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> None:
        start.wait()
        try:
            work()
            outcomes.append("won")
        except ReviewError as error:
            outcomes.append(error.code)
        except BaseException as error:  # noqa: BLE001 - anything else fails the test by its name
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(outcomes)


def test_one_of_many_reviewers_wins(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case())
    reviewers = [Principal(id=f"reviewer-{number}", tenant="retail") for number in range(THREADS)]
    outcome = at_once(*(lambda each=each: desk.approve(ticket, each, kit.anyone) for each in reviewers))
    assert outcome == {"won": 1, "review.already_decided": THREADS - 1}


def test_approving_and_rejecting_at_once_gives_one_decision(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case())
    works = [lambda: desk.approve(ticket, kit.rita, kit.anyone), lambda: desk.reject(ticket, kit.rita, kit.anyone)]
    assert at_once(*(works * 8)) == {"won": 1, "review.already_decided": THREADS - 1}
    assert desk.status(ticket).state in ("approved", "rejected")


def test_one_of_many_claims_wins(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case())
    desk.approve(ticket, kit.rita, kit.anyone)
    outcome = at_once(*[lambda: desk.claim(ticket)] * THREADS)
    assert outcome == {"won": 1, "review.already_resumed": THREADS - 1}


def test_claims_against_the_sweep_of_an_expiring_ticket(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case())
    desk.approve(ticket, kit.rita, kit.anyone)
    kit.now += kit.expires_s
    outcome = at_once(*[lambda: desk.claim(ticket), desk.sweep] * 4)
    assert outcome == {"review.expired": 4, "won": 4}


def test_tickets_opened_at_once_are_all_kept(desk: Desk, kit: Any) -> None:
    assert at_once(*[lambda: desk.open(kit.case())] * THREADS) == {"won": THREADS}
    assert len(desk.list("pending")) == THREADS


def test_desks_set_up_at_once_share_one_store(kit: Any) -> None:
    assert at_once(*[lambda: kit.desk().open(kit.case())] * THREADS) == {"won": THREADS}
    assert len(kit.desk().list()) == THREADS


CLAIMS = """
import sys
from pathlib import Path
from aigov.errors import ReviewError
from aigov.review.desk import Desk
desk = Desk(Path(sys.argv[1]), key=b"k" * 32, expires_s=100, clock=lambda: 1_700_000_000.0)
print("ready", flush=True)
for ticket in sys.stdin.readline().split():
    try:
        desk.claim(ticket)
        print(ticket)
    except ReviewError as error:
        if error.code != "review.already_resumed":
            print(error.code)
"""


def test_each_ticket_is_claimed_by_one_of_two_processes(desk: Desk, kit: Any) -> None:
    tickets = [desk.open(kit.case()) for _ in range(40)]
    for ticket in tickets:
        desk.approve(ticket, kit.rita, kit.anyone)
    command = [sys.executable, "-c", CLAIMS, str(kit.path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write(" ".join(tickets) + "\n")
        process.stdin.flush()
    claimed = [line for process in processes for line in process.communicate()[0].split()]
    assert sorted(claimed) == sorted(tickets)
