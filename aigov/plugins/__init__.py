"""Plugins: found, pinned, loaded, limited. What the governor asks is built here.

Everything built in registers through the same hooks (`aigov.hookspecs`), which proves that they suffice.
"""

from aigov.plugins.assembly import Declared, assemble
from aigov.plugins.guards import Contribution, Guards
from aigov.plugins.lock import Lock, Pin, read_lock

__all__ = ["Contribution", "Declared", "Guards", "Lock", "Pin", "assemble", "read_lock"]
