"""Each cell of the tables has an example of its own, and what is in no cell is refused."""

from __future__ import annotations

from itertools import product

import attrs
import pytest
from histories_of import (
    A_WITH_ALL,
    ACCEPTED,
    ADDED,
    ANSWERED,
    BOTH_DONE,
    CANCELLED,
    CANCELLING,
    CLAIMED,
    COMPLETED,
    CREATED,
    DISPROVED,
    DROPPED,
    ESCALATED,
    FAILED,
    FAILING,
    FALLING_BACK,
    FELL_BACK,
    GIVEN_UP,
    IMPORTED,
    PAUSED,
    PROBING,
    REFUSED,
    RELEASED,
    RESUMED,
    RETRY,
    SIGNAL,
    SKIPPED,
    STARTED,
    SUCCEEDED,
    WAITING,
    WOKEN,
    begun,
    broke,
    closed,
    done,
    recorded,
    returned,
    state_after,
)

from durable_wf.core import events as e
from durable_wf.core.evolve import evolve
from durable_wf.core.past import Past
from durable_wf.core.state import OpenAttempt, RunState
from durable_wf.core.status import RUN_FINAL, TASK_FINAL, WaitKind
from durable_wf.core.status import RunStatus as R
from durable_wf.core.status import TaskStatus as T
from durable_wf.core.tables import ADMITS, CLOSED_AS, CLOSES, COMPENSATES, RUN, TASK
from durable_wf.errors import HistoryError

RUNNING = (CREATED, STARTED)
PAUSE = (*RUNNING, PAUSED)
DRAIN = (*RUNNING, CANCELLING)
PROBED = (begun(), broke(), PROBING, begun("a", 2))

# state of the run before the last event, the history, state after it
RUN_EXAMPLES = [
    (None, (CREATED,), R.PENDING),
    (R.PENDING, (CREATED, CLAIMED), R.PENDING),
    (R.PENDING, (CREATED, RELEASED), R.PENDING),
    (R.PENDING, (CREATED, SIGNAL), R.PENDING),
    (R.PENDING, (CREATED, STARTED), R.RUNNING),
    (R.PENDING, (CREATED, CANCELLING), R.DRAINING),
    (R.RUNNING, (*RUNNING, CLAIMED), R.RUNNING),
    (R.RUNNING, (*RUNNING, RELEASED), R.RUNNING),
    (R.RUNNING, (*RUNNING, PAUSED), R.PAUSED),
    (R.RUNNING, (*RUNNING, ACCEPTED), R.RUNNING),
    (R.RUNNING, (*RUNNING, SIGNAL), R.RUNNING),
    (R.RUNNING, (*RUNNING, begun(), broke(), GIVEN_UP, FAILING), R.DRAINING),
    (R.RUNNING, (*RUNNING, *BOTH_DONE, SUCCEEDED), R.SUCCEEDED),
    (R.PAUSED, (*PAUSE, CLAIMED), R.PAUSED),
    (R.PAUSED, (*PAUSE, RELEASED), R.PAUSED),
    (R.PAUSED, (*PAUSE, RESUMED), R.RUNNING),
    (R.PAUSED, (*PAUSE, ACCEPTED), R.PAUSED),
    (R.PAUSED, (*PAUSE, SIGNAL), R.PAUSED),
    (R.PAUSED, (*PAUSE, CANCELLING), R.DRAINING),
    (R.PAUSED, (*RUNNING, *BOTH_DONE[:3], PAUSED, done("b"), SUCCEEDED), R.SUCCEEDED),
    (R.DRAINING, (*DRAIN, CLAIMED), R.DRAINING),
    (R.DRAINING, (*DRAIN, RELEASED), R.DRAINING),
    (R.DRAINING, (*DRAIN, ACCEPTED), R.DRAINING),
    (R.DRAINING, (*DRAIN, closed(2)), R.DRAINING),
    (R.DRAINING, (*RUNNING, begun(), done(), CANCELLING, closed(1), ADDED), R.DRAINING),
    (
        R.DRAINING,
        (*RUNNING, begun(), broke(), GIVEN_UP, FAILING, closed(1, T.SKIPPED), FAILED),
        R.FAILED,
    ),
    (R.DRAINING, (*DRAIN, closed(2), CANCELLED), R.CANCELLED),
]

