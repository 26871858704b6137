"""decide: what follows from an input. The functional core's one door.

Owns: which events an input causes, with all their consequences, and what the engine must do about
them. Consequences are part of the answer, so that a replay never decides again.
Must never: call a rule. It stops at FAULTED and hands out the obligation to judge; the answer
(`Retry` or `Fail`) is the next input, and fault and conclusion go into one commit.
Read next: `judge.py`; `engine/loop.py`, which carries the obligations out.

The state is changed while deciding (each event passes through `evolve` at once), so it runs ahead
of the log until the events are committed; after a conflict it must be dropped and replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.events import Event, Recorded
from durable_wf.core.evolve import evolve
from durable_wf.core.hot import hot
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind, RunStatus, TaskStatus

# Bound once: reading a member from its enum is a slow call, and this stands on the hot path.
_OPEN = TaskStatus.RUNNING


@hot
class Decided:
    """The answer of `decide`.

    `events` must be committed before anything else is done. `judge` names tasks that stand FAULTED:
    their decision must follow before the commit. `stop` names attempts (task index, number) to be
    stopped after the commit. `refused` says why a command was not accepted; "" if it was.
    """

    events: list[Recorded]
    judge: tuple[int, ...] = ()
    stop: tuple[tuple[int, int], ...] = ()
    refused: str = ""


def decide(state: RunState, given: i.Input, at: int) -> Decided:
    """Decide one input that came at `at` (UTC microseconds)."""
    return _HANDLERS[type(given)](state, given, at)


def _emit(state: RunState, events: list[Recorded], at: int, event: Event) -> None:
    recorded = Recorded(state.n + 1, at, event)
    evolve(state, recorded)
    events.append(recorded)


def _refused(why: str) -> Decided:
    return Decided([], refused=why)


# --- birth and ownership --------------------------------------------------------------------------


def _create(state: RunState, given: i.Create, at: int) -> Decided:
    events: list[Recorded] = []
    _emit(state, events, at, given.created)
    _emit(state, events, at, e.RunClaimed(given.engine, "create"))
    _emit(state, events, at, e.RunStarted())
    _end_if_done(state, events, at)
    return Decided(events)


def _claim(state: RunState, given: i.Claim, at: int) -> Decided:
    if state.final:
        return _refused(_ended(state))
    events: list[Recorded] = []
    _emit(state, events, at, e.RunClaimed(given.engine, given.why))
    if state.status is RunStatus.PENDING:
        _emit(state, events, at, e.RunStarted())
    return Decided(events, judge=_take_up(state, events, at))


def _take_up(state: RunState, events: list[Recorded], at: int) -> tuple[int, ...]:
    """Carry out what is due and was not carried out, since the history may end anywhere."""
    _wake_due(state, events, at)
    if state.status is RunStatus.DRAINING:
        for index in sorted(state.faulted):
            _conclude_draining(state, events, at, index)
        _close_unstarted(state, events, at)
    elif (failed := state.failed_required()) is not None:
        _drain_failed(state, events, at, failed, state.faults[failed].message)
    else:
        for index in sorted(state.kept_going):
            _skip_downstream(state, events, at, index)
    _end_if_done(state, events, at)
    return tuple(sorted(state.faulted))


def _release(state: RunState, given: i.Release, at: int) -> Decided:
    if state.final:
        return _refused(_ended(state))
    events: list[Recorded] = []
    _emit(state, events, at, e.RunReleased(given.engine, given.why))
    return Decided(events)


# --- attempts -------------------------------------------------------------------------------------


def _begin(state: RunState, given: i.AttemptBegins, at: int) -> Decided:
    index = given.index
    if not state.is_ready(index):
        return _refused(f"task {state.graph.names[index]!r} may not start")
    events: list[Recorded] = []
    started = e.AttemptStarted(
        state.graph.names[index], state.attempts[index] + 1, given.worker, given.pid, given.born
    )
    _emit(state, events, at, started)
    return Decided(events)


def _stale(state: RunState, index: int, attempt: int) -> bool:
    """Whether a report is about an attempt that is not the open one: the fence against ghosts."""
    return state.tasks[index] is not _OPEN or state.attempts[index] != attempt


def _succeeded(state: RunState, given: i.Succeeded, at: int) -> Decided:
    index = given.index
    if _stale(state, index, given.attempt):
        return _refused("stale report")
    events: list[Recorded] = []
    succeeded = e.AttemptSucceeded(
        state.graph.names[index],
        given.attempt,
        given.value,
        given.began_at,
        given.wall_us,
        given.cpu_us,
        given.rss_kib,
        given.output,
    )
    _emit(state, events, at, succeeded)
    if not state.unfinished:
        _end_if_done(state, events, at)
    return Decided(events)


def _failed(state: RunState, given: i.Failed, at: int) -> Decided:
    index = given.index
    if _stale(state, index, given.attempt):
        return _refused("stale report")
    events: list[Recorded] = []
    failed = e.AttemptFailed(
        task=state.graph.names[index],
        attempt=given.attempt,
        fault=given.fault,
        began_at=given.began_at,
        wall_us=given.wall_us,
        cpu_us=given.cpu_us,
        rss_kib=given.rss_kib,
        output=given.output,
        kept=given.kept,
    )
    _emit(state, events, at, failed)
    if state.status is not RunStatus.DRAINING:
        return Decided(events, judge=(index,))
    _conclude_draining(state, events, at, index)
    _end_if_done(state, events, at)
    return Decided(events)


_NOT_ITS_OWN = frozenset({FaultKind.LOST, FaultKind.IN_DOUBT})


def _conclude_draining(state: RunState, events: list[Recorded], at: int, index: int) -> None:
    """A draining run asks no rule: nothing may start again. An attempt that was stopped or lost
    is cancelled with the run, one that failed by itself has failed.
    """
    task = state.graph.names[index]
    fault = state.faults[index]
    if fault.kind in _NOT_ITS_OWN:
        _emit(state, events, at, e.TaskCancelled(task, "the run was draining"))
    else:
        _emit(state, events, at, e.TaskFailed(task, "draining", fault.message))


def _returned(state: RunState, given: i.Returned, at: int) -> Decided:
    index = given.index
    if _stale(state, index, given.attempt):
        return _refused("stale report")
    events: list[Recorded] = []
    _emit(state, events, at, e.AttemptReturned(state.graph.names[index], given.attempt))
    if state.status is RunStatus.DRAINING:
        _close_unstarted(state, events, at)
        _end_if_done(state, events, at)
    return Decided(events)


# --- decisions about faults -----------------------------------------------------------------------


def _retry(state: RunState, given: i.Retry, at: int) -> Decided:
    task = state.graph.names[given.index]
    if state.tasks[given.index] is not TaskStatus.FAULTED:
        return _refused(f"task {task!r} awaits no decision")
    if state.status is RunStatus.DRAINING:
        return _too_late(state, given.index, at)
    events: list[Recorded] = []
    until = at + given.delay_us
    scheduled = e.TaskRetryScheduled(
        task, until, given.rule, given.reason, given.version, given.facts
    )
    _emit(state, events, at, scheduled)
    _wake_due(state, events, at)
    return Decided(events)


def _fail(state: RunState, given: i.Fail, at: int) -> Decided:
    task = state.graph.names[given.index]
    if state.tasks[given.index] is not TaskStatus.FAULTED:
        return _refused(f"task {task!r} awaits no decision")
    if state.status is RunStatus.DRAINING:
        return _too_late(state, given.index, at)
    events: list[Recorded] = []
    required = not state.task(given.index).optional
    keep_going = given.keep_going and required
    failed = e.TaskFailed(
        task, given.rule, given.reason, given.version, given.facts, keep_going=keep_going
    )
    _emit(state, events, at, failed)
    if keep_going:
        _skip_downstream(state, events, at, given.index)
    elif required:
        _drain_failed(state, events, at, given.index, given.reason)
    _end_if_done(state, events, at)
    return Decided(events)


def _instead(state: RunState, given: i.Skip | i.FallBack | i.FallBackTo, at: int) -> Decided:
    """Go on without the task's own result."""
    task = state.graph.names[given.index]
    if state.tasks[given.index] is not TaskStatus.FAULTED:
        return _refused(f"task {task!r} awaits no decision")
    if state.status is RunStatus.DRAINING:
        return _too_late(state, given.index, at)
    rule, reason, version, facts = given.rule, given.reason, given.version, given.facts
    event: e.TaskSkipped | e.TaskFellBack | e.TaskFallbackScheduled
    match given:
        case i.Skip():
            event = e.TaskSkipped(task, rule, reason, version, facts)
        case i.FallBack():
            event = e.TaskFellBack(task, given.value, rule, reason, version, facts)
        case i.FallBackTo():
            event = e.TaskFallbackScheduled(task, given.function, rule, reason, version, facts)
    events: list[Recorded] = []
    _emit(state, events, at, event)
    _end_if_done(state, events, at)
    return Decided(events)


