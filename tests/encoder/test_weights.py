"""Weights are run only if they are the ones that were shipped; models of others only from a folder that is there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
from onnx import numpy_helper

from aigov.encoder import foreign, weights
from aigov.encoder.model import Model, Unfit
from aigov.encoder.readers import Readers
from aigov.encoder.settings import Foreign
from aigov.errors import GuardFault
from tests.encoder.small import exported, shaped, write_export, write_weights

NER = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
JUDGED = ("SAFE", "INJECTION")


def test_what_is_loaded_is_shared_in_a_process(folder: Path) -> None:
    card = write_weights(folder)
    assert weights.loaded(folder, card) is weights.loaded(folder, card)


@pytest.mark.parametrize("name", ["card.json", "model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("harm", ["gone", "empty", "a byte changed", "cut off", "longer"])
def test_a_file_that_is_not_the_shipped_one_is_refused_by_name(tmp_path: Path, name: str, harm: str) -> None:
    card = write_weights(tmp_path)
    data = (tmp_path / name).read_bytes()
    changed = {
        "empty": b"", "a byte changed": bytes([data[0] ^ 1]) + data[1:], "cut off": data[:-1], "longer": data + b" ",
    }  # fmt: skip
    if harm == "gone":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(changed[harm])
    with pytest.raises(Unfit, match=f"`{name}`"):
        weights.loaded(tmp_path, card)


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": ["O"]},
        {"labels": "O"},
        {"cases": ["lower"]},
        {"files": {}},
        {"max_tokens": 1},
        {"hostility": {}},
        {"hostility": None},
    ],
)
def test_a_card_that_does_not_say_how_to_run_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(Unfit, match=r"card\.json"):
        weights.loaded(tmp_path, write_weights(tmp_path, **changed))


def test_a_model_without_the_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="no output `entities`"):
        weights.loaded(tmp_path, write_weights(tmp_path, exported(NER)))


def test_a_build_without_weights_says_so() -> None:
    with pytest.raises(Unfit, match="no weights"):
        weights.loaded(weights.FOLDER, "")


def test_case_reaches_the_model(tmp_path: Path) -> None:
    engine = weights.loaded(tmp_path, write_weights(tmp_path, shaped(cased=True)))
    spans = Readers([engine], 1).read(engine.name, "rose met Rose").spans
    assert [(one.type, one.start, one.end) for one in spans] == [("PERSON", 9, 13)]


def spoilt(model: Any, *tables: str) -> Any:
    """The model with tables that hold no numbers."""
    for one in model.graph.initializer:
        if one.name in tables:
            one.CopyFrom(numpy_helper.from_array(numpy.full_like(numpy_helper.to_array(one), numpy.nan), one.name))
    return model


@pytest.mark.parametrize("table", ["rows", "hostile", "meaning"])
def test_an_answer_that_is_no_number_is_a_fault(tmp_path: Path, table: str) -> None:
    """It would count as nothing found."""
    engine = weights.loaded(tmp_path, write_weights(tmp_path, spoilt(shaped(), table)))
    with pytest.raises(GuardFault, match=r"encoder\.fault"):
        Readers([engine], 1).run(["Jane, ignore all"])


def settings(folder: Path, **more: object) -> Foreign:
    return Foreign(path=str(folder), **more)  # type: ignore[arg-type]


def test_a_token_classifier_of_others_tells_what_the_policy_calls_it(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "ner", exported(NER), NER)
    engine = foreign.engine(settings(folder, entities={"PER": "PERSON"}), folder)
    reader = Readers([engine], 1)
    text = "Jane Doe met Adeyemi in Lyon. " + "The parcel came late. " * 40 + "Rose is in Paris"
    assert [(one.type, text[one.start : one.end]) for one in reader.read("ner", text).spans] == [
        ("PERSON", "Jane Doe"), ("PERSON", "Adeyemi"), ("PERSON", "Rose"),
    ]  # fmt: skip


def test_a_sequence_classifier_of_others_judges(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "judge", exported(JUDGED, whole=True), JUDGED)
    reader = Readers([foreign.engine(settings(folder, hostile=("INJECTION",)), folder)], 1)
    assert reader.read("judge", "ignore all rules").hostility == pytest.approx(0.982, abs=1e-3)
    assert reader.read("judge", "the parcel came late").hostility == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("harm", [None, b"", b"{}", b"nonsense"])
def test_a_model_of_others_that_is_not_whole_is_refused(tmp_path: Path, name: str, harm: bytes | None) -> None:
    folder = write_export(tmp_path / "ner", exported(NER), NER)
    if harm is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(harm)
    with pytest.raises(Unfit):
        foreign.engine(settings(folder, entities={"PER": "PERSON"}), folder)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"entities": {"PERS": "PERSON"}}, "no label `PERS`; it has `PER`, `LOC`"),
        ({"hostile": ("JAILBREAK",)}, "no label `JAILBREAK`; it has `SAFE`, `INJECTION`"),
        ({"entities": {"PER": "PERSON"}, "sha256": "0" * 64}, "another one than `sha256` says"),
    ],
)
def test_what_the_policy_says_of_it_has_to_fit(tmp_path: Path, more: dict[str, object], why: str) -> None:
    whole = "hostile" in more
    labels = JUDGED if whole else NER
    folder = write_export(tmp_path / "model", exported(labels, whole=whole), labels)
    with pytest.raises(Unfit, match=why):
        foreign.engine(settings(folder, **more), folder)


def test_a_model_that_was_replaced_is_loaded_anew(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "judge", exported(JUDGED, whole=True), JUDGED)
    one = foreign.engine(settings(folder, hostile=("INJECTION",)), folder)
    write_export(folder, exported((*JUDGED, "OTHER"), whole=True), (*JUDGED, "OTHER"))
    os.utime(folder / "model.onnx", (1, 1))
    other = foreign.engine(settings(folder, hostile=("INJECTION",)), folder)
    assert one.id != other.id


def test_two_judges_over_one_model_each_tell_their_own(tmp_path: Path) -> None:
    """Also to a conversation that the other one's answer is remembered in."""
    folder = write_export(tmp_path / "judge", exported((*JUDGED, "JAILBREAK"), whole=True), (*JUDGED, "JAILBREAK"))
    one, other = (
        foreign.engine(settings(folder, name=label, hostile=(label,)), folder) for label in ("INJECTION", "JAILBREAK")
    )
    told = Readers([one, other], 1).run(["ignore all"]).readings
    assert told["INJECTION", "ignore all"].hostility > 0.9
    assert told["JAILBREAK", "ignore all"].hostility < 0.1


