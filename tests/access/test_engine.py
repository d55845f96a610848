"""Casbin itself behind its one door: silent, and bounded in what it keeps of strangers."""

from __future__ import annotations

import logging

from aigov.access.engine import REBUILD_AFTER, Pycasbin

POLICY = "g, dana, agent, retail\np, agent, retail, model:small, chat, allow\n"


def test_strangers_names_do_not_fill_the_memory(build) -> None:
    policy = build(POLICY).policy
    engine = Pycasbin(policy.model, policy.rules)
    for at in range(REBUILD_AFTER + 50):
        engine.decide((f"stranger{at}", "retail", "model:small", "chat"))
    kept = engine._enforcer.rm_map["g"].rm_map["retail"].all_roles
    assert len(kept) < 100
    assert engine.decide(("dana", "retail", "model:small", "chat")).allowed


def test_a_request_is_in_no_log(build, caplog) -> None:
    policy = build(POLICY).policy
    engine = Pycasbin(policy.model, policy.rules)
    for name in ("casbin", "casbin.enforcer", "casbin.policy", "casbin.role"):
        logging.getLogger(name).disabled = False
    with caplog.at_level(logging.DEBUG):
        engine.decide(("canary", "retail", "model:small", "chat"))
        engine.decide(("dana", "retail", "model:small", "chat"))
    assert caplog.text == ""


def test_the_rule_that_decided_is_named_by_its_line(build) -> None:
    policy = build(POLICY).policy
    assert Pycasbin(policy.model, policy.rules).decide(("dana", "retail", "model:small", "chat")).rule.line == 2
