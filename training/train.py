"""From texts to weights: `python -m training.train --data DIR --out DIR`; goes on where it was stopped.

1. An epoch's texts are made anew (`mixture`) and cut into batches of like length; the last two have more attacks.
2. Labels: what the model gives to all labels that may be right is made likely; what a source does not tag teaches
   nothing.
3. Hostility: cross entropy, weighed by how far the source is trusted, with soft targets.
4. Meaning: the sentence vector is held to the base model's.
5. The weights that count are a running mean over the steps.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from training import base, vocabulary
from training.encode import ANY, Encoded, encode
from training.mixture import Amounts, Sources, epoch, settling
from training.model import Judge, meant, teacher
from training.shipped import restore
from training.tagged import LABELS

BATCH_PIECES = 3072
MEANING_EVERY = 5  # batches: the base model reads one in so many too
SOFT = 0.02  # hostility is never taken to be quite certain


def batches(texts: Sequence[Encoded], rng: random.Random) -> list[list[Encoded]]:
    """Batches of texts of about the same length, in any order."""
    ordered = sorted(texts, key=lambda one: len(one.pieces) + rng.random() * 4)
    made, batch, longest = [], [], 0
    for one in ordered:
        longest = max(longest, len(one.pieces))
        if batch and longest * (len(batch) + 1) > BATCH_PIECES:
            made.append(batch)
            batch, longest = [], len(one.pieces)
        batch.append(one)
    made.append(batch)
    rng.shuffle(made)
    return made


def tensors(batch: Sequence[Encoded]) -> dict[str, Tensor]:
    """A batch, padded."""
    length = max(len(one.pieces) for one in batch)

    def padded(name: str, filler: int) -> Tensor:
        rows = np.full((len(batch), length), filler, dtype=np.int64)
        for row, one in enumerate(batch):
            values = getattr(one, name)
            rows[row, : len(values)] = values
        return torch.from_numpy(rows)

    ids = padded("pieces", 0)
    mask = torch.zeros_like(ids)
    for row, one in enumerate(batch):
        mask[row, : len(one.pieces)] = 1
    return {
        "ids": ids, "mask": mask, "cases": padded("cases", 0), "allowed": padded("allowed", ANY),
        "hostile": torch.tensor([one.hostile for one in batch]), "weight": torch.tensor([one.weight for one in batch]),
    }  # fmt: skip


def label_loss(logits: Tensor, allowed: Tensor) -> Tensor:
    """How unlikely the labels that may be right are, over the pieces of which something is known."""
    bits = (allowed.unsqueeze(-1) >> torch.arange(len(LABELS))) & 1
    known = allowed != ANY
    if not known.any():
        return logits.sum() * 0
    chances = torch.log_softmax(logits[known].float(), -1)
    right = chances.masked_fill(bits[known] == 0, -1e4)
    named = 1.0 + 1.0 * (allowed[known] & 1 == 0).float()  # names are rarer than words
    return -(torch.logsumexp(right, -1) * named).sum() / named.sum()


def hostility_loss(logits: Tensor, hostile: Tensor, weight: Tensor) -> Tensor:
    """Cross entropy, each text weighed by how far its label is trusted."""
    target = hostile.clamp(0) * (1 - 2 * SOFT) + SOFT
    each = nn.functional.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    return (each * weight).sum() / (weight.sum() + 1e-6)


def groups(model: Judge, rate: float) -> list[dict[str, object]]:
    """New parameters learn faster than the base's."""
    new = ("labels", "attend", "hostile", "meaning", "token_type")
    fast = [value for name, value in model.named_parameters() if any(part in name for part in new)]
    slow = [value for name, value in model.named_parameters() if not any(part in name for part in new)]
    return [{"params": slow, "lr": rate}, {"params": fast, "lr": rate * 5}]


class Mean:
    """A running mean of a model's weights."""

    def __init__(self, model: Judge, keep: float = 0.99) -> None:
        self.model, self._keep = copy.deepcopy(model).eval(), keep

    @torch.no_grad()
    def take(self, model: Judge, keep: float | None = None) -> None:
        for mine, theirs in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs, 1 - (self._keep if keep is None else keep))


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--data", type=Path, required=True, help="folder of the public sets")
    ask.add_argument("--out", type=Path, required=True, help="folder for the state and the finished model")
    ask.add_argument("--epochs", type=int, default=5)
    ask.add_argument("--rate", type=float, default=1.2e-4)
    ask.add_argument("--seed", type=int, default=7)
    ask.add_argument("--threads", type=int, default=2)
    ask.add_argument("--begin", type=Path, help="folder of exported weights to go on from; the base model unless given")
    ask.add_argument("--without", nargs="*", default=[], help="families that are held back whole")
    ask.add_argument("--limit", type=int, default=0, help="texts an epoch, for a trial")
    for name, value in vars(Amounts()).items():
        ask.add_argument(f"--{name}", type=int, default=value)
    asked = ask.parse_args()
    torch.manual_seed(asked.seed)
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)
    Training(asked).run()


