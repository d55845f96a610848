"""The JSON Schema for editors knows what the reader knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from msgspec import inspect as kinds

from aigov.policy.decode import Decoder
from aigov.policy.schema import schema
from aigov.policy.source import read

LAYER = r"""
aigov: 1
layer: organisation
name: acme
access: {model: access/model.conf, policy: access/policy.csv, trust_roles: true}
privacy:
  min_score: 0.4
  default: tokenise
  entities: {CREDIT_CARD: {mask: {keep_last: 4}}, US_SSN: deny, IP_ADDRESS: hash, DATE_TIME: allow, URL: allow}
  allow: [support@acme.example]
  custom: [{entity: ORDER_ID, pattern: '\bORD-\d{8}\b', score: 0.9, context: [order]}]
sanitise: {invisible: strip, max_chars: 200000}
rules:
  - {id: refund-limit, when: 'action == "tool:refund" && args.amount > 100.0', verdict: review, reason: refund.limit}
review: {min_confidence: 0.85, expires: 72h}
plugins: {acme-hours: {open: "08:00", timezone: Europe/Berlin}}
"""
VECTORS = Path(__file__).parents[1] / "vectors" / "policy"


@pytest.fixture
def document(sections: dict[str, Any], plugins: dict[str, Any]) -> dict[str, Any]:
    return schema(sections, plugins)


def valid(document: dict[str, Any], layer: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(document).is_valid(layer))


def test_it_is_a_json_schema(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(document)


def test_a_whole_layer_is_valid(document: dict[str, Any]) -> None:
    jsonschema.validate(yaml.safe_load(LAYER), document, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("aigov: 1", "aigov: 2"),
        ("name: acme", ""),
        ("privacy:", "privcy:"),
        ("min_score: 0.4", "min_score: 4"),
        ("min_score: 0.4", "min_scor: 0.4"),
        ("default: tokenise", "default: tokenize"),
        ("keep_last: 4", "keep_last: 40"),
        ("trust_roles: true", "trust_roles: 1"),
        ("allow: [support@acme.example]", "allow: []"),
        ("rules:", "rules: []\nother:"),
        ("verdict: review", "verdict: allow"),
        ("reason: refund.limit", "reason: Refund"),
        ("id: refund-limit, ", ""),
        ("acme-hours", "acme-hour"),
        ("expires: 72h", "expires: soon"),
        ("plugins: {acme", "plugins: {}\nother: {acme"),
    ],
)
def test_a_mistake_is_invalid(document: dict[str, Any], old: str, new: str) -> None:
    assert old in LAYER
    assert not valid(document, yaml.safe_load(LAYER.replace(old, new)))


def test_every_entry_has_a_description_where_its_struct_gives_one(document: dict[str, Any]) -> None:
    assert document["properties"]["name"]["description"] == "name of the policy"
    rule = document["$defs"]["Rule"]
    assert all("description" in field for field in rule["properties"].values())
    assert document["$defs"]["Access"]["description"] == "Who may do what."


def test_nothing_unknown_passes_anywhere(document: dict[str, Any]) -> None:
    def objects(part: Any) -> list[dict[str, Any]]:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        own = [part] if isinstance(part, dict) and part.get("type") == "object" else []
        return own + [found for item in inner for found in objects(item)]

    assert len(objects(document)) > 8
    assert all(found.get("additionalProperties", True) is not True for found in objects(document))


def test_keys_can_be_required(sections: dict[str, Any]) -> None:
    layer = {"aigov": 1, "layer": "organisation", "name": "acme"}
    assert valid(schema(sections), layer)
    assert not valid(schema(sections, required=["access"]), layer)


def test_without_plugins_there_is_no_key_for_them(sections: dict[str, Any]) -> None:
    assert "plugins" not in schema(sections)["properties"]


@pytest.mark.parametrize(
    "folder", [path for path in VECTORS.iterdir() if not path.name.endswith("_fail")], ids=lambda path: path.name
)
def test_what_the_reader_takes_is_valid(folder: Path, document: dict[str, Any]) -> None:
    layer = Decoder().decode(read(folder).root, kinds.type_info(Any), ())
    jsonschema.validate(layer, document, jsonschema.Draft202012Validator)
