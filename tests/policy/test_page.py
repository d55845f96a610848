"""What docs/policy.md shows can be loaded, and what it lists is what there is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from aigov.policy.draft import HEADER_KEYS, Draft
from aigov.policy.facts import FACTS, FINDING_KEYS, PRINCIPAL_KEYS
from aigov.policy.rules import RESERVED, Rule

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_policy_on_the_page_can_be_loaded(
    block: str, policy: Callable[..., Path], load: Callable[[Path], Draft]
) -> None:
    assert load(policy(block, "") if block.startswith("aigov:") else policy(block))


def test_every_name_is_on_the_page() -> None:
    names = [*FACTS, *FINDING_KEYS, *PRINCIPAL_KEYS, *Rule.__struct_fields__, *(f"{part}." for part in RESERVED)]
    assert [name for name in names if f"`{name}`" not in PAGE] == []
    assert [key for key in HEADER_KEYS if f"\n{key}: " not in PAGE] == []
