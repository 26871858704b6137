"""Sound definitions: what is wrong with one is told at once, wherever it was written down."""

from __future__ import annotations

import math

import attrs
import pytest
from strategies import FUNCTION, task, workflow

from durable_wf.authoring.builder import WorkflowBuilder
from durable_wf.core.breaker import Breaker
from durable_wf.core.definition import FunctionRef, Literal, Task, Undo, Upstream, WaitFor, Workflow
from durable_wf.core.resources import Resources
from durable_wf.core.soundness import check
from durable_wf.core.status import InDoubt, WaitKind
from durable_wf.errors import CycleError, DefinitionError

LIMITS = ("timeout_s", "deadline_s", "heartbeat_s")


def problems(flow) -> tuple[str, ...]:
    with pytest.raises(DefinitionError, match="is not sound") as caught:
        check(flow)
    return caught.value.problems


def problem(flow) -> str:
    (found,) = problems(flow)
    return found


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("seconds", [0.0, -1.0, -1e30, 1e9 + 1, 1e300, math.nan, math.inf])
def test_a_limit_of_a_task_that_is_none_is_refused(name, seconds):
    found = problem(workflow(task("a", **{name: seconds})))
    assert found.startswith(f"task 'a': {name} must be more than 0 and at most 1e+09 seconds")


@pytest.mark.parametrize("seconds", [0.0, -1.0, -1e30, 1e300, math.nan, "1h"])
def test_a_deadline_of_a_workflow_that_is_none_is_refused(seconds):
    with pytest.raises(DefinitionError, match="deadline_s must be more than 0"):
        check(attrs.evolve(workflow(task("a")), deadline_s=seconds))


@pytest.mark.parametrize("seconds", [0.001, 1, 1e9])
def test_limits_as_people_set_them_are_sound(seconds):
    limits = {"timeout_s": seconds, "deadline_s": seconds, "heartbeat_s": seconds / 2}
    check(attrs.evolve(workflow(task("a", **limits)), deadline_s=seconds))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"priority": "high"}, "priority must be a whole number, not 'high'"),
        ({"priority": math.nan}, "priority must be a whole number, not nan"),
        ({"priority": 1.5}, "priority must be a whole number"),
        ({"optional": "no"}, "optional must be True or False"),
        ({"estimate_s": math.nan}, "estimate_s must be from 0 to"),
        ({"estimate_s": -1.0}, "estimate_s must be from 0 to"),
        ({"timeout_s": "10m"}, "timeout_s must be more than 0"),
        ({"timeout_s": True}, "timeout_s must be more than 0"),
        ({"heartbeat_s": 2.0, "timeout_s": 1.0}, "heartbeat_s (2 s) must be shorter than its"),
        ({"memory_limit": -5}, "memory_limit must be a number of bytes"),
        ({"memory_hard": True}, "memory_hard needs memory_limit"),
        ({"executor": "cloud"}, "executor 'cloud' is unknown; there are 'sequential', 'parallel'"),
        ({"codec": "xml"}, "codec 'xml' is unknown"),
        ({"description": None}, "description must be a text"),
        ({"tags": "nightly"}, "tags must be a tuple of texts"),
        ({"metadata": (("k", 1),)}, "metadata must be a tuple of pairs of texts"),
        ({"metadata": (("k", "1"), ("k", "2"))}, "metadata has a name twice"),
        ({"rules": ["retry"]}, "rules must be a tuple of texts"),
        ({"in_doubt": "ask"}, "in_doubt must be of the class InDoubt"),
        ({"in_doubt": InDoubt.PROBE}, "a probe and in_doubt 'probe' go together"),
        ({"undo": print}, "undo must be of the class Undo"),
        ({"undo": Undo("")}, "its compensation must be the label of a function"),
        ({"undo": Undo("m:f", (Upstream("b"),))}, "given the result of 'b', which is no upstream"),
        ({"undo": Undo("m:f", ("x",))}, "its compensation: an argument must be a Literal"),
        ({"undo": Undo("m:f", timeout_s=-1.0)}, "its compensation: timeout_s must be more than 0"),
        ({"undo": Undo("m:f", resources=Resources(-1.0))}, "its compensation: cpu must be"),
        ({"undo": Undo("m:f", memory_hard=True)}, "its compensation: memory_hard needs"),
        ({"breaker": "payments"}, "breaker must be of the class Breaker"),
        ({"breaker": Breaker("k", 0)}, "failures of a breaker must be from 1 to 100, not 0"),
        ({"breaker": Breaker("k", 5, math.nan)}, "times of a breaker must be more than 0"),
        ({"breaker": Breaker("k", when_open="wait")}, "when_open cannot be 'wait'"),
        ({"wait": "approval"}, "wait must be of the class WaitFor"),
        ({"wait": WaitFor("approval")}, "a task cannot wait for 'approval' from the start"),
        ({"wait": WaitFor(WaitKind.SLEEP, timeout_s=math.nan)}, "timeout_s must be from 0 to"),
        ({"resources": None}, "resources must be Resources, not None"),
        ({"resources": Resources(cpu=-1.0)}, "cpu must be a number of cores, not -1.0"),
        ({"resources": Resources(cpu=math.nan)}, "cpu must be a number of cores, not nan"),
        ({"resources": Resources(memory=-1)}, "memory must be a whole number of 0 or more"),
        ({"resources": Resources(gpu=0.5)}, "gpu must be a whole number of 0 or more"),
        ({"resources": Resources(pools=(("db", -2),))}, "pool 'db' needs at least 1 unit, not -2"),
        ({"resources": Resources(pools=(("a b", 1),))}, "'a b' is no name for a pool"),
        ({"resources": Resources(pools={"db": 1})}, "pools must be pairs of names and units"),
        ({"args": ("x",)}, "an argument must be a Literal or an Upstream, not 'x'"),
        ({"args": (Literal(5),)}, "a given value must be JSON text, not 5"),
        ({"args": ("x", Literal("1"))}, "an argument must be a Literal or an Upstream"),
        ({"args": (Upstream("b"),)}, "an argument is the result of 'b', which is no upstream"),
        ({"kwargs": {"x": Literal("1")}}, "kwargs a tuple of pairs of names and values"),
        ({"kwargs": (("x", Literal("1")), ("x", Literal("2")))}, "a parameter stands there twice"),
    ],
)
def test_a_field_of_a_task_that_is_made_by_hand_is_looked_at(fields, words):
    assert words in problem(workflow(task("a", **fields)))


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (Task("a", "work"), "function must be a FunctionRef, not 'work'"),
        (Task("a", FunctionRef("f", None)), "module of its function must be texts"),
        (Task(5, FUNCTION), "the task's name 5 is no usable name"),
        (Task("a\nb", FUNCTION), "is no usable name"),
        (Task("a~undo", FUNCTION), "ends with ~undo, as compensations do"),
        (Task("x" * 199, FUNCTION, undo=Undo("m:f")), "its name may have 195 characters"),
        (Task("a", FUNCTION, "bc"), "upstream must be a tuple of names, not 'bc'"),
        (Task("a", FUNCTION, (["b"],)), "upstream must be a tuple of names"),
        (Task("a", FUNCTION, ("b",)), "task 'a' depends on 'b', which does not exist"),
    ],
)
def test_what_a_task_is_made_of_is_looked_at(one, words):
    assert words in problem(workflow(one))


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        (Workflow("w", ()), "it has no tasks"),
        (Workflow("w", [task("a")]), "its tasks must be a tuple of Task values"),
        (Workflow("w", ("a",)), "its tasks must be a tuple of Task values"),
        (Workflow("w!", (task("a"),)), "the workflow's name 'w!' is no usable name"),
        (Workflow("w", (task("a"),), tags=["x"]), "tags must be a tuple of texts"),
        (workflow(task("a"), task("b"), task("a")), "2 tasks are called 'a'"),
        (workflow(task("a"), task("b", "a", "a")), "an upstream stands there twice"),
    ],
)
def test_the_workflow_itself_is_looked_at(flow, words):
    assert words in problem(flow)


