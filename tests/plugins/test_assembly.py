"""How a set of guards is built: names, grants, order, what each declares, and what is never loaded."""

from __future__ import annotations

import importlib
import re
import threading
import time
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest

from aigov.errors import GuardFault, Location, PolicyError, Problem
from aigov.hookspecs import hookimpl
from aigov.plugins import Declared, Pin, assemble
from aigov.types import Edit, Part, Reason, Ruling, Verdict

LOCK = Location("policies/plugins.lock", 4, 3)
PERMIT_HOOKS = ("aigov_entities", "aigov_permit", "aigov_reasons")


def pin(*hooks: str, version: str = "1") -> Pin:
    return Pin(name="acme", distribution="acme", version=version, digest="sha256:" + "0" * 64, hooks=hooks, where=LOCK)


def permit(self: Any, principal: Any, action: str, resource: str) -> Any:
    return [Ruling(verdict=Verdict.DENY, reason=Reason(code="acme.no"))]


def test_a_built_in_guard_and_a_third_party_answer_the_same_question_alike(kit: Any) -> None:
    guards = kit.guards({"acme": kit.plugin(aigov_permit=permit)}, {"house": kit.plugin(aigov_permit=permit)})
    answers = {ask.name: (ask.trusted, ask(*kit.question)[0]) for ask in guards.permit}
    assert {name: trusted for name, (trusted, _) in answers.items()} == {"house": True, "acme": False}
    assert {name: ruling.reason for name, (_, ruling) in answers.items()} == {
        "house": Reason(code="acme.no", rule="house"),
        "acme": Reason(code="acme.no", rule="acme"),
    }


def test_each_hook_has_its_own_list(kit: Any) -> None:
    guards = kit.guards(
        {
            "acme": kit.plugin(
                aigov_permit=permit,
                aigov_screen=lambda self, part: [kit.finding(kind="screened")],
                aigov_detect=lambda self, part: [kit.finding(kind="detected")],
                aigov_judge=lambda self, facts: [kit.ruling(verdict=Verdict.REVIEW)],
            )
        }
    )
    assert [finding.kind for ask in guards.screen for finding in ask(kit.part, "input")] == ["screened"]
    assert [finding.kind for ask in guards.detect for finding in ask(kit.part, "input")] == ["detected"]
    assert [ruling.verdict for ask in guards.judge for ruling in ask(kit.facts)] == [Verdict.REVIEW]
    assert [ruling.verdict for ask in guards.permit for ruling in ask(*kit.question)] == [Verdict.DENY]


def test_submit_gives_what_a_call_gives(kit: Any) -> None:
    guards = kit.guards({"acme": kit.plugin(aigov_permit=permit)}, {"house": kit.plugin(aigov_permit=permit)})
    for ask in guards.permit:
        assert ask.submit(*kit.question).result(timeout=60) == ask(*kit.question)


def test_submit_of_a_built_in_guard_that_broke_gives_the_fault(kit: Any) -> None:
    (ask,) = kit.guards({}, {"house": kit.plugin(aigov_permit=lambda self, action: 1 / 0)}).permit
    fault = ask.submit(*kit.question).exception(timeout=0)
    assert (fault.guard, fault.code) == ("house", "guard.fault")


@pytest.mark.parametrize("answer", [None, [], (), iter(())])
def test_nothing_to_say_is_an_empty_answer(kit: Any, answer: Any) -> None:
    assert kit.detector(lambda self, part, direction: answer)(kit.part, "input") == ()


def test_a_hook_may_take_fewer_arguments_than_its_specification(kit: Any) -> None:
    seen = []
    guards = kit.guards(
        {"acme": kit.plugin(aigov_permit=lambda self, resource, principal: seen.append((resource, principal)))}
    )
    guards.permit[0](*kit.question)
    assert seen == [("model:any", kit.question[0])]


