"""The examples of docs/text.md are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "text.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_examples_run(block: str) -> None:
    exec(compile(block, PAGE.name, "exec"), {})  # noqa: S102 - the page's own examples


def test_there_are_examples() -> None:
    assert len(BLOCKS) == 5
