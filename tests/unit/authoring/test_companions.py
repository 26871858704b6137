"""Probes and compensations: what they are called with, and what is refused."""

from __future__ import annotations

import functools

import attrs
import pytest

import durable_wf as wf
from durable_wf.authoring.fingerprint import fingerprint
from durable_wf.core.definition import Literal, Task, Undo, Upstream
from durable_wf.core.resources import Resources
from durable_wf.core.soundness import check
from durable_wf.core.status import InDoubt
from durable_wf.errors import DefinitionError


def book(city: str, nights: int = 2) -> dict:
    return {}


def built(function=book, parameters=None, **options) -> wf.Workflow:
    given = {"city": "Rome"} if parameters is None else parameters
    return wf.WorkflowBuilder("trip").add_task("hotel", function, given, **options).build()


def undo(compensate, function=book, parameters=None, **options) -> Undo:
    found = built(function, parameters, compensate=compensate, **options).tasks[0].undo
    assert found is not None
    return found


def problems(**options) -> str:
    with pytest.raises(DefinitionError) as raised:
        built(**options)
    return "\n".join(raised.value.problems)


ROME, RESULT = Literal('"Rome"'), Upstream("hotel")


@pytest.mark.parametrize(
    ("function", "kwargs"),
    [
        (lambda: None, {}),
        (lambda result: None, {"result": RESULT}),
        (lambda booking: None, {"booking": RESULT}),
        (lambda city: None, {"city": ROME}),
        (lambda city, booking: None, {"city": ROME, "booking": RESULT}),
        (lambda booking, nights: None, {"booking": RESULT, "nights": Literal("2")}),
        (lambda booking, nights=9: None, {"booking": RESULT, "nights": Literal("2")}),
        (lambda booking, force=True: None, {"booking": RESULT}),
        (lambda city, result, force=True: None, {"city": ROME, "result": RESULT}),
        (lambda **all_of_it: None, {"city": ROME, "result": RESULT}),
        (lambda booking, **rest: None, {"city": ROME, "booking": RESULT}),
    ],
)
def test_a_compensation_receives_by_name_what_the_task_was_given_and_its_result(function, kwargs):
    assert dict(undo(function).kwargs) == kwargs


def test_a_parameter_that_goes_by_position_is_passed_by_position():
    assert undo(lambda city, booking, /: None).args == (ROME, RESULT)


def test_a_compensation_receives_results_of_upstreams_as_its_task_did():
    workflow = (
        wf.WorkflowBuilder("trip")
        .add_task("flight", lambda: "LH 1")
        .add_task("hotel", lambda flight, city: city, {"city": "Rome"})
        .depends_on("flight")
        .compensate(lambda flight, result: None)
        .build()
    )
    kwargs = dict(workflow.tasks[1].undo.kwargs)
    assert kwargs == {"flight": Upstream("flight"), "result": RESULT}


def test_a_parameter_named_result_is_the_result_of_the_task_even_if_the_task_was_given_one():
    found = undo(lambda result: None, lambda result: result, {"result": 5})
    assert dict(found.kwargs) == {"result": RESULT}


def test_a_function_that_does_not_tell_its_parameters_receives_the_result():
    class Silent:
        __signature__ = "none"

        def __call__(self, *given):
            pass

    assert undo(Silent()).args == (RESULT,)


def test_the_functions_and_rules_of_companions_come_with_the_workflow():
    cancel = lambda result: None
    probe = lambda city: wf.NotDone()
    builder = wf.WorkflowBuilder("trip").add_task("hotel", book, {"city": "Rome"})
    workflow = builder.compensate(cancel, retry=3, on_fault=wf.skip()).in_doubt(probe).build()

    task = workflow.tasks[0]
    assert task.in_doubt is InDoubt.PROBE
    assert task.undo.rules == ("retry up to 3 attempts (version 1)", "skip (version 1)")
    assert workflow.companions["hotel", task.probe] is probe
    assert workflow.companions["hotel~undo", task.undo.function] is cancel
    assert [rule.label for rule in workflow.recovery["hotel~undo"]] == list(task.undo.rules)
    assert "hotel" not in workflow.recovery


def test_two_lambdas_of_one_task_are_told_apart():
    workflow = built(compensate=lambda result: None, in_doubt=lambda city: None)
    assert len(set(workflow.companions.values())) == 2


def test_a_decorated_compensation_brings_its_rules():
    @wf.task(retry=5, description="gives the room back")
    def cancel(result):
        pass

    workflow = built(compensate=cancel)
    assert [rule.name for rule in workflow.recovery["hotel~undo"]] == ["retry up to 5 attempts"]


def test_a_decorated_task_brings_its_compensation_and_none_takes_it_away():
    @wf.task(compensate=lambda result: None, in_doubt="ask")
    def hotel():
        pass

    with_it = wf.WorkflowBuilder("trip").add_task(hotel).build().tasks[0]
    without = wf.WorkflowBuilder("trip").add_task(hotel).compensate(None).build().tasks[0]
    assert with_it.undo is not None
    assert with_it.in_doubt is InDoubt.ASK
    assert without.undo is None


@pytest.mark.parametrize("policy", ["rerun", "fail", "ask"])
def test_a_policy_may_be_named(policy):
    assert built(in_doubt=policy).tasks[0].in_doubt is InDoubt(policy)


