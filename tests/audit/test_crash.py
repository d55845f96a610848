"""Four writers and a signer killed at random: nothing acknowledged is lost, nothing stands twice, the log is whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import aigov

ROOT = Path(aigov.__file__).parents[1]


@pytest.mark.timeout(600)
def test_200_kills_lose_nothing() -> None:
    memory = Path("/dev/shm")  # a kill takes nothing from the page cache: any file system shows the same
    where = ["--folder", str(memory)] if os.access(memory, os.W_OK) else []
    command = [sys.executable, "-m", "tests.proofs.crash", "--kills", "200", "--json", *where]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.stdout, done.stderr
    toll = json.loads(done.stdout)
    assert toll["kills"] >= 200
    assert toll["acknowledged"] > 1_000
    assert (toll["lost"], toll["repeated"], toll["tampered"], toll["unwhole"]) == (0, 0, 0, [])
