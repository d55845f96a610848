"""A fault at every system call on the way to the disk: `tests/proofs/injection.py` in its short form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import aigov

ROOT = Path(aigov.__file__).parents[1]
NOTHING_TO_TRACE_WITH = 77


@pytest.mark.timeout(900)
def test_whatever_call_fails_the_log_keeps_what_it_acknowledged() -> None:
    memory = Path("/dev/shm")
    where = ["--folder", str(memory)] if os.access(memory, os.W_OK) else []
    command = [sys.executable, "-m", "tests.proofs.injection", "--json", *where]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    if done.returncode == NOTHING_TO_TRACE_WITH:
        pytest.skip(done.stdout.strip())
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["runs"] == sum(found["calls"].values()) > 200
    assert {"openat", "write", "fdatasync", "fsync", "rename", "flock", "unlink"} <= found["calls"].keys()
    assert 0 < found["refused"] < found["runs"]
