"""docs/sanitise.md says what the guard does."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from aigov.errors import Location
from aigov.hookspecs import Context
from aigov.sanitise.guard import plugin
from aigov.sanitise.injection import book
from aigov.sanitise.settings import Output, Settings
from aigov.types import Section

PAGE = (Path(__file__).parents[2] / "docs" / "sanitise.md").read_text(encoding="utf-8")
GUARD = plugin.aigov_start(
    settings=Section(Settings(), "organisation", lambda *path: Location("x")),
    context=Context(folder=Path(), key=lambda label: b"k" * 32),
)


@pytest.mark.parametrize("name", [*GUARD.aigov_reasons(), *GUARD.aigov_entities(), *Settings.__struct_fields__])
def test_every_key_code_and_type_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_policy_on_the_page_is_one_and_shows_the_defaults() -> None:
    block = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert block
    shown = msgspec.convert(yaml.safe_load(block[1])["sanitise"], Settings)
    assert msgspec.structs.replace(shown, output=Output(), opaque=(), trusted_roles=()) == Settings()


def test_the_page_counts_the_signatures() -> None:
    assert f"holds {len(book().signatures)} signatures" in PAGE
