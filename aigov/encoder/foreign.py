"""Models of others: a transformers export in a local folder, run as the shipped one is.

Invariants:
* Nothing is fetched: a folder that is not there is an error that says with which command to make it.
* A tokeniser that tells no words is an error for a token classifier: a name would be the whole text.
* A label that the policy names and the model lacks is an error: it would find nothing.
* So is a model that tells another number of labels than its `config.json`, or not of what it is asked: it is tried.
"""

from __future__ import annotations

import hashlib
import math
import mmap
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from aigov.encoder.engine import Engine
from aigov.encoder.labels import Labels
from aigov.encoder.model import Model, Outputs, Unfit, digest
from aigov.encoder.pieces import Tokeniser
from aigov.encoder.settings import Foreign
from aigov.encoder.windows import READ, Window

LOGITS = "logits"
_ELSEWHERE = b"\n\x08location"  # in an ONNX file: a tensor lies in another file, whose name follows
NETWORK, TOKENISER, CONFIG = "model.onnx", "tokenizer.json", "config.json"


class Config(msgspec.Struct, frozen=True):
    """What is read of `config.json`."""

    id2label: dict[str, str]
    problem_type: str | None = None
    max_position_embeddings: int = 512

    @property
    def several(self) -> bool:
        """Whether more than one label of a sequence may hold."""
        return self.problem_type == "multi_label_classification"

    @property
    def labels(self) -> list[str]:
        """The labels in the order of the outputs. Raises KeyError where one is missing."""
        return [self.id2label[str(at)] for at in range(len(self.id2label))]


class Hostile:
    """The probability of some labels of a sequence classifier; of one with a single output, of that.

    `several`: each label holds or not, whatever the others do; then it is that of the likeliest.
    """

    __slots__ = ("_columns", "_several")

    def __init__(self, labels: Sequence[str], hostile: Sequence[str], several: bool = False) -> None:
        self._columns, self._several = [labels.index(name) for name in hostile], several

    def __call__(self, logits: Any) -> float:
        """The probability, from one row of logits."""
        row = [float(one) for one in logits]
        if self._several or len(row) == 1:
            most = max(row[at] for at in self._columns)
            return 1 / (1 + math.exp(-max(-60.0, min(60.0, most))))
        shares = [math.exp(one - max(row)) for one in row]
        return min(1.0, sum(shares[at] for at in self._columns) / sum(shares))


def export_command(settings: Foreign) -> str:
    """How such a folder is made."""
    task = "text-classification" if settings.hostile else "token-classification"
    command = f"optimum-cli export onnx --model ORGANISATION/MODEL --task {task} FOLDER"
    return f"make the folder where there is a network: `{command}`"


def engine(settings: Foreign, folder: Path) -> Engine:
    """The engine over a model of others. Raises Unfit."""
    config, model, id = _loaded(folder, _stamp(folder), settings.sha256, bool(settings.hostile))
    try:
        labels = config.labels
    except KeyError:
        raise Unfit(f"`{CONFIG}` does not number its labels from 0") from None
    if settings.hostile:
        _known(settings.hostile, labels)
        judge = Hostile(labels, settings.hostile, config.several)
        own = hashlib.sha256(id + msgspec.json.encode(settings.hostile)).digest()  # what is remembered is its judgement
        return Engine(settings.known_as, model, own, hostile=judge)
    if not model.tokeniser.words:
        raise Unfit(f"`{TOKENISER}` does not tell where words begin")
    try:
        told = Labels(labels, firsts=True)
    except ValueError as error:
        why = str(error)
    else:
        _known(tuple(settings.entities), told.types)
        return Engine(settings.known_as, model, id, labels=told, entities=settings.entities)
    raise Unfit(why)


def _known(named: Sequence[str], there: Sequence[str]) -> None:
    for name in named:
        if name not in there:
            raise Unfit(f"it has no label `{name}`; it has {', '.join(f'`{one}`' for one in there)}")


def _stamp(folder: Path) -> tuple[tuple[int, int, int], ...]:
    """Sizes, times and places of the files: they differ when one of them was replaced."""
    try:
        every = [(folder / name).stat() for name in (NETWORK, TOKENISER, CONFIG)]
    except OSError:
        return ()
    return tuple((one.st_size, one.st_mtime_ns, one.st_ino) for one in every)


@lru_cache(maxsize=8)
def _loaded(
    folder: Path, stamp: tuple[tuple[int, int, int], ...], sha256: str | None, whole: bool
) -> tuple[Config, Model, bytes]:
    config_text, tokeniser_text = _file(folder, CONFIG), _file(folder, TOKENISER)
    id = _digest(folder)
    if sha256 is not None and id.hexdigest() != sha256:
        raise Unfit(f"`{NETWORK}` is another one than `sha256` says")
    try:
        config = msgspec.json.decode(config_text, type=Config)
        tokeniser = Tokeniser(tokeniser_text)
    except (msgspec.DecodeError, ValueError):
        raise Unfit(f"`{CONFIG}` or `{TOKENISER}` is not as transformers writes it") from None
    outputs = Outputs(sequence=LOGITS) if whole else Outputs(entities=LOGITS)
    most = max(8, min(READ, config.max_position_embeddings - 2))  # some count positions from 2
    model = Model(folder / NETWORK, tokeniser, outputs, most=most, cased=False)
    if _stamp(folder) != stamp:
        raise Unfit("it changed while it was read")
    if sha256 is not None and _elsewhere(folder / NETWORK):
        raise Unfit(f"`{NETWORK}` keeps weights in another file, which `sha256` is not of")
    _try(model, len(config.id2label), whole)
    for text in (tokeniser_text, config_text):
        id.update(text)
    return config, model, id.digest()


def _try(model: Model, labels: int, whole: bool) -> None:
    """Raise Unfit unless the model tells so many labels, of a text as a whole or of each piece."""
    pieces = model.tokeniser.cut("a a")
    try:
        told = model.run(pieces, Window(0, 0, len(pieces), len(pieces)))
    except Exception:  # noqa: BLE001 - onnxruntime's have no common class; what does not run is refused
        told = None
    if told is None:
        raise Unfit("it does not run")
    shape = (told.sequence if whole else told.entities).shape
    if len(shape) != (1 if whole else 2):
        raise Unfit(f"it is no {'sequence' if whole else 'token'} classifier")
    if shape[-1] != labels:
        raise Unfit(f"`{CONFIG}` names {labels} labels, and it tells {shape[-1]}")


def _elsewhere(network: Path) -> bool:
    """Whether weights of a model lie in other files."""
    with network.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        return held.find(_ELSEWHERE) >= 0


def _digest(folder: Path) -> Any:
    try:
        return digest(folder / NETWORK)
    except OSError:
        pass
    raise Unfit(f"there is no file `{NETWORK}` in the folder")


def _file(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError:
        pass
    raise Unfit(f"there is no file `{name}` in the folder")
