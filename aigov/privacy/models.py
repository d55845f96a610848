"""Models as Presidio recognisers: what the encoder reads, and pipelines of others that the policy names.

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

from aigov.privacy.settings import Extra, Unfit
from aigov.privacy.words import LANGUAGE
from aigov.types import Reader

# What Presidio itself makes of the labels of spaCy's pipelines.
SPACY_LABELS: Mapping[str, str] = MappingProxyType({
    "PERSON": "PERSON", "PER": "PERSON", "LOC": "LOCATION", "GPE": "LOCATION", "FAC": "LOCATION", "NORP": "NRP",
})  # fmt: skip
BY_ENGINE = frozenset({"SpacyRecognizer", "StanzaRecognizer", "TransformersRecognizer"})
# The parameter that names a model, which these recognisers fetch unless it is a folder.
LOCAL: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("GLiNERRecognizer", "HuggingFaceNerRecognizer", "MedicalNERRecognizer"), "model_name")
)
PACKAGES: Mapping[str, str] = MappingProxyType({
    "GLiNERRecognizer": "gliner", "HuggingFaceNerRecognizer": "transformers torch",
    "MedicalNERRecognizer": "transformers torch", "AzureAILanguageRecognizer": "azure-ai-textanalytics",
    "AzureHealthDeidRecognizer": "azure-health-deidentification azure-identity",
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
        return [RecognizerResult(one.type, one.start, one.end, one.score) for one in self._reader.read(text).spans]


class SpacyPipeline(EntityRecognizer):
    """What a spaCy pipeline names in a text. `named`: which of its labels become which entity."""

    aigov_model = True

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
        command = f"python -m spacy download {settings.spacy}"
        raise Unfit(f"the spaCy pipeline `{settings.spacy}` is not installed; run `{command}`")
    labels = frozenset(label for name, pipe in pipeline.pipeline for label in getattr(pipe, "labels", ()))
    named = settings.entities or {one: entity for one, entity in SPACY_LABELS.items() if one in labels}
    for label in named:
        if label not in labels:
            raise Unfit(f"the spaCy pipeline `{settings.spacy}` has no label `{label}`")
    if not named:
        raise Unfit(f"the spaCy pipeline `{settings.spacy}` has no label of a name; say which under `entities`")
    return SpacyPipeline(pipeline, f"spacy.{local.name}", named, settings.score)


def presidio_recognizer(settings: Extra, folder: Path) -> EntityRecognizer:
    """One of Presidio's own recognisers by its class name. Raises Unfit with the command to get what it takes."""
    import presidio_analyzer.predefined_recognizers as predefined

    name = settings.presidio or ""
    kind = getattr(predefined, name, None) if name.endswith("Recognizer") else None
    if not isinstance(kind, type) or not issubclass(kind, EntityRecognizer):
        raise Unfit(f"Presidio has no recogniser `{name}`")
    if name in BY_ENGINE:
        raise Unfit(f"`{name}` asks Presidio's NLP engine, which is not run here; name the pipeline under `spacy`")
    params: dict[str, Any] = dict(settings.params)
    if name in LOCAL:
        params[LOCAL[name]] = _local(name, str(params.get(LOCAL[name], "")), folder)
    why = ""
    try:
        made: Any = kind(**params)
        made.aigov_model = True
        return made  # type: ignore[no-any-return]
    except Exception as error:  # noqa: BLE001 - whatever it raises while it is made; its text may quote a parameter
        why = type(error).__name__
    packages = PACKAGES.get(name, "")
    more = f"; it may need `pip install {packages}`" if packages else ""
    raise Unfit(f"Presidio's `{name}` cannot be made with these `params` ({why}){more}")


def _local(name: str, given: str, folder: Path) -> str:
    """The folder of a model that Presidio would fetch if it were a name. Raises Unfit."""
    place = Path(os.path.normpath(folder.absolute() / given))
    if given and place.is_dir():
        return str(place)
    command = f"hf download {given or 'ORGANISATION/MODEL'} --local-dir FOLDER"
    raise Unfit(f"`{LOCAL[name]}` of `{name}` is no folder; nothing is fetched: run `{command}`, then name the folder")