def _due(state: RunState, _: i.Due, at: int) -> Decided:
    events: list[Recorded] = []
    _wake_due(state, events, at)
    return Decided(events)


def _too_late(state: RunState, index: int, at: int) -> Decided:
    """Between the fault and the decision about it the run began to drain."""
    events: list[Recorded] = []
    _conclude_draining(state, events, at, index)
    _end_if_done(state, events, at)
    return Decided(events)


# --- commands of people ---------------------------------------------------------------------------


def _pause(state: RunState, given: i.Pause, at: int) -> Decided:
    if state.status is RunStatus.PAUSED:
        return Decided([])
    if state.status is not RunStatus.RUNNING:
        return _refused(_cannot(state, "paused"))
    events: list[Recorded] = []
    _emit(state, events, at, e.RunPaused(given.actor, given.cause))
    return Decided(events)


def _resume(state: RunState, given: i.Resume, at: int) -> Decided:
    if state.status is RunStatus.RUNNING:
        return Decided([])
    if state.status is not RunStatus.PAUSED:
        return _refused(_cannot(state, "resumed"))
    events: list[Recorded] = []
    _emit(state, events, at, e.RunResumed(given.actor))
    _wake_due(state, events, at)
    return Decided(events)


def _cancel(state: RunState, given: i.Cancel, at: int) -> Decided:
    if state.status is RunStatus.CANCELLED:
        return Decided([])
    if state.final:
        return _refused(_cannot(state, "cancelled"))
    events: list[Recorded] = []
    if state.status is not RunStatus.DRAINING:
        cause = given.cause or f"cancelled by {given.actor}"
        _emit(state, events, at, e.RunDraining(RunStatus.CANCELLED, cause, given.actor))
        _close_unstarted(state, events, at)
    stop = tuple((index, attempt.started.attempt) for index, attempt in state.running.items())
    _end_if_done(state, events, at)
    return Decided(events, stop=stop)


