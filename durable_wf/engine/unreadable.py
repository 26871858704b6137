"""Unreadable: a payload that a task needs is gone or damaged. No fault of the task's own.

Owns: telling such a failure from one of the task's code, and the sentence that the pause carries.
Must never: decide; the loop gives the pause and the return of the attempt to the core.
Read next: `loop.py` (`_take_reports`).
"""

from __future__ import annotations

from collections.abc import Iterator

from durable_wf.core.definition import PayloadRef
from durable_wf.core.fault import Fault
from durable_wf.core.reports import Failed
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind, RunStatus
from durable_wf.errors import PayloadMissing

ACTOR = "engine"
"""Who pauses such a run."""

_EXCEPTION = f"{PayloadMissing.__module__}.{PayloadMissing.__qualname__}"


def failure(run: int, index: int, attempt: int, error: PayloadMissing) -> Failed:
    """The report of an attempt whose arguments this engine could not read, as a worker makes it."""
    fault = Fault(FaultKind.ERROR, error.message, exception=_EXCEPTION)
    return Failed(run, index, attempt, fault)


def cause_of(state: RunState, report: Failed) -> str:
    """Why the run must pause, or "" when the attempt failed in its own right.

    Arguments are read before the task's code is called, so a failure that names one of them says
    that the code never began.
    """
    if report.fault.exception != _EXCEPTION or state.status is RunStatus.DRAINING:
        return (
            ""  # a draining run cannot be paused; what it takes back fails, and a person is asked
        )
    for upstream, value in _arguments(state, report.index):
        if value.digest in report.fault.message:
            task = state.graph.names[report.index]
            return (
                f"the result of task {upstream!r}, which task {task!r} needs, is lost: "
                f"{report.fault.message}; put it back and resume, or make it again: "
                f"dwf cancel {state.run_id}, then dwf retry {state.run_id}"
            )
    return ""


def _arguments(state: RunState, index: int) -> Iterator[tuple[str, PayloadRef]]:
    """The stored results that a task is given, with the tasks that made them."""
    for upstream in state.task(index).upstream:
        value = state.values.get(state.graph.index[upstream])
        if isinstance(value, PayloadRef):
            yield upstream, value
