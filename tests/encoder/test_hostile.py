"""Odd and hostile texts, tokenisers of every kind, threads, event loops, forks, reloads: each text is read or refused.

What is read has its spans inside of the text, whatever the text is made of.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from aigov import Denied, Principal
from aigov.encoder import foreign, weights
from aigov.encoder.engine import Engine
from aigov.encoder.model import Unfit
from aigov.encoder.pieces import Tokeniser
from aigov.encoder.readers import Readers
from aigov.encoder.settings import Foreign
from aigov.testing import ScriptedProvider, Trial
from aigov.types import Reading
from tests.encoder.conftest import Govern
from tests.encoder.small import exported, write_export

NAME = weights.NAME
NER = ("O", "B-PER", "I-PER")
PATIENT_S = 60.0
FAMILY = "👩\u200d👩\u200d👧\u200d👦"
HOSTILE = {
    "one word of a million letters": "x" * 1_000_000,
    "a word of letters and digits": "Jane1" * 50_000,
    "marks alone": "\u0301\u0308\u20dd" * 20_000,
    "a letter under many marks": "J" + "\u0301" * 50_000 + "ane",
    "line breaks": "\n" * 10_000 + "Jane" + "\r\n" * 10_000,
    "spaces of every kind": "Jane" + " \t\u00a0\u2003\u3000\u200b\ufeff" * 3_000 + "Doe",
    "mixed directions": "\u202eenaJ\u202c שלום Jane \u2067مرحبا\u2069 \u200f" * 500,
    "zero bytes": "\x00Jane\x00\x01\x1f Doe\x7f" * 2_000,
    "lone surrogates": "\ud800Jane\udfff \udbff" * 2_000,
    "halves of pairs the wrong way round": "\udc00\ud83d Jane" * 500,
    "families": FAMILY * 3_000 + " Jane " + "🏳️\u200d🌈🇫🇷" * 2_000,
    "ideographs": "日本" * 5_000 + "Jane",
    "hangul apart and together": "\u1112\u1161\u11ab한" * 3_000,
    "letters that grow when folded": "İß\ufb03ŉ" * 5_000 + " Jane",
    "beyond the first plane": "𝕁𝕒𝕟𝕖 𐀀😀" * 3_000,
    "unassigned and private": "\u0378\ue000\U0010ffff\ufffe Jane" * 2_000,
    "special pieces written out": "[CLS] [SEP] [PAD] [UNK] [MASK] <s> </s> ##ne Jane " * 500,
    "brackets": "(" * 20_000 + "Jane" + ")" * 20_000,
}
ODD = "aJ é\u0301\u200d\ud800\udc00\x00\n\r\t日😀İﬃ[]#,.\u202e\ufeffß1"


def fits(reading: Reading, text: str) -> bool:
    last = 0
    for one in sorted(reading.spans, key=lambda span: span.start):
        if not (0 <= one.start < one.end <= len(text) and 0 < one.score <= 1 and last <= one.start):
            return False
        last = one.start
    return 0 <= reading.hostility <= 1


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_read_and_spans_fit(readers: Readers, name: str) -> None:
    assert fits(readers.read(NAME, HOSTILE[name]), HOSTILE[name])


@pytest.mark.parametrize("name", HOSTILE)
def test_the_shipped_weights_read_them_too(name: str) -> None:
    text = HOSTILE[name][:1_500]
    assert fits(Readers([weights.shipped()], 1).read(NAME, text), text)


@given(st.text(alphabet=ODD, max_size=80))
@example("\ud83d\ude00Jane")
def test_any_text_is_read_and_a_name_in_it_is_found(readers: Readers, text: str) -> None:
    whole = f"{text} Jane {text}"
    reading = readers.read(NAME, whole)
    assert fits(reading, whole)
    assert any(one.start <= len(text) + 1 and one.end >= len(text) + 5 for one in reading.spans if one.type == "PERSON")


@pytest.mark.parametrize("name", HOSTILE)
def test_governed_their_findings_fit(small: Trial, name: str) -> None:
    text, refused = HOSTILE[name][:600], ""
    try:
        assert all(0 <= one.start < one.end <= len(text) for one in small.gov.inspect(text))
    except Denied as denied:
        refused = denied.reason
    assert refused == ("input.not_utf8" if re.search("[\ud800-\udfff]", text) else "")


CORPUS = ("Jane Doe met Rose in Lyon, the parcel came late.", "hello all, from Paris é 😀") * 3
AROUND = {"special_tokens": ["<s>", "<pad>", "</s>", "<unk>"], "show_progress": False}


def by_bytes() -> Tokenizer:
    """As GPT-2's and RoBERTa's: pieces of bytes, several of which may be one character."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    every = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=every, **AROUND))
    made.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), _around()])
    return made


def by_likelihood() -> Tokenizer:
    """As XLM-R's and DeBERTa's: pieces that begin with the space before them."""
    made = Tokenizer(models.Unigram())
    made.normalizer, made.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    made.train_from_iterator(CORPUS, trainers.UnigramTrainer(vocab_size=80, unk_token="<unk>", **AROUND))
    made.post_processor = _around()
    return made


