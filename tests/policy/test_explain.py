"""What a policy comes to: every entry, its value, and whether it was set, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from aigov.policy.draft import Draft
from aigov.policy.explain import effective

LAYER = """\
privacy:
  min_score: 0.25
  entities: {US_SSN: deny, CREDIT_CARD: {mask: {keep_last: 2}}}
  allow: [b@acme.example, a@acme.example]
rules:
  - {id: r, when: 'action == "x"', verdict: deny, reason: a.b}
plugins:
  acme-hours: {open: "09:30"}
"""


def told(draft: Draft, sections: dict[str, Any], plugins: dict[str, Any]) -> dict[str, tuple[Any, str, int]]:
    found = effective(draft, sections, plugins)
    assert len({entry.path for entry in found}) == len(found)
    return {entry.path: (entry.value, entry.origin, entry.where.line if entry.where else 0) for entry in found}


def test_every_entry_is_there_with_its_origin(
    draft: Callable[..., Draft], sections: dict[str, Any], plugins: dict[str, Any]
) -> None:
    entries = told(draft(LAYER), sections, plugins)
    assert entries["layer"] == ("organisation", "set", 2)
    assert entries["name"] == ("acme", "set", 3)
    assert entries["privacy.min_score"] == (0.25, "set", 5)
    assert entries["privacy.default"] == ("tokenise", "default", 0)
    assert entries["privacy.entities.US_SSN"] == ("deny", "set", 6)
    assert entries["privacy.entities.CREDIT_CARD.mask.keep_last"] == (2, "set", 6)
    assert entries["privacy.entities.CREDIT_CARD.replace"] == (None, "default", 0)
    assert entries["privacy.allow"] == (["a@acme.example", "b@acme.example"], "set", 7)
    assert entries["rules[0].when"] == ('action == "x"', "set", 9)
    assert entries["rules[0].mode"] == ("enforce", "default", 0)
    assert entries["plugins.acme-hours.open"] == ("09:30", "set", 11)
    assert entries["plugins.acme-hours.timezone"] == ("UTC", "default", 0)
    assert entries["review.expires"] == ("72h", "default", 0)


def test_every_leaf_of_the_file_is_an_entry(
    draft: Callable[..., Draft], sections: dict[str, Any], plugins: dict[str, Any]
) -> None:
    entries = told(draft(LAYER), sections, plugins)
    assert sum(origin == "set" for _, origin, _ in entries.values()) == 11


def test_a_section_without_defaults_that_is_not_set_has_none(
    draft: Callable[..., Draft], sections: dict[str, Any]
) -> None:
    assert not any(path.startswith("access") for path in told(draft(""), sections, {}))


def test_values_go_into_json(draft: Callable[..., Draft], sections: dict[str, Any], plugins: dict[str, Any]) -> None:
    entries = effective(draft(LAYER), sections, plugins)
    assert msgspec.json.decode(msgspec.json.encode([entry.value for entry in entries]))
