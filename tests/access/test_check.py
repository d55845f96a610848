"""What `check` warns of: lines that read as one thing and mean another."""

from __future__ import annotations

from pathlib import Path

import pytest

from aigov.access.check import check
from aigov.access.settings import AccessSettings
from aigov.errors import PolicyError

STARTER = Path(__file__).parents[2] / "policies"
GRANT = "p, agent, retail, model:small, chat, allow\ng, dana, agent, retail\n"


def found(folder: Path, **settings: object) -> list[str]:
    report = check(folder, AccessSettings(**settings))  # type: ignore[arg-type]
    return [f"{problem.where.line}: {problem.what}; {problem.fix}" for problem in report.warnings]


def test_the_starter_gives_no_warning_once_its_roles_are_listed() -> None:
    assert not found(STARTER, trust_roles=True, roles=("support-lead", "contractor"))


def test_the_report_counts_what_it_read(write) -> None:
    report = check(write(GRANT), AccessSettings())
    assert (report.grants, report.role_lines, report.roles, report.tenants) == (1, 1, 1, 1)
    assert report.engine
    assert not report.warnings


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("p, agent, retail, model:small, chat, allow", "3: the same rule stands in line 1"),
        ("g, kim, agent, retial", "3: no grant names the tenant `retial`; did you mean `retail`"),
        ("g, kim, agnet, retail", "3: nothing is granted to the role `agnet`; did you mean `agent`"),
        ("p, *, retail, x, chat, allow", "3: `*` in `sub` is an ordinary name here, not every one"),
        ("p, agent, retail, kb:*:public, chat, allow", "3: keyMatch does not look behind the first `*` of `kb:*:pub"),
    ],
)
def test_a_line_that_misleads_is_told(write, line: str, warning: str) -> None:
    assert any(text.startswith(warning) for text in found(write(GRANT + line + "\n")))


def test_a_tenant_or_role_that_nothing_defines_is_told(write) -> None:
    assert "3: no role line names the tenant `retial`; did you mean `retail`" in found(
        write(GRANT + "p, agent, retial, x, chat, allow\n")
    )
    elsewhere = write(GRANT + "p, agent, bank, x, chat, allow\n")
    assert found(elsewhere) == ["3: no role line names the tenant `bank`; give somebody `agent` there, or take it out"]
    assert not found(elsewhere, trust_roles=True, roles=("dana",))
    misspelt = write(GRANT + "p, agemt, retail, x, chat, allow\n")
    assert "3: no role line names `agemt`" in found(misspelt)[0]
    assert found(write(GRANT), roles=("auditor",)) == [
        "0: no line names the role `auditor`; take it out of `access.roles`, or grant it something"
    ]


def test_a_policy_that_names_many_people_is_checked_in_time(write) -> None:
    people = "".join(f"p, person{at}, retail, x, chat, allow\n" for at in range(3_000))
    roles = "".join(f"g, dana, role{at}, retail\np, role{at}, retail, x, chat, allow\n" for at in range(300))
    assert not found(write(people + roles))


def test_a_colon_is_a_variable_to_key_match_2(write, tenants) -> None:
    model = tenants.replace("keyMatch(", "keyMatch2(")
    assert any("begins a variable" in text for text in found(write(GRANT, model)))


def test_a_branch_that_lets_everybody_in_is_told(write, tenants) -> None:
    model = tenants.replace("r.act == p.act", 'r.act == p.act || r.obj == "kb:public"')
    assert any("a branch of the matcher never looks at who asks" in text for text in found(write(GRANT, model)))


def test_lines_that_are_never_asked_are_told(write, tenants) -> None:
    model = tenants.replace("act, eft\n", "act, eft\np2 = sub, obj\n")
    assert any("`p2` lines are never asked" in text for text in found(write(GRANT + "p2, dana, x\n", model)))


def test_a_name_that_may_be_a_role_or_a_person_is_told_where_roles_are_trusted(write) -> None:
    assert any("`dana` may be an id or a role" in text for text in found(write(GRANT), trust_roles=True))
    assert not found(write(GRANT), trust_roles=True, roles=("dana",))


def test_what_a_governor_refuses_a_check_refuses(write) -> None:
    with pytest.raises(PolicyError):
        check(write("p, a\n"), AccessSettings())
