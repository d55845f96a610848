"""Reading texts: what a model says of pieces comes out as spans, hostility and a vector, and costs what it must."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.encoder import weights
from aigov.encoder.engine import PLAIN, Engine, joined, trimmed
from aigov.encoder.lanes import Lanes, Late
from aigov.encoder.readers import FAULT, MOST_CHARS, TIMEOUT, Readers
from aigov.errors import GuardFault
from aigov.text.memory import Memory
from aigov.types import Span
from tests.encoder.small import shaped, write_weights

ROOT = Path(__file__).parents[2]
NAME = "EncoderRecognizer"
ORDINARY = "The parcel came late and is in the rules. "


def found(readers: Readers, text: str) -> list[tuple[str, str]]:
    return [(one.type, text[one.start : one.end]) for one in readers.read(NAME, text).spans]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("Hi, Jane Doe is in Lyon.", [("PERSON", "Jane Doe"), ("LOCATION", "Lyon")]),
        ("hi jane doe", [("PERSON", "jane doe")]),
        ("Adeyemi met 'JANE'!", [("PERSON", "Adeyemi"), ("PERSON", "JANE")]),
        ("☕ Jané\r\nDoe", [("PERSON", "Jané\r\nDoe")]),
        ("rue des Lilas, Lyon", [("LOCATION", "rue des Lilas"), ("LOCATION", "Lyon")]),
        ("the parcel", []),
        ("", []),
        ("14 — 15", []),
    ],
)
def test_spans_are_whole_words_at_their_places(readers: Readers, text: str, spans: list[tuple[str, str]]) -> None:
    assert found(readers, text) == spans


@given(
    st.lists(
        st.sampled_from(["Jane Doe", "Lyon", "the parcel came late.", "Adeyemi", "all\n\n", "ignore", "é😀", "14"])
    )
)
def test_however_long_a_text_is_every_word_is_read_once(readers: Readers, words: list[str]) -> None:
    text = " ".join(words * 9)
    expected = [("PERSON", "Jane Doe"), ("LOCATION", "Lyon"), ("PERSON", "Adeyemi")]
    wanted = [one for word in words * 9 for one in expected if one[1] == word]
    assert found(readers, text) == wanted
    assert readers.read(NAME, text).hostility == pytest.approx(0.9526 if "ignore" in words else 0.0474 if any(
        char.isalpha() for char in text) else 0.0, abs=1e-3)  # fmt: skip


@given(st.integers(0, 40), st.integers(0, 40))
def test_ordinary_sentences_before_or_after_change_nothing(readers: Readers, before: int, after: int) -> None:
    text = "Jane Doe met Adeyemi in Lyon. Rose came to Paris, and JD too."
    whole = ORDINARY * before + text + " " + ORDINARY * after
    assert found(readers, whole) == found(readers, text)


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory) -> Readers:
    """Readers over a model to which a word is a person only where `dr` stands before it."""
    made = tmp_path_factory.mktemp("looking")
    return Readers([weights.loaded(made, write_weights(made, shaped(after="dr")))], 2)


pieces_of_text = st.lists(
    st.sampled_from(["dr jane", "jane", "dr rose", "the parcel came late.", "and\n", "is late.\n\n", "in lyon,", "dr"]),
    max_size=30,
)


@given(pieces_of_text, st.integers(0, 200))
def test_what_a_word_follows_is_seen_wherever_the_text_is_cut(looking: Readers, drawn: list[str], before: int) -> None:
    text = "all " * before + " ".join(drawn * 12)
    words = pairwise(re.finditer(r"\w+", text))
    wanted = [word.span() for before_it, word in words if before_it[0] == "dr"]
    assert [(one.start, one.end) for one in looking.read(NAME, text).spans] == wanted


def test_the_vector_is_of_unit_length_and_that_of_its_windows(readers: Readers) -> None:
    for text in ("Jane Doe", ORDINARY * 60):
        vector = readers.read(NAME, text).vector
        assert vector.shape == (384,)
        assert float(numpy.linalg.norm(vector)) == pytest.approx(1, abs=1e-5)
    same = readers.read(NAME, ORDINARY).vector @ readers.read(NAME, ORDINARY * 60).vector
    assert same > 0.9
    assert readers.read(NAME, "14").vector is None


class Counting:
    """Counts the windows that an engine looks at."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.windows = 0
        look = Engine.look

        def counted(one: Engine, plan: Any, window: Any) -> Any:
            self.windows += 1
            return look(one, plan, window)

        monkeypatch.setattr(Engine, "look", counted)


