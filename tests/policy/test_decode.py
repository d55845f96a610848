"""Nodes into structs: what is accepted, what is refused, and in which words."""

import datetime
import enum
import math
from typing import Annotated, Any, Literal

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect as kinds

from aigov.policy.decode import Decoder, nearest, surprise_in
from aigov.policy.nodes import Scalar, parse
from aigov.policy.wording import expected


def decode(text: str, kind: Any) -> tuple[Any, list[str]]:
    decoder = Decoder()
    value = decoder.decode(parse(text, "f"), kinds.type_info(kind), ("it",))
    return value, [f"{p.what}; {p.fix}" for p in decoder.problems]


def accepted(text: str, kind: Any) -> Any:
    value, problems = decode(text, kind)
    assert not problems
    return value


def refused(text: str, kind: Any) -> str:
    _, problems = decode(text, kind)
    assert problems
    return problems[0]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Inner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size: int = 3


class Outer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"kind_": "kind"}):
    kind_: str
    inner: Inner = Inner()
    many: list[Inner] = []


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("true", bool, True),
        ("false", bool, False),
        ("0", int, 0),
        ("-7", int, -7),
        ("+7", int, 7),
        ("9007199254740991", int, 2**53 - 1),
        ("1", float, 1.0),
        ("-1.5e-3", float, -0.0015),
        (".5", float, 0.5),
        ("plain", str, "plain"),
        ("'12'", str, "12"),
        ('""', str, ""),
        ("red", Colour, Colour.RED),
        ("2", Literal[1, 2], 2),
        ("[1, 2]", list[int], [1, 2]),
        ("[1, 2]", tuple[int, ...], (1, 2)),
        ("[1, b]", tuple[int, str], (1, "b")),
        ("[a, b]", frozenset[str], frozenset("ab")),
        ("[a, b]", set[str], {"a", "b"}),
        ("{a: 1}", dict[str, int], {"a": 1}),
        ("{red: 1}", dict[Colour, int], {Colour.RED: 1}),
        ("null", int | None, None),
        ("~", int | None, None),
        ("4", int | None, 4),
        ("4", int | str, 4),
        ("'4'", int | str, "4"),
        ("four", int | str, "four"),
        ("true", bool | str, True),
        ("deny", Literal["deny"] | Inner, "deny"),
        ("{size: 4}", Literal["deny"] | Inner, Inner(size=4)),
        ("{}", Inner, Inner()),
        ("{kind: x, inner: {size: 1}, many: [{}]}", Outer, Outer(kind_="x", inner=Inner(size=1), many=[Inner()])),
        ("{a: [1, 2.5, true, null, x, 'y']}", Any, {"a": [1, 2.5, True, None, "x", "y"]}),
        ("[1]", Annotated[list[int], msgspec.Meta(min_length=1, max_length=2)], [1]),
    ],
)
def test_what_fits_is_decoded(text: str, kind: Any, value: object) -> None:
    found = accepted(text, kind)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y", "n", "Yes", "NO", "True", "FALSE", "1", "'true'", "t"])
def test_only_true_and_false_are_truths(word: str) -> None:
    assert "must be true or false" in refused(word, bool)


WORDS = ["NO", "no", "yes", "on", "off", "y", "N", "true", "null", "~", "None", "False"]
NUMBERS = [
    "12",
    "-3",
    "1.0",
    ".5",
    "1e3",
    "0755",
    "0x1F",
    "0b1",
    "0o17",
    "1_000",
    "72:00",
    "1:2:3",
    ".inf",
    "-.NaN",
    "1,000",
]
DATES = ["2026-01-31", "2026-1-3", "2026-01-31T08:00:00Z", "2026-01-31 08:00:00"]


@pytest.mark.parametrize("text", [*WORDS, *NUMBERS, *DATES])
def test_text_that_some_reader_takes_for_something_else_is_to_be_quoted(text: str) -> None:
    assert f'quote it: "{text}"' in refused(text, str)
    assert accepted(f'"{text}"', str) == text


