"""Durations: what tasks took in an earlier run of the same workflow.

Owns: reading them from the last run that succeeded, for the order of starting and for estimates.
Must never: make the start of a run wait for a large history.
Read next: `entering.py`.
"""

from __future__ import annotations

from durable_wf.core.definition import Workflow
from durable_wf.core.events import AttemptSucceeded
from durable_wf.core.status import RunStatus
from durable_wf.errors import DurableWorkflowError
from durable_wf.store.port import Log

Durations = dict[int, int]
"""Task index -> microseconds."""

_MOST_TASKS = 5_000
"""Larger runs are not read: the order of many tasks hardly depends on single durations."""


def earlier_durations(log: Log, workflow: Workflow) -> Durations:
    """Durations by task index from the newest run of this name that succeeded; {} if none."""
    if len(workflow.tasks) > _MOST_TASKS:
        return {}
    rows = log.rows(status=[RunStatus.SUCCEEDED], workflow=workflow.name, limit=1)
    if not rows or rows[0].total > _MOST_TASKS:
        return {}
    try:
        return _durations(log, workflow, rows[0].run)
    except DurableWorkflowError:
        return {}  # an earlier run that is damaged must not keep later ones from running


def _durations(log: Log, workflow: Workflow, run: int) -> Durations:
    index = {task.name: i for i, task in enumerate(workflow.tasks)}
    return {
        index[event.task]: event.wall_us
        for recorded in log.history(run)
        if isinstance(event := recorded.event, AttemptSucceeded) and event.task in index
    }
