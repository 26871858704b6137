"""What decisions about failures cause.

Owns: the answers to what rules, or the defaults in their place, have decided about a FAULTED task.
Must never: ask a rule.
Read next: `decide_waits.py`, for what becomes of tasks that wait.
"""

from __future__ import annotations

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core import steps
from durable_wf.core.decide_waits import wake_due
from durable_wf.core.events import Recorded
from durable_wf.core.state import RunState
from durable_wf.core.status import TaskStatus
from durable_wf.core.steps import Decided, emit, refused


def _in_vain(state: RunState, given: i.Decision, at: int) -> Decided | None:
    """The answer where there is nothing to decide, or it is too late; None: go on."""
    index = given.index
    if state.tasks[index] is not TaskStatus.FAULTED:
        return refused(f"task {state.graph.names[index]!r} awaits no decision")
    if not steps.is_closing(state, index):
        return None
    events: list[Recorded] = []  # the run began to drain between the fault and the decision
    steps.conclude_draining(state, events, at, index)
    steps.end_if_done(state, events, at)
    return Decided(events)


def retry(state: RunState, given: i.Retry, at: int) -> Decided:
    """Try again later, unless the task's own deadline comes first."""
    if (in_vain := _in_vain(state, given, at)) is not None:
        return in_vain
    task = state.graph.names[given.index]
    events: list[Recorded] = []
    until = at + given.delay_us
    if (deadline := _deadline(state, given.index)) is not None and until >= deadline:
        reason = f"its deadline has passed or comes before the next attempt: {given.reason}"
        late = e.TaskFailed(task, "deadline", reason, facts=(("deadline", deadline),))
        return _give_up(state, events, at, given.index, late)
    scheduled = e.TaskRetryScheduled(
        task, until, given.rule, given.reason, given.version, given.facts
    )
    emit(state, events, at, scheduled)
    wake_due(state, events, at)
    return Decided(events)


def _deadline(state: RunState, index: int) -> int | None:
    """When the task's attempts together have had their time (UTC microseconds)."""
    deadline_s = state.task(index).deadline_s
    if deadline_s is None:
        return None
    return state.past[index].first_started_at + round(deadline_s * 1e6)


def fail(state: RunState, given: i.Fail, at: int) -> Decided:
    """Give the task up."""
    if (in_vain := _in_vain(state, given, at)) is not None:
        return in_vain
    index = given.index
    failed = e.TaskFailed(
        state.graph.names[index], given.rule, given.reason, given.version, given.facts,
        keep_going=given.keep_going and not state.task(index).optional,
        compensate=given.compensate and index in state.undoable,
    )  # fmt: skip
    return _give_up(state, [], at, index, failed)


def _give_up(
    state: RunState, events: list[Recorded], at: int, index: int, failed: e.TaskFailed
) -> Decided:
    """A compensation is not given up without a person having a say: what it should take back is
    still there.
    """
    if index < state.forward:
        steps.fail_task(state, events, at, index, failed)
        return Decided(events)
    question = f"{failed.task} has failed, and what it should take back is still there: what now?"
    escalated = e.TaskEscalated(
        failed.task, question, failed.rule, failed.reason, failed.version, failed.facts
    )
    emit(state, events, at, escalated)
    return Decided(events)


def escalate(state: RunState, given: i.Escalate, at: int) -> Decided:
    """Ask a person."""
    if (in_vain := _in_vain(state, given, at)) is not None:
        return in_vain
    events: list[Recorded] = []
    until = None if given.timeout_us is None else at + given.timeout_us
    escalated = e.TaskEscalated(
        state.graph.names[given.index], given.question, given.rule, given.reason, given.version,
        given.facts, given.whom, until, given.on_timeout,
    )  # fmt: skip
    emit(state, events, at, escalated)
    return Decided(events)


def instead(
    state: RunState, given: i.Skip | i.FallBack | i.FallBackTo | i.ProbeFirst, at: int
) -> Decided:
    """Go on without the task's own function, for good or for the next attempt."""
    if (in_vain := _in_vain(state, given, at)) is not None:
        return in_vain
    task = state.graph.names[given.index]
    rule, reason, version, facts = given.rule, given.reason, given.version, given.facts
    event: e.TaskSkipped | e.TaskFellBack | e.TaskFallbackScheduled | e.TaskProbeScheduled
    match given:
        case i.Skip():
            event = e.TaskSkipped(task, rule, reason, version, facts)
        case i.FallBack():
            event = e.TaskFellBack(task, given.value, rule, reason, version, facts)
        case i.FallBackTo():
            event = e.TaskFallbackScheduled(task, given.function, rule, reason, version, facts)
        case i.ProbeFirst():
            event = e.TaskProbeScheduled(task, given.function, rule, reason, version, facts)
    events: list[Recorded] = []
    emit(state, events, at, event)
    steps.end_if_done(state, events, at)
    return Decided(events)
