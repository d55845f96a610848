"""A model as it is run: the one door to `onnxruntime`.

A window is run by itself, never padded beside others: an int8 model finds its scales anew for each run, over all that
it is given, so that what stands in one text would change what is found in another.

Invariants:
* The same pieces and case classes give the same answer, whatever else is asked, and by whom.
* A run takes one thread, the caller's; the session has none of its own. Safe to share between threads.
* A model whose inputs or outputs are not what its card says is refused when it is loaded, not when it is asked.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aigov.encoder.pieces import Pieces, Tokeniser
from aigov.encoder.windows import Window

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
QUIET = 3  # of onnxruntime's levels: errors alone; its warnings are about nodes of the graph


class Answer(NamedTuple):
    """What a model says of one window: rows of logits, one a piece without prefix and suffix; the rest as it comes.

    `entities`: None for a model that tells none. `sequence`: logits of the whole, or None. `vector`: or None.
    """

    entities: Any
    sequence: Any
    vector: Any


class Outputs(NamedTuple):
    """The names of a model's outputs; "" for what it does not tell."""

    entities: str = ""
    sequence: str = ""
    vector: str = ""


class Unfit(Exception):
    """A model that cannot be used, and why; names of inputs and files, nothing else."""


class Model:
    """One model and its tokeniser, loaded. `cased`: its token types are case classes. `most`: pieces of a window."""

    __slots__ = ("_cased", "_inputs", "_outputs", "_session", "most", "tokeniser")

    def __init__(self, network: Path, tokeniser: Tokeniser, outputs: Outputs, *, most: int, cased: bool) -> None:
        """`network`: an ONNX file. `most`: pieces that it reads at most, prefix and suffix too. Raises Unfit."""
        self._session = _session(network)
        self._outputs = outputs
        self._cased = cased
        self.tokeniser = tokeniser
        self.most = most - len(tokeniser.prefix) - len(tokeniser.suffix)
        self._inputs = frozenset(one.name for one in self._session.get_inputs())
        there = {one.name for one in self._session.get_outputs()}
        missing = sorted({name for name in outputs if name} - there)
        if missing or IDS not in self._inputs or not self._inputs <= {IDS, MASK, TYPES}:
            what = f"no output `{missing[0]}`" if missing else f"its inputs are {', '.join(sorted(self._inputs))}"
            raise Unfit(what)

    def run(self, pieces: Pieces, window: Window) -> Answer:
        """What the model says of one window. Raises Unfit for what are no numbers, and what onnxruntime raises."""
        import numpy

        names = [name for name in self._outputs if name]
        told = dict(zip(names, self._session.run(names, self._fed(pieces, window)), strict=True))
        if not all(numpy.isfinite(one).all() for one in told.values()):
            raise Unfit("its answer is not made of numbers")  # which would count as nothing found
        before, after = len(self.tokeniser.prefix), len(self.tokeniser.suffix)
        rows = told.get(self._outputs.entities)
        return Answer(
            entities=None if rows is None else rows[0, before : rows.shape[1] - after],
            sequence=None if not self._outputs.sequence else told[self._outputs.sequence][0],
            vector=None if not self._outputs.vector else told[self._outputs.vector][0],
        )

    def key(self, pieces: Pieces, window: Window) -> bytes:
        """All that the answer for a window depends on, as bytes: its pieces, and their case where it is told."""
        ids = array("q", pieces.ids[window.left : window.right]).tobytes()
        return ids + bytes(pieces.cases[window.left : window.right]) if self._cased else ids

    def _fed(self, pieces: Pieces, window: Window) -> Mapping[str, Any]:
        import numpy

        made = self.tokeniser
        ids = (*made.prefix, *pieces.ids[window.left : window.right], *made.suffix)
        cases = (*_zeros(made.prefix), *pieces.cases[window.left : window.right], *_zeros(made.suffix))
        fed = {IDS: numpy.array([ids], numpy.int64), MASK: numpy.ones((1, len(ids)), numpy.int64)}
        fed[TYPES] = numpy.array([cases], numpy.int64) if self._cased else numpy.zeros((1, len(ids)), numpy.int64)
        return {name: value for name, value in fed.items() if name in self._inputs}

    def __repr__(self) -> str:
        return f"Model(most={self.most})"


def _zeros(some: Sequence[int]) -> tuple[int, ...]:
    return (0,) * len(some)


def digest(file: Path) -> Any:
    """The SHA-256 of a file, going. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256")


def _session(network: Path) -> Any:
    """A session over a file: over its bytes, onnxruntime would hold these too."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(QUIET)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = QUIET
    try:
        return onnxruntime.InferenceSession(os.fspath(network), options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - the library's exceptions have no common class; what it cannot load is refused
        raise Unfit("onnxruntime cannot read it") from None
