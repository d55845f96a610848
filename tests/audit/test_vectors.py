"""The vectors: logs that must pass and logs that must not, through both verifiers, and fit for verifiers of others."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import aigov
from aigov.audit.note import VerifierKey
from aigov.audit.verify import Status, verify

ROOT = Path(aigov.__file__).parents[1]
VECTORS = sorted((ROOT / "tests" / "vectors" / "audit").iterdir())


@pytest.fixture(scope="module")
def standalone() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_standalone", ROOT / "tools" / "verify_standalone.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", VECTORS, ids=lambda folder: folder.name)
def test_both_verifiers_say_what_the_name_says(
    folder: Path, standalone: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    pinned = folder / "pinned.vkey"
    vkey = pinned.read_text().strip() if pinned.exists() else ""
    report = verify(folder, vkey=VerifierKey.parse(vkey) if vkey else None)
    refused = folder.name.endswith("_fail")
    why = f"{report.problems}; after a change of the records run `python tests/vectors/make_audit.py`"
    assert (report.status != Status.WHOLE) == refused, why
    assert standalone.main([str(folder), "--vkey", vkey]) == report.status
    assert capsys.readouterr().out


def test_there_are_enough_of_them() -> None:
    failing = [folder for folder in VECTORS if folder.name.endswith("_fail")]
    assert len(failing) >= 100
    assert len(VECTORS) - len(failing) >= 40