@given(st.text(max_size=20))
def test_whatever_yaml_would_not_take_for_text_is_a_surprise(text: str) -> None:
    try:
        read = yaml.safe_load(text)
        plain = len(list(yaml.scan(text))) == 3
    except (yaml.YAMLError, ValueError):
        return
    if plain and not isinstance(read, str) and not text.strip().startswith(("'", '"', "|", ">")):
        assert isinstance(read, (bool, int, float, datetime.date, datetime.datetime)) or read is None
        assert surprise_in(Scalar(parse("x", "f").where, text.strip())) or not text.strip()


@pytest.mark.parametrize("text", ["north", "72h", "1.2.3", "12-34", "10.csv", "v1", "a:b", "127.0.0.1", "yess"])
def test_other_text_needs_no_quotes(text: str) -> None:
    assert accepted(text, str) == text


@pytest.mark.parametrize(
    "text", ["07", "0x10", "1_000", "1.0", "1e3", "'1'", "one", "10:30", "9007199254740992", "1" * 50]
)
def test_what_is_no_plain_whole_number_is_refused(text: str) -> None:
    assert "must be a whole number" in refused(text, int)


@pytest.mark.parametrize(
    "text", [".nan", ".inf", "-.inf", "1e999", "nan", "inf", "1.", "'1.0'", "1,5", "0.5.1", "00.5"]
)
def test_what_is_no_finite_number_is_refused(text: str) -> None:
    assert "must be a number" in refused(text, float)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_read_exactly(number: float) -> None:
    assert accepted(repr(number), float) == number


@given(st.floats(), st.floats(0, 1), st.floats(0, 1))
def test_bounds_hold_as_in_msgspec(number: float, low: float, high: float) -> None:
    kind = Annotated[float, msgspec.Meta(ge=low, lt=high)]
    _, problems = decode(repr(number).replace("inf", ".inf").replace("nan", ".nan"), kind)
    try:
        msgspec.convert(number, kind)
    except msgspec.ValidationError:
        assert problems
    else:
        assert not problems or math.isnan(number)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[]", list[int]),
        ("[]", tuple[int, ...]),
        ("[]", frozenset[str]),
        ("{}", dict[str, int]),
        ("{a: []}", dict[str, list[int]]),
        ("{many: []}", Outer),
    ],
)
def test_an_empty_set_is_refused(text: str, kind: Any) -> None:
    assert "is empty; leave the key out instead" in refused(text, kind)


def test_an_entry_without_a_value_is_not_null() -> None:
    assert "has no value" in refused("{size: }", Inner)
    assert "has no value" in refused("{a: , b: 1}", dict[str, int | None])


@pytest.mark.parametrize(
    ("kind", "phrase"),
    [
        (int, "a whole number"),
        (float, "a number"),
        (bool, "true or false"),
        (str, "text"),
        (Annotated[float, msgspec.Meta(ge=0, le=1)], "a number between 0 and 1"),
        (Annotated[float, msgspec.Meta(ge=0.25)], "a number of at least 0.25"),
        (Annotated[int, msgspec.Meta(gt=0)], "a whole number above 0"),
        (Annotated[int, msgspec.Meta(lt=10, multiple_of=2)], "a whole number below 10 and divisible by 2"),
        (Annotated[int, msgspec.Meta(le=10)], "a whole number of at most 10"),
        (Annotated[str, msgspec.Meta(min_length=2, max_length=4)], "text of 2 to 4 characters"),
        (Annotated[str, msgspec.Meta(min_length=2)], "text of at least 2 characters"),
        (Annotated[str, msgspec.Meta(max_length=4)], "text of at most 4 characters"),
        (Annotated[str, msgspec.Meta(pattern="^a$")], "text that matches `^a$`"),
        (Annotated[str, msgspec.Meta(pattern="^a$", extra={"expected": "an a"})], "an a"),
        (Literal["a"], "`a`"),
        (Literal["a", "b"], "one of `a`, `b`"),
        (Literal["a"] | None, "`a`"),
        (Colour, "one of `red`, `blue`"),
        (list[str], "a list of text"),
        (list[int], "a list of whole numbers"),
        (list[Literal["a", "b"]], "a list of `a`, `b`"),
        (tuple[float, ...], "a list of numbers"),
        (tuple[int, str], "a list of a whole number, text"),
        (Annotated[list[str], msgspec.Meta(max_length=3)], "a list of text of at most 3 entries"),
        (dict[str, int], "a map from text to whole numbers"),
        (list[Inner], "a list of maps with `size`"),
        (Literal["deny"] | Inner, "`deny` or a map with `size`"),
        (int | str, "a whole number or text"),
        (Any, "any value"),
    ],
)
def test_what_is_expected_is_said_in_words(kind: Any, phrase: str) -> None:
    assert expected(kinds.type_info(kind)) == phrase


