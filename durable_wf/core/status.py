"""The states of runs and tasks, and the kinds of faults.

Owns: the enums. Their values are the names used in the log, in JSON and on the screen.
Must never: hold rules; what may follow what stands in `tables.py`.
Read next: `events.py`.
"""

from __future__ import annotations

from enum import Enum


class _Status(Enum):
    """An enum whose members hash by identity: Enum's own hash is a slow Python call, and states
    are looked up several times for every event.
    """

    __hash__ = object.__hash__


class RunStatus(_Status):
    """State of a run."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskStatus(_Status):
    """State of a task in a run."""

    PENDING = "pending"
    RUNNING = "running"
    FAULTED = "faulted"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class FaultKind(_Status):
    """Why an attempt did not succeed."""

    ERROR = "error"
    TIMEOUT = "timeout"
    LOST = "lost"
    MEMORY = "memory"
    EXIT = "exit"
    IN_DOUBT = "in_doubt"
    NOT_STORABLE = "not_storable"
    REJECTED = "rejected"
    """nothing ran: a person said no, or nobody answered in time"""
    BREAKER = "breaker"
    """nothing ran: the circuit breaker was open"""


class WaitKind(_Status):
    """What a task waits for that holds no worker."""

    SLEEP = "sleep"
    SIGNAL = "signal"
    APPROVAL = "approval"
    OPERATOR = "operator"


class Otherwise(_Status):
    """What becomes of a task that waited for an answer, when none comes or the answer is no."""

    FAIL = "fail"
    SKIP = "skip"
    CONTINUE = "continue"
    APPROVE = "approve"
    RETRY = "retry"


class Verdict(_Status):
    """What a person answers about a task that waits."""

    APPROVE = "approve"
    REJECT = "reject"
    RETRY = "retry"
    SKIP = "skip"
    VALUE = "value"
    FAIL = "fail"


class InDoubt(_Status):
    """What becomes of an attempt that had begun when its engine died."""

    RERUN = "rerun"
    FAIL = "fail"
    ASK = "ask"
    PROBE = "probe"


RUN_FINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
TASK_FINAL = frozenset(
    {TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED}
)
