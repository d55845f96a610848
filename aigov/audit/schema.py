"""The JSON Schema of a record, made from the structs that read it, so that the two cannot differ.

What a schema cannot say is in `docs/audit.md`: a line is canonical JSON, `prev` is the hash of the line
before, `seq` has no gaps.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aigov.audit.canonical import line_types

ID = "https://json-schema.org/draft/2020-12/schema"


def of_records() -> dict[str, Any]:
    """The schema of a line of the log: one of the kinds, told apart by `kind`."""
    _, parts = msgspec.json.schema_components(list(line_types().values()), ref_template="#/$defs/{name}")
    kinds = [{"$ref": f"#/$defs/{kind.__name__}"} for kind in line_types().values()]
    return {
        "$schema": ID,
        "title": "A record of the log, schema aigov.audit/1",
        "oneOf": kinds,
        "$defs": dict(sorted(parts.items())),
    }


def text() -> str:
    """The schema as `aigov audit schema` prints it, ending in a newline."""
    return msgspec.json.format(msgspec.json.encode(of_records()), indent=2).decode() + "\n"
