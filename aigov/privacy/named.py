"""Presidio's own recognisers that the policy names, and what holds those with a model or a service to a time.

Imported late, with Presidio itself.

Invariants:
* Nothing is fetched: where a parameter names a model it has to be a folder.
* A recogniser is asked for its own types alone, and no other is taken from it.
* Nothing found means that it looked: a fault that Presidio's code logs and passes over is a fault here.
* It has a time of its own for a text. Past it the text is refused, whether or not it ever answers.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from pathlib import Path
from types import MappingProxyType
from typing import Any

from presidio_analyzer import EntityRecognizer, PatternRecognizer, RecognizerResult, RemoteRecognizer

from aigov.privacy.patterns import untimed, writable
from aigov.privacy.settings import Extra, Unfit
from aigov.privacy.words import LANGUAGE

BY_ENGINE = frozenset({"SpacyRecognizer", "StanzaRecognizer", "TransformersRecognizer"})
# The parameters that name a model, which these recognisers fetch unless it is a folder.
LOCAL: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "GLiNERRecognizer": ("model_name",), "HuggingFaceNerRecognizer": ("model_name", "tokenizer_name"),
    "MedicalNERRecognizer": ("model_name", "tokenizer_name"),
})  # fmt: skip
PACKAGES: Mapping[str, str] = MappingProxyType({
    "GLiNERRecognizer": "gliner", "HuggingFaceNerRecognizer": "transformers torch",
    "MedicalNERRecognizer": "transformers torch", "AzureAILanguageRecognizer": "azure-ai-textanalytics",
    "AzureHealthDeidRecognizer": "azure-health-deidentification azure-identity",
})  # fmt: skip
TOKENISER = "tokenizer_config.json"
AT_ONCE = 8  # questions to a service, or to a model that is safe to share; to any other, one at a time


class Broken(Exception):
    """A recogniser's own code failed. Holds nothing of why."""


class Unhandled(BaseException):
    """A fault on its way through code that catches every `Exception`."""


