"""The policy key `review`: below what confidence a person decides, for how long, and where tickets lie."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

SECONDS: Final[Mapping[str, int]] = MappingProxyType({"s": 1, "m": 60, "h": 3_600, "d": 86_400})
SHORTEST_S: Final = 60
LONGEST_S: Final = 30 * 86_400
DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
STORE: Final = "../review/tickets.db"  # beside the policy folder, never in it: a ticket is no change of policy


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`min_confidence` 0 to 1, 0 for off. `expires` like `90s`, `30m`, `72h` or `7d`, 1m to 30d.

    `store`: the file that holds the tickets, relative to the policy folder.
    """

    min_confidence: Annotated[
        float,
        msgspec.Meta(ge=0, le=1, description="an answer less sure of itself than this goes to a person; 0 is off"),
    ] = 0.0
    expires: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[0-9]{1,9}[smhd]$",
            description="time to decide and resume, 1m to 30d, such as 72h",
            extra={"expected": "a time from `1m` to `30d`, such as `72h`"},
        ),
    ] = "72h"
    store: (
        Annotated[
            str,
            msgspec.Meta(min_length=1, max_length=1024, description="file for tickets, relative to the policy folder"),
        ]
        | None
    ) = None

    @property
    def expires_s(self) -> int:
        """The time in seconds within which a ticket has to be decided and resumed."""
        return seconds(self.expires)

    def store_path(self, policy_folder: Path) -> Path:
        """Where the tickets lie, for a policy read from this folder."""
        return Path(os.path.normpath(policy_folder.absolute() / (self.store or STORE)))

    def faults(self) -> dict[str, tuple[str, str]]:
        """What is wrong with each entry, and what would be right; empty where all is well."""
        found: dict[str, tuple[str, str]] = {}
        if not 0 <= self.min_confidence <= 1:
            found["min_confidence"] = ("not a number from 0 to 1", "write 0.85, say, or 0 for off")
        if not SHORTEST_S <= seconds(self.expires) <= LONGEST_S:
            found["expires"] = ("not a time from 1m to 30d", "write a number and s, m, h or d, such as `72h`")
        if self.store is not None and (not self.store.strip() or "\0" in self.store):
            found["store"] = ("not the path of a file", "leave it out, or name a file outside of the policy folder")
        return found


def seconds(text: str) -> int:
    """`90s`, `30m`, `72h` or `7d` in seconds; -1 for anything else."""
    found = DURATION.fullmatch(text)
    return int(found[1]) * SECONDS[found[2]] if found else -1
