"""`docs/plugins.md` is whole and true: every hook and code is on it and used by a test, and its code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aigov.hookspecs import CONTRIBUTE, OBSERVE, REGISTER
from aigov.plugins.answers import MAX_FINDINGS, MAX_REPLACEMENT, MAX_RULINGS
from aigov.plugins.assembly import LIMIT_S
from aigov.plugins.guards import BACKLOG, FAULTS
from aigov.plugins.hooks import SPECIAL
from aigov.plugins.starting import START_LIMIT_S
from aigov.plugins.workers import THREADS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
TESTS = "".join(
    path.read_text(encoding="utf-8")
    for folder in (ROOT / "tests", ROOT / "plugins")
    for path in folder.rglob("*.py")
    if path != Path(__file__)
)
HOOKS = sorted(REGISTER | CONTRIBUTE | OBSERVE)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_on_the_page_under_its_kind(hook: str) -> None:
    kind = next(
        name
        for name, hooks in {"Register": REGISTER, "Contribute": CONTRIBUTE, "Observe": OBSERVE}.items()
        if hook in hooks
    )
    section = PAGE.partition(f"### {kind}")[2].partition("\n##")[0]
    assert f"| `{hook}(" in section


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_used_by_a_test(hook: str) -> None:
    assert re.search(rf"def {hook}\(|\b{hook}=", TESTS)


@pytest.mark.parametrize("code", sorted(FAULTS))
def test_every_reason_code_is_on_the_page(code: str) -> None:
    assert f"| `{code}` |" in PAGE


@pytest.mark.parametrize("mark", SPECIAL)
def test_every_mark_that_is_refused_is_on_the_page(mark: str) -> None:
    assert f"`{mark}`" in PAGE.partition("## What is refused")[2]


@pytest.mark.parametrize(
    "says",
    [
        f"**{LIMIT_S:g} s**",
        f"at most {THREADS} threads",
        f"{START_LIMIT_S:g} s to be imported",
        f"{BACKLOG:,} records behind",
        f"at most {MAX_FINDINGS:,} findings",
        f"at most {MAX_RULINGS:,} rulings",
        f"{MAX_REPLACEMENT:,} characters",
    ],
)
def test_every_number_on_the_page_is_the_codes(says: str) -> None:
    assert says in PAGE


def test_the_code_on_the_page_runs() -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/plugins.md", "exec"), names)  # noqa: S102 - our own page
    guards = names["guards"]
    assert repr(guards) == "Guards(acme-bulk)"
    guards.close()  # type: ignore[attr-defined]