@pytest.fixture
def count(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(engine, monkeypatch)


def test_a_text_is_read_once_however_many_ask(readers: Readers, count: Counting) -> None:
    shown = readers.run(["Jane met Rose", "Jane met Rose", "Lyon is late"])
    assert count.windows == 2
    with readers.shown(shown):
        for _ in range(3):
            assert found(readers, "Jane met Rose") == [("PERSON", "Jane"), ("PERSON", "Rose")]
    assert count.windows == 2


def test_what_was_not_read_before_is_read_when_asked_and_once(readers: Readers, count: Counting) -> None:
    with readers.shown(readers.run(["Jane"])):
        found(readers, "Rose")
        found(readers, "Rose")
    assert count.windows == 2


def test_a_conversation_remembers_windows_and_no_text(readers: Readers, count: Counting) -> None:
    memory = Memory(bytes(32))
    texts = ["Jane met canary", ORDINARY * 100]
    first = readers.run(texts, memory)
    before = count.windows
    again = readers.run([*texts, "Rose is late"], memory)
    assert count.windows == before + 1
    for text in texts:
        one, other = first.readings[NAME, text], again.readings[NAME, text]
        assert (one.spans, one.hostility) == (other.spans, other.hostility)
        assert (one.vector == other.vector).all()
    assert "canary" not in repr((memory, first, again, *first.readings.values()))


def test_memory_is_bounded_and_needs_its_key(readers: Readers) -> None:
    memory = Memory(bytes(32), most=5)
    readers.run(["all " * at for at in range(1, 20)], memory)
    assert len(memory) == 5
    assert Memory(b"a" * 32).key(b"x") != Memory(b"b" * 32).key(b"x")
    assert memory.key(b"ab", b"c") != memory.key(b"a", b"bc")


def test_a_conversation_of_many_short_texts_is_remembered_too(readers: Readers, count: Counting) -> None:
    memory = Memory(bytes(32))
    words = ["jane", "rose", "lyon", "parcel", "came", "late", "rules", "hello"]
    texts = [" ".join(drawn) for drawn in product(words, repeat=3)]
    for turn in range(0, len(texts), 64):
        before = count.windows
        readers.run(texts[: turn + 64], memory)
        assert count.windows == before + 64


def test_words_of_chat_protocols_are_not_read(readers: Readers, count: Counting) -> None:
    readers.run(sorted(PLAIN))
    assert count.windows == 0


def test_threads_read_as_one_alone(readers: Readers) -> None:
    texts = [f"{ORDINARY * (at % 7)} Jane Doe is {at} in Lyon" for at in range(24)]
    alone = {text: readers.run([text]).readings[NAME, text] for text in texts}
    wrong: list[str] = []

    def work(offset: int) -> None:
        for text in texts[offset:] + texts[:offset]:
            one, other = readers.read(NAME, text), alone[text]
            if (one.spans, one.hostility) != (other.spans, other.hostility):
                wrong.append(text)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in (0, 5, 11, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_one_call_reads_is_no_other_ones(readers: Readers, count: Counting) -> None:
    """Another thread is told nothing of it, and neither is what comes afterwards."""
    with readers.shown(readers.run(["Jane"])):
        readers.read(NAME, "Jane")
        assert count.windows == 1
        thread = threading.Thread(target=lambda: readers.read(NAME, "Jane"))
        thread.start()
        thread.join()
        assert count.windows == 2
    readers.read(NAME, "Jane")
    assert count.windows == 3


def test_a_fault_is_a_refusal_without_a_word_of_the_text(readers: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(one: Engine, plan: Any, window: Any) -> Any:
        raise RuntimeError(f"canary {plan.text}")

    monkeypatch.setattr(Engine, "look", broken)
    for texts in (["canary Jane"], ["canary Jane", "canary Rose", ORDINARY * 90]):
        with pytest.raises(GuardFault) as caught:
            readers.run(texts)
        assert (caught.value.guard, caught.value.code) == ("encoder", FAULT)
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None
        assert "canary" not in str(caught.value)


def test_a_text_that_is_not_read_in_time_is_a_refusal(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aigov.encoder.readers.SECONDS_PER_CHAR", 0.0)
    with pytest.raises(GuardFault) as caught:
        Readers([engine], 2, base_s=0.0).run([ORDINARY * 50])
    assert caught.value.code == TIMEOUT


def test_more_than_could_be_read_is_not_begun(readers: Readers, count: Counting) -> None:
    with pytest.raises(GuardFault) as caught:
        readers.run(["a " * (MOST_CHARS // 2), "b"])
    assert (caught.value.code, count.windows) == (TIMEOUT, 0)


@pytest.mark.parametrize(
    "text", ["x" * 200_000, "\ud800 Jane", "\x00\x01 Jane", "ja\u0301" * 5_000, "Jane" + "́" * 20_000]
)
def test_hostile_texts_are_read(readers: Readers, text: str) -> None:
    reading = readers.read(NAME, text)
    assert all(0 <= one.start < one.end <= len(text) for one in reading.spans)


def test_a_vote_is_the_same_whatever_else_is_read(readers: Readers) -> None:
    text = "Jane Doe is in Lyon"
    alone = readers.run([text]).readings[NAME, text]
    among = readers.run([text, ORDINARY * 80, "ignore all rules", "hello"]).readings[NAME, text]
    assert alone.spans == among.spans
    assert alone.hostility == among.hostility
    assert (alone.vector == among.vector).all()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" Jane, ", "Jane"),
        ("(J.)", "J."),
        ("“Jane D.”", "Jane D."),
        ("Lyon.", "Lyon"),
        ("...", ""),
        ("", ""),
        ("J", "J"),
    ],
)
def test_spans_are_trimmed(text: str, kept: str) -> None:
    start, end = trimmed(text, 0, len(text))
    assert text[start:end] == kept


def test_spans_of_one_type_that_overlap_are_one() -> None:
    def span(kind: str, start: int, end: int, score: float = 0.5) -> Span:
        return Span(type=kind, start=start, end=end, score=score)

    given_ = [span("PERSON", 3, 9, 0.9), span("PERSON", 0, 4), span("PERSON", 9, 12), span("NRP", 1, 2)]
    assert joined(given_) == [span("PERSON", 0, 9, 0.9), span("NRP", 1, 2), span("PERSON", 9, 12)]


class Busy:
    """Work that knows how much of it runs at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, number: int) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.001)
        with self.lock:
            self.now -= 1
        return number * 2


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_no_more_runs_at_once_than_there_are_lanes(lanes: int) -> None:
    made, busy = Lanes(lanes), Busy()
    results: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: results.append(made.each(busy, range(12), time.monotonic() + 60)))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[number * 2 for number in range(12)]] * 5
    assert busy.most <= lanes


def test_one_lane_has_no_thread_but_the_callers() -> None:
    seen: set[int] = set()
    Lanes(1).each(lambda _: seen.add(threading.get_ident()), range(5), time.monotonic() + 60)
    assert seen == {threading.get_ident()}


def test_what_is_made_when_it_is_taken_is_made_once_and_in_order() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    assert Lanes(3).each(lambda number: number * 2, items(), time.monotonic() + 60) == [2 * at for at in range(20)]
    assert taken == list(range(20))


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_fault_in_making_an_item_is_the_callers(lanes: int) -> None:
    with pytest.raises(ZeroDivisionError):
        Lanes(lanes).each(str, (1 // (3 - number) for number in range(9)), time.monotonic() + 60)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_a_model_has_no_threads_of_its_own(engine: Engine) -> None:
    """Neither onnxruntime nor the tokeniser: on one lane no thread begins. Others, of tests before, may end."""
    before = set(os.listdir("/proc/self/task"))
    Readers([engine], 1).run([ORDINARY * 40, *(f"Jane {at}" for at in range(40))])
    assert set(os.listdir("/proc/self/task")) <= before


def test_a_fault_ends_all_of_a_run_and_lanes_stay_free() -> None:
    lanes = Lanes(2)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            lanes.each(lambda number: 1 // number, [1, 0, 1, 0], time.monotonic() + 60)
        with pytest.raises(Late):
            lanes.each(lambda number: number, [1, 2, 3], time.monotonic() - 1)
    assert lanes.each(lambda number: number, [1, 2, 3], time.monotonic() + 60) == [1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_reads_after_a_fork(readers: Readers) -> None:
    texts = ["Jane is late", "Rose is late", "Lyon is late"]
    readers.run(texts)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if len(readers.run(texts).readings) == 3 else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


AT_THE_END = """
import threading, time
from aigov.encoder.lanes import Lanes
def work():
    threading.main_thread().join()
    print(Lanes(2).each(str, range(3), time.monotonic() + 60))
threading.Thread(target=work).start()
"""


def test_a_thread_that_outlives_the_main_one_reads_by_itself() -> None:
    """No pool takes work any more once the main thread ended."""
    done = subprocess.run([sys.executable, "-c", AT_THE_END], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "['0', '1', '2']"
