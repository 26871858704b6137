"""`dwf list`: runs, newest first.

Owns: the table of runs.
Must never: replay a history; it reads the read model.
Read next: `../choosing.py` for the filters; `show.py`.
"""

from __future__ import annotations

import time
from itertools import islice

import click

from durable_wf.cli.choosing import Filter, filter_options, none_like, select
from durable_wf.cli.context import (
    Number,
    Settings,
    examples,
    json_option,
    note,
    out,
    pass_settings,
    say,
)
from durable_wf.cli.documents import dumps, run_document
from durable_wf.cli.kin import origin_text
from durable_wf.cli.render import state_cell
from durable_wf.cli.states import INTERRUPTED, RunShown, shown_run
from durable_wf.cli.tables import Column, table
from durable_wf.cli.times import ago, iso, span
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import RunRow

DEFAULT_LIMIT = 20

_COLUMNS = (
    Column("RUN", flexible=True, least=16),
    Column("WORKFLOW", flexible=True),
    Column("STATUS"),
    Column("TASKS", right=True),
    Column("CREATED", right=True),
    Column("TOOK", right=True),
)
_WHERE_GIVEN = (Column("ORIGIN", flexible=True), Column("PAUSED FOR", flexible=True))
"""Columns that are there where some run has something to say in them."""


@click.command(
    "list",
    epilog=examples(
        ("dwf list", ""),
        ("dwf list --status interrupted", "what can be resumed"),
        ("dwf list --workflow etl --since 2d --json", "for a program"),
    ),
)
@filter_options
@click.option(
    "-n",
    "--limit",
    type=Number(0),
    default=DEFAULT_LIMIT,
    show_default=True,
    help="At most this many; 0 for all.",
)
@json_option("Print JSON Lines, one run a line.")
@pass_settings
def list_runs(
    settings: Settings,
    *,
    status: frozenset[RunShown],
    workflow: str | None,
    tag: tuple[str, ...],
    since: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, newest first.

    A run that was running when its engine died is shown as interrupted: nothing of it runs now,
    and dwf resume continues it. One that waits, and that without an engine only people or signals
    can bring on, is shown as waiting.
    """
    now = time.time_ns() // 1000
    wanted = Filter(status, workflow, frozenset(tag), since)
    with settings.reading() as store:
        found = select(store, wanted, limit)
        shown = list(islice(found, limit or None))
        if as_json:
            for row, alive in shown:
                say(dumps(run_document(row, alive=alive)))
            return
        if not shown:
            note(none_like(store, wanted) if wanted.chooses else "no runs yet: dwf run TARGET")
            return
        for line in _lines(shown, now):
            say(line)
        if limit and next(found, None) is not None:
            note(f"(the newest {limit}; --limit 0 shows all)")


def _lines(shown: list[tuple[RunRow, bool]], now: int) -> list[str]:
    look = out()
    rows = []
    for row, alive in shown:
        counts = row.counts
        done = counts.succeeded + counts.failed + counts.skipped + counts.cancelled
        state = shown_run(row, alive=alive)
        took = ""
        if row.started_at is not None and (row.ended_at is not None or state is not INTERRUPTED):
            took = span((row.ended_at or now) - row.started_at)
        created = ago(row.created_at, now) if look.terminal else (iso(row.created_at) or "")
        rows.append(
            (
                row.run_id,
                row.workflow,
                state_cell(state, look),
                f"{done}/{row.total}",
                created,
                took,
                origin_text(row),
                row.cause if row.status is RunStatus.PAUSED else "",
            )
        )
    columns = [
        (at, column)
        for at, column in enumerate((*_COLUMNS, *_WHERE_GIVEN))
        if column not in _WHERE_GIVEN or any(row[at] for row in rows)
    ]
    cells = [[row[at] for at, _ in columns] for row in rows]
    return table([column for _, column in columns], cells, look)
