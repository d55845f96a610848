"""From what a model says of each word to spans: the likeliest sequence of labels that makes sense.

Labels are `O`, and `B-TYPE` and `I-TYPE` for the first and the further words of a span. Models of others may write
`S-`, `U-`, `E-` and `L-`, or tell no beginning (`TYPE` or `I-TYPE` alone): then words of one type in a row are a span.

Invariants:
* A span holds whole words. A word's pieces vote on its label together; of a model that was taught on first pieces
  alone, the first one decides.
* No `I-TYPE` follows anything but a `B-TYPE` or `I-TYPE` of its own type.
* The score of a span is the mean, over its words, of the probability of its type.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

BEGIN, INSIDE, ANY = "B", "I", "*"
OUTSIDE = "O"
_READ_AS = {"B": BEGIN, "S": BEGIN, "U": BEGIN, "I": INSIDE, "E": INSIDE, "L": INSIDE, "M": INSIDE}
_NEVER = -1e9


class Tagged(NamedTuple):
    """A span in words of a window, from `first` up to and without `last`."""

    type: str
    first: int
    last: int
    score: float


class Labels:
    """The labels of one model, in the order of its outputs. `types`: all that it tells of, as it names them."""

    __slots__ = ("_columns", "_follows", "_further", "_outside", "_starts", "_tags", "types")

    def __init__(self, names: Sequence[str], *, firsts: bool = False) -> None:
        """`firsts`: the first piece of a word decides. Raises ValueError for no `O`, nothing else, or a name twice."""
        import numpy

        if OUTSIDE not in names or len(set(names)) != len(names) or len(names) < 2:
            raise ValueError("labels are `O` and others, each once")
        self._tags, self._outside = _tags(names), names.index(OUTSIDE)
        self.types = tuple(dict.fromkeys(kind for tag, kind in self._tags if tag))
        self._columns = {kind: [at for at, (_, other) in enumerate(self._tags) if other == kind] for kind in self.types}
        self._follows = numpy.array([[0.0 if _may(a, b) else _NEVER for b in self._tags] for a in self._tags])
        self._further = None if firsts else [self._tags.index(_further(one, self._tags)) for one in self._tags]
        self._starts = numpy.array([0.0 if tag != INSIDE else _NEVER for tag, _ in self._tags])

    def spans(self, logits: Any, words: Sequence[int]) -> list[Tagged]:
        """The spans in words of a window, from a row of logits for each piece. `words`: the first piece of each."""
        import numpy

        if not words or bool((logits.argmax(axis=1) == self._outside).all()):
            return []  # where no piece votes for anything, no word is anything
        logits = logits - logits.max(axis=1, keepdims=True)
        logs = self._voted(logits - numpy.log(numpy.exp(logits).sum(axis=1, keepdims=True)), words)
        chosen = logs.argmax(axis=1).tolist()
        if not self._tags[chosen[0]][0] and chosen.count(chosen[0]) == len(chosen):
            return []
        if not self._sound(chosen):
            chosen = self._likeliest(logs)
        shares = numpy.exp(logs)
        shares /= shares.sum(axis=1, keepdims=True)
        return [
            Tagged(kind, first, last, self._score(shares, kind, first, last))
            for kind, first, last in self._runs(chosen)
        ]

    def _voted(self, logs: Any, words: Sequence[int]) -> Any:
        """A row of log probabilities for each word: the mean over its pieces, the further ones as its inside."""
        import numpy

        if self._further is None or len(words) == len(logs):
            return logs[words]
        voted = logs[:, self._further]
        voted[words] = logs[words]
        counts = numpy.diff([*words, len(logs)])
        return numpy.add.reduceat(voted, words, axis=0) / counts[:, None]

    def _sound(self, chosen: Sequence[int]) -> bool:
        """Whether each word's likeliest label may follow the one before it: then no other sequence is likelier."""
        if self._starts[chosen[0]] < 0:
            return False
        return all(self._follows[a, b] == 0 for a, b in pairwise(chosen))

    def _likeliest(self, logs: Any) -> list[int]:
        """Viterbi: the likeliest sequence in which every label may follow the one before it."""
        import numpy

        best = logs[0] + self._starts
        back = []
        for row in logs[1:]:
            paths = best[:, None] + self._follows
            back.append(paths.argmax(axis=0))
            best = paths.max(axis=0) + row
        chosen = [int(numpy.argmax(best))]
        for step in reversed(back):
            chosen.append(int(step[chosen[-1]]))
        return chosen[::-1]

    def _runs(self, chosen: Iterable[int]) -> list[tuple[str, int, int]]:
        runs: list[tuple[str, int, int]] = []
        open_ = ""
        for at, label in enumerate(chosen):
            tag, kind = self._tags[label]
            if tag and tag != BEGIN and kind == open_:
                runs[-1] = (kind, runs[-1][1], at + 1)
            elif tag:
                runs.append((kind, at, at + 1))
            open_ = kind
        return runs

    def _score(self, shares: Any, kind: str, first: int, last: int) -> float:
        return float(shares[first:last, self._columns[kind]].sum(axis=1).mean())

    def __repr__(self) -> str:
        return f"Labels({', '.join(self.types)})"


def _tags(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each label as tag and type; both empty for `O`."""
    parts = [name.partition("-") for name in names]
    told = [(_READ_AS[head], rest) if rest and head in _READ_AS else (ANY, "".join((head, dash, rest)))
            for head, dash, rest in parts]  # fmt: skip
    begun = {kind for tag, kind in told if tag == BEGIN}
    return [
        ("", "") if name == OUTSIDE else (ANY if tag == INSIDE and kind not in begun else tag, kind)
        for name, (tag, kind) in zip(names, told, strict=True)
    ]


def _further(tag: tuple[str, str], tags: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """What the further pieces of a word with this label have."""
    inside = (INSIDE, tag[1])
    return inside if tag[0] == BEGIN and inside in tags else tag


def _may(before: tuple[str, str], after: tuple[str, str]) -> bool:
    return after[0] != INSIDE or (before[1] == after[1] and before[0] != "")
