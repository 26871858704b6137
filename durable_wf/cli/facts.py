"""A run as it is shown: a fold of its events, and whether its engine lives.

Owns: TaskFacts and RunFacts, what `show`, `logs`, `watch` and `graph` tell about a run. States
follow the tables of the core; times, faults and output come straight from the events.
Must never: read a store or a clock, or say that something runs whose engine is dead.
Read next: `documents.py` (their JSON).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

import attrs

from durable_wf.cli.asked import what_words
from durable_wf.cli.states import (
    INTERRUPTED,
    WAITING,
    RunShown,
    TaskShown,
    shown_run,
    shown_task,
)
from durable_wf.core import events as e
from durable_wf.core.awaited import RETRY, Awaited
from durable_wf.core.circuit import Circuit
from durable_wf.core.compensation import Added
from durable_wf.core.definition import WaitFor
from durable_wf.core.status import FaultKind, RunStatus, TaskStatus, WaitKind
from durable_wf.core.summary import Counts, RunRow
from durable_wf.core.tables import CLOSES, TASK
from durable_wf.core.wording import count_of
from durable_wf.errors import HistoryError

_NO_WAITS: Mapping[str, WaitFor] = {}
_NAMED = 3


@attrs.frozen
class Output:
    """Captured output of one attempt."""

    attempt: int
    at: int
    ref: e.OutputRef


@attrs.frozen
class Running:
    """The attempt that runs, or ran when its engine died: where, and its AttemptStarted."""

    worker: str
    n: int


@attrs.frozen
class Kept:
    """The file below `output/` with what an attempt returned that could not be stored."""

    attempt: int
    file: str


@attrs.frozen
class Beaten:
    """The last heartbeat of a task that has not ended: of which attempt, when, and its detail."""

    attempt: int
    at: int
    detail: str


@attrs.define
class TaskFacts:
    """One task of a run. `attempts` counts those that began or may have; times are UTC
    microseconds; `status` is what is recorded. `origin` is the run whose result it has taken over.
    `held` is the circuit breaker that lets it not start; it is not `guarded` while its next attempt
    calls another function than its own.
    """

    status: TaskStatus = TaskStatus.PENDING
    attempts: int = 0
    started_at: int | None = None
    ended_at: int | None = None
    wall_us: int = 0
    running: Running | None = None
    fault: e.Fault | None = None
    reason: str = ""
    origin: str = ""
    outputs: list[Output] = attrs.field(factory=list)
    kept: Kept | None = None
    awaited: Awaited | None = None
    beaten: Beaten | None = None
    guarded: bool = True
    held: Circuit | None = None


@attrs.frozen
class RunFacts:
    """One run. `alive`: whether the engine that owns it runs. `added` are its compensations, and
    what they take back. `doubtful` are tasks that must not run twice and may have had their effect,
    of a run that has ended.
    """

    row: RunRow
    alive: bool
    created: e.RunCreated
    tasks: dict[str, TaskFacts]
    paused: e.RunPaused | None = None
    released: e.RunReleased | None = None
    added: Added = ()
    doubtful: tuple[str, ...] = ()

    @property
    def shown(self) -> RunShown:
        """What to call the run."""
        return shown_run(self.row, alive=self.alive)

    @property
    def awaited(self) -> list[Awaited]:
        """What its tasks wait for."""
        return [task.awaited for task in self.tasks.values() if task.awaited is not None]

    def task_shown(self, task: TaskFacts) -> TaskShown:
        """What to call one of its tasks."""
        return shown_task(task.status, alive=self.alive)


class Story:
    """The events of a run, folded as they come. `names` are its tasks, in their order, `waits` what
    some of them wait for in place of calling a function.
    """

    def __init__(self, names: Iterable[str], waits: Mapping[str, WaitFor] = _NO_WAITS) -> None:
        self.n = 0
        self._waits = waits
        self._tasks = {name: TaskFacts() for name in names}
        self._created: e.RunCreated | None = None
        self._paused: e.RunPaused | None = None
        self._released: e.RunReleased | None = None
        self._added: Added = ()

    def take(self, recorded: e.Recorded) -> None:
        """The next event."""
        self.n = recorded.n
        event = recorded.event
        match event:
            case e.RunCreated():
                self._created = event
            case e.RunPaused():
                self._paused = event
            case e.RunResumed():
                self._paused = None
            case e.RunReleased():
                self._released = event
            case e.RunClaimed():
                self._released = None
            case e.TasksAdded():
                self._added = event.tasks
                self._tasks.update((name, TaskFacts()) for name, _ in event.tasks)
            case e.TasksClosed():
                _close(self._tasks.values(), event, recorded.at)
            case _:
                _take(self._tasks, event, recorded)
                if isinstance(event, _BEGIN_TO_WAIT):
                    task = self._tasks[event.task]
                    task.awaited = _awaited(event, recorded.at, task, self._waits)

    def facts(self, row: RunRow, *, alive: bool) -> RunFacts:
        """What is known so far. `row` is the read model after the same events."""
        if self._created is None:
            raise HistoryError(f"run {row.run_id}: its history does not begin with RunCreated")
        return RunFacts(
            row, alive, self._created, self._tasks, self._paused, self._released, self._added
        )


def fold(
    row: RunRow,
    names: Iterable[str],
    history: Iterable[e.Recorded],
    *,
    alive: bool,
    waits: Mapping[str, WaitFor] = _NO_WAITS,
) -> RunFacts:
    """The facts of a run from its events, up to the last one that `row` has seen."""
    story = Story(names, waits)
    for recorded in history:
        if recorded.n > row.n:
            break
        story.take(recorded)
    return story.facts(row, alive=alive)


def _close(tasks: Iterable[TaskFacts], event: e.TasksClosed, at: int) -> None:
    for task in tasks:
        if task.status in CLOSES:
            task.status = event.status
            task.ended_at = at
            task.reason = event.reason
            task.awaited = None


_BEGIN_TO_WAIT = (e.TaskWaiting, e.TaskEscalated, e.TaskRetryScheduled)


def _awaited(
    event: e.TaskWaiting | e.TaskEscalated | e.TaskRetryScheduled,
    at: int,
    task: TaskFacts,
    waits: Mapping[str, WaitFor],
) -> Awaited:
    """What a task waits for from this event on."""
    name, attempt = event.task, task.attempts
    match event:
        case e.TaskRetryScheduled():
            return Awaited(name, RETRY, at, event.until, attempt=attempt)
        case e.TaskEscalated():
            then = event.on_timeout.value if event.until is not None else ""
            return Awaited(
                name, WaitKind.OPERATOR.value, at, event.until, then, event.question, event.whom,
                attempt=attempt,
            )  # fmt: skip
        case e.TaskWaiting():
            wait = waits.get(name, WaitFor(event.what))
            ends = event.until is not None and event.what is not WaitKind.SLEEP
            return Awaited(
                name, event.what.value, at, event.until, wait.on_timeout.value if ends else "",
                wait.question, wait.whom, wait.name, attempt,
            )  # fmt: skip
        case _:
            assert_never(event)


def _take(tasks: dict[str, TaskFacts], event: e.Event, recorded: e.Recorded) -> None:
    """Apply one event of a task; other events change nothing here."""
    name = getattr(event, "task", None)
    if name is None:
        return
    at = recorded.at
    task = tasks.get(name)
    after = None if task is None else TASK[task.status].get(type(event))
    if task is None or after is None:
        what = "the definition does not have" if task is None else "cannot have that happen now"
        raise HistoryError(
            f"event {recorded.n}, {type(event).__name__}, is of task {name!r:.80}, which {what}",
            hint="dwf db check",
        )
    task.status = after
    if after is not TaskStatus.WAITING:
        task.awaited = None
    match event:
        case e.AttemptStarted():
            task.attempts = event.attempt
            task.running = Running(event.worker, recorded.n)
            task.started_at = at
            task.ended_at = None
        case e.AttemptReturned():
            task.attempts -= 1
            task.started_at = None
            task.running = None
        case e.AttemptSucceeded() | e.AttemptFailed():
            task.started_at = event.began_at or task.started_at
            task.ended_at = at
            task.wall_us = event.wall_us
            task.running = None
            task.fault = event.fault if isinstance(event, e.AttemptFailed) else None
            if isinstance(event, e.AttemptFailed) and event.kept:
                task.kept = Kept(event.attempt, event.kept)
            if event.output is not None:
                task.outputs.append(Output(event.attempt, at, event.output))
        case e.TaskFallbackScheduled() | e.TaskProbeScheduled():
            task.guarded = False
        case e.AttemptDisproved():
            task.ended_at = at
            task.running = None
            task.guarded = True
        case e.AttemptRefused():
            task.fault = e.Fault(FaultKind.BREAKER, f"breaker {event.breaker!r} is open")
        case e.TaskFailed() | e.TaskSkipped() | e.TaskCancelled():
            task.ended_at = at
            task.reason = event.reason
        case e.TaskFellBack():
            task.ended_at = at
            task.fault = None
        case e.TaskCompleted():
            task.ended_at = at
            task.fault = None
            task.reason = event.reason
        case e.TaskImported():
            task.ended_at = at
            task.origin = event.origin
            task.reason = f"taken over from {event.origin}"
        case _:
            pass


def counted(counts: Counts, *, alive: bool) -> dict[TaskShown, int]:
    """Tasks by the state that is shown, in a fixed order, zeros included."""
    return {
        TaskStatus.PENDING: counts.pending,
        TaskStatus.RUNNING: counts.running if alive else 0,
        TaskStatus.WAITING: counts.waiting,
        TaskStatus.SUCCEEDED: counts.succeeded,
        TaskStatus.FAILED: counts.failed,
        TaskStatus.SKIPPED: counts.skipped,
        TaskStatus.CANCELLED: counts.cancelled,
        INTERRUPTED: 0 if alive else counts.running,
    }


def taken_back(facts: RunFacts) -> str:
    """What of its effects the run has taken back, or "" when nothing is to be taken back."""
    if not facts.added:
        return ""
    states = [(of, facts.task_shown(facts.tasks[name])) for name, of in facts.added]
    left = [f"{of} ({state.value})" for of, state in states if state is not TaskStatus.SUCCEEDED]
    done = len(states) - len(left)
    text = f"{done} of {count_of(len(states), 'task')}"
    return f"{text}; not {', '.join(left[:_FEW])}{', ...' * (len(left) > _FEW)}" if left else text


_FEW = 5


def why(facts: RunFacts) -> str:
    """One sentence on how the run came into its state, or ""."""
    row = facts.row
    if facts.shown is WAITING:
        waits = [f"{one.task} for {what_words(one)}" for one in facts.awaited]
        more = f" and {len(waits) - _NAMED} more" if len(waits) > _NAMED else ""
        return ", ".join(waits[:_NAMED]) + more
    if facts.shown is INTERRUPTED:
        if row.imported:
            return "a copy of an unfinished run; it can be looked at, not resumed"
        if facts.released is not None:
            return f"its engine let go of it ({facts.released.why})"
        return "its engine is not running any more; finished tasks are safe"
    if facts.paused is not None and row.status is RunStatus.PAUSED:
        cause = f": {facts.paused.cause}" if facts.paused.cause else ""
        return f"by {facts.paused.actor}{cause}"
    return row.cause
