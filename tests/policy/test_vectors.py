"""Policies as data: each folder ending in `_fail` is refused for exactly what its `expected.txt` says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aigov.errors import PolicyError
from aigov.policy.draft import Draft

VECTORS = Path(__file__).parents[1] / "vectors" / "policy"
FAIL = sorted(VECTORS.glob("*_fail"))
PASS = sorted(folder for folder in VECTORS.iterdir() if not folder.name.endswith("_fail"))


def test_there_are_vectors_enough() -> None:
    assert len(FAIL) >= 60
    assert len(PASS) >= 15


@pytest.mark.parametrize("folder", FAIL, ids=lambda folder: folder.name)
def test_a_policy_is_refused_for_what_is_wrong_with_it(folder: Path, load: Callable[[Path], Draft]) -> None:
    with pytest.raises(PolicyError) as caught:
        load(folder)
    expected = (folder / "expected.txt").read_text().splitlines()
    told = [f"{p.where.line}:{p.where.column} {p.what}; {p.fix}" for p in caught.value.problems]
    assert len(told) == len(expected)
    for line, wanted in zip(told, expected, strict=True):
        assert line.startswith(wanted)
    assert all(p.where.file.startswith(str(folder)) for p in caught.value.problems)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("folder", PASS, ids=lambda folder: folder.name)
def test_a_policy_is_read(folder: Path, load: Callable[[Path], Draft]) -> None:
    assert load(folder).layer == "organisation"
