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


def test_what_the_keys_holder_did_is_refused_for_nothing_else() -> None:
    """Signing a log anew breaks nothing by itself, so that each of these tries what it is named after."""
    common = {"chain_broken": "does not follow", "missing_checkpoints": "checkpoints are missing"}
    done = [folder for folder in VECTORS if folder.name.startswith("signed_")]
    assert [folder.name for folder in done if not folder.name.endswith("_fail")] == ["signed_again"]
    for folder in done:
        found = [fault.what for fault in verify(folder).problems]
        for name, what in common.items():
            assert any(what in one for one in found) == (folder.name == f"signed_{name}_fail"), (folder.name, found)


def test_there_are_enough_of_them() -> None:
    failing = [folder for folder in VECTORS if folder.name.endswith("_fail")]
    assert len(failing) >= 100
    assert len(VECTORS) - len(failing) >= 40
