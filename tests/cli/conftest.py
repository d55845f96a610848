"""Running the command line: in this process where speed counts, in one of its own where the process does."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from aigov import cli
from aigov.audit import known


class Ran(NamedTuple):
    """What one command line did."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where accepted checkpoints are kept: not in the home of whoever runs the tests."""
    monkeypatch.setattr(known, "place", lambda: tmp_path / "known")
    return tmp_path / "known"


@pytest.fixture
def aigov(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in this process: `aigov("init", folder, stdin=b"...")`."""

    def run(*arguments: object, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run a command line in a process of its own, in `tmp_path`."""

    def run(*arguments: object, **more: object) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "aigov.cli", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False, **more)  # type: ignore[call-overload]

    return run


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `aigov init` leaves it; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("prepared")
    assert cli.run(["init", str(folder)]) == 0
    return folder


@pytest.fixture
def here(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own as `aigov init` leaves it, and the working directory."""
    folder = tmp_path / "here"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder
