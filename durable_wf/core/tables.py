"""The tables: which event is legal in which state, and where it leads.

Owns: RUN, TASK and ADMITS, the only judges of legality. Code, tests and the reference page read
these same tables; an absent cell is an illegal history.
Must never: hold a special case elsewhere; a rule that does not fit gets a table of its own.
Read next: `evolve.py`, which applies them.
"""

from __future__ import annotations

from collections.abc import Mapping

from durable_wf.core import events as e
from durable_wf.core.status import RunStatus as R
from durable_wf.core.status import TaskStatus as T

RUN: Mapping[R | None, Mapping[type, R]] = {
    None: {e.RunCreated: R.PENDING},
    R.PENDING: {
        e.RunClaimed: R.PENDING,
        e.RunReleased: R.PENDING,
        e.SignalReceived: R.PENDING,
        e.RunStarted: R.RUNNING,
        e.RunDraining: R.DRAINING,
    },
    R.RUNNING: {
        e.RunClaimed: R.RUNNING,
        e.RunReleased: R.RUNNING,
        e.RunPaused: R.PAUSED,
        e.CodeAccepted: R.RUNNING,
        e.SignalReceived: R.RUNNING,
        e.RunDraining: R.DRAINING,
        e.RunSucceeded: R.SUCCEEDED,
    },
    R.PAUSED: {
        e.RunClaimed: R.PAUSED,
        e.RunReleased: R.PAUSED,
        e.RunResumed: R.RUNNING,
        e.CodeAccepted: R.PAUSED,
        e.SignalReceived: R.PAUSED,
        e.RunDraining: R.DRAINING,
        e.RunSucceeded: R.SUCCEEDED,
    },
    R.DRAINING: {
        e.RunClaimed: R.DRAINING,
        e.RunReleased: R.DRAINING,
        e.CodeAccepted: R.DRAINING,
        e.TasksClosed: R.DRAINING,
        e.TasksAdded: R.DRAINING,
        e.RunFailed: R.FAILED,
        e.RunCancelled: R.CANCELLED,
    },
    R.SUCCEEDED: {},
    R.FAILED: {},
    R.CANCELLED: {},
}
"""state of the run -> event -> next state; None is "no run yet"."""

TASK: Mapping[T, Mapping[type, T]] = {
    T.PENDING: {
        e.AttemptStarted: T.RUNNING,
        e.AttemptRefused: T.FAULTED,
        e.TaskWaiting: T.WAITING,
        e.TaskImported: T.SUCCEEDED,
        e.TaskSkipped: T.SKIPPED,
    },
    T.RUNNING: {
        e.AttemptReturned: T.PENDING,
        e.AttemptSucceeded: T.SUCCEEDED,
        e.AttemptFailed: T.FAULTED,
        e.AttemptDisproved: T.PENDING,
    },
    T.FAULTED: {
        e.TaskRetryScheduled: T.WAITING,
        e.TaskFailed: T.FAILED,
        e.TaskSkipped: T.SKIPPED,
        e.TaskFellBack: T.SUCCEEDED,
        e.TaskFallbackScheduled: T.PENDING,
        e.TaskProbeScheduled: T.PENDING,
        e.TaskEscalated: T.WAITING,
        e.TaskCancelled: T.CANCELLED,
    },
    T.WAITING: {
        e.OperatorDecided: T.WAITING,
        e.TaskWoken: T.PENDING,
        e.TaskCompleted: T.SUCCEEDED,
        e.TaskFailed: T.FAILED,
        e.TaskSkipped: T.SKIPPED,
    },
    T.SUCCEEDED: {},
    T.FAILED: {},
    T.SKIPPED: {},
    T.CANCELLED: {},
}
"""state of the task -> event -> next state."""

CLOSES: frozenset[T] = frozenset({T.PENDING, T.WAITING})
"""The task states that TasksClosed ends."""

CLOSED_AS: frozenset[T] = frozenset({T.SKIPPED, T.CANCELLED})
"""What TasksClosed may end them as."""

_LIVE = frozenset({R.RUNNING, R.PAUSED, R.DRAINING})
_UNDECIDED = frozenset({R.RUNNING, R.PAUSED})

ADMITS: Mapping[type, frozenset[R]] = {
    e.AttemptStarted: frozenset({R.RUNNING}),
    e.AttemptRefused: frozenset({R.RUNNING}),
    e.AttemptReturned: _LIVE,
    e.AttemptSucceeded: _LIVE,
    e.AttemptFailed: _LIVE,
    e.AttemptDisproved: _LIVE,
    e.TaskRetryScheduled: _UNDECIDED,
    e.TaskWaiting: frozenset({R.RUNNING}),
    e.TaskWoken: _UNDECIDED,
    e.TaskFailed: _LIVE,
    e.TaskSkipped: _UNDECIDED,
    e.TaskFellBack: _UNDECIDED,
    e.TaskFallbackScheduled: _UNDECIDED,
    e.TaskProbeScheduled: _UNDECIDED,
    e.TaskEscalated: _UNDECIDED,
    e.OperatorDecided: _UNDECIDED,
    e.TaskCompleted: _UNDECIDED,
    e.TaskImported: frozenset({R.RUNNING}),
    e.TaskCancelled: frozenset({R.DRAINING}),
}
"""task event -> the run states in which it may be recorded."""

COMPENSATES: frozenset[type] = frozenset(
    {
        e.AttemptStarted, e.AttemptRefused, e.TaskRetryScheduled, e.TaskWoken, e.TaskSkipped,
        e.TaskFellBack, e.TaskFallbackScheduled, e.TaskProbeScheduled, e.TaskEscalated,
        e.OperatorDecided, e.TaskCompleted,
    }
)  # fmt: skip
"""What a draining run admits besides, for the tasks that take back what it did."""
