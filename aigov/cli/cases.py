"""Golden cases of a policy: who asks what with which content, and the decision that has to come out.

Invariants:
* A case file is read as strictly as a policy: what is misspelt is an error with file, line and column.
* Running a case calls nothing, records nothing and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import inspect as kinds

from aigov.access import cases as access_cases
from aigov.access.cases import run_cases
from aigov.cli import opening
from aigov.cli.exits import cannot
from aigov.errors import Location, PolicyError, Problem
from aigov.governor import Governor
from aigov.policy import nodes
from aigov.policy.decode import Decoder
from aigov.text.spans import resolve
from aigov.types import Decision

FOLDER = "cases"
MAX_BYTES = 1_000_000
NOBODY = "nobody"


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case. `content`: a text, or the arguments by name. What is set among the rest has to come out.

    `reasons`, or one `reason`: the codes at the verdict, in any order. `rule`: the rule of access that
    decides, as it stands in its file. `hides`: the entity types that are replaced, each once. Without
    `principal` nobody is acting.
    """

    name: str
    action: str
    resource: str
    verdict: Literal["allow", "transform", "review", "deny"]
    principal: access_cases.Who | None = None
    content: dict[str, str | float | int | bool] | str = ""
    reason: str = ""
    reasons: tuple[str, ...] | None = None
    rule: str = ""
    hides: tuple[str, ...] | None = None


class CaseFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a case file holds."""

    cases: tuple[Case, ...]


class Result(NamedTuple):
    """A case that was run. `wrong` says what differed, "" where nothing did."""

    file: str
    case: Case
    wrong: str


class Report(NamedTuple):
    """Every case's result; of `rules` of access, those that decided none of them, and where they stand."""

    results: tuple[Result, ...]
    rules: int
    untouched: tuple[tuple[str, Location], ...]


def run(gov: Governor, policies: Path) -> Report:
    """Every case below `policies/cases`, in file order. Raises Stop where there is none, PolicyError."""
    files = sorted(path for path in (policies / FOLDER).rglob("*.y*ml") if path.suffix in {".yaml", ".yml"})
    if not files:
        raise cannot(f"no case files in `{policies / FOLDER}`")
    found = [(str(path.relative_to(policies)), case) for path in files for case in read(path).cases]
    permits = run_cases(opening.access(policies), [_asked(case) for _, case in found])
    results = [
        Result(file, case, _difference(case, _decision(gov, case), permitted.rule))
        for (file, case), permitted in zip(found, permits.results, strict=True)
    ]
    return Report(tuple(results), permits.rules, permits.untouched)


def _asked(case: Case) -> access_cases.Case:
    """What a case asks of access alone. Nobody has no name, and no rule is about them."""
    who = case.principal or access_cases.Who(id=NOBODY)
    return access_cases.Case(name=case.name, principal=who, action=case.action, resource=case.resource, verdict="allow")


def read(path: Path) -> CaseFile:
    """The cases of one file. Raises PolicyError with every problem."""
    node = nodes.parse(_text(path), str(path))
    decoder = Decoder()
    decoded: CaseFile = decoder.decode(node, kinds.type_info(CaseFile), ())
    if decoder.problems:
        raise PolicyError(decoder.problems)
    return decoded


def _text(path: Path) -> str:
    why = "is over a million bytes"
    try:
        data = path.read_bytes()
        if len(data) <= MAX_BYTES:
            return data.decode("utf-8")
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        why = "is not UTF-8"
    raise PolicyError(Problem(Location(str(path)), f"the case file {why}"))


def _decision(gov: Governor, case: Case) -> Decision:
    principal = case.principal.principal() if case.principal else None
    return gov.evaluate(action=case.action, resource=case.resource, principal=principal, content=case.content)


def _difference(case: Case, decision: Decision, rule: str) -> str:
    """What came out otherwise than the case says."""
    return "; ".join(_differences(case, decision, rule))


def _differences(case: Case, decision: Decision, rule: str) -> Iterator[str]:
    verdict = decision.verdict.name.lower()
    codes = {reason.code for reason in decision.reasons}
    hidden = {edit.type for edit in resolve(decision.edits)}
    wanted = (case.reason,) if case.reason else case.reasons
    if verdict != case.verdict:
        yield f"{verdict} ({_listed(codes)}), not {case.verdict}"
    if wanted is not None and codes != set(wanted):
        yield f"because of {_listed(codes)}, not {_listed(wanted)}"
    if case.rule and case.rule.replace(" ", "") != rule.replace(" ", ""):
        yield f"decided by {rule or 'no rule'}, not by {case.rule}"
    if case.hides is not None and hidden != set(case.hides):
        yield f"hides {_listed(hidden)}, not {_listed(case.hides)}"


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"
