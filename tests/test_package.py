"""What is installed is what is needed: the starter policy travels, requirements are hashed, no index is named."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_wheel_holds_every_module_and_data_file(wheel: zipfile.ZipFile) -> None:
    inside = set(wheel.namelist())
    kinds = (".py", ".yaml", ".jsonl", ".json", ".tmpl", ".csv", ".conf", ".typed", ".onnx")
    files = [path for path in (ROOT / "aigov").rglob("*") if path.is_file() and path.suffix in kinds]
    assert [path.name for path in files if path.relative_to(ROOT).as_posix() not in inside] == []


def test_the_wheel_holds_the_starter_policy_and_no_secret(wheel: zipfile.ZipFile) -> None:
    inside = set(wheel.namelist())
    policies = [path for path in (ROOT / "policies").rglob("*") if path.is_file()]
    assert [str(p) for p in policies if f"aigov/starter/{p.relative_to(ROOT).as_posix()}" not in inside] == []
    assert not any(name.endswith(".key") for name in inside)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What the source archive holds, as paths in the repository."""
    out = tmp_path_factory.mktemp("sdist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(next(out.glob("*.tar.gz"))) as found:
        return {name.partition("/")[2] for name in found.getnames()}


def test_the_source_archive_holds_the_verifier_for_auditors(archive: set[str]) -> None:
    assert "tools/verify_standalone.py" in archive


def test_the_source_archive_holds_how_the_weights_are_made_beside_its_tests(
    archive: set[str], wheel: zipfile.ZipFile
) -> None:
    assert "tests/training/test_texts.py" in archive
    kinds = (".py", ".txt", ".yaml")
    files = [path for path in (ROOT / "training").rglob("*") if path.is_file() and path.suffix in kinds]
    assert len(files) > 100
    assert [path.name for path in files if path.relative_to(ROOT).as_posix() not in archive] == []
    assert [name for name in wheel.namelist() if "training" in name.split("/")] == []


@pytest.mark.parametrize("name", ["base", "test", "build"])
def test_locked_requirements_are_hashed_and_name_no_index(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"^\s*(--(extra-)?index-url|--find-links|-i |-f )", text, re.MULTILINE)
    assert "://" not in text
    pins = re.findall(r"^[a-z0-9_.\-]+(?:\[[a-z,]+\])?==.*(?:\n    .*)*", text, re.MULTILINE | re.IGNORECASE)
    assert pins
    assert [pin.split("==")[0] for pin in pins if "--hash=sha256:" not in pin] == []


def test_the_base_install_holds_no_client_library() -> None:
    text = (ROOT / "requirements" / "base.txt").read_text(encoding="utf-8")
    heavy = ("litellm", "langchain", "torch", "transformers", "openai", "anthropic")
    assert [name for name in heavy if re.search(rf"^{name}[=\[-]", text, re.MULTILINE)] == []
