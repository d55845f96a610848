"""Models as Presidio recognisers: what the encoder reads, and pipelines of spaCy's that the policy names.

Imported late, with Presidio itself.

Invariants:
* A model is a recogniser like any other: its scores, the thresholds, the allow list and the context words apply.
* Nothing is fetched: a pipeline or package that is not there is an error that says with which command to get it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from presidio_analyzer import EntityRecognizer, RecognizerResult

from aigov.privacy.named import AT_ONCE, NamedRecognizer
from aigov.privacy.patterns import untimed
from aigov.privacy.settings import Extra, Unfit
from aigov.privacy.words import LANGUAGE
from aigov.types import Reader

# What Presidio itself makes of the labels of spaCy's pipelines.
SPACY_LABELS: Mapping[str, str] = MappingProxyType({
    "PERSON": "PERSON", "PER": "PERSON", "LOC": "LOCATION", "GPE": "LOCATION", "FAC": "LOCATION", "NORP": "NRP",
})  # fmt: skip


class ModelRecognizer(EntityRecognizer):
    """What a model reads in a text, as Presidio's results. `aigov_model`: it is asked once about a text, by itself."""

    aigov_model = True

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        super().__init__(sorted(reader.entities), name=reader.name, supported_language=LANGUAGE)

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: Any = None, nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """Every span that the model tells. Raises GuardFault."""
        del entities, nlp_artifacts
        with untimed():
            spans = self._reader.read(text).spans
        return [RecognizerResult(one.type, one.start, one.end, one.score) for one in spans]


class SpacyPipeline(EntityRecognizer):
    """What a spaCy pipeline names in a text. `named`: which of its labels become which entity."""

    def __init__(self, pipeline: Any, name: str, named: Mapping[str, str], score: float) -> None:
        self._pipeline, self._named, self._score = pipeline, dict(named), score
        super().__init__(sorted(set(named.values())), name=name, supported_language=LANGUAGE)

    def load(self) -> None:
        """Loaded already."""

    def analyze(self, text: str, entities: Any = None, nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """Every entity of a label that is told, all as sure as the policy says: spaCy does not tell."""
        del entities, nlp_artifacts
        return [
            RecognizerResult(self._named[one.label_], one.start_char, one.end_char, self._score)
            for one in self._pipeline(text).ents
            if one.label_ in self._named and one.start_char < one.end_char
        ]


def spacy_pipeline(settings: Extra, folder: Path) -> EntityRecognizer:
    """The recogniser over an installed spaCy pipeline, or one in a folder. Raises Unfit with the command to get it."""
    import spacy

    assert settings.spacy is not None
    local = folder.absolute() / settings.spacy
    try:
        pipeline = spacy.load(local if local.is_dir() else settings.spacy)
    except Exception:  # noqa: BLE001 - spaCy's exceptions have no common class; what it cannot load is refused
        pipeline = None
    if pipeline is None:
        raise Unfit(_not_there(settings.spacy, local))
    labels = frozenset(label for name, pipe in pipeline.pipeline for label in getattr(pipe, "labels", ()))
    named = settings.entities or {one: entity for one, entity in SPACY_LABELS.items() if one in labels}
    for label in named:
        if label not in labels:
            raise Unfit(f"the spaCy pipeline `{settings.spacy}` has no label `{label}`")
    if not named:
        raise Unfit(f"the spaCy pipeline `{settings.spacy}` has no label of a name; say which under `entities`")
    return NamedRecognizer(
        SpacyPipeline(pipeline, f"spacy.{local.name}", named, settings.score), AT_ONCE, settings.timeout_s
    )


def _not_there(name: str, folder: Path) -> str:
    """What to say of a pipeline that cannot be loaded: a package is installed, a folder is made elsewhere."""
    if name.isidentifier() and not folder.is_dir():
        return f"the spaCy pipeline `{name}` is not installed; run `python -m spacy download {name}`"
    command = "python -c \"import spacy; spacy.load('PIPELINE').to_disk('FOLDER')\""
    return f"the spaCy pipeline in `{os.path.normpath(folder)}` cannot be loaded; run `{command}` where there is one"
