"""Presidio's recognisers that the policy names: asked for their own, loud when they break, within their time.

The tests over models of GLiNER's and transformers' make such models here, tiny and random, and run where those
libraries are installed: `pip install gliner transformers torch azure-ai-textanalytics`, then `pytest -W ignore`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from presidio_analyzer import EntityRecognizer, RecognizerResult

from aigov.errors import GuardFault, PolicyError
from aigov.hookspecs import Context
from aigov.privacy.guard import PrivacyGuard, plugin
from aigov.privacy.named import Broken, NamedRecognizer, Patience
from aigov.privacy.patterns import analysing, stopwatch, untimed
from aigov.types import Finding, Part
from tests.privacy.conftest import section

PATIENT_S = 60.0


class Own(EntityRecognizer):
    """A recogniser of the kind that Presidio has, which answers as it is told."""

    def __init__(self, answer: Callable[[str], Any]) -> None:
        self.answer, self.wanted = answer, [""]
        super().__init__(["PERSON"], name="Own", context=["customer"])

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: Any, nlp_artifacts: Any) -> Any:
        self.wanted = list(entities)
        return self.answer(text)


def start(settings: dict[str, Any], folder: Path = Path(), recognizers: tuple[Any, ...] = ()) -> PrivacyGuard:
    context = Context(folder=folder, key=lambda label: label.encode().ljust(32)[:32], recognizers=recognizers)
    return plugin.aigov_start(section(settings), context)


def guarded(answer: Callable[[str], Any], timeout_s: float = PATIENT_S, at_once: int = 1) -> PrivacyGuard:
    return start({}, recognizers=(NamedRecognizer(Own(answer), at_once, timeout_s),))


def found(guard: PrivacyGuard, text: str) -> list[Finding]:
    return list(guard.aigov_detect(Part(path="/0", text=text), "input"))


def person(start: int, end: int, score: float = 0.5, kind: str = "PERSON") -> RecognizerResult:
    return RecognizerResult(kind, start, end, score)


def test_it_is_asked_for_its_own_types_and_no_other_is_taken_from_it() -> None:
    own = Own(lambda text: [person(0, 4), person(0, 4, kind="CREDIT_CARD"), person(0, 4, kind="NO_SUCH")])
    guard = start({}, recognizers=(NamedRecognizer(own, 1, PATIENT_S),))
    assert [(one.type, one.detector) for one in found(guard, "Jane")] == [("PERSON", "Own")]
    assert own.wanted == ["PERSON"]


def test_its_context_words_make_it_surer() -> None:
    guard = guarded(lambda text: [person(text.index("Jane"), len(text), 0.3)])
    assert [one.score for one in found(guard, "the customer Jane")] == [pytest.approx(0.65)]
    assert [one.score for one in found(guard, "the Jane")] == [pytest.approx(0.3)]


def test_it_is_given_text_that_can_be_written() -> None:
    seen: list[str] = []
    guard = guarded(lambda text: seen.append(text) or [person(2, 6)])  # type: ignore[func-returns-value]
    assert [(one.start, one.end) for one in found(guard, "\ud800 Jane")] == [(2, 6)]
    assert seen == ["\ufffd Jane"]


class Hard(BaseException):
    """What no `except Exception` catches."""


@pytest.mark.parametrize("fault", [RuntimeError("canary"), SystemExit("canary"), Hard("canary")])
def test_whatever_it_raises_is_a_refusal(fault: BaseException) -> None:
    def broken(text: str) -> Any:
        raise fault

    with pytest.raises(GuardFault) as caught:
        found(guarded(broken), "Jane")
    assert (caught.value.guard, caught.value.code, caught.value.__context__) == ("privacy", "guard.fault", None)


def test_one_that_never_answers_is_refused_and_the_next_text_is_refused_too() -> None:
    free = threading.Event()
    guard = guarded(lambda text: free.wait(PATIENT_S) and [], timeout_s=0.05)
    for _ in range(2):
        with pytest.raises(GuardFault, match=r"pii\.timeout"):
            found(guard, "Jane")
    free.set()


def test_its_time_is_not_taken_from_the_texts() -> None:
    with analysing("text"):
        before = stopwatch().deadline
        with untimed():
            threading.Event().wait(0.01)
        assert stopwatch().deadline >= before + 0.01


def test_no_more_are_asked_at_once_than_it_can_take() -> None:
    ask, now, most, lock = Patience(1, PATIENT_S), [0], [0], threading.Lock()

    def work() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.002)
        with lock:
            now[0] -= 1

    threads = [threading.Thread(target=lambda: [ask(work) for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_asks_though_a_question_of_its_parent_was_open() -> None:
    ask, free, begun = Patience(1, PATIENT_S), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: ask(lambda: begun.set() or free.wait(PATIENT_S)))  # type: ignore[func-returns-value]
    thread.start()
    begun.wait(PATIENT_S)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if ask(lambda: 7) == 7 else 1
        finally:
            os._exit(code)
    free.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_what_is_no_exception_ends_no_thread() -> None:
    with pytest.raises(Broken):
        Patience(1, PATIENT_S)(lambda: (_ for _ in ()).throw(Hard()))


def test_the_name_of_a_tokeniser_is_never_looked_up(tmp_path: Path) -> None:
    params = {"model_name": ".", "tokenizer_name": "organisation/model"}
    with pytest.raises(PolicyError, match="`tokenizer_name` of `HuggingFaceNerRecognizer` is no folder"):
        start({"recognizers": [{"presidio": "HuggingFaceNerRecognizer", "params": params}]}, tmp_path)


def test_one_by_patterns_counts_as_one(tmp_path: Path) -> None:
    """A word nearby makes it surer, be it the name of its place; no model is read for that a second time."""
    guard = start({"recognizers": [{"presidio": "UkNinoRecognizer"}]}, tmp_path)
    findings = guard.aigov_detect(Part(path="/nino", text="AB 12 34 56 C"), "input")
    assert max(one.score for one in findings if one.type == "UK_NINO") > 0.5


# Models and services of others, where their libraries are installed.


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skips a test where one of these is not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


pytestmark = pytest.mark.filterwarnings("ignore")  # of other people's libraries


def write_tokeniser(folder: Path) -> int:
    """Put a tokeniser into a folder; the number of its words."""
    from transformers import PreTrainedTokenizerFast

    from tests.encoder.small import tokeniser

    made = PreTrainedTokenizerFast(
        tokenizer_object=tokeniser(), unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=64,
    )  # fmt: skip
    made.save_pretrained(folder)
    return len(made)


def tiny(words: int, **more: Any) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=words, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, **more
    )  # fmt: skip


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random token classifier that takes every word for a name."""
    import torch
    from transformers import BertForTokenClassification

    folder = tmp_path_factory.mktemp("classifier")
    labels = {0: "O", 1: "B-PER"}
    model = BertForTokenClassification(tiny(write_tokeniser(folder), id2label=labels, label2id={"O": 0, "B-PER": 1}))
    with torch.no_grad():
        model.classifier.bias[1] = 9.0
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def gliner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random GLiNER."""
    from gliner import GLiNER, GLiNERConfig

    folder = tmp_path_factory.mktemp("gliner")
    words = write_tokeniser(folder / "backbone")
    config = GLiNERConfig(
        model_name=str(folder / "backbone"), hidden_size=16, max_width=4, num_rnn_layers=0,
        encoder_config=tiny(words).to_dict(),
    )  # fmt: skip
    GLiNER.from_config(config, backbone_from_pretrained=False).save_pretrained(folder / "model")
    return folder / "model"


def of_classifier(folder: Path, **params: Any) -> PrivacyGuard:
    entry = {"presidio": "HuggingFaceNerRecognizer", "params": {"model_name": folder.name, **params}, "timeout_s": 60}
    return start({"recognizers": [entry], "min_score": 0.1}, folder.parent)


@needs("transformers", "torch")
def test_a_classifier_of_transformers_runs_from_a_folder(classifier: Path) -> None:
    guard = of_classifier(classifier)
    assert {one.type for one in found(guard, "jane met rose")} == {"PERSON"}
    assert {one.detector for one in found(guard, "jane")} == {"HuggingFaceNerRecognizer"}
    text = "jane met rose in lyon, the parcel came late. " * 40
    assert all(0 <= one.start < one.end <= len(text) for one in found(guard, text))
    assert found(guard, "\ud800 jane")
    assert {one.type for one in guard.explain("jane", found(guard, "jane"))[0:1] for one in [one.finding]} == {"PERSON"}


@needs("transformers", "torch")
def test_a_label_that_the_policy_does_not_map_is_not_taken(classifier: Path) -> None:
    guard = of_classifier(classifier, label_mapping={"LOC": "LOCATION"})
    assert found(guard, "jane met rose") == []


@needs("transformers", "torch")
def test_a_classifier_that_breaks_is_a_refusal(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Presidio's own code logs it, and goes on as if there were no names."""
    from transformers import TokenClassificationPipeline

    guard = of_classifier(classifier)
    monkeypatch.setattr(TokenClassificationPipeline, "__call__", lambda *_, **__: 1 / 0)
    with pytest.raises(GuardFault, match=r"guard\.fault"):
        found(guard, "jane met rose")


