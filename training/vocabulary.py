"""The word pieces that the model reads: the base's in Latin, Greek and Cyrillic, and signs; others cost bytes alone.

What is in another script is one unknown piece a word or character, in training as in use.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import BertModel


def published(base: Path) -> dict[str, Any]:
    """The base model's tokeniser as its file describes it."""
    described: dict[str, Any] = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    return described


def kept(described: dict[str, Any]) -> list[str]:
    """The pieces that stay, in their order: special ones, and those of scripts that are read."""
    order = described["model"]["vocab"]
    special = {one["content"] for one in described["added_tokens"]}
    return [
        piece
        for piece in sorted(order, key=order.__getitem__)
        if piece in special or (not piece.startswith("[unused") and _read(piece))
    ]


def _read(piece: str) -> bool:
    return all(ord(char) < 0x530 or 0x2000 <= ord(char) < 0x2E80 for char in piece)


def trimmed(described: dict[str, Any]) -> dict[str, Any]:
    """The tokeniser with the pieces that stay, numbered anew."""
    new = {piece: at for at, piece in enumerate(kept(described))}
    after = described["post_processor"]
    return {
        **described,
        "model": {**described["model"], "vocab": new},
        "added_tokens": [{**one, "id": new[one["content"]]} for one in described["added_tokens"]],
        "post_processor": {
            **after,
            "special_tokens": {
                name: {**one, "ids": [new[token] for token in one["tokens"]]}
                for name, one in after.get("special_tokens", {}).items()
            },
            **{which: [after[which][0], new[after[which][0]]] for which in ("sep", "cls") if which in after},
        },
        "padding": None,
        "truncation": None,
    }


def tokenizer(base: Path) -> Tokenizer:
    """The tokeniser that training and the package read with."""
    return Tokenizer.from_str(json.dumps(trimmed(published(base))))


def cut(bert: BertModel, base: Path) -> BertModel:
    """The base model, in place, with a table of the pieces that stay."""
    described = published(base)
    rows = [described["model"]["vocab"][piece] for piece in kept(described)]
    table = bert.embeddings.word_embeddings.weight.data[rows]
    bert.embeddings.word_embeddings = torch.nn.Embedding.from_pretrained(table, freeze=False, padding_idx=0)
    bert.config.vocab_size = len(rows)
    return bert
