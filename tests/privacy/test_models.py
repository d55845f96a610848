"""Models as recognisers: they count like any other, are asked once about a text, and are never fetched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from presidio_analyzer import EntityRecognizer, RecognizerResult

from aigov.errors import PolicyError
from aigov.hookspecs import Context
from aigov.privacy.guard import PrivacyGuard, plugin
from aigov.privacy.inside import without_parts
from aigov.types import Finding, Part, Reader, Reading, Span
from tests.privacy.conftest import section


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spaCy pipeline that knows two names, in a folder."""
    made = spacy.blank("en")
    ruler: Any = made.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Jane Doe"}, {"label": "GPE", "pattern": "Lyon"},
                        {"label": "ORG", "pattern": "Acme"}])  # fmt: skip
    folder = tmp_path_factory.mktemp("pipelines") / "small"
    made.to_disk(folder)
    return folder


def start(
    settings: dict[str, Any],
    folder: Path = Path(),
    readers: tuple[Reader, ...] = (),
    recognizers: tuple[EntityRecognizer, ...] = (),
) -> PrivacyGuard:
    context = Context(
        folder=folder, key=lambda label: label.encode().ljust(32)[:32], readers=readers, recognizers=recognizers
    )
    return plugin.aigov_start(section(settings), context)


def found(guard: PrivacyGuard, text: str, path: str = "/0") -> set[tuple[str, str, str, float]]:
    findings = guard.aigov_detect(Part(path=path, text=text), "input")
    return {(one.type, text[one.start : one.end], one.detector, round(one.score, 2)) for one in findings}


def test_a_spacy_pipeline_finds_what_presidio_makes_of_its_labels(pipeline: Path) -> None:
    guard = start({"recognizers": [{"spacy": str(pipeline)}]})
    assert found(guard, "Jane Doe of Acme is in Lyon, jane@example.com") >= {
        ("PERSON", "Jane Doe", "spacy.small", 0.85), ("LOCATION", "Lyon", "spacy.small", 0.85),
        ("EMAIL_ADDRESS", "jane@example.com", "EmailRecognizer", 1.0),
    }  # fmt: skip
    assert not [one for one in found(guard, "Acme") if one[1] == "Acme"]


def test_the_policy_says_which_labels_count_and_how_sure(pipeline: Path) -> None:
    entry = {"spacy": pipeline.name, "entities": {"ORG": "ORGANIZATION"}, "score": 0.5}
    guard = start({"recognizers": [entry], "entities": {"ORGANIZATION": "deny"}}, pipeline.parent)
    assert found(guard, "Jane Doe of Acme") == {("ORGANIZATION", "Acme", "spacy.small", 0.5)}


@pytest.mark.parametrize(
    ("entry", "what", "fix"),
    [
        ({"spacy": "xx_none_sm"}, "`xx_none_sm` is not installed", "run `python -m spacy download xx_none_sm`"),
        ({"spacy": "../pipelines/small"}, "pipelines/small` cannot be loaded", "to_disk('FOLDER')\"`"),
        ({"spacy": "."}, "` cannot be loaded", "run `python -c \"import spacy; spacy.load('PIPELINE').to_disk"),
        ({}, "a pipeline of spaCy's or one", "give it either"),
        ({"spacy": "a", "presidio": "GLiNERRecognizer"}, "a pipeline of spaCy's or one", "give it either"),
        ({"presidio": "NoneRecognizer"}, "Presidio has no recogniser `NoneRecognizer`", ""),
        ({"presidio": "SpacyRecognizer"}, "asks Presidio's NLP engine", "name the pipeline under `spacy`"),
        ({"presidio": "GLiNERRecognizer"}, "is no folder", "run `hf download ORGANISATION/MODEL --local-dir FOLDER`"),
        ({"presidio": "GLiNERRecognizer", "params": {"model_name": "urchade/gliner_multi_pii-v1"}}, "is no folder",
         "run `hf download urchade/gliner_multi_pii-v1 --local-dir FOLDER`"),
        ({"presidio": "GLiNERRecognizer", "params": {"model_name": "."}}, "has no `tokenizer_config.json`", "put the"),
        ({"presidio": "HuggingFaceNerRecognizer", "params": {"model_name": "."}}, "cannot be made",
         "`pip install transformers torch`"),
        ({"presidio": "AzureAILanguageRecognizer"}, "cannot be made", "`pip install azure-ai-textanalytics`"),
        ({"presidio": "EmailRecognizer", "params": {"no_such": 1}}, "with these `params` (TypeError)", ""),
    ],
)  # fmt: skip
def test_what_is_missing_is_an_error_with_the_command(
    tmp_path: Path, entry: dict[str, Any], what: str, fix: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        start({"recognizers": [entry]}, tmp_path)
    [problem] = caught.value.problems
    assert what in problem.what + problem.fix
    assert fix in problem.fix


def test_labels_that_the_pipeline_lacks_are_an_error(pipeline: Path) -> None:
    with pytest.raises(PolicyError, match="no label `NORP`"):
        start({"recognizers": [{"spacy": str(pipeline), "entities": {"NORP": "NRP"}}]})


def test_a_pipeline_without_names_is_an_error_unless_the_policy_says_what_it_finds(tmp_path: Path) -> None:
    made = spacy.blank("en")
    ruler: Any = made.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "ORG", "pattern": "Acme"}])
    made.to_disk(tmp_path / "firms")
    with pytest.raises(PolicyError, match="has no label of a name; say which under `entities`"):
        start({"recognizers": [{"spacy": "firms"}]}, tmp_path)
    guard = start({"recognizers": [{"spacy": "firms", "entities": {"ORG": "ORGANIZATION"}}]}, tmp_path)
    assert {one[:2] for one in found(guard, "Acme")} == {("ORGANIZATION", "Acme")}


