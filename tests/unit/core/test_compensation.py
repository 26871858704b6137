"""Compensations: their names, order and definitions follow from the history."""

from __future__ import annotations

import attrs
import pytest
import strategies
from histories_of import CANCELLING, CREATED, STARTED, begun, broke, closed, done, state_after

from durable_wf.core import events as e
from durable_wf.core.compensation import (
    added_to,
    compensation_of,
    compensations,
    to_add,
    with_added,
)
from durable_wf.core.definition import Literal, Undo, Upstream
from durable_wf.core.resources import DEFAULT_RESOURCES, Resources
from durable_wf.errors import HistoryError

BOTH = strategies.workflow(
    strategies.task(
        "a",
        executor="sequential",
        undo=Undo("jobs:cancel", (Upstream("a"),), (("why", Literal('"x"')),), ("retry (1)",)),
    ),
    strategies.task("b", "a", undo=Undo("jobs:refund")),
)
DONE = (CREATED, STARTED, begun(), done(), begun("b"), done("b"))


def test_the_last_that_was_done_is_the_first_to_be_taken_back():
    """The order is that of completion, not of the definition."""
    workflow = strategies.workflow(*BOTH.tasks[:1], strategies.task("b", undo=Undo("jobs:refund")))
    early_b = (CREATED, STARTED, begun("b"), begun(), done("b"), done())
    assert to_add(state_after(*DONE, workflow=BOTH)) == (("b~undo", "b"), ("a~undo", "a"))
    assert to_add(state_after(*early_b, workflow=workflow)) == (("a~undo", "a"), ("b~undo", "b"))


def test_a_compensation_is_a_task_with_the_arguments_and_rules_that_were_declared():
    """It follows its own task, and the compensation before it."""
    state = state_after(*DONE, workflow=BOTH)
    by_name = {one.name: one for one in BOTH.tasks}
    second, first = compensations(by_name.__getitem__, to_add(state))
    assert (second.name, second.upstream, second.function.qualname) == (
        "b~undo", ("b",), "jobs:refund",
    )  # fmt: skip
    assert (first.name, first.upstream) == ("a~undo", ("a", "b~undo"))
    assert first.args == (Upstream("a"),)
    assert first.kwargs == (("why", Literal('"x"')),)
    assert (first.rules, first.executor) == (("retry (1)",), "sequential")


def of(undo=None, **fields):
    """The compensation of a task with these fields."""
    task = strategies.task("a", undo=undo or Undo("jobs:undo"), **fields)
    return compensation_of(task, task.undo, "a~undo")


BIG = Resources(cpu=2.0, memory=10**9, gpu=1, pools=(("db", 1),))


def test_a_compensation_may_take_as_long_and_as_much_as_its_task():
    """One that hangs would keep the run draining for ever. A GPU it needs hardly ever."""
    found = of(timeout_s=5.0, deadline_s=60.0, memory_limit=7, memory_hard=True, resources=BIG)
    assert (found.timeout_s, found.memory_limit, found.memory_hard) == (5.0, 7, True)
    assert found.resources == attrs.evolve(BIG, gpu=0)
    assert (found.deadline_s, found.heartbeat_s, found.breaker) == (None, None, None)
    assert of().resources is DEFAULT_RESOURCES


@pytest.mark.parametrize(
    ("limits", "timeout_s"),
    [({}, None), ({"deadline_s": 60.0}, 60.0), ({"timeout_s": 90.0, "deadline_s": 60.0}, 90.0)],
)
def test_without_a_timeout_it_may_take_as_long_as_all_attempts_of_its_task(limits, timeout_s):
    assert of(**limits).timeout_s == timeout_s


def test_what_a_compensation_says_of_its_own_comes_first():
    undo = Undo("jobs:undo", timeout_s=9.0, memory_limit=8, resources=BIG)
    found = of(undo, timeout_s=5.0, memory_limit=7, memory_hard=True)
    assert (found.timeout_s, found.memory_limit, found.memory_hard) == (9.0, 8, False)
    assert found.resources is BIG


def test_what_another_function_did_is_not_taken_back():
    """A fallback's effect is not that of the task's own function."""
    fell_back = e.TaskFallbackScheduled("a", "jobs:other", "rule", "because")
    history = (CREATED, STARTED, begun(), broke(), fell_back, begun("a", 2), done("a", 2))
    assert to_add(state_after(*history, workflow=BOTH)) == ()


def test_what_was_taken_over_is_taken_back_too():
    """Its effect is there, whichever run it was."""
    imported = e.TaskImported("a", "r-0", "7")
    assert to_add(state_after(CREATED, STARTED, imported, workflow=BOTH)) == (("a~undo", "a"),)


@pytest.mark.parametrize("added", [(("c~undo", "c"),), (("b~undo", "b"),)])
def test_a_compensation_of_nothing_is_an_illegal_history(added):
    """An unknown task, or one that declares none."""
    workflow = strategies.workflow(BOTH.tasks[0], strategies.task("b", "a"))
    history = (CREATED, STARTED, begun(), done(), CANCELLING, closed(1))
    with pytest.raises(HistoryError, match="nothing has to be taken back for"):
        state_after(*history, e.TasksAdded(added, "compensate"), workflow=workflow)


def test_compensations_are_added_once():
    """A second time there is nothing left to take back."""
    history = (CREATED, STARTED, begun(), done(), CANCELLING, closed(1))
    added = e.TasksAdded((("a~undo", "a"),), "compensate")
    assert state_after(*history, added, workflow=BOTH).compensating
    with pytest.raises(HistoryError, match="its compensations are there already"):
        state_after(*history, added, added, workflow=BOTH)


def test_a_workflow_is_given_the_compensations_that_a_run_of_it_has():
    added = e.TasksAdded((("b~undo", "b"), ("a~undo", "a")), "compensate")
    draining = attrs.evolve(CANCELLING, compensate=True)
    state = state_after(*DONE, draining, added, workflow=BOTH)
    assert added_to(state) == added.tasks
    assert with_added(BOTH, added_to(state)) == state.workflow
    assert with_added(BOTH, ()) is BOTH
