"""Values for tickets: exact both ways, refused where they cannot be, and harmless whatever the bytes."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime as dt
import enum
import io
import math
import struct
import sys
import tracemalloc
import types
import uuid
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigov.errors import ReviewError
from aigov.review import values
from aigov.review.values import kind, pack, unpack

CANARY = "canary-4111-jane"


class Colour(enum.Enum):
    RED = "red"
    CRIMSON = "red"
    BLUE = ("b", 1)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"


class Bits(enum.Flag):
    A = 1
    B = 2


@dataclasses.dataclass
class Plain:
    a: Any
    b: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    a: Any
    b: Any = ()


def _loud(*args: Any, **named: Any) -> Any:
    raise RuntimeError(CANARY)


@dataclasses.dataclass(init=False, repr=False, eq=False)
class Loud:
    """Everything that could run says so by raising."""

    a: int

    __init__ = __post_init__ = __setattr__ = __setstate__ = __getstate__ = __reduce__ = __reduce_ex__ = _loud
    __getattr__ = __getattribute__ = __copy__ = __deepcopy__ = __repr__ = __eq__ = __hash__ = _loud


class Tree(msgspec.Struct):
    a: Any
    b: Any = msgspec.UNSET


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    name: str

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "name", self.name + "!")


class Stamped(msgspec.Struct, dict=True):
    name: str = "a"

    def __post_init__(self) -> None:
        self.__dict__["stamp"] = 1


@dataclasses.dataclass
class Made:
    """Made by a `__new__` of its own, which a copy would pass by."""

    a: int = 0

    def __new__(cls, *args: Any) -> Made:
        return object.__new__(cls)


@dataclasses.dataclass
class Fault(Exception):
    a: int = 0


class Model(pydantic.BaseModel):
    name: str
    count: int = 0
    _seen: int = pydantic.PrivateAttr(default=3)

    @pydantic.field_validator("name")
    @classmethod
    def never_again(cls, name: str) -> str:
        if name == "once":
            raise ValueError(CANARY)
        return name


class Open(pydantic.BaseModel, extra="allow"):
    a: Any = None


class Outer:
    @dataclasses.dataclass
    class Inner:
        a: int


class Pair(NamedTuple):
    a: int
    b: int


class Text(str):
    pass


class Number(int):
    pass


class Zone(dt.tzinfo):
    pass


def same(one: Any, other: Any) -> bool:
    """Equal, type by type, dict order, NaN's bits, the sign of zero and time zones included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack(">d", one) == struct.pack(">d", other)
    if isinstance(one, Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, enum.Enum) or one is msgspec.UNSET:
        return one is other
    if isinstance(one, dt.datetime | dt.time):
        zones = (repr(one.tzinfo), one.fold) == (repr(other.tzinfo), other.fold)
        return zones and one.replace(tzinfo=None) == other.replace(tzinfo=None)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and all(any(same(a, b) for b in other) for a in one)
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, msgspec.Struct):
        return same(msgspec.structs.astuple(one), msgspec.structs.astuple(other))
    if isinstance(one, pydantic.BaseModel):
        state = [
            (m.__dict__, m.__pydantic_fields_set__, m.__pydantic_extra__, m.__pydantic_private__) for m in (one, other)
        ]
        return same(*state)
    return bool(one == other)


ZONES = st.one_of(
    st.none(),
    st.just(dt.UTC),
    st.builds(dt.timezone, st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23))),
    st.builds(dt.timezone, st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)), st.just("HERE")),
    st.just(ZoneInfo("Europe/Berlin")),
)
HASHABLE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(2**3000), 2**3000), st.floats(), st.text(), st.binary(),
    st.decimals(allow_nan=False), st.just(Decimal("NaN")), st.uuids(), st.dates(), st.timedeltas(),
    st.datetimes(timezones=ZONES), st.times(timezones=ZONES),
    st.sampled_from([*Colour, *Level, *Word, *Bits, msgspec.UNSET]),
)  # fmt: skip
ATOMS = st.one_of(HASHABLE, st.decimals())  # signalling NaN cannot be hashed


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=4),
        st.sets(HASHABLE, max_size=4),
        st.frozensets(HASHABLE, max_size=4),
        st.builds(Plain, inner, inner),
        st.builds(Slotted, inner, inner),
        st.builds(Tree, inner, inner),
        st.builds(Model, name=st.text(), count=st.integers()),
        st.builds(Open, a=inner, more=inner),
    )


VALUES = st.recursive(ATOMS, _nested, max_leaves=12)


def refused(work: Any, *args: Any) -> str:
    with pytest.raises(ReviewError) as caught:
        work(*args)
    assert caught.value.code == "review.not_resumable"
    assert caught.value.__context__ is None
    assert "canary" not in str(caught.value)
    return caught.value.what


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_a_value_comes_back_exactly(value: Any) -> None:
    assert same(unpack(pack(value)), value)