class Training:
    """The whole of a training, kept after each epoch."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self._asked = asked
        self._tokenizer = vocabulary.tokenizer(base.folder())
        self._sources = Sources.of(asked.data, held=False, without=frozenset(asked.without))
        self._amounts = Amounts(**{name: getattr(asked, name) for name in vars(Amounts())})
        self._model, self._teacher = Judge(base.folder()), teacher(base.folder())
        if asked.begin:
            restore(self._model, asked.begin / "model.onnx")
        self._mean = Mean(self._model)
        self._optimiser = torch.optim.AdamW(groups(self._model, asked.rate), weight_decay=0.01, fused=True)
        self._half = torch.backends.cpu.get_cpu_capability() in ("AVX512", "AVX2") and _has_bf16()

    def run(self) -> None:
        """Every epoch that is left; the state lies in `out` after each."""
        state = self._asked.out / "state.pt"
        begin = self._restored(state) if state.exists() else 0
        for number in range(begin, self._asked.epochs):
            started = time.time()
            loss = self._epoch(number)
            self._keep(state, number + 1)
            print(json.dumps({"epoch": number + 1, **loss, "seconds": round(time.time() - started)}), flush=True)
        torch.save(self._mean.model.state_dict(), self._asked.out / "model.pt")

    def _batches(self, number: int) -> list[list[Encoded]]:
        rng = random.Random(f"{self._asked.seed} {number}")
        last = number + 2 >= self._asked.epochs
        texts = epoch(self._sources, rng, settling(self._amounts) if last else self._amounts)
        texts = texts[: self._asked.limit] if self._asked.limit else texts
        encoded: list[Encoded] = []
        for at in range(0, len(texts), 2000):
            encoded += encode(self._tokenizer, texts[at : at + 2000])
        return batches(encoded, rng)

    def _epoch(self, number: int) -> dict[str, float]:
        made = self._batches(number)
        torch.manual_seed(1000 * self._asked.seed + number)  # an epoch is the same whether or not one stopped before it
        total = {"labels": 0.0, "hostility": 0.0, "meaning": 0.0}
        self._model.train()
        bar = tqdm(made, desc=f"epoch {number + 1}", mininterval=20)
        for at, batch in enumerate(bar):
            self._pace(number + at / len(made))
            losses = self._losses(tensors(batch), at % MEANING_EVERY == 0)
            self._optimiser.zero_grad()
            (losses["labels"] + 0.5 * losses["hostility"] + losses["meaning"]).backward()
            nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            self._optimiser.step()
            if at % 5 == 0:
                self._mean.take(self._model, min(0.99, (1 + number * len(made) + at) / (50 + number * len(made) + at)))
            for name, value in losses.items():
                total[name] += float(value.detach())
        return {name: round(value / len(made), 4) for name, value in total.items()} | {"batches": len(made)}

    def _losses(self, batch: dict[str, Tensor], meaning: bool) -> dict[str, Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._half):
            labels, hostility, vector = self._model(batch["ids"], batch["mask"], batch["cases"])
            wanted = meant(self._teacher, batch["ids"], batch["mask"]) if meaning else None
        apart = 1 - (vector.float() * wanted).sum(1).mean() if wanted is not None else vector.sum() * 0
        return {
            "labels": label_loss(labels, batch["allowed"]),
            "hostility": hostility_loss(hostility, batch["hostile"], batch["weight"]),
            "meaning": apart * MEANING_EVERY,
        }

    def _pace(self, done: float) -> None:
        """The rate rises over the first twentieth and falls to nothing at the end."""
        share = done / self._asked.epochs
        scale = min(share / 0.05, 1.0) * max(1e-3, 1 - share)
        for group, rate in zip(self._optimiser.param_groups, (self._asked.rate, self._asked.rate * 5), strict=True):
            group["lr"] = rate * scale

    def _keep(self, path: Path, epochs: int) -> None:
        torch.save(
            {
                "epochs": epochs,
                "model": self._model.state_dict(),
                "mean": self._mean.model.state_dict(),
                "optimiser": self._optimiser.state_dict(),
            },
            path.with_suffix(".new"),
        )
        path.with_suffix(".new").replace(path)

    def _restored(self, path: Path) -> int:
        state = torch.load(path, weights_only=True)
        self._model.load_state_dict(state["model"])
        self._mean.model.load_state_dict(state["mean"])
        self._optimiser.load_state_dict(state["optimiser"])
        return int(state["epochs"])


def _has_bf16() -> bool:
    """Whether this processor multiplies in bfloat16 faster than in single precision."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


if __name__ == "__main__":
    main()