@needs("transformers", "torch")
def test_threads_share_a_classifier(classifier: Path) -> None:
    guard, answers = of_classifier(classifier), []

    def work() -> None:
        answers.extend(len(found(guard, "jane met rose " * times)) for times in (1, 20, 3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 12
    assert all(answers)


def of_gliner(folder: Path, **params: Any) -> PrivacyGuard:
    given = {"model_name": folder.name, "entity_mapping": {"person": "PERSON"}, "threshold": 0.0001, **params}
    entry = {"presidio": "GLiNERRecognizer", "params": given, "timeout_s": 60}
    return start({"recognizers": [entry], "min_score": 0.0}, folder.parent)


@needs("gliner")
def test_a_gliner_runs_from_a_folder(gliner: Path) -> None:
    guard = of_gliner(gliner)
    for text in ("Jane met Rose in Lyon", "jane met rose. " * 60, "\ud800 Jane"):
        findings = [one for one in found(guard, text) if one.detector == "GLiNERRecognizer"]
        assert findings
        assert {one.type for one in findings} == {"PERSON"}
        assert all(0 <= one.start < one.end <= len(text) and 0 < one.score <= 1 for one in findings)


@needs("gliner")
def test_a_gliner_without_its_tokeniser_is_an_error_and_no_download(gliner: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("gliner_config.json", "pytorch_model.bin", "model.safetensors"):
        if (gliner / name).exists():
            (bare / name).write_bytes((gliner / name).read_bytes())
    config = json.loads((bare / "gliner_config.json").read_text())
    (bare / "gliner_config.json").write_text(json.dumps({**config, "model_name": "organisation/model"}))
    with pytest.raises(PolicyError, match=r"has no `tokenizer_config\.json`"):
        of_gliner(bare)


AZURE = {"presidio": "AzureAILanguageRecognizer", "timeout_s": 60}


CONNECT, NAMES = socket.socket.connect, socket.getaddrinfo


def on_this_machine(real: Callable[..., Any]) -> Callable[..., Any]:
    """`real` for this machine's own address, and a failure for every other."""

    def asked(*given: Any, **more: Any) -> Any:
        assert "127.0.0.1" in str(given)
        return real(*given, **more)

    return asked


@pytest.fixture
def azure(no_network: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Azure AI Language as far as it is asked here, on this machine: `says` is what it answers."""
    monkeypatch.setattr(socket.socket, "connect", on_this_machine(CONNECT))
    monkeypatch.setattr(socket, "getaddrinfo", on_this_machine(NAMES))
    service: dict[str, Any] = {"says": {}, "status": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"kind": "PiiEntityRecognitionResults", "results": service["says"]}).encode()
            self.send_response(service["status"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service["url"] = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield service
    server.shutdown()
    thread.join()
    server.server_close()


def of_azure(service: dict[str, Any]) -> PrivacyGuard:
    params = {"azure_ai_key": "0" * 32, "azure_ai_endpoint": service["url"]}
    return start({"recognizers": [{**AZURE, "params": params}]})


def document(**more: Any) -> dict[str, Any]:
    return {"documents": [], "errors": [], "modelVersion": "1", **more}


@needs("azure")
def test_a_service_of_presidios_is_asked_by_policy(azure: dict[str, Any]) -> None:
    entity = {"text": "Jane", "category": "Person", "offset": 4, "length": 4, "confidenceScore": 0.9}
    azure["says"] = document(documents=[{"id": "0", "redactedText": "", "entities": [entity], "warnings": []}])
    assert [(one.type, one.start, one.end, one.score) for one in found(of_azure(azure), "ask Jane")] == [
        ("PERSON", 4, 8, 0.9)
    ]


@needs("azure")
@pytest.mark.parametrize("status", [200, 401])
def test_a_service_that_will_not_read_a_text_is_a_refusal(azure: dict[str, Any], status: int) -> None:
    """A text that is too long comes back as an error for it, which Presidio's own code leaves out."""
    error = {"code": "InvalidArgument", "message": "canary", "target": "x"}
    azure["says"], azure["status"] = document(errors=[{"id": "0", "error": error}]), status
    with pytest.raises(GuardFault, match=r"guard\.fault: privacy"):
        found(of_azure(azure), "ask Jane")
