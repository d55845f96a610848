"""`audit`: times and numbers that make sense, and which directions are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from aigov.audit.log import Log
from aigov.audit.settings import AuditSettings, Class, Keep, seconds
from aigov.errors import PolicyError
from aigov.testing import governor

LINE = "on_failure: deny  "


@pytest.mark.parametrize(
    ("content", "directions"),
    [("none", set()), ("input", {"input"}), ("output", {"output"}), ("both", {"input", "output"})],
)
def test_directions(content: str, directions: set[str]) -> None:
    assert Keep(content=content).directions == directions  # type: ignore[arg-type]
    assert AuditSettings().keep.directions == frozenset()


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("2m", 120), ("1h", 3_600), ("90d", 7_776_000)])
def test_times(text: str, value: int) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1w", "1.5d", "٣d"])
def test_no_times(text: str) -> None:
    with pytest.raises(ValueError):
        seconds(text)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"retention": text}, Keep)


@pytest.mark.parametrize(
    ("keep", "named"),
    [
        ("{content: both, retention: 1m}", "1h to 3650d"),
        ("{content: both, retention: 9999d}", "1h to 3650d"),
        ("{content: both, retention: 30d, at_least: 31d}", "no longer than `retention`"),
        ("{content: everything}", "both"),
        ("{content: both, classes: [{name: hr, resources: ['tool:hr*'], retention: 1m}]}", "1h to 3650d"),
        ("{content: both, classes: [{name: default, resources: [x]}]}", "a name of its own"),
        ("{content: both, classes: [{name: a, resources: [x]}, {name: a, resources: [z]}]}", "a name of its own"),
        ("{content: both, classes: [{name: ../x, resources: [x]}]}", "a name of its own"),
        ("{content: both, classes: [{name: a, resources: ['']}]}", "name resources"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(keep: str, named: str) -> None:
    with pytest.raises(PolicyError) as caught, governor(change={LINE: f"on_failure: deny\n  keep: {keep}\n  #"}):
        pass
    assert named in str(caught.value)
    assert "organisation.yaml:" in str(caught.value)


def test_the_first_class_that_names_the_resource_counts() -> None:
    keep = Keep(
        retention="30d",
        classes=(
            Class(name="hr", resources=("tool:hr*",), retention="180d", at_least="30d"),
            Class(name="tools", resources=("tool:*",), retention="1d"),
        ),
    )
    assert [keep.class_of(name) for name in ("tool:hr:file", "tool:refund", "model:x")] == ["hr", "tools", "default"]
    assert keep.times("hr") == (180 * 86_400, 30 * 86_400)
    assert keep.times("default") == keep.times("gone") == (30 * 86_400, 0)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("key_epoch: 59s", "1m to 24h"),
        ("key_epoch: 2d", "1m to 24h"),
        ("key_epoch: soon", "key_epoch"),
        ("patience_ms: 99", "patience_ms"),
        ("patience_ms: 60001", "patience_ms"),
        ("open_per_minute: 0", "open_per_minute"),
        ("open_per_minute: many", "open_per_minute"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(line: str, named: str) -> None:
    with pytest.raises(PolicyError) as caught, governor(change={LINE: f"on_failure: deny\n  {line}\n  #"}):
        pass
    assert named in str(caught.value)


def test_the_policy_says_how_long_a_key_serves(folder: Path, kit: Any) -> None:
    with Log.open(folder, key=kit.key, settings=AuditSettings(key_epoch="2h")) as log:
        assert log._worker._store._key_seconds == 7_200
