"""What the life of a run as a whole causes: birth, ownership, commands of people.

Owns: the answers to Create, Claim, Release and the commands about a run.
Must never: resume a paused run by itself.
Read next: `decide_waits.py`, for commands about tasks that wait.
"""

from __future__ import annotations

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core import steps
from durable_wf.core.decide_waits import conclude_answer, fail_late, reach, take_signals, wake_due
from durable_wf.core.events import Recorded
from durable_wf.core.judge import in_a_row
from durable_wf.core.state import RunState
from durable_wf.core.status import RunStatus
from durable_wf.core.steps import Decided, emit, refused
from durable_wf.core.wording import stands


def create(state: RunState, given: i.Create, at: int) -> Decided:
    """A run comes into being, with what it takes over from another one."""
    events: list[Recorded] = []
    emit(state, events, at, given.created)
    emit(state, events, at, e.RunClaimed(given.engine, "create"))
    emit(state, events, at, e.RunStarted())
    for imported in given.imports:
        emit(state, events, at, imported)
    steps.end_if_done(state, events, at)
    return Decided(events)


def claim(state: RunState, given: i.Claim, at: int) -> Decided:
    """An engine takes the run, and carries out what another has left undone."""
    if state.final:
        return refused(_ended(state))
    events: list[Recorded] = []
    emit(state, events, at, e.RunClaimed(given.engine, given.why))
    if state.status is RunStatus.PENDING:
        emit(state, events, at, e.RunStarted())
    if 0 < given.crash_limit <= state.crashes and state.status is RunStatus.RUNNING:
        open_tasks = ", ".join(state.graph.names[index] for index in sorted(state.running)[:3])
        cause = f"crash loop: {in_a_row(state.crashes)}"
        cause += f" (last: {open_tasks})" * bool(open_tasks)
        emit(state, events, at, e.RunPaused("recovery", cause))
    stop = fail_late(state, events, at)
    return Decided(events, judge=_take_up(state, events, at), stop=stop)


def _take_up(state: RunState, events: list[Recorded], at: int) -> tuple[int, ...]:
    """Carry out what is due and was not carried out, since the history may end anywhere."""
    for index in sorted(state.answered):
        if index in state.answered:
            conclude_answer(state, events, at, index)
    take_signals(state, events, at)
    wake_due(state, events, at)
    if state.final:
        return ()
    if state.status is RunStatus.DRAINING:
        for index in sorted(state.faulted):
            if steps.is_closing(state, index):
                steps.conclude_draining(state, events, at, index)
        steps.close_unstarted(state, events, at)
    elif (failed := state.failed_required()) is not None:
        steps.drain_failed(state, events, at, failed, state.faults[failed].message)
    else:
        for index in sorted(state.kept_going):
            steps.skip_downstream(state, events, at, index)
        reach(state, events, at, sorted(state.waiters))
    steps.end_if_done(state, events, at)
    return tuple(sorted(state.faulted))


def release(state: RunState, given: i.Release, at: int) -> Decided:
    """The engine lets go of the run."""
    if state.final:
        return refused(_ended(state))
    events: list[Recorded] = []
    emit(state, events, at, e.RunReleased(given.engine, given.why))
    return Decided(events)


# --- commands of people ---------------------------------------------------------------------------


def pause(state: RunState, given: i.Pause, at: int) -> Decided:
    """Nothing starts any more."""
    if state.status is RunStatus.PAUSED:
        return Decided([])
    if state.status is not RunStatus.RUNNING:
        return refused(_cannot(state, "paused"))
    events: list[Recorded] = []
    emit(state, events, at, e.RunPaused(given.actor, given.cause))
    return Decided(events)


def resume(state: RunState, given: i.Resume, at: int) -> Decided:
    """Tasks may start again."""
    if state.status is RunStatus.RUNNING:
        return Decided([])
    if state.status is not RunStatus.PAUSED:
        return refused(_cannot(state, "resumed"))
    events: list[Recorded] = []
    emit(state, events, at, e.RunResumed(given.actor))
    stop = fail_late(state, events, at)
    wake_due(state, events, at)
    return Decided(events, stop=stop)


def cancel(state: RunState, given: i.Cancel, at: int) -> Decided:
    """The run drains; what runs is stopped, what has succeeded is taken back where it can be. In
    one that drains already, what runs is stopped, and nothing else changes.
    """
    if state.status is RunStatus.CANCELLED:
        return Decided([])
    if state.final:
        return refused(_cannot(state, "cancelled"))
    if state.compensating:
        return refused(
            f"run {state.run_id} takes back what it did and cannot be cancelled; "
            "answer what waits for somebody instead"
        )
    if state.compensates and not given.compensate:
        verdict = state.verdict.value if state.verdict else "unknown"
        return refused(
            f"run {state.run_id} drains already, as {verdict}, and is to take back what it did; "
            "that it should not comes too late"
        )
    events: list[Recorded] = []
    if state.status is not RunStatus.DRAINING:
        cause = given.cause or f"cancelled by {given.actor}"
        steps.drain(
            state, events, at, RunStatus.CANCELLED, cause,
            actor=given.actor, compensate=given.compensate,
        )  # fmt: skip
    stop = tuple((index, attempt.started.attempt) for index, attempt in state.running.items())
    steps.end_if_done(state, events, at)
    return Decided(events, stop=stop)


def accept_code(state: RunState, given: i.AcceptCode, at: int) -> Decided:
    """The run goes on with other code, be it that of what takes back what it did."""
    if state.status not in (RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.DRAINING):
        return refused(_cannot(state, "given other code"))
    events: list[Recorded] = []
    accepted = e.CodeAccepted(given.actor, given.definition, given.code, given.tasks)
    emit(state, events, at, accepted)
    return Decided(events)


def _ended(state: RunState) -> str:
    return f"run {state.run_id} has ended: {state.status.value if state.status else 'unknown'}"


def _cannot(state: RunState, wish: str) -> str:
    status = state.status.value if state.status else "unknown"
    return f"run {state.run_id} {stands(status)} and cannot be {wish}"