def test_all_that_is_wrong_is_told_together_in_the_order_of_the_tasks():
    found = problems(
        Workflow(
            "w",
            (
                task("a", "nowhere", priority="x"),
                Task("b!", None),
                task("c", "d", timeout_s=-1.0, resources=Resources(cpu=-2.0)),
                task("d", "c"),
            ),
            deadline_s=-1e30,
        )
    )
    assert [text.partition(":")[0] for text in found] == [
        "deadline_s must be more than 0 and at most 1e+09 seconds, not -1e+30",
        "task 'a'",
        "task 'b!'",
        "task 'b!'",
        "task 'c'",
        "task 'c'",
        "task 'a' depends on 'nowhere', which does not exist",
        "tasks depend on each other in a circle",
    ]


def test_a_cycle_alone_is_told_with_its_path():
    with pytest.raises(CycleError) as caught:
        check(workflow(task("a", "b"), task("b", "a")))
    assert caught.value.path == ("a", "b", "a")


def test_one_breaker_key_has_one_meaning_in_a_workflow():
    one, other = Breaker("k"), Breaker("k", failures=2)
    found = problem(workflow(task("a", breaker=one), task("b", breaker=other)))
    assert found.startswith("breaker 'k' means 5 failures within 60 s, cooldown 30 s for task 'a'")


def test_names_in_letters_of_any_language_are_sound():
    check(workflow(task("größe"), task("b", "größe")))


def test_the_builder_asks_as_well():
    """What nobody would write, but a hand-made value that is given to the builder may be."""
    builder = WorkflowBuilder("w").add_task("a", list, breaker=Breaker("k", 0))
    with pytest.raises(DefinitionError, match="failures of a breaker must be from 1 to 100"):
        builder.build()


def test_a_file_is_asked_as_well():
    text = workflow(task("a", resources=Resources(cpu=-1.0)), task("b", "x")).to_json()
    with pytest.raises(DefinitionError, match="is not sound") as caught:
        Workflow.from_json(text)
    assert len(caught.value.problems) == 2


def test_a_crafted_file_does_not_fill_the_screen():
    text = workflow(*[task(f"t{i}", f"x{i}") for i in range(1000)]).to_json()
    with pytest.raises(DefinitionError) as caught:
        Workflow.from_json(text)
    assert caught.value.problems[20:] == ("and 980 more problems",)
