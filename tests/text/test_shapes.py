"""Texts that hold JSON: edits stay inside of their strings, and what is written back is JSON."""

from __future__ import annotations

import json
import re
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigov.text import shapes
from aigov.text.shapes import LEVELS, meant, quoted, shape, written
from aigov.text.spans import splice
from aigov.types import Edit

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
trees = st.recursive(
    scalars | texts,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(texts, inner, max_size=4),
        st.dictionaries(texts, inner, max_size=3).map(json.dumps),
    ),
    max_leaves=12,
)
documents = st.builds(
    lambda tree, ascii, indent: json.dumps({"a": tree}, ensure_ascii=ascii, indent=indent),
    trees, st.booleans(), st.sampled_from([None, 0, 2]),
)  # fmt: skip


def edit(start: int, end: int) -> Edit:
    return Edit(part=0, start=start, end=end, type="X", action="tokenise", guard="privacy")


def strings(value: Any, level: int = 1) -> list[Any]:
    """Every string and number of a document in order, those of JSON in strings as well."""
    if isinstance(value, dict):
        return [one for key, member in value.items() for one in (*strings(key, LEVELS), *strings(member, level))]
    if isinstance(value, list):
        return [one for member in value for one in strings(member, level)]
    if isinstance(value, str) and level < LEVELS and value.lstrip(" ")[:1] in ("{", "["):
        try:
            inner = json.loads(value)
        except ValueError:
            return [value]
        return strings(inner, level + 1)
    return [] if value is None or isinstance(value, bool) else [value]


@settings(max_examples=200)
@given(documents)
def test_every_string_and_number_is_a_leaf_in_its_place(text: str) -> None:
    built = shape(text)
    found = [
        json.loads(text[one.start : one.end].replace("\\", "") if one.level > 1 else text[one.start : one.end])
        if one.number
        else meant(text[one.start : one.end], f"s{one.level}")
        for one in built.leaves
    ]
    assert found == strings(json.loads(text))


@settings(max_examples=300)
@given(documents, st.data())
def test_an_edited_document_is_json_and_nothing_else_of_it_changes(text: str, data: st.DataObject) -> None:
    bounds = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    edits = [edit(start, end) for start, end in zip(bounds[::2], bounds[1::2], strict=False) if start < end]
    built = shape(text)
    fitted = built.fit(edits)
    new = data.draw(st.sampled_from(["[T]", 'a "b" \\ \n c', ""]))
    sent = splice(text, [(one.start, one.end, written(new, one.form)) for one in fitted])
    json.loads(sent)
    covered = {at for one in edits for at in range(one.start, one.end)}
    kept = [one for one in built.leaves if not covered.intersection(range(one.start, one.end))]
    after = shape(sent).leaves
    assert len(after) == len(built.leaves)
    for before, now in zip(built.leaves, after, strict=True):
        if before in kept:
            assert sent[now.start : now.end] == text[before.start : before.end]
    inside = {at for one in built.leaves for at in range(one.start, one.end)}
    assert covered & inside <= {at for one in fitted for at in range(one.start, one.end)}


def test_a_long_string_with_escapes_is_read_once_for_all_its_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As tool arguments hold a letter: a thousand addresses between line breaks took half a minute."""
    text = json.dumps({"body": "to jane@example.com\n" * 1_000, "cc": "jane@example.com\n"})
    read: list[int] = []
    real = shapes._meant

    def counting(text: str, literal: shapes.Literal) -> Any:
        read.append(literal.end - literal.start)
        return real(text, literal)

    monkeypatch.setattr(shapes, "_meant", counting)
    found = [edit(one.start(), one.end()) for one in re.finditer("jane@example.com", text)]
    assert [(one.start, one.end) for one in shape(text).fit(found)] == [(one.start, one.end) for one in found]
    assert sum(read) <= len(text)


@given(documents)
def test_reading_undoes_escapes_and_leads_back(text: str) -> None:
    built = shape(text)
    read = built.read()
    for one in built.leaves:
        raw = text[one.start : one.end]
        if not one.number and raw:
            said = meant(raw, f"s{one.level}")
            assert said in read.text
    for at in range(len(read.text)):
        start, end = read.original(at, at + 1)
        assert end - start == 1 or text[start] == "\\"


@given(texts, st.integers(0, LEVELS))
def test_what_is_quoted_is_meant_again(text: str, level: int) -> None:
    assert meant(quoted(text, level), f"s{level}") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1",
        "plain",
        '"a"',
        "12",
        "{'a': 1}",
        '{"a": 1} x',
        "[a@b.example]",
        "{}",
        "[]",
        'no\n{"a":1}',
        "[" * 9999,
    ],
)
def test_what_is_no_json_is_read_as_it_stands(text: str) -> None:
    assert shape(text).plain
    assert shape(text).fit([edit(0, 1)]) == [edit(0, 1)]


@pytest.mark.parametrize(
    "text",
    ['\ufeff{"n": 12}', '{"x": NaN, "n": 12}', '{"x": [-Infinity, 1e999], "n": 12}', '{"x": "\\ud800", "n": 12}'],
)
def test_what_python_writes_is_json_too(text: str) -> None:
    [number] = [one for one in shape(text).leaves if one.pointer == "/n"]
    assert (number.number, text[number.start : number.end]) == (True, "12")
    assert not any("\ud800" <= char <= "\udfff" for char in shape(text).read().text)


def test_lines_among_json_lines_that_are_none_are_text() -> None:
    """As the last line of a log that was cut off."""
    text = '{"a": "x"}\nsaid \\"y\\"\n\nmore\n{"b": 7}\n{"c": "z'
    built = shape(text)
    told = [(one.pointer, one.level, text[one.start : one.end]) for one in built.leaves]
    assert told == [
        ("/0/a#", 1, "a"), ("/0/a", 1, "x"), ("/1", 0, 'said \\"y\\"\n\nmore'), ("/3/b#", 1, "b"), ("/3/b", 1, "7"),
        ("/4", 0, '{"c": "z'),
    ]  # fmt: skip
    at = text.index("y")
    assert [(one.start, one.end, one.form) for one in built.fit([edit(at - 2, at + 3)])] == [(at - 2, at + 3, "")]


def test_what_lies_deep_costs_no_more() -> None:
    """A pointer of a thousand steps for each of many numbers would fill the memory."""
    wide = shape("[" + "1," * 5_000 + "1]").leaves
    text = "[" * 900 + "1," * 5_000 + "1" + "]" * 900
    tracemalloc.start()
    deep = shape(text).leaves
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert deep[7].pointer == "/0" * 899 + "/7"
    assert len(deep) == len(wide)
    assert most < 10_000_000


def test_json_lines_are_read_line_by_line() -> None:
    text = '{"a": "x"}\n\n{"b": ["y", 7]}\r\n'
    assert [(one.pointer, text[one.start : one.end]) for one in shape(text).leaves] == [
        ("/0/a#", "a"), ("/0/a", "x"), ("/1/b#", "b"), ("/1/b/0", "y"), ("/1/b/1", "7")
    ]  # fmt: skip


def test_pointers_lead_into_json_in_strings() -> None:
    text = json.dumps({"x/y": json.dumps({"to": ["a", {"n": 5}]})})
    assert [one.pointer for one in shape(text).leaves] == [
        "/x~1y#", "/x~1y/to#", "/x~1y/to/0", "/x~1y/to/1/n#", "/x~1y/to/1/n"
    ]  # fmt: skip
