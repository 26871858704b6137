"""What is shown of a run agrees with the core, and never says that something runs that does not."""

from __future__ import annotations

import json
from random import Random

import attrs
import histories_of as h
import pytest
import walks
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import random_workflow

from durable_wf.cli.documents import event_document, facts_document, run_document
from durable_wf.cli.facts import Story, fold, why
from durable_wf.cli.states import INTERRUPTED, MARKS, WAITING, shown_run, shown_task
from durable_wf.core import events as e
from durable_wf.core.awaited import RETRY, awaited
from durable_wf.core.state import row_of
from durable_wf.core.status import RUN_FINAL, RunStatus, TaskStatus
from durable_wf.core.summary import Counts, RunRow
from durable_wf.errors import HistoryError
from durable_wf.store.port import Stored


def facts(*events: e.Event, alive: bool = True, workflow=h.A_THEN_B):
    row = row_of(h.state_after(*events, workflow=workflow))
    names = [task.name for task in workflow.tasks]
    return fold(row, names, h.recorded(*events), alive=alive)


@given(st.integers(0, 10_000))
@example(1488)  # a probe finds that an attempt in doubt has had no effect
def test_the_states_of_tasks_are_those_of_the_core(seed):
    rng = Random(seed)
    walk = walks.walked(rng, random_workflow(rng))
    state = walk.state
    known = fold(row_of(state), state.graph.names, walk.events, alive=True)
    assert [task.status for task in known.tasks.values()] == state.tasks
    assert [task.attempts for task in known.tasks.values()] == list(state.attempts)
    running = {state.graph.names[index] for index in state.running}
    assert {name for name, task in known.tasks.items() if task.running} == running


@given(st.integers(0, 10_000))
def test_what_tasks_wait_for_is_what_the_core_waits_for(seed):
    """Read from the events, and from the state that the engine has. When a back-off began is as
    good as when its task failed; a clock that was set back may put them in another order.
    """

    def told(found):
        return [attrs.evolve(one, since=0) if one.what == RETRY else one for one in found]

    rng = Random(seed)
    walk = walks.walked(rng, random_workflow(rng))
    workflow = walk.state.workflow
    waits = {task.name: task.wait for task in workflow.tasks if task.wait is not None}
    names = [task.name for task in workflow.tasks[: walk.state.forward]]
    known = fold(row_of(walk.state), names, walk.events, alive=True, waits=waits)
    assert list(known.tasks) == list(walk.state.graph.names)
    assert told(known.awaited) == told(awaited(walk.state))


@given(st.integers(0, 10_000), st.booleans())
def test_counts_add_up_and_match_the_tasks(seed, alive):
    rng = Random(seed)
    walk = walks.walked(rng, random_workflow(rng))
    known = fold(row_of(walk.state), walk.state.graph.names, walk.events, alive=alive)
    document = facts_document(known)
    by_status = document["tasks"]["by_status"]
    assert sum(by_status.values()) == document["tasks"]["total"] == len(known.tasks)
    for status, count in by_status.items():
        states = [task["status"] for task in document["task_states"].values()]
        assert states.count(status) == count


def test_a_run_whose_engine_is_dead_is_interrupted():
    living = facts(h.CREATED, h.CLAIMED, h.STARTED, h.begun())
    dead = attrs.evolve(living, alive=False)
    assert living.shown is RunStatus.RUNNING
    assert dead.shown is INTERRUPTED
    assert dead.task_shown(dead.tasks["a"]) is INTERRUPTED
    document = facts_document(dead)
    assert (document["status"], document["recorded_status"]) == ("interrupted", "running")
    assert document["tasks"]["by_status"]["running"] == 0
    assert document["tasks"]["by_status"]["interrupted"] == 1
    assert document["task_states"]["a"]["status"] == "interrupted"
    assert document["task_states"]["a"]["recorded_status"] == "running"
    assert why(dead)


def row(status, wake_at=None, **counts):
    return RunRow("r", "w", status, 1, 2, Counts(**counts), 1, wake_at=wake_at)


@pytest.mark.parametrize("status", RunStatus)
def test_only_a_living_engine_makes_a_run_run(status):
    kept = status in RUN_FINAL or status is RunStatus.PAUSED
    busy = row(status, running=1, waiting=1)
    assert shown_run(busy, alive=True) is status
    assert shown_run(busy, alive=False) is (status if kept else INTERRUPTED)


