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


RUN_FINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
TASK_FINAL = frozenset(
    {TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED}
)
