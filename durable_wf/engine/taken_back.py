"""Taken back: effects that other runs have undone, of results that a new run would take over.

Owns: which runs may have taken over the same results, and what they have begun to take back.
Must never: believe a run that was imported from another store: it could claim any ancestor.
Read next: `core/descent.py`, which says what is taken back in one history; `descending.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from durable_wf.core.descent import Ancestor, TakenBack
from durable_wf.core.events import TaskImported
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.engine.view import came_from_elsewhere
from durable_wf.store.port import Log

_TAKES_NOTHING_BACK = frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.SUCCEEDED})


def taken_back_by_others(log: Log, row: RunRow, ancestor: Ancestor) -> frozenset[str]:
    """Tasks of this run whose results have lost their effect to a compensation of another run.

    Costs nothing where no task that is taken over has a compensation.
    """
    results = _undoable(ancestor)
    if not results or came_from_elsewhere(log, row):
        return frozenset()
    found: set[str] = set()
    for other in _heirs(log, {result.origin for result in results.values()}):
        if other.run_id == row.run_id or other.status in _TAKES_NOTHING_BACK:
            continue
        taken_back = TakenBack(other.run_id)
        for recorded in log.history(other.run):
            taken_back.note(recorded.event)
        found |= taken_back.among(results)
    return frozenset(found)


def _undoable(ancestor: Ancestor) -> Mapping[str, TaskImported]:
    """The results that have an effect which a compensation takes back."""
    tasks = (task.name for task in ancestor.workflow.tasks if task.undo is not None)
    known = ancestor.results
    return {
        name: known[name]
        for name in tasks
        if name in known and not known[name].fallback and name not in ancestor.undone
    }


def _heirs(log: Log, run_ids: Iterable[str]) -> Iterator[RunRow]:
    """These runs, and all that were made from them, or from those in turn."""
    open_ids = list(run_ids)
    seen = set(open_ids)
    while open_ids:
        run_id = open_ids.pop()
        row = log.row(run_id)
        if row is None or came_from_elsewhere(log, row):
            continue
        yield row
        for child in log.rows(origin=run_id):
            if child.run_id not in seen:
                seen.add(child.run_id)
                open_ids.append(child.run_id)
