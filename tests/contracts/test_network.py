"""Nothing opens a socket: not at import, at load, in a call, or at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import socket, sys

def refuse(*args, **kwargs):
    raise SystemExit("a socket was opened")

socket.socket.__init__ = refuse
socket.getaddrinfo = socket.create_connection = refuse

from aigov.testing import ScriptedProvider, governor

with governor() as trial:
    ask = trial.gov.guard(action="chat", resource="model:gpt-4o-mini")(ScriptedProvider().ask)
    with trial.acting_as("dana", roles=("support-agent",), tenant="retail"):
        text = "mail jane@sub.example.co.uk, card 4111 1111 1111 1111, https://example.com"
        assert ask(text) == text
print("done")
"""


@pytest.mark.contract
def test_a_whole_program_runs_without_a_socket() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout.strip().splitlines()[-1:], done.returncode) == (["done"], 0), done.stderr[-2000:]
