"""A reviewer reads what is no text as well: every value once, at the path that a part there would have."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.errors import ReviewError
from aigov.review.figures import Figure, figures
from aigov.review.values import pack
from aigov.text.parts import Limits, lay_out


class Colour(enum.Enum):
    RED = "the customer's own words"


@dataclasses.dataclass
class Order:
    amount: Any
    note: str = "leave it at the door"


class Line(msgspec.Struct):
    count: int
    name: str = ""


CASES: list[tuple[Any, list[tuple[str, str]]]] = [
    ({"order": "ORD-1", "amount": 249.9}, [("/amount", "249.9")]),
    ({"urgent": True, "limit": None, "many": 2**70}, [("/urgent", "true"), ("/limit", "null"), ("/many", str(2**70))]),
    ([1, ("a", 2)], [("/0", "1"), ("/1/1", "2")]),
    ({"order": Order(Decimal("19.90"))}, [("/order/amount", "19.90")]),
    ([Line(3, "shoes")], [("/0/count", "3")]),
    ({"when": dt.date(2026, 1, 31)}, [("/when", "2026-01-31")]),
    ({"how long": dt.timedelta(hours=2)}, [("/how long", "2:00:00")]),
    ({"id": UUID(int=7)}, [("/id", "00000000-0000-0000-0000-000000000007")]),
    ({"colour": Colour.RED}, [("/colour", "Colour.RED")]),
    ({"photo": b"abc"}, [("/photo", "3 bytes")]),
    ({7: "seven", "a/b": 1}, [("/~30#", "7"), ("/a~1b", "1")]),
    ("only text", []),
]


@pytest.mark.parametrize(("value", "expected"), CASES)
def test_every_value_that_is_no_text_is_there_once(value: Any, expected: list[tuple[str, str]]) -> None:
    assert list(figures(pack(value))) == [Figure(*one) for one in expected]


@given(
    st.recursive(
        st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.decimals(allow_nan=False)),
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
        max_leaves=12,
    )
)
def test_texts_and_figures_share_no_place(value: Any) -> None:
    parts = {part.path for part in lay_out(value, Limits()).parts}
    shown = [figure.path for figure in figures(pack(value))]
    assert len(shown) == len(set(shown))
    assert not parts & set(shown)


@given(st.binary(max_size=60))
def test_bytes_that_nobody_packed_are_refused(data: bytes) -> None:
    with contextlib.suppress(ReviewError):
        figures(data)


def test_a_figure_does_not_show_itself() -> None:
    assert "4111" not in repr(figures(pack({"card": 4111111111111111})))
