"""evolve: how one event changes the state of its run. Live and on replay it is this same code.

Owns: every change of a RunState.
Must never: decide. An event that the tables do not allow is a HistoryError, whoever made it.
Read next: `decide.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from durable_wf.core import events as e
from durable_wf.core.events import Recorded
from durable_wf.core.past import Past, PastAttempt
from durable_wf.core.state import OpenAttempt, RunState
from durable_wf.core.status import RUN_FINAL, FaultKind, RunStatus, TaskStatus
from durable_wf.core.tables import ADMITS, CLOSED_AS, CLOSES, RUN, TASK
from durable_wf.errors import HistoryError


def evolve(state: RunState, recorded: Recorded) -> None:
    """Change `state` by one event. Raises HistoryError if the tables do not allow it.

    After an error the state is worth nothing and must be dropped.
    """
    n = recorded.n
    if n != state.n + 1:
        raise _illegal(state, recorded, f"number {state.n + 1} should come next")
    rule = _TASK_RULES.get(type(recorded.event))
    if rule is None:
        _evolve_run(state, recorded)
    else:
        _evolve_task(state, recorded, rule)
    state.n = n
    if recorded.at > state.at:  # noqa: PLR1730 - max() is a call, made for each event
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


def _name(status: RunStatus | None) -> str:
    return status.value if status else "not there yet"


# --- tasks --------------------------------------------------------------------------------------


_Effect = Callable[[RunState, int, Any, Recorded], None]

_Rule = tuple[frozenset[RunStatus], Mapping[TaskStatus, TaskStatus], _Effect]
"""What one event kind needs: the run states that admit it, its steps, what it does besides."""


def _evolve_task(state: RunState, recorded: Recorded, rule: _Rule) -> None:
    admits, steps, effect = rule
    event: Any = recorded.event
    index = state.graph.index.get(event.task)
    if index is None:
        raise _illegal(state, recorded, "the definition has no such task")
    if state.status not in admits:
        raise _illegal(state, recorded, f"the run is {_name(state.status)}")
    old = state.tasks[index]
    after = steps.get(old)
    if after is None:
        raise _illegal(state, recorded, f"the task is {old.value}")
    state.tasks[index] = after
    counts = state.counts
    counts[old] -= 1
    counts[after] += 1
    effect(state, index, event, recorded)


def _attempt_started(state: RunState, index: int, event: e.AttemptStarted, at: Recorded) -> None:
    attempt = state.attempts[index] + 1
    if event.attempt != attempt:
        raise _illegal(state, at, f"attempt {attempt} should come next")
    if state.unmet[index]:
        raise _illegal(state, at, f"{state.unmet[index]} upstream task(s) have not ended")
    state.attempts[index] = attempt
    state.running[index] = OpenAttempt(event, at.n, at.at)


def _close_attempt(state: RunState, index: int, attempt: int, at: Recorded) -> None:
    if attempt != state.attempts[index]:
        raise _illegal(state, at, f"the open attempt is {state.attempts[index]}")
    del state.running[index]


def _attempt_returned(state: RunState, index: int, event: e.AttemptReturned, at: Recorded) -> None:
    _close_attempt(state, index, event.attempt, at)
    state.attempts[index] -= 1
    state.ready.append(index)


def _attempt_succeeded(
    state: RunState, index: int, event: e.AttemptSucceeded, at: Recorded
) -> None:
    _close_attempt(state, index, event.attempt, at)
    state.unfinished -= 1
    children = state.graph.children[index]
    if children:
        state.values[index] = event.value
        _release(state, children)


def _attempt_failed(state: RunState, index: int, event: e.AttemptFailed, at: Recorded) -> None:
    started_at = state.running[index].at
    _close_attempt(state, index, event.attempt, at)
    fault = event.fault
    state.faulted.add(index)
    state.faults[index] = fault
    past = state.past.get(index)
    if past is None:
        past = state.past[index] = Past.begin(started_at, at.at)
    past.fail(PastAttempt(event.attempt, started_at, at.at, fault.kind, fault.exception))
    if fault.kind is FaultKind.IN_DOUBT:
        state.in_doubt[index] = state.in_doubt.get(index, 0) + 1


def _retry_scheduled(
    state: RunState, index: int, event: e.TaskRetryScheduled, at: Recorded
) -> None:
    state.faulted.discard(index)
    state.waiting[index] = event.until
    state.retries += state.past[index].retry(event.until, at.at)


def _task_skipped(state: RunState, index: int, event: e.TaskSkipped, _: Recorded) -> None:
    state.faulted.discard(index)
    state.unfinished -= 1
    state.skipped[index] = event.reason
    _release(state, state.graph.children[index])


def _task_fell_back(state: RunState, index: int, event: e.TaskFellBack, _: Recorded) -> None:
    state.faulted.discard(index)
    state.unfinished -= 1
    children = state.graph.children[index]
    if children:
        state.values[index] = event.value
        _release(state, children)


def _fallback_scheduled(
    state: RunState, index: int, event: e.TaskFallbackScheduled, _: Recorded
) -> None:
    state.faulted.discard(index)
    state.past[index].fall_back(event.function)
    state.ready.append(index)


def _task_woken(state: RunState, index: int, _: e.TaskWoken, __: Recorded) -> None:
    del state.waiting[index]
    state.ready.append(index)


def _task_failed(state: RunState, index: int, event: e.TaskFailed, _: Recorded) -> None:
    state.faulted.discard(index)
    state.unfinished -= 1
    if event.keep_going:
        state.kept_going.add(index)
    if state.task(index).optional:
        _release(state, state.graph.children[index])


def _task_cancelled(state: RunState, index: int, _: e.TaskCancelled, __: Recorded) -> None:
    state.faulted.discard(index)
    state.unfinished -= 1


def _release(state: RunState, children: tuple[int, ...]) -> None:
    """One upstream of each of these has ended."""
    unmet = state.unmet
    for child in children:
        unmet[child] -= 1
        if unmet[child] == 0:
            state.ready.append(child)


_TASK_EFFECTS: dict[type, _Effect] = {
    e.AttemptStarted: _attempt_started,
    e.AttemptReturned: _attempt_returned,
    e.AttemptSucceeded: _attempt_succeeded,
    e.AttemptFailed: _attempt_failed,
    e.TaskRetryScheduled: _retry_scheduled,
    e.TaskWoken: _task_woken,
    e.TaskFailed: _task_failed,
    e.TaskSkipped: _task_skipped,
    e.TaskFellBack: _task_fell_back,
    e.TaskFallbackScheduled: _fallback_scheduled,
    e.TaskCancelled: _task_cancelled,
}

_TASK_RULES: dict[type, _Rule] = {
    kind: (ADMITS[kind], {old: row[kind] for old, row in TASK.items() if kind in row}, effect)
    for kind, effect in _TASK_EFFECTS.items()
}
"""TASK and ADMITS turned around, event first."""


# --- the run ------------------------------------------------------------------------------------

_VERDICTS = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})


def _evolve_run(state: RunState, recorded: Recorded) -> None:
    event = recorded.event
    after = RUN[state.status].get(type(event))
    if after is None:
        raise _illegal(state, recorded, f"the run is {_name(state.status)}")
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
            if event.verdict not in _VERDICTS:
                raise _illegal(state, recorded, f"{event.verdict.value} is no verdict")
            state.verdict = event.verdict
            state.cause = event.cause
            state.cause_task = event.cause_task
        case e.TasksClosed():
            _close_tasks(state, event, recorded)
        case e.RunSucceeded() if (failed := state.required_failure()) is not None:
            raise _illegal(state, recorded, f"task {state.graph.names[failed]!r} has failed")
        case e.RunSucceeded():
            state.cause = ""  # it may have been paused
        case e.RunFailed() | e.RunCancelled() if after is not state.verdict:
            raise _illegal(state, recorded, f"the verdict is {_name(state.verdict)}")
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
