"""RunResult and RunHandle: what callers hold of a run.

Owns: reading results back in the caller's thread, on access, from a read-only view of the log;
waiting for a run that another thread drives.
Must never: touch the engine's own connection or state.
Read next: `facade.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

import attrs

from durable_wf.core import events as e
from durable_wf.core.awaited import Awaited
from durable_wf.core.codec import decode
from durable_wf.core.compensation import SUFFIX
from durable_wf.core.definition import Value, Workflow
from durable_wf.core.events import Fault, Recorded
from durable_wf.core.resolver import nearest
from durable_wf.core.status import RunStatus, TaskStatus
from durable_wf.core.summary import RunRow
from durable_wf.core.tables import TASK
from durable_wf.core.values import NO_CLASSES, Missing, classes_of
from durable_wf.engine.people import People
from durable_wf.errors import NotFound, WrongState
from durable_wf.execute.calls import read_value
from durable_wf.store.port import Answer, Log

Reader = Callable[[], Log]
"""Opens a log for reading; whoever calls it closes it."""


@attrs.frozen
class RunResult:
    """The outcome of a run, as it stood when this was made. Times are UTC microseconds.

    Of a run that has not ended, `waiting` says what its tasks wait for: answers, signals, time.
    `result["task"]` decodes the task's value: equal to what the task returned, and of its type.
    A failed optional task and a skipped one give a `Missing`, another failed one raises WrongState.
    Values are read from the store when asked for.
    """

    row: RunRow
    workflow: Workflow = attrs.field(repr=False)
    _reader: Reader = attrs.field(repr=False)
    _outcomes: dict[str, Value | Fault | Missing] = attrs.field(factory=dict, repr=False, eq=False)
    waiting: tuple[Awaited, ...] = ()

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.row.run_id

    @property
    def status(self) -> RunStatus:
        """The run's state."""
        return self.row.status

    @property
    def origin(self) -> str:
        """The run that this one was made from, by a retry or a fork; "" where there is none."""
        return self.row.origin

    @property
    def created_at(self) -> int:
        """When the run was created."""
        return self.row.created_at

    @property
    def started_at(self) -> int | None:
        """When tasks could first start."""
        return self.row.started_at

    @property
    def ended_at(self) -> int | None:
        """When the run ended; None if it has not."""
        return self.row.ended_at

    def __getitem__(self, task: str) -> Any:
        """The value of a task. Raises NotFound for an unknown task, WrongState for one without."""
        tasks = {t.name: t for t in self.workflow.tasks}
        if task not in tasks and task not in self:
            names = [*tasks, *self._load()]
            guess = nearest(task, names)
            raise NotFound(
                f"run {self.run_id} has no task {task!r}",
                hint=f"did you mean {guess!r}?" if guess else f"dwf show {self.run_id}",
            )
        outcome = self._load().get(task)
        if outcome is None:
            raise WrongState(
                f"run {self.run_id}: task {task!r} has no result; the run is {self.status.value}",
                hint=f"dwf show {self.run_id}",
            )
        if isinstance(outcome, Missing):
            return outcome
        if not isinstance(outcome, Fault):
            return self._decode(task, outcome)
        if task not in tasks or not tasks[task].optional:
            raise WrongState(
                f"run {self.run_id}: task {task!r} failed: {outcome.message}",
                hint=f"dwf show {self.run_id}   (or result.failures())",
            )
        return Missing(task=task, kind=outcome.kind.value, message=outcome.message)

    def __contains__(self, task: object) -> bool:
        return task in self._load()

    def values(self) -> dict[str, Any]:
        """Every value there is, by task, in the order of the definition."""
        outcomes = self._load()
        found = ((task.name, outcomes.get(task.name)) for task in self.workflow.tasks)
        return {
            name: self._decode(name, outcome)
            for name, outcome in found
            if outcome is not None and not isinstance(outcome, Fault | Missing)
        }

    def failures(self) -> dict[str, Fault]:
        """The fault of each task that failed, by task."""
        return {name: o for name, o in self._load().items() if isinstance(o, Fault)}

    def compensations(self) -> dict[str, TaskStatus]:
        """How it stands with what the run takes back: the state of each compensation, by the task
        that it takes back, in the order in which they run. Empty where nothing is taken back.
        """
        log = self._reader()
        try:
            return compensations(log, self.row.run, self.row.n)
        finally:
            log.close()

    def history(self) -> list[Recorded]:
        """All events of the run, in order."""
        log = self._reader()
        try:
            return list(log.history(self.row.run))
        finally:
            log.close()

    def _load(self) -> dict[str, Value | Fault | Missing]:
        """Outcomes by task, read once."""
        if not self._outcomes:
            log = self._reader()
            try:
                self._outcomes.update(outcomes(log, self.row.run, self.row.n))
            finally:
                log.close()
        return self._outcomes

    def _decode(self, task: str, value: Value) -> Any:
        function = self.workflow.functions.get(task)
        classes = classes_of(function) if function is not None else NO_CLASSES
        if isinstance(value, str):
            return read_value(value, classes)
        log = self._reader()
        try:
            data = log.payload(value.digest)
        finally:
            log.close()
        return read_value(value, classes, data)


Outcome = Value | Fault | Missing

_OUTCOMES = (
    "AttemptSucceeded", "AttemptFailed", "AttemptRefused", "TaskRetryScheduled",
    "TaskFallbackScheduled", "TaskProbeScheduled", "TaskEscalated", "TaskFellBack", "TaskSkipped",
    "TaskCompleted", "TaskImported", "TaskFailed",
)  # fmt: skip


