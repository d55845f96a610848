"""Small models, made here: a table from word pieces to what is said of them, in the form of the real ones.

Each piece says by itself which label it has; a text is as hostile as its most hostile piece. So what has to come out
can be said without a model, and whatever goes wrong between text and finding shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from aigov.encoder.cases import NAMES, TITLE
from aigov.encoder.pieces import Tokeniser

TYPES = ("PERSON", "LOCATION", "ORGANIZATION", "NRP", "DATE_TIME", "USERNAME", "TITLE")
LABELS = ("O", *(f"{tag}-{name}" for name in TYPES for tag in "BI"))
WORDS: Mapping[str, str] = {
    "jane": "B-PERSON", "##s": "", "doe": "I-PERSON", "rose": "B-PERSON", "ade": "B-PERSON", "##ye": "I-PERSON",
    "##mi": "I-PERSON", "lyon": "B-LOCATION", "paris": "B-LOCATION", "acme": "B-ORGANIZATION", "french": "B-NRP",
    "jd": "B-USERNAME", "dr": "B-TITLE", "ignore": "", "all": "", "rules": "", "the": "", "parcel": "", "came": "",
    "late": "", "and": "", "is": "", "in": "", "hello": "", "to": "", "from": "", "hi": "", "i": "", "m": "", "met": "",
    "14": "", "rue": "B-LOCATION", "des": "I-LOCATION", "lilas": "I-LOCATION",
}  # fmt: skip
SIGNS = ".,;:!?'\"-()[]{}/@#*_\\"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
HOSTILE = "ignore"
SURE, WIDTH = 4.0, 384


def tokeniser() -> Tokenizer:
    """BERT's word pieces over the words above."""
    made = Tokenizer(models.WordPiece(vocabulary(), unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def vocabulary() -> dict[str, int]:
    """The numbers of the pieces."""
    return {piece: at for at, piece in enumerate((*SPECIAL, *SIGNS, *WORDS))}


def shaped(labels: Sequence[str] = LABELS, *, cased: bool = False, after: str = "") -> onnx.ModelProto:
    """The shipped model's form. `cased`: only a piece that begins in a capital is a name.

    `after`: only the piece that follows this one is a person, so that a label depends on what a window sees.
    """
    words = vocabulary()
    rows = numpy.zeros((len(words), len(labels)), numpy.float32)
    rows[:, 0] = SURE / 2
    for word, label in WORDS.items():
        if label in labels:
            rows[words[word], labels.index(label)] = SURE
    hostile = numpy.full((len(words), 1), -3, numpy.float32)
    hostile[words[HOSTILE]] = 3
    meaning = numpy.random.default_rng(0).normal(size=(len(words), WIDTH)).astype(numpy.float32)
    by_case = numpy.zeros((len(NAMES), len(labels)), numpy.float32)
    if cased:
        by_case[:, 0] = SURE
        by_case[TITLE, 0] = 0
    follows = numpy.zeros((len(words), len(labels)), numpy.float32)
    if after:
        rows[:, 1:] = 0
        follows[words[after], labels.index("B-PERSON")] = 2 * SURE
    nodes = [
        helper.make_node("Slice", ["input_ids", "first", "end", "axis"], ["earlier"]),
        helper.make_node("Slice", ["input_ids", "first", "second", "axis"], ["start"]),
        helper.make_node("Concat", ["start", "earlier"], ["before"], axis=1),
        helper.make_node("Gather", ["follows", "before"], ["followed"]),
        helper.make_node("Gather", ["rows", "input_ids"], ["alone"]),
        helper.make_node("Add", ["alone", "followed"], ["plain"]),
        helper.make_node("Gather", ["by_case", "token_type_ids"], ["written"]),
        helper.make_node("Add", ["plain", "written"], ["entities"]),
        helper.make_node("Gather", ["hostile", "input_ids"], ["each"]),
        helper.make_node("Cast", ["attention_mask"], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["each"], ["most"], axes=[1, 2], keepdims=0),
        helper.make_node("ReduceMax", ["seen"], ["one"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["most", "one"], ["hostility"]),
        helper.make_node("Gather", ["meaning", "input_ids"], ["meant"]),
        helper.make_node("ReduceMean", ["meant"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("LpNormalization", ["mean"], ["vector"], axis=1, p=2),
    ]
    places = {"first": [0], "second": [1], "end": [-1], "axis": [1]}
    tables = {"rows": rows, "by_case": by_case, "hostile": hostile, "meaning": meaning, "follows": follows}
    tables.update({name: numpy.array(value, numpy.int64) for name, value in places.items()})
    rows_of: list[str | int] = ["b", "t", len(labels)]
    outputs: dict[str, list[str | int]] = {"entities": rows_of, "hostility": ["b"], "vector": ["b", WIDTH]}
    return _model(nodes, tables, outputs, ("input_ids", "attention_mask", "token_type_ids"))


def exported(labels: Sequence[str], *, whole: bool = False) -> onnx.ModelProto:
    """A transformers export's form: one output `logits`, a row for each piece or one of the `whole`."""
    words = vocabulary()
    rows = numpy.zeros((len(words), len(labels)), numpy.float32)
    if whole:
        rows[words[HOSTILE], 1] = SURE
    else:
        rows[:, 0] = SURE / 2
        for word, label in WORDS.items():
            short = label.replace("PERSON", "PER").replace("LOCATION", "LOC")
            if short in labels:
                rows[words[word], labels.index(short)] = SURE
    nodes = [helper.make_node("Gather", ["rows", "input_ids"], ["each" if whole else "logits"])]
    if whole:
        nodes.append(helper.make_node("ReduceMax", ["each"], ["logits"], axes=[1], keepdims=0))
    return _model(
        nodes, {"rows": rows}, {"logits": ["b", len(labels)] if whole else ["b", "t", len(labels)]}, ("input_ids",)
    )


def _model(
    nodes: list[onnx.NodeProto],
    tables: Mapping[str, Any],
    outputs: Mapping[str, list[str | int]],
    inputs: Sequence[str],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "small",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "t"]) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(table, name) for name, table in tables.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def write_weights(folder: Path, model: onnx.ModelProto | None = None, **changed: Any) -> str:
    """Put weights of the shipped form into a folder; the digest of their card."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes((model or shaped()).SerializeToString())
    (folder / "tokenizer.json").write_text(tokeniser().to_str(), encoding="utf-8")
    files = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.onnx", "tokenizer.json")
    }
    card = {
        "labels": LABELS, "cases": NAMES, "hostility": {"slope": 1.0, "bias": 0.0}, "max_tokens": 256, "files": files,
        "made": "in a test", **changed,
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return hashlib.sha256((folder / "card.json").read_bytes()).hexdigest()


def write_export(folder: Path, model: onnx.ModelProto, labels: Sequence[str], **changed: object) -> Path:
    """Put a model into a folder as transformers exports it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "tokenizer.json").write_text(tokeniser().to_str(), encoding="utf-8")
    config = {"id2label": dict(enumerate(labels)), "max_position_embeddings": 64, "model_type": "bert", **changed}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def cutter() -> Tokeniser:
    """The tokeniser as the room runs it."""
    return Tokeniser(tokeniser().to_str().encode())
