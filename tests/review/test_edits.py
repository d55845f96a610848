"""A reviewer replaces texts by the paths that they were shown, without the answer's class."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.errors import ReviewError
from aigov.review.desk import Desk
from aigov.review.edits import retext
from aigov.review.values import pack, unpack
from aigov.text.parts import Limits, lay_out

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass
class Answer:
    text: Any
    confidence: Any = 0.4


class Struct(msgspec.Struct):
    text: Any
    confidence: Any = 0.4


class Model(pydantic.BaseModel, extra="allow"):
    text: Any
    confidence: Any = 0.4


KEYS = st.one_of(st.text(max_size=6), st.sampled_from(["a/b", "~", "a#", "~0", "k" * 80]), st.integers(0, 9))
TEXTS = st.recursive(
    st.one_of(st.text(max_size=8), st.integers(), st.none(), st.binary(max_size=3), st.decimals(allow_nan=False)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.builds(Answer, inner, inner),
        st.builds(Struct, inner, inner),
        st.builds(Model, text=inner, more=inner),
    ),
    max_leaves=10,
)


@given(TEXTS)
def test_the_paths_are_those_that_a_reviewer_is_shown(value: Any) -> None:
    layout = lay_out(value, Limits(opaque=frozenset({"builtins.bytes"})))
    shown = [part for part in layout.parts if not part.path.endswith("#")]
    edited = {part.path: f"{part.text}!" for part in shown}
    wanted = layout.rebuild([edited.get(part.path, part.text) for part in layout.parts])
    assert pack(unpack(retext(pack(value), edited))) == pack(wanted)


def test_nothing_but_the_named_text_changes() -> None:
    value = {"a": ["one", "two"], "b": Answer("three", 0.25), "c": "one"}
    edited = unpack(retext(pack(value), {"/a/0": "1", "/b/text": ["l"][0]}))
    assert edited == {"a": ["1", "two"], "b": Answer("l", 0.25), "c": "one"}


@pytest.mark.parametrize(
    "texts",
    [
        {"/c": "x"}, {"": "x"}, {"/a": "x"}, {"/n": "x"}, {"/a#": "x"}, {"/a/0": 1}, {"/a/0": None},
        {"/a/0": ["i", "0x1"]},
        {"/s/0": "x"}, {"/a/0": "\ud800"}, {"/a/0": "x" * 9_000_000}, {"/a/-1": "x"}, {"/a/00": "x"}, {3: "x"},
    ],
    ids=lambda texts: repr(texts)[:30],
)  # fmt: skip
def test_a_path_without_a_text_or_a_text_that_is_none_is_refused(texts: Any) -> None:
    with pytest.raises(ReviewError) as caught:
        retext(pack({"a": ["one"], "n": 1, "s": {"x"}}), texts)
    assert (caught.value.code, caught.value.__context__) == ("review.not_editable", None)


@given(st.binary(max_size=60), st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2))
def test_bytes_that_nobody_packed_are_refused_or_kept(data: bytes, texts: dict[str, str]) -> None:
    with contextlib.suppress(ReviewError):
        assert isinstance(retext(data, texts), bytes)


REVIEWER = """
import sys
from pathlib import Path
from aigov.review.desk import Desk
from aigov.types import Principal
desk = Desk(Path(sys.argv[1]), key=b"k" * 32, expires_s=100, clock=lambda: 1_700_000_000.0)
rita = Principal(id="rita", tenant="retail")
status = desk.approve(sys.argv[2], rita, lambda *asked: True, texts={"/text": "right"})
print(status.state, "test_edits" in " ".join(sys.modules))
"""


def test_an_object_is_edited_in_a_process_that_does_not_know_its_class(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case(content=Answer("wrong", 0.4)))
    command = [sys.executable, "-c", REVIEWER, str(kit.path), ticket]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.stdout.split() == ["approved", "False"], run.stderr
    assert unpack(desk.claim(ticket).case.content) == Answer("right", 0.4)


def test_arguments_are_not_edited_text_by_text_either(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case("input", content={"a": "b"}))
    assert kit.code(desk.approve, ticket, kit.rita, kit.anyone, texts={"/a": "c"}) == "review.not_editable"


def test_one_way_to_edit_at_a_time(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case(content="wrong"))
    both = {"edited": pack("right"), "texts": {"": "right"}}
    assert kit.code(desk.approve, ticket, kit.rita, kit.anyone, **both) == "review.not_editable"
    assert desk.approve(ticket, kit.rita, kit.anyone, texts={"": "right"}).judgement.edited
    assert unpack(desk.claim(ticket).case.content) == "right"
