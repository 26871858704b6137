"""`dwf inbox`: what waits for whom, until when, and how to answer.

Owns: the screen and the lines of JSON.
Must never: answer, or write anything.
Read next: `answers.py`, `../asked.py`, `../../engine/asking.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import click

from durable_wf.cli.asked import awaited_document, command_lines, until_words, what_words
from durable_wf.cli.context import (
    Number,
    Settings,
    examples,
    json_option,
    note,
    out,
    pass_settings,
    say,
    typed,
)
from durable_wf.cli.documents import Document, dumps
from durable_wf.cli.stores import alive_in
from durable_wf.cli.terminal import Look, one_line
from durable_wf.cli.times import ago
from durable_wf.engine.asking import Open, questions

DEFAULT_LIMIT = 50


@click.command(
    "inbox",
    epilog=examples(
        ("dwf inbox", "everything that waits for somebody"),
        ("dwf inbox --whom ann", "what is asked of ann"),
        ("dwf inbox --json | jq -r '.commands[0]'", "JSON Lines, for programs"),
    ),
)
@click.option("--whom", metavar="W", help="Only what is asked of W.")
@click.option("-w", "--workflow", metavar="NAME", help="Only runs of this workflow.")
@click.option(
    "-n",
    "--limit",
    type=Number(0),
    default=DEFAULT_LIMIT,
    show_default=True,
    help="At most this many; 0 for all.",
)
@json_option("Print JSON Lines: run_id, workflow, alive, task, what, question, whom, until, ...")
@pass_settings
def inbox(
    settings: Settings, *, whom: str | None, workflow: str | None, limit: int, as_json: bool
) -> None:
    """List what waits for somebody: approvals, decisions about failed tasks, signals.

    What ends by itself first stands first. Each comes with the lines to type that answer it. `whom`
    says who should answer; anybody who may write to the store can.
    """
    with settings.reading() as store:
        found = questions(store.log, workflow=workflow, whom=whom)
        shown = found[: limit or None]
        alive = {one.row.run_id: alive_in(store, one.row) for one in shown}
    now, named = time.time_ns() // 1000, settings.store
    for one in shown:
        if as_json:
            say(dumps(_document(one, named, alive=alive[one.row.run_id])))
            continue
        for line in _screen(one, named, now, out(), alive=alive[one.row.run_id]):
            say(line)
    if as_json:
        return
    if not found:
        note("nothing waits for anybody" + " like that" * bool(whom or workflow))
    elif len(found) > len(shown):
        note(f"(the first {len(shown)} of {len(found)}; --limit 0 shows all)")


def _screen(one: Open, store: str | None, now: int, look: Look, *, alive: bool) -> Iterator[str]:
    row, awaited = one.row, one.awaited
    whom = f" of {one_line(awaited.whom)}" if awaited.whom else ""
    yield look.paint(f"{one_line(row.run_id)}  {one_line(awaited.task)}", "bold")
    yield f"  waits for {one_line(what_words(awaited))}{whom}, since {ago(awaited.since, now)}"
    if awaited.question:
        yield f"  {look.paint(one_line(awaited.question), 'yellow')}"
    if ends := until_words(awaited, now):
        yield f"  {ends}"
    for line in command_lines(row.run_id, awaited, store):
        yield f"    {line}"
    if not alive:
        yield look.paint(f"  no engine runs it; then: {typed('resume', row.run_id)}", "dim")


def _document(one: Open, store: str | None, *, alive: bool) -> Document:
    row = one.row
    return {
        "run_id": row.run_id,
        "workflow": row.workflow,
        "recorded_status": row.status.value,
        "alive": alive,
        **awaited_document(row.run_id, one.awaited, store),
    }
