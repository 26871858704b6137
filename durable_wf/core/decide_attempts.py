"""What attempts cause: they begin, and executors report how they ended.

Owns: the answers to AttemptBegins, Refuse and the reports.
Must never: decide what becomes of a failure; the rules are asked, and their answer is an input.
Read next: `decide_faults.py`.
"""

from __future__ import annotations

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core import steps
from durable_wf.core.events import Recorded
from durable_wf.core.state import RunState
from durable_wf.core.status import RunStatus, TaskStatus
from durable_wf.core.steps import Decided, emit, refused
from durable_wf.core.values import NOT_DONE

# Bound once: reading a member from its enum is a slow call, and this stands on the hot path.
_OPEN = TaskStatus.RUNNING


def begin(state: RunState, given: i.AttemptBegins, at: int) -> Decided:
    """An attempt is announced."""
    index = given.index
    if not state.is_ready(index):
        return refused(f"task {state.graph.names[index]!r} may not start")
    events: list[Recorded] = []
    started = e.AttemptStarted(
        state.graph.names[index],
        state.attempts[index] + 1,
        given.worker,
        given.pid,
        given.born,
        given.detail,
    )
    emit(state, events, at, started)
    return Decided(events)


def refuse(state: RunState, given: i.Refuse, at: int) -> Decided:
    """Its breaker lets a task not begin: rules decide what becomes of it."""
    index = given.index
    name = state.graph.names[index]
    if not state.is_ready(index):
        return refused(f"task {name!r} may not start")
    events: list[Recorded] = []
    emit(state, events, at, e.AttemptRefused(name, given.breaker, given.until, given.facts))
    return Decided(events, judge=(index,))


def is_stale(state: RunState, index: int, attempt: int) -> bool:
    """Whether a report is about an attempt that is not the open one: the fence against ghosts."""
    return state.tasks[index] is not _OPEN or state.attempts[index] != attempt


def succeeded(state: RunState, given: i.Succeeded, at: int) -> Decided:
    """An attempt returned."""
    index = given.index
    if is_stale(state, index, given.attempt):
        return refused("stale report")
    events: list[Recorded] = []
    if state.past and _is_disproof(state, given):
        emit(state, events, at, e.AttemptDisproved(state.graph.names[index], given.attempt))
        return _pending_again(state, events, at)
    emit(
        state,
        events,
        at,
        e.AttemptSucceeded(
            state.graph.names[index],
            given.attempt,
            given.value,
            given.began_at,
            given.wall_us,
            given.cpu_us,
            given.rss_kib,
            given.output,
        ),
    )
    if not state.unfinished:
        steps.end_if_done(state, events, at)
    return Decided(events)


def _is_disproof(state: RunState, given: i.Succeeded) -> bool:
    """Whether the attempt was a probe that found the one in doubt to have had no effect."""
    past = state.past.get(given.index)
    return past is not None and bool(past.probe) and given.value == NOT_DONE


def failed(state: RunState, given: i.Failed, at: int) -> Decided:
    """An attempt failed; somebody has to decide, unless the run drains."""
    index = given.index
    if is_stale(state, index, given.attempt):
        return refused("stale report")
    events: list[Recorded] = []
    event = e.AttemptFailed(
        task=state.graph.names[index],
        attempt=given.attempt,
        fault=given.fault,
        began_at=given.began_at,
        wall_us=given.wall_us,
        cpu_us=given.cpu_us,
        rss_kib=given.rss_kib,
        output=given.output,
        kept=given.kept,
        detail=given.detail,
    )
    emit(state, events, at, event)
    if not steps.is_closing(state, index):
        return Decided(events, judge=(index,))
    steps.conclude_draining(state, events, at, index)
    steps.end_if_done(state, events, at)
    return Decided(events)


def returned(state: RunState, given: i.Returned, at: int) -> Decided:
    """An announced attempt never began."""
    index = given.index
    if is_stale(state, index, given.attempt):
        return refused("stale report")
    events: list[Recorded] = []
    emit(state, events, at, e.AttemptReturned(state.graph.names[index], given.attempt))
    return _pending_again(state, events, at)


def _pending_again(state: RunState, events: list[Recorded], at: int) -> Decided:
    """The task is pending; where the run drains, that is its end."""
    if state.status is RunStatus.DRAINING:
        steps.close_unstarted(state, events, at)
        steps.end_if_done(state, events, at)
    return Decided(events)
