"""The weights that are shipped: read only if they are the very ones, and loaded once in a process.

Invariants:
* `CARD` is the SHA-256 of `card.json`, which holds those of the other files: the code says which weights it runs.
* A file that changed between its check and its use is refused as well.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache
from pathlib import Path
from typing import Annotated

import msgspec

from aigov.encoder import cases
from aigov.encoder.engine import Engine
from aigov.encoder.labels import Labels
from aigov.encoder.model import Model, Outputs, Unfit, digest
from aigov.encoder.pieces import Tokeniser
from aigov.encoder.windows import READ

FOLDER = Path(__file__).with_name("weights")
CARD = "1ef45e7d2eabb5ef7ce69d77aa5f0dd6b0d1887d8941aee8785a7b967242c79b"
NAME = "EncoderRecognizer"
OUTPUTS = Outputs("entities", "hostility", "vector")
NETWORK, TOKENISER = "model.onnx", "tokenizer.json"
ALTERED = "its file `{}` is not the one that was shipped"


class Calibration(msgspec.Struct, frozen=True):
    """How the logit of hostility becomes a probability: the logistic function of `slope * logit + bias`."""

    slope: float
    bias: float

    def __call__(self, logit: object) -> float:
        """The probability that belongs to a logit."""
        z = self.slope * float(logit) + self.bias  # type: ignore[arg-type]
        return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


class Card(msgspec.Struct, frozen=True):
    """What `card.json` says that running takes; the rest of it is for people."""

    labels: tuple[str, ...]
    cases: tuple[str, ...]
    hostility: Calibration
    max_tokens: Annotated[int, msgspec.Meta(ge=32)]
    files: dict[str, str]


def shipped() -> Engine:
    """The engine over the shipped weights, telling every type that they know. Raises Unfit."""
    return loaded(FOLDER, CARD)


@cache
def loaded(folder: Path, card: str) -> Engine:
    """The engine over the weights in `folder`, whose card has the SHA-256 `card`. Raises Unfit."""
    if not card:
        raise Unfit("this build has no weights")
    text = _read(folder, "card.json", card)
    try:
        told = msgspec.json.decode(text, type=Card)
        labels = Labels(told.labels)
        tokeniser = Tokeniser(_read(folder, TOKENISER, told.files[TOKENISER]))
        return _engine(told, labels, tokeniser, folder / NETWORK, bytes.fromhex(card))
    except (msgspec.DecodeError, KeyError, ValueError):
        pass
    raise Unfit("`card.json` does not describe weights that this version runs")


def _engine(card: Card, labels: Labels, tokeniser: Tokeniser, network: Path, id: bytes) -> Engine:
    if len(card.cases) != len(cases.NAMES):
        raise ValueError("other case classes")
    before = _stamp(network, card.files[NETWORK])
    model = Model(network, tokeniser, OUTPUTS, most=min(card.max_tokens, READ), cased=True)
    if _stamp(network, "") != before:
        raise Unfit(ALTERED.format(NETWORK))
    every = {kind: kind for kind in labels.types}
    return Engine(NAME, model, id, labels=labels, entities=every, hostile=card.hostility)


def _stamp(network: Path, sha256: str) -> tuple[int, int, int]:
    """Size, time and place of the network, and its digest checked where one is given. Raises Unfit."""
    try:
        status, wrong = network.stat(), bool(sha256) and digest(network).hexdigest() != sha256
    except OSError:
        raise Unfit(f"its file `{network.name}` is missing") from None
    if wrong or not status.st_size:
        raise Unfit(ALTERED.format(network.name) if status.st_size else f"its file `{network.name}` is missing")
    return status.st_size, status.st_mtime_ns, status.st_ino


def _read(folder: Path, name: str, digest: str) -> bytes:
    try:
        content = (folder / name).read_bytes()
    except OSError:
        content = b""
    if not content:
        raise Unfit(f"its file `{name}` is missing")
    if hashlib.sha256(content).hexdigest() != digest:
        raise Unfit(ALTERED.format(name))
    return content