class Patience:
    """Asks in a thread of its own, `at_once` at a time, and waits for `timeout_s` seconds, a free thread included."""

    def __init__(self, at_once: int, timeout_s: float) -> None:
        self._at_once, self._timeout_s = at_once, timeout_s
        self._pid, self._free = os.getpid(), threading.Semaphore(at_once)

    def __call__(self, ask: Callable[[], Any]) -> Any:
        """What `ask` gives. Raises what it raises, Broken for what is no `Exception`, and TimeoutError."""
        if self._pid != os.getpid():  # after a fork the threads that held it are gone
            self._pid, self._free = os.getpid(), threading.Semaphore(self._at_once)
        until, free = time.monotonic() + self._timeout_s, self._free
        if not free.acquire(timeout=self._timeout_s):
            raise TimeoutError
        answer: Future[Any] = Future()
        thread = threading.Thread(
            target=copy_context().run, args=(_run, ask, answer, free.release), name="aigov-model", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads
            free.release()
            raise
        return answer.result(max(0.0, until - time.monotonic()))


def _run(ask: Callable[[], Any], answer: Future[Any], done: Callable[[], None]) -> None:
    try:
        answer.set_result(ask())
    except Exception as fault:  # noqa: BLE001 - raised again where it is waited for
        answer.set_exception(fault)
    except BaseException:  # noqa: BLE001 - somebody else's code ends no thread of ours
        answer.set_exception(Broken())
    finally:
        done()


class NamedRecognizer(EntityRecognizer):
    """A recogniser with a model or a service behind it. `aigov_model`: it is asked once about a text, by itself."""

    aigov_model = True

    def __init__(self, made: Any, at_once: int, timeout_s: float) -> None:
        self._made, self._patience = made, Patience(at_once, timeout_s)
        super().__init__(
            sorted(made.supported_entities), name=made.name, supported_language=LANGUAGE, context=made.context
        )

    def load(self) -> None:
        """Loaded already."""

    def analyze(self, text: str, entities: Any = None, nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """What it finds of its own types. Raises what it raises, and TimeoutError."""
        del entities
        own = self.supported_entities
        with untimed():
            results = self._patience(
                lambda: self._made.analyze(text=writable(text), entities=list(own), nlp_artifacts=nlp_artifacts)
            )
        return [
            RecognizerResult(one.entity_type, one.start, one.end, one.score, one.analysis_explanation)
            for one in results or ()
            if one.entity_type in own
        ]


def presidio_recognizer(settings: Extra, folder: Path) -> EntityRecognizer:
    """One of Presidio's own recognisers by its class name. Raises Unfit with the command to get what it takes."""
    import presidio_analyzer.predefined_recognizers as predefined

    name = settings.presidio or ""
    kind = getattr(predefined, name, None) if name.endswith("Recognizer") else None
    if not isinstance(kind, type) or not issubclass(kind, EntityRecognizer):
        raise Unfit(f"Presidio has no recogniser `{name}`")
    if name in BY_ENGINE:
        raise Unfit(f"`{name}` asks Presidio's NLP engine, which is not run here; name the pipeline under `spacy`")
    params: dict[str, Any] = {"supported_language": LANGUAGE, **settings.params}
    for key in LOCAL.get(name, ()):
        if key in params or key == "model_name":
            params[key] = _local(name, key, str(params.get(key, "")), folder)
    if name == "GLiNERRecognizer":
        params["local_files_only"] = True  # of what a folder names and does not hold
        if not (Path(params["model_name"]) / TOKENISER).is_file():  # its library would look for it on the net
            raise Unfit(
                f"the folder of `{name}` has no `{TOKENISER}`; nothing is fetched: put the tokeniser's files in it"
            )
    why = ""
    try:
        made: Any = kind(**params)
    except Exception as error:  # noqa: BLE001 - whatever it raises while it is made; its text may quote a parameter
        why = type(error).__name__
    else:
        return made if isinstance(made, PatternRecognizer) else _held(made, settings.timeout_s)
    packages = PACKAGES.get(name, "")
    more = f"; it may need `pip install {packages}`" if packages else ""
    raise Unfit(f"Presidio's `{name}` cannot be made with these `params` ({why}){more}")


def _held(made: Any, timeout_s: float) -> NamedRecognizer:
    """The recogniser, loud about its faults and within its time."""
    if hasattr(made, "ner_pipeline"):
        made.ner_pipeline = _loud(made.ner_pipeline, lambda answer: isinstance(answer, list))
    if hasattr(made, "ta_client"):
        client = made.ta_client
        made.ta_client = _Client(_loud(client.recognize_pii_entities, lambda answer: not any(
            one.is_error for one in answer)))  # fmt: skip
    return NamedRecognizer(made, AT_ONCE if isinstance(made, RemoteRecognizer) else 1, timeout_s)


class _Client:
    """As much of a service's client as Presidio asks."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        self.recognize_pii_entities = ask


def _loud(ask: Callable[..., Any], sound: Callable[[Any], bool]) -> Callable[..., Any]:
    """`ask`, whose faults and answers that are no answers pass through code which would take them for nothing found."""

    def asked(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = ask(*args, **kwargs)
            fine = sound(answer)
        except Exception:  # noqa: BLE001 - told as what nothing in between catches
            fine = False
        if not fine:
            raise Unhandled
        return answer

    return asked


def _local(name: str, key: str, given: str, folder: Path) -> str:
    """The folder of a model that Presidio would fetch if it were a name. Raises Unfit."""
    place = Path(os.path.normpath(folder.absolute() / given))
    if given and place.is_dir():
        return str(place)
    command = f"hf download {given or 'ORGANISATION/MODEL'} --local-dir FOLDER"
    raise Unfit(f"`{key}` of `{name}` is no folder; nothing is fetched: run `{command}`, then name the folder")
