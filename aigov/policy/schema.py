"""JSON Schema of a layer file, for editors: what is known, what is expected, and what each entry is for.

The reader in `decode.py` stays the judge: it knows positions, quoting and what guards check themselves.
Whatever the schema refuses, the reader refuses too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from aigov.policy.draft import HEADER_KEYS, Header

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(
    sections: Mapping[str, Any], plugins: Mapping[str, Any] | None = None, required: Iterable[str] = ()
) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a layer with these `sections` (key to type) and `plugins` (name to type).

    `required`: the keys, beside the header's, that a layer cannot do without.
    """
    settings = dict(plugins or {})
    kinds = [Header, *sections.values(), *settings.values()]
    (header, *refs), parts = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    properties = dict(_component(header, parts)["properties"])
    properties.update(zip(sections, refs, strict=False))
    if settings:
        entries = dict(zip(settings, refs[len(sections) :], strict=True))
        properties["plugins"] = {**_closed(entries), "minProperties": 1}
    document: dict[str, Any] = {
        "$schema": DIALECT,
        "title": "aigov policy layer",
        **_closed(properties),
        "required": [*HEADER_KEYS, *required],
        "$defs": {name: part for name, part in parts.items() if name != header["$ref"].rpartition("/")[2]},
    }
    _fill(document)
    return document


def _component(ref: Mapping[str, str], parts: Mapping[str, Any]) -> Any:
    return parts[ref["$ref"].rpartition("/")[2]]


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _fill(part: Any) -> None:
    """Refuse empty lists and maps where entries are the point, as the reader does."""
    if isinstance(part, list):
        for item in part:
            _fill(item)
    if not isinstance(part, dict):
        return
    if part.get("type") == "array":
        part["minItems"] = max(1, part.get("minItems", 1))
    if part.get("type") == "object" and isinstance(part.get("additionalProperties"), dict):
        part["minProperties"] = max(1, part.get("minProperties", 1))
    for key, item in part.items():
        if key not in ("default", "enum", "const", "examples"):
            _fill(item)
