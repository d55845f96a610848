"""The tests run against the installed plugin, or else against this folder's sources."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "src"))
