"""How every command ends: one scheme of exit codes, and the exception that carries one.

Invariants:
* A person gets one clear line on stderr for each fault, never a traceback, never content.
* 0 means done and the answer is yes; anything else has the same meaning for every command.
"""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """The exit codes, which `docs/cli.md` documents."""

    OK = 0  # done; whole; allowed
    NO = 1  # done, and the answer is no: refused, tampered, a check or a case failed
    INCOMPLETE = 2  # not all of it: lines left out, a log not sealed, the reader went away
    CANNOT = 3  # could not do it: unreadable file, policy or key, a fault of ours
    USAGE = 4  # the command line makes no sense
    INTERRUPTED = 130  # Ctrl-C


class Stop(Exception):
    """End the command with `code`, after `lines` on stderr."""

    def __init__(self, code: Exit, *lines: str) -> None:
        super().__init__(*lines)
        self.code = code
        self.lines = lines


def cannot(line: str) -> Stop:
    """A command that cannot do what it was asked."""
    return Stop(Exit.CANNOT, line)


def usage(line: str) -> Stop:
    """A command line that makes no sense, beyond what the parser notices itself."""
    return Stop(Exit.USAGE, line)
