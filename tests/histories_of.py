"""Short histories by hand: events as tests write them, numbered and dated.

Owns: the events of a run of two tasks, `a` and then `b`, and `recorded`, which numbers them.
Must never: ask the core what comes next.
Read next: `unit/core/test_tables.py`.
"""

from __future__ import annotations

import strategies

from durable_wf.core import events as e
from durable_wf.core.definition import Undo, WaitFor
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind, RunStatus, TaskStatus, Verdict, WaitKind

A_THEN_B = strategies.workflow(strategies.task("a"), strategies.task("b", "a"))
A_MAY_FAIL = strategies.workflow(
    strategies.task("a", optional=True), strategies.task("b", "a"), name="w"
)

A_WITH_ALL = strategies.workflow(
    strategies.task("a", wait=WaitFor(WaitKind.SIGNAL, "go"), undo=Undo("jobs:undo")),
    strategies.task("b", "a"),
)

CREATED = e.RunCreated("w", "d-1", 2, code="c-1")
CLAIMED = e.RunClaimed("e-1", "create")
RELEASED = e.RunReleased("e-1", "stopping")
STARTED = e.RunStarted()
PAUSED = e.RunPaused("ann", "lunch")
RESUMED = e.RunResumed("ann")
ACCEPTED = e.CodeAccepted("ann", "d-2", "c-2", ("b",))
FAILING = e.RunDraining(RunStatus.FAILED, "task 'a' failed", cause_task="a")
CANCELLING = e.RunDraining(RunStatus.CANCELLED, "cancelled by ann", "ann")
SUCCEEDED = e.RunSucceeded()
FAILED = e.RunFailed("task 'a' failed")
CANCELLED = e.RunCancelled("cancelled by ann")

RETRY = e.TaskRetryScheduled("a", 50, "rule", "because")
WOKEN = e.TaskWoken("a")
GIVEN_UP = e.TaskFailed("a", "rule", "because")
SKIPPED = e.TaskSkipped("a", "rule", "because")
CUT_OFF = e.TaskSkipped("b", "upstream", "task 'a' failed", upstream="a")
KEPT_GOING = e.TaskFailed("a", "rule", "because", keep_going=True)
FELL_BACK = e.TaskFellBack("a", "7", "rule", "because")
FALLING_BACK = e.TaskFallbackScheduled("a", "jobs:other", "rule", "because")
REFUSED = e.AttemptRefused("a", "service", 60)
DISPROVED = e.AttemptDisproved("a", 2)
PROBING = e.TaskProbeScheduled("a", "jobs:probe", "in doubt: probe", "because")
ESCALATED = e.TaskEscalated("a", "what now?", "rule", "because", until=90)
WAITING = e.TaskWaiting("a", WaitKind.SIGNAL, 90)
ANSWERED = e.OperatorDecided("a", Verdict.RETRY, "ann")
COMPLETED = e.TaskCompleted("a", "7", "because")
IMPORTED = e.TaskImported("a", "r-0", "7")
SIGNAL = e.SignalReceived("go", "7", "ann")
ADDED = e.TasksAdded((("a~undo", "a"),), "compensate")
DROPPED = e.TaskCancelled("a", "the run was draining")


def closed(count: int, status: TaskStatus = TaskStatus.CANCELLED) -> e.TasksClosed:
    """All that never started ends."""
    return e.TasksClosed(status, count, "draining")


def begun(task: str = "a", attempt: int = 1) -> e.AttemptStarted:
    """An attempt is announced."""
    return e.AttemptStarted(task, attempt, "w-1-0", 100, 7)


def returned(task: str = "a", attempt: int = 1) -> e.AttemptReturned:
    """It never began."""
    return e.AttemptReturned(task, attempt)


def done(task: str = "a", attempt: int = 1) -> e.AttemptSucceeded:
    """It succeeded."""
    return e.AttemptSucceeded(task, attempt, "1", 10, 20)


def broke(task: str = "a", attempt: int = 1, kind: FaultKind = FaultKind.ERROR) -> e.AttemptFailed:
    """It did not."""
    return e.AttemptFailed(task, attempt, e.Fault(kind, "boom"))


BOTH_DONE = (begun("a"), done("a"), begun("b"), done("b"))


def recorded(*events: e.Event, after: int = 0) -> list[e.Recorded]:
    """Events with their numbers, ten microseconds apart."""
    return [e.Recorded(n, 10 * n, event) for n, event in enumerate(events, after + 1)]


def state_after(*events: e.Event, workflow=A_THEN_B) -> RunState:
    """The state after a history."""
    return replay(RunState.of("r", workflow), recorded(*events))
