"""Durations: what tasks took in an earlier run of the same workflow.

Owns: reading them from the last run that succeeded, for the order of starting and for estimates.
Must never: make the start of a run wait for a large history.
Read next: `equipping.py`.
"""

from __future__ import annotations

from durable_wf.core.definition import Task, Workflow
from durable_wf.core.events import AttemptSucceeded, TaskImported
from durable_wf.core.status import RunStatus
from durable_wf.engine.clock import Clock
from durable_wf.errors import DurableWorkflowError
from durable_wf.store.port import Log

Durations = dict[int, int]
"""Task index -> microseconds."""

_MOST_TASKS = 5_000
"""Larger runs are not read: the order of many tasks hardly depends on single durations."""
_MOST_ORIGINS = 8
"""Of a long chain of retries only so many earlier runs are read."""


FRESH_S = 1.0
"""So long what was read for a workflow is taken for its next run, too, in seconds: where many small
runs are started, reading the one before would cost each of them a tenth of its time."""


class Earlier:
    """What an engine has read last. `log` is its store's."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._tasks: tuple[Task, ...] = ()
        self._durations: Durations = {}
        self._read_at = 0.0

    def durations(self, workflow: Workflow) -> Durations:
        """As `earlier_durations`, or what that said a moment ago."""
        now = self._clock.monotonic_s()
        if workflow.tasks is self._tasks and self._durations and now < self._read_at + FRESH_S:
            return self._durations
        self._tasks = workflow.tasks
        self._durations = earlier_durations(self._log, workflow)
        self._read_at = now
        return self._durations


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
    """A run that has taken over results of others was as quick as they were with those."""
    index = {task.name: i for i, task in enumerate(workflow.tasks)}
    elsewhere: dict[str, set[str]] = {}
    found: Durations = {}
    for recorded in log.history(run):
        event = recorded.event
        if isinstance(event, AttemptSucceeded) and event.task in index:
            found[index[event.task]] = event.wall_us
        elif isinstance(event, TaskImported) and event.task in index:
            elsewhere.setdefault(event.origin, set()).add(event.task)
    for run_id in [*elsewhere][-_MOST_ORIGINS:]:
        row = log.row(run_id)
        if row is None or row.total > _MOST_TASKS:
            continue
        for recorded in log.history(row.run):
            event = recorded.event
            if isinstance(event, AttemptSucceeded) and event.task in elsewhere[run_id]:
                found[index[event.task]] = event.wall_us
    return found
