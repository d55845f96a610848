"""A governor whose access rules come from a Casbin adapter: swapped whole, and the last good ones kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from casbin.persist import Adapter
from casbin.persist.adapters import FileAdapter
from casbin.persist.adapters.string_adapter import StringAdapter
from casbin.persist.watcher import Watcher

from aigov.errors import PolicyError
from aigov.testing import Trial, governor
from aigov.types import Principal

ROOT = "p, root, retail, x, y\n"
CHAT = "p, support-agent, retail, model:gpt-4o, chat\n"
DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")


class Told(Watcher):
    """A watcher as the ones for Redis or etcd are: it calls back from a thread of its own."""

    def set_update_callback(self, func: Any) -> None:
        self.callback = func

    def update(self, *message: object) -> None:
        thread = threading.Thread(target=self.callback, args=message)
        thread.start()
        thread.join()


class Rows(Adapter):
    """An adapter over rows, or one that fails."""

    def __init__(self, *rows: tuple[Any, ...], fault: Exception | None = None) -> None:
        self.rows, self.fault = rows, fault

    def load_policy(self, model: Any) -> None:
        if self.fault is not None:
            raise self.fault
        for key, *fields in self.rows:
            model.model[key[0]][key].policy.append(fields)


@pytest.fixture
def trial() -> Iterator[Trial]:
    with governor() as trial:
        yield trial


def may(trial: Trial, resource: str = "model:gpt-4o") -> bool:
    return trial.gov.permits(DANA, "chat", resource).allowed


def test_the_rules_of_an_adapter_take_the_place_of_the_files(trial: Trial, tmp_path: Path) -> None:
    assert (may(trial, "model:gpt-4o-mini"), may(trial)) == (True, False)
    before = trial.gov.policy_digest
    (tmp_path / "rules.csv").write_text(CHAT)
    trial.gov.follow(FileAdapter(str(tmp_path / "rules.csv")))
    assert (may(trial, "model:gpt-4o-mini"), may(trial)) == (False, True)
    (reason,) = trial.gov.permits(DANA, "chat", "model:gpt-4o").reasons
    assert reason.rule == "adapter:1"
    assert trial.gov.policy_digest != before
    assert [record["policy"] for record in trial.records("policy.activated")] == [before, trial.gov.policy_digest]


def test_a_watcher_brings_what_changed(trial: Trial) -> None:
    adapter, watcher = StringAdapter(ROOT), Told()
    trial.gov.follow(adapter, watcher)
    assert not may(trial)
    adapter.line = ROOT + CHAT
    assert not may(trial)
    watcher.update("a message")
    assert may(trial)


@pytest.mark.parametrize(
    "worse",
    [
        Rows(),
        Rows(("p", "support-agent")),
        Rows(("p", "a", "b", "c", "d"), ("p2", "a", "b")),
        Rows(("p", "a", "b", "c", "d"), ("g", "a", "a", "t")),
        Rows(("p", "a", "b", "c\np, support-agent, retail, *, chat", "d")),
        Rows(("p", "a", None, "c", "d"), ("q", "canary")),
        Rows(fault=ConnectionError("canary")),
    ],
)
def test_rules_that_are_no_good_leave_the_last_good_ones_and_are_recorded(trial: Trial, worse: Rows) -> None:
    adapter, watcher = Rows(("p", "support-agent", "retail", "model:gpt-4o", "chat")), Told()
    trial.gov.follow(adapter, watcher)
    digest = trial.gov.policy_digest
    adapter.rows, adapter.fault = worse.rows, worse.fault
    watcher.update()
    assert (may(trial), trial.gov.policy_digest) == (True, digest)
    (rejected,) = trial.records("policy.rejected")
    assert rejected["first"].startswith("adapter")
    assert "canary" not in str(rejected)


def test_what_is_no_good_at_first_is_never_followed(trial: Trial) -> None:
    with pytest.raises(PolicyError, match=r"adapter: the adapter failed with ConnectionError") as caught:
        trial.gov.follow(Rows(fault=ConnectionError("canary")))
    assert caught.value.__context__ is None
    trial.gov.reload()
    assert may(trial, "model:gpt-4o-mini")


def test_an_asynchronous_adapter_is_refused_not_taken_for_an_empty_one(trial: Trial) -> None:
    class Later(Adapter):
        async def load_policy(self, model: Any) -> None:
            raise AssertionError

    with pytest.raises(PolicyError, match="the adapter failed with TypeError"):
        trial.gov.follow(Later())


def test_a_changed_folder_keeps_the_rules_that_the_adapter_brought(trial: Trial) -> None:
    adapter = Rows(("p", "support-agent", "retail", "model:gpt-4o", "chat"))
    trial.gov.follow(adapter)
    adapter.fault = ConnectionError()
    layer = trial.policies / "organisation.yaml"
    layer.write_text(layer.read_text().replace("name: acme", "name: acme2"))
    trial.gov._force._look_at = 0.0
    assert (may(trial), may(trial, "model:gpt-4o-mini")) == (True, False)
    assert len(trial.records("policy.activated")) == 3
    assert trial.records("policy.rejected") == []


def test_a_closed_governor_no_longer_follows(trial: Trial) -> None:
    adapter, watcher = Rows(("p", "support-agent", "retail", "model:gpt-4o", "chat")), Told()
    trial.gov.follow(adapter, watcher)
    trial.gov.close()
    before = trial.gov.policy_digest
    adapter.rows = (("p", "root", "retail", "x", "y"),)
    watcher.update()
    assert trial.gov.policy_digest == before


def test_of_many_messages_at_once_the_last_is_enough(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, watcher = Rows(("p", "support-agent", "retail", "model:gpt-4o", "chat")), Told()
    trial.gov.follow(adapter, watcher)
    with trial.gov._force._swapping:
        threads = [threading.Thread(target=watcher.callback) for _ in range(20)]
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    assert 2 < len(trial.records("policy.activated")) < 15