def outcomes(log: Log, run: int, n: int) -> dict[str, Outcome]:
    """What each task came to by event `n`: its value, the fault that was its end, or a `Missing`
    where it was skipped.
    """
    found: dict[str, Outcome] = {}
    faults: dict[str, Fault] = {}
    for stored in log.stored(run):
        if stored.n > n:
            break
        # Other kinds are not even decoded: that would load cattrs for a run in which all went well.
        if not stored.kind.startswith(_OUTCOMES):
            continue
        match decode(stored.kind, stored.task, stored.attempt, stored.body):
            case (
                e.AttemptSucceeded(task=task, value=value)
                | e.TaskFellBack(task=task, value=value)
                | e.TaskCompleted(task=task, value=value)
            ):
                found[task] = value
            case e.TaskImported(task=task) as imported:
                found[task] = imported.stored
            case e.AttemptFailed(task=task, fault=fault):
                found[task] = faults[task] = fault
            case e.AttemptRefused(task=task) as refused:
                found[task] = faults[task] = refused.fault
            case e.TaskFailed(task=task, reason=reason, kind=kind):
                found[task] = faults.setdefault(task, Fault(kind, reason))
            case e.TaskSkipped(task=task, reason=reason):
                found[task] = Missing(task=task, kind=TaskStatus.SKIPPED.value, message=reason)
            case (
                e.TaskRetryScheduled(task=task)
                | e.TaskFallbackScheduled(task=task)
                | e.TaskProbeScheduled(task=task)
                | e.TaskEscalated(task=task)
            ):
                found.pop(task, None)
            case _:
                pass
    return found


def compensations(log: Log, run: int, n: int) -> dict[str, TaskStatus]:
    """The state of each compensation by event `n`, by the task that it takes back, in order."""
    states: dict[str, TaskStatus] = {}
    for stored in log.stored(run):
        if stored.n > n:
            break
        if not stored.kind.startswith("TasksAdded") and stored.task not in states:
            continue
        event = decode(stored.kind, stored.task, stored.attempt, stored.body)
        if isinstance(event, e.TasksAdded):
            states.update((name, TaskStatus.PENDING) for name, _ in event.tasks)
        else:
            states[stored.task] = TASK[states[stored.task]][type(event)]
    return {name.removesuffix(SUFFIX): state for name, state in states.items()}


class RunHandle:
    """A submitted run. `await handle` and `handle.result()` both wait for its outcome."""

    def __init__(self, run_id: str, cancel: Callable[[str, str, bool], None]) -> None:
        self.run_id = run_id
        engine = getattr(cancel, "__self__", None)
        self._people = engine if isinstance(engine, People) else None
        self.canceller = cancel
        self.waiter: Callable[[float | None], None] | None = None
        self.future: Future[RunResult] = Future()
        self.future.set_running_or_notify_cancel()  # who gives up waiting does not end the run
        self._lock = threading.Lock()

    def done(self) -> bool:
        """Whether the outcome is known."""
        return self.future.done()

    def result(self, timeout_s: float | None = None) -> RunResult:
        """Wait for the outcome. Raises TimeoutError after `timeout_s`, or what stopped the run;
        Interrupted on SIGINT, SIGTERM or SIGHUP, as `WorkflowEngine.run` does; CallerError in a
        sequential task or callback of this engine, and in a fork of its process.

        A failed run is returned, not raised: ask its `status`.
        """
        if self.waiter is not None:
            self.waiter(timeout_s)
            timeout_s = 0.0
        return self.future.result(timeout_s)

    def cancel(self, reason: str = "", *, compensate: bool = True) -> None:
        """Ask for the run to be cancelled; the outcome tells whether it was. See
        `WorkflowEngine.cancel`.
        """
        self.canceller(self.run_id, reason, compensate)

    def waiting(self) -> tuple[Awaited, ...]:
        """What the tasks of the run wait for now."""
        return self._engine.waiting(self.run_id)

    def approve(self, task: str, comment: str = "") -> Answer:
        """Say yes to an approval; see `WorkflowEngine.approve`."""
        return self._engine.approve(self.run_id, task, comment)

    def reject(self, task: str, comment: str = "") -> Answer:
        """Say no to an approval; see `WorkflowEngine.approve`."""
        return self._engine.reject(self.run_id, task, comment)

    def resolve(self, task: str, how: str, comment: str = "", *, value: object = None) -> Answer:
        """Decide about a task that waits; see `WorkflowEngine.resolve`."""
        return self._engine.resolve(self.run_id, task, how, comment, value=value)

    def signal(self, name: str, value: object = None) -> Answer:
        """Send the run a signal; see `WorkflowEngine.signal`."""
        return self._engine.signal(self.run_id, name, value)

    @property
    def _engine(self) -> People:
        assert self._people is not None, "an engine gave this handle"
        return self._people

    def __await__(self) -> Generator[Any, None, RunResult]:
        # Heavy (25 ms), and loaded already by whoever awaits.
        import asyncio

        return asyncio.wrap_future(self.future).__await__()

    def settle(self, outcome: RunResult | BaseException) -> None:
        """Make the outcome known; the first one stands. For the engine only."""
        with self._lock:
            if self.future.done():
                return
            if isinstance(outcome, BaseException):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)
