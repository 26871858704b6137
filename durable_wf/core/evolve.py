"""evolve: how one event changes the state of its run. Live and on replay it is this same code.

Owns: the one door to a RunState, and what events of the run as a whole change.
Must never: decide. An event that the tables do not allow is a HistoryError, whoever made it.
Read next: `effects.py`, for what events of tasks change; `decide.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from durable_wf.core import events as e
from durable_wf.core.compensation import compensations
from durable_wf.core.effects import EFFECTS, Effect, illegal
from durable_wf.core.events import Recorded
from durable_wf.core.graph import Graph
from durable_wf.core.state import RunState
from durable_wf.core.status import RUN_FINAL, RunStatus, TaskStatus
from durable_wf.core.tables import ADMITS, CLOSED_AS, CLOSES, COMPENSATES, RUN, TASK
from durable_wf.core.wording import count_of, has


def evolve(state: RunState, recorded: Recorded) -> None:
    """Change `state` by one event. Raises HistoryError if the tables do not allow it.

    After an error the state is worth nothing and must be dropped.
    """
    n, event = recorded.n, recorded.event
    if n != state.n + 1:
        raise illegal(state, recorded, f"number {state.n + 1} should come next")
    rule = _TASK_RULES.get(type(event))
    if rule is None:
        _evolve_run(state, recorded)
    else:
        _evolve_task(state, recorded, event, rule)
    state.n = n
    if recorded.at > state.at:  # noqa: PLR1730 - max() is a call, made for each event
        state.at = recorded.at


def replay(state: RunState, history: Iterable[Recorded]) -> RunState:
    """Apply a history, in order, and return the same state."""
    for recorded in history:
        evolve(state, recorded)
    return state


def _name(status: RunStatus | None) -> str:
    return status.value if status else "not there yet"


# --- tasks --------------------------------------------------------------------------------------


_Rule = tuple[frozenset[RunStatus], Mapping[TaskStatus, TaskStatus], Effect]
"""What one event kind needs: the run states that admit it, its steps, what it does besides."""

_TASK_RULES: dict[type, _Rule] = {
    kind: (ADMITS[kind], {old: row[kind] for old, row in TASK.items() if kind in row}, effect)
    for kind, effect in EFFECTS.items()
}
"""TASK and ADMITS turned around, event first."""


def _evolve_task(state: RunState, recorded: Recorded, event: Any, rule: _Rule) -> None:
    admits, steps, effect = rule
    index = state.graph.index.get(event.task)
    if index is None:
        raise illegal(state, recorded, "the definition has no such task")
    if state.status not in admits and not _compensates(state, index, event):
        raise illegal(state, recorded, f"the run is {_name(state.status)}")
    old = state.tasks[index]
    after = steps.get(old)
    if after is None:
        raise illegal(state, recorded, f"the task is {old.value}")
    state.tasks[index] = after
    counts = state.counts
    counts[old] -= 1
    counts[after] += 1
    effect(state, index, event, recorded)


def _compensates(state: RunState, index: int, event: e.TaskEvent) -> bool:
    """Whether the event belongs to a compensation, for which a draining run admits more."""
    return (
        index >= state.forward and state.status is RunStatus.DRAINING and type(event) in COMPENSATES
    )


# --- the run ------------------------------------------------------------------------------------

_VERDICTS = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})


def _evolve_run(state: RunState, recorded: Recorded) -> None:
    event = recorded.event
    after = RUN[state.status].get(type(event))
    if after is None:
        raise illegal(state, recorded, f"the run is {_name(state.status)}")
    if after in RUN_FINAL and (left := state.unfinished):
        raise illegal(state, recorded, f"{count_of(left, 'task')} {has(left)} not ended")
    state.status = after
    state.run_n = recorded.n
    if after is RunStatus.DRAINING or after in RUN_FINAL:
        state.deadline_at = None
    if after in RUN_FINAL:
        state.ended_at = recorded.at
        state.engine = ""
    match event:
        case e.RunCreated():
            _created(state, event, recorded)
        case e.RunClaimed():
            if state.engine and state.running:  # its engine died without a word
                state.crashes += 1
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
            state.crashes = 0
            state.ready = state.all_ready()
        case e.CodeAccepted():
            state.definition = event.definition
            state.code = event.code
        case e.RunDraining():
            if event.verdict not in _VERDICTS:
                raise illegal(state, recorded, f"{event.verdict.value} is no verdict")
            state.verdict = event.verdict
            state.cause = event.cause
            state.cause_task = event.cause_task
            state.compensates = event.compensate
        case e.SignalReceived():
            state.signals.setdefault(event.name, []).append(event.value)
        case e.TasksAdded():
            _add_tasks(state, event, recorded)
        case e.TasksClosed():
            _close_tasks(state, event, recorded)
        case e.RunSucceeded() if (failed := state.required_failure()) is not None:
            raise illegal(state, recorded, f"task {state.graph.names[failed]!r} has failed")
        case e.RunSucceeded():
            state.cause = ""  # it may have been paused
        case e.RunFailed() | e.RunCancelled() if after is not state.verdict:
            raise illegal(state, recorded, f"the verdict is {_name(state.verdict)}")
        case _:
            pass  # the table has said it all


def _created(state: RunState, event: e.RunCreated, recorded: Recorded) -> None:
    if event.total != len(state.graph):
        raise illegal(state, recorded, f"its definition has {count_of(len(state.graph), 'task')}")
    state.created = event
    state.created_at = recorded.at
    state.deadline_at = event.deadline_at
    state.definition = event.definition
    state.code = event.code
    for task, detail in event.details:
        if task not in state.graph.index:
            raise illegal(state, recorded, f"its definition has no task {task!r}")
        state.given_details[state.graph.index[task]] = detail


def _close_tasks(state: RunState, event: e.TasksClosed, recorded: Recorded) -> None:
    if event.status not in CLOSED_AS:
        raise illegal(state, recorded, f"tasks cannot be closed as {event.status.value}")
    forward = state.tasks[: state.forward] if state.compensating else state.tasks
    closed = [i for i, status in enumerate(forward) if status in CLOSES]
    if len(closed) != event.count:
        can = count_of(len(closed), "task")
        raise illegal(state, recorded, f"{can} can be closed, not {event.count}")
    for index in closed:
        state.counts[state.tasks[index]] -= 1
        state.tasks[index] = event.status
    state.counts[event.status] += len(closed)
    state.unfinished -= len(closed)
    state.waiting.clear()
    state.waits.clear()
    state.answered.clear()
    state.ready.clear()


def _add_tasks(state: RunState, event: e.TasksAdded, recorded: Recorded) -> None:
    """The run goes on with more tasks than its definition has."""
    if state.compensating:
        raise illegal(state, recorded, "its compensations are there already")
    try:
        added = compensations(lambda of: state.task(state.graph.index[of]), event.tasks)
    except (KeyError, ValueError) as error:
        raise illegal(state, recorded, f"nothing has to be taken back for {error}") from error
    state.workflow = attrs.evolve(state.workflow, tasks=(*state.workflow.tasks, *added))
    state.graph = Graph(state.workflow.tasks)
    for index in range(state.forward, len(state.graph)):
        # What a compensation follows is final but for the compensation before it.
        state.unmet.append(int(index > state.forward))
        state.tasks.append(TaskStatus.PENDING)
        state.attempts.append(0)
    state.counts[TaskStatus.PENDING] += len(added)
    state.unfinished += len(added)
    state.ready = [state.forward]
