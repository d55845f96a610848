"""The examples, installed and locked, in force in a governor of the starter policy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ("acme-codenames", "acme-counts", "acme-hours", "acme-names")
PIP = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index")
SCRIPT = """
import json, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
site, root, folder = sys.argv[1:]
sys.path[:0] = [site, root]
from aigov import Denied, Governor, Principal
from aigov.plugins import discover, write_lock

folder = Path(folder)
write_lock(folder / "policies" / "plugins.lock", discover(folder / "policies" / "plugins.lock"))
layer = folder / "policies" / "organisation.yaml"
starter = layer.read_text()
dana = Principal(id="dana", roles=("support-agent",), tenant="retail")
today = time.gmtime().tm_wday

class Service(BaseHTTPRequestHandler):
    def do_POST(self):
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
        at = text.find("budget")
        found = [{"type": "BUDGET", "start": at, "end": at + 6, "score": 0.9}] if at >= 0 else []
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *args):
        pass

server = HTTPServer(("127.0.0.1", 0), Service)
threading.Thread(target=server.serve_forever, daemon=True).start()

def in_force(days):
    layer.write_text(starter + f'''
plugins:
  acme-codenames: {{names: [nightjar]}}
  acme-names: {{url: "http://127.0.0.1:{server.server_port}/names", entities: [BUDGET], timeout_ms: 200}}
  acme-hours: {{open: "00:00", close: "23:59", days: {days}}}
''')

def call(gov):
    sent = []
    def provider(text):
        sent.append(text)
        return text
    try:
        answer = gov.call(provider, "the nightjar budget", action="chat", resource="model:gpt-4o-mini", principal=dana)
    except Denied as denied:
        answer = str(denied.decision.reasons[0].code)
    return [*sent, answer]

days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
in_force([days[(today + 3) % 7]])
with Governor.from_policies(folder / "policies", audit=folder / "audit") as gov:
    closed = call(gov)
    in_force(list(days))
    gov.reload()
    opened = call(gov)
    server.shutdown()
    server.server_close()
    refused = call(gov)
print(json.dumps([closed, opened, refused]))
"""


def test_the_examples_govern_calls(tmp_path: Path) -> None:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    sources = [str(shutil.copytree(ROOT / "plugins" / name, tmp_path / name)) for name in EXAMPLES]
    site, folder = str(tmp_path / "site"), str(tmp_path / "office")
    for command in (
        [*PIP, "--target", site, *sources],
        [sys.executable, "-m", "aigov.cli", "init", folder],
    ):
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=100, env=environment)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, site, str(ROOT), folder],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    closed, (sent, answer), refused = json.loads(done.stdout)
    assert closed == ["acme_hours.closed"]
    assert "nightjar" not in sent
    assert "PROJECT_CODENAME" in sent
    assert "BUDGET_" in sent
    assert refused == ["plugin.fault"]
    assert answer == "the nightjar budget"
    counts = json.loads((tmp_path / "office" / "acme-counts.json").read_text())["counts"]
    assert (counts["call.denied"], counts["call.intent"], counts["call.outcome"]) == (2, 1, 1)
