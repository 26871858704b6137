"""RunState: what is known of a run after some of its events.

Owns: the one mutable value of the core, with the indexes derived from it (unmet dependencies,
counts, tasks that became ready). It has one holder; `evolve.py` alone changes it.
Must never: be shared between threads, or survive a conflict: it is dropped and replayed.
Read next: `evolve.py`.
"""

from __future__ import annotations

from array import array

import attrs

from durable_wf.core.definition import Task, Value, Workflow
from durable_wf.core.events import AttemptStarted, Fault, OperatorDecided, RunCreated
from durable_wf.core.graph import Graph
from durable_wf.core.hot import hot
from durable_wf.core.past import Past
from durable_wf.core.status import RUN_FINAL, Otherwise, RunStatus, TaskStatus, WaitKind
from durable_wf.core.summary import Counts, Moved, RunRow
from durable_wf.core.text import escaped


@hot
class OpenAttempt:
    """An attempt that was announced and has no outcome yet. `n` numbers its AttemptStarted."""

    started: AttemptStarted
    n: int
    at: int


@attrs.frozen
class Waiting:
    """What a task waits for, beside timers of retries. `since` and `until` are UTC microseconds."""

    what: WaitKind
    since: int
    until: int | None = None
    on_timeout: Otherwise = Otherwise.FAIL
    question: str = ""
    whom: str = ""
    signal: str = ""


# Bound once: reading a member from its enum is a slow call, and these stand on the hot path.
_RUNNING = RunStatus.RUNNING
_DRAINING = RunStatus.DRAINING
_PENDING = TaskStatus.PENDING


@attrs.define(eq=False)
class RunState:
    """State of one run. Tasks are named by their index in `graph`.

    `n` is the number of the last event, `run_n` that of the last one about the run itself and not
    a task of it, `at` the latest time of any (clocks may be set back).
    `unfinished` counts tasks that are not final.
    `ready` collects tasks that became ready since it was last emptied; it may name a task twice or
    one that has started since, so who reads it asks `is_ready`.
    `values` keeps the results that a task downstream will ask for, `faults` the last fault of each
    task that had one, `in_doubt` how often an attempt's fate was unknown, `past` what rules may
    know of tasks that had faults, `skipped` why a task was skipped by decision. `retries` counts
    the retries of the run that were spent on faults of its tasks' own. `kept_going` holds failed
    tasks that do not end the run before its other tasks have ended.
    `waiting` has the timers of tasks that wait, `waits` what else they wait for, `answered` what a
    person has said and nobody has concluded from yet, `signals` values that no task has taken.
    `waiters` are the tasks that wait in place of calling a function, `undoable` those with a
    compensation, `completed` such of them as have succeeded, in that order. Tasks from index
    `forward` on are compensations. `given_details` has the last heartbeat that an attempt was
    given, or that the first one is to be, of tasks that have not ended. `crashes` counts engines in
    a row that died while the run had open attempts and got nothing done. `deadline_at` is when the
    run fails if it has not ended, None once that does not matter any more.
    """

    run_id: str
    graph: Graph
    workflow: Workflow
    tasks: list[TaskStatus]
    unmet: array[int]
    attempts: array[int]
    counts: dict[TaskStatus, int]
    unfinished: int
    status: RunStatus | None = None
    n: int = 0
    run_n: int = 0
    at: int = 0
    ready: list[int] = attrs.field(factory=list)
    running: dict[int, OpenAttempt] = attrs.field(factory=dict)
    waiting: dict[int, int] = attrs.field(factory=dict)
    faulted: set[int] = attrs.field(factory=set)
    faults: dict[int, Fault] = attrs.field(factory=dict)
    values: dict[int, Value] = attrs.field(factory=dict)
    in_doubt: dict[int, int] = attrs.field(factory=dict)
    past: dict[int, Past] = attrs.field(factory=dict)
    skipped: dict[int, str] = attrs.field(factory=dict)
    kept_going: set[int] = attrs.field(factory=set)
    retries: int = 0
    waits: dict[int, Waiting] = attrs.field(factory=dict)
    answered: dict[int, OperatorDecided] = attrs.field(factory=dict)
    signals: dict[str, list[str]] = attrs.field(factory=dict)
    waiters: frozenset[int] = frozenset()
    undoable: frozenset[int] = frozenset()
    completed: list[int] = attrs.field(factory=list)
    forward: int = 0
    compensates: bool = False
    crashes: int = 0
    given_details: dict[int, str] = attrs.field(factory=dict)
    created: RunCreated | None = None
    created_at: int = 0
    started_at: int | None = None
    ended_at: int | None = None
    deadline_at: int | None = None
    engine: str = ""
    verdict: RunStatus | None = None
    cause: str = ""
    cause_task: str = ""
    definition: str = ""
    code: str = ""

    @classmethod
    def of(cls, run_id: str, workflow: Workflow, graph: Graph | None = None) -> RunState:
        """The state before the first event."""
        graph = Graph(workflow.tasks) if graph is None else graph
        size = len(graph)
        counts = dict.fromkeys(TaskStatus, 0)
        counts[TaskStatus.PENDING] = size
        return cls(
            run_id=run_id,
            graph=graph,
            workflow=workflow,
            tasks=[TaskStatus.PENDING] * size,
            unmet=array("i", graph.unmet),
            attempts=array("i", bytes(4 * size)),
            counts=counts,
            unfinished=size,
            waiters=frozenset([i for i, t in enumerate(workflow.tasks) if t.wait is not None]),
            undoable=frozenset([i for i, t in enumerate(workflow.tasks) if t.undo is not None]),
            forward=size,
        )

    @property
    def final(self) -> bool:
        """Whether the run has ended."""
        return self.status in RUN_FINAL

    def task(self, index: int) -> Task:
        """The definition of a task."""
        return self.workflow.tasks[index]

    @property
    def compensating(self) -> bool:
        """Whether the run takes back what it did."""
        return len(self.tasks) > self.forward

    def is_ready(self, index: int) -> bool:
        """Whether the task may start: the run runs (or drains, for a compensation), the task is
        pending and all its upstreams have ended.
        """
        if self.status is not _RUNNING and (self.status is not _DRAINING or index < self.forward):
            return False
        return self.tasks[index] is _PENDING and self.unmet[index] == 0

    def failed_required(self) -> int | None:
        """The first task whose failure ends the run at once: it is not optional, and nobody said
        to keep going. O(tasks) if any has failed.
        """
        if not self.counts[TaskStatus.FAILED]:
            return None
        failed = (i for i, status in enumerate(self.tasks) if status is TaskStatus.FAILED)
        return next(
            (i for i in failed if not self.task(i).optional and i not in self.kept_going), None
        )

    def required_failure(self) -> int | None:
        """A failed task over which the run cannot succeed, though it may go on for now."""
        return min(self.kept_going) if self.kept_going else self.failed_required()

    def all_ready(self) -> list[int]:
        """Every task that may start now. O(tasks): for claims and resumes, not for each event."""
        if self.status is _DRAINING:
            return [i for i in range(self.forward, len(self.tasks)) if self.is_ready(i)]
        if self.status is not _RUNNING:
            return []
        tasks = self.tasks
        return [i for i, unmet in enumerate(self.unmet) if unmet == 0 and tasks[i] is _PENDING]

    @property
    def wake_at(self) -> int | None:
        """When its next timer is due (UTC microseconds), the run's deadline among them."""
        if not self.waiting:
            return self.deadline_at
        first = min(self.waiting.values())
        return first if self.deadline_at is None else min(first, self.deadline_at)


