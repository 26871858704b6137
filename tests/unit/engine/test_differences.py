"""differences: what a RunConflict says about two definitions."""

from __future__ import annotations

import attrs
from hypothesis import given
from strategies import task, workflow, workflows

from durable_wf.core.definition import FunctionRef, Literal, Upstream, WaitFor
from durable_wf.core.status import WaitKind
from durable_wf.engine.differences import between


def test_another_name_of_the_workflow_is_told():
    assert between(workflow(task("a")), workflow(task("a"), name="v")) == [
        "the workflow was 'w' and is 'v'"
    ]


def test_tasks_that_came_and_went_are_told_by_name():
    assert between(workflow(task("a"), task("b")), workflow(task("a"), task("c"))) == [
        "task 'b' is gone",
        "task 'c' is new",
    ]


def test_a_changed_field_is_told_with_both_values():
    old, new = workflow(task("a", priority=1)), workflow(task("a", priority=2))
    assert between(old, new) == ["task 'a': priority was 1 and is 2"]


def test_what_a_task_waits_for_is_told_in_words():
    asks = task("a", wait=WaitFor(WaitKind.APPROVAL, question="now?"))
    takes = task("a", wait=WaitFor(WaitKind.SIGNAL, "go"))
    assert between(workflow(asks), workflow(takes)) == [
        "task 'a': it waited for approval 'now?' and waits for signal 'go'"
    ]
    assert between(workflow(takes), workflow(task("a"))) == [
        "task 'a': it waited for signal 'go' and waits for nothing"
    ]


def test_arguments_are_told_one_by_one():
    """What stayed is not mentioned; what is not there any more is "not given"."""
    old = task("b", "a", kwargs=(("x", Literal("1")), ("y", Literal("2")), ("z", Literal("3"))))
    new = task("b", "a", kwargs=(("x", Literal("1")), ("y", Literal("5")), ("u", Upstream("a"))))
    found = between(workflow(old), workflow(new))
    assert found[:2] == [
        "task 'b': y was 2 and is 5",
        "task 'b': z was 3 and is not given",
    ]
    assert found[2].startswith("task 'b': u was not given and is ")
    assert len(found) == 3


def test_a_long_argument_is_cut():
    old = task("a", kwargs=(("x", Literal("1" * 500)),))
    new = task("a", kwargs=(("x", Literal("2")),))
    (said,) = between(workflow(old), workflow(new))
    assert said == f"task 'a': x was {'1' * 57}... and is 2"


def test_other_code_is_not_a_difference_here():
    """Fingerprints have a rule of their own."""
    old = workflow(task("a"))
    new = workflow(attrs.evolve(task("a"), function=FunctionRef("other", "jobs"), priority=3))
    assert between(old, new) == ["task 'a': priority was 0 and is 3"]


def test_another_order_is_told_only_where_nothing_else_is_to_tell():
    forth, back = workflow(task("a"), task("b")), workflow(task("b"), task("a"))
    assert between(forth, back) == ["the tasks stand in another order"]
    assert between(forth, workflow(task("b", priority=1), task("a"))) == [
        "task 'b': priority was 0 and is 1"
    ]


def test_at_most_a_handful_is_told_and_the_rest_counted():
    old = workflow(*(task(f"t{k}") for k in range(20)))
    found = between(old, workflow(task("t0")))
    assert len(found) == 9
    assert found[-1] == "and 11 more"


@given(workflows(), workflows())
def test_there_is_always_something_to_say(old, new):
    found = between(old, new)
    assert 1 <= len(found) <= 9
    assert all(found)
