"""`dwf list`: runs, newest first.

Owns: the table of runs and its filters.
Must never: replay a history; it reads the read model.
Read next: `show.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

import click

from durable_wf.cli.context import (
    MOST,
    Settings,
    examples,
    json_option,
    note,
    out,
    pass_settings,
    say,
)
from durable_wf.cli.documents import dumps, run_document
from durable_wf.cli.render import state_cell
from durable_wf.cli.states import INTERRUPTED, RunShown, shown_run
from durable_wf.cli.stores import alive_in
from durable_wf.cli.tables import Column, table
from durable_wf.cli.times import ago, iso, parse_since, span
from durable_wf.core.status import RUN_FINAL, RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.store.opening import Store

DEFAULT_LIMIT = 20

_STATES: dict[str, RunShown] = {state.value: state for state in (*RunStatus, INTERRUPTED)}
_UNFINISHED = frozenset(RunStatus) - RUN_FINAL
_COLUMNS = (
    Column("RUN", flexible=True, least=16),
    Column("WORKFLOW", flexible=True),
    Column("STATUS"),
    Column("TASKS", right=True),
    Column("CREATED", right=True),
    Column("TOOK", right=True),
)


@click.command(
    "list",
    epilog=examples(
        ("dwf list", ""),
        ("dwf list --status interrupted", "what can be resumed"),
        ("dwf list --workflow etl --since 2d --json", "for a program"),
    ),
)
@click.option(
    "-s",
    "--status",
    multiple=True,
    type=click.Choice(list(_STATES), case_sensitive=False),
    help="Only runs in this state; may be given more than once.",
)
@click.option("-w", "--workflow", metavar="NAME", help="Only runs of this workflow.")
@click.option(
    "--since", metavar="WHEN", help="Only runs created since: 30m, 2d, or 2026-11-23T14:50."
)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(0, MOST),
    default=DEFAULT_LIMIT,
    show_default=True,
    help="At most this many; 0 for all.",
)
@json_option("Print JSON Lines, one run a line.")
@pass_settings
def list_runs(
    settings: Settings,
    *,
    status: tuple[str, ...],
    workflow: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, newest first.

    A run that was running when its engine died is shown as interrupted: nothing of it runs now,
    and dwf resume continues it.
    """
    now = time.time_ns() // 1000
    try:
        since_us = None if since is None else parse_since(since, now)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
    wanted = frozenset(_STATES[name] for name in status)
    with settings.reading() as store:
        found = _select(store, wanted, workflow, since_us, limit)
        shown = list(islice(found, limit or None))
        if as_json:
            for row, alive in shown:
                say(dumps(run_document(row, alive=alive)))
            return
        if not shown:
            nothing = (
                "no such runs" if wanted or workflow or since else "no runs yet: dwf run TARGET"
            )
            note(nothing)
            return
        for line in _lines(shown, now):
            say(line)
        if limit and next(found, None) is not None:
            note(f"(the newest {limit}; --limit 0 shows all)")


def _select(
    store: Store,
    wanted: frozenset[RunShown],
    workflow: str | None,
    since: int | None,
    limit: int,
) -> Iterator[tuple[RunRow, bool]]:
    """Rows with whether their engine lives. What is shown may differ from what is recorded, so a
    state that depends on it is sifted here; only unfinished runs can be, and they are few.
    """
    recorded = {state for state in wanted if isinstance(state, RunStatus)}
    sifted = not wanted.isdisjoint({INTERRUPTED, *_UNFINISHED})
    if INTERRUPTED in wanted:
        recorded |= _UNFINISHED
    most = limit + 1 if limit and not sifted else None
    for row in store.log.rows(status=recorded, workflow=workflow, since=since, limit=most):
        alive = alive_in(store, row)
        if not sifted or shown_run(row.status, alive=alive) in wanted:
            yield row, alive


def _lines(shown: list[tuple[RunRow, bool]], now: int) -> list[str]:
    look = out()
    rows = []
    for row, alive in shown:
        counts = row.counts
        done = counts.succeeded + counts.failed + counts.skipped + counts.cancelled
        state = shown_run(row.status, alive=alive)
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
            )
        )
    return table(_COLUMNS, rows, look)