@given(VALUES)
@settings(max_examples=100, deadline=None)
def test_equal_values_pack_to_equal_bytes(value: Any) -> None:
    assert pack(unpack(pack(value))) == pack(value)


@given(st.binary(max_size=200))
@settings(max_examples=400, deadline=None)
def test_random_bytes_are_refused_or_a_value_and_nothing_else(data: bytes) -> None:
    for read in (unpack, kind):
        with contextlib.suppress(ReviewError):
            read(data)


TAGS = ["i", "f", "b", "dec", "uuid", "date", "dt", "time", "td", "unset", "e", "o", "l", "t", "s", "z", "d", "x", ""]
SCRAPS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
    st.sampled_from(["os:system", f"{__name__}:Plain", f"{__name__}:Colour", "RED", "2024-01-01", "UTC", "../x"]),
)  # fmt: skip
HOSTILE = st.recursive(
    SCRAPS,
    lambda inner: st.one_of(
        st.builds(lambda tag, rest: [tag, *rest], st.sampled_from(TAGS), st.lists(inner, max_size=5)),
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
    ),
    max_leaves=15,
)


@given(HOSTILE)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_forged_tree_is_refused_or_a_value_and_nothing_else(tree: Any) -> None:
    for read in (unpack, kind):
        with contextlib.suppress(ReviewError):
            read(msgspec.json.encode(tree))


@given(VALUES, st.data())
@settings(max_examples=200, deadline=None)
def test_packed_bytes_with_one_byte_changed_are_refused_or_a_value(value: Any, data: st.DataObject) -> None:
    packed = bytearray(pack(value))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ReviewError):
        unpack(bytes(packed))


@given(VALUES)
@settings(max_examples=100, deadline=None)
def test_the_kind_of_a_value_is_told_without_its_class(value: Any) -> None:
    packed = pack(value)
    known = kind(packed)
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name == __name__}
    try:
        assert kind(packed) == known
    finally:
        sys.modules.update(hidden)