@pytest.mark.parametrize("status", RunStatus)
def test_a_run_of_which_nothing_runs_waits(status):
    """For people it does so without an engine, too, if that has let go of it; what a timer brings
    needs one, and of a run that a dead engine has left nobody knows what could start.
    """
    kept = status in RUN_FINAL or status is RunStatus.PAUSED
    asks, sleeps = row(status, waiting=1, pending=1), row(status, 90, waiting=1)
    assert shown_run(asks, alive=True) is (status if kept else WAITING)
    assert shown_run(asks, alive=False) is (status if kept else WAITING)
    assert shown_run(sleeps, alive=True) is (status if kept else WAITING)
    assert shown_run(sleeps, alive=False) is (status if kept else INTERRUPTED)
    killed = attrs.evolve(asks, engine="e-1")
    assert shown_run(killed, alive=True) is (status if kept else WAITING)
    assert shown_run(killed, alive=False) is (status if kept else INTERRUPTED)


def test_every_state_has_a_word_and_symbols_of_its_own():
    for group in (RunStatus, TaskStatus):
        marks = [MARKS[state] for state in (*group, INTERRUPTED)]
        assert len({mark.word for mark in marks}) == len(marks)
        told = [(mark.symbol, mark.plain) for mark in marks if mark.word != "faulted"]
        assert len({symbol for symbol, _ in told}) == len({plain for _, plain in told}) == len(told)
    assert shown_task(TaskStatus.RUNNING, alive=False) is INTERRUPTED


def test_a_returned_attempt_is_not_counted():
    known = facts(h.CREATED, h.CLAIMED, h.STARTED, h.begun(), h.returned())
    assert known.tasks["a"].attempts == 0
    assert known.tasks["a"].started_at is None


def test_a_failure_keeps_its_fault_and_the_rest_their_reason():
    closed = e.TasksClosed(TaskStatus.SKIPPED, 1, "task 'a' failed")
    known = facts(
        h.CREATED,
        h.CLAIMED,
        h.STARTED,
        h.begun(),
        h.broke(),
        h.GIVEN_UP,
        h.FAILING,
        closed,
        h.FAILED,
    )
    a, b = known.tasks["a"], known.tasks["b"]
    assert a.fault is not None
    assert (a.status, a.fault.message) == (TaskStatus.FAILED, "boom")
    assert (b.status, b.reason, b.attempts) == (TaskStatus.SKIPPED, "task 'a' failed", 0)
    assert why(known) == "task 'a' failed"


def test_who_paused_a_run_is_told():
    known = facts(h.CREATED, h.CLAIMED, h.STARTED, h.PAUSED)
    assert why(known) == "by ann: lunch"


def test_events_after_the_row_are_left_for_the_next_look():
    events = h.recorded(h.CREATED, h.CLAIMED, h.STARTED, h.begun())
    row = row_of(h.state_after(h.CREATED, h.CLAIMED, h.STARTED))
    known = fold(row, ["a", "b"], events, alive=True)
    assert known.tasks["a"].status is TaskStatus.PENDING


def test_a_history_without_a_beginning_is_an_error():
    row = row_of(h.state_after(h.CREATED))
    with pytest.raises(HistoryError):
        Story(["a"]).facts(row, alive=True)


def test_the_documents_have_the_promised_fields():
    known = facts(h.CREATED, h.CLAIMED, h.STARTED, h.begun(), h.done())
    run = run_document(known.row, alive=True)
    assert {"run_id", "workflow", "status", "created_at", "started_at", "ended_at", "tasks"} <= set(
        run
    )
    assert run["started_at"] == "1970-01-01T00:00:00.000030Z"
    assert run["ended_at"] is None
    assert set(run["tasks"]) == {"total", "by_status"}
    task = facts_document(known)["task_states"]["a"]
    assert task == {
        "status": "succeeded",
        "attempts": 1,
        "started_at": "1970-01-01T00:00:00.000010Z",
        "ended_at": "1970-01-01T00:00:00.000050Z",
    }


def test_an_event_is_one_object_with_its_body_inside():
    stored = Stored(7, 1, 2, 1_000_000, "RunClaimed", "", 0, '{"engine":"e-1"}', b"\x01\xff")
    document = event_document(stored, "r")
    assert list(document) == ["seq", "run", "n", "at", "kind", "task", "attempt", "body", "hash"]
    assert document["run"] == "r"
    assert document["body"] == {"engine": "e-1"}
    assert document["hash"] == "01ff"
    assert json.loads(json.dumps(document)) == document