def without_words() -> Tokenizer:
    """As those of models that write: a text is one word."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=100, **AROUND))
    return made


def _around() -> Any:
    ends = [("<s>", 0), ("</s>", 2)]
    return processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)


@pytest.mark.parametrize("made", [by_bytes, by_likelihood])
@pytest.mark.parametrize("name", HOSTILE)
def test_pieces_of_other_tokenisers_fit_the_text(made: Callable[[], Tokenizer], name: str) -> None:
    text = HOSTILE[name][:3_000]
    pieces = Tokeniser(made().to_str().encode()).cut(text)
    starts = [start for start, _ in pieces.offsets]
    assert all(0 <= start <= end <= len(text) for start, end in pieces.offsets)
    assert starts == sorted(starts)
    assert sorted(pieces.words) == pieces.words


@pytest.mark.parametrize("made", [by_bytes, by_likelihood])
def test_models_of_others_with_such_tokenisers_read_hostile_texts(
    tmp_path: Path, made: Callable[[], Tokenizer]
) -> None:
    folder = write_export(tmp_path / "ner", everything(), NER)
    (folder / "tokenizer.json").write_text(made().to_str(), encoding="utf-8")
    engine = foreign.engine(Foreign(path="ner", entities={"PER": "PERSON"}), folder)
    readers = Readers([engine], 1)
    for text in [*(text[:3_000] for text in HOSTILE.values()), "Jane met Rose"]:
        assert fits(readers.read("ner", text), text)
    assert [(one.start, one.end) for one in readers.read("ner", "Jane met").spans] == [(0, 4), (5, 8)]


def everything() -> Any:
    """A model that takes every piece for the beginning of a name, whatever its number."""
    import numpy
    from onnx import numpy_helper

    model = exported(NER)
    [table] = [one for one in model.graph.initializer if one.name == "rows"]
    rows = numpy.zeros((400, len(NER)), numpy.float32)
    rows[:, 1] = 4
    table.CopyFrom(numpy_helper.from_array(rows, "rows"))
    return model


def test_a_tokeniser_that_tells_no_words_is_refused_for_names(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "ner", everything(), NER)
    (folder / "tokenizer.json").write_text(without_words().to_str(), encoding="utf-8")
    with pytest.raises(Unfit, match="does not tell where words begin"):
        foreign.engine(Foreign(path="ner", entities={"PER": "PERSON"}), folder)


CHAT = {"action": "chat", "resource": "model:gpt-4o-mini"}
DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")


def test_threads_and_an_event_loop_read_at_once(small: Trial) -> None:
    texts = [f"Jane {'and Rose ' * number}is late" for number in range(10)]
    answers: list[str] = []

    def here(model: ScriptedProvider) -> None:
        with small.gov.acting_as(DANA):
            answers.extend(small.gov.guard(**CHAT)(model.ask)(text) for text in texts)

    async def there(model: ScriptedProvider) -> None:
        with small.gov.acting_as(DANA):
            answers.extend(await asyncio.gather(*map(small.gov.guard(**CHAT)(model.aask), texts)))

    models_ = [ScriptedProvider() for _ in range(4)]
    threads = [threading.Thread(target=here, args=(model,)) for model in models_[:3]]
    for thread in threads:
        thread.start()
    asyncio.run(there(models_[3]))
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(texts * 4)
    assert all("Jane" not in seen for model in models_ for seen in model.seen)


class Held:
    """Holds up the first window that is looked at in this process until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.free = threading.Event(), threading.Event()
        own, look = os.getpid(), Engine.look

        def held(one: Engine, plan: Any, window: Any) -> Any:
            if os.getpid() == own and not self.begun.is_set():
                self.begun.set()
                self.free.wait(PATIENT_S)
            return look(one, plan, window)

        monkeypatch.setattr(Engine, "look", held)


def test_a_policy_that_is_loaded_while_a_text_is_read_is_the_next_calls(
    govern: Govern, monkeypatch: pytest.MonkeyPatch
) -> None:
    with govern() as trial:
        held, seen = Held(monkeypatch), ScriptedProvider()
        answers: list[str] = []

        def call() -> None:
            with trial.gov.acting_as(DANA):
                answers.append(trial.gov.guard(**CHAT)(seen.ask)("Jane is late"))

        thread = threading.Thread(target=call)
        thread.start()
        assert held.begun.wait(PATIENT_S)
        layer = trial.policies / "organisation.yaml"
        layer.write_text(layer.read_text().replace("encoder: {enabled: true}", "encoder: {enabled: false}"))
        trial.gov.reload()
        held.free.set()
        thread.join()
        assert answers == ["Jane is late"]
        assert "Jane" not in seen.seen[0]
        assert not [one for one in trial.gov.inspect("Jane is late") if one.type == "PERSON"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_reads_though_its_parent_was_reading(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    readers, held = Readers([engine], 1), Held(monkeypatch)
    thread = threading.Thread(target=lambda: readers.run(["Jane is late"]))
    thread.start()
    assert held.begun.wait(PATIENT_S)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if readers.read(NAME, "Rose is late").spans else 1
        finally:
            os._exit(code)
    held.free.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
