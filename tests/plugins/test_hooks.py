"""What is refused when a plugin is registered, and that the message names plugin, hook and argument."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from aigov import hookspecs
from aigov.errors import Location, PolicyError
from aigov.hookspecs import hookimpl
from aigov.plugins.hooks import Registry

HERE = Location("policies/plugins.lock", 4, 3)


def refused(plugin: object) -> str:
    with pytest.raises(PolicyError) as caught:
        Registry().register("acme", plugin, HERE)
    assert all(problem.where == HERE for problem in caught.value.problems)
    return str(caught.value)


def answering(name: str, function: Any) -> object:
    return type("Plugin", (), {name: function})()


@pytest.mark.parametrize("option", ["wrapper", "hookwrapper", "tryfirst", "trylast", "optionalhook"])
def test_refuses_a_special_mark(option: str) -> None:
    def aigov_judge(self: Any, facts: Any) -> Any:
        return (yield)

    said = refused(answering("aigov_judge", hookimpl(**{option: True})(aigov_judge)))
    assert "`acme`" in said
    assert "`aigov_judge`" in said
    assert f"`{option}`" in said


def test_refuses_a_hook_under_another_name() -> None:
    said = refused(answering("decide", hookimpl(specname="aigov_judge")(lambda self, facts: [])))
    assert "`specname`" in said


def test_names_the_nearest_hook_for_a_misspelt_one() -> None:
    said = refused(answering("aigov_detects", hookimpl(lambda self, part: [])))
    assert "`aigov_detects`, which is not a hook; did you mean `aigov_detect`?" in said


@pytest.mark.parametrize("name", ["aigov_detect", "aigov_detects"])
@pytest.mark.parametrize(
    "unmarked", [lambda self, part: [], functools.partial(print), property(lambda self: print), "text", print]
)
def test_refuses_what_looks_like_a_hook_and_is_not_marked(name: str, unmarked: Any) -> None:
    assert f"`{name}`, which is no marked hook" in refused(answering(name, unmarked))


def test_names_an_argument_that_the_hook_does_not_have() -> None:
    said = refused(answering("aigov_detect", hookimpl(lambda self, text, direction: [])))
    assert "`aigov_detect` of plugin `acme` has no argument `text`; it takes `part`, `direction`" in said


def test_refuses_an_argument_that_would_never_be_filled() -> None:
    said = refused(answering("aigov_detect", hookimpl(lambda self, part, direction="input": [])))
    assert "`direction`" in said


def test_refuses_a_start_that_does_not_take_what_it_is_given() -> None:
    assert "`settings` and `context`" in refused(answering("aigov_start", hookimpl(lambda self, settings: self)))


async def _coroutine(self: Any, part: Any) -> Any:
    return []


async def _asynchronous_generator(self: Any, part: Any) -> Any:
    yield


@pytest.mark.parametrize("function", [_coroutine, _asynchronous_generator])
def test_refuses_an_asynchronous_hook(function: Any) -> None:
    assert "asynchronous" in refused(answering("aigov_detect", hookimpl(function)))


def test_refuses_the_same_name_twice() -> None:
    registry = Registry()
    registry.register("acme", answering("aigov_detect", hookimpl(lambda self, part: [])), HERE)
    with pytest.raises(PolicyError, match="twice"):
        registry.register("acme", answering("aigov_detect", hookimpl(lambda self, part: [])), HERE)


def test_runs_no_property_of_the_plugin() -> None:
    class Plugin:
        @property
        def anything(self) -> None:
            raise AssertionError

        @hookimpl
        def aigov_detect(self, part: Any) -> list[Any]:
            return []

    assert set(Registry().register("acme", Plugin(), HERE)) == {"aigov_detect"}


@pytest.mark.parametrize("make", [staticmethod, classmethod, lambda function: function])
def test_takes_methods_of_every_kind(make: Any) -> None:
    def alone(part: Any, direction: Any) -> Any:
        return (part, direction)

    def bound(self: Any, part: Any, direction: Any) -> Any:
        return (part, direction)

    plugin = answering("aigov_detect", make(hookimpl(alone if make is staticmethod else bound)))
    assert Registry().register("acme", plugin, HERE)["aigov_detect"](1, 2) == (1, 2)


def test_takes_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    module = types.ModuleType("acme")
    module.aigov_detect = hookimpl(lambda part: [part])  # type: ignore[attr-defined]
    assert Registry().register("acme", module, HERE)["aigov_detect"]("text", "input") == ["text"]


def test_every_hook_is_of_one_kind_and_specified() -> None:
    kinds = [hookspecs.REGISTER, hookspecs.CONTRIBUTE, hookspecs.OBSERVE]
    specified = {name for name in vars(hookspecs) if name.startswith("aigov_")}
    assert sum(map(len, kinds)) == len(frozenset().union(*kinds)) == len(specified)
    assert frozenset().union(*kinds) == specified