def row_of(state: RunState) -> RunRow:
    """The read model of a run, from its state alone."""
    created = state.created
    if state.status is None or created is None:
        raise ValueError(f"run {state.run_id} has no events")
    n, *counts, wake_at = moved_of(state)
    return RunRow(
        run_id=state.run_id,
        workflow=created.workflow,
        status=state.status,
        n=n,
        total=len(state.tasks),
        counts=Counts(*counts),
        created_at=state.created_at,
        started_at=state.started_at,
        ended_at=state.ended_at,
        wake_at=wake_at,
        engine=state.engine,
        cause=escaped(state.cause),  # as its event has it
        definition=state.definition,
        structure=created.structure,
        inputs=created.inputs,
        code=state.code,
        tags=created.tags,
        origin=created.origin,
        origin_n=created.origin_n,
        root=created.root,
    )


def moved_of(state: RunState) -> Moved:
    """The part of the read model that events of tasks change."""
    # One after the other, in the order of TaskStatus.
    pending, running, faulted, waiting, succeeded, failed, skipped, cancelled = (
        state.counts.values()
    )
    return Moved(
        state.n, pending, running + faulted, waiting, succeeded, failed, skipped, cancelled,
        state.wake_at if state.engine else _due_at(state),
    )  # fmt: skip


def _due_at(state: RunState) -> int | None:
    """When a run that nobody owns could go on: at once where tasks could start. O(tasks)."""
    return state.at if state.all_ready() else state.wake_at


def row_since(state: RunState, n: int) -> RunRow | Moved:
    """What of the read model a writer has to write that wrote it as of event `n`."""
    return row_of(state) if state.run_n > n else moved_of(state)
