"""The policy's `audit:` section."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

SECONDS: Final[Mapping[str, int]] = MappingProxyType({"s": 1, "m": 60, "h": 3_600, "d": 86_400})
SPAN: Final = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
SHORTEST_S: Final = 3_600
LONGEST_S: Final = 3_650 * 86_400
SHORTEST_EPOCH_S: Final = 60
LONGEST_EPOCH_S: Final = 86_400
NAME: Final = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)
DEFAULT: Final = "default"
Fault = tuple[tuple[str | int, ...], str, str]
Span = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,6}[smhd]$")]


class People(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where people read what happened. `to`: `stderr`, `off` or a path ending in `.log`.

    A relative path is taken from the folder that holds the policy folder. `level`: `warning` shows
    refusals, reviews and faults; `info` shows every record.
    """

    to: str = "stderr"
    level: Literal["info", "warning"] = "warning"


class Times(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long content is kept. `retention`: after that it is deleted; `at_least`: before that it is not erased,
    because a law says so. Both like `36h` or `90d`."""

    retention: Span = "90d"
    at_least: Span = "0d"

    @property
    def seconds(self) -> tuple[int, int]:
        """Seconds after which content is deleted, and before which it is not erased."""
        return seconds(self.retention), seconds(self.at_least)

    def times_fault(self) -> Fault | None:
        """What is wrong with the two times."""
        retention_s, at_least_s = self.seconds
        if not SHORTEST_S <= retention_s <= LONGEST_S:
            return ("retention",), f"`{self.retention}` is no time from 1h to 3650d", "write 90d, say"
        if at_least_s > retention_s:
            return ("at_least",), "content would be deleted before it may be", "a time no longer than `retention`"
        return None


class Class(Times, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Content with times of its own: of calls on one of `resources`, in which `*` stands for anything."""

    name: str
    resources: tuple[str, ...]


class Keep(Times, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the texts of calls are kept, sealed, outside of the log, and for how long.

    `content`: `none`, `input` (as it went to the provider), `output` (as it came back), or `both`. `classes`:
    retention classes, of which the first that names a call's resource counts; the others have the times given here.
    """

    content: Literal["none", "input", "output", "both"] = "none"
    classes: tuple[Class, ...] = ()

    @property
    def directions(self) -> frozenset[str]:
        """The directions whose texts are kept."""
        return frozenset({"none": (), "both": ("input", "output")}.get(self.content, (self.content,)))

    def class_of(self, resource: str) -> str:
        """The name of the retention class of calls on a resource."""
        named = (one for one in self.classes if any(fnmatchcase(resource, given) for given in one.resources))
        return next((one.name for one in named), DEFAULT)

    def times(self, name: str) -> tuple[int, int]:
        """Seconds after which content of a class is deleted, and before which it is not erased."""
        return next((one.seconds for one in self.classes if one.name == name), self.seconds)

    def fault(self) -> Fault | None:
        """The entry that makes no sense, what is wrong with it and what would be right; None where all is well."""
        names = [one.name for one in self.classes]
        for number, one in enumerate(self.classes):
            fault = one.times_fault()
            if fault is not None:
                (entry,), what, fix = fault
                return ("classes", number, entry), what, fix
            if not NAME.fullmatch(one.name) or one.name == DEFAULT or one.name in names[:number]:
                return ("classes", number, "name"), "no name for a class", "a name of its own of a-z, 0-9 and `_`"
            if not all(one.resources) or not one.resources:
                return ("classes", number, "resources"), "a class of nothing", "name resources, such as `tool:hr*`"
        return self.times_fault()


def seconds(text: str) -> int:
    """`90s`, `30m`, `72h` or `7d` in seconds; raises ValueError for anything else."""
    found = SPAN.fullmatch(text)
    if found is None:
        raise ValueError("not a time")
    return int(found[1]) * SECONDS[found[2]]


class AuditSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`on_failure`: `deny` refuses a call that cannot be recorded; `fail_open` lets it pass, counts it, and says how
    many there were in a `gap` record. Only the organisation's layer may say so. `open_per_minute`: at most so many
    records of a process are let go in a minute; then calls are refused all the same.

    `patience_ms`: how long a call waits for the disk, in milliseconds, before it is refused. `require_disk`: refuse
    to keep the record in memory or on a network file system. `key_epoch`: how long a signing key of an epoch serves,
    1m to 24h. `cosign`: a further signature over checkpoints, which a log keeps once it has it.
    """

    on_failure: Literal["deny", "fail_open"] = "deny"
    open_per_minute: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 60
    require_disk: bool = False
    patience_ms: Annotated[int, msgspec.Meta(ge=100, le=60_000)] = 250
    key_epoch: Span = "15m"
    cosign: Literal["none", "ml-dsa-44"] = "none"
    people: People = People()
    keep: Keep = Keep()

    @property
    def key_seconds(self) -> int:
        """How long a signing key of an epoch serves."""
        return seconds(self.key_epoch)
