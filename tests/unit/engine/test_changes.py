"""changes: which code a run has to be asked about before it goes on with other code."""

from __future__ import annotations

import attrs
import pytest
from histories_of import CLAIMED, CREATED, STARTED, begun, broke, done
from histories_of import state_after as after
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core.definition import FunctionRef, Literal, Undo, Upstream
from durable_wf.core.status import InDoubt, RunStatus, TaskStatus
from durable_wf.engine.changes import Changes, of_descent, of_resumed
from durable_wf.errors import CodeChanged

UNDO = Undo("jobs:undo", (Upstream("a"),))
PROBED = {"in_doubt": InDoubt.PROBE, "probe": "jobs:probe"}
BESIDE = (("probe", "p1"), ("compensation", "c1"), ("fallback jobs:other", "f1"),
          ("compensation's fallback jobs:sorry", "s1"))  # fmt: skip
A = task("a", undo=UNDO, beside=BESIDE, **PROBED)
FLOW = workflow(A, task("b", "a"))
BEGUN = (CREATED, CLAIMED, STARTED)
A_DONE = (*BEGUN, begun(), done())
B_FAILED = (*A_DONE, begun("b"), broke("b"), e.TaskFailed("b", "rule", "because"))
TAKES_BACK = e.RunDraining(RunStatus.FAILED, "b", cause_task="b", compensate=True)
UNDOING = (*B_FAILED, TAKES_BACK, e.TasksAdded((("a~undo", "a"),), "compensate"))
A_SKIPPED = (*BEGUN, begun(), broke(), e.TaskSkipped("a", "rule", "because"))
ALL = (
    "the probe of task 'a'",
    "the compensation of task 'a'",
    "the fallback jobs:other of task 'a'",
    "the compensation's fallback jobs:sorry of task 'a'",
)
TO_UNDO = (ALL[1], ALL[3])


def with_a(**fields):
    return attrs.evolve(FLOW, tasks=(attrs.evolve(A, **fields), FLOW.tasks[1]))


OTHER = with_a(beside=tuple((what, "new") for what, _ in BESIDE))


def told(events, given, recorded=FLOW):
    return of_resumed(after(*events, workflow=recorded), recorded, given)


def test_other_code_of_a_companion_is_told_by_what_it_is():
    found = told(BEGUN, OTHER)
    assert found.beside == ALL
    assert (found.tasks, found.concerned) == ((), ("a",))


@pytest.mark.parametrize(
    ("events", "beside"),
    [
        (BEGUN, ALL),
        (A_DONE, TO_UNDO),
        (B_FAILED, TO_UNDO),
        (UNDOING, TO_UNDO),
        ((*UNDOING, begun("a~undo"), done("a~undo")), ()),
        (A_SKIPPED, ()),
        ((*BEGUN, begun(), done(), e.RunDraining(RunStatus.CANCELLED, "ann", "ann"),
          e.TasksClosed(TaskStatus.CANCELLED, 1, "x")), ()),
    ],
)  # fmt: skip
def test_only_what_may_yet_be_called_is_asked_about(events, beside):
    assert told(events, OTHER).beside == beside


@pytest.mark.parametrize(
    ("given", "beside"),
    [
        ({}, ()),
        ({"undo": attrs.evolve(UNDO, rules=("other",))}, ()),
        ({"undo": attrs.evolve(UNDO, function="elsewhere:undo")}, ()),
        ({"undo": attrs.evolve(UNDO, function="jobs:new")}, ALL[1:2]),
        ({"undo": attrs.evolve(UNDO, args=())}, ALL[1:2]),
        ({"undo": attrs.evolve(UNDO, kwargs=(("x", Literal("1")),))}, ALL[1:2]),
        ({"undo": None}, ()),
        ({"probe": "jobs:new"}, ALL[:1]),
        ({"probe": "elsewhere:probe"}, ()),
        ({"probe": ""}, ()),
        ({"beside": (("probe", "new"),), "probe": "jobs:new"}, ALL[:1]),
        ({"beside": (("fallback jobs:new", "f2"),)}, ()),
        ({"beside": ()}, ()),
    ],
)
def test_another_function_or_other_arguments_are_a_change_other_rules_are_none(given, beside):
    assert told(BEGUN, with_a(**given)).beside == beside


def test_a_run_that_was_recorded_without_their_fingerprints_is_not_asked():
    old = with_a(beside=())
    assert not told(BEGUN, OTHER, old)
    assert told(BEGUN, attrs.evolve(OTHER, tasks=(task("a", undo=UNDO),)), old) == Changes()


def test_fallbacks_of_the_workflow_are_asked_about_while_a_task_of_its_own_may_fall_back():
    old = attrs.evolve(FLOW, beside=(("fallback jobs:other", "f1"),))
    new = attrs.evolve(FLOW, beside=(("fallback jobs:other", "new"),))
    assert told(BEGUN, new, old).beside == ("the fallback jobs:other of the workflow",)
    assert told(UNDOING, new, old).beside == ()
    assert of_descent(old, new, ("b",)).beside == ("the fallback jobs:other of the workflow",)
    assert of_descent(old, new, ()).beside == ()


def test_a_new_run_is_asked_about_companions_of_what_runs_again_and_about_all_compensations():
    assert of_descent(FLOW, OTHER, ("a", "b")).beside == ALL
    assert of_descent(FLOW, OTHER, ("b",)).beside == TO_UNDO


def test_the_error_names_what_has_changed():
    tasks = tuple(
        attrs.evolve(one, function=FunctionRef("f", "m", fingerprint="new")) for one in OTHER.tasks
    )
    found = told(BEGUN, attrs.evolve(OTHER, tasks=tasks))
    with pytest.raises(CodeChanged) as raised:
        found.refuse("r", accepted=False)
    assert raised.value.message == (
        f"run r: the code of 2 unfinished tasks has changed: a, b; {', '.join(ALL)} have changed"
    )
    assert (raised.value.tasks, raised.value.beside) == (("a", "b"), ALL)
    found.refuse("r", accepted=True)
    Changes().refuse("r", accepted=False)