# state of task `a` before the last event, the history, state after it
TASK_EXAMPLES = [
    (T.PENDING, (*RUNNING, begun()), T.RUNNING),
    (T.PENDING, (*RUNNING, SKIPPED), T.SKIPPED),
    (T.PENDING, (*RUNNING, REFUSED), T.FAULTED),
    (T.PENDING, (*RUNNING, WAITING), T.WAITING),
    (T.PENDING, (*RUNNING, IMPORTED), T.SUCCEEDED),
    (T.RUNNING, (*RUNNING, begun(), returned()), T.PENDING),
    (T.RUNNING, (*RUNNING, begun(), done()), T.SUCCEEDED),
    (T.RUNNING, (*RUNNING, begun(), broke()), T.FAULTED),
    (T.RUNNING, (*RUNNING, *PROBED, DISPROVED), T.PENDING),
    (T.FAULTED, (*RUNNING, begun(), broke(), RETRY), T.WAITING),
    (T.FAULTED, (*RUNNING, begun(), broke(), GIVEN_UP), T.FAILED),
    (T.FAULTED, (*RUNNING, begun(), broke(), SKIPPED), T.SKIPPED),
    (T.FAULTED, (*RUNNING, begun(), broke(), FELL_BACK), T.SUCCEEDED),
    (T.FAULTED, (*RUNNING, begun(), broke(), FALLING_BACK), T.PENDING),
    (T.FAULTED, (*RUNNING, begun(), broke(), PROBING), T.PENDING),
    (T.FAULTED, (*RUNNING, begun(), broke(), ESCALATED), T.WAITING),
    (T.FAULTED, (*RUNNING, begun(), CANCELLING, broke(), DROPPED), T.CANCELLED),
    (T.WAITING, (*RUNNING, begun(), broke(), RETRY, WOKEN), T.PENDING),
    (T.WAITING, (*RUNNING, begun(), broke(), ESCALATED, ANSWERED), T.WAITING),
    (T.WAITING, (*RUNNING, WAITING, COMPLETED), T.SUCCEEDED),
    (T.WAITING, (*RUNNING, WAITING, GIVEN_UP), T.FAILED),
    (T.WAITING, (*RUNNING, WAITING, SKIPPED), T.SKIPPED),
]

# state of the run that admits the last event
ADMITS_EXAMPLES = [
    (R.RUNNING, (*RUNNING, begun())),
    (R.RUNNING, (*RUNNING, begun(), returned())),
    (R.PAUSED, (*RUNNING, begun(), PAUSED, returned())),
    (R.DRAINING, (*RUNNING, begun(), CANCELLING, returned())),
    (R.RUNNING, (*RUNNING, begun(), done())),
    (R.PAUSED, (*RUNNING, begun(), PAUSED, done())),
    (R.DRAINING, (*RUNNING, begun(), CANCELLING, done())),
    (R.RUNNING, (*RUNNING, begun(), broke())),
    (R.PAUSED, (*RUNNING, begun(), PAUSED, broke())),
    (R.DRAINING, (*RUNNING, begun(), CANCELLING, broke())),
    (R.RUNNING, (*RUNNING, begun(), broke(), RETRY)),
    (R.PAUSED, (*RUNNING, begun(), PAUSED, broke(), RETRY)),
    (R.RUNNING, (*RUNNING, begun(), broke(), RETRY, WOKEN)),
    (R.RUNNING, (*RUNNING, begun(), broke(), GIVEN_UP)),
    (R.PAUSED, (*RUNNING, begun(), PAUSED, broke(), GIVEN_UP)),
    (R.DRAINING, (*RUNNING, begun(), CANCELLING, broke(), GIVEN_UP)),
    (R.RUNNING, (*RUNNING, begun(), broke(), SKIPPED)),
    (R.PAUSED, (*RUNNING, begun(), PAUSED, broke(), SKIPPED)),
    (R.RUNNING, (*RUNNING, begun(), broke(), FELL_BACK)),
    (R.PAUSED, (*RUNNING, begun(), PAUSED, broke(), FELL_BACK)),
    (R.RUNNING, (*RUNNING, begun(), broke(), FALLING_BACK)),
    (R.PAUSED, (*RUNNING, begun(), PAUSED, broke(), FALLING_BACK)),
    (R.DRAINING, (*RUNNING, begun(), CANCELLING, broke(), DROPPED)),
    (R.RUNNING, (*RUNNING, REFUSED)),
    (R.RUNNING, (*RUNNING, *PROBED, DISPROVED)),
    (R.PAUSED, (*RUNNING, *PROBED, PAUSED, DISPROVED)),
    (R.DRAINING, (*RUNNING, *PROBED, CANCELLING, DISPROVED)),
    (R.RUNNING, (*RUNNING, WAITING)),
    (R.PAUSED, (*RUNNING, begun(), broke(), RETRY, PAUSED, WOKEN)),
    (R.RUNNING, (*RUNNING, begun(), broke(), PROBING)),
    (R.PAUSED, (*RUNNING, begun(), PAUSED, broke(), PROBING)),
    (R.RUNNING, (*RUNNING, begun(), broke(), ESCALATED)),
    (R.PAUSED, (*RUNNING, begun(), PAUSED, broke(), ESCALATED)),
    (R.RUNNING, (*RUNNING, begun(), broke(), ESCALATED, ANSWERED)),
    (R.PAUSED, (*RUNNING, begun(), PAUSED, broke(), ESCALATED, ANSWERED)),
    (R.RUNNING, (*RUNNING, WAITING, COMPLETED)),
    (R.PAUSED, (*RUNNING, WAITING, PAUSED, COMPLETED)),
    (R.RUNNING, (*RUNNING, IMPORTED)),
]