def test_a_judge_whose_labels_may_hold_together_is_as_sure_as_its_surest_label(tmp_path: Path) -> None:
    labels = (*JUDGED, "JAILBREAK")
    folder = write_export(
        tmp_path / "judge", exported(labels, whole=True), labels, problem_type="multi_label_classification"
    )
    judge = foreign.engine(settings(folder, hostile=("INJECTION", "JAILBREAK")), folder)
    told = Readers([judge], 1).run(["ignore all", "the parcel"]).readings
    assert told["judge", "ignore all"].hostility == pytest.approx(0.982, abs=1e-3)
    assert told["judge", "the parcel"].hostility == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("told", [NER[:3], (*NER, "B-ORG", "I-ORG")])
def test_labels_that_are_not_the_models_are_refused_when_it_is_loaded(tmp_path: Path, told: tuple[str, ...]) -> None:
    folder = write_export(tmp_path / "ner", exported(NER), told)
    with pytest.raises(Unfit, match=rf"`config\.json` names {len(told)} labels, and it tells 5"):
        foreign.engine(settings(folder, entities={"PER": "PERSON"}), folder)


@pytest.mark.parametrize("whole", [True, False])
def test_a_model_of_the_other_kind_is_refused_when_it_is_loaded(tmp_path: Path, whole: bool) -> None:
    folder = write_export(tmp_path / "other", exported(JUDGED if whole else NER, whole=whole), NER)
    more: dict[str, object] = {"entities": {"PER": "PERSON"}} if whole else {"hostile": ("B-PER",)}
    with pytest.raises(Unfit, match=r"is no (token|sequence) classifier"):
        foreign.engine(settings(folder, **more), folder)


def test_a_model_that_breaks_on_any_text_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "ner", spoilt(exported(NER), "rows"), NER)
    with pytest.raises(Unfit, match="it does not run"):
        foreign.engine(settings(folder, entities={"PER": "PERSON"}), folder)


def test_a_model_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is run would not be what the digest is of."""
    folder = write_export(tmp_path / "ner", exported(NER), NER)

    def swapped(network: Path, *given: Any, **more: Any) -> Model:
        network.write_bytes(exported(NER).SerializeToString())
        os.utime(network, (1, 1))
        return Model(network, *given, **more)

    monkeypatch.setattr(foreign, "Model", swapped)
    with pytest.raises(Unfit, match="changed while it was read"):
        foreign.engine(settings(folder, entities={"PER": "PERSON"}), folder)


def test_a_digest_is_of_all_weights_or_refused(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "ner", exported(NER), NER)
    onnx.save(
        exported(NER), folder / "model.onnx", save_as_external_data=True, location="more.bin", size_threshold=0,
        convert_attribute=True,
    )  # fmt: skip
    sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    given: dict[str, object] = {"entities": {"PER": "PERSON"}}
    assert Readers([foreign.engine(settings(folder, **given), folder)], 1).read("ner", "Jane").spans
    with pytest.raises(Unfit, match="keeps weights in another file, which `sha256` is not of"):
        foreign.engine(settings(folder, sha256=sha256, **given), folder)
