"""view: what is known of a run, for those who only look.

Owns: loading a run's definition and replaying its history from a log, without claiming anything.
Must never: write, or import user code.
Read next: `claiming.py`, for those who mean to go on.
"""

from __future__ import annotations

from durable_wf.core.definition import Workflow
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState
from durable_wf.core.summary import RunRow
from durable_wf.errors import NotFound
from durable_wf.store.port import Log


def row_or_raise(log: Log, run_id: str) -> RunRow:
    """The read model of a run. Raises NotFound."""
    row = log.row(run_id)
    if row is None:
        raise NotFound(f"there is no run {run_id!r} in this store", hint="dwf list")
    return row


def came_from_elsewhere(log: Log, row: RunRow) -> bool:
    """Whether the run was imported: as its row says, or, whatever that says, the log."""
    return row.imported or log.came_from_elsewhere(row.run)


def load_definition(log: Log, row: RunRow) -> Workflow:
    """The definition that a run follows, from its snapshot. Raises PayloadMissing."""
    return Workflow.as_recorded(log.payload(row.definition).decode())


def load_state(log: Log, run_id: str) -> RunState:
    """The state of a run by replay. Raises NotFound, PayloadMissing, HistoryError."""
    row = row_or_raise(log, run_id)
    state = RunState.of(run_id, load_definition(log, row))
    return replay(state, log.history(row.run))
