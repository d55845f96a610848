"""The JSON Schema: what every record of a log keeps to, and what stands in the docs."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
from hypothesis import given
from hypothesis import strategies as st

import aigov
from aigov.audit import reader, schema
from aigov.audit.canonical import line_types

DOCS = Path(aigov.__file__).parents[1] / "docs"
CHECK = jsonschema.Draft202012Validator(schema.of_records())


def test_the_page_shows_the_schema_as_it_is() -> None:
    assert (DOCS / "record.schema.json").read_text(encoding="utf-8") == schema.text(), (
        "run `aigov audit schema > docs/record.schema.json`"
    )


def test_every_record_of_a_log_keeps_to_it(sealed: Path) -> None:
    for record in reader.records(sealed):
        CHECK.validate(record)


@given(st.data())
def test_a_record_with_a_field_too_many_or_too_few_does_not(sealed: Path, data: st.DataObject) -> None:
    record = dict(data.draw(st.sampled_from(list(reader.records(sealed)))))
    assert not CHECK.is_valid(record | {"more": 1})
    record.pop(data.draw(st.sampled_from(sorted(record))))
    assert not CHECK.is_valid(record)


def test_every_kind_is_in_it_and_in_the_page() -> None:
    page = (DOCS / "audit.md").read_text(encoding="utf-8")
    assert [kind for kind in line_types() if f"`{kind}`" not in page] == []
    assert len(schema.of_records()["oneOf"]) == len(line_types())
    json.loads(msgspec.json.encode(schema.of_records()))
