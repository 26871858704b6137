"""Effects: what each task event changes besides the state of its task.

Owns: every change of a RunState that an event of a task makes.
Must never: decide, or judge what the tables judge; an event that contradicts what is known (another
attempt is open, an upstream has not ended) is a HistoryError.
Read next: `evolve.py`, which calls these after the tables have agreed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from durable_wf.core import events as e
from durable_wf.core.definition import Value
from durable_wf.core.events import Fault, Recorded
from durable_wf.core.past import Past, PastAttempt
from durable_wf.core.state import OpenAttempt, RunState, Waiting
from durable_wf.core.status import FaultKind, WaitKind
from durable_wf.core.wording import count_of, has
from durable_wf.errors import HistoryError


def illegal(state: RunState, recorded: Recorded, why: str) -> HistoryError:
    """The error for an event that cannot stand where it does."""
    kind = type(recorded.event).__name__
    task = getattr(recorded.event, "task", "")
    where = f" of task {task!r}" if task else ""
    return HistoryError(
        f"run {state.run_id}, event {recorded.n}: {kind}{where} cannot stand here: {why}",
        hint=f"dwf audit verify {state.run_id}",
    )


def _attempt_started(state: RunState, index: int, event: e.AttemptStarted, at: Recorded) -> None:
    attempt = state.attempts[index] + 1
    if event.attempt != attempt:
        raise illegal(state, at, f"attempt {attempt} should come next")
    if unmet := state.unmet[index]:
        raise illegal(state, at, f"{count_of(unmet, 'upstream task')} {has(unmet)} not ended")
    state.attempts[index] = attempt
    state.running[index] = OpenAttempt(event, at.n, at.at)
    if event.detail and event.detail != state.given_details.get(index):
        # The attempt before came further than the ones before.
        state.given_details[index] = event.detail
        state.crashes = 0


def _close_attempt(state: RunState, index: int, attempt: int, at: Recorded) -> None:
    if attempt != state.attempts[index]:
        raise illegal(state, at, f"the open attempt is {state.attempts[index]}")
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
    if state.given_details:
        state.given_details.pop(index, None)
    if state.crashes:
        state.crashes = 0
    children = state.graph.children[index]
    if children:
        state.values[index] = event.value
        _release(state, children)
    if index in state.undoable:
        _has_effect(state, index, event.value)


def _has_effect(state: RunState, index: int, value: Value) -> None:
    """The task has done what its compensation takes back, unless it was a fallback that did it."""
    past = state.past.get(index)
    if past is None or not past.fallback:
        state.values[index] = value
        state.completed.append(index)


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
    elif fault.kind is not FaultKind.LOST:
        state.crashes = 0


def _attempt_disproved(
    state: RunState, index: int, event: e.AttemptDisproved, at: Recorded
) -> None:
    _close_attempt(state, index, event.attempt, at)
    state.past[index].probe = ""
    state.ready.append(index)


def _attempt_refused(state: RunState, index: int, event: e.AttemptRefused, at: Recorded) -> None:
    fault = event.fault
    state.faulted.add(index)
    state.faults[index] = fault
    past = state.past.get(index)
    if past is None:
        past = state.past[index] = Past.begin(at.at, at.at)
    past.fail(PastAttempt(state.attempts[index], at.at, at.at, fault.kind))


def _retry_scheduled(
    state: RunState, index: int, event: e.TaskRetryScheduled, at: Recorded
) -> None:
    state.faulted.discard(index)
    state.waiting[index] = event.until
    state.retries += state.past[index].retry(event.until, at.at)


def _conclude(state: RunState, index: int) -> None:
    """Nothing is awaited any more about the task: no decision, timer or answer."""
    state.faulted.discard(index)
    state.waiting.pop(index, None)
    state.waits.pop(index, None)
    state.answered.pop(index, None)


def _end(state: RunState, index: int) -> None:
    """The task is final."""
    state.unfinished -= 1
    if state.given_details:
        state.given_details.pop(index, None)


def _succeed(state: RunState, index: int, value: Value) -> None:
    """The task has succeeded without an attempt of its own function."""
    _conclude(state, index)
    _end(state, index)
    children = state.graph.children[index]
    if children:
        state.values[index] = value
        _release(state, children)


def _task_skipped(state: RunState, index: int, event: e.TaskSkipped, _: Recorded) -> None:
    _conclude(state, index)
    _end(state, index)
    state.skipped[index] = event.reason
    _release(state, state.graph.children[index])


def _task_fell_back(state: RunState, index: int, event: e.TaskFellBack, _: Recorded) -> None:
    _succeed(state, index, event.value)


def _task_imported(state: RunState, index: int, event: e.TaskImported, _: Recorded) -> None:
    _succeed(state, index, event.stored)
    if index in state.undoable and not event.fallback:
        _has_effect(state, index, event.stored)


def _fallback_scheduled(
    state: RunState, index: int, event: e.TaskFallbackScheduled, _: Recorded
) -> None:
    state.faulted.discard(index)
    state.past[index].fall_back(event.function)
    state.ready.append(index)


def _probe_scheduled(state: RunState, index: int, event: e.TaskProbeScheduled, _: Recorded) -> None:
    state.faulted.discard(index)
    state.past[index].probe = event.function
    state.ready.append(index)


def _task_escalated(state: RunState, index: int, event: e.TaskEscalated, at: Recorded) -> None:
    state.faulted.discard(index)
    if event.until is not None:
        state.waiting[index] = event.until
    state.waits[index] = Waiting(
        WaitKind.OPERATOR, at.at, event.until, event.on_timeout, event.question, event.whom
    )


def _task_waiting(state: RunState, index: int, event: e.TaskWaiting, at: Recorded) -> None:
    if event.until is not None:
        state.waiting[index] = event.until
    wait = state.task(index).wait
    if wait is None:
        raise illegal(state, at, "its definition has nothing to wait for")
    state.waits[index] = Waiting(
        event.what, at.at, event.until, wait.on_timeout, wait.question, wait.whom, wait.name
    )


def _operator_decided(state: RunState, index: int, event: e.OperatorDecided, _: Recorded) -> None:
    state.answered[index] = event


def _task_completed(state: RunState, index: int, event: e.TaskCompleted, at: Recorded) -> None:
    if event.signal:
        kept = state.signals.get(event.signal)
        if not kept:
            raise illegal(state, at, f"no signal {event.signal!r} is there to be taken")
        kept.pop(0)
    _succeed(state, index, event.value)
    if index in state.undoable:  # who gives the result of a task says that it was done
        _has_effect(state, index, event.value)


def _task_woken(state: RunState, index: int, _: e.TaskWoken, __: Recorded) -> None:
    _conclude(state, index)
    state.ready.append(index)


def _task_failed(state: RunState, index: int, event: e.TaskFailed, _: Recorded) -> None:
    _conclude(state, index)
    _end(state, index)
    if index not in state.faults:
        state.faults[index] = Fault(event.kind, event.reason)
    if event.keep_going:
        state.kept_going.add(index)
    if event.compensate and index in state.undoable:
        state.completed.append(index)
    if state.task(index).optional:
        _release(state, state.graph.children[index])


def _task_cancelled(state: RunState, index: int, _: e.TaskCancelled, __: Recorded) -> None:
    _conclude(state, index)
    _end(state, index)


def _release(state: RunState, children: tuple[int, ...]) -> None:
    """One upstream of each of these has ended."""
    unmet = state.unmet
    for child in children:
        unmet[child] -= 1
        if unmet[child] == 0:
            state.ready.append(child)


Effect = Callable[[RunState, int, Any, Recorded], None]
"""What an event changes besides the task's state: run, index of the task, event, its record."""

EFFECTS: dict[type, Effect] = {
    e.AttemptStarted: _attempt_started,
    e.AttemptReturned: _attempt_returned,
    e.AttemptSucceeded: _attempt_succeeded,
    e.AttemptFailed: _attempt_failed,
    e.AttemptDisproved: _attempt_disproved,
    e.AttemptRefused: _attempt_refused,
    e.TaskRetryScheduled: _retry_scheduled,
    e.TaskWaiting: _task_waiting,
    e.TaskWoken: _task_woken,
    e.TaskFailed: _task_failed,
    e.TaskSkipped: _task_skipped,
    e.TaskFellBack: _task_fell_back,
    e.TaskFallbackScheduled: _fallback_scheduled,
    e.TaskProbeScheduled: _probe_scheduled,
    e.TaskEscalated: _task_escalated,
    e.OperatorDecided: _operator_decided,
    e.TaskCompleted: _task_completed,
    e.TaskImported: _task_imported,
    e.TaskCancelled: _task_cancelled,
}
