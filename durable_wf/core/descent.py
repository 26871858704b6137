"""Descent: what a new run takes over from the run it is made from, and what it runs again.

Owns: reading results out of a history, in the order in which they came, and the rule which of them
still hold in a new run of the same or a changed definition. All of it is pure.
Must never: look at a payload, or at code; who asks says which results are lost.
Read next: `engine/descending.py`, which makes the new run.

A result is taken over unless its task runs again. What has no result runs again; so does what was
asked for, what is given other values or stands elsewhere in the graph, and what comes after those;
and so does what was taken back, be it after the event as of which the run is looked at, or by
another run that had taken it over: nobody can go on from an effect that is no more.
Of a task that runs again for want of a result (it failed, say, and was optional), only those come
again that were given that result: what merely came after it keeps its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import Enum

import attrs

from durable_wf.core.compensation import SUFFIX
from durable_wf.core.definition import Task, Upstream, Value, Workflow
from durable_wf.core.events import (
    AttemptFailed,
    AttemptReturned,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    Recorded,
    RunCreated,
    TaskCompleted,
    TaskFellBack,
    TaskImported,
)
from durable_wf.core.evolve import evolve
from durable_wf.core.graph import Graph
from durable_wf.core.state import RunState
from durable_wf.core.status import TaskStatus


class Again(Enum):
    """Why a task runs again."""

    UNFINISHED = "it had not ended"
    FAILED = "it had failed"
    SKIPPED = "it had been skipped"
    CANCELLED = "it had been cancelled"
    UNDONE = "its compensation has begun"
    LOST = "its result is lost"
    ASKED = "it was asked for"
    GIVEN = "it is given another value"
    CHANGED = "its place in the workflow has changed"
    NEW = "the workflow did not have it"
    AFTER = "it comes after such a task"


_UNENDED = {
    TaskStatus.FAILED: Again.FAILED,
    TaskStatus.SKIPPED: Again.SKIPPED,
    TaskStatus.CANCELLED: Again.CANCELLED,
}

_TRIED_AGAIN = frozenset({Again.UNFINISHED, *_UNENDED.values()})
"""Why a task runs again that had begun, and may go on from there."""

_ALL_AFTER = frozenset({Again.ASKED, Again.GIVEN, Again.CHANGED, Again.NEW})
"""What comes after tasks that run again for one of these runs again, whether it was given their
results or not."""


@attrs.frozen
class Ancestor:
    """A run of `workflow` as it stood after one of its events. `results` hold what its tasks have
    succeeded with, in the order in which they did; `undone` are those of which a compensation has
    begun, then or later. `details` are the last heartbeats of tasks that have none.
    """

    workflow: Workflow
    state: RunState
    results: Mapping[str, TaskImported]
    undone: frozenset[str]
    details: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def run_id(self) -> str:
        """The run."""
        return self.state.run_id


def ancestor_of(
    run_id: str, workflow: Workflow, history: Iterable[Recorded], upto: int
) -> Ancestor:
    """The run after event `upto`. What follows in its history is asked for compensations alone.
    Raises HistoryError.
    """
    state = RunState.of(run_id, workflow)
    results: dict[str, TaskImported] = {}
    details: dict[str, str] = {}
    taken_back = TakenBack(run_id)
    for recorded in history:
        taken_back.note(recorded.event)
        if recorded.n > upto:
            if not state.undoable:
                break
            continue
        evolve(state, recorded)
        match recorded.event:
            case RunCreated(details=given):
                details.update(given)
            case AttemptStarted(task=task, detail=detail) | AttemptFailed(task=task, detail=detail):
                if detail and _calls_its_own(state, task):
                    details[task] = detail
            case AttemptSucceeded(task=task, value=value):
                results[task] = _imported(run_id, task, value)
            case TaskFellBack(task=task, value=value) | TaskCompleted(task=task, value=value):
                results[task] = _imported(run_id, task, value)
            case TaskImported(task=task):
                results[task] = recorded.event
            case _:
                pass
    index = state.graph.index
    own = {task: result for task, result in results.items() if index[task] < state.forward}
    marked = _marked(state, own)
    unended = {task: detail for task, detail in details.items() if task not in results}
    return Ancestor(workflow, state, marked, taken_back.among(marked), unended)


def _calls_its_own(state: RunState, task: str) -> bool:
    """Whether the attempt is one of the task's own function: another one may count otherwise."""
    past = state.past.get(state.graph.index[task])
    return past is None or not (past.fallback or past.probe)


def _imported(run_id: str, task: str, value: Value) -> TaskImported:
    if isinstance(value, str):
        return TaskImported(task, run_id, value)
    return TaskImported(task, run_id, ref=value)