def _accept_code(state: RunState, given: i.AcceptCode, at: int) -> Decided:
    if state.status not in (RunStatus.RUNNING, RunStatus.PAUSED):
        return _refused(_cannot(state, "given other code"))
    events: list[Recorded] = []
    accepted = e.CodeAccepted(given.actor, given.definition, given.code, given.tasks)
    _emit(state, events, at, accepted)
    return Decided(events)


# --- consequences ---------------------------------------------------------------------------------


def _wake_due(state: RunState, events: list[Recorded], at: int) -> None:
    """While paused, due timers wait. What was due once stays due, though the clock be set back."""
    if state.status is not RunStatus.RUNNING:
        return
    now = max(at, state.at)
    for index in [index for index, until in state.waiting.items() if until <= now]:
        _emit(state, events, at, e.TaskWoken(state.graph.names[index]))


def _drain_failed(
    state: RunState, events: list[Recorded], at: int, index: int, reason: str
) -> None:
    """A required task has failed: the verdict is fixed, and what never started ends."""
    task = state.graph.names[index]
    cause = f"task {task!r} failed: {reason}"
    _emit(state, events, at, e.RunDraining(RunStatus.FAILED, cause, cause_task=task))
    _close_unstarted(state, events, at)


def _skip_downstream(state: RunState, events: list[Recorded], at: int, failed: int) -> None:
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
            _emit(state, events, at, e.TaskSkipped(name, "upstream", reason, upstream=cause))


def _close_unstarted(state: RunState, events: list[Recorded], at: int) -> None:
    count = state.counts[TaskStatus.PENDING] + state.counts[TaskStatus.WAITING]
    if not count:
        return
    failed = state.verdict is RunStatus.FAILED
    status = TaskStatus.SKIPPED if failed else TaskStatus.CANCELLED
    _emit(state, events, at, e.TasksClosed(status, count, state.cause))


def _end_if_done(state: RunState, events: list[Recorded], at: int) -> None:
    """A final run has only final tasks, so the last of them ends it."""
    if state.unfinished or state.final:
        return
    if state.status is not RunStatus.DRAINING and state.kept_going:
        index = min(state.kept_going)
        _drain_failed(state, events, at, index, state.faults[index].message)
    if state.status is not RunStatus.DRAINING:
        _emit(state, events, at, e.RunSucceeded())
    elif state.verdict is RunStatus.CANCELLED:
        _emit(state, events, at, e.RunCancelled(state.cause))
    else:
        _emit(state, events, at, e.RunFailed(state.cause))


def _ended(state: RunState) -> str:
    return f"run {state.run_id} has ended: {state.status.value if state.status else 'unknown'}"


def _cannot(state: RunState, wish: str) -> str:
    status = state.status.value if state.status else "unknown"
    return f"run {state.run_id} is {status} and cannot be {wish}"


_HANDLERS: dict[type, Callable[[RunState, Any, int], Decided]] = {
    i.Create: _create,
    i.Claim: _claim,
    i.Release: _release,
    i.AttemptBegins: _begin,
    i.Succeeded: _succeeded,
    i.Failed: _failed,
    i.Returned: _returned,
    i.Retry: _retry,
    i.Fail: _fail,
    i.Skip: _instead,
    i.FallBack: _instead,
    i.FallBackTo: _instead,
    i.Due: _due,
    i.Pause: _pause,
    i.Resume: _resume,
    i.Cancel: _cancel,
    i.AcceptCode: _accept_code,
}
