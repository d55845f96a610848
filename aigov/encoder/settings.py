"""The policy key `encoder`.

Invariants:
* Switched off, nothing is loaded, and onnxruntime is not imported.
* A model of others is a folder that is there; nothing is ever fetched.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec

Entity = Literal["PERSON", "LOCATION", "ORGANIZATION", "NRP", "DATE_TIME", "USERNAME"]
Named = Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
MAX_THREADS = 64


class Foreign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of others: a folder as transformers exports it to ONNX (`model.onnx`, `tokenizer.json`, `config.json`).

    `path` is relative to the policy folder. `entities` says for a token classifier which of its types become which
    entity; `hostile` for a sequence classifier which of its labels mean an attack. `sha256` is that of `model.onnx`.
    """

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")] | None = None
    entities: dict[Label, Named] = {}
    hostile: tuple[Label, ...] = ()
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")] | None = None

    @property
    def known_as(self) -> str:
        """The name under which its findings are told."""
        return self.name or Path(os.path.normpath(self.path)).name

    def folder(self, policy_folder: Path) -> Path:
        """Where it lies, for a policy read from this folder."""
        return Path(os.path.normpath(policy_folder.absolute() / self.path))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model in the package, and models of others beside it.

    `entities`: which types it reports, or `nothing`. `threads`: cores that all models together take at most.
    """

    enabled: bool = False
    entities: tuple[Entity, ...] | Literal["nothing"] = ("PERSON", "LOCATION", "NRP", "USERNAME")
    threads: Annotated[int, msgspec.Meta(ge=1, le=MAX_THREADS)] = 2
    models: tuple[Foreign, ...] = ()

    @property
    def reported(self) -> tuple[Entity, ...]:
        """The types that the shipped model reports."""
        return () if self.entities == "nothing" else self.entities
