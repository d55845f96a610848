"""A draft gives its sections, and refuses what nobody claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aigov.policy.draft import Draft
from aigov.policy.source import read

Problems = Callable[[Callable[[], object]], list[str]]
Make = Callable[..., Draft]


def test_a_section_is_decoded_with_its_layer(draft: Make, sections: dict[str, Any]) -> None:
    section = draft("privacy: {min_score: 0.25}\n").section("privacy", sections["privacy"])
    assert section.value.min_score == 0.25
    assert section.layer == "organisation"


def test_a_section_that_is_not_set_has_its_defaults(draft: Make, sections: dict[str, Any]) -> None:
    empty = draft("")
    assert empty.section("privacy", sections["privacy"]).value == sections["privacy"]()
    assert empty.section("rules", sections["rules"]).value == ()
    assert empty.section("other", list[int]).value == []
    assert empty.section("other", dict[str, int]).value == {}
    assert empty.section("other", frozenset[str]).value == frozenset()


def test_a_required_section_that_is_not_set_is_an_error(
    draft: Make, sections: dict[str, Any], problems_of: Problems
) -> None:
    empty = draft("")
    assert problems_of(lambda: empty.section("privacy", sections["privacy"], required=True))[0].startswith(
        "1:1 `privacy` is missing"
    )
    assert "`rules` is missing" in problems_of(lambda: empty.section("rules", sections["rules"], required=True))[0]


def test_a_section_without_defaults_is_required(draft: Make, sections: dict[str, Any], problems_of: Problems) -> None:
    told = problems_of(lambda: draft("").section("access", sections["access"]))
    assert told == ["1:1 `access` is missing; give it a map with `model`, `policy`"]


def test_settings_lie_under_plugins(draft: Make, plugins: dict[str, Any]) -> None:
    made = draft('plugins: {acme-hours: {open: "09:30"}}\n')
    assert made.plugins == ("acme-hours",)
    assert made.settings("acme-hours", plugins["acme-hours"]).value.open == "09:30"
    assert made.settings("other", plugins["acme-hours"]).value.open == "08:00"


def test_a_section_locates_its_entries(draft: Make, sections: dict[str, Any], plugins: dict[str, Any]) -> None:
    made = draft('privacy:\n  entities: {US_SSN: deny}\nplugins:\n  acme-hours:\n    open: "09:30"\n')
    section = made.section("privacy", sections["privacy"])
    assert section.locate()[1:] == (4, 1)
    assert section.locate("entities", "US_SSN")[1:] == (5, 22)
    assert section.locate("entities", "US_SSN#")[1:] == (5, 14)
    assert section.locate("entities", "GONE")[1:] == (5, 3)
    assert section.locate("min_score")[1:] == (4, 1)
    assert section.error("entities", "US_SSN", what="x").problems[0].where[1:] == (5, 22)
    assert made.settings("acme-hours", plugins["acme-hours"]).locate("open")[1:] == (8, 11)


def test_a_section_that_is_not_set_is_located_at_the_top(draft: Make, sections: dict[str, Any]) -> None:
    assert draft("").section("privacy", sections["privacy"]).locate("min_score")[1:] == (1, 1)


def test_its_own_keys_are_those_beside_the_header(draft: Make) -> None:
    made = draft("review: {}\nprivacy: {}\nplugins: {x: {}}\n")
    assert made.keys == ("review", "privacy")
    assert made.has("review")
    assert not made.has("access")


def test_finish_passes_what_everybody_claims(draft: Make) -> None:
    draft("review: {}\nplugins: {x: {}}\n").finish(["review"], ["x"])


def test_finish_refuses_every_key_and_plugin_that_nobody_claims(draft: Make, problems_of: Problems) -> None:
    made = draft("reviw: {}\nother: 1\nplugins: {acme-hour: {}, x: {}}\n")
    assert problems_of(lambda: made.finish(["review"], ["acme-hours"])) == [
        "4:1 a policy has no key `reviw`; did you mean `review`?",
        "5:1 a policy has no key `other`; the keys of a policy are `aigov`, `layer`, `name`, `plugins`, `review`",
        "6:11 settings for `acme-hour`, a plugin that is not loaded; did you mean `acme-hours`?",
        "6:26 settings for `x`, a plugin that is not loaded; the plugins are `acme-hours`",
    ]


def test_without_any_plugin_finish_says_how_to_add_one(draft: Make, problems_of: Problems) -> None:
    assert "aigov plugins lock" in problems_of(lambda: draft("plugins: {x: {}}\n").finish([], []))[0]


def test_header_keys_need_no_claim(draft: Make) -> None:
    draft("").finish([], [])


@pytest.mark.parametrize("missing", ["aigov", "layer", "name"])
def test_every_key_of_the_header_is_needed(policy: Callable[..., Any], problems_of: Problems, missing: str) -> None:
    header = {"aigov": "1", "layer": "organisation", "name": "acme"}
    del header[missing]
    folder = policy("", "".join(f"{key}: {value}\n" for key, value in header.items()))
    assert problems_of(lambda: read(folder))[0].startswith(f"1:1 `{missing}` is missing")


def test_another_version_says_which_is_read(draft: Make, problems_of: Problems) -> None:
    told = problems_of(lambda: draft("aigov: 7\nlayer: organisation\nname: acme\n", ""))
    assert told == [
        "1:8 format `7` is not supported; this version reads format 1; write `aigov: 1`, or install a newer version"
    ]


def test_a_flood_of_problems_in_a_section_is_cut(draft: Make, sections: dict[str, Any], problems_of: Problems) -> None:
    made = draft("privacy:\n" + "".join(f"  wrong{index}: 1\n" for index in range(500)))
    assert len(problems_of(lambda: made.section("privacy", sections["privacy"]))) == 50
