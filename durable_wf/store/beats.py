"""Beats: the last sign of life of each running attempt, one overwritten row in log.db.

Owns: the SQL of the table `beats`, and when a row goes: with the end of its task, or of its run.
A row outlives an attempt that failed, since the next one is handed its detail.
Must never: begin or end a transaction, or take part in the hash chain.
Read next: `sqlite_write.py`, which writes them with the events they belong to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from durable_wf.core import events as e
from durable_wf.store.port import Beat, RunAppend

# A run that has ended takes none; the beat of an attempt that is over leaves a later one alone.
_UPSERT = """INSERT INTO beats (run, task, attempt, at, detail)
SELECT :run, :task, :attempt, :at, :detail
WHERE EXISTS (SELECT 1 FROM runs WHERE run = :run AND ended_at IS NULL)
ON CONFLICT (run, task) DO UPDATE SET
    attempt = excluded.attempt, at = excluded.at, detail = excluded.detail
WHERE excluded.attempt >= beats.attempt"""

OF_RUN = "SELECT task, attempt, at, detail FROM beats WHERE run = ?"

Beating = set[tuple[int, str]]
"""The runs and tasks that have a row."""

_LAST_WORDS = (
    e.AttemptSucceeded, e.TaskFellBack, e.TaskCompleted, e.TaskSkipped, e.TaskFailed,
    e.TaskCancelled,
)  # fmt: skip


def ended_tasks(append: RunAppend) -> set[str]:
    """The tasks that have no further attempt after these events."""
    return {one.event.task for one in append.events if isinstance(one.event, _LAST_WORDS)}


def all_beating(connection: sqlite3.Connection) -> Beating:
    """What has a row."""
    return set(connection.execute("SELECT run, task FROM beats"))


def write(connection: sqlite3.Connection, beats: Sequence[Beat]) -> None:
    """Put each in the place of its task's beat before."""
    connection.executemany(
        _UPSERT,
        [
            {"run": b.run, "task": b.task, "attempt": b.attempt, "at": b.at, "detail": b.detail}
            for b in beats
        ],
    )


def clear(
    connection: sqlite3.Connection, beating: Beating, appends: Iterable[RunAppend]
) -> Beating:
    """Delete the rows of tasks and runs that these appends end; returns what was deleted."""
    gone: Beating = set()
    for append in appends:
        own = {place for place in beating if place[0] == append.run}
        if own and not append.ends:
            own &= {(append.run, task) for task in ended_tasks(append)}
        gone |= own
    if gone:
        connection.executemany("DELETE FROM beats WHERE run = ? AND task = ?", sorted(gone))
    return gone


def read(run: int, rows: Iterable[tuple[str, int, int, str]]) -> dict[str, Beat]:
    """The rows that OF_RUN has found, by task."""
    return {task: Beat(run, task, attempt, at, detail) for task, attempt, at, detail in rows}


def wrong(connection: sqlite3.Connection) -> list[str]:
    """What the table holds that no engine writes, in sentences. Each question is one statement,
    so that the answer is about one moment while engines run.
    """
    over = connection.execute(
        "SELECT run, task FROM beats AS b WHERE NOT EXISTS"
        " (SELECT 1 FROM runs WHERE run = b.run AND ended_at IS NULL) LIMIT 20"
    )
    found = [
        f"a heartbeat of task {task!r:.80} is of run {run}, which is over" for run, task in over
    ]
    never = connection.execute(
        "SELECT runs.run_id, b.task, b.attempt FROM beats AS b JOIN runs USING (run)"
        " WHERE NOT EXISTS (SELECT 1 FROM events WHERE run = b.run AND task = b.task"
        " AND attempt = b.attempt AND kind = 'AttemptStarted') LIMIT 20"
    )
    found += [
        f"a heartbeat of run {run_id!r:.80} is of task {task!r:.80}, attempt {attempt}, "
        "which never began"
        for run_id, task, attempt in never
    ]
    return found
