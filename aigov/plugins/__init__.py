"""Plugins: found, pinned, loaded, limited. What the governor asks is built here.

Everything built in registers through the same hooks (`aigov.hookspecs`), which proves that they suffice.
"""

from aigov.plugins.assembly import LIMIT_S, Declared, assemble
from aigov.plugins.fresh import new
from aigov.plugins.guards import Contribution, Guards
from aigov.plugins.installed import Found, Installed, discover, write_lock
from aigov.plugins.lock import Lock, Pin, read_lock

__all__ = [
    "LIMIT_S",
    "Contribution",
    "Declared",
    "Found",
    "Guards",
    "Installed",
    "Lock",
    "Pin",
    "assemble",
    "discover",
    "new",
    "read_lock",
    "write_lock",
]
