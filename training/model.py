"""The model: a small BERT that is told each piece's case, with three heads.

The base reads lower case alone; what kind of segment a piece belongs to, which the base never used for anything else,
carries its case. Every head stands on the last layer: labels on each piece, hostility on what attention picks out of
all of them, and a sentence vector on their mean, as the base model's own.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertModel

from training.tagged import LABELS
from training.vocabulary import cut

CASES = 8


class Judge(nn.Module):
    """Three judgements of a text in one pass."""

    def __init__(self, base: Path) -> None:
        super().__init__()
        self.bert = cut(BertModel.from_pretrained(str(base), add_pooling_layer=False, attn_implementation="sdpa"), base)
        width = self.bert.config.hidden_size
        plain = self.bert.embeddings.token_type_embeddings.weight.data[0]
        self.bert.embeddings.token_type_embeddings = nn.Embedding(CASES, width)
        with torch.no_grad():  # every case begins as the only segment that the base knows
            self.bert.embeddings.token_type_embeddings.weight.copy_(plain + torch.randn(CASES, width) * 0.01)
        self.bert.config.type_vocab_size = CASES
        self.drop = nn.Dropout(0.1)
        self.labels = nn.Linear(width, len(LABELS))
        self.attend = nn.Linear(width, 4)
        self.hostile = nn.Sequential(nn.Linear(4 * width, 96), nn.GELU(), nn.Dropout(0.1), nn.Linear(96, 1))
        self.meaning = nn.Linear(width, width, bias=False)
        nn.init.eye_(self.meaning.weight)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of labels (batch, pieces, labels), of hostility (batch), and unit vectors (batch, width)."""
        hidden = self.bert(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        seen = attention_mask.unsqueeze(-1).to(hidden.dtype)
        entities = self.labels(self.drop(hidden))
        looks = torch.softmax(self.attend(hidden) + (1.0 - seen) * -1e4, dim=1)  # (batch, pieces, 4)
        picked = torch.matmul(looks.transpose(1, 2), hidden).flatten(1)
        hostility = self.hostile(self.drop(picked)).squeeze(-1)
        mean = (hidden * seen).sum(1) / seen.sum(1)
        vector = self.meaning(mean)
        return entities, hostility, vector / vector.norm(dim=1, keepdim=True).clamp(min=1e-6)


def teacher(base: Path) -> BertModel:
    """The base model as it is: what a sentence meant before anything was learnt."""
    return cut(BertModel.from_pretrained(str(base), add_pooling_layer=False), base).eval()


@torch.no_grad()
def meant(base: BertModel, ids: Tensor, mask: Tensor) -> Tensor:
    """The base model's unit vectors."""
    hidden = base(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    seen = mask.unsqueeze(-1).float()
    mean = (hidden * seen).sum(1) / seen.sum(1)
    return mean / mean.norm(dim=1, keepdim=True)
