"""Steps: what all decisions are made of. Each records events and their consequences.

Owns: `emit`, and the consequences that several inputs share: a run drains, closes what never
started, takes back what it did, ends.
Must never: answer an input; the handlers of `decide.py` do.
Read next: `decide.py`.
"""

from __future__ import annotations

from durable_wf.core import events as e
from durable_wf.core.compensation import to_add
from durable_wf.core.events import Event, Recorded
from durable_wf.core.evolve import evolve
from durable_wf.core.hot import hot
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind, RunStatus, TaskStatus


@hot
class Decided:
    """The answer to an input.

    `events` must be committed before anything else is done. `judge` names tasks that stand FAULTED:
    their decision must follow before the commit. `stop` names attempts (task index, number) to be
    stopped after the commit. `refused` says why a command was not accepted; "" if it was.
    """

    events: list[Recorded]
    judge: tuple[int, ...] = ()
    stop: tuple[tuple[int, int], ...] = ()
    refused: str = ""


def refused(why: str) -> Decided:
    """Nothing happens."""
    return Decided([], refused=why)


def emit(state: RunState, events: list[Recorded], at: int, event: Event) -> None:
    """Record an event and let the state follow it."""
    recorded = Recorded(state.n + 1, at, event)
    evolve(state, recorded)
    events.append(recorded)


# --- the run drains and ends ----------------------------------------------------------------------


def drain_failed(state: RunState, events: list[Recorded], at: int, index: int, reason: str) -> None:
    """A required task has failed: the verdict is fixed, and what never started ends."""
    task = state.graph.names[index]
    drain(state, events, at, RunStatus.FAILED, f"task {task!r} failed: {reason}", cause_task=task)


def drain(
    state: RunState,
    events: list[Recorded],
    at: int,
    verdict: RunStatus,
    cause: str,
    *,
    actor: str = "",
    cause_task: str = "",
    compensate: bool = True,
) -> None:
    """Fix the verdict and close what never started; what runs comes to its end by itself."""
    takes_back = compensate and bool(state.undoable)
    draining = e.RunDraining(verdict, cause, actor, cause_task, compensate=takes_back)
    emit(state, events, at, draining)
    close_unstarted(state, events, at)


def close_unstarted(state: RunState, events: list[Recorded], at: int) -> None:
    """End what never started, in one event."""
    if state.compensating:
        return  # of the run's own tasks none is left, and compensations are not closed
    count = state.counts[TaskStatus.PENDING] + state.counts[TaskStatus.WAITING]
    if not count:
        return
    failed = state.verdict is RunStatus.FAILED
    status = TaskStatus.SKIPPED if failed else TaskStatus.CANCELLED
    emit(state, events, at, e.TasksClosed(status, count, state.cause))


def end_if_done(state: RunState, events: list[Recorded], at: int) -> None:
    """A final run has only final tasks, so the last of them ends it, or brings compensations."""
    if state.unfinished or state.final:
        return
    if state.status is not RunStatus.DRAINING and state.kept_going:
        index = min(state.kept_going)
        drain_failed(state, events, at, index, state.faults[index].message)
    if state.status is not RunStatus.DRAINING:
        emit(state, events, at, e.RunSucceeded())
    elif state.compensates and state.completed and not state.compensating:
        emit(state, events, at, e.TasksAdded(to_add(state), "compensate"))
    elif state.verdict is RunStatus.CANCELLED:
        emit(state, events, at, e.RunCancelled(state.cause))
    else:
        emit(state, events, at, e.RunFailed(state.cause))


_NOT_ITS_OWN = frozenset({FaultKind.LOST, FaultKind.IN_DOUBT})


def conclude_draining(state: RunState, events: list[Recorded], at: int, index: int) -> None:
    """A draining run asks no rule: nothing may start again. An attempt that was stopped or lost
    is cancelled with the run, one that failed by itself has failed.
    """
    task = state.graph.names[index]
    fault = state.faults[index]
    if fault.kind in _NOT_ITS_OWN:
        emit(state, events, at, e.TaskCancelled(task, "the run was draining"))
    else:
        emit(state, events, at, e.TaskFailed(task, "draining", fault.words))


def is_closing(state: RunState, index: int) -> bool:
    """Whether nobody is asked about a fault of the task: its run drains, and it is no
    compensation.
    """
    return state.status is RunStatus.DRAINING and index < state.forward


# --- a task fails ---------------------------------------------------------------------------------


def fail_task(
    state: RunState, events: list[Recorded], at: int, index: int, failed: e.TaskFailed
) -> None:
    """Record that a task has failed for good, and what follows for its run."""
    required = not state.task(index).optional
    emit(state, events, at, failed)
    if failed.keep_going:
        skip_downstream(state, events, at, index)
    elif required:
        drain_failed(state, events, at, index, failed.reason)
    end_if_done(state, events, at)


def skip_downstream(state: RunState, events: list[Recorded], at: int, failed: int) -> None:
    """A required task has failed, and the run goes on: what depends on it never starts."""
    cause = state.graph.names[failed]
    reason = f"task {cause!r}, which it depends on, failed"
    stack = list(state.graph.children[failed])
    seen: set[int] = set()
    while stack:
        index = stack.pop()
        if index in seen:
            continue
        seen.add(index)
        stack += state.graph.children[index]
        if state.tasks[index] is TaskStatus.PENDING:
            name = state.graph.names[index]
            emit(state, events, at, e.TaskSkipped(name, "upstream", reason, upstream=cause))