def _marked(state: RunState, results: dict[str, TaskImported]) -> dict[str, TaskImported]:
    """Results of tasks with a compensation that have no effect of their own to be taken back."""
    undoable, completed = state.undoable, set(state.completed)
    index = state.graph.index
    return {
        task: TaskImported(task, result.origin, result.value, result.ref, fallback=True)
        if index[task] in undoable and index[task] not in completed
        else result
        for task, result in results.items()
    }


class TakenBack:
    """The effects that a run has begun to take back, well or not: nobody knows that they stand.

    An effect is that of a task in the run that did it, which may be another one: what a run has
    taken over it takes back as well.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._origins: dict[str, str] = {}
        self._begun: Counter[str] = Counter()

    def note(self, event: Event) -> None:
        """Take the next event of the run."""
        match event:
            case TaskImported(task=task, origin=origin):
                self._origins[task] = origin
            case AttemptStarted(task=task) | TaskCompleted(task=task) if task.endswith(SUFFIX):
                self._begun[task.removesuffix(SUFFIX)] += 1
            case AttemptReturned(task=task) if task.endswith(SUFFIX):
                self._begun[task.removesuffix(SUFFIX)] -= 1
            case _:
                pass

    def among(self, results: Mapping[str, TaskImported]) -> frozenset[str]:
        """The tasks whose results came of these effects."""
        return frozenset(
            task
            for task, begun in self._begun.items()
            if begun > 0
            and task in results
            and results[task].origin == self._origins.get(task, self._run_id)
        )


@attrs.frozen
class Descent:
    """What a new run of `workflow` begins with: results, in the order in which they came, and the
    tasks that run again, in the order of the definition, each with the reason. `details` are the
    last heartbeats of those that are tried again with all that they were given before.
    """

    workflow: Workflow
    imports: tuple[TaskImported, ...]
    again: Mapping[str, Again]
    details: Mapping[str, str] = attrs.field(factory=dict)


def descend(
    ancestor: Ancestor,
    workflow: Workflow,
    *,
    asked: Collection[str] = (),
    given: Collection[str] = (),
    lost: Collection[str] = (),
) -> Descent:
    """What a run of `workflow` takes over from `ancestor`.

    `asked` are tasks to be run again, `given` those with other values than before, `lost` those
    whose result cannot be read any more.
    """
    graph = Graph(workflow.tasks)
    before = {task.name: task for task in ancestor.workflow.tasks}
    again: dict[int, Again] = {}
    wholly: set[int] = set()
    for index in graph.order:
        task = workflow.tasks[index]
        why = _why(ancestor, before.get(task.name), task, asked, given, lost)
        if why in _ALL_AFTER or not wholly.isdisjoint(graph.upstream[index]):
            wholly.add(index)
        if why is None and (index in wholly or any(graph.index[n] in again for n in _read(task))):
            why = Again.AFTER
        if why is not None:
            again[index] = why
    reasons = {graph.names[index]: again[index] for index in sorted(again)}
    imports = tuple(
        result
        for task, result in ancestor.results.items()
        if task in graph.index and task not in reasons
    )
    details = {
        name: ancestor.details[name]
        for index, why in again.items()
        if (name := graph.names[index]) in ancestor.details
        and why in _TRIED_AGAIN
        and again.keys().isdisjoint(graph.upstream[index])
    }
    return Descent(workflow, imports, reasons, details)


def _why(
    ancestor: Ancestor,
    before: Task | None,
    task: Task,
    asked: Collection[str],
    given: Collection[str],
    lost: Collection[str],
) -> Again | None:
    """Why the task would run again even if nothing else did."""
    name = task.name
    if name in asked:
        return Again.ASKED
    if name in given:
        return Again.GIVEN
    if before is None:
        return Again.NEW
    if _place(task) != _place(before):
        return Again.CHANGED
    if name not in ancestor.results:
        status = ancestor.state.tasks[ancestor.state.graph.index[name]]
        return _UNENDED.get(status, Again.UNFINISHED)
    if name in ancestor.undone:
        return Again.UNDONE
    return Again.LOST if name in lost else None


def _place(task: Task) -> tuple[object, ...]:
    """What a result depends on, beside the code: what the task comes after and is called with."""
    wait = None if task.wait is None else (task.wait.kind, task.wait.name)
    return frozenset(task.upstream), task.args, dict(task.kwargs), wait


def _read(task: Task) -> Iterator[str]:
    """The tasks whose results it is given."""
    for source in (*task.args, *(source for _, source in task.kwargs)):
        if isinstance(source, Upstream):
            yield source.task
