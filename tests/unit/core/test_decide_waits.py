"""decide, where tasks wait. The transcripts show whole runs; here stand the edges."""

from __future__ import annotations

import pytest
import strategies
from histories_of import CREATED, PAUSED, RESUMED, STARTED, begun, broke, state_after

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.decide import decide
from durable_wf.core.decide_waits import MOST_SIGNALS
from durable_wf.core.definition import WaitFor
from durable_wf.core.state import RunState
from durable_wf.core.status import Otherwise, RunStatus, TaskStatus, Verdict, WaitKind
from durable_wf.errors import HistoryError

SECOND = 1_000_000


def kinds(decided):
    return [type(recorded.event) for recorded in decided.events]


def started(*tasks, at=1):
    """A run of these tasks that has just begun, and what that caused."""
    workflow = strategies.workflow(*tasks)
    state = RunState.of("r", workflow)
    made = e.RunCreated("w", "d-1", len(tasks))
    return state, decide(state, i.Create(made, "e-1"), at)


def waits(task, kind, *upstream, **fields):
    return strategies.task(task, *upstream, wait=WaitFor(kind, **fields))


def test_a_chain_of_sleeps_that_are_over_is_over_in_one_commit():
    """Whoever becomes ready and waits begins to wait in the same answer."""
    state, decided = started(
        waits("a", WaitKind.SLEEP, timeout_s=0.0), waits("b", WaitKind.SLEEP, "a", until=1)
    )
    assert kinds(decided)[3:] == [
        e.TaskWaiting, e.TaskCompleted, e.TaskWaiting, e.TaskCompleted, e.RunSucceeded,
    ]  # fmt: skip
    assert state.final


def test_a_sleep_until_a_time_ends_then_and_not_before():
    """`until` is a time of the wall clock."""
    state, _ = started(waits("a", WaitKind.SLEEP, until=5 * SECOND))
    assert not decide(state, i.Due(), 5 * SECOND - 1).events
    assert kinds(decide(state, i.Due(), 5 * SECOND)) == [e.TaskCompleted, e.RunSucceeded]


def test_a_task_that_waits_is_never_ready_for_a_worker():
    """It is announced to nobody."""
    state, _ = started(waits("a", WaitKind.APPROVAL), strategies.task("b"))
    assert state.all_ready() == [1]
    assert decide(state, i.AttemptBegins(0, "w", 1, 1), 2).refused == "task 'a' may not start"


def test_two_waits_that_fail_together_end_the_run_once():
    """The first one drains the run; the second is closed with it."""
    state, _ = started(
        waits("a", WaitKind.APPROVAL, timeout_s=1.0), waits("b", WaitKind.APPROVAL, timeout_s=1.0)
    )
    decided = decide(state, i.Due(), 2 * SECOND)
    assert kinds(decided) == [e.TaskFailed, e.RunDraining, e.TasksClosed, e.RunFailed]


def test_a_timeout_of_an_approval_may_be_a_yes():
    """Where its definition says so."""
    state, _ = started(
        waits("a", WaitKind.APPROVAL, timeout_s=1.0, on_timeout=Otherwise.APPROVE),
        strategies.task("b", "a"),
    )
    decide(state, i.Due(), 2 * SECOND)
    assert state.values[0] == '{"approved":true,"by":"","comment":""}'
    assert state.is_ready(1)


def test_signals_are_taken_in_the_order_in_which_they_came():
    """Each by one task."""
    state, _ = started(strategies.task("a"), waits("b", WaitKind.SIGNAL, "a", name="go"))
    for value in ("1", "2"):
        assert kinds(decide(state, i.Signal("go", value, "ann"), 2)) == [e.SignalReceived]
    decide(state, i.AttemptBegins(0, "w", 1, 1), 3)
    decided = decide(state, i.Succeeded(1, 0, 1, "null", 3, 1), 4)
    assert decided.events[2].event == e.TaskCompleted("b", "1", "signal 'go' came", "go")
    assert state.signals == {"go": ["2"]}


def test_signals_that_nobody_takes_are_kept_up_to_a_limit():
    state, _ = started(strategies.task("a"), waits("b", WaitKind.SIGNAL, "a", name="go"))
    for number in range(MOST_SIGNALS):
        assert not decide(state, i.Signal(f"s{number % 2}", "1", "ann"), 2).refused
    n = state.n
    said = "run r keeps 1,000 signals that no task has taken"
    assert decide(state, i.Signal("go", "1", "ann"), 3).refused == said
    assert state.n == n