TAKING_BACK = (*RUNNING, begun(), done(), CANCELLING, closed(1), ADDED)
"""The run drains, and `a~undo` may start."""


def _undo(event: e.TaskEvent) -> e.TaskEvent:
    """The same about the compensation."""
    return attrs.evolve(event, task="a~undo")


UNDO_FAULTED = (*TAKING_BACK, begun("a~undo"), broke("a~undo"))
UNDO_WAITS = (*UNDO_FAULTED, _undo(ESCALATED))

# of a draining run, what its compensations may do besides
COMPENSATES_EXAMPLES = [
    (*TAKING_BACK, begun("a~undo")),
    (*TAKING_BACK, _undo(REFUSED)),
    (*UNDO_FAULTED, _undo(RETRY)),
    (*UNDO_FAULTED, _undo(RETRY), _undo(WOKEN)),
    (*UNDO_FAULTED, _undo(SKIPPED)),
    (*UNDO_FAULTED, _undo(FELL_BACK)),
    (*UNDO_FAULTED, _undo(FALLING_BACK)),
    (*UNDO_FAULTED, _undo(PROBING)),
    (*UNDO_FAULTED, _undo(ESCALATED)),
    (*UNDO_WAITS, _undo(ANSWERED)),
    (*UNDO_WAITS, _undo(COMPLETED)),
]


@pytest.mark.parametrize(("before", "history", "after"), RUN_EXAMPLES)
def test_a_row_of_run(before, history, after):
    """The last event of the history takes the run from one state to the other."""
    assert state_after(*history[:-1], workflow=A_WITH_ALL).status is before
    assert state_after(*history, workflow=A_WITH_ALL).status is after
    assert RUN[before][type(history[-1])] is after


@pytest.mark.parametrize(("before", "history", "after"), TASK_EXAMPLES)
def test_a_row_of_task(before, history, after):
    """The last event of the history takes task `a` from one state to the other."""
    assert state_after(*history[:-1], workflow=A_WITH_ALL).tasks[0] is before
    assert state_after(*history, workflow=A_WITH_ALL).tasks[0] is after
    assert TASK[before][type(history[-1])] is after


@pytest.mark.parametrize(("status", "history"), ADMITS_EXAMPLES)
def test_a_cell_of_admits(status, history):
    """The run's state admits the last event of the history."""
    assert state_after(*history[:-1], workflow=A_WITH_ALL).status is status
    assert state_after(*history, workflow=A_WITH_ALL).n == len(history)
    assert status in ADMITS[type(history[-1])]


@pytest.mark.parametrize("history", COMPENSATES_EXAMPLES, ids=lambda h: type(h[-1]).__name__)
def test_a_member_of_compensates(history):
    """A draining run admits the last event of the history for a compensation."""
    kind = type(history[-1])
    assert state_after(*history[:-1], workflow=A_WITH_ALL).status is R.DRAINING
    assert R.DRAINING not in ADMITS[kind]
    assert state_after(*history, workflow=A_WITH_ALL).n == len(history)


def test_a_compensation_may_do_no_more_than_that():
    """What stands in neither table is refused."""
    for event in (e.TaskImported("a~undo", "r-0", "7"), e.TaskWaiting("a~undo", WaitKind.SLEEP)):
        with pytest.raises(HistoryError, match="the run is draining"):
            state_after(*TAKING_BACK, event, workflow=A_WITH_ALL)


def test_every_row_of_the_tables_has_an_example():
    """A new row without an example fails here; so does an example of no row."""
    runs = {(state, kind) for state, row in RUN.items() for kind in row}
    tasks = {(state, kind) for state, row in TASK.items() for kind in row}
    admits = {(state, kind) for kind, states in ADMITS.items() for state in states}

    assert {(state, type(history[-1])) for state, history, _ in RUN_EXAMPLES} == runs
    assert {(state, type(history[-1])) for state, history, _ in TASK_EXAMPLES} == tasks
    assert {(state, type(history[-1])) for state, history in ADMITS_EXAMPLES} == admits
    assert {type(history[-1]) for history in COMPENSATES_EXAMPLES} == COMPENSATES