def test_without_a_word_a_task_in_doubt_runs_again_and_nothing_is_taken_back():
    assert built().tasks[0] == Task("hotel", built().tasks[0].function, kwargs=(("city", ROME),))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_doubt": "never"}, "in_doubt must be one of 'rerun', 'fail', 'ask' or a probe"),
        ({"in_doubt": "probe"}, "in_doubt must be one of"),
        ({"in_doubt": None}, "in_doubt must be one of"),
        ({"in_doubt": wf.skip()}, "in_doubt must be one of"),
        ({"in_doubt": lambda town: 1}, "its probe <lambda>() cannot take its arguments"),
        ({"compensate": 5}, "compensate must be a function, not 5"),
        ({"compensate": wf.compensate()}, "rules go into on_fault"),
        (
            {"compensate": lambda citi, booking: 1},
            "has no value for its parameters citi, booking; did you mean 'city'? (there is city,",
        ),
        (
            {"compensate": lambda result, town: 1},
            "has no value for its parameter town (there is city, nights, result)",
        ),
        (
            {"compensate": wf.task(deadline=3, optional=True)(lambda result: 1)},
            "it has deadline, optional; of the options of tasks it may have retry, on_fault,",
        ),
        (
            {"compensate": wf.task(retry=wf.retry(2), fallback=lambda a, b: 1)(lambda result: 1)},
            "its compensation's fallback <lambda>() cannot take its arguments",
        ),
        ({"compensate": wf.task(retry="often")(lambda result: 1)}, "retry must be a whole number"),
    ],
)
def test_what_is_wrong_is_told_when_the_workflow_is_built(options, words):
    assert words in problems(**options)


def test_wrong_rules_of_a_compensation_are_told_when_the_workflow_is_built():
    builder = wf.WorkflowBuilder("trip").add_task("hotel", lambda: None)
    builder.compensate(lambda result: None, retry="often")
    with pytest.raises(DefinitionError, match=r"compensate \(retry=\) must be a whole number"):
        builder.build()


def test_all_problems_of_all_tasks_are_told_together():
    builder = wf.WorkflowBuilder("trip")
    builder.add_task("a", lambda: None, compensate=lambda x, y: None, in_doubt=lambda x: None)
    builder.add_task("b~undo", lambda: None)
    builder.add_task("c" * 198, lambda: None, compensate=lambda: None)
    with pytest.raises(DefinitionError) as raised:
        builder.build()
    told = "\n".join(raised.value.problems)
    assert len(raised.value.problems) == 4
    assert "ends with ~undo, as compensations do" in told
    assert "may have 195 characters" in told


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "hotel~undo"}, "ends with ~undo"),
        ({"undo": Undo("m:f", (Upstream("flight"),))}, "the result of 'flight', which is no upstr"),
        ({"in_doubt": InDoubt.PROBE}, "go together"),
        ({"probe": "m:f"}, "go together"),
    ],
)
def test_a_definition_that_was_read_is_checked_as_well(fields, words):
    task = attrs.evolve(built().tasks[0], **fields)
    with pytest.raises(DefinitionError) as raised:
        check(wf.Workflow("trip", (task,)))
    assert words in str(raised.value.problems)


def test_what_is_taken_back_and_the_policy_survive_json():
    workflow = built(compensate=lambda booking, nights: None, in_doubt=lambda city: None)
    assert wf.Workflow.from_json(workflow.to_json()) == workflow


def fell(city: str, nights: int) -> dict:
    return {"instead": city}


def sorry(result: object) -> None:
    """A compensation's fallback."""


def cancel(result: object) -> None:
    """A compensation."""


def find(city: str, nights: int) -> object:
    return wf.NotDone()


def test_the_code_of_companions_is_fingerprinted_as_that_of_tasks_is():
    builder = wf.WorkflowBuilder("trip", rules=[wf.fallback_to(fell)])
    builder.add_task("hotel", book, {"city": "Rome", "nights": 1}, fallback=fell, in_doubt=find)
    workflow = builder.compensate(cancel, on_fault=wf.fallback_to(sorry)).build()
    assert workflow.tasks[0].beside == (
        (f"fallback {__name__}:fell", fingerprint(fell)),
        ("probe", fingerprint(find)),
        ("compensation", fingerprint(cancel)),
        (f"compensation's fallback {__name__}:sorry", fingerprint(sorry)),
    )
    assert workflow.beside == ((f"fallback {__name__}:fell", fingerprint(fell)),)
    assert wf.Workflow.from_json(workflow.to_json()) == workflow


def test_a_task_without_companions_has_no_fingerprints_beside_its_own():
    assert built(retry=3, fallback={"city": "none"}).tasks[0].beside == ()


def test_functions_that_no_python_made_are_fingerprinted_too():
    """What C made, and what is an object that can be called."""
    assert built(list, {}, compensate=print).tasks[0].beside[0][0] == "compensation"
    assert built(list, {}, compensate=functools.partial(print)).tasks[0].beside


def test_a_compensation_may_say_what_it_takes_itself():
    own = wf.task(timeout="5m", memory_limit="1GB", cpu=2, pools={"db": 1})(lambda result: None)
    found = undo(own)
    assert (found.timeout_s, found.memory_limit, found.memory_hard) == (300.0, 10**9, False)
    assert found.resources == Resources(cpu=2.0, pools=(("db", 1),))
    workflow = built(compensate=own)
    assert wf.Workflow.from_json(workflow.to_json()) == workflow
    plain = undo(lambda result: None)
    assert (plain.timeout_s, plain.memory_limit, plain.resources) == (None, None, None)