@pytest.mark.parametrize(
    ("text", "kind", "given"),
    [("[1]", int, "a list of 1"), ("{a: 1}", int, "a map"), ("x", int, "`x`"), ("'x'", int, "the text `x`")],
)
def test_a_wrong_type_says_what_is_there(text: str, kind: Any, given: str) -> None:
    assert refused(text, kind).startswith(f"`it` must be a whole number, not {given};")


def test_a_misspelt_key_names_the_nearest() -> None:
    assert "did you mean `size`?" in refused("{siez: 1}", Inner)


def test_a_key_like_no_other_lists_those_there_are() -> None:
    assert "its keys are `inner`, `kind`, `many`" in refused("{zzz: 1, kind: x}", Outer)
    assert nearest("a", ()) == "it takes no keys"


def test_a_renamed_field_goes_by_its_name_in_the_file() -> None:
    assert "`it.kind` is missing" in refused("{}", Outer)
    assert "has no key `kind_`" in refused("{kind_: x}", Outer)


def test_problems_name_their_whole_path() -> None:
    assert refused("{a: {kind: x, many: [{}, {size: x}]}}", dict[str, Outer]).startswith("`it.a.many[1].size` must")


def test_all_problems_are_told() -> None:
    _, problems = decode("{kind: 1, inner: {size: x, other: 1}, many: [{size: y}], more: 1}", Outer)
    assert len(problems) == 5


def test_a_check_of_the_struct_itself_is_a_problem_of_its_map() -> None:
    class Picky(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        low: int = 0
        high: int = 1

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("`low` is above `high`")

    assert refused("{low: 3}", Picky) == "`it`: `low` is above `high`; "


def test_a_list_has_as_many_entries_as_it_should() -> None:
    kind = Annotated[list[int], msgspec.Meta(min_length=2, max_length=3)]
    assert "has 1 entries; expected a list of whole numbers of 2 to 3 entries" in refused("[1]", kind)
    assert "has 4 entries" in refused("[1, 2, 3, 4]", kind)
    assert "not a list of 3" in refused("[1, a, 2]", tuple[int, str])


def test_a_repeated_entry_of_a_set_is_refused() -> None:
    assert "lists this twice" in refused("[a, b, a]", frozenset[str])


def test_advice_for_a_value_that_people_try() -> None:
    kind = Annotated[Literal["deny"], msgspec.Meta(extra={"instead": {"allow": "leave it out"}})]
    assert refused("allow", kind) == "`it` must be `deny`, not `allow`; leave it out"


def test_a_pattern_ends_where_the_text_ends() -> None:
    kind = Annotated[str, msgspec.Meta(pattern="^a$")]
    assert "must be text that matches" in refused('"a\\n"', kind)
    assert accepted("a", kind) == "a"


def test_a_union_tells_the_problems_inside_of_the_map_that_was_meant() -> None:
    assert "`it.size` must be a whole number" in refused("{size: x}", Literal["deny"] | Inner)


def test_a_union_names_the_nearest_choice() -> None:
    assert "did you mean `tokenise`?" in refused("tokenize", Literal["tokenise", "deny"] | Inner)


def test_a_choice_that_looks_like_something_else_is_to_be_quoted() -> None:
    assert "quote it" in refused("on", Literal["on", "off"])
    assert accepted("'on'", Literal["on", "off"]) == "on"


def test_an_unquoted_comma_is_recognised() -> None:
    assert "quote the text before it" in refused("{kind: f(a, b > 1)}", Outer)


JSON = st.recursive(
    st.booleans() | st.integers(-(10**14), 10**14) | st.text("abc", min_size=1),
    lambda inner: st.lists(inner, min_size=1),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1), JSON, min_size=1))
def test_any_plain_data_comes_through(value: dict[str, Any]) -> None:
    assert accepted(msgspec.json.encode(value).decode(), Any) == value
