"""evolve: how one event changes the state of its run. Live and on replay it is this same code.

Owns: every change of a RunState.
Must never: decide. An event that the tables do not allow is a HistoryError, whoever made it.
Read next: `decide.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from durable_wf.core import events as e
from durable_wf.core.events import Recorded
from durable_wf.core.state import OpenAttempt, RunState
from durable_wf.core.status import RUN_FINAL, FaultKind, RunStatus, TaskStatus
from durable_wf.core.tables import ADMITS, CLOSED_AS, CLOSES, RUN, TASK
from durable_wf.errors import HistoryError

_STEPS: dict[type, tuple[tuple[TaskStatus, TaskStatus], ...]] = {
    kind: tuple((old, row[kind]) for old, row in TASK.items() if kind in row)
    for kind in e.TASK_KINDS
}
"""TASK turned around, event first: an event is legal in one or two states, compared by identity."""

_ADMITTED: dict[type, tuple[RunStatus, ...]] = {kind: tuple(ADMITS[kind]) for kind in e.TASK_KINDS}


def evolve(state: RunState, recorded: Recorded) -> None:
    """Change `state` by one event. Raises HistoryError if the tables do not allow it.

    After an error the state is worth nothing and must be dropped.
    """
    event = recorded.event
    if recorded.n != state.n + 1:
        raise _illegal(state, recorded, f"number {state.n + 1} should come next")
    steps = _STEPS.get(type(event))
    if steps is None:
        _evolve_run(state, recorded)
    else:
        _evolve_task(state, recorded, steps)
    state.n = recorded.n
    state.at = recorded.at


def replay(state: RunState, history: Iterable[Recorded]) -> RunState:
    """Apply a history, in order, and return the same state."""
    for recorded in history:
        evolve(state, recorded)
    return state


def _illegal(state: RunState, recorded: Recorded, why: str) -> HistoryError:
    kind = type(recorded.event).__name__
    task = getattr(recorded.event, "task", "")
    where = f" of task {task!r}" if task else ""
    return HistoryError(
        f"run {state.run_id}, event {recorded.n}: {kind}{where} cannot stand here: {why}",
        hint=f"dwf audit verify {state.run_id}",
    )


# --- tasks --------------------------------------------------------------------------------------


def _evolve_task(
    state: RunState, recorded: Recorded, steps: tuple[tuple[TaskStatus, TaskStatus], ...]
) -> None:
    event = recorded.event
    index = state.graph.index.get(event.task)  # type: ignore[union-attr]
    if index is None:
        raise _illegal(state, recorded, "the definition has no such task")
    if state.status not in _ADMITTED[type(event)]:
        raise _illegal(state, recorded, f"the run is {state.status}")
    old = state.tasks[index]
    for before, after in steps:
        if old is before:
            break
    else:
        raise _illegal(state, recorded, f"the task is {old.value}")
    state.tasks[index] = after
    counts = state.counts
    counts[old] -= 1
    counts[after] += 1
    _TASK_EFFECTS[type(event)](state, index, recorded)


def _attempt_started(state: RunState, index: int, recorded: Recorded) -> None:
    event: e.AttemptStarted = recorded.event  # type: ignore[assignment]
    if event.attempt != state.attempts[index] + 1:
        raise _illegal(state, recorded, f"attempt {state.attempts[index] + 1} should come next")
    if state.unmet[index]:
        raise _illegal(state, recorded, f"{state.unmet[index]} upstream task(s) have not ended")
    state.attempts[index] = event.attempt
    state.running[index] = OpenAttempt(event, recorded.n, recorded.at)


def _close_attempt(state: RunState, index: int, recorded: Recorded, attempt: int) -> None:
    if attempt != state.attempts[index]:
        raise _illegal(state, recorded, f"the open attempt is {state.attempts[index]}")
    del state.running[index]


def _attempt_returned(state: RunState, index: int, recorded: Recorded) -> None:
    event: e.AttemptReturned = recorded.event  # type: ignore[assignment]
    _close_attempt(state, index, recorded, event.attempt)
    state.attempts[index] -= 1
    state.ready.append(index)


def _attempt_succeeded(state: RunState, index: int, recorded: Recorded) -> None:
    event: e.AttemptSucceeded = recorded.event  # type: ignore[assignment]
    _close_attempt(state, index, recorded, event.attempt)
    state.unfinished -= 1
    children = state.graph.children[index]
    if children:
        state.values[index] = event.value
        _release(state, children)


def _attempt_failed(state: RunState, index: int, recorded: Recorded) -> None:
    event: e.AttemptFailed = recorded.event  # type: ignore[assignment]
    _close_attempt(state, index, recorded, event.attempt)
    state.faulted.add(index)
    state.faults[index] = event.fault
    if event.fault.kind is FaultKind.IN_DOUBT:
        state.in_doubt[index] = state.in_doubt.get(index, 0) + 1


def _retry_scheduled(state: RunState, index: int, recorded: Recorded) -> None:
    event: e.TaskRetryScheduled = recorded.event  # type: ignore[assignment]
    state.faulted.discard(index)
    state.waiting[index] = event.until


def _task_woken(state: RunState, index: int, _: Recorded) -> None:
    del state.waiting[index]
    state.ready.append(index)


def _task_failed(state: RunState, index: int, _: Recorded) -> None:
    state.faulted.discard(index)
    state.unfinished -= 1
    if state.task(index).optional:
        _release(state, state.graph.children[index])


def _task_cancelled(state: RunState, index: int, _: Recorded) -> None:
    state.faulted.discard(index)
    state.unfinished -= 1


def _release(state: RunState, children: tuple[int, ...]) -> None:
    """One upstream of each of these has ended."""
    unmet = state.unmet
    for child in children:
        unmet[child] -= 1
        if unmet[child] == 0:
            state.ready.append(child)


_TASK_EFFECTS: dict[type, Callable[[RunState, int, Recorded], None]] = {
    e.AttemptStarted: _attempt_started,
    e.AttemptReturned: _attempt_returned,
    e.AttemptSucceeded: _attempt_succeeded,
    e.AttemptFailed: _attempt_failed,
    e.TaskRetryScheduled: _retry_scheduled,
    e.TaskWoken: _task_woken,
    e.TaskFailed: _task_failed,
    e.TaskCancelled: _task_cancelled,
}


# --- the run ------------------------------------------------------------------------------------


def _evolve_run(state: RunState, recorded: Recorded) -> None:
    event = recorded.event
    after = RUN[state.status].get(type(event))
    if after is None:
        status = state.status.value if state.status else "not created"
        raise _illegal(state, recorded, f"the run is {status}")
    if after in RUN_FINAL and state.unfinished:
        raise _illegal(state, recorded, f"{state.unfinished} task(s) have not ended")
    state.status = after
    if after in RUN_FINAL:
        state.ended_at = recorded.at
        state.engine = ""
    match event:
        case e.RunCreated():
            _created(state, event, recorded)
        case e.RunClaimed():
            state.engine = event.engine
        case e.RunReleased():
            state.engine = ""
        case e.RunStarted():
            state.started_at = recorded.at
            state.ready = state.all_ready()
        case e.RunPaused():
            state.cause = event.cause
        case e.RunResumed():
            state.cause = ""
            state.ready = state.all_ready()
        case e.CodeAccepted():
            state.definition = event.definition
            state.code = event.code
        case e.RunDraining():
            state.verdict = event.verdict
            state.cause = event.cause
            state.cause_task = event.cause_task
        case e.TasksClosed():
            _close_tasks(state, event, recorded)
        case e.RunFailed() | e.RunCancelled() if after is not state.verdict:
            raise _illegal(state, recorded, f"the verdict is {state.verdict}")
        case _:
            pass  # the table has said it all


def _created(state: RunState, event: e.RunCreated, recorded: Recorded) -> None:
    if event.total != len(state.graph):
        raise _illegal(state, recorded, f"its definition has {len(state.graph)} tasks")
    state.created = event
    state.created_at = recorded.at
    state.definition = event.definition
    state.code = event.code


def _close_tasks(state: RunState, event: e.TasksClosed, recorded: Recorded) -> None:
    if event.status not in CLOSED_AS:
        raise _illegal(state, recorded, f"tasks cannot be closed as {event.status.value}")
    closed = [i for i, status in enumerate(state.tasks) if status in CLOSES]
    if len(closed) != event.count:
        raise _illegal(state, recorded, f"{len(closed)} tasks can be closed, not {event.count}")
    for index in closed:
        state.counts[state.tasks[index]] -= 1
        state.tasks[index] = event.status
    state.counts[event.status] += len(closed)
    state.unfinished -= len(closed)
    state.waiting.clear()
    state.ready.clear()