@pytest.mark.parametrize(
    "value",
    [
        object(), lambda: 1, print, sys, io.StringIO(), iter(()), (item for item in ()), 1j, bytearray(b"x"), range(3),
        memoryview(b"x"), collections.OrderedDict(a=1), collections.defaultdict(int), types.MappingProxyType({}),
        Text("x"), Number(1), Pair(1, 2), int, Plain, Bits.A | Bits.B, ValueError(CANARY), {"a": {"b": [object()]}},
        Made(1), Fault(1), "\ud800", {"\udfff": 1}, {Text("x"): 1},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_cannot_be_kept_exactly_is_refused(value: Any) -> None:
    refused(pack, value)


def test_a_time_zone_of_the_programs_own_is_refused() -> None:
    refused(pack, dt.datetime(2024, 1, 1, tzinfo=Zone()))


def test_a_class_that_no_module_holds_is_refused_unnamed() -> None:
    @dataclasses.dataclass
    class Local:
        a: int = 1

    made = dataclasses.make_dataclass(CANARY.replace("-", "_"), ["a"])
    assert "top level" in refused(pack, Local())
    refused(pack, made(1))
    refused(pack, type(CANARY, (), {})())


def test_a_class_replaced_under_its_name_is_refused() -> None:
    value = Plain(1)
    copied = dataclasses.make_dataclass("Plain", ["a", "b"], namespace={"__module__": __name__})
    assert refused(pack, copied(1, 2))
    assert same(unpack(pack(value)), value)


def test_a_refused_type_is_named_so_that_a_developer_can_mend_it() -> None:
    assert "io:StringIO" in refused(pack, io.StringIO(CANARY)) or "_io" in refused(pack, io.StringIO(CANARY))


def test_a_nested_class_is_found_again() -> None:
    assert same(unpack(pack(Outer.Inner(a=3))), Outer.Inner(a=3))


def test_an_object_is_rebuilt_without_a_line_of_its_own_code() -> None:
    loud = object.__new__(Loud)
    object.__getattribute__(loud, "__dict__")["a"] = 7
    assert object.__getattribute__(unpack(pack(loud)), "__dict__") == {"a": 7}


def test_a_model_is_not_validated_again() -> None:
    model = Model.model_construct(name="once")
    assert same(unpack(pack(model)), model)


def test_a_struct_has_its_kept_fields_whatever_its_post_init_does() -> None:
    value = Checked(name="a")
    assert value.name == "a!"
    assert unpack(pack(value)).name == "a!"


def test_a_struct_that_would_come_back_with_more_is_refused() -> None:
    value = Stamped()
    assert same(unpack(pack(value)), value)
    del value.__dict__["stamp"]
    assert "come back" in refused(pack, value)


def test_a_struct_that_lacks_a_field_is_not_filled_up() -> None:
    value = Stamped()
    del value.name
    refused(pack, value)
    refused(unpack, msgspec.json.encode(["o", f"{__name__}:Stamped", ["name"], ["d"], ["d"]]))


@pytest.mark.parametrize("cls", [Made, Fault])
def test_a_class_that_is_not_kept_is_not_rebuilt_either(cls: type) -> None:
    refused(unpack, msgspec.json.encode(["o", f"{__name__}:{cls.__name__}", ["a"], ["d"], ["d", "a", 1]]))


def test_a_text_held_many_times_is_refused_before_it_is_written() -> None:
    value = ["x" * 1_000_000] * 100
    tracemalloc.start()
    assert "too large" in refused(pack, value)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_attributes_set_besides_the_fields_are_kept() -> None:
    value = Plain(1)
    value.more = [2]  # type: ignore[attr-defined]
    assert unpack(pack(value)).more == [2]


def test_a_slot_that_was_never_filled_stays_empty() -> None:
    value = object.__new__(Slotted)
    object.__setattr__(value, "a", 1)
    back = unpack(pack(value))
    assert back.a == 1
    assert not hasattr(back, "b")


def test_a_name_in_a_ticket_makes_nothing_load() -> None:
    assert "wave" not in sys.modules
    data = msgspec.json.encode(["o", "wave:Wave_read", [], ["d"], ["d"]])
    assert "not loaded" in refused(unpack, data)
    assert "wave" not in sys.modules


def test_a_lazy_module_is_not_asked() -> None:
    lazy = types.ModuleType("lazy_module_of_this_test")
    asked = []
    lazy.__getattr__ = asked.append  # type: ignore[method-assign]
    sys.modules[lazy.__name__] = lazy
    try:
        refused(unpack, msgspec.json.encode(["o", f"{lazy.__name__}:Thing", [], ["d"], ["d"]]))
        assert asked == []
    finally:
        del sys.modules[lazy.__name__]


@pytest.mark.parametrize(
    "path", ["builtins:object", "subprocess:Popen", "io:StringIO", "builtins:dict", "types:FunctionType"]
)
def test_only_classes_of_data_are_rebuilt(path: str) -> None:
    refused(unpack, msgspec.json.encode(["o", path, [], ["d"], ["d"]]))


def test_an_object_whose_class_has_other_fields_now_is_refused() -> None:
    tree = msgspec.json.decode(pack(Plain(1, 2)))
    tree[2].append("c")
    assert "has changed" in refused(unpack, msgspec.json.encode(tree))


def test_a_member_that_its_enum_lost_is_refused() -> None:
    refused(unpack, msgspec.json.encode(["e", f"{__name__}:Colour", "GREEN"]))


def test_an_alias_comes_back_as_its_member() -> None:
    assert unpack(pack(Colour.CRIMSON)) is Colour.RED


def test_a_value_that_holds_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    refused(pack, ring)


def test_depth_is_bounded_on_both_ways() -> None:
    deep: Any = 1
    for _ in range(64):
        deep = [deep]
    assert unpack(pack(deep)) == deep
    for _ in range(64):
        deep = [deep]
    assert "nested" in refused(pack, deep)
    refused(unpack, b'["l",' * 200 + b"1" + b"]" * 200)
    refused(unpack, b"[" * 1_000_000)


def test_a_little_value_that_is_large_when_written_is_refused_early() -> None:
    value: Any = ["x" * 1000]
    for _ in range(40):
        value = [value, value]
    assert "too large" in refused(pack, value)


def test_size_is_bounded_on_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX_BYTES", 1000)
    assert unpack(pack("x" * 990)) == "x" * 990
    for large in ("x" * 1001, b"x" * 900, "\n" * 600, list(range(400)), 2**10_000):
        assert "too large" in refused(pack, large)
    assert "too large" in refused(unpack, b'"' + b"x" * 1000 + b'"')


def test_integers_have_no_limit_on_digits() -> None:
    huge = 10**20_000 + 1
    assert unpack(pack(-huge)) == -huge


@pytest.mark.parametrize("value", [math.nan, -math.nan, math.inf, -0.0, 5e-324, 0.1 + 0.2])
def test_floats_keep_their_bits(value: float) -> None:
    assert struct.pack(">d", unpack(pack(value))) == struct.pack(">d", value)


def test_the_order_of_a_dict_is_kept() -> None:
    assert list(unpack(pack({"b": 1, "a": 2, 3: 4}))) == ["b", "a", 3]


def test_true_and_one_are_not_mixed_up() -> None:
    assert [type(item) for item in unpack(pack([True, 1, 1.0, Decimal(1), Level.LOW]))] == [
        bool,
        int,
        float,
        Decimal,
        Level,
    ]


def test_a_repeated_key_or_member_is_refused() -> None:
    refused(unpack, b'["d","a",1,"a",2]')
    refused(unpack, b'["d","a"]')
    refused(unpack, b'["s",1,1]')


def test_the_kind_tells_apart_what_an_edit_may_not_change() -> None:
    kinds = [None, True, 1, 1.5, "a", b"a", [], (), {}, set(), frozenset(), Plain(1), Tree(1), Colour.RED, uuid.uuid4()]
    assert len({kind(pack(value)) for value in kinds}) == len(kinds)
