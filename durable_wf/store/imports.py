"""Imports: which runs came from another store, as the log itself says it.

Owns: the place of a RunImported, right behind the events that it is about, and how it is found from
there at the cost of a look-up. The mark in a run's row is a copy for lists, and covered by no hash.
Must never: rest on that mark.
Read next: `portable.py`, which writes it; `check.py`, which proves the mark.
"""

from __future__ import annotations

from durable_wf.core.codec import decode
from durable_wf.core.events import RunImported
from durable_wf.store.port import Stored

BEHIND = (
    "SELECT seq, run, n, at, kind, task, attempt, body, hash FROM events "
    "WHERE seq > (SELECT seq FROM events WHERE run = ? AND n = 1) AND run <> ? "
    "ORDER BY seq LIMIT 1"
)
"""The first event of another stream behind the first one of a run."""


def says_imported(behind: Stored, run_id: str) -> bool:
    """Whether the event that stands there says that the run was imported. Raises HistoryError."""
    if behind.run or behind.kind.partition("/")[0] != RunImported.__name__:
        return False
    event = decode(behind.kind, behind.task, behind.attempt, behind.body)
    return isinstance(event, RunImported) and event.run == run_id
