"""`aigov policy`: every problem with its place; cases; what would be decided; the switch."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml

from aigov.cli.exits import Exit
from aigov.cli.starter import starter_folder

DANA = ("--as", "dana", "--role", "support-agent", "--tenant", "retail")
REFUND = ("policy", "decide", "tool:refund", "tool:refund")


@pytest.fixture
def layer(here):
    """The layer file, with a way to change it."""

    class Layer:
        path = here / "policies" / "organisation.yaml"

        def change(self, old: str, new: str) -> None:
            text = self.path.read_text()
            assert old in text
            self.path.write_text(text.replace(old, new))

    return Layer()


def test_the_starter_policy_can_be_used(aigov, here) -> None:
    ran = aigov("policy", "check", "--json")
    told = json.loads(ran.out)
    assert ran.code == Exit.OK
    assert list(told) == ["ok", "name", "layer", "digest", "rules", "problems"]
    assert (told["ok"], told["name"], told["layer"], told["rules"], told["problems"]) == (
        True, "acme", "organisation", 1, [],
    )  # fmt: skip


def test_a_check_needs_no_keys(aigov, here) -> None:
    (here / "keys" / "root.key").unlink()
    assert aigov("policy", "check").code == Exit.OK


def test_a_mistake_has_its_place_and_the_right_key(aigov, here, layer) -> None:
    layer.change("min_score: 0.4", "min_scor: 0.4")
    ran = aigov("policy", "check")
    assert ran.code == Exit.NO
    line = (
        layer.path.read_text()
        .splitlines()
        .index(next(x for x in layer.path.read_text().splitlines() if "min_scor:" in x))
    )
    assert f"organisation.yaml:{line + 1}:" in ran.err
    assert "min_score" in ran.err
    told = json.loads(aigov("policy", "check", "--json").out)
    assert (told["ok"], told["problems"][0]["line"]) == (False, line + 1)


def test_every_case_of_the_starter_passes(aigov, here) -> None:
    ran = aigov("policy", "test", "--json")
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert [one for one in told if one["kind"] == "case" and not one["ok"]] == []
    assert ran.code == Exit.OK
    assert len(told) >= 20
    assert [list(one) for one in (told[0], told[-1])] == [
        ["kind", "file", "name", "ok", "wrong"],
        ["kind", "rules", "untouched"],
    ]


def test_every_rule_of_the_starter_decides_a_case(aigov, here) -> None:
    told = json.loads(aigov("policy", "test", "--json").out.splitlines()[-1])
    assert told["untouched"] == []
    assert told["rules"] >= 7


def test_a_rule_that_no_case_touches_is_named_with_its_line(aigov, here) -> None:
    policy = here / "policies" / "access" / "policy.csv"
    policy.write_text(policy.read_text() + "\np, auditor, retail, log:*, read\ng, olga, auditor, retail\n")
    line = policy.read_text().splitlines().index("p, auditor, retail, log:*, read") + 1
    told = json.loads(aigov("policy", "test", "--json").out.splitlines()[-1])
    assert [one["where"].split(":")[-2] for one in told["untouched"]] == [str(line)]
    assert "p, auditor, retail, log:*, read" in aigov("policy", "test").out


@pytest.mark.parametrize("example", sorted(path.name for path in (starter_folder() / "examples").iterdir()))
def test_every_example_policy_passes_its_own_cases(aigov, example: str) -> None:
    assert aigov("policy", "test", "--policies", starter_folder() / "examples" / example).code == Exit.OK


def test_cases_need_no_keys(aigov, here) -> None:
    (here / "keys" / "root.key").unlink()
    assert aigov("policy", "test").code == Exit.OK


def test_a_case_that_comes_out_otherwise_fails(aigov, here, layer) -> None:
    layer.change("> 100.0", "> 1000.0")
    ran = aigov("policy", "test", "--json")
    wrong = {
        one["name"]: one["wrong"]
        for one in map(json.loads, ran.out.splitlines())
        if one["kind"] == "case" and not one["ok"]
    }
    assert ran.code == Exit.NO
    assert "not review" in wrong["a refund above the limit waits for a person"]


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("verdict", "allow"),
        ("reasons", "[access.allowed]"),
        ("reason", "access.allowed"),
        ("hides", "[IBAN_CODE]"),
        ("rule", "'p, support-agent, retail, model:gpt-4o, chat'"),
    ],
)
def test_verdict_reasons_and_hidden_types_are_each_held_against_the_decision(
    aigov, here, entry: str, value: str
) -> None:
    case = {
        "name": "x",
        "principal": {"id": "dana", "roles": ["support-agent"], "tenant": "retail"},
        "action": "chat",
        "resource": "model:gpt-4o-mini",
        "content": "jane@example.com",
        "verdict": "transform",
    }
    case[entry] = yaml.safe_load(value)
    (here / "policies" / "cases" / "support.yaml").write_text(yaml.safe_dump({"cases": [case]}))
    assert aigov("policy", "test").code == Exit.NO


def test_a_case_file_is_read_strictly(aigov, here) -> None:
    (here / "policies" / "cases" / "support.yaml").write_text("cases:\n  - {name: a, actoin: chat}\n")
    ran = aigov("policy", "test")
    assert ran.code == Exit.CANNOT
    assert "support.yaml:2:" in ran.err
    assert "action" in ran.err


def test_no_cases_are_said_not_passed(aigov, here) -> None:
    (here / "policies" / "cases" / "support.yaml").unlink()
    assert aigov("policy", "test").code == Exit.CANNOT


def test_a_decision_is_explained(aigov, here) -> None:
    ran = aigov(*REFUND, *DANA, "--args", '{"amount": 250}', "--json")
    told = json.loads(ran.out)
    assert ran.code == Exit.NO
    assert list(told) == ["verdict", "allowed", "reasons", "policy", "replaced", "shadow"]
    assert told["verdict"] == "review"
    assert {(one["code"], one["rule"]) for one in told["reasons"]} == {("refund.over_limit", "refund-limit")}


def test_what_would_be_replaced_is_counted(aigov, here) -> None:
    ran = aigov(
        "policy", "decide", "chat", "model:gpt-4o-mini", "-", *DANA, "--json", stdin=b"a@example.com b@example.com"
    )
    assert ran.code == Exit.OK
    assert json.loads(ran.out)["replaced"] == {"EMAIL_ADDRESS": 2}


@pytest.mark.parametrize("arguments", ["nope", "[1]", '"x"'])
def test_arguments_that_are_no_object_are_a_usage_error(aigov, here, arguments: str) -> None:
    assert aigov(*REFUND, "--args", arguments).code == Exit.USAGE


def test_the_schema_accepts_the_starter_and_refuses_a_misspelling(aigov, here, layer) -> None:
    schema = json.loads(aigov("policy", "schema").out)
    policy = yaml.safe_load(layer.path.read_text())
    jsonschema.validate(policy, schema)
    policy["privcy"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(policy, schema)


def test_what_is_set_and_what_is_a_default_are_told_apart(aigov, here) -> None:
    told = {line["path"]: line for line in map(json.loads, aigov("policy", "explain", "--json").out.splitlines())}
    assert told["privacy.min_score"]["origin"] == "set"
    assert "organisation.yaml:" in told["privacy.min_score"]["where"]
    assert (told["audit.patience_ms"]["origin"], told["audit.patience_ms"]["value"]) == ("default", 250)


def test_lockdown_refuses_everything_until_it_is_lifted_and_is_recorded(aigov, here) -> None:
    asked = ("access", "check", "chat", "model:gpt-4o-mini", *DANA)
    assert aigov(*asked).code == Exit.OK
    assert aigov("policy", "lockdown", "--reason", "incident.42", "--as", "olga").code == Exit.OK
    assert "lockdown.active" in aigov(*asked).out
    assert aigov(*asked).code == Exit.NO
    assert aigov("policy", "lift", "--as", "olga").code == Exit.OK
    assert aigov(*asked).code == Exit.OK
    told = [json.loads(line) for line in aigov("audit", "tail", "--json").out.splitlines()]
    switched = [one for one in told if one["kind"].startswith("policy.l")]
    assert [one["kind"] for one in switched] == ["policy.lockdown", "policy.lifted"]
    assert switched[0]["reason"] == "incident.42"
    assert switched[0]["by"] == switched[1]["by"] != ""
    assert aigov("audit", "verify").code == Exit.OK


def test_lifting_what_is_not_locked_is_no(aigov, here) -> None:
    assert aigov("policy", "lift").code == Exit.NO


def test_lockdown_works_on_a_broken_policy(aigov, here, layer) -> None:
    layer.change("aigov: 1", "aigov: 99")
    assert aigov("policy", "lockdown").code == Exit.OK
    assert (here / "policies" / "lockdown").exists()


def test_what_cannot_be_recorded_is_locked_down_but_not_lifted(aigov, here) -> None:
    (here / "audit").write_text("no folder")
    assert aigov("policy", "lockdown").code == Exit.INCOMPLETE
    assert (here / "policies" / "lockdown").exists()
    assert aigov("policy", "lift").code == Exit.CANNOT
    assert (here / "policies" / "lockdown").exists()
