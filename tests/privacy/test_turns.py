"""A conversation sent anew with every turn: earlier turns stay as they were, and cost nothing again."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aigov.examine import examine
from aigov.privacy.recall import LEAST, Recall
from aigov.testing import ScriptedProvider, Trial, governor
from aigov.types import Finding, Part, Principal

DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")
CHAT = {"action": "chat", "resource": "model:gpt-4o-mini", "principal": DANA}
KEY = bytes(range(32))

pieces = st.sampled_from([
    "jane@example.com", "bob@example.org", "4111 1111 1111 1111", "ORD-12345678", "[EMAIL_ADDRESS_", "BCDFGHJK",
    "KCBDFGHJ",     "]", " ", "\n", "x", "é", '{"to": "jane@example.com"}', "last", "account 8471625536",
])  # fmt: skip
messages = st.lists(st.lists(pieces, max_size=5), min_size=1, max_size=5)


@settings(max_examples=50, deadline=None)
@given(messages)
def test_a_turn_changes_nothing_in_the_turns_before(shared: Trial, turns: list[list[str]]) -> None:
    """`last` stands for what the model was shown last, pasted back by the user."""
    model = ScriptedProvider(lambda question: f"noted: {question[-1]['content']}")
    ask = shared.gov.guard(**{key: CHAT[key] for key in ("action", "resource")})(model.ask)  # type: ignore[arg-type]
    history: list[dict[str, str]] = []
    shown: list[Any] = []
    with shared.gov.session(), shared.gov.acting_as(DANA):
        for turn in turns:
            last = shown[-1]["content"] if shown else ""
            history.append({"role": "user", "content": "".join({"last": last}.get(piece, piece) for piece in turn)})
            answer = ask(history)
            sent = model.seen[-1]
            assert sent[: len(shown)] == shown
            shown = sent
            history.append({"role": "assistant", "content": answer})


def test_actions_that_give_another_text_each_time_change_nothing_in_the_turns_before() -> None:
    """Presidio encrypts under a new nonce, and hashes under a new salt, at each call."""
    entities = "  entities: {EMAIL_ADDRESS: encrypt, CREDIT_CARD: {operator: {name: hash}}, URL: allow}\n"
    change = {"privacy:                                # personal data; docs/privacy.md\n": f"privacy:\n{entities}"}
    texts = ["I am jane@example.com", "card 4111 1111 1111 1111", "again jane@example.com", "bye"]
    with governor(change=change) as trial, trial.gov.acting_as(DANA):
        model = ScriptedProvider("noted")
        with trial.gov.session():
            for turn in range(len(texts)):
                trial.gov.call(model.ask, texts[: turn + 1], **CHAT)
        for before, after in itertools.pairwise(model.seen):
            assert after[:-1] == before
        last = model.seen[-1]
        assert "jane" not in str(last)
        assert "1111" not in str(last)
        assert last[0].rpartition(" ")[2] == last[2].rpartition(" ")[2]
        with trial.gov.session():
            trial.gov.call(model.ask, texts, **CHAT)
        assert all(one != other for one, other in zip(model.seen[-1][:3], last[:3], strict=True))


class Counting:
    """A built-in contribution that counts the characters which it looks at, and finds every `@`."""

    name, hook, trusted = "counting", "aigov_detect", True

    def __init__(self) -> None:
        self.chars = 0

    def __call__(self, part: Part, direction: str) -> tuple[Finding, ...]:
        self.chars += len(part.text)
        return tuple(
            Finding(kind="pii", type="AT", start=at, end=at + 1, score=1.0, detector="counting")
            for at, char in enumerate(part.text)
            if char == "@"
        )


def looked(
    detector: Counting, texts: list[str], recall: Recall | None, policy: str = "p", direction: Any = "input"
) -> Any:
    parts = [Part(path=f"/{number}", text=text) for number, text in enumerate(texts)]
    guards = SimpleNamespace(screen=(), detect=(detector,))
    snapshot: Any = SimpleNamespace(digest=policy, guards=guards, reading=None)
    walk = examine(snapshot, parts, direction, recall)
    try:
        next(walk)
    except StopIteration as ended:
        return sorted(ended.value, key=lambda one: (one.path, one.start))
    raise AssertionError("nothing is to be asked of others")


texts = st.lists(st.text(alphabet="ab@ \u200bé", max_size=60), max_size=8)


@given(texts)
def test_a_turn_costs_its_new_text_alone(messages: list[str]) -> None:
    detector, recall = Counting(), Recall(KEY)
    for number in range(len(messages) + 1):
        detector.chars = 0
        found = looked(detector, messages[:number], recall)
        again = sum(len(text) for text in messages[: number - 1] if len(text) < LEAST)
        assert detector.chars <= again + (len(messages[number - 1]) if number else 0)
        assert found == looked(Counting(), messages[:number], None)


def test_another_policy_direction_place_or_text_is_looked_at_anew() -> None:
    detector, recall, text = Counting(), Recall(KEY), "jane@example.com and so on"
    looked(detector, [text], recall)
    for changed in ({"policy": "q"}, {"direction": "output"}):
        detector.chars = 0
        looked(detector, [text], recall, **changed)
        assert detector.chars == len(text)
    detector.chars = 0
    looked(detector, ["", text + "!"], recall)
    assert detector.chars == len(text) + 1


def test_what_is_remembered_is_bounded_and_shows_nothing() -> None:
    recall = Recall(KEY, max_entries=3, max_findings=40)
    for number in range(10):
        looked(Counting(), [f"canary@{number}" * 4], recall)
    assert len(recall) == 3
    looked(Counting(), ["@" * 41], recall)
    assert len(recall) == 0
    looked(Counting(), ["@" * 30], recall)
    looked(Counting(), ["@" * 30, "b" * 30], recall)
    assert len(recall) == 2
    assert "canary" not in repr(recall)


def test_threads_share_a_recall() -> None:
    recall, errors = Recall(KEY, max_entries=5), []

    def work(offset: int) -> None:
        for number in range(60):
            text = f"number {(number + offset) % 9} @ " * 3
            if looked(Counting(), [text], recall) != looked(Counting(), [text], None):
                errors.append(number)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(recall) <= 5
