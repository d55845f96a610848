"""From a trained model to what the package ships: one int8 ONNX file, its tokeniser and its card.

`python -m training.export --trained DIR --data DIR --out aigov/encoder/weights`

1. Export in single precision, attention written out; weights in eight bits, a scale for each channel.
2. Hostility is calibrated on what was held back, as the eight-bit model gives it.
3. The card names digests, labels, cases, limits and the figures of the calibration.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

from aigov.encoder.cases import NAMES, classes
from training import base, vocabulary
from training.encode import PIECES
from training.mixture import Sources, judged_alone
from training.model import Judge
from training.tagged import LABELS, Tagged

NAMES_OF_OUTPUTS = ("entities", "hostility", "vector")


def to_onnx(model: Judge, path: Path) -> None:
    """The model in single precision."""
    example = tuple(torch.ones((2, 16), dtype=torch.long) for _ in range(3))
    named = ("input_ids", "attention_mask", "token_type_ids")
    axes = {name: {0: "batch", 1: "pieces"} for name in (*named, "entities")} | {
        "hostility": {0: "batch"},
        "vector": {0: "batch"},
    }
    torch.onnx.export(
        model.eval(),
        example,
        str(path),
        input_names=list(named),
        output_names=list(NAMES_OF_OUTPUTS),
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )


def in_eight_bits(path: Path, out: Path) -> None:
    """Weights in eight bits; what is added up stays exact."""
    quantize_dynamic(
        str(path),
        str(out),
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
    )


class Exported:
    """The exported model, asked as the package asks it."""

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def hostility(self, texts: Sequence[str]) -> np.ndarray:
        """The logit of each text's first window."""
        return np.array([float(self._asked(text)[1][0]) for text in texts])

    def _asked(self, text: str) -> list[np.ndarray]:
        pieces = self._tokenizer.encode(text)
        ids, offsets = pieces.ids[:PIECES], pieces.offsets[:PIECES]
        given = (ids, [1] * len(ids), classes(text, offsets))
        feed = {
            name: np.array([values], dtype=np.int64)
            for name, values in zip(("input_ids", "attention_mask", "token_type_ids"), given, strict=True)
        }
        return self._session.run(None, feed)


def calibrated(model: Exported, held: Sequence[Tagged]) -> tuple[dict[str, float], int]:
    """Slope and bias under which the sigmoid of the logit is the share of attacks among texts like these.

    Attacks weigh one in five. Also gives how many texts were asked.
    """
    chosen = [one for one in held if one.hostile is not None and one.weight > 0.5 and len(one.text) < 1200]
    logits, labels = model.hostility([one.text for one in chosen]), np.array([one.hostile for one in chosen])
    share = labels.mean()
    weights = np.where(labels > 0.5, 0.2 / share, 0.8 / (1 - share))
    fitted = LogisticRegression(C=1e6).fit(logits[:, None], labels, sample_weight=weights)
    return {"slope": round(float(fitted.coef_[0, 0]), 4), "bias": round(float(fitted.intercept_[0]), 4)}, len(chosen)


def main() -> None:
    logging.getLogger().setLevel(logging.ERROR)
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("trained", "data", "out"):
        ask.add_argument(f"--{name}", type=Path, required=True)
    asked = ask.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    model = Judge(base.folder())
    model.load_state_dict(torch.load(asked.trained / "model.pt", weights_only=True))
    # Of the other ways to attend the export makes masks that take a third of the time of a long text.
    model.bert.set_attn_implementation("eager")
    read = vocabulary.trimmed(vocabulary.published(base.folder()))
    (asked.out / "tokenizer.json").write_text(
        json.dumps(read, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
    )
    with tempfile.TemporaryDirectory() as scratch:
        full = Path(scratch) / "full.onnx"
        to_onnx(model, full)
        in_eight_bits(full, asked.out / "model.onnx")
    onnx.checker.check_model(str(asked.out / "model.onnx"))
    card(asked.out, asked.data)


def card(folder: Path, data: Path) -> None:
    """Write the card beside the weights, and print the digest that the code has to name."""
    hostility, texts = calibrated(Exported(folder), judged_alone(Sources.of(data, held=True)))
    written = {
        "labels": list(LABELS),
        "cases": list(NAMES),
        "max_tokens": 256,
        "hostility": hostility,
        "calibrated_on": texts,
        "base": "sentence-transformers/all-MiniLM-L6-v2, Apache-2.0",
        "files": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.onnx", "tokenizer.json")
        },
    }
    path = folder / "card.json"
    path.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    sizes = {one.name: one.stat().st_size for one in sorted(folder.iterdir())}
    print(json.dumps({"card": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": sizes, **hostility}))


if __name__ == "__main__":
    main()
