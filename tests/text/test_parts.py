"""Any value into its parts and back."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import functools
import sys
import threading
import types
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.errors import Malformed
from aigov.text.parts import Limits, lay_out

LIMITS = Limits()


class Point(NamedTuple):
    role: str
    content: str


class Colour(enum.Enum):
    RED = "red"


class Shade(enum.StrEnum):
    DARK = "dark"


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    name: str
    notes: list[str]
    count: int = 0

    def __post_init__(self) -> None:
        raise_if_late()


@dataclasses.dataclass
class Open:
    name: str
    made: str = dataclasses.field(init=False)
    fixed: str = dataclasses.field(init=False, default="from the class")

    def __post_init__(self) -> None:
        raise_if_late()
        self.made = self.name + "!"

    @functools.cached_property
    def loud(self) -> str:
        return self.name.upper()


class Wire(msgspec.Struct, frozen=True, cache_hash=True):
    name: str
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        raise_if_late()


class Loose(msgspec.Struct, dict=True):
    name: str


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", frozen=True)
    name: str
    role: str = "assistant"
    _secret: str = pydantic.PrivateAttr(default="private text")

    @pydantic.field_validator("name")
    @classmethod
    def checked(cls, name: str) -> str:
        raise_if_late()
        return name


class Plain(pydantic.BaseModel):
    name: str


class Words(str):
    note: str


class Box(dict):  # type: ignore[type-arg]
    label: str

    def items(self) -> Any:
        return [("shown", "harmless")]


class Stack(list):  # type: ignore[type-arg]
    pass


class Ring(Mapping[str, str]):
    def __init__(self, held: dict[str, str]) -> None:
        self.held = held

    def __getitem__(self, key: str) -> str:
        return self.held[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)


class Handle:
    pass


class Special(Handle):
    pass


class Tagged(int):
    pass


LATE: list[bool] = []


def raise_if_late() -> None:
    if LATE:
        raise AssertionError("the class's own code was called")


@pytest.fixture
def no_code_of_the_class() -> Iterator[None]:
    LATE.append(True)
    yield
    LATE.clear()


def texts(value: Any, limits: Limits = LIMITS) -> dict[str, str]:
    return {part.path: part.text for part in lay_out(value, limits).parts}


def same(value: Any) -> Any:
    layout = lay_out(value, LIMITS)
    return layout.rebuild([part.text for part in layout.parts])


def upper(value: Any) -> Any:
    layout = lay_out(value, LIMITS)
    return layout.rebuild([part.text.upper() for part in layout.parts])


def refusal(value: Any, limits: Limits = LIMITS) -> str:
    with pytest.raises(Malformed) as caught:
        lay_out(value, limits)
    assert caught.value.__context__ is None
    return caught.value.code


def nest(depth: int) -> Any:
    value: Any = "leaf"
    for _ in range(depth):
        value = [value]
    return value


def instance(value: Any, **attributes: Any) -> Any:
    for name, attribute in attributes.items():
        setattr(value, name, attribute)
    return value


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from(Colour)
)
VALUES = st.recursive(
    SCALARS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers(0, 3) | st.tuples(st.text(max_size=2)), inner, max_size=4)
        | st.sets(st.text(max_size=4), max_size=4)
        | st.builds(Plain.model_construct, name=inner)
        | st.builds(Loose, inner)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_rebuilt_with_its_own_texts_a_value_equals_itself(value: Any) -> None:
    assert same(value) == value


@given(VALUES)
def test_paths_are_unique(value: Any) -> None:
    parts = lay_out(value, LIMITS).parts
    assert len({part.path for part in parts}) == len(parts)


@given(VALUES)
def test_every_text_is_a_part(value: Any) -> None:
    layout = lay_out(value, LIMITS)
    blanked = layout.rebuild([f"part-{index}" for index in range(len(layout.parts))])
    left = set(texts(blanked).values())
    assert left == {f"part-{index}" for index in range(len(layout.parts))}


@given(VALUES)
def test_the_plain_view_holds_plain_values_only(value: Any) -> None:
    def check(shown: Any) -> None:
        assert shown is None or type(shown) in (dict, list, str, int, float, bool)
        for inner in shown.values() if type(shown) is dict else shown if type(shown) is list else ():
            check(inner)

    check(lay_out(value, LIMITS).plain)


@given(st.dictionaries(st.text("a/~#", max_size=4), st.text("a/~#", max_size=2)))
def test_a_path_step_is_read_back_as_its_key(value: dict[str, str]) -> None:
    found = texts(value)
    for key, text in value.items():
        step = key.replace("~", "~0").replace("/", "~1").replace("#", "~2")
        assert found[f"/{step}"] == text
        assert found[f"/{step}#"] == key


def test_paths_and_roles_of_a_chat() -> None:
    chat = {"messages": [{"role": "user", "content": [{"text": "hi"}]}, {"content": "no role"}], "model": "m"}
    found = {part.path: part.role for part in lay_out(chat, LIMITS).parts}
    assert found["/messages/0/content/0/text"] == "user"
    assert found["/messages/1/content"] == ""
    assert found["/model"] == ""
    assert found["/messages#"] == ""


def test_objects_with_a_role_give_it_to_their_parts() -> None:
    found = {part.path: part.role for part in lay_out([Model(name="x"), Point("tool", "y")], LIMITS).parts}
    assert (found["/0/name"], found["/1/content"]) == ("assistant", "tool")


def test_a_role_that_is_no_role_is_not_shown() -> None:
    layout = lay_out({"role": "canary", "content": "x"}, LIMITS)
    assert "canary" not in repr(layout.parts)


def test_a_text_is_its_own_part() -> None:
    assert texts("hi") == {"": "hi"}
    assert same("hi") == "hi"


@pytest.mark.usefixtures("no_code_of_the_class")
@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: Frozen("jane", ["a"]), {"/name": "jane", "/notes/0": "a"}),
        (lambda: Open("jane"), {"/name": "jane", "/made": "jane!", "/fixed": "from the class"}),
        (lambda: Wire("jane", ("a",)), {"/name": "jane", "/tags/0": "a"}),
        (lambda: instance(Loose("jane"), more="x"), {"/name": "jane", "/more#": "more", "/more": "x"}),
        (lambda: instance(Open("jane"), more="x"), {"/name": "jane", "/more#": "more", "/more": "x"}),
        (
            lambda: Model(name="jane", other="o"),
            {"/name": "jane", "/other#": "other", "/other": "o", "/_secret": "private text"},
        ),
        (lambda: Point("user", "x"), {"/role": "user", "/content": "x"}),
        (lambda: instance(Words("jane"), note="x"), {"": "jane", "/note#": "note", "/note": "x"}),
        (lambda: instance(Box(a="b"), label="x"), {"/a#": "a", "/a": "b", "/~4/label": "x"}),
        (lambda: Stack(["a"]), {"/0": "a"}),
        (lambda: collections.OrderedDict(a="b"), {"/a": "b"}),
        (lambda: collections.defaultdict(list, a=["b"]), {"/a/0": "b"}),
        (lambda: types.MappingProxyType({"a": "b"}), {"/a": "b"}),
        (lambda: collections.UserDict(a="b"), {"/a": "b"}),
        (lambda: {"b", "a"}, {"/0": "a", "/1": "b"}),
        (lambda: frozenset({"a"}), {"/0": "a"}),
        (lambda: {("a", 1): "b"}, {"/~30#/0": "a", "/~30": "b"}),
        (lambda: {5: "b"}, {"/~30": "b"}),
        (lambda: {"k" * 65: "b"}, {"/~30": "b", "/~30#": "k" * 65}),
    ],
)
def test_kinds_of_values(make: Any, wanted: dict[str, str]) -> None:
    LATE.clear()
    value = make()
    LATE.append(True)
    found = texts(value)
    assert wanted.items() <= found.items()
    rebuilt = same(value)
    assert type(rebuilt) is type(value)
    assert rebuilt == value
    assert rebuilt is not value
    assert texts(rebuilt) == found


def test_edited_objects_keep_their_type_and_take_the_new_texts() -> None:
    model, wire = upper([Model(name="jane", other="o"), Wire("jane")])
    assert (model.name, model.OTHER, model.__pydantic_private__) == ("JANE", "O", {"_SECRET": "PRIVATE TEXT"})
    assert model.model_fields_set == {"name", "OTHER"}
    assert wire == Wire("JANE")
    assert hash(wire) == hash(Wire("JANE"))


def test_a_default_factory_goes_along() -> None:
    assert same(collections.defaultdict(list, a=["b"]))["new"] == []


def test_a_cached_property_is_computed_anew() -> None:
    value = Open("jane")
    assert value.loud == "JANE"
    layout = lay_out(value, LIMITS)
    rebuilt = layout.rebuild(["bob" if part.path == "/name" else part.text for part in layout.parts])
    assert rebuilt.loud == "BOB"


def test_a_slot_that_was_never_set_stays_unset() -> None:
    value = Frozen("a", [])
    object.__delattr__(value, "count")
    assert not hasattr(same(value), "count")


def test_any_other_mapping_becomes_a_dict() -> None:
    assert same(Ring({"a": "b"})) == {"a": "b"}
    assert texts(Ring({"a": "b"})) == {"/a#": "a", "/a": "b"}


def test_what_a_subclass_pretends_to_hold_does_not_count() -> None:
    assert texts(Box(real="text"))["/real"] == "text"


def test_values_pass_as_they_are() -> None:
    moment = datetime.datetime(2024, 5, 17, 12, tzinfo=datetime.UTC)
    values = [1, 1.5, None, True, Decimal("1.50"), moment, uuid.UUID(int=7), Colour.RED, Shade.DARK, msgspec.UNSET]
    layout = lay_out(values, LIMITS)
    assert layout.parts == ()
    assert all(out is given for out, given in zip(layout.rebuild([]), values, strict=True))


def test_the_plain_view() -> None:
    value = {
        "amount": Decimal("12.5"),
        "when": datetime.datetime(2024, 5, 17, 12),
        "wait": datetime.timedelta(minutes=1),
        "colour": Colour.RED,
        "id": uuid.UUID(int=7),
        "model": Model(name="jane", other=1),
        "point": Point("user", "x"),
        "big": 2**70,
        "huge": -(10**4000),
        "bad": Decimal("sNaN"),
        "handle": Handle(),
        "set": {"a"},
        1: "one",
        "1": "text one",
    }
    shown = lay_out(value, Limits(opaque=frozenset({f"{__name__}.Handle"}))).plain
    assert shown["amount"] == 12.5
    assert shown["when"] == "2024-05-17T12:00:00"
    assert shown["wait"] == 60.0
    assert shown["colour"] == "red"
    assert shown["id"] == "00000000-0000-0000-0000-000000000007"
    assert shown["model"] == {"name": "jane", "role": "assistant", "other": 1, "_secret": "private text"}
    assert shown["point"] == {"role": "user", "content": "x"}
    assert (shown["big"], shown["huge"], shown["handle"]) == (2.0**70, float("-inf"), None)
    assert shown["bad"] != shown["bad"]
    assert (shown["set"], shown["1"]) == (["a"], "text one")


@pytest.mark.parametrize(
    "value",
    [b"x", bytearray(b"x"), memoryview(b"x"), object(), Handle(), 1j, print, Handle, iter("a"), range(3), ...,
     collections.deque(["a"]), types.SimpleNamespace(a="b"), sys.float_info, datetime.UTC],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_types_are_refused(value: Any) -> None:
    assert refusal({"deep": [value]}) == "input.unknown_type"


def test_a_number_that_carries_more_is_refused() -> None:
    assert same(Tagged(3)) == 3
    assert refusal(instance(Tagged(3), note="text")) == "input.unknown_type"


def test_an_opaque_type_and_its_heirs_pass_by_reference() -> None:
    value = Special()
    limits = Limits(opaque=frozenset({f"{__name__}.Handle"}))
    assert lay_out([value], limits).rebuild([])[0] is value
    assert refusal([value], Limits(opaque=frozenset({"other.Handle"}))) == "input.unknown_type"


@pytest.mark.parametrize("name", ["builtins.object", "builtins.str", "builtins.dict", "builtins.list"])
def test_text_and_plain_containers_are_never_opaque(name: str) -> None:
    assert texts({"a": ["b"]}, Limits(opaque=frozenset({name})))["/a/0"] == "b"


def test_bytes_may_be_named_opaque() -> None:
    layout = lay_out([b"x", "y"], Limits(opaque=frozenset({"builtins.bytes"})))
    assert layout.rebuild(["z"]) == [b"x", "z"]


def test_limits_of_depth() -> None:
    assert texts(nest(64))
    assert refusal(nest(65)) == "input.too_deep"
    assert refusal(nest(20_000)) == "input.too_deep"
    assert refusal(nest(5000), Limits(max_depth=10**6)) == "input.too_deep"


def test_limits_of_characters_hold_for_the_whole_and_count_keys() -> None:
    assert texts(["a" * 5, "b" * 5], Limits(max_chars=10))
    assert refusal(["a" * 5, "b" * 6], Limits(max_chars=10)) == "input.too_large"
    assert refusal({"key": "b" * 8}, Limits(max_chars=10)) == "input.too_large"


def test_limits_of_nodes() -> None:
    assert refusal([0] * 100_001) == "input.too_large"
    assert refusal(dict.fromkeys(range(60000))) == "input.too_large"
    laughs: Any = ["lol"]
    for _ in range(40):
        laughs = [laughs, laughs]
    assert refusal(laughs) == "input.too_large"


def test_an_endless_mapping_is_cut_off() -> None:
    class Endless(Ring):
        def __iter__(self) -> Iterator[str]:
            number = 0
            while True:
                number += 1
                yield str(number)

        def __getitem__(self, key: str) -> str:
            return "x"

    assert refusal(Endless({})) == "input.too_large"


def test_long_keys_do_not_multiply() -> None:
    value: Any = [""] * 1000
    for _ in range(60):
        value = {"k" * 64: value}
    assert max(len(part.path) for part in lay_out(value, LIMITS).parts) < 1000


def test_cycles_are_refused() -> None:
    ring: list[Any] = []
    ring.append({"a": ring})
    assert refusal(ring) == "input.cyclic"
    model = Plain.model_construct(name=None)
    object.__setattr__(model, "name", model)
    assert refusal(model) == "input.cyclic"


def test_one_object_in_two_places_is_two_parts() -> None:
    shared = ["a"]
    layout = lay_out([shared, shared], LIMITS)
    assert layout.rebuild(["x", "y"]) == [["x"], ["y"]]


def test_lone_surrogates_are_refused_anywhere() -> None:
    assert refusal("\ud800") == "input.not_utf8"
    assert refusal({"\udfff": 1}) == "input.not_utf8"
    assert refusal([Words("é\ud800")]) == "input.not_utf8"


def test_keys_that_an_edit_made_equal_are_refused() -> None:
    layout = lay_out({"jane": 1, "bob": 2}, LIMITS)
    with pytest.raises(Malformed, match=r"input\.key_clash"):
        layout.rebuild(["[NAME]", "[NAME]"])


def test_keys_with_one_text_are_told_apart() -> None:
    class Odd(str):
        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            return self is other

    found = texts({Odd("a"): "x", Odd("a"): "y", "a": "z"})
    assert found == {"/~30#": "a", "/~30": "x", "/~31#": "a", "/~31": "y", "/a#": "a", "/a": "z"}


def test_members_with_one_name_are_refused() -> None:
    class Twice(Ring):
        def __iter__(self) -> Iterator[str]:
            return iter(("a", "a"))

    assert refusal(Twice({"a": "b"})) == "input.key_clash"


def test_a_change_after_laying_out_does_not_change_what_is_sent() -> None:
    model = Plain(name="before")
    value = {"list": ["before"], "model": model, "set": {"before"}}
    layout = lay_out(value, LIMITS)
    own = [part.text for part in layout.parts]
    value["list"].append("after")  # type: ignore[union-attr]
    value["set"].add("after")  # type: ignore[union-attr]
    model.name = "after"
    value["new"] = "after"  # type: ignore[assignment]
    rebuilt = layout.rebuild(own)
    assert rebuilt == {"list": ["before"], "model": Plain(name="before"), "set": {"before"}}


def test_two_rebuilt_copies_share_no_container() -> None:
    layout = lay_out({"a": ["b"]}, LIMITS)
    own = [part.text for part in layout.parts]
    layout.rebuild(own)["a"].append("c")
    assert layout.rebuild(own) == {"a": ["b"]}


def test_a_mapping_whose_code_raises_is_refused_without_its_words() -> None:
    class Broken(Ring):
        def __iter__(self) -> Iterator[str]:
            raise KeyError("canary")

    with pytest.raises(Malformed) as caught:
        lay_out(Broken({}), LIMITS)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_value_may_be_changed_by_another_thread_meanwhile() -> None:
    value: dict[str, Any] = {f"k{number}": [str(number)] for number in range(200)}
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            value[f"n{number % 50}"] = ["x"]
            value.pop(f"n{(number + 25) % 50}", None)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(100):
            layout = lay_out(value, LIMITS)
            assert len(layout.rebuild([part.text for part in layout.parts])) >= 200
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("wrong", [[], ["a", "b"], [1]])
def test_rebuild_wants_one_text_for_each_part(wrong: list[Any]) -> None:
    with pytest.raises(ValueError, match="one text"):
        lay_out("x", LIMITS).rebuild(wrong)


def test_pydantic_is_never_imported_for_its_own_sake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pydantic")
    assert texts({"a": "b"})["/a"] == "b"
    assert "pydantic" not in sys.modules


def test_repr_shows_counts_only() -> None:
    assert repr(lay_out({"canary": "canary"}, LIMITS)) == "Layout(parts=2, chars=12)"


class Account(int):
    def __str__(self) -> str:
        return "nothing to see"

    def __int__(self) -> int:
        return 7


class Rate(float):
    pass


class Amount(Decimal):
    pass


class Known(enum.IntEnum):
    LONG = 8_471_625_536


@pytest.mark.parametrize(
    "value",
    [8471625536, -8471625536, 10**6, 10**40 - 1, Account(8471625536), 8471625536.0, Rate(8471625536), 1e22,
     Decimal("8471625536"), Decimal("8471625536.00"), Decimal("8.471625536E+9"), Amount("8471625536")],
)  # fmt: skip
@pytest.mark.parametrize(
    "place", [lambda one: {"a": one}, lambda one: [0.5, one], lambda one: {one: "x"}, lambda one: one]
)
def test_a_long_whole_number_is_a_part_and_itself_again(value: Any, place: Any) -> None:
    given_value = place(value)
    layout = lay_out(given_value, Limits(numbers=True))
    [part] = [one for one in layout.parts if one.number]
    assert int(part.text) == Decimal(value)
    texts = [one.text for one in layout.parts]
    built = layout.rebuild(texts)
    assert built == given_value
    assert repr(built) == repr(given_value)
    said = layout.rebuild(["[T]" if one.number else one.text for one in layout.parts])
    assert said == place("[T]")
    assert not any(one.number for one in lay_out(given_value, Limits()).parts)


@pytest.mark.parametrize(
    "value",
    [0, 999_999, 10**40, 1.5, 8471625536.5, float("nan"), float("-inf"), Decimal("NaN"), Decimal("sNaN"),
     Decimal("Infinity"), Decimal("1E+1000000"), Decimal("8471625536.01"), True, Known.LONG, None],
)  # fmt: skip
def test_other_numbers_are_no_parts(value: Any) -> None:
    layout = lay_out([value, {"a": value}], Limits(numbers=True))
    assert [one.text for one in layout.parts] == ["a"]
    assert repr(layout.rebuild(["a"])) == repr([value, {"a": value}])