def test_one_of_presidios_own_runs_by_name() -> None:
    guard = start({"recognizers": [{"presidio": "DeTaxIdRecognizer", "params": {"supported_language": "en"}}]})
    assert "DE_TAX_ID" in guard.aigov_entities()


class Model:
    """Finds `Rose` and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, text: str) -> Reading:
        self.asked.append(text)
        at = text.find("Rose")
        return Reading(spans=(Span(type="PERSON", start=at, end=at + 4, score=0.6),) if at >= 0 else ())


@pytest.fixture(scope="module")
def model() -> tuple[Model, PrivacyGuard]:
    model = Model()
    reader = Reader(name="Reads", entities=frozenset({"PERSON"}), hostility=False, read=model)
    return model, start({"allow": ["nobody"]}, readers=(reader,))


def test_a_reader_counts_like_any_recogniser(model: tuple[Model, PrivacyGuard]) -> None:
    assert found(model[1], "ask Rose") == {("PERSON", "Rose", "Reads", 0.6)}
    assert "PERSON" in model[1].aigov_entities()


def test_a_short_value_is_read_once_though_patterns_look_twice(model: tuple[Model, PrivacyGuard]) -> None:
    """The name of its place is for context words alone."""
    model[0].asked.clear()
    assert {one[:2] for one in found(model[1], "Rose 8471625536", "/account_number")} >= {("PERSON", "Rose")}
    assert model[0].asked == ["Rose 8471625536"]


class Rescoring(EntityRecognizer):
    """Looks at the results of all: Presidio's own engine runs then."""

    def __init__(self) -> None:
        super().__init__(["THING"], name="Rescoring")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: Any, nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """Nothing."""
        return []

    def enhance_using_context(self, **given: Any) -> Any:
        """As they are."""
        return given["raw_recognizer_results"]


def test_it_is_read_once_by_presidios_own_engine_too() -> None:
    read = Model()
    reader = Reader(name="Reads", entities=frozenset({"PERSON"}), hostility=False, read=read)
    guard = start({}, readers=(reader,), recognizers=(Rescoring(),))
    assert {one[:2] for one in found(guard, "Rose 8471625536", "/account_number")} >= {
        ("PERSON", "Rose"), ("US_BANK_NUMBER", "8471625536"),
    }  # fmt: skip
    assert read.asked == ["Rose 8471625536"]


def test_a_reader_that_tells_no_entity_is_no_recogniser() -> None:
    read = Model()
    guard = start({}, readers=(Reader(name="Judge", entities=frozenset(), hostility=True, read=read),))
    assert found(guard, "Rose") == set()
    assert read.asked == []


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("rose@example.com", {"EMAIL_ADDRESS", "URL"}),
        ("Rose, rose@example.com", {"PERSON", "EMAIL_ADDRESS", "URL"}),
        ("Rose.it is late", {"PERSON", "URL"}),
        ("Rose", {"PERSON"}),
    ],
)
def test_a_name_inside_of_a_sure_value_is_part_of_it(
    model: tuple[Model, PrivacyGuard], monkeypatch: pytest.MonkeyPatch, text: str, types: set[str]
) -> None:
    """A web address that may be two words run together is not sure enough."""
    monkeypatch.setattr(Model, "__call__", lambda _, text: Reading(spans=tuple(_names(text))))
    assert {one[0] for one in found(model[1], text)} == types


def _names(text: str) -> list[Span]:
    return [
        Span(type="PERSON", start=match.start(), end=match.end(), score=0.9)
        for match in re.finditer("rose", text, re.IGNORECASE)
    ]


drawn_spans = st.tuples(st.integers(0, 12), st.integers(1, 6), st.sampled_from([0.5, 0.9]), st.booleans())


@given(st.lists(drawn_spans, max_size=8))
def test_what_reaches_out_of_every_sure_value_stays(drawn: list[tuple[int, int, float, bool]]) -> None:
    every = [
        Finding(kind="pii", type="T", start=start, end=start + length, score=score, detector="m" if by else "p")
        for start, length, score, by in drawn
    ]
    covering = [(one.start, one.end) for one in every if one.detector == "p" and one.score >= 0.85]
    kept = [
        one for one in every
        if one.detector == "p" or not any(start <= one.start and one.end <= end for start, end in covering)
    ]  # fmt: skip
    assert list(without_parts(every, frozenset({"m"}))) == kept