def test_detector_and_path_are_filled_in_for_a_built_in_guard(kit: Any) -> None:
    guards = kit.guards(
        {},
        {
            "house": kit.plugin(
                aigov_detect=lambda self, part, direction: [kit.finding(), kit.finding(detector="house/x", path="/b")]
            )
        },
    )
    first, second = guards.detect[0](kit.part, "input")
    assert (first.detector, first.path, second.detector, second.path) == ("house", "/a", "house/x", "/b")


def test_a_built_in_guard_that_breaks_is_a_guard_fault_without_context(kit: Any) -> None:
    guards = kit.guards({}, {"house": kit.plugin(aigov_detect=lambda self, part, direction: 1 / 0)})
    with pytest.raises(GuardFault) as caught:
        guards.detect[0](kit.part, "input")
    assert (caught.value.guard, caught.value.code, caught.value.__context__) == ("house", "guard.fault", None)
    assert guards.faults == {"house": 1}


def test_a_built_in_guard_names_the_third_party_that_it_asked_in_turn(kit: Any) -> None:
    def detect(self: Any, part: Part, direction: Any) -> Any:
        raise GuardFault("acme", "plugin.timeout")

    with pytest.raises(GuardFault, match=r"plugin\.timeout: acme"):
        kit.guards({}, {"house": kit.plugin(aigov_detect=detect)}).detect[0](kit.part, "input")


