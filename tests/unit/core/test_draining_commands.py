"""What people can still say to a run that drains: each command is obeyed, or refused with why."""

from __future__ import annotations

import attrs
import pytest
import strategies
from histories_of import (
    CANCELLING,
    CREATED,
    FAILING,
    STARTED,
    begun,
    broke,
    closed,
    done,
    state_after,
)

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.decide import decide
from durable_wf.core.definition import Undo
from durable_wf.core.status import RunStatus, TaskStatus, Verdict
from durable_wf.core.steps import Decided

BOOKS = strategies.workflow(
    strategies.task("a", undo=Undo("jobs:undo")), strategies.task("b"), strategies.task("c", "b")
)
BUSY = (attrs.evolve(CREATED, total=3), STARTED, begun(), done(), begun("b"))
"""`a` has succeeded and can be taken back; `b` runs."""

TAKES_BACK = attrs.evolve(CANCELLING, compensate=True)
FAILS_BACK = attrs.evolve(FAILING, compensate=True)
ADDED = e.TasksAdded((("a~undo", "a"),), "compensate")
STATES = {
    "cancelled": (*BUSY, TAKES_BACK, closed(1)),
    "cancelled, nothing back": (*BUSY, CANCELLING, closed(1)),
    "failed": (*BUSY, FAILS_BACK, closed(1, TaskStatus.SKIPPED)),
    "takes back": (*BUSY, TAKES_BACK, closed(1), broke("b"), e.TaskCancelled("b", "why"), ADDED),
}
PLAIN, AS_IT_IS = i.Cancel("ann"), i.Cancel("ann", compensate=False)


def given(name, command):
    return decide(state_after(*STATES[name], workflow=BOOKS), command, 500)


@pytest.mark.parametrize("name", ["cancelled", "failed"])
def test_what_is_to_be_taken_back_cannot_be_left_as_it_is_any_more(name):
    """The verdict is fixed, and with it what becomes of what was done."""
    decided = given(name, AS_IT_IS)
    assert decided == Decided([], refused=(
        f"run r drains already, as {name}, and is to take back what it did; "
        "that it should not comes too late"
    ))  # fmt: skip


def test_what_is_left_as_it_is_may_be_said_twice():
    assert given("cancelled, nothing back", AS_IT_IS) == Decided([], stop=((1, 1),))


@pytest.mark.parametrize("name", ["cancelled", "cancelled, nothing back", "failed"])
def test_a_cancel_stops_what_a_draining_run_waits_for(name):
    """Its verdict stays what it is."""
    assert given(name, PLAIN) == Decided([], stop=((1, 1),))


@pytest.mark.parametrize("command", [PLAIN, AS_IT_IS])
def test_what_a_run_takes_back_is_not_cancelled(command):
    assert "takes back what it did and cannot be cancelled" in given("takes back", command).refused


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (i.Pause("ann"), "run r is draining and cannot be paused"),
        (i.Resume("ann"), "run r is draining and cannot be resumed"),
        (i.Signal("go", "1", "ann"), "run r is draining and cannot be sent a signal"),
        (i.Answer("c", Verdict.SKIP, "ann"), "run r: task 'c' waits for nobody; it was "),
    ],
)
def test_nothing_else_is_obeyed(name, command, words):
    decided = given(name, command)
    assert decided.refused.startswith(words)
    assert not decided.events


def test_a_question_about_what_is_taken_back_is_answered():
    """The one thing that a draining run waits for people with."""
    asked = (begun("a~undo"), broke("a~undo"), e.TaskEscalated("a~undo", "what now?", "rule", "no"))
    state = state_after(*STATES["takes back"], *asked, workflow=BOOKS)
    decided = decide(state, i.Answer("a~undo", Verdict.SKIP, "ann"), 500)
    assert not decided.refused
    assert state.status is RunStatus.CANCELLED
