"""RunRow to columns of `runs` and back, and the question behind a list of runs.

Owns: the order of the columns.
Must never: execute anything.
Read next: `sqlite.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from durable_wf.core.names import RUN_ID_PATTERN, is_name
from durable_wf.core.status import RUN_FINAL, RunStatus
from durable_wf.core.summary import Counts, Moved, RunRow
from durable_wf.errors import HistoryError

_is_run_id = re.compile(RUN_ID_PATTERN).fullmatch

# The statements below hold nothing but these names.
COLUMNS = (
    "run", "run_id", "workflow", "status", "n", "total", "pending", "running", "waiting",
    "succeeded", "failed", "skipped", "cancelled", "created_at", "started_at", "ended_at",
    "wake_at", "engine", "cause", "definition", "structure", "inputs", "code", "tags", "imported",
    "origin", "origin_n", "root",
)  # fmt: skip
_BIRTH = 3
"""The last columns, which say where a run comes from: stores of version 1 do not have them."""

INSERT = f"INSERT INTO runs ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
# Not `run_id`, `origin` and `root`, which never change: naming them would rewrite a page of their
# indexes in every commit.
_CHANGING = COLUMNS[2:-_BIRTH]
UPDATE = f"UPDATE runs SET {', '.join(f'{name} = ?' for name in _CHANGING)} WHERE run = ?"  # noqa: S608
MOVE = f"UPDATE runs SET {', '.join(f'{name} = ?' for name in Moved._fields)} WHERE run = ?"  # noqa: S608
SELECT = f"SELECT {', '.join(COLUMNS)} FROM runs"  # noqa: S608
SELECT_1 = f"SELECT {', '.join(COLUMNS[:-_BIRTH])} FROM runs"  # noqa: S608
"""The same of a store of version 1."""


def to_columns(row: RunRow) -> tuple[Any, ...]:
    """All columns but `run`, in the order of COLUMNS."""
    counts = row.counts
    return (
        row.run_id, row.workflow, row.status._value_, row.n, row.total, counts.pending,
        counts.running, counts.waiting, counts.succeeded, counts.failed, counts.skipped,
        counts.cancelled, row.created_at, row.started_at, row.ended_at, row.wake_at, row.engine,
        row.cause, row.definition, row.structure, row.inputs, row.code,
        _tags_text(row.tags), int(row.imported), row.origin, row.origin_n, row.root,
    )  # fmt: skip


def to_update(row: RunRow) -> tuple[Any, ...]:
    """What UPDATE sets, but for the `run` at its end."""
    return to_columns(row)[1:-_BIRTH]


@lru_cache(maxsize=256)
def _tags_text(tags: tuple[str, ...]) -> str:
    return json.dumps(tags)


def from_columns(columns: tuple[Any, ...]) -> RunRow:
    """The row that stands in `columns`. Raises HistoryError for one that no engine has written:
    what is shown of it, and made of it (paths, commands), would not be safe.
    """
    try:
        row = _from_columns(columns)
    except (ValueError, TypeError, RecursionError) as error:
        raise HistoryError(
            f"a run in the log cannot be read: {error}", hint="dwf audit verify"
        ) from error
    for run_id in (row.run_id, row.origin or row.run_id, row.root or row.run_id):
        if not _is_run_id(run_id):
            raise HistoryError(
                f"a run in the log has an id that no engine gives: {run_id!r:.160}",
                hint="the log was changed by hand, or made by another program: dwf audit verify",
            )
    if not is_name(row.workflow):
        raise HistoryError(
            f"run {row.run_id}: its workflow has an impossible name: {row.workflow!r:.160}",
            hint="the log was changed by hand, or made by another program: dwf audit verify",
        )
    return row


def _from_columns(columns: tuple[Any, ...]) -> RunRow:
    run, run_id, workflow, status, n, total = columns[:6]
    created_at, started_at, ended_at, wake_at = columns[13:17]
    engine, cause, definition, structure, inputs, code, tags, imported = columns[17:25]
    origin, origin_n, root = columns[25:] or ("", 0, "")
    return RunRow(
        run_id=run_id,
        workflow=workflow,
        status=RunStatus(status),
        n=n,
        total=total,
        counts=Counts(*columns[6:13]),
        created_at=created_at,
        started_at=started_at,
        ended_at=ended_at,
        wake_at=wake_at,
        engine=engine,
        cause=cause,
        definition=definition,
        structure=structure,
        inputs=inputs,
        code=code,
        tags=tuple(json.loads(tags)),
        run=run,
        imported=bool(imported),
        origin=origin,
        origin_n=origin_n,
        root=root,
    )


def select(
    status: Iterable[RunStatus],
    workflow: str | None,
    since: int | None,
    prefix: str,
    origin: str | None,
    root: str | None,
    limit: int | None,
) -> tuple[str, list[Any]]:
    """What follows SELECT to list runs, newest first, and its parameters."""
    where: list[str] = []
    values: list[Any] = []
    given = frozenset(status)
    wanted = [one.value for one in given]
    if given and given.isdisjoint(RUN_FINAL):
        where.append("ended_at IS NULL")  # the index of these alone: the others are not read
    if wanted:
        where.append(f"status IN ({', '.join('?' * len(wanted))})")
        values += wanted
    if workflow is not None:
        where.append("workflow = ?")
        values.append(workflow)
    if since is not None:
        where.append("created_at >= ?")
        values.append(since)
    if prefix:
        # A range, not LIKE: it takes the index and knows no wildcards.
        where.append("run_id >= ? AND run_id < ?")
        values += [prefix, prefix + "\U0010ffff"]
    if origin is not None:
        where.append("origin = ? AND origin <> ''")  # as the partial index wants it
        values.append(origin)
    if root is not None:
        where.append("root = ? AND root <> ''")
        values.append(root)
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    values.append(-1 if limit is None else limit)
    return f"{condition} ORDER BY run DESC LIMIT ?", values