def test_the_tables_are_complete():
    """They know each state, and each kind that is no fact of the store."""
    assert set(RUN) == {None, *R}
    assert set(TASK) == set(T)
    assert {kind for row in RUN.values() for kind in row} == set(e.RUN_KINDS)
    assert {kind for row in TASK.values() for kind in row} == set(e.TASK_KINDS) == set(ADMITS)
    assert {state for state in R if not RUN[state]} == RUN_FINAL
    assert {state for state in T if not TASK[state]} == TASK_FINAL


def _reachable(table, start):
    found, stack = {start}, [start]
    while stack:
        for after in table[stack.pop()].values():
            if after not in found:
                found.add(after)
                stack.append(after)
    return found


def test_every_state_can_be_reached_and_left_for_the_end():
    """No state is cut off, and none is a trap."""
    tasks = {
        state: {**row, **({kind: kind for kind in CLOSED_AS} if state in CLOSES else {})}
        for state, row in TASK.items()
    }
    assert _reachable(RUN, None) == set(RUN)
    assert _reachable(tasks, T.PENDING) == set(T)
    assert all(_reachable(RUN, state) & RUN_FINAL for state in RUN)
    assert all(_reachable(tasks, state) & TASK_FINAL for state in T)


# --- every state x every event ------------------------------------------------------------------

DISPROVED_ONE = e.AttemptDisproved("a", 1)
TASK_EVENTS = [
    begun(), returned(), done(), broke(), RETRY, WOKEN, GIVEN_UP, SKIPPED, FELL_BACK,
    FALLING_BACK, DROPPED, REFUSED, DISPROVED_ONE, PROBING, ESCALATED, WAITING, ANSWERED,
    COMPLETED, IMPORTED,
]  # fmt: skip
RUN_EVENTS = [
    CREATED, CLAIMED, RELEASED, STARTED, PAUSED, RESUMED, ACCEPTED, CANCELLING, closed(0),
    SUCCEEDED, FAILED, CANCELLED, SIGNAL, ADDED,
]  # fmt: skip
STORE_EVENTS = [
    e.EngineStarted("e-1", 1, "host", "1"), e.EngineStopped("e-1"), e.Pruned("ann", 1, 2, 3, 4),
    e.RunImported("ann", "r", 5),
    e.Trusted("ann", "a loss"), e.BreakerOpened("k", 1, 5, "r", "a"),
    e.ProbeTaken("k", "e-1", "r", "a", 1), e.BreakerClosed("k", "r", "a", 1),
    e.BreakerReset("ann", "k", "it is back"),
]  # fmt: skip


def _forced(run: R | None, task: T, verdict: R | None = None, *, over: bool = False) -> RunState:
    """A state in which nothing but the tables can object, `over`: all tasks have ended."""
    state = RunState.of("r", A_WITH_ALL)
    state.status, state.verdict = run, verdict
    state.tasks[0] = task
    state.unfinished = 0 if over else 2
    if over:
        state.tasks[1] = T.SUCCEEDED
    state.attempts[0] = 1 if task is T.RUNNING else 0
    state.running[0] = OpenAttempt(begun(), 1, 1)
    state.waiting[0] = 0
    state.past[0] = Past.begin(1, 1)
    return state


def _accepts(state: RunState, event: e.Event) -> bool:
    try:
        evolve(state, recorded(event)[0])
    except HistoryError:
        return False
    return True


def test_the_events_below_are_all_there_are():
    """A new kind must be judged here too."""
    assert {type(event) for event in TASK_EVENTS + RUN_EVENTS + STORE_EVENTS} == set(
        e.KINDS.values()
    )


@pytest.mark.parametrize("event", TASK_EVENTS, ids=lambda event: type(event).__name__)
def test_a_task_event_is_legal_exactly_where_the_tables_say(event):
    """Over every state of the run and every state of the task."""
    for run, task in product(RUN, T):
        legal = type(event) in TASK[task] and run in ADMITS[type(event)]
        assert _accepts(_forced(run, task), event) == legal, (run, task)


@pytest.mark.parametrize("event", RUN_EVENTS, ids=lambda event: type(event).__name__)
def test_a_run_event_is_legal_exactly_where_the_table_says(event):
    """Over every state of the run, when its tasks have ended."""
    verdict = {e.RunFailed: R.FAILED, e.RunCancelled: R.CANCELLED}.get(type(event))
    for run in RUN:
        legal = type(event) in RUN[run]
        assert _accepts(_forced(run, T.SUCCEEDED, verdict, over=True), event) == legal, run


@pytest.mark.parametrize("event", STORE_EVENTS, ids=lambda event: type(event).__name__)
def test_facts_of_the_store_stand_in_no_run(event):
    """They belong to stream 0."""
    assert not any(_accepts(_forced(run, T.PENDING), event) for run in RUN)