@pytest.mark.parametrize(
    ("verdict", "status"),
    [(Verdict.RETRY, TaskStatus.PENDING), (Verdict.SKIP, TaskStatus.SKIPPED),
     (Verdict.VALUE, TaskStatus.SUCCEEDED), (Verdict.FAIL, TaskStatus.FAILED)],
)  # fmt: skip
def test_a_person_may_end_the_wait_for_a_retry(verdict, status):
    """Nobody has to sit out a long back-off."""
    back_off = e.TaskRetryScheduled("a", 10**9, "rule", "because")
    state = state_after(CREATED, STARTED, begun(), broke(), back_off)
    assert not decide(state, i.Answer("a", verdict, "ann", value="1"), 500).refused
    assert state.tasks[0] is status
    assert state.waiting == state.waits == state.answered == {}


def test_an_answer_about_a_task_that_is_not_there_names_the_nearest():
    """People mistype."""
    state, _ = started(waits("publish", WaitKind.APPROVAL))
    refused = decide(state, i.Answer("publsh", Verdict.APPROVE, "ann"), 2).refused
    assert refused == "run r has no task 'publsh'; did you mean 'publish'?"


def test_an_answer_whose_consequence_is_missing_is_carried_out_by_the_next_engine():
    """A history may end anywhere."""
    workflow = strategies.workflow(waits("a", WaitKind.APPROVAL), strategies.task("b", "a"))
    said = e.OperatorDecided("a", Verdict.APPROVE, "ann")
    waiting = e.TaskWaiting("a", WaitKind.APPROVAL)
    state = state_after(CREATED, STARTED, waiting, said, workflow=workflow)
    decided = decide(state, i.Claim("e-2", "recover"), 100)
    assert kinds(decided) == [e.RunClaimed, e.TaskCompleted]


def test_a_wait_that_was_not_begun_is_begun_by_the_next_engine():
    """The same."""
    workflow = strategies.workflow(waits("a", WaitKind.APPROVAL), strategies.task("b", "a"))
    state = state_after(CREATED, STARTED, workflow=workflow)
    assert kinds(decide(state, i.Claim("e-2", "recover"), 100)) == [e.RunClaimed, e.TaskWaiting]


def test_timers_stand_still_while_the_run_is_paused():
    """And are due when it is resumed."""
    workflow = strategies.workflow(
        waits("a", WaitKind.SLEEP, timeout_s=1.0), strategies.task("b", "a")
    )
    waiting = e.TaskWaiting("a", WaitKind.SLEEP, 70)
    state = state_after(CREATED, STARTED, waiting, PAUSED, workflow=workflow)
    assert not decide(state, i.Due(), 500).events
    assert kinds(decide(state, i.Resume("ann"), 501)) == [type(RESUMED), e.TaskCompleted]


def test_a_run_past_its_deadline_is_not_woken_by_the_next_engine_but_ended():
    """What it waited for does not matter any more."""
    workflow = strategies.workflow(waits("a", WaitKind.SLEEP), strategies.task("b", "a"))
    made = e.RunCreated("w", "d-1", 2, deadline_at=400)
    state = state_after(made, STARTED, e.TaskWaiting("a", WaitKind.SLEEP, 300), workflow=workflow)
    assert state.wake_at == 300
    decided = decide(state, i.Claim("e-2", "recover"), 500)
    assert kinds(decided) == [e.RunClaimed, e.RunDraining, e.TasksClosed, e.RunFailed]
    assert state.status is RunStatus.FAILED
    assert state.wake_at is None


def test_a_waiting_event_needs_something_to_wait_for():
    """A history that says otherwise is illegal."""
    with pytest.raises(HistoryError, match="its definition has nothing to wait for"):
        state_after(CREATED, STARTED, e.TaskWaiting("a", WaitKind.SLEEP, 300))
    with pytest.raises(HistoryError, match="no signal 'go' is there to be taken"):
        state_after(
            CREATED, STARTED, e.TaskWaiting("a", WaitKind.SIGNAL),
            e.TaskCompleted("a", "1", "because", "go"),
            workflow=strategies.workflow(
                waits("a", WaitKind.SIGNAL, name="go"), strategies.task("b", "a")
            ),
        )  # fmt: skip