def test_an_interrupt_during_a_built_in_guard_is_the_users(kit: Any) -> None:
    def detect(self: Any, part: Part, direction: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kit.guards({}, {"house": kit.plugin(aigov_detect=detect)}).detect[0](kit.part, "input")


def test_a_third_party_may_use_types_and_reasons_of_built_in_guards(kit: Any) -> None:
    house = kit.plugin(aigov_entities=lambda self: ["EMAIL_ADDRESS"], aigov_reasons=lambda self: ["house.no"])
    acme = kit.plugin(
        aigov_detect=lambda self, part, direction: [kit.finding(type="EMAIL_ADDRESS")],
        aigov_judge=lambda self, facts: [kit.ruling(reason=Reason(code="house.no"))],
    )
    guards = kit.guards({"acme": acme}, {"house": house})
    assert guards.detect[0](kit.part, "input")[0].type == "EMAIL_ADDRESS"
    assert guards.judge[0](kit.facts)[0].reason.code == "house.no"


def test_a_third_party_may_not_use_types_and_reasons_of_another(kit: Any) -> None:
    beta = kit.plugin(
        aigov_entities=lambda self: ["BETA"],
        aigov_reasons=lambda self: ["beta.no"],
        aigov_judge=lambda self, facts: [kit.ruling()],
        aigov_detect=lambda self, part, direction: [kit.finding()],
    )
    guards = kit.guards({"acme": kit.plugin(aigov_permit=permit), "beta": beta})
    with pytest.raises(GuardFault, match="beta"):
        guards.judge[0](kit.facts)
    with pytest.raises(GuardFault, match="beta"):
        guards.detect[0](kit.part, "input")


def test_says_everything_that_is_declared(kit: Any) -> None:
    guards = kit.guards(
        {"acme": kit.plugin(aigov_permit=permit)}, {"house": kit.plugin(aigov_reasons=lambda self: ["house.no"])}
    )
    assert guards.entities == {"WORD"}
    assert guards.reasons == {"acme.no", "house.no", "guard.fault", "plugin.fault", "plugin.timeout", "plugin.out"}


def test_third_parties_start_first_so_that_built_in_guards_know_what_they_declare(kit: Any) -> None:
    told: list[Declared] = []
    order = []

    def start(name: str, factory: Any) -> object:
        order.append((name, sorted(told[-1].entities)))
        return factory.aigov_start(None, None)

    acme = kit.plugin(aigov_permit=permit, aigov_entities=lambda self: ["ACME"])
    beta = kit.plugin(aigov_permit=permit, aigov_entities=lambda self: ["BETA"])
    house = kit.plugin(aigov_entities=lambda self: ["HOUSE"])
    later = kit.plugin()
    assemble({"house": house, "a-later": later}, {"beta": beta, "acme": acme}, start, declared=told.append).close(0)
    assert order == [
        ("acme", []), ("beta", ["ACME"]), ("house", ["ACME", "BETA"]), ("a-later", ["ACME", "BETA", "HOUSE"]),
    ]  # fmt: skip


def test_what_a_factory_declares_is_known_before_anything_starts(kit: Any) -> None:
    class Early(type(kit.plugin())):  # type: ignore[misc]
        @hookimpl
        def aigov_entities(self) -> Iterator[str]:
            yield "EARLY"

    told: list[Declared] = []
    assemble({"house": kit.plugin(), "late": Early()}, {}, lambda name, factory: factory.started, declared=told.append)
    assert "EARLY" in told[0].entities


def test_a_plugin_with_the_name_of_a_built_in_guard_is_refused(kit: Any) -> None:
    with pytest.raises(PolicyError, match="`privacy` has the name of a built-in guard"):
        kit.guards({"privacy": kit.plugin(aigov_permit=permit)}, {"privacy": kit.plugin()})


@pytest.mark.parametrize("name", ["", "Acme", "a b", "acme_x", "-acme", "acme-", "a--b", "a/b", "a\n"])
def test_a_name_that_is_not_plain_is_refused(kit: Any, name: str) -> None:
    with pytest.raises(PolicyError, match="no plain name"):
        kit.guards({name: kit.plugin(aigov_permit=permit)})


def test_a_hook_that_was_not_granted_is_refused_with_the_command(kit: Any) -> None:
    acme = kit.plugin(aigov_permit=permit, aigov_judge=lambda self, facts: [])
    with pytest.raises(PolicyError) as caught:
        kit.guards({"acme": acme}, pins={"acme": pin(*PERMIT_HOOKS)})
    (problem,) = caught.value.problems
    assert problem.where == LOCK
    assert re.search("`acme` answers `aigov_judge`.*not granted.*`aigov plugins lock`", str(problem))


def test_a_plugin_that_answers_what_it_was_granted_is_loaded(kit: Any) -> None:
    guards = kit.guards({"acme": kit.plugin(aigov_permit=permit)}, pins={"acme": pin(*PERMIT_HOOKS)})
    assert guards.names == ("acme",)


def test_the_digest_is_that_of_the_pins(kit: Any) -> None:
    def digest(one: Pin) -> str:
        return kit.guards({"acme": kit.plugin(aigov_permit=permit)}, pins={"acme": one}).digest

    same, other = digest(pin(*PERMIT_HOOKS)), digest(pin(*PERMIT_HOOKS, version="2"))
    more = digest(pin(*PERMIT_HOOKS, "aigov_judge"))
    assert digest(pin(*PERMIT_HOOKS)) == same
    assert len({same, other, more, kit.guards({}).digest}) == 4


def test_a_plugin_that_answers_nothing_is_refused(kit: Any) -> None:
    silent = kit.plugin(aigov_permit=permit)
    silent.started = object()
    with pytest.raises(PolicyError, match="answers no hook"):
        kit.guards({"acme": silent})


def test_a_plugin_that_builds_nothing_is_refused(kit: Any) -> None:
    nothing = kit.plugin(aigov_permit=permit)
    nothing.started = None
    with pytest.raises(PolicyError, match="built nothing"):
        kit.guards({"acme": nothing})


def test_a_contribution_of_the_factory_that_would_never_be_asked_is_refused(kit: Any) -> None:
    class Misplaced(type(kit.plugin())):  # type: ignore[misc]
        @hookimpl
        def aigov_judge(self, facts: Any) -> Any:
            return []

    with pytest.raises(PolicyError, match="`aigov_judge` where it is never asked"):
        kit.guards({"acme": Misplaced(aigov_permit=permit)})


def test_a_plugin_without_a_start_is_refused() -> None:
    with pytest.raises(PolicyError, match="does not answer `aigov_settings`"):
        assemble({}, {"acme": object()}, lambda name, factory: factory)


@pytest.mark.parametrize("error", [ValueError("canary"), SystemExit(3), RecursionError("canary")])
def test_a_plugin_that_cannot_start_is_a_policy_error_without_its_words(kit: Any, error: BaseException) -> None:
    def start(name: str, factory: Any) -> object:
        raise error

    with pytest.raises(PolicyError, match="`acme`") as caught:
        assemble({}, {"acme": kit.plugin(aigov_permit=permit)}, start)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_plugin_that_refuses_its_settings_is_heard(kit: Any) -> None:
    def start(name: str, factory: Any) -> object:
        raise PolicyError(Problem(Location("organisation.yaml", 9, 5), "it closes when it opens"))

    with pytest.raises(PolicyError, match=r"organisation\.yaml:9:5: it closes when it opens"):
        assemble({}, {"acme": kit.plugin(aigov_permit=permit)}, start)


@pytest.mark.parametrize("hook", ["aigov_reasons", "aigov_entities"])
@pytest.mark.parametrize("declared", [["my secret is 4111"], [5], ["x" * 65], "acme.no ", [""], 7])
def test_declarations_are_names(kit: Any, hook: str, declared: Any) -> None:
    with pytest.raises(PolicyError, match="`acme`"):
        kit.guards({"acme": kit.plugin(aigov_permit=permit, **{hook: lambda self: declared})})


def test_declarations_without_end_are_refused(kit: Any) -> None:
    def reasons(self: Any) -> Iterator[str]:
        while True:
            yield "acme.no"

    with pytest.raises(PolicyError, match="aigov_reasons"):
        kit.guards({"acme": kit.plugin(aigov_permit=permit, aigov_reasons=reasons)})


def test_a_renderer_renders_the_edits_of_its_guard(kit: Any) -> None:
    def render(edit: Edit, value: str, scope: Any, direction: Any) -> str:
        return f"<{value[:1]}>"

    guards = kit.guards(
        {"acme": kit.plugin(aigov_renderer=lambda self: render)},
        {"house": kit.plugin(aigov_renderer=lambda self: render)},
    )
    edit = Edit(part=0, start=0, end=5, type="WORD", action="mask", guard="acme")
    assert {name: make(edit, "hello", None, "input") for name, make in guards.renderers.items()} == {
        "acme": "<h>",
        "house": "<h>",
    }


def test_a_built_in_renderer_that_breaks_is_a_guard_fault(kit: Any) -> None:
    guards = kit.guards({}, {"house": kit.plugin(aigov_renderer=lambda self: lambda *args: None)})
    edit = Edit(part=0, start=0, end=5, type="WORD", action="mask", guard="house")
    with pytest.raises(GuardFault, match=r"guard\.fault: house"):
        guards.renderers["house"](edit, "hello", None, "input")


def test_a_renderer_that_cannot_be_called_is_refused(kit: Any) -> None:
    with pytest.raises(PolicyError, match="renderer"):
        kit.guards({"acme": kit.plugin(aigov_renderer=lambda self: "text")})


def test_guards_show_names_and_nothing_else(kit: Any) -> None:
    guards = kit.guards({"acme": kit.plugin(aigov_permit=permit)})
    assert (repr(guards), repr(guards.permit[0])) == ("Guards(acme)", "Contribution(aigov_permit of acme)")


def test_a_set_that_is_dropped_lets_its_threads_go(kit: Any, threads: Any) -> None:
    guards = assemble({}, {"dropped": kit.plugin(aigov_permit=permit)}, lambda name, factory: factory.started)
    guards.permit[0](*kit.question)
    assert threads("aigov-dropped") >= 1
    del guards
    wait_until(lambda: threads("aigov-dropped") == 0)


def test_a_call_that_still_holds_a_closed_set_is_served(kit: Any, threads: Any) -> None:
    guards = kit.guards({"closed": kit.plugin(aigov_permit=permit)})
    guards.close()
    assert guards.permit[0](*kit.question)[0].verdict is Verdict.DENY
    wait_until(lambda: threads("aigov-closed") == 0)


def wait_until(done: Any) -> None:
    """Wait for something that is bound to happen; the suite's own timeout tells where it does not."""
    while not done():
        time.sleep(0.01)


def test_an_assembly_that_fails_leaves_no_threads(kit: Any, threads: Any) -> None:
    before = threads("aigov-watch")
    with pytest.raises(PolicyError):
        kit.guards({"acme": kit.plugin(aigov_permit=permit), "failed": kit.plugin(aigov_renderer=lambda self: 5)})
    wait_until(lambda: threads("aigov-failed") == 0 and threads("aigov-watch") <= before)


class TestRecognisers:
    """Presidio recognisers of third parties run inside the privacy guard: the limit goes with them."""

    @pytest.fixture
    def presidio(self) -> Any:
        return importlib.import_module("presidio_analyzer")

    def recogniser(self, presidio: Any, results: Any) -> Any:
        class Recogniser(presidio.LocalRecognizer):
            def load(self) -> None:
                pass

            def analyze(self, text: str, entities: Any, nlp_artifacts: Any = None) -> Any:
                return results(text)

        return Recogniser(supported_entities=["WORD"])

    def loaded(self, kit: Any, recogniser: Any, **options: Any) -> Any:
        guards = kit.guards({"acme": kit.plugin(aigov_recognizers=lambda self: [recogniser])}, **options)
        return guards.recognizers[0]

    def test_gives_what_it_found(self, kit: Any, presidio: Any) -> None:
        result = presidio.RecognizerResult("WORD", 0, 5, 0.5)
        given = self.loaded(kit, self.recogniser(presidio, lambda text: [result]))
        assert given.analyze(text="hello", entities=["WORD"], nlp_artifacts=None) == [result]

    def test_is_still_a_recogniser_and_the_plugins_own_is_untouched(self, kit: Any, presidio: Any) -> None:
        own = self.recogniser(presidio, lambda text: [])
        given = self.loaded(kit, own)
        assert isinstance(given, presidio.EntityRecognizer)
        assert "analyze" not in vars(own)

    def test_that_raises_is_a_plugin_fault(self, kit: Any, presidio: Any) -> None:
        given = self.loaded(kit, self.recogniser(presidio, lambda text: 1 / 0))
        with pytest.raises(GuardFault, match=r"plugin\.fault: acme"):
            given.analyze("hello", ["WORD"])

    def test_that_blocks_is_timed_out(self, kit: Any, presidio: Any) -> None:
        free = threading.Event()
        given = self.loaded(kit, self.recogniser(presidio, lambda text: free.wait(60)), limit_s=0.05)
        with pytest.raises(GuardFault, match=r"plugin\.timeout: acme"):
            given.analyze("hello", ["WORD"])
        free.set()

    @pytest.mark.parametrize(
        "bad", [("WORD", 0, 6, 0.5), ("WORD", 2, 2, 0.5), ("OTHER", 0, 5, 0.5), ("WORD", 0, 5, float("nan")), None]
    )
    def test_that_answers_nonsense_is_a_plugin_fault(self, kit: Any, presidio: Any, bad: Any) -> None:
        result = presidio.RecognizerResult(*bad) if bad else object()
        given = self.loaded(kit, self.recogniser(presidio, lambda text: [result]))
        with pytest.raises(GuardFault, match=r"plugin\.fault"):
            given.analyze("hello", ["WORD"])

    def test_of_a_type_that_nobody_declared_is_refused(self, kit: Any, presidio: Any) -> None:
        recogniser = self.recogniser(presidio, lambda text: [])
        plugin = kit.plugin(aigov_recognizers=lambda self: [recogniser], aigov_entities=lambda self: [])
        with pytest.raises(PolicyError, match="recognises `WORD`, which nobody declared"):
            kit.guards({"acme": plugin})

    def test_something_else_is_refused(self, kit: Any) -> None:
        with pytest.raises(PolicyError, match="recogniser that is none"):
            kit.guards({"acme": kit.plugin(aigov_recognizers=lambda self: [object()])})


def test_pins_need_not_be_a_dict(kit: Any) -> None:
    pins = MappingProxyType({"acme": pin(*PERMIT_HOOKS)})
    assert kit.guards({"acme": kit.plugin(aigov_permit=permit)}, pins=pins).names == ("acme",)
